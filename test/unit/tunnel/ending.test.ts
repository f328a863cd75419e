import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Ending } from '../../../src/tunnel/ending.ts';
import { silentLog } from '../../../src/tunnel/log.ts';
import { Traffic } from '../../../src/tunnel/traffic.ts';

const LIMIT = 5000;

function world() {
  const traffic = new Traffic(silentLog);
  const steps: string[] = [];
  const ending = new Ending(traffic, LIMIT, {
    stopAccepting: () => void steps.push('stop accepting'),
    closeSessions: async () => void steps.push('close sessions'),
  });
  const open = () => {
    const connection = traffic.openConnection('peer', 'app');
    connection.onGiveUp((error) => {
      steps.push(`abort ${(error as { code?: string }).code}`);
      connection.close('stopped', error);
    });
    return connection;
  };
  return { ending, steps, open };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('Ending', () => {
  it('is at once when nothing is open', async () => {
    const { ending, steps } = world();
    expect(ending.begun).toBe(false);
    await ending.close();
    expect(ending.begun).toBe(true);
    expect(steps).toEqual(['stop accepting', 'close sessions']);
    expect(await ending.finished).toBeUndefined();
    await ending.close();
    expect(steps).toHaveLength(2);
  });

  it('waits for connections and no longer', async () => {
    const { ending, steps, open } = world();
    const connection = open();
    const closed = ending.close();
    await vi.advanceTimersByTimeAsync(LIMIT - 1);
    expect(steps).toEqual(['stop accepting']);
    connection.close('end');
    await closed;
    expect(steps).toEqual(['stop accepting', 'close sessions']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('breaks off what is left after the limit, before the sessions end', async () => {
    const { ending, steps, open } = world();
    open();
    open();
    const closed = ending.close();
    await vi.advanceTimersByTimeAsync(LIMIT);
    await closed;
    expect(steps).toEqual([
      'stop accepting',
      'abort ERR_TUNNEL_CLOSED',
      'abort ERR_TUNNEL_CLOSED',
      'close sessions',
    ]);
  });

  it('does not wait any more when asked twice', async () => {
    const { ending, steps, open } = world();
    open();
    void ending.close();
    await ending.close();
    expect(steps).toEqual(['stop accepting', 'abort ERR_TUNNEL_CLOSED', 'close sessions']);
  });

  it('breaks everything off when the tunnel cannot go on, and says why', async () => {
    const { ending, steps, open } = world();
    open();
    const why = new Error('accept EMFILE');
    ending.fail(why);
    await vi.advanceTimersByTimeAsync(0);
    expect(await ending.finished).toBe(why);
    expect(steps).toEqual(['stop accepting', 'abort ERR_TUNNEL_CLOSED', 'close sessions']);
    ending.fail(new Error('only the first counts'));
    expect(await ending.finished).toBe(why);
  });
});
