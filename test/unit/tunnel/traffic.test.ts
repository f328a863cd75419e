import { Duplex, PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ConnectionError } from '../../../src/errors/errors.ts';
import { errorCode, errorMessage, TunnelError } from '../../../src/tunnel/errors.ts';
import type { LogFields, TunnelLog } from '../../../src/tunnel/log.ts';
import { type Leg, pump } from '../../../src/tunnel/pump.ts';
import { Traffic } from '../../../src/tunnel/traffic.ts';

type Line = LogFields & { readonly level: string };

function recorder(): { log: TunnelLog; lines: Line[] } {
  const lines: Line[] = [];
  const at = (level: string) => (fields: LogFields) => void lines.push({ level, ...fields });
  return { lines, log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } };
}

/** A leg that says one thing, ends, and takes whatever comes. */
function program(says: string): Leg {
  const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  stream.push(says);
  stream.push(null);
  return { stream, gathers: false, reset: () => void stream.destroy() };
}

/** A leg that echoes. */
function echo(): Leg & { readonly stream: PassThrough } {
  const stream = new PassThrough();
  stream.on('error', () => {});
  return { stream, gathers: false, reset: () => void stream.destroy() };
}

describe('Traffic', () => {
  it('counts and logs a session and its connections', async () => {
    const { log, lines } = recorder();
    const traffic = new Traffic(log);
    const session = traffic.openSession('192.0.2.1:5000', { protocol: 'TLSv1.3' });
    const connection = traffic.openConnection('127.0.0.1:6000', 'web', session);
    const near = program('hello');
    connection.carry((done) => pump(near, echo(), done));
    expect(traffic.stats).toMatchObject({
      sessions: { open: 1, total: 1 },
      connections: { open: 1, total: 1, failed: 0 },
    });
    await traffic.idle();
    session.close('closed');
    session.close('failed', new Error('only the first counts'));
    expect(traffic.stats).toMatchObject({
      sessions: { open: 0, total: 1 },
      connections: { open: 0, total: 1, failed: 0 },
      bytesIn: 5,
      bytesOut: 5,
    });
    expect(lines.map(({ level, event }) => [level, event])).toEqual([
      ['info', 'session.open'],
      ['debug', 'connection.open'],
      ['info', 'connection.close'],
      ['info', 'session.close'],
    ]);
    expect(lines[2]).toMatchObject({
      connection: 'c1',
      session: 's1',
      peer: '127.0.0.1:6000',
      application: 'web',
      reason: 'end',
      duration: expect.any(Number),
      bytesIn: 5,
      bytesOut: 5,
    });
    expect(lines[3]).toMatchObject({
      session: 's1',
      peer: '192.0.2.1:5000',
      connections: 1,
      reason: 'closed',
    });
  });

  it.each([
    ['ERR_MUX_REFUSED', 'refused', 'warn'],
    ['ERR_MUX_OVERFLOW', 'overflow', 'warn'],
    ['ERR_MUX_SESSION_CLOSED', 'session-lost', 'info'],
    ['ERR_MUX_ABORTED', 'peer-reset', 'info'],
  ] as const)('%s of the session side is logged as %s', async (code, reason, level) => {
    const { log, lines } = recorder();
    const traffic = new Traffic(log);
    const far = echo();
    const near = echo();
    traffic.openConnection('p', 'web').carry((done) => pump(near, far, done));
    far.stream.destroy(new ConnectionError(code, 'text'));
    await traffic.idle();
    expect(near.stream.destroyed).toBe(true);
    expect(lines.at(-1)).toMatchObject({ level, reason, code, error: 'text' });
    expect(traffic.stats.connections).toEqual({ open: 0, total: 1, failed: 1 });
  });

  it('logs a break on this side as local-reset', async () => {
    const { log, lines } = recorder();
    const traffic = new Traffic(log);
    const near = echo();
    traffic.openConnection('p', 'web').carry((done) => pump(near, echo(), done));
    near.stream.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
    await traffic.idle();
    expect(lines.at(-1)).toMatchObject({ reason: 'local-reset', code: 'ECONNRESET' });
  });

  it('aborts before and during the carrying', async () => {
    const { log, lines } = recorder();
    const traffic = new Traffic(log);
    const waiting = traffic.openConnection('p', 'web');
    waiting.onGiveUp((error) => waiting.close('stopped', error));
    const carried = traffic.openConnection('p', 'web');
    carried.carry((done) => pump(echo(), echo(), done));
    const stop = new TunnelError('ERR_TUNNEL_CLOSED', 'stop');
    for (const connection of traffic.openConnections) connection.abort(stop);
    await traffic.idle();
    expect(lines.filter((line) => line.event === 'connection.close')).toMatchObject([
      { connection: 'c1', reason: 'stopped' },
      { connection: 'c2', reason: 'stopped' },
    ]);
  });
});

describe('errorMessage and errorCode', () => {
  it('read whatever was thrown', () => {
    expect(errorMessage(new Error('text'))).toBe('text');
    expect(errorMessage('thrown text')).toBe('thrown text');
    expect(errorMessage(new AggregateError([new Error('::1 refused'), new Error('127.0.0.1 refused')]))).toBe(
      '::1 refused; 127.0.0.1 refused',
    );
    expect(errorCode(Object.assign(new Error(), { code: 'ENOENT' }))).toBe('ENOENT');
    expect(errorCode(Object.assign(new Error(), { code: 7 }))).toBeUndefined();
    expect(errorCode(undefined)).toBeUndefined();
  });
});
