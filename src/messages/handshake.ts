import { DecodeError, TlsError } from '../errors/errors.ts';
import { HandshakeType } from '../wire/codepoints.ts';
import { Writer } from '../wire/writer.ts';

/** `HandshakeType msg_type; uint24 length;`, RFC 8446 §4. */
const HANDSHAKE_HEADER_LENGTH = 4;

/**
 * The largest handshake message that is accepted. A Certificate message may be long (chains with RSA-4096 keys,
 * stapled responses); nothing else comes near. 64 KiB holds 30 ordinary certificates.
 */
export const MAX_HANDSHAKE_MESSAGE = 65_536;

/** A whole handshake message. */
export interface HandshakeMessage {
  readonly type: number;
  readonly body: Uint8Array;
  /** With the header of RFC 8446 §4, as the transcript hashes it. */
  readonly raw: Uint8Array;
  /** As the transcript of TLS 1.2 has it: in DTLS with the header of RFC 6347 §4.2.6. */
  readonly raw12: Uint8Array;
}

export function handshakeMessage(type: number, body: (writer: Writer) => void): Uint8Array {
  return new Writer(512).u8(type).vector(3, body).finish();
}

/** Reads the header of a complete message. */
export function asHandshakeMessage(raw: Uint8Array): HandshakeMessage {
  return { type: raw[0] as number, body: raw.subarray(HANDSHAKE_HEADER_LENGTH), raw, raw12: raw };
}

function handshakeName(type: number): string {
  return (
    Object.entries(HandshakeType).find(([, value]) => value === type)?.[0] ?? `handshake message ${type}`
  );
}

/**
 * Joins the content of handshake records into messages. A message may span records and a record may hold several
 * messages (RFC 8446 §5.1); an incomplete one waits here, bounded by MAX_HANDSHAKE_MESSAGE.
 */
export class HandshakeJoiner {
  #pending: Uint8Array = NOTHING;
  #length = 0;

  /** True when no part of a message waits: the only moment at which keys may change (§5.1). */
  get empty(): boolean {
    return this.#length === 0;
  }

  push(fragment: Uint8Array): void {
    if (this.#length === 0) {
      this.#pending = fragment;
      this.#length = fragment.length;
      return;
    }
    const needed = this.#length + fragment.length;
    if (this.#pending.length < needed) {
      // Doubling keeps a message that arrives a byte at a time linear.
      const bigger = new Uint8Array(Math.max(needed, this.#length * 2));
      bigger.set(this.#pending.subarray(0, this.#length));
      this.#pending = bigger;
    }
    this.#pending.set(fragment, this.#length);
    this.#length = needed;
  }

  /**
   * The next whole message, or `undefined` while bytes are missing.
   * @throws DecodeError for a message longer than MAX_HANDSHAKE_MESSAGE, as soon as its header is there
   */
  next(): HandshakeMessage | undefined {
    if (this.#length < HANDSHAKE_HEADER_LENGTH) return undefined;
    const [type, high, middle, low] = this.#pending as unknown as [number, number, number, number];
    const bodyLength = (high << 16) | (middle << 8) | low;
    if (bodyLength > MAX_HANDSHAKE_MESSAGE) {
      throw new DecodeError(
        `${handshakeName(type)} announces ${bodyLength} bytes; at most ${MAX_HANDSHAKE_MESSAGE}`,
      );
    }
    const total = HANDSHAKE_HEADER_LENGTH + bodyLength;
    if (this.#length < total) return undefined;
    const raw = this.#pending.subarray(0, total);
    this.#pending = this.#length === total ? NOTHING : this.#pending.subarray(total, this.#length);
    this.#length -= total;
    return asHandshakeMessage(raw);
  }
}

const NOTHING = new Uint8Array(0);

/** RFC 8446 §6.2: a message that is not appropriate here. */
export function unexpected(message: { readonly type: number }, awaited: string): TlsError {
  return new TlsError(
    'ERR_TLS_UNEXPECTED_MESSAGE',
    `Received ${handshakeName(message.type)} while waiting for ${awaited}`,
  );
}
