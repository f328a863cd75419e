import { RecordBatch } from '../batch.ts';
import { RoundRobin } from '../outgoing.ts';
import type { Channel } from './channel.ts';
import {
  ACKNOWLEDGMENT_LENGTH,
  DATA_HEADER,
  encodeControl,
  MessageType,
  type Request,
  requestLength,
  SHORT_LENGTH,
  type Short,
  SUCCESS_LENGTH,
  type Success,
  writeAcknowledgment,
  writeDataHeader,
  writeRequest,
  writeShort,
  writeSuccess,
} from './message.ts';

/** Data is not cut to fill less than this at a record's end: two messages would cost more than the record saves. */
const SMALLEST_CUT = 1_024;

/** Everything that is to be sent: messages at once into the record that is being filled, data of each channel in turn. */
export class Outbox {
  readonly #record: RecordBatch;
  readonly #turns = new RoundRobin<Channel>();
  readonly #wake: () => void;

  /**
   * @param send seals the content of one record before it returns
   * @param wake called when there is something to send and was not before
   */
  constructor(send: (content: Uint8Array) => void, wake: () => void) {
    this.#record = new RecordBatch(send);
    this.#wake = wake;
  }

  get empty(): boolean {
    return this.#record.empty && this.#turns.size === 0;
  }

  flush(): void {
    this.#record.flush();
  }

  get begun(): boolean {
    return !this.#record.empty;
  }

  discard(): void {
    this.#record.discard();
  }

  // Messages.

  request(message: Request): void {
    this.#wakeToFlush();
    const record = this.#record;
    record.length = writeRequest(record.reserve(requestLength(message)), record.length, message);
  }

  success(message: Success): void {
    this.#wakeToFlush();
    const record = this.#record;
    record.length = writeSuccess(record.reserve(SUCCESS_LENGTH), record.length, message);
  }

  echec(sender: number, error: string): void {
    this.#wakeToFlush();
    this.#record.append(encodeControl({ type: MessageType.RequestEchecChannel, sender, error }));
  }

  short(type: Short['type'], channel: number): void {
    this.#wakeToFlush();
    const record = this.#record;
    record.length = writeShort(record.reserve(SHORT_LENGTH), record.length, type, channel);
  }

  acknowledge(channel: number, freeSpace: number): void {
    this.#wakeToFlush();
    const record = this.#record;
    const content = record.reserve(ACKNOWLEDGMENT_LENGTH);
    record.length = writeAcknowledgment(content, record.length, channel, freeSpace);
  }

  // Data.

  /** Lets it send when its turn comes. */
  schedule(channel: Channel): void {
    if (channel.state !== 'open' || channel.credit === 0 || channel.queue === undefined) return;
    if (this.#turns.size === 0) this.#wake();
    this.#turns.add(channel);
  }

  /** Whose turn it is. */
  next(): Channel | undefined {
    return this.#turns.next();
  }

  /** One message of data, no longer than what is left of the record; its next turn comes after the others'. @returns bytes */
  slice(channel: Channel): number {
    const { queue } = channel;
    if (channel.state !== 'open' || queue === undefined) return 0;
    const record = this.#record;
    const wanted = Math.min(queue.length, channel.credit, channel.maxPacket);
    if (record.room < Math.min(wanted + DATA_HEADER, SMALLEST_CUT)) record.flush();
    const content = record.reserve(DATA_HEADER + 1);
    const length = Math.min(wanted, record.room - DATA_HEADER);
    const at = writeDataHeader(content, record.length, channel.id, length);
    queue.take(content, at, length);
    record.length = at + length;
    channel.credit -= length;
    channel.active = true;
    if (queue.length === 0) channel.queue = undefined;
    else if (channel.credit > 0) this.#turns.add(channel);
    return length;
  }

  #wakeToFlush(): void {
    if (this.#record.empty) this.#wake();
  }
}
