import type { CryptoProvider, RunningHash } from '../../crypto/provider.ts';
import { Oid } from '../../der/oids.ts';
import { contextConstructed, Tag } from '../../der/tags.ts';
import { encodeDer, integer, oid } from '../../der/writer.ts';
import { TlsError } from '../../errors/errors.ts';
import { concat } from '../../wire/writer.ts';
import type { ObjectOptions, ObjectStream, Signer, UnsignedStream } from '../format.ts';
import { berHeader, CONSTRUCTED_OCTET_STRING, END_OF_CONTENTS, INDEFINITE } from './ber.ts';
import { attributesToSign, contentIdentifier, objectAttributes, signerInfos } from './make.ts';
import { type SignerState, signerState } from './signer-state.ts';

/**
 * Begins a pkcs7 object of unknown length: BER's indefinite form outside, DER for all that is signed and for the
 * certificates.
 * @throws SignatureError ERR_SIGN_CERTIFICATE, ERR_SIGN_UNSUPPORTED_ALGORITHM
 */
export function startObject(crypto: CryptoProvider, signer: Signer): ObjectStream {
  return new CmsObjectStream(crypto, signerState(crypto, signer));
}

class CmsObjectStream implements ObjectStream {
  readonly header: Uint8Array;
  readonly #crypto: CryptoProvider;
  readonly #state: SignerState;
  readonly #contentHash: RunningHash;
  /** SHA-256, by which archives find content. */
  readonly #contentSha256: RunningHash;
  #contentLength = 0;
  readonly #objectHash: RunningHash;
  #ended = false;

  constructor(crypto: CryptoProvider, state: SignerState) {
    this.#crypto = crypto;
    this.#state = state;
    this.header = concat([BEFORE_ALGORITHMS, state.digestAlgorithms, BEFORE_CONTENT]);
    const { hash } = state.algorithm;
    this.#contentHash = crypto.hash(hash);
    this.#contentSha256 = hash === 'sha256' ? this.#contentHash : crypto.hash('sha256');
    this.#objectHash = crypto.hash('sha256');
    this.#objectHash.update(this.header);
  }

  write(content: Uint8Array): Uint8Array[] {
    this.#checkOpen();
    if (content.length === 0) return [];
    this.#contentHash.update(content);
    if (this.#contentSha256 !== this.#contentHash) this.#contentSha256.update(content);
    this.#contentLength += content.length;
    const pieces = [berHeader(Tag.octetString, content.length), content];
    for (const piece of pieces) this.#objectHash.update(piece);
    return pieces;
  }

  end(options: Omit<ObjectOptions, 'signer'>): UnsignedStream {
    this.#checkOpen();
    this.#ended = true;
    const state = this.#state;
    const toBeSigned = attributesToSign(objectAttributes(state, this.#contentHash.snapshot(), options));
    return {
      scheme: state.algorithm.scheme.id,
      toBeSigned,
      finish: (signature) => {
        const trailer = concat([
          AFTER_CONTENT,
          ...(options.includeCertificates ? [state.certificates] : []),
          encodeDer(signerInfos(state, toBeSigned, signature)),
          AFTER_SIGNERS,
        ]);
        this.#objectHash.update(trailer);
        const ess = options.receiptRequest && {
          contentType: Oid.data,
          contentIdentifier: contentIdentifier(options.binding),
          signature: new Uint8Array(signature),
          attributesDigest: this.#crypto.digest(state.algorithm.hash, toBeSigned),
        };
        const objectDigest = this.#objectHash.snapshot();
        const receiptRequested = options.receiptRequest;
        return {
          trailer,
          reference: { kind: 'signed', objectDigest, receiptRequested, ...(ess && { ess }) },
          contentLength: this.#contentLength,
          contentDigest: this.#contentSha256.snapshot(),
        };
      },
    };
  }

  #checkOpen(): void {
    if (this.#ended) throw new TlsError('ERR_TLS_INTERNAL', 'This signed object has been ended already');
  }
}

const SEQUENCE = Uint8Array.of(Tag.sequence, INDEFINITE);
const EXPLICIT_0 = Uint8Array.of(contextConstructed(0), INDEFINITE);

/** ContentInfo ::= SEQUENCE { contentType, [0] SignedData ::= SEQUENCE { version, … */
const BEFORE_ALGORITHMS = concat([
  SEQUENCE,
  encodeDer(oid(Oid.signedData)),
  EXPLICIT_0,
  SEQUENCE,
  encodeDer(integer(1)),
]);
/** … EncapsulatedContentInfo ::= SEQUENCE { eContentType, [0] OCTET STRING, in pieces */
const BEFORE_CONTENT = concat([
  SEQUENCE,
  encodeDer(oid(Oid.data)),
  EXPLICIT_0,
  Uint8Array.of(CONSTRUCTED_OCTET_STRING, INDEFINITE),
]);
/** Ends the OCTET STRING, its [0] and the EncapsulatedContentInfo. */
const AFTER_CONTENT = new Uint8Array(6).fill(END_OF_CONTENTS);
/** Ends the SignedData, its [0] and the ContentInfo. */
const AFTER_SIGNERS = new Uint8Array(6).fill(END_OF_CONTENTS);
