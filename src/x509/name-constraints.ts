import type { Name } from '../der/name.ts';
import { Oid } from '../der/oids.ts';
import { CertificateError } from '../errors/errors.ts';
import type { Certificate } from './certificate.ts';
import type { NameConstraints } from './extensions.ts';
import { formatGeneralName, type GeneralName } from './general-name.ts';

/**
 * How often one verification compares a name with a subtree. A real path needs a few hundred; without the bound, a
 * certificate with thousands of names under a CA with thousands of subtrees costs seconds.
 */
export const MAX_NAME_COMPARISONS = 250_000;

/** Counts down over one whole verification, all paths that it tries included. */
export interface ComparisonBudget {
  comparisons: number;
}

/**
 * RFC 5280 §4.2.1.10 and §6.1.4 (g): every name of every certificate below a CA with name constraints lies in a
 * permitted subtree of its kind, if there is one, and in no excluded one. Self-issued intermediates are exempt
 * (§6.1.3 (b)). dNSName, iPAddress and directoryName are compared; a name of any other kind that is constrained at
 * all is refused, which §4.2.1.10 allows.
 *
 * @param path end entity first, trust anchor last
 * @throws CertificateError PERMITTED_VIOLATION, EXCLUDED_VIOLATION, NAME_CONSTRAINTS_WITHOUT_PROOF
 */
export function checkNameConstraints(path: readonly Certificate[], budget: ComparisonBudget): void {
  for (let issuer = path.length - 1; issuer > 0; issuer--) {
    const constraints = path[issuer]?.nameConstraints;
    if (constraints === undefined) continue;
    for (let depth = issuer - 1; depth >= 0; depth--) {
      const certificate = path[depth] as Certificate;
      if (depth > 0 && certificate.isSelfIssued) continue;
      for (const name of namesOf(certificate)) checkName(name, constraints, depth, budget);
    }
  }
}

/** §4.2.1.10: the subject counts as a directoryName, and an emailAddress in it as an rfc822Name. */
function namesOf(certificate: Certificate): GeneralName[] {
  const names: GeneralName[] = [...certificate.subjectAltNames];
  if (!certificate.subject.isEmpty) names.push({ kind: 'directory', name: certificate.subject });
  for (const attribute of certificate.subject.rdns.flat()) {
    if (attribute.type === Oid.emailAddress) names.push({ kind: 'email', address: attribute.text ?? '' });
  }
  return names;
}

function checkName(
  name: GeneralName,
  constraints: NameConstraints,
  depth: number,
  budget: ComparisonBudget,
): void {
  budget.comparisons -= constraints.permitted.length + constraints.excluded.length;
  if (budget.comparisons < 0) {
    throw unproven(`more than ${MAX_NAME_COMPARISONS} comparisons would be needed`, depth);
  }
  const permitted = constraints.permitted.filter((subtree) => isSameKind(subtree, name));
  const excluded = constraints.excluded.filter((subtree) => isSameKind(subtree, name));
  if (permitted.length === 0 && excluded.length === 0) return;
  if (!canCompare(name)) {
    throw unproven(
      `${formatGeneralName(name)} is constrained, and names of its kind cannot be compared`,
      depth,
    );
  }
  if (excluded.some((subtree) => overlaps(subtree, name))) {
    throw new CertificateError(
      'EXCLUDED_VIOLATION',
      `An issuer's name constraints exclude ${formatGeneralName(name)}`,
      depth,
    );
  }
  if (permitted.length > 0 && !permitted.some((subtree) => contains(subtree, name))) {
    throw new CertificateError(
      'PERMITTED_VIOLATION',
      `An issuer's name constraints do not permit ${formatGeneralName(name)}`,
      depth,
    );
  }
}

function unproven(why: string, depth: number): CertificateError {
  return new CertificateError(
    'NAME_CONSTRAINTS_WITHOUT_PROOF',
    `Name constraints cannot be shown to hold: ${why}`,
    depth,
  );
}

function isSameKind(a: GeneralName, b: GeneralName): boolean {
  return a.kind === b.kind && (a.kind !== 'other' || b.kind !== 'other' || a.number === b.number);
}

/** A malformed DNS name lies nowhere: nobody can say what it will be taken for. */
function canCompare(name: GeneralName): boolean {
  return name.kind === 'ip' || name.kind === 'directory' || (name.kind === 'dns' && DNS_NAME.test(name.name));
}

/** Labels of letters, digits, hyphens (and underscores, which are in use), the left-most possibly a wildcard. */
const DNS_NAME = /^(?=.{1,253}$)(\*\.)?([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}$/i;

/** Is everything that `name` stands for inside the subtree? */
function contains(subtree: GeneralName, name: GeneralName): boolean {
  if (subtree.kind === 'dns' && name.kind === 'dns') return dnsContains(subtree.name, name.name);
  return overlaps(subtree, name);
}

/** Is anything that `name` stands for inside the subtree? Differs from `contains` for wildcards only. */
function overlaps(subtree: GeneralName, name: GeneralName): boolean {
  if (subtree.kind === 'dns' && name.kind === 'dns') {
    return dnsContains(subtree.name, name.name) || wildcardCovers(name.name, subtree.name);
  }
  if (subtree.kind === 'ip' && name.kind === 'ip') return ipContains(subtree.address, name.address);
  if (subtree.kind === 'directory' && name.kind === 'directory')
    return directoryContains(subtree.name, name.name);
  return false;
}

/**
 * Any name made by adding labels on the left lies in the subtree. A constraint with a leading period, which RFC 5280
 * has for URIs only, is in use for DNS names too and means "at least one label more", as OpenSSL reads it.
 */
function dnsContains(subtree: string, name: string): boolean {
  const base = subtree.toLowerCase();
  // What *.example.com stands for has one label more than example.com.
  const candidate = (name.startsWith('*.') ? `x${name.slice(1)}` : name).toLowerCase();
  if (base === '') return true;
  if (base.startsWith('.')) return candidate.endsWith(base) && candidate.length > base.length;
  if (name.startsWith('*.') && candidate.length === base.length) return false;
  return candidate === base || candidate.endsWith(`.${base}`);
}

/** *.example.com stands for bar.example.com too: if that is excluded, so is the wildcard (CVE-2025-61727). */
function wildcardCovers(name: string, subtree: string): boolean {
  if (!name.startsWith('*.')) return false;
  const parent = subtree.indexOf('.');
  return parent > 0 && subtree.slice(parent).toLowerCase() === name.slice(1).toLowerCase();
}

/** Address and mask, each half of `subtree` (§4.2.1.10). IPv4 is not inside IPv6. */
function ipContains(subtree: Uint8Array, address: Uint8Array): boolean {
  if (subtree.length !== address.length * 2) return false;
  for (let i = 0; i < address.length; i++) {
    const mask = subtree[address.length + i] as number;
    if ((((subtree[i] as number) ^ (address[i] as number)) & mask) !== 0) return false;
  }
  return true;
}

/** The subtree's RDNs are the first of the name's. */
function directoryContains(subtree: Name, name: Name): boolean {
  const prefix = subtree.rdnKeys;
  const keys = name.rdnKeys;
  return prefix.length <= keys.length && prefix.every((key, index) => key === keys[index]);
}
