import { EventEmitter } from 'node:events';
import type { Readable } from 'node:stream';
import type { SubProtocolLink } from '../../../src/connection/sub-protocol.ts';
import {
  type Multiplexing,
  type MuxClientOptions,
  type MuxServerOptions,
  muxClient,
  muxServer,
} from '../../../src/mux/index.ts';
import {
  type MuxConnection,
  type MuxConnectionOptions,
  type MuxSession,
  muxSession,
  type SessionSocket,
} from '../../../src/node/mux.ts';
import { UNUSED_LINK } from '../../setup/link.ts';

const APPLICATIONS = [
  { name: 'echo', port: 7 },
  { name: 'sink', port: 9 },
];

/** What the kernel takes before it says wait, and what a read of it gives. */
const CAPACITY = 262_144;
const READ = 65_536;

/** A TLSSocket without TLS: what is sealed is what was given, the network is a queue with a bound. */
export class FakeSocket extends EventEmitter implements SessionSocket {
  readonly localAddress = '127.0.0.1';
  readonly remoteAddress = '127.0.0.2';
  readonly remoteFamily = 'IPv4';
  readonly protocol: Multiplexing;
  peer!: FakeSocket;
  destroyed = false;
  ended = false;
  paused = false;
  /** How often something was handed to the network, and in how many records. */
  flushes = 0;
  records = 0;
  /** Most bytes that were ever sealed and not received. */
  mostPending = 0;
  resumed = false;
  /** The network stands still. */
  stalled = false;

  #sealed: Uint8Array[] = [];
  #network: Uint8Array[] = [];
  #pending = 0;
  #blocked = false;
  #moving = false;
  #peerEnded = false;

  constructor(protocol: Multiplexing) {
    super();
    this.protocol = protocol;
  }

  readonly link: Pick<SubProtocolLink, 'send'> = {
    send: (_type, content) => {
      this.#sealed.push(new Uint8Array(content));
      this.#pending += content.length;
      this.mostPending = Math.max(this.mostPending, this.#pending);
      this.records++;
    },
  };

  subProtocol(name: string): unknown {
    return name === 'mux' && this.protocol.session !== undefined ? this.protocol : undefined;
  }

  attend(): void {}

  get outputBlocked(): boolean {
    return this.#blocked;
  }

  flush(): void {
    if (this.#sealed.length === 0 || this.ended) return;
    this.flushes++;
    this.#network.push(...this.#sealed);
    this.#sealed = [];
    if (this.#pending > CAPACITY) this.#blocked = true;
    this.#move();
  }

  pauseReading(): void {
    this.paused = true;
  }

  resumeReading(): void {
    this.paused = false;
    this.peer.#move();
  }

  resume(): void {
    this.resumed = true;
  }

  ref(): void {}
  unref(): void {}

  end(): void {
    if (this.ended) return;
    this.flush();
    this.ended = true;
    this.#move();
  }

  destroy(error?: Error): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.protocol.closed(error);
    setImmediate(() => {
      if (error !== undefined) this.emit('error', error);
      this.emit('close');
      this.peer.#lost();
    });
  }

  /** The network moves again. */
  unstall(): void {
    this.stalled = false;
    this.#move();
  }

  #lost(): void {
    if (this.destroyed) return;
    const error = new Error('connection lost');
    this.protocol.closed(error);
    this.destroyed = true;
    this.emit('error', error);
    this.emit('close');
  }

  /** One read of the network per turn of the event loop. */
  #move(): void {
    if (this.#moving || this.stalled) return;
    this.#moving = true;
    setImmediate(() => {
      this.#moving = false;
      const { peer } = this;
      if (peer.paused || peer.destroyed || this.stalled) return;
      for (let room = READ; room > 0; ) {
        const record = this.#network.shift();
        if (record === undefined) break;
        room -= record.length;
        this.#pending -= record.length;
        peer.protocol.receiveRecord(28, record);
      }
      if (this.#blocked && this.#pending <= CAPACITY / 2) {
        this.#blocked = false;
        this.emit('outputDrain');
      }
      if (this.#network.length > 0) this.#move();
      else if (this.ended && !peer.#peerEnded) peer.#receiveEnd();
    });
  }

  #receiveEnd(): void {
    this.#peerEnded = true;
    this.protocol.receiveEnd();
    this.emit('end');
    for (const one of [this, this.peer]) {
      if (one.ended && one.#peerEnded && !one.destroyed) {
        one.destroyed = true;
        one.protocol.closed(undefined);
        setImmediate(() => one.emit('close'));
      }
    }
  }
}

export interface Sessions {
  readonly client: MuxSession;
  readonly server: MuxSession;
  readonly clientSocket: FakeSocket;
  readonly serverSocket: FakeSocket;
}

export interface SessionsOptions {
  readonly client?: MuxClientOptions;
  readonly server?: Partial<MuxServerOptions>;
  /** Of the connections that the server accepts. */
  readonly accepted?: MuxConnectionOptions;
}

/** Two sessions joined by a network in memory. */
export function sessions(options: SessionsOptions = {}): Sessions {
  const client = muxClient({ mode: 'ports', ...options.client })('client');
  const server = muxServer({ applications: APPLICATIONS, ...options.server })('server');
  const hello = { serverName: undefined, alpnProtocol: undefined };
  client.confirm(server.answer(client.offer(), hello), hello);
  const [clientSocket, serverSocket] = [new FakeSocket(client), new FakeSocket(server)];
  clientSocket.peer = serverSocket;
  serverSocket.peer = clientSocket;
  client.start({ ...UNUSED_LINK, role: 'client', ...clientSocket.link });
  server.start({ ...UNUSED_LINK, role: 'server', ...serverSocket.link });
  const [near, far] = [muxSession(clientSocket), muxSession(serverSocket, options.accepted)];
  if (near === undefined || far === undefined) throw new Error('no session');
  return { client: near, server: far, clientSocket, serverSocket };
}

/** A client's connection and the server's end of it. */
export async function connected(
  { client, server }: Pick<Sessions, 'client' | 'server'>,
  application = 'echo',
  options: MuxConnectionOptions = {},
): Promise<{ near: MuxConnection; far: MuxConnection }> {
  const near = client.open(application, options);
  const far = await new Promise<MuxConnection>((resolve) => server.once('connection', resolve));
  return { near, far };
}

/** All that a stream gives until its end. (`for await` would destroy the writing side too.) */
export function drained(stream: Readable): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  stream.on('data', (piece: Uint8Array) => pieces.push(piece));
  return new Promise((resolve, reject) => {
    stream.once('end', () => resolve(Buffer.concat(pieces)));
    stream.once('error', reject);
  });
}

/** The error of a stream, once it has one. */
export function failed(stream: EventEmitter): Promise<Error> {
  return new Promise((resolve) => stream.once('error', resolve));
}

export function event(emitter: EventEmitter, name: string): Promise<void> {
  return new Promise((resolve) => emitter.once(name, () => resolve()));
}

/** A few turns of the event loop: all that is under way has arrived. */
export async function quiet(turns = 20): Promise<void> {
  for (; turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
}
