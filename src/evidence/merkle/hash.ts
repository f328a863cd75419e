import type { CryptoProvider } from '../../crypto/provider.ts';

/** SHA-256. Bytes. */
export const HASH_BYTES = 32;

/** Prefixes that keep a leaf from being taken for a node (RFC 9162 §2.1.1). */
const LEAF_PREFIX = 0x00;
const NODE_PREFIX = 0x01;

/** The two hashes of a Merkle tree (RFC 9162 §2.1.1). */
export class MerkleHash {
  readonly #crypto: CryptoProvider;
  /** Written anew for each node; the digest has been taken before anyone can write again. */
  readonly #node = new Uint8Array(1 + 2 * HASH_BYTES);

  constructor(crypto: CryptoProvider) {
    this.#crypto = crypto;
    this.#node[0] = NODE_PREFIX;
  }

  /** Root of the tree without leaves. */
  empty(): Uint8Array {
    return this.#crypto.digest('sha256', new Uint8Array(0));
  }

  leaf(data: Uint8Array): Uint8Array {
    const input = new Uint8Array(1 + data.length);
    input[0] = LEAF_PREFIX;
    input.set(data, 1);
    return this.#crypto.digest('sha256', input);
  }

  node(left: Uint8Array, right: Uint8Array): Uint8Array {
    this.#node.set(left, 1);
    this.#node.set(right, 1 + HASH_BYTES);
    return this.#crypto.digest('sha256', this.#node);
  }
}
