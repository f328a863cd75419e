import type { Aead, CryptoProvider } from '../../crypto/provider.ts';
import type { Suite } from '../../crypto/suites.ts';
import { TlsError } from '../../errors/errors.ts';
import { ContentType } from '../../wire/codepoints.ts';
import { MAX_PLAINTEXT, RECORD_HEADER_LENGTH } from './deframer.ts';

/** Key and IV of one direction in one epoch (RFC 8446 §7.3), derived by the key schedule. */
export interface TrafficKeys {
  readonly suite: Suite;
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
}

/** What one record carries once protection and padding are off. */
export interface Content {
  readonly type: number;
  readonly content: Uint8Array;
}

/** Seals records of one direction under one key. */
export interface RecordSealer {
  /** True when the key must not seal more. */
  readonly exhausted: boolean;
  /** One record, pushed on `out` in pieces. @returns its length */
  seal(type: number, content: Uint8Array, paddedLength: number, out: Uint8Array[]): number;
}

/** Opens records of one direction under one key. */
export interface RecordOpener {
  /** Bytes that a record would hold once opened, its padding included. */
  plaintextLength(fragment: Uint8Array): number;
  /** True until the first record under this key has been opened. */
  readonly unused: boolean;
  open(header: Uint8Array, fragment: Uint8Array): Content;
}

/** Seals TLS 1.3 records of one epoch. */
export class Sealer implements RecordSealer {
  readonly #aead: Aead;
  readonly #nonce: Nonce;
  readonly #limit: number;

  /** @param sequence of the first record */
  constructor(crypto: CryptoProvider, { suite, key, iv }: TrafficKeys, sequence = 0) {
    this.#aead = crypto.aead(suite.aead, key);
    this.#nonce = new Nonce(iv, sequence);
    this.#limit = suite.recordLimit;
  }

  /** Of the next record. */
  get sequence(): number {
    return this.#nonce.sequence;
  }

  /** True when the AEAD's limit is reached and the key must be updated first (RFC 8446 §5.5). */
  get exhausted(): boolean {
    return this.#nonce.sequence >= this.#limit;
  }

  /**
   * One TLSCiphertext (RFC 8446 §5.2), pushed on `out` in pieces.
   * @param paddedLength length of content and padding together; at least the content's
   */
  seal(type: number, content: Uint8Array, paddedLength: number, out: Uint8Array[]): number {
    const inner = plaintextScratch.subarray(0, paddedLength + 1);
    inner.set(content);
    inner[content.length] = type;
    if (paddedLength > content.length) inner.fill(0, content.length + 1);
    const length = inner.length + this.#aead.tagLength;
    const header = length === FULL_LENGTH ? FULL_HEADER : protectedHeader(length);
    out.push(header);
    for (const piece of this.#aead.seal(this.#nonce.next(), header, inner)) out.push(piece);
    return RECORD_HEADER_LENGTH + length;
  }
}

/** Opens TLS 1.3 records of one epoch. */
export class Opener implements RecordOpener {
  readonly #aead: Aead;
  readonly #nonce: Nonce;

  /** @param sequence of the first record */
  constructor(crypto: CryptoProvider, { suite, key, iv }: TrafficKeys, sequence = 0) {
    this.#aead = crypto.aead(suite.aead, key);
    this.#nonce = new Nonce(iv, sequence);
  }

  /** Of the next record. */
  get sequence(): number {
    return this.#nonce.sequence;
  }

  /** True until the first record of this epoch has been opened. */
  get unused(): boolean {
    return this.#nonce.sequence === 0;
  }

  plaintextLength(fragment: Uint8Array): number {
    return fragment.length - this.#aead.tagLength;
  }

  /** Whether this is the next record of this epoch; `open` is still to be called for it. */
  opens(header: Uint8Array, fragment: Uint8Array): boolean {
    const split = fragment.length - this.#aead.tagLength;
    if (split < 1) return false;
    const nonce = this.#nonce.next();
    this.#nonce.sequence--;
    return (
      this.#aead.open(nonce, header, fragment.subarray(0, split), fragment.subarray(split)) !== undefined
    );
  }

  /**
   * @throws TlsError ERR_TLS_BAD_RECORD_MAC, ERR_TLS_RECORD_OVERFLOW (§5.4), ERR_TLS_UNEXPECTED_MESSAGE (all zeros, §5.4)
   */
  open(header: Uint8Array, fragment: Uint8Array): Content {
    const split = fragment.length - this.#aead.tagLength;
    const inner =
      split < 1
        ? undefined
        : this.#aead.open(this.#nonce.next(), header, fragment.subarray(0, split), fragment.subarray(split));
    if (inner === undefined)
      throw new TlsError('ERR_TLS_BAD_RECORD_MAC', 'A record does not decrypt under this key');
    if (inner.length > MAX_PLAINTEXT + 1) {
      throw new TlsError(
        'ERR_TLS_RECORD_OVERFLOW',
        `A record holds ${inner.length} bytes of inner plaintext`,
      );
    }
    let end = inner.length - 1;
    while (end >= 0 && inner[end] === 0) end--;
    if (end < 0)
      throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'A record is padding only: it has no content type');
    return { type: inner[end] as number, content: inner.subarray(0, end) };
  }
}

/** The per-record nonce: IV xor the 64-bit sequence number (RFC 8446 §5.3). */
class Nonce {
  sequence: number;
  readonly #iv: Uint8Array;

  constructor(iv: Uint8Array, sequence: number) {
    this.#iv = iv;
    this.sequence = sequence;
  }

  /** A view that is overwritten by the next call of any Nonce. */
  next(): Uint8Array {
    const sequence = this.sequence++;
    if (sequence >= Number.MAX_SAFE_INTEGER) {
      // §5.3: sequence numbers MUST NOT wrap. Ours end long before 2^64, and no peer gets there.
      throw new TlsError('ERR_TLS_KEY_LIMIT', 'Too many records under one key');
    }
    nonceScratch.set(this.#iv);
    let rest = sequence;
    for (let i = nonceScratch.length - 1; rest > 0; i--) {
      nonceScratch[i] = (nonceScratch[i] as number) ^ (rest & 0xff);
      rest = Math.floor(rest / 256);
    }
    return nonceScratch;
  }
}

/** Shared scratch: sealing is synchronous and an AEAD keeps neither nonce nor plaintext. */
const plaintextScratch = new Uint8Array(MAX_PLAINTEXT + 1);
const nonceScratch = new Uint8Array(12);

const LEGACY_VERSION_HIGH = 3;
const LEGACY_VERSION_LOW = 3;

/** opaque_type is application_data and legacy_record_version 0x0303 on every protected record (§5.2). */
function protectedHeader(length: number): Uint8Array {
  return Uint8Array.of(
    ContentType.application_data,
    LEGACY_VERSION_HIGH,
    LEGACY_VERSION_LOW,
    length >> 8,
    length & 0xff,
  );
}

/** Bulk data travels in full records; their header need not be made each time. */
const FULL_LENGTH = MAX_PLAINTEXT + 1 + 16;
const FULL_HEADER = protectedHeader(FULL_LENGTH);
