import type { Suite12 } from '../../crypto/suites12.ts';
import { TlsError } from '../../errors/errors.ts';
import { MAX_PLAINTEXT, RECORD_HEADER_LENGTH } from './deframer.ts';

/* What records of TLS 1.2 and before have in common, whatever protects them. */

/** What protects one direction of a session of TLS 1.2 or before, cut from the key block (RFC 5246 §6.3). */
export interface Keys12 {
  readonly suite: Suite12;
  /** Empty with an AEAD. */
  readonly macKey: Uint8Array;
  readonly key: Uint8Array;
  /** Of CBC only in TLS 1.0, where it is that of the first record; else records bring their own. */
  readonly iv: Uint8Array;
  /** CBC: encrypt_then_mac was not agreed on. */
  readonly macThenEncrypt?: boolean | undefined;
}

/**
 * Records under one AES-GCM key. TLS 1.2 cannot change a key, and its nonces do not repeat; but what an attacker could
 * learn grows with the square of the records (RFC 8446 §5.5 stops at 2^24.5 for 2^-57). At 2^32, 64 TiB, it is 2^-42.
 */
export const MAX_RECORDS_12 = 2 ** 32;

/**
 * What AEADs and MACs cover of a record beside its content, of so many bytes (RFC 5246 §6.2.3, RFC 6347 §4.1.2.1, RFC 9146 §5).
 * The length is in its last two bytes. May be a view that the next call overwrites.
 */
export type HeadOf = (length: number) => Uint8Array;

/** How a suite protects the fragments of one direction: of records of TLS, or of datagrams. */
export interface Cipher12 {
  /** Records that one key seals. */
  readonly recordLimit: number;
  /** Who sees a fragment knows the IV of the next. */
  readonly chained: boolean;
  /** At least so many bytes of content are in a fragment of so many. */
  leastContent(length: number): number;
  /** At most so many bytes of content go into a fragment of at most so many; below 0 where there is no room for any. */
  mostContent(length: number): number;
  /** @param number of the record: eight bytes, of which no view is kept. @returns the fragment, in pieces */
  seal(number: Uint8Array, head: HeadOf, content: Uint8Array): readonly Uint8Array[];
  /** @returns `undefined` whatever is wrong */
  open(number: Uint8Array, head: HeadOf, fragment: Uint8Array): Uint8Array | undefined;
}

const SEQUENCE_LENGTH = 8;
const HEAD_LENGTH = SEQUENCE_LENGTH + RECORD_HEADER_LENGTH;

/** Counts the records of one direction under one key. */
export class Sequence12 {
  /** The number of the next record, in eight bytes. A view that `advance` changes. */
  readonly bytes = new Uint8Array(SEQUENCE_LENGTH);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** A view that the next call of any Sequence12 overwrites. */
  head(type: number, version: number, length: number): Uint8Array {
    scratch.set(this.bytes);
    scratch[8] = type;
    scratch[9] = version >> 8;
    scratch[10] = version & 0xff;
    scratch[11] = length >> 8;
    scratch[12] = length & 0xff;
    return scratch;
  }

  /** @throws TlsError ERR_TLS_KEY_LIMIT: sequence numbers do not wrap (RFC 5246 §6.1) */
  advance(): void {
    if (this.#count >= Number.MAX_SAFE_INTEGER)
      throw new TlsError('ERR_TLS_KEY_LIMIT', 'Too many records under one key');
    this.#count++;
    for (let i = SEQUENCE_LENGTH - 1; i >= 0; i--) {
      const byte = ((this.bytes[i] as number) + 1) & 0xff;
      this.bytes[i] = byte;
      if (byte !== 0) return;
    }
  }
}

export function badMac(): TlsError {
  return new TlsError('ERR_TLS_BAD_RECORD_MAC', 'A record does not decrypt under this key');
}

/** RFC 5246 §6.2.1. @throws TlsError ERR_TLS_RECORD_OVERFLOW */
export function requirePlaintext(length: number): void {
  if (length > MAX_PLAINTEXT)
    throw new TlsError('ERR_TLS_RECORD_OVERFLOW', `A record holds ${length} bytes of plaintext`);
}

/** Shared scratch: nobody keeps it. */
const scratch = new Uint8Array(HEAD_LENGTH);
