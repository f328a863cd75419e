import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChannelIds, channelId } from '../../../../src/mux/channels/ids.ts';
import { type ReceiveWindow, WindowBudget } from '../../../../src/mux/channels/window.ts';
import { WINDOW_FLOOR, WINDOW_INITIAL } from '../../../../src/mux/limits.ts';
import { checkOutcome, run, step } from '../world.ts';
import { channels, opened } from './kit.ts';

describe('any schedule of opening, writing, reading, ending, closing, aborting, waiting', () => {
  it('loses, repeats and reorders nothing, holds no more than the budget, frees every channel', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 120 }), (steps) => {
        const world = run(steps, 'channels');
        world.finish();
        checkOutcome(world);
        for (const side of [world.pair.client, world.pair.server]) {
          expect(side.session.stats()).toMatchObject({ connections: 0, unread: 0, committed: 0 });
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('windows', () => {
  const MAX = 64;
  const BUDGET = 2 * MAX * WINDOW_FLOOR;
  const budgetStep = fc.oneof(
    { weight: 3, arbitrary: fc.constant({ open: true } as const) },
    { weight: 10, arbitrary: fc.record({ receive: fc.nat({ max: 63 }), bytes: fc.nat({ max: 40_000 }) }) },
    { weight: 10, arbitrary: fc.record({ consume: fc.nat({ max: 63 }), bytes: fc.nat({ max: 40_000 }) }) },
    { weight: 10, arbitrary: fc.record({ acknowledge: fc.nat({ max: 63 }), after: fc.nat({ max: 50 }) }) },
    { weight: 1, arbitrary: fc.record({ release: fc.nat({ max: 63 }) }) },
  );

  it('never promise more than the budget, never starve anybody, and are even when all is given back', () => {
    fc.assert(
      fc.property(fc.array(budgetStep, { maxLength: 300 }), (steps) => {
        const budget = new WindowBudget({ sessionBudget: BUDGET, maxConnections: MAX, window: BUDGET });
        const windows: ReceiveWindow[] = [];
        const pick = (index: number) => windows[index % Math.max(1, windows.length)];
        let now = 0;
        for (const one of steps) {
          if ('open' in one) {
            if (windows.length < MAX) windows.push(budget.open());
          } else if ('receive' in one) {
            const window = pick(one.receive);
            if (window === undefined) continue;
            const { credit, unread } = window;
            expect(budget.received(window, one.bytes)).toBe(one.bytes <= credit);
            const taken = one.bytes <= credit ? one.bytes : 0;
            expect(window).toMatchObject({ credit: credit - taken, unread: unread + taken });
          } else if ('consume' in one) {
            const window = pick(one.consume);
            if (window !== undefined) budget.consumed(window, Math.min(one.bytes, window.unread));
          } else if ('acknowledge' in one) {
            now += one.after;
            const window = pick(one.acknowledge);
            if (window === undefined) continue;
            const { credit } = window;
            const free = budget.acknowledge(window, now, 10);
            expect(window.credit).toBe(credit + free);
            expect(free).toBeGreaterThanOrEqual(0);
          } else {
            const [window] = windows.splice(one.release % Math.max(1, windows.length), 1);
            if (window !== undefined) budget.release(window);
          }
          const committed = windows.reduce((sum, window) => sum + window.credit + window.unread, 0);
          expect(budget.committed).toBe(committed);
          expect(committed).toBeLessThanOrEqual(BUDGET);
          for (const window of windows) expect(window.size).toBeGreaterThanOrEqual(WINDOW_FLOOR);
        }
        // Whoever reads everything can always send again.
        for (const window of windows) {
          budget.consumed(window, window.unread);
          budget.acknowledge(window, now, 10);
          expect(window.credit).toBeGreaterThanOrEqual(WINDOW_FLOOR / 2);
        }
        for (const window of windows) budget.release(window);
        expect(budget.committed).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  /** One sender that always has data, over a way of so many bytes a millisecond and this round trip. */
  function run(bandwidth: number, roundTrip: number, milliseconds: number): number {
    const budget = new WindowBudget({ sessionBudget: 2 ** 26, maxConnections: 1_000, window: 2 ** 23 });
    const window = budget.open();
    let credit = window.credit;
    const way: { at: number; bytes: number; up: boolean }[] = [];
    for (let now = 0; now < milliseconds; now++) {
      for (let i = way.length - 1; i >= 0; i--) {
        const one = way[i] as (typeof way)[number];
        if (one.at > now) continue;
        way.splice(i, 1);
        if (!one.up) {
          credit += one.bytes;
          continue;
        }
        budget.received(window, one.bytes);
        budget.consumed(window, one.bytes);
        const free = budget.acknowledge(window, now, roundTrip);
        if (free > 0) way.push({ at: now + roundTrip / 2, bytes: free, up: false });
      }
      const sent = Math.min(credit, bandwidth);
      credit -= sent;
      if (sent > 0) way.push({ at: now + roundTrip / 2, bytes: sent, up: true });
    }
    return window.size;
  }

  it('grow to between one and four times the bandwidth-delay product, and no further', () => {
    for (const [bandwidth, roundTrip] of [
      [12_500, 40],
      [12_500, 100],
      [50_000, 20],
      [200_000, 5],
      [100_000, 8],
      [200_000, 3],
    ] as const) {
      const product = bandwidth * roundTrip;
      const size = run(bandwidth, roundTrip, 100 * roundTrip);
      expect(size).toBeGreaterThanOrEqual(product);
      expect(size).toBeLessThanOrEqual(Math.max(4 * product, WINDOW_INITIAL));
    }
  });

  it('stay as they begin where that is enough', () => {
    expect(run(1_000, 2, 1_000)).toBe(WINDOW_INITIAL);
  });

  it('are what moves in four milliseconds while nobody else receives, and as they begin when somebody does', () => {
    const budget = new WindowBudget({ sessionBudget: 2 ** 26, maxConnections: 1_000, window: 2 ** 23 });
    const [bulk, other] = [budget.open(), budget.open()];
    let now = 0;
    /** So many bytes a millisecond, by the largest pieces that the window allows. */
    const move = (bandwidth: number, times: number): number => {
      for (let i = 0; i < times; i++) {
        const bytes = bulk.credit;
        now += bytes / bandwidth;
        budget.received(bulk, bytes);
        budget.consumed(bulk, bytes);
        budget.acknowledge(bulk, now, 0.01);
      }
      return bulk.size;
    };
    expect(move(2 ** 19, 20)).toBe(4 * 2 ** 19);
    budget.received(other, 1);
    expect(move(2 ** 19, 20)).toBe(WINDOW_INITIAL);
    now += 2_000;
    expect(move(2 ** 19, 20)).toBe(4 * 2 ** 19);
    expect(move(2 ** 10, 20)).toBe(WINDOW_INITIAL);
  });
});

describe('ids', () => {
  it('of each side have their parity, come back late, and never twice at once', () => {
    for (const role of ['client', 'server'] as const) {
      const ids = new ChannelIds(role);
      const used = new Set<number>();
      for (let i = 0; i < 32_768; i++) {
        const id = ids.allocate((candidate) => !used.has(candidate));
        if (id === undefined) throw new Error('too early');
        expect(ids.isOurs(id) && ids.wasAllocated(id)).toBe(true);
        used.add(id);
      }
      expect(used.size).toBe(32_768);
      expect(ids.allocate((candidate) => !used.has(candidate))).toBeUndefined();
      used.delete(role === 'client' ? 8 : 9);
      expect(ids.allocate((candidate) => !used.has(candidate))).toBe(role === 'client' ? 8 : 9);
      expect(ids.ourHalf(channelId(2, 4))).toBeUndefined();
      expect(ids.ourHalf(channelId(2, 5))).toBe(role === 'client' ? 2 : 5);
    }
  });
});

describe('memory', () => {
  it('of channels whose readers stay away is bounded by the budget, whatever the peer sends', () => {
    const budget = 1_048_576;
    const pair = channels({}, { sessionBudget: budget, maxConnections: 200 });
    const near = Array.from({ length: 200 }, () => opened(pair).near);
    let sent = 0;
    for (let round = 0; round < 20; round++) {
      for (const channel of near) {
        channel.write(new Uint8Array(16_384));
        sent += 16_384;
      }
      pair.settle();
    }
    const { unread, committed } = pair.server.session.stats();
    expect(sent).toBeGreaterThan(60 * budget);
    expect(unread).toBeGreaterThan(budget / 8);
    expect(committed).toBeLessThanOrEqual(budget);
    // Pieces are kept in memory that is at most twice as long (test/unit/mux/frame.test.ts).
    expect(unread).toBeLessThanOrEqual(committed);
  });
});
