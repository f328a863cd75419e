import type { CryptoProvider } from '../crypto/provider.ts';
import type { Suite, SuiteFacts } from '../crypto/suites.ts';
import { ConnectionError, TlsError } from '../errors/errors.ts';
import { findExtension, maxEarlyDataSize } from '../messages/extensions.ts';
import { type HandshakeMessage, unexpected } from '../messages/handshake.ts';
import {
  buildKeyUpdate,
  type NewSessionTicket,
  parseKeyUpdate,
  parseNewSessionTicket,
} from '../messages/post-handshake.ts';
import { ExtensionType, HandshakeType } from '../wire/codepoints.ts';
import type { PeerIdentity } from '../x509/verify.ts';
import type { Identity } from './config.ts';
import type { Role } from './hello-extension.ts';
import type { HandshakeIO } from './io.ts';
import { keptOf } from './kept-peer.ts';
import { exportKeyingMaterial, nextTrafficSecret, resumptionPsk } from './key-schedule.ts';
import type { FinishedVerified, PeerAuthenticated } from './proofs.ts';
import { MAX_TICKET_LIFETIME } from './session.ts';
import type { IdentitiesWanted, SignatureWanted } from './wanted.ts';

/** KeyUpdates in a row, without application data between, that are tolerated. */
export const MAX_KEY_UPDATES = 32;

/** What the handshake settled. */
export interface Agreement {
  /** As on the wire: 0x0304 for TLS 1.3. */
  readonly version: number;
  readonly suite: SuiteFacts;
  /**
   * `undefined` where no group took part: the RSA key exchange and plain PSK in TLS 1.2, psk_ke in TLS 1.3. A session of TLS 1.2
   * that is resumed has that with which it began.
   */
  readonly group: number | undefined;
  readonly serverName: string | undefined;
  readonly alpnProtocol: string | undefined;
  readonly resumed: boolean;
  /** Identity of the external key that authenticated both sides, in place of certificates, now or when the session began. */
  readonly pskIdentity?: Uint8Array | undefined;
  /** Client, TLS 1.2: what the server gave to find the key by (RFC 4279 §5.2), in clear and not to be trusted. */
  readonly pskIdentityHint?: Uint8Array | undefined;
  /** Client: what came with the server's certificate. The timestamps are passed on as they are, not judged. */
  readonly ocspResponse?: Uint8Array | undefined;
  readonly scts?: readonly Uint8Array[] | undefined;
  /** Client: the server asked for a certificate. */
  readonly certificateRequested?: boolean | undefined;
  /** Whether the early data that was offered was taken; `undefined` when none was offered. */
  readonly earlyDataAccepted?: boolean | undefined;
}

/** What a TLS 1.3 handshake settled. */
export interface Agreement13 extends Agreement {
  readonly suite: Suite;
}

/** Secrets that outlive the handshake. */
export interface SessionSecrets {
  read: Uint8Array;
  write: Uint8Array;
  /** The secret, or who has it. */
  readonly exporter: Uint8Array | Exporter;
  /** Derived when a ticket needs it. */
  /** Absent where it is elsewhere: tickets are passed over then. */
  readonly resumption: (() => Uint8Array) | undefined;
}

/** TLS-Exporter of a session whose secrets are elsewhere. */
export type Exporter = (label: string, context: Uint8Array | undefined, length: number) => Uint8Array;

/** A client that has offered to authenticate itself later (RFC 8446 §4.6.2). `secret` is the traffic secret of this moment. */
export interface AnsweringClient {
  readonly role: 'client';
  readonly wanted: SignatureWanted | IdentitiesWanted | undefined;
  dataReceived(): void;
  receive(message: HandshakeMessage, secret: Uint8Array, io: HandshakeIO): void;
  provide(signature: Uint8Array, secret: Uint8Array, io: HandshakeIO): void;
  choose(identities: readonly Identity[], secret: Uint8Array, io: HandshakeIO): void;
}

/** A server that may ask such a client. */
export interface AskingServer {
  readonly role: 'server';
  dataReceived(): void;
  request(io: HandshakeIO): void;
  /** @returns the client, once its answer is complete */
  receive(message: HandshakeMessage, secret: Uint8Array, io: HandshakeIO): PeerAuthenticated | undefined;
}

/** An established TLS 1.3 session: what only post-handshake messages still change (RFC 8446 §4.6). */
export class Established {
  readonly kind = 'established';
  readonly role: Role;
  readonly agreement: Agreement13;
  /** Changes when a client authenticates itself later (§4.6.2). */
  peer: PeerIdentity | undefined;
  /** Transcript-Hash(ClientHello…client Finished), which sub-protocols may bind to. */
  readonly transcriptHash: Uint8Array;
  readonly #secrets: SessionSecrets;
  /** Present when the client has offered post_handshake_auth. */
  readonly #later: AnsweringClient | AskingServer | undefined;
  #keyUpdates = 0;
  /** KeyUpdates that we have asked for. However many answers come together, they are no flood of the peer's making. */
  #answersDue = 0;

  constructor(
    role: Role,
    agreement: Agreement13,
    secrets: SessionSecrets,
    transcriptHash: Uint8Array,
    _finished: FinishedVerified,
    authenticated: PeerAuthenticated,
    later?: AnsweringClient | AskingServer,
  ) {
    this.#later = later;
    this.role = role;
    this.agreement = agreement;
    this.#secrets = secrets;
    this.transcriptHash = transcriptHash;
    this.peer = authenticated.peer;
  }

  /** RFC 8446 §7.5: no context is an empty one. */
  exportKeyingMaterial(
    crypto: CryptoProvider,
    label: string,
    context: Uint8Array | undefined,
    length: number,
  ): Uint8Array {
    const { hash } = this.agreement.suite;
    const { exporter } = this.#secrets;
    if (typeof exporter === 'function') return exporter(label, context, length);
    return exportKeyingMaterial(crypto, hash, exporter, label, context ?? NO_CONTEXT, length);
  }

  /** The secrets of both directions at this moment (§7.2), for who carries the session on in our place. */
  trafficSecrets(): { readonly read: Uint8Array; readonly write: Uint8Array } {
    const { read, write } = this.#secrets;
    return { read, write };
  }

  /** @returns true when the peer asks us to update our key too */
  receive(message: HandshakeMessage, io: HandshakeIO): boolean {
    if (message.type === HandshakeType.key_update) {
      this.#later?.dataReceived();
      return this.#receiveKeyUpdate(message, io);
    }
    if (message.type === HandshakeType.new_session_ticket && this.role === 'client') {
      this.#receiveTicket(parseNewSessionTicket(message.body), io);
      return false;
    }
    const later = this.#later;
    if (later === undefined) throw unexpected(message, 'application data');
    if (later.role === 'client') {
      later.receive(message, this.#secrets.write, io);
      return false;
    }
    const proven = later.receive(message, this.#secrets.read, io);
    if (proven !== undefined) {
      this.peer = proven.peer;
      io.clientAuthenticated();
    }
    return false;
  }

  /** Call for every record of application data: KeyUpdates are counted between them. */
  dataReceived(): void {
    this.#keyUpdates = 0;
    this.#later?.dataReceived();
  }

  /** Client: a signature that the server has asked for, or the certificates to choose from for it. */
  get wanted(): SignatureWanted | IdentitiesWanted | undefined {
    return this.#later?.role === 'client' ? this.#later.wanted : undefined;
  }

  /** Client: answers `wanted` where it is a signature. */
  provide(signature: Uint8Array, io: HandshakeIO): void {
    if (this.#later?.role === 'client') this.#later.provide(signature, this.#secrets.write, io);
  }

  /** Client: answers `wanted` where it is identities. */
  choose(identities: readonly Identity[], io: HandshakeIO): void {
    if (this.#later?.role === 'client') this.#later.choose(identities, this.#secrets.write, io);
  }

  /** Server: asks for the client's certificate. @throws ConnectionError ERR_TLS_OPTION */
  requestCertificate(io: HandshakeIO): void {
    if (this.#later?.role !== 'server') {
      throw new ConnectionError(
        'ERR_TLS_OPTION',
        'The client does not offer to show a certificate after the handshake (post_handshake_auth)',
      );
    }
    this.#later.request(io);
  }

  /** Sends a KeyUpdate and goes on under the next key (§4.6.3). */
  updateWriteKey(io: HandshakeIO, requestPeer: boolean): void {
    const { suite } = this.agreement;
    if (requestPeer) this.#answersDue++;
    io.send(buildKeyUpdate(requestPeer));
    this.#secrets.write = nextTrafficSecret(io.crypto, suite, this.#secrets.write);
    io.protectWrite(suite, this.#secrets.write);
  }

  #receiveKeyUpdate(message: HandshakeMessage, io: HandshakeIO): boolean {
    const requested = parseKeyUpdate(message.body);
    if (!requested && this.#answersDue > 0) this.#answersDue--;
    else if (++this.#keyUpdates > MAX_KEY_UPDATES) {
      throw new TlsError(
        'ERR_TLS_UNEXPECTED_MESSAGE',
        `More than ${MAX_KEY_UPDATES} KeyUpdates without data between`,
      );
    }
    const { suite } = this.agreement;
    this.#secrets.read = nextTrafficSecret(io.crypto, suite, this.#secrets.read);
    io.protectRead(suite, this.#secrets.read);
    return requested;
  }

  #receiveTicket(ticket: NewSessionTicket, io: HandshakeIO): void {
    const earlyData = findExtension(ticket.extensions, ExtensionType.early_data);
    const maxEarlyData = earlyData === undefined ? undefined : maxEarlyDataSize.parse(earlyData);
    const { version, suite, serverName, alpnProtocol, pskIdentity } = this.agreement;
    const { resumption } = this.#secrets;
    // A lifetime of zero means: discard at once (§4.6.1).
    if (ticket.lifetime === 0 || resumption === undefined) return;
    if (this.peer === undefined && pskIdentity === undefined) return;
    io.ticket({
      version,
      suite,
      psk: resumptionPsk(io.crypto, suite.hash, resumption(), ticket.nonce),
      ticket: ticket.ticket,
      ageAdd: ticket.ageAdd,
      lifetime: Math.min(ticket.lifetime, MAX_TICKET_LIFETIME),
      receivedAt: io.now,
      serverName,
      pskIdentity,
      maxEarlyData: maxEarlyData || undefined,
      alpnProtocol,
      ...keptOf(this.peer),
    });
  }
}

const NO_CONTEXT = new Uint8Array(0);
