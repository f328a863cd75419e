import { SignatureError, TlsError } from '../errors/errors.ts';
import { Flag, type SignReader } from './frame.ts';
import { MAX_RECEIPT_BYTES } from './limits.ts';

/** An object, or the beginning of one, as it has come: nothing in it has been checked. */
export interface RawObject {
  readonly kind: 'data' | 'receipt';
  readonly contentType: number;
  readonly receiptRequested: boolean;
  readonly unsigned: boolean;
  /** From 0 for each direction, in the order in which objects begin. */
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

/** Takes an object that is not put together, because it may be of any size. Both throw SignatureError. */
export interface ObjectSink {
  add(bytes: Uint8Array): void;
  end(): void;
}

/** For pkcs7, whose objects may be streamed. */
export interface StreamOpener {
  /** Bytes in front of an object of this content type. */
  before(contentType: number): number;
  /** @param start what has come of it; its bytes, but for those in front, will be added as well */
  open(start: RawObject): ObjectSink;
}

/** SEQUENCE of indefinite length (X.690 §8.1.3.6): nobody knows how much follows. In DER there is no such thing. */
const STREAM_START = [0x30, 0x80];

/**
 * Puts objects together from the pieces that a `SignReader` finds. Between the pieces of data only receipts may come,
 * between those of a receipt nothing. Holds at most twice the bytes of the two objects that can be under way; those that
 * are streamed it passes on.
 */
export class Assembler {
  readonly #maxObject: number;
  /** Is asked when an object begins, and throws to refuse it. */
  readonly #admit: (flags: number) => void;
  readonly #streams: StreamOpener | undefined;
  #data: Partial | undefined;
  #receipt: Partial | undefined;
  #current: Partial | undefined;
  #sequence = 0;

  constructor(maxObject: number, admit: (flags: number) => void, streams: StreamOpener | undefined) {
    this.#maxObject = maxObject;
    this.#admit = admit;
    this.#streams = streams;
  }

  /** An object has begun and not ended. */
  get midObject(): boolean {
    return this.#data !== undefined || this.#receipt !== undefined;
  }

  /** The number of the next object. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Nothing more comes. @returns what has come of the objects under way, but for what was passed on */
  abandon(): RawObject[] {
    const open = [this.#data, this.#receipt].filter((partial) => partial !== undefined);
    this.#data = undefined;
    this.#receipt = undefined;
    this.#current = undefined;
    return open.filter(({ sink }) => sink === undefined).map((partial) => partial.object());
  }

  /**
   * @returns the object that is complete with this piece
   * @throws TlsError ERR_TLS_UNEXPECTED_MESSAGE, ERR_TLS_ILLEGAL_PARAMETER; SignatureError ERR_SIGN_TOO_LARGE
   */
  add(reader: SignReader): RawObject | undefined {
    const partial = this.#current ?? this.#begin(reader);
    partial.add(reader.piece);
    if (!partial.isDecided) this.#decide(partial);
    this.#current = reader.ends ? undefined : partial;
    if (!reader.ends || (reader.flags & Flag.more) !== 0) return undefined;
    if (partial === this.#receipt) this.#receipt = undefined;
    else this.#data = undefined;
    if (partial.sink === undefined) return partial.object();
    partial.sink.end();
    return undefined;
  }

  /** Is it put together, or passed on? Its first bytes say so. */
  #decide(partial: Partial): void {
    const streams = this.#streams;
    if (streams === undefined || (partial.flags & (Flag.acknowledgement | Flag.unsigned)) !== 0) {
      partial.isDecided = true;
      return;
    }
    const at = streams.before(partial.contentType);
    if (partial.length < at + STREAM_START.length) return;
    partial.isDecided = true;
    if (STREAM_START.every((byte, i) => partial.at(at + i) === byte))
      partial.passOn(streams.open(partial.object()), at);
  }

  #begin({ contentType, flags }: SignReader): Partial {
    const isReceipt = (flags & Flag.acknowledgement) !== 0;
    const open = isReceipt ? this.#receipt : this.#data;
    if (!isReceipt && this.#receipt !== undefined)
      throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'Signed data came between the pieces of a receipt');
    if (open !== undefined) {
      if (open.contentType !== contentType || ((open.flags ^ flags) & ~Flag.more) !== 0)
        throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'A signed object goes on as another kind of object');
      return open;
    }
    this.#admit(flags);
    const partial = new Partial(
      contentType,
      flags,
      this.#sequence++,
      isReceipt ? MAX_RECEIPT_BYTES : this.#maxObject,
    );
    if (isReceipt) this.#receipt = partial;
    else this.#data = partial;
    return partial;
  }
}

class Partial {
  readonly contentType: number;
  readonly flags: number;
  isDecided = false;
  sink: ObjectSink | undefined;
  readonly #sequence: number;
  readonly #max: number;
  /** The one piece, or a buffer that grows: views on pieces of one byte would cost many times what they show. */
  #bytes: Uint8Array = EMPTY;
  #length = 0;

  constructor(contentType: number, flags: number, sequence: number, max: number) {
    this.contentType = contentType;
    this.flags = flags;
    this.#sequence = sequence;
    this.#max = max;
  }

  get length(): number {
    return this.#length;
  }

  at(index: number): number | undefined {
    return this.#bytes[index];
  }

  /** @throws SignatureError ERR_SIGN_TOO_LARGE, and what the sink throws */
  add(piece: Uint8Array): void {
    if (this.sink !== undefined) {
      this.sink.add(piece);
      return;
    }
    const length = this.#length + piece.length;
    if (length > this.#max)
      throw new SignatureError('ERR_SIGN_TOO_LARGE', `A signed object has more than ${this.#max} bytes`);
    if (this.#length === 0) {
      this.#bytes = piece;
    } else {
      if (length > this.#bytes.length || !this.#isOwn) this.#grow(length);
      this.#bytes.set(piece, this.#length);
    }
    this.#length = length;
  }

  /** What has come from `at` on, and all that follows, is for the sink. */
  passOn(sink: ObjectSink, at: number): void {
    const bytes = this.#bytes.subarray(at, this.#length);
    this.sink = sink;
    this.#bytes = EMPTY;
    this.#length = 0;
    sink.add(bytes);
  }

  object(): RawObject {
    return {
      kind: (this.flags & Flag.acknowledgement) !== 0 ? 'receipt' : 'data',
      contentType: this.contentType,
      receiptRequested: (this.flags & Flag.receipt) !== 0,
      unsigned: (this.flags & Flag.unsigned) !== 0,
      sequence: this.#sequence,
      bytes: this.#bytes.length === this.#length ? this.#bytes : this.#bytes.subarray(0, this.#length),
    };
  }

  #isOwn = false;

  #grow(length: number): void {
    const bigger = new Uint8Array(Math.min(this.#max, Math.max(length, 2 * this.#length)));
    bigger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = bigger;
    this.#isOwn = true;
  }
}

const EMPTY = new Uint8Array(0);
