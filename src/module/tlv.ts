import { DecodeError } from '../errors/errors.ts';
import { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';

/** `uint8 tag; opaque value<0..2^16-1>;` as Open, Session information and provisioning use it. */
export interface Tlv {
  readonly tag: number;
  readonly value: Uint8Array;
}

/** Values are views. @throws DecodeError */
export function readTlvs(bytes: Uint8Array, what: string): Tlv[] {
  const r = new Reader(bytes, what);
  const fields: Tlv[] = [];
  while (r.remaining > 0) fields.push({ tag: r.u8(), value: r.vector(2) });
  return fields;
}

export function writeTlvs(fields: readonly (Tlv | undefined)[]): Uint8Array {
  const writer = new Writer(512);
  for (const field of fields) if (field !== undefined) writer.u8(field.tag).vector(2, field.value);
  return writer.finish();
}

/** Fields by tag: each once, but those of `repeated` any number of times; no others than are `known`. */
export class TlvFields {
  readonly #what: string;
  readonly #byTag = new Map<number, Uint8Array[]>();

  /** @throws DecodeError */
  constructor(bytes: Uint8Array, what: string, known: readonly number[], repeated: readonly number[] = []) {
    this.#what = what;
    for (const { tag, value } of readTlvs(bytes, what)) {
      if (!known.includes(tag)) throw new DecodeError(`${what}: unknown field ${tag.toString(16)}`);
      const values = this.#byTag.get(tag);
      if (values === undefined) this.#byTag.set(tag, [value]);
      else if (repeated.includes(tag)) values.push(value);
      else throw new DecodeError(`${what}: field ${tag.toString(16)} comes twice`);
    }
  }

  get(tag: number): Uint8Array | undefined {
    return this.#byTag.get(tag)?.[0];
  }

  all(tag: number): readonly Uint8Array[] {
    return this.#byTag.get(tag) ?? [];
  }

  /** A big-endian number of exactly `length` bytes, at most 6. @throws DecodeError */
  number(tag: number, length: number): number | undefined {
    const value = this.get(tag);
    if (value === undefined) return undefined;
    if (value.length !== length) {
      throw new DecodeError(
        `${this.#what}: field ${tag.toString(16)} has ${value.length} bytes, not ${length}`,
      );
    }
    return value.reduce((sum, byte) => sum * 256 + byte, 0);
  }
}

/** @param length bytes, at most 6 */
export function numberTlv(tag: number, value: number, length: number): Tlv {
  const bytes = new Uint8Array(length);
  for (let i = length - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
  return { tag, value: bytes };
}
