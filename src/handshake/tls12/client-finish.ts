import { buildFinished, parseFinished } from '../../messages/authentication.ts';
import { type HandshakeMessage, unexpected } from '../../messages/handshake.ts';
import { buildCertificateVerify12, parseNewSessionTicket12 } from '../../messages/tls12.ts';
import { HandshakeType } from '../../wire/codepoints.ts';
import type { ClientConfig } from '../config.ts';
import type { HandshakeIO } from '../io.ts';
import { keptOf } from '../kept-peer.ts';
import { FinishedVerified, type PeerAuthenticated } from '../proofs.ts';
import { MAX_TICKET_LIFETIME } from '../session.ts';
import type { Expect, SignatureWanted, Step, Waiting } from '../step.ts';
import { type Agreement12, Established12 } from './established.ts';
import { type KeyPair12, type MasterSecret12, type Randoms, VERIFY_DATA_LENGTH } from './key-schedule.ts';
import type { Terms12 } from './protocol.ts';
import type { ServerAnswer } from './server-hello-check.ts';
import type { ClientSession12 } from './session.ts';
import type { Transcript12 } from './transcript.ts';

/*
 * From the master secret on: our Finished, and the server's. The diagram is in client.ts.
 */

/** Common to all states after ServerHello. */
export interface Greeted extends Terms12 {
  readonly config: ClientConfig;
  /** legacy_version of our ClientHello. */
  readonly offeredVersion: number;
  readonly randoms: Randoms;
  readonly transcript: Transcript12;
  readonly answer: ServerAnswer;
  /** Of the server; empty when it keeps none. */
  readonly sessionId: Uint8Array;
  readonly ocspResponse?: Uint8Array | undefined;
}

/** Common to all states that have the master secret. */
export interface Keyed extends Greeted {
  readonly peer: PeerAuthenticated;
  readonly group: number | undefined;
  readonly pskIdentity?: Uint8Array | undefined;
  readonly pskIdentityHint?: Uint8Array | undefined;
  readonly master: MasterSecret12;
  readonly keys: KeyPair12;
  readonly certificateRequested?: boolean;
  /** The session that is resumed. */
  readonly resumed: ClientSession12 | undefined;
}

/** Our CertificateVerify waits for whoever holds the key. */
export class SigningAsClient implements Waiting {
  readonly kind = 'waiting';
  readonly wanted: SignatureWanted;
  readonly #state: Keyed;

  constructor(wanted: SignatureWanted, state: Keyed) {
    this.wanted = wanted;
    this.#state = state;
  }

  provide(signature: Uint8Array, io: HandshakeIO): Step {
    const scheme = this.#state.protocol.namesSchemes ? this.wanted.scheme : undefined;
    const verify = buildCertificateVerify12({ scheme, signature });
    this.#state.transcript.add(io.send(verify));
    return finishFlight(this.#state, io);
  }
}

export function finishFlight(state: Keyed, io: HandshakeIO): Step {
  state.transcript.forgetMessages();
  sendFinished(state, io);
  return expectServerFinish(state, io);
}

/** ChangeCipherSpec, and Finished as the first message under the new keys (RFC 5246 §7.1, §7.4.9). */
function sendFinished({ transcript, master, keys }: Keyed, io: HandshakeIO): void {
  io.sendChangeCipherSpec();
  io.protectWrite12(keys.client);
  transcript.add(io.send(buildFinished(master.verifyData('client', transcript.snapshot()))));
}

export function expectServerFinish(state: Keyed, io: HandshakeIO): Step {
  io.keylog('CLIENT_RANDOM', state.randoms.client, state.master.bytes);
  // RFC 5077 §3.3: a server that has said so MUST send the message, if need be with no ticket in it.
  return state.answer.sendsTicket
    ? new ExpectNewSessionTicket(state)
    : new ExpectChangeCipherSpec(state, undefined);
}

class ExpectNewSessionTicket implements Expect {
  readonly kind = 'expect';
  readonly #state: Keyed;

  constructor(state: Keyed) {
    this.#state = state;
  }

  receive(message: HandshakeMessage, _io: HandshakeIO): Step {
    if (message.type !== HandshakeType.new_session_ticket) throw unexpected(message, 'NewSessionTicket');
    const { ticket, lifetimeHint } = parseNewSessionTicket12(message.body);
    this.#state.transcript.add(message.raw12);
    const lifetime = lifetimeHint === 0 ? DEFAULT_LIFETIME : Math.min(lifetimeHint, MAX_TICKET_LIFETIME);
    return new ExpectChangeCipherSpec(this.#state, ticket.length === 0 ? undefined : { ticket, lifetime });
  }
}

/** Seconds for which a session is offered when the server does not say: RFC 5246 §F.1.4 suggests at most a day. */
export const DEFAULT_LIFETIME = 86_400;

type NewTicket = { readonly ticket: Uint8Array; readonly lifetime: number } | undefined;

class ExpectChangeCipherSpec implements Expect {
  readonly kind = 'expect';
  readonly #state: Keyed;
  readonly #ticket: NewTicket;

  constructor(state: Keyed, ticket: NewTicket) {
    this.#state = state;
    this.#ticket = ticket;
  }

  receive(message: HandshakeMessage, _io: HandshakeIO): never {
    throw unexpected(message, 'ChangeCipherSpec');
  }

  receiveChangeCipherSpec(io: HandshakeIO): Step {
    io.protectRead12(this.#state.keys.server);
    return new ExpectFinished(this.#state, this.#ticket);
  }
}

class ExpectFinished implements Expect {
  readonly kind = 'expect';
  readonly #state: Keyed;
  readonly #ticket: NewTicket;

  constructor(state: Keyed, ticket: NewTicket) {
    this.#state = state;
    this.#ticket = ticket;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.finished) throw unexpected(message, 'Finished');
    const state = this.#state;
    const { transcript, master, randoms, protocol, suite, config, group, answer, resumed } = state;
    const finished = FinishedVerified.check(
      io.crypto,
      master.verifyData('server', transcript.snapshot()),
      parseFinished(message.body, VERIFY_DATA_LENGTH),
    );
    transcript.add(message.raw12);
    if (resumed !== undefined) sendFinished(state, io);
    const agreement: Agreement12 = {
      version: protocol.version,
      suite,
      group,
      serverName: config.serverName,
      alpnProtocol: answer.alpnProtocol,
      resumed: resumed !== undefined,
      pskIdentity: state.pskIdentity,
      pskIdentityHint: state.pskIdentityHint,
      extendedMasterSecret: answer.extendedMasterSecret,
      certificateRequested: state.certificateRequested,
      ocspResponse: state.ocspResponse,
      scts: resumed === undefined ? answer.scts : undefined,
    };
    return new Established12(
      'client',
      agreement,
      { master, randoms, endOnRenegotiation: config.endOnRenegotiation },
      transcript.snapshot(),
      this.#resumable(io.now),
      finished,
      state.peer,
    );
  }

  #resumable(now: number): ClientSession12 | undefined {
    const { protocol, suite, config, master, answer, sessionId, resumed, peer, pskIdentity, group } =
      this.#state;
    const ticket = this.#ticket;
    if (peer.peer === undefined && pskIdentity === undefined) return undefined;
    const common = {
      version: protocol.version,
      suite,
      masterSecret: master.bytes,
      extendedMasterSecret: answer.extendedMasterSecret,
      // A session that goes on under a new ticket is as old as its first handshake.
      createdAt: resumed?.createdAt ?? now,
      serverName: config.serverName,
      pskIdentity,
      group,
      ...keptOf(peer.peer),
    };
    if (ticket !== undefined) return { sessionId: NOTHING, ...common, ...ticket };
    // A session id that we have used already is still ours; there is nothing new to report.
    if (resumed !== undefined || sessionId.length === 0) return undefined;
    return { ticket: NOTHING, sessionId, lifetime: DEFAULT_LIFETIME, ...common };
  }
}

const NOTHING = new Uint8Array(0);
