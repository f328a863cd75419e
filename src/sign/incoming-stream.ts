import { SignatureError } from '../errors/errors.ts';
import { startVerification } from '../formats/cms/verify-stream.ts';
import type { ObjectStreamVerifier, UnverifiedContent, VerifyContext } from '../formats/format.ts';
import type { VerifiedStream } from '../formats/verified.ts';
import type { MultiplexedConnection } from '../mux/index.ts';
import type { ObjectSink, RawObject } from './assembler.ts';
import { ByteQueue } from './byte-queue.ts';
import type { SessionContext } from './context.ts';
import { ObjectKeeper } from './keeper.ts';
import type { Place, ReceivedStream } from './messages.ts';

/** What a stream needs of its receiver. */
export interface IncomingStreamHost {
  /** All of it has come. */
  streamEnded(stream: IncomingStream): void;
  /** Less of it waits. */
  streamMoved(stream: IncomingStream): void;
}

/** A pkcs7 object of any size that comes in pieces: each goes to its reader, to the archive, and into the verification. */
export class IncomingStream implements ReceivedStream, ObjectSink {
  readonly raw: RawObject;
  /** `undefined` for data of a connection that is not there (any more). */
  readonly place: Place | undefined;
  /** The signer's chain from certificate_sign, as it was when the object began. */
  readonly announced: readonly Uint8Array[] | undefined;
  readonly keeper: ObjectKeeper;
  attachment: unknown;
  /** Its reader knows of it. */
  isDelivered = false;
  /** Nothing more comes of it, for better or worse. */
  isOver = false;
  readonly #context: SessionContext;
  readonly #host: IncomingStreamHost;
  readonly #verification: ObjectStreamVerifier;
  readonly #content = new ByteQueue();
  #isDropped = false;
  #isTold = false;

  /** @param raw as it began; its bytes are to be given to `add` */
  constructor(
    context: SessionContext,
    host: IncomingStreamHost,
    raw: RawObject,
    place: Place | undefined,
    announced: readonly Uint8Array[] | undefined,
  ) {
    this.raw = raw;
    this.place = place;
    this.announced = announced;
    this.#context = context;
    this.#host = host;
    this.#verification = startVerification(context.link.crypto);
    this.keeper = new ObjectKeeper(context, () => host.streamMoved(this));
  }

  get contentType(): number {
    return this.raw.contentType;
  }

  get application(): string {
    return this.place?.application ?? '';
  }

  get connection(): MultiplexedConnection | undefined {
    return this.place?.connection;
  }

  get sequence(): number {
    return this.raw.sequence;
  }

  get receiptRequested(): boolean {
    return this.raw.receiptRequested;
  }

  /** Bytes that neither the archive nor the reader has taken. */
  get waiting(): number {
    return this.#content.length + this.keeper.waiting;
  }

  /** Content that its reader has not taken. */
  get unread(): number {
    return this.#content.length;
  }

  /** @throws SignatureError */
  add(bytes: Uint8Array): void {
    const { maxStream } = this.#context.settings;
    if (this.keeper.length + bytes.length > maxStream) {
      throw new SignatureError(
        'ERR_SIGN_TOO_LARGE',
        `A streamed object has more than ${maxStream} bytes; see the option maxStream`,
      );
    }
    this.keeper.write(bytes);
    const pieces = this.#verification.write(bytes);
    if (this.#isDropped) return;
    for (const piece of pieces) this.#content.push(piece.bytes);
    if (pieces.length > 0) this.#tell();
  }

  end(): void {
    this.isOver = true;
    this.#host.streamEnded(this);
  }

  read(): UnverifiedContent | undefined {
    this.#isTold = false;
    const bytes = this.#content.shift();
    if (bytes === undefined) return undefined;
    this.#host.streamMoved(this);
    return { verified: false, bytes };
  }

  drop(): void {
    this.#isDropped = true;
    this.#content.clear();
    this.#host.streamMoved(this);
  }

  /** Its reader may begin. */
  deliver(): void {
    if (this.#isDropped) return;
    this.isDelivered = true;
    this.#context.emit({ type: 'stream', stream: this });
  }

  /** All of it has come: is it what its signer has signed? @throws SignatureError */
  verify(context: VerifyContext): VerifiedStream {
    return this.#verification.end(context);
  }

  /** Once, until the reader has looked. */
  #tell(): void {
    if (!this.isDelivered || this.#isTold) return;
    this.#isTold = true;
    this.#context.emit({ type: 'content', stream: this });
  }
}
