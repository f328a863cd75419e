/** Says when it is time to look who has moved no data since the last look. */
export class IdleWatch {
  readonly #interval: number;
  #deadline: number | undefined;

  /** @param idleTimeout milliseconds; 0 for never. What has moved nothing for it is found after 1 to 2 times as long. */
  constructor(idleTimeout: number) {
    this.#interval = idleTimeout;
  }

  nextTimeout(now: number): number | undefined {
    if (this.#interval === 0) return undefined;
    this.#deadline ??= now + this.#interval;
    return this.#deadline;
  }

  handleTimeout(now: number): boolean {
    if (this.#deadline === undefined || now < this.#deadline) return false;
    this.#deadline = now + this.#interval;
    return true;
  }
}
