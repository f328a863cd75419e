import crypto from 'node:crypto';
import type { CryptoProvider, LegacySignatureAlgorithm, SignatureAlgorithm } from '../provider.ts';
import { nodeAead } from './aead.ts';
import { nodeGroup } from './groups.ts';
import { digest, hkdfExpand, hmac, runningHash, shortHmac } from './hashes.ts';
import { importSpki, keyObject } from './public-key.ts';
import { randomBytes } from './random.ts';
import { recordNumberMask } from './record-number-mask.ts';
import { nodeStreamCipher } from './stream-cipher.ts';

/** The CryptoProvider on node:crypto. It holds no state of its own. */
export const nodeCrypto: CryptoProvider = {
  randomBytes,
  hash: runningHash,
  digest,
  sha1: (data) => digest('sha1', data),
  hmac,
  shortHmac,
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
