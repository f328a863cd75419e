import type { CryptoProvider, HashName, SignatureAlgorithm } from '../crypto/provider.ts';
import { SCHEMES, schemeFitsKey } from '../crypto/schemes.ts';
import { equalBytes } from '../der/bytes.ts';
import { CertificateError, SignatureError } from '../errors/errors.ts';
import type { Certificate } from '../x509/certificate.ts';
import { keyFits } from '../x509/public-key.ts';
import { verifyPeer } from '../x509/verify.ts';
import { type Binding, checkBinding } from './binding.ts';
import type { SignerIdentity, VerifyContext } from './format.ts';

/* What every format checks in the same way: who signed, with what kind of key, when, and bound to what. */

/** What a signer has said besides the content, as far as it was there. */
export interface Statements {
  readonly binding?: Binding | undefined;
  /** Unix milliseconds. */
  readonly signingTime?: number | undefined;
}

/** What our own profile demands besides. */
export interface Bound {
  readonly binding: Binding;
  /** Unix milliseconds. */
  readonly signingTime: number;
}

/**
 * @param chain DER certificates: the signer's first, the others in any order
 * @throws SignatureError ERR_SIGN_CERTIFICATE, ERR_SIGN_WRONG_SIGNER
 */
export function judgeSigner(
  crypto: CryptoProvider,
  chain: readonly Uint8Array[],
  { trust, now }: VerifyContext,
): SignerIdentity {
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

/** Our own objects keep TLS's pairs of curve and hash; CMS does not bind them (RFC 5754 §3.3), nor does XML. */
export function checkKey(
  algorithm: SignatureAlgorithm,
  { publicKey }: SignerIdentity,
  lenient: boolean,
): void {
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

/** @throws SignatureError ERR_SIGN_SIGNING_TIME */
export function checkSigningTime(signingTime: number | undefined, { clockSkew, now }: VerifyContext): void {
  if (clockSkew === undefined || signingTime === undefined) return;
  // Written so that a time that is no number is never in the allowance.
  if (Math.abs(signingTime - now) <= clockSkew) return;
  throw new SignatureError(
    'ERR_SIGN_SIGNING_TIME',
    `It says that it was signed ${new Date(signingTime).toISOString()}, which is more than ${clockSkew / 1000} s off; set the clocks`,
  );
}

/** What is ours has a binding, which is of this kind and as expected, and a signing time. @throws SignatureError */
export function checkStatements(said: Statements, kind: Binding['kind'], context: VerifyContext): Bound {
  const binding = required(said.binding, 'binding');
  const signingTime = required(said.signingTime, 'signing-time');
  if (binding.kind !== kind)
    throw new SignatureError(
      'ERR_SIGN_WRONG_KIND',
      `It is signed as ${binding.kind}, where ${kind} was due`,
      'kind',
    );
  if (context.expect !== undefined) checkBinding(binding, context.expect);
  return { binding, signingTime };
}

/** Kept for SHA-256: a session has one signer, and each object of it asks for this. */
export function certificateDigest(
  crypto: CryptoProvider,
  hash: HashName,
  certificate: Certificate,
): Uint8Array {
  if (hash !== 'sha256') return crypto.digest(hash, certificate.raw);
  let digest = digests.get(certificate);
  if (digest === undefined) {
    digest = crypto.digest('sha256', certificate.raw);
    digests.set(certificate, digest);
  }
  return digest;
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

/** @param field where it is, if the format has names for that */
export function unsupported(why: string, field?: string): SignatureError {
  return new SignatureError(
    'ERR_SIGN_UNSUPPORTED_ALGORITHM',
    `The signature cannot be judged: ${why}`,
    field,
  );
}

export function wrongSigner(why: string): SignatureError {
  return new SignatureError('ERR_SIGN_WRONG_SIGNER', `The signer is not the one that was due: ${why}`);
}

/** Of certificates that are kept. */
const digests = new WeakMap<Certificate, Uint8Array>();
