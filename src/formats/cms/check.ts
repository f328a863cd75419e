import type { CryptoProvider, HashName } from '../../crypto/provider.ts';
import { equalBytes } from '../../der/bytes.ts';
import { Oid } from '../../der/oids.ts';
import { encodeDer, integer } from '../../der/writer.ts';
import { SignatureError } from '../../errors/errors.ts';
import type { Certificate } from '../../x509/certificate.ts';
import type { Binding } from '../binding.ts';
import type { Judgement, ObjectReference, SignerIdentity, VerifyContext } from '../format.ts';
import {
  type Bound,
  certificateDigest,
  checkKey,
  checkSigningTime,
  checkStatements,
  judgeSigner,
  required,
  unsupported,
  wrongSigner,
} from '../judge.ts';
import { type FoundAlgorithm, findAlgorithm, findHash } from './algorithms.ts';
import type { SignedAttributes, SigningCertificateId } from './attributes.ts';
import { isCertificateOf, type SignedDataHead, type SignedDataTail } from './read.ts';

/*
 * The checks that make a signature one, in this order: what costs nothing, then the certificates, then the signature,
 * and last what the signer has said, which means something only then.
 */

/** A signature that was made by `signer` over its attributes and the content. */
export interface CheckedSignature {
  readonly signer: SignerIdentity;
  readonly hash: HashName;
  readonly attributes: SignedAttributes;
  readonly signature: Uint8Array;
}

/** The hash for content and attributes. @throws SignatureError ERR_SIGN_UNSUPPORTED_ALGORITHM */
export function contentHash(digestAlgorithm: Uint8Array, lenient: boolean): HashName {
  const hash = findHash(digestAlgorithm, lenient);
  if (hash === undefined)
    throw unsupported('its digestAlgorithm is none of SHA-256, SHA-384, SHA-512, or spelt another way');
  return hash;
}

/**
 * @param contentDigest of the content, by `contentHash(head.digestAlgorithm)`
 * @param lenient for objects that other software made: no signing-certificate-v2 and no signing time are needed
 * @throws DecodeError, SignatureError
 */
export function* checkSignature(
  crypto: CryptoProvider,
  { head, tail, contentDigest }: { head: SignedDataHead; tail: SignedDataTail; contentDigest: Uint8Array },
  context: VerifyContext,
  lenient: boolean,
): Judgement<CheckedSignature> {
  const { attributes, signature } = tail.signer;
  const found = checkAlgorithms(head, tail, lenient);
  // RFC 5652 §5.6 and §11.1: it MUST be what eContentType says; OpenSSL and others do not look.
  const contentType = required(attributes.contentType, 'content-type');
  if (contentType !== head.contentType) {
    throw new SignatureError(
      'ERR_SIGN_CONTENT_TYPE_ATTRIBUTE',
      `The content is labelled ${head.contentType}, but was signed as ${contentType}`,
    );
  }
  // RFC 5652 §5.6: MUST be the digest of the content.
  if (!equalBytes(required(attributes.messageDigest, 'message-digest'), contentDigest))
    throw new SignatureError('ERR_SIGN_MESSAGE_DIGEST', 'The signature was made over other content');
  const signer = judgeSigner(crypto, chainOf(tail, context), context);
  checkSigningCertificate(crypto, attributes, signer.leaf, lenient);
  checkKey(found.algorithm, signer, lenient);
  const { algorithm } = found;
  if (!(yield { algorithm, key: signer.publicKey, data: attributes.signed, signature }))
    throw new SignatureError(
      'ERR_SIGN_BAD_SIGNATURE',
      `The signature was not made with the key of ${signer.leaf}`,
    );
  checkSigningTime(attributes.signingTime, context);
  return { signer, hash: found.hash, attributes, signature };
}

/** What is ours has a binding, which is of this kind and as expected, and a signing time. @throws SignatureError */
export function checkBound(
  { attributes }: CheckedSignature,
  kind: Binding['kind'],
  context: VerifyContext,
): Bound {
  return checkStatements(attributes, kind, context);
}

/** `due`: OID of eContentType. @throws SignatureError ERR_SIGN_WRONG_KIND */
export function checkContentType(contentType: string, due: string): void {
  if (contentType === due) return;
  throw new SignatureError(
    'ERR_SIGN_WRONG_KIND',
    `It holds ${contentType}, where ${due === Oid.data ? 'data' : 'a receipt'} was due`,
    'eContentType',
  );
}

/** The reference keeps copies, so that it can outlive the object. */
export function referenceOf(
  crypto: CryptoProvider,
  objectDigest: Uint8Array,
  contentType: string,
  { hash, attributes, signature }: Pick<CheckedSignature, 'hash' | 'attributes' | 'signature'>,
): ObjectReference {
  const request = attributes.receiptRequest;
  if (request === undefined) return { kind: 'signed', objectDigest, receiptRequested: false };
  return {
    kind: 'signed',
    objectDigest,
    receiptRequested: true,
    ess: {
      contentType,
      contentIdentifier: new Uint8Array(request.contentIdentifier),
      signature: new Uint8Array(signature),
      attributesDigest: crypto.digest(hash, attributes.signed),
    },
  };
}

/** RFC 5652 §5.3: the signer's digestAlgorithm is among digestAlgorithms, and the signature algorithm goes with it. */
function checkAlgorithms(head: SignedDataHead, { signer }: SignedDataTail, lenient: boolean): FoundAlgorithm {
  const hash = contentHash(head.digestAlgorithm, lenient);
  if (hash !== findHash(signer.digestAlgorithm, lenient))
    throw unsupported('digestAlgorithms does not have the digestAlgorithm of its signer');
  const found = findAlgorithm(hash, signer.signatureAlgorithm, lenient);
  if (found === undefined)
    throw unsupported(`its signatureAlgorithm is none that is used with ${hash}, or spelt another way`);
  return found;
}

/** The signer's certificate first. An announced one is the only one that will do. */
function chainOf(
  { certificates, signer }: SignedDataTail,
  { signerChain }: VerifyContext,
): readonly Uint8Array[] {
  if (signerChain !== undefined) {
    const [leaf] = signerChain;
    if (leaf !== undefined && isCertificateOf(signer.identifier, leaf)) return signerChain;
    throw wrongSigner('it names another certificate than the one that was announced');
  }
  const leaf = certificates.find((certificate) => isCertificateOf(signer.identifier, certificate));
  if (leaf === undefined)
    throw wrongSigner('the certificate that it names is not in the object, and none was announced');
  return [leaf, ...certificates.filter((certificate) => certificate !== leaf)];
}

/** RFC 5035 §3: the hash MUST be that of the certificate that the signature is verified with. */
function checkSigningCertificate(
  crypto: CryptoProvider,
  { signingCertificate }: SignedAttributes,
  leaf: Certificate,
  lenient: boolean,
): void {
  if (lenient && signingCertificate === undefined) return;
  const id = required(signingCertificate, 'signing-certificate-v2');
  const { hashAlgorithm, issuerSerial } = id;
  const hash = hashAlgorithm === undefined ? 'sha256' : findHash(hashAlgorithm, lenient);
  if (hash === undefined)
    throw unsupported('the hash in signing-certificate-v2 is none of SHA-256, SHA-384, SHA-512');
  if (!equalBytes(id.hash, certificateDigest(crypto, hash, leaf))) throw otherCertificate('hash');
  if (issuerSerial !== undefined && !namesCertificate(issuerSerial, leaf))
    throw otherCertificate('issuerSerial');
}

function namesCertificate(
  { issuer, serial }: NonNullable<SigningCertificateId['issuerSerial']>,
  leaf: Certificate,
): boolean {
  return equalBytes(issuer, leaf.issuer.raw) && equalBytes(serial, encodeDer(integer(leaf.serialNumber)));
}

function otherCertificate(field: string): SignatureError {
  return new SignatureError(
    'ERR_SIGN_SIGNING_CERTIFICATE_ATTRIBUTE',
    'The signature is bound to another certificate (signing-certificate-v2) than the one that it verifies with',
    field,
  );
}
