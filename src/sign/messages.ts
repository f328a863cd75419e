import type { SignatureCheck, SigningKey } from '../crypto/provider.ts';
import type { ConnectionError } from '../errors/errors.ts';
import type { SignerIdentity } from '../formats/format.ts';
import type { VerifiedObject, VerifiedReceipt } from '../formats/verified.ts';
import type { MultiplexedConnection } from '../mux/index.ts';
import type { EvidenceEntry, EvidenceSession } from './evidence.ts';

/** Where data belongs. */
export interface Place {
  /** TLS content type that the data would have had. */
  readonly contentType: number;
  /** Empty outside multiplexing. */
  readonly application: string;
  /** In a multiplexed session. */
  readonly connection: MultiplexedConnection | undefined;
}

/** What `SigningSession.send` was given, on its way. */
export interface SentMessage extends Place {
  readonly sequence: number;
  readonly receiptRequested: boolean;
  /** It travels unsigned (sign type {0,2}). */
  readonly unsigned: boolean;
  /** Whatever the adapter wants to find again when an event names this message. */
  attachment: unknown;
}

/** Data that has come, has been verified, and is in the archive where there is one. */
export interface ReceivedMessage extends Place {
  readonly sequence: number;
  readonly content: Uint8Array;
  /** The object byte for byte. */
  readonly object: Uint8Array;
  /** The proof; `undefined` for data that travelled unsigned (sign type {0,2}): nobody has signed that. */
  readonly verified: VerifiedObject | undefined;
  readonly signer: SignerIdentity | undefined;
  /** Unix milliseconds, as the signer says. */
  readonly signingTime: number | undefined;
  readonly receiptRequested: boolean;
  /** A receipt was asked for and will leave. False as well when this side has nothing to sign with. */
  readonly acknowledged: boolean;
  /** SHA-256 of the object. */
  readonly objectDigest: Uint8Array;
  /** Index in the archive. */
  readonly record: number | undefined;
}

/** A receipt that has come, has been verified, and is in the archive where there is one. */
export interface ReceivedReceipt {
  readonly sequence: number;
  readonly object: Uint8Array;
  readonly verified: VerifiedReceipt;
  readonly signer: SignerIdentity;
  /** Unix milliseconds, as the signer says. */
  readonly signingTime: number;
  /** SHA-256 of the object that it acknowledges. */
  readonly acknowledges: Uint8Array;
  /** Index in the archive. */
  readonly record: number | undefined;
}

/** What happened, in order. */
export type SignEvent =
  /** The peer has switched signing of its data on or off. */
  | { readonly type: 'switch'; readonly on: boolean }
  | { readonly type: 'message'; readonly message: ReceivedMessage }
  /** It is with the connection, and in the archive where there is one. */
  | { readonly type: 'sent'; readonly message: SentMessage }
  | { readonly type: 'receipt'; readonly message: SentMessage; readonly receipt: ReceivedReceipt }
  /** It was not sent, or its receipt will not come. */
  | { readonly type: 'lost'; readonly message: SentMessage; readonly error: ConnectionError }
  /** The peer sends no more, and everything that it has sent was delivered; or the session failed. */
  | { readonly type: 'end'; readonly error: Error | undefined };

/**
 * Work that only the outside can do. Any number may be under way, and be answered in any order; each is answered once,
 * by `provide` or `fail`. Times are Unix milliseconds. They have to be answered after the end of the session as well.
 */
export type SignWanted =
  /** Sign `input` (not a digest of it). */
  | {
      readonly kind: 'signature';
      readonly key: SigningKey;
      readonly scheme: number;
      readonly input: Uint8Array;
      provide(signature: Uint8Array, now: number): void;
      fail(error: unknown): void;
    }
  /** Verify: reading takes some ten microseconds, or more for large objects; the check of the signature longer. */
  | {
      readonly kind: 'verification';
      /** @returns what has to be checked; nothing when that is settled already */
      begin(now: number): SignatureCheck | undefined;
      /** Exactly once after `begin`. @param isGood of that check; anything where there was none */
      conclude(isGood: boolean, now: number): void;
    }
  /** Keep this, and say so when it is durable. */
  | {
      readonly kind: 'persisted';
      readonly session: EvidenceSession;
      readonly entry: EvidenceEntry;
      /** @param record its index in the archive */
      provide(record: number, now: number): void;
      fail(error: unknown): void;
    };
