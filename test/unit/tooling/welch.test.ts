import { describe, expect, test } from 'vitest';
import { compare } from '../../../bench/support/welch.ts';

describe('compare', () => {
  test('finds nothing between a class and itself', () => {
    const times = Array.from({ length: 100 }, (_, i) => 1000 + (i % 7));
    expect(compare(times, times)).toMatchObject({ t: 0, nanoseconds: 0 });
  });

  test("computes Welch's t", () => {
    // Means 7/3 and 3, variances 4/3 and 0, three of each; most are as long as the longest, so that nothing is left out.
    const { t, nanoseconds } = compare([1, 3, 3], [3, 3, 3]);
    expect(nanoseconds).toBeCloseTo(2 / 3);
    expect(t).toBeCloseTo(1);
  });

  test('sees a small difference under a tail that hides it', () => {
    const noise = (i: number) => (i * 7919) % 13;
    const slow = (i: number) => (i % 20 === 0 ? 1_000_000 * (1 + (i % 3)) : 0);
    const first = Array.from({ length: 2000 }, (_, i) => 1000 + noise(i) + slow(i));
    const second = Array.from({ length: 2000 }, (_, i) => 1005 + noise(i + 3) + slow(i + 7));
    const { t, kept } = compare(first, second);
    expect(Math.abs(t)).toBeGreaterThan(4.5);
    expect(kept).toBeLessThan(1);
  });
});
