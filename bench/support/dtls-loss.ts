import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { losing, type Relay, startRelay } from '../../demo/udp/relay.ts';
import { createSecureContext } from '../../src/index.ts';
import { connect, createServer } from '../../src/node/dtls/index.ts';
import { startProgram, withDirectory } from './dtls.ts';
import { HOST, MTU, SUITE } from './dtls-terms.ts';

/** Of each kind at each rate. Each has a relay, and so losses, of its own: the n-th the same for all. */
const HANDSHAKES = 20;
/** A handshake that takes longer has failed, and counts as this. */
const LIMIT = 20_000;
/** So that processes do not all start in the same moment. */
const APART_MS = 50;

export interface Handshakes {
  /** Milliseconds. */
  readonly times: readonly number[];
  readonly failed: number;
}

/** Tells when the first datagram came. */
async function startWatch(port: number, loss: number, seed: number): Promise<Relay & { begun(): number }> {
  const fate = losing(loss, seed);
  let begun: number | undefined;
  const relay = await startRelay(port, (datagram, towards, client) => {
    begun ??= performance.now();
    return fate(datagram, towards, client);
  });
  return { ...relay, begun: () => begun ?? performance.now() };
}

export async function oursThrough(loss: number, maxVersion: 'TLSv1.2' | 'TLSv1.3'): Promise<Handshakes> {
  return withDirectory(async (directory) => {
    const read = (file: string): string => readFileSync(join(directory, file), 'utf8');
    const terms = { mtu: MTU, maxVersion, ecdhCurve: 'X25519:P-256', handshakeTimeout: LIMIT } as const;
    const ciphers = maxVersion === 'TLSv1.2' ? SUITE.cert : 'TLS_AES_128_GCM_SHA256';
    const server = createServer({ ...terms, ciphers, cert: read('server.pem'), key: read('server.key') });
    server.on('secureConnection', (socket) => socket.on('error', () => {}));
    server.on('tlsClientError', () => {});
    server.listen(0, HOST);
    await once(server, 'listening');
    const secureContext = createSecureContext({
      maxVersion,
      ciphers,
      ecdhCurve: terms.ecdhCurve,
      ca: read('ca.pem'),
    });
    const result = await all(async (seed) => {
      const relay = await startWatch(server.address()?.port as number, loss, seed);
      const where = { host: HOST, port: relay.port, servername: 'localhost' } as const;
      const client = connect({ ...where, mtu: MTU, handshakeTimeout: LIMIT, secureContext });
      try {
        await within(once(client, 'secureConnect'));
        return performance.now() - relay.begun();
      } finally {
        client.on('error', () => {}).destroy();
        relay.close();
      }
    });
    await new Promise<void>((resolve) => server.close(resolve));
    return result;
  });
}

/** s_server serves one client at a time, and may wait long for one that has gone: each has one of its own. */
export async function opensslThrough(loss: number): Promise<Handshakes> {
  return withDirectory((directory) =>
    all(async (seed) => {
      const server = await startProgram('openssl', 'cert', directory);
      const relay = await startWatch(server.port, loss, seed);
      const terms = ['-dtls1_2', '-groups', 'X25519:P-256', '-CAfile', join(directory, 'ca.pem')];
      const client = spawn('openssl', ['s_client', ...terms, '-connect', `${HOST}:${relay.port}`], {
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      const ended = once(client, 'exit');
      try {
        await within(says(client.stdout, 'Verify return code'));
        return performance.now() - relay.begun();
      } finally {
        client.stdin.on('error', () => {});
        client.kill('SIGKILL');
        relay.close();
        await Promise.all([ended, server.stop()]);
      }
    }),
  );
}

async function all(handshake: (seed: number) => Promise<number>): Promise<Handshakes> {
  let failed = 0;
  const times = await Promise.all(
    Array.from({ length: HANDSHAKES }, async (_, n) => {
      await sleep(n * APART_MS);
      return handshake(seedOf(n)).catch(() => {
        failed++;
        return LIMIT;
      });
    }),
  );
  return { times, failed };
}

/** Apart, since neighbours begin alike. */
function seedOf(n: number): number {
  return Math.imul(n + 1, 0x9e3779b1);
}

async function within<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('too late')), LIMIT);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function says(output: NodeJS.ReadableStream, text: string): Promise<void> {
  let seen = '';
  for await (const chunk of output) {
    seen += chunk;
    if (seen.includes(text)) return;
  }
  throw new Error('s_client ended');
}
