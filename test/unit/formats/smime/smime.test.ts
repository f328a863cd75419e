import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../../src/crypto/node/provider.ts';
import { encodeBase64 } from '../../../../src/der/base64.ts';
import { MAX_WHOLE_OBJECT_BYTES, type ObjectReference } from '../../../../src/formats/format.ts';
import { smimeMaker } from '../../../../src/formats/smime/make.ts';
import { MAX_CONTENT_BYTES } from '../../../../src/formats/smime/mime.ts';
import { smimeVerifier } from '../../../../src/formats/smime/verify.ts';
import { encodeUnsignedObject, referenceToUnsigned } from '../../../../src/formats/unsigned.ts';
import { forge } from '../cms/forge.ts';
import {
  binding,
  contextFor,
  expectRefused,
  KEY_TYPES,
  type KeyType,
  optionsFor,
  signatureOf,
  signerOf,
  type TestSigner,
} from '../kit.ts';

const signer = signerOf('P-256');
/** Line ends of all kinds, and what is no text at all. */
const content = Uint8Array.of(...new TextEncoder().encode('a\nb\r\nc\rd \n.\n'), 0, 255, 13);

function make(data: Uint8Array, by: TestSigner = signer): Uint8Array {
  const unsigned = smimeMaker.prepareObject(nodeCrypto, data, optionsFor(by));
  return unsigned.finish(signatureOf(by, unsigned.toBeSigned));
}

function makeReceipt(received: ObjectReference): Uint8Array {
  const options = optionsFor(signer, { binding: binding({ kind: 'receipt' }) });
  const unsigned = smimeMaker.prepareReceipt(nodeCrypto, received, options);
  return unsigned.finish(signatureOf(signer, unsigned.toBeSigned));
}

const verify = (object: Uint8Array) => smimeVerifier.verifyObject(nodeCrypto, object, contextFor());
const foreign = (object: Uint8Array) => smimeVerifier.verifyForeignObject(nodeCrypto, object, contextFor());
const text = (object: Uint8Array) => Buffer.from(object).toString('latin1');
const bytes = (object: string) => new Uint8Array(Buffer.from(object, 'latin1'));

describe('S/MIME', () => {
  it.each(Object.keys(KEY_TYPES) as KeyType[])('carries the bytes as they are: %s', (type) => {
    const object = make(content, signerOf(type));
    const verified = verify(object);
    expect(verified.format).toBe('smime');
    expect(verified.content).toEqual(content);
    expect(verified.contentDigest).toEqual(nodeCrypto.digest('sha256', content));
    expect(verified.contentLength).toBe(content.length);
    expect(verified.objectDigest).toEqual(nodeCrypto.digest('sha256', object));
    expect(smimeVerifier.referenceTo(nodeCrypto, object)).toEqual(verified.reference);
  });

  it('is a MIME entity with CRLF, and base64 in lines', () => {
    const [header, body] = text(make(new Uint8Array(500))).split('\r\n\r\n') as [string, string];
    expect(header.split('\r\n')).toEqual([
      'MIME-Version: 1.0',
      'Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m',
      'Content-Transfer-Encoding: base64',
      'Content-Disposition: attachment; filename=smime.p7m',
    ]);
    expect(body.endsWith('\r\n')).toBe(true);
    expect(/^([A-Za-z0-9+/]{76}\r\n)+[A-Za-z0-9+/=]{1,76}\r\n$/.test(body)).toBe(true);
  });

  it('signs a MIME entity in binary', () => {
    const header = 'Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n';
    expect(foreign(make(content)).content).toEqual(Uint8Array.of(...bytes(header), ...content));
  });

  it('has signed receipts', () => {
    const object = make(content);
    const { reference } = verify(object);
    const receipt = makeReceipt(reference);
    expect(text(receipt)).toContain('smime-type=signed-receipt');
    const verified = smimeVerifier.verifyReceipt(nodeCrypto, receipt, reference, contextFor());
    expect(verified.format).toBe('smime');
    expect(smimeVerifier.acknowledgedDigest(receipt)).toEqual(new Uint8Array(reference.objectDigest));
    // The digest is that of the MIME object, not of what is in it.
    expect(reference.objectDigest).toEqual(nodeCrypto.digest('sha256', object));
  });

  it('has receipts for what is unsigned', () => {
    const sent = referenceToUnsigned(nodeCrypto, encodeUnsignedObject({ binding: binding(), content }));
    const receipt = makeReceipt(sent);
    expect(text(receipt)).toContain('smime-type=signed-data');
    expect(smimeVerifier.verifyReceipt(nodeCrypto, receipt, sent, contextFor()).acknowledged).toBe(sent);
    const other: ObjectReference = {
      kind: 'unsigned',
      objectDigest: new Uint8Array(32),
      receiptRequested: true,
    };
    expectRefused(
      () => smimeVerifier.verifyReceipt(nodeCrypto, receipt, other, contextFor()),
      'ERR_SIGN_RECEIPT_MISMATCH',
    );
  });

  it('does not take one kind for the other', () => {
    const object = make(content);
    const receipt = makeReceipt(verify(object).reference);
    expectRefused(() => verify(receipt), 'ERR_SIGN_WRONG_KIND');
    const relabelled = bytes(text(receipt).replace('signed-receipt', 'signed-data'));
    expectRefused(() => verify(relabelled), 'ERR_SIGN_WRONG_KIND', 'eContentType');
    const asReceipt = bytes(text(object).replace('signed-data', 'signed-receipt'));
    expectRefused(() => verify(asReceipt), 'ERR_SIGN_WRONG_KIND', 'eContentType');
  });

  it('is at most 16 MiB', () => {
    const most = new Uint8Array(MAX_CONTENT_BYTES);
    const object = make(most);
    expect(object.length).toBeLessThanOrEqual(MAX_WHOLE_OBJECT_BYTES);
    expect(verify(object).contentLength).toBe(MAX_CONTENT_BYTES);
    expectRefused(() => make(new Uint8Array(MAX_CONTENT_BYTES + 1)), 'ERR_SIGN_TOO_LARGE');
    expectRefused(() => verify(new Uint8Array(MAX_WHOLE_OBJECT_BYTES + 1)), 'ERR_SIGN_TOO_LARGE');
  });

  it('has an entity of ours inside', () => {
    const bare = forge(signer, { content });
    const body = text(encodeBase64(bare, { width: 76, end: '\r\n' }));
    const head = text(make(content)).split('\r\n\r\n')[0];
    const object = bytes(`${head}\r\n\r\n${body}`);
    expectRefused(() => verify(object), 'ERR_SIGN_MALFORMED');
    expect(foreign(object).content).toEqual(content);
  });
});

describe('the MIME parser', () => {
  const right = text(make(content));
  const changed = (from: string | RegExp, to: string): Uint8Array => {
    const out = right.replace(from, to);
    expect(out).not.toBe(right);
    return bytes(out);
  };

  it.each<[string, Uint8Array]>([
    ['nothing', bytes('')],
    ['no header', bytes('\r\n\r\nAAAA\r\n')],
    ['no end of the header', bytes('MIME-Version: 1.0\r\n')],
    ['an endless header', changed('\r\n\r\n', `\r\nX: ${'y'.repeat(4096)}\r\n\r\n`)],
    ['LF instead of CRLF', bytes(right.replaceAll('\r\n', '\n'))],
    ['one LF in the header', changed('\r\nContent-T', '\nContent-T')],
    ['one LF in the body', changed(/([A-Za-z]{4})\r\n([A-Za-z0-9+/]{76})/, '$1\n$2')],
    ['one CR', changed('base64', 'base64\rX: y')],
    ['a control character', changed('1.0', '1.0\u0000')],
    ['a character outside ASCII', changed('attachment', 'attach\u00ebment')],
    ['a line that is no field', changed('MIME-Version: 1.0', 'MIME-Version 1.0')],
    ['a field twice', changed('MIME-Version: 1.0', 'MIME-Version: 1.0\r\nmime-version: 1.0')],
    ['two content types', changed('MIME-V', 'Content-Type: text/plain\r\nMIME-V')],
    ['another version', changed('1.0', '1.1')],
    ['no version', changed('MIME-Version: 1.0\r\n', '')],
    ['another encoding', changed('base64', 'binary')],
    ['no encoding', changed('Content-Transfer-Encoding: base64\r\n', '')],
    ['another type', changed('application/pkcs7-mime', 'application/pkcs7-signature')],
    ['the old type', changed('application/pkcs7-mime', 'application/x-pkcs7-mime')],
    ['another smime-type', changed('signed-data', 'enveloped-data')],
    ['no smime-type', changed('smime-type=signed-data; ', '')],
    ['a parameter twice', changed('name=', 'smime-type=')],
    ['a parameter that does not end', changed('name=smime.p7m', 'name="smime.p7m')],
    ['a comment', changed('; name', ' (comment); name')],
    ['no body', bytes(right.slice(0, right.indexOf('\r\n\r\n') + 4))],
    ['no end of the last line', bytes(right.slice(0, -2))],
    ['an empty line at the end', bytes(`${right}\r\n`)],
    ['an empty line in the body', changed(/([A-Za-z]{4})\r\n([A-Za-z0-9+/]{76})/, '$1\r\n\r\n$2')],
    ['long lines', changed(/([A-Za-z0-9+/]{76})\r\n([A-Za-z0-9+/]{76})/, '$1$2')],
    ['a blank in base64', changed(/([A-Za-z]{4})\r\n([A-Za-z0-9+/]{70})/, '$1 \r\n$2')],
    ['what is no base64', changed(/[A-Za-z0-9+/]{4}\r\n([A-Za-z0-9+/]{76})/, '****\r\n$1')],
    ['padding in the middle', changed(/[A-Za-z0-9+/]{4}\r\n([A-Za-z0-9+/]{76})/, 'AA==\r\n$1')],
    ['other software’s multipart', changed('application/pkcs7-mime', 'multipart/signed')],
  ])('refuses %s', (_, object) => {
    expectRefused(() => verify(object), 'ERR_SIGN_MALFORMED');
  });

  it.each<[string, string]>([
    [
      'upper case',
      right.replace('Content-Type: application/pkcs7-mime', 'CONTENT-TYPE: APPLICATION/PKCS7-MIME'),
    ],
    ['quoted parameters', right.replace('name=smime.p7m', 'name="my; file.p7m"')],
    ['folded lines', right.replace('; name', ';\r\n\tname')],
    ['other fields', `From: someone\r\nSubject: an order\r\n${right}`],
  ])('takes %s', (_, object) => {
    expect(verify(bytes(object)).content).toEqual(content);
  });

  it.each<[string, string]>([
    ['LF', right.replaceAll('\r\n', '\n')],
    ['the old type', right.replace('application/pkcs7-mime', 'application/x-pkcs7-mime')],
    ['empty lines at the end', `${right}\r\n\r\n`],
    ['LF and an empty line', `${right.replaceAll('\r\n', '\n')}\n`],
  ])('takes %s from other software', (_, object) => {
    expect(foreign(bytes(object)).contentLength).toBeGreaterThan(content.length);
  });
});
