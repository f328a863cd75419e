import type { CryptoProvider } from '../../crypto/provider.ts';
import type { CbcProtection } from '../../crypto/suites12.ts';
import { ContentType } from '../../wire/codepoints.ts';
import { concat } from '../../wire/writer.ts';
import { RECORD_HEADER_LENGTH } from './deframer.ts';
import { MAX_PADDING, stripMacAndPadding } from './mac-then-encrypt.ts';
import type { Content, RecordOpener, RecordSealer } from './protection.ts';
import { badMac, type Keys12, MAX_RECORDS_12, requirePlaintext, Sequence12 } from './record12.ts';

/*
 * GenericBlockCipher of RFC 5246 §6.2.3.2: `[IV] ‖ blocks` with the MAC inside the blocks, or behind them all with
 * encrypt_then_mac (RFC 7366 §3), which is checked before anything is decrypted, so that padding tells nobody anything.
 * In TLS 1.0 a record has no IV: it goes on where the one before ended (RFC 2246 §6.2.3.2).
 */

/**
 * Full records under one key of a cipher with blocks of 64 bits, of which two begin to be alike where 2^32 are (Sweet32):
 * after 2^16 records, a GiB, it is so with 2^-11.
 */
export const MAX_RECORDS_64 = 2 ** 16;

/** What both directions have in common. */
class CbcState {
  readonly sequence = new Sequence12();
  readonly protection: CbcProtection;
  readonly #crypto: CryptoProvider;
  readonly #keys: Keys12;
  readonly version: number;
  /** The last block so far where IVs are chained; else there is none. */
  #chain: Uint8Array | undefined;

  constructor(crypto: CryptoProvider, keys: Keys12, protection: CbcProtection, version: number) {
    this.#crypto = crypto;
    this.#keys = keys;
    this.protection = protection;
    this.version = version;
    this.#chain = keys.iv.length > 0 ? keys.iv : undefined;
  }

  get encryptThenMac(): boolean {
    return this.#keys.macThenEncrypt !== true;
  }

  get chained(): boolean {
    return this.#chain !== undefined;
  }

  /** Bytes of IV in each record. */
  get ivLength(): number {
    return this.#chain === undefined ? this.protection.blockLength : 0;
  }

  encrypt(padded: Uint8Array): Uint8Array {
    const { cbc, blockLength } = this.protection;
    const iv = this.#chain ?? this.#crypto.randomBytes(blockLength);
    const blocks = this.#crypto.encryptCbc(cbc, this.#keys.key, iv, padded);
    return this.#chain === undefined ? concat([iv, blocks]) : this.#goOn(blocks);
  }

  /** @param fragment IV, if there is one, and whole blocks */
  decrypt(fragment: Uint8Array): Uint8Array {
    const iv = this.#chain ?? fragment.subarray(0, this.ivLength);
    const blocks = fragment.subarray(this.ivLength);
    const padded = this.#crypto.decryptCbc(this.protection.cbc, this.#keys.key, iv, blocks);
    if (this.#chain !== undefined) this.#goOn(blocks);
    return padded;
  }

  #goOn(blocks: Uint8Array): Uint8Array {
    this.#chain = new Uint8Array(blocks.subarray(blocks.length - this.protection.blockLength));
    return blocks;
  }

  mac(type: number, covered: Uint8Array): Uint8Array {
    const input = concat([this.sequence.head(type, this.version, covered.length), covered]);
    return this.#crypto.hmac(this.protection.mac, this.#keys.macKey, input);
  }

  isMac(expected: Uint8Array, found: Uint8Array): boolean {
    return this.#crypto.equal(expected, found);
  }

  strip(type: number, padded: Uint8Array): Uint8Array | undefined {
    const head = this.sequence.head(type, this.version, 0);
    return stripMacAndPadding(this.#crypto, this.protection.mac, this.#keys.macKey, head, padded);
  }
}

export class CbcSealer implements RecordSealer {
  readonly #state: CbcState;

  constructor(crypto: CryptoProvider, keys: Keys12, protection: CbcProtection, version: number) {
    this.#state = new CbcState(crypto, keys, protection, version);
  }

  get exhausted(): boolean {
    const { sequence, protection } = this.#state;
    return sequence.count >= (protection.blockLength === 8 ? MAX_RECORDS_64 : MAX_RECORDS_12);
  }

  seal(type: number, content: Uint8Array, _paddedLength: number, out: Uint8Array[]): number {
    if (!this.#state.chained || type !== ContentType.application_data || content.length < 2)
      return this.#sealOne(type, content, out);
    // BEAST: who sees the last block knows the next IV, and may choose what comes first. So the first record has one byte, and
    // its MAC makes a block that nobody can foresee (1/n-1 splitting).
    return this.#sealOne(type, content.subarray(0, 1), out) + this.#sealOne(type, content.subarray(1), out);
  }

  #sealOne(type: number, content: Uint8Array, out: Uint8Array[]): number {
    const state = this.#state;
    const { blockLength } = state.protection;
    const inside = state.encryptThenMac ? content : concat([content, state.mac(type, content)]);
    // Every byte of the padding is its length without the last byte.
    const padding = blockLength - (inside.length % blockLength);
    const covered = state.encrypt(concat([inside, new Uint8Array(padding).fill(padding - 1)]));
    const pieces = state.encryptThenMac ? [covered, state.mac(type, covered)] : [covered];
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    out.push(Uint8Array.of(type, state.version >> 8, state.version, length >> 8, length), ...pieces);
    state.sequence.advance();
    return RECORD_HEADER_LENGTH + length;
  }
}

export class CbcOpener implements RecordOpener {
  readonly #state: CbcState;

  constructor(crypto: CryptoProvider, keys: Keys12, protection: CbcProtection, version: number) {
    this.#state = new CbcState(crypto, keys, protection, version);
  }

  get unused(): boolean {
    return this.#state.sequence.count === 0;
  }

  /** At least so many bytes: how long the padding is, up to 256, is not seen from outside. */
  plaintextLength(fragment: Uint8Array): number {
    const { protection, ivLength } = this.#state;
    return fragment.length - protection.macKeyLength - ivLength - MAX_PADDING;
  }

  /** @throws TlsError ERR_TLS_BAD_RECORD_MAC for everything that is wrong, ERR_TLS_RECORD_OVERFLOW */
  open(header: Uint8Array, fragment: Uint8Array): Content {
    const type = header[0] as number;
    const content = this.#state.encryptThenMac
      ? this.#openEncryptThenMac(type, fragment)
      : this.#openMacThenEncrypt(type, fragment);
    if (content === undefined) throw badMac();
    requirePlaintext(content.length);
    this.#state.sequence.advance();
    return { type, content };
  }

  #openEncryptThenMac(type: number, fragment: Uint8Array): Uint8Array | undefined {
    const state = this.#state;
    const macAt = fragment.length - state.protection.macKeyLength;
    if (!this.#areBlocks(macAt)) return undefined;
    const covered = fragment.subarray(0, macAt);
    if (!state.isMac(state.mac(type, covered), fragment.subarray(macAt))) return undefined;
    const padded = state.decrypt(covered);
    // What is here was made by the peer, whose MAC is right.
    const padding = (padded[padded.length - 1] as number) + 1;
    const end = padded.length - padding;
    if (end < 0 || padded.subarray(end).some((byte) => byte !== padding - 1)) return undefined;
    return padded.subarray(0, end);
  }

  #openMacThenEncrypt(type: number, fragment: Uint8Array): Uint8Array | undefined {
    if (!this.#areBlocks(fragment.length)) return undefined;
    return this.#state.strip(type, this.#state.decrypt(fragment));
  }

  /** One block at least, and whole ones (RFC 5246 §6.2.3.2). */
  #areBlocks(length: number): boolean {
    const { protection, ivLength } = this.#state;
    const blocks = length - ivLength;
    return blocks >= protection.blockLength && blocks % protection.blockLength === 0;
  }
}
