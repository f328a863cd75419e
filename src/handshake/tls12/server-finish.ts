import { buildFinished, parseFinished } from '../../messages/authentication.ts';
import { type HandshakeMessage, unexpected } from '../../messages/handshake.ts';
import { buildNewSessionTicket12 } from '../../messages/tls12.ts';
import { HandshakeType } from '../../wire/codepoints.ts';
import type { CertificateTypes } from '../certificate-types.ts';
import type { ServerConfig } from '../config.ts';
import type { HandshakeIO } from '../io.ts';
import { keptOf } from '../kept-peer.ts';
import { FinishedVerified, type PeerAuthenticated } from '../proofs.ts';
import type { Expect, Step } from '../step.ts';
import type { CheckedClientHello12 } from './client-hello-check.ts';
import { type Agreement12, Established12 } from './established.ts';
import { type KeyPair12, type MasterSecret12, type Randoms, VERIFY_DATA_LENGTH } from './key-schedule.ts';
import type { Terms12 } from './protocol.ts';
import { buildState12, type SessionState12 } from './session.ts';
import type { Transcript12 } from './transcript.ts';

/*
 * From the master secret on: the client's Finished, and ours. The diagram is in server.ts.
 */

/** Common to all states after ServerHello. */
export interface Greeted extends Terms12 {
  readonly config: ServerConfig;
  readonly randoms: Randoms;
  readonly transcript: Transcript12;
  readonly checked: CheckedClientHello12;
  readonly alpnProtocol: string | undefined;
  /** ServerHello announces a NewSessionTicket. */
  readonly givesTicket: boolean;
  /** As in ServerHello. */
  readonly sessionId: Uint8Array;
  readonly types: CertificateTypes;
  /** What goes with our certificate. */
  readonly ocspResponse: Uint8Array | undefined;
  readonly scts: readonly Uint8Array[] | undefined;
}

/** Common to all states that have the master secret. */
export interface Keyed extends Greeted {
  readonly master: MasterSecret12;
  readonly keys: KeyPair12;
  readonly pskIdentity?: Uint8Array | undefined;
  readonly group: number | undefined;
  /** When the session that is resumed began, Unix milliseconds. */
  readonly resumedSince: number | undefined;
  readonly peer: PeerAuthenticated;
}

export class ExpectChangeCipherSpec implements Expect {
  readonly kind = 'expect';
  readonly #state: Keyed;

  constructor(state: Keyed) {
    this.#state = state;
  }

  receive(message: HandshakeMessage, _io: HandshakeIO): never {
    throw unexpected(message, 'ChangeCipherSpec');
  }

  receiveChangeCipherSpec(io: HandshakeIO): Step {
    io.protectRead12(this.#state.keys.client);
    return new ExpectClientFinished(this.#state);
  }
}

class ExpectClientFinished implements Expect {
  readonly kind = 'expect';
  readonly #state: Keyed;

  constructor(state: Keyed) {
    this.#state = state;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.finished) throw unexpected(message, "the client's Finished");
    const state = this.#state;
    const { transcript, master, randoms, protocol, suite, group, checked, alpnProtocol, peer } = state;
    const finished = FinishedVerified.check(
      io.crypto,
      master.verifyData('client', transcript.snapshot()),
      parseFinished(message.body, VERIFY_DATA_LENGTH),
    );
    transcript.add(message.raw12);
    const resumed = state.resumedSince !== undefined;
    if (!resumed) {
      sendFinished(state, io);
      rememberSession(state, io);
    }
    const agreement: Agreement12 = {
      version: protocol.version,
      suite,
      group,
      serverName: checked.serverName,
      alpnProtocol,
      resumed,
      pskIdentity: state.pskIdentity,
      extendedMasterSecret: checked.extendedMasterSecret,
    };
    const secrets = { master, randoms, endOnRenegotiation: state.config.endOnRenegotiation };
    return new Established12('server', agreement, secrets, transcript.snapshot(), undefined, finished, peer);
  }
}

/** Sends a message, and has it in the transcript. */
export function say({ transcript }: Greeted, message: Uint8Array, io: HandshakeIO): void {
  transcript.add(io.send(message));
}

/** NewSessionTicket if announced, ChangeCipherSpec, and Finished under the new keys (RFC 5077 §3.3, RFC 5246 §7.4.9). */
export function sendFinished(state: Keyed, io: HandshakeIO): void {
  const { transcript, master, keys, givesTicket } = state;
  if (givesTicket) say(state, newTicket(state, io), io);
  io.sendChangeCipherSpec();
  io.protectWrite12(keys.server);
  say(state, buildFinished(master.verifyData('server', transcript.snapshot())), io);
}

function newTicket(state: Keyed, io: HandshakeIO): Uint8Array {
  const { tickets } = state.config;
  const ticket = tickets?.keys.sealBytes(io.crypto, buildState12(sessionState(state, io)));
  // One that would be too long is left out; the message itself was announced (RFC 5077 §3.3).
  return buildNewSessionTicket12({ lifetimeHint: tickets?.lifetime ?? 0, ticket: ticket ?? NOTHING });
}

function rememberSession(state: Keyed, io: HandshakeIO): void {
  const { sessionId, config } = state;
  if (sessionId.length > 0) config.sessions?.store.set(sessionId, buildState12(sessionState(state, io)));
}

function sessionState(state: Keyed, io: HandshakeIO): SessionState12 {
  const { protocol, suite, master, checked, peer, resumedSince, pskIdentity, group } = state;
  return {
    version: protocol.version,
    suite,
    masterSecret: master.bytes,
    extendedMasterSecret: checked.extendedMasterSecret,
    createdAt: resumedSince ?? io.now,
    serverName: checked.serverName,
    pskIdentity,
    group,
    ...keptOf(peer.peer),
  };
}

const NOTHING = new Uint8Array(0);
