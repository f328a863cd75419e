import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { latin1Bytes, latin1Text } from '../../../src/wire/latin1.ts';
import { concat, Writer } from '../../../src/wire/writer.ts';

/** A struct: bytes, or a vector of structs that a writer of its own builds, within the body of the outer one or before it. */
type Shape =
  | { readonly bytes: Uint8Array }
  | { readonly prefix: 1 | 2 | 3; readonly inside: boolean; readonly items: readonly Shape[] };

const { shape } = fc.letrec<{ shape: Shape }>((tie) => ({
  shape: fc.oneof(
    { maxDepth: 4 },
    { weight: 2, arbitrary: fc.record({ bytes: fc.uint8Array({ maxLength: 900 }) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        prefix: fc.constantFrom(2 as const, 3 as const),
        inside: fc.boolean(),
        items: fc.array(tie('shape'), { maxLength: 4 }),
      }),
    },
  ),
}));

/** What there should be, by nothing but joining arrays. */
function expected(item: Shape): Uint8Array {
  if ('bytes' in item) return item.bytes;
  const body = concat(item.items.map(expected));
  const length = Array.from(
    { length: item.prefix },
    (_, i) => (body.length >> (8 * (item.prefix - 1 - i))) & 0xff,
  );
  return concat([Uint8Array.from(length), body]);
}

function write(writer: Writer, item: Shape): void {
  if ('bytes' in item) {
    writer.bytes(item.bytes);
    return;
  }
  if (item.inside) {
    writer.vector(item.prefix, (body) => {
      for (const part of item.items) body.bytes(built(part));
    });
    return;
  }
  const own = new Writer(16);
  for (const part of item.items) write(own, part);
  writer.vector(item.prefix, own.finish());
}

function built(item: Shape): Uint8Array {
  const writer = new Writer(16);
  write(writer, item);
  return writer.finish();
}

describe('a Writer', () => {
  it('writes what was asked for, whoever had its buffer before or has one beside it', () => {
    fc.assert(
      fc.property(fc.array(shape, { minLength: 1, maxLength: 4 }), (shapes) => {
        // The first ones are still there, unchanged, when the last is done.
        const all = shapes.map(built);
        expect(all).toEqual(shapes.map(expected));
      }),
    );
  });

  it('gives bytes that are nobody else’s', () => {
    const first = new Writer().u32(0x01020304).finish();
    const second = new Writer().u32(0x05060708).finish();
    expect([first.buffer === second.buffer, [...first], [...second]]).toEqual([
      false,
      [1, 2, 3, 4],
      [5, 6, 7, 8],
    ]);
    expect(first.buffer.byteLength).toBe(4);
  });

  it('leaves nothing of what it wrote to the next one', () => {
    const secret = new Uint8Array(700).fill(0xa5);
    new Writer().bytes(secret).finish();
    // One that outgrows the buffer it began with leaves nothing there either.
    new Writer().bytes(secret).bytes(secret).finish();
    for (let i = 0; i < 4; i++) {
      // Room that is left for a length is filled in when its body is done: until then it shows what was there.
      let seen: Uint8Array | undefined;
      const next = new Writer();
      next.vector(3, (body) => {
        seen = body.finish();
      });
      expect([...(seen ?? expect.fail('no body'))]).toEqual([0, 0, 0]);
    }
  });

  it('refuses a vector that does not fit its length', () => {
    const large = new Uint8Array(256);
    expect(() => new Writer().vector(1, large)).toThrow(
      expect.objectContaining({ code: 'ERR_TLS_INTERNAL' }),
    );
  });
});

describe('Latin-1', () => {
  it('is a character for each byte, both ways', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const text = latin1Text(bytes);
        expect(text).toBe(Buffer.from(bytes).toString('latin1'));
        expect(latin1Bytes(text)).toEqual(bytes);
      }),
    );
  });
});
