import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

/** Below the range that systems give out by themselves, so that no connection of another test gets the port meanwhile. */
const FIRST = 10_000;
/** Ports of one worker of vitest, which runs one file at a time. */
const BLOCK = 350;
const BLOCKS = 64;

const start = FIRST + (Number(process.env.VITEST_POOL_ID ?? 0) % BLOCKS) * BLOCK;
/** Not the ports that the worker's last file has just used: their connections may still be in TIME_WAIT. */
let next = process.pid % BLOCK;

/**
 * A port of 127.0.0.1 that nobody uses, for TCP and UDP, and no other test is given: for programs that cannot be told to
 * choose one and say which, and for places where nobody listens.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < BLOCK; attempt++) {
    const port = start + next;
    next = (next + 1) % BLOCK;
    if ((await isFreeForTcp(port)) && (await isFreeForUdp(port))) return port;
  }
  throw new Error(`no port from ${start} to ${start + BLOCK - 1} is free`);
}

function isFreeForTcp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

function isFreeForUdp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', () => socket.close(() => resolve(false)));
    socket.bind(port, '127.0.0.1', () => socket.close(() => resolve(true)));
  });
}
