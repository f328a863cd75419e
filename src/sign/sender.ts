import type { SignedStatement } from '../crypto/provider.ts';
import { ConnectionError, type SignatureError, TlsError } from '../errors/errors.ts';
import { type Binding, type BindingKind, encodeBinding } from '../formats/binding.ts';
import { startObject } from '../formats/cms/make-stream.ts';
import type { ObjectReference, Unsigned } from '../formats/format.ts';
import { encodeUnsignedObject, referenceToUnsigned } from '../formats/unsigned.ts';
import type { MultiplexedConnection } from '../mux/index.ts';
import { AwaitedReceipts } from './awaited-receipts.ts';
import { encodeCertificateSign } from './certificate-sign.ts';
import type { SessionContext } from './context.ts';
import { DatagramRoom } from './datagram-room.ts';
import { EvidenceFlag } from './evidence.ts';
import { Flag, Switch } from './frame.ts';
import type { Place, SentMessage, SentStream } from './messages.ts';
import { type ObjectHeader, Outbox } from './outbox.ts';
import { OutgoingStream } from './outgoing-stream.ts';
import { type OwnSigner, ownSignerOf } from './own-signer.ts';
import { SentObject } from './sent-object.ts';
import { Turns } from './turns.ts';

export interface SendOptions {
  /** Ask for a signed receipt. Default true. */
  readonly receipt?: boolean | undefined;
  /** Where both types were agreed on: false sends the data unsigned, for a receipt alone. Default true. */
  readonly sign?: boolean | undefined;
  /** For data of this connection of a multiplexed session. */
  readonly connection?: MultiplexedConnection | undefined;
}

/** What leaves: numbers it, has it signed and kept, and sends it in order. */
export class Sender {
  readonly receipts: AwaitedReceipts;
  readonly outbox: Outbox;
  readonly #context: SessionContext;
  readonly #handshakeType: number;
  readonly #own: OwnSigner | undefined;
  /** The peer knows the signer from the handshake. */
  readonly #isShown: boolean;
  readonly #room: DatagramRoom;
  readonly #turns = new Turns();
  #isAnnounced = false;
  #isOn = false;
  #sequence = 0;
  #ended: ConnectionError | undefined;

  constructor(context: SessionContext, contentType: number, handshakeType: number) {
    this.#context = context;
    this.#handshakeType = handshakeType;
    this.receipts = new AwaitedReceipts(context);
    const { link, datagrams } = context;
    const { own, isShown } = ownSignerOf(context);
    this.#own = own;
    this.#isShown = isShown;
    this.#room = new DatagramRoom(context, own?.signer);
    this.#isOn = datagrams && (this.canSign || !context.agreement.types.includes('origin'));
    this.outbox = new Outbox(
      link.session.version,
      (content) => {
        // The path may carry less than when it was made: then it is lost, as datagrams are.
        if (!datagrams || content.length <= this.#room.limit) link.send(contentType, content);
      },
      datagrams,
    );
  }

  /** This side can sign. */
  get canSign(): boolean {
    return this.#own !== undefined;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  on(): void {
    this.#checkOpen();
    if (this.#context.agreement.types.includes('origin') && !this.canSign) {
      throw unavailable(
        this.#context.datagrams
          ? 'Over DTLS the certificate of the handshake signs, and this side has shown none; connect with one'
          : 'This side has no certificate to sign with; connect with one, or give the option signer',
      );
    }
    if (this.#context.datagrams) return;
    this.#inTurn(() => this.#switch(true));
    this.#isOn = true;
  }

  off(): void {
    this.#checkOpen();
    if (this.#context.datagrams)
      throw unavailable(
        'Over DTLS the handshake settles signing, and nothing switches it; send() is not signed',
      );
    this.#inTurn(() => this.#switch(false));
    this.#isOn = false;
  }

  /** @throws ConnectionError ERR_SIGN_UNAVAILABLE, ERR_SIGN_LIMIT, ERR_TLS_CLOSED; SignatureError ERR_SIGN_TOO_LARGE */
  send(content: Uint8Array, options: SendOptions, now: number): SentMessage {
    const { receipt = true, connection } = options;
    this.#checkReady(receipt, connection);
    const unsigned = this.#travelsUnsigned(options, receipt);
    const message = new SentObject(this.#context.placeOf(connection), receipt, unsigned);
    if (this.#turns.isFree) this.#dispatch(message, content, now);
    else this.#turns.wait(message, (then) => this.#dispatch(message, content, then));
    if (receipt) this.receipts.promise();
    return message;
  }

  /**
   * Begins a message of any size, when its turn comes: the event `drain` says so.
   * @throws ConnectionError as `send`, and ERR_SIGN_UNAVAILABLE for what cannot be streamed
   */
  stream(options: SendOptions): SentStream {
    const { receipt = true, connection } = options;
    this.#checkReady(receipt, connection);
    if (this.#context.datagrams)
      throw unavailable('Over DTLS a signed message is one datagram; send this one as a whole');
    if (this.#context.agreement.format !== 'pkcs7' || this.#travelsUnsigned(options, receipt))
      throw unavailable('Only signed messages in the format pkcs7 can be streamed; send this one as a whole');
    const host = { end: this.#endStream.bind(this), abort: this.#abortStream.bind(this) };
    const stream = new OutgoingStream(this.#context, host, this.#context.placeOf(connection), receipt);
    if (this.#turns.isFree) this.#begin(stream);
    else this.#turns.wait(stream, () => this.#begin(stream));
    if (receipt) this.receipts.promise();
    return stream;
  }

  /**
   * @param target index in the archive of what it is for
   * @returns over DTLS, why none leaves: no datagram holds it
   */
  sendReceipt(
    reference: ObjectReference,
    place: Place,
    target: number | undefined,
    now: number,
  ): SignatureError | undefined {
    const context = this.#context;
    if (this.#ended !== undefined || this.#own === undefined) return undefined;
    if (!this.#isShown && !this.#isAnnounced) {
      // The peer has to know who signs, and it is told after an `on` alone.
      this.#switch(true);
      this.#switch(false);
    }
    const binding = this.#binding('receipt', place);
    const prepared = context.formats.maker.prepareReceipt(context.link.crypto, reference, {
      signer: this.#own.signer,
      binding,
      signingTime: now,
      includeCertificates: !context.datagrams,
    });
    const refusal = this.#room.refuseReceipt(prepared);
    if (refusal !== undefined) return refusal;
    const message = new SentObject(place, false, false);
    this.#admit(message, Flag.acknowledgement);
    this.#sign(prepared, binding, (signature, then) => {
      const object = prepared.finish(signature);
      context.persist(
        () => ({
          ...this.#entry(message, binding, then),
          kind: 'receipt',
          object,
          content: undefined,
          target,
          flags: 0,
        }),
        then,
        () => this.#release(message, object),
      );
    });
    return undefined;
  }

  /** Nothing can be sent any more: tells of what has not left. */
  end(error: ConnectionError): void {
    this.#ended ??= error;
    const torn = this.#turns.stop();
    if (torn !== undefined && !torn.isSettled) this.#context.later((now) => this.#keepTorn(torn, now));
    this.outbox.discard();
    for (const message of this.#turns.clear()) this.#lose(message, 0);
  }

  // ── one object ─────────────────────────────────────────────────────────────────────────────────

  /** @throws SignatureError ERR_SIGN_TOO_LARGE */
  #dispatch(message: SentObject, content: Uint8Array, now: number): void {
    const context = this.#context;
    const { receiptRequested, unsigned } = message;
    const binding = this.#binding('data', message);
    if (unsigned) {
      const object = encodeUnsignedObject({ binding, content });
      this.#room.checkUnsigned(object, content.length);
      this.#admit(message, Flag.unsigned | (receiptRequested ? Flag.receipt : 0));
      this.#complete(message, object, content, binding, now);
      return;
    }
    const prepared = context.formats.maker.prepareObject(context.link.crypto, content, {
      signer: (this.#own as OwnSigner).signer,
      binding,
      signingTime: now,
      receiptRequest: receiptRequested,
      includeCertificates: !context.datagrams,
    });
    this.#room.checkSigned(prepared, content.length);
    this.#admit(message, receiptRequested ? Flag.receipt : 0);
    this.#sign(prepared, binding, (signature, then) =>
      this.#complete(message, prepared.finish(signature), content, binding, then),
    );
  }

  /** Gives it its number and its place in the outbox. */
  #admit(message: SentObject, flags: number): void {
    message.sequence = this.#sequence++;
    const { contentType, connection } = message;
    const { mux } = this.#context;
    const prefix = (flags & Flag.acknowledgement) !== 0 ? undefined : message.address;
    message.content = { kind: 'object', contentType, flags, prefix };
    // What opens the connection must be there before the data of it.
    if (connection !== undefined) message.before = () => mux?.session?.flush();
    message.after = () => this.#progress(message, 'left');
    message.lost = () => this.#lose(message, flags);
    this.outbox.push(message);
  }

  /** Receipts are nobody's to miss, but for their peer. */
  #lose(message: SentObject, flags: number): void {
    message.isLost = true;
    const error = this.#ended;
    if (error === undefined || (flags & Flag.acknowledgement) !== 0) return;
    this.receipts.forget(message);
    this.#context.emit({ type: 'lost', message, error });
  }

  #sign(
    prepared: Pick<Unsigned, 'scheme' | 'toBeSigned'>,
    binding: Binding,
    done: (signature: Uint8Array, now: number) => void,
  ): void {
    const { key } = (this.#own as OwnSigner).identity;
    this.#context.want({
      kind: 'signature',
      key,
      scheme: prepared.scheme,
      input: prepared.toBeSigned,
      statement: statementOf(binding),
      provide: done,
      // Its number is given away: without it the peer would see a gap.
      fail: (error) => this.#context.fail(error),
    });
  }

  /** It has its signature, or needs none. */
  #complete(
    message: SentObject,
    object: Uint8Array,
    content: Uint8Array,
    binding: Binding,
    now: number,
  ): void {
    const context = this.#context;
    const { crypto } = context.link;
    if (message.isLost) return;
    let objectDigest: Uint8Array | undefined;
    if (message.receiptRequested) {
      const reference = message.unsigned
        ? referenceToUnsigned(crypto, object)
        : context.formats.verifier.referenceTo(crypto, object);
      objectDigest = reference.objectDigest;
      this.receipts.add(objectDigest, { message, reference });
    }
    const digest = context.settings.archive === undefined ? EMPTY : crypto.digest('sha256', content);
    context.persist(
      () => ({
        ...this.#entry(message, binding, now),
        kind: 'data',
        object,
        objectDigest,
        content: { length: content.length, digest },
        target: undefined,
        flags:
          (message.receiptRequested ? EvidenceFlag.receiptRequested : 0) |
          (message.unsigned ? EvidenceFlag.unsigned : 0),
      }),
      now,
      (record) => {
        message.recorded(record);
        this.#release(message, object);
        this.#progress(message, 'kept');
      },
    );
  }

  /**
   * It may leave. Nothing does before it is in the archive: a crash between the two would leave the peer with an object
   * that its signer's archive knows nothing of, and make an honest archive look like one that hides it.
   */
  #release(message: SentObject, object: Uint8Array): void {
    message.bytes = object;
    this.#context.wake?.();
  }

  #progress(message: SentObject, what: 'left' | 'kept'): void {
    message[what] = true;
    if (message.left && message.kept) this.#context.emit({ type: 'sent', message });
  }

  #entry({ sequence, application, contentType }: SentObject, { treeHead }: Binding, time: number) {
    return {
      direction: 'sent',
      status: 'unverified',
      reason: undefined,
      time,
      sequence,
      application,
      contentType,
      objectDigest: undefined,
      treeHead,
      signerChain: this.#isShown ? undefined : this.#own?.signer.chain,
    } as const;
  }

  #binding(kind: BindingKind, { contentType, application }: Place, sequence = this.#sequence): Binding {
    const { link, addressee, sessionBinding } = this.#context;
    return {
      version: 1,
      role: link.role,
      kind,
      sequence,
      contentType,
      application,
      peer: addressee,
      sessionBinding,
      treeHead: this.#context.treeHead(),
    };
  }

  #travelsUnsigned({ sign = true }: SendOptions, receipt: boolean): boolean {
    const { types } = this.#context.agreement;
    const unsigned = !types.includes('origin') || !sign;
    if (!unsigned) return false;
    if (!types.includes('delivery'))
      throw unavailable('Receipts for unsigned data were not agreed on in this session');
    if (!receipt)
      throw unavailable('Data without signature and without receipt is no evidence; write() sends it');
    return true;
  }

  // ── streams ────────────────────────────────────────────────────────────────────────────────────

  #begin(stream: OutgoingStream): void {
    this.#turns.begin(stream);
    this.#admit(stream, stream.receiptRequested ? Flag.receipt : 0);
    const object = startObject(this.#context.link.crypto, (this.#own as OwnSigner).signer);
    stream.content = stream.begin(object, stream.content as ObjectHeader);
    this.#context.wake?.();
  }

  #endStream(stream: OutgoingStream, now: number): void {
    const context = this.#context;
    const { receiptRequested } = stream;
    const binding = this.#binding('data', stream, stream.sequence);
    const prepared = stream.prepare({
      binding,
      signingTime: now,
      receiptRequest: receiptRequested,
      includeCertificates: true,
    });
    this.#sign(prepared, binding, (signature, then) => {
      if (stream.isLost || stream.isSettled) return;
      stream.isSettled = true;
      const { trailer, reference, contentLength, contentDigest } = prepared.finish(signature);
      const { objectDigest } = reference;
      stream.keeper.write(trailer);
      stream.keeper.finish(
        () => ({
          ...this.#entry(stream, binding, then),
          kind: 'data',
          objectDigest,
          content: { length: contentLength, digest: contentDigest },
          target: undefined,
          flags: EvidenceFlag.streamed | (receiptRequested ? EvidenceFlag.receiptRequested : 0),
        }),
        then,
        (record, later) => {
          stream.recorded(record);
          if (stream.isLost) return;
          if (receiptRequested) this.receipts.add(objectDigest, { message: stream, reference });
          // Its signature is the last that leaves, and not before it is in the archive.
          stream.complete(trailer);
          this.#turns.next(later, (message, error) => this.#giveUp(message, error));
          context.wake?.();
          this.#progress(stream, 'kept');
        },
      );
    });
  }

  #abortStream(stream: OutgoingStream, error: unknown, now: number): void {
    if (!stream.hasBegun) {
      this.#turns.leave(stream);
      this.#giveUp(stream, error);
      return;
    }
    this.#turns.stop();
    this.#keepTorn(stream, now);
    this.#context.fail(
      new TlsError(
        'ERR_TLS_INTERNAL',
        'A streamed message was given up in the middle, and nothing can follow what has left of it',
        { cause: error },
      ),
    );
  }

  /** What has left of it, as something that proves nothing. */
  #keepTorn(stream: OutgoingStream, now: number): void {
    stream.isSettled = true;
    const binding = this.#binding('data', stream, stream.sequence);
    stream.keeper.finish(
      () => ({
        ...this.#entry(stream, binding, now),
        treeHead: EMPTY,
        kind: 'data',
        status: 'rejected',
        reason: 'ERR_SIGN_INCOMPLETE',
        content: undefined,
        target: undefined,
        flags: EvidenceFlag.streamed,
      }),
      now,
      () => {},
    );
  }

  /** It was never sent, and the session goes on. */
  #giveUp(message: SentObject, error: unknown): void {
    message.isLost = true;
    if (message.receiptRequested) this.receipts.withdraw();
    const cause = error instanceof Error ? error : new Error(String(error));
    this.#context.emit({ type: 'lost', message, error: cause });
  }

  /** Does what must not come between the pieces of an object, or has it wait. */
  #inTurn(run: () => void): void {
    if (this.#turns.isFree) run();
    else this.#turns.wait(undefined, run);
  }

  // ── switching ──────────────────────────────────────────────────────────────────────────────────

  /** Takes its place behind what was sent before. */
  #switch(on: boolean): void {
    const announces = on && !this.#isShown && this.canSign;
    if (announces) this.#isAnnounced = true;
    const { link } = this.#context;
    const chain = this.#own?.signer.chain ?? [];
    this.outbox.push({
      bytes: Uint8Array.of(on ? Switch.on : Switch.off),
      content: { kind: 'switch' },
      after: announces
        ? () => link.sendHandshake(this.#handshakeType, encodeCertificateSign(chain))
        : undefined,
    });
    this.#context.wake?.();
  }

  #checkReady(receipt: boolean, connection: MultiplexedConnection | undefined): void {
    this.#checkOpen();
    if (connection !== undefined && this.#context.datagrams)
      throw unavailable('Over DTLS data of applications are not signed; sign outside of them');
    if (!this.#isOn) throw unavailable('Signing is switched off here; call on() first');
    if (connection !== undefined && connection.address === undefined)
      throw unavailable('The connection is not open; wait for its connect, or open another');
    if (receipt) this.receipts.checkRoom();
  }

  #checkOpen(): void {
    if (this.#ended !== undefined)
      throw new ConnectionError('ERR_TLS_CLOSED', 'The session is closed, nothing can be signed in it');
  }
}

const EMPTY = new Uint8Array(0);

function unavailable(message: string): ConnectionError {
  return new ConnectionError('ERR_SIGN_UNAVAILABLE', message);
}

/** Most keys do not ask. */
function statementOf(binding: Binding): SignedStatement {
  return {
    get binding() {
      return encodeBinding(binding);
    },
  };
}
