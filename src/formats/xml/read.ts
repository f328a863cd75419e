import type { HashName, SignatureAlgorithm } from '../../crypto/provider.ts';
import { equalBytes } from '../../der/bytes.ts';
import { DecodeError, SignatureError } from '../../errors/errors.ts';
import { MAX_CHAIN_CERTIFICATES } from '../../x509/verify.ts';
import { type Binding, decodeBinding } from '../binding.ts';
import { checkEnvelope } from '../cms/read.ts';
import { MAX_WHOLE_OBJECT_BYTES } from '../format.ts';
import { unsupported } from '../judge.ts';
import { findSignature } from './algorithms.ts';
import { canonicalize } from './canonical.ts';
import { attributeOf, base64Of, checkAttributes, checkEmpty, Fields, requiredAttribute } from './fields.ts';
import { BASE64, DS, EXCLUSIVE, REFERENCE_TYPE, XADES } from './names.ts';
import { parseXml, type XmlElement } from './parse.ts';
import { readDigest, readProperties, type SignedProperties } from './properties.ts';

/** What a Reference is for; in this order, each at most once, the first always. */
export type PartName = 'data' | 'binding' | 'properties';

/** RSA with 8,192 bits, the longest key that is accepted. */
const MAX_SIGNATURE_BYTES = 1024;

/** Something that a Reference has the digest of. */
export interface SignedPart {
  readonly name: PartName;
  readonly hash: HashName;
  /** That the Reference has. */
  readonly digest: Uint8Array;
  /** What it is the digest of: out of base64, or in canonical form. */
  readonly octets: Uint8Array;
}

export interface XmlSignature {
  /** In canonical form: what is signed. */
  readonly signedInfo: Uint8Array;
  readonly algorithm: SignatureAlgorithm;
  readonly signature: Uint8Array;
  /** DER, as they stand in the object. */
  readonly certificates: readonly Uint8Array[];
  /** A receipt says so in the type of its first Reference. */
  readonly kind: Binding['kind'];
  readonly parts: readonly SignedPart[];
  readonly content: Uint8Array;
  readonly binding: Binding | undefined;
  readonly properties: SignedProperties;
}

/**
 * Reads a signature of the profile in `names.ts`, whatever its prefixes and spaces are. References lead to the Objects
 * of this very Signature, in the order of both, so that nothing is looked for in the document and nothing in it is
 * unsigned but KeyInfo. Nothing is checked that needs a key or a hash.
 *
 * @param lenient for objects that other software made: more in KeyInfo and in the properties, no binding
 * @throws DecodeError, SignatureError
 */
export function readSignature(object: Uint8Array, lenient: boolean): XmlSignature {
  checkSize(object.length);
  const root = parseXml(object);
  if (root.namespace !== DS || root.name !== 'Signature')
    throw new DecodeError(`XML: <${root.name}>, where a Signature was due`);
  checkEnvelope(object.length - base64Length(root));
  checkAttributes(root, ['Id']);
  const fields = new Fields(root);
  const signedInfo = fields.take(DS, 'SignedInfo', 'Id');
  const { algorithm, references } = readSignedInfo(new Fields(signedInfo));
  const signature = base64Of(fields.take(DS, 'SignatureValue', 'Id'));
  if (signature.length > MAX_SIGNATURE_BYTES)
    throw new SignatureError('ERR_SIGN_TOO_LARGE', `A signature of ${signature.length} bytes`);
  const keyInfo = fields.optional(DS, 'KeyInfo', 'Id');
  const certificates = keyInfo === undefined ? [] : readKeyInfo(new Fields(keyInfo), lenient);
  const parts: SignedPart[] = [];
  let properties: SignedProperties = { receiptRequested: false };
  for (const reference of references) {
    if (reference.name === 'properties') {
      const element = readQualifying(fields.take(DS, 'Object', 'Id'), attributeOf(root, 'Id'), lenient);
      parts.push(part(reference, element, canonicalize(element)));
      properties = readProperties(element, idsOf(references), lenient);
    } else {
      const element = fields.take(DS, 'Object', 'Id', 'Encoding', 'MimeType');
      parts.push(part(reference, element, readObject(element)));
    }
  }
  // An Object that is not signed has no business here: someone might take it for one that is.
  fields.end();
  const content = octetsOf(parts, 'data') as Uint8Array;
  const binding = octetsOf(parts, 'binding');
  return {
    signedInfo: canonicalize(signedInfo),
    algorithm,
    signature,
    certificates,
    kind: references[0]?.isReceipt === true ? 'receipt' : 'data',
    parts,
    content,
    binding: binding === undefined ? undefined : decodeBinding(binding),
    properties,
  };
}

/** What a SignedInfo says that stands alone, in canonical form. @throws DecodeError, SignatureError */
export function parseSignedInfo(signedInfo: Uint8Array): SignedInfo {
  const root = parseXml(signedInfo);
  if (root.namespace !== DS || root.name !== 'SignedInfo')
    throw new DecodeError(`XML: <${root.name}>, where a SignedInfo was due`);
  if (!equalBytes(canonicalize(root), signedInfo))
    throw new DecodeError('XML: a SignedInfo that is not in canonical form');
  return readSignedInfo(new Fields(root));
}

export interface SignedInfo {
  readonly algorithm: SignatureAlgorithm;
  readonly references: readonly Reference[];
}

interface Reference {
  readonly name: PartName;
  readonly isReceipt: boolean;
  readonly id: string | undefined;
  /** Id of what it leads to. */
  readonly target: string;
  readonly hash: HashName;
  readonly digest: Uint8Array;
}

function checkSize(bytes: number): void {
  if (bytes <= MAX_WHOLE_OBJECT_BYTES) return;
  throw new SignatureError(
    'ERR_SIGN_TOO_LARGE',
    `The XML object has ${bytes} bytes, at most ${MAX_WHOLE_OBJECT_BYTES} are read`,
  );
}

function readSignedInfo(fields: Fields): SignedInfo {
  const canonicalization = fields.take(DS, 'CanonicalizationMethod', 'Algorithm');
  if (requiredAttribute(canonicalization, 'Algorithm') !== EXCLUSIVE)
    throw unsupported('SignedInfo is not in exclusive canonical form', 'CanonicalizationMethod');
  // An InclusiveNamespaces in it would bring in what is around.
  checkEmpty(canonicalization);
  const method = fields.take(DS, 'SignatureMethod', 'Algorithm');
  const algorithm = findSignature(requiredAttribute(method, 'Algorithm'));
  if (algorithm === undefined)
    throw unsupported('its SignatureMethod is none of ECDSA, RSA and Ed25519 with SHA-2', 'SignatureMethod');
  checkEmpty(method);
  const references: Reference[] = [];
  for (const element of fields.list(DS, 'Reference', 'Id', 'URI', 'Type')) {
    const reference = readReference(element);
    checkOrder(references[references.length - 1], reference);
    references.push(reference);
  }
  fields.end();
  if (references.length === 0) throw new DecodeError('XML: a signature of nothing');
  return { algorithm, references };
}

function readReference(element: XmlElement): Reference {
  const { name, isReceipt } = nameOf(attributeOf(element, 'Type'));
  const uri = requiredAttribute(element, 'URI');
  // RFC 3275 §4.3.3.2: what is elsewhere, the document as a whole, and XPointers are not followed.
  if (!/^#[^#()]+$/.test(uri))
    throw new SignatureError('ERR_SIGN_MALFORMED', 'A Reference leads out of the signature', 'URI');
  const fields = new Fields(element);
  checkTransforms(new Fields(fields.take(DS, 'Transforms')), name === 'properties' ? EXCLUSIVE : BASE64);
  return { name, isReceipt, id: attributeOf(element, 'Id'), target: uri.slice(1), ...readDigest(fields) };
}

function nameOf(type: string | undefined): { name: PartName; isReceipt: boolean } {
  switch (type) {
    case undefined:
      return { name: 'data', isReceipt: false };
    case REFERENCE_TYPE.acknowledged:
      return { name: 'data', isReceipt: true };
    case REFERENCE_TYPE.binding:
      return { name: 'binding', isReceipt: false };
    case REFERENCE_TYPE.properties:
      return { name: 'properties', isReceipt: false };
    default:
      throw new DecodeError('XML: a Reference of a Type that is not known here');
  }
}

/** Exactly one, the one that is due: XPath and XSLT are programs, and whoever signs could choose what they do. */
function checkTransforms(fields: Fields, due: string): void {
  const transforms = fields.list(DS, 'Transform', 'Algorithm');
  fields.end();
  const [transform] = transforms;
  if (transform === undefined || transforms.length > 1 || requiredAttribute(transform, 'Algorithm') !== due)
    throw unsupported(`a Reference has other Transforms than ${due}`, 'Transform');
  checkEmpty(transform);
}

function checkOrder(before: Reference | undefined, { name }: Reference): void {
  const rank = ORDER.indexOf(name);
  if (before !== undefined && before.name === name)
    throw new SignatureError(
      'ERR_SIGN_DUPLICATE_ATTRIBUTE',
      `The signature has two References of ${name}`,
      name,
    );
  if (before === undefined ? rank > 0 : rank < ORDER.indexOf(before.name))
    throw new DecodeError('XML: the References are not in the order data, binding, properties');
}

const ORDER: readonly PartName[] = ['data', 'binding', 'properties'];

function idsOf(references: readonly Reference[]): readonly string[] {
  return references.flatMap(({ id }) => (id === undefined ? [] : [id]));
}

/** X509Data with its certificates. Not signed: SigningCertificateV2 says which one is meant. */
function readKeyInfo(fields: Fields, lenient: boolean): Uint8Array[] {
  if (lenient) fields.skipTo(DS, 'X509Data');
  const data = lenient ? fields.optional(DS, 'X509Data') : fields.take(DS, 'X509Data');
  if (lenient) fields.skipRest();
  fields.end();
  if (data === undefined) return [];
  const inside = new Fields(data);
  const certificates: Uint8Array[] = [];
  for (;;) {
    if (lenient) inside.skipTo(DS, 'X509Certificate');
    const element = inside.optional(DS, 'X509Certificate');
    if (element === undefined) break;
    if (certificates.length >= MAX_CHAIN_CERTIFICATES)
      throw new SignatureError(
        'ERR_SIGN_TOO_LARGE',
        `The object has more than ${MAX_CHAIN_CERTIFICATES} certificates`,
      );
    certificates.push(base64Of(element));
  }
  inside.end();
  return certificates;
}

/** Text alone, so that the base64 transform has one meaning. MimeType and Encoding are hints that nobody signed. */
function readObject(element: XmlElement): Uint8Array {
  const encoding = attributeOf(element, 'Encoding');
  if (encoding !== undefined && encoding !== BASE64)
    throw new DecodeError('XML: an Object in another encoding than base64');
  return base64Of(element);
}

/** SignedProperties out of their Object. */
function readQualifying(object: XmlElement, signature: string | undefined, lenient: boolean): XmlElement {
  const outer = new Fields(object);
  const qualifying = outer.take(XADES, 'QualifyingProperties', 'Target', 'Id');
  outer.end();
  // EN 319 132-1 §4.3.1: Target shall refer to the Id of the signature.
  if (signature === undefined || requiredAttribute(qualifying, 'Target') !== `#${signature}`)
    throw new DecodeError('XML: QualifyingProperties of another signature');
  const inside = new Fields(qualifying);
  const properties = inside.take(XADES, 'SignedProperties', 'Id');
  if (lenient) inside.skipRest();
  inside.end();
  return properties;
}

/** Ids are unique in the document, so what has this one is what any software would find. */
function part(
  { name, target, hash, digest }: Reference,
  element: XmlElement,
  octets: Uint8Array,
): SignedPart {
  if (requiredAttribute(element, 'Id') !== target)
    throw new SignatureError(
      'ERR_SIGN_MALFORMED',
      `The Reference of ${name} leads to something else than the <${element.name}> in its place`,
      'URI',
    );
  return { name, hash, digest, octets };
}

function octetsOf(parts: readonly SignedPart[], name: PartName): Uint8Array | undefined {
  return parts.find((each) => each.name === name)?.octets;
}

/** Characters of the data, which have no bound of their own. */
function base64Length(root: XmlElement): number {
  for (const child of root.children) {
    if (typeof child === 'string' || child.name !== 'Object') continue;
    const [text] = child.children;
    return typeof text === 'string' ? text.length : 0;
  }
  return 0;
}
