import { Tag } from '../../der/tags.ts';
import { DecodeError, NotDerError } from '../../errors/errors.ts';

/*
 * The little of BER that a streamed object needs around its content: indefinite lengths (X.690 §8.1.3.6) and an OCTET
 * STRING in pieces (§8.7.3). Everything else is DER, and src/der reads it.
 */

/** Length octet of the indefinite form; only constructed values have it. */
export const INDEFINITE = 0x80;
/** An OCTET STRING made of OCTET STRINGs. */
export const CONSTRUCTED_OCTET_STRING = Tag.octetString | 0x20;
/** Tag and length of the end-of-contents octets. */
export const END_OF_CONTENTS = 0x00;

/** Content of 2^48 bytes is beyond what anyone keeps, and numbers are still exact. */
const MAX_LENGTH_OCTETS = 6;

export interface BerHeader {
  readonly tag: number;
  /** Undefined for the indefinite form. */
  readonly length: number | undefined;
  /** Bytes of identifier and length. */
  readonly size: number;
}

/**
 * Identifier and length at `at`; a definite length is in its shortest form, as in DER.
 * @returns undefined when the bytes end inside of them
 * @throws DecodeError
 */
export function readBerHeader(bytes: Uint8Array, at: number): BerHeader | undefined {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined) return undefined;
  if ((tag & 0x1f) === 0x1f) throw new DecodeError('BER: tag number above 30');
  if (first < 0x80) return { tag, length: first, size: 2 };
  if (first === INDEFINITE) {
    if ((tag & 0x20) === 0) throw new DecodeError('BER: indefinite length of a primitive value');
    return { tag, length: undefined, size: 2 };
  }
  const width = first & 0x7f;
  if (width > MAX_LENGTH_OCTETS) throw new DecodeError(`BER: a length in ${width} octets`);
  if (at + 2 + width > bytes.length) return undefined;
  let length = 0;
  for (let i = 0; i < width; i++) length = length * 0x100 + (bytes[at + 2 + i] as number);
  if (length < 0x80 || length < 2 ** (8 * (width - 1)))
    throw new NotDerError('BER: a length that is not minimal');
  return { tag, length, size: 2 + width };
}

/** Identifier and definite length. */
export function berHeader(tag: number, length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(tag, length);
  const octets: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 0x100)) octets.unshift(rest % 0x100);
  return Uint8Array.of(tag, 0x80 | octets.length, ...octets);
}
