// Opens sessions with itself, lets them rest, and prints the resident memory that each costs.   idle.ts ours|peer
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { listen, makeFiles, nodes, once, ours } from './stacks.ts';

/** First ones pay for code, caches and the growth of heaps. */
const WARM_UP = 200;
const SESSIONS = 1000;

const stack = (process.argv[2] === 'ours' ? ours : nodes)(await makeFiles());
const kept: Duplex[] = [];
const server = stack.serve((socket) => {
  kept.push(socket);
  socket.on('error', () => {});
  socket.on('data', () => {});
});
const port = await listen(server);

await open(WARM_UP);
const before = await residentBytes();
await open(SESSIONS);
const after = await residentBytes();
console.log(JSON.stringify({ kibibytes: (after - before) / SESSIONS / 1024, kept: kept.length }));
process.exit(0);

async function open(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const socket = stack.dial(port);
    kept.push(socket);
    socket.on('error', () => {});
    socket.on('data', () => {});
    await once(socket, 'secureConnect');
  }
}

/** After garbage has gone, also that of C++ objects, which takes more than one collection. */
async function residentBytes(): Promise<number> {
  for (let i = 0; i < 6; i++) {
    globalThis.gc?.();
    await sleep(50);
  }
  return process.memoryUsage.rss();
}
