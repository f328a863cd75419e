import { RECORD_CONTENT_MAX } from '../limits.ts';
import { CONTROL_LENGTH, type Control, FRAME_HEADER, writeControl, writeFrameHeader } from './frame.ts';

/**
 * Frames on their way out, packed so that each record is full and none holds part of a frame: the receiver then gets
 * each frame's data as one piece, and the data is copied once, into the record's content.
 */
export class FrameBatch {
  readonly #send: (content: Uint8Array) => void;
  #content: Uint8Array | undefined;
  #length = 0;

  /** @param send seals the content of one record before it returns: the bytes are reused */
  constructor(send: (content: Uint8Array) => void) {
    this.#send = send;
  }

  get empty(): boolean {
    return this.#length === 0;
  }

  data(source: number, destination: number, data: Uint8Array): void {
    let at = 0;
    while (at < data.length) {
      const left = data.length - at;
      const room = RECORD_CONTENT_MAX - this.#length - FRAME_HEADER;
      if (room < left && room < SMALLEST_CUT) {
        this.flush();
        continue;
      }
      const length = Math.min(left, room);
      const content = this.#begin();
      const start = writeFrameHeader(content, this.#length, source, destination, length);
      content.set(length === data.length ? data : data.subarray(at, at + length), start);
      this.#length = start + length;
      at += length;
    }
  }

  /** A frame without data. */
  end(source: number, destination: number): void {
    if (this.#length + FRAME_HEADER > RECORD_CONTENT_MAX) this.flush();
    this.#length = writeFrameHeader(this.#begin(), this.#length, source, destination, 0);
  }

  control(control: Control): void {
    if (this.#length + FRAME_HEADER + CONTROL_LENGTH > RECORD_CONTENT_MAX) this.flush();
    this.#length = writeControl(this.#begin(), this.#length, control);
  }

  flush(): void {
    const content = this.#content;
    if (content === undefined) return;
    const length = this.#length;
    this.#content = undefined;
    this.#length = 0;
    this.#send(content.subarray(0, length));
    spare = content;
  }

  /** Forgets what was not sent. */
  discard(): void {
    if (this.#content !== undefined) spare = this.#content;
    this.#content = undefined;
    this.#length = 0;
  }

  #begin(): Uint8Array {
    this.#content ??= takeSpare();
    return this.#content;
  }
}

/** Data is not cut to fill less than this at a record's end: two frames would cost more than the record saves. */
const SMALLEST_CUT = 1_024;

/**
 * One buffer that all sessions hand on, because a session that waits should hold none. Only what was written since it
 * was taken is ever sent.
 */
let spare: Uint8Array | undefined;

function takeSpare(): Uint8Array {
  const content = spare ?? new Uint8Array(RECORD_CONTENT_MAX);
  spare = undefined;
  return content;
}
