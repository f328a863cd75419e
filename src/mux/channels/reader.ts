import {
  type ControlMessage,
  DATA_HEADER,
  decodeControl,
  MessageType,
  messageLength,
  u32,
} from './message.ts';

/**
 * Walks over the messages of a byte stream. Data comes out as views on what came in, piece by piece; of the others, only
 * one that a record has cut is put together, which is at most 65,540 bytes.
 *
 * ```
 * reader.push(content);
 * while (reader.next()) reader.control ?? use(reader.channel, reader.length, reader.starts, reader.piece);
 * ```
 * The fields describe what the latest `next()` has found; one object per session.
 */
export class MessageReader {
  /** A whole message, or `undefined` when it is a piece of MTLSPlaintext. */
  control: ControlMessage | undefined;
  /** Of the data. */
  channel = 0;
  /** Bytes of the whole MTLSPlaintext. */
  length = 0;
  /** First piece of its message. It may be empty. */
  starts = false;
  piece: Uint8Array = EMPTY;

  /** The start of a message that a record has cut. */
  #carry: Uint8Array = EMPTY;
  #carried = 0;
  /** Data bytes of the current message that have not come. */
  #remaining = 0;
  #content: Uint8Array = EMPTY;
  #at = 0;

  /** Gives the next bytes of the stream; those given before must have been walked over. */
  push(content: Uint8Array): void {
    this.#content = content;
    this.#at = 0;
  }

  /**
   * @returns false when the bytes given so far are used up
   * @throws DecodeError for what is no message
   */
  next(): boolean {
    this.control = undefined;
    if (this.#remaining > 0) {
      if (this.#at === this.#content.length) return this.#usedUp();
      this.starts = false;
      this.#cutPiece();
      return true;
    }
    return this.#carried > 0 ? this.#nextCarried() : this.#nextWhole();
  }

  /** The stream stops inside a message. */
  get midMessage(): boolean {
    return this.#remaining > 0 || this.#carried > 0;
  }

  #nextWhole(): boolean {
    const content = this.#content;
    const available = content.length - this.#at;
    if (available === 0) return this.#usedUp();
    const length = messageLength(content, this.#at, available);
    if (length > available) {
      this.#carry = new Uint8Array(length);
      this.#carry.set(content.subarray(this.#at));
      this.#carried = available;
      return this.#usedUp();
    }
    const start = this.#at;
    this.#at += length;
    this.#found(content, start, length);
    return true;
  }

  #nextCarried(): boolean {
    for (;;) {
      const needed = messageLength(this.#carry, 0, this.#carried);
      if (needed > this.#carry.length) {
        const longer = new Uint8Array(needed);
        longer.set(this.#carry.subarray(0, this.#carried));
        this.#carry = longer;
      }
      if (needed <= this.#carried) {
        const carry = this.#carry;
        this.#carry = EMPTY;
        this.#carried = 0;
        this.#found(carry, 0, needed);
        return true;
      }
      const taken = Math.min(needed - this.#carried, this.#content.length - this.#at);
      if (taken === 0) return this.#usedUp();
      this.#carry.set(this.#content.subarray(this.#at, this.#at + taken), this.#carried);
      this.#carried += taken;
      this.#at += taken;
    }
  }

  #found(bytes: Uint8Array, at: number, length: number): void {
    switch (bytes[at]) {
      case MessageType.MTLSPlaintext:
        this.channel = u32(bytes, at + 1);
        this.length = u32(bytes, at + DATA_HEADER - 4);
        this.#remaining = this.length;
        this.starts = true;
        this.#cutPiece();
        break;
      default:
        this.control = decodeControl(bytes, at, length);
    }
  }

  #cutPiece(): void {
    const end = Math.min(this.#at + this.#remaining, this.#content.length);
    this.piece = this.#at === end ? EMPTY : this.#content.subarray(this.#at, end);
    this.#remaining -= end - this.#at;
    this.#at = end;
  }

  #usedUp(): false {
    this.piece = EMPTY;
    this.#content = EMPTY;
    this.#at = 0;
    return false;
  }
}

const EMPTY = new Uint8Array(0);
