import type { CryptoProvider, PublicKey } from '../crypto/provider.ts';
import { equalBytes } from '../der/bytes.ts';
import { Certificate } from './certificate.ts';
import { importPublicKey } from './public-key.ts';

/** Enough for every server and intermediate that a busy client meets, at 2 to 3 KiB each. */
const MAX_CERTIFICATES = 1024;
/** Larger ones are not kept, so that the whole stays below 8 MiB. */
const MAX_CACHED_BYTES = 8192;
/** A certificate has one issuer key; cross-certification of one key may give it a few certificates, not keys. */
const MAX_ISSUER_KEYS = 4;
/** Bytes at the end of a certificate, inside its signature, that choose its place. */
const TAIL = 16;

/**
 * What successful verifications have shown, so that the next handshake with the same certificates need not ask a
 * public key again: parsed certificates, imported keys, and "this key has signed this certificate". Nothing else is
 * kept: validity, names and all other rules are judged anew each time. Certificates are recognised by all of their
 * bytes. Only certificates of verified paths enter, so a peer without one cannot push others out.
 */
export class VerificationCache {
  readonly #crypto: CryptoProvider;
  /** In order of last use. */
  readonly #certificates = new Map<number, Certificate>();
  readonly #keys = new WeakMap<Certificate, PublicKey>();
  readonly #issuerKeys = new WeakMap<Certificate, readonly Uint8Array[]>();
  /** Recognised as well: peers send their root, or are anchors themselves. */
  readonly #anchors: ReadonlyMap<number, Certificate>;

  constructor(crypto: CryptoProvider, anchors: readonly Certificate[]) {
    this.#crypto = crypto;
    this.#anchors = new Map(anchors.map((anchor) => [placeOf(anchor.raw), anchor]));
  }

  /** Certificates kept beside the anchors. */
  get size(): number {
    return this.#certificates.size;
  }

  /** The certificate that is kept for these bytes, or a new one. @throws CertificateError CERT_MALFORMED */
  certificate(der: Uint8Array): Certificate {
    const place = placeOf(der);
    const known = this.#certificates.get(place);
    if (known !== undefined && equalBytes(known.raw, der)) {
      this.#certificates.delete(place);
      this.#certificates.set(place, known);
      return known;
    }
    const anchor = this.#anchors.get(place);
    return anchor !== undefined && equalBytes(anchor.raw, der) ? anchor : Certificate.parse(der);
  }

  /** @throws CertificateError CERT_MALFORMED, UNSUPPORTED_SIGNATURE_ALGORITHM, WEAK_KEY */
  publicKey(certificate: Certificate): PublicKey {
    let key = this.#keys.get(certificate);
    if (key === undefined) {
      key = importPublicKey(this.#crypto, certificate.spki);
      this.#keys.set(certificate, key);
    }
    return key;
  }

  /** Has the signature on `certificate` been verified with the key of `issuer` before? */
  isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
    const keys = this.#issuerKeys.get(certificate);
    return keys?.some((spki) => equalBytes(spki, issuer.spki)) ?? false;
  }

  /** @param path a verified path, end entity first, trust anchor last */
  remember(path: readonly Certificate[]): void {
    for (const [index, certificate] of path.entries()) {
      const issuer = path[index + 1];
      if (issuer === undefined || certificate.raw.length > MAX_CACHED_BYTES) continue;
      const place = placeOf(certificate.raw);
      if (this.#certificates.get(place) !== certificate) this.#insert(place, certificate);
      if (this.isSignedBy(certificate, issuer)) continue;
      const keys = this.#issuerKeys.get(certificate) ?? [];
      this.#issuerKeys.set(certificate, [issuer.spki, ...keys].slice(0, MAX_ISSUER_KEYS));
    }
  }

  #insert(place: number, certificate: Certificate): void {
    this.#certificates.delete(place);
    if (this.#certificates.size >= MAX_CERTIFICATES) {
      const oldest = this.#certificates.keys().next();
      if (oldest.done !== true) this.#certificates.delete(oldest.value);
    }
    this.#certificates.set(place, certificate);
  }
}

/** Need not be strong: whoever finds two certificates with one place makes them take turns in it, no more. */
function placeOf(der: Uint8Array): number {
  let hash = der.length;
  for (let i = Math.max(0, der.length - TAIL); i < der.length; i++) {
    hash = (Math.imul(hash, 0x0100_0193) ^ (der[i] as number)) | 0;
  }
  return hash;
}
