import { DerReader } from '../../der/reader.ts';
import { contextPrimitive, Tag } from '../../der/tags.ts';
import { encodeUtf8 } from '../../der/text.ts';
import {
  constructed,
  type Der,
  encodeDer,
  enumerated,
  integer,
  octetString,
  primitive,
  sequence,
  utf8String,
} from '../../der/writer.ts';
import { DecodeError } from '../../errors/errors.ts';
import type { ContentFormat } from '../../formats/format.ts';
import {
  type Direction,
  type EvidenceRecord,
  type EvidenceSession,
  MAX_ATTACHMENT_BYTES,
  type RecordKind,
  type RecordStatus,
  type RevocationData,
} from './record.ts';

/*
 * The bytes that the tree covers (docs/evidence-schema.md has them as an ASN.1 module). DER, so that there is exactly
 * one encoding, and so that anyone can read them with `openssl asn1parse`.
 */

/** Numbers that the encodings and the stores use for names. Append only. */
export const DIRECTIONS: readonly Direction[] = ['sent', 'received'];
export const KINDS: readonly RecordKind[] = ['data', 'receipt', 'erasure'];
export const STATUSES: readonly RecordStatus[] = ['verified', 'unverified', 'rejected', 'missing'];
/** As in the TLS Sign draft, §2. */
export const FORMATS: readonly ContentFormat[] = ['pkcs7', 'smime', 'xmldsig'];
export const ROLES: readonly ('client' | 'server')[] = ['client', 'server'];
const REVOCATION_KINDS: readonly RevocationData['kind'][] = ['ocsp', 'crl'];

/** Chains that a peer may send are no longer than this (x509/verify.ts). */
const MAX_CERTIFICATES = 32;
/** One for each certificate, and one more kind. */
const MAX_REVOCATION_ITEMS = 64;

/** What a leaf covers. */
export type LeafFields = Omit<EvidenceRecord, 'index' | 'held'>;

/** EvidenceLeaf, DER. Content is covered by its digest, so that it can be erased while its evidence stays. */
export function encodeLeaf(record: LeafFields): Uint8Array {
  return encodeDer(
    constructed(Tag.sequence, [
      ONE,
      enumeratedOf(DIRECTIONS, record.direction),
      enumeratedOf(KINDS, record.kind),
      enumeratedOf(STATUSES, record.status),
      text(record.reason),
      count(record.time),
      octetString(record.session),
      count(record.sequence),
      text(record.application),
      count(record.contentType),
      enumeratedOf(FORMATS, record.format),
      count(record.objectLength),
      octetString(record.objectDigest),
      count(record.contentLength),
      octetString(record.contentDigest),
      count(record.flags),
      octetString(record.treeHead),
      ...(record.target === undefined ? NOTHING : [count(record.target, contextPrimitive(0))]),
      ...optional(1, record.signerChain),
      ...optional(2, record.revocation),
      ...optional(3, record.provenance),
    ]),
  );
}

/** The fields of a leaf. @throws DecodeError */
export function decodeLeaf(der: Uint8Array): LeafFields {
  const reader = new DerReader(new Uint8Array(der), 'evidence leaf');
  const fields = reader.sequence();
  reader.end();
  if (fields.smallInteger(0xffff) !== 1)
    throw new DecodeError('evidence leaf: another version than 1, the only one that is known');
  const leaf: LeafFields = {
    direction: nameOf(DIRECTIONS, fields),
    kind: nameOf(KINDS, fields),
    status: nameOf(STATUSES, fields),
    reason: fields.text(),
    time: safeInteger(fields),
    session: fields.octetString(),
    sequence: safeInteger(fields),
    application: fields.text(),
    contentType: fields.smallInteger(255),
    format: nameOf(FORMATS, fields),
    objectLength: safeInteger(fields),
    objectDigest: fields.octetString(),
    contentLength: safeInteger(fields),
    contentDigest: fields.octetString(),
    flags: fields.smallInteger(0xffff),
    treeHead: fields.octetString(),
    target: fields.is(contextPrimitive(0)) ? safeInteger(fields, contextPrimitive(0)) : undefined,
    signerChain: optionalOctets(fields, 1),
    revocation: optionalOctets(fields, 2),
    provenance: optionalOctets(fields, 3),
  };
  fields.end();
  return leaf;
}

/** EvidenceSession, DER; its SHA-256 is what records name it by. */
export function encodeSession(session: Omit<EvidenceSession, 'digest'>): Uint8Array {
  return encodeDer(
    sequence(
      ONE,
      enumeratedOf(ROLES, session.role),
      integer(session.protocol),
      integer(session.cipherSuite),
      octetString(session.sessionBinding),
      integer(session.started),
      utf8String(session.ownName),
      utf8String(session.peerName),
      octetString(session.ownChain),
      octetString(session.peerChain),
    ),
  );
}

/** Without its digest. @throws DecodeError */
export function decodeSession(der: Uint8Array): Omit<EvidenceSession, 'digest'> {
  const reader = new DerReader(new Uint8Array(der), 'evidence session');
  const fields = reader.sequence();
  reader.end();
  if (fields.smallInteger(0xffff) !== 1)
    throw new DecodeError('evidence session: another version than 1, the only one that is known');
  const session = {
    role: nameOf(ROLES, fields),
    protocol: fields.smallInteger(0xffff),
    cipherSuite: fields.smallInteger(0xffff),
    sessionBinding: fields.octetString(),
    started: safeInteger(fields),
    ownName: fields.text(),
    peerName: fields.text(),
    ownChain: fields.octetString(),
    peerChain: fields.octetString(),
  };
  fields.end();
  return session;
}

/** `SEQUENCE OF Certificate`, as an attachment. */
export function encodeChain(chain: readonly Uint8Array[]): Uint8Array {
  return encodeDer(constructed(Tag.sequence, chain));
}

/** @throws DecodeError */
export function decodeChain(der: Uint8Array): Uint8Array[] {
  const reader = new DerReader(bounded(der), 'certificates');
  const chain = reader.list(Tag.sequence, (list) => list.encoded(Tag.sequence), 0, MAX_CERTIFICATES);
  reader.end();
  return chain;
}

/** `SEQUENCE OF SEQUENCE { kind ENUMERATED { ocsp(0), crl(1) }, data OCTET STRING }`, as an attachment. */
export function encodeRevocation(items: readonly RevocationData[]): Uint8Array {
  return encodeDer(
    constructed(
      Tag.sequence,
      items.map(({ kind, der }) => sequence(enumeratedOf(REVOCATION_KINDS, kind), octetString(der))),
    ),
  );
}

/** @throws DecodeError */
export function decodeRevocation(der: Uint8Array): RevocationData[] {
  const reader = new DerReader(bounded(der), 'revocation data');
  const items = reader.list(
    Tag.sequence,
    (list) => {
      const item = list.sequence();
      const kind = nameOf(REVOCATION_KINDS, item);
      const data = item.octetString();
      item.end();
      return { kind, der: data };
    },
    0,
    MAX_REVOCATION_ITEMS,
  );
  reader.end();
  return items;
}

const ONE = encodeDer(integer(1));
const NOTHING: readonly Der[] = [];
const SMALL_NUMBERS: readonly Uint8Array[] = Array.from({ length: 128 }, (_, n) => encodeDer(enumerated(n)));
const EMPTY_TEXT = encodeDer(utf8String(''));

function enumeratedOf<T>(names: readonly T[], name: T): Uint8Array {
  return SMALL_NUMBERS[names.indexOf(name)] as Uint8Array;
}

/** Without BigInt, which `integer` needs for what it can do and a leaf does not: half the time of an append went there. */
function count(value: number, tag: number = Tag.integer): Der {
  let length = 1;
  for (let rest = Math.floor(value / 0x80); rest > 0; rest = Math.floor(rest / 0x100)) length++;
  const content = new Uint8Array(length);
  for (let i = length - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 0x100))
    content[i] = rest & 0xff;
  return primitive(tag, content);
}

function text(value: string): Der {
  return value === '' ? EMPTY_TEXT : primitive(Tag.utf8String, encodeUtf8(value));
}

function optional(n: number, value: Uint8Array | undefined): readonly Der[] {
  return value === undefined ? NOTHING : [primitive(contextPrimitive(n), value)];
}

function optionalOctets(fields: DerReader, n: number): Uint8Array | undefined {
  return fields.is(contextPrimitive(n)) ? fields.octetString(contextPrimitive(n)) : undefined;
}

function nameOf<T>(names: readonly T[], fields: DerReader): T {
  return names[fields.smallInteger(names.length - 1, Tag.enumerated)] as T;
}

function safeInteger(fields: DerReader, tag: number = Tag.integer): number {
  const value = fields.bigInteger(tag);
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) throw new DecodeError('number out of range');
  return Number(value);
}

function bounded(der: Uint8Array): Uint8Array {
  if (der.length > MAX_ATTACHMENT_BYTES) throw new DecodeError(`attachment of ${der.length} bytes`);
  return new Uint8Array(der);
}
