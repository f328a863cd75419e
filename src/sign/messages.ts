import type { SignatureCheck, SignedStatement, SigningKey } from '../crypto/provider.ts';
import type { SignatureError } from '../errors/errors.ts';
import type { SignerIdentity, UnverifiedContent } from '../formats/format.ts';
import type { VerifiedObject, VerifiedReceipt, VerifiedStream } from '../formats/verified.ts';
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
  /** −1 while a streamed message is in front of it: then it has no number yet. */
  readonly sequence: number;
  readonly receiptRequested: boolean;
  /** It travels unsigned (sign type {0,2}). */
  readonly unsigned: boolean;
  /** Whatever the adapter wants to find again when an event names this message. */
  attachment: unknown;
}

/** A message that goes out in pieces, as `SigningSession.stream` has begun it. */
export interface SentStream extends SentMessage {
  /** Its turn has come, and what was written has left and is stored. The event `drain` says that it is true again. */
  readonly wantsMore: boolean;
  /** @param content must not change before `wantsMore` is true again. @throws TlsError ERR_TLS_INTERNAL after `end` */
  write(content: Uint8Array): void;
  /** That was all: now it is signed. */
  end(now: number): void;
  /** It cannot go on. Once its turn has come the session ends with it: nothing else may follow the pieces that have left. */
  abort(error: unknown, now: number): void;
}

/** Data that has come, has been verified, and is in the archive where there is one. */
export interface ReceivedMessage extends Place {
  readonly sequence: number;
  readonly content: Uint8Array;
  /** The object byte for byte; `undefined` where it came in pieces: then only the archive has it. */
  readonly object: Uint8Array | undefined;
  /** The proof; `undefined` for data that travelled unsigned (sign type {0,2}): nobody has signed that. */
  readonly verified: VerifiedObject | VerifiedStream | undefined;
  readonly signer: SignerIdentity | undefined;
  /** Unix milliseconds, as the signer says. */
  readonly signingTime: number | undefined;
  readonly receiptRequested: boolean;
  /** A receipt was asked for and will leave. False as well when this side has nothing to sign with. */
  readonly acknowledged: boolean;
  /** Over DTLS: the receipt that was asked for fits no datagram, `ERR_SIGN_TOO_LARGE`. */
  readonly receiptError?: SignatureError | undefined;
  /** SHA-256 of the object. */
  readonly objectDigest: Uint8Array;
  /** Index in the archive. */
  readonly record: number | undefined;
}

/** A message that comes in pieces. What it says is worth nothing before the event `verdict`. */
export interface ReceivedStream extends Place {
  readonly sequence: number;
  readonly receiptRequested: boolean;
  /** Whatever the adapter wants to find again when an event names this stream. */
  attachment: unknown;
  /** The next of what has come; `undefined` when there is nothing now, and the event `content` says when there is again. */
  read(): UnverifiedContent | undefined;
  /** Nobody reads the rest. It is verified, kept and acknowledged all the same. */
  drop(): void;
}

/** A streamed message has been verified, and is in the archive where there is one. */
export interface StreamVerdict {
  /** The proof. */
  readonly verified: VerifiedStream;
  readonly signer: SignerIdentity;
  /** Unix milliseconds, as the signer says: when it was at its end. */
  readonly signingTime: number;
  /** A receipt was asked for and will leave. False as well when this side has nothing to sign with. */
  readonly acknowledged: boolean;
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
  /** One that comes in pieces has begun. */
  | { readonly type: 'stream'; readonly stream: ReceivedStream }
  | { readonly type: 'content'; readonly stream: ReceivedStream }
  /** It has come to its end, and is what its signer has signed. */
  | { readonly type: 'verdict'; readonly stream: ReceivedStream; readonly verdict: StreamVerdict }
  /** It has not, or is not: what has come of it proves nothing. The session ends. */
  | { readonly type: 'broken'; readonly stream: ReceivedStream; readonly error: Error }
  | { readonly type: 'drain'; readonly message: SentStream }
  /** It is with the connection, and in the archive where there is one. */
  | { readonly type: 'sent'; readonly message: SentMessage }
  | { readonly type: 'receipt'; readonly message: SentMessage; readonly receipt: ReceivedReceipt }
  /** It was not sent, or its receipt will not come. */
  | { readonly type: 'lost'; readonly message: SentMessage; readonly error: Error }
  /** The peer sends no more, and everything that it has sent was delivered; or the session failed. */
  | { readonly type: 'end'; readonly error: Error | undefined };

/** Names an object whose bytes came with `stored`. */
export interface StreamedObject {
  /** Bytes. */
  readonly length: number;
}

export type WantedEntry = EvidenceEntry<StreamedObject>;

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
      readonly statement: SignedStatement;
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
  /** Put these pieces of an object where `persisted` will find them; one after the other. It need not be durable yet. */
  | {
      readonly kind: 'stored';
      readonly object: StreamedObject;
      readonly pieces: readonly Uint8Array[];
      provide(): void;
      fail(error: unknown): void;
    }
  /** Keep this, and say so when it is durable. */
  | {
      readonly kind: 'persisted';
      readonly session: EvidenceSession;
      readonly entry: WantedEntry;
      /** @param record its index in the archive */
      provide(record: number, now: number): void;
      fail(error: unknown): void;
    };
