import { describe, expect, it } from 'vitest';
import type { MuxServerOptions } from '../../../src/mux/index.ts';
import { OVERSHOOT } from '../../../src/mux/limits.ts';
import { bytes, clientPort, ECHO, frame, Pair, sentBy } from './pair.ts';

const P = 49_152;
const KIB = 1024;
const LIMIT = 256 * KIB;

function pair(options: Partial<MuxServerOptions> = {}): Pair {
  return new Pair({}, { applications: [ECHO], receiveBuffer: LIMIT, ...options });
}

/** The client's next bytes on the pair with this port, as records of 16 KiB. */
function pour(to: Pair, port: number, length: number): void {
  for (let left = length; left > 0; left -= 16_378) {
    to.server.receive(frame(port, 7, new Uint8Array(Math.min(left, 16_378))));
  }
}

describe('a slow reader, overflow pause', () => {
  it('does not pause up to the limit, and does above it', () => {
    const slow = pair();
    slow.open();
    pour(slow, P, LIMIT);
    expect(slow.server.session.paused).toBe(false);
    expect(slow.server.session.nextTimeout(1000)).toBeUndefined();
    pour(slow, P, 1);
    expect(slow.server.session.paused).toBe(true);
    expect(slow.server.session.nextTimeout(1000)).toBe(11_000);
    expect(slow.server.session.nextTimeout(2000)).toBe(11_000);
  });

  it('goes on when the reader has taken half, and wakes the adapter for it', () => {
    const slow = pair();
    const { far } = slow.open();
    pour(slow, P, LIMIT + 1);
    slow.server.events();
    let woken = 0;
    slow.server.session.onWake(() => woken++);
    woken = 0;
    far.consume(LIMIT / 2);
    expect(slow.server.session.paused).toBe(true);
    far.consume(1);
    expect(slow.server.session.paused).toBe(false);
    expect(woken).toBe(1);
    expect(slow.server.session.nextTimeout(1000)).toBeUndefined();
    far.consume(1000);
    expect(woken).toBe(1);
  });

  it('has all its time again when it fills up again', () => {
    const slow = pair();
    const { far } = slow.open();
    pour(slow, P, LIMIT + 1);
    expect(slow.server.session.nextTimeout(1000)).toBe(11_000);
    far.consume(LIMIT);
    pour(slow, P, LIMIT);
    expect(slow.server.session.nextTimeout(9000)).toBe(19_000);
  });

  it('counts what was read but not consumed', () => {
    const slow = pair();
    const { far } = slow.open();
    pour(slow, P, LIMIT + 1);
    while (far.read() !== undefined);
    expect(far.unread).toBe(LIMIT + 1);
    expect(slow.server.session.paused).toBe(true);
  });

  it('is aborted after 10 seconds, alone', () => {
    const slow = pair();
    const { near } = slow.open();
    const other = slow.open();
    pour(slow, P, LIMIT + 1);
    pour(slow, P + 1, 100);
    slow.server.events();
    slow.server.session.nextTimeout(1000);
    slow.server.session.handleTimeout(10_999);
    expect(slow.server.session.paused).toBe(true);
    slow.server.session.handleTimeout(11_000);
    expect(slow.server.session.paused).toBe(false);
    expect(slow.server.events()).toMatchObject([
      { type: 'failed', connection: { clientPort: P, unread: 0 }, error: { code: 'ERR_MUX_OVERFLOW' } },
    ]);
    slow.settle();
    expect(near.error).toMatchObject({ code: 'ERR_MUX_ABORTED' });
    expect(bytes(other.far).length).toBe(100);
    expect(other.near.error).toBeUndefined();
  });

  it('has its own clock, and another limit by option', () => {
    const slow = pair({ pauseLimit: 500 });
    slow.open();
    slow.open();
    pour(slow, P, LIMIT + 1);
    expect(slow.server.session.nextTimeout(1000)).toBe(1500);
    pour(slow, P + 1, LIMIT + 1);
    expect(slow.server.session.nextTimeout(1200)).toBe(1500);
    slow.server.session.handleTimeout(1500);
    expect(slow.server.session.paused).toBe(true);
    expect(slow.server.session.nextTimeout(1500)).toBe(1700);
  });

  it('is aborted at once if data keeps coming in spite of the pause', () => {
    const slow = pair();
    slow.open();
    pour(slow, P, LIMIT + OVERSHOOT);
    expect(slow.server.session.paused).toBe(true);
    slow.server.events();
    pour(slow, P, 1);
    expect(slow.server.session.paused).toBe(false);
    expect(slow.server.events()).toMatchObject([{ type: 'failed', error: { code: 'ERR_MUX_OVERFLOW' } }]);
    pour(slow, P, LIMIT);
    expect(slow.server.session.paused).toBe(false);
    expect(sentBy(slow.server)).toEqual([`abort ${P},7`]);
  });

  it('is over its limit until it has read, though the pair be closed', () => {
    const slow = pair();
    const { near, far } = slow.open();
    pour(slow, P, LIMIT + 1);
    far.end();
    near.end();
    slow.settle();
    expect(slow.server.session.paused).toBe(true);
    slow.server.session.nextTimeout(0);
    slow.server.session.handleTimeout(10_000);
    expect(far.error).toMatchObject({ code: 'ERR_MUX_OVERFLOW' });
    expect(sentBy(slow.server)).toEqual([]);
    expect(slow.server.session.connections).toBe(0);
  });
});

describe('a slow reader, overflow abort', () => {
  it('is aborted at once above the limit, and the session never pauses', () => {
    const slow = pair({ overflow: 'abort' });
    slow.open();
    pour(slow, P, LIMIT);
    expect(slow.server.events()).toMatchObject([{ type: 'readable' }]);
    pour(slow, P, 1);
    expect(slow.server.session.paused).toBe(false);
    expect(slow.server.events()).toMatchObject([{ type: 'failed', error: { code: 'ERR_MUX_OVERFLOW' } }]);
    expect(sentBy(slow.server)).toEqual([`abort ${P},7`]);
  });
});

describe("the session's budget", () => {
  const BUDGET = 4 * LIMIT;
  const full = (options: Partial<MuxServerOptions> = {}): Pair => {
    const five = pair({ sessionBudget: BUDGET, ...options });
    for (let i = 0; i < 5; i++) five.open();
    for (let i = 0; i < 4; i++) pour(five, P + i, LIMIT - i * 10);
    return five;
  };

  it('pauses the session though no connection is full', () => {
    const five = full();
    expect(five.server.session.paused).toBe(false);
    pour(five, P + 4, 100);
    expect(five.server.session.paused).toBe(true);
    expect(five.server.session.nextTimeout(1)).toBe(10_001);
  });

  it('goes on when a quarter was read', () => {
    const five = full();
    pour(five, P + 4, 100);
    const events = five.server.events();
    const consume = (port: number, length: number): void =>
      events.find((event) => clientPort(event.connection) === port)?.connection.consume(length);
    consume(P, LIMIT);
    expect(five.server.session.paused).toBe(true);
    consume(P + 1, 40);
    expect(five.server.session.paused).toBe(false);
    expect(five.server.session.nextTimeout(1)).toBeUndefined();
  });

  it('costs those who hold most their connections when nobody reads', () => {
    const five = full();
    pour(five, P + 4, 100);
    five.server.events();
    five.server.session.nextTimeout(0);
    five.server.session.handleTimeout(10_000);
    expect(five.server.events()).toMatchObject([
      { type: 'failed', connection: { clientPort: P }, error: { code: 'ERR_MUX_OVERFLOW' } },
      { type: 'failed', connection: { clientPort: P + 1 }, error: { code: 'ERR_MUX_OVERFLOW' } },
    ]);
    expect(five.server.session.paused).toBe(false);
  });

  it('costs them at once with overflow abort', () => {
    const five = full({ overflow: 'abort' });
    five.server.events();
    pour(five, P + 4, 100);
    expect(five.server.session.paused).toBe(false);
    expect(five.server.events()).toMatchObject([
      { type: 'failed', connection: { clientPort: P } },
      { type: 'readable', connection: { clientPort: P + 4 } },
    ]);
  });

  it('holds against closed pairs whose readers never come', () => {
    const many = pair({ sessionBudget: BUDGET, receiveBuffer: BUDGET });
    for (let i = 0; i < 40; i++) {
      const { near, far } = many.open();
      pour(many, near.clientPort, LIMIT / 2);
      near.end();
      far.end();
      many.settle();
      many.server.events();
    }
    // Nobody stopped delivering, so the bound is that of the overshoot.
    expect(many.server.session.connections * (LIMIT / 2)).toBeLessThanOrEqual(BUDGET + OVERSHOOT);
  });
});
