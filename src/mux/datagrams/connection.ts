import { ConnectionError } from '../../errors/errors.ts';
import type { Application } from '../extension.ts';
import type { Newsworthy } from '../news.ts';
import type { Priority } from '../session.ts';
import { DatagramQueue, type DatagramTraits } from './datagrams.ts';

/** What a connection asks of its session; implemented by DatagramsSession. */
export interface DatagramOwner {
  readonly traits: DatagramTraits;
  write(connection: DatagramConnection, datagram: Uint8Array): void;
  taken(connection: DatagramConnection, datagram: Uint8Array): void;
  leave(connection: DatagramConnection): void;
  refuse(connection: DatagramConnection): void;
}

/** One pair (client's port, application's port) over DTLS. Fields that are not public are its session's to change. */
export class DatagramConnection implements Newsworthy {
  readonly application: Application;
  readonly clientPort: number;
  readonly destination = undefined;
  readonly sourceAddress = '';
  readonly isOpen = true;
  readonly localPort: number;
  readonly remotePort: number;
  /** A record leaves as it is made; there is no queue in which one could come first. */
  priority: Priority;
  attachment: object | undefined = undefined;
  error: ConnectionError | undefined = undefined;
  unread = 0;
  dropped = 0;
  readonly waiting = 0;

  // session's own
  readonly received = new DatagramQueue();
  news = 0;
  queued = false;
  announced: boolean;
  /** Something has moved since the last look. */
  active = true;
  /** Nobody serves it: what comes is dropped until it is forgotten. */
  refused = false;
  /** It was silent for too long, or its session ended in order. */
  over = false;

  readonly #owner: DatagramOwner;

  constructor(
    owner: DatagramOwner,
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
  }

  get datagrams(): DatagramTraits {
    return this.#owner.traits;
  }

  /** The ports as they stand in front of a frame of this side. */
  get address(): Uint8Array {
    const { localPort: source, remotePort: destination } = this;
    return Uint8Array.of(source >>> 8, source, destination >>> 8, destination);
  }

  /** There is no word for it. */
  accept(): void {}

  read(): Uint8Array | undefined {
    const datagram = this.received.shift();
    if (datagram !== undefined) this.#owner.taken(this, datagram);
    return datagram;
  }

  /** What is read is through: datagrams wait for nobody. */
  consume(_bytes: number): void {}

  get ended(): boolean {
    return this.over && this.received.length === 0;
  }

  write(datagram: Uint8Array): void {
    if (this.error !== undefined) throw this.error;
    if (this.over) throw new ConnectionError('ERR_TLS_CLOSED', 'This flow was ended; open another.');
    this.#owner.write(this, datagram);
  }

  /** Nothing ever waits here. */
  drained(): boolean {
    return true;
  }

  /** UDP has no word for an end; the other side forgets the pair when nothing comes any more. */
  end(): void {}

  close(_now: number): void {
    this.#owner.leave(this);
  }

  abort(): void {
    this.#owner.leave(this);
  }

  refuse(): void {
    this.#owner.refuse(this);
  }
}
