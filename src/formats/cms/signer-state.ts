import type { CryptoProvider } from '../../crypto/provider.ts';
import { Oid } from '../../der/oids.ts';
import { contextConstructed } from '../../der/tags.ts';
import {
  constructed,
  type Der,
  encodeDer,
  integer,
  octetString,
  oid,
  sequence,
  setOf,
} from '../../der/writer.ts';
import { SignatureError } from '../../errors/errors.ts';
import type { Certificate } from '../../x509/certificate.ts';
import type { Signer } from '../format.ts';
import { signingCertificate } from '../signing-certificate.ts';
import { CMS_ALGORITHMS, type CmsAlgorithm } from './algorithms.ts';
import { MAX_ENVELOPE_BYTES } from './read.ts';

/** Half of what the verifier reads besides the content; the other half is for attributes. */
const MAX_CERTIFICATES_BYTES = MAX_ENVELOPE_BYTES / 2;

/** All of an object that depends on its signer alone, encoded once. */
export interface SignerState {
  readonly algorithm: CmsAlgorithm;
  /** SET OF digestAlgorithm, DER. */
  readonly digestAlgorithms: Uint8Array;
  /** IssuerAndSerialNumber, DER. */
  readonly identifier: Uint8Array;
  /** `[0] IMPLICIT CertificateSet`, DER. */
  readonly certificates: Uint8Array;
  /** The attribute signing-certificate-v2, DER. */
  readonly signingCertificate: Uint8Array;
  /** GeneralNames, DER: where receipts are to go. */
  readonly names: Uint8Array;
}

const states = new WeakMap<Signer, SignerState>();

/** @throws SignatureError ERR_SIGN_CERTIFICATE, ERR_SIGN_UNSUPPORTED_ALGORITHM for a signer that cannot sign */
export function signerState(crypto: CryptoProvider, signer: Signer): SignerState {
  let state = states.get(signer);
  if (state === undefined) {
    state = makeState(crypto, signer);
    states.set(signer, state);
  }
  return state;
}

/** Attribute ::= SEQUENCE { attrType OID, attrValues SET OF }, with its one value. */
export function attribute(type: Uint8Array, value: Der): Uint8Array {
  return encodeDer(sequence(type, constructed(0x31, [value])));
}

function makeState(crypto: CryptoProvider, signer: Signer): SignerState {
  const { leaf, scheme } = signingCertificate(crypto, signer);
  const algorithm = CMS_ALGORITHMS.find((known) => known.scheme === scheme) as CmsAlgorithm;
  const certificates = encodeDer({ ...setOf(...signer.chain), tag: contextConstructed(0) });
  if (certificates.length > MAX_CERTIFICATES_BYTES) {
    throw new SignatureError(
      'ERR_SIGN_TOO_LARGE',
      `The signer's chain has ${certificates.length} bytes, at most ${MAX_CERTIFICATES_BYTES} fit an object`,
    );
  }
  return {
    algorithm,
    digestAlgorithms: encodeDer(setOf(algorithm.digestAlgorithm)),
    identifier: encodeDer(sequence(leaf.issuer.raw, integer(leaf.serialNumber))),
    certificates,
    // RFC 5035 §3: SHA-256 is the default and not written out; issuerSerial is what the SignerInfo's sid says already.
    signingCertificate: attribute(
      SIGNING_CERTIFICATE_V2,
      sequence(sequence(sequence(octetString(crypto.digest('sha256', leaf.raw))))),
    ),
    names: receiptNames(leaf),
  };
}

/** The signer's own name; where the certificate has no subject, its subjectAltName, which is GeneralNames as well. */
function receiptNames(leaf: Certificate): Uint8Array {
  const alternative = leaf.extension(Oid.subjectAltName);
  if (leaf.subject.isEmpty && alternative !== undefined) return alternative.value;
  // directoryName [4] is EXPLICIT, since Name is a CHOICE (RFC 5280 §4.2.1.6).
  return encodeDer(sequence(constructed(contextConstructed(4), [leaf.subject.raw])));
}

const SIGNING_CERTIFICATE_V2 = encodeDer(oid(Oid.signingCertificateV2));
