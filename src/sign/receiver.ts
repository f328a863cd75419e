import { DecodeError, SignatureError, TlsError } from '../errors/errors.ts';
import type { Binding } from '../formats/binding.ts';
import { ContentType } from '../wire/codepoints.ts';
import { Certificate } from '../x509/certificate.ts';
import { Assembler, type RawObject } from './assembler.ts';
import { decodeCertificateSign } from './certificate-sign.ts';
import type { SessionContext } from './context.ts';
import { Delivery, DeliveryQueue } from './delivery.ts';
import { Flag, HEADER_BYTES, SignReader } from './frame.ts';
import { Incoming, missingEntry } from './incoming.ts';
import { IncomingStream, type IncomingStreamHost } from './incoming-stream.ts';
import { MAX_SWITCHES, RECEIVE_OBJECTS, STREAM_BUFFER } from './limits.ts';
import type { Place, ReceivedMessage, ReceivedStream } from './messages.ts';
import { Refusals } from './refusals.ts';
import type { Sender } from './sender.ts';
import { SequenceWindow } from './sequence-window.ts';
import { Verdicts } from './verdicts.ts';
import { Verifications } from './verifications.ts';

/** source_port and destination_port in front of data of a multiplexed connection. */
const PORTS_BYTES = 4;

/** What comes: puts objects together, has them verified and kept, and delivers them in order. */
export class Receiver implements IncomingStreamHost {
  readonly #context: SessionContext;
  readonly #reader: SignReader;
  readonly #assembler: Assembler;
  readonly #muxType: number | undefined;
  #isOn: boolean;
  /** Over datagrams. */
  readonly #window = new SequenceWindow();
  #switches = 0;
  /** The last thing in the stream was an `on`: certificate_sign may follow. */
  #mayAnnounce = false;
  /** From certificate_sign. */
  #announced: readonly Uint8Array[] | undefined;
  readonly #verifications: Verifications;
  readonly #deliveries = new DeliveryQueue();
  readonly #verdicts: Verdicts;
  readonly #refusals: Refusals;
  /** Bytes and objects that nobody has taken. */
  #unreadBytes = 0;
  #unreadObjects = 0;
  /** Streams that have not come to their end, or of which something waits. */
  readonly #streams = new Set<IncomingStream>();
  /** The stream from the peer is at its end: what has come is told of. */
  #hasRefused = false;
  /** What the adapter was last told. */
  #wasPaused = false;

  constructor(context: SessionContext, sender: Sender) {
    this.#context = context;
    this.#verdicts = new Verdicts(
      context,
      sender,
      this.#deliveries,
      (message) => this.release(message),
      (binding, now) => this.#isNext(binding, now),
    );
    this.#isOn = context.datagrams;
    this.#refusals = new Refusals(context);
    this.#muxType = context.mux?.contentTypes[0];
    const types: number[] = [ContentType.application_data];
    if (this.#muxType !== undefined) types.push(this.#muxType);
    this.#verifications = new Verifications((wanted) => context.want(wanted));
    this.#reader = new SignReader(types, context.link.session.version);
    const { maxObject } = context.settings;
    const streams = {
      before: (contentType: number) => (contentType === this.#muxType ? PORTS_BYTES : 0),
      open: (start: RawObject) => this.#openStream(start),
    };
    this.#assembler = new Assembler(
      maxObject,
      (flags) => this.#admit(flags),
      context.agreement.format === 'pkcs7' ? streams : undefined,
    );
  }

  /** The peer signs its data. */
  get isOn(): boolean {
    return this.#isOn;
  }

  get paused(): boolean {
    this.#wasPaused =
      this.#unreadBytes > this.#context.settings.receiveBuffer ||
      this.#unreadObjects + this.#streams.size > RECEIVE_OBJECTS ||
      (this.#streams.size > 0 && this.#streamsAreFull());
    return this.#wasPaused;
  }

  /** Objects wait for their verification, or for the archive. */
  get isBusy(): boolean {
    return !this.#deliveries.isEmpty || this.#assembler.midObject;
  }

  /** The content of one `tls_sign` record. @throws TlsError */
  receive(content: Uint8Array): void {
    if (this.#context.datagrams) {
      this.#receiveDatagram(content);
      return;
    }
    const reader = this.#reader;
    reader.push(content);
    try {
      while (reader.next()) {
        if (reader.kind !== 'text') {
          this.#receiveSwitch(reader.kind === 'on');
          continue;
        }
        this.#mayAnnounce = false;
        const object = this.#assembler.add(reader);
        if (object !== undefined) this.#arrived(object);
      }
    } catch (error) {
      this.#refuse(error);
      throw error;
    }
  }

  /** One object, whole. @throws TlsError */
  #receiveDatagram(content: Uint8Array): void {
    // Nobody can stop a peer that sends datagrams: what there is no room for is lost.
    if (this.paused) return;
    const reader = this.#reader;
    try {
      reader.push(content);
      const isText = reader.next() && reader.kind === 'text';
      const { contentType, flags, piece, ends } = reader;
      if (!isText && !reader.midText)
        throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'TLSSignOnOff came, which is not sent over DTLS');
      if (!isText || !ends || (flags & Flag.more) !== 0 || piece.length + HEADER_BYTES !== content.length)
        throw new DecodeError('A datagram of signed data is one object, whole');
      this.#admit(flags);
      this.#arrived({
        ...this.#unknown(contentType, new Uint8Array(piece), flags),
        sequence: this.#window.next,
      });
    } catch (error) {
      this.#refuse(error);
      throw error;
    }
  }

  /** Of what was verified: is it one that was not here? @throws SignatureError ERR_SIGN_BINDING_MISMATCH */
  #isNext({ sequence }: Binding, now: number): boolean {
    if (!this.#context.datagrams) return true;
    const place = this.#window.take(sequence);
    if (place === 'repeated') {
      // Of a datagram that comes twice the second is never seen, so its signer has used the number twice.
      throw new SignatureError(
        'ERR_SIGN_BINDING_MISMATCH',
        `The peer has signed two objects with number ${sequence}`,
        'sequence',
      );
    }
    this.#keepMissing(now, false);
    return place === 'new';
  }

  #keepMissing(now: number, isOver: boolean): void {
    for (const gap of this.#window.gaps(isOver))
      this.#context.persist(
        () => missingEntry(gap, now),
        now,
        () => {},
      );
  }

  /** Nothing comes any more, and what has come is settled. */
  #endDatagrams(): void {
    if (!this.#context.datagrams) return;
    this.#deliveries.afterDelivery(() => this.#context.later((now) => this.#keepMissing(now, true)));
  }

  /** @throws TlsError */
  receiveCertificate(body: Uint8Array): void {
    try {
      this.#announce(new Uint8Array(body));
    } catch (error) {
      this.#refuseCertificate(body, error);
      throw error;
    }
  }

  #announce(body: Uint8Array): void {
    if (!this.#mayAnnounce) {
      throw new TlsError(
        'ERR_TLS_UNEXPECTED_MESSAGE',
        'certificate_sign must be the next message after tls_sign_on, once',
      );
    }
    this.#mayAnnounce = false;
    const { link, settings, judge } = this.#context;
    const chain = decodeCertificateSign(body);
    const peer = link.session.peer?.path[0];
    const subject = Certificate.parse(chain[0] as Uint8Array).subject;
    const isSame = peer === undefined || peer.subject.key === subject.key;
    if (settings.otherSigners === 'never' || (settings.otherSigners === 'same-subject' && !isSame)) {
      throw new SignatureError(
        'ERR_SIGN_WRONG_SIGNER',
        `The peer announces ${subject} as its signer, which is not its subject in the handshake; see the option otherSigners`,
      );
    }
    this.#announced = chain;
    this.#verifications.add(
      function* (now) {
        yield;
        judge(chain, now);
      },
      (error) => {
        this.#refuseCertificate(body, error);
        this.#fail(error);
      },
    );
  }

  /** Nothing more comes. @throws SignatureError ERR_SIGN_INCOMPLETE when an object was cut off */
  receiveEnd(): void {
    const error = this.#torn();
    if (error !== undefined) throw error;
    this.#endDatagrams();
  }

  /** The session is over. */
  closed(cause: Error | undefined): void {
    this.#torn(cause);
    this.#endDatagrams();
  }

  /** Plain data came where it must be signed. @throws SignatureError ERR_SIGN_UNSIGNED */
  refuseUnsigned(application: string, contentType: number, bytes: Uint8Array): never {
    const error = new SignatureError(
      'ERR_SIGN_UNSIGNED',
      `Data ${application === '' ? '' : `for ${application} `}came without the signature that is demanded here`,
    );
    const raw = { ...this.#unknown(contentType, bytes), unsigned: true };
    this.#refusals.all(
      [new Incoming(raw, bytes, { contentType, application, connection: undefined }, undefined)],
      error,
    );
    throw error;
  }

  /** Its reader cannot take it. */
  refuseStream(refused: ReceivedStream, error: TlsError, now: number): void {
    for (const stream of this.#streams)
      if (stream === refused && !stream.isOver) this.#refusals.break(stream, error, now);
    this.#fail(error);
  }

  /** Calls back when everything that has come so far is delivered. */
  afterDelivery(then: () => void): void {
    this.#deliveries.afterDelivery(then);
  }

  /** The message was taken by its reader. */
  release({ object }: ReceivedMessage): void {
    this.#unreadBytes -= object?.length ?? 0;
    this.#unreadObjects--;
    this.#taken();
  }

  // ── for streams that come ──────────────────────────────────────────────────────────────────────

  streamMoved(stream: IncomingStream): void {
    if (stream.isOver && stream.waiting === 0) this.#streams.delete(stream);
    this.#taken();
  }

  streamEnded(stream: IncomingStream): void {
    const incoming = new Incoming(stream.raw, EMPTY, stream.place, stream.announced);
    this.#deliveries.add(incoming);
    this.#verifications.add(
      (now) => this.#verdicts.ofStream(stream, incoming, now),
      (error, now) => {
        this.#refusals.break(stream, error, now);
        this.#fail(error);
      },
    );
    this.streamMoved(stream);
  }

  // ── the stream ─────────────────────────────────────────────────────────────────────────────────

  #receiveSwitch(on: boolean): void {
    if (this.#assembler.midObject)
      throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'TLSSignOnOff came between the pieces of an object');
    if (++this.#switches > MAX_SWITCHES) {
      throw new TlsError(
        'ERR_TLS_UNEXPECTED_MESSAGE',
        `Signing was switched ${MAX_SWITCHES} times without an object between`,
      );
    }
    if (on) this.#announced = undefined;
    this.#mayAnnounce = on;
    if (this.#isOn === on) return;
    this.#isOn = on;
    this.#context.emit({ type: 'switch', on });
  }

  /** An object begins. @throws TlsError */
  #admit(flags: number): void {
    this.#switches = 0;
    const isReceipt = (flags & Flag.acknowledgement) !== 0;
    const isUnsigned = (flags & Flag.unsigned) !== 0;
    const { types } = this.#context.agreement;
    if (!isReceipt) {
      if (!this.#isOn)
        throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'Signed data came while signing is switched off');
      if (!types.includes(isUnsigned ? 'delivery' : 'origin')) {
        throw new TlsError(
          'ERR_TLS_ILLEGAL_PARAMETER',
          `${isUnsigned ? 'Unsigned' : 'Signed'} data came, which was not agreed on`,
        );
      }
    }
    if (isUnsigned || this.#announced !== undefined || this.#context.link.session.peer !== undefined) return;
    // Draft §2: whoever signs without a certificate from the handshake or certificate_sign gets a fatal alert.
    throw new TlsError(
      'ERR_SIGN_NO_CERTIFICATE',
      'The peer signs and has shown no certificate, neither in the handshake nor with certificate_sign',
    );
  }

  #arrived(raw: RawObject): void {
    if (raw.bytes.length <= this.#portsOf(raw))
      throw new RefusedObject(raw, 'Signed data of a multiplexed connection ends in its ports');
    const incoming = this.#incoming(raw);
    const { bytes } = incoming;
    this.#deliveries.add(incoming);
    if (raw.kind === 'data') {
      this.#unreadBytes += bytes.length;
      this.#unreadObjects++;
    }
    this.#verifications.add(
      (now) => this.#verdicts.of(incoming, now),
      (error, now) => this.#reject(incoming, error, now),
    );
  }

  #openStream(start: RawObject): IncomingStream {
    const place = this.#placeOf(start);
    const stream = new IncomingStream(this.#context, this, start, place, this.#announced);
    this.#streams.add(stream);
    // Nobody can read it: it is kept, and that is all.
    if (this.#verdicts.isLost(start, place)) stream.drop();
    const beginning = new Delivery();
    this.#deliveries.add(beginning);
    this.#deliveries.ready(beginning, () => stream.deliver());
    return stream;
  }

  #streamsAreFull(): boolean {
    let waiting = 0;
    for (const stream of this.#streams) waiting += stream.waiting;
    return waiting > STREAM_BUFFER;
  }

  /** There may be room again. */
  #taken(): void {
    if (this.#wasPaused && !this.paused) this.#context.wake?.();
  }

  #incoming(raw: RawObject): Incoming {
    return new Incoming(raw, raw.bytes.subarray(this.#portsOf(raw)), this.#placeOf(raw), this.#announced);
  }

  /** Bytes in front of the object. */
  #portsOf({ kind, contentType }: RawObject): number {
    return kind === 'data' && contentType === this.#muxType ? PORTS_BYTES : 0;
  }

  /** `undefined` for data of a connection that is not there (any more). Of receipts, the object says it. */
  #placeOf(raw: RawObject): Place | undefined {
    if (raw.kind === 'receipt') return undefined;
    const length = this.#portsOf(raw);
    if (length === 0) return this.#context.placeOf(undefined);
    if (raw.bytes.length < length) return undefined;
    const connection = this.#context.mux?.session?.find(raw.bytes.subarray(0, length));
    return connection && this.#context.placeOf(connection);
  }

  // ── what is refused ────────────────────────────────────────────────────────────────────────────

  #reject(incoming: Incoming, error: unknown, now: number): void {
    this.#refusals.keep(incoming, error, now);
    this.#fail(error);
  }

  /** The stream from the peer cannot go on: what has come of the objects under way, or of what is wrong, is kept. */
  #refuse(error: unknown): void {
    this.#hasRefused = true;
    const torn = this.#assembler.abandon().map((raw) => this.#incoming(raw));
    const streams = [...this.#streams].filter(({ isOver }) => !isOver);
    if (error instanceof RefusedObject) torn.push(this.#incoming(error.raw));
    if (torn.length + streams.length === 0) {
      const { contentType, flags, bytes } = this.#reader.remains();
      if (bytes.length > 0)
        torn.push(new Incoming(this.#unknown(contentType, bytes, flags), bytes, undefined, this.#announced));
    }
    this.#refusals.all(torn, error, streams);
  }

  /** @returns the fault, when an object was cut off */
  #torn(cause?: Error): SignatureError | undefined {
    if (this.#hasRefused || (!this.#reader.midText && !this.#assembler.midObject)) return undefined;
    const error = new SignatureError(
      'ERR_SIGN_INCOMPLETE',
      'The session was closed in the middle of a signed object',
      undefined,
      { cause },
    );
    this.#refuse(error);
    return error;
  }

  #refuseCertificate(body: Uint8Array, error: unknown): void {
    const raw = this.#unknown(ContentType.handshake, body);
    this.#refusals.all([new Incoming(raw, body, undefined, undefined)], error);
  }

  /** Something that has come where an object could have begun. */
  #unknown(contentType: number, bytes: Uint8Array, flags = 0): RawObject {
    const { sequence } = this.#assembler;
    return {
      kind: (flags & Flag.acknowledgement) !== 0 ? 'receipt' : 'data',
      contentType,
      receiptRequested: (flags & Flag.receipt) !== 0,
      unsigned: (flags & Flag.unsigned) !== 0,
      sequence,
      bytes,
    };
  }

  #fail(error: unknown): void {
    this.#deliveries.stop();
    this.#context.fail(error);
  }
}

/** A whole object that is none. */
class RefusedObject extends DecodeError {
  readonly raw: RawObject;

  constructor(raw: RawObject, message: string) {
    super(message);
    this.raw = raw;
  }
}

const EMPTY = new Uint8Array(0);
