import { expect, test } from 'vitest';
import { Flag } from '../../../src/sign/frame.ts';
import { Outbox, type Outgoing } from '../../../src/sign/outbox.ts';

const VERSION = 0x0304;
const RECORD = 16_384;

function object(bytes: Uint8Array, on: Partial<Outgoing> = {}): Outgoing {
  return { bytes, content: { kind: 'object', contentType: 23, flags: 0, prefix: undefined }, ...on };
}

test('small objects share a record, which no piece of another overflows', () => {
  const records: Uint8Array[] = [];
  const outbox = new Outbox(VERSION, (content) => records.push(content));
  for (let i = 0; i < 20; i++) outbox.push(object(new Uint8Array(1500).fill(i)));
  outbox.flush(Number.POSITIVE_INFINITY);
  expect(records.map(({ length }) => length)).toEqual([10 * 1506, 10 * 1506]);
  expect(records[1]?.subarray(0, 7)).toEqual(Uint8Array.of(23, 0, 3, 4, 1500 >> 8, 1500 & 0xff, 10));
});

test('an object tells that it has left when its record has, in order', () => {
  const told: string[] = [];
  const outbox = new Outbox(VERSION, ({ length }) => told.push(`record of ${length}`));
  outbox.push(object(new Uint8Array(10), { after: () => told.push('first') }));
  outbox.push({ bytes: Uint8Array.of(1), content: { kind: 'switch' }, after: () => told.push('switch') });
  outbox.push(object(new Uint8Array(RECORD), { after: () => told.push('large') }));
  outbox.flush(Number.POSITIVE_INFINITY);
  expect(told).toEqual(['record of 17', 'first', 'switch', `record of ${RECORD}`, 'record of 12', 'large']);
});

test('what was in a record that could not be sealed is told of as lost', () => {
  const lost: number[] = [];
  const outbox = new Outbox(VERSION, () => {
    throw new Error('closed');
  });
  for (const i of [0, 1]) outbox.push(object(new Uint8Array(10), { lost: () => lost.push(i) }));
  expect(() => outbox.flush(16)).toThrow('closed');
  outbox.discard();
  expect(lost).toEqual([0, 1]);
  expect(outbox.waiting).toBe(false);
});

test('pieces of an object are marked, all but the last', () => {
  const records: Uint8Array[] = [];
  const outbox = new Outbox(VERSION, (content) => records.push(content));
  outbox.push(object(new Uint8Array(40_000)));
  outbox.flush(Number.POSITIVE_INFINITY);
  expect(records.map((record) => (record[1] as number) & Flag.more)).toEqual([Flag.more, Flag.more, 0]);
});
