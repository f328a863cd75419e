import { RECORD_CONTENT_MAX } from './limits.ts';

/**
 * The content of one record on its way out, filled by the writers of frames and messages: each asks for room, writes
 * where `content` and `length` say, and moves `length` on. A record is sent when it is full, or by `flush`.
 */
export class RecordBatch {
  readonly #send: (content: Uint8Array) => void;
  #content: Uint8Array | undefined;
  length = 0;

  /** @param send seals the content of one record before it returns: the bytes are reused */
  constructor(send: (content: Uint8Array) => void) {
    this.#send = send;
  }

  get empty(): boolean {
    return this.length === 0;
  }

  /** Bytes that still go into this record. */
  get room(): number {
    return RECORD_CONTENT_MAX - this.length;
  }

  /** The buffer to write into, with at least `bytes` after `length`: this record's, or, when that is full, the next one's. */
  reserve(bytes: number): Uint8Array {
    if (bytes > this.room) this.flush();
    this.#content ??= takeSpare();
    return this.#content;
  }

  /** Bytes that were made elsewhere, however long; a record may end inside them. */
  append(bytes: Uint8Array): void {
    let at = 0;
    if (bytes.length > this.room && bytes.length <= RECORD_CONTENT_MAX) this.flush();
    while (at < bytes.length) {
      const content = this.reserve(1);
      const end = Math.min(bytes.length, at + this.room);
      content.set(bytes.subarray(at, end), this.length);
      this.length += end - at;
      at = end;
    }
  }

  flush(): void {
    const content = this.#content;
    if (content === undefined) return;
    const length = this.length;
    this.#content = undefined;
    this.length = 0;
    if (length > 0) this.#send(content.subarray(0, length));
    spare = content;
  }

  /** Forgets what was not sent. */
  discard(): void {
    if (this.#content !== undefined) spare = this.#content;
    this.#content = undefined;
    this.length = 0;
  }
}

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
