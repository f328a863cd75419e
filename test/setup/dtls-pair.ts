import { DtlsConnection, type ServerSeed } from '../../src/connection/dtls-connection.ts';
import type { DtlsGreeter } from '../../src/connection/dtls-greeter.ts';
import type { ConnectionEvent } from '../../src/connection/events.ts';
import type { Role, SubProtocolFactory } from '../../src/connection/sub-protocol.ts';
import type { TrellisError } from '../../src/errors/errors.ts';
import type { ClientConfig, ServerConfig } from '../../src/handshake/config.ts';
import type { ResumableSession } from '../../src/handshake/resumable-session.ts';
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

export class DtlsEndpoint {
  #connection: DtlsConnection | undefined;
  readonly events: ConnectionEvent[] = [];
  readonly keylog: string[] = [];
  /** Every datagram that it sent. */
  readonly sent: Uint8Array[] = [];

  constructor(connection: DtlsConnection | undefined) {
    this.#connection = connection;
  }

  /** False for a server whose greeter has not accepted anyone yet. */
  get begun(): boolean {
    return this.#connection !== undefined;
  }

  get connection(): DtlsConnection {
    if (this.#connection === undefined) throw new Error('no ClientHello has been accepted yet');
    return this.#connection;
  }

  set connection(connection: DtlsConnection) {
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

export class DtlsPair {
  now: number;
  network: Network;
  readonly client: DtlsEndpoint;
  readonly server: DtlsEndpoint;
  #onTheWay: OnTheWay[] = [];
  #count = 0;
  readonly #greeter: DtlsGreeter | undefined;
  readonly #accept: (seed?: ServerSeed) => DtlsConnection;

  constructor({
    client,
    server,
    network = perfect,
    greeter,
    now = START,
    clientProtocols = [],
    serverProtocols = [],
  }: DtlsPairSetup) {
    this.#greeter = greeter;
    this.#accept = (seed) => DtlsConnection.server(server, this.now, serverProtocols, seed);
    this.now = now;
    this.network = network;
    this.client = new DtlsEndpoint(DtlsConnection.client(client, this.now, clientProtocols));
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

  #begun(): DtlsEndpoint[] {
    return [this.client, this.server].filter(({ begun }) => begun);
  }

  /** Takes events and datagrams out, and answers what is wanted. */
  #attend(role: Role): void {
    const endpoint = this[role];
    if (!endpoint.begun) return;
    const { connection } = endpoint;
    for (;;) {
      const { wanted } = connection;
      if (wanted?.kind !== 'signature' && wanted?.kind !== 'decryption') break;
      const answer =
        wanted.kind === 'signature'
          ? wanted.key.sign(wanted.scheme, wanted.input)
          : wanted.key.decrypt(wanted.ciphertext);
      if (answer instanceof Promise) throw new Error('the pair needs keys that answer at once');
      connection.provide(answer, this.now);
    }
    for (let event = connection.nextEvent(); event !== undefined; event = connection.nextEvent()) {
      if (event.type === 'keylog') endpoint.keylog.push(event.line);
      else endpoint.events.push(event);
    }
    for (const datagram of connection.transmit()) this.#send(role, datagram);
  }

  #send(role: Role, datagram: Uint8Array): void {
    const nth = this[role].sent.push(datagram) - 1;
    for (const { after, bytes } of this.network(datagram, role, nth)) {
      this.#onTheWay.push({ at: this.now + after, nth: this.#count++, to: peerOf[role], bytes });
    }
  }
}

/** Of the client, as a greeter sees it. */
export const ADDRESS: Uint8Array = Uint8Array.of(192, 0, 2, 1, 0xc0, 0x01);

/** Far more than any handshake needs, and soon reached by one that goes round in circles. */
const MAX_STEPS = 20_000;
