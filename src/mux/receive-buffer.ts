/**
 * Bytes received on one connection and not yet read, in order, as the pieces they came in.
 *
 * A piece is a view on a record. Keeping it keeps the whole record in memory, so a byte could cost 16 KiB; a piece that
 * is the smaller part of what it would keep is therefore copied, and small copies in a row are gathered in chunks that
 * grow with the row: one small piece between large ones, as a bulk transfer has them, costs its own length. What is held
 * is at most about twice `length`.
 */
export class ReceiveBuffer {
  /** Bytes held. */
  length = 0;

  #pieces: Uint8Array[] = [];
  #head = 0;
  /** Our own chunk behind the pieces, filled up to `#tailLength`. */
  #tail: Uint8Array | undefined;
  #tailLength = 0;
  /** Bytes copied since a piece was kept as it came. */
  #run = 0;

  append(piece: Uint8Array): void {
    const held = this.length;
    this.length = held + piece.length;
    if (piece.length * 2 >= piece.buffer.byteLength) {
      this.#endTail();
      this.#pieces.push(piece);
      this.#run = 0;
      return;
    }
    if (held === 0 || this.#run === 0) {
      this.#pieces.push(new Uint8Array(piece));
    } else if (this.#tail !== undefined && this.#tailLength + piece.length <= this.#tail.length) {
      this.#tail.set(piece, this.#tailLength);
      this.#tailLength += piece.length;
    } else {
      this.#endTail();
      this.#tail = new Uint8Array(Math.max(piece.length, Math.min(this.#run, TAIL_CHUNK_MAX)));
      this.#tail.set(piece);
      this.#tailLength = piece.length;
    }
    this.#run += piece.length;
  }

  /** Takes the oldest piece out, or `undefined`. */
  shift(): Uint8Array | undefined {
    if (this.#head === this.#pieces.length) this.#endTail();
    const piece = this.#pieces[this.#head];
    if (piece === undefined) return undefined;
    this.#pieces[this.#head] = EMPTY;
    this.#head++;
    if (this.#head === this.#pieces.length) {
      this.#pieces = [];
      this.#head = 0;
    } else if (this.#head >= 64 && this.#head * 2 >= this.#pieces.length) {
      // Half of the array is behind us: dropping it now costs each piece one move in all.
      this.#pieces.splice(0, this.#head);
      this.#head = 0;
    }
    this.length -= piece.length;
    return piece;
  }

  /** @returns how many bytes were thrown away */
  clear(): number {
    const dropped = this.length;
    this.#pieces = [];
    this.#head = 0;
    this.#tail = undefined;
    this.#tailLength = 0;
    this.#run = 0;
    this.length = 0;
    return dropped;
  }

  #endTail(): void {
    if (this.#tail === undefined) return;
    const filled = this.#tail.subarray(0, this.#tailLength);
    this.#pieces.push(filled.length * 2 < this.#tail.length ? new Uint8Array(filled) : filled);
    this.#tail = undefined;
    this.#tailLength = 0;
  }
}

/** Our chunks grow to this: one record. */
const TAIL_CHUNK_MAX = 16_384;

const EMPTY = new Uint8Array(0);
