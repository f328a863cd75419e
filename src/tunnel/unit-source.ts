/** Bytes that wait for a slow session before their program is asked to wait. Two reads of a socket. */
const AHEAD = 131_072;

/** A unit that leaves while it comes: what a session reads it from. */
export class UnitSource implements AsyncIterable<Uint8Array> {
  readonly #onRoom: () => void;
  #queue: Uint8Array[] = [];
  #length = 0;
  #outcome: { readonly error: Error | undefined } | undefined;
  #wake: (() => void) | undefined;

  /** @param onRoom called when there is room again */
  constructor(onRoom: () => void) {
    this.#onRoom = onRoom;
  }

  get isFull(): boolean {
    return this.#length >= AHEAD;
  }

  push(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.#outcome !== undefined) return;
    this.#queue.push(bytes);
    this.#length += bytes.length;
    this.#wake?.();
  }

  /** The unit is complete; or it will never be, and must not look as if it were. */
  end(error?: Error): void {
    this.#outcome ??= { error };
    this.#wake?.();
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return { next: () => this.#next() };
  }

  async #next(): Promise<IteratorResult<Uint8Array>> {
    for (;;) {
      if (this.#outcome?.error !== undefined) throw this.#outcome.error;
      const value = this.#queue.shift();
      if (value !== undefined) {
        const wasFull = this.isFull;
        this.#length -= value.length;
        if (wasFull && !this.isFull) this.#onRoom();
        return { value, done: false };
      }
      if (this.#outcome !== undefined) return { value: undefined, done: true };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
