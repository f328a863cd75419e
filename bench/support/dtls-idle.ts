// Takes sessions, lets them rest, and prints the resident memory that each costs with both its ends.
import { setTimeout as sleep } from 'node:timers/promises';
import { startOurs } from './dtls.ts';

/** First ones pay for code, caches and the growth of heaps. */
const WARM_UP = 500;
const SESSIONS = 10_000;
/** Handshakes at once. */
const AT_ONCE = 20;

const kept: unknown[] = [];
const ours = await startOurs((socket) => kept.push(socket));
await open(WARM_UP);
const before = await residentBytes();
await open(SESSIONS);
const after = await residentBytes();
console.log(
  JSON.stringify({ kibibytes: (after - before) / SESSIONS / 1024, sessions: ours.server.stats.sessions }),
);
process.exit(0);

async function open(count: number): Promise<void> {
  for (let opened = 0; opened < count; opened += AT_ONCE) {
    kept.push(...(await Promise.all(Array.from({ length: AT_ONCE }, () => ours.dial()))));
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
