import { ConnectionError, RefusedError, TlsError } from '../../errors/errors.ts';
import { CHURN_MAX, CREDIT_MAX, PACKET_MAX, UNANSWERED_OPENINGS_MAX } from '../limits.ts';
import { News, type NewsQueue } from '../news.ts';
import { ReceiveBuffer } from '../receive-buffer.ts';
import { Channel } from './channel.ts';
import { Churn } from './churn.ts';
import type { Credit } from './credit.ts';
import { channelId } from './ids.ts';
import type { KeepAlive } from './keep-alive.ts';
import type { Lifecycle } from './lifecycle.ts';
import { type ControlMessage, type Echec, MessageType, type Request, type Success } from './message.ts';
import type { Outbox } from './outbox.ts';
import { MessageReader } from './reader.ts';
import { type ChannelTable, illegal } from './table.ts';
import { describe, factsOf, labelOf } from './target.ts';
import type { WindowBudget } from './window.ts';

export interface InboxParts {
  readonly table: ChannelTable;
  readonly lifecycle: Lifecycle;
  readonly outbox: Outbox;
  readonly budget: WindowBudget;
  readonly credit: Credit;
  readonly keepAlive: KeepAlive;
  readonly news: NewsQueue<Channel>;
  readonly halfClose: boolean;
  readonly wake: () => void;
}

/** What is asked before the peer gets something. */
export interface InboxRules {
  readonly maxConnections: number;
  /** Names of applications that the peer may open; `undefined` for any. */
  readonly served: ReadonlySet<string> | undefined;
  readonly destinations: boolean;
  /** Throws a TlsError to end the session. */
  readonly admit: ((name: string, data: Uint8Array) => void) | undefined;
}

/**
 * What the peer says, one handler for each message. What it does wrong on one channel closes that channel. What makes the
 * stream of messages unreadable, names a channel that never was, or uses an id of the wrong side or twice, ends the
 * session: those are thrown as TlsError.
 */
export class Inbox {
  bytesReceived = 0;
  readonly #parts: InboxParts;
  readonly #rules: InboxRules;
  readonly #reader = new MessageReader();
  readonly #churn = new Churn();
  /** Where the rest of the current MTLSPlaintext goes; `undefined`: nowhere. */
  #target: Channel | undefined;

  constructor(parts: InboxParts, rules: InboxRules) {
    this.#parts = parts;
    this.#rules = rules;
  }

  /** The content of one `mtls` record. @throws TlsError */
  receive(content: Uint8Array): void {
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

  /** Forgives as time goes by. */
  settle(now: number): void {
    this.#churn.settle(now);
  }

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
    const { table, budget } = this.#parts;
    const channel = table.current(id, 'MTLSPlaintext');
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
    } else if (!budget.received(window, length)) {
      this.#breach(channel, 'ERR_MUX_FLOW_CONTROL', `sent ${length} bytes into a window of ${window.credit}`);
    } else {
      return channel;
    }
    return undefined;
  }

  #receiveData(channel: Channel, piece: Uint8Array): void {
    const { lifecycle, credit, news } = this.#parts;
    this.#rules.admit?.(labelOf(channel.application, channel.destination), piece);
    if (channel.lingers) {
      // Nobody will read it, and the sender must not believe that someone did.
      lifecycle.abandon(channel);
      return;
    }
    this.bytesReceived += piece.length;
    credit.received();
    channel.active = true;
    channel.carried = true;
    channel.received ??= new ReceiveBuffer();
    channel.received.append(piece);
    news.tell(channel, News.readable);
  }

  #receiveAcknowledgment(id: number, freeSpace: number): void {
    const { table, outbox, keepAlive, halfClose, wake } = this.#parts;
    if (id === 0 && halfClose) {
      keepAlive.receive(freeSpace);
      wake();
      return;
    }
    // It may have been on its way when both ends had been said.
    const channel = table.currentOrGone(id, 'Acknowledgment');
    if (channel === undefined || channel.state === 'closing') return;
    channel.credit += freeSpace;
    if (channel.credit > CREDIT_MAX) {
      this.#breach(channel, 'ERR_MUX_FLOW_CONTROL', `gave credit for ${channel.credit} bytes`);
      return;
    }
    if (channel.queue !== undefined) outbox.schedule(channel);
  }

  #receiveRequest(request: Request): void {
    const { table, outbox, lifecycle, news } = this.#parts;
    const { sender } = request;
    table.claim(sender, 'asks for channel');
    const reason = this.#whyNot(request);
    if (reason !== undefined) {
      outbox.echec(sender, reason);
      return;
    }
    const channel = new Channel(lifecycle, factsOf(request), 'requested');
    channel.credit = request.window;
    channel.maxPacket = request.maxPacket;
    table.hold(channel, sender);
    table.requested.add(channel);
    table.live.add(channel);
    news.tell(channel, News.opened);
  }

  #whyNot({ window, maxPacket, destination }: Request): string | undefined {
    const { maxConnections, served, destinations } = this.#rules;
    const { table } = this.#parts;
    const hasPort = destination.port !== 0;
    if (table.occupied >= maxConnections) return `this side has its ${maxConnections} channels`;
    if (table.requested.size >= UNANSWERED_OPENINGS_MAX)
      return `${UNANSWERED_OPENINGS_MAX} openings already wait for their answer`;
    if (window > CREDIT_MAX || maxPacket === 0)
      return 'a window above 2^31-1 bytes, or a packet length of 0, cannot be spoken to';
    if (hasPort && !destinations) return 'destinations by host and port are not offered';
    if (!hasPort && served?.has(destination.address) === false) return 'this side does not serve it';
    return undefined;
  }

  #receiveSuccess({ sender, receiver, window, maxPacket }: Success): void {
    const { table, lifecycle } = this.#parts;
    const channel = table.answered(sender);
    lifecycle.answered();
    table.claim(receiver, `accepts channel ${sender} as`);
    table.hold(channel, receiver);
    channel.id = channelId(sender, receiver);
    channel.credit = window;
    channel.maxPacket = maxPacket;
    if (channel.state === 'unwanted') lifecycle.sendClose(channel);
    else if (window > CREDIT_MAX || maxPacket === 0) {
      channel.state = 'open';
      this.#breach(channel, 'ERR_MUX_FLOW_CONTROL', 'offered a window that cannot be spoken to');
    } else lifecycle.established(channel);
  }

  #receiveEchec({ sender, error }: Echec): void {
    const { table, lifecycle } = this.#parts;
    const channel = table.answered(sender);
    lifecycle.answered();
    table.forgetLocal(channel);
    const wasWanted = channel.state === 'opening';
    channel.state = 'closed';
    lifecycle.refused++;
    if (wasWanted) lifecycle.fail(channel, new RefusedError(describe(channel), error));
  }

  #receiveClose(id: number): void {
    const { table, lifecycle, outbox, halfClose } = this.#parts;
    const channel = table.currentOrGone(id, 'CloseChannel');
    outbox.short(MessageType.ConfirmationCloseChannel, id);
    // When both sides close at once, each waits for the confirmation of its own.
    if (channel === undefined || channel.state === 'closing') return;
    if (!channel.isOurs && !channel.carried && !this.#churn.spend()) {
      throw new TlsError('ERR_MUX_FLOOD', `The peer opened and closed ${CHURN_MAX} channels for nothing.`);
    }
    table.free(channel);
    if (!channel.lingers && !halfClose) {
      // The draft has no other end.
      lifecycle.endedByClose(channel);
      return;
    }
    lifecycle.fail(
      channel,
      new ConnectionError('ERR_MUX_ABORTED', `The peer closed ${describe(channel)} in both directions.`),
    );
  }

  #receiveConfirmation(id: number): void {
    const { table, lifecycle } = this.#parts;
    const channel = table.current(id, 'ConfirmationCloseChannel');
    if (channel.state !== 'closing') throw illegal(`confirms the close of channel ${id}, which is open`);
    lifecycle.confirmed(channel);
  }

  #receiveEnd(id: number): void {
    const { table, lifecycle, halfClose } = this.#parts;
    if (!halfClose) {
      throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'mtls EndOfData, which was not agreed on');
    }
    const channel = table.current(id, 'EndOfData');
    if (channel.state === 'closing') return;
    if (channel.remoteEnd) this.#breach(channel, 'ERR_MUX_ABORTED', 'sent EndOfData twice');
    else lifecycle.ended(channel);
  }

  #breach(channel: Channel, code: 'ERR_MUX_ABORTED' | 'ERR_MUX_FLOW_CONTROL', what: string): void {
    const { lifecycle } = this.#parts;
    lifecycle.withdraw(channel);
    lifecycle.fail(channel, new ConnectionError(code, `The peer ${what} on ${describe(channel)}.`));
  }
}
