import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeOid, encodeOid, Oid } from '../../../src/der/oids.ts';
import { DerReader } from '../../../src/der/reader.ts';
import { contextConstructed, contextPrimitive, Tag } from '../../../src/der/tags.ts';
import {
  bitString,
  boolean,
  constructed,
  type Der,
  encodeDer,
  enumerated,
  explicit,
  ia5String,
  implicit,
  integer,
  namedBits,
  nullValue,
  octetString,
  oid,
  primitive,
  printableString,
  sequence,
  setOf,
  utf8String,
} from '../../../src/der/writer.ts';
import { DecodeError, TlsError } from '../../../src/errors/errors.ts';

const hex = (value: Der) => Buffer.from(encodeDer(value)).toString('hex');
const read = (value: Der) => new DerReader(encodeDer(value), 'test');

describe('DER writer', () => {
  it('writes known encodings', () => {
    expect(hex(sequence(boolean(true), undefined, integer(-129), nullValue()))).toBe(
      '3009' + '0101ff' + '0202ff7f' + '0500',
    );
    expect(hex(integer(128))).toBe('02020080');
    expect(hex(integer(0))).toBe('020100');
    expect(hex(enumerated(2))).toBe('0a0102');
    expect(hex(integer(Uint8Array.of(0, 0, 0x80)))).toBe('02020080');
    expect(hex(integer(new Uint8Array(0)))).toBe('020100');
    expect(hex(explicit(0, integer(2)))).toBe('a003020102');
    expect(hex(implicit(1, integer(2)))).toBe('810102');
    expect(hex(implicit(1, sequence(integer(2))))).toBe('a103020102');
    expect(hex(octetString(integer(2)))).toBe('0403020102');
    expect(hex(setOf(integer(300), integer(2)))).toBe('3107' + '020102' + '0202012c');
    expect(hex(namedBits(1 << 5))).toBe('03020204');
    expect(hex(namedBits(0))).toBe('030100');
    expect(hex(namedBits((1 << 0) | (1 << 8)))).toBe('0303078080');
    expect(hex(primitive(contextPrimitive(2), Uint8Array.of(1)))).toBe('820101');
    expect(hex(constructed(contextConstructed(3), [nullValue()]))).toBe('a3020500');
  });

  it('writes lengths of every width', () => {
    for (const length of [0, 127, 128, 255, 256, 65_535, 65_536, 70_000]) {
      const bytes = new Uint8Array(length).fill(7);
      const r = read(sequence(octetString(bytes))).sequence();
      expect(Buffer.compare(r.octetString(), bytes)).toBe(0);
      r.end();
    }
  });

  it('refuses what does not fit a string type', () => {
    expect(() => printableString('a@b')).toThrow(TlsError);
    expect(() => ia5String('é')).toThrow(TlsError);
  });

  it('properties: what is written is read back', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 200n), max: 2n ** 200n }), (n) => {
        expect(read(integer(n)).bigInteger()).toBe(n);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(read(octetString(bytes)).octetString()).toEqual(bytes);
        expect(read(bitString(bytes)).bitStringBytes()).toEqual(bytes);
      }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (bits) => {
        expect(read(namedBits(bits)).namedBits()).toBe(bits);
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(read(utf8String(text)).text()).toBe(text);
      }),
    );
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 6 }), { maxLength: 10 }), (values) => {
        const set = setOf(...values.map((v) => octetString(v)));
        expect(read(set).setOf((r) => r.octetString())).toHaveLength(values.length);
      }),
    );
  });

  it('properties: any tree of values', () => {
    const { tree } = fc.letrec<{ tree: Der }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 5 },
        fc.uint8Array({ maxLength: 200 }).map((b) => octetString(b) as Der),
        fc.integer().map((n) => integer(n) as Der),
        fc.array(tie('tree'), { maxLength: 4 }).map((children) => sequence(...children) as Der),
        tie('tree').map((child) => explicit(3, child) as Der),
        tie('tree').map((child) => encodeDer(child) as Der),
      ),
    }));
    const walk = (r: DerReader): number => {
      let count = 0;
      while (r.remaining > 0) {
        const tag = r.tag as number;
        count += (tag & 0x20) !== 0 ? 1 + walk(r.into(tag)) : 1;
        if ((tag & 0x20) === 0) r.skip(tag);
      }
      r.end();
      return count;
    };
    fc.assert(
      fc.property(tree, (value) => {
        expect(walk(read(value))).toBeGreaterThan(0);
        expect(read(value).encoded()).toEqual(encodeDer(value));
      }),
    );
  });

  it('properties: random bytes are a value or a DecodeError', () => {
    const walk = (r: DerReader): void => {
      while (r.remaining > 0) {
        const tag = r.tag as number;
        if ((tag & 0x20) !== 0) walk(r.into(tag));
        else if (tag === Tag.oid) r.oid();
        else if (tag === Tag.integer) r.bigInteger();
        else if (tag === Tag.bitString) r.bitString();
        else if (tag === Tag.utcTime) r.utcTime();
        else if (tag === Tag.generalizedTime) r.generalizedTime(true);
        else if (tag === Tag.utf8String || tag === Tag.bmpString) r.text();
        else r.skip();
      }
    };
    const tags = fc.constantFrom(
      0x30,
      0x31,
      0x02,
      0x03,
      0x06,
      0x17,
      0x18,
      0x0c,
      0x1e,
      0xa0,
      0x00,
      0x80,
      0x81,
      0xff,
      0x01,
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(tags, fc.nat(20)), { maxLength: 64 }), (bytes) => {
        try {
          walk(new DerReader(Uint8Array.from(bytes), 'random'));
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('object identifiers', () => {
  it('round trip, the known ones and others', () => {
    for (const value of Object.values(Oid)) expect(decodeOid(encodeOid(value))).toBe(value);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 }),
        fc.nat(39),
        fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n }), { maxLength: 5 }),
        (first, second, rest) => {
          const value = [first, second, ...rest].join('.');
          expect(decodeOid(encodeOid(value))).toBe(value);
        },
      ),
    );
    // An arc as long as a UUID, under joint-iso-itu-t(2) with a second arc above 39.
    for (const value of ['2.25.16673975627316912103693062371879835450', '2.999.1', '2.5.29.19']) {
      expect(decodeOid(encodeOid(value))).toBe(value);
    }
  });

  it.each(['', '1', '3.1', '1.40', '0.40.1', '1.2.', '1.2.03', 'a.b', '1.2.-3'])('%j is none', (value) => {
    expect(() => oid(value)).toThrow(TlsError);
  });
});
