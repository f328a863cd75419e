import type { CryptoProvider, PublicKey } from '../crypto/provider.ts';
import { equalBytes } from '../der/bytes.ts';
import { CertificateError } from '../errors/errors.ts';
import type { Certificate } from './certificate.ts';
import { importAnyPublicKey, importPublicKey } from './public-key.ts';

/** Longer than the SubjectPublicKeyInfo of RSA with 8,192 bits. */
const MAX_SPKI = 4096;

/** Not exported: who cannot name it cannot construct a `VerifiedRawKey`. */
const PROVEN = Symbol('proven');

const NOTHING: readonly never[] = [];

/** Proof that a raw public key (RFC 7250) is one of those that were given beforehand. Only `verifyRawKey` makes one. */
export class VerifiedRawKey {
  readonly authorized = true;
  readonly authorizationError = undefined;
  /** There is no certificate. */
  readonly path: readonly Certificate[] = NOTHING;
  readonly chain: readonly Uint8Array[] = NOTHING;
  readonly publicKey: PublicKey;
  /** Makes the type nominal. */
  readonly #proof: typeof PROVEN;

  constructor(proof: typeof PROVEN, publicKey: PublicKey) {
    if (proof !== PROVEN) throw new TypeError('A VerifiedRawKey comes from verifyRawKey');
    this.#proof = proof;
    void this.#proof;
    this.publicKey = publicKey;
  }
}

/**
 * Is a peer's raw public key one of these? Nothing else vouches for it (RFC 7250 §6).
 * @param spki SubjectPublicKeyInfo, as the peer sent it
 * @param trusted the same, DER
 * @throws CertificateError CERT_REJECTED for a key that is none of them, CERT_MALFORMED, WEAK_KEY
 */
export function verifyRawKey(
  crypto: CryptoProvider,
  spki: Uint8Array,
  trusted: readonly Uint8Array[],
): VerifiedRawKey {
  requireLength(spki);
  if (!trusted.some((known) => equalBytes(known, spki))) {
    // What cannot be read has a fault of its own.
    importAnyPublicKey(crypto, spki);
    throw new CertificateError(
      'CERT_REJECTED',
      "The peer's raw public key is none of those that are trusted; add it to trustedPublicKeys if it should be",
    );
  }
  return new VerifiedRawKey(PROVEN, importPublicKey(crypto, new Uint8Array(spki)));
}

/** Dangerous: the key of whoever has it, for `rejectUnauthorized: false`. @throws CertificateError CERT_MALFORMED */
export function importRawKey(crypto: CryptoProvider, spki: Uint8Array): PublicKey {
  requireLength(spki);
  return importAnyPublicKey(crypto, new Uint8Array(spki));
}

function requireLength(spki: Uint8Array): void {
  if (spki.length <= MAX_SPKI) return;
  throw new CertificateError(
    'CERT_MALFORMED',
    `A raw public key of ${spki.length} bytes, at most ${MAX_SPKI}`,
  );
}
