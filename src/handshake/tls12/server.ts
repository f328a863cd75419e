import type { KeyExchange } from '../../crypto/provider.ts';
import { isCbc } from '../../crypto/suites12.ts';
import { TlsError } from '../../errors/errors.ts';
import {
  certificateStatus,
  type Extension,
  findExtension,
  protocolNameList,
  recordSizeLimit,
  signedCertificateTimestamps,
} from '../../messages/extensions.ts';
import { handshakeMessage } from '../../messages/handshake.ts';
import { buildServerHello, type ClientHello } from '../../messages/hello.ts';
import {
  buildCertificateChain,
  buildCertificateRequest12,
  buildEcdheKeyExchange,
  buildPskKeyExchange,
  buildRawCertificate,
  buildServerHelloDone,
  ClientCertificateType,
  encodeEcdhParameters,
} from '../../messages/tls12.ts';
import { ExtensionType, HandshakeType } from '../../wire/codepoints.ts';
import { isRaw, ONLY_X509, resumedCertificateType, shownAs } from '../certificate-types.ts';
import type { HelloExtensions, Identity, ServerConfig } from '../config.ts';
import { answerConnectionId } from '../dtls/connection-id.ts';
import type { HandshakeIO } from '../io.ts';
import { PeerAuthenticated } from '../proofs.ts';
import type { SignatureWanted, Step, Waiting } from '../step.ts';
import { chooseProtocol } from '../tls13/client-hello-check.ts';
import { markDowngrade } from '../versions.ts';
import { type CheckedClientHello12, checkClientHello12 } from './client-hello-check.ts';
import { MasterSecret12 } from './key-schedule.ts';
import { PROTOCOLS_12, prfHashOf } from './protocol.ts';
import { type Choice, chooseSuite } from './server-choice.ts';
import {
  ExpectClientCertificate,
  ExpectClientKeyExchange,
  type KeysOffered,
} from './server-client-flight.ts';
import { ExpectChangeCipherSpec, type Greeted, type Keyed, say, sendFinished } from './server-finish.ts';
import { findSession, SESSION_ID_LENGTH, type UsableSession } from './server-sessions.ts';
import { hasConnectionIds, keyExchangeInput, UNCOMPRESSED_POINTS } from './shared.ts';
import { Transcript12 } from './transcript.ts';

/*
 * RFC 5246 §7.3 and RFC 5077 §3.1. Each class awaits one message, or an answer from outside.
 * Those of the client's flight are in server-client-flight.ts, what follows once there are keys in server-finish.ts:
 *
 *   ClientHello ┬ (psk) ServerHello…ServerHelloDone → ExpectClientKeyExchange, then as in full
 *               ├ (full) ServerHello, Certificate → (ECDHE: [SigningAsServer] → ServerKeyExchange) …ServerHelloDone
 *               │          → [ExpectClientCertificate] → ExpectClientKeyExchange → (RSA: [Decrypting])
 *               │          → [ExpectCertificateVerify] ──────────────────────────────────────────────────────┐
 *               └ (resumed) ServerHello, [NewSessionTicket], ChangeCipherSpec, Finished ─────────────────────┤
 *                           ExpectChangeCipherSpec → ExpectClientFinished ←──────────────────────────────────┘
 *                             → (full: [NewSessionTicket], ChangeCipherSpec, Finished) → Established12
 */

interface Setup {
  readonly config: ServerConfig;
  readonly extensions: HelloExtensions;
}

/**
 * Answers a ClientHello with which a version before TLS 1.3 was chosen.
 * @param raw it, as the transcript of TLS 1.2 has it
 */
export function answerClientHello12(
  { config, extensions }: Setup,
  version: number,
  hello: ClientHello,
  raw: Uint8Array,
  io: HandshakeIO,
): Step {
  const { tls12 } = config;
  const protocol = PROTOCOLS_12.find((candidate) => candidate.version === version);
  if (tls12 === undefined || protocol === undefined)
    throw new TlsError('ERR_TLS_INTERNAL', 'No version before TLS 1.3 is configured');
  const checked = checkClientHello12(hello, tls12, protocol);
  // Nobody can know what to say next before our answer is there.
  io.requireRecordEnd();
  io.speakTls12(version);
  // RFC 8449 §4: a client may announce more than this version has.
  if (checked.recordSizeLimit !== undefined)
    io.limitRecords(Math.min(checked.recordSizeLimit, MAX_FRAGMENT_12), ownRecordSizeLimit(config));
  const session = findSession(config, protocol, checked, io);
  const choice = session === undefined ? chooseSuite(config, protocol, checked) : undefined;
  const suite = session?.state.suite ?? (choice as Choice).suite;
  const alpnProtocol = chooseProtocol(config, checked, checked.serverName);
  const givesTicket = mayGiveTicket(config, checked, session !== undefined, io);
  const random = markDowngrade(io.crypto.randomBytes(32), config, version);
  const sessionId =
    session !== undefined
      ? hello.legacySessionId
      : givesTicket || config.sessions === undefined
        ? NOTHING
        : io.crypto.randomBytes(SESSION_ID_LENGTH);
  const terms = { protocol, suite, encryptThenMac: isCbc(suite) && checked.encryptThenMac };
  const transcript = new Transcript12(io.crypto, prfHashOf(terms));
  transcript.add(raw);
  const showsRaw = isRaw(choice?.selection?.types.server ?? ONLY_X509.server);
  const state: Greeted = {
    config,
    randoms: { client: hello.random, server: random },
    transcript,
    checked,
    alpnProtocol,
    givesTicket,
    sessionId,
    types: choice?.selection?.types ?? ONLY_X509,
    ...staplesFor(showsRaw ? undefined : choice?.certificate?.identity, checked),
    ...terms,
  };
  const answer = buildServerHello({
    legacyVersion: version,
    random,
    legacySessionIdEcho: sessionId,
    cipherSuite: suite.id,
    legacyCompressionMethod: 0,
    extensions: [
      ...serverHelloExtensions(extensions, state, session !== undefined),
      ...(hasConnectionIds(protocol) ? answerConnectionId(config, hello.extensions, io) : []),
      ...(choice === undefined
        ? resumedCertificateType(config, checked.certificateTypes, checked.serverName)
        : (choice.selection?.extensions ?? [])),
    ],
  });
  say(state, answer, io);
  return session === undefined ? offerKeys(state, choice as Choice, io) : resume(state, session, io);
}

/**
 * RFC 5077 §3.3. A ticket that was just resumed stays good until its session is too old, and another one would live no longer: it is
 * replaced only when its key has been.
 */
function mayGiveTicket(
  { tickets }: ServerConfig,
  { ticket }: CheckedClientHello12,
  resumes: boolean,
  io: HandshakeIO,
): boolean {
  if (tickets === undefined || ticket === undefined) return false;
  return !resumes || !tickets.keys.isCurrent(io.crypto, ticket);
}

/** What the client has asked for and we have; nothing where no certificate is shown. */
function staplesFor(identity: Identity | undefined, { wantsOcsp, wantsScts }: CheckedClientHello12) {
  const scts = identity?.scts;
  return {
    ocspResponse: wantsOcsp ? identity?.ocspResponse : undefined,
    scts: wantsScts && scts !== undefined && scts.length > 0 ? scts : undefined,
  };
}

function serverHelloExtensions(
  handlers: HelloExtensions,
  { config, checked, encryptThenMac, alpnProtocol, givesTicket, ocspResponse, scts }: Greeted,
  resumes: boolean,
): Extension[] {
  const { hello, serverName, extendedMasterSecret, secureRenegotiation, sendsPointFormats } = checked;
  const list: Extension[] = [];
  const add = (type: number, body: Uint8Array): void => {
    list.push({ type, body });
  };
  // RFC 6066 §3: not when a session is resumed.
  if (serverName !== undefined && !resumes) add(ExtensionType.server_name, NOTHING);
  if (secureRenegotiation) add(ExtensionType.renegotiation_info, Uint8Array.of(0));
  if (extendedMasterSecret) add(ExtensionType.extended_master_secret, NOTHING);
  if (encryptThenMac) add(ExtensionType.encrypt_then_mac, NOTHING);
  if (sendsPointFormats) add(ExtensionType.ec_point_formats, UNCOMPRESSED_POINTS);
  if (givesTicket) add(ExtensionType.session_ticket, NOTHING);
  // RFC 6066 §8: empty here, and a message of its own behind Certificate.
  if (ocspResponse !== undefined) add(ExtensionType.status_request, NOTHING);
  if (scts !== undefined) {
    add(ExtensionType.signed_certificate_timestamp, signedCertificateTimestamps.build(scts));
  }
  if (alpnProtocol !== undefined) {
    const body = protocolNameList.build([alpnProtocol]);
    add(ExtensionType.application_layer_protocol_negotiation, body);
  }
  if (checked.recordSizeLimit !== undefined)
    add(ExtensionType.record_size_limit, recordSizeLimit.build(ownRecordSizeLimit(config)));
  for (const handler of handlers) {
    // Without extended_master_secret, what they bind to this session may hold for another as well (RFC 7627 §1).
    const offered = extendedMasterSecret ? findExtension(hello.extensions, handler.extensionType) : undefined;
    const body = handler.answer(offered, { serverName, alpnProtocol });
    if (body === undefined) continue;
    if (offered === undefined) {
      throw new TlsError('ERR_TLS_INTERNAL', 'A sub-protocol answered an extension that was not offered');
    }
    add(handler.extensionType, body);
  }
  return list;
}

/** RFC 8449 §4: here it counts the content alone, so 2^14 is all there is. */
const MAX_FRAGMENT_12 = 2 ** 14;
const ownRecordSizeLimit = ({ recordSizeLimit: limit = MAX_FRAGMENT_12 }: ServerConfig): number =>
  Math.min(limit, MAX_FRAGMENT_12);

// ── resumption ───────────────────────────────────────────────────────────────────────────────────

function resume(state: Greeted, { state: session, peer }: UsableSession, io: HandshakeIO): Step {
  state.transcript.forgetMessages();
  const master = new MasterSecret12(io.crypto, state, session.masterSecret);
  io.keylog('CLIENT_RANDOM', state.randoms.client, master.bytes);
  const next: Keyed = {
    master,
    keys: master.keys(state.randoms),
    group: session.group,
    pskIdentity: session.pskIdentity,
    resumedSince: session.createdAt,
    peer: PeerAuthenticated.bySession12(peer),
    ...state,
  };
  sendFinished(next, io);
  return new ExpectChangeCipherSpec(next);
}

// ── full handshake ───────────────────────────────────────────────────────────────────────────────

function offerKeys(state: Greeted, { group, certificate }: Choice, io: HandshakeIO): Step {
  if (certificate !== undefined) sendCertificate(state, certificate.identity, io);
  const keyExchange = group === undefined ? undefined : begin(io, group);
  const parameters =
    group === undefined || keyExchange === undefined
      ? undefined
      : encodeEcdhParameters({ group, point: keyExchange.share });
  const next: KeysOffered = { group, keyExchange, ...state };
  if (certificate === undefined) return offerPsk(next, parameters, io);
  if ('decrypting' in certificate)
    return finishServerFlight({ decrypting: certificate.decrypting, ...next }, io);
  if (parameters === undefined)
    throw new TlsError('ERR_TLS_INTERNAL', 'A certificate without a key exchange');
  const { identity, scheme } = certificate;
  const input = keyExchangeInput(state.randoms, parameters);
  const wanted = { kind: 'signature', key: identity.key, scheme, input } as const;
  return new SigningAsServer(wanted, parameters, next);
}

function sendCertificate(state: Greeted, identity: Identity, io: HandshakeIO): void {
  const shown = shownAs(identity, state.types.server);
  say(state, isRaw(state.types.server) ? buildRawCertificate(shown[0]) : buildCertificateChain(shown), io);
  if (state.ocspResponse === undefined) return;
  const body = certificateStatus.build(state.ocspResponse);
  say(
    state,
    handshakeMessage(HandshakeType.certificate_status, (w) => w.bytes(body)),
    io,
  );
}

/** Without ECDHE and without a hint there is no ServerKeyExchange; and no one is asked for a certificate (RFC 4279 §2). */
function offerPsk(state: KeysOffered, parameters: Uint8Array | undefined, io: HandshakeIO): Step {
  state.transcript.forgetMessages();
  const { pskIdentityHint: hint = NOTHING } = state.config;
  if (parameters !== undefined || hint.length > 0) say(state, buildPskKeyExchange(hint, parameters), io);
  say(state, buildServerHelloDone(), io);
  return new ExpectClientKeyExchange(state, undefined);
}

function begin(io: HandshakeIO, group: number): KeyExchange {
  const keyExchange = io.crypto.group(group)?.begin();
  if (keyExchange !== undefined) return keyExchange;
  throw new TlsError('ERR_TLS_INTERNAL', `Group 0x${group.toString(16)} is not available`);
}

/** What comes behind the key exchange, or in its place. */
function finishServerFlight(state: KeysOffered, io: HandshakeIO): Step {
  const { config, transcript } = state;
  const asks = config.clientCertificate !== 'none';
  if (asks) say(state, buildCertificateRequest12(certificateRequest(state)), io);
  else transcript.forgetMessages();
  say(state, buildServerHelloDone(), io);
  return asks ? new ExpectClientCertificate(state) : new ExpectClientKeyExchange(state, undefined);
}

/** Our ServerKeyExchange waits for whoever holds the key. */
class SigningAsServer implements Waiting {
  readonly kind = 'waiting';
  readonly wanted: SignatureWanted;
  readonly #parameters: Uint8Array;
  readonly #state: KeysOffered;

  constructor(wanted: SignatureWanted, parameters: Uint8Array, state: KeysOffered) {
    this.wanted = wanted;
    this.#parameters = parameters;
    this.#state = state;
  }

  provide(signature: Uint8Array, io: HandshakeIO): Step {
    const state = this.#state;
    const scheme = state.protocol.namesSchemes ? this.wanted.scheme : undefined;
    say(state, buildEcdheKeyExchange(this.#parameters, { scheme, signature }), io);
    return finishServerFlight(state, io);
  }
}

function certificateRequest({ config, protocol }: KeysOffered) {
  const { ecdsa_sign, rsa_sign } = ClientCertificateType;
  const schemes = protocol.namesSchemes ? config.schemes : undefined;
  return { types: [ecdsa_sign, rsa_sign], schemes, authorities: config.certificateAuthorities };
}

const NOTHING = new Uint8Array(0);
