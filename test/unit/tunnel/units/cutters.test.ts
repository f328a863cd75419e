import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TunnelError } from '../../../../src/tunnel/errors.ts';
import { conversation } from '../../../../src/tunnel/units/conversation.ts';
import type { Cutter } from '../../../../src/tunnel/units/cutter.ts';
import { codeOf, cutAll, pieces } from './kit.ts';

const MAX = 1_000;
const cutters = {
  connection: () => conversation('connection', MAX).forth,
  line: () => conversation('line', MAX).forth,
  'length-prefixed': () => conversation('length-prefixed', MAX).forth,
};

const framed = (body: Uint8Array): Buffer => {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(body.length);
  return Buffer.concat([prefix, body]);
};

describe.each(Object.entries(cutters))('%s', (name, make) => {
  it('gives back every byte in order, however they are cut', () => {
    const input =
      name === 'length-prefixed'
        ? fc
            .array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 })
            .map((bodies) => Buffer.concat(bodies.map(framed)))
        : fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(input, fc.array(fc.nat(300)), (bytes, cuts) => {
        const whole = cutAll(make(), [bytes]);
        expect(Buffer.concat(whole)).toEqual(bytes);
        expect(cutAll(make(), pieces(bytes, cuts))).toEqual(whole);
        expect(whole.every((unit) => unit.length > 0)).toBe(true);
      }),
    );
  });
});

describe('a connection', () => {
  it('is one unit, or none when it is empty', () => {
    expect(cutAll(cutters.connection(), [Buffer.from('a\nb'), Buffer.from('c')])).toEqual([
      Buffer.from('a\nbc'),
    ]);
    expect(cutAll(cutters.connection(), [])).toEqual([]);
    expect(cutAll(cutters.connection(), [Buffer.alloc(0)])).toEqual([]);
  });
});

describe('lines', () => {
  it('keep their ends, and the last one may have none', () => {
    const units = cutAll(cutters.line(), [Buffer.from('one\r\ntwo\n\nth'), Buffer.from('ree')]);
    expect(units.map(String)).toEqual(['one\r\n', 'two\n', '\n', 'three']);
  });
});

describe('messages with their length', () => {
  it('are units with it, empty ones too', () => {
    const units = cutAll(cutters['length-prefixed'](), [
      Buffer.from([0, 0, 0, 2, 65, 66, 0, 0, 0, 0, 0, 0]),
      Buffer.from([0, 1, 67]),
    ]);
    expect(units).toEqual([
      Buffer.from([0, 0, 0, 2, 65, 66]),
      Buffer.alloc(4),
      Buffer.from([0, 0, 0, 1, 67]),
    ]);
  });

  it('that are cut off or too long are refused, the latter before they come', () => {
    const cut = (bytes: readonly number[]) =>
      codeOf(() => cutAll(cutters['length-prefixed'](), [Buffer.from(bytes)]));
    expect(cut([0])).toBe('ERR_TUNNEL_UNIT');
    expect(cut([0, 0, 0, 2, 65])).toBe('ERR_TUNNEL_UNIT');
    const long = cutters['length-prefixed']();
    expect(() => long.push(Buffer.from('GET '))).toThrow(/4 bytes in network byte order/);
    const max: Cutter = cutters['length-prefixed']();
    expect(max.push(Buffer.from([0, 0, (MAX - 4) >> 8, (MAX - 4) & 255]))).toHaveLength(1);
    expect(() =>
      cutters['length-prefixed']().push(Buffer.from([0, 0, (MAX - 3) >> 8, (MAX - 3) & 255])),
    ).toThrow(TunnelError);
  });
});
