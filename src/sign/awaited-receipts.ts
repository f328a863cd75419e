import { toHex } from '../der/bytes.ts';
import { ConnectionError } from '../errors/errors.ts';
import type { ObjectReference } from '../formats/format.ts';
import type { SessionContext } from './context.ts';
import type { SentMessage } from './messages.ts';
import { SentObject } from './sent-object.ts';

/** A message of ours whose receipt is awaited. */
export interface Pending {
  readonly message: SentObject;
  readonly reference: ObjectReference;
}

/** The receipts that this side waits for: promised when a message is sent, pending once its object has a digest. */
export class AwaitedReceipts {
  readonly #context: SessionContext;
  /** By the SHA-256 of the object, in hexadecimal. */
  readonly #pending = new Map<string, Pending>();
  /** Promised to messages under way, signed or not. */
  #promised = 0;

  constructor(context: SessionContext) {
    this.#context = context;
  }

  get size(): number {
    return this.#pending.size;
  }

  /** @throws ConnectionError ERR_SIGN_LIMIT */
  checkRoom(): void {
    if (this.#promised < this.#context.settings.maxPendingReceipts) return;
    throw new ConnectionError(
      'ERR_SIGN_LIMIT',
      `${this.#promised} receipts are awaited already; wait for some of them, or raise maxPendingReceipts`,
    );
  }

  promise(): void {
    this.#promised++;
  }

  /** The message was never sent. */
  withdraw(): void {
    this.#promised--;
  }

  add(objectDigest: Uint8Array, pending: Pending): void {
    this.#pending.set(toHex(objectDigest), pending);
    if (this.#pending.size <= this.#context.settings.maxPendingReceipts) return;
    // `#promised` is bounded, so one of them is forgone: the oldest.
    for (const [known, { message }] of this.#pending) {
      if (!message.isForgone) continue;
      this.#pending.delete(known);
      return;
    }
  }

  find(objectDigest: Uint8Array): Pending | undefined {
    return this.#pending.get(toHex(objectDigest));
  }

  /** The receipt for it has come. */
  settle(objectDigest: Uint8Array): void {
    const digest = toHex(objectDigest);
    const known = this.#pending.get(digest);
    if (known === undefined) return;
    this.#pending.delete(digest);
    if (!known.message.isForgone) this.#promised--;
  }

  /** Nobody awaits its receipt any longer; one that comes all the same is still evidence. */
  forgo(message: SentMessage): void {
    if (!(message instanceof SentObject) || message.isForgone || message.isLost) return;
    message.isForgone = true;
    this.#promised--;
    const error = new ConnectionError(
      'ERR_SIGN_NO_RECEIPT',
      'No receipt has come in time: this message or its receipt was lost; send it again if that matters',
    );
    this.#context.emit({ type: 'lost', message, error });
  }

  /** The message will not leave. */
  forget(message: SentObject): void {
    for (const [digest, pending] of this.#pending)
      if (pending.message === message) this.#pending.delete(digest);
  }

  /** No receipt will come any more. */
  lose(error: ConnectionError): void {
    for (const { message } of this.#pending.values())
      if (!message.isForgone) this.#context.emit({ type: 'lost', message, error });
    this.#pending.clear();
  }
}
