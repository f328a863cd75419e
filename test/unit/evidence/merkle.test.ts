import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { toHex } from '../../../src/der/bytes.ts';
import { HASH_BYTES, MerkleHash } from '../../../src/evidence/merkle/hash.ts';
import {
  consistencyProof,
  inclusionProof,
  rangeHash,
  verifyConsistency,
  verifyInclusion,
} from '../../../src/evidence/merkle/proof.ts';
import { GrowingTree, storedSubtrees } from '../../../src/evidence/merkle/tree.ts';

const hash = new MerkleHash(nodeCrypto);

/** RFC 9162 §2.1.1, word for word: the oracle. */
function definition(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return hash.empty();
  if (leaves.length === 1) return leaves[0] as Uint8Array;
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return hash.node(definition(leaves.slice(0, k)), definition(leaves.slice(k)));
}

function leavesOf(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => hash.leaf(new TextEncoder().encode(`leaf ${i}`)));
}

/** A tree that is written down as an archive does it, in batches of any size, restored after each. */
async function stored(leaves: readonly Uint8Array[], batch = leaves.length) {
  const tiles = new Map<string, Uint8Array>();
  const find = async (level: number, position: number) => tiles.get(`${level}/${position}`);
  let tree = GrowingTree.empty(hash);
  for (let at = 0; at < leaves.length; at += batch) {
    for (const leaf of leaves.slice(at, at + batch)) tree.append(leaf);
    for (const tile of tree.takeChanges()) tiles.set(`${tile.level}/${tile.position}`, tile.hashes);
    const restored = await GrowingTree.restore(hash, tree.size, find);
    if (restored === undefined) throw new Error('not restored');
    tree = restored;
  }
  const subtree = storedSubtrees(hash, find, (level, position) => new Error(`no tile ${level}/${position}`));
  return { tree, subtree, tiles, find };
}

const all = leavesOf(1100);
const sizes = fc.integer({ min: 1, max: all.length });

describe('the tree', () => {
  it('has the root of RFC 9162 at every size, across the edges of tiles', () => {
    const tree = GrowingTree.empty(hash);
    expect(toHex(tree.root)).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    for (const [i, leaf] of all.slice(0, 530).entries()) {
      tree.append(leaf);
      if (i < 40 || i % 64 > 60 || i % 64 < 3) {
        expect(toHex(tree.root)).toBe(toHex(definition(all.slice(0, i + 1))));
      }
    }
  });

  it('goes on from its tiles as if it had never stopped', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 400 }), async (size, batch) => {
        const { tree } = await stored(all.slice(0, size), batch);
        expect(toHex(tree.root)).toBe(toHex(definition(all.slice(0, size))));
      }),
      { numRuns: 40 },
    );
  });

  it('keeps tiles of level 1 for more than 65,536 leaves', async () => {
    const tree = GrowingTree.empty(hash);
    const leaf = hash.leaf(new Uint8Array(0));
    for (let i = 0; i < 65_536 + 300; i++) tree.append(leaf);
    const changes = tree.takeChanges();
    expect(
      changes.filter(({ level }) => level === 1).map(({ hashes }) => hashes.length / HASH_BYTES),
    ).toEqual([256, 1]);
    expect(
      changes.filter(({ level }) => level === 2).map(({ hashes }) => hashes.length / HASH_BYTES),
    ).toEqual([1]);
    const tiles = new Map(changes.map((tile) => [`${tile.level}/${tile.position}`, tile.hashes]));
    const restored = await GrowingTree.restore(hash, tree.size, async (l, p) => tiles.get(`${l}/${p}`));
    expect(toHex(restored?.root ?? new Uint8Array())).toBe(toHex(tree.root));
  });

  it('does not restore from tiles of another size', async () => {
    const { find } = await stored(all.slice(0, 300));
    expect(await GrowingTree.restore(hash, 301, find)).toBeUndefined();
    expect(await GrowingTree.restore(hash, 299, find)).toBeUndefined();
    expect(await GrowingTree.restore(hash, 700, find)).toBeUndefined();
  });

  it('leaves the original alone when a copy grows', () => {
    const tree = GrowingTree.empty(hash);
    for (const leaf of all.slice(0, 255)) tree.append(leaf);
    tree.takeChanges();
    const before = toHex(tree.root);
    const copy = tree.copy();
    for (const leaf of all.slice(255, 400)) copy.append(leaf);
    expect(toHex(tree.root)).toBe(before);
    expect(tree.takeChanges()).toEqual([]);
    expect(copy.takeChanges().map(({ level, position }) => [level, position])).toEqual([
      [0, 0],
      [0, 1],
      [1, 0],
    ]);
  });
});

describe('proofs', () => {
  it('show every leaf in every tree, and nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), fc.nat(), async (size, seed, other) => {
        const index = seed % size;
        const { tree, subtree } = await stored(all.slice(0, size));
        const proof = await inclusionProof(hash, subtree, index, size);
        const leaf = all[index] as Uint8Array;
        expect(verifyInclusion(hash, leaf, index, size, proof, tree.root)).toBe(true);
        const wrong = other % size;
        if (wrong !== index) {
          expect(verifyInclusion(hash, leaf, wrong, size, proof, tree.root)).toBe(false);
          expect(verifyInclusion(hash, all[wrong] as Uint8Array, index, size, proof, tree.root)).toBe(false);
        }
        expect(verifyInclusion(hash, leaf, index, size, [...proof, leaf], tree.root)).toBe(false);
        if (proof.length > 0) {
          expect(verifyInclusion(hash, leaf, index, size, proof.slice(1), tree.root)).toBe(false);
          const at = other % proof.length;
          const changed = proof.map((h, i) => (i === at ? flipped(h) : h));
          expect(verifyInclusion(hash, leaf, index, size, changed, tree.root)).toBe(false);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('show that a tree is the beginning of another, and nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), fc.nat(), async (size, seed, other) => {
        const first = 1 + (seed % size);
        const { tree, subtree } = await stored(all.slice(0, size));
        const older = definition(all.slice(0, first));
        const proof = await consistencyProof(hash, subtree, first, size);
        expect(verifyConsistency(hash, first, older, size, tree.root, proof)).toBe(true);
        expect(verifyConsistency(hash, first, flipped(older), size, tree.root, proof)).toBe(false);
        expect(verifyConsistency(hash, first, older, size, flipped(tree.root), proof)).toBe(false);
        expect(verifyConsistency(hash, first, older, size, tree.root, [...proof, older])).toBe(false);
        if (proof.length > 0) {
          expect(verifyConsistency(hash, first, older, size, tree.root, proof.slice(1))).toBe(false);
          const at = other % proof.length;
          const changed = proof.map((h, i) => (i === at ? flipped(h) : h));
          expect(verifyConsistency(hash, first, older, size, tree.root, changed)).toBe(false);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('refuse numbers that are no sizes and proofs that are too long', () => {
    const [leaf = new Uint8Array()] = all;
    const long = Array<Uint8Array>(65).fill(leaf);
    expect(verifyInclusion(hash, leaf, 0, 1, [], leaf)).toBe(true);
    for (const [index, size] of [
      [1, 1],
      [-1, 1],
      [0.5, 2],
      [0, 0],
      [0, Number.NaN],
      [2 ** 53, 2 ** 53 + 2],
    ] as const) {
      expect(verifyInclusion(hash, leaf, index, size, [], leaf)).toBe(false);
    }
    expect(verifyInclusion(hash, leaf, 0, 2 ** 52, long, leaf)).toBe(false);
    expect(verifyConsistency(hash, 0, leaf, 5, leaf, [])).toBe(false);
    expect(verifyConsistency(hash, 6, leaf, 5, leaf, [])).toBe(false);
    expect(verifyConsistency(hash, 1, leaf, 2 ** 52, leaf, long)).toBe(false);
  });

  it('fail loudly when a tile is missing or cut', async () => {
    const { subtree, tiles } = await stored(all.slice(0, 600));
    tiles.set('0/1', (tiles.get('0/1') as Uint8Array).subarray(0, 32 * 10));
    await expect(rangeHash(hash, subtree, 0, 600)).resolves.toBeDefined();
    await expect(inclusionProof(hash, subtree, 300, 600)).rejects.toThrow('no tile 0/1');
  });
});

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[0] = (copy[0] as number) ^ 1;
  return copy;
}
