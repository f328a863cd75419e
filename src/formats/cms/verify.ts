import type { CryptoProvider } from '../../crypto/provider.ts';
import { equalBytes } from '../../der/bytes.ts';
import { Oid } from '../../der/oids.ts';
import { DerReader } from '../../der/reader.ts';
import { SignatureError } from '../../errors/errors.ts';
import type {
  ContentFormat,
  EssReference,
  FindSent,
  Judgement,
  ObjectReference,
  ObjectVerifier,
  VerifyContext,
} from '../format.ts';
import { required } from '../judge.ts';
import { asFault, guarded, settle } from '../judgement.ts';
import {
  type ForeignObject,
  type ForeignReceipt,
  prove,
  type VerifiedObject,
  type VerifiedReceipt,
} from '../verified.ts';
import { INDEFINITE } from './ber.ts';
import {
  type CheckedSignature,
  checkBound,
  checkContentType,
  checkSignature,
  contentHash,
  referenceOf,
} from './check.ts';
import { readReceipt } from './ess.ts';
import { readSignedData, type SignedData } from './read.ts';
import { readStreamed } from './read-stream.ts';

export interface CmsVerifier extends ObjectVerifier {
  /** A receipt of RFC 2634 that other software made for `sent`; see `verifyForeignObject`. */
  verifyForeignReceipt(
    crypto: CryptoProvider,
    receipt: Uint8Array,
    sent: ObjectReference,
    context: VerifyContext,
  ): ForeignReceipt;
}

/** A SignedData, out of what a format puts around it. */
export interface Envelope {
  readonly signedData: Uint8Array;
  /** OID of its eContentType, where the format says it outside as well. */
  readonly contentType: string | undefined;
  /** The data that were signed, out of eContent. @throws DecodeError, SignatureError */
  unwrap(content: Uint8Array): Uint8Array;
}

/** @param open throws DecodeError, SignatureError; `lenient` for objects that other software made */
export function cmsVerifierFor(
  format: ContentFormat,
  open: (object: Uint8Array, lenient: boolean) => Envelope,
): CmsVerifier {
  const read = (object: Uint8Array, lenient: boolean): { data: SignedData; unwrap: Envelope['unwrap'] } => {
    const { signedData, contentType, unwrap } = open(object, lenient);
    const isStreamed = lenient && signedData[1] === INDEFINITE;
    const data = isStreamed ? readStreamed(signedData, lenient) : readSignedData(signedData, lenient);
    if (contentType !== undefined) checkContentType(data.contentType, contentType);
    return { data, unwrap };
  };
  /** Has the signature checked, and then tells `conclude` what the object is. */
  const judge = <T>(
    crypto: CryptoProvider,
    object: Uint8Array,
    context: VerifyContext,
    lenient: boolean,
    conclude: (opened: Opened) => T,
  ): Judgement<T> =>
    guarded(function* () {
      const { data, unwrap } = read(object, lenient);
      const contentDigest = crypto.digest(contentHash(data.digestAlgorithm, lenient), data.content);
      const parts = { head: data, tail: data, contentDigest };
      const signature = yield* checkSignature(crypto, parts, context, lenient);
      return conclude({ format, object, data, contentDigest, signature, unwrap });
    });
  const judgeObject: CmsVerifier['judgeObject'] = (crypto, object, context) =>
    judge(crypto, object, context, false, (opened) => verifiedObject(crypto, opened, context));
  const judgeReceipt: CmsVerifier['judgeReceipt'] = (crypto, receipt, sent, context) =>
    judge(crypto, receipt, context, false, (opened) => verifiedReceipt(crypto, opened, sent, context));
  return {
    format,
    judgeObject,
    judgeReceipt,
    verifyObject: (crypto, object, context) => settle(crypto, judgeObject(crypto, object, context)),
    verifyReceipt: (crypto, receipt, sent, context) =>
      settle(crypto, judgeReceipt(crypto, receipt, sent, context)),
    verifyForeignObject: (crypto, object, context) =>
      settle(
        crypto,
        judge(crypto, object, context, true, (opened) => foreignObject(crypto, opened)),
      ),
    verifyForeignReceipt: (crypto, receipt, sent, context) =>
      settle(
        crypto,
        judge(crypto, receipt, context, true, (opened) => foreignReceipt(crypto, opened, sent)),
      ),
    referenceTo: (crypto, object) =>
      asFault(() => {
        const { contentType, signer } = read(object, false).data;
        const hash = contentHash(signer.digestAlgorithm, false);
        return referenceOf(crypto, crypto.digest('sha256', object), contentType, { ...signer, hash });
      }),
    acknowledgedDigest: (receipt) =>
      asFault(() => {
        const { attributes } = read(receipt, false).data.signer;
        return new Uint8Array(required(attributes.acknowledgedObject, ACKNOWLEDGED_OBJECT));
      }),
  };
}

/** Verifies what `make.ts` makes, and what other software makes of the same kind. */
export const cmsVerifier: CmsVerifier = cmsVerifierFor('pkcs7', (object) => ({
  signedData: object,
  contentType: undefined,
  unwrap: (content) => content,
}));

interface Opened {
  readonly format: ContentFormat;
  readonly object: Uint8Array;
  readonly data: SignedData;
  /** Of eContent, by the signer's hash. */
  readonly contentDigest: Uint8Array;
  readonly signature: CheckedSignature;
  readonly unwrap: Envelope['unwrap'];
}

const ACKNOWLEDGED_OBJECT = 'acknowledged-object';

function verifiedObject(crypto: CryptoProvider, opened: Opened, context: VerifyContext): VerifiedObject {
  checkContentType(opened.data.contentType, Oid.data);
  const content = opened.unwrap(opened.data.content);
  const { binding, signingTime } = checkBound(opened.signature, 'data', context);
  const objectDigest = crypto.digest('sha256', opened.object);
  const facts = {
    format: opened.format,
    signer: opened.signature.signer,
    objectDigest,
    signingTime,
    binding,
    contentLength: content.length,
    contentDigest: digestOf(crypto, opened, content),
    receiptRequested: opened.signature.attributes.receiptRequest !== undefined,
    reference: referenceOf(crypto, objectDigest, opened.data.contentType, opened.signature),
  };
  return prove.object(facts, content);
}

function foreignObject(crypto: CryptoProvider, opened: Opened): ForeignObject {
  checkContentType(opened.data.contentType, Oid.data);
  const content = opened.unwrap(opened.data.content);
  const objectDigest = crypto.digest('sha256', opened.object);
  return prove.foreign({
    format: opened.format,
    signer: opened.signature.signer,
    objectDigest,
    signingTime: opened.signature.attributes.signingTime,
    content,
    contentLength: content.length,
    contentDigest: digestOf(crypto, opened, content),
    receiptRequested: opened.signature.attributes.receiptRequest !== undefined,
    reference: referenceOf(crypto, objectDigest, opened.data.contentType, opened.signature),
  });
}

/** SHA-256 of the content, which the signature may have needed already. */
function digestOf(crypto: CryptoProvider, opened: Opened, content: Uint8Array): Uint8Array {
  const isDigested = opened.signature.hash === 'sha256' && content.length === opened.data.content.length;
  return isDigested ? opened.contentDigest : crypto.digest('sha256', content);
}

function verifiedReceipt(
  crypto: CryptoProvider,
  opened: Opened,
  sent: ObjectReference | FindSent,
  context: VerifyContext,
): VerifiedReceipt {
  const { format, object, data, signature, unwrap } = opened;
  const bound = checkBound(signature, 'receipt', context);
  const digest = required(signature.attributes.acknowledgedObject, ACKNOWLEDGED_OBJECT);
  const acknowledged = typeof sent === 'function' ? sent(new Uint8Array(digest)) : sent;
  if (acknowledged === undefined) throw mismatch('object that was never sent', 'objectDigest');
  if (!equalBytes(acknowledged.objectDigest, digest)) throw mismatch('object', 'objectDigest');
  if (acknowledged.kind === 'unsigned') {
    checkContentType(data.contentType, Oid.data);
    if (!equalBytes(unwrap(data.content), digest)) throw mismatch('object', 'content');
  } else checkReceipt(data, signature, acknowledged.ess);
  const objectDigest = crypto.digest('sha256', object);
  return prove.receipt({ format, signer: signature.signer, objectDigest, ...bound, acknowledged });
}

function foreignReceipt(crypto: CryptoProvider, opened: Opened, sent: ObjectReference): ForeignReceipt {
  const { format, object, data, signature } = opened;
  checkReceipt(data, signature, sent.ess);
  const { signer, attributes } = signature;
  const objectDigest = crypto.digest('sha256', object);
  return prove.foreignReceipt({
    format,
    signer,
    objectDigest,
    signingTime: attributes.signingTime,
    acknowledged: sent,
  });
}

/** RFC 2634 §2.6: what the receipt repeats MUST be what the object has. */
function checkReceipt(
  data: SignedData,
  { attributes }: CheckedSignature,
  ess: EssReference | undefined,
): void {
  checkContentType(data.contentType, Oid.receipt);
  // §2.4: a receipt MUST NOT ask for one.
  if (attributes.receiptRequest !== undefined)
    throw new SignatureError('ERR_SIGN_WRONG_KIND', 'The receipt asks for a receipt itself');
  if (ess === undefined) throw mismatch('object that did not ask for a receipt', 'receiptRequest');
  const reader = new DerReader(data.content, 'receipt');
  const receipt = readReceipt(reader);
  reader.end();
  if (receipt.contentType !== ess.contentType) throw mismatch('object', 'contentType');
  if (!equalBytes(receipt.contentIdentifier, ess.contentIdentifier))
    throw mismatch('object', 'signedContentIdentifier');
  if (!equalBytes(receipt.originatorSignature, ess.signature))
    throw mismatch('object', 'originatorSignatureValue');
  if (!equalBytes(required(attributes.msgSigDigest, 'msgSigDigest'), ess.attributesDigest))
    throw mismatch('object', 'msgSigDigest');
}

function mismatch(what: string, field: string): SignatureError {
  return new SignatureError('ERR_SIGN_RECEIPT_MISMATCH', `The receipt is for another ${what}`, field);
}
