import { readdirSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { benches } from '../../../bench/benches/index.ts';
import {
  type Bench,
  DEFAULT_ROUNDS,
  defineBench,
  measure,
  median,
  summarise,
} from '../../../bench/harness.ts';

const faster = { name: 'x', unit: 'MB/s', peerName: 'peer', higherIsBetter: true };
const shorter = { name: 'x', unit: 'ms', peerName: 'peer', higherIsBetter: false };

describe('median', () => {
  it('is the middle value by size, not by text', () => {
    expect(median([10, 9, 100])).toBe(10);
  });

  it('is the mean of the two middle values of an even number', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  it('has as many values below as above', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const middle = median(values);
        const below = values.filter((value) => value < middle).length;
        const above = values.filter((value) => value > middle).length;
        expect(below).toBeLessThanOrEqual(values.length / 2);
        expect(above).toBeLessThanOrEqual(values.length / 2);
      }),
    );
  });

  it('refuses no values', () => {
    expect(() => median([])).toThrow(RangeError);
  });
});

describe('summarise', () => {
  it('gives the ratio of the medians, not the median of the ratios', () => {
    const rounds = [
      { ours: 10, peer: 1 },
      { ours: 20, peer: 10 },
      { ours: 30, peer: 100 },
    ];
    expect(summarise(faster, rounds)).toEqual({
      name: 'x',
      ours: 20,
      peer: 10,
      peerName: 'peer',
      ratio: 2,
      unit: 'MB/s',
      rounds,
    });
  });

  it('is above 1 when ours is better, also where less is better', () => {
    expect(summarise(shorter, [{ ours: 5, peer: 20 }]).ratio).toBe(4);
    expect(summarise(shorter, [{ ours: 20, peer: 5 }]).ratio).toBe(0.25);
  });

  it('has no ratio without a peer', () => {
    expect(summarise(faster, [{ ours: 5, peer: null }])).toMatchObject({ ours: 5, peer: null, ratio: null });
  });
});

describe('measure', () => {
  function recorded(): { bench: Bench; calls: string[] } {
    const calls: string[] = [];
    let value = 0;
    const bench = defineBench({
      ...faster,
      ours: async () => {
        calls.push('ours');
        return ++value;
      },
      peer: async () => {
        calls.push('peer');
        return 1;
      },
    });
    return { bench, calls };
  }

  it('throws the warm-up away and lets each go first in turn', async () => {
    const { bench, calls } = recorded();
    const result = await measure(bench, 2);
    expect(result.rounds).toEqual([
      { ours: 2, peer: 1 },
      { ours: 3, peer: 1 },
    ]);
    expect(calls.join(' ')).toBe('ours peer ours peer peer ours');
  });

  it('takes the number of rounds from the bench, else the default', async () => {
    expect((await measure(recorded().bench)).rounds).toHaveLength(DEFAULT_ROUNDS);
    expect((await measure({ ...recorded().bench, rounds: 3 })).rounds).toHaveLength(3);
  });

  it('goes on without a peer', async () => {
    const result = await measure({ ...recorded().bench, peer: () => undefined }, 1);
    expect(result).toMatchObject({ peer: null, ratio: null });
  });
});

describe('bench/benches/index.ts', () => {
  it('lists every bench file once', async () => {
    const folder = new URL('../../../bench/benches/', import.meta.url);
    const files = readdirSync(folder).filter((name) => name.endsWith('.ts') && name !== 'index.ts');
    const defined: Bench[] = [];
    for (const name of files) {
      const exported: Record<string, Bench> = await import(new URL(name, folder).href);
      defined.push(...Object.values(exported));
    }
    const listed = await Promise.all(Object.values(benches).map((load) => load()));
    expect(new Set(listed)).toEqual(new Set(defined));
    expect(listed.map(({ name }) => name)).toEqual(Object.keys(benches));
  });
});
