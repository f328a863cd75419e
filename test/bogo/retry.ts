import { HELLO_RETRY_RANDOM } from '../../src/messages/hello.ts';
import { Deframer, MAX_CIPHERTEXT } from '../../src/record/tls/deframer.ts';
import { ContentType } from '../../src/wire/codepoints.ts';

const RANDOM = Buffer.from(HELLO_RETRY_RANDOM);

/** Notices a HelloRetryRequest in one direction's bytes: 32 of them that nothing else has by chance. */
export class SawRetry {
  seen = false;
  readonly #datagrams: boolean;
  readonly #records = new Deframer();
  /** The end of the handshake messages that were looked at, in which the bytes may have begun. */
  #tail: Uint8Array = new Uint8Array(0);
  /** Later records say nothing. */
  #clear = true;

  constructor(datagrams: boolean) {
    this.#datagrams = datagrams;
  }

  look(bytes: Uint8Array): void {
    if (this.seen || !this.#clear) return;
    if (this.#datagrams) {
      // A HelloRetryRequest may be in pieces; the second ClientHello that answers it says as much.
      this.seen = Buffer.from(bytes).includes(RANDOM) || isSecondHello(bytes);
      return;
    }
    this.#records.feed(bytes);
    try {
      for (
        let frame = this.#records.next(MAX_CIPHERTEXT);
        frame;
        frame = this.#records.next(MAX_CIPHERTEXT)
      ) {
        if (frame.type === ContentType.application_data) this.#clear = false;
        if (frame.type === ContentType.handshake) this.#search(frame.fragment);
      }
    } catch {
      this.#clear = false; // The peer talks nonsense; that is for the engine to say.
    }
    this.#records.settle();
  }

  #search(fragment: Uint8Array): void {
    const window = Buffer.concat([this.#tail, fragment]);
    if (window.includes(RANDOM)) this.seen = true;
    this.#tail = new Uint8Array(window.subarray(-(RANDOM.length - 1)));
  }
}

/** Handshake in clear: ClientHello with message_seq 1. */
function isSecondHello(datagram: Uint8Array): boolean {
  return datagram[0] === ContentType.handshake && datagram[13] === 1 && datagram[18] === 1;
}
