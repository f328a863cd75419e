import type { EventEmitter } from 'node:events';
import { verifyLater } from '../crypto/node/provider.ts';
import { ConnectionError, TlsError } from '../errors/errors.ts';
import type { MultiplexedConnection } from '../mux/index.ts';
import {
  type EvidenceSession,
  type EvidenceSessionRef,
  type EvidenceSink,
  type ReceivedMessage,
  type ReceivedReceipt,
  type SentMessage,
  type SignAgreement,
  type SignEvent,
  Signing,
  type SigningSession,
  type SignWanted,
} from '../sign/index.ts';

/** What signing needs of the socket under it. TLSSocket is one. */
export interface SigningSocket extends EventEmitter {
  /** Moves what was sealed to the network. */
  flush(): void;
  /** The connection may have something to say. */
  attend(): void;
  readonly outputBlocked: boolean;
  pauseReading(by: 'signing'): void;
  resumeReading(by: 'signing'): void;
  holdEnd(hold: boolean): void;
}

export interface SignWriteOptions {
  /** Ask for a signed receipt. Default true. */
  receipt?: boolean | undefined;
  /** False: the data goes unsigned, and the receipt alone is evidence, where that was agreed on. Default true. */
  sign?: boolean | undefined;
}

/** For connections of a multiplexed session: takes a message; and gives up what it waits for. */
export const kTake = Symbol('take');
export const kAbandon = Symbol('abandon');

/** Sealed before it goes to the network. */
const SLICE = 131_072;
/** Verifications that begin in one turn of the event loop: a millisecond or two. */
const TURN = 32;
/** Signatures that the thread pool checks at once: enough for all its threads; what else it has to do waits behind them. */
const CHECKS = 32;

type WantedVerification = Extract<SignWanted, { kind: 'verification' }>;

/** Who waits for a message of ours. */
interface Waiting {
  readonly resolve: (receipt: ReceivedReceipt | undefined) => void;
  readonly reject: (error: Error) => void;
}

/** Signing over one socket: `TLSSocket.signing`. */
export class SocketSigning {
  /** Signed messages outside of multiplexed connections; each is to be read once. */
  readonly messages: SignedMessages;
  readonly #socket: SigningSocket;
  readonly #session: SigningSession;
  /** Messages of connections whose end would be the end of them. */
  readonly #waiting = new Map<MultiplexedConnection, Set<Waiting>>();
  /** Callbacks of `afterDelivery`, and those whose time has come. */
  readonly #barriers = new Set<() => void>();
  #due: (() => void)[] = [];
  readonly #sessionRefs = new WeakMap<EvidenceSession, EvidenceSessionRef>();
  #scheduled = false;
  #paused = false;
  /** Verifications that have not begun, oldest first; and how many signatures are being checked. */
  #unverified: WantedVerification[] = [];
  #checks = 0;

  /** @param protocol what the socket has agreed on as `sign` */
  constructor(socket: SigningSocket, protocol: unknown) {
    const session = protocol instanceof Signing ? protocol.session : undefined;
    if (session === undefined) throw new TlsError('ERR_TLS_INTERNAL', 'Signing has not started');
    this.#socket = socket;
    this.#session = session;
    this.messages = new SignedMessages(this);
    socket.on('outputDrain', () => this.#schedule());
    session.onWake(() => this.#schedule());
  }

  /** What the hellos have agreed on. */
  get agreement(): SignAgreement {
    return this.#session.agreement;
  }

  /** Does this side sign? */
  get isOn(): boolean {
    return this.#session.isOn;
  }

  /** Does the peer say that it signs? */
  get peerIsOn(): boolean {
    return this.#session.peerIsOn;
  }

  /** Messages whose receipts have not come. */
  get pendingReceipts(): number {
    return this.#session.pendingReceipts;
  }

  /** From here on `write` can be used. @throws ConnectionError ERR_SIGN_UNAVAILABLE, ERR_TLS_CLOSED */
  on(): void {
    this.#session.on();
  }

  /** @throws ConnectionError ERR_TLS_CLOSED */
  off(): void {
    this.#session.off();
  }

  /**
   * Signs and sends data, which must not change until the promise is settled.
   * @param connection of a multiplexed session, that the data belongs to
   * @returns the receipt, verified, and in the archive as the data are; with `receipt: false`, nothing, when it has left
   * @throws ConnectionError ERR_SIGN_UNAVAILABLE, ERR_SIGN_LIMIT, ERR_TLS_CLOSED, and ERR_SIGN_NO_RECEIPT when the
   *   session ended before the receipt came; SignatureError ERR_SIGN_TOO_LARGE
   */
  write(
    data: string | Uint8Array,
    options: SignWriteOptions = {},
    connection?: MultiplexedConnection,
  ): Promise<ReceivedReceipt | undefined> {
    return new Promise((resolve, reject) => {
      const content = typeof data === 'string' ? Buffer.from(data) : data;
      const message = this.#session.send(content, { ...options, connection }, Date.now());
      const waiting: Waiting = { resolve, reject };
      message.attachment = waiting;
      if (connection !== undefined) this.#remember(connection, waiting);
    });
  }

  /** Calls back when everything that has come so far was delivered. */
  afterDelivery(then: () => void): void {
    this.#barriers.add(then);
    this.#session.afterDelivery(() => {
      this.#due.push(then);
      this.#schedule();
    });
  }

  /** A reader has taken it. */
  release(message: ReceivedMessage): void {
    this.#session.release(message);
  }

  /** The connection has closed. */
  [kAbandon](connection: MultiplexedConnection, cause: Error | undefined): void {
    const waiting = this.#waiting.get(connection);
    this.#waiting.delete(connection);
    if (waiting === undefined) return;
    const error = new ConnectionError(
      'ERR_SIGN_NO_RECEIPT',
      'The connection was closed before the receipt for this message came; it may have been received all the same',
      cause && { cause },
    );
    for (const { reject } of waiting) reject(error);
  }

  // ── the session's turn ─────────────────────────────────────────────────────────────────────────

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(SocketSigning.#turn, this);
  }

  static #turn(self: SocketSigning): void {
    const session = self.#session;
    let work = 0;
    for (;;) {
      const wanted = session.nextWanted();
      if (wanted !== undefined) self.#answer(wanted);
      else if (work < TURN && self.#beginVerification()) work++;
      else break;
    }
    for (let event = session.nextEvent(); event !== undefined; event = session.nextEvent())
      self.#handle(event);
    self.#callDue();
    self.#scheduled = false;
    if (work === TURN) {
      // Others have their turn before the rest.
      self.#scheduled = true;
      setImmediate(SocketSigning.#turn, self);
    }
    self.#send();
    self.#watch();
    self.#socket.attend();
  }

  #answer(wanted: SignWanted): void {
    switch (wanted.kind) {
      case 'verification':
        this.#unverified.push(wanted);
        break;
      case 'signature':
        settle(
          () => wanted.key.sign(wanted.scheme, wanted.input),
          (signature) => wanted.provide(signature, Date.now()),
          (error) => wanted.fail(error),
        );
        break;
      case 'persisted':
        settle(
          () => this.#append(wanted),
          (record) => wanted.provide(record, Date.now()),
          (error) => wanted.fail(error),
        );
        break;
    }
  }

  /** @returns whether there was one to begin */
  #beginVerification(): boolean {
    const verification = this.#checks < CHECKS ? this.#unverified.shift() : undefined;
    if (verification === undefined) return false;
    const check = verification.begin(Date.now());
    if (check === undefined) {
      verification.conclude(true, Date.now());
      return true;
    }
    this.#checks++;
    verifyLater(check, (isGood) => {
      this.#checks--;
      verification.conclude(isGood, Date.now());
      this.#schedule();
    });
    return true;
  }

  #append({ session, entry }: Extract<SignWanted, { kind: 'persisted' }>): Promise<number> {
    const archive = this.#session.archive as EvidenceSink;
    let ref = this.#sessionRefs.get(session);
    if (ref === undefined) {
      ref = archive.addSession(session);
      this.#sessionRefs.set(session, ref);
    }
    return archive.append({ ...entry, session: ref });
  }

  #handle(event: SignEvent): void {
    switch (event.type) {
      case 'message':
        this.#deliver(event.message);
        break;
      case 'sent':
        if (!event.message.receiptRequested) this.#forget(event.message)?.resolve(undefined);
        break;
      case 'receipt':
        this.#forget(event.message)?.resolve(event.receipt);
        break;
      case 'lost':
        this.#forget(event.message)?.reject(event.error);
        break;
      case 'end':
        this.messages.end(event.error);
        // What has not been delivered by now never will be.
        this.#due.push(...this.#barriers);
        break;
      case 'switch':
        break;
    }
  }

  #callDue(): void {
    const due = this.#due;
    this.#due = [];
    for (const call of due) if (this.#barriers.delete(call)) call();
  }

  #deliver(message: ReceivedMessage): void {
    if (message.connection === undefined) {
      this.messages.push(message);
      return;
    }
    const stream = message.connection.attachment as { [kTake]?(message: ReceivedMessage): void } | undefined;
    // Refused, or closed meanwhile.
    if (stream?.[kTake] === undefined) this.release(message);
    else stream[kTake](message);
  }

  #remember(connection: MultiplexedConnection, waiting: Waiting): void {
    let set = this.#waiting.get(connection);
    if (set === undefined) {
      set = new Set();
      this.#waiting.set(connection, set);
    }
    set.add(waiting);
  }

  #forget({ attachment, connection }: SentMessage): Waiting | undefined {
    const waiting = attachment as Waiting | undefined;
    if (connection !== undefined && waiting !== undefined) this.#waiting.get(connection)?.delete(waiting);
    return waiting;
  }

  #send(): void {
    const session = this.#session;
    while (session.hasOutput && !this.#socket.outputBlocked) {
      session.flush(SLICE);
      this.#socket.flush();
    }
  }

  /** Stops and starts reading, and keeps this side from ending while receipts are owed. */
  #watch(): void {
    const { paused, isBusy } = this.#session;
    this.#socket.holdEnd(isBusy);
    if (paused === this.#paused) return;
    this.#paused = paused;
    if (paused) this.#socket.pauseReading('signing');
    else this.#socket.resumeReading('signing');
  }
}

/** Messages in the order in which they came. One reader, by `for await`; it may stop and go on with another loop. */
export class SignedMessages implements AsyncIterable<ReceivedMessage> {
  readonly #signing: Pick<SocketSigning, 'release'>;
  #queue: ReceivedMessage[] = [];
  #readers: {
    readonly resolve: (result: IteratorResult<ReceivedMessage>) => void;
    readonly reject: (error: Error) => void;
  }[] = [];
  #ended = false;
  #error: Error | undefined;

  constructor(signing: Pick<SocketSigning, 'release'>) {
    this.#signing = signing;
  }

  push(message: ReceivedMessage): void {
    const reader = this.#readers.shift();
    if (reader === undefined && !this.#ended) {
      this.#queue.push(message);
      return;
    }
    this.#signing.release(message);
    reader?.resolve({ value: message, done: false });
  }

  /** What has come can be read; then the loop ends, or fails with `error`. */
  end(error: Error | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    for (const { resolve, reject } of this.#readers) {
      if (error === undefined) resolve({ value: undefined, done: true });
      else reject(error);
    }
    this.#readers = [];
  }

  [Symbol.asyncIterator](): AsyncIterator<ReceivedMessage> {
    return { next: () => this.#next() };
  }

  #next(): Promise<IteratorResult<ReceivedMessage>> {
    const message = this.#queue.shift();
    if (message !== undefined) {
      this.#signing.release(message);
      return Promise.resolve({ value: message, done: false });
    }
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }
}

export function unavailable(): ConnectionError {
  return new ConnectionError(
    'ERR_SIGN_UNAVAILABLE',
    'Both sides have to agree to signing, in the handshake: give signClient() and signServer() among the subProtocols',
  );
}

/** Answers at once where the answer is there at once. */
function settle<T>(
  ask: () => T | Promise<T>,
  done: (value: T) => void,
  failed: (error: unknown) => void,
): void {
  try {
    const answer = ask();
    if (answer instanceof Promise) answer.then(done).catch(failed);
    else done(answer);
  } catch (error) {
    failed(error);
  }
}
