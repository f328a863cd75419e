/**
 * The clock of a module that has none: it says how long a flight waits for its answer, and is told when that is over. What it
 * says again without having sent anything has begun before.
 */
export class FlightTimer {
  #wait = 0;
  #rung = false;
  /** Unix milliseconds. */
  due: number | undefined;

  /** @param wait milliseconds, as the module says; 0 for nothing. @param sent it has sent something with that */
  set(wait: number, sent: boolean, now: number): void {
    if (!sent && wait === this.#wait) return;
    this.#wait = wait;
    this.due = wait === 0 ? undefined : now + wait;
  }

  /** @returns whether the time is over */
  ring(now: number): boolean {
    if (this.due === undefined || now < this.due) return false;
    this.#wait = 0;
    this.due = undefined;
    this.#rung = true;
    return true;
  }

  /** Whether the module has to be told. */
  take(): boolean {
    const rung = this.#rung;
    this.#rung = false;
    return rung;
  }
}
