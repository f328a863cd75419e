import type { CryptoProvider } from '../crypto/provider.ts';
import { type Scheme, schemeById, schemeFitsKey } from '../crypto/schemes.ts';
import { CertificateError, SignatureError } from '../errors/errors.ts';
import { Certificate } from '../x509/certificate.ts';
import { importPublicKey } from '../x509/public-key.ts';
import type { Signer } from './format.ts';

/**
 * The certificate that a signer signs under, and how.
 * @throws SignatureError ERR_SIGN_CERTIFICATE, ERR_SIGN_UNSUPPORTED_ALGORITHM for a signer that cannot sign
 */
export function signingCertificate(
  crypto: CryptoProvider,
  signer: Signer,
): { readonly leaf: Certificate; readonly scheme: Scheme } {
  const leaf = readLeaf(signer);
  const scheme = schemeById(signer.scheme);
  if (scheme === undefined || !schemeFitsKey(scheme, readKey(crypto, leaf))) {
    throw new SignatureError(
      'ERR_SIGN_UNSUPPORTED_ALGORITHM',
      `The key of ${leaf} cannot sign with scheme 0x${signer.scheme.toString(16)}; choose one of SigningKey.schemes`,
    );
  }
  return { leaf, scheme };
}

function readLeaf(signer: Signer): Certificate {
  const [der] = signer.chain;
  if (der === undefined) {
    throw new SignatureError('ERR_SIGN_CERTIFICATE', 'The signer has no certificate; give its chain');
  }
  return certificateFault(() => Certificate.parse(der));
}

function readKey(crypto: CryptoProvider, leaf: Certificate) {
  return certificateFault(() => importPublicKey(crypto, leaf.spki));
}

function certificateFault<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof CertificateError)) throw cause;
    throw new SignatureError(
      'ERR_SIGN_CERTIFICATE',
      `The signer's certificate cannot be used: ${cause.message}`,
      undefined,
      { cause },
    );
  }
}
