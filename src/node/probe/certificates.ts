import { nodeCrypto } from '../../crypto/node/provider.ts';
import type { PublicKey } from '../../crypto/provider.ts';
import { toHex } from '../../der/bytes.ts';
import { CertificateError, TlsError } from '../../errors/errors.ts';
import { Certificate } from '../../x509/certificate.ts';
import { formatGeneralName } from '../../x509/general-name.ts';
import { verifyOcspResponse } from '../../x509/ocsp.ts';
import { importAnyPublicKey } from '../../x509/public-key.ts';
import { demandsStaple } from '../../x509/revocation.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import type { CertificateReport, OcspReport, TrustReport } from './report.ts';
import { nextStep } from './trust.ts';

const DAY = 86_400_000;

/** The certificates that can be read; others are left out, and the judgement says what is wrong with them. */
export function readable(chain: readonly Uint8Array[]): Certificate[] {
  return chain.flatMap((der) => {
    try {
      const certificate = Certificate.parse(der);
      certificate.checkWellFormed();
      return [certificate];
    } catch (error) {
      if (error instanceof CertificateError) return [];
      throw error;
    }
  });
}

export function describeCertificate(certificate: Certificate, now: number): CertificateReport {
  return {
    subject: certificate.subject.toString(),
    issuer: certificate.issuer.toString(),
    serial: certificate.serialHex,
    notBefore: new Date(certificate.notBefore).toISOString(),
    notAfter: new Date(certificate.notAfter).toISOString(),
    daysLeft: Math.floor((certificate.notAfter - now) / DAY),
    key: keyName(certificate),
    signature: certificate.signatureAlgorithm.name,
    names: certificate.subjectAltNames.map(formatGeneralName),
    ca: certificate.basicConstraints?.ca ?? false,
    sha256: toHex(nodeCrypto.digest('sha256', certificate.raw)),
  };
}

function keyName({ spki }: Certificate): string {
  let key: PublicKey;
  try {
    key = importAnyPublicKey(nodeCrypto, spki);
  } catch (error) {
    if (error instanceof CertificateError) return 'of a kind that is not supported';
    throw error;
  }
  switch (key.kind) {
    case 'ec':
      return `ECDSA ${key.curve}`;
    case 'ed25519':
      return 'Ed25519';
    default:
      return `${key.kind === 'rsa' ? 'RSA' : 'RSA-PSS'} ${key.modulusBits}`;
  }
}

/** @param judged the peer, or why it is none */
export function describeTrust(judged: PeerIdentity | TlsError): TrustReport {
  const fault = judged instanceof TlsError ? judged : judged.authorizationError;
  if (fault === undefined) {
    const path = judged instanceof TlsError ? [] : judged.path;
    return {
      trusted: true,
      anchor: path.at(-1)?.toString(),
      code: undefined,
      message: undefined,
      next: undefined,
    };
  }
  return {
    trusted: false,
    anchor: undefined,
    code: fault.code,
    message: fault.message,
    next: nextStep(fault.code),
  };
}

/** @param issuer the certificate above, if it is known */
export function describeOcsp(
  response: Uint8Array | undefined,
  leaf: Certificate | undefined,
  issuer: Certificate | undefined,
  now: number,
): OcspReport {
  const report = {
    stapled: response !== undefined,
    mustStaple: leaf !== undefined && saysMustStaple(leaf),
    status: undefined,
    thisUpdate: undefined,
    nextUpdate: undefined,
    problem: undefined,
  };
  if (response === undefined || leaf === undefined) return report;
  if (issuer === undefined)
    return { ...report, status: 'invalid', problem: 'the issuer, who would have to sign it, is not known' };
  try {
    const { status, thisUpdate, nextUpdate } = verifyOcspResponse(nodeCrypto, response, leaf, issuer, now);
    const next = nextUpdate === undefined ? undefined : new Date(nextUpdate).toISOString();
    return { ...report, status, thisUpdate: new Date(thisUpdate).toISOString(), nextUpdate: next };
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    return { ...report, status: 'invalid', problem: error.message };
  }
}

function saysMustStaple(leaf: Certificate): boolean {
  try {
    return demandsStaple(leaf);
  } catch (error) {
    if (error instanceof CertificateError) return false;
    throw error;
  }
}
