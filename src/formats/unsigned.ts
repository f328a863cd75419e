import type { CryptoProvider } from '../crypto/provider.ts';
import { DerReader } from '../der/reader.ts';
import { encodeDer, octetString, sequence } from '../der/writer.ts';
import { type Binding, encodeBinding, readBinding } from './binding.ts';
import { asSignatureError } from './faults.ts';
import type { ObjectReference } from './format.ts';

/** Data that travels unsigned under sign type {0,2}, so that its receiver can sign a receipt. */
export interface UnsignedObject {
  readonly binding: Binding;
  /** A view on the object. */
  readonly content: Uint8Array;
}

/** `SEQUENCE { binding, content OCTET STRING }`, DER. @throws TlsError ERR_TLS_INTERNAL for a binding that cannot be */
export function encodeUnsignedObject({ binding, content }: UnsignedObject): Uint8Array {
  return encodeDer(sequence(encodeBinding(binding), octetString(content)));
}

/** @throws SignatureError ERR_SIGN_NOT_DER, ERR_SIGN_MALFORMED */
export function decodeUnsignedObject(object: Uint8Array): UnsignedObject {
  try {
    const reader = new DerReader(object, 'unsigned object');
    const fields = reader.sequence();
    reader.end();
    const binding = readBinding(fields);
    const content = fields.octetString();
    fields.end();
    return { binding, content };
  } catch (error) {
    throw asSignatureError(error);
  }
}

/** What a receipt for it is made of, and checked with. */
export function referenceToUnsigned(crypto: CryptoProvider, object: Uint8Array): ObjectReference {
  return { kind: 'unsigned', objectDigest: crypto.digest('sha256', object), receiptRequested: true };
}
