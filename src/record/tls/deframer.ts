import { TlsError } from '../../errors/errors.ts';
import { ContentType } from '../../wire/codepoints.ts';

/** `ContentType type; ProtocolVersion legacy_record_version; uint16 length;`, RFC 8446 §5.1. */
export const RECORD_HEADER_LENGTH = 5;
/** TLSPlaintext.length MUST NOT exceed 2^14 (RFC 8446 §5.1). */
export const MAX_PLAINTEXT = 2 ** 14;
/** TLSCiphertext.length MUST NOT exceed 2^14 + 256 (RFC 8446 §5.2). */
export const MAX_CIPHERTEXT = MAX_PLAINTEXT + 256;
/** In TLS 1.2 it MUST NOT exceed 2^14 + 2048 (RFC 5246 §6.2.3). */
export const MAX_CIPHERTEXT_12 = MAX_PLAINTEXT + 2048;

export interface Frame {
  readonly type: number;
  /** The five header bytes: the additional data of a protected record (RFC 8446 §5.2). */
  readonly header: Uint8Array;
  readonly fragment: Uint8Array;
}

/**
 * Cuts the transport's byte stream into records. Whole records are views on the bytes that were fed;
 * only a record that straddles two feeds is copied. Holds at most what was fed and not yet taken.
 */
export class Deframer {
  /** Bytes fed and not yet taken; `#at` is where the next record begins. */
  #chunk: Uint8Array = NOTHING;
  #at = 0;
  /** A record under way that began in an earlier feed. */
  #partial: Uint8Array = NOTHING;
  #partialLength = 0;
  /** Beyond those of TLS. */
  #types: readonly number[] = NO_TYPES;

  /** Content types of sub-protocols, when they are seen on the wire. */
  allowTypes(types: readonly number[]): void {
    this.#types = types;
  }

  /** Nothing waits, not even part of a record. */
  get empty(): boolean {
    return this.#partialLength === 0 && this.#at === this.#chunk.length;
  }

  feed(bytes: Uint8Array): void {
    if (this.#at === this.#chunk.length) {
      this.#chunk = bytes;
    } else {
      // Only while the caller is paused (a wanted answer is outstanding) can bytes pile up.
      const rest = this.#chunk.subarray(this.#at);
      const joined = new Uint8Array(rest.length + bytes.length);
      joined.set(rest);
      joined.set(bytes, rest.length);
      this.#chunk = joined;
    }
    this.#at = 0;
  }

  /** Lets go of the caller's buffer; what has not been taken yet is copied. */
  settle(): void {
    // In bulk nearly every read ends inside a record, and the buffer for it is used again; an idle session keeps none.
    if (this.#partialLength === 0) this.#partial = NOTHING;
    if (this.#at === this.#chunk.length) this.#forget();
    else {
      // Not slice(), which on a Buffer is a view.
      this.#chunk = new Uint8Array(this.#chunk.subarray(this.#at));
      this.#at = 0;
    }
  }

  /**
   * The next whole record, or `undefined` while bytes are missing. It is a view that the next call may overwrite.
   * @throws TlsError ERR_TLS_RECORD_OVERFLOW as soon as a header announces more than `maxFragment`
   */
  next(maxFragment: number): Frame | undefined {
    if (this.#partialLength > 0) return this.#nextStraddling(maxFragment);
    const available = this.#chunk.length - this.#at;
    if (available < RECORD_HEADER_LENGTH) return this.#keep();
    const total = this.#recordLength(this.#chunk, this.#at, maxFragment);
    if (available < total) return this.#keep(total);
    const start = this.#at;
    this.#at += total;
    const frame = frameAt(this.#chunk, start, total);
    if (this.#at === this.#chunk.length) this.#forget();
    return frame;
  }

  /** Moves the unfinished record out of the caller's buffer, which may be reused or large. */
  #keep(total = SMALL_RECORD): undefined {
    const available = this.#chunk.length - this.#at;
    if (available > 0) {
      this.#grow(total);
      this.#take(available);
    }
    this.#forget();
    return undefined;
  }

  #nextStraddling(maxFragment: number): Frame | undefined {
    if (!this.#fillTo(RECORD_HEADER_LENGTH)) return undefined;
    const total = this.#recordLength(this.#partial, 0, maxFragment);
    if (!this.#fillTo(total)) return undefined;
    this.#partialLength = 0;
    return frameAt(this.#partial, 0, total);
  }

  #fillTo(total: number): boolean {
    const missing = total - this.#partialLength;
    if (missing <= 0) return true;
    const available = Math.min(missing, this.#chunk.length - this.#at);
    this.#grow(total);
    this.#take(available);
    if (this.#at === this.#chunk.length) this.#forget();
    return available === missing;
  }

  /** Refuses what cannot be a record as soon as its header is there: a peer that speaks another protocol sends no more. */
  #recordLength(bytes: Uint8Array, at: number, maxFragment: number): number {
    const type = bytes[at] as number;
    if (
      (type < ContentType.change_cipher_spec || type > ContentType.application_data) &&
      !this.#types.includes(type)
    ) {
      // RFC 8446 §5: an unexpected record type is unexpected_message.
      throw new TlsError(
        'ERR_TLS_UNEXPECTED_MESSAGE',
        `A record has type ${type}; is the peer speaking TLS?`,
      );
    }
    const length = ((bytes[at + 3] as number) << 8) | (bytes[at + 4] as number);
    if (length > maxFragment) {
      throw new TlsError(
        'ERR_TLS_RECORD_OVERFLOW',
        `A record announces ${length} bytes; at most ${maxFragment} are allowed`,
      );
    }
    return RECORD_HEADER_LENGTH + length;
  }

  #grow(capacity: number): void {
    if (this.#partial.length >= capacity) return;
    const bigger = new Uint8Array(capacity);
    bigger.set(this.#partial.subarray(0, this.#partialLength));
    this.#partial = bigger;
  }

  #take(length: number): void {
    this.#partial.set(this.#chunk.subarray(this.#at, this.#at + length), this.#partialLength);
    this.#partialLength += length;
    this.#at += length;
  }

  #forget(): void {
    this.#chunk = NOTHING;
    this.#at = 0;
  }
}

const NOTHING = new Uint8Array(0);
const NO_TYPES: readonly number[] = [];
/** Room for a header that came in two parts, and for an alert or a short message behind it. */
const SMALL_RECORD = 64;

function frameAt(bytes: Uint8Array, start: number, total: number): Frame {
  return {
    type: bytes[start] as number,
    header: bytes.subarray(start, start + RECORD_HEADER_LENGTH),
    fragment: bytes.subarray(start + RECORD_HEADER_LENGTH, start + total),
  };
}
