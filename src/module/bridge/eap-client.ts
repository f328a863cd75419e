import { DecodeError } from '../../errors/errors.ts';
import { ModuleError } from '../../errors/module.ts';
import { FragmentReceiver, FragmentSender } from '../eap/fragments.ts';
import {
  ACKNOWLEDGEMENT,
  buildEap,
  buildEapTlsPacket,
  EapCode,
  type EapMessage,
  type EapTls,
  EapType,
  parseEap,
  parseEapTls,
} from '../eap/packet.ts';
import { Instruction } from '../protocol.ts';
import type { CardRequest } from './exchange.ts';

/** The command that brings an EAP packet to the card. */
type PacketRequest = (ins: number, p2: number, packet: Uint8Array) => CardRequest;

export type Dialogue<T> = Generator<CardRequest, T, Uint8Array>;

/**
 * The host's end of one session's EAP: an authenticator for a module that is a TLS client, a peer for one that is a
 * server (RFC 5216 §2.1). Each method yields requests for the card and takes their answers.
 */
export class EapClient {
  readonly #isAuthenticator: boolean;
  readonly #size: number;
  readonly #request: PacketRequest;
  #identifier = 0;

  /** @param size of the EAP packets that go to the module */
  constructor(role: 'client' | 'server', size: number, request: PacketRequest) {
    this.#isAuthenticator = role === 'client';
    this.#size = size;
    this.#request = request;
  }

  /** Begins the handshake. @returns a client's first flight; nothing from a server, which awaits it */
  *start(): Dialogue<Uint8Array> {
    if (this.#isAuthenticator) {
      const start = { ...ACKNOWLEDGEMENT, start: true };
      const first = yield* this.#tls(Instruction.processEap, 0, start);
      return yield* this.#collect(Instruction.processEap, 0, first);
    }
    const { code, identifier } = this.#next();
    const identity = buildEap({ code, identifier, type: EapType.identity, data: NOTHING });
    const request = yield* this.#packet(Instruction.processEap, 0, identity);
    if (!readTls(request).start) throw confused('it did not start EAP-TLS');
    return NOTHING;
  }

  /** A message in fragments, and the module's answer to it. */
  *exchange(ins: number, p2: number, message: Uint8Array): Dialogue<Uint8Array> {
    const sender = new FragmentSender(message, this.#size);
    for (;;) {
      const answer = yield* this.#tls(ins, p2, sender.next());
      if (sender.done) return yield* this.#collect(ins, p2, answer);
      const { start, more, data } = readTls(answer);
      if (start || more || data.length > 0) throw confused('it did not acknowledge a fragment');
    }
  }

  *#collect(ins: number, p2: number, first: EapMessage): Dialogue<Uint8Array> {
    const receiver = new FragmentReceiver();
    for (let packet = first; ; ) {
      const message = guarded(() => receiver.push(readTls(packet)));
      if (message !== undefined) return message;
      packet = yield* this.#tls(ins, p2, ACKNOWLEDGEMENT);
    }
  }

  #tls(ins: number, p2: number, tls: EapTls): Dialogue<EapMessage> {
    const { code, identifier } = this.#next();
    return this.#packet(ins, p2, buildEapTlsPacket(code, identifier, tls));
  }

  /** A new Request has a new identifier, a Response its Request's (RFC 3748 §4.1). */
  #next(): Pick<EapMessage, 'code' | 'identifier'> {
    if (this.#isAuthenticator) this.#identifier = (this.#identifier + 1) & 0xff;
    const code = this.#isAuthenticator ? EapCode.request : EapCode.response;
    return { code, identifier: this.#identifier };
  }

  *#packet(ins: number, p2: number, packet: Uint8Array): Dialogue<EapMessage> {
    const answer = yield this.#request(ins, p2, packet);
    const eap = guarded(() => parseEap(answer));
    const awaited = this.#isAuthenticator ? EapCode.response : EapCode.request;
    if (!('type' in eap) || eap.code !== awaited || eap.type !== EapType.tls) {
      throw confused(`it answered with EAP code ${eap.code}`);
    }
    if (this.#isAuthenticator && eap.identifier !== this.#identifier)
      throw confused('it answered another request');
    this.#identifier = eap.identifier;
    return eap;
  }
}

function readTls({ data }: EapMessage): EapTls {
  return guarded(() => parseEapTls(data));
}

/** What is malformed here is the module's fault, not the peer's. */
export function guarded<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause;
    throw new ModuleError('ERR_MODULE_PROTOCOL', `The module's answer is malformed: ${cause.message}`, {
      cause,
    });
  }
}

function confused(what: string): ModuleError {
  return new ModuleError('ERR_MODULE_PROTOCOL', `The module does not keep to EAP-TLS: ${what}`);
}

const NOTHING = new Uint8Array(0);
