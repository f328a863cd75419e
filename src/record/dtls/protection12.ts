import type { CryptoProvider } from '../../crypto/provider.ts';
import { TlsError } from '../../errors/errors.ts';
import { ContentType } from '../../wire/codepoints.ts';
import { makeCipher12 } from '../tls/cipher12.ts';
import { MAX_CIPHERTEXT_12, MAX_PLAINTEXT } from '../tls/deframer.ts';
import { type Cipher12, type Keys12, requirePlaintext } from '../tls/record12.ts';
import {
  CLASSIC_HEADER_LENGTH,
  type ClassicFrame,
  classicRecord,
  type Frame,
  MAX_SEQUENCE,
  writeNumber,
  writeU16,
} from './frames.ts';
import { type DatagramOpener, type DatagramSealer, forgeryLimit, type OpenedRecord } from './protection.ts';
import { ReplayWindow } from './replay-window.ts';

/** What identifies a record to its protection. */
interface RecordName {
  readonly type: number;
  readonly version: number;
  readonly epoch: number;
  readonly sequence: number;
  /** Empty where none was agreed on. */
  readonly cid: Uint8Array;
}

/** Makes records in clear: epoch 0 of every version. */
export class ClearSealer implements DatagramSealer {
  readonly epoch = 0;
  sequence: number;
  readonly exhausted = false;
  connectionId = NO_CID;
  /** Of the records from here on. */
  version: number;

  constructor(version: number, sequence = 0) {
    this.version = version;
    this.sequence = sequence;
  }

  room(length: number): number {
    return length - CLASSIC_HEADER_LENGTH;
  }

  seal(type: number, content: Uint8Array): Uint8Array {
    const sequence = this.sequence++;
    return classicRecord({ type, version: this.version, epoch: 0, sequence, cid: NO_CID }, [content]);
  }
}

/**
 * Records in clear. They are not protected, so a replay cannot be told from a forgery; the messages in them have numbers
 * of their own.
 */
export class ClearOpener implements DatagramOpener {
  readonly epoch = 0;
  readonly forgeries = 0;
  readonly forgeryLimit = Number.POSITIVE_INFINITY;

  open(frame: Frame): OpenedRecord | undefined {
    if (frame.kind !== 'classic' || frame.epoch !== 0 || frame.type === ContentType.tls12_cid)
      return undefined;
    const { type, sequence, fragment } = frame;
    if (fragment.length > MAX_PLAINTEXT) return undefined;
    return { type, content: fragment, epoch: 0, sequence, newest: false };
  }
}

export class Sealer12 implements DatagramSealer {
  readonly epoch: number;
  sequence = 0;
  readonly #version: number;
  readonly #cipher: Cipher12;
  connectionId: Uint8Array;

  constructor(crypto: CryptoProvider, keys: Keys12, version: number, epoch: number, cid: Uint8Array) {
    this.epoch = epoch;
    this.#version = version;
    this.#cipher = cipherFor(crypto, keys);
    this.connectionId = cid;
  }

  room(length: number): number {
    const cid = this.connectionId.length;
    // With a connection ID the type goes inside.
    return this.#cipher.mostContent(length - CLASSIC_HEADER_LENGTH - cid) - (cid > 0 ? 1 : 0);
  }

  get exhausted(): boolean {
    return this.sequence >= this.#cipher.recordLimit;
  }

  seal(type: number, content: Uint8Array): Uint8Array {
    const sequence = this.sequence++;
    // RFC 6347 §4.1: sequence numbers MUST NOT wrap.
    if (sequence > MAX_SEQUENCE) throw new TlsError('ERR_TLS_KEY_LIMIT', 'Too many records under one key');
    const name: RecordName = {
      type,
      version: this.#version,
      epoch: this.epoch,
      sequence,
      cid: this.connectionId,
    };
    if (this.connectionId.length === 0) return classicRecord(name, seal(this.#cipher, name, content));
    // RFC 9146 §4: the type goes inside.
    const inner = new Uint8Array(content.length + 1);
    inner.set(content);
    inner[content.length] = type;
    const outer = { ...name, type: ContentType.tls12_cid };
    return classicRecord(outer, seal(this.#cipher, outer, inner));
  }
}

export class Opener12 implements DatagramOpener {
  readonly epoch: number;
  forgeries = 0;
  readonly forgeryLimit: number;
  readonly #version: number;
  readonly #cipher: Cipher12;
  readonly #cid: Uint8Array;
  readonly #seen = new ReplayWindow();

  /** @param cid that every record must have; empty for none */
  constructor(crypto: CryptoProvider, keys: Keys12, version: number, epoch: number, cid: Uint8Array) {
    this.epoch = epoch;
    this.#version = version;
    this.#cipher = cipherFor(crypto, keys);
    this.#cid = cid;
    this.forgeryLimit = forgeryLimit12(keys);
  }

  open(frame: Frame): OpenedRecord | undefined {
    if (!this.#isOurs(frame)) return undefined;
    const { sequence } = frame;
    if (frame.fragment.length > MAX_CIPHERTEXT_12 || this.#seen.has(sequence)) return undefined;
    const head = (length: number) => headOf(frame, length);
    const content = this.#cipher.open(numberOf(frame), head, frame.fragment);
    if (content === undefined) {
      this.forgeries++;
      return undefined;
    }
    const newest = sequence > this.#seen.highest;
    this.#seen.add(sequence);
    const { epoch } = this;
    // With the type of the content, where there is a connection ID (RFC 9146 §4).
    requirePlaintext(content.length - (this.#cid.length > 0 ? 1 : 0));
    if (this.#cid.length === 0) return { type: frame.type, content, epoch, sequence, newest };
    let end = content.length - 1;
    while (end >= 0 && content[end] === 0) end--;
    if (end < 0) throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'A record is padding only');
    return { type: content[end] as number, content: content.subarray(0, end), epoch, sequence, newest };
  }

  /** RFC 9146 §3: with a connection ID, records without it, or with another, are discarded. */
  #isOurs(frame: Frame): frame is ClassicFrame {
    if (frame.kind !== 'classic' || frame.epoch !== this.epoch || frame.version !== this.#version)
      return false;
    const withCid = this.#cid.length > 0;
    return (
      (frame.type === ContentType.tls12_cid) === withCid &&
      frame.cid.length === this.#cid.length &&
      frame.cid.every((byte, i) => byte === this.#cid[i])
    );
  }
}

/**
 * With the MAC inside the encryption, whoever sends forgeries can try to read the plaintext in the time that they take (Lucky
 * Thirteen), and over datagrams none of them would end the session; that takes many thousands of them.
 */
export const MAC_THEN_ENCRYPT_FORGERIES = 2 ** 10;

function forgeryLimit12({ suite: { protection }, macThenEncrypt }: Keys12): number {
  if ('cbc' in protection && macThenEncrypt === true) return MAC_THEN_ENCRYPT_FORGERIES;
  return forgeryLimit('aead' in protection ? protection.aead : undefined);
}

function cipherFor(crypto: CryptoProvider, keys: Keys12): Cipher12 {
  // RFC 6347 §4.1.2.2: no cipher whose state goes on from record to record.
  if ('stream' in keys.suite.protection)
    throw new TlsError('ERR_TLS_INTERNAL', `${keys.suite.name} is not for datagrams`);
  return makeCipher12(crypto, keys);
}

function seal(cipher: Cipher12, name: RecordName, content: Uint8Array): readonly Uint8Array[] {
  return cipher.seal(numberOf(name), (length) => headOf(name, length), content);
}

/** Epoch and sequence number, in the place of TLS's 64-bit number. */
function numberOf({ epoch, sequence }: RecordName): Uint8Array {
  const number = new Uint8Array(8);
  writeNumber(number, 0, epoch, sequence);
  return number;
}

/** What the AEAD or MAC covers beside the content: RFC 6347 §4.1.2.1; with a connection ID, RFC 9146 §5. */
function headOf(name: RecordName, length: number): Uint8Array {
  const { type, version, epoch, sequence, cid } = name;
  if (cid.length === 0) {
    const data = new Uint8Array(CLASSIC_HEADER_LENGTH);
    writeNumber(data, 0, epoch, sequence);
    data[8] = type;
    writeU16(data, 9, version);
    writeU16(data, 11, length);
    return data;
  }
  const data = new Uint8Array(23 + cid.length);
  // seq_num_placeholder.
  data.fill(0xff, 0, 8);
  data[8] = ContentType.tls12_cid;
  data[9] = cid.length;
  data[10] = ContentType.tls12_cid;
  writeU16(data, 11, version);
  writeNumber(data, 13, epoch, sequence);
  data.set(cid, 21);
  writeU16(data, 21 + cid.length, length);
  return data;
}

const NO_CID = new Uint8Array(0);
