import { Oid } from '../der/oids.ts';
import { DerReader } from '../der/reader.ts';
import { contextConstructed, contextPrimitive, Tag } from '../der/tags.ts';
import { DecodeError } from '../errors/errors.ts';
import { type GeneralName, readGeneralName } from './general-name.ts';

/** Certificates of large content networks have fewer than 1,000 names. */
const MAX_SUBJECT_ALT_NAMES = 2048;
const MAX_SUBTREES = 2048;
const MAX_PURPOSES = 64;
/** RFC 5280 §4.2.1.2 makes identifiers of 20 bytes or fewer; the bound is wide. */
const MAX_KEY_IDENTIFIER_BYTES = 64;
/** Longer than any path that is ever built. */
const MAX_PATH_LENGTH_VALUE = 0x7fff_ffff;

/** Bits of keyUsage, RFC 5280 §4.2.1.3. */
export const KeyUsage = {
  digitalSignature: 1 << 0,
  nonRepudiation: 1 << 1,
  keyEncipherment: 1 << 2,
  dataEncipherment: 1 << 3,
  keyAgreement: 1 << 4,
  keyCertSign: 1 << 5,
  cRLSign: 1 << 6,
  encipherOnly: 1 << 7,
  decipherOnly: 1 << 8,
} as const;

export interface BasicConstraints {
  readonly ca: boolean;
  /** How many intermediates that are not self-issued may follow (RFC 5280 §4.2.1.9); undefined for any number. */
  readonly pathLength: number | undefined;
}

export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

/** What path validation understands; any other critical extension ends it (RFC 5280 §4.2). */
export const PROCESSED_EXTENSIONS: ReadonlySet<string> = new Set([
  Oid.basicConstraints,
  Oid.keyUsage,
  Oid.extKeyUsage,
  Oid.subjectAltName,
  Oid.nameConstraints,
  Oid.authorityKeyIdentifier,
  Oid.subjectKeyIdentifier,
  // Every policy is acceptable here (user-initial-policy-set is any-policy, initial-explicit-policy is false), so
  // §6.1.3 (d) cannot fail, whatever the extension says. policyConstraints and its kin are not processed.
  Oid.certificatePolicies,
]);

/** SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL } */
export function readBasicConstraints(value: Uint8Array): BasicConstraints {
  return whole(value, 'basicConstraints', (reader) => {
    const fields = reader.sequence();
    // An explicit FALSE is not DER (X.690 §11.5), but many end entity certificates in use have it.
    const ca = fields.is(Tag.boolean) && fields.boolean();
    const pathLength = fields.is(Tag.integer) ? fields.smallInteger(MAX_PATH_LENGTH_VALUE) : undefined;
    fields.end();
    return { ca, pathLength };
  });
}

/** BIT STRING; bits as in `KeyUsage`. */
export function readKeyUsage(value: Uint8Array): number {
  return whole(value, 'keyUsage', (reader) => reader.namedBits());
}

/** SEQUENCE SIZE (1..MAX) OF OBJECT IDENTIFIER */
export function readExtKeyUsage(value: Uint8Array): readonly string[] {
  return whole(value, 'extKeyUsage', (reader) => reader.list(Tag.sequence, (r) => r.oid(), 1, MAX_PURPOSES));
}

/** OCTET STRING */
export function readSubjectKeyIdentifier(value: Uint8Array): Uint8Array {
  return whole(value, 'subjectKeyIdentifier', (reader) => keyIdentifier(reader, Tag.octetString));
}

/** SEQUENCE { [0] keyIdentifier OPTIONAL, [1] authorityCertIssuer OPTIONAL, [2] authorityCertSerialNumber OPTIONAL } */
export function readAuthorityKeyIdentifier(value: Uint8Array): Uint8Array | undefined {
  return whole(value, 'authorityKeyIdentifier', (reader) => {
    const fields = reader.sequence();
    const id = fields.is(contextPrimitive(0)) ? keyIdentifier(fields, contextPrimitive(0)) : undefined;
    if (fields.is(contextConstructed(1))) fields.skip();
    if (fields.is(contextPrimitive(2))) fields.skip();
    fields.end();
    return id;
  });
}

/** SEQUENCE SIZE (1..MAX) OF GeneralName */
export function readSubjectAltName(value: Uint8Array): readonly GeneralName[] {
  return whole(value, 'subjectAltName', (reader) =>
    reader.list(Tag.sequence, (r) => readGeneralName(r, [4, 16]), 1, MAX_SUBJECT_ALT_NAMES),
  );
}

/** SEQUENCE { [0] permittedSubtrees OPTIONAL, [1] excludedSubtrees OPTIONAL } */
export function readNameConstraints(value: Uint8Array): NameConstraints {
  return whole(value, 'nameConstraints', (reader) => {
    const fields = reader.sequence();
    // RFC 5280 §4.2.1.10: never an empty sequence.
    if (fields.remaining === 0) throw new DecodeError('nameConstraints: empty');
    const permitted = readSubtrees(fields, contextConstructed(0));
    const excluded = readSubtrees(fields, contextConstructed(1));
    fields.end();
    return { permitted, excluded };
  });
}

function readSubtrees(fields: DerReader, tag: number): GeneralName[] {
  return fields.is(tag) ? fields.list(tag, readSubtree, 1, MAX_SUBTREES) : [];
}

/** GeneralSubtree: `minimum` and `maximum` are not used with any name form (RFC 5280 §4.2.1.10). */
function readSubtree(reader: DerReader): GeneralName {
  const subtree = reader.sequence();
  const base = readGeneralName(subtree, [8, 32]);
  subtree.end();
  if (base.kind === 'ip' && !isPrefixMask(base.address))
    throw new DecodeError('iPAddress constraint without CIDR mask');
  // §4.2.1.10 gives dNSName constraints no wildcards; guessing at one would guess about who may be certified.
  if (base.kind === 'dns' && base.name.includes('*'))
    throw new DecodeError('dNSName constraint with a wildcard');
  return base;
}

/** RFC 4632 §3.1: ones, then zeros. */
function isPrefixMask(address: Uint8Array): boolean {
  let ended = false;
  for (let i = address.length / 2; i < address.length; i++) {
    for (let bit = 0x80; bit > 0; bit >>= 1) {
      const set = ((address[i] as number) & bit) !== 0;
      if (set && ended) return false;
      ended ||= !set;
    }
  }
  return true;
}

function keyIdentifier(reader: DerReader, tag: number): Uint8Array {
  const id = reader.octetString(tag);
  if (id.length > MAX_KEY_IDENTIFIER_BYTES) throw new DecodeError(`key identifier of ${id.length} bytes`);
  return id;
}

function whole<T>(value: Uint8Array, what: string, read: (reader: DerReader) => T): T {
  const reader = new DerReader(value, what);
  const result = read(reader);
  reader.end();
  return result;
}
