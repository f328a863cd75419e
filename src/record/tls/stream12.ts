import type { CryptoProvider, StreamCipher } from '../../crypto/provider.ts';
import type { StreamProtection } from '../../crypto/suites12.ts';
import { concat } from '../../wire/writer.ts';
import { type Cipher12, type HeadOf, type Keys12, MAX_RECORDS_12 } from './record12.ts';

/**
 * GenericStreamCipher of RFC 5246 §6.2.3.1: `content ‖ MAC`, encrypted by a cipher that goes on from record to record. So it
 * is not for datagrams (RFC 6347 §4.1.2.2).
 */
export class RunningCipher implements Cipher12 {
  readonly recordLimit = MAX_RECORDS_12;
  readonly chained = false;
  readonly #cipher: StreamCipher;
  readonly #macLength: number;
  readonly #mac: (head: HeadOf, content: Uint8Array) => Uint8Array;
  readonly #equal: CryptoProvider['equal'];

  constructor(crypto: CryptoProvider, { key, macKey }: Keys12, protection: StreamProtection) {
    const { stream, mac, macKeyLength } = protection;
    this.#macLength = macKeyLength;
    this.#cipher = crypto.streamCipher(stream, key);
    this.#mac = (head, content) => crypto.hmac(mac, macKey, concat([head(content.length), content]));
    this.#equal = crypto.equal;
  }

  leastContent(length: number): number {
    return length - this.#macLength;
  }

  mostContent(length: number): number {
    return length - this.#macLength;
  }

  seal(_number: Uint8Array, head: HeadOf, content: Uint8Array): readonly Uint8Array[] {
    return [this.#cipher(concat([content, this.#mac(head, content)]))];
  }

  open(_number: Uint8Array, head: HeadOf, fragment: Uint8Array): Uint8Array | undefined {
    const length = this.leastContent(fragment.length);
    if (length < 0) return undefined;
    const opened = this.#cipher(fragment);
    const content = opened.subarray(0, length);
    return this.#equal(this.#mac(head, content), opened.subarray(length)) ? content : undefined;
  }
}
