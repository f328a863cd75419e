import { ContentType } from '../../wire/codepoints.ts';
import { concat } from '../../wire/writer.ts';

interface Entry {
  readonly type: number;
  readonly content: Uint8Array;
}

/** Clear text on its way to the module, in order. */
export class Outbox {
  readonly #entries: Entry[] = [];
  #bytes = 0;

  get empty(): boolean {
    return this.#entries.length === 0;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Copies: whoever sends may use its buffer again, as with an engine that seals at once. */
  push(type: number, content: Uint8Array): void {
    this.#entries.push({ type, content: new Uint8Array(content) });
    this.#bytes += content.length;
  }

  /** One entry as it was pushed. */
  takeOne(): Entry | undefined {
    const first = this.#entries.shift();
    if (first !== undefined) this.#bytes -= first.content.length;
    return first;
  }

  /**
   * What goes in one command: one message, or neighbours of one type, which are a byte stream; `max` bytes at most.
   * @returns `undefined` when nothing waits
   */
  take(max: number): Entry | undefined {
    const first = this.#entries.shift();
    if (first === undefined) return undefined;
    const { type } = first;
    if (type === ContentType.alert || type === ContentType.handshake) {
      this.#bytes -= first.content.length;
      return first;
    }
    const parts = [first.content];
    let length = first.content.length;
    while (length < max && this.#entries[0]?.type === type) {
      const next = this.#entries.shift() as Entry;
      parts.push(next.content);
      length += next.content.length;
    }
    if (length > max) {
      const last = parts.pop() as Uint8Array;
      const fits = last.length - (length - max);
      parts.push(last.subarray(0, fits));
      this.#entries.unshift({ type, content: last.subarray(fits) });
    }
    const content = parts.length === 1 ? (parts[0] as Uint8Array) : concat(parts);
    this.#bytes -= content.length;
    return { type, content };
  }
}
