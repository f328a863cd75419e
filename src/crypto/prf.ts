import { type CryptoProvider, HASH_LENGTH, type HashName } from './provider.ts';

/**
 * The pseudorandom function of TLS 1.2, RFC 5246 §5: `P_hash(secret, label + seed)`.
 * @param label ASCII
 */
export function prf(
  crypto: CryptoProvider,
  hash: HashName,
  secret: Uint8Array,
  label: string,
  seed: readonly Uint8Array[],
  length: number,
): Uint8Array {
  const hashLength = HASH_LENGTH[hash];
  // A(i) ‖ label ‖ seed; A(0) is label ‖ seed.
  const seedLength = seed.reduce((sum, part) => sum + part.length, label.length);
  const block = new Uint8Array(hashLength + seedLength);
  let at = hashLength;
  for (let i = 0; i < label.length; i++) block[at++] = label.charCodeAt(i);
  for (const part of seed) {
    block.set(part, at);
    at += part.length;
  }
  const out = new Uint8Array(length);
  let a = crypto.hmac(hash, secret, block.subarray(hashLength));
  for (let produced = 0; ; ) {
    block.set(a);
    const next = crypto.hmac(hash, secret, block);
    out.set(next.subarray(0, length - produced), produced);
    produced += hashLength;
    if (produced >= length) return out;
    a = crypto.hmac(hash, secret, a);
  }
}
