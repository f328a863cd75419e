import { concat } from '../wire/writer.ts';
import { encodeSigntext, Flag } from './frame.ts';
import { PIECE_BYTES, RECORD_BYTES } from './limits.ts';

/** One thing to be sent; it waits in line until it is ready. */
export interface Outgoing {
  /** The bytes of a TLSSignOnOff, or of an object; `undefined` while its signature is awaited. */
  readonly bytes: Uint8Array | undefined;
  readonly content:
    | { readonly kind: 'switch' }
    | {
        readonly kind: 'object';
        readonly contentType: number;
        readonly flags: number;
        /** In front of the object: where it belongs in a multiplexed session. */
        readonly prefix: Uint8Array | undefined;
      };
  /** Must happen before the first byte leaves. */
  readonly before?: (() => void) | undefined;
  /** It has left as a whole. */
  readonly after?: (() => void) | undefined;
  /** It has not left, and will not. */
  readonly lost?: (() => void) | undefined;
}

/** Keeps the order in which objects were numbered, whichever signature comes first. */
export class Outbox {
  readonly #version: number;
  readonly #send: (content: Uint8Array) => void;
  #queue: Outgoing[] = [];
  #head = 0;
  /** Bytes of the first one that have left. */
  #offset = 0;
  /** Content of the next record: small objects share one. And what has left as a whole with it. */
  #record: Uint8Array[] = [];
  #recordBytes = 0;
  #complete: Outgoing[] = [];

  /** @param send seals the content of one record before it returns */
  constructor(version: number, send: (content: Uint8Array) => void) {
    this.#version = version;
    this.#send = send;
  }

  /** Something waits, be it ready or not. */
  get waiting(): boolean {
    return this.#head < this.#queue.length;
  }

  get ready(): boolean {
    return this.#queue[this.#head]?.bytes !== undefined;
  }

  push(item: Outgoing): void {
    this.#queue.push(item);
  }

  /** Sends what is ready, up to about `most` bytes; an object may leave in several calls. */
  flush(most: number): void {
    let sent = 0;
    while (sent < most) {
      const item = this.#queue[this.#head];
      const bytes = item?.bytes;
      if (item === undefined || bytes === undefined) break;
      if (this.#offset === 0) item.before?.();
      sent += item.content.kind === 'switch' ? this.#sendSwitch(bytes) : this.#sendPiece(item.content, bytes);
      if (this.#offset < bytes.length) continue;
      this.#offset = 0;
      this.#shift();
      this.#complete.push(item);
      // certificate_sign is the next message after its switch.
      if (item.content.kind === 'switch') this.#seal();
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

  #sendPiece(
    { contentType, flags, prefix }: Extract<Outgoing['content'], { kind: 'object' }>,
    bytes: Uint8Array,
  ): number {
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

  #shift(): void {
    this.#head++;
    if (this.#head < this.#queue.length && this.#head < COMPACT) return;
    this.#queue = this.#queue.slice(this.#head);
    this.#head = 0;
  }
}

/** Sent items that are let go together. */
const COMPACT = 1024;
