import crypto from 'node:crypto';
import type {
  CryptoProvider,
  HashName,
  LegacySignatureAlgorithm,
  RunningHash,
  SignatureAlgorithm,
} from '../provider.ts';
import { nodeAead } from './aead.ts';
import { nodeGroup } from './groups.ts';
import { importSpki, keyObject } from './public-key.ts';
import { randomBytes } from './random.ts';
import { recordNumberMask } from './record-number-mask.ts';
import { nodeStreamCipher } from './stream-cipher.ts';

/** The CryptoProvider on node:crypto. It holds no state of its own. */
export const nodeCrypto: CryptoProvider = {
  randomBytes,
  hash: (name) => new NodeHash(crypto.createHash(name)),
  digest: (name, data) => crypto.hash(name, data, 'buffer'),
  sha1: (data) => crypto.hash('sha1', data, 'buffer'),
  hmac: (name, key, data) => crypto.createHmac(name, hmacKey(key)).update(data).digest(),
  hkdfExpand,
  equal: (a, b) => a.length === b.length && crypto.timingSafeEqual(a, b),
  aead: nodeAead,
  recordNumberMask,
  encryptCbc: (name, key, iv, blocks) =>
    crypto.createCipheriv(name, key, iv).setAutoPadding(false).update(blocks),
  decryptCbc: (name, key, iv, blocks) =>
    crypto.createDecipheriv(name, key, iv).setAutoPadding(false).update(blocks),
  streamCipher: nodeStreamCipher,
  encryptPkcs1: (key, data) =>
    crypto.publicEncrypt({ key: keyObject(key), padding: crypto.constants.RSA_PKCS1_PADDING }, data),
  group: nodeGroup,
  importPublicKey: importSpki,

  verify(algorithm, key, data, signature) {
    const options = { key: keyObject(key), ...signatureOptions(algorithm) };
    try {
      return crypto.verify(hashOf(algorithm), data, options, signature);
    } catch {
      // node:crypto throws on signatures that it cannot even parse; those do not verify either.
      return false;
    }
  },
};

/** Padding and salt as TLS and X.509 require them (RFC 8446 §4.2.3: the salt is as long as the digest). */
export function signatureOptions(algorithm: SignatureAlgorithm | LegacySignatureAlgorithm): {
  padding?: number;
  saltLength?: number;
} {
  switch (algorithm.kind) {
    case 'rsa-pkcs1':
      return { padding: crypto.constants.RSA_PKCS1_PADDING };
    case 'rsa-pss':
      return {
        padding: crypto.constants.RSA_PKCS1_PSS_PADDING,
        saltLength: crypto.constants.RSA_PSS_SALTLEN_DIGEST,
      };
    case 'ecdsa':
    case 'ed25519':
      return {};
  }
}

/** As node:crypto knows it; `md5-sha1` with PKCS #1 v1.5 is signed without DigestInfo, as TLS 1.0 has it. */
export function hashOf(algorithm: SignatureAlgorithm | LegacySignatureAlgorithm): string | null {
  return algorithm.kind === 'ed25519' ? null : algorithm.hash;
}

class NodeHash implements RunningHash {
  readonly #hash: crypto.Hash;
  constructor(hash: crypto.Hash) {
    this.#hash = hash;
  }
  update(data: Uint8Array): void {
    this.#hash.update(data);
  }
  snapshot(): Uint8Array {
    return this.#hash.copy().digest();
  }
  copy(): RunningHash {
    return new NodeHash(this.#hash.copy());
  }
}

/** RFC 5869 §2.3. Written out because crypto.hkdfSync always extracts first, which TLS 1.3 must not. */
function hkdfExpand(name: HashName, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  // T(1): one update, since each crosses into OpenSSL; nearly every secret of TLS ends here.
  const key = hmacKey(prk);
  const block = new Uint8Array(info.length + 1);
  block.set(info);
  block[info.length] = 1;
  const first = crypto.createHmac(name, key).update(block).digest();
  if (length <= first.length) return first.subarray(0, length);
  const blocks: Uint8Array[] = [first];
  let produced = first.length;
  for (let counter = 2; produced < length; counter++) {
    block[info.length] = counter;
    const next = crypto
      .createHmac(name, key)
      .update(blocks[counter - 2] as Uint8Array)
      .update(block)
      .digest();
    blocks.push(next);
    produced += next.length;
  }
  return Buffer.concat(blocks, length);
}

/**
 * Node 24 takes 16 µs longer over a key in bytes than over a KeyObject made of it, and a handshake has forty;
 * Node 20 is faster with the bytes (bench/handshake).
 */
const hmacKey: (key: Uint8Array) => Uint8Array | crypto.KeyObject =
  Number.parseInt(process.versions.node, 10) >= 23 ? (key) => crypto.createSecretKey(key) : (key) => key;
