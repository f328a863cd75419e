import type { Aead, CryptoProvider } from '../../crypto/provider.ts';
import type { AeadProtection } from '../../crypto/suites12.ts';
import { CbcCipher } from './cbc12.ts';
import { type Cipher12, type HeadOf, type Keys12, MAX_RECORDS_12 } from './record12.ts';
import { RunningCipher } from './stream12.ts';

export function makeCipher12(crypto: CryptoProvider, keys: Keys12): Cipher12 {
  const { protection } = keys.suite;
  if ('cbc' in protection) return new CbcCipher(crypto, keys, protection);
  if ('stream' in protection) return new RunningCipher(crypto, keys, protection);
  return new AeadCipher(crypto, keys, protection);
}

/**
 * GenericAEADCipher of RFC 5246 §6.2.3.3. RFC 5288 §3, RFC 6655 §3: the nonce is `fixed IV ‖ explicit nonce`, for which we
 * send the number of the record. RFC 7905 §2: the IV xor that number, as in TLS 1.3.
 */
class AeadCipher implements Cipher12 {
  readonly recordLimit = MAX_RECORDS_12;
  readonly chained = false;
  readonly #aead: Aead;
  readonly #iv: Uint8Array;
  readonly #explicit: 8 | 0;

  constructor(crypto: CryptoProvider, { key, iv }: Keys12, protection: AeadProtection) {
    this.#aead = crypto.aead(protection.aead, key);
    this.#iv = iv;
    this.#explicit = protection.explicitNonceLength;
  }

  leastContent(length: number): number {
    return length - this.#explicit - this.#aead.tagLength;
  }

  mostContent(length: number): number {
    return this.leastContent(length);
  }

  seal(number: Uint8Array, head: HeadOf, content: Uint8Array): readonly Uint8Array[] {
    const pieces = this.#aead.seal(this.#nonce(number), head(content.length), content);
    return this.#explicit > 0 ? [new Uint8Array(number), ...pieces] : pieces;
  }

  open(number: Uint8Array, head: HeadOf, fragment: Uint8Array): Uint8Array | undefined {
    const explicit = this.#explicit;
    const tagAt = fragment.length - this.#aead.tagLength;
    if (tagAt < explicit) return undefined;
    return this.#aead.open(
      this.#nonce(explicit > 0 ? fragment.subarray(0, explicit) : number),
      head(tagAt - explicit),
      fragment.subarray(explicit, tagAt),
      fragment.subarray(tagAt),
    );
  }

  #nonce(number: Uint8Array): Uint8Array {
    nonceScratch.set(this.#iv);
    if (this.#explicit > 0) nonceScratch.set(number, this.#iv.length);
    else for (let i = 0; i < number.length; i++) (nonceScratch[4 + i] as number) ^= number[i] as number;
    return nonceScratch;
  }
}

/** Shared scratch: an AEAD does not keep its nonce. */
const nonceScratch = new Uint8Array(12);
