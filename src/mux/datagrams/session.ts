import type { Role } from '../../connection/sub-protocol.ts';
import { ConnectionError, DecodeError, TlsError } from '../../errors/errors.ts';
import { IdleWatch } from '../channels/idle-watch.ts';
import { sessionClosed } from '../errors.ts';
import type { Application } from '../extension.ts';
import { DATAGRAM_BUFFER } from '../limits.ts';
import type { PortsAgreement } from '../negotiation.ts';
import { News, NewsQueue } from '../news.ts';
import type { SessionLimits } from '../options.ts';
import { FRAME_HEADER, writeFrameHeader } from '../ports/frame.ts';
import { ApplicationPorts, ClientPorts, pairKey } from '../ports/ports.ts';
import type { MultiplexedSession, OpenOptions, OpenTarget, SessionEvent, SessionStats } from '../session.ts';
import { DatagramConnection, type DatagramOwner } from './connection.ts';
import { type DatagramTraits, datagramCost } from './datagrams.ts';

export interface DatagramsSessionOptions {
  readonly role: Role;
  readonly agreement: PortsAgreement;
  /** Names for ports that an agreement on `ALL` leaves open. */
  readonly known?: readonly Application[];
  readonly limits: SessionLimits;
  /** Seals the content of one record before it returns. */
  readonly send: (content: Uint8Array) => void;
  /** Content of the largest record that goes into a datagram now. */
  readonly maxContent: () => number;
  /** Is asked before data is taken for a connection to this application; throws a TlsError to end the session. */
  readonly admit?: ((name: string, data: Uint8Array) => void) | undefined;
}

/**
 * Ports mode over DTLS: every frame is one datagram of an application, and stands in one record.
 *
 * Nothing is said of openings and ends, since it could be lost: a pair begins with its first datagram, and is over when
 * nothing has moved for a while (`idleTimeout`), on each side by its own clock. What is not served, or has no room, is
 * dropped and counted. Nothing here waits, so nothing ever makes the network wait.
 */
export class DatagramsSession implements MultiplexedSession, DatagramOwner {
  readonly role: Role;
  readonly agreement: PortsAgreement;
  readonly paused = false;
  readonly traits: DatagramTraits;
  readonly #options: DatagramsSessionOptions;
  readonly #ports: ApplicationPorts;
  readonly #clientPorts = new ClientPorts();
  readonly #pairs = new Map<number, DatagramConnection>();
  readonly #idle: IdleWatch;
  readonly #news = new NewsQueue<DatagramConnection>(() => this.#wake?.());
  readonly #counts = { opened: 0, accepted: 0, refused: 0, bytesSent: 0, bytesReceived: 0 };
  #wake: (() => void) | undefined;
  /** What is received and not read, as `datagramCost` counts it. */
  #held = 0;
  #closedBecause: ConnectionError | undefined;

  constructor(options: DatagramsSessionOptions) {
    this.#options = options;
    this.role = options.role;
    this.agreement = options.agreement;
    this.#ports = new ApplicationPorts(options.agreement, options.known);
    this.#idle = new IdleWatch(options.limits.idleTimeout);
    const { maxContent } = options;
    this.traits = {
      inStream: false,
      takesEmpty: true,
      get maxSize() {
        return Math.max(0, maxContent() - FRAME_HEADER);
      },
    };
  }

  get connections(): number {
    return this.#pairs.size;
  }

  onWake(wake: () => void): void {
    this.#wake = wake;
    if (!this.#news.empty) wake();
  }

  open(target: OpenTarget, options: OpenOptions = {}): DatagramConnection {
    if (this.#closedBecause !== undefined) throw this.#closedBecause;
    if (this.role !== 'client') {
      throw new ConnectionError('ERR_TLS_OPTION', 'In ports mode connections are opened by the client only.');
    }
    const application = this.#ports.resolve(target);
    if (this.#isFull) {
      throw new ConnectionError(
        'ERR_MUX_LIMIT',
        `This session has its ${this.#options.limits.maxConnections} connections; close some, or raise maxConnections.`,
      );
    }
    const isFree = (port: number): boolean => !this.#pairs.has(pairKey(port, application.port));
    const clientPort = this.#clientPorts.reserve(application.port, options.localPort, isFree);
    this.#counts.opened++;
    const connection = new DatagramConnection(
      this,
      application,
      clientPort,
      true,
      options.priority ?? 'normal',
    );
    this.#pairs.set(pairKey(clientPort, application.port), connection);
    return connection;
  }

  nextEvent(): SessionEvent | undefined {
    return this.#news.next();
  }

  find(address: Uint8Array): DatagramConnection | undefined {
    const [a, b, c, d] = address as unknown as [number, number, number, number];
    return this.#find((a << 8) | b, (c << 8) | d);
  }

  nameOf({ application }: DatagramConnection): string {
    return this.#ports.nameOf(application);
  }

  /** Each datagram was sealed when it was written. */
  send(_most: number, _now: number): number {
    return 0;
  }

  flush(): void {}

  readonly begun = false;

  nextTimeout(now: number): number | undefined {
    return this.#pairs.size === 0 ? undefined : this.#idle.nextTimeout(now);
  }

  handleTimeout(now: number): void {
    if (!this.#idle.handleTimeout(now)) return;
    for (const connection of this.#pairs.values()) {
      if (connection.active) connection.active = false;
      else this.#expire(connection);
    }
  }

  stats(): SessionStats {
    return {
      mode: 'ports',
      connections: this.#pairs.size,
      unread: this.#held,
      committed: this.#held,
      budget: this.#options.limits.sessionBudget,
      roundTrip: undefined,
      ...this.#counts,
    };
  }

  /** The content of one `mtls` record: whole frames. @throws DecodeError, TlsError */
  receive(content: Uint8Array): void {
    if (this.#closedBecause !== undefined) return;
    for (let at = 0; at < content.length; ) {
      const data = at + FRAME_HEADER;
      if (data > content.length) throw new DecodeError('a record ends inside the header of a mux frame');
      const end = data + u16(content, at + 4);
      if (end > content.length) throw new DecodeError('a record ends inside a mux frame');
      this.#receiveFrame(u16(content, at), u16(content, at + 2), content.subarray(data, end));
      at = end;
    }
  }

  /** Nothing more comes, orderly or not. What others received stays readable. */
  close(cause: Error | undefined): void {
    if (this.#closedBecause !== undefined) return;
    this.#closedBecause = sessionClosed(cause);
    for (const connection of this.#pairs.values()) {
      if (connection.refused) continue;
      connection.error = sessionClosed(cause);
      this.#forget(connection);
      if (connection.announced) this.#news.tell(connection, News.failed);
    }
    this.#pairs.clear();
  }

  // What connections ask for: DatagramOwner.

  write(connection: DatagramConnection, datagram: Uint8Array): void {
    const { localPort, remotePort } = connection;
    const frame = new Uint8Array(FRAME_HEADER + datagram.length);
    frame.set(datagram, writeFrameHeader(frame, 0, localPort, remotePort, datagram.length));
    this.#options.send(frame);
    connection.active = true;
    this.#counts.bytesSent += datagram.length;
    this.#wake?.();
  }

  taken(connection: DatagramConnection, datagram: Uint8Array): void {
    const cost = datagramCost(datagram.length);
    if (connection.unread < cost) return;
    connection.unread -= cost;
    this.#held -= cost;
  }

  leave(connection: DatagramConnection): void {
    const key = pairKey(connection.clientPort, connection.application.port);
    if (this.#pairs.get(key) === connection && !connection.refused) this.#pairs.delete(key);
    this.#forget(connection);
    // The adapter may wait for the last one to go.
    this.#wake?.();
  }

  /** It keeps its place until it has been silent: whoever goes on sending is not to be looked at each time. */
  refuse(connection: DatagramConnection): void {
    connection.refused = true;
    this.#forget(connection);
  }

  #receiveFrame(source: number, destination: number, data: Uint8Array): void {
    if (source === 0 || destination === 0) {
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `mux frame from port ${source} to port ${destination}`);
    }
    const connection = this.#find(source, destination) ?? this.#accept(source, destination);
    if (connection === undefined) {
      this.#counts.refused++;
      return;
    }
    connection.active = true;
    if (connection.refused) {
      this.#counts.refused++;
      return;
    }
    this.#options.admit?.(connection.application.name, data);
    const { receiveBuffer, sessionBudget } = this.#options.limits;
    const cost = datagramCost(data.length);
    const room = Math.min(DATAGRAM_BUFFER, receiveBuffer) - connection.unread;
    if (cost > room || this.#held + cost > sessionBudget) {
      connection.dropped++;
      return;
    }
    connection.unread += cost;
    this.#held += cost;
    this.#counts.bytesReceived += data.length;
    connection.received.append(data);
    this.#news.tell(connection, News.readable);
  }

  #find(source: number, destination: number): DatagramConnection | undefined {
    return this.#pairs.get(
      this.role === 'client' ? pairKey(destination, source) : pairKey(source, destination),
    );
  }

  #accept(clientPort: number, port: number): DatagramConnection | undefined {
    const application = this.role === 'server' ? this.#ports.served(port) : undefined;
    if (application === undefined || this.#isFull) return undefined;
    const connection = new DatagramConnection(this, application, clientPort, false, 'normal');
    this.#pairs.set(pairKey(clientPort, port), connection);
    this.#counts.accepted++;
    this.#news.tell(connection, News.opened);
    return connection;
  }

  get #isFull(): boolean {
    return this.#pairs.size >= this.#options.limits.maxConnections;
  }

  #expire(connection: DatagramConnection): void {
    this.#pairs.delete(pairKey(connection.clientPort, connection.application.port));
    if (connection.refused) return;
    connection.over = true;
    this.#news.tell(connection, News.readable);
  }

  /** What it holds is given back, and what was to be told of it is not news any more. */
  #forget(connection: DatagramConnection): void {
    this.#held -= connection.unread;
    connection.unread = 0;
    connection.received.clear();
    connection.news = 0;
  }
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}
