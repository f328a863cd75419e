import type { CryptoProvider, PrfHash, RunningHash } from '../../crypto/provider.ts';
import { concat } from '../../wire/writer.ts';

/**
 * Every handshake message so far, hashed with the hash of the PRF (RFC 5246 §7.4.9). The messages themselves are kept
 * for as long as a CertificateVerify may come, which signs them and not their hash (§7.4.8).
 */
export class Transcript12 {
  readonly #hash: RunningHash;
  #messages: Uint8Array[] | undefined = [];

  constructor(crypto: CryptoProvider, hash: PrfHash) {
    this.#hash = crypto.hash(hash);
  }

  add(message: Uint8Array): void {
    this.#hash.update(message);
    this.#messages?.push(message);
  }

  /** Hash of the messages so far. */
  snapshot(): Uint8Array {
    return this.#hash.snapshot();
  }

  /** The messages so far. Not after `forgetMessages`. */
  messages(): Uint8Array {
    return concat(this.#messages ?? []);
  }

  forgetMessages(): void {
    this.#messages = undefined;
  }
}
