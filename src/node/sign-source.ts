import { ConnectionError } from '../errors/errors.ts';
import type { SentStream } from '../sign/index.ts';

/** Where the content of a streamed message comes from: a Readable is one. */
export type SignSource = AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string>;

/** Hashed, and handed on, in one go: a tenth of a millisecond. */
const PIECE = 131_072;

/** Reads a source as fast as its message goes out, and no faster. */
export class SourcePump {
  readonly #message: SentStream;
  #drained: { resolve(): void; reject(error: Error): void } | undefined;
  #lost: Error | undefined;

  constructor(message: SentStream) {
    this.#message = message;
  }

  /** Fails with what the source fails with, or when the message is lost. */
  async run(source: SignSource): Promise<void> {
    const message = this.#message;
    try {
      await this.#drain();
      for await (const piece of source) {
        const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece;
        if (!(bytes instanceof Uint8Array)) throw notBytes(piece);
        for (let at = 0; at < bytes.length; at += PIECE) {
          message.write(bytes.subarray(at, at + PIECE));
          await this.#drain();
        }
      }
      message.end(Date.now());
    } catch (error) {
      message.abort(error, Date.now());
      throw error;
    }
  }

  /** More may be written. */
  drained(): void {
    this.#drained?.resolve();
    this.#drained = undefined;
  }

  /** Nothing can be sent any more. */
  stop(error: Error): void {
    this.#lost = error;
    this.#drained?.reject(error);
    this.#drained = undefined;
  }

  async #drain(): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    if (this.#message.wantsMore) return;
    await new Promise<void>((resolve, reject) => {
      this.#drained = { resolve, reject };
    });
  }
}

function notBytes(piece: unknown): ConnectionError {
  return new ConnectionError(
    'ERR_TLS_OPTION',
    `A message is signed from Uint8Arrays or strings, and its source has given ${piece === null ? 'null' : `a ${typeof piece}`}`,
  );
}
