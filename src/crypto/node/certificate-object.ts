import { X509Certificate } from 'node:crypto';

export type { X509Certificate };

/** Node's own object for a certificate; it costs about 0.1 ms, so only who asks for it should pay. */
export function x509Certificate(der: Uint8Array): X509Certificate {
  return new X509Certificate(der);
}

/** The object that node:tls's `getPeerCertificate()` returns, for one certificate. */
export function legacyCertificate(der: Uint8Array): ReturnType<X509Certificate['toLegacyObject']> {
  return new X509Certificate(der).toLegacyObject();
}
