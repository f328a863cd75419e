import type { CryptoProvider } from '../../crypto/provider.ts';
import { pinWrongStatus, Status } from '../apdu/status.ts';
import type { PersistentState } from './persistent.ts';
import { Refused } from './refused.ts';

/** As bank cards and the seed's applet have it: guessing 4 digits succeeds once in 3,333 cards. */
export const MAX_PIN_TRIES = 3;
const PIN_BLOCK = 8;
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

/**
 * Compares a PIN. A wrong one costs a try whatever happens to the power: the try is taken, and that is durable, before
 * anything is compared; it is given back, durably, before the answer leaves.
 *
 * @throws Refused 63Cx, 6983; whatever the store throws
 */
export function checkPin(
  crypto: CryptoProvider,
  state: PersistentState,
  owner: PinOwner,
  digits: Uint8Array,
): void {
  const record = state.pin(owner);
  if (record.tries === 0) throw new Refused(Status.pinBlocked);
  const tries = record.tries - 1;
  state.setPin(owner, { ...record, tries });
  if (!crypto.equal(crypto.hmac('sha256', record.salt, digits), record.mac)) {
    throw new Refused(pinWrongStatus(tries));
  }
  state.setPin(owner, { ...record, tries: MAX_PIN_TRIES });
}

/** Old PIN and new PIN, 8 bytes each. @throws Refused as `checkPin`; 6700 */
export function changePin(
  crypto: CryptoProvider,
  state: PersistentState,
  owner: PinOwner,
  data: Uint8Array,
): void {
  if (data.length !== 2 * PIN_BLOCK) throw new Refused(Status.wrongLength);
  // The form of both before a try is spent.
  const old = decodePin(data.subarray(0, PIN_BLOCK));
  const digits = decodePin(data.subarray(PIN_BLOCK));
  checkPin(crypto, state, owner, old);
  state.setPin(owner, sealPin(crypto, digits));
}
