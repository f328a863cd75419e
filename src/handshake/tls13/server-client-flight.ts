import type { Suite } from '../../crypto/suites.ts';
import { TlsError } from '../../errors/errors.ts';
import {
  parseCertificate,
  parseCertificateVerify,
  parseEndOfEarlyData,
  parseFinished,
} from '../../messages/authentication.ts';
import { type HandshakeMessage, unexpected } from '../../messages/handshake.ts';
import { HandshakeType } from '../../wire/codepoints.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import { type CertificateTypes, judgeShown } from '../certificate-types.ts';
import type { HelloExtensions, ServerConfig } from '../config.ts';
import { type Agreement13, Established, type SessionSecrets } from '../established.ts';
import type { HandshakeIO } from '../io.ts';
import { finishedMac, type MasterSecret } from '../key-schedule.ts';
import { FinishedVerified, PeerAuthenticated } from '../proofs.ts';
import type { Expect, Step } from '../step.ts';
import type { EarlyTerms } from '../tickets.ts';
import type { Transcript } from '../transcript.ts';
import { certificateBody } from './compression.ts';
import { ServerThatAsks } from './post-handshake.ts';
import { issueTickets } from './server-psk.ts';

/** What the handshake is made with. */
export interface Setup {
  readonly config: ServerConfig;
  readonly extensions: HelloExtensions;
}

/** Common to all states after our EncryptedExtensions. */
export interface Answered extends Setup {
  readonly suite: Suite;
  readonly transcript: Transcript;
  readonly clientRandom: Uint8Array;
  readonly traffic: { readonly client: Uint8Array; readonly server: Uint8Array };
  readonly agreement: Agreement13;
  readonly master: MasterSecret;
  readonly wantsTickets: boolean;
  readonly types: CertificateTypes;
  readonly postHandshakeAuth: boolean;
  /** Present when early data comes before the client's next message. */
  readonly earlyTerms: EarlyTerms | undefined;
}

export interface Sent extends Answered {
  readonly application: {
    readonly client: Uint8Array;
    readonly server: Uint8Array;
    readonly exporter: Uint8Array;
  };
}
/** Early data, then EndOfEarlyData (§4.5). */
export class ExpectEndOfEarlyData implements Expect {
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

export class ExpectClientCertificate implements Expect {
  readonly kind = 'expect';
  readonly #state: Sent;

  constructor(state: Sent) {
    this.#state = state;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    const { config, transcript, types } = this.#state;
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
    const shown = entries.map(({ certData }) => certData);
    const schemes = config.certificateSchemes ?? config.schemes;
    const peer = judgeShown(config, types.client, shown, { now: io.now, serverName: undefined, schemes });
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

export class ExpectClientFinished implements Expect {
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
    io.allowEarlyData(0);
    io.protectRead(suite, application.client);
    const transcriptHash = transcript.snapshot();
    const resumption = master.resumption(transcriptHash);
    const secrets: SessionSecrets = {
      read: application.client,
      write: application.server,
      exporter: application.exporter,
      resumption,
    };
    const authenticated = this.#authenticated;
    if (wantsTickets && config.tickets !== undefined)
      issueTickets(config, agreement, resumption(), authenticated.peer, io);
    const { types, postHandshakeAuth } = this.#state;
    const later = postHandshakeAuth ? new ServerThatAsks(config, { suite, types, transcript }) : undefined;
    return new Established('server', agreement, secrets, transcriptHash, finished, authenticated, later);
  }
}
