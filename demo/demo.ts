import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { initPki } from '../src/tunnel/init.ts';
import { type Applications, startApplications } from './applications.ts';
import { newObservation, type Observation, startRelay } from './observer.ts';
import { startProgram } from './programs.ts';
import type { SeparateOptions } from './separate.ts';
import { type Running, startTunnel } from './tunnel.ts';
import { runWorkload, type Work, type WorkResult } from './workload.ts';

export interface DemoOptions extends Partial<Work> {
  /** Clients, each with a session of its own. Default 1; anything else makes the claim "one handshake" untrue. */
  readonly sessions?: number;
  readonly onProgress?: (line: string) => void;
}

export interface DemoResult {
  /** Every claim held. */
  readonly ok: boolean;
  readonly claims: readonly { readonly claim: string; readonly held: boolean }[];
  /** ServerHello messages that crossed the relay between gateway and client. */
  readonly handshakes: number;
  readonly checksumOk: boolean;
  readonly sha256: string;
  readonly trellis: Cost;
  /** The same work over one node:tls connection for each local connection. */
  readonly separate: Cost;
}

/** What the work cost, and what an observer saw of it. */
export interface Cost {
  readonly handshakes: number;
  readonly tcpConnections: number;
  readonly ports: number;
  readonly records: number;
  readonly bytes: number;
  /** Names of outer content types, RFC 8446 §5.1. */
  readonly recordsByType: Readonly<Record<string, number>>;
  /** By upper bound of the length. */
  readonly recordsBySize: Readonly<Record<string, number>>;
  readonly pages: number;
  readonly seconds: number;
  readonly httpSeconds: number;
  readonly sinkSeconds: number;
}

const REQUESTS = 200;
const BYTES = 256 * 1_048_576;
const CONTENT_TYPES: Readonly<Record<number, string>> = {
  20: 'change_cipher_spec',
  21: 'alert',
  22: 'handshake',
  23: 'application_data',
};

/**
 * Gateway and client are the real `trellis serve` and `trellis connect` in processes of their own, because that is how
 * they are used and because each then has a processor to itself; applications, relay and workload are in this process.
 */
export async function runDemo(options: DemoOptions = {}): Promise<DemoResult> {
  const { sessions = 1, requests = REQUESTS, bytes = BYTES, onProgress = () => {} } = options;
  const work = { requests, bytes };
  const pki = await mkdtemp(join(tmpdir(), 'trellis-demo-'));
  const applications = await startApplications();
  try {
    onProgress('making certificates');
    await initPki({ directory: pki });
    onProgress('starting the gateway and the client');
    const file = (name: string): string => join(pki, name);
    const tunnel = await startTunnel(
      {
        gateway: ['--cert', file('server.pem'), '--key', file('server.key'), '--client-ca', file('ca.pem')],
        client: ['--ca', file('ca.pem'), '--cert', file('client.pem'), '--key', file('client.key')],
      },
      applications,
      sessions,
    );
    onProgress(`${requests} HTTP requests, ${mebibytes(bytes)} to the sink and an echo, all at once`);
    const ours = await measured(tunnel, work);
    onProgress('the same over separate node:tls connections');
    const theirs = await measured(await startSeparate(pki, applications), work);
    return conclude(work, ours, theirs);
  } finally {
    applications.close();
    await rm(pki, { recursive: true, force: true });
  }
}

type Measured = { readonly result: WorkResult; readonly seen: Observation };

async function measured(running: Running, work: Work): Promise<Measured> {
  try {
    return { result: await runWorkload(running.clients, work), seen: running.seen };
  } finally {
    await running.close();
  }
}

async function startSeparate(pki: string, applications: Applications): Promise<Running> {
  const seen = newObservation();
  const start = (role: string, targets: readonly number[]) =>
    startProgram<{ ports: number[] }>('demo/separate.ts', [
      role,
      JSON.stringify({ pki, targets } satisfies SeparateOptions),
    ]);
  const gateway = await start('gateway', [applications.http, applications.echo, applications.sink]);
  const relays = await Promise.all(gateway.ready.ports.map((port) => startRelay(port, seen)));
  const client = await start(
    'client',
    relays.map(({ port }) => port),
  );
  const [http = 0, echo = 0, sink = 0] = client.ready.ports;
  return {
    clients: [{ http, echo, sink }],
    seen,
    close: async () => {
      await Promise.all([client.stop(), gateway.stop()]);
      for (const relay of relays) relay.close();
    },
  };
}

function conclude({ requests, bytes }: Work, ours: Measured, theirs: Measured): DemoResult {
  const trellis = costOf(ours);
  const separate = costOf(theirs);
  const { checksumOk, echoOk, sha256 } = ours.result;
  const connections = requests + 2;
  const claims = [
    { claim: `${requests} concurrent HTTP requests were answered rightly`, held: trellis.pages === requests },
    { claim: `${mebibytes(bytes)} reached the sink with the same SHA-256`, held: checksumOk },
    { claim: 'the echo came back unchanged', held: echoOk },
    { claim: 'all of it was one handshake', held: trellis.handshakes === 1 && ours.seen.clientHellos === 1 },
    {
      claim: 'all of it was one TCP connection to one port',
      held: trellis.tcpConnections === 1 && trellis.ports === 1,
    },
    { claim: 'an observer saw nothing but TLS records', held: ours.seen.strangeBytes === 0 },
    {
      claim: `the same took ${connections} handshakes with separate connections`,
      held: separate.handshakes === connections && theirs.result.checksumOk && separate.pages === requests,
    },
  ];
  return {
    ok: claims.every(({ held }) => held),
    claims,
    handshakes: trellis.handshakes,
    checksumOk,
    sha256,
    trellis,
    separate,
  };
}

function costOf({ result, seen }: Measured): Cost {
  const { pages, seconds, httpSeconds, sinkSeconds } = result;
  return {
    handshakes: seen.serverHellos,
    tcpConnections: seen.tcpConnections,
    ports: seen.ports.size,
    records: seen.records,
    bytes: seen.bytes,
    recordsByType: Object.fromEntries(
      [...seen.recordsByType].map(([type, count]) => [CONTENT_TYPES[type] ?? String(type), count]),
    ),
    recordsBySize: Object.fromEntries(seen.recordsBySize),
    pages,
    seconds,
    httpSeconds,
    sinkSeconds,
  };
}

export function mebibytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(bytes % 1_048_576 === 0 ? 0 : 1)} MiB`;
}
