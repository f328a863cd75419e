import { equalBytes } from '../../der/bytes.ts';
import { Oid } from '../../der/oids.ts';
import { DerReader } from '../../der/reader.ts';
import { contextConstructed, contextPrimitive, Tag } from '../../der/tags.ts';
import { CertificateError, DecodeError, SignatureError } from '../../errors/errors.ts';
import { Certificate } from '../../x509/certificate.ts';
import { MAX_CHAIN_CERTIFICATES } from '../../x509/verify.ts';
import { readSignedAttributes, type SignedAttributes } from './attributes.ts';

/** Everything of an object but its content: certificates of 2 KiB, and attributes, of which a tree head is the largest. */
export const MAX_ENVELOPE_BYTES = 256 * 1024;
/** RSA with 8,192 bits, the longest key that is accepted. */
const MAX_SIGNATURE_BYTES = 1024;
/** RFC 5652 §5.1: 5 is the highest. */
const MAX_VERSION = 5;

/** The one SignerInfo of an object. Byte fields are views on the object. */
export interface SignerInfo {
  readonly version: number;
  readonly identifier: SignerIdentifier;
  /** AlgorithmIdentifier, DER. */
  readonly digestAlgorithm: Uint8Array;
  readonly attributes: SignedAttributes;
  /** AlgorithmIdentifier, DER. */
  readonly signatureAlgorithm: Uint8Array;
  readonly signature: Uint8Array;
}

/** SignerIdentifier, RFC 5652 §5.3. */
export type SignerIdentifier =
  | { readonly kind: 'issuerAndSerial'; readonly issuer: Uint8Array; readonly serial: Uint8Array }
  | { readonly kind: 'subjectKeyIdentifier'; readonly id: Uint8Array };

/** What comes before the content. */
export interface SignedDataHead {
  readonly version: number;
  /** AlgorithmIdentifier, DER: the one of digestAlgorithms. */
  readonly digestAlgorithm: Uint8Array;
  /** eContentType, OID. */
  readonly contentType: string;
}

/** What comes after it. */
export interface SignedDataTail {
  /** DER, in the order of their encodings. */
  readonly certificates: readonly Uint8Array[];
  readonly signer: SignerInfo;
}

export interface SignedData extends SignedDataHead, SignedDataTail {
  readonly content: Uint8Array;
}

/**
 * Reads a whole SignedData in DER (RFC 5652 §5.1). Nothing is checked that needs a key or a hash.
 *
 *     ContentInfo ::= SEQUENCE { contentType, [0] EXPLICIT SignedData }
 *     SignedData ::= SEQUENCE { version, digestAlgorithms SET OF, encapContentInfo SEQUENCE { eContentType,
 *       eContent [0] EXPLICIT OCTET STRING }, certificates [0] OPTIONAL, crls [1] OPTIONAL, signerInfos SET OF }
 *
 * @param lenient for objects that other software made: revocation lists and unsigned attributes are passed over,
 *   signers may be identified by their key
 * @throws DecodeError, SignatureError
 */
export function readSignedData(object: Uint8Array, lenient: boolean): SignedData {
  const outer = new DerReader(object, 'signed object');
  const info = outer.sequence();
  outer.end();
  checkIsSignedData(info.oid());
  const fields = info.explicit(0, (reader) => reader.sequence('SignedData'));
  info.end();
  const version = readVersion(fields);
  const digestAlgorithm = readDigestAlgorithms(fields);
  const encapsulated = fields.sequence('encapContentInfo');
  const contentType = encapsulated.oid();
  if (encapsulated.remaining === 0) throw new DecodeError('encapContentInfo: without content (detached)');
  const content = encapsulated.explicit(0, (reader) => reader.octetString());
  encapsulated.end();
  checkEnvelope(object.length - content.length);
  const { certificates, signer } = readTail(fields, lenient);
  fields.end();
  // Field by field: spreading objects here took as long as reading half of them.
  const data: SignedData = { version, digestAlgorithm, contentType, content, certificates, signer };
  checkVersions(data, data, lenient);
  return data;
}

/** Certificates and signers: the rest of the fields of a SignedData. @throws DecodeError, SignatureError */
export function readTail(fields: DerReader, lenient: boolean): SignedDataTail {
  const certificates = fields.is(contextConstructed(0)) ? readCertificates(fields, lenient) : [];
  if (lenient && fields.is(contextConstructed(1))) fields.skip();
  const signers = fields.set('signerInfos');
  if (signers.remaining === 0) throw signerCount('no signer');
  const signer = readSignerInfo(signers, lenient);
  if (signers.remaining > 0) throw signerCount('more than one signer');
  return { certificates, signer };
}

export function readVersion(fields: DerReader): number {
  return fields.smallInteger(MAX_VERSION);
}

/** There is one signer, so there is one. */
export function readDigestAlgorithms(fields: DerReader): Uint8Array {
  const algorithms = fields.set('digestAlgorithms');
  const algorithm = algorithms.encoded(Tag.sequence);
  algorithms.end();
  return algorithm;
}

export function checkIsSignedData(contentType: string): void {
  if (contentType !== Oid.signedData)
    throw new DecodeError(`signed object: it is ${contentType}, not SignedData`);
}

/** RFC 5652 §5.1 and §5.3 compute the versions. Other software is not held to it: no meaning depends on them. */
export function checkVersions(head: SignedDataHead, { signer }: SignedDataTail, lenient: boolean): void {
  if (lenient) return;
  const expected = head.contentType === Oid.data ? 1 : 3;
  if (head.version !== expected || signer.version !== 1)
    throw new DecodeError(`SignedData: version ${head.version}, SignerInfo: version ${signer.version}`);
}

/** @throws SignatureError ERR_SIGN_TOO_LARGE */
export function checkEnvelope(bytes: number): void {
  if (bytes <= MAX_ENVELOPE_BYTES) return;
  throw new SignatureError(
    'ERR_SIGN_TOO_LARGE',
    `Certificates and attributes take ${bytes} bytes, at most ${MAX_ENVELOPE_BYTES} are read`,
  );
}

/** Is it the certificate that a SignerInfo names? False for what cannot be read. */
export function isCertificateOf(identifier: SignerIdentifier, certificate: Uint8Array): boolean {
  try {
    if (identifier.kind === 'subjectKeyIdentifier') {
      const id = Certificate.parse(certificate).subjectKeyIdentifier;
      return id !== undefined && equalBytes(id, identifier.id);
    }
    // Without parsing all of it: TBSCertificate ::= SEQUENCE { [0] version DEFAULT v1, serialNumber, signature, issuer, …
    const fields = new DerReader(certificate, 'certificate').sequence().sequence();
    if (fields.is(contextConstructed(0))) fields.skip();
    const serial = fields.encoded(Tag.integer);
    fields.skip();
    return (
      equalBytes(serial, identifier.serial) && equalBytes(fields.encoded(Tag.sequence), identifier.issuer)
    );
  } catch (error) {
    if (error instanceof DecodeError || error instanceof CertificateError) return false;
    throw error;
  }
}

/**
 * CertificateSet ::= SET OF CertificateChoices, of which only Certificate is known here. RFC 5652 §5.1 does not ask for
 * the order of DER, and `openssl ts` puts the signer's first.
 */
function readCertificates(fields: DerReader, lenient: boolean): Uint8Array[] {
  let count = 0;
  const readOne = (reader: DerReader): Uint8Array => {
    if (++count > MAX_CHAIN_CERTIFICATES)
      throw new SignatureError(
        'ERR_SIGN_TOO_LARGE',
        `The object has more than ${MAX_CHAIN_CERTIFICATES} certificates`,
      );
    return reader.encoded(Tag.sequence);
  };
  const tag = contextConstructed(0);
  return lenient ? fields.list(tag, readOne) : fields.setOf(readOne, tag);
}

/**
 * SignerInfo ::= SEQUENCE { version, sid, digestAlgorithm, signedAttrs [0] IMPLICIT SET OF, signatureAlgorithm,
 * signature OCTET STRING, unsignedAttrs [1] IMPLICIT SET OF OPTIONAL }
 */
function readSignerInfo(signers: DerReader, lenient: boolean): SignerInfo {
  const fields = signers.sequence('SignerInfo');
  const version = readVersion(fields);
  const identifier = readIdentifier(fields, lenient);
  const digestAlgorithm = fields.encoded(Tag.sequence);
  // RFC 5652 §5.3 lets them be absent for id-data. Then nothing would say what kind of content was signed.
  if (!fields.is(contextConstructed(0)))
    throw new SignatureError('ERR_SIGN_MISSING_ATTRIBUTE', 'The signature has no signed attributes');
  const attributes = readSignedAttributes(fields.encoded(contextConstructed(0)), lenient);
  const signatureAlgorithm = fields.encoded(Tag.sequence);
  const signature = fields.octetString();
  if (signature.length > MAX_SIGNATURE_BYTES)
    throw new SignatureError('ERR_SIGN_TOO_LARGE', `A signature of ${signature.length} bytes`);
  if (lenient && fields.is(contextConstructed(1))) fields.skip();
  fields.end();
  return { version, identifier, digestAlgorithm, attributes, signatureAlgorithm, signature };
}

function readIdentifier(fields: DerReader, lenient: boolean): SignerIdentifier {
  if (lenient && fields.is(contextPrimitive(0)))
    return { kind: 'subjectKeyIdentifier', id: fields.octetString(contextPrimitive(0)) };
  const both = fields.sequence('issuerAndSerialNumber');
  const issuer = both.encoded(Tag.sequence);
  const serial = both.encoded(Tag.integer);
  both.end();
  return { kind: 'issuerAndSerial', issuer, serial };
}

function signerCount(what: string): SignatureError {
  return new SignatureError('ERR_SIGN_SIGNER_COUNT', `The object has ${what}; it must have exactly one`);
}
