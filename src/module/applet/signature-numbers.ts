import { Status } from '../apdu/status.ts';
import { Refused } from './refused.ts';

/** Numbers that may be signed later; a streamed message has one, and what is not signed at all leaves some behind. */
const MAX_OPEN_NUMBERS = 64;

/**
 * The sequence numbers of one side of a session: each is signed once at most, and none but the next, or one that was left
 * open on purpose. What is left open for too long is forgotten, and cannot be signed any more.
 */
export class SignatureNumbers {
  #next = 0;
  readonly #open = new Set<number>();

  isFree(number: number): boolean {
    return number === this.#next || this.#open.has(number);
  }

  take(number: number): void {
    if (!this.#open.delete(number)) this.#next = number + 1;
  }

  /** @throws Refused 6982 for a number that is behind the next one */
  leaveOpen(next: number): void {
    if (next < this.#next || !Number.isSafeInteger(next)) throw new Refused(Status.notPermitted);
    for (let number = Math.max(this.#next, next - MAX_OPEN_NUMBERS); number < next; number++) {
      this.#open.add(number);
    }
    this.#next = next;
    for (const oldest of this.#open) {
      if (this.#open.size <= MAX_OPEN_NUMBERS) break;
      this.#open.delete(oldest);
    }
  }
}
