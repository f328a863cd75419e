import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../../src/crypto/node/provider.ts';
import { SignatureError } from '../../../../src/errors/errors.ts';
import { cmsMaker } from '../../../../src/formats/cms/make.ts';
import { startObject } from '../../../../src/formats/cms/make-stream.ts';
import { cmsVerifier } from '../../../../src/formats/cms/verify.ts';
import { startVerification } from '../../../../src/formats/cms/verify-stream.ts';
import { smimeMaker } from '../../../../src/formats/smime/make.ts';
import { smimeVerifier } from '../../../../src/formats/smime/verify.ts';
import { ca, client } from '../../x509/pki.ts';
import { binding, contextFor, optionsFor, root, signatureOf, signerOf, type TestSigner } from '../kit.ts';

/** What nobody meant to be an object, and objects that were changed on their way. */

const ed25519 = signerOf('Ed25519');
const content = new TextEncoder().encode('twelve');

function make(signer: TestSigner): Uint8Array {
  const unsigned = cmsMaker.prepareObject(nodeCrypto, content, optionsFor(signer));
  return unsigned.finish(signatureOf(signer, unsigned.toBeSigned));
}

/** A typed error is as good as any other, a verdict is not; anything else is a fault of ours. */
function isRefused(run: () => unknown): boolean {
  try {
    run();
    return false;
  } catch (error) {
    expect(error).toBeInstanceOf(SignatureError);
    return true;
  }
}

const verify = (object: Uint8Array) => cmsVerifier.verifyObject(nodeCrypto, object, contextFor());

function verifyStream(object: Uint8Array, cut: number) {
  const verifier = startVerification(nodeCrypto);
  for (let at = 0; at < object.length; at += cut) verifier.write(object.subarray(at, at + cut));
  return verifier.end(contextFor());
}

/** Where a change of one byte is not noticed. */
function blindSpots(
  object: Uint8Array,
  masks: readonly number[],
  check: (changed: Uint8Array) => unknown,
): number[] {
  const spots: number[] = [];
  const changed = new Uint8Array(object);
  for (let at = 0; at < object.length; at++) {
    for (const mask of masks) {
      changed[at] = (object[at] as number) ^ mask;
      if (!isRefused(() => check(changed))) spots.push(at);
    }
    changed[at] = object[at] as number;
  }
  return [...new Set(spots)];
}

const ALL_BITS = [1, 2, 4, 8, 16, 32, 64, 128];

describe('one changed byte', () => {
  it('is found out everywhere in an object', () => {
    const object = make(ed25519);
    verify(object);
    expect(blindSpots(object, [1, 0x80], verify)).toEqual([]);
  });

  it('is found out everywhere in a receipt', () => {
    const reference = cmsVerifier.referenceTo(nodeCrypto, make(ed25519));
    const options = optionsFor(ed25519, { binding: binding({ kind: 'receipt' }) });
    const unsigned = cmsMaker.prepareReceipt(nodeCrypto, reference, options);
    const receipt = unsigned.finish(signatureOf(ed25519, unsigned.toBeSigned));
    const check = (changed: Uint8Array) =>
      cmsVerifier.verifyReceipt(nodeCrypto, changed, reference, contextFor());
    check(receipt);
    expect(blindSpots(receipt, [1, 0x80], check)).toEqual([]);
  });

  it('is found out everywhere in a streamed object', () => {
    const stream = startObject(nodeCrypto, ed25519);
    const parts = [stream.header, ...stream.write(content), ...stream.write(content)];
    const unsigned = stream.end(optionsFor(ed25519));
    const { trailer } = unsigned.finish(signatureOf(ed25519, unsigned.toBeSigned));
    const object = Buffer.concat([...parts, trailer]);
    const check = (changed: Uint8Array) => verifyStream(changed, 64);
    check(object);
    expect(blindSpots(object, [1, 0x80], check)).toEqual([]);
  });

  it('is found out in the head and tail, whatever bit it is', () => {
    const object = make(ed25519);
    const certificate = Buffer.from(object).indexOf(Buffer.from(ed25519.identity.der));
    const end = certificate + ed25519.identity.der.length;
    const spots = blindSpots(object.subarray(0, certificate), ALL_BITS, (head) =>
      verify(Buffer.concat([head, object.subarray(certificate)])),
    );
    expect(spots).toEqual([]);
    const tail = blindSpots(object.subarray(end), ALL_BITS, (changed) =>
      verify(Buffer.concat([object.subarray(0, end), changed])),
    );
    expect(tail).toEqual([]);
  });

  it('goes unnoticed only in certificates that nothing depends on', () => {
    // Two of them beside the signer's: one that its path goes through, and one that is of no use.
    const middle = ca('Middle', { kind: 'ed25519', issuer: root });
    const useless = ca('Useless', { kind: 'ed25519' });
    const identity = client('Below', { kind: 'ed25519', issuer: middle });
    const signer = { ...ed25519, identity, chain: [identity.der, middle.der, useless.der] };
    const object = make(signer);
    const at = Buffer.from(object).indexOf(Buffer.from(useless.der));
    const spots = blindSpots(object, [1, 0x80], verify);
    expect(spots.length).toBeGreaterThan(0);
    expect(spots.every((spot) => spot > at && spot < at + useless.der.length)).toBe(true);
  });

  it('is found out in S/MIME, but for what MIME leaves open', () => {
    const unsigned = smimeMaker.prepareObject(nodeCrypto, content, optionsFor(ed25519));
    const object = unsigned.finish(signatureOf(ed25519, unsigned.toBeSigned));
    const check = (changed: Uint8Array) => smimeVerifier.verifyObject(nodeCrypto, changed, contextFor());
    check(object);
    const body = Buffer.from(object).indexOf('\r\n\r\n') + 4;
    // Names of files, fields that are not read, upper and lower case: the digest of the object covers them.
    const spots = blindSpots(object, [1, 0x20, 0x80], check);
    expect(spots.every((spot) => spot < body)).toBe(true);
  });
});

describe('junk', () => {
  const object = make(ed25519);

  it('is refused, whatever it is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 1, max: 50 }), (bytes, cut) => {
        expect(isRefused(() => verify(bytes))).toBe(true);
        expect(isRefused(() => cmsVerifier.verifyForeignObject(nodeCrypto, bytes, contextFor()))).toBe(true);
        expect(isRefused(() => smimeVerifier.verifyForeignObject(nodeCrypto, bytes, contextFor()))).toBe(
          true,
        );
        expect(isRefused(() => verifyStream(bytes, cut))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('does not become an object by cutting, doubling and mixing one', () => {
    const edit = fc.record({
      at: fc.nat(object.length - 1),
      remove: fc.integer({ min: 0, max: 40 }),
      insert: fc.uint8Array({ maxLength: 40 }),
    });
    fc.assert(
      fc.property(
        fc.array(edit, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 200 }),
        (edits, cut) => {
          let changed: Uint8Array = object;
          for (const { at, remove, insert } of edits)
            changed = Buffer.concat([changed.subarray(0, at), insert, changed.subarray(at + remove)]);
          if (Buffer.compare(changed, object) === 0) return;
          expect(isRefused(() => verify(changed))).toBe(true);
          expect(isRefused(() => cmsVerifier.referenceTo(nodeCrypto, changed)) || true).toBe(true);
          expect(isRefused(() => verifyStream(changed, cut))).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('is refused at every length', () => {
    for (let length = 0; length < object.length; length++) {
      expect(isRefused(() => verify(object.subarray(0, length)))).toBe(true);
      expect(isRefused(() => verifyStream(object.subarray(0, length), 100))).toBe(true);
    }
  });

  it('is refused where it is deep or announces much', () => {
    const deep = new Uint8Array(200_000).fill(0x30);
    for (let i = 1; i < deep.length; i += 2) deep[i] = 0x80;
    expect(isRefused(() => verify(deep))).toBe(true);
    expect(isRefused(() => cmsVerifier.verifyForeignObject(nodeCrypto, deep, contextFor()))).toBe(true);
    expect(isRefused(() => verifyStream(deep, 1000))).toBe(true);
    const huge = Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x06);
    expect(isRefused(() => verify(huge))).toBe(true);
    expect(isRefused(() => verifyStream(huge, 1))).toBe(true);
  });
});
