import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../../src/crypto/node/provider.ts';
import { Oid } from '../../../../src/der/oids.ts';
import { contextPrimitive } from '../../../../src/der/tags.ts';
import { type Der, encodeDer, integer, octetString, oid, sequence } from '../../../../src/der/writer.ts';
import type { SignatureErrorCode } from '../../../../src/errors/errors.ts';
import { encodeReceipt, encodeReceiptRequest, type Receipt } from '../../../../src/formats/cms/ess.ts';
import { cmsMaker } from '../../../../src/formats/cms/make.ts';
import { cmsVerifier } from '../../../../src/formats/cms/verify.ts';
import type {
  EssReference,
  FindSent,
  ObjectReference,
  VerifyContext,
} from '../../../../src/formats/format.ts';
import { encodeUnsignedObject, referenceToUnsigned } from '../../../../src/formats/unsigned.ts';
import { ForeignReceipt, VerifiedReceipt } from '../../../../src/formats/verified.ts';
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
  signerWith,
  type TestSigner,
} from '../kit.ts';
import { attribute, attributesWith, forge, type Parts } from './forge.ts';

const sender = signerOf('P-256');
const receiver = signerWith('p256', 'ecdsa_secp256r1_sha256', 'Receiver');
const content = new TextEncoder().encode('An order for 12 chairs.');
const ofReceipt = binding({ kind: 'receipt', role: 'server', sequence: 3 });

function makeObject(signer: TestSigner, sequence = 7): Uint8Array {
  const unsigned = cmsMaker.prepareObject(
    nodeCrypto,
    content,
    optionsFor(signer, { binding: binding({ sequence }) }),
  );
  return unsigned.finish(signatureOf(signer, unsigned.toBeSigned));
}

function makeReceipt(received: ObjectReference, signer: TestSigner = receiver): Uint8Array {
  const unsigned = cmsMaker.prepareReceipt(nodeCrypto, received, optionsFor(signer, { binding: ofReceipt }));
  return unsigned.finish(signatureOf(signer, unsigned.toBeSigned));
}

function verify(receipt: Uint8Array, sent: ObjectReference | FindSent, context: Partial<VerifyContext> = {}) {
  return cmsVerifier.verifyReceipt(nodeCrypto, receipt, sent, contextFor(context));
}

function foreign(receipt: Uint8Array, sent: ObjectReference) {
  return cmsVerifier.verifyForeignReceipt(nodeCrypto, receipt, sent, contextFor());
}

const object = makeObject(sender);
const reference = cmsVerifier.referenceTo(nodeCrypto, object);
const ess = reference.ess as EssReference;

/** A receipt put together by hand. */
function forgeReceipt(
  changes: Partial<Receipt> = {},
  { msgSigDigest = ess.attributesDigest, acknowledged = reference.objectDigest } = {},
  more: Parameters<typeof forge>[1] = {},
): Uint8Array {
  const receipt = encodeReceipt({
    contentType: ess.contentType,
    contentIdentifier: ess.contentIdentifier,
    originatorSignature: ess.signature,
    ...changes,
  });
  return forge(receiver, {
    content: receipt,
    contentType: Oid.receipt,
    binding: ofReceipt,
    attributes: attributesWith(
      [],
      attribute(Oid.msgSigDigest, octetString(msgSigDigest)),
      attribute(Oid.acknowledgedObject, octetString(acknowledged)),
    ),
    ...more,
  });
}

describe('a signed receipt', () => {
  it.each(Object.keys(KEY_TYPES) as KeyType[])('is taken for the object that was received: %s', (type) => {
    const signer = signerOf(type);
    const sent = makeObject(signer);
    const { reference } = cmsVerifier.verifyObject(nodeCrypto, sent, contextFor());
    const receipt = makeReceipt(reference, signer);
    expect(cmsVerifier.acknowledgedDigest(receipt)).toEqual(
      new Uint8Array(nodeCrypto.digest('sha256', sent)),
    );
    const verified = verify(receipt, cmsVerifier.referenceTo(nodeCrypto, sent));
    expect(VerifiedReceipt.is(verified)).toBe(true);
    expect(VerifiedReceipt.is({ ...verified })).toBe(false);
    expect(verified.binding).toEqual(ofReceipt);
    expect(verified.signingTime).toBe(NOW);
    expect(verified.acknowledged.objectDigest).toEqual(nodeCrypto.digest('sha256', sent));
    expect(verified.objectDigest).toEqual(nodeCrypto.digest('sha256', receipt));
    expect(verified.signer.leaf.raw).toEqual(signer.identity.der);
  });

  it('is what RFC 2634 describes', () => {
    // Signatures of EC keys differ each time: what is under them is compared.
    const parts = cmsMaker.prepareReceipt(
      nodeCrypto,
      reference,
      optionsFor(receiver, { binding: ofReceipt }),
    );
    expect(parts.toBeSigned).toEqual(partsOfReceipt().signed);
    expect(verify(forgeReceipt(), reference).acknowledged).toBe(reference);
  });

  it('finds its object among those that were sent', () => {
    const another = cmsVerifier.referenceTo(nodeCrypto, makeObject(sender, 8));
    const sent = [another, reference];
    const find: FindSent = (digest) => sent.find((one) => Buffer.compare(one.objectDigest, digest) === 0);
    expect(verify(makeReceipt(reference), find).acknowledged).toBe(reference);
    expectRefused(
      () => verify(makeReceipt(reference), () => undefined),
      'ERR_SIGN_RECEIPT_MISMATCH',
      'objectDigest',
    );
    // A careless search does no harm.
    expectRefused(
      () => verify(makeReceipt(reference), () => another),
      'ERR_SIGN_RECEIPT_MISMATCH',
      'objectDigest',
    );
  });

  it.each<[string, Uint8Array]>([
    ['contentType', forgeReceipt({ contentType: Oid.receipt })],
    ['signedContentIdentifier', forgeReceipt({ contentIdentifier: Uint8Array.of(1) })],
    ['originatorSignatureValue', forgeReceipt({ originatorSignature: new Uint8Array(70) })],
    ['msgSigDigest', forgeReceipt({}, { msgSigDigest: new Uint8Array(32) })],
    ['objectDigest', forgeReceipt({}, { acknowledged: new Uint8Array(32) })],
    ['objectDigest', forgeReceipt({}, { acknowledged: new Uint8Array(0) })],
  ])('repeats the object’s %s', (field, receipt) => {
    expectRefused(() => verify(receipt, reference), 'ERR_SIGN_RECEIPT_MISMATCH', field);
    if (field === 'objectDigest') expect(ForeignReceipt.is(foreign(receipt, reference))).toBe(true);
    else expectRefused(() => foreign(receipt, reference), 'ERR_SIGN_RECEIPT_MISMATCH', field);
  });

  it.each<[string, SignatureErrorCode, Uint8Array]>([
    ['binding', 'ERR_SIGN_MISSING_ATTRIBUTE', without(Oid.binding)],
    ['msgSigDigest', 'ERR_SIGN_MISSING_ATTRIBUTE', without(Oid.msgSigDigest)],
    // The UUID's own OID is in front of this one: it must not be taken for it.
    ['acknowledged-object', 'ERR_SIGN_MISSING_ATTRIBUTE', without(Oid.acknowledgedObject)],
  ])('has its %s', (name, code, receipt) => {
    expectRefused(() => verify(receipt, reference), code, name);
  });

  it('is signed as a receipt', () => {
    const more = { binding: binding() };
    expectRefused(() => verify(forgeReceipt({}, {}, more), reference), 'ERR_SIGN_WRONG_KIND', 'kind');
    expectRefused(() => verify(object, reference), 'ERR_SIGN_WRONG_KIND');
    expectRefused(
      () => cmsVerifier.verifyObject(nodeCrypto, makeReceipt(reference), contextFor()),
      'ERR_SIGN_WRONG_KIND',
    );
    const asData = { contentType: Oid.data };
    expectRefused(
      () => verify(forgeReceipt({}, {}, asData), reference),
      'ERR_SIGN_WRONG_KIND',
      'eContentType',
    );
    expectRefused(
      () => foreign(forgeReceipt({}, {}, asData), reference),
      'ERR_SIGN_WRONG_KIND',
      'eContentType',
    );
  });

  it('asks for no receipt', () => {
    const request = attribute(Oid.receiptRequest, encodeReceiptRequest(Uint8Array.of(1), sequence()));
    const attributes = ({ attributes }: Parts) => [...attributes, request];
    const receipt = forge(receiver, {
      content: encodeReceipt({
        contentType: Oid.data,
        contentIdentifier: ess.contentIdentifier,
        originatorSignature: ess.signature,
      }),
      contentType: Oid.receipt,
      binding: ofReceipt,
      attributes: (p) => [
        ...attributes(p),
        attribute(Oid.msgSigDigest, octetString(ess.attributesDigest)),
        attribute(Oid.acknowledgedObject, octetString(reference.objectDigest)),
      ],
    });
    expectRefused(() => verify(receipt, reference), 'ERR_SIGN_WRONG_KIND');
  });

  it('is only for what asked for one', () => {
    const unasked = { ...reference, ess: undefined };
    expectRefused(
      () => verify(makeReceipt(reference), unasked),
      'ERR_SIGN_RECEIPT_MISMATCH',
      'receiptRequest',
    );
  });

  it('has the signature, certificate and binding of any object', () => {
    const receipt = makeReceipt(reference);
    expectRefused(() => verify(receipt, reference, { signerChain: sender.chain }), 'ERR_SIGN_WRONG_SIGNER');
    expectRefused(
      () => verify(receipt, reference, { expect: { sequence: 4 } }),
      'ERR_SIGN_BINDING_MISMATCH',
      'sequence',
    );
    expectRefused(() => verify(receipt, reference, { now: NOW + 600_000 }), 'ERR_SIGN_SIGNING_TIME');
    const signature = { signature: new Uint8Array(70) };
    expectRefused(() => verify(forgeReceipt({}, {}, signature), reference), 'ERR_SIGN_BAD_SIGNATURE');
  });

  it.each<[string, Uint8Array]>([
    ['version 2', receiptWith(integer(2))],
    ['no version', encodeDer(sequence(oid(Oid.data)))],
    ['bytes after it', Uint8Array.of(...receiptWith(integer(1)), 0)],
    [
      'an endless identifier',
      encodeReceipt({
        contentType: Oid.data,
        contentIdentifier: new Uint8Array(257),
        originatorSignature: ess.signature,
      }),
    ],
  ])('refuses %s', (_, bytes) => {
    const receipt = forgeReceipt({}, {}, { content: bytes });
    expectRefused(() => verify(receipt, reference), 'ERR_SIGN_MALFORMED');
  });
});

describe('a receipt for what is unsigned ({0,2})', () => {
  const sent = encodeUnsignedObject({ binding: binding(), content });
  const unsignedReference = referenceToUnsigned(nodeCrypto, sent);

  it('is signed over its SHA-256', () => {
    const receipt = makeReceipt(unsignedReference);
    expect(verify(receipt, unsignedReference).acknowledged).toBe(unsignedReference);
    expect(cmsVerifier.acknowledgedDigest(receipt)).toEqual(new Uint8Array(unsignedReference.objectDigest));
    // Anyone's software can check that: what is signed is the digest.
    const { content: signed } = cmsVerifier.verifyForeignObject(nodeCrypto, receipt, contextFor());
    expect(signed).toEqual(new Uint8Array(nodeCrypto.digest('sha256', sent)));
  });

  it('is for this one', () => {
    const receipt = makeReceipt(unsignedReference);
    const other = referenceToUnsigned(
      nodeCrypto,
      encodeUnsignedObject({ binding: binding({ sequence: 8 }), content }),
    );
    expectRefused(() => verify(receipt, other), 'ERR_SIGN_RECEIPT_MISMATCH', 'objectDigest');
    const digest = attribute(Oid.acknowledgedObject, octetString(unsignedReference.objectDigest));
    const lying = forge(receiver, {
      content: other.objectDigest,
      binding: ofReceipt,
      attributes: attributesWith([], digest),
    });
    expectRefused(() => verify(lying, unsignedReference), 'ERR_SIGN_RECEIPT_MISMATCH', 'content');
  });

  it('is not the receipt for a signed one, nor the other way round', () => {
    const signed: ObjectReference = { ...unsignedReference, kind: 'signed', ess };
    expectRefused(
      () => verify(makeReceipt(unsignedReference), signed),
      'ERR_SIGN_WRONG_KIND',
      'eContentType',
    );
    const asUnsigned: ObjectReference = { ...unsignedReference, objectDigest: reference.objectDigest };
    expectRefused(() => verify(makeReceipt(reference), asUnsigned), 'ERR_SIGN_WRONG_KIND', 'eContentType');
  });

  it('is no data', () => {
    const receipt = makeReceipt(unsignedReference);
    expectRefused(
      () => cmsVerifier.verifyObject(nodeCrypto, receipt, contextFor()),
      'ERR_SIGN_WRONG_KIND',
      'kind',
    );
  });
});

describe('receiptRequest', () => {
  const requestWith = (...fields: readonly Der[]) => {
    const request = attribute(Oid.receiptRequest, sequence(...fields));
    return forge(sender, { attributes: attributesWith([], request) });
  };
  const id = octetString(Uint8Array.of(1));
  const all = { tag: contextPrimitive(0), content: Uint8Array.of(0), contentLength: 1 };
  const names = sequence(sequence());
  const read = (signed: Uint8Array) => cmsVerifier.verifyObject(nodeCrypto, signed, contextFor());

  it('is read in all its forms', () => {
    expect(read(requestWith(id, all, names)).reference.ess?.contentIdentifier).toEqual(Uint8Array.of(1));
    const list = { ...sequence(sequence()), tag: 0xa1 };
    expect(read(requestWith(id, list, names)).receiptRequested).toBe(true);
  });

  it('refuses what is none', () => {
    const seventeen = sequence(...Array.from({ length: 17 }, () => sequence()));
    for (const request of [
      requestWith(id, all),
      requestWith(id, names),
      requestWith(all, names),
      requestWith(id, all, sequence()),
      requestWith(id, all, seventeen),
      requestWith(id, all, names, id),
      requestWith(octetString(new Uint8Array(257)), all, names),
    ])
      expectRefused(() => read(request), 'ERR_SIGN_MALFORMED');
  });
});

function receiptWith(version: Der): Uint8Array {
  return encodeDer(
    sequence(version, oid(Oid.data), octetString(ess.contentIdentifier), octetString(ess.signature)),
  );
}

function partsOfReceipt(): Parts {
  let parts: Parts | undefined;
  forgeReceipt(
    {},
    {},
    {
      contentInfoType: (p) => {
        parts = p;
        return p.contentInfoType;
      },
    },
  );
  if (parts === undefined) throw new Error('not forged');
  return parts;
}

/** A receipt without one attribute. */
function without(type: string): Uint8Array {
  const encoded = Buffer.from(encodeDer(oid(type)));
  return forgeReceipt(
    {},
    {},
    {
      attributes: ({ attributes }) =>
        [
          ...attributes,
          attribute(Oid.msgSigDigest, octetString(ess.attributesDigest)),
          attribute(Oid.acknowledgedObject, octetString(reference.objectDigest)),
        ].filter((one) => !Buffer.from(one).includes(encoded)),
    },
  );
}
