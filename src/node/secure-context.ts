import type { Legacy } from '../crypto/legacy.ts';
import {
  type ImportedKey,
  importPrivateKey,
  isKeyObject,
  type PrivateKeyInput,
} from '../crypto/node/import-key.ts';
import { hasNativeMlKem } from '../crypto/node/ml-kem.ts';
import { nodeCrypto } from '../crypto/node/provider.ts';
import type { SigningKey } from '../crypto/provider.ts';
import { SCHEMES } from '../crypto/schemes.ts';
import type { Suite } from '../crypto/suites.ts';
import { existsBeforeTls12 } from '../crypto/suites12.ts';
import { decodePemBlocks } from '../der/pem.ts';
import { TrellisError } from '../errors/errors.ts';
import type { Identity, SessionStore, Tls12Config } from '../handshake/config.ts';
import { EarlyDataGuard } from '../handshake/early-data-guard.ts';
import { MAX_TICKET_LIFETIME } from '../handshake/session.ts';
import { TicketKeys } from '../handshake/tickets.ts';
import { NamedGroup, ProtocolVersion } from '../wire/codepoints.ts';
import { Certificate } from '../x509/certificate.ts';
import { Crl } from '../x509/crl.ts';
import { importPublicKey } from '../x509/public-key.ts';
import { TrustStore } from '../x509/trust-store.ts';
import { parseCiphers } from './cipher-list.ts';
import { parseLegacy } from './legacy.ts';
import { NameMap } from './name-map.ts';
import {
  LEGACY_VERSION,
  optionError,
  parseGroups,
  parseSignatureSchemes,
  parseVersions,
  requireInteger,
  requireSupported,
} from './options.ts';
import { MemorySessionStore } from './session-store.ts';

/** PEM text with one or more certificates, or bytes of PEM or of one DER certificate. */
export type CertificateInput = string | Uint8Array;
/** A key beside its own passphrase, as node:tls takes it. */
export interface KeyWithPassphrase {
  readonly pem: PrivateKeyInput;
  readonly passphrase?: string | undefined;
}
/** A private key in this process, or a `SigningKey` that may live anywhere and may sign with a promise. */
export type KeyInput = PrivateKeyInput | KeyWithPassphrase | SigningKey;

/** What goes with a certificate chain. */
export interface Staple {
  /** OCSPResponse about the end entity, DER (RFC 8446 §4.4.2.1). */
  readonly ocsp?: Uint8Array | undefined;
  /**
   * Signed certificate timestamps (RFC 6962 §3.3), passed on as they are: at least one, none of them empty, together with
   * two bytes for each at most 65,533 bytes, since they travel in one extension.
   */
  readonly scts?: readonly Uint8Array[] | undefined;
}

/** The options of node:tls's `createSecureContext` that exist here (docs/node-api.md). */
export interface SecureContextOptions {
  /** Trust anchors. Default: the certificates that come with Node (`tls.rootCertificates`). */
  ca?: CertificateInput | readonly CertificateInput[] | undefined;
  /** Certificate chains, each with its end entity first. */
  cert?: CertificateInput | readonly CertificateInput[] | undefined;
  /** One private key for each chain, in any order; `SigningKey` objects in the order of the chains. */
  key?: KeyInput | readonly KeyInput[] | undefined;
  passphrase?: string | undefined;
  /**
   * Show the public key of `key` raw (RFC 7250) to peers that take that, and certificates to the others; without `cert`
   * only the key. Default false.
   */
  rawPublicKey?: boolean | undefined;
  /**
   * Raw public keys (RFC 7250) that peers may show: SubjectPublicKeyInfo, PEM ("PUBLIC KEY") or DER. With them and without
   * `ca`, peers must show one of them; with `ca` they may show a certificate as well.
   */
  trustedPublicKeys?: CertificateInput | readonly CertificateInput[] | undefined;
  /**
   * An OpenSSL cipher list, best first, for both versions. Default: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305, in
   * TLS 1.2 with ECDHE and either ECDSA or RSA certificates.
   */
  ciphers?: string | undefined;
  /** Key exchange groups, best first, separated by colons. Default: X25519:P-256:P-384, X25519MLKEM768 before them where Node has it. */
  ecdhCurve?: string | undefined;
  /** Signature schemes, best first, separated by colons, in RFC 8446's or OpenSSL's spelling. */
  sigalgs?: string | undefined;
  /** 'TLSv1.2' or 'TLSv1.3'; 'TLSv1' and 'TLSv1.1' where `legacy` names them; DTLS 1.0 goes as 'TLSv1.1'. Default: the oldest of TLS 1.2 and those. */
  minVersion?: string | undefined;
  /** As `minVersion`. Default 'TLSv1.3'. */
  maxVersion?: string | undefined;
  /**
   * What is spoken for the sake of peers that know nothing better: 'tls1.0', 'tls1.1', 'dtls1.0', 'rsa' (key exchange), 'cbc' (without
   * encrypt_then_mac, and 3DES), 'rc4'. The suites that it takes come behind all others, or where `ciphers` puts them. Each
   * weakens every connection (SECURITY.md), and is warned of. Default: none.
   */
  legacy?: readonly Legacy[] | undefined;
  /** TLS 1.2: refuse peers without extended_master_secret (RFC 7627). Default true. */
  requireExtendedMasterSecret?: boolean | undefined;
  /**
   * TLS 1.2, client: refuse servers without secure renegotiation (RFC 5746). Default true, as OpenSSL 3 without
   * SSL_OP_LEGACY_SERVER_CONNECT; false for old servers, before which somebody may then have put words of his own.
   */
  requireSecureRenegotiation?: boolean | undefined;
  /** Server: what is sent beside each chain, in the order of the chains, to clients that ask. */
  staple?: Staple | readonly Staple[] | undefined;
  /** Show certificates to those peers alone that name an authority above them (RFC 8446 §4.2.4). Default false: it is a wish. */
  mustMatchIssuer?: boolean | undefined;
  /** Revocation lists, PEM or DER. With any, every certificate of a peer's path but the anchor must be covered by one. */
  crl?: CertificateInput | readonly CertificateInput[] | undefined;
  /**
   * Server: 48 bytes that seal tickets; give them to every process that shall resume each other's sessions. To rotate
   * them, give up to 16 such keys in a row, the newest first: the first seals, all open.
   */
  ticketKeys?: Uint8Array | undefined;
  /** Server: where sessions of TLS 1.2 without tickets are kept. Default: in memory, the 1,024 used last. */
  sessionStore?: SessionStore | undefined;
  /** Server: seconds for which a session can be resumed. Default 300, at most 604800 (RFC 8446 §4.6.1). */
  sessionTimeout?: number | undefined;
}

/** Most wanted first (docs/defaults.md). */
const CLASSICAL_GROUPS: readonly number[] = [NamedGroup.x25519, NamedGroup.secp256r1, NamedGroup.secp384r1];
/** ML-KEM in JavaScript takes milliseconds, so there it has to be asked for. */
function defaultGroups(): readonly number[] {
  return hasNativeMlKem() ? [NamedGroup.x25519mlkem768, ...CLASSICAL_GROUPS] : CLASSICAL_GROUPS;
}
/** As node:tls. */
const DEFAULT_SESSION_TIMEOUT = 300;

/**
 * Certificates, keys and choices of algorithms, parsed and checked once for any number of sockets.
 * Made by `createSecureContext`.
 */
export class SecureContext {
  readonly identities: readonly Identity[];
  #byName: NameMap<readonly Identity[]> | undefined;
  /** Of TLS 1.3; none when it is off. */
  readonly suites: readonly Suite[];
  /** `undefined` when TLS 1.2 is off, and what is older. */
  readonly tls12: Tls12Config | undefined;
  readonly legacy: readonly Legacy[];
  /** NamedGroup values. */
  readonly groups: readonly number[];
  /** SignatureScheme values. */
  readonly schemes: readonly number[];
  /** Seconds. */
  readonly sessionTimeout: number;
  /** The anchors come from the option `ca`. */
  readonly hasOwnTrust: boolean;
  readonly crls: readonly Crl[];
  /** SubjectPublicKeyInfo that peers may show in place of certificates. */
  readonly trustedPublicKeys: readonly Uint8Array[];
  #trust: TrustStore | undefined;
  #ticketKeys: TicketKeys | undefined;
  #earlyDataGuard: EarlyDataGuard | undefined;
  #sessions: SessionStore | undefined;

  /** @throws ConnectionError ERR_TLS_OPTION that names the option and what to do */
  constructor(options: SecureContextOptions = {}) {
    requireSupported(options);
    const { suites, tls12, legacy } = chooseVersions(options);
    this.suites = suites;
    this.legacy = legacy;
    this.tls12 = tls12;
    this.groups = parseGroups(options.ecdhCurve) ?? defaultGroups();
    this.schemes = parseSignatureSchemes(options.sigalgs) ?? SCHEMES.map(({ id }) => id);
    requireInteger('sessionTimeout', options.sessionTimeout, 0, MAX_TICKET_LIFETIME);
    this.sessionTimeout = options.sessionTimeout ?? DEFAULT_SESSION_TIMEOUT;
    this.identities = readIdentities(options);
    this.crls = explain('crl', () =>
      listOf(options.crl)
        .flatMap((input) => readPem(input, 'X509 CRL'))
        .map(Crl.parse),
    );
    this.trustedPublicKeys = explain('trustedPublicKeys', () =>
      listOf(options.trustedPublicKeys)
        .flatMap((input) => readPem(input, 'PUBLIC KEY'))
        .map((spki) => importPublicKey(nodeCrypto, spki).spki),
    );
    const ca = listOf(options.ca);
    this.hasOwnTrust = ca.length > 0;
    if (this.hasOwnTrust) this.#trust = readTrust(ca);
    this.#sessions = options.sessionStore;
    if (options.ticketKeys !== undefined) this.#ticketKeys = new TicketKeys(options.ticketKeys);
  }

  /** Those whose certificate is for this name, or all of them when none is. */
  identitiesFor(serverName: string): readonly Identity[] {
    if (this.identities.length < 2) return this.identities;
    this.#byName ??= indexByName(this.identities);
    return this.#byName.find(serverName) ?? this.identities;
  }

  /** Trust anchors; Node's own are read when a handshake first needs them. */
  get trust(): TrustStore {
    this.#trust ??= defaultTrust();
    return this.#trust;
  }

  /** Random unless given; made when a server first needs them. */
  get ticketKeys(): TicketKeys {
    this.#ticketKeys ??= TicketKeys.random(nodeCrypto);
    return this.#ticketKeys;
  }

  /** Sessions of TLS 1.2 without tickets; in this process unless given. */
  get sessions(): SessionStore {
    this.#sessions ??= new MemorySessionStore();
    return this.#sessions;
  }

  /** Notices replays of early data under these ticket keys. */
  get earlyDataGuard(): EarlyDataGuard {
    this.#earlyDataGuard ??= new EarlyDataGuard(Date.now());
    return this.#earlyDataGuard;
  }

  set earlyDataGuard(guard: EarlyDataGuard) {
    this.#earlyDataGuard = guard;
  }

  set ticketKeys(keys: TicketKeys) {
    this.#ticketKeys = keys;
  }
}

/** What is spoken within the range of versions and the list of ciphers. */
function chooseVersions(options: SecureContextOptions): {
  readonly suites: readonly Suite[];
  readonly tls12: Tls12Config | undefined;
  readonly legacy: readonly Legacy[];
} {
  const legacy = parseLegacy(options.legacy);
  const { min, max } = parseVersions(options.minVersion, options.maxVersion, legacy);
  const chosen = parseCiphers(options.ciphers, legacy);
  const suites = max >= ProtocolVersion.tls13 ? chosen.suites : [];
  const newest = Math.min(max, ProtocolVersion.tls12);
  const oldSuites = chosen.suites12.filter(newest < ProtocolVersion.tls12 ? existsBeforeTls12 : () => true);
  const suites12 = min <= ProtocolVersion.tls12 ? oldSuites : [];
  if (suites.length + suites12.length === 0) {
    throw optionError('ciphers', `'${options.ciphers}' names no suite for the versions that are allowed`);
  }
  const { requireExtendedMasterSecret = true, requireSecureRenegotiation } = options;
  return {
    suites,
    tls12:
      suites12.length === 0
        ? undefined
        : { suites: suites12, requireExtendedMasterSecret, requireSecureRenegotiation, newest },
    legacy: legacy.filter((item) => !isBelow(item, min)),
  };
}

function isBelow(item: Legacy, min: number): boolean {
  return LEGACY_VERSION[item] !== undefined && LEGACY_VERSION[item] < min;
}

/** @throws ConnectionError ERR_TLS_OPTION that names the option and what to do */
export function createSecureContext(options: SecureContextOptions = {}): SecureContext {
  return new SecureContext(options);
}

/** Options that bring a context, or what one is made of. */
export interface ContextOptions extends SecureContextOptions {
  /** Made by `createSecureContext`; else one is made of the options beside it. */
  secureContext?: SecureContext | undefined;
}

/** @throws ConnectionError ERR_TLS_OPTION */
export function contextOf(options: ContextOptions): SecureContext {
  const { secureContext } = options;
  if (secureContext === undefined) return createSecureContext(options);
  // JavaScript may bring node:tls's own context, which holds nothing that can be read.
  if (secureContext instanceof SecureContext) return secureContext;
  throw optionError('secureContext', 'it must be made by createSecureContext of trellis, not of node:tls');
}

let nodeRoots: TrustStore | undefined;

/** `tls.rootCertificates`, one store for the process: it is large and remembers verified signatures. */
function defaultTrust(): TrustStore {
  // Not imported: the list is decoded as soon as it is named in an import, and most programs bring their own anchors.
  nodeRoots ??= new TrustStore(
    process
      .getBuiltinModule('node:tls')
      .rootCertificates.flatMap((pem) => decodePemBlocks(pem, 'CERTIFICATE'))
      .map((der) => Certificate.parse(der)),
  );
  return nodeRoots;
}

function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value as T];
}

/** So many different sets of anchors are kept; a program has one or a few, a set has a few KiB to half a MiB. */
const KEPT_TRUST_STORES = 8;
const trustStores = new Map<string, TrustStore>();

/**
 * A store for these anchors. Programs give `ca` anew with each connection; the same anchors then find the same store,
 * which need not be parsed again and remembers the signatures that it has verified.
 */
function readTrust(inputs: readonly CertificateInput[]): TrustStore {
  // Lengths go in too: two ways to cut the same bytes must not meet.
  const bytes = inputs.map((input) => (typeof input === 'string' ? Buffer.from(input) : input));
  const lengths = Buffer.from(bytes.map(({ length }) => length).join());
  const key = Buffer.from(nodeCrypto.digest('sha256', Buffer.concat([lengths, ...bytes]))).toString('latin1');
  let store = trustStores.get(key);
  trustStores.delete(key);
  store ??= explain(
    'ca',
    () => new TrustStore(inputs.flatMap(readCertificates).map((der) => Certificate.parse(der))),
  );
  // In order of last use, oldest first.
  trustStores.set(key, store);
  const [oldest] = trustStores.keys();
  if (trustStores.size > KEPT_TRUST_STORES && oldest !== undefined) trustStores.delete(oldest);
  return store;
}

const PEM_START = '-----BEGIN ';

/** DER certificates of one input, in order. */
function readCertificates(input: CertificateInput): Uint8Array[] {
  return readPem(input, 'CERTIFICATE');
}

function readPem(input: CertificateInput, label: string): Uint8Array[] {
  if (typeof input === 'string') return decodePemBlocks(input, label);
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  return bytes.includes(PEM_START) ? decodePemBlocks(bytes.toString('latin1'), label) : [bytes];
}

/** Chains with their keys, the key of each checked where it can be. */
function readIdentities(options: SecureContextOptions): Identity[] {
  const { cert, key, passphrase, staple, rawPublicKey, mustMatchIssuer } = options;
  const chains = explain('cert', () =>
    listOf(cert).map((input) => {
      const chain = readCertificates(input);
      for (const der of chain) Certificate.parse(der);
      return chain;
    }),
  );
  const keys = listOf(key).map((input) => readKey(input, passphrase));
  if (chains.length > 0 && keys.length === 0) {
    throw optionError(
      'key',
      'the option cert is given without it; give the private key of the certificate too',
    );
  }
  if (chains.length === 0 && rawPublicKey === true) return keys.map(rawIdentity);
  if (keys.length > 0 && chains.length === 0) {
    throw optionError(
      'cert',
      'the option key is given without it; give the certificate of the private key too',
    );
  }
  const staples = listOf(staple);
  if (staples.length > chains.length)
    throw optionError('staple', 'there are more of them than certificate chains');
  for (const { scts } of staples) if (scts !== undefined) checkTimestamps(scts);
  const bySpki = new Map(keys.flatMap((k) => ('belongsTo' in k ? [[latin1(k.publicKey.spki), k]] : [])));
  return chains.map((chain, index) => {
    const certificate = chain[0] as Uint8Array;
    const { spki } = Certificate.parse(certificate);
    const own = bySpki.get(latin1(spki)) ?? keyFor(certificate, index, keys);
    const issuers = chain.map((der) => Certificate.parse(der).issuer.raw);
    const raw = rawPublicKey === true ? { spki } : {};
    return {
      chain,
      key: own,
      ...raw,
      issuers,
      mustMatchIssuer: mustMatchIssuer === true,
      ocspResponse: staples[index]?.ocsp,
      scts: staples[index]?.scts,
    };
  });
}

/**
 * `SerializedSCT sct_list<1..2^16-1>`, each `opaque SerializedSCT<1..2^16-1>` (RFC 6962 §3.3), as the body of an extension,
 * which is no longer than 2^16-1 with the length before the list.
 * @throws ConnectionError ERR_TLS_OPTION for what cannot be sent
 */
function checkTimestamps(scts: readonly Uint8Array[]): void {
  if (scts.length === 0)
    throw optionError('staple', 'scts is empty; give at least one timestamp, or leave it out');
  let length = 0;
  for (const sct of scts) {
    if (!(sct instanceof Uint8Array) || sct.length === 0)
      throw optionError(
        'staple',
        'scts must be bytes of SerializedSCT, none of them empty; leave out what is no timestamp',
      );
    length += 2 + sct.length;
  }
  if (length > MAX_TIMESTAMPS)
    throw optionError('staple', `scts take ${length} bytes, above ${MAX_TIMESTAMPS}; give fewer`);
}

/** Bytes of a list of timestamps in an extension. */
const MAX_TIMESTAMPS = 0xffff - 2;

/** @throws ConnectionError ERR_TLS_OPTION for a key elsewhere, whose public half is not known */
function rawIdentity(key: ImportedKey | SigningKey): Identity {
  if (!('belongsTo' in key))
    throw optionError(
      'rawPublicKey',
      'a key that signs elsewhere needs cert beside it, to say which key it is',
    );
  return { chain: [], key, spki: key.publicKey.spki };
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

/** Every DNS name of every end entity; of several certificates with one name, all, in the order given. */
function indexByName(identities: readonly Identity[]): NameMap<readonly Identity[]> {
  const byName = new Map<string, Identity[]>();
  for (const identity of identities) {
    const [leaf] = identity.chain;
    const names = leaf === undefined ? [] : Certificate.parse(leaf).subjectAltNames;
    for (const name of names) {
      if (name.kind !== 'dns') continue;
      const key = name.name.toLowerCase();
      const others = byName.get(key);
      if (others === undefined) byName.set(key, [identity]);
      else if (!others.includes(identity)) others.push(identity);
    }
  }
  const index = new NameMap<readonly Identity[]>();
  // The most exact name counts, so exact ones come last.
  const entries = [...byName].sort(([a], [b]) => Number(b.includes('*')) - Number(a.includes('*')));
  for (const [name, list] of entries) index.add(name, list);
  return index;
}

function keyFor(
  certificate: Uint8Array,
  index: number,
  keys: readonly (ImportedKey | SigningKey)[],
): SigningKey {
  const own = keys.find((key) => 'belongsTo' in key && key.belongsTo(certificate));
  const elsewhere = keys[index];
  if (own !== undefined) return own;
  if (elsewhere !== undefined && !('belongsTo' in elsewhere)) return elsewhere;
  const { subject } = Certificate.parse(certificate);
  throw optionError(
    'key',
    `${keys.length === 1 ? 'the private key does not belong' : 'none of the private keys belongs'} to the certificate ` +
      `'${subject}'; give the key it was made for, and in cert the end entity's certificate first`,
  );
}

function readKey(input: KeyInput, passphrase: string | undefined): ImportedKey | SigningKey {
  if (typeof input === 'string' || input instanceof Uint8Array || isKeyObject(input)) {
    return importPrivateKey(input, passphrase);
  }
  if ('pem' in input) return importPrivateKey(input.pem, input.passphrase ?? passphrase);
  if (typeof input.sign === 'function' && Array.isArray(input.schemes)) return input;
  throw optionError(
    'key',
    'give PEM text, PEM or DER bytes, a KeyObject, or an object with `schemes` and `sign`',
  );
}

function explain<T>(option: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof TrellisError)) throw error;
    throw optionError(option, error.message, error);
  }
}
