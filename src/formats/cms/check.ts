import type { CryptoProvider, HashName } from '../../crypto/provider.ts';
import { SCHEMES, schemeFitsKey } from '../../crypto/schemes.ts';
import { equalBytes } from '../../der/bytes.ts';
import { Oid } from '../../der/oids.ts';
import { encodeDer, integer } from '../../der/writer.ts';
import { CertificateError, SignatureError } from '../../errors/errors.ts';
import type { Certificate } from '../../x509/certificate.ts';
import { keyFits } from '../../x509/public-key.ts';
import { verifyPeer } from '../../x509/verify.ts';
import { type Binding, checkBinding } from '../binding.ts';
import type { ObjectReference, SignerIdentity, VerifyContext } from '../format.ts';
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

/** What our own profile demands besides. */
export interface Bound {
  readonly binding: Binding;
  /** Unix milliseconds. */
  readonly signingTime: number;
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
export function checkSignature(
  crypto: CryptoProvider,
  { head, tail, contentDigest }: { head: SignedDataHead; tail: SignedDataTail; contentDigest: Uint8Array },
  context: VerifyContext,
  lenient: boolean,
): CheckedSignature {
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
  const signer = judgeSigner(crypto, tail, context);
  checkSigningCertificate(crypto, attributes, signer.leaf, lenient);
  checkKey(found, signer, lenient);
  if (!crypto.verify(found.algorithm, signer.publicKey, attributes.signed, signature))
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
  const binding = required(attributes.binding, 'binding');
  const signingTime = required(attributes.signingTime, 'signing-time');
  if (binding.kind !== kind)
    throw new SignatureError(
      'ERR_SIGN_WRONG_KIND',
      `It is signed as ${binding.kind}, where ${kind} was due`,
      'kind',
    );
  if (context.expect !== undefined) checkBinding(binding, context.expect);
  return { binding, signingTime };
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
  if (request === undefined) return { kind: 'signed', objectDigest };
  return {
    kind: 'signed',
    objectDigest,
    ess: {
      contentType,
      contentIdentifier: new Uint8Array(request.contentIdentifier),
      signature: new Uint8Array(signature),
      attributesDigest: crypto.digest(hash, attributes.signed),
    },
  };
}

/** @throws SignatureError ERR_SIGN_MISSING_ATTRIBUTE */
export function required<T>(value: T | undefined, attribute: string): T {
  if (value !== undefined) return value;
  throw new SignatureError(
    'ERR_SIGN_MISSING_ATTRIBUTE',
    `The signature lacks the signed attribute ${attribute}`,
    attribute,
  );
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

function unsupported(why: string): SignatureError {
  return new SignatureError('ERR_SIGN_UNSUPPORTED_ALGORITHM', `The signature cannot be judged: ${why}`);
}

function judgeSigner(crypto: CryptoProvider, tail: SignedDataTail, context: VerifyContext): SignerIdentity {
  const { trust, now } = context;
  const chain = chainOf(tail, context);
  let signer: SignerIdentity;
  try {
    signer =
      typeof trust === 'function'
        ? trust(chain, now)
        : verifyPeer(crypto, chain, { purpose: 'signer', trust, now });
  } catch (cause) {
    if (!(cause instanceof CertificateError)) throw cause;
    const message = `The signer's certificate is not accepted: ${cause.message}`;
    throw new SignatureError('ERR_SIGN_CERTIFICATE', message, cause.code, { cause });
  }
  if (!equalBytes(signer.leaf.raw, chain[0] as Uint8Array)) throw wrongSigner('someone else was judged');
  return signer;
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

function wrongSigner(why: string): SignatureError {
  return new SignatureError('ERR_SIGN_WRONG_SIGNER', `The signer is not the one that was due: ${why}`);
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

/** Of certificates that are kept: a session has one signer, and each object of it asks for this. */
const digests = new WeakMap<Certificate, Uint8Array>();

function certificateDigest(crypto: CryptoProvider, hash: HashName, certificate: Certificate): Uint8Array {
  if (hash !== 'sha256') return crypto.digest(hash, certificate.raw);
  let digest = digests.get(certificate);
  if (digest === undefined) {
    digest = crypto.digest('sha256', certificate.raw);
    digests.set(certificate, digest);
  }
  return digest;
}

/** Our own objects keep TLS's pairs of curve and hash; CMS does not bind them (RFC 5754 §3.3). */
function checkKey({ algorithm }: FoundAlgorithm, { publicKey }: SignerIdentity, lenient: boolean): void {
  const fits = lenient
    ? keyFits(algorithm, publicKey)
    : SCHEMES.some(
        (scheme) =>
          scheme.algorithm.kind === algorithm.kind &&
          (algorithm.kind === 'ed25519' ||
            (scheme.algorithm.kind !== 'ed25519' && scheme.algorithm.hash === algorithm.hash)) &&
          schemeFitsKey(scheme, publicKey),
      );
  if (!fits)
    throw unsupported(`a key of kind ${publicKey.kind} does not sign with ${algorithm.kind} and this hash`);
}

function checkSigningTime(signingTime: number | undefined, { clockSkew, now }: VerifyContext): void {
  if (clockSkew === undefined || signingTime === undefined) return;
  // Written so that a time that is no number is never in the allowance.
  if (Math.abs(signingTime - now) <= clockSkew) return;
  throw new SignatureError(
    'ERR_SIGN_SIGNING_TIME',
    `It says that it was signed ${new Date(signingTime).toISOString()}, which is more than ${clockSkew / 1000} s off; set the clocks`,
  );
}
