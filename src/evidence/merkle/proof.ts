import { equalBytes } from '../../der/bytes.ts';
import type { MerkleHash } from './hash.ts';

/** More levels than any tree has whose size is a safe integer. */
export const MAX_PROOF_HASHES = 64;

/** Root of the perfect subtree of 2^height leaves that begins at leaf position · 2^height. */
export type SubtreeHash = (height: number, position: number) => Promise<Uint8Array>;

/** Hash of the leaves from `start` to `end`, where `start` is a multiple of the largest power of two below their number. */
export async function rangeHash(
  hash: MerkleHash,
  subtree: SubtreeHash,
  start: number,
  end: number,
): Promise<Uint8Array> {
  const height = floorLog2(end - start);
  const left = await subtree(height, start / 2 ** height);
  const rest = start + 2 ** height;
  return rest === end ? left : hash.node(left, await rangeHash(hash, subtree, rest, end));
}

/** RFC 9162 §2.1.3.1: from the leaf's sibling up. `index` is below `size`. */
export async function inclusionProof(
  hash: MerkleHash,
  subtree: SubtreeHash,
  index: number,
  size: number,
): Promise<Uint8Array[]> {
  const path: Uint8Array[] = [];
  let start = 0;
  let end = size;
  while (end - start > 1) {
    const split = start + splitOf(end - start);
    if (index < split) {
      path.unshift(await rangeHash(hash, subtree, split, end));
      end = split;
    } else {
      path.unshift(await rangeHash(hash, subtree, start, split));
      start = split;
    }
  }
  return path;
}

/** RFC 9162 §2.1.4.1: that the tree of `size` leaves begins with the tree of `first` leaves. 0 < first <= size. */
export async function consistencyProof(
  hash: MerkleHash,
  subtree: SubtreeHash,
  first: number,
  size: number,
): Promise<Uint8Array[]> {
  const path: Uint8Array[] = [];
  let start = 0;
  let end = size;
  let isWhole = true;
  while (first !== end) {
    const split = start + splitOf(end - start);
    if (first <= split) {
      path.unshift(await rangeHash(hash, subtree, split, end));
      end = split;
    } else {
      path.unshift(await rangeHash(hash, subtree, start, split));
      start = split;
      isWhole = false;
    }
  }
  if (!isWhole) path.unshift(await rangeHash(hash, subtree, start, end));
  return path;
}

/** RFC 9162 §2.1.3.2. */
export function verifyInclusion(
  hash: MerkleHash,
  leaf: Uint8Array,
  index: number,
  size: number,
  proof: readonly Uint8Array[],
  root: Uint8Array,
): boolean {
  if (!isIndex(index, size) || proof.length > MAX_PROOF_HASHES) return false;
  let fn = index;
  let sn = size - 1;
  let result = leaf;
  for (const sibling of proof) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      result = hash.node(sibling, result);
      while (fn % 2 === 0 && fn !== 0) {
        fn = half(fn);
        sn = half(sn);
      }
    } else {
      result = hash.node(result, sibling);
    }
    fn = half(fn);
    sn = half(sn);
  }
  return sn === 0 && equalBytes(result, root);
}

/** RFC 9162 §2.1.4.2. */
export function verifyConsistency(
  hash: MerkleHash,
  first: number,
  firstRoot: Uint8Array,
  second: number,
  secondRoot: Uint8Array,
  proof: readonly Uint8Array[],
): boolean {
  if (!isIndex(first - 1, second) || proof.length > MAX_PROOF_HASHES) return false;
  if (first === second) return proof.length === 0 && equalBytes(firstRoot, secondRoot);
  const isPowerOfTwo = 2 ** floorLog2(first) === first;
  const [start, ...others] = isPowerOfTwo ? [firstRoot, ...proof] : proof;
  if (start === undefined) return false;
  let fn = first - 1;
  let sn = second - 1;
  while (fn % 2 === 1) {
    fn = half(fn);
    sn = half(sn);
  }
  let older = start;
  let newer = start;
  for (const sibling of others) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      older = hash.node(sibling, older);
      newer = hash.node(sibling, newer);
      while (fn % 2 === 0 && fn !== 0) {
        fn = half(fn);
        sn = half(sn);
      }
    } else {
      newer = hash.node(newer, sibling);
    }
    fn = half(fn);
    sn = half(sn);
  }
  return sn === 0 && equalBytes(older, firstRoot) && equalBytes(newer, secondRoot);
}

/** Bit operators of JavaScript end at 31 bits; sizes do not. */
function half(value: number): number {
  return Math.floor(value / 2);
}

function isIndex(index: number, size: number): boolean {
  return Number.isSafeInteger(index) && Number.isSafeInteger(size) && index >= 0 && index < size;
}

/** The largest power of two smaller than `count`, which is above 1 (RFC 9162 §2.1.1). */
function splitOf(count: number): number {
  return 2 ** floorLog2(count - 1);
}

/** Math.log2 rounds up just below large powers of two. */
function floorLog2(value: number): number {
  let exponent = 0;
  while (2 ** (exponent + 1) <= value) exponent++;
  return exponent;
}
