import { spawnSync } from 'node:child_process';
import { connect } from '../../src/node/dtls/index.ts';
import { type Bench, defineBench } from '../harness.ts';
import { runFile } from '../support/child.ts';
import { median, opensslHandshake, startLossyRelay, startOpenssl, startOurs } from '../support/dtls.ts';

const LOSSES = [0, 0.05, 0.1, 0.2, 0.3];
/** Decides the number; the others are told beside it. */
const LOSS = 0.1;
/** At each rate. A lost flight costs a second, so they run at once. */
const HANDSHAKES = 15;
/** Of OpenSSL's pairs, which are two processes each. */
const AT_ONCE = 5;
const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

/** Time for a handshake through a relay that loses datagrams; DTLS 1.2, which OpenSSL has. */
export const dtlsLoss: Bench = defineBench({
  name: 'dtls-loss',
  unit: 'ms',
  higherIsBetter: false,
  peerName: 'OpenSSL',
  rounds: 1,
  ours: () => oursWith(LOSS),
  peer: () => (hasOpenssl ? opensslWith(LOSS) : undefined),
  details: async () => {
    const table: Record<string, unknown> = {};
    for (const loss of LOSSES) {
      table[`${loss * 100} %`] = {
        ours: round(await oursWith(loss)),
        OpenSSL: hasOpenssl ? round(await opensslWith(loss)) : null,
      };
    }
    return table;
  },
});

/** Full handshakes with a server in the same process, one after the other. */
export const dtlsHandshake: Bench = defineBench({
  name: 'dtls-handshake',
  unit: 'handshakes/s',
  higherIsBetter: true,
  peerName: 'OpenSSL s_server, our client',
  ours: async () => {
    const ours = await startOurs();
    const rate = await handshakesPerSecond(() => ours.dial());
    await ours.close();
    return rate;
  },
  peer: () => (hasOpenssl ? againstOpenssl() : undefined),
});

/** Datagrams that go to a server and back, a window of them under way. */
export const dtlsDatagrams: Bench = defineBench({
  name: 'dtls-datagrams',
  unit: 'datagrams/s',
  higherIsBetter: true,
  peerName: 'none',
  ours: () => echoesPerSecond(200),
  peer: () => undefined,
  details: async () => ({ '1,200 bytes': round(await echoesPerSecond(1_200)) }),
});

/** Resident memory of an idle session's server end, 10,000 of them on one port. */
export const dtlsMemory: Bench = defineBench({
  name: 'dtls-memory',
  unit: 'KiB/session',
  higherIsBetter: false,
  peerName: 'none',
  rounds: 1,
  ours: async () => {
    const child = runFile('bench/support/dtls-idle.ts', [], ['--expose-gc']);
    try {
      return (await child.next<{ kibibytes: number }>()).kibibytes;
    } finally {
      await child.stop();
    }
  },
  peer: () => undefined,
});

async function oursWith(loss: number): Promise<number> {
  const ours = await startOurs();
  const relay = await startLossyRelay(ours.port, loss);
  const times = await Promise.all(
    Array.from({ length: HANDSHAKES }, async () => {
      const start = performance.now();
      const socket = await ours.dial(relay.port);
      const time = performance.now() - start;
      socket.destroy();
      return time;
    }),
  );
  relay.close();
  await ours.close();
  return median(times);
}

/** s_server serves one at a time, and may wait long for a client that has gone: each has one of its own. */
async function opensslWith(loss: number): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < HANDSHAKES; n += AT_ONCE) {
    times.push(
      ...(await Promise.all(Array.from({ length: AT_ONCE }, (_, m) => opensslPair(loss, n + m + 1)))),
    );
  }
  return median(times);
}

async function opensslPair(loss: number, seed: number): Promise<number> {
  const server = await startOpenssl();
  const relay = await startLossyRelay(server.port, loss, seed);
  const time = await opensslHandshake(relay.port);
  relay.close();
  server.close();
  return time;
}

const TIMED = 200;

async function handshakesPerSecond(dial: () => Promise<{ close(): unknown }>): Promise<number> {
  const start = performance.now();
  for (let n = 0; n < TIMED; n++) (await dial()).close();
  return (TIMED / (performance.now() - start)) * 1000;
}

async function againstOpenssl(): Promise<number> {
  const server = await startOpenssl();
  const rate = await handshakesPerSecond(
    () =>
      new Promise((resolve, reject) => {
        const socket = connect({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false }, () =>
          resolve(socket),
        );
        socket.once('error', reject);
      }),
  );
  server.close();
  return rate;
}

const WINDOW = 32;
const ECHOES = 20_000;

async function echoesPerSecond(size: number): Promise<number> {
  const ours = await startOurs((socket) => socket.on('message', (datagram) => socket.send(datagram)));
  const socket = await ours.dial();
  const datagram = new Uint8Array(size);
  let received = 0;
  const start = performance.now();
  await new Promise<void>((resolve) => {
    // Loopback loses little; what it does lose only shortens the window.
    const stop = setTimeout(resolve, 10_000);
    socket.on('message', () => {
      received++;
      if (received === ECHOES) {
        clearTimeout(stop);
        resolve();
      } else socket.send(datagram);
    });
    for (let n = 0; n < WINDOW; n++) socket.send(datagram);
  });
  const rate = (received / (performance.now() - start)) * 1000;
  socket.destroy();
  await ours.close();
  return rate;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
