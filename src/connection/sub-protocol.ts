import type { CryptoProvider } from '../crypto/provider.ts';
import type { TlsError } from '../errors/errors.ts';
import type { Identity } from '../handshake/config.ts';
import type { HelloContext, HelloExtension, Role } from '../handshake/hello-extension.ts';
import type { PeerIdentity } from '../x509/verify.ts';

export type { HelloContext, Role };

/**
 * The seam: a protocol that shares the session with application_data.
 * It owns content types, at most one hello extension, and post-handshake message types.
 * One instance serves one connection. Whatever it throws as a `TlsError` ends the session with that error's alert.
 *
 * Negotiation: client `offer` → server `answer` → client `confirm`. It is negotiated when the server answered with a
 * body. Until it is negotiated *and* the peer's Finished has been verified, its content and handshake types are
 * `unexpected_message`, and they never travel in early data. It is negotiated afresh on every resumption.
 */
export interface SubProtocol extends HelloExtension {
  readonly name: string;
  readonly contentTypes: readonly number[];
  readonly handshakeTypes: readonly number[];

  /** The handshake is complete and this sub-protocol was negotiated. */
  start(link: SubProtocolLink): void;
  /** Content of one record of one of `contentTypes`. `content` may be kept. */
  receiveRecord(contentType: number, content: Uint8Array): void;
  /** One whole post-handshake message of one of `handshakeTypes`, without its 4-byte header. */
  receiveHandshake(type: number, body: Uint8Array): void;
  /** A record of application data came. It is delivered unless this throws a TlsError. */
  checkApplicationData?(content: Uint8Array): void;
  /** The peer sent close_notify: nothing more will be received. Only after `start`. */
  receiveEnd(): void;
  /** The session is over; nothing can be sent or received. `error` is absent after an orderly close. Only after `start`. */
  closed(error: Error | undefined): void;
}

/** What a started sub-protocol can do with its session. */
export interface SubProtocolLink {
  readonly role: Role;
  readonly session: SessionFacts;
  readonly crypto: CryptoProvider;
  /** Another sub-protocol of this session, by its name, if both sides have agreed to it. It may not have started yet. */
  neighbour(name: string): SubProtocol | undefined;
  /**
   * Over datagrams (DTLS): the largest content that `send` takes at this moment, which arrives whole, once, or not at all,
   * and in any order. `undefined` over a stream.
   */
  readonly maxDatagramSize?: number | undefined;
  /** False once this side has said close_notify: what the peer still says can be heard, and not be answered. */
  readonly writable: boolean;
  /**
   * Seals `content` into as many records as it needs, over datagrams into one; they leave with the connection's next
   * `transmit()`.
   * @throws ConnectionError ERR_DTLS_TOO_LARGE for more than `maxDatagramSize`
   */
  send(contentType: number, content: Uint8Array): void;
  /** Sends one post-handshake message. */
  sendHandshake(type: number, body: Uint8Array): void;
  /** RFC 8446 §7.5. */
  exportKeyingMaterial(label: string, context: Uint8Array | undefined, length: number): Uint8Array;
  /** Ends the session with the error's alert. */
  fail(error: TlsError): void;
}

/** What the handshake has settled, as far as a sub-protocol may want to bind to it. */
export interface SessionFacts {
  /** As on the wire: 0x0304 for TLS 1.3. */
  readonly version: number;
  /** IANA number. */
  readonly cipherSuite: number;
  readonly resumed: boolean;
  /** Transcript-Hash(ClientHello … client Finished), RFC 8446 §4.4.1. */
  readonly transcriptHash: Uint8Array;
  readonly peer: PeerIdentity | undefined;
  /**
   * By which the peer may know this side: the identity that was shown, or none. After a resumption nothing was shown,
   * and these are all that may have been shown in the first handshake.
   */
  readonly identities: readonly Identity[];
}

export type SubProtocolFactory = (role: Role) => SubProtocol;
