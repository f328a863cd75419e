import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SessionKeeper } from '../../../src/tunnel/session-keeper.ts';

interface Session {
  readonly n: number;
}

/** Opens sessions 1, 2, 3 …; while `failing` holds, throws instead. */
function world() {
  const state = { opened: 0, attempts: 0, failing: false, delays: [] as number[], discarded: [] as number[] };
  const keeper = new SessionKeeper<Session>({
    open: async () => {
      state.attempts++;
      if (state.failing) throw new Error('connection refused');
      return { n: ++state.opened };
    },
    discard: (session) => state.discarded.push(session.n),
    onRetry: (delay) => state.delays.push(delay),
    random: () => 0.999,
  });
  return { state, keeper };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('SessionKeeper', () => {
  it('opens nothing until it is asked, then one session for all who ask', async () => {
    const { state, keeper } = world();
    await vi.advanceTimersByTimeAsync(1000);
    expect(state.attempts).toBe(0);
    const got = await Promise.all([keeper.acquire(1000), keeper.acquire(1000), keeper.acquire(1000)]);
    expect(got.map((s) => s.n)).toEqual([1, 1, 1]);
    expect(await keeper.acquire(1000)).toBe(keeper.current);
    expect(state.attempts).toBe(1);
  });

  it('opens at once when started', async () => {
    const { keeper } = world();
    keeper.start();
    keeper.start();
    await vi.advanceTimersByTimeAsync(0);
    expect(keeper.current).toEqual({ n: 1 });
  });

  it('opens a new session when the current one is lost, and serves those who wait with it', async () => {
    const { state, keeper } = world();
    const first = await keeper.acquire(1000);
    keeper.lost(first, new Error('gone'));
    expect(keeper.current).toBeUndefined();
    const waiting = keeper.acquire(10_000);
    await vi.advanceTimersByTimeAsync(200);
    expect((await waiting).n).toBe(2);
    keeper.lost(first, new Error('late news of the first'));
    expect(keeper.current).toEqual({ n: 2 });
    expect(state.attempts).toBe(2);
  });

  it('doubles its pauses up to five seconds, and varies them', async () => {
    const { state, keeper } = world();
    state.failing = true;
    keeper.start();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(state.delays.slice(0, 8)).toEqual([200, 400, 800, 1599, 3198, 4998, 4998, 4998]);
    const calm = new SessionKeeper<Session>({
      open: () => Promise.reject(new Error('no')),
      discard: () => {},
      onRetry: (delay) => state.delays.push(delay),
      random: () => 0,
    });
    state.delays.length = 0;
    calm.start();
    await vi.advanceTimersByTimeAsync(350);
    expect(state.delays).toEqual([100, 200, 400]);
    keeper.close();
    calm.close();
  });

  it('starts small again only after a session that lasted', async () => {
    const { state, keeper } = world();
    for (let i = 0; i < 4; i++) {
      const session = await keeper.acquire(60_000);
      keeper.lost(session, new Error('dropped at once'));
      await vi.advanceTimersByTimeAsync(6000);
    }
    expect(state.delays).toEqual([200, 400, 800, 1599]);
    await vi.advanceTimersByTimeAsync(10_000);
    keeper.lost(await keeper.acquire(1000), new Error('dropped after a good while'));
    await vi.advanceTimersByTimeAsync(1000);
    expect(state.delays.at(-1)).toBe(200);
  });

  it('fails those who wait when the limit has passed, with the reason, and goes on trying', async () => {
    const { state, keeper } = world();
    state.failing = true;
    const waiting = keeper.acquire(3000);
    const failed = expect(waiting).rejects.toMatchObject({
      code: 'ERR_TUNNEL_WAIT',
      message: expect.stringContaining('connection refused'),
    });
    await vi.advanceTimersByTimeAsync(3000);
    await failed;
    state.failing = false;
    await vi.advanceTimersByTimeAsync(5000);
    expect(keeper.current).toEqual({ n: 1 });
  });

  it('lets a request be withdrawn', async () => {
    const { state, keeper } = world();
    state.failing = true;
    const withdrawal = new AbortController();
    const waiting = keeper.acquire(3000, withdrawal.signal);
    const failed = expect(waiting).rejects.toMatchObject({ code: 'ERR_TUNNEL_CLOSED' });
    withdrawal.abort();
    await failed;
    keeper.close();
  });

  it('stops when closed: waiters fail, nothing is opened any more', async () => {
    const { state, keeper } = world();
    state.failing = true;
    const waiting = keeper.acquire(3000);
    const failed = expect(waiting).rejects.toMatchObject({ code: 'ERR_TUNNEL_CLOSED' });
    keeper.close();
    await failed;
    const { attempts } = state;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(state.attempts).toBe(attempts);
    await expect(keeper.acquire(1000)).rejects.toMatchObject({ code: 'ERR_TUNNEL_CLOSED' });
  });

  it('discards a session that opens after the close', async () => {
    const { state, keeper } = world();
    keeper.start();
    expect(keeper.close()).toBeUndefined();
    await vi.advanceTimersByTimeAsync(0);
    expect(state.discarded).toEqual([1]);
    expect(keeper.current).toBeUndefined();
  });

  it('gives the open session back when closed', async () => {
    const { keeper } = world();
    const session = await keeper.acquire(1000);
    expect(keeper.close()).toBe(session);
    keeper.lost(session, undefined);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(keeper.current).toBeUndefined();
  });
});
