import type { Role } from '../../connection/sub-protocol.ts';
import { ConnectionError, RefusedError, TlsError } from '../../errors/errors.ts';
import { RecordBatch } from '../batch.ts';
import { datagramCost } from '../datagrams/datagrams.ts';
import { sessionClosed } from '../errors.ts';
import type { Application } from '../extension.ts';
import { DATAGRAM_BUFFER, LINGER_LIMIT, UNANSWERED_MAX } from '../limits.ts';
import type { PortsAgreement } from '../negotiation.ts';
import { News, NewsQueue } from '../news.ts';
import type { SessionLimits } from '../options.ts';
import { ChunkQueue, RoundRobin } from '../outgoing.ts';
import { ReceiveBudget } from '../receive-budget.ts';
import type {
  MultiplexedSession,
  OpenOptions,
  OpenTarget,
  Priority,
  SessionEvent,
  SessionStats,
} from '../session.ts';
import { FrameBatch } from './batch.ts';
import { type ConnectionOwner, PortsConnection } from './connection.ts';
import { type Control, ControlCode, ControlReader, FrameReader } from './frame.ts';
import { ApplicationPorts, ClientPorts, pairKey } from './ports.ts';

export interface PortsSessionOptions {
  readonly role: Role;
  readonly agreement: PortsAgreement;
  /** Names for ports that an agreement on `ALL` leaves open. */
  readonly known?: readonly Application[];
  readonly limits: SessionLimits;
  /** Seals the content of one record before it returns. */
  readonly send: (content: Uint8Array) => void;
  /** Is asked before data is taken for a connection to this application; throws a TlsError to end the session. */
  readonly admit?: ((name: string, data: Uint8Array) => void) | undefined;
}

/**
 * Ports mode over TLS: the life of every pair of ports in one session.
 *
 * ```
 *            open / first frame                 both ends said
 *   (free) ───────────────────────▶ open ───────────────────────▶ (free)
 *      │ not served, no room         │ abort, overflow, breach
 *      │ we send `refused`           │ we send `abort`
 *      └──────────────▶ unanswered ◀─┘         open ── `refused`/`abort` came, we answer `abort` ──▶ (free)
 *                          └── `refused`/`abort` came ──▶ (free)
 * ```
 * Whatever one connection does wrong ends that connection. Only what makes the stream of frames unreadable, and a
 * peer that floods, ends the session: those are thrown as TlsError.
 */
export class PortsSession implements MultiplexedSession, ConnectionOwner {
  readonly role: Role;
  readonly agreement: PortsAgreement;
  readonly #limits: SessionLimits;
  readonly #ports: ApplicationPorts;
  readonly #record: RecordBatch;
  readonly #batch: FrameBatch;
  readonly #admit: PortsSessionOptions['admit'];
  #wake: (() => void) | undefined;

  /** Open pairs, and those that wait for the answer to our `refused` or `abort`, by `pairKey`. */
  readonly #pairs = new Map<number, PortsConnection>();
  readonly #unanswered = new Set<number>();
  /** Open connections, and those that are closed on the wire with bytes left to read. */
  readonly #live = new Set<PortsConnection>();
  /** Connections that were closed here before the peer's end came, with the end of their time, soonest first. */
  readonly #lingering = new Map<PortsConnection, number>();
  readonly #clientPorts = new ClientPorts();

  readonly #frames = new FrameReader();
  readonly #control = new ControlReader();
  /** Where the rest of the current frame goes; `undefined`: nowhere. */
  #target: PortsConnection | undefined;
  /** Of a datagram whose frame goes on in the next record. */
  #partial: Uint8Array | undefined;
  #partialLength = 0;

  readonly #news = new NewsQueue<PortsConnection>(() => this.#wake?.());
  readonly #turns = new RoundRobin<PortsConnection>();
  readonly #counts = { opened: 0, accepted: 0, refused: 0, bytesSent: 0, bytesReceived: 0 };

  readonly #budget: ReceiveBudget<PortsConnection>;
  #closedBecause: ConnectionError | undefined;

  constructor(options: PortsSessionOptions) {
    this.agreement = options.agreement;
    this.role = options.role;
    this.#limits = options.limits;
    this.#record = new RecordBatch(options.send);
    this.#batch = new FrameBatch(this.#record);
    this.#admit = options.admit;
    this.#budget = new ReceiveBudget<PortsConnection>(
      options.limits,
      this.#live,
      (connection) => this.#overflow(connection),
      () => this.#wake?.(),
    );
    this.#ports = new ApplicationPorts(options.agreement, options.known);
  }

  get connections(): number {
    return this.#live.size;
  }

  get paused(): boolean {
    return this.#budget.paused;
  }

  onWake(wake: () => void): void {
    this.#wake = wake;
    if (!this.#news.empty || !this.#record.empty || this.#turns.size > 0 || this.paused) wake();
  }

  open(target: OpenTarget, options: OpenOptions = {}): PortsConnection {
    if (this.#closedBecause !== undefined) throw this.#closedBecause;
    if (this.role !== 'client') {
      throw new ConnectionError('ERR_TLS_OPTION', 'In ports mode connections are opened by the client only.');
    }
    const application = this.#ports.resolve(target);
    if (this.#live.size >= this.#limits.maxConnections || this.#unanswered.size >= UNANSWERED_MAX) {
      throw new ConnectionError(
        'ERR_MUX_LIMIT',
        `This session has its ${this.#limits.maxConnections} connections; close some, or raise maxConnections.`,
      );
    }
    const clientPort = this.#clientPorts.reserve(application.port, options.localPort, (port) =>
      this.#isFree(port, application.port),
    );
    const connection = this.#add(application, clientPort, true, options.priority);
    this.#counts.opened++;
    this.#sendControl(clientPort, application.port, ControlCode.open);
    return connection;
  }

  nextEvent(): SessionEvent | undefined {
    return this.#news.next();
  }

  find(address: Uint8Array): PortsConnection | undefined {
    const [a, b, c, d] = address as unknown as [number, number, number, number];
    const source = (a << 8) | b;
    const destination = (c << 8) | d;
    const [clientPort, port] = this.role === 'client' ? [destination, source] : [source, destination];
    return this.#pairs.get(pairKey(clientPort, port));
  }

  nameOf({ application }: PortsConnection): string {
    return this.#ports.nameOf(application);
  }

  send(most: number, _now: number): number {
    if (this.#closedBecause !== undefined) return 0;
    let sent = 0;
    while (sent < most) {
      const connection = this.#turns.next();
      if (connection === undefined) break;
      sent += this.#sendSlice(connection);
    }
    this.#counts.bytesSent += sent;
    return sent;
  }

  flush(): void {
    this.#record.flush();
  }

  get begun(): boolean {
    return !this.#record.empty;
  }

  stats(): SessionStats {
    const unread = this.#budget.held;
    return {
      mode: 'ports',
      connections: this.#live.size,
      unread,
      committed: unread,
      budget: this.#limits.sessionBudget,
      roundTrip: undefined,
      ...this.#counts,
    };
  }

  nextTimeout(now: number): number | undefined {
    const [next] = this.#lingering.values();
    const pause = this.#budget.nextTimeout(now);
    if (next === undefined || pause === undefined) return next ?? pause;
    return Math.min(next, pause);
  }

  handleTimeout(now: number): void {
    this.#budget.handleTimeout(now);
    for (const [connection, until] of this.#lingering) {
      if (until > now) break;
      this.abandon(connection, 'abort');
    }
  }

  /** The content of one `mtls` record. @throws TlsError */
  receive(content: Uint8Array): void {
    if (this.#closedBecause !== undefined) return;
    const frames = this.#frames;
    frames.push(content);
    while (frames.next()) {
      if ((frames.source | frames.destination) === 0) {
        const control = this.#control.push(frames.piece, frames.length);
        if (control !== undefined) this.#receiveControl(control);
        continue;
      }
      if (frames.starts) {
        this.#target = this.#find(frames.source, frames.destination, frames.length);
        this.#partial = undefined;
      }
      const target = this.#target;
      if (target === undefined || target.error !== undefined) continue;
      if (frames.length === 0) this.#receiveEnd(target);
      else if (frames.piece.length === 0) continue;
      else if (target.datagrams !== undefined) this.#receiveDatagramPiece(target, frames);
      else this.#receiveData(target, frames.piece);
    }
  }

  /**
   * Nothing more comes, orderly or not. Connections that are not through fail: an end of the session is not an end
   * of their streams. What others received stays readable.
   */
  close(cause: Error | undefined): void {
    if (this.#closedBecause !== undefined) return;
    this.#closedBecause = sessionClosed(cause);
    this.#record.discard();
    for (const connection of this.#pairs.values()) this.#fail(connection, sessionClosed(cause));
    this.#pairs.clear();
    this.#unanswered.clear();
  }

  // What connections ask for: ConnectionOwner.

  write(connection: PortsConnection, data: Uint8Array): void {
    connection.queue ??= new ChunkQueue();
    connection.queue.push(data);
    if (this.#turns.size === 0) this.#wake?.();
    this.#turns.add(connection);
  }

  end(connection: PortsConnection): void {
    if (connection.queue === undefined) this.#sendEnd(connection);
    else connection.endPending = true;
  }

  abandon(connection: PortsConnection, code: 'refused' | 'abort'): void {
    if (connection.error !== undefined) return;
    if (this.#withdraw(connection, ControlCode[code])) {
      connection.error = new ConnectionError(
        code === 'abort' ? 'ERR_MUX_ABORTED' : 'ERR_MUX_REFUSED',
        `This side ${code === 'abort' ? 'aborted' : 'refused'} ${describe(connection)}.`,
      );
    }
    this.#drop(connection);
  }

  linger(connection: PortsConnection, now: number): void {
    connection.lingers = true;
    connection.announced = false;
    connection.news = 0;
    this.#lingering.set(connection, now + LINGER_LIMIT);
    // The adapter looks at the time when it is woken.
    this.#wake?.();
  }

  consumed(connection: PortsConnection, bytes: number): void {
    this.#budget.consumed(connection, bytes);
    this.#releaseIfDone(connection);
  }

  // Receiving.

  /** The connection that a frame is for, opened if need be; `undefined` when its data is to be skipped. */
  #find(source: number, destination: number, length: number): PortsConnection | undefined {
    if (source === 0 || destination === 0) {
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `mux frame from port ${source} to port ${destination}`);
    }
    const [clientPort, applicationPort] =
      this.role === 'client' ? [destination, source] : [source, destination];
    const connection = this.#pairs.get(pairKey(clientPort, applicationPort));
    if (connection === undefined) return this.#receiveOpen(clientPort, applicationPort);
    if (connection.remoteEnd) {
      this.#breach(connection, length === 0 ? 'ended the stream twice' : 'sent data after its end of stream');
      return undefined;
    }
    return connection;
  }

  #receiveData(connection: PortsConnection, piece: Uint8Array): void {
    this.#admit?.(connection.application.name, piece);
    if (connection.lingers) {
      // Nobody will read it, and the sender must not believe that someone did.
      this.abandon(connection, 'abort');
      return;
    }
    this.#counts.bytesReceived += piece.length;
    connection.received.append(piece);
    this.#budget.received(connection, piece.length);
    if (connection.error === undefined) this.#news.tell(connection, News.readable);
  }

  /** A frame is a datagram, and its record may have ended inside it. */
  #receiveDatagramPiece(connection: PortsConnection, { piece, length }: FrameReader): void {
    if (piece.length === length) {
      this.#receiveDatagram(connection, piece);
      return;
    }
    if (this.#partial === undefined) {
      this.#partial = new Uint8Array(length);
      this.#partialLength = 0;
    }
    this.#partial.set(piece, this.#partialLength);
    this.#partialLength += piece.length;
    if (this.#partialLength === length) this.#receiveDatagram(connection, this.#partial);
  }

  #receiveDatagram(connection: PortsConnection, piece: Uint8Array): void {
    this.#admit?.(connection.application.name, piece);
    const { length } = piece;
    const cost = datagramCost(length);
    const { receiveBuffer, sessionBudget } = this.#limits;
    const room = Math.min(DATAGRAM_BUFFER, receiveBuffer) - connection.unread;
    const isFull = cost > room || this.#budget.held + cost > sessionBudget;
    if (isFull || connection.lingers) {
      connection.dropped++;
      return;
    }
    this.#counts.bytesReceived += length;
    // A view would keep the record that it came in.
    connection.received.append(length * 2 < piece.buffer.byteLength ? new Uint8Array(piece) : piece);
    this.#budget.received(connection, cost);
    if (connection.error === undefined) this.#news.tell(connection, News.readable);
  }

  #receiveEnd(connection: PortsConnection): void {
    connection.remoteEnd = true;
    if (!connection.lingers) this.#news.tell(connection, News.readable);
    if (connection.localEnd) this.#free(connection);
  }

  #receiveControl({ clientPort, applicationPort, code }: Control): void {
    const key = pairKey(clientPort, applicationPort);
    const connection = this.#pairs.get(key);
    if (code === ControlCode.open) {
      // That a pair is not in use is the opener's check: two connections cannot be told apart on it, so it has none.
      if (connection !== undefined) this.#breach(connection, 'opened a pair that is in use');
      else this.#receiveOpen(clientPort, applicationPort);
      return;
    }
    // The answer that we wait for; when both sides gave up at once, each takes the other's word for it.
    if (this.#unanswered.delete(key)) return;
    this.#sendControl(clientPort, applicationPort, ControlCode.abort);
    if (connection === undefined) return;
    if (code === ControlCode.refused) this.#counts.refused++;
    this.#pairs.delete(key);
    this.#fail(
      connection,
      code === ControlCode.refused
        ? new RefusedError(describe(connection), 'it does not serve it, or has no room')
        : new ConnectionError('ERR_MUX_ABORTED', `The peer aborted ${describe(connection)}.`),
    );
  }

  #receiveOpen(clientPort: number, applicationPort: number): PortsConnection | undefined {
    if (this.#unanswered.has(pairKey(clientPort, applicationPort))) return undefined;
    const application = this.role === 'server' ? this.#ports.served(applicationPort) : undefined;
    if (this.#unanswered.size >= UNANSWERED_MAX) {
      throw new TlsError('ERR_MUX_FLOOD', `The peer left ${UNANSWERED_MAX} refusals and aborts unanswered.`);
    }
    if (application === undefined || this.#live.size >= this.#limits.maxConnections) {
      this.#unanswered.add(pairKey(clientPort, applicationPort));
      this.#sendControl(clientPort, applicationPort, ControlCode.refused);
      return undefined;
    }
    const connection = this.#add(application, clientPort, false);
    this.#counts.accepted++;
    this.#news.tell(connection, News.opened);
    return connection;
  }

  #overflow(connection: PortsConnection): void {
    this.#giveUp(
      connection,
      new ConnectionError(
        'ERR_MUX_OVERFLOW',
        `${connection.unread} bytes wait to be read on ${describe(connection)}, for longer than the session can wait; it was aborted.`,
      ),
    );
  }

  #breach(connection: PortsConnection, what: string): void {
    this.#giveUp(
      connection,
      new ConnectionError('ERR_MUX_ABORTED', `The peer ${what} on ${describe(connection)}.`),
    );
  }

  // Pairs.

  #add(
    application: Application,
    clientPort: number,
    isOurs: boolean,
    priority: Priority = 'normal',
  ): PortsConnection {
    const connection = new PortsConnection(this, application, clientPort, isOurs, priority);
    this.#pairs.set(pairKey(clientPort, application.port), connection);
    this.#live.add(connection);
    return connection;
  }

  /** Both sides have ended: the pair may be used again, whatever is left to read here. */
  #free(connection: PortsConnection): void {
    this.#pairs.delete(pairKey(connection.clientPort, connection.application.port));
    this.#releaseIfDone(connection);
  }

  /** Tells the peer, if the connection is still open on the wire; the pair then waits for the answer. */
  #withdraw(connection: PortsConnection, code: ControlCode): boolean {
    const { clientPort, application } = connection;
    const key = pairKey(clientPort, application.port);
    if (this.#pairs.get(key) !== connection) return false;
    this.#pairs.delete(key);
    this.#unanswered.add(key);
    this.#sendControl(clientPort, application.port, code);
    return true;
  }

  /** Ends a connection from here and tells the adapter why. */
  #giveUp(connection: PortsConnection, error: ConnectionError): void {
    this.#withdraw(connection, ControlCode.abort);
    this.#fail(connection, error);
  }

  #fail(connection: PortsConnection, error: ConnectionError): void {
    connection.error = error;
    this.#drop(connection);
    if (connection.announced) this.#news.tell(connection, News.failed);
  }

  /** Whatever it holds is given back, and what was to be told of it is not news any more. */
  #drop(connection: PortsConnection): void {
    connection.received.clear();
    connection.queue = undefined;
    connection.news = 0;
    this.#budget.released(connection);
    this.#releaseIfDone(connection);
  }

  #releaseIfDone(connection: PortsConnection): void {
    const closed = connection.error !== undefined || (connection.localEnd && connection.remoteEnd);
    if (!closed || connection.unread > 0) return;
    this.#live.delete(connection);
    if (!connection.lingers) return;
    // No event says so, and the adapter may be waiting for it.
    this.#lingering.delete(connection);
    this.#wake?.();
  }

  #isFree(clientPort: number, applicationPort: number): boolean {
    const key = pairKey(clientPort, applicationPort);
    return !this.#pairs.has(key) && !this.#unanswered.has(key);
  }

  // Sending.

  #sendSlice(connection: PortsConnection): number {
    const { queue, localPort, remotePort } = connection;
    if (queue === undefined) return 0;
    if (connection.datagrams !== undefined) return this.#sendDatagram(connection, queue);
    const length = this.#batch.data(localPort, remotePort, queue);
    if (queue.length > 0) {
      this.#turns.add(connection);
      return length;
    }
    this.#allSent(connection);
    return length;
  }

  #sendDatagram(connection: PortsConnection, queue: ChunkQueue): number {
    const datagram = queue.takeChunk();
    this.#batch.datagram(connection.localPort, connection.remotePort, datagram);
    if (queue.length > 0) this.#turns.add(connection);
    else this.#allSent(connection);
    return datagram.length;
  }

  #allSent(connection: PortsConnection): void {
    connection.queue = undefined;
    if (connection.endPending) this.#sendEnd(connection);
    if (connection.awaitsDrain) {
      connection.awaitsDrain = false;
      this.#news.tell(connection, News.drained);
    }
  }

  #sendEnd(connection: PortsConnection): void {
    connection.endPending = false;
    connection.localEnd = true;
    this.#wakeToFlush();
    this.#batch.end(connection.localPort, connection.remotePort);
    if (connection.remoteEnd) this.#free(connection);
  }

  #sendControl(clientPort: number, applicationPort: number, code: ControlCode): void {
    this.#wakeToFlush();
    this.#batch.control({ clientPort, applicationPort, code });
  }

  #wakeToFlush(): void {
    if (this.#record.empty) this.#wake?.();
  }
}

function describe({ application, clientPort }: PortsConnection): string {
  return `the connection to ${application.name || 'port'} (${application.port}) from port ${clientPort}`;
}
