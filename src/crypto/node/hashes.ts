import crypto from 'node:crypto';
import { latin1Bytes, writeLatin1 } from '../../wire/latin1.ts';
import { type HashName, MAC_LENGTH, type MacName, type PrfHash, type RunningHash } from '../provider.ts';

/*
 * node:crypto puts each digest that it gives as bytes into memory of its own outside the heap, which takes longer than the
 * hash of a short message; a digest as a string of Latin-1 is made on the heap. So everything here asks for strings (bench/handshake).
 */

export function digest(name: HashName | 'sha1', data: Uint8Array): Uint8Array {
  return latin1Bytes(crypto.hash(name, data, 'binary'));
}

/**
 * Bytes that a running hash keeps rather than hashes. A transcript is asked for its digest six times: to hash a kilobyte
 * again takes no longer than to copy OpenSSL's object for it, and leaves none behind to be collected.
 */
const MAX_KEPT = 2048;
/** What a ClientHello and its answer fit in. */
const FIRST_CAPACITY = 1024;

const NOTHING = new Uint8Array(0);

export function runningHash(name: PrfHash): RunningHash {
  return new KeptHash(name);
}

class KeptHash implements RunningHash {
  readonly #name: PrfHash;
  #kept: Uint8Array = NOTHING;
  #length = 0;
  /** In place of what was kept, when that became too long. */
  #hash: crypto.Hash | undefined;

  constructor(name: PrfHash) {
    this.#name = name;
  }

  update(data: Uint8Array): void {
    const length = this.#length + data.length;
    if (this.#hash === undefined && length > MAX_KEPT) {
      this.#hash = crypto.createHash(this.#name).update(this.#kept.subarray(0, this.#length));
      this.#kept = NOTHING;
    }
    if (this.#hash !== undefined) {
      this.#hash.update(data);
      return;
    }
    if (length > this.#kept.length) {
      const longer = length > FIRST_CAPACITY ? new Uint8Array(MAX_KEPT) : firstPlace();
      longer.set(this.#kept);
      this.#kept = longer;
    }
    this.#kept.set(data, this.#length);
    this.#length = length;
  }

  snapshot(): Uint8Array {
    return latin1Bytes(
      this.#hash === undefined
        ? crypto.hash(this.#name, this.#kept.subarray(0, this.#length), 'binary')
        : this.#hash.copy().digest('binary'),
    );
  }

  copy(): RunningHash {
    const copy = new KeptHash(this.#name);
    if (this.#hash === undefined) copy.update(this.#kept.subarray(0, this.#length));
    else copy.#hash = this.#hash.copy();
    return copy;
  }
}

/** Sixteen handshakes share the memory of their first kilobytes, and one allocation. Each place is used once. */
const PLACES = 16;
let places: Uint8Array = NOTHING;

function firstPlace(): Uint8Array {
  if (places.length === 0) places = new Uint8Array(PLACES * FIRST_CAPACITY);
  const place = places.subarray(0, FIRST_CAPACITY);
  places = places.subarray(FIRST_CAPACITY);
  return place;
}

/** `CryptoProvider.hmac`: OpenSSL's own, whatever the length. */
export function hmac(name: MacName, key: Uint8Array, data: Uint8Array): Uint8Array {
  return crypto.createHmac(name, hmacKey(key)).update(data).digest();
}

/**
 * Node 24 takes 16 µs longer over a key in bytes than over a KeyObject made of it; Node 20 is faster with the bytes
 * (bench/handshake).
 */
const hmacKey: (key: Uint8Array) => Uint8Array | crypto.KeyObject =
  Number.parseInt(process.versions.node, 10) >= 23 ? (key) => crypto.createSecretKey(key) : (key) => key;

/** Bytes; longer messages are not what `shortHmac` is for. The longest HkdfLabel has 514 (RFC 8446 §7.1). */
const MAX_SHORT = 1024;
const BLOCK_LENGTH: Readonly<Record<MacName, number>> = {
  md5: 64,
  sha1: 64,
  sha256: 64,
  sha384: 128,
  sha512: 128,
};
const MAX_BLOCK = 128;
const INNER_PAD = 0x36;
const OUTER_PAD = 0x5c;

/** Key block, then message; and key block, then inner digest. Nothing of one call is there after it but the message. */
const inner = new Uint8Array(MAX_BLOCK + MAX_SHORT);
const outer = new Uint8Array(MAX_BLOCK + MAC_LENGTH.sha512);

/**
 * `CryptoProvider.shortHmac`: RFC 2104 on two one-shot hashes, `H(K ⊕ opad ‖ H(K ⊕ ipad ‖ data))`. A handshake makes some
 * fifty of them, and an Hmac object costs as much as two of these.
 */
export function shortHmac(name: MacName, key: Uint8Array, data: Uint8Array): Uint8Array {
  const block = BLOCK_LENGTH[name];
  if (data.length > MAX_SHORT || key.length > block) return hmac(name, key, data);
  for (let i = 0; i < key.length; i++) {
    const byte = key[i] as number;
    inner[i] = byte ^ INNER_PAD;
    outer[i] = byte ^ OUTER_PAD;
  }
  inner.fill(INNER_PAD, key.length, block);
  outer.fill(OUTER_PAD, key.length, block);
  inner.set(data, block);
  const innerDigest = crypto.hash(name, inner.subarray(0, block + data.length), 'binary');
  writeLatin1(innerDigest, outer, block);
  const mac = latin1Bytes(crypto.hash(name, outer.subarray(0, block + innerDigest.length), 'binary'));
  inner.fill(0, 0, block);
  outer.fill(0);
  return mac;
}

/** T(n - 1), info, n; nothing that is secret is there between calls. */
const expanding = new Uint8Array(MAX_SHORT);

/** RFC 5869 §2.3. Written out because crypto.hkdfSync always extracts first, which TLS 1.3 must not. */
export function hkdfExpand(name: HashName, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  // T(1) = HMAC(PRK, info ‖ 0x01); nearly every secret of TLS ends here.
  const hashLength = MAC_LENGTH[name];
  const needed = hashLength + info.length + 1;
  const block = needed <= MAX_SHORT ? expanding.subarray(0, needed) : new Uint8Array(needed);
  block.set(info, hashLength);
  block[needed - 1] = 1;
  const first = shortHmac(name, prk, block.subarray(hashLength));
  if (length === hashLength) return first;
  // A copy of what is asked for: a key that is cut out of a longer buffer would keep the rest of it.
  if (length < hashLength) return first.slice(0, length);
  const out = new Uint8Array(Math.ceil(length / hashLength) * hashLength);
  out.set(first);
  for (let at = hashLength, counter = 2; at < length; at += hashLength, counter++) {
    // T(n) = HMAC(PRK, T(n - 1) ‖ info ‖ n)
    block.set(out.subarray(at - hashLength, at));
    block[needed - 1] = counter;
    out.set(shortHmac(name, prk, block), at);
  }
  block.fill(0, 0, hashLength);
  return out.subarray(0, length);
}
