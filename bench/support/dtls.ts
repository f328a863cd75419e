import { spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type DtlsEndpoint, type DtlsSocket } from '../../src/node/dtls/index.ts';
import { initPki } from '../../src/tunnel/init.ts';
import { type Files, makeFiles } from './stacks.ts';

const HOST = '127.0.0.1';
/** What both speak. */
const VERSION = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
/** Loopback carries more; 1,200 bytes of data shall fit. */
const MTU = 1_400;

export interface Ours {
  readonly server: DtlsEndpoint;
  readonly port: number;
  dial(port?: number): Promise<DtlsSocket>;
  close(): Promise<void>;
}

/** A server on a free port, and clients for it. */
export async function startOurs(onSession: (socket: DtlsSocket) => void = () => {}): Promise<Ours> {
  const { cert, key, ca }: Files = await makeFiles();
  const server = createServer({ ...VERSION, mtu: MTU, cert, key }, (socket) => {
    socket.on('error', () => {});
    onSession(socket);
  });
  server.listen(0, HOST);
  await once(server, 'listening');
  const port = server.address()?.port as number;
  return {
    server,
    port,
    async dial(to = port) {
      const socket = connect({ ...VERSION, mtu: MTU, host: HOST, port: to, ca, servername: 'localhost' });
      await once(socket, 'secureConnect');
      return socket;
    },
    close: () => new Promise((resolve) => void server.close(resolve)),
  };
}

/** Numbers in [0, 1) that are the same in every run, so that both meet the same losses. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A UDP relay before `port` that loses this share of what it gets, in both directions. */
export async function startLossyRelay(
  port: number,
  loss: number,
  seed = 1,
): Promise<{ readonly port: number; close(): void }> {
  const random = randomFrom(seed);
  const front = createSocket('udp4').bind(0, HOST);
  await once(front, 'listening');
  const backs = new Map<number, Socket>();
  front.on('message', (datagram, { port: client }) => {
    let back = backs.get(client);
    if (back === undefined) {
      back = createSocket('udp4').bind(0, HOST);
      back.on('message', (answer) => {
        if (random() >= loss) front.send(answer, client, HOST);
      });
      backs.set(client, back);
    }
    if (random() >= loss) back.send(datagram, port, HOST);
  });
  return {
    port: front.address().port,
    close() {
      front.close();
      for (const back of backs.values()) back.close();
    },
  };
}

/** `openssl s_server` of DTLS 1.2 on a free port. */
export async function startOpenssl(): Promise<{ readonly port: number; close(): void }> {
  const directory = mkdtempSync(join(tmpdir(), 'trellis-bench-'));
  await initPki({ directory });
  const probe = createSocket('udp4').bind(0, HOST);
  await once(probe, 'listening');
  const { port } = probe.address();
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  const server = spawn(
    'openssl',
    ['s_server', '-dtls1_2', '-accept', `${HOST}:${port}`, '-quiet'].concat(
      ...[
        ['-cert', join(directory, 'server.pem')],
        ['-key', join(directory, 'server.key')],
      ],
    ),
    { stdio: ['pipe', 'ignore', 'ignore'] },
  );
  await new Promise((resolve) => setTimeout(resolve, 300));
  return {
    port,
    close() {
      server.kill();
      rmSync(directory, { recursive: true });
    },
  };
}

/** A handshake that takes longer has failed, and counts as this. */
const HANDSHAKE_LIMIT = 15_000;

/** Milliseconds of one handshake of `openssl s_client`, the start of its process included. */
export async function opensslHandshake(port: number): Promise<number> {
  const start = performance.now();
  const client = spawn('openssl', ['s_client', '-dtls1_2', '-connect', `${HOST}:${port}`], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  await new Promise<void>((resolve) => {
    let text = '';
    client.stdout.on('data', (chunk: Buffer) => {
      text += chunk;
      if (text.includes('Verify return code')) resolve();
    });
    client.once('exit', () => resolve());
    setTimeout(resolve, HANDSHAKE_LIMIT).unref();
  });
  const time = performance.now() - start;
  client.stdin.on('error', () => {});
  client.kill();
  if (client.exitCode === null && client.signalCode === null) await once(client, 'exit');
  return time;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
