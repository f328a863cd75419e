import { EventEmitter } from 'node:events';
import { ConnectionError } from '../errors/errors.ts';
import { DatagramReader, type DatagramTraits, prefixDatagram } from '../mux/datagrams/datagrams.ts';
import type { Application, MultiplexedConnection } from '../mux/index.ts';
import { DATAGRAM_BUFFER } from '../mux/limits.ts';
import { preciseNow } from './clock.ts';
import { kAnnounced, kConfirmed, kDrained, kReceive } from './mux-connection.ts';

interface MuxDatagramsEvents {
  connect: [];
  message: [datagram: Buffer];
  error: [error: Error];
  close: [];
  newListener: [event: string | symbol, listener: (...args: never[]) => void];
}

/** What it needs of the session that it is part of. */
interface DatagramsHost {
  /** Sends what is written, of this connection and others, as far as the network takes it. */
  send(): void;
  /** It is destroyed. */
  closed(datagrams: MuxDatagrams): void;
}

/** Counts of datagrams since it was opened. */
export interface DatagramCounts {
  readonly sent: number;
  readonly received: number;
  /** Given to `send` while too much waited for the network. */
  readonly droppedOut: number;
  /** Received while nobody took them. */
  readonly droppedIn: number;
}

/**
 * One application connection of a session whose boundaries count: what one side sends at once is one 'message' at the
 * other. Nothing waits for a slow reader or a slow network: what does not fit is dropped and counted, as UDP does.
 * Over TLS nothing else is lost, and order is kept.
 *
 * Events: 'message' (datagram; until there is a listener, messages wait within bounds), 'connect' (at the opener, when
 * the other side has accepted it), 'error' (refused, or its session failed; 'close' follows), 'close'.
 */
export class MuxDatagrams extends EventEmitter<MuxDatagramsEvents> {
  readonly application: Application;
  readonly #connection: MultiplexedConnection;
  readonly #host: DatagramsHost;
  readonly #traits: DatagramTraits;
  /** Where datagrams are cut out of a stream of bytes: channel mode. */
  readonly #reader: DatagramReader | undefined;
  #sent = 0;
  #received = 0;
  #droppedOut = 0;
  #deferred = false;
  #isClosed = false;

  constructor(connection: MultiplexedConnection, traits: DatagramTraits, host: DatagramsHost) {
    super();
    this.#connection = connection;
    this.#host = host;
    this.#traits = traits;
    this.#reader = traits.inStream ? new DatagramReader() : undefined;
    this.application = connection.application;
    connection.attachment = this;
    this.on('newListener', (event) => {
      if (event === 'message') process.nextTick(() => this[kReceive]());
    });
  }

  /** Bytes of the largest datagram that `send` takes. */
  get maxDatagramSize(): number {
    return this.#traits.maxSize;
  }

  get counts(): DatagramCounts {
    const { dropped: droppedIn } = this.#connection;
    return { sent: this.#sent, received: this.#received, droppedOut: this.#droppedOut, droppedIn };
  }

  get localPort(): number {
    return this.#connection.localPort;
  }

  get remotePort(): number {
    return this.#connection.remotePort;
  }

  /** Address of the socket that the opener says this is for; empty when it says nothing. */
  get sourceAddress(): string {
    return this.#connection.sourceAddress;
  }

  get destroyed(): boolean {
    return this.#isClosed;
  }

  /**
   * Sends one datagram. The buffer is the caller's again when this returns.
   * @returns false when it was dropped: too much waits for the network, or this is closed
   * @throws ConnectionError ERR_MUX_DATAGRAM_SIZE above `maxDatagramSize`
   */
  send(datagram: Uint8Array): boolean {
    const { length } = datagram;
    if (length > this.maxDatagramSize) {
      throw new ConnectionError(
        'ERR_MUX_DATAGRAM_SIZE',
        `A datagram of ${length} bytes does not fit; ${this.maxDatagramSize} do (maxDatagramSize).`,
      );
    }
    const connection = this.#connection;
    const cannotSay = length === 0 && !this.#traits.takesEmpty;
    if (this.#isClosed || connection.error !== undefined || cannotSay || !this.#hasRoomFor(length)) {
      this.#droppedOut++;
      return false;
    }
    connection.write(this.#reader === undefined ? new Uint8Array(datagram) : prefixDatagram(datagram));
    this.#sent++;
    this.#host.send();
    return true;
  }

  /** In a listener of 'datagrams': the answer comes later, by `accept()` or `refuse()`. */
  defer(): this {
    this.#deferred = true;
    return this;
  }

  accept(): void {
    this.#deferred = false;
    this.#connection.accept();
  }

  /** Nobody serves this. */
  refuse(reason?: string): void {
    this.#connection.refuse(reason);
    this.#close(undefined);
  }

  /** No more from here, and what still comes is dropped. */
  close(): void {
    if (this.#isClosed) return;
    this.#connection.end();
    this.#connection.close(preciseNow());
    this.#close(undefined);
  }

  // For the session

  /** Until somebody listens it stays where its bounds are. */
  [kReceive](): void {
    const connection = this.#connection;
    while (!this.#isClosed && this.listenerCount('message') > 0) {
      const piece = connection.read();
      if (piece === undefined) break;
      connection.consume(piece.length);
      if (this.#reader === undefined) this.#deliver(piece);
      else this.#cut(this.#reader, piece);
    }
    if (connection.ended && !this.#isClosed) this.close();
  }

  [kConfirmed](): void {
    if (!this.#isClosed) this.emit('connect');
  }

  [kAnnounced](): void {
    if (!this.#deferred && !this.#isClosed) this.#connection.accept();
  }

  /** What was dropped is gone; nobody waits for room. */
  [kDrained](): void {}

  destroy(error?: Error): void {
    if (this.#isClosed) return;
    this.#connection.abort();
    this.#close(error);
  }

  #hasRoomFor(length: number): boolean {
    const { waiting } = this.#connection;
    return waiting === 0 || waiting + length <= DATAGRAM_BUFFER;
  }

  #cut(reader: DatagramReader, piece: Uint8Array): void {
    try {
      reader.push(piece, (datagram) => this.#deliver(datagram));
    } catch (error) {
      // Behind a length that cannot be, nothing can be cut any more.
      this.destroy(error as Error);
    }
  }

  #deliver(datagram: Uint8Array): void {
    if (this.#isClosed) return;
    this.#received++;
    this.emit('message', Buffer.from(datagram.buffer, datagram.byteOffset, datagram.length));
  }

  #close(error: Error | undefined): void {
    this.#isClosed = true;
    this.#host.closed(this);
    process.nextTick(() => {
      if (error !== undefined) this.emit('error', error);
      this.emit('close');
    });
  }
}
