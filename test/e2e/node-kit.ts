import { type EventEmitter, once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import nodeTls from 'node:tls';
import { encodePem } from '../../src/der/pem.ts';
import { type ConnectionOptions, connect, createServer, type ServerOptions } from '../../src/index.ts';
import { ca, client, DAY, type Identity, type IdentityOptions, server } from '../unit/x509/pki.ts';

/** PEM, as users have it. */
export interface Credentials {
  readonly cert: string;
  readonly key: string;
}

const now = Date.now();
const today = { notBefore: now - DAY, notAfter: now + 30 * DAY };
const authority = ca('Test authority', { input: today });
const otherAuthority = ca('Other authority', { input: today });

export const CA = pem(authority).cert;
export const OTHER_CA = pem(otherAuthority).cert;
export const SERVER = issued(['localhost', '127.0.0.1']);
export const SERVER_B = issued(['b.test', '*.c.test']);
export const SERVER_RSA = issued(['localhost'], { kind: 'rsa2048' });
export const SERVER_ED25519 = issued(['localhost'], { kind: 'ed25519' });
export const SERVER_P384 = issued(['localhost'], { kind: 'p384' });
export const EXPIRED = issued(['localhost'], {
  input: { notBefore: now - 10 * DAY, notAfter: now - 5 * DAY },
});
export const CLIENT = pem(client('alice', { issuer: authority, input: today }));
export const OTHER_CLIENT = pem(client('mallory', { issuer: otherAuthority, input: today }));

function issued(hosts: readonly string[], options: IdentityOptions = {}): Credentials {
  return pem(server(hosts[0] as string, { issuer: authority, hosts, input: today, ...options }));
}

function pem({ der, privateKey }: Identity): Credentials {
  return {
    cert: encodePem('CERTIFICATE', der),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** One implementation of the interface that both have; typed as Node's, which has all that the tests share. */
export interface Stack {
  readonly name: string;
  readonly connect: (options: ConnectionOptions & nodeTls.ConnectionOptions) => nodeTls.TLSSocket;
  readonly createServer: (options: ServerOptions & nodeTls.TlsOptions) => nodeTls.Server;
}

export const trellis: Stack = {
  name: 'trellis',
  connect: (options) => connect(options) as unknown as nodeTls.TLSSocket,
  createServer: (options) => createServer(options) as unknown as nodeTls.Server,
};

export const node: Stack = {
  name: 'node:tls',
  connect: (options) => nodeTls.connect({ minVersion: 'TLSv1.3', ...options }),
  createServer: (options) => nodeTls.createServer({ minVersion: 'TLSv1.3', ...options }),
};

export interface Pairing {
  readonly name: string;
  readonly client: Stack;
  readonly server: Stack;
}

/** The same scenario runs over all four, so that Node's own behaviour is what the test expects of ours. */
export const PAIRINGS: readonly Pairing[] = [trellis, node].flatMap((client) =>
  [trellis, node].map((server) => ({ name: `${client.name} → ${server.name}`, client, server })),
);

/** Those in which our client, or our server, takes part. */
export const OUR_CLIENT = PAIRINGS.filter(({ client }) => client === trellis);
export const OUR_SERVER = PAIRINGS.filter(({ server }) => server === trellis);

async function listen(server: nodeTls.Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

export interface Session {
  readonly client: nodeTls.TLSSocket;
  readonly server: nodeTls.TLSSocket;
  readonly port: number;
  readonly listener: nodeTls.Server;
}

type Options<T> = Omit<Partial<T>, 'port' | 'host'>;

type Destroyable = Partial<Pick<EventEmitter, 'on'>> & { destroy(): unknown };

/** Whatever a test has opened; closed by `closeAll`, to be called after each. */
const opened: Destroyable[] = [];
const listeners: nodeTls.Server[] = [];

export function track<T extends Destroyable>(socket: T): T {
  opened.push(socket);
  return socket;
}

export async function closeAll(): Promise<void> {
  // Destroying one end is an error at the other.
  for (const socket of opened) socket.on?.('error', () => {});
  for (const socket of opened.splice(0)) socket.destroy();
  await Promise.all(listeners.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
}

/** A server that accepts, with its sockets tracked. */
export async function serve(
  stack: Stack,
  options: Options<ServerOptions & nodeTls.TlsOptions>,
  onSocket: (socket: nodeTls.TLSSocket) => void,
): Promise<{ listener: nodeTls.Server; port: number }> {
  const listener = stack.createServer({ ...SERVER, ...options } as Parameters<Stack['createServer']>[0]);
  listeners.push(listener);
  listener.on('secureConnection', (socket) => {
    // The client may have gone while the handshake was ending, and the test with it.
    socket.on('error', () => {});
    onSocket(track(socket));
  });
  return { listener, port: await listen(listener) };
}

export function dial(
  stack: Stack,
  port: number,
  options: Options<ConnectionOptions & nodeTls.ConnectionOptions> = {},
): nodeTls.TLSSocket {
  const all = { port, host: '127.0.0.1', servername: 'localhost', ca: CA, ...options };
  const socket = track(stack.connect(all as Parameters<Stack['connect']>[0]));
  const seen: Buffer[] = [];
  ticketsOf.set(socket, seen);
  socket.on('session', (ticket: Buffer) => seen.push(ticket));
  return socket;
}

/** Of sockets that `dial` made: a ticket may come before a test has had time to listen. */
const ticketsOf = new WeakMap<object, Buffer[]>();

/** The tickets that a server sends: OpenSSL two, ours one. */
const TICKETS: Readonly<Record<string, number>> = { [trellis.name]: 1, [node.name]: 2 };

/** All tickets that this server sends at the beginning, so that nothing more is on its way; then the first of them. */
export async function ticket(client: nodeTls.TLSSocket, { server }: Pairing): Promise<Buffer> {
  const seen = ticketsOf.get(client) ?? [];
  await until(() => seen.length >= (TICKETS[server.name] ?? 1));
  return seen[0] as Buffer;
}

/** Bounded by the time limit of the test. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(2);
}

/** Both ends of one session, handshake complete on both. */
export async function session(
  pairing: Pairing,
  serverOptions: Options<ServerOptions & nodeTls.TlsOptions> = {},
  clientOptions: Options<ConnectionOptions & nodeTls.ConnectionOptions> = {},
): Promise<Session> {
  const accepted = deferred<nodeTls.TLSSocket>();
  const { listener, port } = await serve(pairing.server, serverOptions, accepted.resolve);
  listener.on('tlsClientError', accepted.reject);
  const client = dial(pairing.client, port, clientOptions);
  await once(client, 'secureConnect');
  return { client, server: await accepted.promise, port, listener };
}

export function deferred<T>(): {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
} {
  let resolve: (value: T) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Everything until 'end'; rejects on 'error'. Unlike `for await` it does not destroy the stream then. */
export function readAll(stream: Duplex): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.once('end', () => resolve(Buffer.concat(chunks)));
    stream.once('error', reject);
  });
}

/** When 'close' is emitted, whatever error came before. */
export function closed(stream: Pick<EventEmitter, 'once'>): Promise<void> {
  return new Promise((resolve) => {
    stream.once('close', () => resolve());
  });
}

/** The next error, or a rejection when the stream closes without one. */
export function nextError(stream: Pick<EventEmitter, 'once'>): Promise<Error & { code?: string }> {
  return new Promise((resolve, reject) => {
    stream.once('error', resolve);
    stream.once('close', () => setImmediate(() => reject(new Error('closed without error'))));
  });
}

/** Names of the events in the order in which they came. */
export function record(stream: Duplex, ...events: string[]): string[] {
  const seen: string[] = [];
  for (const event of events) {
    stream.on(event, (argument: unknown) => {
      seen.push(event === 'close' ? `close ${String(argument)}` : event);
    });
  }
  return seen;
}

/** Bytes that differ everywhere, so that a loss, a repetition or a swap shows. */
export function pattern(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 17 + (i >>> 16) * 7) & 0xff;
  return bytes;
}
