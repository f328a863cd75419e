import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../../src/crypto/node/provider.ts';
import { MAX_WHOLE_OBJECT_BYTES, type ObjectOptions } from '../../../../src/formats/format.ts';
import { encodeUnsignedObject, referenceToUnsigned } from '../../../../src/formats/unsigned.ts';
import { canonicalize } from '../../../../src/formats/xml/canonical.ts';
import { xmlMaker } from '../../../../src/formats/xml/make.ts';
import { MAX_CONTENT_BYTES } from '../../../../src/formats/xml/names.ts';
import { parseXml } from '../../../../src/formats/xml/parse.ts';
import { xmlVerifier } from '../../../../src/formats/xml/verify.ts';
import { SignatureScheme } from '../../../../src/wire/codepoints.ts';
import { ca, client } from '../../x509/pki.ts';
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
import { XADES } from './forge.ts';

const content = new TextEncoder().encode('An order for 12 chairs.');
const signer = signerOf('P-256');

function make(by: TestSigner, options: Partial<ObjectOptions> = {}, data = content): Uint8Array {
  const unsigned = xmlMaker.prepareObject(nodeCrypto, data, optionsFor(by, options));
  return unsigned.finish(signatureOf(by, unsigned.toBeSigned));
}

function makeReceipt(by: TestSigner, object: Uint8Array, options: Partial<ObjectOptions> = {}): Uint8Array {
  const reference = xmlVerifier.referenceTo(nodeCrypto, object);
  const unsigned = xmlMaker.prepareReceipt(
    nodeCrypto,
    reference,
    optionsFor(by, { binding: binding({ kind: 'receipt', role: 'server' }), ...options }),
  );
  return unsigned.finish(signatureOf(by, unsigned.toBeSigned));
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('xmlMaker.prepareObject', () => {
  it.each(Object.keys(KEY_TYPES) as KeyType[])('makes what its verifier takes: %s', (type) => {
    const by = signerOf(type);
    const object = make(by);
    const verified = xmlVerifier.verifyObject(nodeCrypto, object, contextFor());
    expect(verified.format).toBe('xmldsig');
    expectVerified(verified, object, content, by);
    expect(xmlVerifier.referenceTo(nodeCrypto, object)).toEqual(verified.reference);
    expect(xmlVerifier.verifyForeignObject(nodeCrypto, object, contextFor()).content).toEqual(content);
  });

  it('writes what is signed in canonical form at once', () => {
    const unsigned = xmlMaker.prepareObject(nodeCrypto, content, optionsFor(signer));
    const object = text(unsigned.finish(signatureOf(signer, unsigned.toBeSigned)));
    expect(unsigned.scheme).toBe(signer.scheme);
    expect(object).toContain(text(unsigned.toBeSigned));
    const properties = /<xades:SignedProperties.*<\/xades:SignedProperties>/.exec(object)?.[0] as string;
    expect(properties).toContain(XADES);
    for (const part of [text(unsigned.toBeSigned), properties])
      expect(text(canonicalize(parseXml(new TextEncoder().encode(part))))).toBe(part);
  });

  it('asks for a receipt only when it is told to', () => {
    const object = make(signer, { receiptRequest: false });
    expect(xmlVerifier.verifyObject(nodeCrypto, object, contextFor()).receiptRequested).toBe(false);
  });

  it('keeps whole seconds', () => {
    const object = make(signer, { signingTime: Date.UTC(2051, 0, 2, 3, 4, 5, 999) });
    expect(text(object)).toContain('<xades:SigningTime>2051-01-02T03:04:05Z</xades:SigningTime>');
  });

  it('can leave the certificates out, for who has them already', () => {
    const object = make(signer, { includeCertificates: false });
    expect(text(object)).not.toContain('KeyInfo');
    const context = contextFor({ signerChain: signer.chain });
    const { leaf } = xmlVerifier.verifyObject(nodeCrypto, object, context).signer;
    expect(leaf.raw).toEqual(signer.identity.der);
    expectRefused(() => xmlVerifier.verifyObject(nodeCrypto, object, contextFor()), 'ERR_SIGN_WRONG_SIGNER');
    const other = contextFor({ signerChain: signerOf('P-384').chain });
    expectRefused(() => xmlVerifier.verifyObject(nodeCrypto, object, other), 'ERR_SIGN_WRONG_SIGNER');
  });

  it('sends the chain', () => {
    const middle = ca('Middle', { issuer: root });
    const identity = client('Below', { issuer: middle });
    const scheme = SignatureScheme.ecdsa_secp256r1_sha256;
    const object = make({ identity, chain: [identity.der, middle.der], scheme });
    const { path } = xmlVerifier.verifyObject(nodeCrypto, object, contextFor()).signer;
    expect(path.map(String)).toEqual(['CN=Below', 'CN=Middle', 'CN=Signing CA']);
  });

  it.each([0, 1, 2, 3, 57, 4096])('takes %d bytes', (length) => {
    const data = new Uint8Array(length).fill(0xfb);
    const verified = xmlVerifier.verifyObject(nodeCrypto, make(signer, {}, data), contextFor());
    expect(verified.content).toEqual(data);
  });

  it('writes signatures with small numbers at full length', () => {
    const unsigned = xmlMaker.prepareObject(nodeCrypto, content, optionsFor(signer));
    const value = (der: Uint8Array): string =>
      /<ds:SignatureValue>(.*)<\/ds:SignatureValue>/.exec(text(unsigned.finish(der)))?.[1] as string;
    expect(Buffer.from(value(Uint8Array.of(0x30, 6, 2, 1, 5, 2, 1, 6)), 'base64').toString('hex')).toBe(
      `${'00'.repeat(31)}05${'00'.repeat(31)}06`,
    );
    const high = Uint8Array.of(0x30, 0x26, 2, 0x21, 0, ...new Uint8Array(32).fill(0xff), 2, 1, 6);
    expect(Buffer.from(value(high), 'base64').toString('hex')).toBe(`${'ff'.repeat(32)}${'00'.repeat(31)}06`);
    const wrong = [new Uint8Array(64), Uint8Array.of(0x30, 3, 2, 1, 5), new Uint8Array(0)];
    const long = Uint8Array.of(0x30, 0x26, 2, 0x21, 1, ...new Uint8Array(32), 2, 1, 6);
    for (const der of [...wrong, long]) expectRefused(() => unsigned.finish(der), 'ERR_SIGN_BAD_SIGNATURE');
  });

  it.each([
    ['no certificate', 'ERR_SIGN_CERTIFICATE', { chain: [] }],
    ['a certificate that is none', 'ERR_SIGN_CERTIFICATE', { chain: [Uint8Array.of(0x30, 0)] }],
    ['a scheme of another key', 'ERR_SIGN_UNSUPPORTED_ALGORITHM', { scheme: SignatureScheme.ed25519 }],
    ['a scheme that nobody knows', 'ERR_SIGN_UNSUPPORTED_ALGORITHM', { scheme: 0x0203 }],
  ] as const)('refuses a signer with %s', (_, code, change) => {
    expectRefused(() => make({ ...signer, ...change }), code);
  });

  it('refuses a chain that no verifier would read', () => {
    const chain = [...signer.chain, new Uint8Array(100_000)];
    expectRefused(() => make({ ...signer, chain }), 'ERR_SIGN_TOO_LARGE');
  });

  it('takes what fits in 16 MiB and no more', { timeout: 60_000 }, () => {
    const largest = new Uint8Array(MAX_CONTENT_BYTES);
    const object = make(signer, { binding: binding({ treeHead: new Uint8Array(2048) }) }, largest);
    expect(object.length).toBeLessThanOrEqual(MAX_WHOLE_OBJECT_BYTES);
    const verified = xmlVerifier.verifyObject(nodeCrypto, object, contextFor());
    expect(verified.contentLength).toBe(MAX_CONTENT_BYTES);
    expectRefused(() => make(signer, {}, new Uint8Array(MAX_CONTENT_BYTES + 1)), 'ERR_SIGN_TOO_LARGE');
    const larger = new Uint8Array(MAX_WHOLE_OBJECT_BYTES + 1).fill(0x20);
    expectRefused(() => xmlVerifier.verifyObject(nodeCrypto, larger, contextFor()), 'ERR_SIGN_TOO_LARGE');
  });
});

describe('xmlMaker.prepareReceipt', () => {
  const object = make(signer);
  const sent = xmlVerifier.referenceTo(nodeCrypto, object);
  const receiver = signerOf('Ed25519');

  it.each(Object.keys(KEY_TYPES) as KeyType[])('makes what its verifier takes: %s', (type) => {
    const receipt = makeReceipt(signerOf(type), object);
    expect(hex(xmlVerifier.acknowledgedDigest(receipt))).toBe(hex(sent.objectDigest));
    const verified = xmlVerifier.verifyReceipt(nodeCrypto, receipt, sent, contextFor());
    expect(verified.acknowledged).toBe(sent);
    expect(verified.binding).toEqual(binding({ kind: 'receipt', role: 'server' }));
    expect(verified.objectDigest).toEqual(nodeCrypto.digest('sha256', receipt));
    expect(verified.signer.leaf.raw).toEqual(signerOf(type).identity.der);
  });

  it('is found by what it is for', () => {
    const receipt = makeReceipt(receiver, object);
    const asked: Uint8Array[] = [];
    const verified = xmlVerifier.verifyReceipt(
      nodeCrypto,
      receipt,
      (digest) => {
        asked.push(digest);
        return sent;
      },
      contextFor(),
    );
    expect(asked.map(hex)).toEqual([hex(sent.objectDigest)]);
    expect(verified.acknowledged).toBe(sent);
    const never = () => xmlVerifier.verifyReceipt(nodeCrypto, receipt, () => undefined, contextFor());
    expectRefused(never, 'ERR_SIGN_RECEIPT_MISMATCH', 'objectDigest');
  });

  it('is for this object and no other', () => {
    const receipt = makeReceipt(receiver, object);
    const other = xmlVerifier.referenceTo(nodeCrypto, make(signer, { receiptRequest: false }));
    const run = () => xmlVerifier.verifyReceipt(nodeCrypto, receipt, other, contextFor());
    expectRefused(run, 'ERR_SIGN_RECEIPT_MISMATCH', 'objectDigest');
  });

  it('is neither made nor taken where none was asked for', () => {
    const silent = make(signer, { receiptRequest: false });
    expectRefused(() => makeReceipt(receiver, silent), 'ERR_SIGN_RECEIPT_MISMATCH');
    const reference = xmlVerifier.referenceTo(nodeCrypto, silent);
    expect(reference.receiptRequested).toBe(false);
    const options = optionsFor(receiver, { binding: binding({ kind: 'receipt' }) });
    const asking = { ...reference, receiptRequested: true };
    const unsigned = xmlMaker.prepareReceipt(nodeCrypto, asking, options);
    const forged = unsigned.finish(signatureOf(receiver, unsigned.toBeSigned));
    const run = () => xmlVerifier.verifyReceipt(nodeCrypto, forged, reference, contextFor());
    expectRefused(run, 'ERR_SIGN_RECEIPT_MISMATCH', 'receiptRequest');
  });

  it('is for unsigned objects too', () => {
    const reference = referenceToUnsigned(nodeCrypto, encodeUnsignedObject({ binding: binding(), content }));
    const options = optionsFor(receiver, { binding: binding({ kind: 'receipt' }) });
    const unsigned = xmlMaker.prepareReceipt(nodeCrypto, reference, options);
    const receipt = unsigned.finish(signatureOf(receiver, unsigned.toBeSigned));
    const verified = xmlVerifier.verifyReceipt(nodeCrypto, receipt, reference, contextFor());
    expect(verified.acknowledged.kind).toBe('unsigned');
  });

  it('is no object, and an object no receipt', () => {
    const receipt = makeReceipt(receiver, object);
    const asObject = () => xmlVerifier.verifyObject(nodeCrypto, receipt, contextFor());
    expectRefused(asObject, 'ERR_SIGN_WRONG_KIND', 'Type');
    const asForeign = () => xmlVerifier.verifyForeignObject(nodeCrypto, receipt, contextFor());
    expectRefused(asForeign, 'ERR_SIGN_WRONG_KIND', 'Type');
    const asReceipt = () => xmlVerifier.verifyReceipt(nodeCrypto, object, sent, contextFor());
    expectRefused(asReceipt, 'ERR_SIGN_WRONG_KIND', 'Type');
    expectRefused(() => xmlVerifier.acknowledgedDigest(object), 'ERR_SIGN_WRONG_KIND', 'Type');
  });

  it('is bound as a receipt', () => {
    const receipt = makeReceipt(receiver, object, { binding: binding() });
    const run = () => xmlVerifier.verifyReceipt(nodeCrypto, receipt, sent, contextFor());
    expectRefused(run, 'ERR_SIGN_WRONG_KIND', 'kind');
  });
});
