import { spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { initPki } from '../../src/tunnel/init.ts';
import { type Child, runFile } from './child.ts';
import { type Auth, HOST, MTU, NODE_DTLS_CLIENT, PSK_KEY, type StackName, SUITE } from './dtls-terms.ts';

/** A server in a process of its own. */
export interface ServerProcess {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

/** What a client has counted of its work with a server. */
export interface Measured {
  /** Handshakes or datagrams per second. */
  readonly rate: number;
  /** Milliseconds of processor for each; NaN where the system does not tell. */
  readonly clientMs: number;
  readonly serverMs: number;
}

/** Programs with a server of their own. */
export type ServerProgram = 'openssl' | 'gnutls-serv';

export function isHere(program: ServerProgram): boolean {
  return spawnSync(program, ['--version']).error === undefined;
}

/** Milliseconds for a run; one that takes longer has failed. */
const RUN_LIMIT = 30_000;
const MEMORY_LIMIT = 240_000;
const RUN = 'bench/support/dtls-run.ts';

interface Run {
  readonly server: StackName | ServerProgram;
  readonly client: StackName;
  readonly auth: Auth;
  /** `handshake:AT_ONCE` or `echo:BYTES` */
  readonly scenario: string;
}

/** One measurement between two fresh processes. */
export async function run({ server, client, auth, scenario }: Run): Promise<Measured> {
  return withDirectory(async (directory) => {
    const started = await startServer(server, auth, directory);
    try {
      const args = ['measure', client, auth, directory, started.port, scenario, started.pid].map(String);
      return await within<Measured>(RUN_LIMIT, runFile(RUN, args));
    } finally {
      await started.stop();
    }
  });
}

/** Resident bytes of an idle session at its server. */
export async function bytesPerSession(stack: StackName, count: number): Promise<number> {
  return withDirectory(async (directory) => {
    const child = runFile(RUN, ['memory', stack, 'cert', directory, String(count)], ['--expose-gc']);
    const { bytesPerSession, opened } = await within<{ bytesPerSession: number; opened: number }>(
      MEMORY_LIMIT,
      child,
    );
    // Of a handshake that only the client thinks has failed the server has a session too.
    if (opened < count) throw new Error(`${stack} has ${opened} of ${count} sessions`);
    return bytesPerSession;
  });
}

async function within<T>(ms: number, child: Child): Promise<T> {
  const timer = setTimeout(() => child.process.kill(), ms);
  try {
    return await child.next<T>();
  } finally {
    clearTimeout(timer);
    await child.stop();
  }
}

/** With the files of a private CA and a server on P-256. */
export async function withDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'trellis-bench-'));
  try {
    await initPki({ directory });
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function startServer(name: Run['server'], auth: Auth, directory: string): Promise<ServerProcess> {
  if (name === 'openssl' || name === 'gnutls-serv') return startProgram(name, auth, directory);
  const child = runFile(RUN, ['serve', name, auth, directory]);
  const { port } = await child.next<{ port: number }>();
  return { port, pid: child.process.pid as number, stop: () => child.stop() };
}

/** Milliseconds until a C program listens: neither says so without writing down every session too. */
const START_MS = 400;

export async function startProgram(
  program: ServerProgram,
  auth: Auth,
  directory: string,
): Promise<ServerProcess> {
  const port = await freePort();
  const args = program === 'openssl' ? opensslArgs(port, auth, directory) : gnutlsArgs(port, directory);
  // s_server ends with its standard input.
  const server = spawn(program, args, { stdio: ['pipe', 'ignore', 'ignore'] });
  const ended = once(server, 'exit');
  await sleep(START_MS);
  if (server.exitCode !== null) throw new Error(`${program} ended with ${server.exitCode}`);
  return {
    port,
    pid: server.pid as number,
    async stop() {
      server.kill('SIGKILL');
      await ended;
    },
  };
}

/** It answers a ClientHello with a cookie, as all of them. */
function opensslArgs(port: number, auth: Auth, directory: string): string[] {
  const credentials =
    auth === 'cert'
      ? ['-cert', join(directory, 'server.pem'), '-key', join(directory, 'server.key')]
      : ['-nocert', '-psk', PSK_KEY.toString('hex')];
  const terms = ['-dtls1_2', '-cipher', SUITE[auth], '-groups', 'X25519:P-256', '-quiet'];
  return ['s_server', '-accept', `${HOST}:${port}`, ...terms, ...credentials];
}

/** s_server sends back nothing over DTLS («Can't use -rev with DTLS»). */
function gnutlsArgs(port: number, directory: string): string[] {
  const priority =
    'NONE:+VERS-DTLS1.2:+ECDHE-ECDSA:+AES-128-GCM:+AEAD:+GROUP-X25519:+GROUP-SECP256R1:+SIGN-ECDSA-SHA256:+COMP-NULL:+CTYPE-X509';
  return ['--udp', '--echo', '--quiet', '--port', String(port)].concat(
    ['--mtu', String(MTU), '--priority', priority],
    ['--x509certfile', join(directory, 'server.pem'), '--x509keyfile', join(directory, 'server.key')],
  );
}

/** They take no port 0. */
async function freePort(): Promise<number> {
  const probe = createSocket('udp4').bind(0, HOST);
  await once(probe, 'listening');
  const { port } = probe.address();
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  return port;
}

/** `npm install --no-save node-dtls-client@1.1.1` brings it. */
export function hasNodeDtlsClient(): boolean {
  try {
    createRequire(import.meta.url).resolve(NODE_DTLS_CLIENT);
    return true;
  } catch {
    return false;
  }
}
