import { toHex } from '../der/bytes.ts';
import { DecodeError, SignatureError, TlsError } from '../errors/errors.ts';
import { type Binding, checkBinding } from '../formats/binding.ts';
import { type ObjectReference, RECEPTION_CLOCK_SKEW, type VerifyContext } from '../formats/format.ts';
import { decodeUnsignedObject, referenceToUnsigned } from '../formats/unsigned.ts';
import type { VerifiedObject, VerifiedReceipt } from '../formats/verified.ts';
import { ContentType } from '../wire/codepoints.ts';
import { Certificate } from '../x509/certificate.ts';
import { Assembler, type RawObject } from './assembler.ts';
import { decodeCertificateSign } from './certificate-sign.ts';
import type { SessionContext } from './context.ts';
import { EvidenceFlag } from './evidence.ts';
import { Flag, SignReader } from './frame.ts';
import { MAX_SWITCHES, RECEIVE_OBJECTS } from './limits.ts';
import type { Place, ReceivedMessage } from './messages.ts';
import type { Pending, Sender } from './sender.ts';
import { type Verification, Verifications } from './verifications.ts';

/** source_port and destination_port in front of data of a multiplexed connection. */
const PORTS_BYTES = 4;

/** What comes: puts objects together, has them verified and kept, and delivers them in order. */
export class Receiver {
  readonly #context: SessionContext;
  readonly #sender: Sender;
  readonly #reader: SignReader;
  readonly #assembler: Assembler;
  readonly #muxType: number | undefined;
  #isOn = false;
  #switches = 0;
  /** The last thing in the stream was an `on`: certificate_sign may follow. */
  #mayAnnounce = false;
  /** From certificate_sign. */
  #announced: readonly Uint8Array[] | undefined;
  readonly #verifications: Verifications;
  /** Objects that have come and were not delivered, oldest first. */
  #queue: Incoming[] = [];
  #hasFailed = false;
  /** Bytes and objects that nobody has taken. */
  #unreadBytes = 0;
  #unreadObjects = 0;

  constructor(context: SessionContext, sender: Sender) {
    this.#context = context;
    this.#sender = sender;
    this.#muxType = context.mux?.contentTypes[0];
    const types: number[] = [ContentType.application_data];
    if (this.#muxType !== undefined) types.push(this.#muxType);
    this.#verifications = new Verifications((wanted) => context.want(wanted));
    this.#reader = new SignReader(types, context.link.session.version);
    this.#assembler = new Assembler(context.settings.maxObject, (flags) => this.#admit(flags));
  }

  /** The peer signs its data. */
  get isOn(): boolean {
    return this.#isOn;
  }

  get paused(): boolean {
    return this.#unreadBytes > this.#context.settings.receiveBuffer || this.#unreadObjects > RECEIVE_OBJECTS;
  }

  /** Objects wait for their verification, or for the archive. */
  get isBusy(): boolean {
    return this.#queue.length > 0;
  }

  /** The content of one `tls_sign` record. @throws TlsError */
  receive(content: Uint8Array): void {
    const reader = this.#reader;
    reader.push(content);
    while (reader.next()) {
      if (reader.kind !== 'text') {
        this.#receiveSwitch(reader.kind === 'on');
        continue;
      }
      this.#mayAnnounce = false;
      const object = this.#assembler.add(reader);
      if (object !== undefined) this.#arrived(object);
    }
  }

  /** @throws TlsError */
  receiveCertificate(body: Uint8Array): void {
    if (!this.#mayAnnounce) {
      throw new TlsError(
        'ERR_TLS_UNEXPECTED_MESSAGE',
        'certificate_sign must be the next message after tls_sign_on, once',
      );
    }
    this.#mayAnnounce = false;
    const { link, settings, judge } = this.#context;
    const chain = decodeCertificateSign(new Uint8Array(body));
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
      (error) => this.#fail(error),
    );
  }

  /** Nothing more comes. @throws SignatureError ERR_SIGN_INCOMPLETE when an object was cut off */
  receiveEnd(): void {
    if (!this.#reader.midText && !this.#assembler.midObject) return;
    throw new SignatureError(
      'ERR_SIGN_INCOMPLETE',
      'The session was closed in the middle of a signed object',
    );
  }

  /** Calls back when everything that has come so far is delivered. */
  afterDelivery(then: () => void): void {
    const last = this.#queue.at(-1);
    if (last === undefined) then();
    else last.after.push(then);
  }

  /** The message was taken by its reader. */
  release({ object }: ReceivedMessage): void {
    const wasPaused = this.paused;
    this.#unreadBytes -= object.length;
    this.#unreadObjects--;
    if (wasPaused && !this.paused) this.#context.wake?.();
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
    const { ports, bytes } = this.#split(raw);
    const incoming = new Incoming(raw, bytes, this.#placeOf(raw, ports), this.#announced);
    this.#queue.push(incoming);
    if (raw.kind === 'data') {
      this.#unreadBytes += bytes.length;
      this.#unreadObjects++;
    }
    this.#verifications.add(
      (now) => this.#verify(incoming, now),
      (error, now) => this.#reject(incoming, error, now),
    );
  }

  #split({ kind, contentType, bytes }: RawObject): { ports: Uint8Array; bytes: Uint8Array } {
    const length = kind === 'data' && contentType === this.#muxType ? PORTS_BYTES : 0;
    if (length > 0 && bytes.length <= length)
      throw new DecodeError('Signed data of a multiplexed connection ends in its ports');
    return { ports: bytes.subarray(0, length), bytes: bytes.subarray(length) };
  }

  /** `undefined` for data of a connection that is not there (any more). Of receipts, the object says it. */
  #placeOf({ kind }: RawObject, ports: Uint8Array): Place | undefined {
    if (kind === 'receipt') return undefined;
    if (ports.length === 0) return this.#context.placeOf(undefined);
    const connection = this.#context.mux?.session?.find(ports);
    return connection && this.#context.placeOf(connection);
  }

  // ── one object ─────────────────────────────────────────────────────────────────────────────────

  #verify(incoming: Incoming, now: number): Verification {
    const { raw } = incoming;
    if (raw.kind === 'receipt') return this.#verifyReceipt(incoming, now);
    return raw.unsigned ? this.#readUnsigned(incoming, now) : this.#verifyData(incoming, now);
  }

  *#verifyData(incoming: Incoming, now: number): Verification {
    const { link, formats } = this.#context;
    const { raw, bytes, place } = incoming;
    const context = this.#expecting(incoming, now);
    const verified = yield* formats.verifier.judgeObject(link.crypto, bytes, context);
    this.#context.checkAddressee(verified.binding);
    if (verified.receiptRequested !== raw.receiptRequested) {
      throw new SignatureError(
        'ERR_SIGN_RECEIPT_MISMATCH',
        'The flags and the signed object differ about whether a receipt is asked for',
        'receiptRequest',
      );
    }
    const { content, signer, signingTime, objectDigest, reference, contentDigest } = verified;
    this.#keepData(incoming, now, verified.binding, {
      place: place ?? {
        contentType: raw.contentType,
        application: verified.binding.application,
        connection: undefined,
      },
      content,
      contentDigest,
      verified,
      signer,
      signingTime,
      objectDigest,
      reference,
    });
  }

  *#readUnsigned(incoming: Incoming, now: number): Verification {
    yield;
    const { crypto } = this.#context.link;
    const { raw, bytes, place } = incoming;
    const { binding, content } = decodeUnsignedObject(bytes);
    checkBinding(binding, { ...this.#expecting(incoming, now).expect, kind: 'data' });
    this.#context.checkAddressee(binding);
    const reference = referenceToUnsigned(crypto, bytes);
    this.#keepData(incoming, now, binding, {
      place: place ?? {
        contentType: raw.contentType,
        application: binding.application,
        connection: undefined,
      },
      content,
      contentDigest: crypto.digest('sha256', content),
      verified: undefined,
      signer: undefined,
      signingTime: undefined,
      objectDigest: reference.objectDigest,
      reference,
    });
  }

  *#verifyReceipt(incoming: Incoming, now: number): Verification {
    const { link, formats } = this.#context;
    let pending: Pending | undefined;
    const find = (digest: Uint8Array): ObjectReference | undefined => {
      pending = this.#sender.pending.get(toHex(digest));
      return pending?.reference;
    };
    const context = this.#expecting(incoming, now);
    const verified = yield* formats.verifier.judgeReceipt(link.crypto, incoming.bytes, find, context);
    this.#context.checkAddressee(verified.binding);
    if (pending === undefined) throw new SignatureError('ERR_SIGN_RECEIPT_MISMATCH', 'It was never sent');
    const { message } = pending;
    checkBinding(verified.binding, { application: message.application, contentType: message.contentType });
    const digest = verified.acknowledged.objectDigest;
    // From here on it is used up: a second receipt for the same object is one for what was never sent.
    this.#sender.settle(digest);
    message.whenRecorded((target) =>
      this.#context.persist(
        () => ({
          ...this.#entry(incoming, verified.binding, now),
          kind: 'receipt',
          objectDigest: verified.objectDigest,
          content: undefined,
          target,
          flags: 0,
        }),
        now,
        (record) => this.#kept(incoming, () => this.#deliverReceipt(incoming, pending, verified, record)),
      ),
    );
  }

  #deliverReceipt(
    { raw, bytes }: Incoming,
    pending: Pending | undefined,
    verified: VerifiedReceipt,
    record: number | undefined,
  ): void {
    if (pending === undefined) return;
    const { signer, signingTime, acknowledged } = verified;
    this.#context.emit({
      type: 'receipt',
      message: pending.message,
      receipt: {
        sequence: raw.sequence,
        object: bytes,
        verified,
        signer,
        signingTime,
        acknowledges: acknowledged.objectDigest,
        record,
      },
    });
  }

  #keepData(incoming: Incoming, now: number, binding: Binding, data: VerifiedData): void {
    const { raw, bytes } = incoming;
    const { place, content, contentDigest, reference, objectDigest, verified, signer, signingTime } = data;
    const isUnsigned = verified === undefined;
    const isLost = raw.contentType === this.#muxType && place.connection === undefined;
    const acknowledged = raw.receiptRequested && this.#sender.canSign && !isLost;
    this.#context.persist(
      () => ({
        ...this.#entry(incoming, binding, now),
        ...(isUnsigned && { status: 'unverified' as const }),
        kind: 'data',
        objectDigest,
        content: { length: content.length, digest: contentDigest },
        target: undefined,
        flags:
          (raw.receiptRequested ? EvidenceFlag.receiptRequested : 0) |
          (isUnsigned ? EvidenceFlag.unsigned : 0),
      }),
      now,
      (record, then) =>
        this.#kept(incoming, () => {
          if (acknowledged) this.#sender.sendReceipt(reference, place, record, then);
          const message: ReceivedMessage = {
            contentType: place.contentType,
            application: place.application,
            connection: place.connection,
            sequence: raw.sequence,
            content,
            object: bytes,
            verified,
            signer,
            signingTime,
            receiptRequested: raw.receiptRequested,
            acknowledged,
            objectDigest,
            record,
          };
          // The connection that it was for has gone: it is in the archive, and nobody waits for it.
          if (isLost) this.release(message);
          else this.#context.emit({ type: 'message', message });
        }),
    );
  }

  #kept(incoming: Incoming, deliver: () => void): void {
    incoming.deliver = deliver;
    while (this.#queue[0]?.deliver !== undefined && !this.#hasFailed) {
      const { deliver: deliverNow, after } = this.#queue.shift() as Incoming;
      deliverNow?.();
      for (const call of after) call();
    }
    this.#context.wake?.();
  }

  #reject(incoming: Incoming, error: unknown, now: number): void {
    const { raw, place } = incoming;
    const reason = error instanceof TlsError ? error.code : 'ERR_TLS_INTERNAL';
    this.#context.persist(
      () => ({
        direction: 'received',
        kind: raw.kind,
        status: 'rejected',
        reason,
        time: now,
        sequence: raw.sequence,
        application: place?.application ?? '',
        contentType: raw.contentType,
        object: incoming.bytes,
        objectDigest: undefined,
        content: undefined,
        target: undefined,
        treeHead: new Uint8Array(0),
        signerChain: incoming.announced,
        flags: raw.unsigned ? EvidenceFlag.unsigned : 0,
      }),
      now,
      () => {},
    );
    this.#fail(error);
  }

  #fail(error: unknown): void {
    this.#hasFailed = true;
    this.#context.fail(error);
  }

  #entry({ raw, bytes, announced }: Incoming, binding: Binding, time: number) {
    return {
      direction: 'received',
      status: 'verified',
      reason: undefined,
      time,
      sequence: raw.sequence,
      application: binding.application,
      contentType: raw.contentType,
      object: bytes,
      treeHead: binding.treeHead,
      signerChain: announced,
    } as const;
  }

  #expecting({ raw, place, announced }: Incoming, now: number): VerifyContext {
    const { link, judge, sessionBinding } = this.#context;
    const application = place?.application;
    return {
      trust: judge,
      now,
      clockSkew: RECEPTION_CLOCK_SKEW,
      signerChain: announced ?? link.session.peer?.chain,
      expect: {
        role: link.role === 'client' ? 'server' : 'client',
        sessionBinding,
        sequence: raw.sequence,
        contentType: raw.contentType,
        ...(application !== undefined && { application }),
      },
    };
  }
}

interface VerifiedData {
  readonly place: Place;
  readonly content: Uint8Array;
  readonly contentDigest: Uint8Array;
  readonly verified: VerifiedObject | undefined;
  readonly signer: VerifiedObject['signer'] | undefined;
  readonly signingTime: number | undefined;
  readonly objectDigest: Uint8Array;
  readonly reference: ObjectReference;
}

/** An object on its way from the wire to its reader. */
class Incoming {
  readonly raw: RawObject;
  /** Without ports. */
  readonly bytes: Uint8Array;
  readonly place: Place | undefined;
  /** The signer's chain from certificate_sign, as it was when the object came. */
  readonly announced: readonly Uint8Array[] | undefined;
  /** Set when it is verified and kept. */
  deliver: (() => void) | undefined;
  readonly after: (() => void)[] = [];

  constructor(
    raw: RawObject,
    bytes: Uint8Array,
    place: Place | undefined,
    announced: readonly Uint8Array[] | undefined,
  ) {
    this.raw = raw;
    this.bytes = bytes;
    this.place = place;
    this.announced = announced;
  }
}
