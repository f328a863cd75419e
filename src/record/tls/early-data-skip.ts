import { TlsError } from '../../errors/errors.ts';
import type { Opener } from './protection.ts';

/**
 * Bytes of 0-RTT records that a server which accepts none throws away unread. It has given no ticket for them; another
 * server under its name may have, and what fits the first flight of a connection (about 14 KiB) fits here.
 */
export const MAX_SKIPPED_EARLY_DATA = 16_384;

/** Bounds the 0-RTT data of a client whose offer is not taken (RFC 8446 §4.2.10). */
export class EarlyDataSkip {
  /** Of the handshake keys; absent while a second ClientHello is awaited. */
  opener: Opener | undefined;
  readonly #limit: number;
  #left: number;

  constructor(limit: number) {
    this.#limit = limit;
    this.#left = limit;
  }

  /**
   * Whether a protected record is early data.
   * @throws TlsError ERR_TLS_UNEXPECTED_MESSAGE beyond the limit
   */
  covers(header: Uint8Array, fragment: Uint8Array): boolean {
    if (this.opener?.opens(header, fragment)) return false;
    // Even an empty record costs the attempt to open it.
    this.#left -= Math.max(fragment.length, 1);
    if (this.#left < 0) {
      throw new TlsError(
        'ERR_TLS_UNEXPECTED_MESSAGE',
        `The client sends more than ${this.#limit} bytes of early data, which were not accepted`,
      );
    }
    return true;
  }
}
