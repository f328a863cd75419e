import type { DetailedPeerCertificate, PeerCertificate } from 'node:tls';
import { legacyCertificate } from '../crypto/node/certificate-object.ts';

export type { DetailedPeerCertificate, PeerCertificate };

/** What node:tls returns when the peer showed no certificate. */
const NO_CERTIFICATE = {} as PeerCertificate;

/**
 * The object of `getPeerCertificate()`. With `detailed`, each certificate has its issuer in `issuerCertificate`;
 * a self-issued one at the end points to itself, as with node:tls.
 * @param chain DER, end entity first
 */
export function peerCertificate(chain: readonly Uint8Array[], detailed: boolean): PeerCertificate {
  const [first] = chain;
  if (first === undefined) return NO_CERTIFICATE;
  const certificate = legacyCertificate(first);
  if (!detailed) return certificate;
  let current = certificate as DetailedPeerCertificate;
  for (const der of chain.slice(1)) {
    const issuer = legacyCertificate(der) as DetailedPeerCertificate;
    current.issuerCertificate = issuer;
    current = issuer;
  }
  if (JSON.stringify(current.subject) === JSON.stringify(current.issuer)) current.issuerCertificate = current;
  return certificate;
}
