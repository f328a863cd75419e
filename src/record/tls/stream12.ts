import type { CryptoProvider, StreamCipher } from '../../crypto/provider.ts';
import type { StreamProtection } from '../../crypto/suites12.ts';
import { concat } from '../../wire/writer.ts';
import { RECORD_HEADER_LENGTH } from './deframer.ts';
import type { Content, RecordOpener, RecordSealer } from './protection.ts';
import { badMac, type Keys12, MAX_RECORDS_12, requirePlaintext, Sequence12 } from './record12.ts';

/*
 * GenericStreamCipher of RFC 5246 §6.2.3.1: `content ‖ MAC`, encrypted by a cipher that goes on from record to record.
 */

class StreamState {
  readonly sequence = new Sequence12();
  readonly cipher: StreamCipher;
  readonly version: number;
  readonly #mac: (input: Uint8Array) => Uint8Array;

  constructor(crypto: CryptoProvider, keys: Keys12, { stream, mac }: StreamProtection, version: number) {
    this.cipher = crypto.streamCipher(stream, keys.key);
    this.version = version;
    this.#mac = (input) => crypto.hmac(mac, keys.macKey, input);
  }

  mac(type: number, content: Uint8Array): Uint8Array {
    return this.#mac(concat([this.sequence.head(type, this.version, content.length), content]));
  }
}

export class StreamSealer implements RecordSealer {
  readonly #state: StreamState;

  constructor(crypto: CryptoProvider, keys: Keys12, protection: StreamProtection, version: number) {
    this.#state = new StreamState(crypto, keys, protection, version);
  }

  get exhausted(): boolean {
    return this.#state.sequence.count >= MAX_RECORDS_12;
  }

  seal(type: number, content: Uint8Array, _paddedLength: number, out: Uint8Array[]): number {
    const { cipher, sequence, version } = this.#state;
    const sealed = cipher(concat([content, this.#state.mac(type, content)]));
    out.push(Uint8Array.of(type, version >> 8, version, sealed.length >> 8, sealed.length), sealed);
    sequence.advance();
    return RECORD_HEADER_LENGTH + sealed.length;
  }
}

export class StreamOpener implements RecordOpener {
  readonly #state: StreamState;
  readonly #macLength: number;
  readonly #equal: CryptoProvider['equal'];

  constructor(crypto: CryptoProvider, keys: Keys12, protection: StreamProtection, version: number) {
    this.#state = new StreamState(crypto, keys, protection, version);
    this.#macLength = protection.macKeyLength;
    this.#equal = crypto.equal;
  }

  get unused(): boolean {
    return this.#state.sequence.count === 0;
  }

  plaintextLength(fragment: Uint8Array): number {
    return fragment.length - this.#macLength;
  }

  /** @throws TlsError ERR_TLS_BAD_RECORD_MAC, ERR_TLS_RECORD_OVERFLOW */
  open(header: Uint8Array, fragment: Uint8Array): Content {
    const type = header[0] as number;
    const length = this.plaintextLength(fragment);
    if (length < 0) throw badMac();
    const opened = this.#state.cipher(fragment);
    const content = opened.subarray(0, length);
    if (!this.#equal(this.#state.mac(type, content), opened.subarray(length))) throw badMac();
    requirePlaintext(length);
    this.#state.sequence.advance();
    return { type, content };
  }
}
