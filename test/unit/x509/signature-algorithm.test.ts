import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import type { HashName, SignatureAlgorithm } from '../../../src/crypto/provider.ts';
import { Oid } from '../../../src/der/oids.ts';
import {
  bitString,
  type Der,
  encodeDer,
  explicit,
  integer,
  nullValue,
  oid,
  sequence,
} from '../../../src/der/writer.ts';
import { CertificateError } from '../../../src/errors/errors.ts';
import { SignatureScheme } from '../../../src/wire/codepoints.ts';
import { importPublicKey, keyFits } from '../../../src/x509/public-key.ts';
import { encodeSignatureAlgorithm, readSignatureAlgorithm } from '../../../src/x509/signature-algorithm.ts';
import type { KeyKind } from '../../setup/keys.ts';
import { expectRefused, verify } from './expect.ts';
import { ca, newKey, server } from './pki.ts';

const HASHES: readonly HashName[] = ['sha256', 'sha384', 'sha512'];
const ALGORITHMS: readonly SignatureAlgorithm[] = [
  { kind: 'ed25519' },
  ...HASHES.flatMap((hash) => (['ecdsa', 'rsa-pkcs1', 'rsa-pss'] as const).map((kind) => ({ kind, hash }))),
];
const read = (...fields: Der[]) => readSignatureAlgorithm(encodeDer(sequence(...fields))).algorithm;
const hash = (name: string, parameters: Der | undefined = nullValue()) => sequence(oid(name), parameters);
const pss = (fields: { hash?: Der; mask?: Der; salt?: Der; trailer?: Der }) =>
  read(
    oid(Oid.rsassaPss),
    sequence(
      fields.hash && explicit(0, fields.hash),
      fields.mask && explicit(1, fields.mask),
      fields.salt && explicit(2, fields.salt),
      fields.trailer && explicit(3, fields.trailer),
    ),
  );
const mgf1 = (inner: Der) => sequence(oid(Oid.mgf1), inner);

describe('readSignatureAlgorithm', () => {
  it.each(ALGORITHMS)('%j round trips', (algorithm) => {
    expect(readSignatureAlgorithm(encodeSignatureAlgorithm(algorithm)).algorithm).toEqual(algorithm);
  });

  it('RSA: NULL parameters, or none (RFC 4055 §5)', () => {
    const rsa = { kind: 'rsa-pkcs1', hash: 'sha256' };
    expect(read(oid(Oid.sha256WithRSAEncryption), nullValue())).toEqual(rsa);
    expect(read(oid(Oid.sha256WithRSAEncryption))).toEqual(rsa);
    expect(read(oid(Oid.sha256WithRSAEncryption), integer(1))).toBeUndefined();
  });

  it('ECDSA and Ed25519: no parameters (RFC 5758 §3.2, RFC 8410 §3)', () => {
    expect(read(oid(Oid.ecdsaWithSHA256), nullValue())).toBeUndefined();
    expect(read(oid(Oid.ed25519), nullValue())).toBeUndefined();
  });

  it('RSASSA-PSS: one hash for both, the salt as long as it (RFC 8446 §4.2.3)', () => {
    const right = { hash: hash(Oid.sha384), mask: mgf1(hash(Oid.sha384)), salt: integer(48) };
    expect(pss(right)).toEqual({ kind: 'rsa-pss', hash: 'sha384' });
    expect(pss({ ...right, hash: hash(Oid.sha384, undefined) })).toEqual({ kind: 'rsa-pss', hash: 'sha384' });
    for (const wrong of [
      {},
      { hash: right.hash, mask: right.mask },
      { hash: right.hash, salt: right.salt },
      { mask: right.mask, salt: right.salt },
      { ...right, mask: mgf1(hash(Oid.sha256)) },
      { ...right, mask: sequence(oid('1.2.3'), hash(Oid.sha384)) },
      { ...right, salt: integer(32) },
      { ...right, salt: integer(49) },
      { ...right, salt: integer(-1) },
      { ...right, mask: sequence(mgf1(hash(Oid.sha384)), nullValue()) },
      { ...right, trailer: integer(1) },
      { ...right, trailer: integer(2) },
      { hash: hash(Oid.sha1), mask: mgf1(hash(Oid.sha1)), salt: integer(20) },
      { ...right, hash: hash(Oid.sha384, integer(1)) },
    ]) {
      expect(pss(wrong), JSON.stringify(Object.keys(wrong))).toBeUndefined();
    }
    expect(read(oid(Oid.rsassaPss))).toBeUndefined();
    expect(read(oid(Oid.rsassaPss), nullValue())).toBeUndefined();
  });

  it.each([
    Oid.md5WithRSAEncryption,
    Oid.sha1WithRSAEncryption,
    Oid.ecdsaWithSHA1,
    '1.2.840.113549.1.1.14',
    '1.3.101.113',
  ])('%s is not accepted', (algorithm) => {
    expect(read(oid(algorithm), nullValue())).toBeUndefined();
  });
});

describe('signatures on certificates', () => {
  it.each<[string, Uint8Array]>([
    ['sha1WithRSAEncryption', encodeDer(sequence(oid(Oid.sha1WithRSAEncryption), nullValue()))],
    ['md5WithRSAEncryption', encodeDer(sequence(oid(Oid.md5WithRSAEncryption), nullValue()))],
    ['ecdsaWithSHA1', encodeDer(sequence(oid(Oid.ecdsaWithSHA1)))],
    ['1.2.3.4', encodeDer(sequence(oid('1.2.3.4')))],
  ])('%s is refused, and named', (name, algorithm) => {
    const root = ca('Root');
    const leaf = server('a', { issuer: root, algorithm });
    const error = expectRefused({ chain: [leaf], trust: [root] }, 'UNSUPPORTED_SIGNATURE_ALGORITHM');
    expect(error.message).toContain(name);
  });

  it('of an intermediate too, but not of a trust anchor (RFC 8446 §4.4.2.2)', () => {
    const sha1 = encodeDer(sequence(oid(Oid.ecdsaWithSHA1)));
    const root = ca('Root', { algorithm: sha1 });
    const issuer = ca('Issuer', { issuer: root });
    const leaf = server('a', { issuer });
    verify({ chain: [leaf, issuer], trust: [root] });
    const weak = ca('Issuer', { issuer: root, algorithm: sha1 });
    expectRefused(
      { chain: [server('a', { issuer: weak }), weak], trust: [root] },
      'UNSUPPORTED_SIGNATURE_ALGORITHM',
      1,
    );
  });

  it.each<[KeyKind, SignatureAlgorithm]>([
    ['p256', { kind: 'ecdsa', hash: 'sha384' }],
    ['p256', { kind: 'ecdsa', hash: 'sha512' }],
    ['p384', { kind: 'ecdsa', hash: 'sha256' }],
    ['rsa2048', { kind: 'rsa-pkcs1', hash: 'sha512' }],
    ['rsa2048', { kind: 'rsa-pss', hash: 'sha256' }],
    ['rsa2048', { kind: 'rsa-pss', hash: 'sha512' }],
    ['rsa-pss', { kind: 'rsa-pss', hash: 'sha384' }],
  ])('a %s key with %j', (kind, algorithm) => {
    const root = ca('Root', { kind });
    verify({ chain: [server('a', { issuer: root, algorithm })], trust: [root] });
  });

  it('an id-RSASSA-PSS key makes no other signature (RFC 4055 §1.2)', () => {
    const root = ca('Root', { kind: 'rsa-pss' });
    const pkcs1 = encodeSignatureAlgorithm({ kind: 'rsa-pkcs1', hash: 'sha256' });
    expectRefused(
      { chain: [server('a', { issuer: root, algorithm: pkcs1 })], trust: [root] },
      'CERT_SIGNATURE_FAILURE',
    );
    const key = importPublicKey(nodeCrypto, root.spki);
    expect(key.kind).toBe('rsa-pss');
    expect(ALGORITHMS.filter((algorithm) => keyFits(algorithm, key)).map((a) => a.kind)).toEqual([
      'rsa-pss',
      'rsa-pss',
      'rsa-pss',
    ]);
  });

  it('PSS made with another salt length is refused', () => {
    const root = ca('Root', { kind: 'rsa2048' });
    const says = encodeSignatureAlgorithm({ kind: 'rsa-pss', hash: 'sha256' });
    expectRefused(
      { chain: [server('a', { issuer: root, algorithm: says })], trust: [root] },
      'CERT_SIGNATURE_FAILURE',
    );
  });
});

describe('signature_algorithms_cert (RFC 8446 §4.2.3)', () => {
  const root = ca('Root', { kind: 'rsa2048' });
  const issuer = ca('Issuer', { issuer: root });
  const leaf = server('a', { issuer });
  const testCase = { chain: [leaf, issuer], trust: [root] };
  const { ecdsa_secp256r1_sha256, ecdsa_secp384r1_sha384, rsa_pkcs1_sha256, rsa_pss_rsae_sha256 } =
    SignatureScheme;

  it('every signature but that of the anchor is among the schemes', () => {
    verify({ ...testCase, allowedSchemes: [ecdsa_secp256r1_sha256, rsa_pkcs1_sha256] });
    verify({ chain: [leaf], trust: [issuer], allowedSchemes: [ecdsa_secp256r1_sha256] });
  });

  it.each([
    [[], 1],
    [[ecdsa_secp256r1_sha256], 1],
    [[ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256], 1],
    [[rsa_pkcs1_sha256, ecdsa_secp384r1_sha384], 0],
    [[0xfafa], 1],
  ])('%j is not enough', (allowedSchemes, depth) => {
    expectRefused({ ...testCase, allowedSchemes }, 'UNSUPPORTED_SIGNATURE_ALGORITHM', depth);
  });
});

describe('public keys', () => {
  const codeOf = (spki: Uint8Array): string => {
    try {
      importPublicKey(nodeCrypto, spki);
    } catch (error) {
      if (error instanceof CertificateError) return error.code;
      throw error;
    }
    return 'accepted';
  };

  it('elliptic curves are named (RFC 5480 §2.1.1; CVE-2020-0601)', () => {
    // P-256, its parameters written out.
    const p = (1n << 256n) - (1n << 224n) + (1n << 192n) + (1n << 96n) - 1n;
    const field = sequence(oid('1.2.840.10045.1.1'), integer(p));
    const point = newKey().spki.subarray(-65);
    const octets = (bytes: Uint8Array) => Uint8Array.from([4, bytes.length, ...bytes]);
    const explicitParameters = sequence(
      integer(1),
      field,
      sequence(octets(new Uint8Array(32)), octets(new Uint8Array(32))),
      octets(point),
      integer(p),
    );
    const spki = encodeDer(sequence(sequence(oid(Oid.ecPublicKey), explicitParameters), bitString(point)));
    expect(codeOf(spki)).toBe('UNSUPPORTED_SIGNATURE_ALGORITHM');
  });

  it('RSA from 2048 to 8192 bits', () => {
    const rsa = (bits: number) => {
      const modulus = new Uint8Array(bits / 8).fill(0xff);
      const key = sequence(integer(modulus), integer(65_537));
      return encodeDer(sequence(sequence(oid(Oid.rsaEncryption), nullValue()), bitString(encodeDer(key))));
    };
    expect([2040, 2048, 8192, 8200].map((bits) => codeOf(rsa(bits)))).toEqual([
      'WEAK_KEY',
      'accepted',
      'accepted',
      'UNSUPPORTED_SIGNATURE_ALGORITHM',
    ]);
  });

  it('other curves and kinds are not supported', () => {
    const point = bitString(newKey().spki.subarray(-65));
    expect(codeOf(encodeDer(sequence(sequence(oid(Oid.ecPublicKey), oid('1.3.132.0.10')), point)))).not.toBe(
      'accepted',
    );
    expect(
      codeOf(encodeDer(sequence(sequence(oid('1.3.101.110')), bitString(new Uint8Array(32).fill(9))))),
    ).toBe('UNSUPPORTED_SIGNATURE_ALGORITHM');
  });

  it('a point that is not on the curve', () => {
    const spki = newKey().spki.slice();
    spki[spki.length - 1] = (spki[spki.length - 1] as number) ^ 1;
    expect(codeOf(spki)).toBe('CERT_MALFORMED');
  });

  it.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array(0)],
    ['no algorithm', encodeDer(sequence(bitString(new Uint8Array(3))))],
    [
      'bits that are no bytes',
      encodeDer(sequence(sequence(oid(Oid.ed25519)), bitString(Uint8Array.of(0xf0), 4))),
    ],
    [
      'a field too many',
      encodeDer(sequence(sequence(oid(Oid.ed25519)), bitString(new Uint8Array(32)), nullValue())),
    ],
    [
      'an Ed25519 key that is too short',
      encodeDer(sequence(sequence(oid(Oid.ed25519)), bitString(new Uint8Array(31)))),
    ],
  ])('%s', (_, spki) => {
    expect(codeOf(spki)).toBe('CERT_MALFORMED');
  });
});
