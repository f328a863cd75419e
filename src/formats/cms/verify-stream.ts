import type { CryptoProvider, HashName, RunningHash } from '../../crypto/provider.ts';
import { Oid } from '../../der/oids.ts';
import { SignatureError } from '../../errors/errors.ts';
import type {
  ObjectStreamReader,
  ObjectStreamVerifier,
  UnverifiedContent,
  VerifyContext,
} from '../format.ts';
import { asFault, settle } from '../judgement.ts';
import { prove, type VerifiedStream } from '../verified.ts';
import { checkBound, checkContentType, checkSignature, contentHash, referenceOf } from './check.ts';
import type { SignedDataHead } from './read.ts';
import { StreamReader } from './read-stream.ts';

/** Verifies what `make-stream.ts` makes, and whole objects of `make.ts` as well, in bounded memory. */
export function startVerification(crypto: CryptoProvider): ObjectStreamVerifier {
  return new CmsStreamVerifier(crypto);
}

/** Reads what `startVerification` verifies, for its reference and its signature without the content. */
export function startReading(crypto: CryptoProvider): ObjectStreamReader {
  const reader = new StreamReader(false);
  const objectHash = crypto.hash('sha256');
  return {
    write: (bytes) =>
      asFault(() => {
        objectHash.update(bytes);
        reader.write(bytes);
      }),
    end: () =>
      asFault(() => {
        const { signer } = reader.end();
        const { contentType } = reader.head as SignedDataHead;
        const hash = contentHash(signer.digestAlgorithm, false);
        const reference = referenceOf(crypto, objectHash.snapshot(), contentType, { ...signer, hash });
        return { reference, detached: reader.detached as Uint8Array };
      }),
  };
}

class CmsStreamVerifier implements ObjectStreamVerifier {
  readonly #crypto: CryptoProvider;
  readonly #reader = new StreamReader(false);
  readonly #objectHash: RunningHash;
  #content: ContentHashes | undefined;
  #failure: unknown;

  constructor(crypto: CryptoProvider) {
    this.#crypto = crypto;
    this.#objectHash = crypto.hash('sha256');
  }

  write(bytes: Uint8Array): UnverifiedContent[] {
    return this.#guarded(() => {
      this.#objectHash.update(bytes);
      const pieces = this.#reader.write(bytes);
      const { head } = this.#reader;
      if (head !== undefined) this.#content ??= startContent(this.#crypto, head);
      for (const piece of pieces) this.#content?.update(piece);
      return pieces.map((piece) => ({ verified: false, bytes: piece }));
    });
  }

  end(context: VerifyContext): VerifiedStream {
    return this.#guarded(() => {
      const tail = this.#reader.end();
      const { head } = this.#reader;
      const content = this.#content;
      if (head === undefined || content === undefined)
        throw new SignatureError('ERR_SIGN_INCOMPLETE', 'The object ends before its content');
      const parts = { head, tail, contentDigest: content.forSigner() };
      const signature = settle(this.#crypto, checkSignature(this.#crypto, parts, context, false));
      const objectDigest = this.#objectHash.snapshot();
      return prove.stream({
        format: 'pkcs7',
        signer: signature.signer,
        ...checkBound(signature, 'data', context),
        objectDigest,
        contentLength: content.length,
        contentDigest: content.sha256(),
        receiptRequested: signature.attributes.receiptRequest !== undefined,
        reference: referenceOf(this.#crypto, objectDigest, head.contentType, signature),
      });
    });
  }

  /** After a fault nothing can follow. */
  #guarded<T>(run: () => T): T {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return asFault(run);
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }
}

/** @throws SignatureError ERR_SIGN_UNSUPPORTED_ALGORITHM, ERR_SIGN_WRONG_KIND: before any content is let through */
function startContent(crypto: CryptoProvider, head: SignedDataHead): ContentHashes {
  const hash = contentHash(head.digestAlgorithm, false);
  checkContentType(head.contentType, Oid.data);
  return new ContentHashes(crypto, hash);
}

/** The digest that the signer made, and the one that the archive finds content by. */
class ContentHashes {
  length = 0;
  readonly #signer: RunningHash;
  readonly #sha256: RunningHash;

  constructor(crypto: CryptoProvider, hash: HashName) {
    this.#signer = crypto.hash(hash);
    this.#sha256 = hash === 'sha256' ? this.#signer : crypto.hash('sha256');
  }

  update(piece: Uint8Array): void {
    this.length += piece.length;
    this.#signer.update(piece);
    if (this.#sha256 !== this.#signer) this.#sha256.update(piece);
  }

  forSigner(): Uint8Array {
    return this.#signer.snapshot();
  }

  sha256(): Uint8Array {
    return this.#sha256.snapshot();
  }
}
