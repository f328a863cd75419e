import { DtlsConnection } from '../../src/connection/dtls-connection.ts';
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
  /** When the clock starts; START when absent. */
  readonly now?: number;
  readonly clientProtocols?: readonly SubProtocolFactory[];
  readonly serverProtocols?: readonly SubProtocolFactory[];
}

export class DtlsEndpoint {
  readonly connection: DtlsConnection;
  readonly events: ConnectionEvent[] = [];
  /** Every datagram that it sent. */
  readonly sent: Uint8Array[] = [];

  constructor(connection: DtlsConnection) {
    this.connection = connection;
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

  constructor({
    client,
    server,
    network = perfect,
    now = START,
    clientProtocols = [],
    serverProtocols = [],
  }: DtlsPairSetup) {
    this.now = now;
    this.network = network;
    this.client = new DtlsEndpoint(DtlsConnection.client(client, this.now, clientProtocols));
    this.server = new DtlsEndpoint(DtlsConnection.server(server, this.now, serverProtocols));
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
      for (const { connection } of [this.client, this.server]) {
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
      this.client.connection.nextTimeout(),
      this.server.connection.nextTimeout(),
    ].filter((time) => time !== undefined);
    return times.length === 0 ? undefined : Math.max(this.now, Math.min(...times));
  }

  #deliver(): void {
    const due = this.#onTheWay
      .filter(({ at }) => at <= this.now)
      .sort((a, b) => a.at - b.at || a.nth - b.nth);
    this.#onTheWay = this.#onTheWay.filter(({ at }) => at > this.now);
    for (const { to, bytes } of due) {
      this[to].connection.receive(bytes, this.now);
      this.#attend(to);
    }
  }

  /** Takes events and datagrams out, and answers what is wanted. */
  #attend(role: Role): void {
    const endpoint = this[role];
    const { connection } = endpoint;
    for (;;) {
      const { wanted } = connection;
      if (wanted?.kind !== 'signature') break;
      const signature = wanted.key.sign(wanted.scheme, wanted.input);
      if (signature instanceof Promise) throw new Error('the pair needs keys that sign at once');
      connection.provide(signature, this.now);
    }
    for (let event = connection.nextEvent(); event !== undefined; event = connection.nextEvent()) {
      if (event.type !== 'keylog') endpoint.events.push(event);
    }
    for (const datagram of connection.transmit()) {
      const nth = endpoint.sent.push(datagram) - 1;
      for (const { after, bytes } of this.network(datagram, role, nth)) {
        this.#onTheWay.push({ at: this.now + after, nth: this.#count++, to: peerOf[role], bytes });
      }
    }
  }
}

/** Far more than any handshake needs, and soon reached by one that goes round in circles. */
const MAX_STEPS = 20_000;
