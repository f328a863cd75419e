import { ROUND_TRIP_AGE, ROUND_TRIP_GROWTH, ROUND_TRIP_INTERVAL } from '../limits.ts';

/** Free space of an Acknowledgment for the session itself: a question's token, or with this bit its answer. */
const ANSWER = 0x8000_0000;
const TOKEN_MAX = 0x7fff_ffff;

export interface KeepAliveLimits {
  /** Milliseconds; 0 for never. */
  readonly keepAlive: number;
  readonly keepAliveTimeout: number;
}

/**
 * Asks the peer whether it is there, and how far away. The words for it are Acknowledgments of channel 0, which no
 * channel can have: one of its halves would have to be odd.
 */
export class KeepAlive {
  readonly #limits: KeepAliveLimits;
  readonly #say: (freeSpace: number) => void;
  #token = 0;
  /** When the question that is open was sent. */
  #askedAt: number | undefined;
  #answered = false;
  #heard = false;
  #deadline: number | undefined;
  /** Somebody has asked because of silence, so an answer is due. */
  #probing = false;
  #roundTrip: number | undefined;
  #measuredAt = Number.NEGATIVE_INFINITY;
  /** Until then only a shorter one counts. */
  #shortestUntil = 0;

  /** @param say sends an Acknowledgment of channel 0; not called with both limits 0 unless `measure` is */
  constructor(limits: KeepAliveLimits, say: (freeSpace: number) => void) {
    this.#limits = limits;
    this.#say = say;
  }

  /** Milliseconds to the peer and back. */
  get roundTrip(): number | undefined {
    return this.#roundTrip;
  }

  /** Something has come. */
  heard(): void {
    this.#heard = true;
  }

  /** An Acknowledgment of channel 0 has come. */
  receive(freeSpace: number): void {
    if (freeSpace < ANSWER) this.#say(freeSpace + ANSWER);
    else if (freeSpace - ANSWER === this.#token && this.#askedAt !== undefined) this.#answered = true;
  }

  /** Takes note of what has come since the last call. */
  settle(now: number): void {
    if (!this.#answered || this.#askedAt === undefined) return;
    const roundTrip = Math.max(now - this.#askedAt, 0);
    // A question that waits behind data measures the queue; the shortest of many measures the way.
    const shortest = this.#roundTrip;
    if (shortest === undefined || roundTrip < shortest || now > this.#shortestUntil) {
      // Not at once: windows of twice the bandwidth-delay product make queues, and queues would make windows.
      this.#roundTrip = Math.min(
        roundTrip,
        shortest === undefined ? roundTrip : shortest * ROUND_TRIP_GROWTH,
      );
      this.#shortestUntil = now + ROUND_TRIP_AGE;
    }
    this.#measuredAt = now;
    this.#askedAt = undefined;
    this.#answered = false;
  }

  /** Somebody needs the round trip: measures it, unless that has just been done. */
  measure(now: number): void {
    if (this.#askedAt === undefined && now - this.#measuredAt > ROUND_TRIP_INTERVAL) this.#ask(now);
  }

  nextTimeout(now: number): number | undefined {
    if (this.#limits.keepAlive === 0) return undefined;
    this.#deadline ??= now + this.#limits.keepAlive;
    return this.#deadline;
  }

  /** @returns true when the peer has not answered */
  handleTimeout(now: number): boolean {
    if (this.#deadline === undefined || now < this.#deadline) return false;
    const heard = this.#heard;
    this.#heard = false;
    if (!heard && this.#probing) return true;
    this.#probing = !heard;
    if (heard) {
      this.#deadline = now + this.#limits.keepAlive;
    } else {
      this.#ask(now);
      this.#deadline = now + this.#limits.keepAliveTimeout;
    }
    return false;
  }

  #ask(now: number): void {
    this.#token = (this.#token % TOKEN_MAX) + 1;
    this.#askedAt = now;
    this.#answered = false;
    this.#say(this.#token);
  }
}
