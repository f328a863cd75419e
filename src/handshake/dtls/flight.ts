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
  /** Where sending goes on: messages before it have been sent once. */
  #unsent = 0;
  readonly #records = new Map<string, Carried[]>();

  get empty(): boolean {
    return this.#outgoing.length === 0;
  }

  get hasUnsent(): boolean {
    return this.#unsent < this.#outgoing.length;
  }

  /** @param group what is sent and acknowledged together: the handshake's flight, or one message after it (RFC 9147 §5.8.4) */
  addMessage(
    sealer: DatagramSealer,
    type: number,
    messageSeq: number,
    body: Uint8Array,
    group: number,
  ): void {
    this.#outgoing.push({ sealer, message: { type, messageSeq, body, acked: new Ranges(), group } });
  }

  addChangeCipherSpec(sealer: DatagramSealer): void {
    this.#outgoing.push({ sealer, message: 'change_cipher_spec' });
  }

  /** The peer has all of it. */
  clear(): void {
    this.#outgoing = [];
    this.#unsent = 0;
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
    const waiting = this.#outgoing.slice(this.#unsent);
    this.#outgoing = [...this.#outgoing.slice(0, this.#unsent).filter(isOpen), ...waiting];
    this.#unsent = this.#outgoing.length - waiting.length;
    if (this.empty) this.#records.clear();
    return groups;
  }

  /** Whether the message with this number is acknowledged, or was never here. */
  isAcknowledged(messageSeq: number): boolean {
    return !this.#outgoing.some(
      ({ message }) => message !== 'change_cipher_spec' && message.messageSeq === messageSeq,
    );
  }

  /** What has not been sent yet. */
  send(out: DatagramPacker): void {
    const first = this.#unsent;
    this.#unsent = this.#outgoing.length;
    for (const outgoing of this.#outgoing.slice(first)) this.#write(outgoing, out);
  }

  /** Everything that is not acknowledged. */
  resend(out: DatagramPacker): void {
    this.#unsent = this.#outgoing.length;
    for (const outgoing of this.#outgoing) this.#write(outgoing, out);
  }

  /** What is not acknowledged of these groups. @returns whether there was any */
  resendGroups(groups: ReadonlySet<number>, out: DatagramPacker): boolean {
    const open = this.#outgoing.filter(
      ({ message }) => message !== 'change_cipher_spec' && groups.has(message.group),
    );
    for (const outgoing of open) this.#write(outgoing, out);
    return open.length > 0;
  }

  #write(outgoing: Outgoing, out: DatagramPacker): void {
    const { sealer, message } = outgoing;
    if (message === 'change_cipher_spec') {
      out.add(sealer, ContentType.change_cipher_spec, CHANGE_CIPHER_SPEC);
      return;
    }
    const { body, acked } = message;
    for (const gap of acked.gaps(body.length)) {
      out.addMessage(sealer, { ...message, length: body.length, offset: 0 }, gap, (start, end) =>
        this.#note(sealer, { outgoing, start, end }),
      );
    }
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

  /** @param out gets each datagram once it is full, or closed */
  constructor(mtu: number, out: Uint8Array[]) {
    this.#mtu = mtu;
    this.#out = out;
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
   */
  addMessage(
    sealer: DatagramSealer,
    { type, length, messageSeq, offset, body }: HandshakeFragment,
    { start: first, end: last }: { readonly start: number; readonly end: number },
    note?: (start: number, end: number) => void,
  ): void {
    let start = first;
    do {
      const wanted = last - start;
      const least = FRAGMENT_HEADER_LENGTH + Math.min(wanted, MIN_FRAGMENT);
      const room = this.#fragmentRoom(sealer, least) - FRAGMENT_HEADER_LENGTH;
      const end = start + Math.min(wanted, Math.max(1, room));
      note?.(start, end);
      const piece = body.subarray(start, end);
      this.#addFragment(
        sealer,
        buildFragment({ type, length, messageSeq, offset: offset + start, body: piece }),
      );
      start = end;
    } while (start < last);
  }

  #addFragment(sealer: DatagramSealer, fragment: Uint8Array): void {
    this.#record ??= { sealer, fragments: [] };
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
