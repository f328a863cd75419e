import type { TlsErrorCode } from '../../errors/errors.ts';

/** What whoever runs the server, or connects to it, does next about a certificate that is not trusted. */
const NEXT: Readonly<Partial<Record<TlsErrorCode, string>>> = {
  CERT_HAS_EXPIRED:
    'Renew the certificate; if it is not yet past its date, look at the clock of this machine.',
  CERT_NOT_YET_VALID: 'Look at the clock of this machine; else wait, or have the certificate issued anew.',
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'The server signed its certificate itself. If that is yours, give it with --ca; else have a CA issue one.',
  SELF_SIGNED_CERT_IN_CHAIN:
    'The chain ends in a CA that is not trusted here. If it is yours, give it with --ca.',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'Nobody trusted here has issued it. If the CA is private, give it with --ca; if it is public, the server leaves out an intermediate certificate: add it to its chain file.',
  UNABLE_TO_GET_ISSUER_CERT: 'A certificate between is missing: the server must send its whole chain.',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'The server sends its own certificate alone, and its issuer is not known here: the server must send the intermediates, or give a private CA with --ca.',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'The certificate is for other names. Connect by one of them, give it with --servername, or have the certificate issued for this one.',
  CERT_REVOKED:
    'Its issuer has withdrawn it: the server needs a new certificate, with a new key if the old one leaked.',
  CERT_SIGNATURE_FAILURE:
    'The chain does not belong together; perhaps the CA was renewed under the same name.',
  UNABLE_TO_GET_CRL: 'Give the CRL of that issuer with --crl too, or leave --crl out.',
  CRL_HAS_EXPIRED: 'Fetch the present CRL of that issuer.',
  ERR_TLS_BAD_CERTIFICATE_STATUS:
    'The server must staple a present OCSP response, or its certificate be issued without must-staple; --revocation soft does without where it is not demanded.',
  WEAK_KEY: 'Have the certificate issued for a key of today: P-256, or RSA of 2048 bits or more.',
  UNSUPPORTED_SIGNATURE_ALGORITHM: 'Have the chain issued with SHA-256 or better, and keys that are in use.',
  INVALID_PURPOSE: 'It is not a certificate for servers: extendedKeyUsage must have serverAuth.',
  INVALID_CA: 'A certificate in the chain is used as a CA and may not be one.',
  PATH_LENGTH_EXCEEDED: 'A CA in the chain may not have so many below it.',
  PERMITTED_VIOLATION: 'A CA in the chain may not issue for this name.',
  EXCLUDED_VIOLATION: 'A CA in the chain may not issue for this name.',
  CERT_MALFORMED: 'Have the certificate issued anew by software that keeps to RFC 5280.',
};

/** The next step, for people. */
export function nextStep(code: string): string {
  const known = Object.hasOwn(NEXT, code) ? NEXT[code as TlsErrorCode] : undefined;
  return known ?? 'See docs/x509.md for what this code means.';
}
