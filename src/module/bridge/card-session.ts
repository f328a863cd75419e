import type { Role } from '../../connection/sub-protocol.ts';
import { AlertReceivedError, errorForCode, type TrellisError } from '../../errors/errors.ts';
import { exporterRequest } from '../applet/exporter-request.ts';
import { InformationKind, Instruction, SessionState } from '../protocol.ts';
import { type Dialogue, EapClient, guarded } from './eap-client.ts';
import type { CardRequest } from './exchange.ts';
import { type AgreedSession, readInformation } from './information.ts';
import { type Item, readItems } from './items.ts';

/** What a card has answered to records of a handshake. */
export interface HandshakeStep {
  /** To be sent. */
  readonly records: Uint8Array;
  /** The handshake is complete, or has failed. */
  readonly ended: boolean;
  /** Something for the host waits in the card, for the next `decrypt`. */
  readonly itemsWait: boolean;
  /** Over datagrams: milliseconds until `retransmit` is due; 0 for never. */
  readonly wait: number;
  /** The session is over; `inform` knows why. */
  readonly closed?: boolean | undefined;
}

/** One session in a card, in the words of that card: what the bridge needs of it. */
export interface CardSession {
  /** @returns a client's first flight; nothing of a server, which awaits it */
  start(): Dialogue<Uint8Array>;
  /** To old cards, one record at a time: what comes after the last one of the handshake goes to `decrypt`. */
  handshake(records: Uint8Array): Dialogue<HandshakeStep>;
  /** @returns records. @throws ModuleError ERR_MODULE_UNSUPPORTED for a type that the card cannot send */
  encrypt(type: number, content: Uint8Array): Dialogue<Uint8Array>;
  decrypt(records: Uint8Array): Dialogue<readonly Item[]>;
  /** Over datagrams: the time that a step has told is over. */
  retransmit?(): Dialogue<HandshakeStep>;
  /** Over datagrams: how things stand. */
  poll?(): Dialogue<HandshakeStep>;
  /** What was agreed on, once it was; and why it is over, if the card knows. */
  inform(): Dialogue<{
    readonly agreed: AgreedSession | undefined;
    readonly failure: TrellisError | undefined;
  }>;
  /** Ends the way of records through the card, for good; `readTrafficKeys` reads the answer. */
  exportTrafficKeys?(): CardRequest;
  /** @param context `undefined` for none, which is not an empty one in TLS 1.2 (RFC 5705 §4) */
  keyingMaterial?(label: string, context: Uint8Array | undefined, length: number): CardRequest;
  /** @param kind a SignatureKind */
  signature?(kind: number, data: Uint8Array): CardRequest;
  /** Ends the session in the card, whatever state it is in. Called once. */
  release(): CardRequest;
}

/** A session of a module that keeps to docs/security-module.md. */
export class ModuleSession implements CardSession {
  readonly #handle: number;
  readonly #eap: EapClient;

  /** @param handle of Open. @param size of the EAP packets that go to the module */
  constructor(role: Role, handle: number, size: number) {
    this.#handle = handle;
    this.#eap = new EapClient(role, size, (ins, p2, data) => this.#command(ins, p2, data));
  }

  start(): Dialogue<Uint8Array> {
    return this.#eap.start();
  }

  *handshake(records: Uint8Array): Dialogue<HandshakeStep> {
    const answer = yield* this.#eap.exchange(Instruction.processEap, 0, records);
    // Whether that was the last flight only the module knows: in TLS 1.3 all is encrypted.
    return { ...(yield* this.poll()), records: answer };
  }

  *poll(): Dialogue<HandshakeStep> {
    const [state, itemsWait, high = 0, low = 0] = yield this.#command(
      Instruction.sessionInformation,
      InformationKind.state,
    );
    const ended = state !== SessionState.handshaking;
    const closed = state === SessionState.closed;
    return { records: NOTHING, ended, closed, itemsWait: itemsWait === 1, wait: (high << 8) | low };
  }

  *retransmit(): Dialogue<HandshakeStep> {
    const records = yield this.#command(Instruction.retransmit);
    return { ...(yield* this.poll()), records };
  }

  encrypt(type: number, content: Uint8Array): Dialogue<Uint8Array> {
    return this.#eap.exchange(Instruction.encrypt, type, content);
  }

  *decrypt(records: Uint8Array): Dialogue<readonly Item[]> {
    const answer = yield* this.#eap.exchange(Instruction.decrypt, 0, records);
    return guarded(() => readItems(answer));
  }

  *inform(): Dialogue<{ agreed: AgreedSession | undefined; failure: TrellisError | undefined }> {
    const answer = yield this.#command(Instruction.sessionInformation, InformationKind.everything);
    const { agreed, failure } = guarded(() => readInformation(answer));
    if (failure === undefined) return { agreed, failure };
    const error = failure.byPeer
      ? new AlertReceivedError(failure.alert)
      : errorForCode(failure.code, 'The security module has ended the session');
    return { agreed, failure: error };
  }

  exportTrafficKeys(): CardRequest {
    return this.#command(Instruction.exportTrafficKeys);
  }

  keyingMaterial(label: string, context: Uint8Array | undefined, length: number): CardRequest {
    const kind = context === undefined ? InformationKind.exporterWithoutContext : InformationKind.exporter;
    const asked = exporterRequest.build({ label, context: context ?? NOTHING, length });
    return this.#command(Instruction.sessionInformation, kind, asked);
  }

  signature(kind: number, data: Uint8Array): CardRequest {
    return this.#command(Instruction.computeSignature, kind, data);
  }

  release(): CardRequest {
    return releaseRequest(this.#handle);
  }

  #command(ins: number, p2 = 0, data: Uint8Array = NOTHING): CardRequest {
    return { ins, p1: this.#handle << 1, p2, data, doing: NAMES[ins] ?? 'a command' };
  }
}

export function releaseRequest(handle: number): CardRequest {
  return { ins: Instruction.resetState, p1: 0x10, p2: handle, data: NOTHING, doing: 'Reset-State' };
}

const NAMES: Readonly<Record<number, string>> = {
  [Instruction.processEap]: 'Process-EAP',
  [Instruction.encrypt]: 'Process-EAP-Encrypt',
  [Instruction.decrypt]: 'Process-EAP-Decrypt',
  [Instruction.retransmit]: 'Retransmit flight',
  [Instruction.sessionInformation]: 'Session information',
  [Instruction.exportTrafficKeys]: 'Export traffic keys',
  [Instruction.computeSignature]: 'Compute signature',
};
const NOTHING = new Uint8Array(0);
