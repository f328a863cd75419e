import type { Aead, CryptoProvider } from '../../crypto/provider.ts';
import type { AeadProtection, CbcProtection, Suite12 } from '../../crypto/suites12.ts';
import { TlsError } from '../../errors/errors.ts';
import { concat } from '../../wire/writer.ts';
import { MAX_PLAINTEXT, RECORD_HEADER_LENGTH } from './deframer.ts';
import type { Content, RecordOpener, RecordSealer } from './protection.ts';

/** What protects one direction of a TLS 1.2 session, cut from the key block (RFC 5246 §6.3). */
export interface Keys12 {
  readonly suite: Suite12;
  /** Empty with an AEAD. */
  readonly macKey: Uint8Array;
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
}

const SEQUENCE_LENGTH = 8;
/** Sequence number, type, version, length: the additional data of an AEAD record (RFC 5246 §6.2.3.3). */
const AAD_LENGTH = SEQUENCE_LENGTH + RECORD_HEADER_LENGTH;

/**
 * Records under one AES-GCM key. TLS 1.2 cannot change a key, and its nonces do not repeat; but what an attacker could
 * learn grows with the square of the records (RFC 8446 §5.5 stops at 2^24.5 for 2^-57). At 2^32, 64 TiB, it is 2^-42.
 */
export const MAX_RECORDS_12 = 2 ** 32;

/**
 * Nonce and additional data of the next record. RFC 5288 §3: `fixed IV ‖ explicit nonce`, for which we send the
 * sequence number. RFC 7905 §2: the IV xor the sequence number, as in TLS 1.3.
 */
class RecordState {
  readonly #iv: Uint8Array;
  readonly #explicit: boolean;
  readonly #sequence = new Uint8Array(SEQUENCE_LENGTH);
  #count = 0;

  constructor(iv: Uint8Array, explicit: boolean) {
    this.#iv = iv;
    this.#explicit = explicit;
  }

  get count(): number {
    return this.#count;
  }

  /** The sequence number in eight bytes. */
  get sequence(): Uint8Array {
    return this.#sequence;
  }

  /** @param explicit the record's own part of the nonce; without one, the sequence number */
  nonce(explicit: Uint8Array): Uint8Array {
    nonceScratch.set(this.#iv);
    if (this.#explicit) nonceScratch.set(explicit, this.#iv.length);
    else
      for (let i = 0; i < SEQUENCE_LENGTH; i++)
        (nonceScratch[4 + i] as number) ^= this.#sequence[i] as number;
    return nonceScratch;
  }

  aad(type: number, version: number, length: number): Uint8Array {
    aadScratch.set(this.#sequence);
    aadScratch[8] = type;
    aadScratch[9] = version >> 8;
    aadScratch[10] = version & 0xff;
    aadScratch[11] = length >> 8;
    aadScratch[12] = length & 0xff;
    return aadScratch;
  }

  advance(): void {
    this.#count++;
    for (let i = SEQUENCE_LENGTH - 1; i >= 0; i--) {
      const byte = ((this.#sequence[i] as number) + 1) & 0xff;
      this.#sequence[i] = byte;
      if (byte !== 0) return;
    }
  }
}

export function makeSealer12(crypto: CryptoProvider, keys: Keys12, version: number): RecordSealer {
  const { protection } = keys.suite;
  return 'cbc' in protection
    ? new CbcSealer(crypto, keys, protection, version)
    : new AeadSealer(crypto, keys, protection, version);
}

export function makeOpener12(crypto: CryptoProvider, keys: Keys12, version: number): RecordOpener {
  const { protection } = keys.suite;
  return 'cbc' in protection
    ? new CbcOpener(crypto, keys, protection, version)
    : new AeadOpener(crypto, keys, protection, version);
}

/** Seals records of TLS 1.2 with an AEAD: GenericAEADCipher of RFC 5246 §6.2.3.3. */
class AeadSealer implements RecordSealer {
  readonly #aead: Aead;
  readonly #state: RecordState;
  readonly #version: number;
  readonly #explicitNonceLength: number;

  constructor(crypto: CryptoProvider, { key, iv }: Keys12, protection: AeadProtection, version: number) {
    this.#aead = crypto.aead(protection.aead, key);
    this.#state = new RecordState(iv, protection.explicitNonceLength > 0);
    this.#version = version;
    this.#explicitNonceLength = protection.explicitNonceLength;
  }

  get exhausted(): boolean {
    return this.#state.count >= MAX_RECORDS_12;
  }

  /** TLS 1.2 has no padding of AEAD records: `_paddedLength` says nothing here. */
  seal(type: number, content: Uint8Array, _paddedLength: number, out: Uint8Array[]): number {
    const state = this.#state;
    const explicit = this.#explicitNonceLength;
    const length = explicit + content.length + this.#aead.tagLength;
    const header = new Uint8Array(RECORD_HEADER_LENGTH + explicit);
    header[0] = type;
    header[1] = this.#version >> 8;
    header[2] = this.#version & 0xff;
    header[3] = length >> 8;
    header[4] = length & 0xff;
    if (explicit > 0) header.set(state.sequence, RECORD_HEADER_LENGTH);
    out.push(header);
    const nonce = state.nonce(state.sequence);
    const aad = state.aad(type, this.#version, content.length);
    for (const piece of this.#aead.seal(nonce, aad, content)) out.push(piece);
    state.advance();
    return RECORD_HEADER_LENGTH + length;
  }
}

/** Opens records of TLS 1.2 that an AEAD protects. */
class AeadOpener implements RecordOpener {
  readonly #aead: Aead;
  readonly #state: RecordState;
  readonly #version: number;
  readonly #explicitNonceLength: number;

  constructor(crypto: CryptoProvider, { key, iv }: Keys12, protection: AeadProtection, version: number) {
    this.#aead = crypto.aead(protection.aead, key);
    this.#state = new RecordState(iv, protection.explicitNonceLength > 0);
    this.#version = version;
    this.#explicitNonceLength = protection.explicitNonceLength;
  }

  get unused(): boolean {
    return this.#state.count === 0;
  }

  plaintextLength(fragment: Uint8Array): number {
    return fragment.length - this.#aead.tagLength - this.#explicitNonceLength;
  }

  /** @throws TlsError ERR_TLS_BAD_RECORD_MAC, ERR_TLS_RECORD_OVERFLOW (RFC 5246 §6.2.1) */
  open(header: Uint8Array, fragment: Uint8Array): Content {
    const state = this.#state;
    const explicit = this.#explicitNonceLength;
    const tagAt = fragment.length - this.#aead.tagLength;
    const type = header[0] as number;
    const length = tagAt - explicit;
    const content =
      length < 0
        ? undefined
        : this.#aead.open(
            state.nonce(fragment.subarray(0, explicit)),
            state.aad(type, this.#version, length),
            fragment.subarray(explicit, tagAt),
            fragment.subarray(tagAt),
          );
    if (content === undefined) throw badMac();
    if (length > MAX_PLAINTEXT)
      throw new TlsError('ERR_TLS_RECORD_OVERFLOW', `A record holds ${length} bytes of plaintext`);
    if (state.count >= Number.MAX_SAFE_INTEGER) {
      // RFC 5246 §6.1: sequence numbers do not wrap.
      throw new TlsError('ERR_TLS_KEY_LIMIT', 'Too many records under one key');
    }
    state.advance();
    return { type, content };
  }
}

// ── CBC, RFC 7366 §3 ─────────────────────────────────────────────────────────────────────────────

const BLOCK = 16;
/** RFC 5246 §6.2.3.2: up to 255 bytes, and the one that says how many. */
const MAX_PADDING = 256;

/**
 * What CBC records have in common: `IV ‖ blocks ‖ MAC`, the MAC over the sequence number, the header with the length of
 * what it covers, and `IV ‖ blocks`. It is checked before anything is decrypted, so padding tells nobody anything.
 */
class CbcState extends RecordState {
  readonly crypto: CryptoProvider;
  readonly protection: CbcProtection;
  readonly #keys: Keys12;
  readonly #version: number;

  constructor(crypto: CryptoProvider, keys: Keys12, protection: CbcProtection, version: number) {
    super(keys.iv, false);
    this.crypto = crypto;
    this.protection = protection;
    this.#keys = keys;
    this.#version = version;
  }

  get key(): Uint8Array {
    return this.#keys.key;
  }

  mac(type: number, covered: Uint8Array): Uint8Array {
    const input = new Uint8Array(AAD_LENGTH + covered.length);
    input.set(this.aad(type, this.#version, covered.length));
    input.set(covered, AAD_LENGTH);
    return this.crypto.hmac(this.protection.mac, this.#keys.macKey, input);
  }
}

class CbcSealer implements RecordSealer {
  readonly #state: CbcState;
  readonly #version: number;

  constructor(crypto: CryptoProvider, keys: Keys12, protection: CbcProtection, version: number) {
    this.#state = new CbcState(crypto, keys, protection, version);
    this.#version = version;
  }

  get exhausted(): boolean {
    return this.#state.count >= MAX_RECORDS_12;
  }

  seal(type: number, content: Uint8Array, _paddedLength: number, out: Uint8Array[]): number {
    const state = this.#state;
    const { crypto, protection } = state;
    // RFC 5246 §6.2.3.2: every byte of the padding is its length without the last byte.
    const padding = BLOCK - (content.length % BLOCK);
    const padded = new Uint8Array(content.length + padding).fill(padding - 1, content.length);
    padded.set(content);
    const iv = crypto.randomBytes(BLOCK);
    const covered = concat([iv, crypto.encryptCbc(protection.cbc, state.key, iv, padded)]);
    const mac = state.mac(type, covered);
    const length = covered.length + mac.length;
    out.push(Uint8Array.of(type, this.#version >> 8, this.#version, length >> 8, length), covered, mac);
    state.advance();
    return RECORD_HEADER_LENGTH + length;
  }
}

class CbcOpener implements RecordOpener {
  readonly #state: CbcState;

  constructor(crypto: CryptoProvider, keys: Keys12, protection: CbcProtection, version: number) {
    this.#state = new CbcState(crypto, keys, protection, version);
  }

  get unused(): boolean {
    return this.#state.count === 0;
  }

  /** At least so many bytes: how long the padding is, up to 256, is not seen from outside. */
  plaintextLength(fragment: Uint8Array): number {
    return fragment.length - this.#state.protection.macKeyLength - BLOCK - MAX_PADDING;
  }

  /** @throws TlsError ERR_TLS_BAD_RECORD_MAC, ERR_TLS_RECORD_OVERFLOW */
  open(header: Uint8Array, fragment: Uint8Array): Content {
    const state = this.#state;
    const { crypto, protection } = state;
    const type = header[0] as number;
    const macAt = fragment.length - protection.macKeyLength;
    const blocks = macAt - BLOCK;
    if (blocks < BLOCK || blocks % BLOCK !== 0) throw badMac();
    const covered = fragment.subarray(0, macAt);
    if (!crypto.equal(state.mac(type, covered), fragment.subarray(macAt))) throw badMac();
    const iv = fragment.subarray(0, BLOCK);
    const padded = crypto.decryptCbc(protection.cbc, state.key, iv, fragment.subarray(BLOCK, macAt));
    // What is here was made by the peer, whose MAC is right.
    const padding = (padded[padded.length - 1] as number) + 1;
    const end = padded.length - padding;
    if (end < 0 || padded.subarray(end).some((byte) => byte !== padding - 1)) throw badMac();
    if (end > MAX_PLAINTEXT)
      throw new TlsError('ERR_TLS_RECORD_OVERFLOW', `A record holds ${end} bytes of plaintext`);
    state.advance();
    return { type, content: padded.subarray(0, end) };
  }
}

function badMac(): TlsError {
  return new TlsError('ERR_TLS_BAD_RECORD_MAC', 'A record does not decrypt under this key');
}

/** Shared scratch: an AEAD keeps neither nonce nor additional data. */
const nonceScratch = new Uint8Array(12);
const aadScratch = new Uint8Array(AAD_LENGTH);
