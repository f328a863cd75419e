import { readFileSync } from 'node:fs';
import { importPrivateKey } from '../../src/crypto/node/import-key.ts';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import type { CryptoProvider, SignatureAlgorithm, SigningKey } from '../../src/crypto/provider.ts';
import { SCHEMES, schemeById } from '../../src/crypto/schemes.ts';
import { type Suite, TLS13_SUITES } from '../../src/crypto/suites.ts';
import { decodePemBlocks } from '../../src/der/pem.ts';
import { CertificateError, TlsError } from '../../src/errors/errors.ts';
import type { ClientConfig, Identity, PeerVerifier, ServerConfig } from '../../src/handshake/config.ts';
import type { ResumableSession } from '../../src/handshake/resumable-session.ts';
import { TicketKeys } from '../../src/handshake/tickets.ts';
import { NamedGroup, ProtocolVersion } from '../../src/wire/codepoints.ts';
import { Certificate } from '../../src/x509/certificate.ts';
import { TrustStore } from '../../src/x509/trust-store.ts';
import { acceptUnverified, verifyPeer } from '../../src/x509/verify.ts';
import { clientConfig, serverConfig } from '../setup/engine-config.ts';
import type { CredentialFlags, Flags } from './flags.ts';
import { Unexpected, Unimplemented } from './report.ts';

/** What outlives one connection of a test. */
export class Shared {
  /** The clock of the test, Unix milliseconds; only `-resumption-delay` moves it. */
  now = Date.UTC(2026, 0, 2, 3, 4, 5);
  readonly ticketKeys = TicketKeys.random(nodeCrypto);
  /** Client: the newest session, to be resumed by the next connection. */
  session: ResumableSession | undefined;
  /** Chains that were accepted; without `-reverify-on-resume` they are not judged again. */
  readonly accepted = new Set<string>();
}

/** What the engine's hooks have seen of one connection and its `info` does not tell. */
export interface Observed {
  /** Of the last signature that was verified. */
  peerSignature: SignatureAlgorithm | undefined;
  advertisedProtocols: readonly string[] | undefined;
  /** Whether a certificate was refused, which need not end the connection. */
  refused: boolean;
  serverName: string | undefined;
}

/** The versions that the engine speaks, newest first, each with its switch. */
const VERSIONS = [{ version: ProtocolVersion.tls13, off: 'noTls13' }] as const;

/** @throws Unimplemented when the flags leave only versions that the engine does not speak */
function requireVersion(flags: Flags): void {
  const left = VERSIONS.filter(
    ({ version, off }) =>
      !flags[off] &&
      (flags.minVersion === 0 || version >= flags.minVersion) &&
      (flags.maxVersion === 0 || version <= flags.maxVersion),
  );
  if (left.length === 0) throw new Unimplemented('no version is left that the engine speaks');
}

export function clientSettings(
  flags: Flags,
  shared: Shared,
  resumes: boolean,
  observed: Observed,
): ClientConfig {
  const groups = groupsOf(flags);
  return clientConfig({
    ...common(flags, shared, resumes, observed),
    groups,
    keyShares: flags.keyShares ?? defaultShares(groups),
    serverName: flags.hostName === '' ? undefined : flags.hostName,
    sendServerName: flags.hostName !== '',
    alpnProtocols: protocolList(flags.advertiseAlpn),
    identities: identitiesOf(flags),
    session: resumes ? shared.session : undefined,
  });
}

export function serverSettings(
  flags: Flags,
  shared: Shared,
  resumes: boolean,
  observed: Observed,
): ServerConfig {
  const identities = identitiesOf(flags);
  return serverConfig({
    ...common(flags, shared, resumes, observed),
    groups: groupsOf(flags),
    selectIdentities: (serverName) => {
      observed.serverName = serverName;
      if (flags.failEarlyCallback) {
        throw new TlsError('ERR_TLS_HANDSHAKE_FAILURE', 'A flag says to refuse this ClientHello');
      }
      // Not an error of ours: what an application's own hook may throw.
      if (flags.failDdosCallback || flags.failCertCallback) throw new Error('A flag says to fail here');
      return identities;
    },
    selectProtocol: protocolSelector(flags, observed),
    clientCertificate: flags.requireAnyClientCertificate ? 'require' : flags.verifyPeer ? 'request' : 'none',
    certificateAuthorities: authorities(flags.useClientCaList),
    tickets: flags.noTicket
      ? undefined
      : // Two tickets for two days, as BoringSSL's server.
        { keys: shared.ticketKeys, lifetime: 172_800, count: 2 },
  });
}

function common(flags: Flags, shared: Shared, resumes: boolean, observed: Observed) {
  requireVersion(flags);
  return {
    crypto: observing(observed),
    suites: suitesOf(flags),
    schemes: flags.verifyPrefs.length > 0 ? knownSchemes(flags.verifyPrefs) : DEFAULT_SCHEMES,
    verifyPeer: judge(flags, shared, resumes, observed),
    handshakeTimeout: 0,
    maxFragment: flags.maxSendFragment === 0 ? 2 ** 14 : flags.maxSendFragment,
    keylog: flags.exportTrafficSecrets,
  };
}

const DEFAULT_SCHEMES = SCHEMES.filter(({ handshake }) => handshake).map(({ id }) => id);

/** A share for the first group, and for the first of the other kind: post-quantum or classical. */
function defaultShares(groups: readonly number[]): readonly number[] {
  const [first, ...more] = groups;
  if (first === undefined) return [];
  const isHybrid = (id: number): boolean => id === NamedGroup.x25519mlkem768;
  const other = more.find((id) => isHybrid(id) !== isHybrid(first));
  return other === undefined ? [first] : [first, other];
}

/** BoringSSL's default groups, as far as they are here. */
const DEFAULT_GROUPS: readonly number[] = [
  NamedGroup.x25519mlkem768,
  NamedGroup.x25519,
  NamedGroup.secp256r1,
  NamedGroup.secp384r1,
];

function groupsOf({ curves }: Flags): readonly number[] {
  if (curves.length === 0) return DEFAULT_GROUPS.filter((id) => nodeCrypto.group(id) !== undefined);
  const missing = curves.find((id) => nodeCrypto.group(id) === undefined);
  if (missing !== undefined) throw new Unimplemented(`group ${missing}`);
  return curves;
}

/** The runner's cipher lists name suites of TLS 1.2, except where it means a TLS 1.3 suite by its number. */
function suitesOf({ cipher }: Flags): readonly Suite[] {
  const id = Number(cipher);
  return cipher === '' || Number.isNaN(id) ? TLS13_SUITES : TLS13_SUITES.filter((suite) => suite.id === id);
}

function knownSchemes(ids: readonly number[]): readonly number[] {
  const missing = ids.find((id) => schemeById(id) === undefined);
  if (missing !== undefined) throw new Unimplemented(`signature scheme 0x${missing.toString(16)}`);
  return ids;
}

/**
 * Trusts the anchor that the runner names. Where it names none, or where BoringSSL's shim would not look, whoever has
 * the key is accepted; and flags may say that a certificate is to be refused.
 */
function judge(flags: Flags, shared: Shared, resumes: boolean, observed: Observed): PeerVerifier {
  const strict = flags.verifyPeer || flags.requireAnyClientCertificate;
  return (chain) => {
    const key = chain.map((der) => Buffer.from(der).toString('latin1')).join();
    const known = resumes && !flags.reverifyOnResume && shared.accepted.has(key);
    if (flags.verifyFail && !known) {
      observed.refused = true;
      if (strict) throw new CertificateError('CERT_REJECTED', 'A flag says to refuse this certificate');
    }
    const peer =
      flags.trustCert === ''
        ? acceptUnverified(nodeCrypto, chain, NOT_JUDGED)
        : verifyPeer(nodeCrypto, chain, {
            purpose: flags.server ? 'client' : 'server',
            trust: trustIn(flags.trustCert),
            // The runner's certificates are valid for an hour of real time.
            now: Date.now(),
          });
    shared.accepted.add(key);
    return peer;
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

// ── credentials ──────────────────────────────────────────────────────────────────────────────────

/** In BoringSSL's order: those of `-new-…-credential` first, the one of the older flags last. */
function identitiesOf(flags: Flags): Identity[] {
  return [...flags.credentials, flags.credential].flatMap((credential) =>
    credential.certFile === '' ? [] : [identityOf(credential, flags.async)],
  );
}

function identityOf({ certFile, keyFile, signingPrefs }: CredentialFlags, slow: boolean): Identity {
  const key = importPrivateKey(readFileSync(keyFile));
  const schemes = signingPrefs.length === 0 ? key.schemes : signable(signingPrefs, key);
  return {
    chain: readCertificates(certFile),
    key: {
      schemes,
      sign: (scheme, data) => (slow ? later(() => key.sign(scheme, data)) : key.sign(scheme, data)),
    },
  };
}

/** Preferences that this key cannot follow are BoringSSL's to refuse; here they would choose nothing. */
function signable(prefs: readonly number[], key: SigningKey): readonly number[] {
  return knownSchemes(prefs).filter((scheme) => key.schemes.includes(scheme));
}

/** As a card or an HSM would. */
async function later(sign: () => Uint8Array): Promise<Uint8Array> {
  await new Promise((resolve) => setImmediate(resolve));
  return sign();
}

export function readCertificates(file: string): Uint8Array[] {
  return decodePemBlocks(readFileSync(file, 'latin1'), 'CERTIFICATE');
}

/** Comma-separated hexadecimal names; BoringSSL's two words for none. */
function authorities(list: string): Uint8Array[] {
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
