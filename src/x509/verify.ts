import type { CryptoProvider, HashName, PublicKey } from '../crypto/provider.ts';
import { CertificateError } from '../errors/errors.ts';
import { Certificate } from './certificate.ts';
import { checkServerName, type ReferenceName } from './names.ts';
import { PathSearch, type Purpose } from './path.ts';
import { importAnyPublicKey, importPublicKey } from './public-key.ts';
import type { VerifiedRawKey } from './raw-key.ts';
import type { TrustStore } from './trust-store.ts';
import type { VerificationCache } from './verification-cache.ts';

/** Certificates that a peer may send. Public servers send 2 to 4; cross-signed bridges of some size need more. */
export const MAX_CHAIN_CERTIFICATES = 32;

/** Who the peer is. Only `verifyPeer`, `verifyFingerprint` and `verifyRawKey` make one that is `authorized`; the handshake takes nothing else. */
export type PeerIdentity = VerifiedPeer | VerifiedRawKey | UnverifiedPeer;

export interface VerifyOptions {
  /** What the peer is: `server` is checked for serverAuth, `client` for clientAuth, `signer` for a key that may sign data. */
  readonly purpose: Purpose;
  readonly trust: TrustStore;
  /** Unix milliseconds. */
  readonly now: number;
  /** Whom the certificate must name; without it no name is checked, which is right for clients. */
  readonly name?: ReferenceName | undefined;
  /** The `signature_algorithms_cert` that were offered (RFC 8446 §4.2.3); default: everything that the policy takes. */
  readonly allowedSchemes?: readonly number[] | undefined;
  /** What the key does in the handshake: sign, unless it says `encipherment` (RFC 5246 §7.4.2). */
  readonly keyUse?: 'encipherment' | undefined;
}

/** Not exported: who cannot name it cannot construct a `VerifiedPeer`. */
const PROVEN = Symbol('proven');

/** Proof that a certificate path has been validated. Only `verifyPeer` and `verifyFingerprint` make one. */
export class VerifiedPeer {
  readonly authorized = true;
  readonly authorizationError = undefined;
  readonly leaf: Certificate;
  /** End entity first, trust anchor last. */
  readonly path: readonly Certificate[];
  readonly publicKey: PublicKey;
  /** The name that the leaf was found to have; undefined when none was asked for. */
  readonly name: ReferenceName | undefined;
  /** Makes the type nominal: no other object has this field, whatever its shape. */
  readonly #proof: typeof PROVEN;

  constructor(
    proof: typeof PROVEN,
    path: readonly Certificate[],
    publicKey: PublicKey,
    name: ReferenceName | undefined,
  ) {
    if (proof !== PROVEN) throw new TypeError('A VerifiedPeer comes from verifyPeer or verifyFingerprint');
    this.#proof = proof;
    this.leaf = path[0] as Certificate;
    this.path = Object.freeze([...path]);
    this.publicKey = publicKey;
    this.name = name;
  }

  static is(value: object): value is VerifiedPeer {
    return #proof in value && value.#proof === PROVEN;
  }

  /** DER, end entity first, without the trust anchor: enough to judge this peer again when a session is resumed. */
  get chain(): readonly Uint8Array[] {
    const sent = this.path.length > 1 ? this.path.slice(0, -1) : this.path;
    return sent.map(({ raw }) => raw);
  }
}

/**
 * A peer whose key is known and nothing else: its certificate was not accepted, and someone goes on all the same.
 * It proves nothing, so anyone may make one; a raw public key that is not pinned is such a peer too.
 */
export class UnverifiedPeer {
  readonly authorized = false;
  readonly authorizationError: CertificateError;
  /** DER, as sent and as far as it could be parsed, end entity first. */
  readonly chain: readonly Uint8Array[];
  readonly publicKey: PublicKey;
  /** The same certificates, parsed; empty for a bare key. */
  readonly path: readonly Certificate[];

  constructor(
    chain: readonly Uint8Array[],
    publicKey: PublicKey,
    error: CertificateError,
    path: readonly Certificate[] = [],
  ) {
    this.chain = chain;
    this.publicKey = publicKey;
    this.authorizationError = error;
    this.path = path;
  }
}

/**
 * Validates a peer's certificates (RFC 5280 §6.1, RFC 8446 §4.4.2, RFC 9525) as `docs/x509.md` describes.
 *
 * @param chain DER certificates as received: the end entity first, the others in any order
 * @throws CertificateError with the code that `node:tls` would give, and the depth in the path that it concerns
 */
export function verifyPeer(
  crypto: CryptoProvider,
  chain: readonly Uint8Array[],
  options: VerifyOptions,
): VerifiedPeer {
  if (chain.length > MAX_CHAIN_CERTIFICATES) {
    throw new CertificateError(
      'CERT_CHAIN_TOO_LONG',
      `The peer sent ${chain.length} certificates, at most ${MAX_CHAIN_CERTIFICATES} are looked at`,
    );
  }
  const cache = options.trust.cacheFor(crypto);
  const leaf = readLeaf(chain, cache);
  const { intermediates, malformed } = readIntermediates(chain, leaf, cache);
  const { purpose, trust, now, name, allowedSchemes, keyUse } = options;
  const rules = { purpose, now, allowedSchemes, keyUse };
  let path: readonly Certificate[];
  try {
    path = new PathSearch(crypto, trust, cache, intermediates, rules).find(leaf);
  } catch (error) {
    throw explain(error, malformed);
  }
  const publicKey = cache.publicKey(leaf);
  if (name !== undefined) checkServerName(leaf, name);
  cache.remember(path);
  return new VerifiedPeer(PROVEN, path, publicKey, name);
}

/** Of a whole certificate, as SDP carries it (RFC 8122 §5). */
export interface Fingerprint {
  readonly hash: HashName;
  readonly value: Uint8Array;
}

/**
 * Is the peer's certificate one of these? They came from somebody who is trusted to say so, as in WebRTC (RFC 8827 §6.5), and
 * nothing else vouches for it: its issuer, its names and its dates mean nothing.
 *
 * @param chain as for `verifyPeer`; only the end entity is looked at
 * @param fingerprints one or more. Of several hash functions only the strongest counts (RFC 8122 §5.1)
 * @throws CertificateError ERR_TLS_BAD_CERTIFICATE for a certificate that is none of them (RFC 8122 §6.2), CERT_MALFORMED,
 *   WEAK_KEY
 */
export function verifyFingerprint(
  crypto: CryptoProvider,
  chain: readonly Uint8Array[],
  fingerprints: readonly Fingerprint[],
): VerifiedPeer {
  const leaf = Certificate.parse(first(chain));
  const strongest = FINGERPRINT_HASHES.find((hash) => fingerprints.some((known) => known.hash === hash));
  const same = fingerprints.some(
    ({ hash, value }) => hash === strongest && crypto.equal(value, crypto.digest(hash, leaf.raw)),
  );
  if (!same) {
    throw new CertificateError(
      'ERR_TLS_BAD_CERTIFICATE',
      "The peer's certificate has none of the fingerprints that were given; somebody else may be in between",
    );
  }
  leaf.checkWellFormed();
  return new VerifiedPeer(PROVEN, [leaf], importPublicKey(crypto, leaf.spki), undefined);
}

/** Strongest first. */
const FINGERPRINT_HASHES: readonly HashName[] = ['sha512', 'sha384', 'sha256'];

/**
 * Dangerous: makes a peer out of certificates that `verifyPeer` refused, for `rejectUnauthorized: false`. The
 * handshake will show that the peer has the key, and nothing shows whose key it is.
 *
 * @param chain as for `verifyPeer`
 * @param error why they were refused
 * @throws CertificateError CERT_MALFORMED, UNSUPPORTED_SIGNATURE_ALGORITHM when the end entity has no usable key
 */
export function acceptUnverified(
  crypto: CryptoProvider,
  chain: readonly Uint8Array[],
  error: CertificateError,
): UnverifiedPeer {
  const leaf = Certificate.parse(first(chain));
  leaf.checkWellFormed();
  const path = [leaf];
  for (const der of chain.slice(1, MAX_CHAIN_CERTIFICATES)) {
    const { certificate } = tryRead(() => Certificate.parse(der));
    if (certificate !== undefined) path.push(certificate);
  }
  const key = importAnyPublicKey(crypto, leaf.spki);
  return new UnverifiedPeer(
    path.map(({ raw }) => raw),
    key,
    error,
    path,
  );
}

function first(chain: readonly Uint8Array[]): Uint8Array {
  const der = chain[0];
  if (der === undefined)
    throw new CertificateError('ERR_TLS_CERTIFICATE_REQUIRED', 'The peer sent no certificate');
  return der;
}

function readLeaf(chain: readonly Uint8Array[], cache: VerificationCache): Certificate {
  const leaf = cache.certificate(first(chain));
  leaf.checkWellFormed();
  return leaf;
}

/**
 * Certificates beside the end entity are offers: one that cannot be read is left out, and is only told of when no
 * path is found without it.
 */
function readIntermediates(
  chain: readonly Uint8Array[],
  leaf: Certificate,
  cache: VerificationCache,
): { intermediates: Certificate[]; malformed: CertificateError | undefined } {
  const intermediates: Certificate[] = [];
  let malformed: CertificateError | undefined;
  for (let i = 1; i < chain.length; i++) {
    const { certificate, error } = tryRead(() => cache.certificate(chain[i] as Uint8Array));
    if (certificate === undefined) {
      malformed ??=
        error && new CertificateError(error.code, `Certificate ${i + 1} of the chain: ${error.message}`, i);
      continue;
    }
    const known = certificate.equals(leaf) || intermediates.some((other) => other.equals(certificate));
    if (!known) intermediates.push(certificate);
  }
  return { intermediates, malformed };
}

function tryRead(read: () => Certificate): { certificate?: Certificate; error?: CertificateError } {
  try {
    const certificate = read();
    certificate.checkWellFormed();
    return { certificate };
  } catch (error) {
    if (error instanceof CertificateError) return { error };
    throw error;
  }
}

/** A missing issuer may be the certificate that could not be read. */
function explain(error: unknown, malformed: CertificateError | undefined): unknown {
  const isMissingIssuer =
    error instanceof CertificateError &&
    (error.code === 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' || error.code === 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY');
  return isMissingIssuer && malformed !== undefined ? malformed : error;
}
