import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../../src/crypto/node/provider.ts';
import { Oid } from '../../../../src/der/oids.ts';
import { contextConstructed, Tag } from '../../../../src/der/tags.ts';
import { encodeDer, integer, nullValue, octetString, oid, sequence } from '../../../../src/der/writer.ts';
import type { SignatureErrorCode } from '../../../../src/errors/errors.ts';
import { cmsMaker } from '../../../../src/formats/cms/make.ts';
import { startObject } from '../../../../src/formats/cms/make-stream.ts';
import { cmsVerifier } from '../../../../src/formats/cms/verify.ts';
import { startReading, startVerification } from '../../../../src/formats/cms/verify-stream.ts';
import type { ObjectOptions, ObjectReference, VerifyContext } from '../../../../src/formats/format.ts';
import { ForeignObject, VerifiedStream } from '../../../../src/formats/verified.ts';
import {
  binding,
  contextFor,
  expectRefused,
  KEY_TYPES,
  type KeyType,
  NOW,
  optionsFor,
  signatureOf,
  signerOf,
  type TestSigner,
} from '../kit.ts';
import { forge, type Parts } from './forge.ts';

const signer = signerOf('P-256');

function makeStream(
  by: TestSigner,
  pieces: readonly Uint8Array[],
  options: Partial<ObjectOptions> = {},
): { object: Buffer; reference: ObjectReference } {
  const stream = startObject(nodeCrypto, by);
  const out = [stream.header, ...pieces.flatMap((piece) => stream.write(piece))];
  const unsigned = stream.end(optionsFor(by, options));
  const { trailer, reference } = unsigned.finish(signatureOf(by, unsigned.toBeSigned));
  return { object: Buffer.concat([...out, trailer]), reference };
}

interface Read {
  readonly content: Buffer;
  readonly verdict: VerifiedStream;
}

/** @param cuts lengths of the pieces that arrive, repeated */
function readStream(object: Uint8Array, cuts: readonly number[], context: Partial<VerifyContext> = {}): Read {
  const verifier = startVerification(nodeCrypto);
  const content: Uint8Array[] = [];
  for (let at = 0, i = 0; at < object.length; i++) {
    const cut = cuts[i % cuts.length] as number;
    for (const piece of verifier.write(object.subarray(at, at + cut))) {
      expect(piece.verified).toBe(false);
      content.push(new Uint8Array(piece.bytes));
    }
    at += cut;
  }
  return { verdict: verifier.end(contextFor(context)), content: Buffer.concat(content) };
}

const pieces = [Uint8Array.of(1, 2), new Uint8Array(0), new Uint8Array(300).fill(7), Uint8Array.of(3)];
const whole = Buffer.concat(pieces);
const { object, reference } = makeStream(signer, pieces);

describe('a streamed object', () => {
  it.each(Object.keys(KEY_TYPES) as KeyType[])('is verified at its end: %s', (type) => {
    const by = signerOf(type);
    const made = makeStream(by, pieces);
    const { content, verdict } = readStream(made.object, [100]);
    expect(content).toEqual(whole);
    expect(VerifiedStream.is(verdict)).toBe(true);
    expect(VerifiedStream.is({ ...verdict })).toBe(false);
    expect(verdict).toMatchObject({
      format: 'pkcs7',
      signingTime: NOW,
      contentLength: 303,
      receiptRequested: true,
    });
    expect(verdict.binding).toEqual(binding());
    expect(verdict.contentDigest).toEqual(nodeCrypto.digest('sha256', whole));
    expect(verdict.objectDigest).toEqual(nodeCrypto.digest('sha256', made.object));
    expect(made.reference).toEqual(verdict.reference);
  });

  it('tells what a receipt is made with, and its signature without its content', () => {
    for (const bytes of [object, cmsMaker.prepareObject(nodeCrypto, whole, optionsFor(signer))]) {
      const made = bytes instanceof Uint8Array ? bytes : bytes.finish(signatureOf(signer, bytes.toBeSigned));
      const reading = startReading(nodeCrypto);
      for (let at = 0; at < made.length; at += 7) reading.write(made.subarray(at, at + 7));
      const { reference: read, detached } = reading.end();
      if (made === object) expect(read).toEqual(reference);
      else expect(read).toEqual(cmsVerifier.referenceTo(nodeCrypto, made));
      expect(detached.length).toBeLessThan(made.length - whole.length + 20);
      expectRefused(() => cmsVerifier.verifyObject(nodeCrypto, detached, contextFor()), 'ERR_SIGN_MALFORMED');
    }
    const torn = startReading(nodeCrypto);
    torn.write(object.subarray(0, -400));
    expectRefused(() => torn.end(), 'ERR_SIGN_MALFORMED');
    const nothing = startReading(nodeCrypto);
    expectRefused(() => nothing.end(), 'ERR_SIGN_INCOMPLETE');
    expectRefused(() => nothing.write(Uint8Array.of(1, 2, 3)), 'ERR_SIGN_MALFORMED');
  });

  it('comes in pieces of any size', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 8 }),
        fc.boolean(),
        (content, cuts, receiptRequest) => {
          const made = makeStream(signer, content, { receiptRequest });
          const read = readStream(made.object, cuts);
          expect(read.content).toEqual(Buffer.concat(content));
          expect(read.verdict.reference).toEqual(made.reference);
        },
      ),
      { numRuns: 60 },
    );
    expect(readStream(object, [1]).content).toEqual(whole);
  });

  it('can lack certificates', () => {
    const made = makeStream(signer, pieces, { includeCertificates: false });
    expectRefused(() => readStream(made.object, [64]), 'ERR_SIGN_WRONG_SIGNER');
    expect(readStream(made.object, [64], { signerChain: signer.chain }).content).toEqual(whole);
  });

  it('has a receipt like any other', () => {
    const options = optionsFor(signer, { binding: binding({ kind: 'receipt' }) });
    const { verdict } = readStream(object, [64]);
    const unsigned = cmsMaker.prepareReceipt(nodeCrypto, verdict.reference, options);
    const receipt = unsigned.finish(signatureOf(signer, unsigned.toBeSigned));
    cmsVerifier.verifyReceipt(nodeCrypto, receipt, reference, contextFor());
  });

  it('is BER outside, which a whole object is not', () => {
    expectRefused(() => cmsVerifier.verifyObject(nodeCrypto, object, contextFor()), 'ERR_SIGN_NOT_DER');
    const taken = cmsVerifier.verifyForeignObject(nodeCrypto, object, contextFor());
    expect(ForeignObject.is(taken)).toBe(true);
    expect(Buffer.from(taken.content)).toEqual(whole);
  });

  it('may be a whole one in DER', () => {
    const unsigned = cmsMaker.prepareObject(nodeCrypto, whole, optionsFor(signer));
    const der = unsigned.finish(signatureOf(signer, unsigned.toBeSigned));
    for (const cuts of [[1], [7, 3], [5000]]) {
      const { content, verdict } = readStream(der, cuts);
      expect(content).toEqual(whole);
      expect(verdict.reference).toEqual(cmsVerifier.referenceTo(nodeCrypto, der));
    }
    expect(readStream(forge(signer, { content: new Uint8Array(0) }), [1]).content.length).toBe(0);
  });

  it('cannot be written to after its end', () => {
    const stream = startObject(nodeCrypto, signer);
    stream.end(optionsFor(signer));
    expect(() => stream.write(Uint8Array.of(1))).toThrow(/ended already/);
    expect(() => stream.end(optionsFor(signer))).toThrow(/ended already/);
  });
});

describe('a streamed object that is wrong', () => {
  it('is found out wherever it is changed', () => {
    const changed = Buffer.from(object);
    changed[changed.indexOf(Buffer.from([7, 7, 7])) + 50] = 8;
    expectRefused(() => readStream(changed, [64]), 'ERR_SIGN_MESSAGE_DIGEST');
    expectRefused(() => readStream(object, [64], { expect: { sequence: 1 } }), 'ERR_SIGN_BINDING_MISMATCH');
    expectRefused(() => readStream(object, [64], { now: NOW + 3_600_000 }), 'ERR_SIGN_SIGNING_TIME');
    const receipt = makeStream(signer, pieces, { binding: binding({ kind: 'receipt' }) });
    expectRefused(() => readStream(receipt.object, [64]), 'ERR_SIGN_WRONG_KIND');
  });

  it('is incomplete until its last byte', () => {
    for (let length = 0; length < object.length; length += 5) {
      const error = thrownBy(() => readStream(object.subarray(0, length), [64]));
      expect(['ERR_SIGN_INCOMPLETE', 'ERR_SIGN_MALFORMED']).toContain(error?.code);
    }
    const { header } = startObject(nodeCrypto, signer);
    for (const length of [0, 1, header.length - 1, header.length, header.length + 1, 200])
      expectRefused(() => readStream(object.subarray(0, length), [64]), 'ERR_SIGN_INCOMPLETE');
    expectRefused(() => readStream(object.subarray(0, -1), [64]), 'ERR_SIGN_MALFORMED');
    expectRefused(() => readStream(Buffer.concat([object, Buffer.of(0)]), [64]), 'ERR_SIGN_MALFORMED');
  });

  it('stays wrong', () => {
    const verifier = startVerification(nodeCrypto);
    expectRefused(() => verifier.write(Uint8Array.of(0x31, 0x80)), 'ERR_SIGN_MALFORMED');
    expectRefused(() => verifier.write(object), 'ERR_SIGN_MALFORMED');
    expectRefused(() => verifier.end(contextFor()), 'ERR_SIGN_MALFORMED');
  });

  const indefinite = (tag: number, ...inner: readonly Uint8Array[]) =>
    Buffer.concat([Buffer.of(tag, 0x80), ...inner, Buffer.of(0, 0)]);
  /** A streamed object put together by hand. */
  const handmade = ({
    content = indefinite(0x24, encodeDer(octetString(Uint8Array.of(1, 2, 3)))) as Uint8Array,
    changes = {},
    explicit = 0xa0,
    type = Oid.data,
  }: {
    content?: Uint8Array;
    changes?: Parameters<typeof forge>[1];
    explicit?: number;
    type?: string;
  } = {}): Buffer => {
    const parts = partsOf(changes);
    return indefinite(
      Tag.sequence,
      encodeDer(oid(parts.contentInfoType)),
      indefinite(
        contextConstructed(0),
        indefinite(
          Tag.sequence,
          encodeDer(integer(parts.version)),
          encodeDer({ ...sequence(...parts.digestAlgorithms), tag: Tag.set }),
          indefinite(Tag.sequence, encodeDer(oid(type)), indefinite(explicit, content)),
          ...(parts.certificates === undefined ? [] : [encodeDer(parts.certificates)]),
          encodeDer(parts.signerInfos),
        ),
      ),
    );
  };
  const piece = (bytes: Uint8Array) => encodeDer(octetString(bytes));

  it('is compared with a right one', () => {
    expect(readStream(handmade(), [9]).content).toEqual(Buffer.of(1, 2, 3));
    const empty = indefinite(
      0x24,
      piece(new Uint8Array(0)),
      piece(Uint8Array.of(1, 2)),
      piece(Uint8Array.of(3)),
    );
    expect(readStream(handmade({ content: empty }), [9]).content).toEqual(Buffer.of(1, 2, 3));
  });

  it.each<[string, SignatureErrorCode, Uint8Array]>([
    [
      'pieces in pieces',
      'ERR_SIGN_TOO_DEEP',
      handmade({ content: indefinite(0x24, indefinite(0x24, piece(Uint8Array.of(1, 2, 3)))) }),
    ],
    [
      'pieces of another type',
      'ERR_SIGN_MALFORMED',
      handmade({ content: indefinite(0x24, Uint8Array.of(3, 1, 0)) }),
    ],
    ['content of another type', 'ERR_SIGN_MALFORMED', handmade({ content: Uint8Array.of(0x30, 0) })],
    [
      'a piece of indefinite length',
      'ERR_SIGN_MALFORMED',
      handmade({ content: indefinite(0x24, Uint8Array.of(4, 0x80, 1, 0, 0)) }),
    ],
    [
      'a piece of a length that is not minimal',
      'ERR_SIGN_NOT_DER',
      handmade({ content: indefinite(0x24, Uint8Array.of(4, 0x81, 3, 1, 2, 3)) }),
    ],
    [
      'a length beyond all numbers',
      'ERR_SIGN_MALFORMED',
      handmade({ content: indefinite(0x24, Uint8Array.of(4, 0x87, 1, 0, 0, 0, 0, 0, 0)) }),
    ],
    [
      'definite content among indefinite lengths',
      'ERR_SIGN_NOT_DER',
      handmade({ content: piece(Uint8Array.of(1, 2, 3)) }),
    ],
    ['another tag', 'ERR_SIGN_MALFORMED', handmade({ explicit: 0xa1 })],
    ['another ContentInfo', 'ERR_SIGN_MALFORMED', handmade({ changes: { contentInfoType: Oid.data } })],
    ['a version that is wrong', 'ERR_SIGN_MALFORMED', handmade({ changes: { version: 3 } })],
    ['a receipt', 'ERR_SIGN_WRONG_KIND', handmade({ type: Oid.receipt })],
    [
      'an algorithm that is not known',
      'ERR_SIGN_UNSUPPORTED_ALGORITHM',
      handmade({ changes: { digestAlgorithms: [sequence(oid(Oid.sha1))] } }),
    ],
    [
      'NULL after the hash',
      'ERR_SIGN_UNSUPPORTED_ALGORITHM',
      handmade({ changes: { digestAlgorithms: [sequence(oid(Oid.sha256), nullValue())] } }),
    ],
    [
      'a long header',
      'ERR_SIGN_MALFORMED',
      handmade({
        changes: { digestAlgorithms: Array.from({ length: 30 }, () => sequence(oid(Oid.sha256))) },
      }),
    ],
    [
      'a header of indefinite parts',
      'ERR_SIGN_NOT_DER',
      Buffer.concat([
        Buffer.from('3080', 'hex'),
        encodeDer(oid(Oid.signedData)),
        Buffer.from('a080308002010131800000', 'hex'),
      ]),
    ],
    ['a tag of more than one byte', 'ERR_SIGN_MALFORMED', Uint8Array.of(0x1f, 0x81, 0)],
  ])('refuses %s', (_, code, bytes) => {
    for (const cuts of [[1], [bytes.length]]) expectRefused(() => readStream(bytes, cuts), code);
  });

  it('takes a mixture of lengths from other software only', () => {
    const mixed = handmade({ content: piece(Uint8Array.of(1, 2, 3)) });
    const taken = cmsVerifier.verifyForeignObject(nodeCrypto, mixed, contextFor());
    expect(Buffer.from(taken.content)).toEqual(Buffer.of(1, 2, 3));
    const measured = Uint8Array.of(0x24, 6, 4, 1, 1, 4, 1, 2);
    const inPieces = handmade({ content: measured, changes: { content: Uint8Array.of(1, 2) } });
    expect(Buffer.from(cmsVerifier.verifyForeignObject(nodeCrypto, inPieces, contextFor()).content)).toEqual(
      Buffer.of(1, 2),
    );
    expectRefused(() => readStream(inPieces, [64]), 'ERR_SIGN_NOT_DER');
    // The pieces must fill the length that holds them.
    const overfull = handmade({
      content: Uint8Array.of(0x24, 5, 4, 1, 1, 4, 1, 2),
      changes: { content: Uint8Array.of(1, 2) },
    });
    expectRefused(
      () => cmsVerifier.verifyForeignObject(nodeCrypto, overfull, contextFor()),
      'ERR_SIGN_MALFORMED',
    );
  });

  it('is bounded: what comes after the content', () => {
    const verifier = startVerification(nodeCrypto);
    const { header } = startObject(nodeCrypto, signer);
    verifier.write(header);
    verifier.write(Buffer.of(0, 0));
    const junk = new Uint8Array(64 * 1024);
    for (let i = 0; i < 4; i++) verifier.write(junk);
    expectRefused(() => verifier.write(Uint8Array.of(1)), 'ERR_SIGN_TOO_LARGE');
  });

  it('is bounded: content without end goes through, and is not kept', () => {
    const verifier = startVerification(nodeCrypto);
    verifier.write(startObject(nodeCrypto, signer).header);
    verifier.write(Uint8Array.of(4, 0x85, 1, 0, 0, 0, 0));
    const block = new Uint8Array(1024 * 1024);
    for (let i = 0; i < 8; i++) expect(verifier.write(block)[0]?.bytes.buffer).toBe(block.buffer);
    expectRefused(() => verifier.end(contextFor()), 'ERR_SIGN_INCOMPLETE');
  });
});

function thrownBy(run: () => unknown): { readonly code: string } | undefined {
  try {
    run();
  } catch (error) {
    return error as { code: string };
  }
  return undefined;
}

function partsOf(changes: Parameters<typeof forge>[1]): Parts {
  let parts: Parts | undefined;
  forge(signer, {
    contentInfoType: (p) => {
      parts = p;
      return p.contentInfoType;
    },
  });
  let changed: Parts | undefined;
  const { contentInfoType = Oid.signedData, ...rest } = changes ?? {};
  forge(signer, {
    ...rest,
    contentInfoType: (p) => {
      changed = p;
      return p.contentInfoType;
    },
  });
  if (parts === undefined || changed === undefined) throw new Error('not forged');
  return {
    ...changed,
    contentInfoType: typeof contentInfoType === 'string' ? contentInfoType : Oid.signedData,
  };
}
