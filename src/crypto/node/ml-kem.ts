import crypto, { type KeyObject } from 'node:crypto';
import { createRequire } from 'node:module';

/** FIPS 203, table 3, ML-KEM-768. */
export const ENCAPSULATION_KEY_LENGTH = 1184;
export const CIPHERTEXT_LENGTH = 1088;

/** ML-KEM-768 by whoever has it. Lengths are checked by the caller. */
interface MlKem {
  generate(): MlKemKey;
  /** @throws when the encapsulation key fails the modulus check of FIPS 203 §7.2 */
  encapsulate(key: Uint8Array): { readonly ciphertext: Uint8Array; readonly secret: Uint8Array };
}

interface MlKemKey {
  readonly encapsulationKey: Uint8Array;
  /** A ciphertext that was not made for this key gives a secret that nobody has (§6.3): it does not throw. */
  decapsulate(ciphertext: Uint8Array): Uint8Array;
}

/** node:crypto has ML-KEM (Node 24.7 and newer, on OpenSSL 3.5). */
export function hasNativeMlKem(): boolean {
  nativeFound ??= probe();
  return nativeFound;
}

/** node:crypto where it has ML-KEM, else @noble/post-quantum, loaded when it is first needed. */
export function mlKem768(): MlKem {
  chosen ??= hasNativeMlKem() ? nativeMlKem768 : nobleMlKem768();
  return chosen;
}

let nativeFound: boolean | undefined;
let chosen: MlKem | undefined;

/** What is used of newer versions of node:crypto; the types of Node 20 do not have it. */
interface CryptoWithKem {
  encapsulate?(key: KeyObject): { readonly sharedKey: Buffer; readonly ciphertext: Buffer };
  decapsulate?(key: KeyObject, ciphertext: Uint8Array): Buffer;
  generateKeyPairSync(
    type: string,
    options?: { publicKeyEncoding: { type: 'spki'; format: 'der' } },
  ): { readonly publicKey: Buffer; readonly privateKey: KeyObject };
}
const kem = crypto as unknown as Required<CryptoWithKem>;

function probe(): boolean {
  if (typeof (crypto as unknown as CryptoWithKem).encapsulate !== 'function') return false;
  try {
    // Node may have been built with another OpenSSL, which lacks the algorithm.
    kem.generateKeyPairSync('ml-kem-768');
    return true;
  } catch {
    return false;
  }
}

/** SubjectPublicKeyInfo up to the key itself: id-alg-ml-kem-768 is 2.16.840.1.101.3.4.4.2, without parameters. */
const SPKI_PREFIX = Buffer.from('308204b2300b0609608648016503040402038204a100', 'hex');

export const nativeMlKem768: MlKem = {
  generate() {
    // Encoded where it is made: see newX25519Key.
    const publicKeyEncoding = { type: 'spki', format: 'der' } as const;
    const { publicKey, privateKey } = kem.generateKeyPairSync('ml-kem-768', { publicKeyEncoding });
    return {
      encapsulationKey: publicKey.subarray(SPKI_PREFIX.length),
      decapsulate: (ciphertext) => kem.decapsulate(privateKey, ciphertext),
    };
  },
  encapsulate(key) {
    const spki = Buffer.concat([SPKI_PREFIX, key]);
    const publicKey = crypto.createPublicKey({ key: spki, format: 'der', type: 'spki' });
    const { sharedKey, ciphertext } = kem.encapsulate(publicKey);
    return { secret: sharedKey, ciphertext };
  },
};

/** Not an import: it takes some 50 ms to load, and only key exchanges with ML-KEM need it. */
export function nobleMlKem768(): MlKem {
  const require = createRequire(import.meta.url);
  const { ml_kem768 } = require('@noble/post-quantum/ml-kem.js') as Noble;
  return {
    generate() {
      const { publicKey, secretKey } = ml_kem768.keygen();
      return {
        encapsulationKey: publicKey,
        decapsulate: (ciphertext) => ml_kem768.decapsulate(ciphertext, secretKey),
      };
    },
    encapsulate(key) {
      const { cipherText, sharedSecret } = ml_kem768.encapsulate(key);
      return { ciphertext: cipherText, secret: sharedSecret };
    },
  };
}

type Noble = typeof import('@noble/post-quantum/ml-kem.js');
