import { CONNECTION_RESUME_SHARE, OVERSHOOT, SESSION_RESUME_SHARE } from './limits.ts';
import type { SessionLimits } from './options.ts';

/** A connection as its session's memory sees it. All but `error` is written here only. */
export interface Holder {
  /** Bytes received and not consumed. */
  unread: number;
  /** It went above its limit and has not come down to the share at which reading resumes. */
  full: boolean;
  /** When a full holder is given up; `undefined` until the clock was read. */
  fullUntil: number | undefined;
}

/**
 * Bounds what a session holds for readers that are slow: each connection by `receiveBuffer`, all by `sessionBudget`.
 * Above a bound it wants reading from the network to pause, and whoever is above it for `pauseLimit` is given up; with
 * `overflow: 'abort'`, and when more than OVERSHOOT comes in spite of the pause, at once.
 */
export class ReceiveBudget<H extends Holder> {
  readonly #limits: SessionLimits;
  readonly #holders: ReadonlySet<H>;
  readonly #giveUp: (holder: H) => void;
  readonly #resumed: () => void;
  #held = 0;
  readonly #full = new Set<H>();
  #over = false;
  #overUntil: number | undefined;

  /**
   * @param holders all that may hold bytes
   * @param giveUp must call `released`
   * @param resumed called when `paused` has become false
   */
  constructor(
    limits: SessionLimits,
    holders: ReadonlySet<H>,
    giveUp: (holder: H) => void,
    resumed: () => void,
  ) {
    this.#limits = limits;
    this.#holders = holders;
    this.#giveUp = giveUp;
    this.#resumed = resumed;
  }

  /** Bytes that all of them hold. */
  get held(): number {
    return this.#held;
  }

  get paused(): boolean {
    return this.#over || this.#full.size > 0;
  }

  /** May give this holder or another up before it returns. */
  received(holder: H, bytes: number): void {
    const { receiveBuffer, sessionBudget, overflow } = this.#limits;
    holder.unread += bytes;
    this.#held += bytes;
    if (holder.unread > receiveBuffer) {
      if (overflow === 'abort' || holder.unread > receiveBuffer + OVERSHOOT) {
        this.#giveUp(holder);
      } else if (!holder.full) {
        holder.full = true;
        this.#full.add(holder);
      }
    }
    if (this.#held > sessionBudget) {
      if (overflow === 'abort') this.#shed(sessionBudget);
      else if (this.#held > sessionBudget + OVERSHOOT) this.#shed(sessionBudget * SESSION_RESUME_SHARE);
      else this.#over = true;
    }
  }

  consumed(holder: H, bytes: number): void {
    const wasPaused = this.paused;
    holder.unread -= bytes;
    this.#held -= bytes;
    if (holder.full && holder.unread <= this.#limits.receiveBuffer * CONNECTION_RESUME_SHARE) {
      holder.full = false;
      holder.fullUntil = undefined;
      this.#full.delete(holder);
    }
    if (this.#over && this.#held <= this.#limits.sessionBudget * SESSION_RESUME_SHARE) {
      this.#over = false;
      this.#overUntil = undefined;
    }
    if (wasPaused && !this.paused) this.#resumed();
  }

  /** Everything that this holder has is given back. */
  released(holder: H): void {
    this.consumed(holder, holder.unread);
  }

  /** The earliest end of a pause; starts the clock of those that began since the last call. */
  nextTimeout(now: number): number | undefined {
    let next = Number.POSITIVE_INFINITY;
    for (const holder of this.#full) {
      holder.fullUntil ??= now + this.#limits.pauseLimit;
      next = Math.min(next, holder.fullUntil);
    }
    if (this.#over) {
      this.#overUntil ??= now + this.#limits.pauseLimit;
      next = Math.min(next, this.#overUntil);
    }
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  handleTimeout(now: number): void {
    for (const holder of this.#full) {
      if (holder.fullUntil !== undefined && holder.fullUntil <= now) this.#giveUp(holder);
    }
    if (this.#over && this.#overUntil !== undefined && this.#overUntil <= now) {
      this.#shed(this.#limits.sessionBudget * SESSION_RESUME_SHARE);
    }
  }

  /** Gives up those who hold most until no more than `target` is held. */
  #shed(target: number): void {
    while (this.#held > target) {
      let largest: H | undefined;
      for (const holder of this.#holders) {
        if (holder.unread > (largest?.unread ?? 0)) largest = holder;
      }
      if (largest === undefined) break;
      this.#giveUp(largest);
    }
  }
}
