import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runUntilStopped } from '../../../src/cli/lifecycle.ts';
import type { LogFields, TunnelLog } from '../../../src/tunnel/log.ts';
import type { Tunnel } from '../../../src/tunnel/options.ts';

function world() {
  let finish: (error: Error | undefined) => void = () => {};
  const events: LogFields[] = [];
  const note = (fields: LogFields) => void events.push(fields);
  const log: TunnelLog = { debug: note, info: note, warn: note, error: note };
  let closes = 0;
  const tunnel: Tunnel = {
    stats: {
      sessions: { open: 0, total: 1 },
      connections: { open: 2, total: 3, failed: 1 },
      bytesIn: 4,
      bytesOut: 5,
      datagrams: { in: 0, out: 0, dropped: 0 },
    },
    finished: new Promise((resolve) => {
      finish = resolve;
    }),
    close: async () => {
      closes++;
    },
  };
  return { tunnel, log, events, finish, closes: () => closes };
}

const listeners = () => process.listenerCount('SIGINT') + process.listenerCount('SIGTERM');
let before = 0;
beforeEach(() => {
  before = listeners();
});
afterEach(() => {
  expect(listeners()).toBe(before);
});

describe('runUntilStopped', () => {
  it('closes at a signal, again at the second, and exits 0', async () => {
    const { tunnel, log, events, finish, closes } = world();
    const code = runUntilStopped(tunnel, log, () => {});
    process.emit('SIGTERM', 'SIGTERM');
    process.emit('SIGINT', 'SIGINT');
    expect(closes()).toBe(2);
    finish(undefined);
    expect(await code).toBe(0);
    expect(events).toEqual([
      { event: 'stopping', signal: 'SIGTERM', connections: 2 },
      { event: 'stopped', sessions: 1, connections: 3, failed: 1, bytesIn: 4, bytesOut: 5 },
    ]);
  });

  it('heeds a signal that comes as soon as it has announced itself', async () => {
    const { tunnel, log, finish, closes } = world();
    const code = runUntilStopped(tunnel, log, () => void process.emit('SIGTERM', 'SIGTERM'));
    expect(closes()).toBe(1);
    finish(undefined);
    expect(await code).toBe(0);
  });

  it('exits 1 when the tunnel breaks down, and logs why', async () => {
    const { tunnel, log, events, finish, closes } = world();
    const code = runUntilStopped(tunnel, log, () => {});
    finish(Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' }));
    expect(await code).toBe(1);
    expect(closes()).toBe(0);
    expect(events).toEqual([{ event: 'failed', code: 'EMFILE', error: 'accept EMFILE' }]);
  });
});
