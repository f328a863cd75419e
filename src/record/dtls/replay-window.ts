/** Numbers behind the highest that are remembered (RFC 6347 §4.1.2.6 asks for 32 at least, and says 64 is better). */
export const REPLAY_WINDOW = 256;
const WORDS = REPLAY_WINDOW / 32;

/** Which records of one epoch have come. What is older than the window counts as come. */
export class ReplayWindow {
  /** Of all that came; −1 before the first. */
  highest = -1;
  readonly #bits = new Uint32Array(WORDS);

  has(sequence: number): boolean {
    if (sequence > this.highest) return false;
    if (sequence <= this.highest - REPLAY_WINDOW) return true;
    return ((this.#bits[word(sequence)] as number) & bit(sequence)) !== 0;
  }

  /** Only for a record whose protection was right. */
  add(sequence: number): void {
    if (sequence > this.highest) {
      const from = Math.max(this.highest + 1, sequence - REPLAY_WINDOW + 1);
      for (let passed = from; passed < sequence; passed++)
        (this.#bits[word(passed)] as number) &= ~bit(passed);
      this.highest = sequence;
    }
    (this.#bits[word(sequence)] as number) |= bit(sequence);
  }
}

function word(sequence: number): number {
  return Math.floor((sequence % REPLAY_WINDOW) / 32);
}

function bit(sequence: number): number {
  return 1 << (sequence % 32);
}
