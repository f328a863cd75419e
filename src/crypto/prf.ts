import { writeLatin1 } from '../wire/latin1.ts';
import { type CryptoProvider, MAC_LENGTH, type MacName, type PrfHash } from './provider.ts';

/**
 * The pseudorandom function: in TLS 1.2 `P_hash(secret, label + seed)` (RFC 5246 §5); before, P_MD5 of the first half of the
 * secret xor P_SHA1 of the second, which share a byte when their number is odd (RFC 4346 §5).
 * @param label ASCII
 */
export function prf(
  crypto: CryptoProvider,
  hash: PrfHash,
  secret: Uint8Array,
  label: string,
  seed: readonly Uint8Array[],
  length: number,
): Uint8Array {
  if (hash !== 'md5-sha1') return expand(crypto, hash, secret, label, seed, length);
  const half = Math.ceil(secret.length / 2);
  const out = expand(crypto, 'md5', secret.subarray(0, half), label, seed, length);
  const other = expand(crypto, 'sha1', secret.subarray(secret.length - half), label, seed, length);
  for (let i = 0; i < length; i++) (out[i] as number) ^= other[i] as number;
  return out;
}

/** `P_hash(secret, label + seed)`. */
function expand(
  crypto: CryptoProvider,
  hash: MacName,
  secret: Uint8Array,
  label: string,
  seed: readonly Uint8Array[],
  length: number,
): Uint8Array {
  const hashLength = MAC_LENGTH[hash];
  // A(i) ‖ label ‖ seed; A(0) is label ‖ seed.
  const seedLength = seed.reduce((sum, part) => sum + part.length, label.length);
  const needed = hashLength + seedLength;
  const block = needed <= SHARED_LENGTH ? shared.subarray(0, needed) : new Uint8Array(needed);
  writeLatin1(label, block, hashLength);
  let at = hashLength + label.length;
  for (const part of seed) {
    block.set(part, at);
    at += part.length;
  }
  const out = new Uint8Array(length);
  let a = crypto.shortHmac(hash, secret, block.subarray(hashLength));
  for (let produced = 0; ; ) {
    block.set(a);
    const next = crypto.shortHmac(hash, secret, block);
    out.set(next.subarray(0, length - produced), produced);
    produced += hashLength;
    if (produced >= length) break;
    a = crypto.shortHmac(hash, secret, a);
  }
  block.fill(0);
  return out;
}

/** Nothing of one call is there after it. Only an exporter's context is longer. */
const SHARED_LENGTH = 512;
const shared = new Uint8Array(SHARED_LENGTH);
