import { expect } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { schemeById } from '../../../src/crypto/schemes.ts';
import { Oid } from '../../../src/der/oids.ts';
import { SignatureError, type SignatureErrorCode } from '../../../src/errors/errors.ts';
import type { Binding } from '../../../src/formats/binding.ts';
import {
  type ObjectOptions,
  RECEPTION_CLOCK_SKEW,
  type Signer,
  type VerifyContext,
} from '../../../src/formats/format.ts';
import type { VerifiedObject } from '../../../src/formats/verified.ts';
import { SignatureScheme } from '../../../src/wire/codepoints.ts';
import { extKeyUsage } from '../../../src/x509/issue.ts';
import { TrustStore } from '../../../src/x509/trust-store.ts';
import type { KeyKind } from '../../setup/keys.ts';
import { ca, client, type Identity, NOW, replacing, sign } from '../x509/pki.ts';

/** Signers of every kind, all of one CA, and what goes with an object. For all formats. */

export { NOW };

export type SchemeName = keyof typeof SignatureScheme;

/** The key types of issue 3, each with the scheme that it signs with. */
export const KEY_TYPES = {
  'P-256': { kind: 'p256', scheme: 'ecdsa_secp256r1_sha256' },
  'P-384': { kind: 'p384', scheme: 'ecdsa_secp384r1_sha384' },
  Ed25519: { kind: 'ed25519', scheme: 'ed25519' },
  'RSA-PSS': { kind: 'rsa2048', scheme: 'rsa_pss_rsae_sha256' },
  'RSA PKCS#1': { kind: 'rsa2048', scheme: 'rsa_pkcs1_sha256' },
} as const satisfies Record<string, { kind: KeyKind; scheme: SchemeName }>;

export type KeyType = keyof typeof KEY_TYPES;

export interface TestSigner extends Signer {
  readonly identity: Identity;
}

/** Stock tools that take no time to verify at must find certificates valid today. */
const LONG = { notBefore: Date.UTC(2020, 0), notAfter: Date.UTC(2045, 0) };

export const root = ca('Signing CA', { input: LONG });

/** For stock tools too: their S/MIME purpose wants emailProtection. */
const PURPOSES = replacing(extKeyUsage([Oid.clientAuth, Oid.serverAuth, Oid.emailProtection]));

export function signerWith(kind: KeyKind, scheme: SchemeName, name: string = scheme): TestSigner {
  const identity = client(name, { kind, issuer: root, extensions: PURPOSES, input: LONG });
  return { identity, chain: [identity.der], scheme: SignatureScheme[scheme] };
}

const signers = new Map<KeyType, TestSigner>();

export function signerOf(type: KeyType): TestSigner {
  let signer = signers.get(type);
  if (signer === undefined) {
    signer = signerWith(KEY_TYPES[type].kind, KEY_TYPES[type].scheme);
    signers.set(type, signer);
  }
  return signer;
}

export function signatureOf({ identity, scheme }: TestSigner, data: Uint8Array): Uint8Array {
  const known = schemeById(scheme);
  if (known === undefined) throw new Error('no such scheme');
  return sign(identity, known.algorithm, data);
}

export function binding(fields: Partial<Binding> = {}): Binding {
  return {
    version: 1,
    role: 'client',
    kind: 'data',
    sequence: 7,
    contentType: 23,
    application: '',
    peer: new Uint8Array(32).fill(1),
    sessionBinding: new Uint8Array(32).fill(2),
    treeHead: new Uint8Array(0),
    ...fields,
  };
}

/** What differs from `binding()` in one field each. */
export const OTHER_BINDINGS: readonly (readonly [field: string, binding: Binding])[] = [
  ['sessionBinding', binding({ sessionBinding: new Uint8Array(32) })],
  ['sequence', binding({ sequence: 8 })],
  ['role', binding({ role: 'server' })],
  ['application', binding({ application: 'other' })],
  ['peer', binding({ peer: new Uint8Array(0) })],
  ['contentType', binding({ contentType: 28 })],
];

/** It says of `object` what was signed, with the options of `optionsFor`. */
export function expectVerified(
  verified: VerifiedObject,
  object: Uint8Array,
  content: Uint8Array,
  { identity }: TestSigner,
): void {
  expect(verified.content).toEqual(content);
  expect(verified.contentLength).toBe(content.length);
  expect(verified.contentDigest).toEqual(nodeCrypto.digest('sha256', content));
  expect(verified.objectDigest).toEqual(nodeCrypto.digest('sha256', object));
  expect(verified.binding).toEqual(binding());
  expect(verified.signingTime).toBe(NOW);
  expect(verified.receiptRequested).toBe(true);
  expect(verified.signer.leaf.raw).toEqual(identity.der);
}

/** As a sender of data has them. */
export function optionsFor(signer: TestSigner, fields: Partial<ObjectOptions> = {}): ObjectOptions {
  return {
    signer,
    binding: binding(),
    signingTime: NOW,
    receiptRequest: true,
    includeCertificates: true,
    ...fields,
  };
}

/** Without `now`: at reception, in the second of signing. */
export function contextFor(fields: Partial<VerifyContext> = {}): VerifyContext {
  return { trust: trustInRoot, now: NOW, clockSkew: RECEPTION_CLOCK_SKEW, ...fields };
}

const trustInRoot = new TrustStore([root.certificate]);

/** It is refused with exactly this code, and a `bad_sign` alert. */
export function expectRefused(run: () => unknown, code: SignatureErrorCode, field?: string): SignatureError {
  let thrown: unknown;
  try {
    run();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(SignatureError);
  const error = thrown as SignatureError;
  expect({ code: error.code, alert: error.alert }, error.message).toEqual({ code, alert: 'bad_sign' });
  if (field !== undefined) expect(error.field).toBe(field);
  return error;
}
