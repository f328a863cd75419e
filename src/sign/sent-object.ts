import type { MultiplexedConnection } from '../mux/index.ts';
import type { Place, SentMessage } from './messages.ts';
import type { Outgoing } from './outbox.ts';

/** A message or receipt of this side, from its number to the outbox and the archive. */
export class SentObject implements SentMessage, Outgoing {
  readonly contentType: number;
  readonly application: string;
  readonly connection: MultiplexedConnection | undefined;
  readonly receiptRequested: boolean;
  readonly unsigned: boolean;
  /** Of its connection, as it was when the message was sent: it may have to wait, and the connection be gone. */
  readonly address: Uint8Array | undefined;
  attachment: unknown;

  // The sender's own
  sequence = -1;
  bytes: Uint8Array | undefined;
  content: Outgoing['content'] = { kind: 'switch' };
  before: (() => void) | undefined;
  after: (() => void) | undefined;
  lost: (() => void) | undefined;
  isLost = false;
  /** Its receipt is awaited by nobody. */
  isForgone = false;
  left = false;
  kept = false;
  #record: number | undefined;
  #waiting: ((record: number | undefined) => void)[] = [];

  constructor(place: Place, receiptRequested: boolean, unsigned: boolean) {
    this.contentType = place.contentType;
    this.application = place.application;
    this.connection = place.connection;
    this.address = place.connection?.address;
    this.receiptRequested = receiptRequested;
    this.unsigned = unsigned;
  }

  recorded(record: number | undefined): void {
    this.#record = record;
    this.kept = true;
    for (const tell of this.#waiting) tell(record);
    this.#waiting = [];
  }

  /** Calls back with its index in the archive, when it is there. */
  whenRecorded(tell: (record: number | undefined) => void): void {
    if (this.kept) tell(this.#record);
    else this.#waiting.push(tell);
  }
}
