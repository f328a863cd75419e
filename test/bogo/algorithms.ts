import type { Legacy } from '../../src/crypto/legacy.ts';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { SCHEMES, schemeById } from '../../src/crypto/schemes.ts';
import { type Suite, TLS13_SUITES } from '../../src/crypto/suites.ts';
import { LEGACY_SUITES, type Suite12, TLS12_SUITES } from '../../src/crypto/suites12.ts';
import { NamedGroup, ProtocolVersion, SignatureScheme } from '../../src/wire/codepoints.ts';
import type { Flags } from './flags.ts';
import { Unimplemented } from './report.ts';

/*
 * What of the engine's versions, suites, groups and schemes the flags leave. The runner takes BoringSSL's own defaults for
 * granted, so those are given here as far as the engine has them.
 */

/** The versions that the flags leave, of TLS 1.2 and before the newest, and what of `legacy` that takes. */
export interface Versions {
  readonly tls13: boolean;
  readonly newest: number | undefined;
  readonly legacy: readonly Legacy[];
}

/** @throws Unimplemented when the flags leave only versions that the engine does not speak */
export function versionsOf(flags: Flags): Versions {
  const allows = (version: number, off: boolean): boolean =>
    !off &&
    (flags.minVersion === 0 || version >= streamVersion(flags.minVersion)) &&
    (flags.maxVersion === 0 || version <= streamVersion(flags.maxVersion));
  const tls13 = allows(ProtocolVersion.tls13, flags.noTls13);
  const { dtls, noTls1, noTls11, noTls12 } = flags;
  const older = [
    { version: ProtocolVersion.tls12, item: undefined, off: noTls12 },
    // The runner calls DTLS 1.0 after TLS 1.0, though it is made from 1.1.
    dtls
      ? ({ version: ProtocolVersion.tls11, item: 'dtls1.0', off: noTls1 } as const)
      : ({ version: ProtocolVersion.tls11, item: 'tls1.1', off: noTls11 } as const),
    { version: ProtocolVersion.tls10, item: 'tls1.0', off: dtls || noTls1 },
  ] as const;
  const left = older.filter(({ version, off }) => allows(version, off));
  if (!tls13 && left.length === 0) throw new Unimplemented('no version is left that the engine speaks');
  const named = left.flatMap(({ item }) => item ?? []);
  // As BoringSSL: both are there for who names such suites.
  return { tls13, newest: left[0]?.version, legacy: [...named, 'rsa', 'cbc'] };
}

/** The version of TLS that a version of DTLS is made from. */
function streamVersion(version: number): number {
  const { dtls10, dtls12, dtls13, tls11, tls12, tls13 } = ProtocolVersion;
  const known = new Map<number, number>([
    [dtls13, tls13],
    [dtls12, tls12],
    [dtls10, tls11],
  ]);
  return known.get(version) ?? version;
}

/** Of TLS, or of DTLS. */
export function isVersion13(version: number): boolean {
  return streamVersion(version) === ProtocolVersion.tls13;
}

const SUITES_12: readonly Suite12[] = [
  ...TLS12_SUITES,
  ...LEGACY_SUITES.filter(({ legacy }) => !legacy.includes('rc4')),
];

/** Where a cipher list names suites of TLS 1.2 only, all of TLS 1.3 are meant as well. */
export function suites13({ cipher }: Flags): readonly Suite[] {
  const named = TLS13_SUITES.filter(({ id }) => cipher === `${id}`);
  return named.length > 0 ? named : TLS13_SUITES;
}

/** @throws Unimplemented for a list with nothing in it that the engine has */
export function suites12({ cipher, dtls }: Flags): readonly Suite12[] {
  // Where none is named BoringSSL has no 3DES, and the runner counts on a ClientHello that fits 256 bytes.
  if (cipher === '' && dtls) return SUITES_12.filter(({ standardName }) => !standardName.includes('3DES'));
  if (cipher === '' || /^\d+$/.test(cipher)) return SUITES_12;
  const names = cipher.split(':');
  const withoutAes = names.includes('!AES');
  const suites = names
    .flatMap(suitesCalled)
    .filter(({ standardName }) => !(withoutAes && standardName.includes('_AES_')));
  if (suites.length === 0) throw new Unimplemented(`cipher list ${cipher}`);
  return suites;
}

/** One element of OpenSSL's cipher list language: a suite, some of equal rank in brackets, or one of three keywords. */
function suitesCalled(name: string): readonly Suite12[] {
  if (name === 'ALL' || name === 'DEFAULT') return SUITES_12;
  if (name === '3DES') return SUITES_12.filter(({ standardName }) => standardName.includes('3DES'));
  const names = name.replace(/^\[|\]$/g, '').split('|');
  return names.flatMap((one) => SUITES_12.filter(({ standardName }) => standardName === one));
}

const DEFAULT_GROUPS: readonly number[] = [
  NamedGroup.x25519mlkem768,
  NamedGroup.x25519,
  NamedGroup.secp256r1,
  NamedGroup.secp384r1,
];

/** @throws Unimplemented for a group that the engine does not have */
export function groupsOf({ curves }: Flags): readonly number[] {
  const missing = curves.find((id) => nodeCrypto.group(id) === undefined);
  if (missing !== undefined) throw new Unimplemented(`group ${missing}`);
  return curves.length === 0 ? DEFAULT_GROUPS : curves;
}

/** A share for the first group, and for the first of the other kind: post-quantum or classical. */
export function defaultShares(groups: readonly number[]): readonly number[] {
  const [first, ...more] = groups;
  if (first === undefined) return [];
  const isHybrid = (id: number): boolean => id === NamedGroup.x25519mlkem768;
  const other = more.find((id) => isHybrid(id) !== isHybrid(first));
  return other === undefined ? [first] : [first, other];
}

const ALL_SCHEMES = SCHEMES.map(({ id }) => id);

/** Of PKCS#1 and ECDSA with SHA-1 or MD5, and PKCS#1 in TLS 1.3: they choose nothing here. */
const RETIRED: readonly number[] = [0x0201, 0x0203, 0xff01, 0x0420];

/** What BoringSSL accepts unless it is told otherwise: neither Ed25519 nor P-521. */
const DEFAULT_SCHEMES: readonly number[] = [
  SignatureScheme.ecdsa_secp256r1_sha256,
  SignatureScheme.rsa_pss_rsae_sha256,
  SignatureScheme.rsa_pkcs1_sha256,
  SignatureScheme.ecdsa_secp384r1_sha384,
  SignatureScheme.rsa_pss_rsae_sha384,
  SignatureScheme.rsa_pkcs1_sha384,
  SignatureScheme.rsa_pss_rsae_sha512,
  SignatureScheme.rsa_pkcs1_sha512,
];

/**
 * What we accept in the peer's signatures; everything, where only retired schemes are named.
 * @throws Unimplemented for a scheme that the engine does not have
 */
export function verifiable({ verifyPrefs }: Flags): readonly number[] {
  if (verifyPrefs.length === 0) return DEFAULT_SCHEMES;
  const known = present(verifyPrefs);
  return known.length > 0 ? known : ALL_SCHEMES;
}

/**
 * What a key signs with. Preferences that it cannot follow are BoringSSL's to refuse; here they choose nothing.
 * @throws Unimplemented for a scheme that the engine does not have
 */
export function signable(prefs: readonly number[], ofKey: readonly number[]): readonly number[] {
  return prefs.length === 0 ? ofKey : present(prefs).filter((scheme) => ofKey.includes(scheme));
}

function present(ids: readonly number[]): readonly number[] {
  const missing = ids.find((id) => schemeById(id) === undefined && !RETIRED.includes(id));
  if (missing !== undefined) throw new Unimplemented(`signature scheme 0x${missing.toString(16)}`);
  return ids.filter((id) => ALL_SCHEMES.includes(id));
}
