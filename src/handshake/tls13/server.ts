import type { Suite } from '../../crypto/suites.ts';
import { TlsError } from '../../errors/errors.ts';
import {
  buildCertificate,
  buildCertificateRequest,
  buildCertificateVerify,
  buildFinished,
  type CertificateEntry,
  parseCertificate,
  parseCertificateVerify,
  parseEndOfEarlyData,
  parseFinished,
} from '../../messages/authentication.ts';
import {
  bindersLength,
  certificateAuthorities,
  certificateStatus,
  type Extension,
  findExtension,
  keyShareServerHello,
  MAX_RECORD_SIZE_LIMIT,
  protocolNameList,
  recordSizeLimit,
  selectedGroup,
  selectedIdentity,
  selectedVersion,
  serverNameList,
  signatureAlgorithms,
  signedCertificateTimestamps,
} from '../../messages/extensions.ts';
import { type HandshakeMessage, unexpected } from '../../messages/handshake.ts';
import {
  buildEncryptedExtensions,
  buildServerHello,
  type ClientHello,
  HELLO_RETRY_RANDOM,
  parseClientHello,
} from '../../messages/hello.ts';
import { MAX_SKIPPED_EARLY_DATA } from '../../record/tls/early-data-skip.ts';
import { ExtensionType, HandshakeType, ProtocolVersion } from '../../wire/codepoints.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import type { HelloExtensions, Identity, IdentitySource, ServerConfig } from '../config.ts';
import { EARLY_DATA_WINDOW } from '../early-data-guard.ts';
import { type Agreement13, Established, type SessionSecrets } from '../established.ts';
import type { HandshakeIO } from '../io.ts';
import { EarlySecret, finishedMac, type MasterSecret } from '../key-schedule.ts';
import { FinishedVerified, PeerAuthenticated, signatureInput } from '../proofs.ts';
import type { Choosing, Expect, IdentitiesWanted, SignatureWanted, Step, Waiting } from '../step.ts';
import type { EarlyTerms } from '../tickets.ts';
import { answerClientHello12 } from '../tls12/server.ts';
import { Transcript } from '../transcript.ts';
import { chooseVersion } from '../versions.ts';
import {
  type CheckedClientHello,
  checkClientHello,
  chooseGroup,
  chooseProtocol,
  chooseSuite,
} from './client-hello-check.ts';
import { certificateBody, compressed, compressionOffer } from './compression.ts';
import { findUsablePsk, issueTickets, type UsablePsk } from './server-psk.ts';
import { chooseIdentity, optionalExtension } from './shared.ts';

/*
 * RFC 8446 §A.2. Each class awaits one message, or an answer from outside:
 *
 *   ExpectClientHello → [HelloRetryRequest → ExpectSecondClientHello] → ServerHello…Finished
 *       ├ (PSK, or no client certificate asked for) ─────────────────────────────────┐
 *       └ [SigningAsServer] → ExpectClientCertificate → ExpectClientCertificateVerify ┴→ ExpectClientFinished
 *                                                                                         → Established
 */

export function startServer(config: ServerConfig, extensions: HelloExtensions): Step {
  return new ExpectClientHello({ config, extensions });
}

interface Setup {
  readonly config: ServerConfig;
  readonly extensions: HelloExtensions;
}

class ExpectClientHello implements Expect {
  readonly kind = 'expect';
  readonly #setup: Setup;

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.client_hello) throw unexpected(message, 'ClientHello');
    const { config } = this.#setup;
    const hello = parseClientHello(message.body);
    const version = chooseVersion(config, hello);
    if (config.identitySource !== undefined) {
      return new ChoosingIdentities(this.#setup, config.identitySource, serverNameOf(hello), message);
    }
    if (version !== ProtocolVersion.tls13) {
      return answerClientHello12(this.#setup, hello, message.raw, io);
    }
    const checked = checkClientHello(hello);
    const psk = findUsablePsk(config, checked, io);
    const suite = psk?.suite ?? chooseSuite(config, checked);
    const { group, share } = chooseGroup(config, checked);
    const transcript = new Transcript(io.crypto, suite.hash);
    if (share !== undefined) {
      const choices = { checked, suite, group, share, psk, transcript, raw: message.raw, retried: false };
      return answer(this.#setup, choices, io);
    }
    if (checked.offersEarlyData) skipEarlyData(config, io);
    // §5.1: a ClientHello ends its record, for all that the client knows of our answer.
    io.requireRecordEnd();
    transcript.add(message.raw);
    transcript.replaceByMessageHash();
    const retry = buildServerHello({
      ...serverHelloFor(checked, suite),
      random: HELLO_RETRY_RANDOM,
      extensions: [SELECTED_TLS13, { type: ExtensionType.key_share, body: selectedGroup.build(group) }],
    });
    io.send(retry);
    transcript.add(retry);
    if (checked.hello.legacySessionId.length > 0) io.sendChangeCipherSpec();
    return new ExpectSecondClientHello(this.#setup, checked, suite, group, transcript);
  }
}

/** Before anything else is looked at: whoever is not served here learns no more than that. */
class ChoosingIdentities implements Choosing {
  readonly kind = 'choosing';
  readonly wanted: IdentitiesWanted;
  readonly #setup: Setup;
  readonly #hello: HandshakeMessage;

  constructor(setup: Setup, source: IdentitySource, serverName: string | undefined, hello: HandshakeMessage) {
    this.#setup = setup;
    this.#hello = hello;
    this.wanted = { kind: 'identities', serverName, source };
  }

  choose(identities: readonly Identity[], io: HandshakeIO): Step {
    const { config, extensions } = this.#setup;
    const chosen = { ...config, selectIdentities: () => identities, identitySource: undefined };
    return new ExpectClientHello({ config: chosen, extensions }).receive(this.#hello, io);
  }
}

function serverNameOf({ extensions }: ClientHello): string | undefined {
  return optionalExtension(extensions, ExtensionType.server_name, serverNameList.parse);
}

class ExpectSecondClientHello implements Expect {
  readonly kind = 'expect';
  readonly #setup: Setup;
  readonly #first: CheckedClientHello;
  readonly #suite: Suite;
  readonly #group: number;
  readonly #transcript: Transcript;

  constructor(setup: Setup, first: CheckedClientHello, suite: Suite, group: number, transcript: Transcript) {
    this.#setup = setup;
    this.#first = first;
    this.#suite = suite;
    this.#group = group;
    this.#transcript = transcript;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.client_hello) throw unexpected(message, 'the second ClientHello');
    const checked = checkClientHello(parseClientHello(message.body));
    this.#checkUnchanged(checked);
    if (checked.offersEarlyData) {
      // §4.2.10: not after a HelloRetryRequest.
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'The second ClientHello offers early data');
    }
    const share = checked.shares.find(({ group }) => group === this.#group);
    if (share === undefined || checked.shares.length !== 1) {
      // §4.1.2, §4.2.8: key_share now holds one entry, for the group that was asked for.
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'The second ClientHello lacks the key share that was asked for',
      );
    }
    const found = findUsablePsk(this.#setup.config, checked, io);
    const suite = this.#suite;
    const psk = found?.suite.hash === suite.hash ? found : undefined;
    return answer(
      this.#setup,
      {
        checked,
        suite,
        group: this.#group,
        share: share.keyExchange,
        psk,
        transcript: this.#transcript,
        raw: message.raw,
        retried: true,
      },
      io,
    );
  }

  /** §4.1.2 lists what may change; the choices already made rest on everything else. */
  #checkUnchanged({ hello, serverName, groups, protocols }: CheckedClientHello): void {
    const first = this.#first;
    const same =
      sameBytes(hello.random, first.hello.random) &&
      sameBytes(hello.legacySessionId, first.hello.legacySessionId) &&
      sameList(hello.cipherSuites, first.hello.cipherSuites) &&
      sameList(groups, first.groups) &&
      sameList(protocols ?? [], first.protocols ?? []) &&
      serverName === first.serverName;
    if (!same)
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'The second ClientHello differs where it must not');
  }
}

/** Everything that ServerHello and what follows it are made from. */
interface Choices {
  readonly checked: CheckedClientHello;
  readonly suite: Suite;
  readonly group: number;
  readonly share: Uint8Array;
  readonly psk: UsablePsk | undefined;
  /** Up to, not including, this ClientHello. */
  readonly transcript: Transcript;
  readonly raw: Uint8Array;
  /** A HelloRetryRequest came before. */
  readonly retried: boolean;
}

function answer(setup: Setup, choices: Choices, io: HandshakeIO): Step {
  const { config } = setup;
  const { checked, suite, group, psk, transcript, raw } = choices;
  const { serverName } = checked;
  const proven = psk === undefined ? undefined : verifyBinder(psk, transcript, raw, checked, io);
  transcript.add(raw);
  const alpnProtocol = chooseProtocol(config, checked, serverName);
  const identity = proven === undefined ? identityFor(config, checked) : undefined;
  // Only now: the binder has shown that this ClientHello was made by whoever has the ticket.
  const earlyTerms = choices.retried ? undefined : acceptedEarlyTerms(config, checked, psk, alpnProtocol, io);
  const earlySecret =
    earlyTerms === undefined ? undefined : psk?.earlySecret.clientTrafficSecret(transcript.snapshot());
  if (checked.offersEarlyData && earlyTerms === undefined) skipEarlyData(config, io);

  const { secret, share } = respond(io, group, choices.share);
  const extensions = [
    SELECTED_TLS13,
    { type: ExtensionType.key_share, body: keyShareServerHello.build({ group, keyExchange: share }) },
  ];
  if (psk !== undefined) {
    extensions.push({ type: ExtensionType.pre_shared_key, body: selectedIdentity.build(psk.index) });
  }
  const hello = buildServerHello({
    ...serverHelloFor(checked, suite),
    random: io.crypto.randomBytes(32),
    extensions,
  });
  io.send(hello);
  transcript.add(hello);
  // §D.4: immediately after our first handshake message, which may have been a HelloRetryRequest.
  if (checked.hello.legacySessionId.length > 0 && !choices.retried) io.sendChangeCipherSpec();

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
  if (earlyTerms !== undefined) answers.push({ type: ExtensionType.early_data, body: NOTHING });
  say(buildEncryptedExtensions(answers));
  const agreement = {
    version: ProtocolVersion.tls13,
    suite,
    group,
    serverName,
    alpnProtocol,
    resumed: psk?.ticket !== undefined,
    pskIdentity: psk !== undefined && psk.ticket === undefined ? psk.identity : undefined,
    earlyDataAccepted: checked.offersEarlyData ? earlyTerms !== undefined : undefined,
  };
  const state: Answered = {
    ...setup,
    suite,
    transcript,
    clientRandom,
    traffic,
    agreement,
    master: handshakeSecret.masterSecret(),
    wantsTickets: checked.wantsTickets,
    earlyTerms,
  };
  if (identity === undefined) return finishFlight(state, proven, io);

  if (config.clientCertificate !== 'none') say(buildCertificateRequest(certificateRequest(config)));
  const entries = certificateEntries(identity.identity, checked);
  const variant = `${checked.wantsOcsp} ${checked.wantsScts}`;
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

/** Common to all states after our EncryptedExtensions. */
interface Answered extends Setup {
  readonly suite: Suite;
  readonly transcript: Transcript;
  readonly clientRandom: Uint8Array;
  readonly traffic: { readonly client: Uint8Array; readonly server: Uint8Array };
  readonly agreement: Agreement13;
  readonly master: MasterSecret;
  readonly wantsTickets: boolean;
  /** Present when early data comes before the client's next message. */
  readonly earlyTerms: EarlyTerms | undefined;
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
  const next: Sent = { ...state, application };
  if (proven !== undefined) {
    const then = new ExpectClientFinished(next, proven);
    return state.earlyTerms === undefined ? then : new ExpectEndOfEarlyData(next, state.earlyTerms, then);
  }
  return config.clientCertificate === 'none'
    ? new ExpectClientFinished(next, PeerAuthenticated.anonymousClient())
    : new ExpectClientCertificate(next);
}

interface Sent extends Answered {
  readonly application: {
    readonly client: Uint8Array;
    readonly server: Uint8Array;
    readonly exporter: Uint8Array;
  };
}

/** Early data, then EndOfEarlyData (§4.5). */
class ExpectEndOfEarlyData implements Expect {
  readonly kind = 'expect';
  readonly #state: Sent;
  readonly #then: Expect;
  #left: number;

  constructor(state: Sent, { maxBytes }: EarlyTerms, then: Expect) {
    this.#state = state;
    this.#then = then;
    this.#left = maxBytes;
  }

  /** §4.2.10: more than max_early_data_size SHOULD be answered by unexpected_message. */
  receiveEarlyData(length: number): void {
    // Even an empty record costs us something.
    this.#left -= Math.max(length, 1);
    if (this.#left >= 0) return;
    throw new TlsError(
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'The client sends more early data than its ticket allows',
    );
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.end_of_early_data) throw unexpected(message, 'EndOfEarlyData');
    parseEndOfEarlyData(message.body);
    const { suite, traffic, transcript } = this.#state;
    transcript.add(message.raw);
    io.protectRead(suite, traffic.client);
    return this.#then;
  }
}

class ExpectClientCertificate implements Expect {
  readonly kind = 'expect';
  readonly #state: Sent;

  constructor(state: Sent) {
    this.#state = state;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    const { config, transcript } = this.#state;
    const { context, entries } = parseCertificate(
      certificateBody(message, config.certificateCompression, "the client's Certificate"),
    );
    if (context.length > 0) {
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', "The client's Certificate answers another request");
    }
    for (const { extensions } of entries) {
      // We asked for no status_request or signed_certificate_timestamp (§4.4.2).
      if (extensions.length > 0) {
        throw new TlsError(
          'ERR_TLS_UNSUPPORTED_EXTENSION',
          "The client's certificates have extensions not asked for",
        );
      }
    }
    if (entries.length === 0) {
      if (config.clientCertificate === 'require') {
        throw new TlsError(
          'ERR_TLS_CERTIFICATE_REQUIRED',
          'The client showed no certificate, which is required here',
        );
      }
      transcript.add(message.raw);
      return new ExpectClientFinished(this.#state, PeerAuthenticated.anonymousClient());
    }
    const peer = config.verifyPeer(
      entries.map(({ certData }) => certData),
      { now: io.now, serverName: undefined, schemes: config.certificateSchemes ?? config.schemes },
    );
    transcript.add(message.raw);
    return new ExpectClientCertificateVerify(this.#state, peer);
  }
}

class ExpectClientCertificateVerify implements Expect {
  readonly kind = 'expect';
  readonly #state: Sent;
  readonly #peer: PeerIdentity;

  constructor(state: Sent, peer: PeerIdentity) {
    this.#state = state;
    this.#peer = peer;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.certificate_verify)
      throw unexpected(message, "the client's CertificateVerify");
    const { transcript, config } = this.#state;
    const authenticated = PeerAuthenticated.bySignature(
      io.crypto,
      this.#peer,
      'client',
      transcript.snapshot(),
      parseCertificateVerify(message.body),
      config.schemes,
    );
    transcript.add(message.raw);
    return new ExpectClientFinished(this.#state, authenticated);
  }
}

class ExpectClientFinished implements Expect {
  readonly kind = 'expect';
  readonly #state: Sent;
  readonly #authenticated: PeerAuthenticated;

  constructor(state: Sent, authenticated: PeerAuthenticated) {
    this.#state = state;
    this.#authenticated = authenticated;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.finished) throw unexpected(message, "the client's Finished");
    const { suite, transcript, traffic, application, master, agreement, config, wantsTickets } = this.#state;
    const finished = FinishedVerified.check(
      io.crypto,
      finishedMac(io.crypto, suite.hash, traffic.client, transcript.snapshot()),
      parseFinished(message.body, suite.hashLength),
    );
    transcript.add(message.raw);
    io.protectRead(suite, application.client);
    const transcriptHash = transcript.snapshot();
    const secrets: SessionSecrets = {
      read: application.client,
      write: application.server,
      exporter: application.exporter,
      resumption: () => master.resumptionSecret(transcriptHash),
    };
    const authenticated = this.#authenticated;
    // Whoever has an external key needs no ticket: the key serves again.
    if (wantsTickets && config.tickets !== undefined && agreement.pskIdentity === undefined)
      issueTickets(config, agreement, secrets.resumption(), authenticated.peer, io);
    return new Established('server', agreement, secrets, transcriptHash, finished, authenticated);
  }
}

/** Throws away what a client sends whose early data is not taken: as much as our tickets, or others', may have promised. */
function skipEarlyData({ tickets }: ServerConfig, io: HandshakeIO): void {
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
  // Under the first key alone, and for the protocol of the session.
  if (psk?.index !== 0 || early.alpnProtocol !== alpnProtocol) return undefined;
  const obfuscated = checked.psks?.identities[0]?.obfuscatedTicketAge ?? 0;
  // §4.2.11.1: modulo 2^32.
  const clientAge = (obfuscated - early.ageAdd + 2 ** 32) % 2 ** 32;
  if (Math.abs(io.now - issuedAt - clientAge) > EARLY_DATA_WINDOW) return undefined;
  return policy.firstUse(io.crypto, psk.identity, issuedAt, io.now) ? early : undefined;
}

function identityFor(config: ServerConfig, { serverName, schemes, psks, authorities }: CheckedClientHello) {
  const identities = config.selectIdentities(serverName);
  const choice = chooseIdentity(identities, schemes ?? [], authorities);
  if (choice !== undefined) return choice;
  if (schemes === undefined) {
    throw new TlsError('ERR_TLS_MISSING_EXTENSION', 'ClientHello has no signature_algorithms'); // §9.2
  }
  if (identities.length === 0 && config.findPsk !== undefined) {
    // §6.2: sent when establishment by PSK is desired, and the client provides no identity that is known.
    throw new TlsError(
      'ERR_TLS_UNKNOWN_PSK_IDENTITY',
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

function serverHelloFor({ hello }: CheckedClientHello, suite: Suite) {
  return {
    legacyVersion: ProtocolVersion.tls12,
    legacySessionIdEcho: hello.legacySessionId,
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
  { chain, ocspResponse, scts }: Identity,
  { wantsOcsp, wantsScts }: CheckedClientHello,
): CertificateEntry[] {
  const extensions: Extension[] = [];
  if (wantsOcsp && ocspResponse !== undefined) {
    extensions.push({ type: ExtensionType.status_request, body: certificateStatus.build(ocspResponse) });
  }
  if (wantsScts && scts !== undefined && scts.length > 0) {
    const type = ExtensionType.signed_certificate_timestamp;
    extensions.push({ type, body: signedCertificateTimestamps.build(scts) });
  }
  return chain.map((certData, index) => ({ certData, extensions: index === 0 ? extensions : [] }));
}

function certificateRequest(config: ServerConfig): { context: Uint8Array; extensions: Extension[] } {
  const extensions = [
    { type: ExtensionType.signature_algorithms, body: signatureAlgorithms.build(config.schemes) },
  ] as Extension[];
  if (config.certificateSchemes !== undefined) {
    const body = signatureAlgorithms.build(config.certificateSchemes);
    extensions.push({ type: ExtensionType.signature_algorithms_cert, body });
  }
  if (config.certificateAuthorities.length > 0) {
    const body = certificateAuthorities.build(config.certificateAuthorities);
    extensions.push({ type: ExtensionType.certificate_authorities, body });
  }
  extensions.push(...compressionOffer(config.certificateCompression));
  return { context: NOTHING, extensions };
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function sameList<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}

const NOTHING = new Uint8Array(0);
const SELECTED_TLS13: Extension = {
  type: ExtensionType.supported_versions,
  body: selectedVersion.build(ProtocolVersion.tls13),
};
