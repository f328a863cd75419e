import { createHash, randomBytes } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { muxClient } from '../../../src/mux/index.ts';
import { OVERSHOOT } from '../../../src/mux/limits.ts';
import { type MuxConnection, muxSession } from '../../../src/node/mux.ts';
import {
  connected,
  drained,
  event,
  FakeSocket,
  failed,
  quiet,
  type Sessions,
  sessions,
} from './fake-socket.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** The server takes every connection, and does nothing with it. */
function accepting(): Sessions {
  const pair = sessions();
  pair.server.on('connection', () => {});
  return pair;
}

describe('MuxSession', () => {
  it('is not there for a socket that does not multiplex', () => {
    expect(muxSession(new FakeSocket(muxClient()('client')))).toBeUndefined();
  });

  it('opens a connection that carries data both ways', async () => {
    const pair = sessions();
    const { near, far } = await connected(pair);
    near.end('question');
    far.end('answer');
    expect([(await drained(far)).toString(), (await drained(near)).toString()]).toEqual([
      'question',
      'answer',
    ]);
    expect(pair.client.agreement).toMatchObject({
      mode: 'ports',
      applications: [{ name: 'echo' }, { name: 'sink' }],
    });
  });

  it('gives the server what the client opened, with its name', async () => {
    const { far } = await connected(sessions(), 'sink');
    expect(far.application).toEqual({ name: 'sink', port: 9 });
  });

  it('lets the server speak first', async () => {
    const { near, far } = await connected(sessions());
    far.write('220 ready');
    await event(near, 'readable');
    expect(near.read()?.toString()).toBe('220 ready');
  });

  it('puts what many connections say in one step into as few records as it needs', async () => {
    const { client, server, clientSocket } = sessions();
    server.on('connection', (connection) => connection.resume());
    for (let i = 0; i < 1000; i++) client.open('echo').write('x');
    await quiet();
    expect(server.connections).toBe(1000);
    expect(clientSocket.records).toBe(2);
    expect(clientSocket.flushes).toBe(1);
  });

  it('hands over the openings of a long step while it goes on', () => {
    const { client, server, clientSocket } = sessions({ client: { mode: 'channels' } });
    server.on('connection', () => {});
    for (let i = 0; i < 1000; i++) client.open('echo');
    expect(clientSocket.flushes).toBe(1);
  });

  it('answers the first of a thousand openings before it has looked at the last', async () => {
    const { client, server, serverSocket } = sessions({ client: { mode: 'channels' } });
    const answered: number[] = [];
    server.on('connection', () => answered.push(serverSocket.flushes));
    for (let i = 0; i < 1000; i++) client.open('echo');
    await quiet();
    expect(answered).toHaveLength(1000);
    expect(answered[0]).toBe(0);
    expect(answered.at(-1)).toBeGreaterThan(0);
  });

  it('sends what is little at the end of its step, and does not wait for the event loop', async () => {
    const pair = sessions();
    const { near } = await connected(pair);
    await quiet();
    const before = pair.clientSocket.flushes;
    near.write('x');
    await new Promise<void>((resolve) => process.nextTick(() => process.nextTick(resolve)));
    expect(pair.clientSocket.flushes).toBe(before + 1);
  });

  it('gathers what follows in the same round of the event loop', async () => {
    const pair = sessions();
    const { near } = await connected(pair);
    await quiet();
    const before = pair.clientSocket.flushes;
    for (let i = 0; i < 8; i++) {
      near.write('x');
      await new Promise<void>((resolve) => process.nextTick(() => process.nextTick(resolve)));
    }
    expect(pair.clientSocket.flushes).toBe(before + 2);
    await quiet();
    expect(pair.clientSocket.flushes).toBe(before + 3);
    expect(near.bytesWritten).toBe(8);
  });

  it('echoes on a thousand connections and frees them all', async () => {
    const { client, server } = sessions();
    server.on('connection', (connection) => connection.pipe(connection));
    const echoes = Array.from({ length: 1000 }, async (_, i) => {
      const connection = client.open('echo');
      connection.end(`${i}`);
      return (await drained(connection)).toString();
    });
    expect(await Promise.all(echoes)).toEqual(Array.from({ length: 1000 }, (_, i) => `${i}`));
    await quiet();
    expect([client.connections, server.connections]).toEqual([0, 0]);
  });

  it('cannot open what was not agreed, nor on the server, nor when closed', () => {
    const { client, server } = sessions();
    expect(() => client.open('http')).toThrow(
      expect.objectContaining({ code: 'ERR_MUX_UNKNOWN_APPLICATION' }),
    );
    expect(() => server.open('echo')).toThrow(expect.objectContaining({ code: 'ERR_TLS_OPTION' }));
    client.close();
    expect(() => client.open('echo')).toThrow(expect.objectContaining({ code: 'ERR_MUX_SESSION_CLOSED' }));
  });

  it('refuses connections that nobody listens for', async () => {
    const { client } = sessions();
    expect(await failed(client.open('echo'))).toMatchObject({ code: 'ERR_MUX_REFUSED' });
    await quiet();
    expect(client.connections).toBe(0);
  });

  it('refuses what its listener refuses, and keeps the rest', async () => {
    const { client, server } = sessions();
    server.on('connection', (connection) => {
      if (connection.application.name === 'sink') connection.refuse();
      else connection.pipe(connection);
    });
    const refused = client.open('sink');
    const echo = client.open('echo');
    echo.end('fine');
    expect(await failed(refused)).toMatchObject({ code: 'ERR_MUX_REFUSED' });
    expect((await drained(echo)).toString()).toBe('fine');
  });

  it('takes the port of the local socket where it can', () => {
    const { client } = accepting();
    expect([4000, 4000].map((localPort) => client.open('echo', { localPort }).localPort)).toEqual([
      4000, 49152,
    ]);
  });

  it('lets application data go, which means nothing here', () => {
    const { clientSocket, serverSocket } = sessions();
    expect([clientSocket.resumed, serverSocket.resumed]).toEqual([true, true]);
  });

  it('goes on with other events when a listener throws', async () => {
    const { client, server } = sessions();
    const opened: MuxConnection[] = [];
    server.on('connection', (connection) => {
      opened.push(connection);
      if (opened.length === 1) throw new Error('bug in the application');
    });
    const thrown = new Promise<Error>((resolve) => process.once('uncaughtException', resolve));
    const listeners = process.listeners('uncaughtException').slice(0, -1);
    for (const listener of listeners) process.removeListener('uncaughtException', listener);
    try {
      client.open('echo');
      client.open('echo');
      expect(await thrown).toMatchObject({ message: 'bug in the application' });
      await quiet();
      expect(opened.length).toBe(2);
    } finally {
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
  });
});

describe('the end of a session', () => {
  it('by close() waits for connections, then both sides close', async () => {
    const { client, server } = sessions();
    const { near, far } = await connected({ client, server });
    const closed = vi.fn();
    const serverClosed = event(server, 'close');
    client.close(closed);
    near.write('still');
    await event(far, 'readable');
    expect(far.read()?.toString()).toBe('still');
    expect(closed).not.toHaveBeenCalled();
    near.end();
    far.end();
    near.resume();
    far.resume();
    await Promise.all([serverClosed, event(client, 'close')]);
    expect(closed).toHaveBeenCalledOnce();
    expect(client.destroyed).toBe(true);
  });

  it('by close() without connections is at once; again, it only calls back', async () => {
    const { client } = sessions();
    client.close();
    await event(client, 'close');
    await new Promise<void>((resolve) => {
      client.close(resolve);
    });
  });

  it('refuses what the peer opens while it is closing', async () => {
    const { client, server } = sessions();
    await connected({ client, server });
    server.on('connection', () => expect.unreachable());
    server.close();
    const late = client.open('echo');
    expect(await failed(late)).toMatchObject({ code: 'ERR_MUX_REFUSED' });
  });

  it('by destroy() closes the connections here, and fails them at the other side', async () => {
    const { client, server } = sessions();
    const { near, far } = await connected({ client, server });
    const faults = Promise.all([failed(far), failed(server)]);
    const closes = Promise.all([event(near, 'close'), event(client, 'close'), event(server, 'close')]);
    client.destroy();
    expect(await faults).toMatchObject([{ code: 'ERR_MUX_SESSION_CLOSED' }, { message: 'connection lost' }]);
    await closes;
    expect([near.destroyed, far.destroyed, client.connections, server.connections]).toEqual([
      true,
      true,
      0,
      0,
    ]);
  });

  it('by a fault is an error of the session, and the cause of the connections’', async () => {
    const pair = sessions();
    const { near, far } = await connected(pair);
    const [fault, error] = [failed(near), failed(pair.client)];
    const cause = new Error('record was forged');
    pair.server.on('error', () => {});
    far.on('error', () => {});
    pair.client.destroy(cause);
    expect(await error).toBe(cause);
    expect(await fault).toMatchObject({ code: 'ERR_MUX_SESSION_CLOSED', cause });
  });
});

describe('MuxConnection as a stream', () => {
  it('closes when both sides have ended; the pair is free', async () => {
    const pair = sessions();
    const { near, far } = await connected(pair);
    near.end();
    far.end();
    near.resume();
    far.resume();
    await Promise.all([event(near, 'close'), event(far, 'close')]);
    expect([pair.client.connections, pair.server.connections]).toEqual([0, 0]);
    pair.server.on('connection', () => {});
    expect(pair.client.open('echo', { localPort: near.localPort }).localPort).toBe(near.localPort);
  });

  it('ends when the peer has ended, as a net.Socket does by default', async () => {
    const { near, far } = await connected(sessions());
    near.end('bye');
    far.resume();
    near.resume();
    await Promise.all([event(near, 'close'), event(far, 'close')]);
    expect(far.writableFinished).toBe(true);
  });

  it('with allowHalfOpen goes on to write after the peer’s end', async () => {
    const { near, far } = await connected(sessions({ accepted: { allowHalfOpen: true } }));
    near.end('question');
    expect((await drained(far)).toString()).toBe('question');
    await quiet();
    expect(far.writable).toBe(true);
    far.end('late answer');
    expect((await drained(near)).toString()).toBe('late answer');
  });

  it('destroyed before its end is an error at the other side, never an end', async () => {
    const { near, far } = await connected(sessions());
    const ended = vi.fn();
    far.on('end', ended);
    far.resume();
    near.write('half of it');
    near.destroy();
    expect(await failed(far)).toMatchObject({ code: 'ERR_MUX_ABORTED' });
    expect(ended).not.toHaveBeenCalled();
    await quiet();
    expect([near.destroyed, far.destroyed]).toEqual([true, true]);
  });

  it('destroyed with an error has that error itself', async () => {
    const { near, far } = await connected(sessions());
    const cause = new Error('enough');
    const [here, there] = [failed(near), failed(far)];
    near.destroy(cause);
    expect([await here, await there]).toEqual([cause, expect.objectContaining({ code: 'ERR_MUX_ABORTED' })]);
  });

  it('destroyed with an error after its end is an abort all the same', async () => {
    const { near, far } = await connected(sessions());
    far.resume();
    near.on('error', () => {});
    near.end(() => near.destroy(new Error('changed my mind')));
    expect(await failed(far)).toMatchObject({ code: 'ERR_MUX_ABORTED' });
  });

  it('destroyed after both ends is no abort', async () => {
    const { near, far } = await connected(sessions(), 'echo', { allowHalfOpen: true });
    far.end('all of it');
    near.end();
    await quiet();
    near.destroy();
    far.on('error', () => expect.unreachable());
    far.resume();
    await event(far, 'close');
  });

  it('calls the writer back with the error when the peer has aborted', async () => {
    const { near, far } = await connected(sessions());
    near.on('error', () => {});
    far.destroy();
    await quiet();
    const error = await new Promise((resolve) => near.write('x', resolve));
    expect(error).toBeTruthy();
  });

  it('calls the writer back, and never throws, before the stream itself has heard of it', async () => {
    const pair = sessions();
    const [first, second] = [await connected(pair), await connected(pair)];
    const outcome = new Promise((resolve) => {
      // Both are news of one turn; this one comes first.
      first.near.on('data', () => second.near.write('x', resolve));
    });
    const fault = failed(second.near);
    first.far.write('now');
    second.far.destroy();
    expect(await outcome).toMatchObject({ code: 'ERR_MUX_ABORTED' });
    expect(await fault).toMatchObject({ code: 'ERR_MUX_ABORTED' });
  });

  it('writes what was corked as one', async () => {
    const pair = sessions();
    const { near, far } = await connected(pair);
    const before = pair.clientSocket.records;
    near.cork();
    for (let i = 0; i < 100; i++) near.write(`${i} `);
    near.uncork();
    near.end();
    const all = await drained(far);
    expect(all.toString()).toBe(Array.from({ length: 100 }, (_, i) => `${i} `).join(''));
    expect(pair.clientSocket.records - before).toBe(1);
  });

  it('counts bytes', async () => {
    const { near, far } = await connected(sessions());
    near.end('12345');
    await drained(far);
    expect([near.bytesWritten, far.bytesRead]).toEqual([5, 5]);
  });

  it('takes strings in any encoding, and gives text when asked to', async () => {
    const { near, far } = await connected(sessions());
    far.setEncoding('utf8');
    near.write('6d65', 'hex');
    near.end('hr – ü');
    let all = '';
    for await (const piece of far) all += piece;
    expect(all).toBe('mehr – ü');
  });

  it('carries megabytes both ways at once, in order', async () => {
    const pair = sessions({ accepted: { allowHalfOpen: true } });
    const { near, far } = await connected(pair, 'echo', { allowHalfOpen: true });
    const [up, down] = [randomBytes(3_000_001), randomBytes(2_000_003)];
    async function* pieces(data: Buffer): AsyncIterable<Buffer> {
      for (let at = 0; at < data.length; at += 70_001) yield data.subarray(at, at + 70_001);
    }
    const [gotUp, gotDown] = await Promise.all([
      drained(far),
      drained(near),
      pipeline(pieces(up), near),
      pipeline(pieces(down), far),
    ]);
    const sum = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
    expect([sum(gotUp), sum(gotDown)]).toEqual([sum(up), sum(down)]);
  });
});

describe('back-pressure', () => {
  it('on the writer: what is sealed stays bounded while the network stands still', async () => {
    const pair = sessions();
    const { near, far } = await connected(pair, 'sink');
    far.resume();
    pair.clientSocket.stalled = true;
    let calledBack = 0;
    for (let i = 0; i < 100; i++) near.write(Buffer.alloc(100_000), () => calledBack++);
    await quiet();
    expect(pair.clientSocket.mostPending).toBeLessThan(600_000);
    expect(calledBack).toBeLessThan(10);
    expect(near.writableNeedDrain).toBe(true);
    const drain = event(near, 'drain');
    pair.clientSocket.unstall();
    await drain;
    expect(calledBack).toBe(100);
    near.end();
    await event(far, 'end');
    expect(far.bytesRead).toBe(10_000_000);
    expect(pair.clientSocket.mostPending).toBeLessThan(600_000);
  });

  it('on the writer: one huge write is cut, and others have their turns between', async () => {
    const pair = sessions();
    const bulk = await connected(pair, 'sink');
    const other = await connected(pair, 'echo');
    bulk.far.resume();
    bulk.near.write(Buffer.alloc(20_000_000));
    other.near.write('quick');
    await event(other.far, 'readable');
    expect(other.far.read()?.toString()).toBe('quick');
    expect(bulk.far.bytesRead).toBeLessThan(2_000_000);
    expect(pair.clientSocket.mostPending).toBeLessThan(600_000);
    bulk.near.end();
    await event(bulk.far, 'end');
    expect(bulk.far.bytesRead).toBe(20_000_000);
  });

  it('on the writer: many large writers share the network evenly', async () => {
    const pair = sessions();
    const all = [];
    for (let i = 0; i < 5; i++) all.push(await connected(pair, 'sink'));
    for (const { near, far } of all) {
      far.resume();
      near.end(Buffer.alloc(4_000_000));
    }
    await event(all[0]?.far as MuxConnection, 'end');
    for (const { far } of all) expect(far.bytesRead).toBeGreaterThan(3_000_000);
  });

  it('a destroyed writer leaves its turn to the next', async () => {
    const pair = sessions();
    const [first, second] = [await connected(pair, 'sink'), await connected(pair, 'sink')];
    pair.clientSocket.stalled = true;
    first.far.on('error', () => {});
    first.near.write(Buffer.alloc(1_000_000));
    second.near.end(Buffer.alloc(1_000_000));
    first.near.destroy();
    second.far.resume();
    pair.clientSocket.unstall();
    await event(second.far, 'end');
    expect(second.far.bytesRead).toBe(1_000_000);
  });

  it('on the network: a reader that stops makes the session stop reading, within its buffer', async () => {
    const pair = sessions({ server: { receiveBuffer: 200_000 } });
    const { near, far } = await connected(pair, 'sink');
    const data = randomBytes(5_000_000);
    near.end(data);
    await quiet(100);
    expect(pair.serverSocket.paused).toBe(true);
    expect(far.bytesRead).toBeLessThan(200_000);
    // The reader comes back within its time.
    expect((await drained(far)).equals(data)).toBe(true);
    expect(pair.serverSocket.paused).toBe(false);
  });

  it('on the network: what waits in the stream’s own buffer counts', async () => {
    const pair = sessions({ server: { receiveBuffer: 70_000 }, accepted: { highWaterMark: 1_000_000 } });
    const { near, far } = await connected(pair, 'sink');
    near.write(Buffer.alloc(80_000));
    await quiet();
    expect(far.readableLength).toBe(80_000);
    expect(pair.serverSocket.paused).toBe(true);
    far.read();
    await quiet();
    expect(pair.serverSocket.paused).toBe(false);
  });

  it('a reader that stays away is aborted after the limit, and the others go on', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const pair = sessions({ server: { receiveBuffer: 200_000 } });
    const slow = await connected(pair, 'sink');
    const other = await connected(pair, 'echo');
    slow.near.write(Buffer.alloc(2_000_000));
    await quiet(100);
    expect(pair.serverSocket.paused).toBe(true);
    other.near.write('waits');
    const faults = Promise.all([failed(slow.far), failed(slow.near)]);
    vi.advanceTimersByTime(9_999);
    await quiet();
    expect(slow.far.destroyed).toBe(false);
    vi.advanceTimersByTime(2);
    expect(await faults).toMatchObject([{ code: 'ERR_MUX_OVERFLOW' }, { code: 'ERR_MUX_ABORTED' }]);
    await quiet();
    expect(other.far.read()?.toString()).toBe('waits');
  });

  it('with overflow abort never stops the session', async () => {
    const pair = sessions({ server: { receiveBuffer: 200_000, overflow: 'abort' } });
    const { near, far } = await connected(pair, 'sink');
    const faults = Promise.all([failed(far), failed(near)]);
    near.write(Buffer.alloc(2_000_000));
    expect(await faults).toMatchObject([{ code: 'ERR_MUX_OVERFLOW' }, { code: 'ERR_MUX_ABORTED' }]);
    expect(pair.serverSocket.paused).toBe(false);
  });

  it('holds memory within the budget, however many readers stay away', async () => {
    const sessionBudget = 1_000_000;
    const pair = sessions({ server: { receiveBuffer: 200_000, sessionBudget, overflow: 'abort' } });
    const held: MuxConnection[] = [];
    pair.server.on('connection', (connection) => {
      connection.on('error', () => {});
      held.push(connection);
    });
    for (let i = 0; i < 50; i++) {
      const connection = pair.client.open('sink');
      connection.on('error', () => {});
      connection.write(Buffer.alloc(150_000));
    }
    await quiet(300);
    const received = held.reduce((sum, one) => sum + (one.destroyed ? 0 : 150_000), 0);
    expect(held.length).toBe(50);
    expect(received).toBeLessThanOrEqual(sessionBudget + OVERSHOOT);
    expect(received).toBeGreaterThan(0);
  });
});

describe('what programs expect of a net.Socket', () => {
  it('has addresses: the session’s, with the pair’s ports', async () => {
    const { near, far } = await connected(sessions());
    expect(near).toMatchObject({
      remoteAddress: '127.0.0.2',
      remotePort: 7,
      localPort: 49152,
      remoteFamily: 'IPv4',
    });
    expect(far).toMatchObject({ localAddress: '127.0.0.1', localPort: 7, remotePort: 49152 });
    expect(near.address()).toEqual({ address: '127.0.0.1', family: 'IPv4', port: 49152 });
  });

  it('emits connect and ready once it is open, and again for callers of connect()', async () => {
    const { client } = accepting();
    const connection = client.open('echo');
    expect([connection.connecting, connection.pending]).toEqual([false, false]);
    const ready = event(connection, 'ready');
    await event(connection, 'connect');
    await ready;
    await new Promise<void>((resolve) => {
      connection.connect(5432, 'db', resolve);
    });
  });

  it('does as it is told about what means nothing here', () => {
    const connection = accepting().client.open('echo');
    expect(connection.setNoDelay(true).setKeepAlive(true, 1000).ref().unref()).toBe(connection);
  });

  it('emits timeout when nothing moves, and not while something does', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { near, far } = await connected(sessions());
    const idle = vi.fn();
    near.setTimeout(1000, idle);
    expect(near.timeout).toBe(1000);
    vi.advanceTimersByTime(900);
    near.write('x');
    vi.advanceTimersByTime(900);
    far.write('y');
    near.resume();
    await quiet();
    vi.advanceTimersByTime(900);
    expect(idle).not.toHaveBeenCalled();
    vi.advanceTimersByTime(101);
    expect(idle).toHaveBeenCalledOnce();
    near.setTimeout(0);
    vi.advanceTimersByTime(10_000);
    expect(idle).toHaveBeenCalledOnce();
  });

  it('forgets a listener of timeout that is switched off', () => {
    const connection = accepting().client.open('echo');
    const listener = (): void => {};
    connection.setTimeout(1000, listener);
    connection.setTimeout(0, listener);
    expect(connection.listenerCount('timeout')).toBe(0);
  });

  it('has a readyState', async () => {
    const { near, far } = await connected(sessions(), 'echo', { allowHalfOpen: true });
    expect(near.readyState).toBe('open');
    near.end();
    expect(near.readyState).toBe('readOnly');
    far.end();
    near.resume();
    await event(near, 'close');
    expect(near.readyState).toBe('closed');
  });

  it('destroys soon: when all is written, and nothing of it is lost', async () => {
    const pair = sessions();
    const { near, far } = await connected(pair);
    near.write('the whole answer');
    near.destroySoon();
    expect((await drained(far)).toString()).toBe('the whole answer');
    expect(near.destroyed).toBe(true);
    near.destroySoon();
    await quiet();
    expect(far.closed).toBe(true);
    expect([pair.client.connections, pair.server.connections]).toEqual([0, 0]);
  });

  it('destroys soon: who goes on writing is told', async () => {
    const { near, far } = await connected(sessions(), 'echo', { allowHalfOpen: true });
    near.destroySoon();
    await event(near, 'close');
    far.write('anyone?');
    expect(await failed(far)).toMatchObject({ code: 'ERR_MUX_ABORTED' });
  });

  it('destroys soon: with something unread it is an abort', async () => {
    const { near, far } = await connected(sessions());
    far.write('unread');
    await quiet();
    near.destroySoon();
    expect(await failed(far)).toMatchObject({ code: 'ERR_MUX_ABORTED' });
  });

  it('destroys soon: a session that closes waits for the peer’s end', async () => {
    const { client, server } = sessions({ accepted: { allowHalfOpen: true } });
    const { near, far } = await connected({ client, server });
    near.end('all');
    near.destroySoon();
    await event(near, 'close');
    const done = event(client, 'close');
    client.close();
    await quiet();
    expect(client.destroyed).toBe(false);
    far.end();
    expect((await drained(far)).toString()).toBe('all');
    await done;
  });

  it('destroys soon: the peer has a minute to end', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const { near, far } = await connected(sessions({ accepted: { allowHalfOpen: true } }));
    near.destroySoon();
    await event(near, 'close');
    const fault = failed(far);
    vi.advanceTimersByTime(59_999);
    await quiet();
    expect(far.destroyed).toBe(false);
    vi.advanceTimersByTime(2);
    expect(await fault).toMatchObject({ code: 'ERR_MUX_ABORTED' });
  });
});
