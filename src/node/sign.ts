import type { EventEmitter } from 'node:events';
import { availableParallelism } from 'node:os';
import { checkSignature } from '../crypto/node/check-signature.ts';
import { ConnectionError, TlsError } from '../errors/errors.ts';
import type { MultiplexedConnection } from '../mux/index.ts';
import {
  type EvidenceSession,
  type EvidenceSessionRef,
  type EvidenceSink,
  type EvidenceWriter,
  type ReceivedMessage,
  type ReceivedReceipt,
  type ReceivedStream,
  type SentMessage,
  type SignAgreement,
  type SignEvent,
  Signing,
  type SigningSession,
  type SignWanted,
  type StreamedObject,
  type WantedEntry,
} from '../sign/index.ts';
import { type SignSource, SourcePump } from './sign-source.ts';
import { type MessageHost, SignedMessages, StreamedMessage } from './signed-messages.ts';

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
  /**
   * Milliseconds until `ERR_SIGN_NO_RECEIPT`; a receipt that comes all the same is still archived. 0 waits for the end of the
   * session. Default 30,000 over DTLS, where messages and receipts may be lost, else 0.
   */
  receiptTimeout?: number | undefined;
}

/** A few times as long as a peer takes that signs with a card and archives to a slow disk; over DTLS nothing else ends a wait. */
const RECEIPT_TIMEOUT = 30_000;

/** For connections of a multiplexed session: takes a message; and gives up what it waits for. */
export const kTake = Symbol('take');
export const kAbandon = Symbol('abandon');

/** Sealed before it goes to the network. */
const SLICE = 131_072;
/** Verifications that begin in one turn of the event loop: a millisecond or two. */
const TURN = 32;
/** Signatures that the thread pool checks at once: enough for all its threads; what else it has to do waits behind them. */
const CHECKS = 32;
/**
 * With two cores, one of them the peer's or the kernel's, a job for the thread pool costs a third more processor time
 * than the check itself and frees nobody (bench `sign`); with more, the main thread goes on meanwhile.
 */
const HAS_SPARE_CORES = availableParallelism() > 2;

type WantedVerification = Extract<SignWanted, { kind: 'verification' }>;

/** Who waits for a message of ours. */
interface Waiting {
  readonly resolve: (receipt: ReceivedReceipt | undefined) => void;
  readonly reject: (error: Error) => void;
  /** Of a message that goes out in pieces. */
  readonly pump?: SourcePump;
  timer?: NodeJS.Timeout | undefined;
}

/** Signing over one socket: `TLSSocket.signing`. */
export class SocketSigning implements MessageHost {
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
  /** Messages that come in pieces, and have not got their verdict. */
  readonly #streams = new Set<StreamedMessage>();
  /** Objects on their way into the archive. */
  readonly #writers = new Map<StreamedObject, Promise<EvidenceWriter>>();

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

  /** What a reader of whole messages takes at most. Bytes. */
  get maxObject(): number {
    return this.#session.maxObject;
  }

  /**
   * Signs and sends data, which must not change until the promise is settled; or data of any size from a source, in the
   * format pkcs7, each piece of which must not change until the next one is asked for. Nothing but receipts leaves while
   * a source is read, and when it fails in the middle the session ends.
   * @param connection of a multiplexed session, that the data belongs to
   * @returns the receipt, verified, and in the archive as the data are; with `receipt: false`, nothing, when it has left
   * @throws ConnectionError ERR_SIGN_UNAVAILABLE, ERR_SIGN_LIMIT, ERR_TLS_CLOSED, and ERR_SIGN_NO_RECEIPT when the
   *   session ended before the receipt came; SignatureError ERR_SIGN_TOO_LARGE
   */
  write(
    data: string | Uint8Array | SignSource,
    options: SignWriteOptions = {},
    connection?: MultiplexedConnection,
  ): Promise<ReceivedReceipt | undefined> {
    if (typeof data !== 'string' && !(data instanceof Uint8Array))
      return this.#stream(data, options, connection);
    return new Promise((resolve, reject) => {
      const content = typeof data === 'string' ? Buffer.from(data) : data;
      const message = this.#session.send(content, { ...options, connection }, Date.now());
      const waiting: Waiting = { resolve, reject };
      message.attachment = waiting;
      this.#limit(message, waiting, options);
      if (connection !== undefined) this.#remember(connection, waiting);
    });
  }

  #limit(message: SentMessage, waiting: Waiting, { receiptTimeout }: SignWriteOptions): void {
    const limit = receiptTimeout ?? (this.#session.datagrams ? RECEIPT_TIMEOUT : 0);
    if (!message.receiptRequested || !(limit > 0)) return;
    waiting.timer = setTimeout(() => this.#session.forgo(message), limit).unref();
  }

  /** Calls back when everything that has come so far was delivered. */
  afterDelivery(then: () => void): void {
    this.#barriers.add(then);
    this.#session.afterDelivery(() => {
      this.#due.push(then);
      this.#schedule();
    });
  }

  #stream(
    source: SignSource,
    options: SignWriteOptions,
    connection: MultiplexedConnection | undefined,
  ): Promise<ReceivedReceipt | undefined> {
    return new Promise((resolve, reject) => {
      const message = this.#session.stream({ ...options, connection });
      const pump = new SourcePump(message);
      const waiting: Waiting = { resolve, reject, pump };
      message.attachment = waiting;
      this.#limit(message, waiting, options);
      if (connection !== undefined) this.#remember(connection, waiting);
      pump.run(source).catch(reject);
    });
  }

  /** A stream cannot be taken. */
  refuse(stream: ReceivedStream, error: TlsError): void {
    this.#session.refuse(stream, error, Date.now());
  }

  /** A reader has taken it. */
  release(message: ReceivedMessage): void {
    this.#session.release(message);
  }

  /** The connection has closed. */
  [kAbandon](connection: MultiplexedConnection, cause: Error | undefined): void {
    for (const message of this.#streams)
      if (message.connection === connection) message.fail(cause ?? closedConnection());
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
          () => wanted.key.sign(wanted.scheme, wanted.input, wanted.statement),
          (signature) => wanted.provide(signature, Date.now()),
          (error) => wanted.fail(error),
        );
        break;
      case 'stored':
        settle(
          () => this.#store(wanted),
          () => wanted.provide(),
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
    const conclude = (isGood: boolean): void => {
      this.#checks--;
      verification.conclude(isGood, Date.now());
      this.#schedule();
    };
    checkSignature(check, conclude, HAS_SPARE_CORES);
    return true;
  }

  #append({ session, entry }: Extract<SignWanted, { kind: 'persisted' }>): Promise<number> {
    const archive = this.#session.archive as EvidenceSink;
    let ref = this.#sessionRefs.get(session);
    if (ref === undefined) {
      ref = archive.addSession(session);
      this.#sessionRefs.set(session, ref);
    }
    const { object } = entry;
    if (object === undefined || object instanceof Uint8Array)
      return archive.append({ ...entry, object, session: ref });
    return this.#appendStreamed(archive, entry, object, ref);
  }

  async #appendStreamed(
    archive: EvidenceSink,
    entry: WantedEntry,
    object: StreamedObject,
    session: EvidenceSessionRef,
  ): Promise<number> {
    const writer = this.#writers.get(object) ?? archive.newContent();
    this.#writers.delete(object);
    const content = await (await writer).finish();
    return archive.append({ ...entry, object: content, session });
  }

  async #store({ object, pieces }: Extract<SignWanted, { kind: 'stored' }>): Promise<void> {
    let opening = this.#writers.get(object);
    if (opening === undefined) {
      opening = (this.#session.archive as EvidenceSink).newContent();
      this.#writers.set(object, opening);
    }
    const writer = await opening;
    for (const piece of pieces) await writer.write(piece);
  }

  #handle(event: SignEvent): void {
    switch (event.type) {
      case 'message':
        if (event.message.receiptError !== undefined)
          this.#socket.emit('receiptError', event.message.receiptError);
        this.#deliver(event.message);
        break;
      case 'stream':
        this.#begin(event.stream);
        break;
      case 'content':
        messageOf(event.stream)?.wake();
        break;
      case 'verdict':
        this.#over(event.stream)?.conclude(event.verdict);
        break;
      case 'broken':
        this.#over(event.stream)?.fail(event.error);
        break;
      case 'drain':
        (event.message.attachment as Waiting | undefined)?.pump?.drained();
        break;
      case 'sent':
        if (!event.message.receiptRequested) this.#forget(event.message)?.resolve(undefined);
        break;
      case 'receipt':
        this.#forget(event.message)?.resolve(event.receipt);
        break;
      case 'lost':
        this.#lose(event.message, event.error);
        break;
      case 'end':
        this.messages.end(event.error);
        for (const message of this.#streams) message.fail(event.error ?? closedConnection());
        this.#streams.clear();
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

  #begin(stream: ReceivedStream): void {
    const message = new StreamedMessage(stream);
    stream.attachment = message;
    this.#streams.add(message);
    this.#deliver(message);
  }

  #over(stream: ReceivedStream): StreamedMessage | undefined {
    const message = messageOf(stream);
    if (message !== undefined) this.#streams.delete(message);
    return message;
  }

  #lose(message: SentMessage, error: Error): void {
    const waiting = this.#forget(message);
    waiting?.pump?.stop(error);
    waiting?.reject(error);
  }

  /** @param isLate the multiplexed session has had its turn since the message came */
  #deliver(message: ReceivedMessage | StreamedMessage, isLate = false): void {
    const { connection } = message;
    if (connection === undefined) {
      this.messages.push(message);
      return;
    }
    const stream = connection.attachment as Taker | undefined;
    if (stream?.[kTake] !== undefined) stream[kTake](message);
    // It came together with what has opened the connection, of which the multiplexed session has not heard yet.
    else if (stream === undefined && !isLate) process.nextTick(() => this.#deliver(message, true));
    // Refused, or closed meanwhile.
    else if (message instanceof StreamedMessage) message.discard();
    else this.release(message);
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
    clearTimeout(waiting?.timer);
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

interface Taker {
  [kTake]?(message: ReceivedMessage | StreamedMessage): void;
}

function messageOf({ attachment }: ReceivedStream): StreamedMessage | undefined {
  return attachment as StreamedMessage | undefined;
}

function closedConnection(): ConnectionError {
  return new ConnectionError('ERR_TLS_CLOSED', 'It was closed before this message had come to its end');
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
