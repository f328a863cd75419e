import { PREMASTER_LENGTH } from '../../crypto/premaster.ts';
import { isCbc, isRsaKeyExchange, type Suite12, suite12ById } from '../../crypto/suites12.ts';
import { DecodeError, TlsError } from '../../errors/errors.ts';
import { buildFinished, parseFinished } from '../../messages/authentication.ts';
import { certificateStatus } from '../../messages/extensions.ts';
import { type HandshakeMessage, unexpected } from '../../messages/handshake.ts';
import type { ServerHello } from '../../messages/hello.ts';
import {
  buildCertificateChain,
  buildCertificateVerify12,
  buildEcdheClientKeyExchange,
  buildPskClientKeyExchange,
  buildRawCertificate,
  buildRsaClientKeyExchange,
  type CertificateRequest12,
  ClientCertificateType,
  type EcdhParameters,
  parseCertificateChain,
  parseCertificateRequest12,
  parseEcdheKeyExchange,
  parseEmpty,
  parseNewSessionTicket12,
  parsePskKeyExchange,
} from '../../messages/tls12.ts';
import { ExtensionType, HandshakeType } from '../../wire/codepoints.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import { identitiesOfType, isRaw, judgeShown, requireAcceptedType, shownAs } from '../certificate-types.ts';
import { ChoosingIdentities, certificateWishes } from '../choosing-identities.ts';
import type { ClientConfig, HelloExtensions, Tls12Config } from '../config.ts';
import { confirmConnectionId } from '../dtls/connection-id.ts';
import type { HandshakeIO } from '../io.ts';
import { keptOf } from '../kept-peer.ts';
import { FinishedVerified, PeerAuthenticated } from '../proofs.ts';
import type { ExternalPsk } from '../psk.ts';
import { MAX_TICKET_LIFETIME } from '../session.ts';
import type { Expect, SignatureWanted, Step, Waiting } from '../step.ts';
import type { ClientOffer, SentOffer } from '../tls13/client-hello.ts';
import { optionalExtension, requireShown, suitedTo } from '../tls13/shared.ts';
import { checkDowngrade } from '../versions.ts';
import { offeredSuites12, psk12 } from './client-hello.ts';
import { type Agreement12, Established12 } from './established.ts';
import { MasterSecret12, type Randoms, VERIFY_DATA_LENGTH } from './key-schedule.ts';
import { permitsCbc, prfHashOf, spokenProtocols12, type Terms12 } from './protocol.ts';
import { empty, readServerHelloExtensions, type ServerAnswer } from './server-hello-check.ts';
import type { ClientSession12 } from './session.ts';
import {
  chooseIdentity12,
  keyExchangeInput,
  pointGroups,
  pskPremaster,
  rawChain,
  requireCurveAmong,
  requireKindOf,
} from './shared.ts';
import { Transcript12 } from './transcript.ts';

/*
 * RFC 5246 §7.3 and RFC 5077 §3.1. Each class awaits one message:
 *
 *   ServerHello ┬ (psk)     ExpectPskKeyExchange → ExpectServerHelloDone, then as in full
 *               ├ (full)    ExpectCertificate → (ECDHE: ExpectServerKeyExchange) → ExpectCertificateRequestOrDone
 *               │             → ExpectServerHelloDone → [SigningAsClient] → our flight → ┐
 *               └ (resumed) ─────────────────────────────────────────────────────────────┤
 *                            [ExpectNewSessionTicket] → ExpectChangeCipherSpec ←─────────┘
 *                               → ExpectFinished → (resumed: our ChangeCipherSpec, Finished) → Established12
 */

/**
 * Goes on after a ServerHello that selects TLS 1.2 or what is older.
 * @param raw it, as the transcript of TLS 1.2 has it
 */
export function acceptServerHello12(
  setup: { readonly config: ClientConfig; readonly extensions: HelloExtensions; readonly tls12: Tls12Config },
  offer: SentOffer,
  hello: ServerHello,
  raw: Uint8Array,
  io: HandshakeIO,
): Step {
  const { config } = setup;
  const protocol = spokenProtocols12(config).find(({ version }) => version === hello.legacyVersion);
  if (protocol === undefined) {
    throw new TlsError('ERR_TLS_UNSUPPORTED_VERSION', 'The server selects a version that was not offered');
  }
  checkDowngrade(hello.random, config, protocol.version);
  const suite = suite12ById(hello.cipherSuite);
  if (suite === undefined || !offeredSuites12(config, protocol).includes(suite)) {
    throw new TlsError(
      'ERR_TLS_ILLEGAL_PARAMETER',
      'ServerHello selects a cipher suite that was not offered for this version',
    );
  }
  if (hello.legacyCompressionMethod !== 0) {
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerHello selects a compression method');
  }
  const terms = { protocol, suite, encryptThenMac: checkEncryptThenMac(config, hello, suite) };
  const resumed = resumedSession(offer, hello, terms);
  const answer = readServerHelloExtensions(setup, protocol, offer, hello, resumed?.session);
  io.speakTls12(protocol.version);
  confirmConnectionId(config, hello.extensions, io);
  if (answer.recordSizeLimit !== undefined)
    io.limitRecords(answer.recordSizeLimit, config.recordSizeLimit ?? 2 ** 14);
  const transcript = new Transcript12(io.crypto, prfHashOf(terms));
  transcript.add(offer.raw12);
  transcript.add(raw);
  const randoms = { client: offer.hello.random, server: hello.random };
  const state: Greeted = {
    config,
    randoms,
    transcript,
    answer,
    sessionId: hello.legacySessionIdEcho,
    offeredVersion: offer.hello.legacyVersion,
    ...terms,
  };
  if (resumed === undefined) {
    const psk = suite.authentication === 'psk' ? psk12(config) : undefined;
    return psk === undefined ? new ExpectCertificate(state) : new ExpectPskKeyExchange(state, psk);
  }
  transcript.forgetMessages();
  const master = new MasterSecret12(io.crypto, terms, resumed.session.masterSecret);
  return expectServerFlight(
    {
      master,
      group: resumed.session.group,
      pskIdentity: resumed.session.pskIdentity,
      peer: PeerAuthenticated.bySession12(resumed.peer),
      resumed: resumed.session,
      ...state,
    },
    io,
  );
}

/** RFC 7366 §3: for CBC, and for nothing else. @returns whether it was agreed on */
function checkEncryptThenMac(config: ClientConfig, { extensions }: ServerHello, suite: Suite12): boolean {
  const answer =
    optionalExtension(extensions, ExtensionType.encrypt_then_mac, empty('encrypt_then_mac')) ?? false;
  if (isCbc(suite) && !permitsCbc(config, answer)) {
    throw new TlsError(
      'ERR_TLS_HANDSHAKE_FAILURE',
      'The server chose CBC and does not know encrypt_then_mac (RFC 7366)',
    );
  }
  if (answer && !isCbc(suite)) {
    throw new TlsError(
      'ERR_TLS_ILLEGAL_PARAMETER',
      'ServerHello has encrypt_then_mac, and a suite that does not need it',
    );
  }
  return answer;
}

/** Our session, when the server echoes its id (RFC 5246 §7.4.1.3, RFC 5077 §3.4). */
function resumedSession(
  offer: ClientOffer,
  hello: ServerHello,
  { protocol, suite }: Terms12,
): ClientOffer['session12'] {
  const echo = hello.legacySessionIdEcho;
  const sent = offer.hello.legacySessionId;
  if (echo.length === 0 || echo.length !== sent.length || echo.some((byte, i) => byte !== sent[i])) {
    return undefined;
  }
  const { session12 } = offer;
  if (session12 === undefined) {
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerHello resumes a session that does not exist');
  }
  if (session12.session.suite !== suite) {
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerHello resumes a session with another suite');
  }
  if (session12.session.version !== protocol.version) {
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerHello resumes a session with another version');
  }
  return session12;
}

/** Common to all states after ServerHello. */
interface Greeted extends Terms12 {
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

class ExpectCertificate implements Expect {
  readonly kind = 'expect';
  readonly #state: Greeted;

  constructor(state: Greeted) {
    this.#state = state;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.certificate) throw unexpected(message, 'Certificate');
    const { answer, config, transcript, suite } = this.#state;
    const raw = isRaw(answer.types.server);
    requireAcceptedType(config, answer.types.server);
    const chain = raw ? rawChain(message.body) : parseCertificateChain(message.body);
    // RFC 5246 §7.4.2: the server's own certificate comes first, so there is one.
    if (chain.length === 0) throw new DecodeError('Certificate: the server sent no certificate');
    transcript.add(message.raw12);
    const judge = (ocspResponse: Uint8Array | undefined): Expect => {
      const schemes = config.certificateSchemes ?? config.schemes;
      const { serverName } = config;
      const keyUse = isRsaKeyExchange(suite) ? 'encipherment' : undefined;
      const context = { now: io.now, serverName, schemes, keyUse, ocspResponse } as const;
      const peer = judgeShown(config, answer.types.server, chain, context);
      requireKindOf(suite, peer);
      requireCurveAmong(config.groups, peer);
      const state = { ocspResponse, ...this.#state };
      return isRsaKeyExchange(suite)
        ? new ExpectCertificateRequestOrDone(withRsaKeyExchange(state, peer))
        : new ExpectServerKeyExchange(state, peer);
    };
    return answer.sendsStatus ? new ExpectCertificateStatus(transcript, judge) : judge(undefined);
  }
}

/** RFC 6066 §8: a server that has agreed to send its status may still leave it out. */
class ExpectCertificateStatus implements Expect {
  readonly kind = 'expect';
  readonly #transcript: Transcript12;
  readonly #judge: (ocspResponse: Uint8Array | undefined) => Expect;

  constructor(transcript: Transcript12, judge: (ocspResponse: Uint8Array | undefined) => Expect) {
    this.#transcript = transcript;
    this.#judge = judge;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.certificate_status) return this.#judge(undefined).receive(message, io);
    const ocspResponse = certificateStatus.parse(message.body);
    this.#transcript.add(message.raw12);
    return this.#judge(ocspResponse);
  }
}

class ExpectServerKeyExchange implements Expect {
  readonly kind = 'expect';
  readonly #state: Greeted;
  readonly #peer: PeerIdentity;

  constructor(state: Greeted, peer: PeerIdentity) {
    this.#state = state;
    this.#peer = peer;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.server_key_exchange) throw unexpected(message, 'ServerKeyExchange');
    const { config, transcript, randoms, protocol } = this.#state;
    const exchange = parseEcdheKeyExchange(message.body, protocol.namesSchemes);
    requireOffered(config, exchange);
    const input = keyExchangeInput(randoms, exchange.encoded);
    const peer = PeerAuthenticated.bySignature12(
      io.crypto,
      this.#peer,
      input,
      exchange.signed,
      config.schemes,
    );
    transcript.add(message.raw12);
    return new ExpectCertificateRequestOrDone({
      peer,
      group: exchange.group,
      exchange: (later) => {
        const { share, secret } = respond(later, exchange);
        return { message: buildEcdheClientKeyExchange(share), premaster: secret };
      },
      ...this.#state,
    });
  }
}

/**
 * The PSK suites: no certificate, and of ServerKeyExchange only what is needed; without ECDHE and without a hint it is left
 * out (RFC 4279 §2). We have one key, so a hint chooses nothing: it is for the application.
 */
class ExpectPskKeyExchange implements Expect {
  readonly kind = 'expect';
  readonly #state: Greeted;
  readonly #psk: ExternalPsk;

  constructor(state: Greeted, psk: ExternalPsk) {
    this.#state = state;
    this.#psk = psk;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    const { config, transcript, suite } = this.#state;
    if (message.type !== HandshakeType.server_key_exchange) {
      if (suite.ephemeral) throw unexpected(message, 'ServerKeyExchange');
      return this.#next(undefined, undefined).receive(message, io);
    }
    const { hint, parameters } = parsePskKeyExchange(message.body, suite.ephemeral);
    if (parameters !== undefined) requireOffered(config, parameters);
    transcript.add(message.raw12);
    // A copy: it outlives the record. RFC 5489 §2: without one the length is zero.
    return this.#next(parameters, hint.length === 0 ? undefined : new Uint8Array(hint));
  }

  #next(parameters: EcdhParameters | undefined, pskIdentityHint: Uint8Array | undefined): Expect {
    const { identity, key } = this.#psk;
    const state: KeysOffered = {
      peer: PeerAuthenticated.byExternalPsk(),
      pskIdentity: identity,
      pskIdentityHint,
      group: parameters?.group,
      exchange: (io) => {
        const own = parameters === undefined ? undefined : respond(io, parameters);
        const message = buildPskClientKeyExchange({ identity, point: own?.share });
        return { message, premaster: pskPremaster(key, own?.secret) };
      },
      ...this.#state,
    };
    return new ExpectServerHelloDone(state, undefined);
  }
}

/**
 * RFC 5246 §7.4.7.1: `struct { ProtocolVersion client_version; opaque random[46]; } PreMasterSecret;`, the version being the one
 * that was offered.
 */
function withRsaKeyExchange(state: Greeted, peer: PeerIdentity): KeysOffered {
  return {
    peer: PeerAuthenticated.byRsaKeyExchange(peer),
    group: undefined,
    exchange: ({ crypto }) => {
      const premaster = new Uint8Array(PREMASTER_LENGTH);
      premaster.set([state.offeredVersion >> 8, state.offeredVersion & 0xff]);
      premaster.set(crypto.randomBytes(PREMASTER_LENGTH - 2), 2);
      const message = buildRsaClientKeyExchange(crypto.encryptPkcs1(peer.publicKey, premaster));
      return { message, premaster };
    },
    ...state,
  };
}

/** RFC 8422 §5.4: the server chooses among our groups. */
function requireOffered({ groups }: ClientConfig, { group }: EcdhParameters): void {
  if (pointGroups(groups).includes(group)) return;
  throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerKeyExchange uses a group that was not offered');
}

function respond(io: HandshakeIO, { group, point }: EcdhParameters) {
  const keyExchange = io.crypto.group(group);
  if (keyExchange === undefined) {
    throw new TlsError('ERR_TLS_INTERNAL', `Group 0x${group.toString(16)} is not available`);
  }
  return keyExchange.respond(point);
}

/** After ServerKeyExchange. */
interface KeysOffered extends Greeted {
  readonly peer: PeerAuthenticated;
  readonly group: number | undefined;
  readonly pskIdentity?: Uint8Array | undefined;
  readonly pskIdentityHint?: Uint8Array | undefined;
  /** Makes our ClientKeyExchange and the secret that both sides then have. */
  readonly exchange: (io: HandshakeIO) => { readonly message: Uint8Array; readonly premaster: Uint8Array };
}

class ExpectCertificateRequestOrDone implements Expect {
  readonly kind = 'expect';
  readonly #state: KeysOffered;

  constructor(state: KeysOffered) {
    this.#state = state;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.certificate_request) {
      return new ExpectServerHelloDone(this.#state, undefined).receive(message, io);
    }
    const request = parseCertificateRequest12(message.body, this.#state.protocol.namesSchemes);
    this.#state.transcript.add(message.raw12);
    return new ExpectServerHelloDone(this.#state, request);
  }
}

class ExpectServerHelloDone implements Expect {
  readonly kind = 'expect';
  readonly #state: KeysOffered;
  readonly #request: CertificateRequest12 | undefined;

  constructor(state: KeysOffered, request: CertificateRequest12 | undefined) {
    this.#state = state;
    this.#request = request;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.server_hello_done) throw unexpected(message, 'ServerHelloDone');
    parseEmpty('ServerHelloDone', message.body);
    // Nobody can know what to say next before our answer is there.
    io.requireRecordEnd();
    this.#state.transcript.add(message.raw12);
    const { config } = this.#state;
    const { identitySource } = config;
    if (this.#request === undefined || identitySource === undefined) return this.#answer(config, io);
    const { types, schemes, authorities } = this.#request;
    return new ChoosingIdentities(
      identitySource,
      config.serverName,
      certificateWishes(schemes, authorities, types),
      (identities, later) => this.#answer({ ...config, identities }, later),
    );
  }

  #answer(config: ClientConfig, io: HandshakeIO): Step {
    const { transcript, exchange, randoms, answer } = this.#state;
    const say = (ours: Uint8Array): void => transcript.add(io.send(ours));
    const type = answer.types.client;
    const choice = this.#request === undefined ? undefined : chooseForRequest(config, type, this.#request);
    if (this.#request !== undefined) {
      requireShown(config, choice);
      const shown = choice === undefined ? [] : shownAs(choice.identity, type);
      say(isRaw(type) ? buildRawCertificate(shown[0]) : buildCertificateChain(shown));
    }

    const { message: keyExchange, premaster } = exchange(io);
    say(keyExchange);
    const master = answer.extendedMasterSecret
      ? MasterSecret12.extended(io.crypto, this.#state, premaster, transcript.snapshot())
      : MasterSecret12.ofRandoms(io.crypto, this.#state, premaster, randoms);
    const certificateRequested = this.#request !== undefined;
    const next: Keyed = { master, resumed: undefined, certificateRequested, ...this.#state };
    if (choice === undefined) return finishFlight(next, io);
    const wanted = {
      kind: 'signature',
      key: choice.identity.key,
      scheme: choice.scheme,
      input: transcript.messages(),
    } as const;
    return new SigningAsClient(wanted, next);
  }
}

/** RFC 5246 §7.4.4: both lists bind us; the authorities are a wish. */
function chooseForRequest(
  config: ClientConfig,
  type: number,
  { types, schemes, authorities }: CertificateRequest12,
) {
  const kinds = (['ecdsa', 'rsa'] as const).filter((kind) =>
    types.includes(ClientCertificateType[`${kind}_sign`]),
  );
  return chooseIdentity12(suitedTo(identitiesOfType(config.identities, type), authorities), schemes, kinds);
}

/** Common to all states that have the master secret. */
interface Keyed extends Greeted {
  readonly peer: PeerAuthenticated;
  readonly group: number | undefined;
  readonly pskIdentity?: Uint8Array | undefined;
  readonly pskIdentityHint?: Uint8Array | undefined;
  readonly master: MasterSecret12;
  readonly certificateRequested?: boolean;
  /** The session that is resumed. */
  readonly resumed: ClientSession12 | undefined;
}

/** Our CertificateVerify waits for whoever holds the key. */
class SigningAsClient implements Waiting {
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

function finishFlight(state: Keyed, io: HandshakeIO): Step {
  state.transcript.forgetMessages();
  sendFinished(state, io);
  return expectServerFlight(state, io);
}

/** ChangeCipherSpec, and Finished as the first message under the new keys (RFC 5246 §7.1, §7.4.9). */
function sendFinished({ transcript, master, randoms }: Keyed, io: HandshakeIO): void {
  io.sendChangeCipherSpec();
  io.protectWrite12(master.keys(randoms).client);
  transcript.add(io.send(buildFinished(master.verifyData('client', transcript.snapshot()))));
}

function expectServerFlight(state: Keyed, io: HandshakeIO): Step {
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
    const { master, randoms } = this.#state;
    io.protectRead12(master.keys(randoms).server);
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
