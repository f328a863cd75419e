import type { Aead, CryptoProvider } from '../../crypto/provider.ts';
import type { AeadProtection, CbcProtection } from '../../crypto/suites12.ts';
import { TlsError } from '../../errors/errors.ts';
import { ContentType } from '../../wire/codepoints.ts';
import { concat } from '../../wire/writer.ts';
import { MAX_CIPHERTEXT_12, MAX_PLAINTEXT } from '../tls/deframer.ts';
import { type Keys12, MAX_RECORDS_12, requirePlaintext } from '../tls/record12.ts';
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

/** How a suite protects the fragment of any record. */
interface Cipher12 {
  /** Bytes that a fragment may have beside its content. */
  readonly overhead: number;
  seal(name: RecordName, content: Uint8Array): readonly Uint8Array[];
  open(name: RecordName, fragment: Uint8Array): Uint8Array | undefined;
}

/** Makes records in clear: epoch 0 of every version. */
export class ClearSealer implements DatagramSealer {
  readonly epoch = 0;
  sequence: number;
  readonly overhead = CLASSIC_HEADER_LENGTH;
  readonly exhausted = false;
  connectionId = NO_CID;
  readonly #version: number;

  constructor(version: number, sequence = 0) {
    this.#version = version;
    this.sequence = sequence;
  }

  seal(type: number, content: Uint8Array): Uint8Array {
    const sequence = this.sequence++;
    return classicRecord({ type, version: this.#version, epoch: 0, sequence, cid: NO_CID }, [content]);
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
  readonly overhead: number;
  readonly #version: number;
  readonly #cipher: Cipher12;
  connectionId: Uint8Array;

  constructor(crypto: CryptoProvider, keys: Keys12, version: number, epoch: number, cid: Uint8Array) {
    this.epoch = epoch;
    this.#version = version;
    this.#cipher = makeCipher(crypto, keys);
    this.connectionId = cid;
    const inner = cid.length > 0 ? 1 : 0;
    this.overhead = CLASSIC_HEADER_LENGTH + cid.length + inner + this.#cipher.overhead;
  }

  get exhausted(): boolean {
    return this.sequence >= MAX_RECORDS_12;
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
    if (this.connectionId.length === 0) return classicRecord(name, this.#cipher.seal(name, content));
    // RFC 9146 §4: the type goes inside.
    const inner = new Uint8Array(content.length + 1);
    inner.set(content);
    inner[content.length] = type;
    const outer = { ...name, type: ContentType.tls12_cid };
    return classicRecord(outer, this.#cipher.seal(outer, inner));
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
    this.#cipher = makeCipher(crypto, keys);
    this.#cid = cid;
    const { protection } = keys.suite;
    this.forgeryLimit = forgeryLimit('aead' in protection ? protection.aead : undefined);
  }

  open(frame: Frame): OpenedRecord | undefined {
    if (!this.#isOurs(frame)) return undefined;
    const { sequence } = frame;
    if (frame.fragment.length > MAX_CIPHERTEXT_12 || this.#seen.has(sequence)) return undefined;
    const content = this.#cipher.open(frame, frame.fragment);
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

  /** RFC 9146 §6: with a connection ID, records without it, or with another, are discarded. */
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

function makeCipher(crypto: CryptoProvider, keys: Keys12): Cipher12 {
  const { protection } = keys.suite;
  // RFC 6347 §4.1.2.2: no cipher whose state goes on from record to record.
  if ('stream' in protection)
    throw new TlsError('ERR_TLS_INTERNAL', `${keys.suite.name} is not for datagrams`);
  return 'cbc' in protection
    ? new CbcCipher(crypto, keys, protection)
    : new AeadCipher(crypto, keys, protection);
}

/** RFC 5288 §3, RFC 6655 §3, RFC 7905 §2, with epoch and sequence number in the place of TLS's 64-bit number. */
class AeadCipher implements Cipher12 {
  readonly overhead: number;
  readonly #aead: Aead;
  readonly #iv: Uint8Array;
  readonly #explicit: 8 | 0;

  constructor(crypto: CryptoProvider, { key, iv }: Keys12, protection: AeadProtection) {
    this.#aead = crypto.aead(protection.aead, key);
    this.#iv = iv;
    this.#explicit = protection.explicitNonceLength;
    this.overhead = this.#explicit + this.#aead.tagLength;
  }

  seal(name: RecordName, content: Uint8Array): readonly Uint8Array[] {
    const number = numberOf(name);
    const pieces = this.#aead.seal(this.#nonce(number), additionalData(name, content.length), content);
    return this.#explicit > 0 ? [number, ...pieces] : pieces;
  }

  open(name: RecordName, fragment: Uint8Array): Uint8Array | undefined {
    const explicit = this.#explicit;
    const tagAt = fragment.length - this.#aead.tagLength;
    if (tagAt < explicit) return undefined;
    return this.#aead.open(
      this.#nonce(explicit > 0 ? fragment.subarray(0, explicit) : numberOf(name)),
      additionalData(name, tagAt - explicit),
      fragment.subarray(explicit, tagAt),
      fragment.subarray(tagAt),
    );
  }

  #nonce(number: Uint8Array): Uint8Array {
    const nonce = new Uint8Array(12);
    nonce.set(this.#iv);
    if (this.#explicit > 0) nonce.set(number, this.#iv.length);
    else for (let i = 0; i < number.length; i++) (nonce[4 + i] as number) ^= number[i] as number;
    return nonce;
  }
}

const BLOCK = 16;

/** AES-CBC with encrypt_then_mac (RFC 7366 §3); with a connection ID, RFC 9146 §5.2. */
class CbcCipher implements Cipher12 {
  readonly overhead: number;
  readonly #crypto: CryptoProvider;
  readonly #keys: Keys12;
  readonly #protection: CbcProtection;

  constructor(crypto: CryptoProvider, keys: Keys12, protection: CbcProtection) {
    this.#crypto = crypto;
    this.#keys = keys;
    this.#protection = protection;
    this.overhead = BLOCK + BLOCK + protection.macKeyLength;
  }

  seal(name: RecordName, content: Uint8Array): readonly Uint8Array[] {
    const { cbc } = this.#protection;
    const padding = BLOCK - (content.length % BLOCK);
    const padded = new Uint8Array(content.length + padding).fill(padding - 1, content.length);
    padded.set(content);
    const iv = this.#crypto.randomBytes(BLOCK);
    const covered = concat([iv, this.#crypto.encryptCbc(cbc, this.#keys.key, iv, padded)]);
    return [covered, this.#mac(name, covered)];
  }

  open(name: RecordName, fragment: Uint8Array): Uint8Array | undefined {
    const { cbc, macKeyLength } = this.#protection;
    const macAt = fragment.length - macKeyLength;
    const blocks = macAt - BLOCK;
    if (blocks < BLOCK || blocks % BLOCK !== 0) return undefined;
    const covered = fragment.subarray(0, macAt);
    if (!this.#crypto.equal(this.#mac(name, covered), fragment.subarray(macAt))) return undefined;
    const iv = fragment.subarray(0, BLOCK);
    const padded = this.#crypto.decryptCbc(cbc, this.#keys.key, iv, fragment.subarray(BLOCK, macAt));
    const padding = (padded[padded.length - 1] as number) + 1;
    const end = padded.length - padding;
    if (end < 0 || padded.subarray(end).some((byte) => byte !== padding - 1)) return undefined;
    return padded.subarray(0, end);
  }

  #mac(name: RecordName, covered: Uint8Array): Uint8Array {
    const input = concat([additionalData(name, covered.length), covered]);
    return this.#crypto.hmac(this.#protection.mac, this.#keys.macKey, input);
  }
}

/** Epoch and sequence number. */
function numberOf({ epoch, sequence }: RecordName): Uint8Array {
  const number = new Uint8Array(8);
  writeNumber(number, 0, epoch, sequence);
  return number;
}

/** RFC 6347 §4.1.2.1; with a connection ID, RFC 9146 §5.3. */
function additionalData(name: RecordName, length: number): Uint8Array {
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
