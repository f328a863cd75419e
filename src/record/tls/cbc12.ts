import type { CryptoProvider } from '../../crypto/provider.ts';
import type { CbcProtection } from '../../crypto/suites12.ts';
import { concat } from '../../wire/writer.ts';
import { MAX_PADDING, stripMacAndPadding } from './mac-then-encrypt.ts';
import { type Cipher12, type HeadOf, type Keys12, MAX_RECORDS_12 } from './record12.ts';

/**
 * Full records under one key of a cipher with blocks of 64 bits, of which two begin to be alike where 2^32 are (Sweet32):
 * after 2^16 records, a GiB, it is so with 2^-11.
 */
export const MAX_RECORDS_64 = 2 ** 16;

/**
 * GenericBlockCipher of RFC 5246 §6.2.3.2: `[IV] ‖ blocks` with the MAC inside the blocks, or behind them all with
 * encrypt_then_mac (RFC 7366 §3), which is checked before anything is decrypted, so that padding tells nobody anything.
 * In TLS 1.0 a record has no IV: it goes on where the one before ended (RFC 2246 §6.2.3.2).
 */
export class CbcCipher implements Cipher12 {
  readonly recordLimit: number;
  readonly #protection: CbcProtection;
  readonly #crypto: CryptoProvider;
  readonly #keys: Keys12;
  /** The last block so far where IVs are chained; else there is none. */
  #chain: Uint8Array | undefined;

  constructor(crypto: CryptoProvider, keys: Keys12, protection: CbcProtection) {
    this.#crypto = crypto;
    this.#keys = keys;
    this.#protection = protection;
    this.#chain = keys.iv.length > 0 ? keys.iv : undefined;
    this.recordLimit = protection.blockLength === 8 ? MAX_RECORDS_64 : MAX_RECORDS_12;
  }

  get chained(): boolean {
    return this.#chain !== undefined;
  }

  /** How long the padding is, up to 256, is not seen from outside. */
  leastContent(length: number): number {
    return length - this.#protection.macKeyLength - this.#ivLength - MAX_PADDING;
  }

  mostContent(length: number): number {
    const { blockLength, macKeyLength } = this.#protection;
    const [inside, behind] = this.#encryptThenMac ? [0, macKeyLength] : [macKeyLength, 0];
    const blocks = Math.floor((length - this.#ivLength - behind) / blockLength);
    // Padding is one byte at least.
    return blocks * blockLength - inside - 1;
  }

  seal(_number: Uint8Array, head: HeadOf, content: Uint8Array): readonly Uint8Array[] {
    const { blockLength } = this.#protection;
    const inside = this.#encryptThenMac ? content : concat([content, this.#mac(head, content)]);
    // Every byte of the padding is its length without the last byte.
    const padding = blockLength - (inside.length % blockLength);
    const covered = this.#encrypt(concat([inside, new Uint8Array(padding).fill(padding - 1)]));
    return this.#encryptThenMac ? [covered, this.#mac(head, covered)] : [covered];
  }

  open(_number: Uint8Array, head: HeadOf, fragment: Uint8Array): Uint8Array | undefined {
    return this.#encryptThenMac
      ? this.#openEncryptThenMac(head, fragment)
      : this.#openMacThenEncrypt(head, fragment);
  }

  #openEncryptThenMac(head: HeadOf, fragment: Uint8Array): Uint8Array | undefined {
    const macAt = fragment.length - this.#protection.macKeyLength;
    if (!this.#areBlocks(macAt)) return undefined;
    const covered = fragment.subarray(0, macAt);
    if (!this.#crypto.equal(this.#mac(head, covered), fragment.subarray(macAt))) return undefined;
    const padded = this.#decrypt(covered);
    // What is here was made by the peer, whose MAC is right.
    const padding = (padded[padded.length - 1] as number) + 1;
    const end = padded.length - padding;
    if (end < 0 || padded.subarray(end).some((byte) => byte !== padding - 1)) return undefined;
    return padded.subarray(0, end);
  }

  #openMacThenEncrypt(head: HeadOf, fragment: Uint8Array): Uint8Array | undefined {
    if (!this.#areBlocks(fragment.length)) return undefined;
    const { mac } = this.#protection;
    return stripMacAndPadding(this.#crypto, mac, this.#keys.macKey, head(0), this.#decrypt(fragment));
  }

  get #encryptThenMac(): boolean {
    return this.#keys.macThenEncrypt !== true;
  }

  /** Bytes of IV in each record. */
  get #ivLength(): number {
    return this.#chain === undefined ? this.#protection.blockLength : 0;
  }

  /** One block at least, and whole ones (RFC 5246 §6.2.3.2). */
  #areBlocks(length: number): boolean {
    const { blockLength } = this.#protection;
    const blocks = length - this.#ivLength;
    return blocks >= blockLength && blocks % blockLength === 0;
  }

  #encrypt(padded: Uint8Array): Uint8Array {
    const { cbc, blockLength } = this.#protection;
    const iv = this.#chain ?? this.#crypto.randomBytes(blockLength);
    const blocks = this.#crypto.encryptCbc(cbc, this.#keys.key, iv, padded);
    return this.#chain === undefined ? concat([iv, blocks]) : this.#goOn(blocks);
  }

  /** @param fragment IV, if there is one, and whole blocks */
  #decrypt(fragment: Uint8Array): Uint8Array {
    const iv = this.#chain ?? fragment.subarray(0, this.#ivLength);
    const blocks = fragment.subarray(this.#ivLength);
    const padded = this.#crypto.decryptCbc(this.#protection.cbc, this.#keys.key, iv, blocks);
    if (this.#chain !== undefined) this.#goOn(blocks);
    return padded;
  }

  #goOn(blocks: Uint8Array): Uint8Array {
    this.#chain = new Uint8Array(blocks.subarray(blocks.length - this.#protection.blockLength));
    return blocks;
  }

  #mac(head: HeadOf, covered: Uint8Array): Uint8Array {
    const input = concat([head(covered.length), covered]);
    return this.#crypto.hmac(this.#protection.mac, this.#keys.macKey, input);
  }
}
