import type { Suite } from '../../crypto/suites.ts';
import { suiteById } from '../../crypto/suites.ts';
import { DecodeError, TlsError } from '../../errors/errors.ts';
import {
  buildCertificate,
  buildCertificateVerify,
  buildEndOfEarlyData,
  buildFinished,
  type CertificateEntry,
  parseCertificate,
  parseCertificateRequest,
  parseCertificateVerify,
  parseFinished,
} from '../../messages/authentication.ts';
import {
  certificateAuthorities,
  certificateStatus,
  compressCertificate,
  cookie,
  type Extension,
  earlyDataIndication,
  extensionName,
  findExtension,
  isKnownExtension,
  keyShareServerHello,
  MAX_RECORD_SIZE_LIMIT,
  recordSizeLimit,
  selectedGroup,
  selectedIdentity,
  selectedProtocol,
  selectedVersion,
  serverNameAck,
  signatureAlgorithms,
  signedCertificateTimestamps,
  supportedGroups,
} from '../../messages/extensions.ts';
import { type HandshakeMessage, unexpected } from '../../messages/handshake.ts';
import {
  isHelloRetryRequest,
  parseEncryptedExtensions,
  parseServerHello,
  type ServerHello,
} from '../../messages/hello.ts';
import { ExtensionType, HandshakeType, ProtocolVersion } from '../../wire/codepoints.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import type { ClientConfig, HelloExtensions } from '../config.ts';
import { type Agreement13, Established } from '../established.ts';
import type { HandshakeIO } from '../io.ts';
import { EarlySecret, finishedMac, type HandshakeSecret } from '../key-schedule.ts';
import { FinishedVerified, PeerAuthenticated, signatureInput } from '../proofs.ts';
import type { ClientSession } from '../session.ts';
import type { Expect, SignatureWanted, Step, Waiting } from '../step.ts';
import { acceptServerHello12 } from '../tls12/client.ts';
import { Transcript } from '../transcript.ts';
import { speaksTls13 } from '../versions.ts';
import { type ClientOffer, makeFirstOffer, makeSecondOffer } from './client-hello.ts';
import type { OfferedPsk } from './client-psk.ts';
import { certificateBody, compressed } from './compression.ts';
import { chooseIdentity, optionalExtension, requireKnownPlace } from './shared.ts';

/*
 * RFC 8446 §A.1. Each class awaits one message:
 *
 *   ClientHello → ExpectServerHello ⟲ HelloRetryRequest
 *                   → ExpectEncryptedExtensions
 *                       ├ (PSK)        ───────────────────────────────────────┐
 *                       └ (certificate) ExpectCertificateRequestOrCertificate │
 *                           → ExpectCertificate → ExpectCertificateVerify ────┴→ ExpectFinished
 *                                                        → [SigningAsClient] → Established
 */

/** Sends ClientHello. */
export function startClient(config: ClientConfig, extensions: HelloExtensions, io: HandshakeIO): Step {
  const offer = makeFirstOffer(config, extensions, io);
  io.send(offer.raw);
  if (offer.early !== undefined) beginEarlyData(config, offer, offer.early, io);
  return new ExpectServerHello({ config, extensions }, offer, undefined);
}

/** §4.2.10: early data follows ClientHello at once, under a key that the session gives. */
function beginEarlyData(
  config: ClientConfig,
  offer: ClientOffer,
  session: ClientSession,
  io: HandshakeIO,
): void {
  const [psk] = offer.psks as [OfferedPsk];
  const { suite, maxEarlyData = 0 } = session;
  const transcript = new Transcript(io.crypto, suite.hash);
  transcript.add(offer.raw);
  const secret = psk.earlySecret.clientTrafficSecret(transcript.snapshot());
  io.keylog('CLIENT_EARLY_TRAFFIC_SECRET', offer.hello.random, secret);
  // §D.4: with early data the record comes immediately after the first ClientHello.
  if (config.compatibility) io.sendChangeCipherSpec();
  io.protectWrite(suite, secret);
  io.allowEarlyData(maxEarlyData);
}

interface Setup {
  readonly config: ClientConfig;
  readonly extensions: HelloExtensions;
}

/** What a HelloRetryRequest has fixed for the ServerHello after it (§4.1.4). */
interface Retried {
  readonly suite: Suite;
  readonly group: number | undefined;
  readonly transcript: Transcript;
  readonly offeredEarly: boolean;
}

const IN_SERVER_HELLO: readonly number[] = [
  ExtensionType.supported_versions,
  ExtensionType.key_share,
  ExtensionType.pre_shared_key,
];
const IN_HELLO_RETRY_REQUEST: readonly number[] = [
  ExtensionType.supported_versions,
  ExtensionType.key_share,
  ExtensionType.cookie,
];

class ExpectServerHello implements Expect {
  readonly kind = 'expect';
  readonly #setup: Setup;
  readonly #offer: ClientOffer;
  readonly #retried: Retried | undefined;

  constructor(setup: Setup, offer: ClientOffer, retried: Retried | undefined) {
    this.#setup = setup;
    this.#offer = offer;
    this.#retried = retried;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.server_hello) throw unexpected(message, 'ServerHello');
    const hello = parseServerHello(message.body);
    const { tls12 } = this.#setup.config;
    if (tls12 !== undefined && this.#selectsTls12(hello)) {
      return acceptServerHello12({ ...this.#setup, tls12 }, this.#offer, hello, message.raw, io);
    }
    const suite = this.#checkHello(hello);
    return isHelloRetryRequest(hello)
      ? this.#retry(hello, suite, message.raw, io)
      : this.#accept(hello, suite, message.raw, io);
  }

  /** §4.1.3: without supported_versions the old field counts. After a HelloRetryRequest it is TLS 1.3 already. */
  #selectsTls12(hello: ServerHello): boolean {
    if (!speaksTls13(this.#setup.config)) return true;
    return (
      this.#retried === undefined &&
      !isHelloRetryRequest(hello) &&
      findExtension(hello.extensions, ExtensionType.supported_versions) === undefined
    );
  }

  /** What ServerHello and HelloRetryRequest have in common (§4.1.3). */
  #checkHello(hello: ServerHello): Suite {
    const version = findExtension(hello.extensions, ExtensionType.supported_versions);
    if (version === undefined) {
      throw new TlsError('ERR_TLS_UNSUPPORTED_VERSION', 'The server does not speak TLS 1.3');
    }
    if (
      selectedVersion.parse(version) !== ProtocolVersion.tls13 ||
      hello.legacyVersion !== ProtocolVersion.tls12
    ) {
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerHello selects a version that was not offered');
    }
    const echo = hello.legacySessionIdEcho;
    const sent = this.#offer.hello.legacySessionId;
    if (echo.length !== sent.length || echo.some((byte, i) => byte !== sent[i])) {
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerHello does not echo legacy_session_id');
    }
    if (hello.legacyCompressionMethod !== 0) {
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerHello selects a compression method');
    }
    const suite = suiteById(hello.cipherSuite);
    if (suite === undefined || !this.#setup.config.suites.includes(suite)) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'ServerHello selects a cipher suite that was not offered',
      );
    }
    return suite;
  }

  #retry(hello: ServerHello, suite: Suite, raw: Uint8Array, io: HandshakeIO): Step {
    if (this.#retried !== undefined) {
      throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'Received a second HelloRetryRequest');
    }
    // §5.1: a HelloRetryRequest is a ServerHello, and nothing may follow before our answer to it.
    io.requireRecordEnd();
    const offered = this.#offer.hello.extensions;
    // The cookie is the one extension that a server may send unasked (§4.2).
    requireKnownPlace('HelloRetryRequest', hello.extensions, IN_HELLO_RETRY_REQUEST, [
      ...offered.map(({ type }) => type),
      ExtensionType.cookie,
    ]);
    const group = optionalExtension(hello.extensions, ExtensionType.key_share, selectedGroup.parse);
    const retryCookie = optionalExtension(hello.extensions, ExtensionType.cookie, cookie.parse);
    const { config } = this.#setup;
    if (group === undefined ? retryCookie === undefined : this.#uselessGroup(group)) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'HelloRetryRequest asks for nothing that was not sent already',
      );
    }
    const transcript = new Transcript(io.crypto, suite.hash);
    transcript.add(this.#offer.raw);
    transcript.replaceByMessageHash();
    transcript.add(raw);
    const second = makeSecondOffer(
      this.#offer,
      { group, cookie: retryCookie, transcript, hash: suite.hash },
      io,
    );
    if (this.#offer.early !== undefined) {
      // §4.1.2: early data is refused by that, and ClientHello is in clear.
      io.allowEarlyData(0);
      io.unprotectWrite();
    } else if (config.compatibility) io.sendChangeCipherSpec();
    io.send(second.raw);
    return new ExpectServerHello(this.#setup, second, {
      suite,
      group,
      transcript,
      offeredEarly: this.#offer.early !== undefined,
    });
  }

  #uselessGroup(group: number): boolean {
    return !this.#setup.config.groups.includes(group) || this.#offer.keyExchanges.has(group);
  }

  #accept(hello: ServerHello, suite: Suite, raw: Uint8Array, io: HandshakeIO): Step {
    const { config } = this.#setup;
    const offered = this.#offer.hello.extensions.map(({ type }) => type);
    requireKnownPlace('ServerHello', hello.extensions, IN_SERVER_HELLO, offered);
    if (this.#retried !== undefined && this.#retried.suite !== suite) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'ServerHello changes the suite of the HelloRetryRequest',
      );
    }
    const psk = this.#selectedPsk(hello, suite);
    const share = optionalExtension(hello.extensions, ExtensionType.key_share, keyShareServerHello.parse);
    if (share === undefined) {
      // psk_ke is not offered, so the server must take part in a key exchange (§4.2.9).
      throw new TlsError('ERR_TLS_MISSING_EXTENSION', 'ServerHello has no key_share');
    }
    const keyExchange = this.#offer.keyExchanges.get(share.group);
    if (keyExchange === undefined) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'ServerHello has a key share for a group that was not offered',
      );
    }
    const transcript = this.#retried?.transcript ?? new Transcript(io.crypto, suite.hash);
    transcript.add(this.#offer.raw);
    transcript.add(raw);

    const earlySecret = psk?.earlySecret ?? EarlySecret.withoutPsk(io.crypto, suite.hash);
    const handshakeSecret = earlySecret.handshakeSecret(keyExchange.complete(share.keyExchange));
    const traffic = handshakeSecret.trafficSecrets(transcript.snapshot());
    const { random } = this.#offer.hello;
    io.keylog('CLIENT_HANDSHAKE_TRAFFIC_SECRET', random, traffic.client);
    io.keylog('SERVER_HANDSHAKE_TRAFFIC_SECRET', random, traffic.server);
    io.protectRead(suite, traffic.server);
    // §D.4: immediately before the second flight, which is also where our alerts become protected.
    const { early } = this.#offer;
    if (early === undefined) {
      const changed = this.#retried !== undefined;
      if (config.compatibility && !changed) io.sendChangeCipherSpec();
      io.protectWrite(suite, traffic.client);
    }
    return new ExpectEncryptedExtensions({
      ...this.#setup,
      suite,
      group: share.group,
      transcript,
      clientRandom: random,
      offered,
      handshakeSecret,
      traffic,
      psk,
      early,
      offersEarly: early !== undefined || (this.#retried?.offeredEarly ?? false),
    });
  }

  #selectedPsk(hello: ServerHello, suite: Suite): OfferedPsk | undefined {
    const index = optionalExtension(hello.extensions, ExtensionType.pre_shared_key, selectedIdentity.parse);
    if (index === undefined) return undefined;
    const psk = this.#offer.psks[index];
    // §4.2.11: the index must be in range and the suite's hash that of the PSK.
    if (psk === undefined || psk.hash !== suite.hash) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'ServerHello selects a PSK that was not offered for this suite',
      );
    }
    return psk;
  }
}

/** Common to all states after ServerHello. */
interface Encrypted extends Setup {
  readonly suite: Suite;
  readonly group: number;
  readonly transcript: Transcript;
  readonly clientRandom: Uint8Array;
  readonly offered: readonly number[];
  readonly handshakeSecret: HandshakeSecret;
  readonly traffic: { readonly client: Uint8Array; readonly server: Uint8Array };
  /** Present when the server took our ticket or our key. */
  readonly psk: OfferedPsk | undefined;
  /** The session of the early data that was offered in this ClientHello. */
  readonly early: ClientSession | undefined;
  /** Early data was offered, in this ClientHello or the one before. */
  readonly offersEarly: boolean;
}

const IN_ENCRYPTED_EXTENSIONS: readonly number[] = [
  ExtensionType.server_name,
  ExtensionType.supported_groups,
  ExtensionType.application_layer_protocol_negotiation,
  ExtensionType.record_size_limit,
  ExtensionType.early_data,
];

class ExpectEncryptedExtensions implements Expect {
  readonly kind = 'expect';
  readonly #state: Encrypted;

  constructor(state: Encrypted) {
    this.#state = state;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.encrypted_extensions) throw unexpected(message, 'EncryptedExtensions');
    const { config, extensions: handlers, offered, suite, group, psk, transcript } = this.#state;
    const extensions = parseEncryptedExtensions(message.body);
    const allowed = [...IN_ENCRYPTED_EXTENSIONS, ...handlers.map(({ extensionType }) => extensionType)];
    requireKnownPlace('EncryptedExtensions', extensions, allowed, offered);
    optionalExtension(extensions, ExtensionType.server_name, serverNameAck.parse);
    // For later connections (§4.2.7), which ours do not use; still it must be well-formed.
    optionalExtension(extensions, ExtensionType.supported_groups, supportedGroups.parse);
    const alpnProtocol = optionalExtension(
      extensions,
      ExtensionType.application_layer_protocol_negotiation,
      selectedProtocol,
    );
    if (alpnProtocol !== undefined && !config.alpnProtocols.includes(alpnProtocol)) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'The server selected a protocol that ALPN did not offer',
      );
    }
    limitRecords(config, extensions, io);
    const earlyDataAccepted = this.#earlyDataAccepted(extensions, alpnProtocol, io);
    const { serverName } = config;
    for (const handler of handlers) {
      handler.confirm(findExtension(extensions, handler.extensionType), { serverName, alpnProtocol });
    }
    transcript.add(message.raw);
    const agreement = {
      version: ProtocolVersion.tls13,
      suite,
      group,
      serverName,
      alpnProtocol,
      resumed: psk?.session !== undefined,
      pskIdentity: psk !== undefined && psk.session === undefined ? psk.identity.identity : undefined,
      earlyDataAccepted,
    };
    const next: Agreed = { ...this.#state, agreement };
    // With a PSK the server sends neither CertificateRequest nor Certificate (§2.2, §4.3.2).
    return psk === undefined
      ? new ExpectCertificateRequestOrCertificate(next)
      : new ExpectFinished(next, psk.authenticated, undefined);
  }

  /** §4.2.10: only under the first key, with its suite and its protocol. */
  #earlyDataAccepted(
    extensions: readonly Extension[],
    alpnProtocol: string | undefined,
    io: HandshakeIO,
  ): boolean | undefined {
    const { early, offersEarly, psk, suite, traffic } = this.#state;
    const answer = optionalExtension(extensions, ExtensionType.early_data, earlyDataIndication.parse);
    if (answer === undefined) {
      io.allowEarlyData(0);
      if (early !== undefined) io.protectWrite(suite, traffic.client);
      return offersEarly ? false : undefined;
    }
    if (psk?.session === undefined || psk.session !== early || early.suite !== suite) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'The server takes early data under another key or suite',
      );
    }
    if (early.alpnProtocol !== alpnProtocol) {
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'The server takes early data for another protocol');
    }
    return true;
  }
}

/** RFC 8449 §4. */
function limitRecords(config: ClientConfig, extensions: readonly Extension[], io: HandshakeIO): void {
  const theirs = optionalExtension(extensions, ExtensionType.record_size_limit, recordSizeLimit.parse);
  if (theirs === undefined || config.recordSizeLimit === undefined) return;
  if (theirs > MAX_RECORD_SIZE_LIMIT) {
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `record_size_limit of ${theirs}, more than TLS 1.3 has`);
  }
  // The limit counts the content type too.
  io.limitRecords(theirs - 1, config.recordSizeLimit);
}

interface Agreed extends Encrypted {
  readonly agreement: Agreement13;
}

class ExpectCertificateRequestOrCertificate implements Expect {
  readonly kind = 'expect';
  readonly #state: Agreed;

  constructor(state: Agreed) {
    this.#state = state;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.certificate_request) {
      return new ExpectCertificate(this.#state, undefined).receive(message, io);
    }
    const request = parseCertificateRequest(message.body);
    if (request.context.length > 0) {
      // §4.3.2: zero length during the handshake.
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'CertificateRequest has a context during the handshake',
      );
    }
    for (const { type } of request.extensions) {
      // §4.3.2: unknown ones MUST be ignored; those that we know elsewhere are out of place (§4.2).
      if (isKnownExtension(type) && !IN_CERTIFICATE_REQUEST.includes(type)) {
        throw new TlsError(
          'ERR_TLS_ILLEGAL_PARAMETER',
          `CertificateRequest has extension ${extensionName(type)}, out of place`,
        );
      }
    }
    const { signature_algorithms } = ExtensionType;
    const accepted = optionalExtension(request.extensions, signature_algorithms, signatureAlgorithms.parse);
    if (accepted === undefined) {
      throw new TlsError('ERR_TLS_MISSING_EXTENSION', 'CertificateRequest has no signature_algorithms');
    }
    const read = <T>(type: number, parse: (body: Uint8Array) => T): T | undefined =>
      optionalExtension(request.extensions, type, parse);
    const authorities = read(ExtensionType.certificate_authorities, certificateAuthorities.parse);
    const compression = read(ExtensionType.compress_certificate, compressCertificate.parse);
    this.#state.transcript.add(message.raw);
    return new ExpectCertificate(this.#state, { schemes: accepted, authorities, compression });
  }
}

/** What the server accepts from us, when it asked for a certificate. */
type Accepted =
  | {
      readonly schemes: readonly number[];
      /** DER names of CAs that it would like to see (§4.2.4). */
      readonly authorities: readonly Uint8Array[] | undefined;
      readonly compression: readonly number[] | undefined;
    }
  | undefined;

const IN_CERTIFICATE_REQUEST: readonly number[] = [
  ExtensionType.status_request,
  ExtensionType.signature_algorithms,
  ExtensionType.signed_certificate_timestamp,
  ExtensionType.compress_certificate,
  ExtensionType.certificate_authorities,
  ExtensionType.oid_filters,
  ExtensionType.signature_algorithms_cert,
];

class ExpectCertificate implements Expect {
  readonly kind = 'expect';
  readonly #state: Agreed;
  readonly #accepted: Accepted;

  constructor(state: Agreed, accepted: Accepted) {
    this.#state = state;
    this.#accepted = accepted;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    const { config, offered, transcript } = this.#state;
    const { context, entries } = parseCertificate(
      certificateBody(message, config.certificateCompression, 'Certificate'),
    );
    if (context.length > 0) {
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', "The server's Certificate has a context");
    }
    // §4.4.2.4: an empty list from the server is decode_error.
    if (entries.length === 0) throw new DecodeError('Certificate: the server sent no certificate');
    for (const { extensions } of entries)
      requireKnownPlace('Certificate', extensions, IN_CERTIFICATE, offered);
    const [leaf] = entries as [CertificateEntry];
    const ocspResponse = optionalExtension(
      leaf.extensions,
      ExtensionType.status_request,
      certificateStatus.parse,
    );
    const scts = optionalExtension(
      leaf.extensions,
      ExtensionType.signed_certificate_timestamp,
      signedCertificateTimestamps.parse,
    );
    const peer = config.verifyPeer(
      entries.map(({ certData }) => certData),
      {
        now: io.now,
        serverName: config.serverName,
        schemes: config.certificateSchemes ?? config.schemes,
        ocspResponse,
      },
    );
    transcript.add(message.raw);
    const agreement = { ...this.#state.agreement, ocspResponse, scts };
    return new ExpectCertificateVerify({ ...this.#state, agreement }, peer, this.#accepted);
  }
}

const IN_CERTIFICATE: readonly number[] = [
  ExtensionType.status_request,
  ExtensionType.signed_certificate_timestamp,
];

class ExpectCertificateVerify implements Expect {
  readonly kind = 'expect';
  readonly #state: Agreed;
  readonly #peer: PeerIdentity;
  readonly #accepted: Accepted;

  constructor(state: Agreed, peer: PeerIdentity, accepted: Accepted) {
    this.#state = state;
    this.#peer = peer;
    this.#accepted = accepted;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.certificate_verify) throw unexpected(message, 'CertificateVerify');
    const { transcript, config } = this.#state;
    const authenticated = PeerAuthenticated.bySignature(
      io.crypto,
      this.#peer,
      'server',
      transcript.snapshot(),
      parseCertificateVerify(message.body),
      config.schemes,
    );
    transcript.add(message.raw);
    return new ExpectFinished(this.#state, authenticated, this.#accepted);
  }
}

class ExpectFinished implements Expect {
  readonly kind = 'expect';
  readonly #state: Agreed;
  readonly #authenticated: PeerAuthenticated;
  readonly #accepted: Accepted;

  constructor(state: Agreed, authenticated: PeerAuthenticated, accepted: Accepted) {
    this.#state = state;
    this.#authenticated = authenticated;
    this.#accepted = accepted;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.finished) throw unexpected(message, 'Finished');
    const { transcript, suite, traffic, clientRandom, handshakeSecret, config } = this.#state;
    const finished = FinishedVerified.check(
      io.crypto,
      finishedMac(io.crypto, suite.hash, traffic.server, transcript.snapshot()),
      parseFinished(message.body, suite.hashLength),
    );
    transcript.add(message.raw);
    const master = handshakeSecret.masterSecret();
    const application = master.applicationSecrets(transcript.snapshot());
    io.keylog('CLIENT_TRAFFIC_SECRET_0', clientRandom, application.client);
    io.keylog('SERVER_TRAFFIC_SECRET_0', clientRandom, application.server);
    io.keylog('EXPORTER_SECRET', clientRandom, application.exporter);
    io.protectRead(suite, application.server);

    const { agreement } = this.#state;
    if (agreement.earlyDataAccepted === true) {
      // §4.5: after the server's Finished, and not in the transcript of the secrets above.
      io.allowEarlyData(0);
      const end = buildEndOfEarlyData();
      io.send(end);
      transcript.add(end);
      io.protectWrite(suite, traffic.client);
    }
    const finish = (finishIo: HandshakeIO): Step => {
      const mac = finishedMac(finishIo.crypto, suite.hash, traffic.client, transcript.snapshot());
      const ours = buildFinished(mac);
      finishIo.send(ours);
      transcript.add(ours);
      finishIo.protectWrite(suite, application.client);
      const transcriptHash = transcript.snapshot();
      const secrets = {
        read: application.server,
        write: application.client,
        exporter: application.exporter,
        resumption: () => master.resumptionSecret(transcriptHash),
      };
      return new Established('client', agreement, secrets, transcriptHash, finished, this.#authenticated);
    };
    if (this.#accepted === undefined) return finish(io);
    return sendCertificate(config, this.#accepted, transcript, io, finish);
  }
}

/** Answers a CertificateRequest: Certificate, and CertificateVerify unless the list is empty (§4.4.2). */
function sendCertificate(
  config: ClientConfig,
  accepted: NonNullable<Accepted>,
  transcript: Transcript,
  io: HandshakeIO,
  finish: (io: HandshakeIO) => Step,
): Step {
  const choice = chooseIdentity(config.identities, accepted.schemes, accepted.authorities);
  const plain = buildCertificate({
    context: NO_CONTEXT,
    entries: (choice?.identity.chain ?? []).map((certData) => ({ certData, extensions: [] })),
  });
  const certificate = compressed(
    plain,
    config.certificateCompression,
    accepted.compression,
    choice && { owner: choice.identity, variant: '' },
  );
  io.send(certificate);
  transcript.add(certificate);
  if (choice === undefined) return finish(io);
  const { identity, scheme } = choice;
  const input = signatureInput('client', transcript.snapshot());
  return new SigningAsClient({ kind: 'signature', key: identity.key, scheme, input }, transcript, finish);
}

/** Ours echoes that of the request, which is empty during the handshake (§4.4.2). */
const NO_CONTEXT = new Uint8Array(0);

class SigningAsClient implements Waiting {
  readonly kind = 'waiting';
  readonly wanted: SignatureWanted;
  readonly #transcript: Transcript;
  readonly #finish: (io: HandshakeIO) => Step;

  constructor(wanted: SignatureWanted, transcript: Transcript, finish: (io: HandshakeIO) => Step) {
    this.wanted = wanted;
    this.#transcript = transcript;
    this.#finish = finish;
  }

  provide(signature: Uint8Array, io: HandshakeIO): Step {
    const verify = buildCertificateVerify({ scheme: this.wanted.scheme, signature });
    io.send(verify);
    this.#transcript.add(verify);
    return this.#finish(io);
  }
}
