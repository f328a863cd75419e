import { TlsError } from '../errors/errors.ts';

/**
 * Buffers of writers that have finished, for the next ones. V8 puts an array of more than 64 bytes outside of its heap, and
 * takes longer over that than a writer over a message (bench/handshake).
 */
const spares: Uint8Array[] = [];
const SPARE_LENGTH = 1024;
/** Writers that are under way at the same time, one within the body of another. */
const MAX_SPARES = 4;

/**
 * Builds a struct; vectors get their length prefix filled in when their body is done. A writer is over when it has finished.
 */
export class Writer {
  #buffer: Uint8Array;
  #length = 0;

  constructor(capacity = 256) {
    const spare = capacity <= SPARE_LENGTH ? (spares.pop() ?? new Uint8Array(SPARE_LENGTH)) : undefined;
    this.#buffer = spare ?? new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    this.#grow(1);
    this.#buffer[this.#length++] = value;
    return this;
  }

  u16(value: number): this {
    this.#grow(2);
    this.#buffer[this.#length++] = value >>> 8;
    this.#buffer[this.#length++] = value;
    return this;
  }

  u24(value: number): this {
    return this.u8(value >>> 16).u16(value & 0xffff);
  }

  u32(value: number): this {
    return this.u16(Math.floor(value / 0x1_0000)).u16(value & 0xffff);
  }

  bytes(value: Uint8Array): this {
    this.#grow(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** A vector with a 1, 2 or 3 byte length prefix, its body written by `body`. */
  vector(prefix: 1 | 2 | 3, body: Uint8Array | ((writer: this) => void)): this {
    const start = this.#length;
    this.#grow(prefix);
    this.#length += prefix;
    if (typeof body === 'function') body(this);
    else this.bytes(body);
    const length = this.#length - start - prefix;
    if (length >= 2 ** (8 * prefix)) {
      throw new TlsError(
        'ERR_TLS_INTERNAL',
        `A vector of ${length} bytes does not fit its ${prefix}-byte length`,
      );
    }
    for (let i = 0; i < prefix; i++) this.#buffer[start + i] = length >>> (8 * (prefix - 1 - i));
    return this;
  }

  /** A copy of what was written, exactly as long. */
  finish(): Uint8Array {
    const written = this.#buffer.slice(0, this.#length);
    giveBack(this.#buffer, this.#length);
    this.#buffer = OVER;
    return written;
  }

  #grow(by: number): void {
    const needed = this.#length + by;
    if (needed <= this.#buffer.length) return;
    const bigger = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
    bigger.set(this.#buffer.subarray(0, this.#length));
    giveBack(this.#buffer, this.#length);
    this.#buffer = bigger;
  }
}

function giveBack(buffer: Uint8Array, length: number): void {
  if (buffer.length !== SPARE_LENGTH || spares.length >= MAX_SPARES) return;
  // It may have been a secret.
  buffer.fill(0, 0, length);
  spares.push(buffer);
}

const OVER = new Uint8Array(0);

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
