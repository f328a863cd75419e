import { DtlsConnection, type ServerSeed } from '../../src/connection/dtls-connection.ts';
import type { DtlsGreeter } from '../../src/connection/dtls-greeter.ts';
import type { CommandWanted, DatagramEngine } from '../../src/connection/engine.ts';
import type { ConnectionEvent } from '../../src/connection/events.ts';
import type { Role, SubProtocolFactory } from '../../src/connection/sub-protocol.ts';
import type { TrellisError } from '../../src/errors/errors.ts';
import type { ClientConfig, ServerConfig } from '../../src/handshake/config.ts';
import type { ResumableSession } from '../../src/handshake/resumable-session.ts';
import type { DecryptionWanted, SignatureWanted } from '../../src/handshake/wanted.ts';
import { peerOf, START } from './pair.ts';

/*
 * Two DtlsConnections joined by a network under a virtual clock: each datagram takes time, and may be lost, doubled,
 * delayed behind others or damaged, as a test says. Time goes on by itself to whatever happens next.
 */

/** What becomes of one datagram: bytes and the milliseconds that each copy takes. `[]` loses it. */
export type Network = (datagram: Uint8Array, from: Role, nth: number) => readonly Arrival[];
export interface Arrival {
  readonly after: number;
  readonly bytes: Uint8Array;
}

/** One way, without faults. */
export const LATENCY = 10;
export const perfect: Network = (bytes) => [{ after: LATENCY, bytes }];

export interface DtlsPairSetup {
  readonly client: ClientConfig;
  readonly server: ServerConfig;
  readonly network?: Network;
  /** The server keeps nothing before this has accepted a ClientHello. */
  readonly greeter?: DtlsGreeter;
  /** When the clock starts; START when absent. */
  readonly now?: number;
  readonly clientProtocols?: readonly SubProtocolFactory[];
  readonly serverProtocols?: readonly SubProtocolFactory[];
}

export class DtlsEndpoint<E extends DatagramEngine = DtlsConnection> {
  #connection: E | undefined;
  readonly events: ConnectionEvent[] = [];
  readonly keylog: string[] = [];
  /** Every datagram that it sent. */
  readonly sent: Uint8Array[] = [];

  constructor(connection: E | undefined) {
    this.#connection = connection;
  }

  /** False for a server whose greeter has not accepted anyone yet. */
  get begun(): boolean {
    return this.#connection !== undefined;
  }

  get connection(): E {
    if (this.#connection === undefined) throw new Error('no ClientHello has been accepted yet');
    return this.#connection;
  }

  set connection(connection: E) {
    this.#connection = connection;
  }

  get connected(): boolean {
    return this.events.some(({ type }) => type === 'connected');
  }

  get ended(): boolean {
    return this.events.some(({ type }) => type === 'end');
  }

  /** Datagrams of the application, in the order in which they came. */
  get data(): string[] {
    return this.events.flatMap((event) =>
      event.type === 'data' ? [new TextDecoder().decode(event.data)] : [],
    );
  }

  get sessions(): ResumableSession[] {
    return this.events.flatMap((event) => (event.type === 'ticket' ? [event.session] : []));
  }

  get error(): TrellisError | undefined {
    return this.events.flatMap((event) => (event.type === 'error' ? [event.error] : []))[0];
  }
}

interface OnTheWay {
  readonly at: number;
  readonly nth: number;
  readonly to: Role;
  readonly bytes: Uint8Array;
}

/** How the two sides of a pair begin. */
interface Beginning<C, S> {
  readonly client: (now: number) => C;
  readonly accept: (now: number, seed?: ServerSeed) => S;
  readonly network?: Network | undefined;
  readonly greeter?: DtlsGreeter | undefined;
  readonly now?: number | undefined;
}

export class DatagramPair<C extends DatagramEngine, S extends DatagramEngine> {
  now: number;
  network: Network;
  readonly client: DtlsEndpoint<C>;
  readonly server: DtlsEndpoint<S>;
  #onTheWay: OnTheWay[] = [];
  #count = 0;
  readonly #greeter: DtlsGreeter | undefined;
  readonly #accept: (seed?: ServerSeed) => S;

  constructor({ client, accept, network = perfect, greeter, now = START }: Beginning<C, S>) {
    this.#greeter = greeter;
    this.#accept = (seed) => accept(this.now, seed);
    this.now = now;
    this.network = network;
    this.client = new DtlsEndpoint(client(this.now));
    this.server = new DtlsEndpoint(greeter === undefined ? this.#accept() : undefined);
  }

  /** Lets things happen until nothing more does, or for so many milliseconds. */
  run(milliseconds = 600_000): this {
    const until = this.now + milliseconds;
    for (let steps = 0; ; steps++) {
      if (steps > MAX_STEPS) throw new Error('the pair does not come to rest');
      for (const role of ['client', 'server'] as const) this.#attend(role);
      const next = this.#next();
      if (next === undefined || next > until) break;
      this.now = next;
      this.#deliver();
      for (const { connection } of this.#begun()) {
        const due = connection.nextTimeout();
        if (due !== undefined && due <= this.now) connection.handleTimeout(this.now);
      }
    }
    return this;
  }

  /** A datagram from nowhere, at once. */
  inject(from: Role, bytes: Uint8Array): this {
    this[peerOf[from]].connection.receive(bytes, this.now);
    return this.run();
  }

  #next(): number | undefined {
    const times = [
      ...this.#onTheWay.map(({ at }) => at),
      ...this.#begun().map(({ connection }) => connection.nextTimeout()),
    ].filter((time) => time !== undefined);
    return times.length === 0 ? undefined : Math.max(this.now, Math.min(...times));
  }

  #deliver(): void {
    const due = this.#onTheWay
      .filter(({ at }) => at <= this.now)
      .sort((a, b) => a.at - b.at || a.nth - b.nth);
    this.#onTheWay = this.#onTheWay.filter(({ at }) => at > this.now);
    for (const { to, bytes } of due) {
      if (to === 'server' && !this.server.begun && !this.#greet(bytes)) continue;
      this[to].connection.receive(bytes, this.now);
      this.#attend(to);
    }
  }

  /** @returns whether there is a connection now */
  #greet(datagram: Uint8Array): boolean {
    const greeting = this.#greeter?.greet(datagram, ADDRESS, this.now);
    if (greeting?.kind === 'accept') this.server.connection = this.#accept(greeting.seed);
    else if (greeting?.kind === 'reply') this.#send('server', greeting.datagram);
    return this.server.begun;
  }

  #begun(): DtlsEndpoint<C | S>[] {
    return [this.client as DtlsEndpoint<C | S>, this.server as DtlsEndpoint<C | S>].filter(
      ({ begun }) => begun,
    );
  }

  /** Takes events and datagrams out, and answers what is wanted. */
  #attend(role: Role): void {
    const endpoint = this[role] as DtlsEndpoint<C | S>;
    if (!endpoint.begun) return;
    const { connection } = endpoint;
    for (;;) {
      const { wanted } = connection;
      if (wanted === undefined || wanted.kind === 'identities') break;
      this.#answer(connection, wanted);
    }
    for (let event = connection.nextEvent(); event !== undefined; event = connection.nextEvent()) {
      if (event.type === 'keylog') endpoint.keylog.push(event.line);
      else endpoint.events.push(event);
    }
    for (const datagram of connection.transmit()) this.#send(role, datagram);
  }

  #answer(connection: C | S, wanted: SignatureWanted | DecryptionWanted | CommandWanted): void {
    try {
      const answer = perform(wanted);
      if (answer instanceof Promise) throw new Error('the pair needs keys and modules that answer at once');
      connection.provide(answer, this.now);
    } catch (error) {
      connection.abandon(error);
    }
  }

  #send(role: Role, datagram: Uint8Array): void {
    const nth = this[role].sent.push(datagram) - 1;
    for (const { after, bytes } of this.network(datagram, role, nth)) {
      this.#onTheWay.push({ at: this.now + after, nth: this.#count++, to: peerOf[role], bytes });
    }
  }
}

function perform(wanted: SignatureWanted | DecryptionWanted | CommandWanted) {
  if (wanted.kind === 'command') return wanted.perform();
  if (wanted.kind === 'signature') return wanted.key.sign(wanted.scheme, wanted.input);
  return wanted.key.decrypt(wanted.ciphertext);
}

/** Two engines of this process. */
export class DtlsPair extends DatagramPair<DtlsConnection, DtlsConnection> {
  constructor({ client, server, clientProtocols = [], serverProtocols = [], ...rest }: DtlsPairSetup) {
    super({
      client: (now) => DtlsConnection.client(client, now, clientProtocols),
      accept: (now, seed) => DtlsConnection.server(server, now, serverProtocols, seed),
      ...rest,
    });
  }
}

/** Of the client, as a greeter sees it. */
export const ADDRESS: Uint8Array = Uint8Array.of(192, 0, 2, 1, 0xc0, 0x01);

/** Far more than any handshake needs, and soon reached by one that goes round in circles. */
const MAX_STEPS = 20_000;
