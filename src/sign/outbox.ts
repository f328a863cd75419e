import { concat } from '../wire/writer.ts';
import type { ByteQueue } from './byte-queue.ts';
import { encodeSigntext, Flag, HEADER_BYTES, startSigntext } from './frame.ts';
import { PIECE_BYTES, RECORD_BYTES } from './limits.ts';

/** One thing to be sent; it waits in line until it is ready. */
export interface Outgoing {
  /** The bytes of a TLSSignOnOff, or of an object; `undefined` while its signature is awaited. */
  readonly bytes: Uint8Array | undefined;
  readonly content: { readonly kind: 'switch' } | ObjectContent | StreamContent;
  /** Must happen before the first byte leaves. */
  readonly before?: (() => void) | undefined;
  /** It has left as a whole. */
  readonly after?: (() => void) | undefined;
  /** It has not left, and will not. */
  readonly lost?: (() => void) | undefined;
}

export interface ObjectHeader {
  readonly contentType: number;
  readonly flags: number;
  /** In front of the object: where it belongs in a multiplexed session. */
  readonly prefix: Uint8Array | undefined;
}

interface ObjectContent extends ObjectHeader {
  readonly kind: 'object';
}

/** Comes in pieces, which leave as they come. Receipts may leave between them. */
export interface StreamContent extends ObjectHeader {
  readonly kind: 'stream';
  readonly queue: ByteQueue;
  /** Nothing more comes into the queue. It is not empty then. */
  readonly isComplete: boolean;
  /** Some of the queue has left. */
  readonly moved: () => void;
}

/** Keeps the order in which objects were numbered, whichever signature comes first. */
export class Outbox {
  readonly #version: number;
  readonly #send: (content: Uint8Array) => void;
  /** Over datagrams each object is one, and nothing else is with it. */
  readonly #isEach: boolean;
  #queue: Outgoing[] = [];
  #head = 0;
  /** Bytes of the first one that have left. */
  #offset = 0;
  /** Content of the next record: small objects share one. And what has left as a whole with it. */
  #record: Uint8Array[] = [];
  #recordBytes = 0;
  #complete: Outgoing[] = [];

  /**
   * @param send seals the content of one record before it returns
   * @param isEach over datagrams: one object for each record, which it fits
   */
  constructor(version: number, send: (content: Uint8Array) => void, isEach = false) {
    this.#version = version;
    this.#isEach = isEach;
    this.#send = send;
  }

  /** Something waits, be it ready or not. */
  get waiting(): boolean {
    return this.#head < this.#queue.length;
  }

  get ready(): boolean {
    const item = this.#queue[this.#head];
    if (item?.content.kind !== 'stream') return item?.bytes !== undefined;
    return item.content.queue.length > 0 || this.#nextReceipt() !== undefined;
  }

  push(item: Outgoing): void {
    this.#queue.push(item);
  }

  /** Sends what is ready, up to about `most` bytes; an object may leave in several calls. */
  flush(most: number): void {
    let sent = 0;
    while (sent < most) {
      const item = this.#queue[this.#head];
      if (item === undefined) break;
      const { bytes, content } = item;
      if (content.kind === 'stream') {
        const length = this.#sendStream(item, content);
        if (length === 0) break;
        sent += length;
        continue;
      }
      if (bytes === undefined) break;
      if (this.#offset === 0) item.before?.();
      sent += content.kind === 'switch' ? this.#sendSwitch(bytes) : this.#sendPiece(content, bytes);
      if (this.#offset < bytes.length) continue;
      this.#offset = 0;
      this.#shift();
      this.#complete.push(item);
      // certificate_sign is the next message after its switch.
      if (content.kind === 'switch' || this.#isEach) this.#seal();
    }
    this.#seal();
  }

  /** Nothing can be sent any more. What waits is told of, but for what has lost nothing by it. */
  discard(): void {
    for (const item of [...this.#complete, ...this.#queue.slice(this.#head)]) item.lost?.();
    this.#record = [];
    this.#recordBytes = 0;
    this.#complete = [];
    this.#queue = [];
    this.#head = 0;
    this.#offset = 0;
  }

  #put(bytes: Uint8Array): number {
    if (this.#recordBytes + bytes.length > RECORD_BYTES) this.#seal();
    this.#record.push(bytes);
    this.#recordBytes += bytes.length;
    return bytes.length;
  }

  #seal(): void {
    const [first, ...others] = this.#record;
    if (first === undefined) return;
    const content = others.length === 0 ? first : concat(this.#record);
    this.#send(content);
    const complete = this.#complete;
    this.#record = [];
    this.#recordBytes = 0;
    this.#complete = [];
    for (const item of complete) item.after?.();
  }

  #sendSwitch(bytes: Uint8Array): number {
    this.#offset = bytes.length;
    return this.#put(bytes);
  }

  #sendPiece({ contentType, flags, prefix }: ObjectHeader, bytes: Uint8Array): number {
    const isFirst = this.#offset === 0;
    const room = PIECE_BYTES - (isFirst && prefix !== undefined ? prefix.length : 0);
    const end = Math.min(bytes.length, this.#offset + room);
    let piece = bytes.subarray(this.#offset, end);
    if (isFirst && prefix !== undefined) {
      const joined = new Uint8Array(prefix.length + piece.length);
      joined.set(prefix);
      joined.set(piece, prefix.length);
      piece = joined;
    }
    const more = end < bytes.length ? Flag.more : 0;
    this.#offset = end;
    return this.#put(encodeSigntext(contentType, flags | more, this.#version, piece));
  }

  /** @returns bytes of its next piece, or of a receipt; 0 when there is neither now */
  #sendStream(item: Outgoing, content: StreamContent): number {
    const { contentType, flags, queue, isComplete } = content;
    const isFirst = this.#offset === 0;
    // An object begins before those with higher numbers.
    const receipt = isFirst ? undefined : this.#nextReceipt();
    if (receipt !== undefined) return this.#sendReceipt(receipt);
    if (queue.length === 0) return 0;
    if (isFirst) item.before?.();
    const prefix = isFirst && content.prefix !== undefined ? content.prefix : NOTHING;
    const length = Math.min(queue.length, PIECE_BYTES - prefix.length);
    const isLast = isComplete && length === queue.length;
    const more = isLast ? 0 : Flag.more;
    const text = startSigntext(contentType, flags | more, this.#version, prefix.length + length);
    text.set(prefix, HEADER_BYTES);
    queue.fill(text.subarray(HEADER_BYTES + prefix.length));
    this.#put(text);
    this.#offset += length;
    if (isLast) {
      this.#offset = 0;
      this.#shift();
      this.#complete.push(item);
    }
    content.moved();
    return text.length;
  }

  /** Behind the stream, and ready. */
  #nextReceipt(): ReadyReceipt | undefined {
    const item = this.#queue[this.#head + 1];
    return item !== undefined && isReadyReceipt(item) ? item : undefined;
  }

  /** As a whole: between its pieces nothing else may come. */
  #sendReceipt(receipt: ReadyReceipt): number {
    const offset = this.#offset;
    this.#offset = 0;
    receipt.before?.();
    let sent = 0;
    while (this.#offset < receipt.bytes.length) sent += this.#sendPiece(receipt.content, receipt.bytes);
    this.#offset = offset;
    this.#queue.splice(this.#head + 1, 1);
    this.#complete.push(receipt);
    return sent;
  }

  #shift(): void {
    this.#head++;
    if (this.#head < this.#queue.length && this.#head < COMPACT) return;
    this.#queue = this.#queue.slice(this.#head);
    this.#head = 0;
  }
}

interface ReadyReceipt extends Outgoing {
  readonly bytes: Uint8Array;
  readonly content: ObjectContent;
}

function isReadyReceipt(item: Outgoing): item is ReadyReceipt {
  const { bytes, content } = item;
  return bytes !== undefined && content.kind === 'object' && (content.flags & Flag.acknowledgement) !== 0;
}

const NOTHING = new Uint8Array(0);

/** Sent items that are let go together. */
const COMPACT = 1024;
