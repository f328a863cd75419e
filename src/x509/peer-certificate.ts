import { attributeName, type Name } from '../der/name.ts';
import type { Certificate } from './certificate.ts';
import { formatGeneralName } from './general-name.ts';

/** One value, or all of them when an attribute occurs more than once. */
export type NameFields = Record<string, string | string[]>;

/** The fields of `getPeerCertificate()` of `node:tls` that need no cryptography; fingerprints are the adapter's. */
export interface PeerCertificateFields {
  readonly subject: NameFields;
  readonly issuer: NameFields;
  readonly subjectaltname?: string;
  readonly ca: boolean;
  /** "Jan  1 00:00:00 2024 GMT" */
  readonly valid_from: string;
  readonly valid_to: string;
  /** OIDs. */
  readonly ext_key_usage?: readonly string[];
  /** Hexadecimal, upper case. */
  readonly serialNumber: string;
  readonly raw: Uint8Array;
}

/** @throws CertificateError CERT_MALFORMED, not for a certificate that has been verified */
export function peerCertificateFields(certificate: Certificate): PeerCertificateFields {
  certificate.checkWellFormed();
  const names = certificate.subjectAltNames;
  return {
    subject: nameFields(certificate.subject),
    issuer: nameFields(certificate.issuer),
    ...(names.length > 0 && { subjectaltname: names.map(formatGeneralName).join(', ') }),
    ca: certificate.basicConstraints?.ca ?? false,
    valid_from: formatTime(certificate.notBefore),
    valid_to: formatTime(certificate.notAfter),
    ...(certificate.extKeyUsage !== undefined && { ext_key_usage: certificate.extKeyUsage }),
    serialNumber: certificate.serialHex,
    raw: certificate.raw,
  };
}

function nameFields(name: Name): NameFields {
  // Without a prototype, so that an attribute cannot be taken for a method.
  const fields: NameFields = Object.create(null);
  for (const { type, text } of name.rdns.flat()) {
    const key = attributeName(type) ?? type;
    if (text === undefined) continue;
    const before = fields[key];
    fields[key] = before === undefined ? text : [...(Array.isArray(before) ? before : [before]), text];
  }
  return fields;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

function formatTime(time: number): string {
  const date = new Date(time);
  const clock = date.toISOString().slice(11, 19);
  return `${MONTHS[date.getUTCMonth()]} ${String(date.getUTCDate()).padStart(2)} ${clock} ${date.getUTCFullYear()} GMT`;
}
