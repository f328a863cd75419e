import { ConnectionError, SignatureError } from '../errors/errors.ts';
import type { UnverifiedContent } from '../formats/format.ts';
import type { MultiplexedConnection } from '../mux/index.ts';
import type { Place, ReceivedMessage, ReceivedStream, StreamVerdict } from '../sign/index.ts';

/** Tells the session what was taken. */
export interface MessageHost {
  release(message: ReceivedMessage): void;
  /** What a reader of whole messages takes at most. Bytes. */
  readonly maxObject: number;
  /** Ends the session because of a stream. */
  refuse(stream: ReceivedStream, error: SignatureError): void;
}

/**
 * A signed message that comes in pieces, of any size. Nobody has proven anything about its content before `verdict`.
 * Somebody has to take the content, or `discard()` it: until then the whole session stops reading.
 */
export class StreamedMessage implements Place {
  readonly contentType: number;
  readonly application: string;
  readonly connection: MultiplexedConnection | undefined;
  readonly sequence: number;
  readonly receiptRequested: boolean;
  /**
   * Resolves when the signature at the end is good and the message is in the archive, where there is one; a receipt
   * leaves then. Fails with a SignatureError, or with what has ended the session.
   */
  readonly verdict: Promise<StreamVerdict>;
  readonly #stream: ReceivedStream;
  #outcome: { readonly error: Error | undefined } | undefined;
  #settle: { resolve(verdict: StreamVerdict): void; reject(error: Error): void };
  #woken: (() => void)[] = [];

  constructor(stream: ReceivedStream) {
    this.contentType = stream.contentType;
    this.application = stream.application;
    this.connection = stream.connection;
    this.sequence = stream.sequence;
    this.receiptRequested = stream.receiptRequested;
    this.#stream = stream;
    let settle: { resolve(verdict: StreamVerdict): void; reject(error: Error): void } | undefined;
    this.verdict = new Promise((resolve, reject) => {
      settle = { resolve, reject };
    });
    this.#settle = settle as NonNullable<typeof settle>;
    // Whoever only reads the content hears of it there.
    this.verdict.catch(() => {});
  }

  /** For one reader. It ends when the verdict is good, and fails with it: a loop that comes to its end has read what was signed. */
  get content(): AsyncIterable<UnverifiedContent> {
    return {
      [Symbol.asyncIterator]: () => ({
        next: () => this.#next(),
        return: () => {
          this.discard();
          return Promise.resolve({ value: undefined, done: true });
        },
      }),
    };
  }

  /** Nobody reads the rest. The message is verified, archived and acknowledged all the same. */
  discard(): void {
    this.#stream.drop();
  }

  // ── for the adapter ────────────────────────────────────────────────────────────────────────────

  /** There is something to read. */
  wake(): void {
    const woken = this.#woken;
    this.#woken = [];
    for (const call of woken) call();
  }

  conclude(verdict: StreamVerdict): void {
    this.#outcome ??= { error: undefined };
    this.#settle.resolve(verdict);
    this.wake();
  }

  fail(error: Error): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = { error };
    this.#stream.drop();
    this.#settle.reject(error);
    this.wake();
  }

  /** The whole of it, verified. @throws SignatureError; ERR_SIGN_TOO_LARGE ends the session */
  async whole(host: MessageHost): Promise<ReceivedMessage> {
    const pieces: Uint8Array[] = [];
    let length = 0;
    for await (const { bytes } of this.content) {
      length += bytes.length;
      if (length > host.maxObject) {
        const error = new SignatureError(
          'ERR_SIGN_TOO_LARGE',
          `A streamed message has more than ${host.maxObject} bytes; read it in pieces, with signed.streaming(), or raise maxObject`,
        );
        host.refuse(this.#stream, error);
        throw error;
      }
      pieces.push(bytes);
    }
    const { verified, signer, signingTime, acknowledged, record } = await this.verdict;
    return {
      contentType: this.contentType,
      application: this.application,
      connection: this.connection,
      sequence: this.sequence,
      content: Buffer.concat(pieces),
      object: undefined,
      verified,
      signer,
      signingTime,
      receiptRequested: this.receiptRequested,
      acknowledged,
      objectDigest: verified.objectDigest,
      record,
    };
  }

  async #next(): Promise<IteratorResult<UnverifiedContent>> {
    for (;;) {
      const error = this.#outcome?.error;
      if (error !== undefined) throw error;
      const value = this.#stream.read();
      if (value !== undefined) return { value, done: false };
      if (this.#outcome !== undefined) return { value: undefined, done: true };
      await new Promise<void>((resolve) => this.#woken.push(resolve));
    }
  }
}

type Message = ReceivedMessage | StreamedMessage;

interface WaitingReader {
  readonly take: (message: Message) => void;
  readonly end: (error: Error | undefined) => void;
}

/**
 * Messages in the order in which they came. One reader; it may stop and go on with another loop. `for await (… of signed)`
 * gives whole messages, all verified: what comes as a stream is collected, up to the option `maxObject`. `streaming()`
 * gives streams as they come.
 */
export class SignedMessages implements AsyncIterable<ReceivedMessage> {
  readonly #host: MessageHost;
  #queue: Message[] = [];
  #readers: WaitingReader[] = [];
  #ended = false;
  #error: Error | undefined;

  constructor(host: MessageHost) {
    this.#host = host;
  }

  push(message: Message): void {
    const reader = this.#readers.shift();
    if (reader === undefined && !this.#ended) {
      this.#queue.push(message);
      return;
    }
    this.#taken(message);
    if (reader !== undefined) reader.take(message);
    else if (message instanceof StreamedMessage) message.discard();
  }

  /**
   * What has come can be read; then the loop ends, or fails with `error`.
   * @param isAbandoned nobody may be there to read it, and the session must not wait for that
   */
  end(error: Error | undefined, isAbandoned = false): void {
    if (isAbandoned) this.#abandon();
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    for (const reader of this.#readers) reader.end(error);
    this.#readers = [];
  }

  [Symbol.asyncIterator](): AsyncIterator<ReceivedMessage> {
    return {
      next: () =>
        this.#next((message) => (message instanceof StreamedMessage ? message.whole(this.#host) : message)),
    };
  }

  /** Messages of any size: those that come as streams are given as they begin. The same queue, for the same reader. */
  streaming(): AsyncIterable<ReceivedMessage | StreamedMessage> {
    return { [Symbol.asyncIterator]: () => ({ next: () => this.#next((message) => message) }) };
  }

  #next<T>(as: (message: Message) => T | Promise<T>): Promise<IteratorResult<T>> {
    const result = (message: Message): IteratorResult<T> | Promise<IteratorResult<T>> => {
      const value = as(message);
      return value instanceof Promise
        ? value.then((settled) => ({ value: settled, done: false }))
        : { value, done: false };
    };
    const message = this.#queue.shift();
    if (message !== undefined) {
      this.#taken(message);
      return Promise.resolve(result(message));
    }
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) =>
      this.#readers.push({
        take: (taken) => resolve(result(taken)),
        end: (error) => (error === undefined ? resolve({ value: undefined, done: true }) : reject(error)),
      }),
    );
  }

  #taken(message: Message): void {
    if (!(message instanceof StreamedMessage) && !this.#released.delete(message)) this.#host.release(message);
  }

  /** Counted as taken although they wait here. */
  readonly #released = new Set<ReceivedMessage>();

  #abandon(): void {
    for (const message of this.#queue) {
      if (message instanceof StreamedMessage) message.discard();
      else if (!this.#released.has(message)) {
        this.#released.add(message);
        this.#host.release(message);
      }
    }
  }
}

/**
 * Signing, where both sides have agreed to it.
 * @throws ConnectionError ERR_SIGN_UNAVAILABLE when they have not
 */
export function agreed<Signing>(signing: Signing | undefined): Signing {
  if (signing !== undefined) return signing;
  throw new ConnectionError(
    'ERR_SIGN_UNAVAILABLE',
    'Both sides have to agree to signing, in the handshake: give signClient() and signServer() among the subProtocols',
  );
}
