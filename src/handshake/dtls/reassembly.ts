import { TlsError } from '../../errors/errors.ts';
import { buildFragment, type HandshakeFragment } from '../../messages/dtls.ts';
import type { HandshakeMessage } from '../../messages/handshake.ts';
import { Ranges } from './ranges.ts';

/** Messages ahead of the one awaited that are kept: with it as many as the longest flight has. */
export const MAX_MESSAGES_AHEAD = 6;
/** Bytes of messages under way, by the lengths that they announce: two of the largest. */
export const MAX_REASSEMBLY = 131_072;
/** Separate pieces of one message; whoever sends one byte here and one there does so to make work. */
export const MAX_PIECES = 128;

interface Partial {
  readonly type: number;
  readonly bytes: Uint8Array;
  readonly ranges: Ranges;
}

/** Puts the handshake messages of the peer together, and in order (RFC 6347 §4.2.2, §4.2.3; RFC 9147 §5.2, §5.5). */
export class Reassembler {
  /** message_seq of the message that is awaited. */
  next: number;
  readonly #messages = new Map<number, Partial>();
  #bytes = 0;

  constructor(next = 0) {
    this.next = next;
  }

  /** No part of a message waits. */
  get empty(): boolean {
    return this.#messages.size === 0;
  }

  /**
   * @returns `kept`; `old` where the message was taken already; `full` where there is no room, and the peer has to
   *   send it again
   * @throws TlsError ERR_TLS_ILLEGAL_PARAMETER when fragments of one message do not agree on its type and length
   */
  push(fragment: HandshakeFragment): 'kept' | 'old' | 'full' {
    const { type, length, messageSeq, offset, body } = fragment;
    if (messageSeq < this.next) return 'old';
    let message = this.#messages.get(messageSeq);
    if (message === undefined) {
      const ahead = messageSeq - this.next;
      // The one that is awaited always finds room: nothing else can be given up for those after it.
      if (ahead > MAX_MESSAGES_AHEAD || (ahead > 0 && this.#bytes + length > MAX_REASSEMBLY)) return 'full';
      message = { type, bytes: new Uint8Array(length), ranges: new Ranges() };
      this.#messages.set(messageSeq, message);
      this.#bytes += length;
    }
    if (message.type !== type || message.bytes.length !== length) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'Fragments of one handshake message have different types or lengths',
      );
    }
    if (message.ranges.count >= MAX_PIECES) return 'full';
    message.bytes.set(body, offset);
    message.ranges.add(offset, offset + body.length);
    return 'kept';
  }

  /** The message that is awaited, once it is whole. */
  take(): HandshakeMessage | undefined {
    const message = this.#messages.get(this.next);
    if (message === undefined || !message.ranges.covers(message.bytes.length)) return undefined;
    this.#messages.delete(this.next);
    this.#bytes -= message.bytes.length;
    return asMessage(message.type, this.next++, message.bytes);
  }
}

/** Both forms in which a transcript may want it (RFC 6347 §4.2.6, RFC 9147 §5.2). */
function asMessage(type: number, messageSeq: number, body: Uint8Array): HandshakeMessage {
  const raw12 = buildFragment({ type, length: body.length, messageSeq, offset: 0, body });
  const raw = new Uint8Array(4 + body.length);
  raw.set(raw12.subarray(0, 4));
  raw.set(body, 4);
  return { type, body: raw.subarray(4), raw, raw12 };
}
