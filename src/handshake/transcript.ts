import type { CryptoProvider, HashName, RunningHash } from '../crypto/provider.ts';
import { HandshakeType } from '../wire/codepoints.ts';
import { Writer } from '../wire/writer.ts';

/** Transcript-Hash of RFC 8446 §4.4.1: the running hash over every handshake message so far. */
export class Transcript {
  readonly #crypto: CryptoProvider;
  readonly #name: HashName;
  #hash: RunningHash;

  constructor(crypto: CryptoProvider, name: HashName) {
    this.#crypto = crypto;
    this.#name = name;
    this.#hash = crypto.hash(name);
  }

  add(message: Uint8Array): void {
    this.#hash.update(message);
  }

  snapshot(): Uint8Array {
    return this.#hash.snapshot();
  }

  /** The same so far; each goes on by itself. */
  copy(): Transcript {
    const copy = new Transcript(this.#crypto, this.#name);
    copy.#hash = this.#hash.copy();
    return copy;
  }

  /** The hash if `message` followed; the transcript itself stays as it is (PSK binders, §4.2.11.2). */
  snapshotWith(message: Uint8Array): Uint8Array {
    const hash = this.#hash.copy();
    hash.update(message);
    return hash.snapshot();
  }

  /** That of a ClientHello1 of which only the hash is left, before its HelloRetryRequest. */
  static afterRetry(crypto: CryptoProvider, name: HashName, firstHello: Uint8Array): Transcript {
    const transcript = new Transcript(crypto, name);
    transcript.add(messageHash(firstHello));
    return transcript;
  }

  /** After HelloRetryRequest, ClientHello1 is replaced by a synthetic message that holds its hash (§4.4.1). */
  replaceByMessageHash(): void {
    const digest = this.snapshot();
    this.#hash = this.#crypto.hash(this.#name);
    this.add(messageHash(digest));
  }
}

function messageHash(digest: Uint8Array): Uint8Array {
  return new Writer(4 + digest.length).u8(HandshakeType.message_hash).vector(3, digest).finish();
}
