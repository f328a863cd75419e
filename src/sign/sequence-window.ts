/**
 * How far behind the newest an object may come and still be taken. Networks reorder by some; what is later than this, or than
 * twice as much, counts as lost.
 */
export const SEQUENCE_WINDOW = 1_024;

/** Numbers that have not come, both included. */
export interface Gap {
  readonly from: number;
  readonly to: number;
}

/**
 * The numbers of what comes over datagrams: in any order, and some never (tls-sign.md, DTLS). Remembers twice `SEQUENCE_WINDOW` of
 * them, whatever a peer writes.
 */
export class SequenceWindow {
  /** All up to here are settled. */
  #floor = -1;
  #newest = -1;
  /** Of those above the floor. */
  readonly #seen = new Set<number>();

  /** What the next would have, if nothing were lost. */
  get next(): number {
    return this.#newest + 1;
  }

  /** @returns `repeated` for one that was here, `late` for one of which that is not known any more */
  take(sequence: number): 'new' | 'repeated' | 'late' {
    if (sequence <= this.#floor) return 'late';
    if (this.#seen.has(sequence)) return 'repeated';
    this.#seen.add(sequence);
    this.#newest = Math.max(this.#newest, sequence);
    return 'new';
  }

  /** Those that will not come any more, each told once. @param isOver nothing comes any more */
  gaps(isOver = false): Gap[] {
    // Not for each one: settling looks at all that are remembered.
    if (!isOver && this.#newest - this.#floor <= 2 * SEQUENCE_WINDOW) return [];
    const floor = isOver ? this.#newest : this.#newest - SEQUENCE_WINDOW;
    const gaps: Gap[] = [];
    let expected = this.#floor + 1;
    const settled = [...this.#seen].filter((sequence) => sequence <= floor).sort((a, b) => a - b);
    for (const sequence of settled) {
      if (sequence > expected) gaps.push({ from: expected, to: sequence - 1 });
      expected = sequence + 1;
      this.#seen.delete(sequence);
    }
    if (expected <= floor) gaps.push({ from: expected, to: floor });
    this.#floor = floor;
    return gaps;
  }
}
