import { describe, expect, test } from 'vitest';
import { compare } from '../../../bench/support/welch.ts';

describe('compare', () => {
  test('finds nothing between a class and itself', () => {
    const times = Array.from({ length: 100 }, (_, i) => 1000 + (i % 7));
    expect(compare(times, times)).toMatchObject({ t: 0, nanoseconds: 0 });
  });

  test("computes Welch's t", () => {
    // Means 2 and 4, variances 1 and 4, three of each: t = 2 / sqrt(1/3 + 4/3).
    const { t, nanoseconds, kept } = compare([1, 2, 3], [2, 4, 6]);
    expect(kept).toBe(1);
    expect(nanoseconds).toBeCloseTo(2);
    expect(t).toBeCloseTo(2 / Math.sqrt(5 / 3));
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
