import { DecodeError, NotDerError, SignatureError } from '../errors/errors.ts';

/** Faults of DER as faults of a signed object; anything else as it is. */
export function asSignatureError(error: unknown): unknown {
  if (!(error instanceof DecodeError)) return error;
  const code = error instanceof NotDerError ? 'ERR_SIGN_NOT_DER' : 'ERR_SIGN_MALFORMED';
  return new SignatureError(code, `The object cannot be read: ${error.message}`, undefined, { cause: error });
}
