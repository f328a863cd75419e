import type { CryptoProvider } from '../../crypto/provider.ts';
import type { Suite12 } from '../../crypto/suites12.ts';
import { TlsError } from '../../errors/errors.ts';
import { type HandshakeMessage, unexpected } from '../../messages/handshake.ts';
import { parseEmpty } from '../../messages/tls12.ts';
import { HandshakeType } from '../../wire/codepoints.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import type { Agreement } from '../established.ts';
import type { Role } from '../hello-extension.ts';
import type { HandshakeIO } from '../io.ts';
import type { FinishedVerified, PeerAuthenticated } from '../proofs.ts';
import type { MasterSecret12, Randoms } from './key-schedule.ts';
import type { ClientSession12 } from './session.ts';

/** Requests to renegotiate, without application data between, that are answered; more are a flood. */
export const MAX_RENEGOTIATION_REQUESTS = 4;

export interface Agreement12 extends Agreement {
  readonly suite: Suite12;
  /** Both sides have bound the master secret to the handshake (RFC 7627). */
  readonly extendedMasterSecret: boolean;
}

/** An established TLS 1.2 session. Its keys stay as they are: renegotiation is refused (docs/defaults.md). */
export class Established12 {
  readonly kind = 'established';
  readonly role: Role;
  readonly agreement: Agreement12;
  readonly peer: PeerIdentity | undefined;
  /** PRF hash of the handshake up to and including the second Finished. */
  readonly transcriptHash: Uint8Array;
  /** Client: what can be resumed later. */
  readonly resumable: ClientSession12 | undefined;
  readonly #master: MasterSecret12;
  readonly #randoms: Randoms;
  readonly #endOnRenegotiation: boolean;
  #renegotiationRequests = 0;

  constructor(
    role: Role,
    agreement: Agreement12,
    secrets: {
      readonly master: MasterSecret12;
      readonly randoms: Randoms;
      readonly endOnRenegotiation: boolean | undefined;
    },
    transcriptHash: Uint8Array,
    resumable: ClientSession12 | undefined,
    _finished: FinishedVerified,
    authenticated: PeerAuthenticated,
  ) {
    this.role = role;
    this.agreement = agreement;
    this.#master = secrets.master;
    this.#randoms = secrets.randoms;
    this.#endOnRenegotiation = secrets.endOnRenegotiation === true;
    this.transcriptHash = transcriptHash;
    this.resumable = resumable;
    this.peer = authenticated.peer;
  }

  /**
   * RFC 5705 §4.
   */
  exportKeyingMaterial(
    _crypto: CryptoProvider,
    label: string,
    context: Uint8Array | undefined,
    length: number,
  ): Uint8Array {
    return this.#master.exportKeyingMaterial(this.#randoms, label, context, length);
  }

  /**
   * A request to renegotiate is refused with a warning (RFC 5246 §7.2.2), or ends the session where the configuration says so;
   * nothing else may come.
   */
  receive(message: HandshakeMessage, io: HandshakeIO): false {
    const request = this.role === 'client' ? HandshakeType.hello_request : HandshakeType.client_hello;
    if (message.type !== request) throw unexpected(message, 'application data');
    if (message.type === HandshakeType.hello_request) parseEmpty('HelloRequest', message.body);
    if (this.#endOnRenegotiation)
      throw new TlsError(
        'ERR_TLS_RENEGOTIATION',
        'The peer wants to renegotiate, which ends the session here',
      );
    if (++this.#renegotiationRequests > MAX_RENEGOTIATION_REQUESTS) {
      throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'The peer goes on asking to renegotiate');
    }
    io.refuseRenegotiation();
    return false;
  }

  dataReceived(): void {
    this.#renegotiationRequests = 0;
  }

  /** @throws TlsError ERR_TLS_KEY_LIMIT: TLS 1.2 has no KeyUpdate */
  updateWriteKey(_io: HandshakeIO, _requestPeer: boolean): never {
    throw new TlsError('ERR_TLS_KEY_LIMIT', 'TLS 1.2 cannot change its keys; open a new connection');
  }
}
