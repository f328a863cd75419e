import type { CryptoProvider } from '../../crypto/provider.ts';
import { ContentType } from '../../wire/codepoints.ts';
import { makeCipher12 } from './cipher12.ts';
import { RECORD_HEADER_LENGTH } from './deframer.ts';
import type { Content, RecordOpener, RecordSealer } from './protection.ts';
import { badMac, type Cipher12, type Keys12, requirePlaintext, Sequence12 } from './record12.ts';

export function makeSealer12(crypto: CryptoProvider, keys: Keys12, version: number): RecordSealer {
  return new Sealer12(makeCipher12(crypto, keys), version);
}

export function makeOpener12(crypto: CryptoProvider, keys: Keys12, version: number): RecordOpener {
  return new Opener12(makeCipher12(crypto, keys), version);
}

/** Seals records of TLS 1.2 and before. */
class Sealer12 implements RecordSealer {
  readonly #cipher: Cipher12;
  readonly #version: number;
  readonly #sequence = new Sequence12();

  constructor(cipher: Cipher12, version: number) {
    this.#cipher = cipher;
    this.#version = version;
  }

  get exhausted(): boolean {
    return this.#sequence.count >= this.#cipher.recordLimit;
  }

  /** Nothing is padded but to whole blocks: `_paddedLength` says nothing here. */
  seal(type: number, content: Uint8Array, _paddedLength: number, out: Uint8Array[]): number {
    if (!this.#cipher.chained || type !== ContentType.application_data || content.length < 2)
      return this.#sealOne(type, content, out);
    // BEAST: who sees the last block knows the next IV, and may choose what comes first. So the first record has one byte, and
    // its MAC makes a block that nobody can foresee (1/n-1 splitting).
    return this.#sealOne(type, content.subarray(0, 1), out) + this.#sealOne(type, content.subarray(1), out);
  }

  #sealOne(type: number, content: Uint8Array, out: Uint8Array[]): number {
    const sequence = this.#sequence;
    const version = this.#version;
    const pieces = this.#cipher.seal(
      sequence.bytes,
      (length) => sequence.head(type, version, length),
      content,
    );
    const header = new Uint8Array(RECORD_HEADER_LENGTH);
    out.push(header);
    let length = 0;
    for (const piece of pieces) {
      out.push(piece);
      length += piece.length;
    }
    header[0] = type;
    header[1] = version >> 8;
    header[2] = version & 0xff;
    header[3] = length >> 8;
    header[4] = length & 0xff;
    sequence.advance();
    return RECORD_HEADER_LENGTH + length;
  }
}

/** Opens records of TLS 1.2 and before. */
class Opener12 implements RecordOpener {
  readonly #cipher: Cipher12;
  readonly #version: number;
  readonly #sequence = new Sequence12();

  constructor(cipher: Cipher12, version: number) {
    this.#cipher = cipher;
    this.#version = version;
  }

  get unused(): boolean {
    return this.#sequence.count === 0;
  }

  plaintextLength(fragment: Uint8Array): number {
    return this.#cipher.leastContent(fragment.length);
  }

  /** @throws TlsError ERR_TLS_BAD_RECORD_MAC for everything that is wrong, ERR_TLS_RECORD_OVERFLOW (RFC 5246 §6.2.1) */
  open(header: Uint8Array, fragment: Uint8Array): Content {
    const type = header[0] as number;
    const sequence = this.#sequence;
    const content = this.#cipher.open(
      sequence.bytes,
      (length) => sequence.head(type, this.#version, length),
      fragment,
    );
    if (content === undefined) throw badMac();
    requirePlaintext(content.length);
    sequence.advance();
    return { type, content };
  }
}
