import type { Role } from '../../connection/sub-protocol.ts';
import { ConnectionError, RefusedError, TlsError } from '../../errors/errors.ts';
import { RecordBatch } from '../batch.ts';
import { sessionClosed } from '../errors.ts';
import {
  CREDIT_MAX,
  LINGER_LIMIT,
  PACKET_MAX,
  ROUND_TRIP_ASSUMED,
  UNANSWERED_OPENINGS_MAX,
} from '../limits.ts';
import type { ChannelsAgreement } from '../negotiation.ts';
import { News, NewsQueue } from '../news.ts';
import type { ChannelLimits } from '../options.ts';
import { ChunkQueue, RoundRobin } from '../outgoing.ts';
import { ReceiveBuffer } from '../receive-buffer.ts';
import type { MultiplexedSession, OpenOptions, OpenTarget, SessionEvent, SessionStats } from '../session.ts';
import { Channel, type ChannelOwner } from './channel.ts';
import { IdleWatch } from './idle-watch.ts';
import { ChannelIds, channelId } from './ids.ts';
import { KeepAlive } from './keep-alive.ts';
import {
  ACKNOWLEDGMENT_LENGTH,
  type ControlMessage,
  DATA_HEADER,
  type Echec,
  encodeControl,
  MessageType,
  type Request,
  SHORT_LENGTH,
  type Short,
  type Success,
  writeAcknowledgment,
  writeDataHeader,
  writeShort,
} from './message.ts';
import { MessageReader } from './reader.ts';
import { describe, factsOf, labelOf, sourceOf, targetOf, UNSPECIFIED } from './target.ts';
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
 * Channel mode: the life of all channels of one session; `channel.ts` has the states.
 *
 * Whatever the peer does wrong on one channel closes that channel. What makes the stream of messages unreadable, names a
 * channel that never was, or uses an id of the wrong side or twice, ends the session: those are thrown as TlsError.
 */
export class ChannelsSession implements MultiplexedSession, ChannelOwner {
  readonly role: Role;
  readonly agreement: ChannelsAgreement;
  /** Windows do what `paused` does in ports mode. */
  readonly paused = false;
  readonly #options: ChannelsSessionOptions;
  readonly #served: ReadonlySet<string> | undefined;
  readonly #record: RecordBatch;
  readonly #reader = new MessageReader();
  readonly #ids: ChannelIds;
  readonly #budget: WindowBudget;
  readonly #keepAlive: KeepAlive;
  readonly #idle: IdleWatch;
  readonly #news = new NewsQueue<Channel>(() => this.#wake?.());
  readonly #turns = new RoundRobin<Channel>();
  #wake: (() => void) | undefined;

  /** By this side's half of the id: those that are known on the wire. */
  readonly #byId = new Map<number, Channel>();
  /** The peer's halves of those, and of what it asks for. */
  readonly #remoteIds = new Set<number>();
  /** Not done with: open or to be opened, or with bytes left to read. */
  readonly #live = new Set<Channel>();
  readonly #requested = new Set<Channel>();
  /** Channels that were closed here before the peer's end came, with the end of their time, soonest first. */
  readonly #lingering = new Map<Channel, number>();
  /** Openings for which the peer is not yet asked, in their order. */
  readonly #waiting = new Set<Channel>();
  #unanswered = 0;
  #closing = 0;
  /** Channels whose readers have made room. */
  #owed: Channel[] = [];
  /** Where the rest of the current MTLSPlaintext goes; `undefined`: nowhere. */
  #target: Channel | undefined;
  #closedBecause: ConnectionError | undefined;
  readonly #counts = { opened: 0, accepted: 0, refused: 0, bytesSent: 0, bytesReceived: 0 };

  constructor(options: ChannelsSessionOptions) {
    const { role, agreement, served, limits } = options;
    this.role = role;
    this.agreement = agreement;
    this.#options = options;
    this.#served = served === 'any' ? undefined : new Set(served);
    this.#record = new RecordBatch(options.send);
    this.#ids = new ChannelIds(role);
    this.#budget = new WindowBudget(limits);
    const keepAlive = agreement.halfClose ? limits.keepAlive : 0;
    this.#keepAlive = new KeepAlive({ ...limits, keepAlive }, (freeSpace) => this.#acknowledge(0, freeSpace));
    this.#idle = new IdleWatch(limits.idleTimeout);
  }

  get connections(): number {
    return this.#live.size;
  }

  onWake(wake: () => void): void {
    this.#wake = wake;
    if (!this.#news.empty || !this.#record.empty || this.#turns.size > 0 || this.#owed.length > 0) wake();
  }

  open(target: OpenTarget, options: OpenOptions = {}): Channel {
    if (this.#closedBecause !== undefined) throw this.#closedBecause;
    const { application, destination } = targetOf(target);
    const { maxConnections } = this.#options.limits;
    const localId =
      this.#occupied < maxConnections ? this.#ids.allocate((id) => !this.#byId.has(id)) : undefined;
    if (localId === undefined) {
      throw new ConnectionError(
        'ERR_MUX_LIMIT',
        `This session has its ${maxConnections} channels; close some, or raise maxConnections.`,
      );
    }
    const facts = {
      application,
      destination,
      localPort: options.localPort ?? 0,
      remotePort: application.port,
      sourceAddress: sourceOf(options.localAddress),
    };
    const channel = new Channel(this, facts, 'waiting');
    channel.localId = localId;
    channel.priority = options.priority ?? 'normal';
    this.#byId.set(localId, channel);
    this.#live.add(channel);
    this.#waiting.add(channel);
    this.#requestWaiting();
    return channel;
  }

  nextEvent(): SessionEvent | undefined {
    return this.#news.next();
  }

  find(address: Uint8Array): Channel | undefined {
    const [a, b, c, d] = address as unknown as [number, number, number, number];
    const id = channelId((a << 8) | b, (c << 8) | d);
    const half = this.#ids.ourHalf(id);
    const channel = half === undefined ? undefined : this.#byId.get(half);
    return channel?.state === 'open' && channel.id === id ? channel : undefined;
  }

  nameOf({ application, destination }: Channel): string {
    return labelOf(application, destination);
  }

  send(most: number, now: number): number {
    if (this.#closedBecause !== undefined) return 0;
    this.#settle(now);
    let sent = 0;
    while (sent < most) {
      const channel = this.#turns.next();
      if (channel === undefined) break;
      sent += this.#sendSlice(channel);
    }
    this.#counts.bytesSent += sent;
    return sent;
  }

  flush(): void {
    this.#record.flush();
  }

  nextTimeout(now: number): number | undefined {
    if (this.#closedBecause !== undefined) return undefined;
    this.#keepAlive.settle(now);
    const [lingering = Number.POSITIVE_INFINITY] = this.#lingering.values();
    const next = Math.min(
      lingering,
      this.#keepAlive.nextTimeout(now) ?? Number.POSITIVE_INFINITY,
      this.#idle.nextTimeout(now) ?? Number.POSITIVE_INFINITY,
    );
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  handleTimeout(now: number): void {
    if (this.#closedBecause !== undefined) return;
    for (const [channel, until] of this.#lingering) {
      if (until > now) break;
      this.abandon(channel);
    }
    if (this.#idle.handleTimeout(now)) this.#closeIdle();
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
    for (const channel of this.#live) unread += channel.unread;
    return {
      mode: 'channels',
      connections: this.#live.size,
      unread,
      committed: this.#budget.committed,
      budget: this.#options.limits.sessionBudget,
      roundTrip: this.#keepAlive.roundTrip,
      ...this.#counts,
    };
  }

  /** The content of one `mtls` record. @throws TlsError */
  receive(content: Uint8Array): void {
    if (this.#closedBecause !== undefined) return;
    this.#keepAlive.heard();
    const reader = this.#reader;
    reader.push(content);
    while (reader.next()) {
      const { control } = reader;
      if (control !== undefined) {
        this.#receiveControl(control);
        continue;
      }
      if (reader.starts) this.#target = this.#receiveHeader(reader.channel, reader.length);
      const target = this.#target;
      if (target !== undefined && target.state === 'open' && reader.piece.length > 0)
        this.#receiveData(target, reader.piece);
    }
  }

  /**
   * Nothing more comes, orderly or not. Channels that are not through fail: an end of the session is not an end of their
   * streams. What others received stays readable.
   */
  close(cause: Error | undefined): void {
    if (this.#closedBecause !== undefined) return;
    this.#closedBecause = sessionClosed(cause);
    this.#record.discard();
    const ended = [...this.#byId.values(), ...this.#requested];
    this.#byId.clear();
    this.#remoteIds.clear();
    this.#requested.clear();
    this.#lingering.clear();
    this.#waiting.clear();
    for (const channel of ended) {
      channel.state = 'closed';
      if (channel.error === undefined) this.#fail(channel, sessionClosed(cause));
    }
  }

  // What channels ask for: ChannelOwner.

  accept(channel: Channel): void {
    if (channel.state !== 'requested') return;
    const localId = this.#ids.allocate((id) => !this.#byId.has(id));
    if (localId === undefined) {
      this.refuse(channel, 'this side has no channel id left');
      return;
    }
    this.#requested.delete(channel);
    const window = this.#budget.open();
    channel.state = 'open';
    channel.localId = localId;
    channel.id = channelId(channel.remoteId, localId);
    channel.window = window;
    this.#byId.set(localId, channel);
    this.#counts.accepted++;
    this.#control({
      type: MessageType.RequestEstablishmentSuccess,
      sender: channel.remoteId,
      receiver: localId,
      window: window.credit,
      maxPacket: PACKET_MAX,
    });
    this.#sendWritten(channel);
  }

  write(channel: Channel, data: Uint8Array): void {
    channel.queue ??= new ChunkQueue();
    channel.queue.push(data);
    this.#schedule(channel);
  }

  end(channel: Channel): void {
    channel.endPending = true;
    if (channel.queue !== undefined || channel.state !== 'open') return;
    this.#sendEnd(channel);
  }

  refuse(channel: Channel, reason: string): void {
    if (channel.state !== 'requested') {
      this.abandon(channel);
      return;
    }
    channel.state = 'closed';
    channel.error = new ConnectionError('ERR_MUX_REFUSED', `This side refused ${describe(channel)}.`);
    this.#requested.delete(channel);
    this.#remoteIds.delete(channel.remoteId);
    this.#drop(channel);
    this.#sendEchec(channel.remoteId, reason);
  }

  abandon(channel: Channel): void {
    if (channel.error !== undefined) return;
    if (channel.state === 'requested') {
      this.refuse(channel, 'it was not accepted');
      return;
    }
    if (channel.state !== 'closed') {
      this.#withdraw(channel);
      channel.error = new ConnectionError('ERR_MUX_ABORTED', `This side aborted ${describe(channel)}.`);
    }
    this.#drop(channel);
  }

  linger(channel: Channel, now: number): void {
    channel.lingers = true;
    channel.announced = false;
    channel.news = 0;
    this.#lingering.set(channel, now + LINGER_LIMIT);
    // The adapter looks at the time when it is woken.
    this.#wake?.();
  }

  consumed(channel: Channel, bytes: number): void {
    const { window } = channel;
    if (window === undefined) return;
    this.#budget.consumed(window, bytes);
    if (channel.state === 'open' && !channel.remoteEnd) {
      if (!channel.owed && this.#budget.owes(window)) {
        channel.owed = true;
        this.#owed.push(channel);
        this.#wake?.();
      }
    } else {
      this.#releaseIfDone(channel);
    }
  }

  // Receiving.

  #receiveControl(message: ControlMessage): void {
    switch (message.type) {
      case MessageType.Acknowledgment:
        this.#receiveAcknowledgment(message.channel, message.freeSpace);
        break;
      case MessageType.RequestEstablishmentChannel:
        this.#receiveRequest(message);
        break;
      case MessageType.RequestEstablishmentSuccess:
        this.#receiveSuccess(message);
        break;
      case MessageType.RequestEchecChannel:
        this.#receiveEchec(message);
        break;
      case MessageType.CloseChannel:
        this.#receiveClose(message.channel);
        break;
      case MessageType.ConfirmationCloseChannel:
        this.#receiveConfirmation(message.channel);
        break;
      case MessageType.EndOfData:
        this.#receiveEnd(message.channel);
        break;
    }
  }

  /** The channel that the data is for; `undefined` when it is to be skipped. */
  #receiveHeader(id: number, length: number): Channel | undefined {
    const channel = this.#known(id, 'MTLSPlaintext');
    if (channel.state === 'closing') return undefined;
    const { window } = channel;
    if (channel.remoteEnd || window === undefined) {
      this.#breach(channel, 'ERR_MUX_ABORTED', 'sent data after its EndOfData');
    } else if (length > PACKET_MAX) {
      this.#breach(
        channel,
        'ERR_MUX_FLOW_CONTROL',
        `sent ${length} bytes in one message, ${PACKET_MAX} are allowed,`,
      );
    } else if (!this.#budget.received(window, length)) {
      this.#breach(channel, 'ERR_MUX_FLOW_CONTROL', `sent ${length} bytes into a window of ${window.credit}`);
    } else {
      return channel;
    }
    return undefined;
  }

  #receiveData(channel: Channel, piece: Uint8Array): void {
    this.#options.admit?.(labelOf(channel.application, channel.destination), piece);
    if (channel.lingers) {
      // Nobody will read it, and the sender must not believe that someone did.
      this.abandon(channel);
      return;
    }
    this.#counts.bytesReceived += piece.length;
    channel.active = true;
    channel.received ??= new ReceiveBuffer();
    channel.received.append(piece);
    this.#news.tell(channel, News.readable);
  }

  #receiveAcknowledgment(id: number, freeSpace: number): void {
    if (id === 0 && this.agreement.halfClose) {
      this.#keepAlive.receive(freeSpace);
      this.#wake?.();
      return;
    }
    // It may have been on its way when both ends had been said.
    const channel = this.#knownOrGone(id, 'Acknowledgment');
    if (channel === undefined || channel.state === 'closing') return;
    channel.credit += freeSpace;
    if (channel.credit > CREDIT_MAX) {
      this.#breach(channel, 'ERR_MUX_FLOW_CONTROL', `gave credit for ${channel.credit} bytes`);
      return;
    }
    if (channel.queue !== undefined) this.#schedule(channel);
  }

  #receiveRequest(request: Request): void {
    const { sender, window, destination } = request;
    if (this.#ids.isOurs(sender)) throw illegal(`asks for channel ${sender}, an id of this side`);
    if (this.#remoteIds.has(sender)) throw illegal(`asks for channel ${sender}, which is in use`);
    const { maxConnections } = this.#options.limits;
    const hasPort = destination.port !== 0;
    let reason: string | undefined;
    if (this.#occupied >= maxConnections) reason = `this side has its ${maxConnections} channels`;
    else if (this.#requested.size >= UNANSWERED_OPENINGS_MAX)
      reason = `${UNANSWERED_OPENINGS_MAX} openings already wait for their answer`;
    else if (window > CREDIT_MAX || request.maxPacket === 0)
      reason = 'a window above 2^31-1 bytes, or a packet length of 0, cannot be spoken to';
    else if (hasPort && !this.#options.destinations) reason = 'destinations by host and port are not offered';
    else if (!hasPort && this.#served?.has(destination.address) === false)
      reason = 'this side does not serve it';
    if (reason !== undefined) {
      this.#sendEchec(sender, reason);
      return;
    }
    const channel = new Channel(this, factsOf(request), 'requested');
    channel.remoteId = sender;
    channel.credit = window;
    channel.maxPacket = request.maxPacket;
    this.#remoteIds.add(sender);
    this.#requested.add(channel);
    this.#live.add(channel);
    this.#news.tell(channel, News.opened);
  }

  #receiveSuccess({ sender, receiver, window, maxPacket }: Success): void {
    const channel = this.#answered(sender);
    if (this.#ids.isOurs(receiver)) throw illegal(`accepts channel ${sender} with an id of this side`);
    if (this.#remoteIds.has(receiver)) throw illegal(`accepts channel ${sender} as ${receiver}, in use`);
    channel.remoteId = receiver;
    channel.id = channelId(sender, receiver);
    channel.credit = window;
    channel.maxPacket = maxPacket;
    this.#remoteIds.add(receiver);
    if (channel.state === 'unwanted') {
      this.#sendClose(channel);
      return;
    }
    channel.state = 'open';
    if (window > CREDIT_MAX || maxPacket === 0) {
      this.#breach(channel, 'ERR_MUX_FLOW_CONTROL', 'offered a window that cannot be spoken to');
      return;
    }
    this.#counts.opened++;
    this.#news.tell(channel, News.confirmed);
    this.#sendWritten(channel);
  }

  #receiveEchec({ sender, error }: Echec): void {
    const channel = this.#answered(sender);
    this.#byId.delete(sender);
    const wasWanted = channel.state === 'opening';
    channel.state = 'closed';
    this.#counts.refused++;
    if (wasWanted) this.#fail(channel, new RefusedError(describe(channel), error));
  }

  /** The opening that a Success or an Echec answers. */
  #answered(sender: number): Channel {
    const channel = this.#byId.get(sender);
    if (channel === undefined || (channel.state !== 'opening' && channel.state !== 'unwanted')) {
      throw illegal(`answers for channel ${sender}, which was not asked for`);
    }
    this.#unanswered--;
    this.#requestWaiting();
    return channel;
  }

  #receiveClose(id: number): void {
    const channel = this.#knownOrGone(id, 'CloseChannel');
    this.#short(MessageType.ConfirmationCloseChannel, id);
    // When both sides close at once, each waits for the confirmation of its own.
    if (channel === undefined || channel.state === 'closing') return;
    this.#free(channel);
    if (channel.lingers || this.agreement.halfClose) {
      this.#fail(
        channel,
        new ConnectionError('ERR_MUX_ABORTED', `The peer closed ${describe(channel)} in both directions.`),
      );
      return;
    }
    // The draft has no other end.
    channel.queue = undefined;
    channel.localEnd = true;
    channel.remoteEnd = true;
    this.#news.tell(channel, channel.awaitsDrain ? News.readable | News.drained : News.readable);
    this.#releaseIfDone(channel);
  }

  #receiveConfirmation(id: number): void {
    const channel = this.#known(id, 'ConfirmationCloseChannel');
    if (channel.state !== 'closing') throw illegal(`confirms the close of channel ${id}, which is open`);
    this.#closing--;
    this.#free(channel);
    this.#releaseIfDone(channel);
  }

  #receiveEnd(id: number): void {
    if (!this.agreement.halfClose) {
      throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'mtls EndOfData, which was not agreed on');
    }
    const channel = this.#known(id, 'EndOfData');
    if (channel.state === 'closing') return;
    if (channel.remoteEnd) {
      this.#breach(channel, 'ERR_MUX_ABORTED', 'sent EndOfData twice');
      return;
    }
    channel.remoteEnd = true;
    if (channel.window !== undefined) this.#budget.end(channel.window);
    if (!channel.lingers) this.#news.tell(channel, News.readable);
    if (channel.localEnd) this.#closeBothEnded(channel);
  }

  /** @throws TlsError for an id that names no channel of now */
  #known(id: number, what: string): Channel {
    const channel = this.#knownOrGone(id, what);
    if (channel === undefined) throw illegal(`${what} for channel ${id}, which is closed`);
    return channel;
  }

  /** `undefined` for one that may have been closed. @throws TlsError for an id that never was */
  #knownOrGone(id: number, what: string): Channel | undefined {
    const half = this.#ids.ourHalf(id);
    const channel = half === undefined ? undefined : this.#byId.get(half);
    if (
      channel !== undefined &&
      channel.id === id &&
      (channel.state === 'open' || channel.state === 'closing')
    )
      return channel;
    if (half === undefined || !this.#ids.wasAllocated(half) || (channel !== undefined && channel.id === 0)) {
      throw illegal(`${what} for channel ${id}, which never was`);
    }
    return undefined;
  }

  #breach(channel: Channel, code: 'ERR_MUX_ABORTED' | 'ERR_MUX_FLOW_CONTROL', what: string): void {
    this.#withdraw(channel);
    this.#fail(channel, new ConnectionError(code, `The peer ${what} on ${describe(channel)}.`));
  }

  #closeIdle(): void {
    for (const channel of this.#byId.values()) {
      if (channel.active || channel.state !== 'open' || channel.error !== undefined) {
        channel.active = false;
        continue;
      }
      this.#withdraw(channel);
      this.#fail(
        channel,
        new ConnectionError('ERR_MUX_TIMEOUT', `Nothing has moved for idleTimeout on ${describe(channel)}.`),
      );
    }
  }

  // The life of a channel.

  /** Whatever counts against `maxConnections`. */
  get #occupied(): number {
    return this.#live.size + this.#closing;
  }

  #requestWaiting(): void {
    for (const channel of this.#waiting) {
      if (this.#unanswered >= UNANSWERED_OPENINGS_MAX) return;
      this.#waiting.delete(channel);
      this.#request(channel);
    }
  }

  #request(channel: Channel): void {
    const window = this.#budget.open();
    channel.state = 'opening';
    channel.window = window;
    this.#unanswered++;
    const { application, destination, localPort, sourceAddress } = channel.facts;
    this.#control({
      type: MessageType.RequestEstablishmentChannel,
      sender: channel.localId,
      window: window.credit,
      maxPacket: PACKET_MAX,
      source: { address: sourceAddress || UNSPECIFIED, port: localPort },
      destination: { address: destination?.host ?? application.name, port: destination?.port ?? 0 },
    });
  }

  /** Ends what the wire knows of it, from this side. */
  #withdraw(channel: Channel): void {
    if (channel.state === 'waiting') {
      channel.state = 'closed';
      this.#waiting.delete(channel);
      this.#byId.delete(channel.localId);
    } else if (channel.state === 'opening') channel.state = 'unwanted';
    else if (channel.state === 'open') this.#sendClose(channel);
  }

  #sendClose(channel: Channel): void {
    channel.state = 'closing';
    this.#closing++;
    this.#short(MessageType.CloseChannel, channel.id);
  }

  /** Both directions have ended, so neither side needs to close. */
  #closeBothEnded(channel: Channel): void {
    this.#free(channel);
    this.#releaseIfDone(channel);
  }

  /** The ids may be used again, whatever is left to read here. */
  #free(channel: Channel): void {
    channel.state = 'closed';
    this.#byId.delete(channel.localId);
    this.#remoteIds.delete(channel.remoteId);
  }

  #fail(channel: Channel, error: ConnectionError): void {
    channel.error = error;
    this.#drop(channel);
    if (channel.announced) this.#news.tell(channel, News.failed);
  }

  /** Whatever it holds is given back, and what was to be told of it is not news any more. */
  #drop(channel: Channel): void {
    channel.received = undefined;
    channel.queue = undefined;
    channel.news = 0;
    if (channel.window !== undefined) this.#budget.release(channel.window);
    this.#releaseIfDone(channel);
  }

  #releaseIfDone(channel: Channel): void {
    const isDone = channel.error !== undefined || channel.state === 'closed';
    if (!isDone || channel.unread > 0) return;
    if (channel.window !== undefined) this.#budget.release(channel.window);
    this.#live.delete(channel);
    if (!channel.lingers) return;
    // No event says so, and the adapter may be waiting for it.
    this.#lingering.delete(channel);
    this.#wake?.();
  }

  // Sending.

  /** What was written, or ended, before the channel was open. */
  #sendWritten(channel: Channel): void {
    if (channel.queue !== undefined) this.#schedule(channel);
    else if (channel.endPending) this.#sendEnd(channel);
  }

  /** Lets it send when its turn comes. */
  #schedule(channel: Channel): void {
    if (channel.state !== 'open' || channel.credit === 0 || channel.queue === undefined) return;
    if (this.#turns.size === 0) this.#wake?.();
    this.#turns.add(channel);
  }

  #sendSlice(channel: Channel): number {
    const { queue } = channel;
    if (channel.state !== 'open' || queue === undefined) return 0;
    const record = this.#record;
    const wanted = Math.min(queue.length, channel.credit, channel.maxPacket);
    if (record.room < Math.min(wanted + DATA_HEADER, SMALLEST_CUT)) record.flush();
    const content = record.reserve(DATA_HEADER + 1);
    const length = Math.min(wanted, record.room - DATA_HEADER);
    const at = writeDataHeader(content, record.length, channel.id, length);
    queue.take(content, at, length);
    record.length = at + length;
    channel.credit -= length;
    channel.active = true;
    if (queue.length > 0) {
      if (channel.credit > 0) this.#turns.add(channel);
      return length;
    }
    channel.queue = undefined;
    if (channel.endPending) this.#sendEnd(channel);
    else this.#tellDrained(channel);
    return length;
  }

  #sendEnd(channel: Channel): void {
    channel.endPending = false;
    channel.localEnd = true;
    this.#tellDrained(channel);
    if (!this.agreement.halfClose) {
      this.#endByClose(channel);
      return;
    }
    this.#short(MessageType.EndOfData, channel.id);
    if (channel.remoteEnd) this.#closeBothEnded(channel);
  }

  /** The draft's only end: the peer's data that is on its way is lost by it, as its authors have it. */
  #endByClose(channel: Channel): void {
    this.#sendClose(channel);
    channel.remoteEnd = true;
    if (channel.window !== undefined) this.#budget.end(channel.window);
    this.#news.tell(channel, News.readable);
    this.#releaseIfDone(channel);
  }

  #tellDrained(channel: Channel): void {
    if (!channel.awaitsDrain) return;
    channel.awaitsDrain = false;
    this.#news.tell(channel, News.drained);
  }

  /** Gives credit for what was read since the last time. */
  #settle(now: number): void {
    this.#keepAlive.settle(now);
    if (
      this.#counts.bytesReceived > 0 &&
      this.#keepAlive.roundTrip === undefined &&
      this.agreement.halfClose
    ) {
      // Before there is a bulk of data that the question would wait behind: the shortest answer counts for long.
      this.#keepAlive.measure(now);
    }
    const owed = this.#owed;
    if (owed.length === 0) return;
    this.#owed = [];
    const roundTrip = this.agreement.halfClose ? this.#keepAlive.roundTrip : ROUND_TRIP_ASSUMED;
    for (const channel of owed) {
      channel.owed = false;
      if (channel.state !== 'open' || channel.remoteEnd || channel.window === undefined) continue;
      const freeSpace = this.#budget.acknowledge(channel.window, now, roundTrip);
      if (freeSpace > 0) this.#acknowledge(channel.id, freeSpace);
    }
    if (this.#budget.wantsRoundTrip) {
      this.#budget.wantsRoundTrip = false;
      if (this.agreement.halfClose) this.#keepAlive.measure(now);
    }
  }

  #control(message: ControlMessage): void {
    this.#wakeToFlush();
    this.#record.append(encodeControl(message));
  }

  #sendEchec(sender: number, error: string): void {
    this.#control({ type: MessageType.RequestEchecChannel, sender, error });
  }

  #short(type: Short['type'], channel: number): void {
    this.#wakeToFlush();
    const record = this.#record;
    record.length = writeShort(record.reserve(SHORT_LENGTH), record.length, type, channel);
  }

  #acknowledge(channel: number, freeSpace: number): void {
    this.#wakeToFlush();
    const record = this.#record;
    const content = record.reserve(ACKNOWLEDGMENT_LENGTH);
    record.length = writeAcknowledgment(content, record.length, channel, freeSpace);
  }

  #wakeToFlush(): void {
    if (this.#record.empty) this.#wake?.();
  }
}

/** Data is not cut to fill less than this at a record's end: two messages would cost more than the record saves. */
const SMALLEST_CUT = 1_024;

function illegal(what: string): TlsError {
  return new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `mtls: the peer ${what}`);
}
