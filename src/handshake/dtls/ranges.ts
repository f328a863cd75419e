/** Which bytes of a message there are: disjoint ranges in order. */
export class Ranges {
  #ranges: { start: number; end: number }[] = [];

  get count(): number {
    return this.#ranges.length;
  }

  add(start: number, end: number): void {
    const kept: { start: number; end: number }[] = [];
    let from = start;
    let to = end;
    for (const range of this.#ranges) {
      if (range.end < from || range.start > to) {
        kept.push(range);
        continue;
      }
      from = Math.min(from, range.start);
      to = Math.max(to, range.end);
    }
    kept.push({ start: from, end: to });
    this.#ranges = kept.sort((a, b) => a.start - b.start);
  }

  /** Whether every byte from 0 to `length` is there; of an empty message, whether it was added at all. */
  covers(length: number): boolean {
    const [first] = this.#ranges;
    return first !== undefined && first.start === 0 && first.end >= length;
  }

  /** What is missing of `length` bytes. An empty message that was not added is missing as a whole. */
  gaps(length: number): { readonly start: number; readonly end: number }[] {
    if (this.#ranges.length === 0) return [{ start: 0, end: length }];
    const gaps: { start: number; end: number }[] = [];
    let at = 0;
    for (const { start, end } of this.#ranges) {
      if (start > at) gaps.push({ start: at, end: start });
      at = end;
    }
    if (at < length) gaps.push({ start: at, end: length });
    return gaps;
  }
}
