import crypto from 'node:crypto';

/** A handshake draws about 150 bytes in small pieces; OpenSSL takes as long for 16 bytes as for a few hundred. */
const POOL_LENGTH = 4096;
/** Longer draws go to OpenSSL directly. */
const MAX_FROM_POOL = 64;

const pool = Buffer.alloc(POOL_LENGTH);
let used = POOL_LENGTH;

/** Cryptographically random bytes, each given out once and wiped from the pool. */
export function randomBytes(length: number): Uint8Array {
  if (length > MAX_FROM_POOL) return crypto.randomBytes(length);
  if (used + length > POOL_LENGTH) {
    crypto.randomFillSync(pool);
    used = 0;
  }
  const bytes = Uint8Array.prototype.slice.call(pool, used, used + length);
  pool.fill(0, used, used + length);
  used += length;
  return bytes;
}
