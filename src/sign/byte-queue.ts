/** From here on a piece is kept as it is. A view on a record of 16 KiB costs four times what it shows, at most. */
const WHOLE_BYTES = 4096;
/** Small pieces are copied into buffers of this size: each of one byte would cost a hundred otherwise. */
const BLOCK_BYTES = 4096;

/** Bytes on their way, in the order in which they came. What is held is bounded by their number, however small the pieces were. */
export class ByteQueue {
  length = 0;
  #blocks: Uint8Array[] = [];
  /** The buffer that the last block is a view on, while it has room. */
  #buffer: Uint8Array | undefined;
  #from = 0;
  #to = 0;

  /** @param bytes kept, and not to be changed */
  push(bytes: Uint8Array): void {
    this.length += bytes.length;
    if (bytes.length >= WHOLE_BYTES) {
      this.#blocks.push(bytes);
      this.#buffer = undefined;
      return;
    }
    for (let at = 0; at < bytes.length; ) {
      const buffer = this.#buffer ?? this.#open();
      const piece = bytes.subarray(at, at + buffer.length - this.#to);
      buffer.set(piece, this.#to);
      at += piece.length;
      this.#to += piece.length;
      this.#blocks[this.#blocks.length - 1] = buffer.subarray(this.#from, this.#to);
      if (this.#to === buffer.length) this.#buffer = undefined;
    }
  }

  /** The first of it, as it is held. */
  shift(): Uint8Array | undefined {
    const block = this.#blocks.shift();
    if (block === undefined) return undefined;
    this.length -= block.length;
    if (this.#blocks.length === 0) this.#buffer = undefined;
    return block;
  }

  /** All of it, as it is held. */
  drain(): Uint8Array[] {
    const blocks = this.#blocks;
    this.clear();
    return blocks;
  }

  /** Moves the first bytes into `target`, as many as fit; there must be so many. */
  fill(target: Uint8Array): void {
    for (let at = 0; at < target.length; ) {
      const block = this.#blocks[0] as Uint8Array;
      const piece = block.subarray(0, target.length - at);
      target.set(piece, at);
      at += piece.length;
      if (piece.length === block.length) {
        this.shift();
        continue;
      }
      this.#blocks[0] = block.subarray(piece.length);
      this.length -= piece.length;
      if (this.#blocks.length === 1) this.#from += piece.length;
    }
  }

  clear(): void {
    this.#blocks = [];
    this.#buffer = undefined;
    this.length = 0;
  }

  #open(): Uint8Array {
    this.#buffer = new Uint8Array(BLOCK_BYTES);
    this.#from = 0;
    this.#to = 0;
    this.#blocks.push(this.#buffer.subarray(0, 0));
    return this.#buffer;
  }
}
