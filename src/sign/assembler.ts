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

/**
 * Puts objects together from the pieces that a `SignReader` finds. Between the pieces of data only receipts may come,
 * between those of a receipt nothing. Holds at most twice the bytes of the two objects that can be under way.
 */
export class Assembler {
  readonly #maxObject: number;
  /** Is asked when an object begins, and throws to refuse it. */
  readonly #admit: (flags: number) => void;
  #data: Partial | undefined;
  #receipt: Partial | undefined;
  #current: Partial | undefined;
  #sequence = 0;

  constructor(maxObject: number, admit: (flags: number) => void) {
    this.#maxObject = maxObject;
    this.#admit = admit;
  }

  /** An object has begun and not ended. */
  get midObject(): boolean {
    return this.#data !== undefined || this.#receipt !== undefined;
  }

  /**
   * @returns the object that is complete with this piece
   * @throws TlsError ERR_TLS_UNEXPECTED_MESSAGE, ERR_TLS_ILLEGAL_PARAMETER; SignatureError ERR_SIGN_TOO_LARGE
   */
  add(reader: SignReader): RawObject | undefined {
    const partial = this.#current ?? this.#begin(reader);
    partial.add(reader.piece);
    this.#current = reader.ends ? undefined : partial;
    if (!reader.ends || (reader.flags & Flag.more) !== 0) return undefined;
    if (partial === this.#receipt) this.#receipt = undefined;
    else this.#data = undefined;
    return partial.object();
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

  add(piece: Uint8Array): void {
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
