// One side of a mux bench, in a process that does nothing else; a line of JSON for each result.
//   mux-run.ts server STACK             prints { port }, and on SIGUSR2 { bytes, cpu }: what it holds, and has used
//                                       in milliseconds of processor time since its first stream
//   mux-run.ts client STACK PORT SCENARIO
// The first byte of a stream says what the server does with it: e echoes, n reads nothing, s swallows and answers ! when
// it has as many bytes as the eight after it say.
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type MuxDialled, type MuxStackName, muxStack } from './mux-stacks.ts';
import type { Files } from './stacks.ts';

export type Scenario = 'open' | 'bulk' | 'many' | 'latency' | 'memory' | 'slow';

/** Channels of `open` and `memory`. */
const MANY = 10_000;
/** TLS connections in their place: a handshake each. The time is given for as many as the others open. */
const FEW = 500;
const BULK = 384 * 1024 * 1024;
const STREAMS = 1_000;
const CHUNK = Buffer.alloc(65_536, 7);

const [role, name, port, scenario] = process.argv.slice(2);
/** Beside bulk an echo through libp2p's yamux waits for what is queued, a fifth of a second. */
const PINGS = name === 'yamux' ? 90 : 1_500;
const encoded = JSON.parse(process.env.TRELLIS_BENCH_FILES ?? '{}') as Record<keyof Files, string>;
const files: Files = {
  ca: Buffer.from(encoded.ca),
  cert: Buffer.from(encoded.cert),
  key: Buffer.from(encoded.key),
};
const stack = muxStack(name as MuxStackName, files);
let serverStart: NodeJS.CpuUsage | undefined;
const say = (value: object): void => console.log(JSON.stringify(value));

if (role === 'server') {
  const { port } = await stack.serve(serveStream);
  process.on('SIGUSR2', async () => {
    const cpu = cpuSince(serverStart);
    say({ bytes: await heldBytes(), cpu });
  });
  process.on('SIGTERM', () => process.exit(0));
  say({ port });
} else {
  const dialled = await stack.dial(Number(port));
  const run: Record<Scenario, (dialled: MuxDialled) => Promise<object>> = {
    open,
    bulk,
    many,
    latency,
    memory,
    slow,
  };
  say(await run[scenario as Scenario](dialled));
  // The server is asked about its memory while the channels are open.
  await sleep(scenario === 'memory' ? 600_000 : 0);
  process.exit(0);
}

function serveStream(stream: Duplex): void {
  serverStart ??= process.cpuUsage();
  stream.once('data', (first: Buffer) => {
    const rest = first.subarray(1);
    if (first[0] === 'e'.charCodeAt(0)) {
      if (rest.length > 0) stream.write(rest);
      stream.on('data', (chunk: Buffer) => stream.write(chunk));
    } else if (first[0] === 's'.charCodeAt(0)) {
      let left = rest.readDoubleBE(0) - (rest.length - 8);
      stream.on('data', (chunk: Buffer) => {
        left -= chunk.length;
        if (left === 0) stream.end('!');
      });
    } else {
      stream.pause();
    }
  });
}

async function answered(stream: Duplex): Promise<Duplex> {
  stream.write('e!');
  await once(stream, 'data');
  return stream;
}

async function open({ open }: MuxDialled): Promise<object> {
  const count = name === 'tls' ? FEW : MANY;
  const [start, used] = [performance.now(), process.cpuUsage()];
  await Promise.all(Array.from({ length: count }, () => answered(open())));
  return { value: ((performance.now() - start) * MANY) / count, cpu: cpuSince(used) };
}

async function bulk({ open }: MuxDialled): Promise<object> {
  const stream = await swallowing(open, BULK);
  const [start, used] = [performance.now(), process.cpuUsage()];
  await pour(stream, BULK);
  return { value: BULK / 1e3 / (performance.now() - start), cpu: cpuSince(used) };
}

async function many({ open }: MuxDialled): Promise<object> {
  const count = name === 'tls' || name === 'trellis-tls' ? 100 : STREAMS;
  const each = Math.floor(BULK / count);
  const streams = await Promise.all(Array.from({ length: count }, () => swallowing(open, each)));
  const [start, used] = [performance.now(), process.cpuUsage()];
  await Promise.all(streams.map((stream) => pour(stream, each)));
  return { value: (each * count) / 1e3 / (performance.now() - start), cpu: cpuSince(used) };
}

/** A stream whose bytes the other side throws away, and of which it says when it has had so many. */
async function swallowing(open: () => Duplex, bytes = Number.POSITIVE_INFINITY): Promise<Duplex> {
  const stream = open();
  if (name === 'tls' || name === 'trellis-tls') await once(stream, 'secureConnect');
  const order = Buffer.alloc(9, 's');
  order.writeDoubleBE(bytes, 1);
  stream.write(order);
  return stream;
}

/** Writes so many bytes and waits until the other side has said that it has them. */
async function pour(stream: Duplex, bytes: number): Promise<void> {
  const done = once(stream, 'data');
  let left = bytes;
  const write = (): void => {
    while (left > 0) {
      const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
      left -= chunk.length;
      if (!stream.write(chunk)) {
        stream.once('drain', write);
        return;
      }
    }
  };
  write();
  await done;
  stream.end();
}

async function latency({ open }: MuxDialled): Promise<object> {
  const small = await answered(open());
  await pingPong(small, PINGS / 3);
  const idle = await pingPong(small, PINGS);
  const big = await swallowing(open);
  let stopped = false;
  const write = (): void => {
    while (!stopped) if (!big.write(CHUNK)) break;
  };
  big.on('drain', write);
  write();
  await pingPong(small, PINGS / 3);
  const loaded = await pingPong(small, PINGS);
  stopped = true;
  return {
    value: quantile(loaded, 0.99),
    idle: quantile(idle, 0.99),
    p50: quantile(loaded, 0.5),
    idle50: quantile(idle, 0.5),
  };
}

/** @returns milliseconds of each echo, in order of length */
async function pingPong(stream: Duplex, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    stream.write('x');
    await once(stream, 'data');
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b);
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
}

async function memory({ open }: MuxDialled): Promise<object> {
  const count = name === 'tls' ? FEW : MANY;
  await Promise.all(Array.from({ length: 100 }, () => answered(open())));
  const before = await heldBytes();
  const kept: Duplex[] = [];
  for (let i = 0; i < count; i += 500) {
    kept.push(...(await Promise.all(Array.from({ length: 500 }, () => answered(open())))));
  }
  const after = await heldBytes();
  return { bytes: (after - before) / count, count: kept.length };
}

/** One stream that the other side never reads, and one that it reads: seconds, MB/s of the second, MiB of this process. */
async function slow({ open }: MuxDialled): Promise<object> {
  const seconds = Number(process.env.TRELLIS_BENCH_SECONDS ?? 60);
  const rows: object[] = [];
  const busy = await swallowing(open);
  let sent = 0;
  const fill = (stream: Duplex, count: boolean): void => {
    const write = (): void => {
      for (;;) {
        if (count) sent += CHUNK.length;
        if (!stream.write(CHUNK)) break;
      }
    };
    stream.on('drain', write);
    write();
  };
  fill(busy, true);
  const measure = async (stage: string, length: number): Promise<void> => {
    for (let i = 0; i < length; i += 5) {
      const [start, before] = [performance.now(), sent];
      await sleep(5_000);
      rows.push({
        stage,
        megabytesPerSecond: Math.round((sent - before) / 1e3 / (performance.now() - start)),
        mebibytes: Math.round(process.memoryUsage.rss() / 1_048_576),
      });
    }
  };
  await measure('alone', 10);
  const never = open();
  never.write('n');
  fill(never, false);
  await measure('beside a reader that stays away', seconds);
  return { rows };
}

/** Milliseconds of processor time, user's and system's. */
function cpuSince(start: NodeJS.CpuUsage | undefined): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e3;
}

/** After garbage has gone. */
async function heldBytes(): Promise<number> {
  for (let i = 0; i < 4; i++) {
    globalThis.gc?.();
    await sleep(50);
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
