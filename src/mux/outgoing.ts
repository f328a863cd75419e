import type { Priority } from './session.ts';

/** Data that waits to be sent on one connection, in order, by reference. */
export class ChunkQueue {
  /** Bytes that wait. */
  length = 0;
  #chunks: Uint8Array[] = [];
  #head = 0;
  /** Bytes of the first chunk that have gone. */
  #offset = 0;

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.length += chunk.length;
  }

  /** Moves the next `count` bytes, which must be there, to `out` at `at`. */
  take(out: Uint8Array, at: number, count: number): void {
    this.length -= count;
    while (count > 0) {
      const chunk = this.#chunks[this.#head] as Uint8Array;
      const end = Math.min(chunk.length, this.#offset + count);
      out.set(this.#offset === 0 && end === chunk.length ? chunk : chunk.subarray(this.#offset, end), at);
      at += end - this.#offset;
      count -= end - this.#offset;
      this.#offset = end;
      if (end === chunk.length) this.#shift();
    }
  }

  /** Takes what was given to one `push`, whole. It must be there, and nothing of it taken. */
  takeChunk(): Uint8Array {
    const chunk = this.#chunks[this.#head] as Uint8Array;
    this.length -= chunk.length;
    this.#shift();
    return chunk;
  }

  #shift(): void {
    this.#offset = 0;
    this.#head++;
    if (this.#head === this.#chunks.length) {
      this.#chunks = [];
      this.#head = 0;
    } else if (this.#head >= 64 && this.#head * 2 >= this.#chunks.length) {
      // Half of the array is behind us: dropping it now costs each chunk one move in all.
      this.#chunks.splice(0, this.#head);
      this.#head = 0;
    }
  }
}

/** What a RoundRobin keeps in those that it schedules. */
export interface Scheduled {
  priority: Priority;
  /** It waits for its turn. */
  scheduled: boolean;
}

/** Turns in a row that a priority may have while a lower one waits. */
export const PRECEDENCE = 8;

const ORDER: readonly Priority[] = ['high', 'normal', 'low'];

/**
 * Whose turn it is to send: within a priority each in turn; a higher priority before a lower one, but for every eighth
 * turn, so that nobody waits for ever.
 */
export class RoundRobin<S extends Scheduled> {
  readonly #lanes: readonly Lane<S>[] = ORDER.map(() => new Lane<S>());
  /** How many wait. */
  size = 0;

  /** Nothing happens when it waits already. */
  add(sender: S): void {
    if (sender.scheduled) return;
    sender.scheduled = true;
    this.size++;
    (this.#lanes[ORDER.indexOf(sender.priority)] as Lane<S>).queue.push(sender);
  }

  /** Takes the next one out. */
  next(): S | undefined {
    if (this.size === 0) return undefined;
    const lane = this.#choose();
    const sender = lane.shift() as S;
    sender.scheduled = false;
    this.size--;
    return sender;
  }

  #choose(): Lane<S> {
    let chosen: Lane<S> | undefined;
    for (const lane of this.#lanes) {
      if (lane.empty) continue;
      if (chosen === undefined) {
        chosen = lane;
        continue;
      }
      // Somebody waits below: the one above has used one of its turns, or all.
      if (chosen.turns < PRECEDENCE) {
        chosen.turns++;
        return chosen;
      }
      chosen.turns = 0;
      chosen = lane;
    }
    return chosen as Lane<S>;
  }
}

class Lane<S> {
  queue: S[] = [];
  /** Since a lower lane had one. */
  turns = 0;
  #head = 0;

  get empty(): boolean {
    return this.#head === this.queue.length;
  }

  shift(): S | undefined {
    const first = this.queue[this.#head];
    this.#head++;
    if (this.#head === this.queue.length) {
      this.queue = [];
      this.#head = 0;
    } else if (this.#head >= 1024 && this.#head * 2 >= this.queue.length) {
      this.queue = this.queue.slice(this.#head);
      this.#head = 0;
    }
    return first;
  }
}
