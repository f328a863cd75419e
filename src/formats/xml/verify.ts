import type { CryptoProvider, PublicKey } from '../../crypto/provider.ts';
import { equalBytes } from '../../der/bytes.ts';
import { encodeDer, integer } from '../../der/writer.ts';
import { SignatureError } from '../../errors/errors.ts';
import type { Certificate } from '../../x509/certificate.ts';
import type {
  FindSent,
  Judgement,
  ObjectReference,
  ObjectVerifier,
  SignerIdentity,
  VerifyContext,
} from '../format.ts';
import {
  certificateDigest,
  checkKey,
  checkSigningTime,
  checkStatements,
  judgeSigner,
  required,
  wrongSigner,
} from '../judge.ts';
import { asFault, guarded, settle } from '../judgement.ts';
import { type ForeignObject, prove, type VerifiedObject, type VerifiedReceipt } from '../verified.ts';
import { ecdsaToDer } from './algorithms.ts';
import type { CertificateId } from './properties.ts';
import { readSignature, type SignedPart, type XmlSignature } from './read.ts';

/**
 * Verifies what `make.ts` makes, and documents of the same profile in another spelling: prefixes, spaces, quotes and
 * the order of attributes are free, as exclusive canonical form leaves them.
 */
export const xmlVerifier: ObjectVerifier = {
  format: 'xmldsig',
  judgeObject,
  judgeReceipt,
  verifyObject: (crypto, object, context) => settle(crypto, judgeObject(crypto, object, context)),
  verifyReceipt: (crypto, receipt, sent, context) =>
    settle(crypto, judgeReceipt(crypto, receipt, sent, context)),
  verifyForeignObject: (crypto, object, context) =>
    settle(
      crypto,
      guarded(() => foreignObject(crypto, object, context)),
    ),
  referenceTo: (crypto, object) =>
    asFault(() => {
      const { properties } = readSignature(object, false);
      return referenceOf(crypto.digest('sha256', object), properties.receiptRequested);
    }),
  acknowledgedDigest: (receipt) => asFault(() => acknowledgedBy(readSignature(receipt, false))),
};

/** SHA-256. */
const OBJECT_DIGEST_LENGTH = 32;

function judgeObject(
  crypto: CryptoProvider,
  object: Uint8Array,
  context: VerifyContext,
): Judgement<VerifiedObject> {
  return guarded(() => verifiedObject(crypto, object, context));
}

function judgeReceipt(
  crypto: CryptoProvider,
  receipt: Uint8Array,
  sent: ObjectReference | FindSent,
  context: VerifyContext,
): Judgement<VerifiedReceipt> {
  return guarded(() => verifiedReceipt(crypto, receipt, sent, context));
}

function* verifiedObject(
  crypto: CryptoProvider,
  object: Uint8Array,
  context: VerifyContext,
): Judgement<VerifiedObject> {
  const read = readSignature(object, false);
  checkKind(read, 'data');
  const signer = yield* checkSignature(crypto, read, context, false);
  const bound = checkBound(read, 'data', context);
  return prove.object({ ...objectFacts(crypto, object, read, signer), ...bound }, read.content);
}

function* foreignObject(
  crypto: CryptoProvider,
  object: Uint8Array,
  context: VerifyContext,
): Judgement<ForeignObject> {
  const read = readSignature(object, true);
  checkKind(read, 'data');
  const signer = yield* checkSignature(crypto, read, context, true);
  const { signingTime } = read.properties;
  return prove.foreign({ ...objectFacts(crypto, object, read, signer), signingTime, content: read.content });
}

function* verifiedReceipt(
  crypto: CryptoProvider,
  object: Uint8Array,
  sent: ObjectReference | FindSent,
  context: VerifyContext,
): Judgement<VerifiedReceipt> {
  const read = readSignature(object, false);
  const digest = acknowledgedBy(read);
  const signer = yield* checkSignature(crypto, read, context, false);
  const bound = checkBound(read, 'receipt', context);
  if (read.properties.receiptRequested)
    throw new SignatureError('ERR_SIGN_WRONG_KIND', 'The receipt asks for a receipt itself');
  const acknowledged = typeof sent === 'function' ? sent(digest) : sent;
  if (acknowledged === undefined) throw mismatch('object that was never sent');
  if (!equalBytes(acknowledged.objectDigest, digest)) throw mismatch('object');
  if (!acknowledged.receiptRequested) throw mismatch('object, that asked for a receipt', 'receiptRequest');
  const objectDigest = crypto.digest('sha256', object);
  return prove.receipt({ format: 'xmldsig', signer, objectDigest, ...bound, acknowledged });
}

/**
 * In this order: what costs nothing, then the certificates, then the signature, and last what the signer has said,
 * which means something only then. What algorithms there are was settled in reading.
 */
function* checkSignature(
  crypto: CryptoProvider,
  read: XmlSignature,
  context: VerifyContext,
  lenient: boolean,
): Judgement<SignerIdentity> {
  for (const part of read.parts) checkDigest(crypto, part);
  const id = read.properties.signingCertificate;
  if (!lenient) required(id, 'SigningCertificateV2');
  const signer = judgeSigner(crypto, chainOf(crypto, read, context), context);
  if (id !== undefined) checkSigningCertificate(crypto, id, signer.leaf);
  checkKey(read.algorithm, signer, lenient);
  const signature = asProvided(read, signer.publicKey);
  const isGood =
    signature !== undefined &&
    (yield { algorithm: read.algorithm, key: signer.publicKey, data: read.signedInfo, signature });
  if (!isGood)
    throw new SignatureError(
      'ERR_SIGN_BAD_SIGNATURE',
      `The signature was not made with the key of ${signer.leaf}`,
    );
  checkSigningTime(read.properties.signingTime, context);
  return signer;
}

/** RFC 3275 §3.2.1. */
function checkDigest(crypto: CryptoProvider, { name, hash, digest, octets }: SignedPart): void {
  if (equalBytes(crypto.digest(hash, octets), digest)) return;
  throw new SignatureError('ERR_SIGN_MESSAGE_DIGEST', `The signature was made over other ${name}`, name);
}

/**
 * The signer's certificate first: the one that SigningCertificateV2 means; where that is none of those in the object,
 * the first, for the check of the hash to refuse. An announced one is the only one that will do.
 */
function chainOf(
  crypto: CryptoProvider,
  { certificates, properties }: XmlSignature,
  { signerChain }: VerifyContext,
): readonly Uint8Array[] {
  const id = properties.signingCertificate;
  const isMeant = (certificate: Uint8Array): boolean =>
    id === undefined || equalBytes(crypto.digest(id.hash, certificate), id.digest);
  const [first, ...others] = certificates;
  const leaf = first === undefined || isMeant(first) ? first : (others.find(isMeant) ?? first);
  if (signerChain !== undefined) {
    const [announced] = signerChain;
    const isAnnounced =
      announced !== undefined && (leaf === undefined ? isMeant(announced) : equalBytes(leaf, announced));
    if (isAnnounced) return signerChain;
    throw wrongSigner('it names another certificate than the one that was announced');
  }
  if (leaf === undefined) throw wrongSigner('there is no certificate in the object, and none was announced');
  return [leaf, ...certificates.filter((certificate) => certificate !== leaf)];
}

/** EN 319 132-1 §5.2.2, as RFC 5035 §3: the hash is that of the certificate that the signature is verified with. */
function checkSigningCertificate(
  crypto: CryptoProvider,
  { hash, digest, issuerSerial }: CertificateId,
  leaf: Certificate,
): void {
  if (!equalBytes(digest, certificateDigest(crypto, hash, leaf))) throw otherCertificate('CertDigest');
  if (issuerSerial === undefined) return;
  const isSame =
    equalBytes(issuerSerial.issuer, leaf.issuer.raw) &&
    equalBytes(issuerSerial.serial, encodeDer(integer(leaf.serialNumber)));
  if (!isSame) throw otherCertificate('IssuerSerialV2');
}

function otherCertificate(field: string): SignatureError {
  return new SignatureError(
    'ERR_SIGN_SIGNING_CERTIFICATE_ATTRIBUTE',
    'The signature is bound to another certificate (SigningCertificateV2) than the one that it verifies with',
    field,
  );
}

/** As `CryptoProvider.verify` takes it; undefined for what no such key makes. */
function asProvided({ algorithm, signature }: XmlSignature, key: PublicKey): Uint8Array | undefined {
  return algorithm.kind === 'ecdsa' && key.kind === 'ec' ? ecdsaToDer(signature, key.curve) : signature;
}

/** @throws SignatureError ERR_SIGN_WRONG_KIND */
function checkKind({ kind }: XmlSignature, due: XmlSignature['kind']): void {
  if (kind === due) return;
  throw new SignatureError('ERR_SIGN_WRONG_KIND', `It is ${kind}, where ${due} was due`, 'Type');
}

/** What is ours says three times what it is: in the type of its first Reference, the binding, and the commitment. */
function checkBound(read: XmlSignature, kind: XmlSignature['kind'], context: VerifyContext) {
  const { binding, properties } = read;
  const bound = checkStatements({ binding, signingTime: properties.signingTime }, kind, context);
  if (required(properties.commitment, 'CommitmentTypeIndication') === kind) return bound;
  throw new SignatureError(
    'ERR_SIGN_WRONG_KIND',
    `The signer commits to something else than ${kind}`,
    'CommitmentTypeIndication',
  );
}

function acknowledgedBy(read: XmlSignature): Uint8Array {
  checkKind(read, 'receipt');
  if (read.content.length === OBJECT_DIGEST_LENGTH) return read.content;
  throw new SignatureError('ERR_SIGN_MALFORMED', 'The receipt is for something that is no SHA-256 digest');
}

function objectFacts(crypto: CryptoProvider, object: Uint8Array, read: XmlSignature, signer: SignerIdentity) {
  const objectDigest = crypto.digest('sha256', object);
  const { content, parts, properties } = read;
  // The digest of the data is that of the content, and has been checked.
  const [data] = parts;
  return {
    format: 'xmldsig' as const,
    signer,
    objectDigest,
    contentLength: content.length,
    contentDigest: data?.hash === 'sha256' ? data.digest : crypto.digest('sha256', content),
    receiptRequested: properties.receiptRequested,
    reference: referenceOf(objectDigest, properties.receiptRequested),
  };
}

function referenceOf(objectDigest: Uint8Array, receiptRequested: boolean): ObjectReference {
  return { kind: 'signed', objectDigest, receiptRequested };
}

function mismatch(what: string, field = 'objectDigest'): SignatureError {
  return new SignatureError('ERR_SIGN_RECEIPT_MISMATCH', `The receipt is for another ${what}`, field);
}
