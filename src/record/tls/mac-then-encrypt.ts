import { maskEqual, maskLess, select } from '../../crypto/branch-free.ts';
import { type CryptoProvider, MAC_LENGTH, type MacName } from '../../crypto/provider.ts';

/*
 * `content ‖ MAC ‖ padding ‖ padding_length`, decrypted (RFC 5246 §6.2.3.2). How long content and padding are is known only
 * after decryption, so everything that depends on it is a secret until the MAC is verified; whoever lets it be seen in the time
 * gives the plaintext away (Lucky Thirteen, AlFardan and Paterson 2013). So here every record of one length costs the same
 * number of hash blocks, the same loops over the same indices, and one comparison, whatever its padding says. That is as far as
 * JavaScript goes: see SECURITY.md for what was measured.
 */

/** The longest padding, with the byte that tells its length (RFC 5246 §6.2.3.2: up to 255 bytes). */
export const MAX_PADDING = 256;

/**
 * Takes padding and MAC off.
 * @param head sequence number, type and version of the record and two bytes for its length: what the MAC covers before the content
 * @param padded the decrypted blocks; their number is known to everybody
 * @returns the content, a view; `undefined` whatever is wrong
 */
export function stripMacAndPadding(
  crypto: CryptoProvider,
  mac: MacName,
  macKey: Uint8Array,
  head: Uint8Array,
  padded: Uint8Array,
): Uint8Array | undefined {
  const largest = padded.length - MAC_LENGTH[mac] - 1;
  if (largest < 0) return undefined;
  const padding = padded[padded.length - 1] as number;
  const good = checkPadding(padded, padding, largest);
  // RFC 5246 §6.2.3.2: with a wrong padding, the MAC is computed as if there were none.
  const length = largest - (padding & good);
  const expected = macOf(crypto, mac, macKey, head, padded, length);
  const blocks = innerBlocks(mac, head.length + largest) - innerBlocks(mac, head.length + length);
  spendBlocks(crypto, mac, macKey, blocks);
  const found = extract(padded, length, MAC_LENGTH[mac]);
  const verified = Number(crypto.equal(expected, found)) & good;
  return verified === 0 ? undefined : padded.subarray(0, length);
}

/** All ones when there is room for so much padding and every byte of it is its length. */
function checkPadding(padded: Uint8Array, padding: number, largest: number): number {
  const last = padded.length - 1;
  let good = ~maskLess(largest, padding);
  const end = Math.min(MAX_PADDING, padded.length);
  for (let i = 1; i < end; i++) {
    const inside = ~maskLess(padding, i);
    good &= ~inside | maskEqual(padded[last - i] as number, padding);
  }
  return good;
}

function macOf(
  crypto: CryptoProvider,
  mac: MacName,
  macKey: Uint8Array,
  head: Uint8Array,
  padded: Uint8Array,
  length: number,
): Uint8Array {
  // All of it is copied, not only what is covered.
  const input = new Uint8Array(head.length + padded.length);
  input.set(head);
  input.set(padded, head.length);
  input[head.length - 2] = length >> 8;
  input[head.length - 1] = length;
  return crypto.hmac(mac, macKey, input.subarray(0, head.length + length));
}

/** Bytes of a block as a power of two, and how many bytes the hash adds at the end at least (FIPS 180-4 §5.1). */
const BLOCKS: Readonly<Record<MacName, { readonly shift: number; readonly tail: number }>> = {
  md5: { shift: 6, tail: 9 },
  sha1: { shift: 6, tail: 9 },
  sha256: { shift: 6, tail: 9 },
  sha384: { shift: 7, tail: 17 },
  sha512: { shift: 7, tail: 17 },
};

/** Blocks of the inner hash of HMAC behind the key, for so many bytes of head and content. */
function innerBlocks(mac: MacName, length: number): number {
  const { shift, tail } = BLOCKS[mac];
  return (length + tail + (1 << shift) - 1) >> shift;
}

/** Hashes as many blocks as a shorter content has saved, and an HMAC's own on top, always. */
function spendBlocks(crypto: CryptoProvider, mac: MacName, macKey: Uint8Array, count: number): void {
  crypto.hmac(mac, macKey, NOBODYS.subarray(0, count << BLOCKS[mac].shift));
}

/** What the longest padding can save, in the smaller blocks. */
const NOBODYS = new Uint8Array(MAX_PADDING + 128);

/**
 * `size` bytes from `at`, which is a secret: every byte where they can be is read, into a ring of which one place is the first;
 * then the ring is turned, by one or not, by two or not, and so on.
 */
function extract(padded: Uint8Array, at: number, size: number): Uint8Array {
  let ring = new Uint8Array(size);
  let turned = new Uint8Array(size);
  let first = 0;
  let place = 0;
  for (let i = Math.max(0, padded.length - size - MAX_PADDING); i < padded.length; i++) {
    const inside = ~maskLess(i, at) & maskLess(i, at + size);
    (ring[place] as number) |= (padded[i] as number) & inside;
    first |= place & maskEqual(i, at);
    place = place + 1 === size ? 0 : place + 1;
  }
  for (let bit = 1; bit < size; bit <<= 1) {
    const turn = ~maskEqual(first & bit, 0);
    for (let i = 0; i < size; i++) {
      turned[i] = select(turn, ring[(i + bit) % size] as number, ring[i] as number);
    }
    [ring, turned] = [turned, ring];
  }
  return ring;
}
