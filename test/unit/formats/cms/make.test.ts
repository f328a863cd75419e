import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../../src/crypto/node/provider.ts';
import { Oid } from '../../../../src/der/oids.ts';
import { DerReader } from '../../../../src/der/reader.ts';
import { contextConstructed, Tag } from '../../../../src/der/tags.ts';
import { encodeDer, oid, sequence } from '../../../../src/der/writer.ts';
import { cmsMaker } from '../../../../src/formats/cms/make.ts';
import { cmsVerifier } from '../../../../src/formats/cms/verify.ts';
import type { ObjectOptions } from '../../../../src/formats/format.ts';
import { SignatureScheme } from '../../../../src/wire/codepoints.ts';
import { directoryName, dnsName } from '../../../../src/x509/issue.ts';
import { ca, client, type Identity } from '../../x509/pki.ts';
import {
  binding,
  contextFor,
  expectRefused,
  expectVerified,
  KEY_TYPES,
  type KeyType,
  optionsFor,
  root,
  signatureOf,
  signerOf,
  type TestSigner,
} from '../kit.ts';
import { forge } from './forge.ts';

const content = new TextEncoder().encode('An order for 12 chairs.');

function make(signer: TestSigner, options: Partial<ObjectOptions> = {}): Uint8Array {
  const unsigned = cmsMaker.prepareObject(nodeCrypto, content, optionsFor(signer, options));
  return unsigned.finish(signatureOf(signer, unsigned.toBeSigned));
}

describe('cmsMaker.prepareObject', () => {
  it.each(Object.keys(KEY_TYPES) as KeyType[])('makes what its verifier takes: %s', (type) => {
    const signer = signerOf(type);
    const object = make(signer);
    const verified = cmsVerifier.verifyObject(nodeCrypto, object, contextFor());
    expect(verified.format).toBe('pkcs7');
    expectVerified(verified, object, content, signer);
    expect(cmsVerifier.referenceTo(nodeCrypto, object)).toEqual(verified.reference);
  });

  it('is byte for byte the object that the standards describe', () => {
    // Ed25519 signs without chance, so all of it can be compared with one that is put together by hand.
    const signer = signerOf('Ed25519');
    expect(make(signer, { receiptRequest: false })).toEqual(forge(signer, { content }));
  });

  it('asks for a receipt as RFC 2634 has it, with an identifier that is this object’s alone', () => {
    const signer = signerOf('P-256');
    const identifiers = [binding(), binding({ sequence: 8 }), binding({ role: 'server' })].map((each) => {
      const reference = cmsVerifier.referenceTo(nodeCrypto, make(signer, { binding: each }));
      return Buffer.from(reference.ess?.contentIdentifier ?? []).toString('hex');
    });
    expect(new Set(identifiers).size).toBe(3);
    expect(identifiers[0]).toBe(`${'02'.repeat(32)}00${'0000000000000007'}`);
    const object = make(signer, { receiptRequest: false });
    expect(cmsVerifier.referenceTo(nodeCrypto, object).ess).toBeUndefined();
    expect(cmsVerifier.verifyObject(nodeCrypto, object, contextFor()).receiptRequested).toBe(false);
  });

  it('has receipts sent to the subject, or to the subjectAltName where there is no subject', () => {
    const value = encodeDer(sequence(dnsName('order.example')));
    const unnamed = client('', {
      issuer: root,
      subject: [],
      extensions: (right) => [...right, { oid: Oid.subjectAltName, critical: true, value }],
    });
    const scheme = SignatureScheme.ecdsa_secp256r1_sha256;
    const receiptsTo = (identity: Identity, names: Uint8Array) => {
      const object = Buffer.from(make({ identity, chain: [identity.der], scheme }));
      cmsVerifier.verifyObject(nodeCrypto, object, contextFor());
      // [0] allReceipts, then receiptsTo.
      return object.includes(Buffer.from(encodeDer(sequence(names))), object.indexOf(Buffer.of(0x80, 1, 0)));
    };
    expect(receiptsTo(unnamed, value)).toBe(true);
    const named = signerOf('P-256').identity;
    expect(receiptsTo(named, encodeDer(sequence(directoryName(named.subject))))).toBe(true);
  });

  it('can leave the certificates out, for who has them already', () => {
    const signer = signerOf('P-256');
    const object = make(signer, { includeCertificates: false });
    expect(Buffer.from(object).includes(Buffer.from(signer.identity.der))).toBe(false);
    const context = contextFor({ signerChain: signer.chain });
    expect(cmsVerifier.verifyObject(nodeCrypto, object, context).signer.leaf.raw).toEqual(
      signer.identity.der,
    );
    expectRefused(() => cmsVerifier.verifyObject(nodeCrypto, object, contextFor()), 'ERR_SIGN_WRONG_SIGNER');
  });

  it('sends the chain, in the order of DER', () => {
    const middle = ca('Middle', { issuer: root });
    const identity = client('Below', { issuer: middle });
    const scheme = SignatureScheme.ecdsa_secp256r1_sha256;
    for (const chain of [
      [identity.der, middle.der],
      [identity.der, middle.der, root.der],
    ]) {
      const object = make({ identity, chain, scheme });
      const { path } = cmsVerifier.verifyObject(nodeCrypto, object, contextFor()).signer;
      expect(path.map(String)).toEqual(['CN=Below', 'CN=Middle', 'CN=Signing CA']);
    }
  });

  it('writes years from 2050 as GeneralizedTime', () => {
    const signer = signerOf('P-256');
    const late = Date.UTC(2051, 0, 1, 12, 30, 15);
    const object = Buffer.from(make(signer, { signingTime: late + 999 }));
    const type = Buffer.from(encodeDer(oid(Oid.signingTime)));
    const reader = new DerReader(object, 'test', object.indexOf(type) + type.length);
    expect(reader.set().generalizedTime()).toBe(late);
    const before = Buffer.from(make(signer, { signingTime: Date.UTC(2049, 11, 31, 23, 59, 59, 999) }));
    expect(new DerReader(before, 'test', before.indexOf(type) + type.length).set().utcTime()).toBe(
      Date.UTC(2049, 11, 31, 23, 59, 59),
    );
  });

  it('signs the SET OF, not the [0] that travels', () => {
    const signer = signerOf('P-256');
    const unsigned = cmsMaker.prepareObject(nodeCrypto, content, optionsFor(signer));
    expect(unsigned.scheme).toBe(signer.scheme);
    expect(unsigned.toBeSigned[0]).toBe(Tag.set);
    const object = Buffer.from(unsigned.finish(signatureOf(signer, unsigned.toBeSigned)));
    expect(unsigned.toBeSigned[0]).toBe(Tag.set);
    const travelling = Buffer.from(unsigned.toBeSigned);
    travelling[0] = contextConstructed(0);
    expect(object.includes(travelling)).toBe(true);
  });

  it.each([
    ['no certificate', 'ERR_SIGN_CERTIFICATE', { chain: [] }],
    ['a certificate that is none', 'ERR_SIGN_CERTIFICATE', { chain: [Uint8Array.of(0x30, 0)] }],
    [
      'a scheme of another kind of key',
      'ERR_SIGN_UNSUPPORTED_ALGORITHM',
      { scheme: SignatureScheme.ed25519 },
    ],
    [
      'a scheme of another curve',
      'ERR_SIGN_UNSUPPORTED_ALGORITHM',
      { scheme: SignatureScheme.ecdsa_secp384r1_sha384 },
    ],
    ['a scheme that nobody knows', 'ERR_SIGN_UNSUPPORTED_ALGORITHM', { scheme: 0x0203 }],
  ] as const)('refuses a signer with %s', (_, code, change) => {
    expectRefused(() => make({ ...signerOf('P-256'), ...change }), code);
  });

  it('refuses a signer with a short RSA key', () => {
    const identity = client('Weak', { kind: 'rsa1024', issuer: root });
    const signer = { identity, chain: [identity.der], scheme: SignatureScheme.rsa_pkcs1_sha256 };
    expect(expectRefused(() => make(signer), 'ERR_SIGN_CERTIFICATE').cause).toMatchObject({
      code: 'WEAK_KEY',
    });
  });

  it('refuses a chain that no verifier would read', () => {
    const signer = signerOf('P-256');
    const filler = encodeDer({ tag: Tag.sequence, content: new Uint8Array(50_000), contentLength: 50_000 });
    const chain = [...signer.chain, filler, filler, filler];
    expectRefused(() => make({ ...signer, chain }), 'ERR_SIGN_TOO_LARGE');
  });
});

describe('cmsMaker.prepareReceipt', () => {
  it('refuses where RFC 2634 has no receipt: for an object that asks for none', () => {
    const signer = signerOf('P-256');
    const reference = cmsVerifier.referenceTo(nodeCrypto, make(signer, { receiptRequest: false }));
    expectRefused(
      () => cmsMaker.prepareReceipt(nodeCrypto, reference, optionsFor(signer)),
      'ERR_SIGN_RECEIPT_MISMATCH',
    );
  });
});
