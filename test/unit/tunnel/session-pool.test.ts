import { describe, expect, it, vi } from 'vitest';
import { EXCLUSIVE_MAX, SessionPool } from '../../../src/tunnel/session-pool.ts';

/** Sessions are numbers, in the order in which they were opened. */
function pool() {
  let opened = 0;
  const discarded: number[] = [];
  const made = new SessionPool<number>(
    () => ({ open: async () => ++opened, discard: () => {} }),
    (session) => discarded.push(session),
  );
  return { pool: made, discarded, opened: () => opened };
}

describe('sessions that carry one connection each', () => {
  it('are used again, and not by two at a time', async () => {
    const { pool: sessions, opened } = pool();
    const one = sessions.take();
    expect(await one.acquire(1000)).toBe(1);
    const other = sessions.take();
    expect(await other.acquire(1000)).toBe(2);
    sessions.give(one);
    sessions.give(one);
    expect(sessions.take()).toBe(one);
    expect(await sessions.take().acquire(1000)).toBe(3);
    expect(opened()).toBe(3);
    expect(sessions.close().sort()).toEqual([1, 2, 3]);
  });

  it('are not opened again when they drop, nor given to anybody', async () => {
    const { pool: sessions, opened } = pool();
    const one = sessions.take();
    one.lost(await one.acquire(1000), new Error('gone'));
    sessions.give(one);
    const next = sessions.take();
    expect(next).not.toBe(one);
    expect(await next.acquire(1000)).toBe(2);
    expect(opened()).toBe(2);
    sessions.close();
  });

  it('are ended when nobody has needed them for a while', async () => {
    vi.useFakeTimers();
    try {
      const { pool: sessions, discarded } = pool();
      const one = sessions.take();
      await one.acquire(1000);
      sessions.give(one);
      vi.advanceTimersByTime(60_000);
      expect(discarded).toEqual([1]);
      expect(sessions.take()).not.toBe(one);
      sessions.close();
    } finally {
      vi.useRealTimers();
    }
  });

  it('are no more than so many', () => {
    const { pool: sessions } = pool();
    for (let i = 0; i < EXCLUSIVE_MAX; i++) sessions.take();
    expect(() => sessions.take()).toThrow(/sign-unit/);
    sessions.close();
  });
});
