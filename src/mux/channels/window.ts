import { WINDOW_FLOOR, WINDOW_INITIAL } from '../limits.ts';

/** What one channel may receive; written by its WindowBudget alone. */
export interface ReceiveWindow {
  /** What credit and unread bytes come to when all is acknowledged. */
  size: number;
  /** Bytes that the peer may still send. */
  credit: number;
  /** Bytes received and not consumed. */
  unread: number;
  /** When bytes were last acknowledged, in milliseconds; 0 for never. */
  since: number;
  /** When it came to its size, and bytes acknowledged since then. */
  sizedAt: number;
  moved: number;
  /** Bytes in a millisecond before it last grew; 0 when nothing is to be compared with. */
  rateBefore: number;
  /** The last growth has brought nothing; until then there is no other. */
  settledUntil: number;
  /** The largest size that has made it faster. */
  proven: number;
  /** Switches of the session when bytes were last acknowledged; others have received since then if it is not that now. */
  switches: number;
  /** Others receive beside it; until then it is taken for so. */
  sharedUntil: number;
}

/**
 * All receive windows of a session. What the peer may have us hold, `credit + unread` of all channels, never exceeds the
 * budget, because credit is given only where the budget has room for it: every channel can count on WINDOW_FLOOR, the
 * rest is shared by those that use it.
 *
 * A window grows while its channel is limited by it: up to WINDOW_INITIAL whenever it was used up, from there on when a
 * window of this size fills faster than in two round trips, that is, when it is below twice the bandwidth-delay product.
 * Where growth makes nothing faster, the limit is elsewhere, and a larger window would be a longer queue: it is taken back.
 * Only as long as nobody else receives may a window be what moves in UNNOTICED: that saves messages, and keeps both sides
 * at work where one of them stops for a moment.
 * When the shared part runs out, windows above the fair share shrink: what was consumed is not acknowledged at once.
 */
export class WindowBudget {
  /** Bytes that the peer may send, and bytes unread, on all channels. */
  committed = 0;
  /** Somebody would grow if the round trip was long enough: is it? */
  wantsRoundTrip = false;
  readonly #largest: number;
  /** What is shared, beyond the floors of all channels that there can be. */
  readonly #pool: number;
  /** Of the pool, what is given away. */
  #taken = 0;
  /** Windows that are larger than the floor. */
  #wide = 0;
  /** Who received last, and how often that was another one than before. */
  #latest: ReceiveWindow | undefined;
  #switches = 0;

  constructor(limits: {
    readonly sessionBudget: number;
    readonly maxConnections: number;
    readonly window: number;
  }) {
    this.#largest = limits.window;
    this.#pool = limits.sessionBudget - limits.maxConnections * WINDOW_FLOOR;
  }

  /** The first window of a channel: the more channels there are, the smaller. Its credit is given. */
  open(): ReceiveWindow {
    const left = this.#pool * INITIAL_SHARE - this.#taken;
    let size = WINDOW_INITIAL;
    while (size > WINDOW_FLOOR && size * INITIAL_CHANNELS > left) size /= 2;
    const window: ReceiveWindow = {
      size: 0,
      credit: 0,
      unread: 0,
      since: 0,
      sizedAt: 0,
      moved: 0,
      rateBefore: 0,
      settledUntil: 0,
      proven: WINDOW_INITIAL,
      switches: this.#switches,
      sharedUntil: 0,
    };
    this.#resize(window, Math.min(size, this.#largest));
    this.#hold(window, window.size, 0);
    return window;
  }

  /** @returns false when the window does not allow it; then nothing has changed */
  received(window: ReceiveWindow, bytes: number): boolean {
    if (bytes > window.credit) return false;
    if (window !== this.#latest) {
      if (this.#latest !== undefined) this.#switches++;
      this.#latest = window;
    }
    window.credit -= bytes;
    window.unread += bytes;
    return true;
  }

  consumed(window: ReceiveWindow, bytes: number): void {
    this.#hold(window, window.credit, window.unread - bytes);
  }

  /** It is worth a message to give credit. */
  owes({ size, credit, unread }: ReceiveWindow): boolean {
    return (size - credit - unread) * 2 >= size;
  }

  /**
   * Gives credit for what was consumed.
   * @param roundTrip milliseconds, as far as it is known
   * @returns bytes to acknowledge; 0 when it is not yet worth a message
   */
  acknowledge(window: ReceiveWindow, now: number, roundTrip: number | undefined): number {
    if (!this.owes(window)) return 0;
    const held = window.credit + window.unread;
    this.#adapt(window, window.size - held, now, roundTrip);
    window.since = now;
    const room = Math.max(WINDOW_FLOOR - held, 0) + Math.max(this.#pool - this.#taken, 0);
    const grant = Math.min(window.size - held, room);
    if (grant <= 0) return 0;
    this.#hold(window, window.credit + grant, window.unread);
    return grant;
  }

  /** The peer sends no more on it; what was not read still counts. */
  end(window: ReceiveWindow): void {
    this.#resize(window, 0);
    this.#hold(window, 0, window.unread);
  }

  /** Nobody reads what is left. */
  release(window: ReceiveWindow): void {
    if (window === this.#latest) this.#latest = undefined;
    this.#resize(window, 0);
    this.#hold(window, 0, 0);
  }

  #adapt(window: ReceiveWindow, consumed: number, now: number, roundTrip: number | undefined): void {
    const { size } = window;
    window.moved += consumed;
    const share = Math.max(WINDOW_FLOOR, Math.floor(this.#pool / Math.max(1, this.#wide)));
    if (this.#taken > this.#pool * PRESSURE && size > share) {
      this.#resize(window, Math.max(share, Math.floor(size / 2)));
      return;
    }
    if (size < WINDOW_INITIAL) {
      this.#resize(window, Math.min(size * EARLY_GROWTH, WINDOW_INITIAL, this.#largest));
      return;
    }
    if (this.#followRate(window, consumed, now)) return;
    if (size < this.#largest) this.wantsRoundTrip = true;
    // consumed / elapsed is the bandwidth; times the round trip, what is under way.
    const isLimit = roundTrip !== undefined && consumed * roundTrip * 2 > size * (now - window.since);
    if (isLimit && window.moved >= size * TRIAL) this.#judge(window, now);
  }

  /** Grows and shrinks with what moves unnoticed, where nothing larger has proved worth it. @returns whether it did */
  #followRate(window: ReceiveWindow, consumed: number, now: number): boolean {
    const { size, proven, rateBefore } = window;
    if (window.switches !== this.#switches) window.sharedUntil = now + SETTLED;
    window.switches = this.#switches;
    const isKnown = window.since > 0 && now >= window.sharedUntil;
    const unnoticed = isKnown ? (consumed * UNNOTICED) / Math.max(now - window.since, 1e-3) : 0;
    const isOnTrial = rateBefore > 0;
    let fitting = size;
    if (size * 2 <= unnoticed) fitting = Math.min(size * 2, this.#largest);
    else if (size > unnoticed * 2 && size > proven && !isOnTrial) fitting = Math.max(size / 2, proven);
    if (fitting === size) return false;
    window.moved = 0;
    window.sizedAt = now;
    window.rateBefore = 0;
    this.#resize(window, fitting);
    return true;
  }

  /** It is a limit, and was in force for a while: is more worth it, and was the last growth? */
  #judge(window: ReceiveWindow, now: number): void {
    const { size, rateBefore } = window;
    const rate = window.moved / Math.max(now - window.sizedAt, 1e-3);
    window.moved = 0;
    window.sizedAt = now;
    window.rateBefore = 0;
    if (rateBefore > 0 && rate < rateBefore * WORTH) {
      window.settledUntil = now + SETTLED;
      this.#resize(window, Math.max(size / 2, Math.min(WINDOW_INITIAL, this.#largest)));
      return;
    }
    if (rateBefore > 0) window.proven = Math.max(window.proven, size);
    if (now >= window.settledUntil && size < this.#largest) {
      window.rateBefore = rate;
      this.#resize(window, Math.min(size * 2, this.#largest));
    }
  }

  #resize(window: ReceiveWindow, size: number): void {
    if (window.size > WINDOW_FLOOR) this.#wide--;
    if (size > WINDOW_FLOOR) this.#wide++;
    window.size = size;
  }

  #hold(window: ReceiveWindow, credit: number, unread: number): void {
    const before = window.credit + window.unread;
    const after = credit + unread;
    window.credit = credit;
    window.unread = unread;
    this.committed += after - before;
    this.#taken += Math.max(after - WINDOW_FLOOR, 0) - Math.max(before - WINDOW_FLOOR, 0);
  }
}

/** Of the pool, what first windows may take; the rest is for those that turn out to need more. */
const INITIAL_SHARE = 1 / 2;
/** A first window is so small that this many of its size still fit. */
const INITIAL_CHANNELS = 64;
/** Share of the pool above which large windows shrink. */
const PRESSURE = 7 / 8;
/** Windows that must have gone by at one size before it is judged. */
const TRIAL = 2;
/** A window of twice the size has to make this much of a difference. */
const WORTH = 1.2;
/** Milliseconds without another trial after one that brought nothing: the way may have changed. So long, too, others count as present. */
const SETTLED = 1_000;
/**
 * Milliseconds for which data may queue while nobody else has any: as long as garbage collection or the scheduler stops
 * either side, for which the other shall not have to wait. Who comes then waits so long once.
 */
const UNNOTICED = 4;
/** Factor at which small windows grow: from the floor to the first size in three steps. */
const EARLY_GROWTH = 4;
