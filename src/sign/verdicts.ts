import { SignatureError } from '../errors/errors.ts';
import { type Binding, checkBinding } from '../formats/binding.ts';
import { type ObjectReference, RECEPTION_CLOCK_SKEW, type VerifyContext } from '../formats/format.ts';
import { decodeUnsignedObject, referenceToUnsigned } from '../formats/unsigned.ts';
import type { ObjectFacts, VerifiedObject, VerifiedReceipt } from '../formats/verified.ts';
import type { RawObject } from './assembler.ts';
import type { Pending } from './awaited-receipts.ts';
import type { SessionContext } from './context.ts';
import type { DeliveryQueue } from './delivery.ts';
import { EvidenceFlag } from './evidence.ts';
import { type Incoming, receivedEntry } from './incoming.ts';
import type { IncomingStream } from './incoming-stream.ts';
import type { Place, ReceivedMessage } from './messages.ts';
import type { Sender } from './sender.ts';
import type { Verification } from './verifications.ts';

/** What an object or receipt that has come is: verified, kept, delivered and acknowledged, or a fault. */
export class Verdicts {
  readonly #context: SessionContext;
  readonly #sender: Sender;
  readonly #deliveries: DeliveryQueue;
  readonly #release: (message: ReceivedMessage) => void;
  readonly #isNext: (binding: Binding, now: number) => boolean;

  /**
   * @param release nobody will read the message
   * @param isNext notes the number of what was verified; false where it came too late and is lost. Throws SignatureError
   *   ERR_SIGN_BINDING_MISMATCH
   */
  constructor(
    context: SessionContext,
    sender: Sender,
    deliveries: DeliveryQueue,
    release: (message: ReceivedMessage) => void,
    isNext: (binding: Binding, now: number) => boolean,
  ) {
    this.#context = context;
    this.#sender = sender;
    this.#deliveries = deliveries;
    this.#release = release;
    this.#isNext = isNext;
  }

  /** It is for a connection that has gone: it is kept, and nobody waits for it. */
  isLost({ contentType }: RawObject, place: Place | undefined): boolean {
    return contentType === this.#context.mux?.contentTypes[0] && place?.connection === undefined;
  }

  /** Of a whole object. */
  of(incoming: Incoming, now: number): Verification {
    const { raw } = incoming;
    if (raw.kind === 'receipt') return this.#verifyReceipt(incoming, now);
    return raw.unsigned ? this.#readUnsigned(incoming, now) : this.#verifyData(incoming, now);
  }

  *#verifyData(incoming: Incoming, now: number): Verification {
    const { link, formats } = this.#context;
    const { raw, bytes, place } = incoming;
    const context = this.#expecting(incoming, now);
    const verified = yield* formats.verifier.judgeObject(link.crypto, bytes, context);
    this.#checkData(verified, raw);
    if (!this.#isNext(verified.binding, now)) return this.#drop(incoming);
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

  /** What the session alone can know. @throws SignatureError */
  #checkData({ binding, receiptRequested }: ObjectFacts, raw: RawObject): void {
    this.#context.checkAddressee(binding);
    if (receiptRequested === raw.receiptRequested) return;
    throw new SignatureError(
      'ERR_SIGN_RECEIPT_MISMATCH',
      'The flags and the signed object differ about whether a receipt is asked for',
      'receiptRequest',
    );
  }

  /** Of one that has come in pieces, and has come to its end. @param incoming in its place in the queue */
  *ofStream(stream: IncomingStream, incoming: Incoming, now: number): Verification {
    // All of it before the verdict has its turn; not more than hashes that are ready, and one signature.
    const verified = stream.verify(this.#expecting(incoming, now));
    yield;
    const { raw, place } = stream;
    this.#checkData(verified, raw);
    const { binding, signer, signingTime, reference, objectDigest, contentLength, contentDigest } = verified;
    const isLost = this.isLost(raw, place);
    const acknowledged = raw.receiptRequested && this.#sender.canSign && !isLost;
    stream.keeper.finish(
      () => ({
        ...receivedEntry(incoming, binding, now),
        kind: 'data',
        objectDigest,
        content: { length: contentLength, digest: contentDigest },
        target: undefined,
        flags: EvidenceFlag.streamed | (raw.receiptRequested ? EvidenceFlag.receiptRequested : 0),
      }),
      now,
      (record, then) =>
        this.#kept(incoming, () => {
          if (acknowledged) this.#sender.sendReceipt(reference, stream, record, then);
          if (isLost) return;
          const verdict = { verified, signer, signingTime, acknowledged, record };
          this.#context.emit({ type: 'verdict', stream, verdict });
        }),
    );
  }

  *#readUnsigned(incoming: Incoming, now: number): Verification {
    yield;
    const { crypto } = this.#context.link;
    const { raw, bytes, place } = incoming;
    const { binding, content } = decodeUnsignedObject(bytes);
    checkBinding(binding, { ...this.#expecting(incoming, now).expect, kind: 'data' });
    this.#context.checkAddressee(binding);
    if (!this.#isNext(binding, now)) return this.#drop(incoming);
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
      pending = this.#sender.receipts.find(digest);
      return pending?.reference;
    };
    const context = this.#expecting(incoming, now);
    const verified = yield* formats.verifier.judgeReceipt(link.crypto, incoming.bytes, find, context);
    this.#context.checkAddressee(verified.binding);
    if (pending === undefined) throw new SignatureError('ERR_SIGN_RECEIPT_MISMATCH', 'It was never sent');
    const { message } = pending;
    checkBinding(verified.binding, { application: message.application, contentType: message.contentType });
    if (!this.#isNext(verified.binding, now)) return this.#drop(incoming);
    const digest = verified.acknowledged.objectDigest;
    // From here on it is used up: a second receipt for the same object is one for what was never sent.
    this.#sender.receipts.settle(digest);
    message.whenRecorded((target) =>
      this.#context.persist(
        () => ({
          ...receivedEntry(incoming, verified.binding, now),
          object: incoming.bytes,
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
    { bytes }: Incoming,
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
        sequence: verified.binding.sequence,
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
    const isLost = this.isLost(raw, place);
    const acknowledged = raw.receiptRequested && this.#sender.canSign && !isLost;
    this.#context.persist(
      () => ({
        ...receivedEntry(incoming, binding, now),
        ...(isUnsigned && { status: 'unverified' as const }),
        object: bytes,
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
          const receiptError = acknowledged
            ? this.#sender.sendReceipt(reference, place, record, then)
            : undefined;
          const message: ReceivedMessage = {
            contentType: place.contentType,
            application: place.application,
            connection: place.connection,
            sequence: binding.sequence,
            content,
            object: bytes,
            verified,
            signer,
            signingTime,
            receiptRequested: raw.receiptRequested,
            acknowledged: acknowledged && receiptError === undefined,
            receiptError,
            objectDigest,
            record,
          };
          if (isLost) this.#release(message);
          else this.#context.emit({ type: 'message', message });
        }),
    );
  }

  /** It has come too late: as if it had never. */
  #drop(incoming: Incoming): void {
    const message = { object: incoming.raw.kind === 'data' ? incoming.bytes : undefined };
    this.#kept(incoming, () => {
      if (message.object !== undefined) this.#release(message as ReceivedMessage);
    });
  }

  #kept(incoming: Incoming, deliver: () => void): void {
    this.#deliveries.ready(incoming, deliver);
    this.#context.wake?.();
  }

  #expecting({ raw, place, announced }: Incoming, now: number): VerifyContext {
    const { link, judge, sessionBinding, datagrams } = this.#context;
    const application = place?.application;
    return {
      trust: judge,
      now,
      clockSkew: RECEPTION_CLOCK_SKEW,
      signerChain: announced ?? link.session.peer?.chain,
      expect: {
        role: link.role === 'client' ? 'server' : 'client',
        sessionBinding,
        // Over datagrams the object alone says it.
        ...(!datagrams && { sequence: raw.sequence }),
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
