import crypto from 'node:crypto';
import { privateKeyObject } from './import-key.ts';
import { KeyObjectSigningKey } from './signing-key.ts';

/** Kinds of key that a module can make. */
type Algorithm = 'P-256' | 'P-384' | 'Ed25519' | 'RSA-2048' | 'RSA-3072';

/** A private key of a security module in this process. */
class NodeModuleKey extends KeyObjectSigningKey {
  get spki(): Uint8Array {
    return this.publicKey.spki;
  }
}

/** Private keys of a security module, on node:crypto. */
export const nodeModuleKeys = {
  /** @returns PKCS#8, DER */
  generate(algorithm: Algorithm): Uint8Array {
    return generate(algorithm);
  },
  /** @throws ConnectionError ERR_TLS_OPTION */
  load(pkcs8: Uint8Array): NodeModuleKey {
    return new NodeModuleKey(privateKeyObject(pkcs8));
  },
};

/** PKCS#8, DER. Encoded where it is made: see newX25519Key. */
function generate(algorithm: Algorithm): Uint8Array {
  switch (algorithm) {
    case 'P-256':
    case 'P-384':
      return crypto.generateKeyPairSync('ec', {
        namedCurve: algorithm,
        publicKeyEncoding: { type: 'spki', format: 'der' },
        privateKeyEncoding: { type: 'pkcs8', format: 'der' },
      }).privateKey;
    case 'Ed25519':
      return crypto.generateKeyPairSync('ed25519', {
        publicKeyEncoding: { type: 'spki', format: 'der' },
        privateKeyEncoding: { type: 'pkcs8', format: 'der' },
      }).privateKey;
    case 'RSA-2048':
    case 'RSA-3072':
      return crypto.generateKeyPairSync('rsa', {
        modulusLength: Number(algorithm.slice(4)),
        publicKeyEncoding: { type: 'spki', format: 'der' },
        privateKeyEncoding: { type: 'pkcs8', format: 'der' },
      }).privateKey;
  }
}

/** For scrypt, RFC 7914: N = 2^15, r = 8, p = 1 takes 32 MiB and about 0.1 s. */
const SCRYPT_LOG_N = 15;
const SCRYPT_R = 8;
const SCRYPT_P = 1;
/** A header that was tampered with must not cost more than this to find out. */
const MAX_SCRYPT_LOG_N = 20;
const MAX_SCRYPT_MEMORY = 2 ** 31;
const SALT_LENGTH = 16;

/** Parameters of a new store: `uint8 log_n; uint8 r; uint8 p; opaque salt[16];`. */
export function newStoreParameters(): Uint8Array {
  return Buffer.concat([Uint8Array.of(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P), crypto.randomBytes(SALT_LENGTH)]);
}

/** The key of a store; parameters that no store has make a key that opens none. */
export function deriveStoreKey(secret: Uint8Array, parameters: Uint8Array): Uint8Array {
  const [logN = 0, r = 0, p = 0] = parameters;
  const salt = parameters.subarray(3);
  const isOurs = logN >= 1 && logN <= MAX_SCRYPT_LOG_N && r >= 1 && r <= 16 && p >= 1 && p <= 4;
  if (!isOurs || salt.length !== SALT_LENGTH) return crypto.randomBytes(32);
  return crypto.scryptSync(secret, salt, 32, { N: 2 ** logN, r, p, maxmem: MAX_SCRYPT_MEMORY });
}
