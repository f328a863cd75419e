import type { CryptoProvider } from '../crypto/provider.ts';
import type { Suite } from '../crypto/suites.ts';
import type { ConnectionIds } from '../record/dtls/record-layer.ts';
import type { Keys12 } from '../record/tls/record12.ts';
import type { ResumableSession } from './resumable-session.ts';

/**
 * What a handshake state may do to the connection around it. TLS implements it on records as they come,
 * DTLS on flights.
 */
export interface HandshakeIO {
  readonly crypto: CryptoProvider;
  /** Unix milliseconds. */
  readonly now: number;
  /**
   * Sends a whole handshake message under the current write key.
   * @returns it as the transcript of TLS 1.2 has it (`HandshakeMessage.raw12`)
   */
  send(message: Uint8Array): Uint8Array;
  sendChangeCipherSpec(): void;
  /** The message being handled must end its record (RFC 8446 §5.1). */
  requireRecordEnd(): void;
  /** Server: throws away the 0-RTT data that was offered, so many bytes at most (RFC 8446 §4.2.10). */
  skipEarlyData(limit: number): void;
  /**
   * record_size_limit was agreed on (RFC 8449).
   * @param sending largest content of a record that the peer takes
   * @param receiving largest plaintext, with type and padding, that this side has announced
   */
  limitRecords(sending: number, receiving: number): void;
  /** Early data, or a server's answer to it, may be sent from here on, so many bytes; 0 when that is over. */
  allowEarlyData(bytes: number): void;
  /** Client, after a HelloRetryRequest that refuses early data: what is sent from here on is in clear again. */
  unprotectWrite(): void;
  /** Everything received from here on is protected by `secret`. The message being handled must end its record. */
  protectRead(suite: Suite, secret: Uint8Array): void;
  protectWrite(suite: Suite, secret: Uint8Array): void;
  /** The hellos agreed on TLS 1.2 or older: records follow RFC 5246 §6 from here on. */
  speakTls12(version: number): void;
  /** As `protectRead`, with the keys of TLS 1.2. */
  protectRead12(keys: Keys12): void;
  protectWrite12(keys: Keys12): void;
  /** TLS 1.2: a warning alert that refuses to renegotiate (RFC 5246 §7.2.2). */
  refuseRenegotiation(): void;
  /** Connection IDs were agreed on, for the protected records of both directions; DTLS alone. */
  useConnectionIds(ids: ConnectionIds): void;
  /** NSS key log label and secret. */
  keylog(label: KeylogLabel, clientRandom: Uint8Array, secret: Uint8Array): void;
  /** Server: the client has answered a request after the handshake (RFC 8446 §4.6.2). */
  clientAuthenticated(): void;
  /** Client: a session that can be resumed. */
  ticket(session: ResumableSession): void;
}

export type KeylogLabel =
  | 'CLIENT_EARLY_TRAFFIC_SECRET'
  | 'CLIENT_HANDSHAKE_TRAFFIC_SECRET'
  | 'SERVER_HANDSHAKE_TRAFFIC_SECRET'
  | 'CLIENT_TRAFFIC_SECRET_0'
  | 'SERVER_TRAFFIC_SECRET_0'
  | 'EXPORTER_SECRET'
  /** TLS 1.2: the master secret. */
  | 'CLIENT_RANDOM';
