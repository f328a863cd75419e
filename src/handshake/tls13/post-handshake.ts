import type { Suite } from '../../crypto/suites.ts';
import { ConnectionError, TlsError } from '../../errors/errors.ts';
import {
  buildCertificate,
  buildCertificateRequest,
  buildCertificateVerify,
  buildFinished,
  parseCertificate,
  parseCertificateRequest,
  parseCertificateVerify,
  parseFinished,
} from '../../messages/authentication.ts';
import { type HandshakeMessage, unexpected } from '../../messages/handshake.ts';
import { HandshakeType } from '../../wire/codepoints.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import { type CertificateTypes, identitiesOfType, judgeShown, shownAs } from '../certificate-types.ts';
import { certificateWishes } from '../choosing-identities.ts';
import type { ClientConfig, Identity, ServerConfig } from '../config.ts';
import type { AnsweringClient, AskingServer } from '../established.ts';
import type { HandshakeIO } from '../io.ts';
import { finishedMac } from '../key-schedule.ts';
import { FinishedVerified, PeerAuthenticated, signatureInput } from '../proofs.ts';
import type { Transcript } from '../transcript.ts';
import type { IdentitiesWanted, SignatureWanted } from '../wanted.ts';
import { requestExtensions } from './certificate-request.ts';
import { type Accepted, readCertificateRequest } from './client-authentication.ts';
import { certificateBody, compressed } from './compression.ts';
import { chooseIdentity } from './shared.ts';

/*
 * RFC 8446 §4.6.2. Requests may overlap, and be answered in another order. Each has a transcript of its own: the handshake's,
 * the CertificateRequest, and what the client answers (§4.4).
 */

/** Requests that wait for their answer. One is usual; a client signs for each, perhaps in a card. */
export const MAX_CERTIFICATE_REQUESTS = 8;
/** Requests without application data between: signing costs more than asking. */
const MAX_REQUESTS_IN_A_ROW = 32;
const CONTEXT_LENGTH = 32;

interface Common {
  readonly suite: Suite;
  readonly types: CertificateTypes;
  /** ClientHello…client Finished. */
  readonly transcript: Transcript;
}

interface Asked {
  readonly context: Uint8Array;
  readonly accepted: Accepted;
  /** Through the CertificateRequest, then through our Certificate. */
  readonly transcript: Transcript;
}

/** What the certificate shall be is asked for. */
interface ChoosingAnswer extends Asked {
  readonly wanted: IdentitiesWanted;
}

interface SigningAnswer extends Asked {
  readonly certificate: Uint8Array;
  readonly wanted: SignatureWanted;
}

/** A client that has offered post_handshake_auth. */
export class ClientOnRequest implements AnsweringClient {
  readonly role = 'client';
  readonly #config: ClientConfig;
  readonly #common: Common;
  readonly #pending: (ChoosingAnswer | SigningAnswer)[] = [];
  #inARow = 0;

  constructor(config: ClientConfig, common: Common) {
    this.#config = config;
    this.#common = common;
  }

  get wanted(): SignatureWanted | IdentitiesWanted | undefined {
    return this.#pending[0]?.wanted;
  }

  dataReceived(): void {
    this.#inARow = 0;
  }

  /** @param secret client_application_traffic_secret of this moment */
  receive(message: HandshakeMessage, secret: Uint8Array, io: HandshakeIO): void {
    if (message.type !== HandshakeType.certificate_request) throw unexpected(message, 'application data');
    if (++this.#inARow > MAX_REQUESTS_IN_A_ROW || this.#pending.length >= MAX_CERTIFICATE_REQUESTS) {
      throw new TlsError(
        'ERR_TLS_UNEXPECTED_MESSAGE',
        'The server asks for more certificates than can be shown',
      );
    }
    const request = parseCertificateRequest(message.body);
    const { context } = request;
    // §4.3.2: the context MUST be unique.
    if (this.#pending.some((other) => sameBytes(other.context, context))) {
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'Two CertificateRequests have the same context');
    }
    const accepted = readCertificateRequest(request);
    const transcript = this.#common.transcript.copy();
    transcript.add(message.raw);
    const asked = { context, accepted, transcript };
    const { identities, identitySource: source, serverName } = this.#config;
    if (source === undefined) {
      const answer = this.#show(asked, identities, secret, io);
      if (answer !== undefined) this.#pending.push(answer);
      return;
    }
    const wishes = certificateWishes(accepted.schemes, accepted.authorities);
    this.#pending.push({ ...asked, wanted: { kind: 'identities', serverName, wishes, source } });
  }

  /** Answers `wanted` where it is the identities for a request. */
  choose(identities: readonly Identity[], secret: Uint8Array, io: HandshakeIO): void {
    const [asked] = this.#pending;
    if (asked?.wanted.kind !== 'identities') return;
    const answer = this.#show(asked, identities, secret, io);
    this.#pending.splice(0, 1, ...(answer === undefined ? [] : [answer]));
  }

  /** Says at once that there is no certificate, or what is to be signed to show one. */
  #show(
    { context, accepted, transcript }: Asked,
    identities: readonly Identity[],
    secret: Uint8Array,
    io: HandshakeIO,
  ): SigningAnswer | undefined {
    const { types } = this.#common;
    const choice = chooseIdentity(
      identitiesOfType(identities, types.client),
      accepted.schemes,
      accepted.authorities,
    );
    const shown = choice === undefined ? [] : shownAs(choice.identity, types.client);
    const entries = shown.map((certData) => ({ certData, extensions: [] }));
    const certificate = compressed(
      buildCertificate({ context, entries }),
      this.#config.certificateCompression,
      accepted.compression,
    );
    transcript.add(certificate);
    if (choice === undefined) {
      io.send(certificate);
      this.#finish(transcript, secret, io);
      return undefined;
    }
    const input = signatureInput('client', transcript.snapshot());
    const wanted = { kind: 'signature', key: choice.identity.key, scheme: choice.scheme, input } as const;
    return { context, accepted, transcript, certificate, wanted };
  }

  /** Answers `wanted` where it is a signature. §4.6.2: the messages of one answer follow each other with none between. */
  provide(signature: Uint8Array, secret: Uint8Array, io: HandshakeIO): void {
    const [answer] = this.#pending;
    if (answer === undefined || !('certificate' in answer)) return;
    this.#pending.shift();
    const { certificate, transcript, wanted } = answer;
    io.send(certificate);
    const verify = buildCertificateVerify({ scheme: wanted.scheme, signature });
    io.send(verify);
    transcript.add(verify);
    this.#finish(transcript, secret, io);
  }

  #finish(transcript: Transcript, secret: Uint8Array, io: HandshakeIO): void {
    const { hash } = this.#common.suite;
    io.send(buildFinished(finishedMac(io.crypto, hash, secret, transcript.snapshot())));
  }
}

/** What the client's next message of an answer must be. */
type Awaited =
  | { readonly kind: 'verify'; readonly transcript: Transcript; readonly peer: PeerIdentity }
  | { readonly kind: 'finished'; readonly transcript: Transcript; readonly proven: PeerAuthenticated };

/** A server whose client has offered post_handshake_auth. */
export class ServerThatAsks implements AskingServer {
  readonly role = 'server';
  readonly #config: ServerConfig;
  readonly #common: Common;
  /** Transcripts through our CertificateRequest. */
  readonly #asked: { readonly context: Uint8Array; readonly transcript: Transcript }[] = [];
  #awaited: Awaited | undefined;

  constructor(config: ServerConfig, common: Common) {
    this.#config = config;
    this.#common = common;
  }

  /** @throws ConnectionError ERR_TLS_OPTION when too many requests wait */
  request(io: HandshakeIO): void {
    if (this.#asked.length >= MAX_CERTIFICATE_REQUESTS) {
      throw new ConnectionError(
        'ERR_TLS_OPTION',
        `The client has not answered ${MAX_CERTIFICATE_REQUESTS} requests for a certificate; wait for it`,
      );
    }
    const context = io.crypto.randomBytes(CONTEXT_LENGTH);
    const message = buildCertificateRequest({
      context,
      extensions: requestExtensions(this.#config, io.crypto),
    });
    const transcript = this.#common.transcript.copy();
    transcript.add(message);
    io.send(message);
    this.#asked.push({ context, transcript });
  }

  /** §4.6.2: nothing comes between the messages of an answer. */
  dataReceived(): void {
    if (this.#awaited === undefined) return;
    throw new TlsError(
      'ERR_TLS_UNEXPECTED_MESSAGE',
      "Data came between the messages of a client's authentication",
    );
  }

  /**
   * @param secret client_application_traffic_secret of this moment
   * @returns the client, once its answer is complete
   */
  receive(message: HandshakeMessage, secret: Uint8Array, io: HandshakeIO): PeerAuthenticated | undefined {
    const awaited = this.#awaited;
    if (awaited === undefined) this.#awaited = this.#receiveCertificate(message, io);
    else if (awaited.kind === 'verify') this.#awaited = this.#receiveVerify(message, awaited, io);
    else {
      if (message.type !== HandshakeType.finished) throw unexpected(message, "the client's Finished");
      const { hash, hashLength } = this.#common.suite;
      const expected = finishedMac(io.crypto, hash, secret, awaited.transcript.snapshot());
      FinishedVerified.check(io.crypto, expected, parseFinished(message.body, hashLength));
      this.#awaited = undefined;
      return awaited.proven;
    }
    return undefined;
  }

  #receiveCertificate(message: HandshakeMessage, io: HandshakeIO): Awaited {
    const config = this.#config;
    if (this.#asked.length === 0) throw unexpected(message, 'application data');
    const body = certificateBody(message, config.certificateCompression, "the client's Certificate");
    const { context, entries } = parseCertificate(body);
    const index = this.#asked.findIndex((asked) => sameBytes(asked.context, context));
    const [asked] = index < 0 ? [] : this.#asked.splice(index, 1);
    if (asked === undefined) {
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', "The client's Certificate answers no request of ours");
    }
    // We asked for no status_request or signed_certificate_timestamp (§4.4.2).
    if (entries.some(({ extensions }) => extensions.length > 0)) {
      throw new TlsError(
        'ERR_TLS_UNSUPPORTED_EXTENSION',
        "The client's certificates have extensions not asked for",
      );
    }
    const { transcript } = asked;
    const shown = entries.map(({ certData }) => certData);
    if (shown.length === 0) {
      transcript.add(message.raw);
      return { kind: 'finished', transcript, proven: PeerAuthenticated.anonymousClient() };
    }
    const schemes = config.certificateSchemes ?? config.schemes;
    const { types } = this.#common;
    const peer = judgeShown(config, types.client, shown, { now: io.now, serverName: undefined, schemes });
    transcript.add(message.raw);
    return { kind: 'verify', transcript, peer };
  }

  #receiveVerify(
    message: HandshakeMessage,
    { transcript, peer }: Awaited & { kind: 'verify' },
    io: HandshakeIO,
  ): Awaited {
    if (message.type !== HandshakeType.certificate_verify)
      throw unexpected(message, "the client's CertificateVerify");
    const proven = PeerAuthenticated.bySignature(
      io.crypto,
      peer,
      'client',
      transcript.snapshot(),
      parseCertificateVerify(message.body),
      this.#config.schemes,
    );
    transcript.add(message.raw);
    return { kind: 'finished', transcript, proven };
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
