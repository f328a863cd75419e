import type { Role } from '../../connection/sub-protocol.ts';
import { ConnectionError, TlsError } from '../../errors/errors.ts';
import { sessionClosed } from '../errors.ts';
import type { ChannelsAgreement } from '../negotiation.ts';
import { NewsQueue } from '../news.ts';
import type { ChannelLimits } from '../options.ts';
import type { MultiplexedSession, OpenOptions, OpenTarget, SessionEvent, SessionStats } from '../session.ts';
import { Channel } from './channel.ts';
import { Credit } from './credit.ts';
import { IdleWatch } from './idle-watch.ts';
import { Inbox } from './inbox.ts';
import { KeepAlive } from './keep-alive.ts';
import { Lifecycle } from './lifecycle.ts';
import { Outbox } from './outbox.ts';
import { ChannelTable } from './table.ts';
import { labelOf, sourceOf, targetOf } from './target.ts';
import { WindowBudget } from './window.ts';

export interface ChannelsSessionOptions {
  readonly role: Role;
  readonly agreement: ChannelsAgreement;
  /** Names of applications that the peer may open; others are refused at once. */
  readonly served: 'any' | readonly string[];
  /** The peer may ask for destinations by host and port; the adapter decides about each. */
  readonly destinations: boolean;
  readonly limits: ChannelLimits;
  /** Seals the content of one record before it returns. */
  readonly send: (content: Uint8Array) => void;
  /** Is asked before data is taken on a channel of this name; throws a TlsError to end the session. */
  readonly admit?: ((name: string, data: Uint8Array) => void) | undefined;
  /** Ends the session because of a fault that no message has brought. */
  readonly fail: (error: TlsError) => void;
}

/**
 * Channel mode: all channels of one session, as its adapter sees them. What the peer says comes in through `inbox.ts`, what
 * becomes of a channel is decided in `lifecycle.ts`, what is to be sent leaves through `outbox.ts`; `table.ts` knows which
 * channels there are, `window.ts` and `credit.ts` what the peer may send.
 */
export class ChannelsSession implements MultiplexedSession {
  readonly role: Role;
  readonly agreement: ChannelsAgreement;
  /** Windows do what `paused` does in ports mode. */
  readonly paused = false;
  readonly #options: ChannelsSessionOptions;
  readonly #table: ChannelTable;
  readonly #budget: WindowBudget;
  readonly #news: NewsQueue<Channel>;
  readonly #outbox: Outbox;
  readonly #keepAlive: KeepAlive;
  readonly #idle: IdleWatch;
  readonly #credit: Credit;
  readonly #lifecycle: Lifecycle;
  readonly #inbox: Inbox;
  #wake: (() => void) | undefined;
  #closedBecause: ConnectionError | undefined;
  #bytesSent = 0;

  constructor(options: ChannelsSessionOptions) {
    const { role, agreement, served, destinations, limits, admit } = options;
    const { halfClose } = agreement;
    this.role = role;
    this.agreement = agreement;
    this.#options = options;
    const wake = (): void => this.#wake?.();
    const table = new ChannelTable(role);
    const budget = new WindowBudget(limits);
    const news = new NewsQueue<Channel>(wake);
    const outbox = new Outbox(options.send, wake);
    const keepAlive = new KeepAlive({ ...limits, keepAlive: halfClose ? limits.keepAlive : 0 }, (freeSpace) =>
      outbox.acknowledge(0, freeSpace),
    );
    const credit = new Credit(budget, outbox, halfClose ? keepAlive : undefined, wake);
    const parts = { table, budget, news, outbox, credit, keepAlive, halfClose, wake };
    const lifecycle = new Lifecycle(parts);
    this.#inbox = new Inbox(
      { ...parts, lifecycle },
      {
        maxConnections: limits.maxConnections,
        served: served === 'any' ? undefined : new Set(served),
        destinations,
        admit,
      },
    );
    this.#table = table;
    this.#budget = budget;
    this.#news = news;
    this.#outbox = outbox;
    this.#keepAlive = keepAlive;
    this.#idle = new IdleWatch(limits.idleTimeout);
    this.#credit = credit;
    this.#lifecycle = lifecycle;
  }

  get connections(): number {
    return this.#table.live.size;
  }

  onWake(wake: () => void): void {
    this.#wake = wake;
    if (!this.#news.empty || !this.#outbox.empty || !this.#credit.empty) wake();
  }

  open(target: OpenTarget, options: OpenOptions = {}): Channel {
    if (this.#closedBecause !== undefined) throw this.#closedBecause;
    const { application, destination } = targetOf(target);
    const facts = {
      application,
      destination,
      localPort: options.localPort ?? 0,
      remotePort: application.port,
      sourceAddress: sourceOf(options.localAddress),
    };
    const channel = new Channel(this.#lifecycle, facts, 'waiting');
    channel.priority = options.priority ?? 'normal';
    const { maxConnections } = this.#options.limits;
    if (this.#table.occupied >= maxConnections || !this.#table.assign(channel)) {
      throw new ConnectionError(
        'ERR_MUX_LIMIT',
        `This session has its ${maxConnections} channels; close some, or raise maxConnections.`,
      );
    }
    this.#lifecycle.open(channel);
    return channel;
  }

  nextEvent(): SessionEvent | undefined {
    return this.#news.next();
  }

  find(address: Uint8Array): Channel | undefined {
    return this.#table.find(address);
  }

  nameOf({ application, destination }: Channel): string {
    return labelOf(application, destination);
  }

  /** The content of one `mtls` record. @throws TlsError */
  receive(content: Uint8Array): void {
    if (this.#closedBecause !== undefined) return;
    this.#keepAlive.heard();
    this.#inbox.receive(content);
  }

  send(most: number, now: number): number {
    if (this.#closedBecause !== undefined) return 0;
    this.#keepAlive.settle(now);
    this.#inbox.settle(now);
    this.#credit.settle(now);
    let sent = 0;
    while (sent < most) {
      const channel = this.#outbox.next();
      if (channel === undefined) break;
      const length = this.#outbox.slice(channel);
      sent += length;
      if (length > 0 && channel.queue === undefined) this.#lifecycle.sentAll(channel);
    }
    this.#bytesSent += sent;
    return sent;
  }

  flush(): void {
    this.#outbox.flush();
  }

  get begun(): boolean {
    return this.#outbox.begun;
  }

  nextTimeout(now: number): number | undefined {
    if (this.#closedBecause !== undefined) return undefined;
    this.#keepAlive.settle(now);
    const next = Math.min(
      this.#lifecycle.nextTimeout ?? Number.POSITIVE_INFINITY,
      this.#keepAlive.nextTimeout(now) ?? Number.POSITIVE_INFINITY,
      this.#idle.nextTimeout(now) ?? Number.POSITIVE_INFINITY,
    );
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  handleTimeout(now: number): void {
    if (this.#closedBecause !== undefined) return;
    this.#lifecycle.handleTimeout(now);
    if (this.#idle.handleTimeout(now)) this.#lifecycle.closeIdle();
    if (this.#keepAlive.handleTimeout(now)) {
      const { keepAlive, keepAliveTimeout } = this.#options.limits;
      this.#options.fail(
        new TlsError(
          'ERR_MUX_KEEP_ALIVE',
          `The peer has said nothing for ${keepAlive + keepAliveTimeout} ms, asked whether it is there or not`,
        ),
      );
    }
  }

  stats(): SessionStats {
    let unread = 0;
    for (const channel of this.#table.live) unread += channel.unread;
    const { opened, accepted, refused } = this.#lifecycle;
    return {
      mode: 'channels',
      connections: this.#table.live.size,
      unread,
      committed: this.#budget.committed,
      budget: this.#options.limits.sessionBudget,
      roundTrip: this.#keepAlive.roundTrip,
      opened,
      accepted,
      refused,
      bytesSent: this.#bytesSent,
      bytesReceived: this.#inbox.bytesReceived,
    };
  }

  /**
   * Nothing more comes, orderly or not. Channels that are not through fail: an end of the session is not an end of their
   * streams. What others received stays readable.
   */
  close(cause: Error | undefined): void {
    if (this.#closedBecause !== undefined) return;
    this.#closedBecause = sessionClosed(cause);
    this.#outbox.discard();
    this.#lifecycle.closeAll(() => sessionClosed(cause));
  }
}
