import type { CryptoProvider } from '../crypto/provider.ts';
import { Oid } from '../der/oids.ts';
import { DerReader } from '../der/reader.ts';
import { Tag } from '../der/tags.ts';
import { CertificateError, DecodeError } from '../errors/errors.ts';
import type { Certificate } from './certificate.ts';
import type { Crl } from './crl.ts';
import { verifyOcspResponse } from './ocsp.ts';

/** How much is asked of a stapled OCSP response: nothing; that it does not say revoked; that it is there and says good. */
export type OcspMode = 'off' | 'soft' | 'hard';

export interface RevocationPolicy {
  /** Only for servers: clients are not asked to staple. */
  readonly ocsp: OcspMode;
  /** With any, every certificate of a path but the anchor must be covered by one, as in OpenSSL. */
  readonly crls: readonly Crl[];
}

/**
 * Is any certificate of a verified path revoked? A certificate that demands stapling (RFC 7633) gets it demanded, unless
 * `ocsp` is off.
 *
 * @param path end entity first, trust anchor last
 * @param stapled OCSPResponse about the end entity
 * @param now Unix milliseconds
 * @throws CertificateError CERT_REVOKED, ERR_TLS_BAD_CERTIFICATE_STATUS, UNABLE_TO_GET_CRL, CRL_…
 */
export function checkRevocation(
  crypto: CryptoProvider,
  path: readonly Certificate[],
  stapled: Uint8Array | undefined,
  { ocsp, crls }: RevocationPolicy,
  now: number,
): void {
  if (crls.length > 0) checkCrls(crypto, path, crls, now);
  if (ocsp !== 'off') checkStapled(crypto, path, stapled, ocsp, now);
}

function checkCrls(
  crypto: CryptoProvider,
  path: readonly Certificate[],
  crls: readonly Crl[],
  now: number,
): void {
  for (let depth = path.length - 2; depth >= 0; depth--) {
    const certificate = path[depth] as Certificate;
    const issuer = path[depth + 1] as Certificate;
    const covering = newestFirst(crls.filter((crl) => crl.isOf(issuer)));
    const [crl] = covering;
    if (crl === undefined) {
      throw new CertificateError(
        'UNABLE_TO_GET_CRL',
        `There is no CRL of ${issuer}, so nobody knows whether ${certificate} is revoked; give that CRL too`,
        depth,
      );
    }
    crl.check(crypto, issuer, now, depth);
    if (crl.revokes(certificate)) throw revoked(certificate, depth);
  }
}

function newestFirst(crls: readonly Crl[]): readonly Crl[] {
  return [...crls].sort((a, b) => b.thisUpdate - a.thisUpdate);
}

function checkStapled(
  crypto: CryptoProvider,
  path: readonly Certificate[],
  stapled: Uint8Array | undefined,
  mode: 'soft' | 'hard',
  now: number,
): void {
  const [leaf, issuer] = path;
  // Someone made this very certificate an anchor: there is nobody above who could revoke it.
  if (leaf === undefined || issuer === undefined) return;
  const required = mode === 'hard' || demandsStaple(leaf);
  if (stapled === undefined) {
    if (!required) return;
    throw missing(`The server sent no OCSP response for ${leaf}, which is required`);
  }
  let status: 'good' | 'revoked' | 'unknown';
  try {
    ({ status } = verifyOcspResponse(crypto, stapled, leaf, issuer, now));
  } catch (error) {
    // What nobody vouches for is worth as much as nothing.
    if (!required && error instanceof CertificateError) return;
    throw error;
  }
  if (status === 'revoked') throw revoked(leaf, 0);
  if (status === 'unknown' && required) throw missing(`The OCSP responder does not know ${leaf}`);
}

function missing(message: string): CertificateError {
  return new CertificateError('ERR_TLS_BAD_CERTIFICATE_STATUS', message);
}

function revoked(certificate: Certificate, depth: number): CertificateError {
  return new CertificateError('CERT_REVOKED', `${certificate} has been revoked by its issuer`, depth);
}

/** status_request, as a feature of RFC 7633 §4.2.3. */
const STATUS_REQUEST = 5;
const MAX_FEATURES = 32;

/** The certificate must come with a stapled response (RFC 7633). Features ::= SEQUENCE OF INTEGER */
export function demandsStaple(leaf: Certificate): boolean {
  const extension = leaf.extension(Oid.tlsFeature);
  if (extension === undefined) return false;
  try {
    const reader = new DerReader(extension.value, 'TLS feature');
    const features = reader.list(Tag.sequence, (r) => r.smallInteger(0xffff), 0, MAX_FEATURES);
    reader.end();
    return features.includes(STATUS_REQUEST);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new CertificateError('CERT_MALFORMED', `The certificate is malformed: ${error.message}`, 0, {
      cause: error,
    });
  }
}
