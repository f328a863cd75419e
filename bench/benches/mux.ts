import { type Bench, defineBench } from '../harness.ts';
import { muxMemory, runMux } from '../support/mux.ts';
import type { MuxStackName } from '../support/mux-stacks.ts';

/** Rounds are long, and each runs two processes. */
const ROUNDS = 3;

const value = async (stack: MuxStackName, scenario: string): Promise<number> =>
  (await runMux<{ value: number }>(stack, scenario)).value;

/** 10,000 channels opened, a byte echoed on each. Plain TLS opens 500 connections; the time is given for 10,000. */
export const muxOpen: Bench = defineBench({
  name: 'mux-open',
  unit: 'ms',
  higherIsBetter: false,
  peerName: 'node:http2',
  rounds: ROUNDS,
  ours: () => value('channels', 'open'),
  peer: () => value('http2', 'open'),
  others: {
    'libp2p-yamux': () => value('yamux', 'open'),
    'node:tls': () => value('tls', 'open'),
    'ports mode': () => value('ports', 'open'),
  },
});

/** One channel, two processes, until the receiver has said that it has everything. */
export const muxBulk: Bench = defineBench({
  name: 'mux-bulk',
  unit: 'MB/s',
  higherIsBetter: true,
  peerName: 'our plain TLS',
  rounds: ROUNDS,
  ours: () => value('channels', 'bulk'),
  peer: () => value('trellis-tls', 'bulk'),
  others: {
    'node:http2': () => value('http2', 'bulk'),
    'libp2p-yamux': () => value('yamux', 'bulk'),
    'node:tls': () => value('tls', 'bulk'),
    'ports mode': () => value('ports', 'bulk'),
  },
});

/** The same amount over 1,000 channels at once; over 100 connections of plain TLS. */
export const muxMany: Bench = defineBench({
  name: 'mux-many',
  unit: 'MB/s',
  higherIsBetter: true,
  peerName: 'one channel',
  rounds: ROUNDS,
  ours: () => value('channels', 'many'),
  peer: () => value('channels', 'bulk'),
  others: {
    'node:http2': () => value('http2', 'many'),
    'libp2p-yamux': () => value('yamux', 'many'),
    'node:tls': () => value('tls', 'many'),
  },
});

/** 99th percentile of an echo of one byte, while another channel moves all it can. */
export const muxLatency: Bench = defineBench({
  name: 'mux-latency',
  unit: 'ms',
  higherIsBetter: false,
  peerName: 'the same, idle',
  rounds: ROUNDS,
  ours: () => value('channels', 'latency'),
  peer: async () => (await runMux<{ idle: number }>('channels', 'latency')).idle,
  others: {
    'node:http2': () => value('http2', 'latency'),
    'libp2p-yamux': () => value('yamux', 'latency'),
    'node:tls': () => value('tls', 'latency'),
  },
});

/** V8 heap and buffers of an idle channel, at the end that holds more. */
export const muxMemoryBench: Bench = defineBench({
  name: 'mux-memory',
  unit: 'bytes/channel',
  higherIsBetter: false,
  peerName: 'node:http2',
  rounds: 1,
  ours: () => muxMemory('channels'),
  peer: () => muxMemory('http2'),
  others: { 'libp2p-yamux': () => muxMemory('yamux'), 'node:tls': () => muxMemory('tls') },
});

interface SlowRow {
  readonly stage: string;
  readonly megabytesPerSecond: number;
  readonly mebibytes: number;
}

/** One run gives both figures: that of the stage before, and that of the minute in which another channel is not read. */
let slowRun: Promise<{ alone: number; beside: number }> | undefined;
let taken = 0;

async function slowFigures(): Promise<{ alone: number; beside: number }> {
  slowRun ??= runSlow();
  const figures = await slowRun;
  if (++taken % 2 === 0) slowRun = undefined;
  return figures;
}

async function runSlow(): Promise<{ alone: number; beside: number }> {
  const { rows } = await runMux<{ rows: SlowRow[] }>('channels', 'slow');
  for (const { stage, megabytesPerSecond, mebibytes } of rows)
    console.error(`mux-slow: ${stage}: ${megabytesPerSecond} MB/s, ${mebibytes} MiB`);
  const rateOf = (wanted: boolean): number => {
    const rates = rows.filter(({ stage }) => (stage === 'alone') === wanted);
    return rates.reduce((sum, { megabytesPerSecond }) => sum + megabytesPerSecond, 0) / rates.length;
  };
  return { alone: rateOf(true), beside: rateOf(false) };
}

/** What one channel moves while the reader of another stays away for a minute; memory of the sender on standard error. */
export const muxSlow: Bench = defineBench({
  name: 'mux-slow',
  unit: 'MB/s',
  higherIsBetter: true,
  peerName: 'the same channel before that',
  rounds: 1,
  ours: async () => (await slowFigures()).beside,
  peer: async () => (await slowFigures()).alone,
});
