import { Oid } from '../../der/oids.ts';
import { DerReader } from '../../der/reader.ts';
import { Tag } from '../../der/tags.ts';
import { FIRST_GENERALIZED_YEAR } from '../../der/time.ts';
import { DecodeError, NotDerError, SignatureError } from '../../errors/errors.ts';
import { type Binding, readBinding } from '../binding.ts';
import { findHash } from './algorithms.ts';
import { type ReceiptRequest, readReceiptRequest } from './ess.ts';

/** CAdES-B has ten kinds that make sense in one signature. */
const MAX_ATTRIBUTES = 32;
const MAX_CERTIFICATE_IDS = 32;
/** Values of attributes that are not known here are only checked for being DER; none in use is as deep. */
const MAX_UNKNOWN_DEPTH = 16;

const FIRST_GENERALIZED_TIME = Date.UTC(FIRST_GENERALIZED_YEAR, 0);

/** ESSCertIDv2 of the signer's certificate (RFC 5035 §4). Byte fields are views. */
export interface SigningCertificateId {
  /** AlgorithmIdentifier, DER; undefined for SHA-256. */
  readonly hashAlgorithm: Uint8Array | undefined;
  readonly hash: Uint8Array;
  /** Name of the issuer and serial number, DER each, where they are given. */
  readonly issuerSerial: { readonly issuer: Uint8Array; readonly serial: Uint8Array } | undefined;
}

/** The signed attributes of a SignerInfo; those that are not known here are checked for form alone. */
export interface SignedAttributes {
  /** What the signature covers: the SET OF, in the bytes that were received (RFC 5652 §5.4). */
  readonly signed: Uint8Array;
  /** OID. */
  contentType?: string;
  messageDigest?: Uint8Array;
  /** Unix milliseconds. */
  signingTime?: number;
  signingCertificate?: SigningCertificateId;
  receiptRequest?: ReceiptRequest;
  msgSigDigest?: Uint8Array;
  /** SHA-256 of the object that a receipt is for. */
  acknowledgedObject?: Uint8Array;
  binding?: Binding;
}

/**
 * Signed attributes: in DER order, no type twice, one value each.
 *
 * @param encoded `[0] IMPLICIT SET OF Attribute` as received
 * @param lenient for objects that other software made: other spellings of the same algorithms
 * @throws DecodeError; SignatureError ERR_SIGN_DUPLICATE_ATTRIBUTE, ERR_SIGN_TOO_DEEP
 */
export function readSignedAttributes(encoded: Uint8Array, lenient: boolean): SignedAttributes {
  const signed = new Uint8Array(encoded);
  // RFC 5652 §5.4: not the IMPLICIT [0] that they travel under, but an explicit SET OF is what is signed.
  signed[0] = Tag.set;
  const attributes: SignedAttributes = { signed };
  const seen: string[] = [];
  const readOne = (reader: DerReader): void => {
    const fields = reader.sequence('signed attribute');
    const type = fields.oid();
    if (seen.includes(type)) throw twice(type);
    seen.push(type);
    const values = fields.set();
    fields.end();
    if (!readValue(type, values, attributes, lenient)) checkUnknown(values, 0);
    // RFC 5652 §11.1 to §11.3, RFC 2634 §2.7, RFC 5035 §3: a single value.
    else if (values.remaining > 0) throw twice(type);
  };
  new DerReader(signed, 'signed attributes').setOf(readOne, Tag.set, 1, MAX_ATTRIBUTES);
  return attributes;
}

/** @returns whether the type is known here */
function readValue(type: string, values: DerReader, into: SignedAttributes, lenient: boolean): boolean {
  switch (type) {
    case Oid.contentType:
      into.contentType = values.oid();
      return true;
    case Oid.messageDigest:
      into.messageDigest = values.octetString();
      return true;
    case Oid.signingTime:
      into.signingTime = readTime(values);
      return true;
    case Oid.signingCertificateV2:
      into.signingCertificate = readSigningCertificate(values, lenient);
      return true;
    case Oid.receiptRequest:
      into.receiptRequest = readReceiptRequest(values);
      return true;
    case Oid.msgSigDigest:
      into.msgSigDigest = values.octetString();
      return true;
    case Oid.acknowledgedObject:
      into.acknowledgedObject = values.octetString();
      return true;
    case Oid.binding:
      into.binding = readBinding(values);
      return true;
    default:
      return false;
  }
}

function twice(type: string): SignatureError {
  return new SignatureError(
    'ERR_SIGN_DUPLICATE_ATTRIBUTE',
    `The signed attribute ${type} has more than one value: which one was meant is anyone's guess`,
    type,
  );
}

/** RFC 5652 §11.3: UTCTime through 2049, GeneralizedTime without fractions from 2050. */
function readTime(values: DerReader): number {
  if (!values.is(Tag.generalizedTime)) return values.utcTime();
  const time = values.generalizedTime();
  if (time < FIRST_GENERALIZED_TIME) throw new DecodeError('signing-time: GeneralizedTime before 2050');
  return time;
}

/**
 * SigningCertificateV2 ::= SEQUENCE { certs SEQUENCE OF ESSCertIDv2, policies SEQUENCE OF PolicyInformation OPTIONAL }.
 * RFC 5035 §3: the first one is the signer's; the others limit which path may be taken, and are not used here.
 */
function readSigningCertificate(values: DerReader, lenient: boolean): SigningCertificateId {
  const fields = values.sequence('signing-certificate-v2');
  const [first] = fields.list(
    Tag.sequence,
    (reader) => readCertificateId(reader, lenient),
    1,
    MAX_CERTIFICATE_IDS,
  );
  if (fields.is(Tag.sequence)) fields.skip();
  fields.end();
  return first as SigningCertificateId;
}

/**
 * ESSCertIDv2 ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier DEFAULT SHA-256, certHash OCTET STRING,
 * issuerSerial SEQUENCE { issuer GeneralNames, serialNumber INTEGER } OPTIONAL }
 */
function readCertificateId(reader: DerReader, lenient: boolean): SigningCertificateId {
  const fields = reader.sequence();
  const hashAlgorithm = fields.is(Tag.sequence) ? fields.encoded(Tag.sequence) : undefined;
  // X.690 §11.5: a value equal to the default is not encoded.
  if (hashAlgorithm !== undefined && !lenient && findHash(hashAlgorithm, lenient) === 'sha256')
    throw new NotDerError('signing-certificate-v2: the default hash is written out');
  const hash = fields.octetString();
  let issuerSerial: SigningCertificateId['issuerSerial'];
  if (fields.is(Tag.sequence)) {
    const both = fields.sequence();
    const names = both.sequence();
    const issuer = names.explicit(4, (reader) => reader.encoded(Tag.sequence));
    names.end();
    issuerSerial = { issuer, serial: both.encoded(Tag.integer) };
    both.end();
  }
  fields.end();
  return { hashAlgorithm, hash, issuerSerial };
}

/** DER all the way down (RFC 5652 §5.3: signedAttrs MUST be DER). */
function checkUnknown(values: DerReader, depth: number): void {
  if (depth > MAX_UNKNOWN_DEPTH)
    throw new SignatureError(
      'ERR_SIGN_TOO_DEEP',
      `A signed attribute is nested deeper than ${MAX_UNKNOWN_DEPTH}`,
    );
  if (depth === 0 && values.remaining === 0) throw new DecodeError('signed attribute: no value');
  while (values.remaining > 0) {
    const tag = values.tag as number;
    if ((tag & 0x20) === 0) {
      values.skip();
      continue;
    }
    // X.690 §10.2: strings are primitive. What is left of the universal constructed types: SEQUENCE, SET and EXTERNAL.
    if ((tag & 0xc0) === 0 && tag !== Tag.sequence && tag !== Tag.set && tag !== EXTERNAL)
      throw new NotDerError('signed attribute: a string in pieces');
    checkUnknown(values.into(tag), depth + 1);
  }
}

const EXTERNAL = 0x28;
