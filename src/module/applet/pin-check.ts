import type { CryptoProvider } from '../../crypto/provider.ts';
import { pinWrongStatus, Status } from '../apdu/status.ts';
import type { PersistentState } from './persistent.ts';
import { decodePin, MAX_PIN_TRIES, PIN_BLOCK, type PinOwner, sealPin } from './pins.ts';
import { Refused } from './refused.ts';

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
