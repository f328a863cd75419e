import { DecodeError } from '../errors/errors.ts';

/**
 * Reads one complete, already delimited message. Running out of bytes is malformed input
 * (`DecodeError`): whoever delimits messages has waited for all of them.
 * Byte fields are views on the input, not copies.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #at = 0;

  /** @param what name of the struct, for error messages */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    const at = this.#take(1);
    return this.#bytes[at] as number;
  }

  u16(): number {
    const at = this.#take(2);
    return ((this.#bytes[at] as number) << 8) | (this.#bytes[at + 1] as number);
  }

  u24(): number {
    return (this.u8() << 16) | this.u16();
  }

  u32(): number {
    return this.u16() * 0x1_0000 + this.u16();
  }

  bytes(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  /** `opaque x<min..max>` whose length prefix is 1, 2 or 3 bytes wide. */
  vector(prefix: 1 | 2 | 3, min = 0, max = Number.POSITIVE_INFINITY): Uint8Array {
    const length = prefix === 1 ? this.u8() : prefix === 2 ? this.u16() : this.u24();
    if (length < min || length > max) {
      throw new DecodeError(`${this.#what}: vector of ${length} bytes, allowed ${min} to ${max}`);
    }
    return this.bytes(length);
  }

  /** `T x<min..max>`: items read until the vector ends exactly. */
  list<T>(prefix: 1 | 2 | 3, read: (reader: Reader) => T, min = 0, max = Number.POSITIVE_INFINITY): T[] {
    const inner = new Reader(this.vector(prefix, min, max), this.#what);
    const items: T[] = [];
    while (inner.remaining > 0) items.push(read(inner));
    return items;
  }

  /** Every parser ends with this: bytes left over are malformed input. */
  end(): void {
    if (this.remaining !== 0) throw new DecodeError(`${this.#what}: ${this.remaining} bytes after its end`);
  }

  #take(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) {
      throw new DecodeError(`${this.#what}: ends ${at + length - this.#bytes.length} bytes early`);
    }
    this.#at = at + length;
    return at;
  }
}
