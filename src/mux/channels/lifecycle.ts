import { ConnectionError } from '../../errors/errors.ts';
import { LINGER_LIMIT, PACKET_MAX, UNANSWERED_OPENINGS_MAX } from '../limits.ts';
import { News, type NewsQueue } from '../news.ts';
import { ChunkQueue } from '../outgoing.ts';
import type { Channel, ChannelOwner } from './channel.ts';
import type { Credit } from './credit.ts';
import { channelId } from './ids.ts';
import { MessageType } from './message.ts';
import type { Outbox } from './outbox.ts';
import type { ChannelTable } from './table.ts';
import { describe, UNSPECIFIED } from './target.ts';
import type { WindowBudget } from './window.ts';

/** What the life of channels goes through; one of each for a session. */
export interface LifecycleParts {
  readonly table: ChannelTable;
  readonly outbox: Outbox;
  readonly budget: WindowBudget;
  readonly credit: Credit;
  readonly news: NewsQueue<Channel>;
  /** Both sides know EndOfData. */
  readonly halfClose: boolean;
  /** Has the adapter look at the session. */
  readonly wake: () => void;
}

/**
 * What becomes of channels; `channel.ts` has their states. Half of it is what this side's users ask for (ChannelOwner), the
 * other half what `inbox.ts` has heard from the peer.
 */
export class Lifecycle implements ChannelOwner {
  opened = 0;
  accepted = 0;
  refused = 0;
  readonly #parts: LifecycleParts;
  /** Channels that were closed here before the peer's end came, with the end of their time, soonest first. */
  readonly #lingering = new Map<Channel, number>();
  /** Openings for which the peer is not yet asked, in their order. */
  readonly #waiting = new Set<Channel>();
  /** Goes on where it stopped: a new one would walk over all that were deleted before the first. */
  #nextWaiting: Iterator<Channel> | undefined;
  #unanswered = 0;

  constructor(parts: LifecycleParts) {
    this.#parts = parts;
  }

  // ── what this side asks for ────────────────────────────────────────────────────────────────────

  /** @param channel in state `waiting`, with its id */
  open(channel: Channel): void {
    this.#parts.table.live.add(channel);
    if (this.#unanswered < UNANSWERED_OPENINGS_MAX && this.#waiting.size === 0) this.#request(channel);
    else this.#waiting.add(channel);
  }

  accept(channel: Channel): void {
    if (channel.state !== 'requested') return;
    const { table, budget, outbox } = this.#parts;
    if (!table.assign(channel)) {
      this.refuse(channel, 'this side has no channel id left');
      return;
    }
    table.requested.delete(channel);
    const window = budget.open();
    channel.state = 'open';
    channel.id = channelId(channel.remoteId, channel.localId);
    channel.window = window;
    this.accepted++;
    outbox.success({
      type: MessageType.RequestEstablishmentSuccess,
      sender: channel.remoteId,
      receiver: channel.localId,
      window: window.credit,
      maxPacket: PACKET_MAX,
    });
    this.#sendWritten(channel);
  }

  refuse(channel: Channel, reason: string): void {
    if (channel.state !== 'requested') {
      this.abandon(channel);
      return;
    }
    const { table, outbox } = this.#parts;
    channel.state = 'closed';
    channel.error = new ConnectionError('ERR_MUX_REFUSED', `This side refused ${describe(channel)}.`);
    table.requested.delete(channel);
    table.forgetRemote(channel);
    this.#drop(channel);
    outbox.echec(channel.remoteId, reason);
  }

  write(channel: Channel, data: Uint8Array): void {
    channel.queue ??= new ChunkQueue();
    channel.queue.push(data);
    this.#parts.outbox.schedule(channel);
  }

  end(channel: Channel): void {
    channel.endPending = true;
    if (channel.queue !== undefined || channel.state !== 'open') return;
    this.#sendEnd(channel);
  }

  consumed(channel: Channel, bytes: number): void {
    const { window } = channel;
    if (window === undefined) return;
    this.#parts.budget.consumed(window, bytes);
    if (channel.state === 'open' && !channel.remoteEnd) this.#parts.credit.owe(channel);
    else this.#releaseIfDone(channel);
  }

  linger(channel: Channel, now: number): void {
    channel.lingers = true;
    channel.announced = false;
    channel.news = 0;
    this.#lingering.set(channel, now + LINGER_LIMIT);
    // The adapter looks at the time when it is woken.
    this.#parts.wake();
  }

  abandon(channel: Channel): void {
    if (channel.error !== undefined) return;
    if (channel.state === 'requested') {
      this.refuse(channel, 'it was not accepted');
      return;
    }
    if (channel.state !== 'closed') {
      this.withdraw(channel);
      channel.error = new ConnectionError('ERR_MUX_ABORTED', `This side aborted ${describe(channel)}.`);
    }
    this.#drop(channel);
  }

  // ── what has happened ──────────────────────────────────────────────────────────────────────────

  /** The peer has answered an opening. */
  answered(): void {
    this.#unanswered--;
    this.#requestWaiting();
  }

  /** The peer has accepted it. */
  established(channel: Channel): void {
    channel.state = 'open';
    this.opened++;
    this.#parts.news.tell(channel, News.confirmed);
    this.#sendWritten(channel);
  }

  /** All that was written has been sent. */
  sentAll(channel: Channel): void {
    if (channel.endPending) this.#sendEnd(channel);
    else this.#tellDrained(channel);
  }

  /** The peer has said its end. */
  ended(channel: Channel): void {
    const { budget, news } = this.#parts;
    channel.remoteEnd = true;
    if (channel.window !== undefined) budget.end(channel.window);
    if (!channel.lingers) news.tell(channel, News.readable);
    if (channel.localEnd) this.#closeBothEnded(channel);
  }

  /** The peer has closed it, where that is the only end there is: the draft alone. */
  endedByClose(channel: Channel): void {
    channel.queue = undefined;
    channel.localEnd = true;
    channel.remoteEnd = true;
    this.#parts.news.tell(channel, channel.awaitsDrain ? News.readable | News.drained : News.readable);
    this.#releaseIfDone(channel);
  }

  /** The peer has confirmed the close. */
  confirmed(channel: Channel): void {
    const { table } = this.#parts;
    table.closing--;
    table.free(channel);
    this.#releaseIfDone(channel);
  }

  /** Nothing has moved on these since the last look. */
  closeIdle(): void {
    for (const channel of this.#parts.table.known) {
      if (channel.active || channel.state !== 'open' || channel.error !== undefined) {
        channel.active = false;
        continue;
      }
      this.withdraw(channel);
      this.fail(
        channel,
        new ConnectionError('ERR_MUX_TIMEOUT', `Nothing has moved for idleTimeout on ${describe(channel)}.`),
      );
    }
  }

  /** When the first of those that wait for the peer's end has waited long enough. */
  get nextTimeout(): number | undefined {
    if (this.#lingering.size === 0) return undefined;
    const [first] = this.#lingering.values();
    return first;
  }

  handleTimeout(now: number): void {
    for (const [channel, until] of this.#lingering) {
      if (until > now) break;
      this.abandon(channel);
    }
  }

  /** The session has ended: those that are not through fail, each with an error of its own. */
  closeAll(error: () => ConnectionError): void {
    const ended = this.#parts.table.clear();
    this.#lingering.clear();
    this.#waiting.clear();
    this.#nextWaiting = undefined;
    for (const channel of ended) {
      channel.state = 'closed';
      if (channel.error === undefined) this.fail(channel, error());
    }
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────

  /** Ends what the wire knows of it, from this side. */
  withdraw(channel: Channel): void {
    if (channel.state === 'waiting') {
      channel.state = 'closed';
      this.#waiting.delete(channel);
      this.#parts.table.forgetLocal(channel);
    } else if (channel.state === 'opening') channel.state = 'unwanted';
    else if (channel.state === 'open') this.sendClose(channel);
  }

  sendClose(channel: Channel): void {
    const { table, outbox } = this.#parts;
    channel.state = 'closing';
    table.closing++;
    outbox.short(MessageType.CloseChannel, channel.id);
  }

  fail(channel: Channel, error: ConnectionError): void {
    channel.error = error;
    this.#drop(channel);
    if (channel.announced) this.#parts.news.tell(channel, News.failed);
  }

  #requestWaiting(): void {
    while (this.#waiting.size > 0 && this.#unanswered < UNANSWERED_OPENINGS_MAX) {
      this.#nextWaiting ??= this.#waiting.values();
      const { value, done } = this.#nextWaiting.next();
      if (done === true) {
        this.#nextWaiting = undefined;
        continue;
      }
      this.#waiting.delete(value);
      this.#request(value);
    }
  }

  #request(channel: Channel): void {
    const window = this.#parts.budget.open();
    channel.state = 'opening';
    channel.window = window;
    this.#unanswered++;
    const { application, destination, localPort, sourceAddress } = channel.facts;
    this.#parts.outbox.request({
      type: MessageType.RequestEstablishmentChannel,
      sender: channel.localId,
      window: window.credit,
      maxPacket: PACKET_MAX,
      source: { address: sourceAddress || UNSPECIFIED, port: localPort },
      destination: { address: destination?.host ?? application.name, port: destination?.port ?? 0 },
    });
  }

  /** What was written, or ended, before the channel was open. */
  #sendWritten(channel: Channel): void {
    if (channel.queue !== undefined) this.#parts.outbox.schedule(channel);
    else if (channel.endPending) this.#sendEnd(channel);
  }

  #sendEnd(channel: Channel): void {
    channel.endPending = false;
    channel.localEnd = true;
    this.#tellDrained(channel);
    if (!this.#parts.halfClose) {
      this.#endByClose(channel);
      return;
    }
    this.#parts.outbox.short(MessageType.EndOfData, channel.id);
    if (channel.remoteEnd) this.#closeBothEnded(channel);
  }

  /** The draft's only end: the peer's data that is on its way is lost by it, as its authors have it. */
  #endByClose(channel: Channel): void {
    const { budget, news } = this.#parts;
    this.sendClose(channel);
    channel.remoteEnd = true;
    if (channel.window !== undefined) budget.end(channel.window);
    news.tell(channel, News.readable);
    this.#releaseIfDone(channel);
  }

  /** Both directions have ended, so neither side needs to close. */
  #closeBothEnded(channel: Channel): void {
    this.#parts.table.free(channel);
    this.#releaseIfDone(channel);
  }

  #tellDrained(channel: Channel): void {
    if (!channel.awaitsDrain) return;
    channel.awaitsDrain = false;
    this.#parts.news.tell(channel, News.drained);
  }

  /** Whatever it holds is given back, and what was to be told of it is not news any more. */
  #drop(channel: Channel): void {
    channel.received = undefined;
    channel.queue = undefined;
    channel.news = 0;
    if (channel.window !== undefined) this.#parts.budget.release(channel.window);
    this.#releaseIfDone(channel);
  }

  #releaseIfDone(channel: Channel): void {
    const isDone = channel.error !== undefined || channel.state === 'closed';
    if (!isDone || channel.unread > 0) return;
    const { table, budget, wake } = this.#parts;
    if (channel.window !== undefined) budget.release(channel.window);
    table.live.delete(channel);
    if (!channel.lingers) return;
    // No event says so, and the adapter may be waiting for it.
    this.#lingering.delete(channel);
    wake();
  }
}
