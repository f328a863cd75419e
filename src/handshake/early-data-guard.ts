import type { CryptoProvider } from '../crypto/provider.ts';
import { latin1Text } from '../wire/latin1.ts';

/** Milliseconds by which a client's age of its ticket may differ from ours, unless the server says otherwise (RFC 8446 §8.3). */
export const EARLY_DATA_WINDOW = 10_000;
/** 0-RTT handshakes within two windows; beyond, early data is refused and the handshake goes on. About 10 MB. */
const MAX_REMEMBERED = 100_000;

/**
 * Lets each ticket bring early data once (RFC 8446 §8.1, bounded in time by §8.3). A ClientHello that is replayed later
 * than the window fails the check of its age; within it, its ticket is remembered here. Servers that share ticket keys
 * must share a guard too, or a replay at another one is not noticed.
 */
export class EarlyDataGuard {
  readonly #startedAt: number;
  #turnedAt: number;
  #current = new Set<string>();
  #previous: ReadonlySet<string> = new Set();
  readonly window: number;

  /**
   * @param now Unix milliseconds; what came before is unknown, so tickets of before bring no early data for a while
   * @param window milliseconds, as `EarlyDataPolicy.window`
   */
  constructor(now: number, window = EARLY_DATA_WINDOW) {
    this.window = window;
    this.#startedAt = now;
    this.#turnedAt = now;
  }

  /** True the first time for this ticket; false whenever that cannot be said for sure. */
  firstUse(crypto: CryptoProvider, ticket: Uint8Array, issuedAt: number, now: number): boolean {
    // §8.2: a server that has just started cannot know what it saw before.
    if (issuedAt < this.#startedAt && now - this.#startedAt < 2 * this.window) return false;
    // The clock was set back: a ClientHello of before may be in time again, and may have been forgotten.
    if (now < this.#turnedAt) return false;
    this.#turn(now);
    if (this.#current.size + this.#previous.size >= MAX_REMEMBERED) return false;
    const key = latin1Text(crypto.digest('sha256', ticket));
    if (this.#current.has(key) || this.#previous.has(key)) return false;
    this.#current.add(key);
    return true;
  }

  /** A replay is at most two windows younger than what it repeats; two generations of that length hold it. */
  #turn(now: number): void {
    const age = now - this.#turnedAt;
    if (age < 2 * this.window) return;
    this.#previous = age < 4 * this.window ? this.#current : new Set();
    this.#current = new Set();
    this.#turnedAt = now;
  }
}
