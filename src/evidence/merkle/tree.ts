import { HASH_BYTES, type MerkleHash } from './hash.ts';
import type { SubtreeHash } from './proof.ts';

/** Hashes in a full tile: large enough that a proof reads few, small enough that the growing one is cheap to rewrite. */
export const TILE_WIDTH = 256;
const TILE_HEIGHT = 8;

/**
 * Part of the stored tree. Level 0 holds the hashes of leaves; each level above holds the root of each full tile of the
 * level below. Nothing else is stored: every other node follows from 256 hashes at most.
 */
export interface Tile {
  readonly level: number;
  /** Counted from 0 in its level. */
  readonly position: number;
  /** 1 to 256 hashes, one after the other. */
  readonly hashes: Uint8Array;
}

/** The stored tile, or undefined when there is none. */
export type FindTile = (level: number, position: number) => Promise<Uint8Array | undefined>;

/**
 * The tree as it grows: per leaf one hash and, on average, one node, whatever its size. Holds the peaks (the roots of
 * the perfect subtrees that make up the tree, RFC 9162 §2.1) and the tiles that are not full.
 */
export class GrowingTree {
  readonly #hash: MerkleHash;
  /** By height; undefined where the size has no such bit. */
  readonly #peaks: (Uint8Array | undefined)[];
  /** By level. */
  readonly #open: OpenTile[];
  #filled: Tile[] = [];
  #size: number;
  #root: Uint8Array | undefined;

  private constructor(hash: MerkleHash, size: number, peaks: (Uint8Array | undefined)[], open: OpenTile[]) {
    this.#hash = hash;
    this.#size = size;
    this.#peaks = peaks;
    this.#open = open;
  }

  static empty(hash: MerkleHash): GrowingTree {
    return new GrowingTree(hash, 0, [], []);
  }

  /**
   * Goes on from what is stored; reads one tile of each level at most.
   * @returns undefined when the tiles do not hold a tree of this size
   */
  static async restore(hash: MerkleHash, size: number, find: FindTile): Promise<GrowingTree | undefined> {
    const open: OpenTile[] = [];
    const peaks: (Uint8Array | undefined)[] = [];
    for (let level = 0, count = size; count > 0; level++, count = Math.floor(count / TILE_WIDTH)) {
      const position = Math.floor(count / TILE_WIDTH);
      const used = count % TILE_WIDTH;
      const tile = new OpenTile(position);
      if (used > 0) {
        const stored = await find(level, position);
        if (stored?.length !== used * HASH_BYTES) return undefined;
        tile.set(stored);
        for (let bit = 0, at = used; bit < TILE_HEIGHT; bit++) {
          if ((used & (1 << bit)) === 0) continue;
          at -= 1 << bit;
          peaks[level * TILE_HEIGHT + bit] = foldHashes(hash, stored, at, 1 << bit);
        }
      }
      open.push(tile);
    }
    return new GrowingTree(hash, size, peaks, open);
  }

  get size(): number {
    return this.#size;
  }

  /** RFC 9162 §2.1.1. One node per peak; remembered until the next leaf. */
  get root(): Uint8Array {
    this.#root ??= this.#computeRoot();
    return this.#root;
  }

  /** Grows on its own from here on: to try a batch that may not be kept. */
  copy(): GrowingTree {
    return new GrowingTree(
      this.#hash,
      this.#size,
      [...this.#peaks],
      this.#open.map((tile) => tile.copy()),
    );
  }

  append(leaf: Uint8Array): void {
    this.#push(0, leaf);
    let hash = leaf;
    let height = 0;
    for (let peak = this.#peaks[0]; peak !== undefined; peak = this.#peaks[height]) {
      hash = this.#hash.node(peak, hash);
      this.#peaks[height++] = undefined;
      if (height % TILE_HEIGHT === 0) this.#push(height / TILE_HEIGHT, hash);
    }
    this.#peaks[height] = hash;
    this.#size++;
    this.#root = undefined;
  }

  /** Tiles that have changed since this was asked last: those that became full, and the open ones. */
  takeChanges(): Tile[] {
    const changes = this.#filled;
    this.#filled = [];
    for (const [level, tile] of this.#open.entries()) {
      if (tile.changed && tile.count > 0) {
        changes.push({ level, position: tile.position, hashes: tile.bytes() });
      }
      tile.changed = false;
    }
    return changes;
  }

  #push(level: number, hash: Uint8Array): void {
    let tile = this.#open[level];
    if (tile === undefined) {
      tile = new OpenTile(0);
      this.#open[level] = tile;
    }
    tile.push(hash);
    if (tile.count < TILE_WIDTH) return;
    this.#filled.push({ level, position: tile.position, hashes: tile.bytes() });
    this.#open[level] = new OpenTile(tile.position + 1);
  }

  #computeRoot(): Uint8Array {
    let root: Uint8Array | undefined;
    for (const peak of this.#peaks) {
      if (peak !== undefined) root = root === undefined ? peak : this.#hash.node(peak, root);
    }
    return root ?? this.#hash.empty();
  }
}

/** Nodes of a stored tree of `size` leaves. @throws what `missing` makes when a tile is not there or too short */
export function storedSubtrees(
  hash: MerkleHash,
  find: FindTile,
  missing: (level: number, position: number) => Error,
): SubtreeHash {
  return async (height, position) => {
    const level = Math.floor(height / TILE_HEIGHT);
    const count = 2 ** (height % TILE_HEIGHT);
    const first = position * count;
    const tile = Math.floor(first / TILE_WIDTH);
    const hashes = await find(level, tile);
    const at = first % TILE_WIDTH;
    if (hashes === undefined || hashes.length < (at + count) * HASH_BYTES) throw missing(level, tile);
    return foldHashes(hash, hashes, at, count);
  };
}

/** Root of `count` hashes, a power of two, from the one at `at`. */
function foldHashes(hash: MerkleHash, hashes: Uint8Array, at: number, count: number): Uint8Array {
  if (count === 1) return hashes.slice(at * HASH_BYTES, (at + 1) * HASH_BYTES);
  const half = count / 2;
  return hash.node(foldHashes(hash, hashes, at, half), foldHashes(hash, hashes, at + half, half));
}

class OpenTile {
  readonly position: number;
  changed = false;
  #count = 0;
  #hashes = new Uint8Array(TILE_WIDTH * HASH_BYTES);

  constructor(position: number) {
    this.position = position;
  }

  get count(): number {
    return this.#count;
  }

  set(hashes: Uint8Array): void {
    this.#hashes.set(hashes);
    this.#count = hashes.length / HASH_BYTES;
  }

  push(hash: Uint8Array): void {
    this.#hashes.set(hash, this.#count++ * HASH_BYTES);
    this.changed = true;
  }

  bytes(): Uint8Array {
    return this.#hashes.slice(0, this.#count * HASH_BYTES);
  }

  copy(): OpenTile {
    const copy = new OpenTile(this.position);
    copy.set(this.bytes());
    copy.changed = this.changed;
    return copy;
  }
}
