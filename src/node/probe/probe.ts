import { SCHEMES } from '../../crypto/schemes.ts';
import { TLS13_SUITES } from '../../crypto/suites.ts';
import { TLS12_SUITES } from '../../crypto/suites12.ts';
import { AlertDescription } from '../../errors/alerts.ts';
import { AlertReceivedError, asTrellisError, TlsError, type TrellisError } from '../../errors/errors.ts';
import type { ClientConfig } from '../../handshake/config.ts';
import { NamedGroup, ProtocolVersion, UnassignedCodePoint } from '../../wire/codepoints.ts';
import type { Certificate } from '../../x509/certificate.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import { type ClientSettings, configureClient } from '../engine-config.ts';
import type { SecurityModule } from '../module/security-module.ts';
import { sniFor } from '../options.ts';
import { type ContextOptions, contextOf } from '../secure-context.ts';
import { describeCertificate, describeOcsp, describeTrust, readable } from './certificates.ts';
import { Dialer, type DialerOptions, type Outcome, ProbeError } from './dialer.ts';
import { probeResumption, probeSuites, probeVersion } from './lists.ts';
import type { ModuleReport, ProbeReport, VersionReport } from './report.ts';
import { muxFound, muxOffers, OfferOnly, signFormats, signOffer } from './sub-protocols.ts';
import type { Subject } from './subject.ts';

/** Beside the address: whom to trust, what to offer, with which certificate or key. */
export interface ProbeOptions extends DialerOptions, ContextOptions, Omit<ClientSettings, 'host'> {
  /** As in messages. */
  readonly label: string;
  /** In the place of `cert` and `key`: one more handshake runs in it, with its identity. All others show no certificate. */
  readonly module?: SecurityModule | undefined;
}

const PQ_GROUPS = /MLKEM/;

/**
 * Finds out what a server speaks, by many handshakes that each ask one thing.
 * @throws ProbeError when there is no server, ConnectionError ERR_TLS_OPTION for options that cannot work
 */
export async function probe(options: ProbeOptions): Promise<ProbeReport> {
  const dialer = new Dialer(options);
  const now = Date.now();
  const capture = new Capture(options);
  const first = await capture.shake(dialer, {});
  if (first === undefined) throw new ProbeError('ERR_PROBE_UNREACHABLE', 'There was no time for a handshake');
  const offers = [capture.mux, capture.sign].filter(({ answered }) => answered !== undefined);
  const subject: Subject = {
    dialer,
    serverName: capture.sni,
    extensions: offers.map(({ extensionType: type, body }) => ({ type, body })),
    protocols: () => offers.map((offer) => () => offer.again()),
    configure: (changes) => ({ ...capture.config, ...changes }),
  };
  const versions = await Promise.all(VERSIONS.map((version) => probeVersion(subject, version)));
  if (first.info === undefined && versions.every(({ supported }) => !supported))
    throw notTls(options, dialer, first);
  const spoken = versions.filter(({ supported }) => supported);
  await Promise.all(spoken.map((version) => probeSuites(subject, version)));
  const [inModule, alpn, sign, mux, ...resumptions] = await Promise.all([
    moduleHandshake(options.module, dialer, capture),
    probeAlpn(subject, capture, first),
    signFormats(subject, capture.sign.answered),
    muxFound(subject, capture.mux.answered),
    ...versions.map((version) => probeResumption(subject, version, capture.serverName)),
  ]);
  const chain = readable(capture.chain);
  const path = capture.judged instanceof Error || capture.judged === undefined ? chain : capture.judged.path;
  return {
    server: options.label,
    address: dialer.address,
    servername: capture.serverName,
    versions: versions.map(
      ({ id: _, ...version }, index): VersionReport => ({
        ...version,
        resumption: resumptions[index],
      }),
    ),
    alpn,
    chain: chain.map((certificate) => describeCertificate(certificate, now)),
    trust: capture.judged === undefined ? undefined : describeTrust(capture.judged),
    ocsp: describeOcsp(capture.ocspResponse, chain[0], issuerOf(chain, path, capture.anchors), now),
    signedCertificateTimestamps: first.info?.scts?.length ?? 0,
    pskIdentity: pskName(first),
    clientCertificate: clientCertificate(first) ?? (inModule?.shown === undefined ? undefined : 'required'),
    mux,
    sign,
    postQuantum: versions.flatMap(({ groups }) => groups.filter((name) => PQ_GROUPS.test(name))),
    module: inModule,
    failure: failureOf(first),
    handshakes: dialer.begun,
    warnings: warningsOf(dialer),
  };
}

/** Newest first. */
const VERSIONS = [
  { id: ProtocolVersion.tls13, version: 'TLSv1.3' },
  { id: ProtocolVersion.tls12, version: 'TLSv1.2' },
  { id: ProtocolVersion.tls11, version: 'TLSv1.1' },
  { id: ProtocolVersion.tls10, version: 'TLSv1' },
] as const;

/** Handshakes of this engine, with what the server's certificate was and how it was judged. */
class Capture {
  readonly config: ClientConfig;
  readonly serverName: string;
  readonly anchors: readonly Certificate[];
  readonly sni: string | undefined;
  readonly mux = new OfferOnly('mux', UnassignedCodePoint.data_multiplexing, muxOffers.both);
  readonly sign = new OfferOnly('sign', UnassignedCodePoint.signature, signOffer());
  chain: readonly Uint8Array[] = [];
  judged: PeerIdentity | TlsError | undefined;
  ocspResponse: Uint8Array | undefined;

  constructor(options: ProbeOptions) {
    const offered = options.ALPNProtocols;
    const settings = { ...options, rejectUnauthorized: false, requestOCSP: true, requestSCT: true };
    const secureContext = contextOf(options);
    const config = configureClient({ ...settings, secureContext });
    this.anchors = secureContext.trust.anchors;
    this.serverName = config.serverName ?? options.host;
    this.sni = config.sendServerName ? sniFor(this.serverName) : undefined;
    this.config = {
      ...config,
      // Everything that the engine has, where the user has not said otherwise.
      ...(options.ciphers === undefined && {
        suites: config.suites.length === 0 ? [] : TLS13_SUITES,
        tls12: config.tls12 && { suites: TLS12_SUITES, requireExtendedMasterSecret: false },
      }),
      groups: options.ecdhCurve === undefined ? Object.values(NamedGroup) : config.groups,
      ...(options.ecdhCurve === undefined && { keyShares: [NamedGroup.x25519] }),
      schemes: options.sigalgs === undefined ? SCHEMES.map(({ id }) => id) : config.schemes,
      certificateSchemes: SCHEMES.map(({ id }) => id),
      alpnProtocols: offered === undefined ? [] : config.alpnProtocols,
    };
  }

  async shake(dialer: Dialer, changes: Partial<ClientConfig>): Promise<Outcome | undefined> {
    const { verifyPeer } = this.config;
    const config: ClientConfig = {
      ...this.config,
      ...changes,
      verifyPeer: (chain, context) => {
        this.chain = chain.map((der) => new Uint8Array(der));
        this.ocspResponse = context.ocspResponse;
        try {
          this.judged = verifyPeer(chain, context);
          return this.judged;
        } catch (error) {
          const fault = asTrellisError(error);
          if (fault instanceof TlsError) this.judged = fault;
          throw error;
        }
      },
    };
    return dialer.shake(config, [() => this.mux, () => this.sign]);
  }
}

/**
 * What `trellis connect --module` would do. Modules resume nothing, choose suites and groups themselves, and keep staples to
 * themselves: for all other questions they are of no use.
 */
async function moduleHandshake(
  module: SecurityModule | undefined,
  dialer: Dialer,
  { config, mux, sign }: Capture,
): Promise<ModuleReport | undefined> {
  if (module === undefined) return undefined;
  const outcome = await dialer.shake(config, [() => mux.again(), () => sign.again()], module);
  if (outcome === undefined) return undefined;
  const { info, shown } = outcome;
  return {
    connected: outcome.error === undefined,
    version: info?.protocol,
    suite: info?.suite.name,
    alpn: info?.alpnProtocol,
    shown: readable(shown)[0]?.subject.toString(),
    pskIdentity: pskName(outcome),
    offloaded: module.offload && info?.version === ProtocolVersion.tls13,
    failure: failureOf(outcome),
  };
}

function pskName({ info }: Outcome): string | undefined {
  return info?.pskIdentity && Buffer.from(info.pskIdentity).toString();
}

function failureOf({ error }: Outcome): ModuleReport['failure'] {
  return error === undefined ? undefined : { code: error.code, message: error.message };
}

async function probeAlpn(
  subject: Subject,
  { config }: Capture,
  { info }: Outcome,
): Promise<ProbeReport['alpn']> {
  const offered = config.alpnProtocols;
  const chosen = info?.alpnProtocol;
  const others = offered.filter((name) => name !== chosen);
  const taken = await Promise.all(
    others.map(async (name) => {
      const outcome = await subject.dialer.shake(
        subject.configure({ alpnProtocols: [name] }),
        subject.protocols(),
      );
      return outcome?.info?.alpnProtocol === name;
    }),
  );
  const more = others.filter((_, index) => taken[index]);
  return { offered, accepted: chosen === undefined ? more : [chosen, ...more] };
}

/** Above the end entity: in the path that was found, else in what was sent, else among those that are trusted. */
function issuerOf(
  chain: readonly Certificate[],
  path: readonly Certificate[],
  anchors: readonly Certificate[],
): Certificate | undefined {
  const [leaf] = chain;
  return [...path, ...chain, ...anchors].find(
    (candidate) => leaf !== undefined && !candidate.equals(leaf) && candidate.subject.equals(leaf.issuer),
  );
}

function clientCertificate({ info, error }: Outcome): ProbeReport['clientCertificate'] {
  const required = AlertDescription.certificate_required;
  if (error instanceof AlertReceivedError && error.description === required) return 'required';
  if (info === undefined) return undefined;
  if (info.certificateRequested !== true) return 'not-asked';
  return error === undefined ? 'asked' : 'required';
}

function warningsOf({ unanswered, exhausted }: Dialer): string[] {
  const warnings: string[] = [];
  if (unanswered.length > 0) {
    const [first] = unanswered;
    warnings.push(
      `${unanswered.length} handshakes got no answer (${first}); what they asked for counts as not spoken`,
    );
  }
  if (exhausted) warnings.push('time or handshakes were used up; lists are incomplete (--time-limit)');
  return warnings;
}

function notTls({ label }: ProbeOptions, { unanswered }: Dialer, { error }: Outcome): TrellisError {
  const why = unanswered.at(0) ?? error?.message ?? 'no answer';
  return new ProbeError(
    'ERR_PROBE_NOT_TLS',
    `${label} speaks no version of TLS (${why}): is that the right port? Protocols that begin in clear (STARTTLS) are not probed`,
    { cause: error },
  );
}
