import type { HashName } from '../../crypto/provider.ts';
import { DerReader } from '../../der/reader.ts';
import { Tag } from '../../der/tags.ts';
import { encodeAscii } from '../../der/text.ts';
import { parseGeneralizedTime } from '../../der/time.ts';
import { DecodeError, SignatureError } from '../../errors/errors.ts';
import { unsupported } from '../judge.ts';
import { findDigest } from './algorithms.ts';
import { base64Of, checkEmpty, Fields, requiredAttribute, textOf, tokenOf } from './fields.ts';
import { COMMITMENT, DS, RECEIPT_REQUEST, XADES } from './names.ts';
import type { XmlElement } from './parse.ts';

/** As many as CMS takes; the first is the signer's. */
const MAX_CERTIFICATE_IDS = 32;

/** `SigningCertificateV2/Cert` of the signer (EN 319 132-1 §5.2.2). */
export interface CertificateId {
  readonly hash: HashName;
  readonly digest: Uint8Array;
  /** Name of the issuer and serial number, DER each, where they are given. */
  readonly issuerSerial: { readonly issuer: Uint8Array; readonly serial: Uint8Array } | undefined;
}

/** The signed properties that are known here. */
export interface SignedProperties {
  /** Unix milliseconds. */
  signingTime?: number;
  signingCertificate?: CertificateId;
  commitment?: 'data' | 'receipt';
  receiptRequested: boolean;
}

/**
 * SignedProperties of XAdES (EN 319 132-1).
 *
 *     SignedSignatureProperties     SigningTime, SigningCertificateV2
 *     SignedDataObjectProperties    DataObjectFormat…, CommitmentTypeIndication
 *
 * @param references Ids of the References of the signature
 * @param lenient for objects that other software made: properties that are not known here are passed over
 * @throws DecodeError, SignatureError
 */
export function readProperties(
  element: XmlElement,
  references: readonly string[],
  lenient: boolean,
): SignedProperties {
  const properties: SignedProperties = { receiptRequested: false };
  const fields = new Fields(element);
  const ofSignature = fields.optional(XADES, 'SignedSignatureProperties', 'Id');
  if (ofSignature !== undefined) readOfSignature(new Fields(ofSignature), properties, lenient);
  const ofData = fields.optional(XADES, 'SignedDataObjectProperties', 'Id');
  if (ofData !== undefined) readOfData(new Fields(ofData), properties, references, lenient);
  fields.end();
  return properties;
}

function readOfSignature(fields: Fields, into: SignedProperties, lenient: boolean): void {
  const time = fields.optional(XADES, 'SigningTime');
  if (time !== undefined) into.signingTime = readTime(tokenOf(time), lenient);
  const certificate = fields.optional(XADES, 'SigningCertificateV2');
  if (certificate !== undefined) into.signingCertificate = readSigningCertificate(new Fields(certificate));
  for (const name of ['SigningTime', 'SigningCertificateV2']) if (fields.is(XADES, name)) throw twice(name);
  if (lenient) fields.skipRest();
  fields.end();
}

/** xsd:dateTime; ours is in whole seconds of UTC. */
function readTime(text: string, lenient: boolean): number {
  const [, date, clock, fraction, zone] = DATE_TIME.exec(text) ?? [];
  if (date === undefined || clock === undefined || (!lenient && (fraction !== undefined || zone !== 'Z')))
    throw new DecodeError('XML: SigningTime is not YYYY-MM-DDThh:mm:ssZ');
  const digits = `${date}${clock}`.replace(/[-:]/g, '');
  return parseGeneralizedTime(encodeAscii(`${digits}Z`)) - offsetOf(zone) * 60_000;
}

/** Minutes east of Greenwich. */
function offsetOf(zone: string | undefined): number {
  if (zone === undefined || zone === 'Z') return 0;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4));
  return zone[0] === '-' ? -minutes : minutes;
}

const DATE_TIME = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-](?:0\d|1[0-4]):[0-5]\d)$/;

/** RFC 5035 §3 in XML: the first one is the signer's; the others limit which path may be taken, and are not used here. */
function readSigningCertificate(fields: Fields): CertificateId {
  const [first, ...others] = fields.list(XADES, 'Cert');
  fields.end();
  if (first === undefined || others.length >= MAX_CERTIFICATE_IDS)
    throw new DecodeError('XML: SigningCertificateV2 without a Cert, or with too many');
  const cert = new Fields(first);
  const id = readDigest(new Fields(cert.take(XADES, 'CertDigest')));
  const serial = cert.optional(XADES, 'IssuerSerialV2');
  cert.end();
  return { ...id, issuerSerial: serial === undefined ? undefined : readIssuerSerial(base64Of(serial)) };
}

/** DigestMethod and DigestValue, all that is left. @throws SignatureError ERR_SIGN_UNSUPPORTED_ALGORITHM */
export function readDigest(fields: Fields): { readonly hash: HashName; readonly digest: Uint8Array } {
  const method = fields.take(DS, 'DigestMethod', 'Algorithm');
  checkEmpty(method);
  const hash = findDigest(requiredAttribute(method, 'Algorithm'));
  if (hash === undefined)
    throw unsupported('a DigestMethod is none of SHA-256, SHA-384, SHA-512', 'DigestMethod');
  const digest = base64Of(fields.take(DS, 'DigestValue'));
  fields.end();
  return { hash, digest };
}

/** IssuerSerial ::= SEQUENCE { issuer GeneralNames, serialNumber CertificateSerialNumber } (RFC 5035 §5). */
function readIssuerSerial(der: Uint8Array): CertificateId['issuerSerial'] {
  const outer = new DerReader(der, 'IssuerSerialV2');
  const both = outer.sequence();
  outer.end();
  const names = both.sequence();
  const issuer = names.explicit(4, (reader) => reader.encoded(Tag.sequence));
  names.end();
  const serial = both.encoded(Tag.integer);
  both.end();
  return { issuer, serial };
}

function readOfData(
  fields: Fields,
  into: SignedProperties,
  references: readonly string[],
  lenient: boolean,
): void {
  const described: string[] = [];
  for (const format of fields.list(XADES, 'DataObjectFormat', 'ObjectReference')) {
    const reference = requiredAttribute(format, 'ObjectReference');
    if (!references.some((id) => reference === `#${id}`))
      throw new DecodeError('XML: a DataObjectFormat of nothing that is signed');
    if (described.includes(reference)) throw twice('DataObjectFormat');
    described.push(reference);
    const about = new Fields(format);
    if (lenient) about.skipTo(XADES, 'MimeType');
    about.optional(XADES, 'MimeType');
    if (lenient) about.skipRest();
    about.end();
  }
  const commitment = fields.optional(XADES, 'CommitmentTypeIndication');
  if (commitment !== undefined) readCommitment(new Fields(commitment), into, lenient);
  if (!lenient && fields.is(XADES, 'CommitmentTypeIndication')) throw twice('CommitmentTypeIndication');
  if (lenient) fields.skipRest();
  fields.end();
}

/** What the signer commits to, and whether a receipt is wanted. */
function readCommitment(fields: Fields, into: SignedProperties, lenient: boolean): void {
  const type = new Fields(fields.take(XADES, 'CommitmentTypeId'));
  const identifier = tokenOf(type.take(XADES, 'Identifier'));
  if (lenient) {
    type.skipRest();
    fields.skipRest();
    return;
  }
  type.end();
  if (identifier === COMMITMENT.data) into.commitment = 'data';
  else if (identifier === COMMITMENT.receipt) into.commitment = 'receipt';
  else throw new DecodeError('XML: the signature commits to something that is not known here');
  checkEmpty(fields.take(XADES, 'AllSignedDataObjects'));
  const qualifiers = fields.optional(XADES, 'CommitmentTypeQualifiers');
  fields.end();
  if (qualifiers === undefined) return;
  const inside = new Fields(qualifiers);
  if (textOf(inside.take(XADES, 'CommitmentTypeQualifier')) !== RECEIPT_REQUEST)
    throw new DecodeError('XML: a CommitmentTypeQualifier that is not known here');
  inside.end();
  into.receiptRequested = true;
}

function twice(name: string): SignatureError {
  return new SignatureError(
    'ERR_SIGN_DUPLICATE_ATTRIBUTE',
    `The signed property ${name} is there more than once: which one was meant is anyone's guess`,
    name,
  );
}
