import { TlsError } from '../errors/errors.ts';
import { encodeOid } from './oids.ts';
import { compareEncodings } from './reader.ts';
import { contextConstructed, contextPrimitive, Tag } from './tags.ts';
import { encodeAscii, encodeUtf8 } from './text.ts';
import { FIRST_GENERALIZED_YEAR, formatGeneralizedTime, formatUtcTime } from './time.ts';

/**
 * A value to be encoded: bytes that are DER already, or a node. Nodes know their length, so that `encodeDer`
 * writes each byte once, however deep the structure is.
 *
 *     const spki = encodeDer(sequence(sequence(oid(Oid.ed25519)), bitString(key)));
 */
export type Der = Uint8Array | DerNode;

export interface DerNode {
  readonly tag: number;
  /** Content: bytes as they are, or elements in order. */
  readonly content: Uint8Array | readonly Der[];
  readonly contentLength: number;
}

export function encodeDer(value: Der): Uint8Array {
  if (value instanceof Uint8Array) return value;
  const out = new Uint8Array(encodedLength(value));
  write(value, out, 0);
  return out;
}

/** Any tag with content as it is. */
export function primitive(tag: number, content: Uint8Array): DerNode {
  return { tag, content, contentLength: content.length };
}

/** Any tag around elements. */
export function constructed(tag: number, children: readonly Der[]): DerNode {
  let contentLength = 0;
  for (const child of children) contentLength += encodedLength(child);
  return { tag, content: children, contentLength };
}

/** Absent OPTIONAL elements may be given as `undefined`. */
export function sequence(...children: readonly (Der | undefined)[]): DerNode {
  return constructed(Tag.sequence, present(children));
}

/** SET OF, sorted as X.690 §11.6 has it. */
export function setOf(...children: readonly Der[]): DerNode {
  return constructed(Tag.set, children.map(encodeDer).sort(compareEncodings));
}

/** `[n] EXPLICIT`. */
export function explicit(n: number, child: Der): DerNode {
  return constructed(contextConstructed(n), [child]);
}

/** `[n] IMPLICIT`: the same content under another tag. */
export function implicit(n: number, node: DerNode): DerNode {
  const tag = (node.tag & 0x20) === 0 ? contextPrimitive(n) : contextConstructed(n);
  return { ...node, tag };
}

export function boolean(value: boolean): DerNode {
  return primitive(Tag.boolean, Uint8Array.of(value ? 0xff : 0));
}

/** A number, or the bytes of an unsigned one, big-endian; the shortest form is found here. */
export function integer(value: number | bigint | Uint8Array, tag: number = Tag.integer): DerNode {
  return primitive(tag, value instanceof Uint8Array ? unsigned(value) : twosComplement(BigInt(value)));
}

export function enumerated(value: number): DerNode {
  return integer(value, Tag.enumerated);
}

export function bitString(bytes: Uint8Array, unusedBits = 0): DerNode {
  const content = new Uint8Array(bytes.length + 1);
  content[0] = unusedBits;
  content.set(bytes, 1);
  return primitive(Tag.bitString, content);
}

/** Named bits: bit 0 of `bits` is bit 0 of the definition; trailing zeros are cut (X.690 §11.2.2). */
export function namedBits(bits: number): DerNode {
  const length = 32 - Math.clz32(bits);
  const bytes = new Uint8Array((length + 7) >> 3);
  for (let i = 0; i < length; i++) {
    if ((bits & (1 << i)) !== 0) bytes[i >> 3] = (bytes[i >> 3] as number) | (0x80 >> (i & 7));
  }
  return bitString(bytes, bytes.length * 8 - length);
}

/** Bytes, or an element that is to be encoded inside it. */
export function octetString(value: Der): DerNode {
  return value instanceof Uint8Array
    ? primitive(Tag.octetString, value)
    : constructed(Tag.octetString, [value]);
}

export function nullValue(): DerNode {
  return primitive(Tag.null, new Uint8Array(0));
}

export function oid(value: string): DerNode {
  return primitive(Tag.oid, encodeOid(value));
}

export function utf8String(value: string): DerNode {
  return primitive(Tag.utf8String, encodeUtf8(value));
}

/** @throws TlsError ERR_TLS_INTERNAL for characters outside X.680 §41.4 */
export function printableString(value: string): DerNode {
  if (!isPrintable(value))
    throw new TlsError('ERR_TLS_INTERNAL', `'${value}' does not fit a PrintableString`);
  return primitive(Tag.printableString, encodeAscii(value));
}

export function ia5String(value: string): DerNode {
  return primitive(Tag.ia5String, encodeAscii(value));
}

/** Unix milliseconds, cut to seconds. */
export function generalizedTime(time: number): DerNode {
  return primitive(Tag.generalizedTime, encodeAscii(formatGeneralizedTime(time)));
}

/** Unix milliseconds, cut to seconds; 1950 to 2049. */
export function utcTime(time: number): DerNode {
  return primitive(Tag.utcTime, encodeAscii(formatUtcTime(time)));
}

/** The `Time` CHOICE of RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050. */
export function time(value: number): DerNode {
  return new Date(value).getUTCFullYear() < FIRST_GENERALIZED_YEAR ? utcTime(value) : generalizedTime(value);
}

function present(children: readonly (Der | undefined)[]): Der[] {
  return children.filter((child) => child !== undefined);
}

function isPrintable(value: string): boolean {
  return /^[A-Za-z0-9 '()+,\-./:=?]*$/.test(value);
}

function twosComplement(value: bigint): Uint8Array {
  let length = 1;
  while (BigInt.asIntN(length * 8, value) !== value) length++;
  const bytes = new Uint8Array(length);
  for (let i = length - 1, rest = value; i >= 0; i--, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  return bytes;
}

function unsigned(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const first = bytes[start] ?? 0;
  const content = new Uint8Array(Math.max(1, bytes.length - start) + (first >= 0x80 ? 1 : 0));
  content.set(bytes.subarray(start), first >= 0x80 ? 1 : 0);
  return content;
}

function encodedLength(value: Der): number {
  if (value instanceof Uint8Array) return value.length;
  return 1 + lengthOctets(value.contentLength) + value.contentLength;
}

function lengthOctets(length: number): number {
  if (length < 0x80) return 1;
  if (length < 0x100) return 2;
  if (length < 0x1_0000) return 3;
  return length < 0x100_0000 ? 4 : 5;
}

function write(value: Der, out: Uint8Array, at: number): number {
  if (value instanceof Uint8Array) {
    out.set(value, at);
    return at + value.length;
  }
  out[at++] = value.tag;
  const width = lengthOctets(value.contentLength) - 1;
  if (width > 0) out[at++] = 0x80 | width;
  for (let i = width > 0 ? width - 1 : 0; i >= 0; i--)
    out[at++] = Math.floor(value.contentLength / 2 ** (8 * i));
  if (value.content instanceof Uint8Array) {
    out.set(value.content, at);
    return at + value.content.length;
  }
  for (const child of value.content) at = write(child, out, at);
  return at;
}
