import { DecodeError, TlsError } from '../../errors/errors.ts';
import { type EapTls, MAX_EAP_PACKET, roomIn } from './packet.ts';

/** Smallest EAP packet that is cut to: below, headers are most of it. The slides name 50, 100 and 200. */
export const MIN_FRAGMENT_SIZE = 32;

/**
 * Largest message that is put together of fragments: the engine takes handshake messages up to 64 KiB, and a flight
 * has one such (Certificate) and small ones. RFC 5216 §2.1.5 asks for at least 64 KiB as well.
 */
export const MAX_TLS_MESSAGE = 131_072;

/** Cuts a message into the EAP-TLS packets that carry it; the first has the total length when there are several. */
export class FragmentSender {
  readonly #message: Uint8Array;
  readonly #size: number;
  #at = 0;
  #begun = false;

  /**
   * @param size of an EAP packet, headers included; MIN_FRAGMENT_SIZE to MAX_EAP_PACKET
   * @throws TlsError ERR_TLS_INTERNAL
   */
  constructor(message: Uint8Array, size: number) {
    if (!Number.isInteger(size) || size < MIN_FRAGMENT_SIZE || size > MAX_EAP_PACKET) {
      throw new TlsError('ERR_TLS_INTERNAL', `EAP packets of ${size} bytes`);
    }
    this.#message = message;
    this.#size = size;
  }

  /** Every byte was given out. */
  get done(): boolean {
    return this.#begun && this.#at === this.#message.length;
  }

  /** The next fragment; of an empty message, one that is empty. */
  next(): EapTls {
    const rest = this.#message.length - this.#at;
    const isFirst = !this.#begun;
    // RFC 5216 §2.1.5: L MUST be set on the first fragment of a fragmented message, and only there.
    const total = isFirst && rest > roomIn(this.#size, false) ? this.#message.length : undefined;
    const data = this.#message.subarray(this.#at, this.#at + roomIn(this.#size, total !== undefined));
    this.#begun = true;
    this.#at += data.length;
    return { total, more: this.#at < this.#message.length, start: false, data };
  }
}

/** Puts the fragments of a message together. One for each message after another. */
export class FragmentReceiver {
  readonly #max: number;
  #buffer: Uint8Array = NOTHING;
  #length = 0;
  #total: number | undefined;
  #begun = false;

  /** @param max bytes of a message; default MAX_TLS_MESSAGE */
  constructor(max = MAX_TLS_MESSAGE) {
    this.#max = max;
  }

  /** Fragments of a message have come, and not its end. */
  get pending(): boolean {
    return this.#begun;
  }

  /**
   * @returns the message, which is the caller's; `undefined` while fragments are missing: acknowledge this one then
   * @throws DecodeError when the fragments do not make a message; what had come is forgotten
   */
  push(packet: EapTls): Uint8Array | undefined {
    try {
      this.#check(packet);
    } catch (error) {
      this.clear();
      throw error;
    }
    if (!this.#begun && !packet.more) return new Uint8Array(packet.data);
    this.#append(packet.data);
    this.#begun = true;
    this.#total ??= packet.total;
    if (packet.more) return undefined;
    const message = this.#buffer.subarray(0, this.#length);
    this.clear();
    return message;
  }

  clear(): void {
    this.#buffer = NOTHING;
    this.#length = 0;
    this.#total = undefined;
    this.#begun = false;
  }

  #check({ total, more, start, data }: EapTls): void {
    if (start) throw new DecodeError('EAP-TLS: start in the middle of a conversation');
    if (this.#begun && total !== undefined && total !== this.#total) {
      throw new DecodeError(`EAP-TLS: a fragment says ${total} bytes in all, the first said ${this.#total}`);
    }
    // Such a conversation would never end.
    if (more && data.length === 0) throw new DecodeError('EAP-TLS: a fragment without data');
    const announced = this.#total ?? total;
    const length = this.#length + data.length;
    if ((announced ?? length) > this.#max || length > this.#max) {
      throw new DecodeError(`EAP-TLS: a message of ${announced ?? length} bytes; at most ${this.#max}`);
    }
    if (
      announced !== undefined &&
      (length > announced || (more ? length === announced : length < announced))
    ) {
      throw new DecodeError(`EAP-TLS: ${announced} bytes were announced, ${length} came`);
    }
  }

  /** Memory grows with what has come, not with what was announced. */
  #append(data: Uint8Array): void {
    const needed = this.#length + data.length;
    if (needed > this.#buffer.length) {
      const bigger = new Uint8Array(Math.max(needed, Math.min(this.#length * 2, this.#max)));
      bigger.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = bigger;
    }
    this.#buffer.set(data, this.#length);
    this.#length = needed;
  }
}

const NOTHING = new Uint8Array(0);
