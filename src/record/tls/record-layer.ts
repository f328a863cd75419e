import type { CryptoProvider } from '../../crypto/provider.ts';
import { TlsError } from '../../errors/errors.ts';
import { ContentType, ProtocolVersion } from '../../wire/codepoints.ts';
import { concat } from '../../wire/writer.ts';
import {
  Deframer,
  MAX_CIPHERTEXT,
  MAX_CIPHERTEXT_12,
  MAX_PLAINTEXT,
  RECORD_HEADER_LENGTH,
} from './deframer.ts';
import { EarlyDataSkip } from './early-data-skip.ts';
import {
  type Content,
  Opener,
  type RecordOpener,
  type RecordSealer,
  Sealer,
  type TrafficKeys,
} from './protection.ts';
import { makeOpener12, makeSealer12 } from './protection12.ts';
import type { Keys12 } from './record12.ts';

/** Records without content in a row that are tolerated; they cost the receiver work and carry nothing. */
export const MAX_EMPTY_RECORDS = 32;
/** change_cipher_spec records of middlebox compatibility mode; one is sent, a few are forgiven. */
export const MAX_CHANGE_CIPHER_SPECS = 8;

export interface RecordOptions {
  /** Largest plaintext of one record, 1 to 2^14. */
  readonly maxFragment: number;
  /** Content is padded to a multiple of this; 1 pads nothing (RFC 8446 §5.4). */
  readonly padTo: number;
}

/** What record_size_limit (RFC 8449) comes to, agreed on or not. */
export interface RecordLimits {
  /** Bytes of content in a record that is sent. */
  readonly sending: number;
  /** Bytes of an inner plaintext that may come; `undefined` for what the protocol allows. */
  readonly receiving: number | undefined;
}

/**
 * The record layer of one connection: bytes in, contents out, and back. It follows RFC 8446 §5 until `speakTls12` says
 * that an older version was agreed on; from then on RFC 5246 §6, where change_cipher_spec is content like any other.
 */
export class RecordLayer {
  readonly #crypto: CryptoProvider;
  readonly #options: RecordOptions;
  readonly #deframer = new Deframer();
  #maxFragment: number;
  /** Of a protected record, its type and padding included; `undefined` for what the protocol allows. */
  #receiveLimit: number | undefined;
  #opener: RecordOpener | undefined;
  #sealer: RecordSealer | undefined;
  /** The version on the wire once it is TLS 1.2 or older; `undefined` means TLS 1.3, or not known yet. */
  #version12: number | undefined;
  /** Present while refused 0-RTT data may come. */
  #skip: EarlyDataSkip | undefined;
  #out: Uint8Array[] = [];
  #outBytes = 0;
  /** Handshake messages that wait to share records (RFC 8446 §5.1): a flight is one record, not one a message. */
  #flight: Uint8Array[] = [];
  #flightBytes = 0;
  #emptyRecords = 0;
  #changeCipherSpecs = 0;
  /** Compatibility records may come between the first ClientHello and the peer's Finished (§5). */
  #changeCipherSpecAllowed = false;
  /** Until then a peer may have failed before it had keys, and can only tell us so in clear. */
  #clearAlertAllowed = true;
  /** legacy_record_version of the first ClientHello may be 0x0301 for old middleboxes (§5.1). */
  #firstRecordSent = false;

  constructor(crypto: CryptoProvider, options: RecordOptions) {
    this.#crypto = crypto;
    this.#options = options;
    this.#maxFragment = options.maxFragment;
  }

  /** record_size_limit of both sides (RFC 8449), for protected records from here on. */
  limit(sending: number, receiving: number): void {
    this.#writeFlight();
    this.#maxFragment = Math.min(this.#options.maxFragment, sending);
    this.#receiveLimit = receiving;
  }

  // ── receiving ──────────────────────────────────────────────────────────────────────────────────

  /** Until `settle()`, `bytes` must not change. */
  feed(bytes: Uint8Array): void {
    this.#deframer.feed(bytes);
  }

  /** Lets go of the buffers that were fed; what has not been taken yet is copied. */
  settle(): void {
    this.#deframer.settle();
  }

  /** The next record's content, or `undefined` while bytes are missing. */
  next(): Content | undefined {
    if (this.#version12 !== undefined) return this.#next12(this.#version12);
    for (;;) {
      const clear = this.#opener === undefined && this.#skip === undefined;
      const frame = this.#deframer.next(clear ? MAX_PLAINTEXT : MAX_CIPHERTEXT);
      if (frame === undefined) return undefined;
      const { type, header, fragment } = frame;
      if (type === ContentType.change_cipher_spec) {
        this.#dropChangeCipherSpec(fragment);
        continue;
      }
      if (this.#skip !== undefined && this.#isEarlyData(this.#skip, type, header, fragment)) continue;
      const content =
        this.#opener === undefined ? this.#plaintext(type, fragment) : this.#open(type, header, fragment);
      this.#checkEmpty(content);
      return content;
    }
  }

  set readKeys(keys: TrafficKeys) {
    const opener = new Opener(this.#crypto, keys);
    this.#opener = opener;
    if (this.#skip !== undefined) this.#skip.opener = opener;
  }

  /**
   * The hellos agreed on TLS 1.2 or older.
   * @throws TlsError ERR_TLS_UNEXPECTED_MESSAGE if a change_cipher_spec came before: there it is no dummy
   */
  speakTls12(version: number): void {
    if (this.#changeCipherSpecs > 0) {
      throw new TlsError(
        'ERR_TLS_UNEXPECTED_MESSAGE',
        'Received a change_cipher_spec before the hellos were over',
      );
    }
    this.#version12 = version;
  }

  /** TLS 1.3 was agreed on: there are keys to read with (a client's early data has only others), and of no older version. */
  get speaksTls13(): boolean {
    return this.#version12 === undefined && this.#opener !== undefined;
  }

  set readKeys12(keys: Keys12) {
    this.#opener = makeOpener12(this.#crypto, keys, this.#version12 ?? ProtocolVersion.tls12);
  }

  set writeKeys12(keys: Keys12) {
    this.#writeFlight();
    this.#sealer = makeSealer12(this.#crypto, keys, this.#version12 ?? ProtocolVersion.tls12);
  }

  /** TLS 1.2: content types of sub-protocols, which are the records' own there. */
  allowTypes(types: readonly number[]): void {
    this.#deframer.allowTypes(types);
  }

  /**
   * Server: the client offers 0-RTT data, which is not accepted: what comes of it is thrown away, so many bytes at
   * most (RFC 8446 §4.2.10).
   */
  skipEarlyData(limit: number): void {
    this.#skip = new EarlyDataSkip(limit);
  }

  /** The peer's Finished has been verified; from here on nothing in clear is accepted, change_cipher_spec included (§5). */
  endHandshake(): void {
    this.#changeCipherSpecAllowed = false;
    this.#clearAlertAllowed = false;
  }

  // ── sending ────────────────────────────────────────────────────────────────────────────────────

  set writeKeys(keys: TrafficKeys) {
    this.#writeFlight();
    this.#sealer = new Sealer(this.#crypto, keys);
  }

  /** What is written from here on is in clear, as it was before there were keys. */
  unprotectWrite(): void {
    this.#writeFlight();
    this.#sealer = undefined;
  }

  /** True when the write key has sealed as much as it may. */
  get writeKeyExhausted(): boolean {
    return this.#sealer?.exhausted ?? false;
  }

  /** Sequence numbers of the next records, under the keys of the moment; of TLS 1.3 alone. */
  get sequences(): { readonly read: number; readonly write: number } | undefined {
    const [opener, sealer] = [this.#opener, this.#sealer];
    if (!(opener instanceof Opener) || !(sealer instanceof Sealer)) return undefined;
    return { read: opener.sequence, write: sealer.sequence };
  }

  get limits(): RecordLimits {
    return { sending: this.#maxFragment, receiving: this.#receiveLimit };
  }

  /** TLS 1.3: goes on where another record layer has stopped. */
  carryOn(
    read: TrafficKeys & { readonly sequence: number },
    write: TrafficKeys & { readonly sequence: number },
    limits: RecordLimits,
  ): void {
    this.#opener = new Opener(this.#crypto, read, read.sequence);
    this.#sealer = new Sealer(this.#crypto, write, write.sequence);
    this.#maxFragment = Math.min(this.#options.maxFragment, limits.sending);
    this.#receiveLimit = limits.receiving;
    this.#firstRecordSent = true;
  }

  /** No byte waits, in either direction. */
  get idle(): boolean {
    return this.#deframer.empty && this.pendingBytes === 0;
  }

  /** Bytes that wait for `drain()`. */
  get pendingBytes(): number {
    return this.#outBytes + this.#flightBytes;
  }

  /**
   * Cuts `content` into records. Empty content makes one empty record. Handshake messages are kept, by reference, to
   * be joined with those that follow before the next drain, key change or record of another type.
   */
  write(type: number, content: Uint8Array): void {
    if (type === ContentType.handshake) {
      this.#flight.push(content);
      this.#flightBytes += content.length;
      return;
    }
    this.#writeFlight();
    this.#writeRecords(type, content);
  }

  /** In TLS 1.3 the dummy record of middlebox compatibility mode, in clear (RFC 8446 §D.4); before it, RFC 5246 §7.1. */
  writeChangeCipherSpec(): void {
    this.#writeFlight();
    const low = (this.#version12 ?? ProtocolVersion.tls12) & 0xff;
    this.#push(Uint8Array.of(ContentType.change_cipher_spec, 3, low, 0, 1, 1));
  }

  /** Everything written since the last call, in order. */
  drain(): Uint8Array[] {
    this.#writeFlight();
    const out = this.#out;
    this.#out = [];
    this.#outBytes = 0;
    return out;
  }

  #writeFlight(): void {
    const flight = this.#flight;
    if (flight.length === 0) return;
    const length = this.#flightBytes;
    this.#flight = [];
    this.#flightBytes = 0;
    if (this.#sealer === undefined && length <= this.#options.maxFragment)
      this.#writeInClear(ContentType.handshake, flight, length);
    else
      this.#writeRecords(
        ContentType.handshake,
        flight.length === 1 ? (flight[0] as Uint8Array) : concat(flight),
      );
  }

  #writeRecords(type: number, content: Uint8Array): void {
    // RFC 8449 §4: what is not protected is not subject to the limit.
    const maxFragment = this.#sealer === undefined ? this.#options.maxFragment : this.#maxFragment;
    if (content.length <= maxFragment) {
      this.#writeRecord(type, content);
      return;
    }
    for (let at = 0; at < content.length; at += maxFragment) {
      this.#writeRecord(type, content.subarray(at, at + maxFragment));
    }
  }

  #writeRecord(type: number, content: Uint8Array): void {
    if (this.#sealer !== undefined) {
      this.#outBytes += this.#sealer.seal(type, content, this.#paddedLength(content.length), this.#out);
      return;
    }
    this.#writeInClear(type, [content], content.length);
  }

  /** One record of `pieces`, which have `length` bytes together. */
  #writeInClear(type: number, pieces: readonly Uint8Array[], length: number): void {
    const record = new Uint8Array(RECORD_HEADER_LENGTH + length);
    record[0] = type;
    record[1] = 3;
    record[2] =
      !this.#firstRecordSent && pieces[0]?.[0] === CLIENT_HELLO
        ? ProtocolVersion.tls10 & 0xff
        : (this.#version12 ?? ProtocolVersion.tls12) & 0xff;
    record[3] = length >> 8;
    record[4] = length;
    let at = RECORD_HEADER_LENGTH;
    for (const piece of pieces) {
      record.set(piece, at);
      at += piece.length;
    }
    this.#firstRecordSent = true;
    this.#changeCipherSpecAllowed = true;
    this.#push(record);
  }

  #push(bytes: Uint8Array): void {
    this.#out.push(bytes);
    this.#outBytes += bytes.length;
  }

  #paddedLength(length: number): number {
    const { padTo } = this.#options;
    if (padTo === 1) return length;
    return Math.min(Math.ceil(Math.max(length, 1) / padTo) * padTo, this.#maxFragment);
  }

  #open(type: number, header: Uint8Array, fragment: Uint8Array): Content {
    const opener = this.#opener as RecordOpener;
    if (type === ContentType.application_data) {
      this.#checkLimit(opener, fragment);
      return opener.open(header, fragment);
    }
    // During the handshake this helps an attacker no more than cutting the transport would. Later it would: a forged
    // close_notify is a clean end (§6.1).
    if (type === ContentType.alert && this.#clearAlertAllowed && opener.unused) {
      return { type, content: fragment };
    }
    throw new TlsError(
      'ERR_TLS_UNEXPECTED_MESSAGE',
      `Received a record of type ${type} in clear after encryption began`,
    );
  }

  /** RFC 8449 §4: a record larger than the limit that was announced MUST be answered by record_overflow. */
  #checkLimit(opener: RecordOpener, fragment: Uint8Array): void {
    const limit = this.#receiveLimit;
    if (limit === undefined || opener.plaintextLength(fragment) <= limit) return;
    throw new TlsError(
      'ERR_TLS_RECORD_OVERFLOW',
      `A record is longer than the ${limit} bytes that were agreed on`,
    );
  }

  #next12(version: number): Content | undefined {
    const opener = this.#opener;
    const frame = this.#deframer.next(opener === undefined ? MAX_PLAINTEXT : MAX_CIPHERTEXT_12);
    if (frame === undefined) return undefined;
    const { type, header, fragment } = frame;
    // A peer that has refused our hello did not know the version yet, and could only tell us so in its own.
    const mayDiffer = opener === undefined && type === ContentType.alert;
    if (((header[1] as number) << 8) + (header[2] as number) !== version && !mayDiffer) {
      // RFC 5246 §6.2.1: the version being employed.
      throw new TlsError('ERR_TLS_UNSUPPORTED_VERSION', 'A record has another version than was agreed on');
    }
    if (opener === undefined && type === ContentType.application_data) {
      throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'Received application data in clear');
    }
    if (opener !== undefined) this.#checkLimit(opener, fragment);
    // A copy of what is in clear: see #plaintext.
    const content = opener?.open(header, fragment) ?? { type, content: new Uint8Array(fragment) };
    this.#checkEmpty(content);
    return content;
  }

  /**
   * §4.2.10: after a HelloRetryRequest everything protected is early data until the second ClientHello; else whatever
   * does not open under the handshake keys is, until something does.
   */
  #isEarlyData(skip: EarlyDataSkip, type: number, header: Uint8Array, fragment: Uint8Array): boolean {
    if (type === ContentType.alert) return false;
    if (type === ContentType.application_data && skip.covers(header, fragment)) return true;
    this.#skip = undefined;
    return false;
  }

  #plaintext(type: number, content: Uint8Array): Content {
    if (type === ContentType.handshake) this.#changeCipherSpecAllowed = true;
    else if (type !== ContentType.alert) {
      throw new TlsError(
        'ERR_TLS_UNEXPECTED_MESSAGE',
        `Received a record of type ${type} before encryption began; is the peer speaking TLS?`,
      );
    }
    // A copy: the handshake keeps parts of its messages, and the caller may reuse the buffer that it fed.
    // Not slice(), which on a Buffer is a view.
    return { type, content: new Uint8Array(content) };
  }

  /** RFC 8446 §5: exactly the byte 0x01, in clear, and only during the handshake; then it is dropped. */
  #dropChangeCipherSpec(fragment: Uint8Array): void {
    const allowed = this.#changeCipherSpecAllowed && ++this.#changeCipherSpecs <= MAX_CHANGE_CIPHER_SPECS;
    if (!allowed || fragment.length !== 1 || fragment[0] !== 1) {
      throw new TlsError(
        'ERR_TLS_UNEXPECTED_MESSAGE',
        'Received a change_cipher_spec that has no place here',
      );
    }
  }

  #checkEmpty({ type, content }: Content): void {
    if (content.length > 0) {
      // An alert carries no more than an empty record does.
      if (type !== ContentType.alert) this.#emptyRecords = 0;
      return;
    }
    if (type === ContentType.handshake || type === ContentType.alert) {
      // §5.1, §5.4: zero-length fragments of these types MUST NOT be sent.
      throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'Received an empty handshake or alert record');
    }
    if (++this.#emptyRecords > MAX_EMPTY_RECORDS) {
      throw new TlsError(
        'ERR_TLS_UNEXPECTED_MESSAGE',
        `Received more than ${MAX_EMPTY_RECORDS} empty records in a row`,
      );
    }
  }
}

const CLIENT_HELLO = 1;
