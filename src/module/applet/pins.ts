import type { CryptoProvider } from '../../crypto/provider.ts';
import { Status } from '../apdu/status.ts';
import { Refused } from './refused.ts';

/** As bank cards and the seed's applet have it: guessing 4 digits succeeds once in 3,333 cards. */
export const MAX_PIN_TRIES = 3;
/** Bytes of a PIN with its padding. */
export const PIN_BLOCK = 8;
const MIN_PIN = 4;
const PADDING = 0xff;
const SALT_LENGTH = 16;

/** A PIN at rest: HMAC-SHA-256 under a salt, so that it stands in clear nowhere, not even in the module's memory. */
export interface PinRecord {
  readonly salt: Uint8Array;
  readonly mac: Uint8Array;
  /** Left, 0 to MAX_PIN_TRIES. */
  readonly tries: number;
}

export type PinOwner = 'user' | 'operator';

/**
 * 4 to 8 ASCII digits, padded with FF to 8 bytes or not at all.
 * @throws Refused 6A80; that is no guess and costs no try
 */
export function decodePin(block: Uint8Array): Uint8Array {
  let end = block.length;
  if (end === PIN_BLOCK) while (end > 0 && block[end - 1] === PADDING) end--;
  const digits = block.subarray(0, end);
  if (end < MIN_PIN || end > PIN_BLOCK || !digits.every((digit) => digit >= 0x30 && digit <= 0x39)) {
    throw new Refused(Status.malformed);
  }
  return digits;
}

export function sealPin(crypto: CryptoProvider, digits: Uint8Array): PinRecord {
  const salt = crypto.randomBytes(SALT_LENGTH);
  return { salt, mac: crypto.hmac('sha256', salt, digits), tries: MAX_PIN_TRIES };
}
