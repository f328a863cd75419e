import { ROUND_TRIP_ASSUMED } from '../limits.ts';
import type { Channel } from './channel.ts';
import type { KeepAlive } from './keep-alive.ts';
import type { Outbox } from './outbox.ts';
import type { WindowBudget } from './window.ts';

/** Gives the peer credit for what readers here have taken. */
export class Credit {
  readonly #budget: WindowBudget;
  readonly #outbox: Outbox;
  /** `undefined` with a peer of the draft alone: it knows no word for a question. */
  readonly #roundTrip: KeepAlive | undefined;
  readonly #wake: () => void;
  /** Channels whose readers have made room. */
  #owed: Channel[] = [];
  #hasReceived = false;

  constructor(budget: WindowBudget, outbox: Outbox, roundTrip: KeepAlive | undefined, wake: () => void) {
    this.#budget = budget;
    this.#outbox = outbox;
    this.#roundTrip = roundTrip;
    this.#wake = wake;
  }

  get empty(): boolean {
    return this.#owed.length === 0;
  }

  /** The reader of `channel` has made room. */
  owe(channel: Channel): void {
    if (channel.owed || channel.window === undefined || !this.#budget.owes(channel.window)) return;
    channel.owed = true;
    this.#owed.push(channel);
    this.#wake();
  }

  /** Data has come. */
  received(): void {
    this.#hasReceived = true;
  }

  /** Says all that is owed. */
  settle(now: number): void {
    const roundTrip = this.#roundTrip;
    // Before there is a bulk of data that the question would wait behind: the shortest answer counts for long.
    if (this.#hasReceived && roundTrip?.roundTrip === undefined) roundTrip?.measure(now);
    const owed = this.#owed;
    if (owed.length === 0) return;
    this.#owed = [];
    for (const channel of owed) this.#acknowledge(channel, now);
    if (!this.#budget.wantsRoundTrip) return;
    this.#budget.wantsRoundTrip = false;
    roundTrip?.measure(now);
  }

  #acknowledge(channel: Channel, now: number): void {
    channel.owed = false;
    const { window } = channel;
    if (channel.state !== 'open' || channel.remoteEnd || window === undefined) return;
    const milliseconds = this.#roundTrip === undefined ? ROUND_TRIP_ASSUMED : this.#roundTrip.roundTrip;
    const freeSpace = this.#budget.acknowledge(window, now, milliseconds);
    if (freeSpace > 0) this.#outbox.acknowledge(channel.id, freeSpace);
  }
}
