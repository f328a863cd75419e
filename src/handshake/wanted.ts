import type { DecryptingKey, SigningKey } from '../crypto/provider.ts';
import type { CertificateWishes, IdentitySource } from './config.ts';

/** Work that only the outside can do: sign with a key that the engine never sees. */
export interface SignatureWanted {
  readonly kind: 'signature';
  readonly key: SigningKey;
  readonly scheme: number;
  /** The bytes to sign, not a digest of them. */
  readonly input: Uint8Array;
}

/**
 * Work that only the outside can do: RSA with a private key that the engine never sees, `SigningKey.decrypt`. Whoever made the
 * ciphertext must learn nothing from the answer, nor from the time that it takes (RFC 5246 §7.4.7.1).
 */
export interface DecryptionWanted {
  readonly kind: 'decryption';
  readonly key: DecryptingKey;
  readonly ciphertext: Uint8Array;
}

/**
 * Work that only the outside can do: find the certificates for the name that a client asks for, or at a client, those for
 * the request of this server. Answered by `source.select(serverName, wishes)`.
 */
export interface IdentitiesWanted {
  readonly kind: 'identities';
  readonly serverName: string | undefined;
  readonly wishes: CertificateWishes;
  readonly source: IdentitySource;
}
