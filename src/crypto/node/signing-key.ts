import crypto, { type KeyObject } from 'node:crypto';
import { TrellisError } from '../../errors/errors.ts';
import type { PublicKey, SigningKey } from '../provider.ts';
import {
  canSignWith,
  LEGACY_SCHEMES,
  SCHEMES,
  type Scheme,
  schemeById,
  schemesOfOtherCurves,
} from '../schemes.ts';
import { hashOf, signatureOptions } from './provider.ts';
import { importSpki } from './public-key.ts';

/** A SigningKey that signs at once with a private key in this process. */
export class KeyObjectSigningKey implements SigningKey {
  readonly schemes: readonly number[];
  readonly schemes12: readonly number[];
  readonly legacySchemes: readonly number[];
  /** RSA keys have it. */
  readonly decrypt?: (ciphertext: Uint8Array) => Uint8Array;
  readonly publicKey: PublicKey;
  readonly #key: KeyObject;

  /** @throws TrellisError ERR_TLS_OPTION when no TLS 1.3 scheme fits this kind of key */
  constructor(privateKey: KeyObject) {
    this.#key = privateKey;
    this.publicKey = importSpki(crypto.createPublicKey(privateKey).export({ type: 'spki', format: 'der' }));
    this.schemes = SCHEMES.filter((s) => this.#canSign(s)).map((s) => s.id);
    this.schemes12 = schemesOfOtherCurves(this.publicKey);
    this.legacySchemes = LEGACY_SCHEMES.filter((s) => s.keyKind === this.publicKey.kind).map((s) => s.id);
    if (this.publicKey.kind === 'rsa') this.decrypt = decryptor(privateKey, this.publicKey.modulusBits);
    if (this.schemes.length === 0) {
      throw new TrellisError(
        'ERR_TLS_OPTION',
        `A ${privateKey.asymmetricKeyType} key cannot sign a TLS 1.3 handshake; use RSA, P-256, P-384, P-521 or Ed25519`,
      );
    }
  }

  sign(scheme: number, data: Uint8Array): Uint8Array {
    const legacy = LEGACY_SCHEMES.find(({ id }) => id === scheme);
    const { algorithm } = legacy ?? (schemeById(scheme) as Scheme);
    return crypto.sign(hashOf(algorithm), data, { key: this.#key, ...signatureOptions(algorithm) });
  }

  /** An id-RSASSA-PSS key may be bound to one hash (RFC 8017 §A.2.3). */
  #canSign(scheme: Scheme): boolean {
    if (!canSignWith(scheme, this.publicKey)) return false;
    const bound = this.#key.asymmetricKeyDetails?.hashAlgorithm;
    return bound === undefined || (scheme.algorithm.kind === 'rsa-pss' && scheme.algorithm.hash === bound);
  }
}

/**
 * Raw RSA: what node:crypto's own unpadding does with a wrong padding differs from version to version, and is not for
 * servers that must not tell (RFC 5246 §7.4.7.1).
 */
function decryptor(key: KeyObject, modulusBits: number): (ciphertext: Uint8Array) => Uint8Array {
  const length = Math.ceil(modulusBits / 8);
  return (ciphertext) => {
    try {
      return crypto.privateDecrypt({ key, padding: crypto.constants.RSA_NO_PADDING }, ciphertext);
    } catch {
      // It is not below the modulus, which whoever made it knows.
      return new Uint8Array(length);
    }
  };
}
