import { Oid } from '../../der/oids.ts';
import { boolean, encodeDer, integer, octetString, oid, sequence } from '../../der/writer.ts';
import { TlsError } from '../../errors/errors.ts';

/** SHA-256. Bytes. */
const IMPRINT_BYTES = 32;
/** Enough that nobody guesses one; time authorities take them up to 160 bits. */
export const NONCE_BYTES = 16;

export interface TimeStampRequest {
  /** SHA-256 of what is to be dated. */
  readonly digest: Uint8Array;
  /** `NONCE_BYTES` random ones: the answer repeats them, so that an old answer cannot be passed off as a new one. */
  readonly nonce?: Uint8Array | undefined;
}

/**
 * `TimeStampReq` of RFC 3161 §2.4.1, DER, which asks for the certificates of the time authority as well:
 * SEQUENCE { version INTEGER (1), messageImprint, reqPolicy OPTIONAL, nonce INTEGER OPTIONAL, certReq BOOLEAN }.
 *
 * @throws TlsError ERR_TLS_INTERNAL for a digest of another length
 */
export function encodeTimeStampRequest({ digest, nonce }: TimeStampRequest): Uint8Array {
  if (digest.length !== IMPRINT_BYTES) {
    throw new TlsError('ERR_TLS_INTERNAL', `A digest of ${digest.length} bytes cannot be dated as SHA-256`);
  }
  return encodeDer(
    sequence(
      integer(1),
      // RFC 5754 §2: no parameters.
      sequence(sequence(oid(Oid.sha256)), octetString(digest)),
      nonce === undefined ? undefined : integer(nonce),
      boolean(true),
    ),
  );
}
