import { describe, expect, it } from 'vitest';
import { DerReader } from '../../../src/der/reader.ts';
import { contextPrimitive, Tag } from '../../../src/der/tags.ts';
import { DecodeError } from '../../../src/errors/errors.ts';

const reader = (hex: string) =>
  new DerReader(Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex')), 'test');
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
/** A value and its wrong twins. */
const refuses = (read: (r: DerReader) => unknown, ...inputs: string[]) => {
  for (const input of inputs) expect(() => read(reader(input)), input).toThrow(DecodeError);
};

describe('DerReader', () => {
  it('reads nested values as views and ends exactly', () => {
    const bytes = Uint8Array.from(Buffer.from('300a020105a0050403010203', 'hex'));
    const r = new DerReader(bytes, 'test');
    const inner = r.sequence();
    r.end();
    expect(inner.smallInteger(10)).toBe(5);
    const content = inner.explicit(0, (e) => e.octetString());
    inner.end();
    expect(content).toEqual(Uint8Array.of(1, 2, 3));
    expect(content.buffer).toBe(bytes.buffer);
  });

  it('an explicit tag is around one element', () => {
    expect(reader('a003020105').explicit(0, (e) => e.smallInteger(9))).toBe(5);
    refuses(
      (r) => r.explicit(0, (e) => e.smallInteger(9)),
      'a000',
      'a103020105',
      'a006020105020105',
      '8003020105',
    );
  });

  it('wants definite, minimal lengths', () => {
    expect(reader(`0481 80${'00'.repeat(128)}`).octetString()).toHaveLength(128);
    expect(reader(`0482 0100${'00'.repeat(256)}`).octetString()).toHaveLength(256);
    refuses(
      (r) => r.octetString(),
      '',
      '04',
      '0401',
      '040201',
      '0480 0000', // indefinite, X.690 §10.1
      '0481 01 00', // not minimal
      `0481 7f${'00'.repeat(127)}`,
      `0482 0080${'00'.repeat(128)}`,
      '0484 ffffffff',
      '0485 0000000001 00',
      '0481',
      '048201',
      '04ff',
    );
  });

  it('wants the expected tag, and no tag number above 30', () => {
    refuses((r) => r.octetString(), '0500', '2400');
    refuses((r) => r.encoded(), '1f8100', 'bf2100');
  });

  it('refuses bytes after the end', () => {
    const r = reader('0500 00');
    r.null();
    expect(() => r.end()).toThrow(/1 bytes after its end/);
    expect(() => reader('0500').end()).toThrow(DecodeError);
  });

  it('bounds the depth', () => {
    let r = reader(
      Array.from({ length: 40 }, (_, i) => `30${(78 - 2 * i).toString(16).padStart(2, '0')}`).join(''),
    );
    for (let i = 0; i < 32; i++) r = r.sequence();
    expect(() => r.sequence()).toThrow(/nested deeper/);
  });

  it('BOOLEAN is 00 or FF (X.690 §11.1)', () => {
    expect(reader('0101ff').boolean()).toBe(true);
    expect(reader('010100').boolean()).toBe(false);
    refuses((r) => r.boolean(), '010101', '0100', '0102ffff');
  });

  it('INTEGER is minimal (X.690 §8.3.2)', () => {
    expect(hex(reader('02020080').integer())).toBe('0080');
    expect(hex(reader('0201ff').integer())).toBe('ff');
    refuses((r) => r.integer(), '0200', '02020001', '0202ffff', '0202ff80', '0202007f');
    expect(reader('0202ff7f').bigInteger()).toBe(-129n);
    expect(reader('020900ffffffffffffffff').bigInteger()).toBe(2n ** 64n - 1n);
  });

  it('small integers have a bound', () => {
    expect(reader('02047fffffff').smallInteger(0x7fff_ffff)).toBe(0x7fff_ffff);
    expect(reader('020100').smallInteger(0)).toBe(0);
    refuses((r) => r.smallInteger(10), '02010b', '0201ff', '02050100000000', '020600ffffffffff', '02020080');
  });

  it('BIT STRING has zero bits where they are unused (X.690 §11.2.1)', () => {
    expect(reader('030204f0').bitString()).toMatchObject({ unusedBits: 4 });
    expect(reader('030100').bitString().bytes).toHaveLength(0);
    refuses((r) => r.bitString(), '0300', '030101', '030208f0', '030204ff');
    refuses((r) => r.bitStringBytes(), '030204f0');
    expect(hex(reader('030200f0').bitStringBytes())).toBe('f0');
  });

  it('named bits: bit 0 is the first', () => {
    expect(reader('03020780').namedBits()).toBe(1);
    expect(reader('03020204').namedBits()).toBe(1 << 5);
    expect(reader('0303070080').namedBits()).toBe(1 << 8);
    expect(reader('03020080').namedBits()).toBe(1); // trailing zeros are tolerated
    refuses((r) => r.namedBits(), '0306000000000000');
  });

  it('NULL is empty', () => {
    reader('0500').null();
    refuses((r) => r.null(), '050100');
  });

  it('OBJECT IDENTIFIER', () => {
    expect(reader('06032a0304').oid()).toBe('1.2.3.4');
    expect(reader('0603551d13').oid()).toBe('2.5.29.19');
    expect(reader('0602883703').oid()).toBe('2.999');
    refuses(
      (r) => r.oid(),
      '0600',
      '060180',
      '06022a80',
      '06038001 01',
      '06032a8001',
      `0641${'2a'.repeat(65)}`,
    );
  });

  it('SEQUENCE OF has bounds, SET OF an order (X.690 §11.6)', () => {
    const r = reader('3006 020101 020102');
    expect(r.list(Tag.sequence, (x) => x.smallInteger(9))).toEqual([1, 2]);
    refuses((x) => x.list(Tag.sequence, (y) => y.smallInteger(9), 1), '3000');
    refuses((x) => x.list(Tag.sequence, (y) => y.smallInteger(9), 0, 1), '3006020101020102');
    expect(reader('3106020101020102').setOf((x) => x.smallInteger(9))).toEqual([1, 2]);
    refuses((x) => x.setOf((y) => y.smallInteger(9)), '3106020102020101');
  });

  it('character strings', () => {
    expect(reader('0c03c3a941').text()).toBe('éA');
    expect(reader('1302 4142').text()).toBe('AB');
    expect(reader('1402 e941').text()).toBe('éA');
    expect(reader('1e04 00e90041').text()).toBe('éA');
    expect(reader('1c04 0001f600').text()).toBe('😀');
    expect(reader('8201 41').ia5String(contextPrimitive(2))).toBe('A');
    refuses((r) => r.text(), '0c01ff', '1301e9', '1601 80', '1e0100', '1c04 00110000', '0401 41', '');
  });
});
