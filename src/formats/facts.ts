import type { PublicKey } from '../crypto/provider.ts';
import type { Certificate } from '../x509/certificate.ts';

/* What is said of signed objects: below both the interface of the formats and the proofs that it returns. */

/** ContentFormat of the TLS Sign draft, §2. */
export type ContentFormat = 'pkcs7' | 'smime' | 'xmldsig';

/** What an RFC 2634 receipt repeats of the object that it is for; the CMS formats only. */
export interface EssReference {
  /** OID of the object's eContentType. */
  readonly contentType: string;
  /** signedContentIdentifier of its receiptRequest. */
  readonly contentIdentifier: Uint8Array;
  /** Its signature value. */
  readonly signature: Uint8Array;
  /** msgSigDigest: the digest of its signed attributes, by the hash that it was signed with. */
  readonly attributesDigest: Uint8Array;
}

/**
 * What makes a receipt and what checks it: the receiver has it from `VerifiedObject.reference`, the sender from
 * `referenceTo` what it sent. `unsigned` objects are those of sign type {0,2}: see `unsigned.ts`.
 */
export interface ObjectReference {
  readonly kind: 'signed' | 'unsigned';
  /** SHA-256 of the whole object, byte for byte as it travels. */
  readonly objectDigest: Uint8Array;
  /** Without it there is no receipt for a signed object. One that is not signed is sent for its receipt alone. */
  readonly receiptRequested: boolean;
  /** Only of signed CMS objects that ask for a receipt. */
  readonly ess?: EssReference | undefined;
}

/** Whose signature it is. A `VerifiedPeer` is one. */
export interface SignerIdentity {
  readonly leaf: Certificate;
  /** End entity first. */
  readonly path: readonly Certificate[];
  readonly publicKey: PublicKey;
}
