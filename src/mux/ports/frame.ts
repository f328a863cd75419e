import { DecodeError, TlsError } from '../../errors/errors.ts';

/**
 * Ports mode on the wire, content type `mtls`:
 * ```
 * uint16 source_port; uint16 destination_port; uint16 length; opaque data[length];
 * ```
 * Over TLS the records form a byte stream: frames share records and span them.
 */
export const FRAME_HEADER = 6;

/** Both ports 0: data is `client_port(2) application_port(2) code(1)`. */
export const CONTROL_LENGTH = 5;

export const ControlCode = {
  open: 0,
  refused: 1,
  /** Also the answer to `refused` and `abort`. */
  abort: 2,
} as const;

export type ControlCode = (typeof ControlCode)[keyof typeof ControlCode];

export interface Control {
  readonly clientPort: number;
  readonly applicationPort: number;
  readonly code: ControlCode;
}

/** Writes a frame header at `at`. @returns the position after it */
export function writeFrameHeader(
  out: Uint8Array,
  at: number,
  source: number,
  destination: number,
  length: number,
): number {
  out[at] = source >>> 8;
  out[at + 1] = source;
  out[at + 2] = destination >>> 8;
  out[at + 3] = destination;
  out[at + 4] = length >>> 8;
  out[at + 5] = length;
  return at + FRAME_HEADER;
}

/** Writes a whole control frame at `at`, 11 bytes. @returns the position after it */
export function writeControl(out: Uint8Array, at: number, control: Control): number {
  const data = writeFrameHeader(out, at, 0, 0, CONTROL_LENGTH);
  out[data] = control.clientPort >>> 8;
  out[data + 1] = control.clientPort;
  out[data + 2] = control.applicationPort >>> 8;
  out[data + 3] = control.applicationPort;
  out[data + 4] = control.code;
  return data + CONTROL_LENGTH;
}

/**
 * Walks over the frames of a byte stream without assembling them: data comes out as views on what came in, piece by
 * piece. Keeps at most the 6 bytes of a header that a record cut.
 *
 * ```
 * reader.push(content);
 * while (reader.next()) use(reader.source, reader.destination, reader.piece …);
 * ```
 * The fields describe the piece found by the latest `next()`; one object per session, no allocation but the views.
 */
export class FrameReader {
  source = 0;
  destination = 0;
  /** Data bytes of the whole frame; 0 is a frame without data. */
  length = 0;
  /** First piece of its frame. It may be empty, when the record ends behind the header. */
  starts = false;
  piece: Uint8Array = EMPTY;

  readonly #header = new Uint8Array(FRAME_HEADER);
  #headerLength = 0;
  /** Data bytes of the current frame that have not come. */
  #remaining = 0;
  #content: Uint8Array = EMPTY;
  #at = 0;

  /** Gives the next bytes of the stream; those given before must have been walked over. */
  push(content: Uint8Array): void {
    this.#content = content;
    this.#at = 0;
  }

  /** @returns false when the bytes given so far are used up */
  next(): boolean {
    this.starts = this.#remaining === 0;
    if (this.starts) {
      if (!this.#readHeader()) {
        this.piece = EMPTY;
        this.#content = EMPTY;
        return false;
      }
    } else if (this.#at === this.#content.length) {
      this.piece = EMPTY;
      this.#content = EMPTY;
      return false;
    }
    const end = Math.min(this.#at + this.#remaining, this.#content.length);
    this.piece = this.#at === end ? EMPTY : this.#content.subarray(this.#at, end);
    this.#remaining -= end - this.#at;
    this.#at = end;
    return true;
  }

  /** The stream stops inside a frame. */
  get midFrame(): boolean {
    return this.#remaining > 0 || this.#headerLength > 0;
  }

  #readHeader(): boolean {
    const content = this.#content;
    let header = content;
    let at = this.#at;
    if (this.#headerLength > 0 || content.length - at < FRAME_HEADER) {
      const wanted = Math.min(FRAME_HEADER - this.#headerLength, content.length - at);
      this.#header.set(content.subarray(at, at + wanted), this.#headerLength);
      this.#headerLength += wanted;
      this.#at = at + wanted;
      if (this.#headerLength < FRAME_HEADER) return false;
      this.#headerLength = 0;
      header = this.#header;
      at = 0;
    } else {
      this.#at = at + FRAME_HEADER;
    }
    this.source = u16(header, at);
    this.destination = u16(header, at + 2);
    this.length = u16(header, at + 4);
    this.#remaining = this.length;
    return true;
  }
}

/** Collects the five bytes of a control frame, which may come in pieces. */
export class ControlReader {
  readonly #bytes = new Uint8Array(CONTROL_LENGTH);
  #have = 0;

  /**
   * @param length of the whole frame
   * @returns the control message once it is complete
   * @throws DecodeError when the frame is not 5 bytes
   * @throws TlsError ERR_TLS_ILLEGAL_PARAMETER for a port 0 or a code that does not exist
   */
  push(piece: Uint8Array, length: number): Control | undefined {
    if (length !== CONTROL_LENGTH) throw new DecodeError(`mux control frame of ${length} bytes, must be 5`);
    this.#bytes.set(piece, this.#have);
    this.#have += piece.length;
    if (this.#have < CONTROL_LENGTH) return undefined;
    this.#have = 0;
    const clientPort = u16(this.#bytes, 0);
    const applicationPort = u16(this.#bytes, 2);
    const code = this.#bytes[4] as number;
    if (clientPort === 0 || applicationPort === 0) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        `mux control for the pair ${clientPort}, ${applicationPort}`,
      );
    }
    if (!isControlCode(code)) {
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `mux control code ${code} does not exist`);
    }
    return { clientPort, applicationPort, code };
  }
}

const EMPTY = new Uint8Array(0);

function isControlCode(code: number): code is ControlCode {
  return code <= ControlCode.abort;
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}
