import { equalBytes } from '../der/bytes.ts';
import { CertificateError, ConnectionError } from '../errors/errors.ts';
import type { Certificate } from './certificate.ts';
import { formatGeneralName } from './general-name.ts';
import { formatIp, parseIp } from './ip.ts';

/** Whom the client wants to reach (RFC 9525 §4: reference identifier). Made by `referenceName`. */
export type ReferenceName =
  /** Lower case, A-labels, no trailing dot. */
  | { readonly kind: 'dns'; readonly name: string }
  /** 4 or 16 bytes. */
  | { readonly kind: 'ip'; readonly address: Uint8Array };

/** So many names are told in an error; the rest is counted. */
const NAMES_IN_MESSAGE = 10;

/**
 * What the user typed as a host: an address, or a DNS name. U-labels become A-labels (RFC 9525 §6.3), a trailing dot
 * goes, case does not matter.
 * @throws ConnectionError ERR_TLS_OPTION when it is neither
 */
export function referenceName(host: string): ReferenceName {
  const address = parseIp(host);
  if (address !== undefined) return { kind: 'ip', address };
  const name = toAsciiName(host);
  if (name === undefined) {
    throw new ConnectionError('ERR_TLS_OPTION', `'${host}' is neither a DNS name nor an IP address`);
  }
  return { kind: 'dns', name };
}

/**
 * RFC 9525 §6: the certificate names the server. DNS-ID with wildcards, IP-ID; the subject's common name is not
 * looked at (§2: it is not a place for names of services), unlike `node:tls` when there is no subjectAltName.
 * @throws CertificateError ERR_TLS_CERT_ALTNAME_INVALID that lists the names the certificate has
 */
export function checkServerName(certificate: Certificate, reference: ReferenceName): void {
  const names = certificate.subjectAltNames;
  for (const name of names) {
    if (reference.kind === 'dns' && name.kind === 'dns' && matchesDnsId(name.name, reference.name)) return;
    // §6.4: bit for bit.
    if (reference.kind === 'ip' && name.kind === 'ip' && equalBytes(name.address, reference.address)) return;
  }
  const listed = names.filter((name) => name.kind === 'dns' || name.kind === 'ip').map(formatGeneralName);
  const shown = listed.slice(0, NAMES_IN_MESSAGE).join(', ');
  const rest = listed.length > NAMES_IN_MESSAGE ? ` and ${listed.length - NAMES_IN_MESSAGE} more` : '';
  throw new CertificateError(
    'ERR_TLS_CERT_ALTNAME_INVALID',
    listed.length === 0
      ? `The certificate (${certificate}) is for no host name or address: it needs a subjectAltName with ${formatReference(reference)}`
      : `The certificate is not for ${formatReference(reference)} but for ${shown}${rest}`,
  );
}

/**
 * RFC 9525 §6.3. A wildcard is the whole left-most label, stands for exactly one label, and has at least two labels
 * after it: like OpenSSL and `node:tls`, and beyond the RFC, `*.com` matches nothing.
 *
 * @param presented dNSName of the certificate, any case
 * @param reference lower case, no trailing dot
 */
export function matchesDnsId(presented: string, reference: string): boolean {
  if (!DNS_NAME.test(reference)) return false;
  const pattern = presented.toLowerCase();
  if (!pattern.startsWith('*.')) return DNS_NAME.test(pattern) && pattern === reference;
  const parent = pattern.slice(1);
  if (!DNS_NAME.test(parent.slice(1)) || !parent.includes('.', 1)) return false;
  const dot = reference.indexOf('.');
  return dot > 0 && reference.slice(dot) === parent;
}

/**
 * A DNS name with A-labels, lower case, without trailing dot (RFC 9525 §6.3, RFC 5890 §2.3.2.1).
 * @returns undefined for what is no DNS name
 */
export function toAsciiName(host: string): string | undefined {
  let name = host.endsWith('.') ? host.slice(0, -1) : host;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is the range meant
  if (/[^\u0000-\u007f]/.test(name)) {
    // Everything that could end the host part of a URL is ASCII, and forbidden here.
    if (!/^[-.\w\u0080-\uffff]+$/.test(name)) return undefined;
    try {
      name = new URL(`https://${name}/`).hostname;
    } catch {
      return undefined;
    }
  }
  name = name.toLowerCase();
  return DNS_NAME.test(name) ? name : undefined;
}

/** RFC 1123 §2.1 names, and underscores, which are in use; lower case. */
const DNS_NAME =
  /^(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

function formatReference(reference: ReferenceName): string {
  return reference.kind === 'dns' ? reference.name : formatIp(reference.address);
}
