import { createHash } from 'node:crypto';
import http from 'node:http';
import http2 from 'node:http2';
import type { ServerOptions, TLSSocket } from '../../../src/index.ts';
import { type OurServer, serve } from './ours.ts';

/** An HTTP server, version 1.1 or 2 by ALPN, over our TLS sockets. */
export interface OurHttpServer extends OurServer {
  readonly url: string;
  readonly sessions: readonly TLSSocket[];
}

/**
 * Paths: `/` says hello, `/bytes/N` answers N bytes, and what is PUT or POSTed is answered by its length and SHA-256.
 * `close` asks for a connection for each request.
 */
export async function serveHttp(
  options: ServerOptions,
  { close = false, html = 'Hello from Trellis\n' } = {},
): Promise<OurHttpServer> {
  const sessions: TLSSocket[] = [];
  const handler = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    if (close) response.setHeader('Connection', 'close');
    answer(request, response, html);
  };
  const version1 = http.createServer(handler);
  const version2 = http2.createServer((request, response) => {
    answer(request as unknown as http.IncomingMessage, response as unknown as http.ServerResponse, html);
  });
  const ours = await serve(options, (socket) => {
    sessions.push(socket);
    (socket.alpnProtocol === 'h2' ? version2 : version1).emit('connection', socket);
  });
  return { ...ours, sessions, url: `https://localhost:${ours.port}` };
}

function answer(request: http.IncomingMessage, response: http.ServerResponse, html: string): void {
  const [, size] = /^\/bytes\/(\d+)$/.exec(request.url ?? '') ?? [];
  if (request.method === 'PUT' || request.method === 'POST') {
    const hash = createHash('sha256');
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      length += chunk.length;
    });
    request.on('end', () => response.end(`${length} ${hash.digest('hex')}\n`));
  } else if (size !== undefined) {
    response.setHeader('Content-Type', 'application/octet-stream');
    response.end(pattern(Number(size)));
  } else {
    response.setHeader('Content-Type', 'text/html');
    response.end(html);
  }
}

/** Bytes that differ from place to place, the same for everyone who asks for so many. */
export function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32LE(Math.imul(at, 2_654_435_761) >>> 0, at);
  return bytes;
}

/** A whole HTTP exchange. */
export function request(
  start: () => http.ClientRequest,
  body?: Uint8Array,
): Promise<{ readonly status: number; readonly body: Buffer }> {
  return new Promise((resolve, reject) => {
    const outgoing = start();
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
    });
    outgoing.end(body);
  });
}
