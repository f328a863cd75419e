import type { CryptoProvider, PublicKey, SignatureAlgorithm } from '../crypto/provider.ts';
import { Oid } from '../der/oids.ts';
import { DerReader } from '../der/reader.ts';
import { Tag } from '../der/tags.ts';
import { CertificateError, DecodeError } from '../errors/errors.ts';

/** 112 bits of security (NIST SP 800-131A); browsers and OpenSSL's default level refuse less. */
const MIN_RSA_BITS = 2048;
/** A verification with 8,192 bits takes about 0.3 ms; longer keys only cost the verifier time. */
const MAX_RSA_BITS = 8192;

/**
 * Imports the key of a certificate under the policy for keys.
 * @throws CertificateError CERT_MALFORMED, UNSUPPORTED_SIGNATURE_ALGORITHM, WEAK_KEY
 */
export function importPublicKey(crypto: CryptoProvider, spki: Uint8Array): PublicKey {
  const key = importAnyPublicKey(crypto, spki);
  if (key.kind !== 'rsa' && key.kind !== 'rsa-pss') return key;
  if (key.modulusBits < MIN_RSA_BITS) {
    throw new CertificateError(
      'WEAK_KEY',
      `RSA key of ${key.modulusBits} bits, at least ${MIN_RSA_BITS} are needed`,
    );
  }
  if (key.modulusBits > MAX_RSA_BITS) {
    throw new CertificateError(
      'UNSUPPORTED_SIGNATURE_ALGORITHM',
      `RSA key of ${key.modulusBits} bits, at most ${MAX_RSA_BITS} are supported`,
    );
  }
  return key;
}

/** As `importPublicKey`, but RSA keys of any length: for a peer that is not going to be trusted anyway. */
export function importAnyPublicKey(crypto: CryptoProvider, spki: Uint8Array): PublicKey {
  checkForm(spki);
  return crypto.importPublicKey(spki);
}

/** Can this kind of key make this kind of signature? An id-RSASSA-PSS key makes nothing else (RFC 4055 §1.2). */
export function keyFits(algorithm: SignatureAlgorithm, key: PublicKey): boolean {
  switch (algorithm.kind) {
    case 'ecdsa':
      return key.kind === 'ec';
    case 'ed25519':
      return key.kind === 'ed25519';
    case 'rsa-pkcs1':
      return key.kind === 'rsa';
    case 'rsa-pss':
      return key.kind === 'rsa' || key.kind === 'rsa-pss';
  }
}

/**
 * SubjectPublicKeyInfo ::= SEQUENCE { algorithm AlgorithmIdentifier, subjectPublicKey BIT STRING }.
 * Elliptic curves are named: parameters written out are forbidden (RFC 5480 §2.1.1), and libraries that accepted
 * them have been made to accept chosen generators (CVE-2020-0601).
 */
function checkForm(spki: Uint8Array): void {
  try {
    const outer = new DerReader(spki, 'subjectPublicKeyInfo');
    const info = outer.sequence();
    outer.end();
    const algorithm = info.sequence();
    const isEc = algorithm.oid() === Oid.ecPublicKey;
    info.bitStringBytes();
    info.end();
    if (!isEc || algorithm.is(Tag.oid)) return;
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause;
    throw new CertificateError('CERT_MALFORMED', `The public key is malformed: ${cause.message}`, 0, {
      cause,
    });
  }
  throw new CertificateError(
    'UNSUPPORTED_SIGNATURE_ALGORITHM',
    'Elliptic curve keys are supported on named curves only',
  );
}
