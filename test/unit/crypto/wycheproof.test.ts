import crypto from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { completeEcdh, x25519Exchange } from '../../../src/crypto/node/groups.ts';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import type { AeadName, HashName, SignatureAlgorithm } from '../../../src/crypto/provider.ts';
import { CertificateError, TlsError } from '../../../src/errors/errors.ts';

/*
 * What our own code around node:crypto makes of Wycheproof's cases: signatures in ASN.1, public keys that are none, wrong
 * tags, lengths at the borders. See test/vectors/wycheproof/README.md.
 */

interface Case {
  readonly tcId: number;
  readonly result: 'valid' | 'invalid' | 'acceptable';
  readonly flags: readonly string[];
  readonly [field: string]: unknown;
}
interface Group {
  readonly tests: readonly Case[];
  readonly [field: string]: unknown;
}

const FOLDER = process.env.WYCHEPROOF_DIR ?? join(import.meta.dirname, '../../vectors/wycheproof');
const bytes = (value: unknown): Uint8Array => Uint8Array.from(Buffer.from(value as string, 'hex'));

function groupsOf(name: string): readonly Group[] {
  const text = readFileSync(join(FOLDER, `${name}_test.json`), 'utf8');
  return (JSON.parse(text) as { testGroups: readonly Group[] }).testGroups;
}

/**
 * Runs every case of a file for which `judge` has an opinion.
 * @param judge whether the case is accepted; `undefined`: it is none of TLS
 * @param strict flags of cases that Wycheproof leaves open and TLS does not
 */
function check(
  name: string,
  judge: (test: Case, group: Group) => boolean | undefined,
  strict: readonly string[] = [],
): void {
  const wrong: string[] = [];
  let judged = 0;
  for (const group of groupsOf(name)) {
    for (const test of group.tests) {
      const accepted = judge(test, group);
      if (accepted === undefined) continue;
      judged++;
      const mustFail = test.result === 'invalid' || test.flags.some((flag) => strict.includes(flag));
      if (!mustFail && test.result === 'acceptable') continue;
      if (accepted === mustFail)
        wrong.push(`${test.tcId} (${test.flags}) ${accepted ? 'accepted' : 'refused'}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(judged).toBeGreaterThan(20);
}

describe('signatures', () => {
  const pss = (hash: HashName): SignatureAlgorithm => ({ kind: 'rsa-pss', hash });
  const ecdsa = (hash: HashName): SignatureAlgorithm => ({ kind: 'ecdsa', hash });
  it.each<[string, SignatureAlgorithm]>([
    ['ecdsa_secp256r1_sha256', ecdsa('sha256')],
    ['ecdsa_secp384r1_sha384', ecdsa('sha384')],
    ['ecdsa_secp521r1_sha512', ecdsa('sha512')],
    ['ed25519', { kind: 'ed25519' }],
    ['rsa_signature_2048_sha256', { kind: 'rsa-pkcs1', hash: 'sha256' }],
    ['rsa_pss_2048_sha256_mgf1_32', pss('sha256')],
    ['rsa_pss_2048_sha384_mgf1_48', pss('sha384')],
  ])('%s', (name, algorithm) => {
    check(name, ({ msg, sig }, { publicKeyDer }) => {
      const key = nodeCrypto.importPublicKey(bytes(publicKeyDer));
      return nodeCrypto.verify(algorithm, key, bytes(msg), bytes(sig));
    });
  });
});

describe('key exchange', () => {
  it.each([
    ['ecdh_secp256r1_ecpoint', 'prime256v1', 65],
    ['ecdh_secp384r1_ecpoint', 'secp384r1', 97],
    ['ecdh_secp521r1_ecpoint', 'secp521r1', 133],
  ] as const)('%s', (name, curve, length) => {
    check(
      name,
      ({ private: secret, public: point, shared }) => {
        const own = crypto.createECDH(curve);
        // Wycheproof writes integers with a leading zero byte, or without leading zeros.
        const digits = (secret as string).replace(/^(00)+/, '');
        own.setPrivateKey(Buffer.from(digits, 'hex'));
        return agrees(() => completeEcdh(own, curve, length, bytes(point)), bytes(shared));
      },
      // RFC 8446 §4.2.8.2: uncompressed points only.
      ['CompressedPublic', 'CompressedPoint'],
    );
  });

  it('x25519', () => {
    check(
      'x25519',
      ({ private: secret, public: point, shared }) => {
        const privateKey = crypto.createPrivateKey({
          key: Buffer.concat([X25519_PKCS8, bytes(secret)]),
          format: 'der',
          type: 'pkcs8',
        });
        const own = x25519Exchange(privateKey);
        return agrees(() => own.complete(bytes(point)), bytes(shared));
      },
      // RFC 8446 §7.4.2: an all-zero result MUST abort.
      ['ZeroSharedSecret', 'SmallPublicKey'],
    );
  });

  const X25519_PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex');

  /** Accepted, with the right result; refused is illegal_parameter and nothing else. */
  function agrees(complete: () => Uint8Array, shared: Uint8Array): boolean {
    try {
      expect(Buffer.from(complete()).toString('hex')).toBe(Buffer.from(shared).toString('hex'));
      return true;
    } catch (error) {
      if (!(error instanceof TlsError)) throw error;
      expect(error.code).toBe('ERR_TLS_ILLEGAL_PARAMETER');
      return false;
    }
  }
});

describe('AEAD', () => {
  const nameOf = (kind: string, { keySize, tagSize }: Group): AeadName | undefined => {
    if (kind === 'chacha20_poly1305') return 'chacha20-poly1305';
    if (keySize !== 128 && keySize !== 256) return undefined;
    if (kind === 'aes_gcm') return tagSize === 128 ? `aes-${keySize}-gcm` : undefined;
    if (tagSize === 64) return `aes-${keySize}-ccm-8`;
    return tagSize === 128 ? `aes-${keySize}-ccm` : undefined;
  };
  it.each(['aes_gcm', 'aes_ccm', 'chacha20_poly1305'])('%s', (kind) => {
    check(kind, ({ key, iv, aad, msg, ct, tag }, group) => {
      const name = nameOf(kind, group);
      if (name === undefined || group.ivSize !== 96) return undefined;
      const aead = nodeCrypto.aead(name, bytes(key));
      const opened = aead.open(bytes(iv), bytes(aad), bytes(ct), bytes(tag));
      if (opened === undefined) return false;
      expect(Buffer.from(opened).toString('hex')).toBe(msg);
      const sealed = Buffer.concat(aead.seal(bytes(iv), bytes(aad), bytes(msg)));
      expect(sealed.toString('hex')).toBe(`${ct}${tag}`);
      return true;
    });
  });
});

describe('keys from keys', () => {
  it.each(['sha256', 'sha384'] as const)('HKDF with %s', (hash) => {
    check(`hkdf_${hash}`, ({ ikm, salt, info, size, okm, result }) => {
      // Who asks for more than 255 blocks is this program alone; RFC 5869 §2.3 has no answer for it.
      if (result === 'invalid') return undefined;
      const prk = nodeCrypto.hmac(hash, bytes(salt), bytes(ikm));
      const out = nodeCrypto.hkdfExpand(hash, prk, bytes(info), size as number);
      return Buffer.from(out).toString('hex') === okm;
    });
  });

  it.each(['sha256', 'sha384'] as const)('HMAC with %s', (hash) => {
    check(`hmac_${hash}`, ({ key, msg, tag }) => {
      const expected = bytes(tag);
      const isRight = (mac: Uint8Array) => nodeCrypto.equal(mac.subarray(0, expected.length), expected);
      const right = isRight(nodeCrypto.hmac(hash, bytes(key), bytes(msg)));
      expect(isRight(nodeCrypto.shortHmac(hash, bytes(key), bytes(msg)))).toBe(right);
      return right;
    });
  });
});

describe('public keys', () => {
  it('of ECDSA that are no points are not imported', () => {
    const [group] = groupsOf('ecdsa_secp256r1_sha256');
    const spki = bytes(group?.publicKeyDer);
    spki[spki.length - 1] = (spki.at(-1) ?? 0) ^ 1;
    expect(() => nodeCrypto.importPublicKey(spki)).toThrow(CertificateError);
  });
});
