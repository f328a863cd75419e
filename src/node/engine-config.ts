import { legacyCertificate } from '../crypto/node/certificate-object.ts';
import { nodeCrypto } from '../crypto/node/provider.ts';
import { CertificateError } from '../errors/errors.ts';
import type { ClientConfig, EarlyDataPolicy, PeerVerifier, ServerConfig } from '../handshake/config.ts';
import type { EarlyDataGuard } from '../handshake/early-data-guard.ts';
import { parseResumable, type ResumableSession } from '../handshake/resumable-session.ts';
import { CertificateType, NamedGroup } from '../wire/codepoints.ts';
import { Certificate } from '../x509/certificate.ts';
import { checkServerName, referenceName } from '../x509/names.ts';
import { importRawKey, verifyRawKey } from '../x509/raw-key.ts';
import { checkRevocation, type OcspMode } from '../x509/revocation.ts';
import { acceptUnverified, UnverifiedPeer, verifyFingerprint, verifyPeer } from '../x509/verify.ts';
import {
  type ALPNCallback,
  type CertificateCallback,
  protocolSelector,
  requestSource,
  type SNICallback,
  sniSource,
} from './callbacks.ts';
import { type CompressionName, compressionFor } from './certificate-compression.ts';
import { parseFingerprints } from './fingerprints.ts';
import { optionError, parseAlpn, requireInteger, requireSupported, sniFor } from './options.ts';
import type { PeerCertificate } from './peer-certificate.ts';
import { clientPsks, type PskInput, type PskLookup, pskFinder, readHint } from './psk.ts';
import { type ContextOptions, contextOf, type SecureContext } from './secure-context.ts';

/** Says what is wrong with a certificate for a host, or nothing. As node:tls's option of this name. */
export type CheckServerIdentity = (hostname: string, certificate: PeerCertificate) => Error | undefined;

/** Options about peer and session that both sides have. */
export interface PeerSettings {
  /** Protocols in order of preference. */
  ALPNProtocols?: readonly string[] | Uint8Array | undefined;
  /** Default true. False goes on with a peer whose certificate is not valid; look at `authorized`. */
  rejectUnauthorized?: boolean | undefined;
  /**
   * The peer's certificate is one of these and need not be anything else, as in WebRTC (RFC 8122): 'sha-256 AB:CD:…', as SDP
   * spells it; sha-384 and sha-512 too. They take the place of `ca`, names, dates and revocation. A server with them asks for
   * a certificate. Default: none.
   */
  fingerprints?: string | readonly string[] | undefined;
  /**
   * Keys that both sides were given beforehand, for TLS 1.3, beside certificates. A client offers them, best first. On
   * a server also a function that finds the key of an identity; a client that has one is authenticated by it, and not
   * asked for a certificate, not even with `requestCert`.
   */
  psk?: PskInput | readonly PskInput[] | PskLookup | undefined;
  /**
   * Where both sides have a key or a ticket and share no group, go on without a key exchange: psk_ke (RFC 8446 §4.2.9), for
   * devices that can do nothing else. Such a session has no forward secrecy: who gets the key one day can read all that was
   * recorded. TLS 1.3. Default false.
   */
  pskOnlyKeyExchange?: boolean | undefined;
  /**
   * End a session of TLS 1.2 whose peer wants to renegotiate, by a fatal no_renegotiation (ERR_TLS_RENEGOTIATION). Default
   * false: the peer is told no by a warning, and may go on (RFC 5246 §7.2.2).
   */
  endOnRenegotiation?: boolean | undefined;
  /** Send meaningless values too, so that peers stay used to passing over them (RFC 8701). Default false. */
  grease?: boolean | undefined;
  /** Milliseconds for the handshake, 120,000 by default, 30,000 at servers of DTLS; 0 waits for ever. */
  handshakeTimeout?: number | undefined;
  /** Pad records to a multiple of so many bytes (RFC 8446 §5.4). Default 1: no padding. */
  padding?: number | undefined;
  /** Compress certificates in TLS 1.3 (RFC 8879), best first: 'brotli', 'zlib', 'zstd'. Default: not at all. */
  certificateCompression?: readonly CompressionName[] | undefined;
  /** Ask the peer for records of so many bytes at most, 64 to 16385, content type and padding included (RFC 8449). */
  recordSizeLimit?: number | undefined;
  /** Largest plaintext of a record, 512 to 16384 bytes (the default). */
  maxSendFragment?: number | undefined;
}

export interface ClientSettings extends PeerSettings {
  servername?: string | undefined;
  host?: string | undefined;
  checkServerIdentity?: CheckServerIdentity | undefined;
  /**
   * What a stapled OCSP response decides (RFC 6960, RFC 7633). 'soft' (the default): a server whose certificate is said
   * to be revoked is refused, and one whose certificate demands stapling must staple. 'hard': every server must.
   * 'off': not asked for.
   */
  ocsp?: OcspMode | undefined;
  /** Emit 'OCSPResponse', as node:tls does; `ocsp` decides independently of that. */
  requestOCSP?: boolean | undefined;
  /** Ask for signed certificate timestamps, for `socket.signedCertificateTimestamps`. */
  requestSCT?: boolean | undefined;
  /**
   * This is a second attempt with a lower `maxVersion` than the first had: say so, and a server that speaks more refuses it
   * (TLS_FALLBACK_SCSV, RFC 7507). Default false.
   */
  fallback?: boolean | undefined;
  /** Show a certificate after the handshake too, when the server asks (RFC 8446 §4.2.6). TLS 1.3. Default false. */
  postHandshakeAuth?: boolean | undefined;
  /**
   * Chooses the certificate by what the server says of it: the authorities and signature schemes of its CertificateRequest.
   * During the handshake, within `handshakeTimeout`, and after it (`postHandshakeAuth`). Not with `module`, which shows its own.
   */
  certificateCallback?: CertificateCallback | undefined;
  /**
   * Where the server asks for a certificate and none of ours suits, fail (ERR_TLS_NO_SUITABLE_CERTIFICATE) in place of going on
   * without one, as RFC 8446 §4.4.2 has it. Default false.
   */
  insistOnCert?: boolean | undefined;
  /**
   * Take no server that does not select a key of `psk` (or a ticket that began with one), whatever its certificate. Default
   * false: a server may show a certificate in place of it.
   */
  requirePsk?: boolean | undefined;
  /** Name the subjects of `ca` to the server, so that it can choose its certificate (RFC 8446 §4.2.4). Default false. */
  sendAuthorities?: boolean | undefined;
  /** Send the extensions of ClientHello in another order each time, so that no server comes to rely on one. Default false. */
  permuteExtensions?: boolean | undefined;
  /**
   * Early data (0-RTT, RFC 8446 §2.3), sent with the first flight when `session` allows so much. It can be replayed and has
   * no forward secrecy. What was not sent or not taken (`socket.earlyDataAccepted`) has to be written again.
   */
  earlyData?: Uint8Array | undefined;
}

export interface ServerSettings extends PeerSettings {
  /** Ask clients for a certificate. Default false. */
  requestCert?: boolean | undefined;
  /** Text by which clients of TLS 1.2 find the key to use (RFC 4279 §5.2), up to 128 bytes, sent in clear. As node:tls's. */
  pskIdentityHint?: string | undefined;
  /** Show a certificate to clients that take it, though they offer a key of `psk`. TLS 1.3. Default false: the key serves. */
  preferCertificate?: boolean | undefined;
  SNICallback?: SNICallback | undefined;
  ALPNCallback?: ALPNCallback | undefined;
  /**
   * Bytes of early data (0-RTT, RFC 8446 §2.3) that a resuming client may send, up to 65,536. Default 0: none. Read
   * docs/node-api.md before: early data can be replayed within limits, and has no forward secrecy.
   */
  maxEarlyData?: number | undefined;
}

/** A server keeps early data until the handshake is complete; more belongs behind it. */
const MAX_EARLY_DATA = 2 ** 16;
const OCSP_MODES: readonly OcspMode[] = ['off', 'soft', 'hard'];
/** As node:tls. */
const DEFAULT_HANDSHAKE_TIMEOUT = 120_000;
const MAX_FRAGMENT = 16_384;
/** OpenSSL's bounds for `setMaxSendFragment`. */
const MIN_FRAGMENT = 512;
/** OpenSSL sends two, for clients that use each once; ours may use one again, and a session is what it shares. */
const TICKETS = 1;

/** @throws ConnectionError ERR_TLS_OPTION for the settings that both sides have */
export function checkPeerSettings(
  settings: PeerSettings & {
    readonly module?: unknown;
    readonly requirePsk?: boolean | undefined;
    readonly certificateCallback?: CertificateCallback | undefined;
    readonly SNICallback?: SNICallback | undefined;
  },
): void {
  requireSupported(settings);
  const { handshakeTimeout, padding, maxSendFragment, module, psk, requirePsk } = settings;
  for (const callback of ['certificateCallback', 'SNICallback'] as const) {
    if (module === undefined || settings[callback] === undefined) continue;
    throw optionError(
      callback,
      'a session in a module shows the identity of the module, and nobody here is asked; name it by the alias of module',
    );
  }
  if (module !== undefined && (psk !== undefined || requirePsk === true)) {
    throw optionError(
      psk === undefined ? 'requirePsk' : 'psk',
      'the keys of a session in a module are in the module; put them there (trellis module psk add), and an identity without trust anchors takes nothing else',
    );
  }
  requireInteger('handshakeTimeout', handshakeTimeout, 0, 2 ** 31 - 1);
  requireInteger('padding', padding, 1, MAX_FRAGMENT);
  requireInteger('recordSizeLimit', settings.recordSizeLimit, 64, MAX_FRAGMENT + 1);
  requireInteger('maxSendFragment', maxSendFragment, MIN_FRAGMENT, MAX_FRAGMENT);
  parseAlpn(settings.ALPNProtocols);
}

function common(context: SecureContext, settings: PeerSettings) {
  checkPeerSettings(settings);
  return {
    crypto: nodeCrypto,
    suites: context.suites,
    tls12: context.tls12,
    legacy: context.legacy,
    groups: context.groups,
    schemes: context.schemes,
    endOnRenegotiation: settings.endOnRenegotiation === true,
    grease: settings.grease === true,
    handshakeTimeout: settings.handshakeTimeout ?? DEFAULT_HANDSHAKE_TIMEOUT,
    maxFragment: settings.maxSendFragment ?? MAX_FRAGMENT,
    padTo: settings.padding ?? 1,
    certificateCompression: compressionFor(settings.certificateCompression),
    recordSizeLimit: settings.recordSizeLimit,
    pskOnlyKeyExchange: settings.pskOnlyKeyExchange === true,
    ...rawKeys(context, settings),
  };
}

export function isMaxSendFragment(size: number): boolean {
  return Number.isInteger(size) && size >= MIN_FRAGMENT && size <= MAX_FRAGMENT;
}

// ── client ───────────────────────────────────────────────────────────────────────────────────────

/** @throws ConnectionError ERR_TLS_OPTION */
export function clientConfig(
  context: SecureContext,
  settings: ClientSettings,
  session: ResumableSession | undefined,
  wantsKeyLog: () => boolean,
): ClientConfig {
  // The order in which node:tls looks for the name to check; servername '' only switches SNI off.
  const host = settings.servername || settings.host || 'localhost';
  const reference = referenceName(host);
  const serverName = reference.kind === 'dns' ? reference.name : host;
  const { ocsp = 'soft' } = settings;
  if (!OCSP_MODES.includes(ocsp)) throw optionError('ocsp', `'${ocsp}' is none of ${OCSP_MODES.join(', ')}`);
  return {
    serverName,
    sendServerName: settings.servername !== '' && sniFor(serverName) !== undefined,
    keyShares: keySharesFor(context.groups),
    alpnProtocols: parseAlpn(settings.ALPNProtocols) ?? [],
    identities: context.identities,
    identitySource:
      settings.certificateCallback === undefined
        ? undefined
        : requestSource(settings.certificateCallback, context),
    insistOnCertificate: settings.insistOnCert === true,
    requestOcsp: ocsp !== 'off' || settings.requestOCSP === true,
    requestScts: settings.requestSCT === true,
    permuteExtensions: settings.permuteExtensions === true,
    postHandshakeAuth: settings.postHandshakeAuth === true,
    authorities:
      settings.sendAuthorities === true && context.hasOwnTrust
        ? context.trust.anchors.map(({ subject }) => subject.raw)
        : undefined,
    earlyData: settings.earlyData !== undefined && settings.earlyData.length > 0,
    fallback: settings.fallback === true,
    session: session?.serverName === serverName ? session : undefined,
    compatibility: true,
    keylog: wantsKeyLog,
    verifyPeer: judge(settings, (chain, { now, schemes, keyUse, ocspResponse }) => {
      const custom = settings.checkServerIdentity;
      const name = custom === undefined ? reference : undefined;
      const verified = verifyPeer(nodeCrypto, chain, {
        purpose: 'server',
        trust: context.trust,
        now,
        name,
        allowedSchemes: schemes,
        keyUse,
      });
      checkRevocation(nodeCrypto, verified.path, ocspResponse, { ocsp, crls: context.crls }, now);
      if (custom !== undefined) askIdentity(custom, host, chain);
      return verified;
    }),
    ...common(context, settings),
    ...clientKeys(context, settings),
  };
}

function clientKeys({ tls12 }: SecureContext, { psk, requirePsk }: ClientSettings) {
  const psks = clientPsks(psk);
  if (requirePsk !== true) return { psks };
  if (psks.length === 0) throw optionError('requirePsk', 'there is no key; give the option psk');
  // An imported key is bound to TLS 1.3 (RFC 9258 §5.1): nothing is left to do in TLS 1.2.
  const isForTls12 = psks.some(({ binder }) => binder === 'external');
  return { psks, requirePsk, tls12: isForTls12 ? tls12 : undefined };
}

/**
 * A share for the group that is wanted most. Many servers do not know the hybrid group yet, so beside it goes one for
 * the next: its 32 bytes cost less than a HelloRetryRequest.
 */
function keySharesFor(groups: readonly number[]): readonly number[] {
  return groups.slice(0, groups[0] === NamedGroup.x25519mlkem768 ? 2 : 1);
}

/** What a user's `checkServerIdentity` returned is the cause; sockets report it as it is, as node:tls does. */
export class IdentityRefused extends CertificateError {
  readonly reason: Error;
  constructor(reason: Error) {
    super('ERR_TLS_CERT_ALTNAME_INVALID', reason.message, 0, { cause: reason });
    this.reason = reason;
  }
}

function askIdentity(check: CheckServerIdentity, host: string, chain: readonly Uint8Array[]): void {
  const reason = check(host, legacyCertificate(chain[0] as Uint8Array));
  if (reason !== undefined) throw new IdentityRefused(reason);
}

/**
 * The check that sockets make by default (RFC 9525), for those who wrap it in their own `checkServerIdentity`.
 * Unlike node:tls's it never looks at the common name.
 * @param certificate from `getPeerCertificate()`
 * @returns the error ERR_TLS_CERT_ALTNAME_INVALID, or nothing when the certificate is for this host
 */
export function checkServerIdentity(hostname: string, certificate: PeerCertificate): Error | undefined {
  try {
    checkServerName(Certificate.parse(certificate.raw), referenceName(hostname));
    return undefined;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
}

// ── server ───────────────────────────────────────────────────────────────────────────────────────

/** @throws ConnectionError ERR_TLS_OPTION */
export function serverConfig(
  context: SecureContext,
  settings: ServerSettings,
  contextFor: (serverName: string) => SecureContext | undefined,
  wantsKeyLog: () => boolean,
): ServerConfig {
  const requestsCertificate = settings.requestCert === true || settings.fingerprints !== undefined;
  const { SNICallback: callback } = settings;
  const { ticketKeys: keys, sessionTimeout: lifetime, earlyDataGuard: guard } = context;
  return {
    selectIdentities: (name) =>
      name === undefined ? context.identities : (contextFor(name) ?? context).identitiesFor(name),
    identitySource: callback === undefined ? undefined : sniSource(callback, context),
    selectProtocol: protocolSelector(settings.ALPNProtocols, settings.ALPNCallback),
    clientCertificate: !requestsCertificate
      ? 'none'
      : settings.rejectUnauthorized === false
        ? 'request'
        : 'require',
    certificateAuthorities:
      requestsCertificate && settings.fingerprints === undefined && context.hasOwnTrust
        ? context.trust.anchors.map(({ subject }) => subject.raw)
        : [],
    findPsk: settings.psk === undefined ? undefined : pskFinder(settings.psk),
    pskIdentityHint: readHint(settings.pskIdentityHint),
    preferCertificate: settings.preferCertificate === true,
    tickets: { keys, lifetime, count: TICKETS, earlyData: earlyDataPolicy(settings.maxEarlyData, guard) },
    ...(context.tls12 === undefined ? {} : { sessions: { store: context.sessions, lifetime } }),
    keylog: wantsKeyLog,
    verifyPeer: judge(settings, (chain, { now, schemes }) => {
      const verified = verifyPeer(nodeCrypto, chain, {
        purpose: 'client',
        trust: context.trust,
        now,
        allowedSchemes: schemes,
      });
      checkRevocation(nodeCrypto, verified.path, undefined, { ocsp: 'off', crls: context.crls }, now);
      return verified;
    }),
    ...common(context, settings),
  };
}

/** @throws ConnectionError ERR_TLS_OPTION */
function earlyDataPolicy(maxBytes: number | undefined, guard: EarlyDataGuard): EarlyDataPolicy | undefined {
  requireInteger('maxEarlyData', maxBytes, 0, MAX_EARLY_DATA);
  if (maxBytes === undefined || maxBytes === 0) return undefined;
  return { maxBytes, firstUse: (...use) => guard.firstUse(...use) };
}

// ── for a Connection without a socket ──────────────────────────────────────────────────────────────

/**
 * The configuration of a client `Connection`, for those who move its bytes themselves; options as for `connect`.
 * @param wantsKeyLog whether there shall be `keylog` events
 * @throws ConnectionError ERR_TLS_OPTION
 */
export function configureClient(
  options: ContextOptions & ClientSettings & { session?: Uint8Array | undefined } = {},
  wantsKeyLog = () => false,
): ClientConfig {
  const session = options.session === undefined ? undefined : readSession(options.session);
  return clientConfig(contextOf(options), options, session, wantsKeyLog);
}

/** The configuration of server `Connection`s; options as for `createServer`, one for any number of connections. */
export function configureServer(
  options: ContextOptions & ServerSettings,
  wantsKeyLog = () => false,
): ServerConfig {
  return serverConfig(contextOf(options), options, () => undefined, wantsKeyLog);
}

/** A session to resume; nothing for bytes of node:tls or of another version of this library: a full handshake then. */
export function readSession(bytes: Uint8Array): ResumableSession | undefined {
  try {
    return parseResumable(bytes);
  } catch {
    return undefined;
  }
}

// ── both ─────────────────────────────────────────────────────────────────────────────────────────

/** Raw public keys (RFC 7250) are taken where some are trusted. */
function rawKeys(
  { trustedPublicKeys, hasOwnTrust }: SecureContext,
  { rejectUnauthorized }: PeerSettings,
): Pick<ClientConfig, 'verifyRawKey' | 'acceptedTypes'> {
  if (trustedPublicKeys.length === 0) return {};
  return {
    acceptedTypes: hasOwnTrust
      ? [CertificateType.raw_public_key, CertificateType.x509]
      : [CertificateType.raw_public_key],
    verifyRawKey: (spki) => {
      try {
        return verifyRawKey(nodeCrypto, spki, trustedPublicKeys);
      } catch (error) {
        if (rejectUnauthorized !== false || !(error instanceof CertificateError)) throw error;
        return new UnverifiedPeer([], importRawKey(nodeCrypto, spki), error);
      }
    },
  };
}

/** Judges by `fingerprints`, else by `verify`; or takes whoever has the key where the user has said so. */
function judge({ rejectUnauthorized, fingerprints }: PeerSettings, verify: PeerVerifier): PeerVerifier {
  const known = parseFingerprints(fingerprints);
  const decide: PeerVerifier =
    known === undefined ? verify : (chain) => verifyFingerprint(nodeCrypto, chain, known);
  if (rejectUnauthorized !== false) return decide;
  return (chain, context) => {
    try {
      return decide(chain, context);
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      return acceptUnverified(nodeCrypto, chain, error);
    }
  };
}
