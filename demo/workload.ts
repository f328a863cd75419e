import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { pageFor } from './applications.ts';

/** Local ports that lead to the applications. With several clients, work is spread over them. */
export interface Ports {
  readonly http: number;
  readonly echo: number;
  readonly sink: number;
}

export interface Work {
  readonly requests: number;
  /** Bytes for the sink. */
  readonly bytes: number;
}

export interface WorkResult {
  /** Requests that were answered with exactly the page asked for. */
  readonly pages: number;
  readonly echoOk: boolean;
  readonly checksumOk: boolean;
  readonly sha256: string;
  /** Of the whole, and of its parts, which ran at the same time. */
  readonly seconds: number;
  readonly httpSeconds: number;
  readonly sinkSeconds: number;
}

const BLOCK = 1_048_576;
const ECHO_BYTES = 65_536;

/** HTTP requests, a bulk upload and an echo, all at the same time, each request on a connection of its own. */
export async function runWorkload(clients: readonly Ports[], work: Work): Promise<WorkResult> {
  const start = performance.now();
  const seconds = (): number => (performance.now() - start) / 1000;
  const timed = async <T>(job: Promise<T>): Promise<{ value: T; seconds: number }> => ({
    value: await job,
    seconds: seconds(),
  });
  const client = (i: number): Ports => clients[i % clients.length] as Ports;
  const [pages, sink, echoOk] = await Promise.all([
    timed(
      Promise.all(Array.from({ length: work.requests }, (_, i) => getPage(client(i).http, `/page/${i}`))),
    ),
    timed(upload(client(clients.length - 1).sink, work.bytes)),
    echo(client(0).echo),
  ]);
  return {
    pages: pages.value.filter(Boolean).length,
    echoOk,
    checksumOk: sink.value.sent === sink.value.received,
    sha256: sink.value.received,
    seconds: seconds(),
    httpSeconds: pages.seconds,
    sinkSeconds: sink.seconds,
  };
}

function getPage(port: number, path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve(Buffer.concat(chunks).toString() === pageFor(path)));
    });
    request.on('error', reject);
  });
}

/** Sends `bytes` bytes, ends, and reads the digest that the sink answers. */
async function upload(port: number, bytes: number): Promise<{ sent: string; received: string }> {
  const pool = randomBytes(4 * BLOCK);
  const hash = createHash('sha256');
  const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  const answer = text(socket);
  for (let sent = 0, i = 0; sent < bytes; i++) {
    // Each block begins elsewhere in the pool: one that is lost or swapped changes the digest.
    const from = (i * 4099) % (3 * BLOCK);
    const block = pool.subarray(from, from + Math.min(BLOCK, bytes - sent));
    hash.update(block);
    sent += block.length;
    if (!socket.write(block)) {
      const drained = new Promise((resolve) => socket.once('drain', resolve));
      await Promise.race([drained, answer]);
    }
  }
  socket.end();
  return { sent: hash.digest('hex'), received: (await answer).toString() };
}

async function echo(port: number): Promise<boolean> {
  const sent = randomBytes(ECHO_BYTES);
  const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  socket.end(sent);
  return (await text(socket)).equals(sent);
}

function text(socket: net.Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks)));
    socket.on('error', reject);
  });
}
