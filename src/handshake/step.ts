import type { CryptoProvider, SigningKey } from '../crypto/provider.ts';
import type { Suite } from '../crypto/suites.ts';
import type { HandshakeMessage } from '../messages/handshake.ts';
import type { Established } from './established.ts';
import type { ClientSession } from './session.ts';

/**
 * What a handshake state may do to the connection around it. TLS implements it on records as they come;
 * DTLS will on flights.
 */
export interface HandshakeIO {
  readonly crypto: CryptoProvider;
  /** Unix milliseconds. */
  readonly now: number;
  /** Sends a whole handshake message under the current write key. */
  send(message: Uint8Array): void;
  sendChangeCipherSpec(): void;
  /** Everything received from here on is protected by `secret`. The message being handled must end its record. */
  protectRead(suite: Suite, secret: Uint8Array): void;
  protectWrite(suite: Suite, secret: Uint8Array): void;
  /** NSS key log label and secret. */
  keylog(label: KeylogLabel, clientRandom: Uint8Array, secret: Uint8Array): void;
  /** Client: a session that can be resumed. */
  ticket(session: ClientSession): void;
}

export type KeylogLabel =
  | 'CLIENT_HANDSHAKE_TRAFFIC_SECRET'
  | 'SERVER_HANDSHAKE_TRAFFIC_SECRET'
  | 'CLIENT_TRAFFIC_SECRET_0'
  | 'SERVER_TRAFFIC_SECRET_0'
  | 'EXPORTER_SECRET';

/** The handshake's next move: await a message, await an answer from outside, or done. */
export type Step = Expect | Waiting | Established;

/** A state that awaits one message; handling it consumes the state and returns the next. */
export interface Expect {
  readonly kind: 'expect';
  receive(message: HandshakeMessage, io: HandshakeIO): Step;
}

/** Work that only the outside can do: sign with a key that the engine never sees. */
export interface SignatureWanted {
  readonly kind: 'signature';
  readonly key: SigningKey;
  readonly scheme: number;
  /** The bytes to sign, not a digest of them. */
  readonly input: Uint8Array;
}

/** A state that awaits an answer to `wanted`. */
export interface Waiting {
  readonly kind: 'waiting';
  readonly wanted: SignatureWanted;
  provide(signature: Uint8Array, io: HandshakeIO): Step;
}
