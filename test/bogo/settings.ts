import { DEFAULT_DATAGRAM } from '../../src/connection/dtls-connection.ts';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import type {
  CryptoProvider,
  LegacySignatureAlgorithm,
  SignatureAlgorithm,
} from '../../src/crypto/provider.ts';
import { CertificateError, TlsError } from '../../src/errors/errors.ts';
import type {
  CertificateWishes,
  ClientConfig,
  EarlyDataPolicy,
  Identity,
  IdentitySource,
  PeerVerifier,
  RawKeyVerifier,
  ServerConfig,
} from '../../src/handshake/config.ts';
import { EarlyDataGuard } from '../../src/handshake/early-data-guard.ts';
import type { ResumableSession } from '../../src/handshake/resumable-session.ts';
import { TICKET_KEYS_LENGTH, TicketKeys } from '../../src/handshake/tickets.ts';
import { pointGroups } from '../../src/handshake/tls12/shared.ts';
import { clientPsks, pskFinder } from '../../src/node/psk.ts';
import { CertificateType, ProtocolVersion } from '../../src/wire/codepoints.ts';
import { concat } from '../../src/wire/writer.ts';
import { Certificate } from '../../src/x509/certificate.ts';
import { verifyRawKey } from '../../src/x509/raw-key.ts';
import { TrustStore } from '../../src/x509/trust-store.ts';
import { acceptUnverified, verifyPeer } from '../../src/x509/verify.ts';
import { clientConfig, serverConfig } from '../setup/engine-config.ts';
import { defaultShares, groupsOf, suites12, suites13, verifiable, versionsOf } from './algorithms.ts';
import { COMPRESSIONS } from './compression.ts';
import { identitiesOf, psk12Of, psksOf, readCertificates } from './credentials.ts';
import type { Flags } from './flags.ts';
import { Unexpected } from './report.ts';

/** Milliseconds; BoringSSL's. */
const EARLY_DATA_WINDOW = 60_000;

/** What outlives one connection of a test. */
export class Shared {
  /** The clock of the test, Unix milliseconds; only `-resumption-delay` moves it. */
  now = Date.UTC(2026, 0, 2, 3, 4, 5);
  ticketKeys = TicketKeys.random(nodeCrypto);
  readonly earlyDataGuard = new EarlyDataGuard(this.now, EARLY_DATA_WINDOW);
  /** Client: the newest session, to be resumed by the next connection. */
  session: ResumableSession | undefined;
  /** Chains that were accepted; without `-reverify-on-resume` they are not judged again. */
  readonly accepted = new Set<string>();
  /** Server: sessions of TLS 1.2, by id. */
  readonly sessions = new Map<string, Uint8Array>();

  /** A new key seals; the one of before still opens. */
  renewTicketKeys(): void {
    const before = this.ticketKeys.bytes.subarray(0, TICKET_KEYS_LENGTH);
    this.ticketKeys = new TicketKeys(concat([TicketKeys.random(nodeCrypto).bytes, before]));
  }
}

/** What the engine's hooks have seen of one connection and its `info` does not tell. */
export interface Observed {
  /** Of the last signature that was verified. */
  peerSignature: SignatureAlgorithm | LegacySignatureAlgorithm | undefined;
  advertisedProtocols: readonly string[] | undefined;
  /** Whether a certificate was refused, which need not end the connection. */
  refused: boolean;
  serverName: string | undefined;
  /** Server: a session was kept under its id. */
  stored: boolean;
  /** What the peer has said of the certificate that it would like to see. */
  wishes: CertificateWishes | undefined;
}

export function clientSettings(
  flags: Flags,
  shared: Shared,
  resumes: boolean,
  observed: Observed,
): ClientConfig {
  const groups = groupsFor(flags);
  return clientConfig({
    ...common(flags, shared, resumes, observed),
    groups,
    keyShares: flags.keyShares ?? defaultShares(groups),
    serverName: flags.hostName === '' ? undefined : flags.hostName,
    sendServerName: flags.hostName !== '',
    fallback: flags.fallbackScsv,
    alpnProtocols: protocolList(flags.advertiseAlpn),
    identities: identitiesOf(flags),
    identitySource: sourceOf(flags, observed, identitiesOf(flags)),
    availableTypes: flags.availableClientCertTypes.length > 0 ? flags.availableClientCertTypes : undefined,
    insistOnCertificate: true,
    psks: [...clientPsks(psksOf(flags), importProtocol(flags)), ...psk12Of(flags)],
    // As BoringSSL: who has keys and was not told to judge certificates takes none.
    ...(psksOf(flags).length > 0 && !flags.verifyPeer ? { requirePsk: true, tls12: undefined } : {}),
    earlyData: flags.enableEarlyData,
    permuteExtensions: flags.permuteExtensions,
    takesTickets: !flags.noTicket,
    requestOcsp: flags.enableOcspStapling,
    requestScts: flags.enableSignedCertTimestamps,
    session: resumes ? shared.session : undefined,
  });
}

export function serverSettings(
  flags: Flags,
  shared: Shared,
  resumes: boolean,
  observed: Observed,
): ServerConfig {
  const identities = identitiesOf(flags).map((identity) =>
    flags.declineOcspCallback ? { ...identity, ocspResponse: undefined } : identity,
  );
  return serverConfig({
    ...common(flags, shared, resumes, observed),
    groups: groupsFor(flags),
    selectIdentities: (serverName) => {
      observed.serverName = serverName;
      if (flags.failEarlyCallback) {
        throw new TlsError('ERR_TLS_HANDSHAKE_FAILURE', 'A flag says to refuse this ClientHello');
      }
      // Not an error of ours: what an application's own hook may throw.
      if (flags.failDdosCallback || flags.failCertCallback || flags.failOcspCallback)
        throw new Error('A flag says to fail here');
      return identities;
    },
    identitySource:
      flags.expectPeerVerifyPrefs.length > 0 ? sourceOf(flags, observed, identities) : undefined,
    selectProtocol: protocolSelector(flags, observed),
    // As BoringSSL's: its server always sends some.
    grease: true,
    findPsk: findPskOf(flags),
    pskIdentityHint: psk12Of(flags)[0]?.identity,
    preferCertificate: flags.credentials.findIndex(({ pskHash }) => pskHash === undefined) === 0,
    clientCertificate: flags.requireAnyClientCertificate ? 'require' : flags.verifyPeer ? 'request' : 'none',
    certificateAuthorities: authorities(flags.useClientCaList),
    tickets: flags.noTicket || flags.skipTicket ? undefined : ticketTerms(flags, shared),
    sessions: {
      lifetime: LIFETIME,
      store: {
        get: (id) => shared.sessions.get(hex(id)),
        set: (id, session) => {
          observed.stored = true;
          shared.sessions.set(hex(id), session);
        },
      },
    },
  });
}

/** As an application that looks at what its peer wants before it chooses. */
function sourceOf(flags: Flags, observed: Observed, identities: readonly Identity[]): IdentitySource {
  return {
    select(_serverName, wishes) {
      observed.wishes = wishes;
      // Not an error of ours: what an application's own hook may throw.
      if (flags.failCertCallback) throw new Error('A flag says to fail here');
      return identities;
    },
  };
}

/** A client of DTLS sends no share of ML-KEM at once, and the runner expects one of whoever offers it. */
function groupsFor(flags: Flags): readonly number[] {
  const groups = groupsOf(flags);
  return flags.dtls && flags.curves.length === 0 ? pointGroups(groups) : groups;
}

/** Two tickets, and as much early data, as BoringSSL's server. */
function ticketTerms({ enableEarlyData, renewTicket }: Flags, shared: Shared): ServerConfig['tickets'] {
  if (renewTicket) shared.renewTicketKeys();
  const earlyData: EarlyDataPolicy = {
    maxBytes: 14_336,
    window: EARLY_DATA_WINDOW,
    firstUse: (...use) => shared.earlyDataGuard.firstUse(...use),
  };
  return {
    keys: shared.ticketKeys,
    lifetime: LIFETIME,
    count: 2,
    earlyData: enableEarlyData ? earlyData : undefined,
  };
}

function findPskOf(flags: Flags): ServerConfig['findPsk'] {
  const ofTls12 = psk12Of(flags);
  const among = pskFinder(psksOf(flags), importProtocol(flags));
  return (identity) => ofTls12.find((psk) => hex(psk.identity) === hex(identity)) ?? among(identity);
}

function importProtocol({ dtls }: Flags) {
  return dtls ? ProtocolVersion.dtls13 : ProtocolVersion.tls13;
}

/** Milliseconds; BoringSSL's, which its runner counts on. */
const INITIAL_TIMEOUT = 400;

/** Seconds; two days, as BoringSSL's. */
const LIFETIME = 172_800;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function common(flags: Flags, shared: Shared, resumes: boolean, observed: Observed) {
  const versions = versionsOf(flags);
  return {
    crypto: observing(observed),
    suites: versions.tls13 ? suites13(flags) : [],
    // The runner tests both with and without extended_master_secret.
    tls12:
      versions.newest === undefined
        ? undefined
        : {
            suites: suites12(flags),
            requireExtendedMasterSecret: false,
            requireSecureRenegotiation: flags.noLegacyServerConnect || flags.expectSecureRenegotiation,
            newest: versions.newest,
          },
    endOnRenegotiation: !flags.renegotiateIgnore,
    legacy: versions.legacy,
    schemes: verifiable(flags),
    verifyPeer: judge(flags, shared, resumes, observed),
    verifyRawKey: flags.acceptedPeerCertTypes.includes(CertificateType.raw_public_key)
      ? judgeRawKey(flags, observed)
      : undefined,
    acceptedTypes: flags.acceptedPeerCertTypes.length > 0 ? flags.acceptedPeerCertTypes : undefined,
    certificateCompression: COMPRESSIONS.filter(
      ({ id }) => flags.installCertCompressionAlgs || flags.installOneCertCompressionAlg === id,
    ),
    grease: flags.enableGrease,
    handshakeTimeout: 0,
    datagrams: flags.dtls
      ? {
          mtu: flags.mtu === 0 ? DEFAULT_DATAGRAM.mtu : flags.mtu,
          initialTimeout: flags.initialTimeout === 0 ? INITIAL_TIMEOUT : flags.initialTimeout,
          maxTimeout: DEFAULT_DATAGRAM.maxTimeout,
        }
      : undefined,
    maxFragment: flags.maxSendFragment === 0 ? 2 ** 14 : flags.maxSendFragment,
    keylog: () => flags.exportTrafficSecrets,
  };
}

/**
 * Trusts the anchor that the runner names. Where it names none, or where BoringSSL's shim would not look, whoever has
 * the key is accepted; and flags may say that a certificate is to be refused.
 */
function judge(flags: Flags, shared: Shared, resumes: boolean, observed: Observed): PeerVerifier {
  const strict = flags.verifyPeer || flags.requireAnyClientCertificate;
  return (chain, { keyUse }) => {
    if (flags.failOcspCallback) {
      throw new CertificateError('ERR_TLS_BAD_CERTIFICATE_STATUS', 'A flag says to refuse this response');
    }
    const key = chain.map((der) => Buffer.from(der).toString('latin1')).join();
    const known = resumes && !flags.reverifyOnResume && shared.accepted.has(key);
    if (flags.verifyFail && !known) {
      observed.refused = true;
      // Which alert it is to be is the application's to say, by the code of what it throws.
      const code = flags.useCustomVerifyCallback ? 'CERT_REJECTED' : 'ERR_TLS_HANDSHAKE_FAILURE';
      if (strict) throw new CertificateError(code, 'A flag says to refuse this certificate');
    }
    const peer =
      // In those tests that give early data up the server's certificate may be another, of another root; BoringSSL's
      // client is told not to mind.
      flags.trustCert === '' || flags.expectRejectEarlyData
        ? acceptUnverified(nodeCrypto, chain, NOT_JUDGED)
        : verifyPeer(nodeCrypto, chain, {
            purpose: flags.server ? 'client' : 'server',
            trust: trustIn(flags.trustCert),
            keyUse,
            // The runner's certificates are valid for an hour of real time.
            now: Date.now(),
          });
    shared.accepted.add(key);
    return peer;
  };
}

/** Trusts the key of which the runner gives the hash, and where it gives none everyone who has one. */
function judgeRawKey(flags: Flags, observed: Observed): RawKeyVerifier {
  return (spki) => {
    const hash = nodeCrypto.digest('sha256', spki);
    const isExpected = flags.expectPeerRpkSha256.length === 0 || hex(hash) === hex(flags.expectPeerRpkSha256);
    if (flags.verifyFail || !isExpected) {
      observed.refused = true;
      throw new CertificateError('CERT_REJECTED', 'A flag says to refuse this key');
    }
    return verifyRawKey(nodeCrypto, spki, [spki]);
  };
}

function trustIn(file: string): TrustStore {
  return new TrustStore(readCertificates(file).map((der) => Certificate.parse(der)));
}

const NOT_JUDGED = new CertificateError('CERT_REJECTED', 'The shim takes every certificate');

/** Remembers by which algorithm the peer has signed. */
function observing(observed: Observed): CryptoProvider {
  return {
    ...nodeCrypto,
    verify(algorithm, key, data, signature) {
      observed.peerSignature = algorithm;
      return nodeCrypto.verify(algorithm, key, data, signature);
    },
  };
}

/** Comma-separated hexadecimal names; BoringSSL's two words for none. */
export function authorities(list: string): Uint8Array[] {
  if (list === '' || list === '<NULL>' || list === '<EMPTY>') return [];
  return list.split(',').map((hex) => new Uint8Array(Buffer.from(hex, 'hex')));
}

// ── application protocols ────────────────────────────────────────────────────────────────────────

/** ProtocolNameList without its length. */
function protocolList(text: string): string[] {
  const bytes = Buffer.from(text, 'latin1');
  const names: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + (bytes[at] as number);
    names.push(bytes.toString('latin1', at + 1, end));
    at = end;
  }
  return names;
}

function protocolSelector(flags: Flags, observed: Observed): ServerConfig['selectProtocol'] {
  const { selectAlpn, declineAlpn, rejectAlpn, selectEmptyAlpn, expectAdvertisedAlpn } = flags;
  if (declineAlpn || (selectAlpn === '' && !rejectAlpn && !selectEmptyAlpn)) return undefined;
  return (offered) => {
    observed.advertisedProtocols = offered;
    if (expectAdvertisedAlpn !== '' && protocolList(expectAdvertisedAlpn).join() !== offered.join()) {
      throw new Unexpected(`the client offers the protocols ${offered}`);
    }
    return rejectAlpn ? undefined : selectAlpn;
  };
}
