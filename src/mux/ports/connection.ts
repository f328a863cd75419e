import { ConnectionError } from '../../errors/errors.ts';
import type { Application } from '../extension.ts';
import type { Holder } from '../receive-budget.ts';
import type { MultiplexedConnection } from '../session.ts';
import { ReceiveBuffer } from './receive-buffer.ts';

/** What a connection asks of its session; implemented by PortsSession. */
export interface ConnectionOwner {
  write(connection: PortsConnection, data: Uint8Array): void;
  end(connection: PortsConnection): void;
  abandon(connection: PortsConnection, code: 'refused' | 'abort'): void;
  linger(connection: PortsConnection, now: number): void;
  consumed(connection: PortsConnection, bytes: number): void;
}

/** Events that wait to be taken, as bits; a connection is in the session's queue while it has any. */
export const News = { opened: 1, readable: 2, failed: 4 } as const;

/**
 * One pair (client's port, application's port). The fields below the public ones are the session's to change; the
 * adapter knows this object as a MultiplexedConnection.
 */
export class PortsConnection implements MultiplexedConnection, Holder {
  readonly application: Application;
  readonly clientPort: number;
  attachment: object | undefined = undefined;
  error: ConnectionError | undefined = undefined;
  /** Received and not consumed, whether the caller has read it or not. */
  unread = 0;

  // ReceiveBudget's own
  full = false;
  fullUntil: number | undefined = undefined;

  // session's own
  readonly received = new ReceiveBuffer();
  news = 0;
  /** It is in the session's queue of those with news. */
  queued = false;
  /** The adapter knows of it, and wants to be told. */
  announced: boolean;
  /** Closed here; only the peer's end is awaited. */
  lingers = false;
  localEnd = false;
  remoteEnd = false;

  readonly #owner: ConnectionOwner;

  constructor(owner: ConnectionOwner, application: Application, clientPort: number, announced: boolean) {
    this.#owner = owner;
    this.application = application;
    this.clientPort = clientPort;
    this.announced = announced;
  }

  read(): Uint8Array | undefined {
    return this.received.shift();
  }

  consume(bytes: number): void {
    // After a failure everything was already given back.
    const consumed = Math.min(bytes, this.unread);
    if (consumed > 0) this.#owner.consumed(this, consumed);
  }

  get ended(): boolean {
    return this.remoteEnd && this.received.length === 0;
  }

  write(data: Uint8Array): void {
    if (this.error !== undefined) throw this.error;
    if (this.localEnd)
      throw new ConnectionError('ERR_TLS_CLOSED', 'This connection was ended; open another.');
    if (data.length > 0) this.#owner.write(this, data);
  }

  end(): void {
    if (!this.localEnd && this.error === undefined) this.#owner.end(this);
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
