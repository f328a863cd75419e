import { SignatureError } from '../errors/errors.ts';
import type { Signer, Unsigned } from '../formats/format.ts';
import type { SessionContext } from './context.ts';
import { HEADER_BYTES } from './frame.ts';
import { longestSignature } from './longest-signature.ts';

/** Over DTLS an object is one datagram: whether one will fit, before it has its signature. Over TLS everything fits. */
export class DatagramRoom {
  readonly #context: SessionContext;
  readonly #longestSignature: Uint8Array;

  constructor(context: SessionContext, signer: Signer | undefined) {
    this.#context = context;
    this.#longestSignature =
      context.datagrams && signer !== undefined ? longestSignature(context.link.crypto, signer) : EMPTY;
  }

  /** Bytes of a TLSSigntext. The path may carry less than when it was made. */
  get limit(): number {
    return this.#context.link.maxDatagramSize ?? Number.POSITIVE_INFINITY;
  }

  /** @throws SignatureError ERR_SIGN_TOO_LARGE */
  checkSigned(prepared: Unsigned, contentLength: number): void {
    if (this.#context.datagrams) this.#check(this.#sizeOf(prepared), contentLength);
  }

  /** @throws SignatureError ERR_SIGN_TOO_LARGE */
  checkUnsigned(object: Uint8Array, contentLength: number): void {
    this.#check(HEADER_BYTES + object.length, contentLength);
  }

  /** @returns why it cannot leave, if it cannot */
  refuseReceipt(prepared: Unsigned): SignatureError | undefined {
    const size = this.#context.datagrams ? this.#sizeOf(prepared) : 0;
    if (size <= this.limit) return undefined;
    return new SignatureError(
      'ERR_SIGN_TOO_LARGE',
      `The receipt has up to ${size} bytes, and over DTLS at most ${this.limit} fit: it is not sent; ${SMALLER}`,
    );
  }

  /** What it will have at most as a TLSSigntext. */
  #sizeOf(prepared: Unsigned): number {
    return HEADER_BYTES + prepared.finish(this.#longestSignature).length;
  }

  #check(size: number, contentLength: number): void {
    const { limit } = this;
    if (size <= limit) return;
    const excess = size - limit;
    const remedy = excess < contentLength ? `send ${excess} bytes less, or raise mtu` : SMALLER;
    throw new SignatureError(
      'ERR_SIGN_TOO_LARGE',
      `Signed, this has up to ${size} bytes, and over DTLS at most ${limit} fit: ${remedy}`,
    );
  }
}

/** What to do about an object that is too large whatever its content is: signatures of RSA are four to eight times as long. */
const SMALLER = 'sign with a key on a curve (P-256, Ed25519), or raise mtu where the path carries more';
const EMPTY = new Uint8Array(0);
