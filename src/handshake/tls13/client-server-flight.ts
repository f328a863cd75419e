import type { Suite } from '../../crypto/suites.ts';
import { DecodeError, TlsError } from '../../errors/errors.ts';
import {
  buildEndOfEarlyData,
  buildFinished,
  type CertificateEntry,
  parseCertificate,
  parseCertificateRequest,
  parseCertificateVerify,
  parseFinished,
} from '../../messages/authentication.ts';
import {
  certificateStatus,
  type Extension,
  earlyDataIndication,
  findExtension,
  MAX_RECORD_SIZE_LIMIT,
  recordSizeLimit,
  selectedProtocol,
  serverNameAck,
  signedCertificateTimestamps,
  supportedGroups,
} from '../../messages/extensions.ts';
import { type HandshakeMessage, unexpected } from '../../messages/handshake.ts';
import { parseEncryptedExtensions } from '../../messages/hello.ts';
import { ExtensionType, HandshakeType } from '../../wire/codepoints.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import {
  type CertificateTypes,
  confirmedCertificateTypes,
  judgeShown,
  requireAcceptedType,
} from '../certificate-types.ts';
import type { ClientConfig, HelloExtensions } from '../config.ts';
import { type Agreement13, Established } from '../established.ts';
import type { HandshakeIO } from '../io.ts';
import { finishedMac, type HandshakeSecret } from '../key-schedule.ts';
import { FinishedVerified, PeerAuthenticated } from '../proofs.ts';
import type { ClientSession } from '../session.ts';
import type { Expect, Step } from '../step.ts';
import type { Transcript } from '../transcript.ts';
import { versionNumbers } from '../versions.ts';
import { type Accepted, readCertificateRequest, sendCertificate } from './client-authentication.ts';
import type { OfferedPsk } from './client-psk.ts';
import { certificateBody } from './compression.ts';
import { ClientOnRequest } from './post-handshake.ts';
import { optionalExtension, requireKnownPlace } from './shared.ts';

/** What the handshake is made with. */
export interface Setup {
  readonly config: ClientConfig;
  readonly extensions: HelloExtensions;
}

/** Common to all states after ServerHello. */
export interface Encrypted extends Setup {
  readonly suite: Suite;
  /** `undefined` where the PSK serves alone. */
  readonly group: number | undefined;
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
  ExtensionType.client_certificate_type,
  ExtensionType.server_certificate_type,
];

export class ExpectEncryptedExtensions implements Expect {
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
    const types = confirmedCertificateTypes(config, extensions);
    if (psk === undefined) requireAcceptedType(config, types.server);
    const earlyDataAccepted = this.#earlyDataAccepted(extensions, alpnProtocol, io);
    const { serverName } = config;
    for (const handler of handlers) {
      handler.confirm(findExtension(extensions, handler.extensionType), { serverName, alpnProtocol });
    }
    transcript.add(message.raw);
    const agreement = {
      version: versionNumbers(config).tls13,
      suite,
      group,
      serverName,
      alpnProtocol,
      resumed: psk?.session !== undefined,
      pskIdentity: psk?.session === undefined ? psk?.identity.identity : psk.session.pskIdentity,
      earlyDataAccepted,
    };
    const next: Agreed = { agreement, types, ...this.#state };
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
  readonly types: CertificateTypes;
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
    const accepted = readCertificateRequest(request);
    this.#state.transcript.add(message.raw);
    return new ExpectCertificate(this.#state, accepted);
  }
}

class ExpectCertificate implements Expect {
  readonly kind = 'expect';
  readonly #state: Agreed;
  readonly #accepted: Accepted | undefined;

  constructor(state: Agreed, accepted: Accepted | undefined) {
    this.#state = state;
    this.#accepted = accepted;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    const { config, offered, transcript, types } = this.#state;
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
    const shown = entries.map(({ certData }) => certData);
    const peer = judgeShown(config, types.server, shown, {
      now: io.now,
      serverName: config.serverName,
      schemes: config.certificateSchemes ?? config.schemes,
      ocspResponse,
    });
    transcript.add(message.raw);
    const agreement = { ocspResponse, scts, ...this.#state.agreement };
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
  readonly #accepted: Accepted | undefined;

  constructor(state: Agreed, peer: PeerIdentity, accepted: Accepted | undefined) {
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
  readonly #accepted: Accepted | undefined;

  constructor(state: Agreed, authenticated: PeerAuthenticated, accepted: Accepted | undefined) {
    this.#state = state;
    this.#authenticated = authenticated;
    this.#accepted = accepted;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.finished) throw unexpected(message, 'Finished');
    const { transcript, suite, traffic, clientRandom, handshakeSecret, config, types } = this.#state;
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

    const accepted = this.#accepted;
    const agreement = { certificateRequested: accepted !== undefined, ...this.#state.agreement };
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
        resumption: master.resumption(transcriptHash),
      };
      const offersLater = this.#state.offered.includes(ExtensionType.post_handshake_auth);
      const later = offersLater ? new ClientOnRequest(config, { suite, types, transcript }) : undefined;
      return new Established(
        'client',
        agreement,
        secrets,
        transcriptHash,
        finished,
        this.#authenticated,
        later,
      );
    };
    if (accepted === undefined) return finish(io);
    return sendCertificate(config, types.client, accepted, transcript, io, finish);
  }
}
