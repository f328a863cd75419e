import { TlsError } from '../errors/errors.ts';
import type { ObjectStream, UnsignedStream } from '../formats/format.ts';
import { ByteQueue } from './byte-queue.ts';
import type { SessionContext } from './context.ts';
import { ObjectKeeper } from './keeper.ts';
import type { Place, SentStream } from './messages.ts';
import type { ObjectHeader, StreamContent } from './outbox.ts';
import { SentObject } from './sent-object.ts';

/** What a stream needs of its sender. */
export interface StreamHost {
  end(stream: OutgoingStream, now: number): void;
  abort(stream: OutgoingStream, error: unknown, now: number): void;
}

/** A message of any size on its way out: to the wire and to the archive, in pieces. */
export class OutgoingStream extends SentObject implements SentStream {
  readonly keeper: ObjectKeeper;
  /** What it is to the archive is decided. */
  isSettled = false;
  readonly #context: SessionContext;
  readonly #host: StreamHost;
  readonly #queue = new ByteQueue();
  #object: ObjectStream | undefined;
  #state: 'waiting' | 'open' | 'ended' | 'complete' = 'waiting';
  #isTold = false;

  constructor(context: SessionContext, host: StreamHost, place: Place, receiptRequested: boolean) {
    super(place, receiptRequested, false);
    this.#context = context;
    this.#host = host;
    this.keeper = new ObjectKeeper(context, () => this.#moved());
  }

  get wantsMore(): boolean {
    return this.#state === 'open' && this.#queue.length === 0 && this.keeper.waiting === 0;
  }

  get hasBegun(): boolean {
    return this.#state !== 'waiting';
  }

  /** All of it is with the outbox and the archive. */
  get isComplete(): boolean {
    return this.#state === 'complete';
  }

  write(content: Uint8Array): void {
    const object = this.#object;
    if (this.isLost) return;
    if (this.#state !== 'open' || object === undefined)
      throw new TlsError('ERR_TLS_INTERNAL', 'A streamed message is written to out of its turn');
    for (const piece of object.write(content)) this.#put(piece);
    this.#context.wake?.();
  }

  end(now: number): void {
    if (this.isLost) return;
    this.#host.end(this, now);
  }

  abort(error: unknown, now: number): void {
    if (this.isLost || this.isSettled) return;
    this.#host.abort(this, error, now);
  }

  // ── for the sender ─────────────────────────────────────────────────────────────────────────────

  /** Its turn has come. @returns what it is for the outbox */
  begin(object: ObjectStream, { contentType, flags, prefix }: ObjectHeader): StreamContent {
    this.#object = object;
    this.#state = 'open';
    this.#put(object.header);
    const stream = this;
    return {
      kind: 'stream',
      contentType,
      flags,
      prefix,
      queue: this.#queue,
      get isComplete() {
        return stream.isComplete;
      },
      moved: () => this.#moved(),
    };
  }

  /** Its content is complete: what is to be signed. */
  prepare(options: Parameters<ObjectStream['end']>[0]): UnsignedStream {
    if (this.#state !== 'open' || this.#object === undefined)
      throw new TlsError('ERR_TLS_INTERNAL', 'A streamed message is ended out of its turn');
    this.#state = 'ended';
    return this.#object.end(options);
  }

  /** @param trailer is with the archive already */
  complete(trailer: Uint8Array): void {
    this.#queue.push(trailer);
    this.#state = 'complete';
  }

  #put(bytes: Uint8Array): void {
    this.#isTold = false;
    this.#queue.push(bytes);
    this.keeper.write(bytes);
  }

  #moved(): void {
    if (this.#isTold || !this.wantsMore || this.isLost) return;
    this.#isTold = true;
    this.#context.emit({ type: 'drain', message: this });
  }
}
