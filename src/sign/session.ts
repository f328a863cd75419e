import type { Role, SubProtocolLink } from '../connection/sub-protocol.ts';
import { ConnectionError, type TlsError } from '../errors/errors.ts';
import { SessionContext } from './context.ts';
import type { EvidenceSink } from './evidence.ts';
import type {
  ReceivedMessage,
  ReceivedStream,
  SentMessage,
  SentStream,
  SignEvent,
  SignWanted,
} from './messages.ts';
import type { SignAgreement } from './negotiation.ts';
import type { CodePoints, SignSettings } from './options.ts';
import { Receiver } from './receiver.ts';
import { Sender, type SendOptions } from './sender.ts';

/**
 * Signing in one session, as an adapter sees it.
 *
 * The adapter's loop, after each time it was woken: answer all of `nextWanted()`, now or later, take all of
 * `nextEvent()`, `flush()`, hand the records to the network, look at `paused`. The session can fail in any of these:
 * the connection has events then, too. Times are Unix milliseconds.
 */
export class SigningSession {
  readonly role: Role;
  readonly agreement: SignAgreement;
  readonly #context: SessionContext;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  #nextEvent = 0;
  #nextWanted = 0;
  #peerEnded = false;

  constructor(link: SubProtocolLink, agreement: SignAgreement, settings: SignSettings, points: CodePoints) {
    this.role = link.role;
    this.agreement = agreement;
    this.#context = new SessionContext(link, agreement, settings);
    this.#sender = new Sender(this.#context, points.contentType, points.handshakeType);
    this.#receiver = new Receiver(this.#context, this.#sender);
  }

  /** Called when there is something for the adapter to do, from inside other calls: it only notes that. */
  onWake(wake: () => void): void {
    this.#context.wake = wake;
    wake();
  }

  /** Bytes of one object that comes as a whole. */
  get maxObject(): number {
    return this.#context.settings.maxObject;
  }

  /** Where to keep evidence; entries for it come as `persisted` of `nextWanted`. */
  get archive(): EvidenceSink | undefined {
    return this.#context.settings.archive;
  }

  /** 32 bytes, the same on both sides and in no other session: what every signature of this one is bound to. */
  get sessionBinding(): Uint8Array {
    return this.#context.sessionBinding;
  }

  /** This side signs its data; so does the peer. */
  get isOn(): boolean {
    return this.#sender.isOn;
  }
  get peerIsOn(): boolean {
    return this.#receiver.isOn;
  }

  /** This side has a certificate and key to sign data or receipts with. */
  get canSign(): boolean {
    return this.#sender.canSign;
  }

  /** Over DTLS: messages and receipts may be lost. */
  get datagrams(): boolean {
    return this.#context.datagrams;
  }

  /** While true the adapter reads nothing from the network. It ends by `release`. */
  get paused(): boolean {
    return this.#receiver.paused;
  }

  /** Something that has come is not settled, or something that has to leave has not left. */
  get isBusy(): boolean {
    return this.#receiver.isBusy || this.#sender.outbox.waiting;
  }

  /** Something can be flushed. */
  get hasOutput(): boolean {
    return this.#sender.outbox.ready;
  }

  /** Messages whose receipt has not come. */
  get pendingReceipts(): number {
    return this.#sender.receipts.size;
  }

  /**
   * What follows is signed: `send` can be used. Any number of times.
   * @throws ConnectionError ERR_SIGN_UNAVAILABLE without anything to sign with, ERR_TLS_CLOSED
   */
  on(): void {
    this.#sender.on();
  }

  /** @throws ConnectionError ERR_TLS_CLOSED */
  off(): void {
    this.#sender.off();
  }

  /**
   * Signs and sends data. What comes of it is told in events that name the message.
   * @param content must not change until the event `sent`
   * @throws ConnectionError ERR_SIGN_UNAVAILABLE, ERR_SIGN_LIMIT, ERR_TLS_CLOSED; SignatureError ERR_SIGN_TOO_LARGE
   */
  send(content: Uint8Array, options: SendOptions, now: number): SentMessage {
    return this.#sender.send(content, options, now);
  }

  /**
   * Begins to send data of any size, when the event `drain` says so; only pkcs7 can. Until it is complete nothing else
   * leaves but receipts.
   * @throws ConnectionError as `send`
   */
  stream(options: SendOptions): SentStream {
    return this.#sender.stream(options);
  }

  /** Its receipt is awaited no longer: the event `lost` follows. */
  forgo(message: SentMessage): void {
    this.#sender.receipts.forgo(message);
  }

  nextEvent(): SignEvent | undefined {
    const { events } = this.#context;
    const event = events[this.#nextEvent];
    if (event !== undefined) {
      this.#nextEvent++;
      return event;
    }
    events.length = 0;
    this.#nextEvent = 0;
    return undefined;
  }

  nextWanted(): SignWanted | undefined {
    const { wanted } = this.#context;
    const next = wanted[this.#nextWanted];
    if (next !== undefined) {
      this.#nextWanted++;
      return next;
    }
    wanted.length = 0;
    this.#nextWanted = 0;
    return undefined;
  }

  /** Seals what is ready to leave, up to about `most` bytes. */
  flush(most = Number.POSITIVE_INFINITY): void {
    if (this.#context.isClosed) return;
    try {
      this.#sender.outbox.flush(most);
    } catch (error) {
      // This side has said goodbye with something in its hands.
      if (!(error instanceof ConnectionError)) throw error;
      this.#endSending(error);
    }
  }

  /** The reader has taken the message. */
  release(message: ReceivedMessage): void {
    this.#receiver.release(message);
  }

  /** A stream cannot be taken: it is kept as rejected, and the session ends with that. */
  refuse(stream: ReceivedStream, error: TlsError, now: number): void {
    this.#receiver.refuseStream(stream, error, now);
  }

  /** Calls back when everything that has come so far is delivered. */
  afterDelivery(then: () => void): void {
    this.#receiver.afterDelivery(then);
  }

  // ── for the protocol ───────────────────────────────────────────────────────────────────────────

  receive(content: Uint8Array): void {
    this.#receiver.receive(content);
  }

  receiveCertificate(body: Uint8Array): void {
    this.#receiver.receiveCertificate(body);
  }

  /** Plain data of an application whose data must be signed. @throws SignatureError ERR_SIGN_UNSIGNED */
  refuseUnsigned(application: string, contentType: number, bytes: Uint8Array): never {
    this.#receiver.refuseUnsigned(application, contentType, bytes);
  }

  receiveEnd(): void {
    this.#receiver.receiveEnd();
    this.#endReceiving(undefined);
  }

  closed(error: Error | undefined): void {
    if (this.#context.isClosed) return;
    this.#context.isClosed = true;
    this.#receiver.closed(error);
    this.#endSending(
      new ConnectionError('ERR_TLS_CLOSED', 'The session ended before this was sent', { cause: error }),
    );
    this.#endReceiving(error);
  }

  /** What has come is delivered first: a receipt may be in it. */
  #endReceiving(cause: Error | undefined): void {
    if (this.#peerEnded) return;
    this.#peerEnded = true;
    const finish = (): void => {
      this.#sender.receipts.lose(
        new ConnectionError(
          'ERR_SIGN_NO_RECEIPT',
          'The session ended before the receipt for this message came; it may have been received all the same',
          cause === undefined ? undefined : { cause },
        ),
      );
      this.#context.emit({ type: 'end', error: cause });
    };
    if (cause === undefined) this.#receiver.afterDelivery(finish);
    else finish();
  }

  #endSending(error: ConnectionError): void {
    this.#sender.end(error);
  }
}
