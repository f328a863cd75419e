import type { Aead, AeadName, CryptoProvider, RecordNumberMask } from '../../crypto/provider.ts';
import type { Suite } from '../../crypto/suites.ts';
import { TlsError } from '../../errors/errors.ts';
import { MAX_CIPHERTEXT } from '../tls/deframer.ts';
import { requirePlaintext } from '../tls/record12.ts';
import {
  type Frame,
  MAX_SEQUENCE,
  recordBytes,
  UNIFIED,
  UNIFIED_CID,
  UNIFIED_LENGTH,
  UNIFIED_SEQUENCE_16,
  type UnifiedFrame,
  writeU16,
} from './frames.ts';
import { ReplayWindow } from './replay-window.ts';

/** Keys of one direction in one epoch of DTLS 1.3 (RFC 9147 §4.2.3, §5.9). */
export interface DatagramKeys {
  readonly suite: Suite;
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
  /** sn_key, of the record numbers. */
  readonly numberKey: Uint8Array;
}

/** A record that was opened. */
export interface OpenedRecord {
  readonly type: number;
  readonly content: Uint8Array;
  readonly epoch: number;
  readonly sequence: number;
  /** It is protected, and newer than all before in its epoch. */
  readonly newest: boolean;
}

/** Makes the records of one direction in one epoch. */
export interface DatagramSealer {
  readonly epoch: number;
  /** Of the next record. */
  readonly sequence: number;
  /** True when the key must not seal more. */
  readonly exhausted: boolean;
  /** In the records from here on; empty for none. */
  connectionId: Uint8Array;
  /** Bytes of content in a record of at most so many bytes; below 0 where there is no room for any. */
  room(length: number): number;
  /** One record. @throws TlsError ERR_TLS_KEY_LIMIT when record numbers are used up */
  seal(type: number, content: Uint8Array): Uint8Array;
}

/** Opens the records of one direction in one epoch. */
export interface DatagramOpener {
  readonly epoch: number;
  /** Records that did not open. */
  readonly forgeries: number;
  /** So many of them make the key worthless. */
  readonly forgeryLimit: number;
  /** @returns `undefined` for a record to be discarded: not genuine, or seen before */
  open(frame: Frame): OpenedRecord | undefined;
}

/**
 * RFC 9147 §4.5.3: records that may fail to open under one key before what an attacker gains is no longer next to
 * nothing. With tags of 8 bytes that is soon; it names no number there, and 2^7 leave 2^-57.
 */
export function forgeryLimit(aead: AeadName | undefined): number {
  if (aead === undefined) return 2 ** 36;
  if (aead.endsWith('ccm-8')) return CCM_8_FORGERIES;
  return aead.endsWith('ccm') ? CCM_FORGERIES : 2 ** 36;
}
const CCM_FORGERIES = Math.floor(2 ** 23.5);
export const CCM_8_FORGERIES = 2 ** 7;

/** RFC 9147 §4.2.3: so many bytes of ciphertext are needed to encrypt a record number. */
const SAMPLE_LENGTH = 16;

export class Sealer13 implements DatagramSealer {
  readonly epoch: number;
  sequence = 0;
  connectionId: Uint8Array;
  readonly #aead: Aead;
  readonly #mask: RecordNumberMask;
  readonly #iv: Uint8Array;
  readonly #limit: number;

  /** @param cid that the peer wants to see in our records; may be empty */
  constructor(
    crypto: CryptoProvider,
    { suite, key, iv, numberKey }: DatagramKeys,
    epoch: number,
    cid: Uint8Array,
  ) {
    this.epoch = epoch;
    this.#aead = crypto.aead(suite.aead, key);
    this.#mask = crypto.recordNumberMask(suite.aead, numberKey);
    this.#iv = iv;
    this.#limit = suite.recordLimit;
    this.connectionId = cid;
  }

  room(length: number): number {
    // First byte, number and length; the content's type.
    return length - 5 - this.connectionId.length - this.#aead.tagLength - 1;
  }

  get exhausted(): boolean {
    return this.sequence >= this.#limit;
  }

  seal(type: number, content: Uint8Array): Uint8Array {
    const sequence = this.sequence++;
    if (sequence > MAX_SEQUENCE) throw new TlsError('ERR_TLS_KEY_LIMIT', 'Too many records under one key');
    const { tagLength } = this.#aead;
    const inner = innerOf(type, content, SAMPLE_LENGTH - tagLength);
    const cid = this.connectionId;
    const headerLength = 5 + cid.length;
    const length = inner.length + tagLength;
    const record = recordBytes(headerLength + length);
    record[0] =
      UNIFIED | UNIFIED_SEQUENCE_16 | UNIFIED_LENGTH | (cid.length > 0 ? UNIFIED_CID : 0) | (this.epoch & 3);
    record.set(cid, 1);
    writeU16(record, 1 + cid.length, sequence & 0xffff);
    writeU16(record, 3 + cid.length, length);
    const header = record.subarray(0, headerLength);
    let at = headerLength;
    for (const piece of this.#aead.seal(nonceOf(this.#iv, sequence), header, inner)) {
      record.set(piece, at);
      at += piece.length;
    }
    const mask = this.#mask(record.subarray(headerLength, headerLength + SAMPLE_LENGTH));
    (record[1 + cid.length] as number) ^= mask[0] as number;
    (record[2 + cid.length] as number) ^= mask[1] as number;
    return record;
  }
}

export class Opener13 implements DatagramOpener {
  readonly epoch: number;
  forgeries = 0;
  readonly forgeryLimit: number;
  readonly #aead: Aead;
  readonly #mask: RecordNumberMask;
  readonly #iv: Uint8Array;
  readonly #seen = new ReplayWindow();

  constructor(crypto: CryptoProvider, { suite, key, iv, numberKey }: DatagramKeys, epoch: number) {
    this.epoch = epoch;
    this.forgeryLimit = forgeryLimit(suite.aead);
    this.#aead = crypto.aead(suite.aead, key);
    this.#mask = crypto.recordNumberMask(suite.aead, numberKey);
    this.#iv = iv;
  }

  open(frame: Frame): OpenedRecord | undefined {
    if (frame.kind !== 'unified') return undefined;
    const { fragment } = frame;
    const split = fragment.length - this.#aead.tagLength;
    if (split < 1 || fragment.length < SAMPLE_LENGTH || fragment.length > MAX_CIPHERTEXT) return undefined;
    const header = this.#clearHeader(frame);
    const sequence = this.#fullSequence(frame, header);
    if (sequence > MAX_SEQUENCE || this.#seen.has(sequence)) return undefined;
    const nonce = nonceOf(this.#iv, sequence);
    const inner = this.#aead.open(nonce, header, fragment.subarray(0, split), fragment.subarray(split));
    if (inner === undefined) {
      this.forgeries++;
      return undefined;
    }
    const newest = sequence > this.#seen.highest;
    this.#seen.add(sequence);
    let end = inner.length - 1;
    while (end >= 0 && inner[end] === 0) end--;
    // RFC 8446 §5.4: a record that is padding only is a fault of whoever has the key.
    if (end < 0) throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'A record is padding only');
    requirePlaintext(end);
    const { epoch } = this;
    return { type: inner[end] as number, content: inner.subarray(0, end), epoch, sequence, newest };
  }

  /** The header with its sequence number in clear, which is what the AEAD covers (RFC 9147 §4.2.3). */
  #clearHeader({ header, sequenceAt, sequenceLength, fragment }: UnifiedFrame): Uint8Array {
    const clear = new Uint8Array(header);
    const mask = this.#mask(fragment.subarray(0, SAMPLE_LENGTH));
    for (let i = 0; i < sequenceLength; i++) (clear[sequenceAt + i] as number) ^= mask[i] as number;
    return clear;
  }

  /** RFC 9147 §4.2.2: of all numbers that end so, the one next to the highest seen and one. */
  #fullSequence({ sequenceAt, sequenceLength }: UnifiedFrame, header: Uint8Array): number {
    const size = sequenceLength === 2 ? 0x1_0000 : 0x100;
    const low =
      sequenceLength === 2
        ? ((header[sequenceAt] as number) << 8) | (header[sequenceAt + 1] as number)
        : (header[sequenceAt] as number);
    const expected = this.#seen.highest + 1;
    const near = expected - (expected % size) + low;
    if (near > expected + size / 2 && near >= size) return near - size;
    return near <= expected - size / 2 ? near + size : near;
  }
}

/**
 * DTLSInnerPlaintext (RFC 9147 §4), padded with zeros to `least` bytes. Where it is short, a view that the next call overwrites:
 * not of the memory of records, so that clear text is never beside what is handed out.
 */
function innerOf(type: number, content: Uint8Array, least: number): Uint8Array {
  const length = Math.max(content.length + 1, least);
  const inner = length > innerScratch.length ? new Uint8Array(length) : innerScratch.subarray(0, length);
  inner.set(content);
  inner[content.length] = type;
  inner.fill(0, content.length + 1);
  return inner;
}
const innerScratch = new Uint8Array(2_048);

/** IV xor the 64-bit sequence number (RFC 8446 §5.3); the epoch is in the key. A view that the next call overwrites. */
function nonceOf(iv: Uint8Array, sequence: number): Uint8Array {
  nonceScratch.set(iv);
  let rest = sequence;
  for (let i = nonceScratch.length - 1; rest > 0; i--) {
    (nonceScratch[i] as number) ^= rest & 0xff;
    rest = Math.floor(rest / 256);
  }
  return nonceScratch;
}
const nonceScratch = new Uint8Array(12);
