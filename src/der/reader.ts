import { DecodeError, NotDerError } from '../errors/errors.ts';
import { decodeOid } from './oids.ts';
import { contextConstructed, Tag, tagName } from './tags.ts';
import { decodeText, isTextTag } from './text.ts';
import { parseGeneralizedTime, parseUtcTime } from './time.ts';

/** Deeper nesting than this exists in no structure that is read here (a CMS receipt needs about 15). */
const MAX_DEPTH = 32;

export interface BitString {
  readonly bytes: Uint8Array;
  /** Unused bits at the end of the last byte, 0 to 7; they are zero. */
  readonly unusedBits: number;
}

/**
 * Strict DER (X.690 §10): definite, minimal lengths, tag numbers up to 30. Reads the elements of one constructed
 * value from left to right; nested values get a reader of their own. Byte fields are views on the input, not copies.
 *
 *     const reader = new DerReader(bytes, 'certificate');
 *     const certificate = reader.sequence();
 *     reader.end();
 *
 * Everything that is wrong, running out of bytes included, is a `DecodeError`; a `NotDerError` where only the choice
 * among encodings is wrong.
 */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  readonly #end: number;
  readonly #depth: number;
  #at: number;
  /** Content of the element that #header found last. */
  #contentStart = 0;
  #contentEnd = 0;

  /**
   * @param what name of the structure, for error messages
   * @param start @param end @param depth for nested readers; leave them out
   */
  constructor(bytes: Uint8Array, what: string, start = 0, end = bytes.length, depth = 0) {
    this.#bytes = bytes;
    this.#what = what;
    this.#at = start;
    this.#end = end;
    this.#depth = depth;
  }

  get remaining(): number {
    return this.#end - this.#at;
  }

  /** Identifier octet of the next element; `undefined` at the end. */
  get tag(): number | undefined {
    return this.#at < this.#end ? this.#bytes[this.#at] : undefined;
  }

  /** For OPTIONAL and CHOICE: is the next element a `tag`? */
  is(tag: number): boolean {
    return this.#at < this.#end && this.#bytes[this.#at] === tag;
  }

  /** Every structure ends with this, unless it is extensible. */
  end(): void {
    if (this.#at !== this.#end) this.#fail(`${this.remaining} bytes after its end`);
  }

  /** The content of the next element. */
  content(tag: number): Uint8Array {
    this.#header(tag);
    return this.#bytes.subarray(this.#contentStart, this.#contentEnd);
  }

  /** The whole next element, identifier and length included. Without `tag`, of any type. */
  encoded(tag?: number): Uint8Array {
    const start = this.#at;
    this.#header(tag);
    return this.#bytes.subarray(start, this.#contentEnd);
  }

  /** Everything that is left, as it is. */
  rest(): Uint8Array {
    const start = this.#at;
    this.#at = this.#end;
    return this.#bytes.subarray(start, this.#end);
  }

  skip(tag?: number): void {
    this.#header(tag);
  }

  /** A reader over the content of the next element, which is constructed. */
  into(tag: number, what = this.#what): DerReader {
    if (this.#depth >= MAX_DEPTH) this.#fail(`nested deeper than ${MAX_DEPTH}`);
    this.#header(tag);
    return new DerReader(this.#bytes, what, this.#contentStart, this.#contentEnd, this.#depth + 1);
  }

  sequence(what?: string): DerReader {
    return this.into(Tag.sequence, what);
  }

  set(what?: string): DerReader {
    return this.into(Tag.set, what);
  }

  /** `[n] EXPLICIT`: `read` reads its one element, and nothing is left after it. */
  explicit<T>(n: number, read: (reader: DerReader) => T, what?: string): T {
    const inner = this.into(contextConstructed(n), what);
    const value = read(inner);
    inner.end();
    return value;
  }

  /** SEQUENCE OF (or SET OF without its order, or a tagged one): elements until its end. */
  list<T>(tag: number, read: (reader: DerReader) => T, min = 0, max = Number.POSITIVE_INFINITY): T[] {
    const inner = this.into(tag);
    const items: T[] = [];
    while (inner.remaining > 0) {
      if (items.length >= max) this.#fail(`more than ${max} elements in a ${tagName(tag)}`);
      items.push(read(inner));
    }
    if (items.length < min)
      this.#fail(`${items.length} elements in a ${tagName(tag)}, at least ${min} needed`);
    return items;
  }

  /** SET OF whose elements are in the order of their encodings, as DER has it (X.690 §11.6). */
  setOf<T>(
    read: (reader: DerReader) => T,
    tag: number = Tag.set,
    min = 0,
    max = Number.POSITIVE_INFINITY,
  ): T[] {
    const bytes = this.#bytes;
    let before = 0;
    let beforeEnd = 0;
    return this.list(
      tag,
      (reader) => {
        const here = reader.#at;
        const item = read(reader);
        // In place: a view for each element would take longer than the comparison.
        if (compareRanges(bytes, before, beforeEnd, here, reader.#at) > 0)
          this.#notDer('a SET OF out of order');
        before = here;
        beforeEnd = reader.#at;
        return item;
      },
      min,
      max,
    );
  }

  boolean(tag: number = Tag.boolean): boolean {
    this.#header(tag);
    const value = this.#bytes[this.#contentStart];
    // X.690 §11.1: TRUE is 0xFF and nothing else.
    if (this.#contentEnd - this.#contentStart !== 1 || (value !== 0 && value !== 0xff))
      this.#fail('bad BOOLEAN');
    return value === 0xff;
  }

  /** Two's complement, big-endian, minimal (X.690 §8.3.2); so a positive number may begin with a zero byte. */
  integer(tag: number = Tag.integer): Uint8Array {
    this.#integerHeader(tag);
    return this.#bytes.subarray(this.#contentStart, this.#contentEnd);
  }

  /** An INTEGER (or ENUMERATED) between 0 and `max`, which is at most 2^31 - 1. */
  smallInteger(max: number, tag: number = Tag.integer): number {
    this.#integerHeader(tag);
    let value = 0;
    const tooLong = this.#contentEnd - this.#contentStart > 5;
    for (let i = this.#contentStart; i < this.#contentEnd && !tooLong; i++) {
      value = value * 0x100 + (this.#bytes[i] as number);
    }
    if (tooLong || (this.#bytes[this.#contentStart] as number) >= 0x80 || value > max) {
      this.#fail(`INTEGER outside 0 to ${max}`);
    }
    return value;
  }

  bigInteger(tag: number = Tag.integer): bigint {
    const bytes = this.integer(tag);
    let value = 0n;
    for (const byte of bytes) value = (value << 8n) | BigInt(byte);
    return BigInt.asIntN(bytes.length * 8, value);
  }

  bitString(tag: number = Tag.bitString): BitString {
    this.#header(tag);
    const length = this.#contentEnd - this.#contentStart;
    const unusedBits = this.#bytes[this.#contentStart] as number;
    if (length === 0 || unusedBits > 7 || (length === 1 && unusedBits !== 0)) this.#fail('bad BIT STRING');
    // X.690 §11.2.1: unused bits are zero.
    const last = this.#bytes[this.#contentEnd - 1] as number;
    if (length > 1 && (last & ((1 << unusedBits) - 1)) !== 0) this.#fail('BIT STRING with unused bits set');
    return { bytes: this.#bytes.subarray(this.#contentStart + 1, this.#contentEnd), unusedBits };
  }

  /** A BIT STRING that carries bytes: a key, a signature. */
  bitStringBytes(tag: number = Tag.bitString): Uint8Array {
    const { bytes, unusedBits } = this.bitString(tag);
    if (unusedBits !== 0) this.#fail('BIT STRING that is not whole bytes');
    return bytes;
  }

  /**
   * A BIT STRING with named bits, bit 0 of the definition in bit 0 of the result; at most 31 of them.
   * Trailing zero bits are tolerated although X.690 §11.2.2 forbids them: certificates in use have them.
   */
  namedBits(tag: number = Tag.bitString): number {
    const { bytes } = this.bitString(tag);
    if (bytes.length > 4) this.#fail('more named bits than anyone has named');
    let bits = 0;
    for (let i = 0; i < bytes.length * 8 && i < 31; i++) {
      if (((bytes[i >> 3] as number) & (0x80 >> (i & 7))) !== 0) bits |= 1 << i;
    }
    return bits;
  }

  octetString(tag: number = Tag.octetString): Uint8Array {
    return this.content(tag);
  }

  null(): void {
    this.#header(Tag.null);
    if (this.#contentEnd !== this.#contentStart) this.#fail('NULL with content');
  }

  /** Dotted decimal. */
  oid(tag: number = Tag.oid): string {
    this.#header(tag);
    return decodeOid(this.#bytes, this.#contentStart, this.#contentEnd);
  }

  /** Unix milliseconds. */
  utcTime(tag: number = Tag.utcTime): number {
    return parseUtcTime(this.content(tag));
  }

  /** Unix milliseconds; fractions of a second down to the millisecond where `fractions` is set (RFC 3161 §2.4.2). */
  generalizedTime(fractions = false, tag: number = Tag.generalizedTime): number {
    return parseGeneralizedTime(this.content(tag), fractions);
  }

  /** ASCII only. */
  ia5String(tag: number = Tag.ia5String): string {
    return decodeText(Tag.ia5String, this.content(tag));
  }

  /** Any of the character string types. */
  text(): string {
    const tag = this.tag;
    if (tag === undefined || !isTextTag(tag)) this.#fail(`text expected, ${tagName(tag)} found`);
    return decodeText(tag, this.content(tag));
  }

  #integerHeader(tag: number): void {
    this.#header(tag);
    const first = this.#bytes[this.#contentStart] as number;
    const length = this.#contentEnd - this.#contentStart;
    if (length === 0) this.#fail('INTEGER without content');
    if (length > 1 && (first === 0 || first === 0xff)) {
      const second = this.#bytes[this.#contentStart + 1] as number;
      if (first === 0 ? second < 0x80 : second >= 0x80) this.#notDer('INTEGER that is not minimal');
    }
  }

  /** Steps over one element and leaves its bounds in #contentStart and #contentEnd. */
  #header(expected: number | undefined): void {
    const bytes = this.#bytes;
    let at = this.#at;
    if (at + 2 > this.#end) {
      this.#fail(`${expected === undefined ? 'an element' : tagName(expected)} expected, ends early`);
    }
    const tag = bytes[at++] as number;
    if (expected !== undefined && tag !== expected)
      this.#fail(`${tagName(expected)} expected, ${tagName(tag)} found`);
    if ((tag & 0x1f) === 0x1f) this.#fail('tag number above 30');
    let length = bytes[at++] as number;
    if (length >= 0x80) {
      const width = length & 0x7f;
      // X.690 §10.1: definite form, in the fewest octets. Nothing here is 4 GiB long, so 5 octets cannot be right.
      if (width === 0) this.#notDer('indefinite length');
      if (width > 4 || at + width > this.#end) this.#fail('length that does not fit');
      length = 0;
      for (let i = 0; i < width; i++) length = length * 0x100 + (bytes[at++] as number);
      if (length < 0x80 || length < 2 ** (8 * (width - 1))) this.#notDer('length that is not minimal');
    }
    if (length > this.#end - at) this.#fail(`element ends ${length - (this.#end - at)} bytes early`);
    this.#contentStart = at;
    this.#contentEnd = at + length;
    this.#at = at + length;
  }

  #notDer(reason: string): never {
    throw new NotDerError(`${this.#what}: ${reason}`);
  }

  #fail(reason: string): never {
    throw new DecodeError(`${this.#what}: ${reason}`);
  }
}

/** The order of X.690 §11.6: as byte strings, the shorter padded with zeros. */
export function compareEncodings(a: Uint8Array, b: Uint8Array): number {
  const length = Math.max(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** As `compareEncodings`, of two parts of the same bytes. */
function compareRanges(bytes: Uint8Array, a: number, aEnd: number, b: number, bEnd: number): number {
  const length = Math.max(aEnd - a, bEnd - b);
  for (let i = 0; i < length; i++) {
    const left = a + i < aEnd ? (bytes[a + i] as number) : 0;
    const right = b + i < bEnd ? (bytes[b + i] as number) : 0;
    if (left !== right) return left - right;
  }
  return 0;
}
