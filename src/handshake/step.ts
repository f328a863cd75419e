import type { HandshakeMessage } from '../messages/handshake.ts';
import type { Identity } from './config.ts';
import type { Established } from './established.ts';
import type { HandshakeIO } from './io.ts';
import type { Established12 } from './tls12/established.ts';
import type { DecryptionWanted, IdentitiesWanted, SignatureWanted } from './wanted.ts';

export type { DecryptionWanted, IdentitiesWanted, SignatureWanted };

/** The handshake's next move: await a message, await an answer from outside, or done. */
export type Step = Expect | Waiting | Choosing | Established | Established12;

/** A state that awaits one message; handling it consumes the state and returns the next. */
export interface Expect {
  readonly kind: 'expect';
  receive(message: HandshakeMessage, io: HandshakeIO): Step;
  /** TLS 1.2, and only in the state that awaits it: the peer's ChangeCipherSpec (RFC 5246 §7.1). */
  receiveChangeCipherSpec?(io: HandshakeIO): Step;
  /** Server: early data may come before the message. @param length bytes of it @throws TlsError beyond the limit */
  receiveEarlyData?(length: number): void;
}

/** A state that awaits an answer to `wanted`. */
export interface Waiting {
  readonly kind: 'waiting';
  readonly wanted: SignatureWanted | DecryptionWanted;
  provide(answer: Uint8Array, io: HandshakeIO): Step;
}

/** A state that awaits an answer to `IdentitiesWanted`. */
export interface Choosing {
  readonly kind: 'choosing';
  readonly wanted: IdentitiesWanted;
  choose(identities: readonly Identity[], io: HandshakeIO): Step;
}

export type Wanted = SignatureWanted | DecryptionWanted | IdentitiesWanted;
