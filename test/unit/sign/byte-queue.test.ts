import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteQueue } from '../../../src/sign/byte-queue.ts';

const pieces = fc.array(
  fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ minLength: 4000, maxLength: 5000 })),
  {
    maxLength: 12,
  },
);

test('gives back what was put in, in order, whatever is taken when', () => {
  const takes = fc.array(fc.oneof(fc.constant('shift'), fc.constant('drain'), fc.nat(3000)), {
    maxLength: 12,
  });
  fc.assert(
    fc.property(pieces, takes, (input, actions) => {
      const queue = new ByteQueue();
      const out: Uint8Array[] = [];
      const left = [...actions];
      for (const piece of input) {
        queue.push(piece);
        const action = left.shift();
        if (action === 'shift') out.push(queue.shift() ?? new Uint8Array(0));
        else if (action === 'drain') out.push(...queue.drain());
        else if (typeof action === 'number') {
          const target = new Uint8Array(Math.min(action, queue.length));
          queue.fill(target);
          out.push(target);
        }
        // What has been given away does not change any more.
        out[out.length - 1] = new Uint8Array(out.at(-1) ?? []);
      }
      const taken = out.reduce((sum, { length }) => sum + length, 0);
      const given = input.reduce((sum, { length }) => sum + length, 0);
      expect(queue.length).toBe(given - taken);
      out.push(...queue.drain());
      expect(queue.length).toBe(0);
      expect(queue.shift()).toBeUndefined();
      expect(Buffer.concat(out).equals(Buffer.concat(input))).toBe(true);
    }),
  );
});

test('holds pieces of one byte in few buffers, and large ones uncopied', () => {
  const queue = new ByteQueue();
  for (let i = 0; i < 10_000; i++) queue.push(Uint8Array.of(i));
  const large = new Uint8Array(5000);
  queue.push(large);
  const held = queue.drain();
  expect(held).toHaveLength(4);
  expect(held.at(-1)).toBe(large);
  expect(new Set(held.slice(0, 3).map(({ buffer }) => buffer.byteLength))).toEqual(new Set([4096]));
});

test('a view that was given away keeps its bytes when more comes', () => {
  const queue = new ByteQueue();
  queue.push(Uint8Array.of(1, 2));
  const first = queue.shift();
  queue.push(Uint8Array.of(3, 4));
  expect(first).toEqual(Uint8Array.of(1, 2));
  expect(queue.shift()).toEqual(Uint8Array.of(3, 4));
});
