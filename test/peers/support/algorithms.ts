import type { SigningKind } from './pki.ts';

/** What TLS lets two sides agree on here, with the names that each program has for it. */

export interface GroupNames {
  /** RFC 8446's and our name. */
  readonly name: string;
  readonly openssl: string;
  /** As `s_client` reports it. */
  readonly opensslReports: string;
  /** Empty for a group that it lacks, as Debian builds it. */
  readonly gnutls: string;
  /** As the GnuTLS programs report it. */
  readonly gnutlsReports: string;
  /** As `getEphemeralKeyInfo` of ours and of node:tls has it. */
  readonly key: { readonly name: string; readonly size: number | undefined };
}

export interface SuiteNames {
  /** RFC 8446's, OpenSSL's and our name. */
  readonly name: string;
  readonly gnutls: string;
  /** Of GnuTLS, for suites that are no AEAD. */
  readonly mac?: string;
}

export interface SchemeNames {
  /** RFC 8446's, OpenSSL's and our name. */
  readonly name: string;
  /** Heading of a column. */
  readonly short: string;
  readonly key: SigningKind;
  /** As `s_client` reports it. */
  readonly opensslType: string;
  readonly digest: string | undefined;
  readonly gnutls: string;
}

export const SUITES: readonly SuiteNames[] = [
  { name: 'TLS_AES_128_GCM_SHA256', gnutls: 'AES-128-GCM' },
  { name: 'TLS_AES_256_GCM_SHA384', gnutls: 'AES-256-GCM' },
  { name: 'TLS_CHACHA20_POLY1305_SHA256', gnutls: 'CHACHA20-POLY1305' },
  { name: 'TLS_AES_128_CCM_SHA256', gnutls: 'AES-128-CCM' },
  { name: 'TLS_AES_128_CCM_8_SHA256', gnutls: 'AES-128-CCM-8' },
];

/** For sides that shall accept each of them. */
export const ALL_SUITES = SUITES.map(({ name }) => name).join(':');

export const GROUPS: readonly GroupNames[] = [
  {
    name: 'X25519',
    openssl: 'X25519',
    opensslReports: 'X25519, 253 bits',
    gnutls: 'GROUP-X25519',
    gnutlsReports: 'ECDHE-X25519',
    key: { name: 'X25519', size: 253 },
  },
  {
    name: 'P-256',
    openssl: 'P-256',
    opensslReports: 'ECDH, prime256v1, 256 bits',
    gnutls: 'GROUP-SECP256R1',
    gnutlsReports: 'ECDHE-SECP256R1',
    key: { name: 'prime256v1', size: 256 },
  },
  {
    name: 'P-384',
    openssl: 'P-384',
    opensslReports: 'ECDH, secp384r1, 384 bits',
    gnutls: 'GROUP-SECP384R1',
    gnutlsReports: 'ECDHE-SECP384R1',
    key: { name: 'secp384r1', size: 384 },
  },
  {
    name: 'P-521',
    openssl: 'P-521',
    opensslReports: 'ECDH, secp521r1, 521 bits',
    gnutls: 'GROUP-SECP521R1',
    gnutlsReports: 'ECDHE-SECP521R1',
    key: { name: 'secp521r1', size: 521 },
  },
];

/** Of TLS 1.3 alone, where a peer has it. */
export const HYBRID: GroupNames = {
  name: 'X25519MLKEM768',
  openssl: 'X25519MLKEM768',
  opensslReports: 'X25519MLKEM768',
  gnutls: '',
  gnutlsReports: '',
  key: { name: 'X25519MLKEM768', size: undefined },
};

/** For sides that shall accept each of them; P-521 is off by default. */
export const ALL_GROUPS = GROUPS.map(({ name }) => name).join(':');

function rsa(key: 'rsa2048' | 'rsa-pss', bits: 256 | 384 | 512): SchemeNames {
  const kind = key === 'rsa2048' ? 'rsae' : 'pss';
  return {
    name: `rsa_pss_${kind}_sha${bits}`,
    short: `${kind} ${bits}`,
    key,
    opensslType: 'RSA-PSS',
    digest: `SHA${bits}`,
    gnutls: `RSA-PSS${key === 'rsa2048' ? '-RSAE' : ''}-SHA${bits}`,
  };
}

function ecdsa(key: 'p256' | 'p384' | 'p521', bits: 256 | 384 | 512): SchemeNames {
  const curve = bits === 512 ? 521 : bits;
  return {
    name: `ecdsa_secp${curve}r1_sha${bits}`,
    short: `P-${curve}`,
    key,
    opensslType: 'ECDSA',
    digest: `SHA${bits}`,
    gnutls: `ECDSA-SECP${curve}R1-SHA${bits}`,
  };
}

export const SCHEMES: readonly SchemeNames[] = [
  rsa('rsa2048', 256),
  rsa('rsa2048', 384),
  rsa('rsa2048', 512),
  rsa('rsa-pss', 256),
  rsa('rsa-pss', 384),
  rsa('rsa-pss', 512),
  ecdsa('p256', 256),
  ecdsa('p384', 384),
  ecdsa('p521', 512),
  {
    name: 'ed25519',
    short: 'Ed25519',
    key: 'ed25519',
    opensslType: 'ed25519',
    digest: undefined,
    gnutls: 'EdDSA-Ed25519',
  },
];

/** Suites, groups and signature schemes of one version, and which of them go together. */
export interface Axes {
  readonly suites: readonly SuiteNames[];
  readonly groups: readonly GroupNames[];
  readonly schemes: readonly SchemeNames[];
  fits(suite: SuiteNames, scheme: SchemeNames): boolean;
}

export const TLS13: Axes = { suites: SUITES, groups: GROUPS, schemes: SCHEMES, fits: () => true };

function pkcs1(bits: 256 | 384 | 512): SchemeNames {
  return {
    name: `rsa_pkcs1_sha${bits}`,
    short: `pkcs1 ${bits}`,
    key: 'rsa2048',
    opensslType: 'RSA',
    digest: `SHA${bits}`,
    gnutls: `RSA-SHA${bits}`,
  };
}

/** In TLS 1.2 the suite says whose certificate it is for, and RSASSA-PKCS1-v1_5 signs handshakes too. */
export const TLS12: Axes = {
  suites: [
    { name: 'ECDHE-ECDSA-AES128-GCM-SHA256', gnutls: 'AES-128-GCM' },
    { name: 'ECDHE-ECDSA-AES256-GCM-SHA384', gnutls: 'AES-256-GCM' },
    { name: 'ECDHE-ECDSA-CHACHA20-POLY1305', gnutls: 'CHACHA20-POLY1305' },
    { name: 'ECDHE-ECDSA-AES128-CCM', gnutls: 'AES-128-CCM' },
    { name: 'ECDHE-ECDSA-AES256-CCM', gnutls: 'AES-256-CCM' },
    { name: 'ECDHE-ECDSA-AES128-CCM8', gnutls: 'AES-128-CCM-8' },
    { name: 'ECDHE-ECDSA-AES256-CCM8', gnutls: 'AES-256-CCM-8' },
    { name: 'ECDHE-ECDSA-AES128-SHA', gnutls: 'AES-128-CBC', mac: 'SHA1' },
    { name: 'ECDHE-ECDSA-AES256-SHA', gnutls: 'AES-256-CBC', mac: 'SHA1' },
    { name: 'ECDHE-ECDSA-AES128-SHA256', gnutls: 'AES-128-CBC', mac: 'SHA256' },
    { name: 'ECDHE-ECDSA-AES256-SHA384', gnutls: 'AES-256-CBC', mac: 'SHA384' },
    { name: 'ECDHE-RSA-AES128-GCM-SHA256', gnutls: 'AES-128-GCM' },
    { name: 'ECDHE-RSA-AES256-GCM-SHA384', gnutls: 'AES-256-GCM' },
    { name: 'ECDHE-RSA-CHACHA20-POLY1305', gnutls: 'CHACHA20-POLY1305' },
    { name: 'ECDHE-RSA-AES128-SHA', gnutls: 'AES-128-CBC', mac: 'SHA1' },
    { name: 'ECDHE-RSA-AES256-SHA', gnutls: 'AES-256-CBC', mac: 'SHA1' },
    { name: 'ECDHE-RSA-AES128-SHA256', gnutls: 'AES-128-CBC', mac: 'SHA256' },
    { name: 'ECDHE-RSA-AES256-SHA384', gnutls: 'AES-256-CBC', mac: 'SHA384' },
  ],
  groups: GROUPS,
  schemes: [...SCHEMES, pkcs1(256), pkcs1(384), pkcs1(512)],
  fits: (suite, { key }) => suite.name.includes('-RSA-') === key.startsWith('rsa'),
};

/** In TLS 1.2 the curve of the certificate has to be among the groups too (RFC 8422 §5.1.1). */
export function withCurveOf({ key }: SchemeNames, group: string): string {
  const curve = /^p\d+$/.test(key) ? key.replace('p', 'P-') : group;
  return curve === group ? group : `${group}:${curve}`;
}

/** Every certificate of the tests is signed by a P-256 key, which the schemes offered must allow too. */
const CA_SCHEME = 'ecdsa_secp256r1_sha256';

export function withCaScheme(scheme: SchemeNames): string {
  return scheme.name === CA_SCHEME ? CA_SCHEME : `${scheme.name}:${CA_SCHEME}`;
}
