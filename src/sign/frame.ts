import { TlsError } from '../errors/errors.ts';

/**
 * On the wire, content type `tls_sign`: one byte stream for each direction, of
 * ```
 * enum { tls_sign_off(0), tls_sign_on(1) } TLSSignOnOff;
 * struct { uint8 content_type; uint8 flag; uint16 version; uint16 length; opaque signed_data[length]; } TLSSigntext;
 * ```
 */
export const HEADER_BYTES = 6;

export const Switch = { off: 0, on: 1 } as const;

export const Flag = {
  /** A receipt (draft §2.1.1). */
  acknowledgement: 0x80,
  /** The object goes on in the next TLSSigntext of its kind. */
  more: 0x40,
  /** A receipt is asked for. */
  receipt: 0x20,
  /** Data that is not signed, sign type {0,2}. */
  unsigned: 0x10,
} as const;

const KNOWN_FLAGS = Flag.acknowledgement | Flag.more | Flag.receipt | Flag.unsigned;

/** @returns a whole TLSSigntext; `data` is not longer than 65,535 bytes */
export function encodeSigntext(
  contentType: number,
  flags: number,
  version: number,
  data: Uint8Array,
): Uint8Array {
  const out = startSigntext(contentType, flags, version, data.length);
  out.set(data, HEADER_BYTES);
  return out;
}

/** @returns a TLSSigntext whose data are still to be filled in, after its `HEADER_BYTES` */
export function startSigntext(
  contentType: number,
  flags: number,
  version: number,
  length: number,
): Uint8Array {
  const out = new Uint8Array(HEADER_BYTES + length);
  out[0] = contentType;
  out[1] = flags;
  out[2] = version >>> 8;
  out[3] = version;
  out[4] = length >>> 8;
  out[5] = length;
  return out;
}

/**
 * Walks over the byte stream without assembling anything: pieces come out as views on what came in. Keeps at most the
 * 6 bytes of a header that a record cut.
 *
 * ```
 * reader.push(content);
 * while (reader.next()) use(reader.kind, reader.piece …);
 * ```
 */
export class SignReader {
  /** Of what `next` has found. */
  kind: 'on' | 'off' | 'text' = 'off';
  contentType = 0;
  flags = 0;
  piece: Uint8Array = EMPTY;
  /** The piece is the last of its TLSSigntext. */
  ends = false;

  readonly #contentTypes: readonly number[];
  readonly #version: number;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerLength = 0;
  #remaining = 0;
  #content: Uint8Array = EMPTY;
  #at = 0;

  /** @param contentTypes that data can have had */
  constructor(contentTypes: readonly number[], version: number) {
    this.#contentTypes = contentTypes;
    this.#version = version;
  }

  /** Gives the next bytes of the stream; those given before must have been walked over. */
  push(content: Uint8Array): void {
    this.#content = content;
    this.#at = 0;
  }

  /** The stream stops inside a TLSSigntext. */
  get midText(): boolean {
    return this.#remaining > 0 || this.#headerLength > 0;
  }

  /**
   * @returns false when the bytes given so far are used up
   * @throws TlsError ERR_TLS_ILLEGAL_PARAMETER for a header with anything in it that has no meaning
   */
  next(): boolean {
    if (this.#at === this.#content.length) return this.#usedUp();
    if (this.#remaining === 0) {
      const first = this.#content[this.#at] as number;
      if (this.#headerLength === 0 && first <= Switch.on) {
        this.#at++;
        this.kind = first === Switch.on ? 'on' : 'off';
        this.piece = EMPTY;
        return true;
      }
      if (!this.#readHeader()) return this.#usedUp();
      if (this.#at === this.#content.length) return this.#usedUp();
    }
    const end = Math.min(this.#at + this.#remaining, this.#content.length);
    this.kind = 'text';
    this.piece = this.#content.subarray(this.#at, end);
    this.#remaining -= end - this.#at;
    this.ends = this.#remaining === 0;
    this.#at = end;
    return true;
  }

  /** Of what cannot be taken: the header as far as it has come, or the piece that `next` has found. */
  remains(): { readonly contentType: number; readonly flags: number; readonly bytes: Uint8Array } {
    if (this.#headerLength === 0)
      return { contentType: this.contentType, flags: this.flags, bytes: this.piece };
    const bytes = this.#header.slice(0, this.#headerLength);
    return { contentType: bytes[0] as number, flags: bytes[1] ?? 0, bytes };
  }

  #usedUp(): false {
    this.piece = EMPTY;
    this.#content = EMPTY;
    this.#at = 0;
    return false;
  }

  /** @returns false when there is only a part of it; what is wrong with that is told at once all the same */
  #readHeader(): boolean {
    const header = this.#header;
    while (this.#headerLength < HEADER_BYTES) {
      if (this.#at === this.#content.length) return false;
      header[this.#headerLength++] = this.#content[this.#at++] as number;
      this.#checkHeader(this.#headerLength);
    }
    this.#headerLength = 0;
    this.contentType = header[0] as number;
    this.flags = header[1] as number;
    this.#remaining = u16(header, 4);
    return true;
  }

  /** @param length bytes of the header that are there */
  #checkHeader(length: number): void {
    const header = this.#header;
    const flags = header[1] as number;
    if (length === 1 && !this.#contentTypes.includes(header[0] as number))
      throw illegal(`content type ${header[0]}, which is not signed in this session`);
    if (length === 2 && (flags & ~KNOWN_FLAGS) !== 0) throw illegal(`flags 0x${flags.toString(16)}`);
    // A receipt is signed, and asks for no receipt.
    const isReceipt = (flags & Flag.acknowledgement) !== 0;
    if (length === 2 && isReceipt && (flags & (Flag.receipt | Flag.unsigned)) !== 0)
      throw illegal(`flags 0x${flags.toString(16)}, which contradict each other`);
    if (length === 4 && u16(header, 2) !== this.#version)
      throw illegal(
        `version 0x${u16(header, 2).toString(16)}, negotiated is 0x${this.#version.toString(16)}`,
      );
    // An object has bytes, and so has each part of it: nothing would be free to send without end.
    if (length === HEADER_BYTES && u16(header, 4) === 0) throw illegal('no data');
  }
}

const EMPTY = new Uint8Array(0);

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

function illegal(what: string): TlsError {
  return new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `TLSSigntext with ${what}`);
}
