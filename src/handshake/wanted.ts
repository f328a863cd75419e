import type { DecryptingKey, SigningKey } from '../crypto/provider.ts';

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
