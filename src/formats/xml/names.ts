import { Oid } from '../../der/oids.ts';
import { MAX_ENVELOPE_BYTES } from '../cms/read.ts';
import { MAX_WHOLE_OBJECT_BYTES } from '../format.ts';

/*
 * The profile. One Signature is the document; what it signs is in it:
 *
 *     Signature Id
 *       SignedInfo
 *         CanonicalizationMethod           exclusive
 *         SignatureMethod
 *         Reference URI="#…"               data: by its bytes, out of base64
 *         Reference URI="#…" Type          binding: likewise
 *         Reference URI="#…" Type          SignedProperties: exclusive canonical form
 *       SignatureValue
 *       KeyInfo / X509Data / X509Certificate…
 *       Object Id                          data, base64
 *       Object Id                          binding, base64 of its DER
 *       Object / QualifyingProperties Target / SignedProperties Id
 *
 * In a receipt the data are the SHA-256 of the object that it is for.
 */

export const DS = 'http://www.w3.org/2000/09/xmldsig#';
export const XADES = 'http://uri.etsi.org/01903/v1.3.2#';

export const EXCLUSIVE = 'http://www.w3.org/2001/10/xml-exc-c14n#';
export const BASE64 = `${DS}base64`;

/** `Type` of a Reference; that of data has none. They are signed, so that no part can pass for another. */
export const REFERENCE_TYPE = {
  acknowledged: `urn:oid:${Oid.acknowledgedObject}`,
  binding: `urn:oid:${Oid.binding}`,
  properties: 'http://uri.etsi.org/01903#SignedProperties',
} as const;

/** EN 319 132-1 §5.2.3: what the signature commits to. */
export const COMMITMENT = {
  data: 'http://uri.etsi.org/01903/v1.2.2#ProofOfOrigin',
  receipt: 'http://uri.etsi.org/01903/v1.2.2#ProofOfReceipt',
} as const;

/** CommitmentTypeQualifier of data whose sender wants a receipt: the name of the CMS attribute that says the same. */
export const RECEIPT_REQUEST = `urn:oid:${Oid.receiptRequest}`;

/** What is sure to fit beside certificates and properties at their most. */
export const MAX_CONTENT_BYTES = Math.floor((MAX_WHOLE_OBJECT_BYTES - MAX_ENVELOPE_BYTES) / 4) * 3;
