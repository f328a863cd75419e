import type { Suite } from '../../crypto/suites.ts';
import { TlsError } from '../../errors/errors.ts';
import {
  buildCertificate,
  buildCertificateRequest,
  buildCertificateVerify,
  buildFinished,
  type CertificateEntry,
} from '../../messages/authentication.ts';
import {
  bindersLength,
  certificateStatus,
  cookie,
  type Extension,
  findExtension,
  keyShareServerHello,
  MAX_RECORD_SIZE_LIMIT,
  protocolNameList,
  recordSizeLimit,
  selectedGroup,
  selectedIdentity,
  selectedVersion,
  signedCertificateTimestamps,
} from '../../messages/extensions.ts';
import { buildEncryptedExtensions, buildServerHello, HELLO_RETRY_RANDOM } from '../../messages/hello.ts';
import { MAX_SKIPPED_EARLY_DATA } from '../../record/tls/early-data-skip.ts';
import { ExtensionType } from '../../wire/codepoints.ts';
import {
  identitiesOfType,
  isRaw,
  ONLY_X509,
  resumedCertificateType,
  selectCertificateTypes,
  shownAs,
} from '../certificate-types.ts';
import type { Identity, ServerConfig } from '../config.ts';
import { answerConnectionId } from '../dtls/connection-id.ts';
import { EARLY_DATA_WINDOW } from '../early-data-guard.ts';
import type { HandshakeIO } from '../io.ts';
import { EarlySecret, finishedMac } from '../key-schedule.ts';
import { PeerAuthenticated, signatureInput } from '../proofs.ts';
import type { SignatureWanted, Step, Waiting } from '../step.ts';
import type { EarlyTerms } from '../tickets.ts';
import type { Transcript } from '../transcript.ts';
import { versionNumbers } from '../versions.ts';
import { requestExtensions } from './certificate-request.ts';
import { type CheckedClientHello, chooseProtocol } from './client-hello-check.ts';
import { compressed } from './compression.ts';
import {
  type Answered,
  ExpectClientCertificate,
  ExpectClientFinished,
  ExpectEndOfEarlyData,
  type Sent,
  type Setup,
} from './server-client-flight.ts';
import type { UsablePsk } from './server-psk.ts';
import { chooseIdentity } from './shared.ts';

/** Everything that ServerHello and what follows it are made from. */
export interface Choices {
  readonly checked: CheckedClientHello;
  readonly suite: Suite;
  /** The group, and the client's share; `undefined` where the PSK serves alone. */
  readonly exchange: { readonly group: number; readonly share: Uint8Array } | undefined;
  readonly psk: UsablePsk | undefined;
  /** Up to, not including, this ClientHello. */
  readonly transcript: Transcript;
  readonly raw: Uint8Array;
  /** A HelloRetryRequest came before. */
  readonly retried: boolean;
}

/** Sends ServerHello and what follows it. */
export function answer(setup: Setup, choices: Choices, io: HandshakeIO): Step {
  const { config } = setup;
  const { checked, suite, exchange, psk, transcript, raw } = choices;
  const { serverName } = checked;
  const proven = psk === undefined ? undefined : verifyBinder(psk, transcript, raw, checked, io);
  transcript.add(raw);
  const alpnProtocol = chooseProtocol(config, checked, serverName);
  const identities = proven === undefined ? config.selectIdentities(serverName) : [];
  // With a PSK nobody shows anything.
  const selection =
    proven === undefined ? selectCertificateTypes(config, checked.certificateTypes, identities) : undefined;
  const types = selection?.types ?? ONLY_X509;
  const identity =
    proven === undefined
      ? identityFor(config, checked, identitiesOfType(identities, types.server))
      : undefined;
  // Only now: the binder has shown that this ClientHello was made by whoever has the ticket.
  const earlyTerms = choices.retried ? undefined : acceptedEarlyTerms(config, checked, psk, alpnProtocol, io);
  const earlySecret =
    earlyTerms === undefined ? undefined : psk?.earlySecret.clientTrafficSecret(transcript.snapshot());
  if (checked.offersEarlyData && earlyTerms === undefined) skipEarlyData(config, io);

  const extensions = [selectedTls13(config)];
  let secret: Uint8Array | undefined;
  // §4.2.9: in psk_ke, MUST NOT supply a key_share.
  if (exchange !== undefined) {
    const { group } = exchange;
    const response = respond(io, group, exchange.share);
    secret = response.secret;
    const body = keyShareServerHello.build({ group, keyExchange: response.share });
    extensions.push({ type: ExtensionType.key_share, body });
  }
  if (psk !== undefined) {
    extensions.push({ type: ExtensionType.pre_shared_key, body: selectedIdentity.build(psk.index) });
  }
  extensions.push(...answerConnectionId(config, checked.hello.extensions, io));
  const hello = buildServerHello({
    random: io.crypto.randomBytes(32),
    extensions,
    ...serverHelloFor(config, checked.hello.legacySessionId, suite),
  });
  io.send(hello);
  transcript.add(hello);
  // §D.4: immediately after our first handshake message, which may have been a HelloRetryRequest.
  if (isCompatible(config, checked) && !choices.retried) io.sendChangeCipherSpec();

  const early = psk?.earlySecret ?? EarlySecret.withoutPsk(io.crypto, suite.hash);
  const handshakeSecret = early.handshakeSecret(secret);
  const traffic = handshakeSecret.trafficSecrets(transcript.snapshot());
  const clientRandom = checked.hello.random;
  io.keylog('CLIENT_HANDSHAKE_TRAFFIC_SECRET', clientRandom, traffic.client);
  io.keylog('SERVER_HANDSHAKE_TRAFFIC_SECRET', clientRandom, traffic.server);
  io.protectWrite(suite, traffic.server);
  if (earlySecret !== undefined) io.keylog('CLIENT_EARLY_TRAFFIC_SECRET', clientRandom, earlySecret);
  io.protectRead(suite, earlySecret ?? traffic.client);

  if (checked.recordSizeLimit !== undefined) {
    // A client may announce more than this version has (RFC 8449 §4).
    const sending = Math.min(checked.recordSizeLimit, MAX_RECORD_SIZE_LIMIT) - 1;
    io.limitRecords(sending, config.recordSizeLimit ?? MAX_RECORD_SIZE_LIMIT);
  }
  const say = (message: Uint8Array): void => {
    io.send(message);
    transcript.add(message);
  };
  const answers = encryptedExtensions(setup, checked, alpnProtocol, proven !== undefined);
  if (selection !== undefined) answers.push(...selection.extensions);
  else if (psk?.ticket !== undefined)
    answers.push(...resumedCertificateType(config, checked.certificateTypes, serverName));
  if (earlyTerms !== undefined) answers.push({ type: ExtensionType.early_data, body: NOTHING });
  say(buildEncryptedExtensions(answers));
  const agreement = {
    version: versionNumbers(config).tls13,
    suite,
    group: exchange?.group,
    serverName,
    alpnProtocol,
    resumed: psk?.ticket !== undefined,
    pskIdentity: psk?.ticket === undefined ? psk?.identity : psk.ticket.pskIdentity,
    earlyDataAccepted: checked.offersEarlyData ? earlyTerms !== undefined : undefined,
  };
  const state: Answered = {
    suite,
    transcript,
    clientRandom,
    traffic,
    agreement,
    master: handshakeSecret.masterSecret(),
    wantsTickets: checked.wantsTickets,
    earlyTerms,
    types,
    // Over datagrams, answers would have to be put in order among retransmissions first.
    postHandshakeAuth: checked.postHandshakeAuth && config.datagrams === undefined,
    ...setup,
  };
  if (identity === undefined) return finishFlight(state, proven, io);

  if (config.clientCertificate !== 'none')
    say(buildCertificateRequest({ context: NOTHING, extensions: requestExtensions(config, io.crypto) }));
  const entries = certificateEntries(identity.identity, types.server, checked);
  const variant = `${types.server} ${checked.wantsOcsp} ${checked.wantsScts}`;
  say(
    compressed(
      buildCertificate({ context: NOTHING, entries }),
      config.certificateCompression,
      checked.compression,
      { owner: identity.identity, variant },
    ),
  );
  const input = signatureInput('server', transcript.snapshot());
  return new SigningAsServer(
    { kind: 'signature', key: identity.identity.key, scheme: identity.scheme, input },
    state,
  );
}
/** Our CertificateVerify waits for whoever holds the key. */
class SigningAsServer implements Waiting {
  readonly kind = 'waiting';
  readonly wanted: SignatureWanted;
  readonly #state: Answered;

  constructor(wanted: SignatureWanted, state: Answered) {
    this.wanted = wanted;
    this.#state = state;
  }

  provide(signature: Uint8Array, io: HandshakeIO): Step {
    const verify = buildCertificateVerify({ scheme: this.wanted.scheme, signature });
    io.send(verify);
    this.#state.transcript.add(verify);
    return finishFlight(this.#state, undefined, io);
  }
}

/** Sends Finished; our application data may follow at once, under keys that do not depend on the client's flight. */
function finishFlight(state: Answered, proven: PeerAuthenticated | undefined, io: HandshakeIO): Step {
  const { suite, transcript, traffic, clientRandom, config } = state;
  const finished = buildFinished(finishedMac(io.crypto, suite.hash, traffic.server, transcript.snapshot()));
  io.send(finished);
  transcript.add(finished);
  const application = state.master.applicationSecrets(transcript.snapshot());
  io.keylog('CLIENT_TRAFFIC_SECRET_0', clientRandom, application.client);
  io.keylog('SERVER_TRAFFIC_SECRET_0', clientRandom, application.server);
  io.keylog('EXPORTER_SECRET', clientRandom, application.exporter);
  io.protectWrite(suite, application.server);
  const next: Sent = { application, ...state };
  if (proven !== undefined) {
    const then = new ExpectClientFinished(next, proven);
    if (state.earlyTerms === undefined) return then;
    // §2.3: what early data asks for may be answered before the client's Finished.
    io.allowEarlyData(Number.POSITIVE_INFINITY);
    return new ExpectEndOfEarlyData(next, state.earlyTerms, then);
  }
  return config.clientCertificate === 'none'
    ? new ExpectClientFinished(next, PeerAuthenticated.anonymousClient())
    : new ExpectClientCertificate(next);
}
/** Throws away what a client sends whose early data is not taken: as much as our tickets, or others', may have promised. */
export function skipEarlyData({ tickets }: ServerConfig, io: HandshakeIO): void {
  io.skipEarlyData(MAX_SKIPPED_EARLY_DATA + (tickets?.earlyData?.maxBytes ?? 0));
}

/** §4.2.10 and §8: what must hold for early data to be taken. Anything else means that it is thrown away. */
function acceptedEarlyTerms(
  { tickets }: ServerConfig,
  checked: CheckedClientHello,
  psk: UsablePsk | undefined,
  alpnProtocol: string | undefined,
  io: HandshakeIO,
): EarlyTerms | undefined {
  const policy = tickets?.earlyData;
  const ticket = psk?.ticket;
  if (policy === undefined || !checked.offersEarlyData || ticket?.early === undefined) return undefined;
  const { early, issuedAt } = ticket;
  // Under the first key alone, and for suite and protocol of the session.
  if (psk?.index !== 0 || ticket.suite !== psk.suite || early.alpnProtocol !== alpnProtocol) return undefined;
  const obfuscated = checked.psks?.identities[0]?.obfuscatedTicketAge ?? 0;
  // §4.2.11.1: modulo 2^32.
  const clientAge = (obfuscated - early.ageAdd + 2 ** 32) % 2 ** 32;
  const { window = EARLY_DATA_WINDOW } = policy;
  if (Math.abs(io.now - issuedAt - clientAge) > window) return undefined;
  return policy.firstUse(io.crypto, psk.identity, issuedAt, io.now) ? early : undefined;
}

function identityFor(
  config: ServerConfig,
  { schemes, psks, authorities }: CheckedClientHello,
  identities: readonly Identity[],
) {
  const choice = chooseIdentity(identities, schemes ?? [], authorities);
  if (choice !== undefined) return choice;
  if (schemes === undefined) {
    throw new TlsError('ERR_TLS_MISSING_EXTENSION', 'ClientHello has no signature_algorithms'); // §9.2
  }
  if (identities.length === 0 && config.findPsk !== undefined) {
    throw new TlsError(
      'ERR_TLS_NO_SHARED_PSK',
      psks === undefined
        ? 'The client offers no pre-shared key'
        : 'No pre-shared key of the client is known here',
    );
  }
  throw new TlsError(
    'ERR_TLS_NO_SHARED_SIGNATURE_SCHEME',
    'No certificate here suits the signature schemes of the client',
  );
}

function verifyBinder(
  psk: UsablePsk,
  transcript: Transcript,
  raw: Uint8Array,
  { psks }: CheckedClientHello,
  io: HandshakeIO,
): PeerAuthenticated {
  const binders = psks?.binders ?? [];
  const covered = raw.subarray(0, raw.length - bindersLength(binders));
  const { hash } = psk.suite;
  const expected = finishedMac(
    io.crypto,
    hash,
    psk.earlySecret.binderKey(psk.binder),
    transcript.snapshotWith(covered),
  );
  return PeerAuthenticated.byBinder(io.crypto, expected, binders[psk.index] ?? NOTHING, psk.peer);
}

function respond(
  io: HandshakeIO,
  id: number,
  peerShare: Uint8Array,
): { share: Uint8Array; secret: Uint8Array } {
  const group = io.crypto.group(id);
  if (group === undefined)
    throw new TlsError('ERR_TLS_INTERNAL', `Group 0x${id.toString(16)} is not available`);
  return group.respond(peerShare);
}

/** The client asks for compatibility mode (RFC 8446 §D.4), which DTLS does not have (RFC 9147 §5). */
export function isCompatible({ datagrams }: ServerConfig, { hello }: CheckedClientHello): boolean {
  return datagrams === undefined && hello.legacySessionId.length > 0;
}

/** @param retry the cookie is for DTLS, where a client that has sent it back is where it says it is (RFC 9147 §5.1) */
export function buildHelloRetryRequest(
  config: ServerConfig,
  retry: {
    readonly suite: Suite;
    readonly group: number | undefined;
    readonly cookie: Uint8Array | undefined;
    /** legacy_session_id; none in DTLS. */
    readonly sessionId?: Uint8Array | undefined;
  },
): Uint8Array {
  const extensions = [selectedTls13(config)];
  if (retry.group !== undefined) {
    extensions.push({ type: ExtensionType.key_share, body: selectedGroup.build(retry.group) });
  }
  if (retry.cookie !== undefined) {
    extensions.push({ type: ExtensionType.cookie, body: cookie.build(retry.cookie) });
  }
  return buildServerHello({
    random: HELLO_RETRY_RANDOM,
    extensions,
    ...serverHelloFor(config, retry.sessionId ?? NOTHING, retry.suite),
  });
}

function serverHelloFor(config: ServerConfig, sessionId: Uint8Array, suite: Suite) {
  return {
    legacyVersion: versionNumbers(config).tls12,
    // RFC 9147 §5: there is no compatibility mode, and the field is not echoed.
    legacySessionIdEcho: config.datagrams === undefined ? sessionId : NOTHING,
    cipherSuite: suite.id,
    legacyCompressionMethod: 0,
  };
}

function encryptedExtensions(
  { config, extensions: handlers }: Setup,
  { hello, serverName, recordSizeLimit: limit }: CheckedClientHello,
  alpnProtocol: string | undefined,
  resumed: boolean,
): Extension[] {
  const extensions: Extension[] = [];
  // RFC 6066 §3: a server that resumes a session MUST NOT acknowledge the name.
  if (serverName !== undefined && !resumed) {
    extensions.push({ type: ExtensionType.server_name, body: NOTHING });
  }
  if (alpnProtocol !== undefined) {
    const type = ExtensionType.application_layer_protocol_negotiation;
    extensions.push({ type, body: protocolNameList.build([alpnProtocol]) });
  }
  if (limit !== undefined) {
    const ours = config.recordSizeLimit ?? MAX_RECORD_SIZE_LIMIT;
    extensions.push({ type: ExtensionType.record_size_limit, body: recordSizeLimit.build(ours) });
  }
  for (const handler of handlers) {
    const offered = findExtension(hello.extensions, handler.extensionType);
    const body = handler.answer(offered, { serverName, alpnProtocol });
    if (body === undefined) continue;
    if (offered === undefined) {
      throw new TlsError('ERR_TLS_INTERNAL', 'A sub-protocol answered an extension that was not offered');
    }
    extensions.push({ type: handler.extensionType, body });
  }
  return extensions;
}

/** What belongs to the end entity goes with its entry (§4.4.2.1), where the client has asked for it. */
function certificateEntries(
  identity: Identity,
  type: number,
  { wantsOcsp, wantsScts }: CheckedClientHello,
): CertificateEntry[] {
  const shown = shownAs(identity, type);
  if (isRaw(type)) return shown.map((certData) => ({ certData, extensions: [] }));
  const { ocspResponse, scts } = identity;
  const extensions: Extension[] = [];
  if (wantsOcsp && ocspResponse !== undefined) {
    extensions.push({ type: ExtensionType.status_request, body: certificateStatus.build(ocspResponse) });
  }
  if (wantsScts && scts !== undefined && scts.length > 0) {
    const type = ExtensionType.signed_certificate_timestamp;
    extensions.push({ type, body: signedCertificateTimestamps.build(scts) });
  }
  return shown.map((certData, index) => ({ certData, extensions: index === 0 ? extensions : [] }));
}

const NOTHING = new Uint8Array(0);

function selectedTls13(config: ServerConfig): Extension {
  return {
    type: ExtensionType.supported_versions,
    body: selectedVersion.build(versionNumbers(config).tls13),
  };
}
