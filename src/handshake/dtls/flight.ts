import {
  buildFragment,
  FRAGMENT_HEADER_LENGTH,
  type HandshakeFragment,
  type RecordNumber,
} from '../../messages/dtls.ts';
import type { DatagramSealer } from '../../record/dtls/protection.ts';
import { ContentType } from '../../wire/codepoints.ts';
import { concat } from '../../wire/writer.ts';
import { Ranges } from './ranges.ts';

/** Records of a flight whose acknowledgement is still understood: those of the last few times that it was sent. */
export const MAX_TRACKED_RECORDS = 512;
/** Bytes of a message that a fragment has at least; less would not be worth its headers. */
const MIN_FRAGMENT = 16;

/** A message of ours, or a ChangeCipherSpec in its place among them. */
interface Outgoing {
  readonly sealer: DatagramSealer;
  readonly message:
    | {
        readonly type: number;
        readonly messageSeq: number;
        readonly body: Uint8Array;
        readonly acked: Ranges;
        readonly group: number;
      }
    | 'change_cipher_spec';
  /** Bytes of it, from the first, that have been sent once; `undefined` before anything has. */
  sent: number | undefined;
}

/** Where a transmission stopped. */
interface Place {
  readonly outgoing: Outgoing;
  readonly offset: number;
}

/** A part of a message that a record has carried. */
interface Carried {
  readonly outgoing: Outgoing;
  readonly start: number;
  readonly end: number;
}

/**
 * The messages that this side has sent and that the peer may not have yet: a flight (RFC 6347 §4.2.4). They are sent, and
 * sent again, each under the keys that it was given, until they are acknowledged: by the peer's next flight, or in DTLS
 * 1.3 by ACK, which may tell of parts (RFC 9147 §7).
 */
export class Flight {
  #outgoing: Outgoing[] = [];
  /** A transmission holds so many records only, and the rest waits for an ACK, or its time. */
  #stalled = false;
  /** Where `resend` stopped for that, and goes on the next time. */
  #turn: Place | undefined;
  readonly #records = new Map<string, Carried[]>();

  get empty(): boolean {
    return this.#outgoing.length === 0;
  }

  get hasUnsent(): boolean {
    return !this.#stalled && this.#outgoing.some(isUnsent);
  }

  /** @param group what is sent and acknowledged together: the handshake's flight, or one message after it (RFC 9147 §5.8.4) */
  addMessage(
    sealer: DatagramSealer,
    type: number,
    messageSeq: number,
    body: Uint8Array,
    group: number,
  ): void {
    this.#outgoing.push({
      sealer,
      message: { type, messageSeq, body, acked: new Ranges(), group },
      sent: undefined,
    });
  }

  addChangeCipherSpec(sealer: DatagramSealer): void {
    this.#outgoing.push({ sealer, message: 'change_cipher_spec', sent: undefined });
  }

  /** The peer has all of it. */
  clear(): void {
    this.#outgoing = [];
    this.#stalled = false;
    this.#turn = undefined;
    this.#records.clear();
  }

  /** @returns the groups of which something was among them that was not acknowledged before */
  acknowledge(numbers: readonly RecordNumber[]): ReadonlySet<number> {
    const groups = new Set<number>();
    for (const number of numbers) {
      const name = nameOf(number);
      const carried = this.#records.get(name) ?? [];
      this.#records.delete(name);
      for (const { outgoing, start, end } of carried) {
        if (outgoing.message === 'change_cipher_spec') continue;
        outgoing.message.acked.add(start, end);
        groups.add(outgoing.message.group);
      }
    }
    this.#outgoing = this.#outgoing.filter((outgoing) => isUnsent(outgoing) || isOpen(outgoing));
    if (this.empty) this.clear();
    return groups;
  }

  /** Messages that are not acknowledged. */
  get length(): number {
    return this.#outgoing.length;
  }

  /** Whether a message of this type is not acknowledged. */
  holds(type: number): boolean {
    return this.#outgoing.some(({ message }) => message !== 'change_cipher_spec' && message.type === type);
  }

  /** Whether the message with this number, and all before it, are acknowledged, or were never here. */
  isAcknowledgedUpTo(messageSeq: number): boolean {
    return !this.#outgoing.some(
      ({ message }) => message !== 'change_cipher_spec' && message.messageSeq <= messageSeq,
    );
  }

  /** What has not been sent yet. */
  send(out: DatagramPacker): void {
    this.#stalled = this.#writeUnsent(out);
  }

  /**
   * Everything that is not acknowledged. Where it is too much for one transmission, the first of these begins at the
   * beginning, since without that a peer may have no keys for the rest, and each later one goes on where the last has stopped:
   * ACKs of a part are a courtesy (RFC 9147 §7.3), and there are peers without.
   */
  resend(out: DatagramPacker): void {
    this.#stalled = false;
    const turn = this.#turn;
    this.#turn = undefined;
    const first = turn === undefined ? -1 : this.#outgoing.indexOf(turn.outgoing);
    const round = [
      ...this.#outgoing.slice(Math.max(first, 0)),
      ...this.#outgoing.slice(0, Math.max(first, 0)),
    ];
    for (const [index, outgoing] of round.entries()) {
      const stopped = this.#write(outgoing, out, index === 0 && first >= 0 ? (turn?.offset ?? 0) : 0);
      if (stopped === undefined) continue;
      this.#turn = { outgoing, offset: stopped };
      this.#stalled = true;
      return;
    }
  }

  /** What is not acknowledged of these groups, and then what has not been sent. @returns whether there was any */
  resendGroups(groups: ReadonlySet<number>, out: DatagramPacker): boolean {
    this.#stalled = false;
    const open = this.#outgoing.filter(
      ({ message }) => message !== 'change_cipher_spec' && groups.has(message.group),
    );
    for (const outgoing of open) {
      if (this.#write(outgoing, out, 0) === undefined) continue;
      this.#stalled = true;
      return true;
    }
    const unsent = this.hasUnsent;
    this.#stalled = this.#writeUnsent(out);
    return open.length > 0 || unsent;
  }

  /** @returns whether there was no room for all of it */
  #writeUnsent(out: DatagramPacker): boolean {
    return this.#outgoing
      .filter(isUnsent)
      .some((outgoing) => this.#write(outgoing, out, outgoing.sent ?? 0) !== undefined);
  }

  /** What is not acknowledged from `from` on. @returns where it stopped, when the transmission is full */
  #write(outgoing: Outgoing, out: DatagramPacker, from: number): number | undefined {
    const { sealer, message } = outgoing;
    if (message === 'change_cipher_spec') {
      out.add(sealer, ContentType.change_cipher_spec, CHANGE_CIPHER_SPEC);
      outgoing.sent = 1;
      return undefined;
    }
    const { body, acked } = message;
    for (const gap of acked.gaps(body.length)) {
      if (gap.end <= from && body.length > 0) continue;
      const rest = { start: Math.max(gap.start, from), end: gap.end };
      const stopped = out.addMessage(
        sealer,
        { ...message, length: body.length, offset: 0 },
        rest,
        (start, end) => {
          outgoing.sent = Math.max(outgoing.sent ?? 0, end);
          this.#note(sealer, { outgoing, start, end });
        },
      );
      if (stopped !== undefined) return stopped;
    }
    return undefined;
  }

  /** The fragment goes in the record that is sealed next. */
  #note({ epoch, sequence }: DatagramSealer, carried: Carried): void {
    const name = nameOf({ epoch, sequence });
    const known = this.#records.get(name);
    if (known !== undefined) {
      known.push(carried);
      return;
    }
    if (this.#records.size >= MAX_TRACKED_RECORDS) {
      const [oldest] = this.#records.keys();
      if (oldest !== undefined) this.#records.delete(oldest);
    }
    this.#records.set(name, [carried]);
  }
}

function isOpen({ message }: Outgoing): boolean {
  return message !== 'change_cipher_spec' && !message.acked.covers(message.body.length);
}

function isUnsent({ message, sent }: Outgoing): boolean {
  return sent === undefined || (message !== 'change_cipher_spec' && sent < message.body.length);
}

function nameOf({ epoch, sequence }: RecordNumber): string {
  return `${epoch} ${sequence}`;
}

const CHANGE_CIPHER_SPEC = Uint8Array.of(1);

/**
 * Packs fragments into records, and records into datagrams no larger than the path carries (RFC 6347 §4.1.1, §4.1.1.1,
 * §4.2.3).
 */
export class DatagramPacker {
  readonly #mtu: number;
  readonly #out: Uint8Array[];
  #datagram: Uint8Array[] = [];
  #length = 0;
  /** Fragments of a record that is not sealed yet. */
  #record: { readonly sealer: DatagramSealer; readonly fragments: Uint8Array[] } | undefined;
  #recordLength = 0;
  /** Records that may still be begun. */
  #recordsLeft: number;

  /**
   * @param out gets each datagram once it is full, or closed
   * @param most records; messages for which there are no more are left out from there on
   */
  constructor(mtu: number, out: Uint8Array[], most = Number.POSITIVE_INFINITY) {
    this.#mtu = mtu;
    this.#out = out;
    this.#recordsLeft = most;
  }

  /** Bytes for the next fragment: where there is room for `least` of them in this record, in it, else in another. */
  #fragmentRoom(sealer: DatagramSealer, least: number): number {
    const isOther = this.#record !== undefined && this.#record.sealer !== sealer;
    // RFC 6347 §4.2.3 lets a record have several messages. In clear they cost next to nothing apart, and there are clients
    // (node-dtls-client) that read the first only; OpenSSL and GnuTLS send them so.
    if (isOther || sealer.epoch === 0) this.#sealRecord();
    const room = (): number => sealer.room(this.#mtu - this.#length) - this.#recordLength;
    if (room() < least) this.close();
    return room();
  }

  /**
   * Bytes `start` to `end` of a body, in as many fragments as it takes.
   * @param part the body, or a piece of one that begins at `offset`
   * @param note told of each fragment, which goes in the record that is sealed next
   * @returns where it stopped for want of records; `undefined` when all of it went
   */
  addMessage(
    sealer: DatagramSealer,
    { type, length, messageSeq, offset, body }: HandshakeFragment,
    { start: first, end: last }: { readonly start: number; readonly end: number },
    note?: (start: number, end: number) => void,
  ): number | undefined {
    let start = first;
    do {
      const wanted = last - start;
      const least = FRAGMENT_HEADER_LENGTH + Math.min(wanted, MIN_FRAGMENT);
      const room = this.#fragmentRoom(sealer, least) - FRAGMENT_HEADER_LENGTH;
      if (this.#record === undefined && this.#recordsLeft <= 0) return start;
      const end = start + Math.min(wanted, Math.max(1, room));
      note?.(start, end);
      const piece = body.subarray(start, end);
      this.#addFragment(
        sealer,
        buildFragment({ type, length, messageSeq, offset: offset + start, body: piece }),
      );
      start = end;
    } while (start < last);
    return undefined;
  }

  #addFragment(sealer: DatagramSealer, fragment: Uint8Array): void {
    if (this.#record === undefined) {
      this.#record = { sealer, fragments: [] };
      this.#recordsLeft--;
    }
    this.#record.fragments.push(fragment);
    this.#recordLength += fragment.length;
  }

  add(sealer: DatagramSealer, type: number, content: Uint8Array): void {
    this.#sealRecord();
    this.#append(sealer.seal(type, content));
  }

  close(): void {
    this.#sealRecord();
    const [first, ...more] = this.#datagram;
    if (first === undefined) return;
    this.#out.push(more.length === 0 ? first : concat(this.#datagram));
    this.#datagram = [];
    this.#length = 0;
  }

  #sealRecord(): void {
    const record = this.#record;
    if (record === undefined) return;
    this.#record = undefined;
    this.#recordLength = 0;
    this.#append(record.sealer.seal(ContentType.handshake, concat(record.fragments)));
  }

  #append(record: Uint8Array): void {
    if (this.#length + record.length > this.#mtu) this.close();
    this.#datagram.push(record);
    this.#length += record.length;
  }
}
