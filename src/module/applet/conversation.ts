import { DecodeError } from '../../errors/errors.ts';
import { Status } from '../apdu/status.ts';
import { FragmentReceiver, FragmentSender } from '../eap/fragments.ts';
import {
  ACKNOWLEDGEMENT,
  buildEap,
  buildEapTlsPacket,
  EapCode,
  type EapMessage,
  type EapPacket,
  type EapTls,
  EapType,
  parseEap,
  parseEapTls,
} from '../eap/packet.ts';
import { Refused } from './refused.ts';

/** What has come: an answer that the conversation gives by itself, or something for the session. */
export type Incoming =
  | { readonly kind: 'answered'; readonly packet: Uint8Array }
  | { readonly kind: 'start' }
  | { readonly kind: 'identity' }
  | { readonly kind: 'success' }
  | { readonly kind: 'failure' }
  | { readonly kind: 'message'; readonly message: Uint8Array };

/**
 * One session's EAP: identifiers, fragments both ways, acknowledgements, repeated requests. A TLS client is the EAP
 * peer, which is sent Requests and answers Responses; a TLS server is the authenticator, the other way round
 * (RFC 5216 §2.1).
 */
export class Conversation {
  readonly #isPeer: boolean;
  readonly #size: number;
  readonly #receiver = new FragmentReceiver();
  #sender: FragmentSender | undefined;
  /** The instruction that fragments on their way belong to. */
  #instruction = 0;
  /** Of the request last received (peer) or sent (authenticator); none before the first. */
  #identifier: number | undefined;
  /** The request last received and its answer: a repeated one is answered alike (RFC 3748 §4.1). */
  #repeat: { readonly request: Uint8Array; readonly instruction: number; answer: Uint8Array } | undefined;

  /** @param size of the EAP packets to be sent */
  constructor(role: 'client' | 'server', size: number) {
    this.#isPeer = role === 'client';
    this.#size = size;
  }

  /** Fragments of the last message have yet to be sent. */
  get isSending(): boolean {
    return this.#sender?.done === false;
  }

  /**
   * Takes a packet. Unless it was answered here, `reply`, `replyIdentity` or `replySuccess` is called next.
   * @throws DecodeError for what is no packet or out of place; Refused 6985 for one of another instruction than the
   *   fragments on their way. Nothing has changed then, but that a message under way is given up when it was at fault.
   */
  receive(bytes: Uint8Array, instruction: number): Incoming {
    const packet = parseEap(bytes);
    if (!('type' in packet)) return this.#receiveResult(packet);
    this.#checkPlace(packet, instruction);
    if (this.#isPeer) {
      const repeated = this.#repeat;
      const isRepeated =
        repeated !== undefined && repeated.instruction === instruction && sameBytes(repeated.request, bytes);
      if (isRepeated) return { kind: 'answered', packet: repeated.answer };
    }
    const incoming = this.#take(packet, instruction);
    if (this.#isPeer || this.#identifier === undefined) this.#identifier = packet.identifier;
    // An authenticator knows a repeated Response by its identifier, and refuses it.
    if (this.#isPeer) this.#repeat = { request: new Uint8Array(bytes), instruction, answer: NOTHING };
    return typeof incoming === 'function' ? { kind: 'answered', packet: incoming() } : incoming;
  }

  /** The first packet that carries `message`. */
  reply(message: Uint8Array, instruction: number): Uint8Array {
    this.#sender = new FragmentSender(message, this.#size);
    this.#instruction = instruction;
    return this.#next();
  }

  /** Authenticator: EAP-TLS start. */
  replyStart(): Uint8Array {
    return this.#sendTls({ ...ACKNOWLEDGEMENT, start: true });
  }

  replyIdentity(identity: Uint8Array): Uint8Array {
    return this.#send(EapType.identity, identity);
  }

  /** Authenticator: the end of the method; it answers the Response last received (RFC 3748 §4.2). */
  replyResult(code: typeof EapCode.success | typeof EapCode.failure): Uint8Array {
    return buildEap({ code, identifier: this.#identifier ?? 0 });
  }

  #receiveResult(packet: Exclude<EapPacket, EapMessage>): Incoming {
    // RFC 3748 §4.2: Success and Failure are said by the authenticator.
    if (!this.#isPeer) throw new DecodeError('EAP: Success and Failure are not for an authenticator');
    return { kind: packet.code === EapCode.success ? 'success' : 'failure' };
  }

  #checkPlace({ code, identifier }: EapMessage, instruction: number): void {
    if (code !== (this.#isPeer ? EapCode.request : EapCode.response)) {
      throw new DecodeError(`EAP: code ${code} is what this side sends`);
    }
    // RFC 3748 §4.1: the identifier of a Response MUST match that of the outstanding Request.
    if (!this.#isPeer && this.#identifier !== undefined && identifier !== this.#identifier) {
      throw new DecodeError(`EAP: a response to request ${identifier}, awaited is ${this.#identifier}`);
    }
    const busy = this.isSending || this.#receiver.pending;
    if (busy && instruction !== this.#instruction) throw new Refused(Status.wrongState);
  }

  /** @returns a function for what is answered here: the identifier must be known before it is called */
  #take({ type, data }: EapMessage, instruction: number): Incoming | (() => Uint8Array) {
    switch (type) {
      case EapType.tls:
        return this.#takeTls(parseEapTls(data), instruction);
      case EapType.identity:
        return { kind: 'identity' };
      case EapType.notification:
        // RFC 3748 §5.2: answered, and of no other consequence.
        if (this.#isPeer) return () => this.#send(EapType.notification, NOTHING);
        throw new DecodeError('EAP: a notification was not sent');
      default:
        // §5.3.1: a Request of another method is answered by the one that is wanted.
        if (this.#isPeer) return () => this.#send(EapType.nak, Uint8Array.of(EapType.tls));
        throw new DecodeError(`EAP: a response of type ${type}`);
    }
  }

  #takeTls(packet: EapTls, instruction: number): Incoming | (() => Uint8Array) {
    if (this.isSending) {
      // RFC 5216 §2.1.5: a fragment is acknowledged by a packet without data.
      if (packet.start || packet.more || packet.data.length > 0) {
        throw new DecodeError('EAP-TLS: data where the acknowledgement of a fragment was due');
      }
      return () => this.#next();
    }
    if (packet.start) {
      if (!this.#isPeer || packet.more || packet.data.length > 0 || this.#receiver.pending) {
        throw new DecodeError('EAP-TLS: a start that is none');
      }
      return { kind: 'start' };
    }
    const message = this.#receiver.push(packet);
    this.#instruction = instruction;
    if (message === undefined) return () => this.#sendTls(ACKNOWLEDGEMENT);
    return { kind: 'message', message };
  }

  #next(): Uint8Array {
    return this.#sendTls((this.#sender as FragmentSender).next());
  }

  #send(type: number, data: Uint8Array): Uint8Array {
    const identifier = this.#nextIdentifier();
    return this.#remember(buildEap({ code: this.#code, identifier, type, data }));
  }

  #sendTls(tls: EapTls): Uint8Array {
    const identifier = this.#nextIdentifier();
    return this.#remember(buildEapTlsPacket(this.#code, identifier, tls));
  }

  get #code(): EapMessage['code'] {
    return this.#isPeer ? EapCode.response : EapCode.request;
  }

  /** A new Request has a new identifier (RFC 3748 §4.1); a Response has its Request's. */
  #nextIdentifier(): number {
    if (!this.#isPeer) this.#identifier = ((this.#identifier ?? -1) + 1) & 0xff;
    return this.#identifier as number;
  }

  #remember(answer: Uint8Array): Uint8Array {
    if (this.#repeat !== undefined) this.#repeat.answer = answer;
    return answer;
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

const NOTHING = new Uint8Array(0);
