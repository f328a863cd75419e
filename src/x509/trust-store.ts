import type { CryptoProvider } from '../crypto/provider.ts';
import type { Name } from '../der/name.ts';
import { decodePemBlocks } from '../der/pem.ts';
import { CertificateError } from '../errors/errors.ts';
import { Certificate } from './certificate.ts';
import { VerificationCache } from './verification-cache.ts';

/**
 * Trust anchors (RFC 5280 §6.1.1 (d)). An anchor is trusted for its name and key within its own limits: validity,
 * pathLenConstraint, name constraints, purposes. It need not be self-signed.
 *
 * Make one store for many handshakes: it remembers which signatures have been verified.
 */
export class TrustStore {
  readonly anchors: readonly Certificate[];
  readonly #bySubject = new Map<string, Certificate[]>();
  readonly #caches = new WeakMap<CryptoProvider, VerificationCache>();

  /** @throws CertificateError CERT_MALFORMED */
  constructor(anchors: readonly Certificate[]) {
    const unique: Certificate[] = [];
    for (const anchor of anchors) {
      anchor.checkWellFormed();
      const same = this.#bySubject.get(anchor.subject.key) ?? [];
      if (same.some((other) => other.equals(anchor))) continue;
      same.push(anchor);
      this.#bySubject.set(anchor.subject.key, same);
      unique.push(anchor);
    }
    this.anchors = unique;
  }

  /**
   * All CERTIFICATE blocks of a PEM text, as in the `ca` option of `node:tls`.
   * @throws DecodeError no block, or one that is not base64; CertificateError CERT_MALFORMED saying which block
   */
  static fromPem(pem: string): TrustStore {
    return new TrustStore(certificatesFromPem(pem));
  }

  /** Anchors whose subject is `name`, in the order given. */
  findBySubject(name: Name): readonly Certificate[] {
    return this.#bySubject.get(name.key) ?? NONE;
  }

  /** Is this very certificate an anchor? */
  includes(certificate: Certificate): boolean {
    return this.findBySubject(certificate.subject).some((anchor) => anchor.equals(certificate));
  }

  /** What earlier verifications with this provider have shown; for the verifier. */
  cacheFor(crypto: CryptoProvider): VerificationCache {
    let cache = this.#caches.get(crypto);
    if (cache === undefined) {
      cache = new VerificationCache(crypto, this.anchors);
      this.#caches.set(crypto, cache);
    }
    return cache;
  }
}

/** All CERTIFICATE blocks of a PEM text, in order. @throws as `TrustStore.fromPem` */
export function certificatesFromPem(pem: string): Certificate[] {
  return decodePemBlocks(pem, 'CERTIFICATE').map((der, index) => {
    try {
      return Certificate.parse(der);
    } catch (cause) {
      if (!(cause instanceof CertificateError)) throw cause;
      throw new CertificateError(cause.code, `CERTIFICATE block ${index + 1}: ${cause.message}`, 0, {
        cause,
      });
    }
  });
}

const NONE: readonly Certificate[] = [];
