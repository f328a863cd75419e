import { CHURN_MAX, CHURN_RATE } from '../limits.ts';

/**
 * How much opening for nothing is left to the peer: channels that it has closed before it sent a byte on them. Each costs
 * the application here a connection, and the peer next to nothing; no limit on channels at one time bounds them.
 */
export class Churn {
  #left = CHURN_MAX;
  #at: number | undefined;

  /** One more. @returns false when it is one too many */
  spend(): boolean {
    this.#left--;
    return this.#left >= 0;
  }

  settle(now: number): void {
    if (this.#at !== undefined) {
      this.#left = Math.min(CHURN_MAX, this.#left + ((now - this.#at) * CHURN_RATE) / 1_000);
    }
    this.#at = now;
  }
}
