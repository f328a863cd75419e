import crypto, { type KeyObject } from 'node:crypto';

/** Pairs kept ready at most: enough for a burst of handshakes, and 8 × 50 µs of another core's time to fill. */
export const MAX_RESERVE = 8;

interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/**
 * Ephemeral X25519 pairs made ahead on libuv's thread pool, each used once. Making one here and now takes as long as
 * the key agreement itself; a process that does many handshakes lets another core do it (bench/handshake).
 */
const reserve: KeyPair[] = [];
let coming = 0;
let taken = 0;

export function takeX25519Pair(): KeyPair {
  const pair = reserve.pop() ?? crypto.generateKeyPairSync('x25519');
  taken++;
  refill();
  return pair;
}

/**
 * A process that takes few pairs makes few ahead. One that takes many lets half of the reserve go first, and then wakes the
 * pool once for all of them: a job that wakes a thread costs the main thread more than handing it over.
 */
function refill(): void {
  if (taken > MAX_RESERVE && reserve.length + coming > MAX_RESERVE / 2) return;
  while (reserve.length + coming < Math.min(taken - 1, MAX_RESERVE)) {
    coming++;
    crypto.generateKeyPair('x25519', undefined, (error, publicKey, privateKey) => {
      coming--;
      // Without a reserve the next one is made when it is needed, and its error is reported there.
      if (error === null) reserve.push({ publicKey, privateKey });
    });
  }
}
