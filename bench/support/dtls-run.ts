// One process of a bench of DTLS; says what it finds in JSON lines.
//   dtls-run.ts serve   STACK AUTH DIRECTORY
//   dtls-run.ts measure STACK AUTH DIRECTORY PORT SCENARIO SERVER-PID
//   dtls-run.ts hold    STACK AUTH DIRECTORY PORT COUNT       (opens so many sessions, and keeps them)
//   dtls-run.ts memory  STACK AUTH DIRECTORY COUNT            (serves, and has so many sessions opened by `hold`)
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { runFile } from './child.ts';
import { type BenchSession, type DtlsStack, stackOf } from './dtls-stacks.ts';
import type { Auth, StackName } from './dtls-terms.ts';

/** Milliseconds until code and caches are warm, and of the measurement. */
const WARM_UP_MS = 2_000;
const MEASURED_MS = 3_000;
/** Datagrams under way. */
const WINDOW = 64;
/** Milliseconds without an answer after which the window is taken for lost, and filled again. */
const STALL_MS = 100;
/** USER_HZ is 100 wherever Node runs on Linux. */
const CLOCK_TICK_MS = 10;
/** First sessions pay for code, caches and the growth of heaps. */
const MEMORY_WARM_UP = 300;
/** Handshakes at once while sessions are opened; times that one is tried, and milliseconds between. */
const AT_ONCE = 20;
const DIALS = 10;
const RETRY_MS = 100;

const [role, name, auth, directory = '', ...rest] = process.argv.slice(2);
const stack = await stackOf(name as StackName, auth as Auth, directory);
const say = (value: unknown): void => console.log(JSON.stringify(value));

if (role === 'serve') await serve();
else if (role === 'measure') {
  const [port, scenario = '', pid] = rest;
  say(await measured(scenario, Number(port), Number(pid)));
  process.exit(0);
} else if (role === 'hold') {
  const [port, count] = rest.map(Number);
  await hold(port as number, count as number);
} else {
  say(await memory(Number(rest[0])));
  process.exit(0);
}

/** Sends back what comes. */
async function serve(): Promise<void> {
  const { port } = await serverOf(stack)((datagram, session) => session.send(datagram));
  say({ port });
}

function serverOf({ serve }: DtlsStack): NonNullable<DtlsStack['serve']> {
  if (serve === undefined) throw new Error(`${name} is a client only`);
  return serve;
}

/** @param scenario `handshake:AT_ONCE` or `echo:BYTES` */
async function measured(scenario: string, port: number, serverPid: number): Promise<unknown> {
  const [what, argument] = scenario.split(':');
  const count = what === 'echo' ? await echoes(port, Number(argument)) : handshakes(port, Number(argument));
  await sleep(WARM_UP_MS);
  const before = [count(), performance.now(), process.cpuUsage(), processorMs(serverPid)] as const;
  await sleep(MEASURED_MS);
  const done = count() - before[0];
  const ms = performance.now() - before[1];
  const { user, system } = process.cpuUsage(before[2]);
  return {
    rate: (done / ms) * 1_000,
    clientMs: (user + system) / 1_000 / done,
    serverMs: (processorMs(serverPid) - before[3]) / done,
  };
}

/** Full handshakes, each by a client of its own port. @returns how many are done */
function handshakes(port: number, atOnce: number): () => number {
  let done = 0;
  const one = async (): Promise<void> => {
    (await stack.dial(port)).close();
    done++;
  };
  // One that fails, as werift's do when a busy machine makes them say something twice, does not count.
  const run = async (): Promise<never> => {
    for (;;) await one().catch(() => sleep(1));
  };
  for (let n = 0; n < atOnce; n++) void run();
  return () => done;
}

/** Datagrams to a server and back. @returns how many are back */
async function echoes(port: number, size: number): Promise<() => number> {
  let back = 0;
  let before = -1;
  const datagram = Buffer.alloc(size, 'x');
  const session: BenchSession = await stack.dial(port, () => {
    back++;
    session.send(datagram);
  });
  const fill = (): void => {
    for (let n = 0; n < WINDOW; n++) session.send(datagram);
  };
  fill();
  // Loopback loses little; what it loses shortens the window, until none is left.
  setInterval(() => {
    if (back === before) fill();
    before = back;
  }, STALL_MS);
  return () => back;
}

async function hold(port: number, count: number): Promise<void> {
  const kept: BenchSession[] = [];
  // One that fails is tried again: werift's client gives up at a second HelloVerifyRequest, which comes when the machine was
  // so busy that it had said its ClientHello twice.
  const one = async (): Promise<void> => {
    for (let tries = 1; ; tries++) {
      try {
        kept.push(await stack.dial(port));
        return;
      } catch (error) {
        if (tries === DIALS) throw error;
        await sleep(RETRY_MS);
      }
    }
  };
  while (kept.length < count)
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - kept.length) }, one));
  say({ opened: kept.length });
  // Without a word until this process is ended.
  setInterval(() => kept.length, 60_000);
}

/** Resident bytes that each of `count` idle sessions takes at the server; their clients are in another process. */
async function memory(count: number): Promise<unknown> {
  const { port, sessions } = await serverOf(stack)(() => {});
  const open = (number: number) =>
    runFile('bench/support/dtls-run.ts', ['hold', name, auth, directory, port, number].map(String));
  const warm = open(MEMORY_WARM_UP);
  await warm.next();
  const before = { bytes: await residentBytes(), sessions: sessions() };
  const clients = open(count);
  await clients.next();
  const after = { bytes: await residentBytes(), sessions: sessions() };
  await Promise.all([warm.stop(), clients.stop()]);
  const opened = after.sessions - before.sessions;
  return { bytesPerSession: (after.bytes - before.bytes) / opened, opened };
}

/** After garbage has gone, also that of C++ objects, which takes more than one collection. */
async function residentBytes(): Promise<number> {
  for (let i = 0; i < 6; i++) {
    globalThis.gc?.();
    await sleep(50);
  }
  return process.memoryUsage.rss();
}

/** Milliseconds of processor that a process has had; NaN where the system does not say so in a file. */
function processorMs(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // proc(5): utime and stime are the 14th and 15th field; the name, which may hold spaces, ends with the last ')'.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS;
  } catch {
    return Number.NaN;
  }
}
