import { ConnectionError } from '../../errors/errors.ts';
import {
  carriesDatagrams,
  DatagramQueue,
  type DatagramTraits,
  datagramCost,
  IN_FRAMES,
} from '../datagrams/datagrams.ts';
import type { Application } from '../extension.ts';
import type { Newsworthy } from '../news.ts';
import type { ChunkQueue, Scheduled } from '../outgoing.ts';
import type { Holder } from '../receive-budget.ts';
import { ReceiveBuffer } from '../receive-buffer.ts';
import type { Priority } from '../session.ts';

/** What a connection asks of its session; implemented by PortsSession. */
export interface ConnectionOwner {
  write(connection: PortsConnection, data: Uint8Array): void;
  end(connection: PortsConnection): void;
  abandon(connection: PortsConnection, code: 'refused' | 'abort'): void;
  linger(connection: PortsConnection, now: number): void;
  consumed(connection: PortsConnection, bytes: number): void;
}

/**
 * One pair (client's port, application's port). The fields below the public ones are the session's to change; the
 * adapter knows this object as a MultiplexedConnection.
 */
export class PortsConnection implements Newsworthy, Holder, Scheduled {
  readonly application: Application;
  readonly clientPort: number;
  readonly destination = undefined;
  readonly sourceAddress = '';
  readonly isOpen = true;
  readonly datagrams: DatagramTraits | undefined;
  readonly localPort: number;
  readonly remotePort: number;
  priority: Priority;
  attachment: object | undefined = undefined;
  error: ConnectionError | undefined = undefined;
  /** Received and not consumed, whether the caller has read it or not. */
  unread = 0;

  // ReceiveBudget's own
  full = false;
  fullUntil: number | undefined = undefined;

  // session's own
  readonly received: ReceiveBuffer | DatagramQueue;
  dropped = 0;
  news = 0;
  queued = false;
  announced: boolean;
  queue: ChunkQueue | undefined = undefined;
  scheduled = false;
  endPending = false;
  awaitsDrain = false;
  /** Closed here; only the peer's end is awaited. */
  lingers = false;
  localEnd = false;
  remoteEnd = false;

  readonly #owner: ConnectionOwner;

  /** @param isOurs this side has opened it: it is the client, and knows of it */
  constructor(
    owner: ConnectionOwner,
    application: Application,
    clientPort: number,
    isOurs: boolean,
    priority: Priority,
  ) {
    this.#owner = owner;
    this.application = application;
    this.clientPort = clientPort;
    this.localPort = isOurs ? clientPort : application.port;
    this.remotePort = isOurs ? application.port : clientPort;
    this.announced = isOurs;
    this.priority = priority;
    this.datagrams = carriesDatagrams(application.name) ? IN_FRAMES : undefined;
    this.received = this.datagrams === undefined ? new ReceiveBuffer() : new DatagramQueue();
  }

  get waiting(): number {
    return this.queue?.length ?? 0;
  }

  /** The ports as they stand in front of a frame of this side. */
  get address(): Uint8Array {
    const { localPort: source, remotePort: destination } = this;
    return Uint8Array.of(source >>> 8, source, destination >>> 8, destination);
  }

  /** Data could come at once; there is nothing to say. */
  accept(): void {}

  read(): Uint8Array | undefined {
    const piece = this.received.shift();
    // Datagrams wait for nobody: what is read is through.
    if (this.datagrams !== undefined && piece !== undefined && this.unread > 0)
      this.#owner.consumed(this, datagramCost(piece.length));
    return piece;
  }

  consume(bytes: number): void {
    // After a failure everything was already given back.
    const consumed = this.datagrams !== undefined ? 0 : Math.min(bytes, this.unread);
    if (consumed > 0) this.#owner.consumed(this, consumed);
  }

  get ended(): boolean {
    return this.remoteEnd && this.received.length === 0;
  }

  write(data: Uint8Array): void {
    if (this.error !== undefined) throw this.error;
    if (this.localEnd || this.endPending)
      throw new ConnectionError('ERR_TLS_CLOSED', 'This connection was ended; open another.');
    if (data.length > 0) this.#owner.write(this, data);
  }

  drained(): boolean {
    const isDrained = this.error !== undefined || (this.queue === undefined && !this.endPending);
    this.awaitsDrain = !isDrained;
    return isDrained;
  }

  end(): void {
    if (!this.localEnd && !this.endPending && this.error === undefined) this.#owner.end(this);
  }

  close(now: number): void {
    if (this.error !== undefined) return;
    if (this.localEnd && !this.remoteEnd && this.unread === 0) this.#owner.linger(this, now);
    else this.abort();
  }

  abort(): void {
    this.#owner.abandon(this, 'abort');
  }

  refuse(): void {
    this.#owner.abandon(this, 'refused');
  }
}
