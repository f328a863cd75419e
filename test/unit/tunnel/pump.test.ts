import { createHash, randomBytes } from 'node:crypto';
import net, { type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type Pump, type PumpResult, pump, socketLeg } from '../../../src/tunnel/pump.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** Two ends of one TCP connection on loopback. */
async function socketPair(): Promise<[Socket, Socket]> {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const dialled = net.connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    allowHalfOpen: true,
  });
  await new Promise((resolve) => dialled.once('connect', resolve));
  const pair: [Socket, Socket] = [await accepted, dialled];
  server.close();
  cleanups.push(() => {
    for (const socket of pair) socket.destroy();
  });
  return pair;
}

/** near ⇄ [pump] ⇄ far, all real sockets. */
async function carried() {
  const [nearInner, near] = await socketPair();
  const [farInner, far] = await socketPair();
  let pumping: Pump | undefined;
  const result = new Promise<PumpResult>((resolve) => {
    pumping = pump(socketLeg(nearInner), socketLeg(farInner), resolve);
  });
  if (pumping === undefined) throw new Error('not pumping');
  return { near, far, nearInner, farInner, pumping, result };
}

/** Everything up to the end of data; unlike `for await`, leaves the socket's writing side alone. */
const text = (socket: Socket): Promise<string> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks).toString()));
    socket.on('error', reject);
  });
const closeError = (socket: Socket): Promise<string | undefined> =>
  new Promise((resolve) => {
    let code: string | undefined;
    socket.on('error', (error: NodeJS.ErrnoException) => {
      code = error.code;
    });
    socket.on('close', () => resolve(code));
    socket.resume();
  });

describe('pump', () => {
  it('carries both directions, counts them, and ends in order', async () => {
    const { near, far, pumping, result } = await carried();
    near.end('question');
    expect(await text(far)).toBe('question');
    far.end('the answer');
    expect(await text(near)).toBe('the answer');
    expect(await result).toEqual({ brokenBy: undefined, error: undefined });
    expect(pumping).toMatchObject({ bytesFromNear: 8, bytesFromFar: 10 });
  });

  it('lets one direction go on after the other has ended, either way round', async () => {
    const first = await carried();
    first.near.end('early end');
    expect(await text(first.far)).toBe('early end');
    for (let i = 0; i < 5; i++) {
      first.far.write(`late ${i} `);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    first.far.end();
    expect(await text(first.near)).toBe('late 0 late 1 late 2 late 3 late 4 ');
    expect((await first.result).brokenBy).toBeUndefined();

    const second = await carried();
    second.far.end('server speaks first and ends');
    expect(await text(second.near)).toBe('server speaks first and ends');
    second.near.end('still here');
    expect(await text(second.far)).toBe('still here');
    expect((await second.result).brokenBy).toBeUndefined();
  });

  it.each(['near', 'far'] as const)('a reset of the %s end arrives as a reset', async (name) => {
    const world = await carried();
    const other = name === 'near' ? world.far : world.near;
    world[name].write('x');
    await new Promise((resolve) => other.once('data', resolve));
    const seen = closeError(other);
    world[name].resetAndDestroy();
    expect(await seen).toBe('ECONNRESET');
    const result = await world.result;
    expect(result.brokenBy).toBe(name);
    expect(result.error).toMatchObject({ code: 'ECONNRESET' });
  });

  it('a reset after a half-close still arrives as a reset', async () => {
    const { near, far, result } = await carried();
    near.end('done');
    expect(await text(far)).toBe('done');
    const seen = closeError(near);
    far.resetAndDestroy();
    expect(await seen).toBe('ECONNRESET');
    expect((await result).brokenBy).toBe('far');
  });

  it('an end that is destroyed without an end of data resets the other', async () => {
    const { near, farInner, result } = await carried();
    const seen = closeError(near);
    farInner.destroy();
    expect(await seen).toBe('ECONNRESET');
    expect(await result).toEqual({ brokenBy: 'far', error: undefined });
  });

  it('an end that was gone before the start resets the other', async () => {
    const [nearInner, near] = await socketPair();
    const [farInner] = await socketPair();
    farInner.destroy();
    await new Promise((resolve) => farInner.once('close', resolve));
    const seen = closeError(near);
    const result = await new Promise<PumpResult>((resolve) => {
      pump(socketLeg(nearInner), socketLeg(farInner), resolve);
    });
    expect(await seen).toBe('ECONNRESET');
    expect(result.brokenBy).toBe('far');
  });

  it('calls done once when an end is destroyed just before the start', async () => {
    const [nearInner, near] = await socketPair();
    const [farInner] = await socketPair();
    const seen = closeError(near);
    farInner.destroy();
    let calls = 0;
    pump(socketLeg(nearInner), socketLeg(farInner), () => {
      calls++;
    });
    expect(await seen).toBe('ECONNRESET');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(calls).toBe(1);
  });

  it('abort breaks both ends and gives its reason', async () => {
    const { near, far, pumping, result } = await carried();
    const seen = [closeError(near), closeError(far)];
    const reason = new Error('session gone');
    pumping.abort(reason);
    expect(await Promise.all(seen)).toEqual(['ECONNRESET', 'ECONNRESET']);
    expect(await result).toEqual({ brokenBy: 'far', error: reason });
  });

  it('carries back-pressure: a reader that stops, stops the writer with bounded memory between', async () => {
    const { near, far, nearInner, farInner, pumping } = await carried();
    const chunk = randomBytes(64 * 1024);
    let sent = 0;
    far.pause();
    // Writes until the near socket has not drained for a while: kernel buffers are full all the way.
    while (near.write(chunk) || (await drained(near))) sent += chunk.length;
    const held = farInner.writableLength + nearInner.readableLength;
    expect(held).toBeLessThan(2 * 1024 * 1024);
    expect(nearInner.isPaused()).toBe(true);
    const total = sent + chunk.length;
    near.end();
    let got = 0;
    for await (const piece of far) got += piece.length;
    expect(got).toBe(total);
    expect(pumping.bytesFromNear).toBe(total);
    far.end();
  });

  it('carries 32 MiB each way at once without a changed byte', async () => {
    const { near, far } = await carried();
    const block = randomBytes(1024 * 1024);
    const expected = createHash('sha256');
    for (let i = 0; i < 32; i++) expected.update(block);
    const want = expected.digest('hex');
    const send = async (socket: Socket) => {
      for (let i = 0; i < 32; i++) {
        if (!socket.write(block)) await new Promise((resolve) => socket.once('drain', resolve));
      }
      socket.end();
    };
    const receive = (socket: Socket) => {
      const hash = createHash('sha256');
      socket.on('data', (piece) => hash.update(piece));
      return new Promise<string>((resolve) => socket.on('end', () => resolve(hash.digest('hex'))));
    };
    const [, , atFar, atNear] = await Promise.all([send(near), send(far), receive(far), receive(near)]);
    expect([atFar, atNear]).toEqual([want, want]);
  });
});

async function drained(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      socket.off('drain', onDrain);
      resolve(false);
    }, 300);
    const onDrain = () => {
      clearTimeout(timer);
      resolve(true);
    };
    socket.once('drain', onDrain);
  });
}
