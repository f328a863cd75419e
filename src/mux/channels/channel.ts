import { ConnectionError } from '../../errors/errors.ts';
import { carriesDatagrams, type DatagramTraits, IN_CHANNEL } from '../datagrams/datagrams.ts';
import type { Application } from '../extension.ts';
import type { Newsworthy } from '../news.ts';
import type { ChunkQueue, Scheduled } from '../outgoing.ts';
import type { ReceiveBuffer } from '../receive-buffer.ts';
import type { Destination, Priority } from '../session.ts';
import type { ReceiveWindow } from './window.ts';

/** What a channel asks of its session; implemented by Lifecycle. */
export interface ChannelOwner {
  accept(channel: Channel): void;
  write(channel: Channel, data: Uint8Array): void;
  end(channel: Channel): void;
  refuse(channel: Channel, reason: string): void;
  abandon(channel: Channel): void;
  linger(channel: Channel, now: number): void;
  consumed(channel: Channel, bytes: number): void;
}

/**
 * ```
 *  opener:    waiting ──▶ opening ──Success──▶ open          acceptor:   requested ──accept()──▶ open
 *                │           │ Echec                                         │ refuse(): Echec
 *                ▼           ▼                                               ▼
 *              closed      closed                                          closed
 *
 *  open ── both have said EndOfData, or CloseChannel came and was confirmed ──▶ closed
 *  open ── we close ──▶ closing ── ConfirmationCloseChannel ──▶ closed
 *  opening ── we give up ──▶ unwanted ── Success ──▶ closing;  Echec ──▶ closed
 * ```
 */
export type ChannelState =
  /** Too many openings are unanswered: it has not been asked for yet. */
  | 'waiting'
  | 'opening'
  | 'unwanted'
  /** The peer asks for it. */
  | 'requested'
  | 'open'
  /** What still comes for it is discarded. */
  | 'closing'
  | 'closed';

export interface ChannelFacts {
  readonly application: Application;
  readonly destination: Destination | undefined;
  readonly localPort: number;
  readonly remotePort: number;
  readonly sourceAddress: string;
}

/** One channel. The fields below the public ones are the session's to change. */
export class Channel implements Newsworthy, Scheduled {
  readonly facts: ChannelFacts;
  /** This side has opened it. */
  readonly isOurs: boolean;
  priority: Priority = 'normal';
  attachment: object | undefined = undefined;
  error: ConnectionError | undefined = undefined;

  // session's own
  state: ChannelState;
  /** This side's half of the id; for one that the peer asks for, once it is accepted. */
  localId = 0;
  remoteId = 0;
  /** Both halves. */
  id = 0;
  /** Bytes that may be sent. */
  credit = 0;
  /** The longest message that the peer takes. */
  maxPacket = 0;
  window: ReceiveWindow | undefined = undefined;
  received: ReceiveBuffer | undefined = undefined;
  queue: ChunkQueue | undefined = undefined;
  scheduled = false;
  /** Credit for it is to be given. */
  owed = false;
  endPending = false;
  awaitsDrain = false;
  localEnd = false;
  remoteEnd = false;
  /** Closed here; only the peer's end is awaited. */
  lingers = false;
  /** Data has moved since the last look. */
  active = true;
  /** The peer has sent something on it. */
  carried = false;
  news = 0;
  queued = false;
  announced: boolean;

  readonly #owner: ChannelOwner;

  constructor(owner: ChannelOwner, facts: ChannelFacts, state: 'waiting' | 'requested') {
    this.#owner = owner;
    this.facts = facts;
    this.state = state;
    this.isOurs = state === 'waiting';
    this.announced = this.isOurs;
  }

  get application(): Application {
    return this.facts.application;
  }

  get destination(): Destination | undefined {
    return this.facts.destination;
  }

  get localPort(): number {
    return this.facts.localPort;
  }

  get remotePort(): number {
    return this.facts.remotePort;
  }

  get sourceAddress(): string {
    return this.facts.sourceAddress;
  }

  /** The adapter cuts them out of the stream of bytes (mux/datagrams/datagrams.ts). */
  get datagrams(): DatagramTraits | undefined {
    const { application, destination } = this.facts;
    return destination === undefined && carriesDatagrams(application.name) ? IN_CHANNEL : undefined;
  }

  get waiting(): number {
    return this.queue?.length ?? 0;
  }

  /** The window bounds what comes. */
  readonly dropped = 0;

  get isOpen(): boolean {
    return this.state === 'open';
  }

  get address(): Uint8Array | undefined {
    const { id } = this;
    return this.state === 'open' ? Uint8Array.of(id >>> 24, id >>> 16, id >>> 8, id) : undefined;
  }

  get unread(): number {
    return this.window?.unread ?? 0;
  }

  accept(): void {
    this.#owner.accept(this);
  }

  read(): Uint8Array | undefined {
    const { received } = this;
    if (received === undefined) return undefined;
    const piece = received.shift();
    // A channel that waits shall hold nothing.
    if (received.length === 0) this.received = undefined;
    return piece;
  }

  consume(bytes: number): void {
    // After a failure everything was already given back.
    const consumed = Math.min(bytes, this.unread);
    if (consumed > 0) this.#owner.consumed(this, consumed);
  }

  get ended(): boolean {
    return this.remoteEnd && this.received === undefined;
  }

  write(data: Uint8Array): void {
    if (this.error !== undefined) throw this.error;
    if (this.localEnd || this.endPending)
      throw new ConnectionError('ERR_TLS_CLOSED', 'This channel was ended; open another.');
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
    this.#owner.abandon(this);
  }

  refuse(reason = 'this side does not serve it'): void {
    this.#owner.refuse(this, reason);
  }
}
