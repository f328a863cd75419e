import type { CryptoProvider, SignatureCheck } from '../crypto/provider.ts';
import type { TrustStore } from '../x509/trust-store.ts';
import type { Binding } from './binding.ts';
import type { ContentFormat, ObjectReference, SignerIdentity } from './facts.ts';
import type { ForeignObject, VerifiedObject, VerifiedReceipt, VerifiedStream } from './verified.ts';

export type { ContentFormat, EssReference, ObjectReference, SignerIdentity } from './facts.ts';

/*
 * What the signature formats have in common. A format is two tables of functions, an `ObjectMaker` and an
 * `ObjectVerifier`, in files of their own: verifying never imports making. Bytes in, bytes out: keys, times and
 * trust are arguments.
 */

/** S/MIME and XML objects are held in memory several times over; what is larger is streamed as pkcs7. Bytes. */
export const MAX_WHOLE_OBJECT_BYTES = 16 * 1024 * 1024;

/**
 * Who signs. Make one per key and keep it: what can be computed once for all its objects is remembered by this very
 * value (its chain as it goes into objects, the hash of the certificate, algorithm identifiers).
 */
export interface Signer {
  /** DER certificates, end entity first. The trust anchor can be left out. */
  readonly chain: readonly Uint8Array[];
  /** SignatureScheme (RFC 8446 §4.2.3) that fits the key of the certificate; rsa_pkcs1_* too. */
  readonly scheme: number;
}

/**
 * An object that lacks its signature. Signing has two phases, so that keys can be anywhere and answer later:
 *
 *     const unsigned = prepareObject(crypto, content, options);
 *     const object = unsigned.finish(await key.sign(unsigned.scheme, unsigned.toBeSigned));
 */
export interface Unsigned {
  readonly scheme: number;
  /** What `SigningKey.sign` is given: data, not a digest. */
  readonly toBeSigned: Uint8Array;
  /**
   * @param signature as `SigningKey.sign` makes it (ECDSA: DER)
   * @returns the whole object
   */
  finish(signature: Uint8Array): Uint8Array;
}

export interface ReceiptOptions {
  readonly signer: Signer;
  readonly binding: Binding;
  /** Unix milliseconds; the formats keep whole seconds. */
  readonly signingTime: number;
  /** False where the peer has the chain already and space is short (DTLS). */
  readonly includeCertificates: boolean;
}

export interface ObjectOptions extends ReceiptOptions {
  /** Ask for a signed receipt inside of what is signed. */
  readonly receiptRequest: boolean;
}

export interface ObjectMaker {
  readonly format: ContentFormat;
  /** @throws SignatureError ERR_SIGN_TOO_LARGE; TlsError ERR_TLS_INTERNAL for a binding or signer that cannot be */
  prepareObject(crypto: CryptoProvider, content: Uint8Array, options: ObjectOptions): Unsigned;
  /**
   * @param received of the object that is acknowledged
   * @throws SignatureError ERR_SIGN_RECEIPT_MISMATCH when the object is signed and asks for no receipt
   */
  prepareReceipt(crypto: CryptoProvider, received: ObjectReference, options: ReceiptOptions): Unsigned;
}

/**
 * Decides about a signer's certificates, where a trust store alone does not: it may know them from the handshake, or
 * judge them at a proven time.
 *
 * @param chain DER certificates: the signer's first, the others in any order
 * @throws CertificateError
 */
export type SignerJudge = (chain: readonly Uint8Array[], now: number) => SignerIdentity;

export interface VerifyContext {
  readonly trust: TrustStore | SignerJudge;
  /** Time of verification, Unix milliseconds: certificates are judged at it, and signing times with `clockSkew`. */
  readonly now: number;
  /** The announced chain, end entity first. The signer must be its end entity; an object can then lack certificates. */
  readonly signerChain?: readonly Uint8Array[] | undefined;
  /** How far the signing time may be from `now`, in milliseconds. Default: not looked at (evidence of the past). */
  readonly clockSkew?: number | undefined;
  /** Fields of the binding that must be as given here; a `Uint8Array` is compared by its bytes. */
  readonly expect?: Partial<Binding> | undefined;
}

/** Allowance at reception (tls-sign.md §2: more than 5 minutes off is refused). Milliseconds. */
export const RECEPTION_CLOCK_SKEW = 5 * 60_000;

/** Finds what a receipt is for among what was sent; undefined when it never was. */
export type FindSent = (objectDigest: Uint8Array) => ObjectReference | undefined;

/**
 * Verification that leaves its costliest step to others: it yields the signature to be checked, once, is told whether
 * that is good, and returns the proof.
 *
 *     const judgement = verifier.judgeObject(crypto, object, context);
 *     const { value: check } = judgement.next();   // all that costs little has been checked
 *     judgement.next(await isGood(check));         // { done: true, value: VerifiedObject }
 */
export type Judgement<T> = Generator<SignatureCheck, T, boolean>;

/** All throw SignatureError and nothing else, whatever the bytes are. */
export interface ObjectVerifier {
  readonly format: ContentFormat;
  /** `verifyObject`, for those who can have signatures checked elsewhere. */
  judgeObject(crypto: CryptoProvider, object: Uint8Array, context: VerifyContext): Judgement<VerifiedObject>;
  /** `verifyReceipt`, likewise; `sent` is looked for when the signature is known to be good. */
  judgeReceipt(
    crypto: CryptoProvider,
    receipt: Uint8Array,
    sent: ObjectReference | FindSent,
    context: VerifyContext,
  ): Judgement<VerifiedReceipt>;
  verifyObject(crypto: CryptoProvider, object: Uint8Array, context: VerifyContext): VerifiedObject;
  /** @param sent the object that the receipt must be for, or how to find it */
  verifyReceipt(
    crypto: CryptoProvider,
    receipt: Uint8Array,
    sent: ObjectReference | FindSent,
    context: VerifyContext,
  ): VerifiedReceipt;
  /**
   * Objects that other software made: no binding is needed, and what only our profile demands is not. All that makes
   * a signature one is checked all the same.
   */
  verifyForeignObject(crypto: CryptoProvider, object: Uint8Array, context: VerifyContext): ForeignObject;
  /** What to check receipts for `object` with. Proves nothing: it is for the sender, who made the object. */
  referenceTo(crypto: CryptoProvider, object: Uint8Array): ObjectReference;
  /** SHA-256 of the object that a receipt says it is for. Proves nothing: it is for finding that object. */
  acknowledgedDigest(receipt: Uint8Array): Uint8Array;
}

/**
 * Makes one pkcs7 object of any size: bytes to send come out as content goes in.
 *
 *     send(stream.header);
 *     for (const piece of content) for (const bytes of stream.write(piece)) send(bytes);
 *     const unsigned = stream.end({ binding, signingTime, receiptRequest, includeCertificates });
 *     const { trailer, reference } = unsigned.finish(await key.sign(unsigned.scheme, unsigned.toBeSigned));
 *     send(trailer);
 */
export interface ObjectStream {
  /** What comes before the content. */
  readonly header: Uint8Array;
  /** Content goes out between small headers, as it came in: not copied, and hashed at once. */
  write(content: Uint8Array): Uint8Array[];
  /** What is signed is settled here, at the end: the signing time is that of the last byte. */
  end(options: Omit<ObjectOptions, 'signer'>): UnsignedStream;
}

/** As `Unsigned`, for an object that has left already but for its end. */
export interface UnsignedStream {
  readonly scheme: number;
  readonly toBeSigned: Uint8Array;
  /** Once. */
  finish(signature: Uint8Array): {
    /** The bytes that end the object. */
    readonly trailer: Uint8Array;
    /** What a receipt for it is checked with. */
    readonly reference: ObjectReference;
    readonly contentLength: number;
    /** SHA-256. */
    readonly contentDigest: Uint8Array;
  };
}

/** Content of a streamed object whose signature has not come yet. Nobody has proven anything about it. */
export interface UnverifiedContent {
  readonly verified: false;
  /** A view on what was written. */
  readonly bytes: Uint8Array;
}

/**
 * Verifies a pkcs7 object as it arrives, in bounded memory. Both throw SignatureError; after that, or without `end`,
 * whatever came out before is worth nothing.
 */
export interface ObjectStreamVerifier {
  /** @param bytes any piece of the object; the next one follows it */
  write(bytes: Uint8Array): UnverifiedContent[];
  /** No more bytes: the verdict. The signing time is that of the last byte, and so is the time of the context. */
  end(context: VerifyContext): VerifiedStream;
}

/** `referenceTo` for a pkcs7 object that is too large for it. Both throw SignatureError. Proves nothing. */
export interface ObjectStreamReader {
  /** @param bytes any piece of the object; the next one follows it */
  write(bytes: Uint8Array): void;
  end(): {
    readonly reference: ObjectReference;
    /** The SignedData without its content (RFC 5652 §5.2), DER. */
    readonly detached: Uint8Array;
  };
}
