import { LegacySignatureScheme, SignatureScheme } from '../wire/codepoints.ts';
import {
  type EcCurve,
  HASH_LENGTH,
  type HashName,
  type LegacySignatureAlgorithm,
  type PublicKey,
  type SignatureAlgorithm,
} from './provider.ts';

/** What a SignatureScheme of RFC 8446 §4.2.3 means. */
export interface Scheme {
  readonly id: number;
  readonly name: keyof typeof SignatureScheme;
  readonly algorithm: SignatureAlgorithm;
  /** Kind of key that makes it; for ECDSA, TLS 1.3 binds the curve as well. */
  readonly keyKind: PublicKey['kind'];
  readonly curve?: EcCurve;
  /** RSASSA-PKCS1-v1_5 signs certificates only, never the handshake (§4.2.3). */
  readonly handshake: boolean;
}

const rsaPkcs1 = (name: Scheme['name'], hash: 'sha256' | 'sha384' | 'sha512'): Scheme => ({
  id: SignatureScheme[name],
  name,
  algorithm: { kind: 'rsa-pkcs1', hash },
  keyKind: 'rsa',
  handshake: false,
});
const rsaPss = (
  name: Scheme['name'],
  keyKind: 'rsa' | 'rsa-pss',
  hash: 'sha256' | 'sha384' | 'sha512',
): Scheme => ({
  id: SignatureScheme[name],
  name,
  algorithm: { kind: 'rsa-pss', hash },
  keyKind,
  handshake: true,
});
const ecdsa = (name: Scheme['name'], curve: EcCurve, hash: HashName): Scheme => ({
  id: SignatureScheme[name],
  name,
  algorithm: { kind: 'ecdsa', hash },
  keyKind: 'ec',
  curve,
  handshake: true,
});

/** Default preference: small and fast signatures first. */
export const SCHEMES: readonly Scheme[] = [
  ecdsa('ecdsa_secp256r1_sha256', 'P-256', 'sha256'),
  {
    id: SignatureScheme.ed25519,
    name: 'ed25519',
    algorithm: { kind: 'ed25519' },
    keyKind: 'ed25519',
    handshake: true,
  },
  ecdsa('ecdsa_secp384r1_sha384', 'P-384', 'sha384'),
  ecdsa('ecdsa_secp521r1_sha512', 'P-521', 'sha512'),
  rsaPss('rsa_pss_rsae_sha256', 'rsa', 'sha256'),
  rsaPss('rsa_pss_rsae_sha384', 'rsa', 'sha384'),
  rsaPss('rsa_pss_rsae_sha512', 'rsa', 'sha512'),
  rsaPss('rsa_pss_pss_sha256', 'rsa-pss', 'sha256'),
  rsaPss('rsa_pss_pss_sha384', 'rsa-pss', 'sha384'),
  rsaPss('rsa_pss_pss_sha512', 'rsa-pss', 'sha512'),
  rsaPkcs1('rsa_pkcs1_sha256', 'sha256'),
  rsaPkcs1('rsa_pkcs1_sha384', 'sha384'),
  rsaPkcs1('rsa_pkcs1_sha512', 'sha512'),
];

export function schemeById(id: number): Scheme | undefined {
  return SCHEMES.find((candidate) => candidate.id === id);
}

/** Those of other curves, which an ECDSA key makes in TLS 1.2 as well: there the scheme is a hash (RFC 8446 §4.2.3). */
export function schemesOfOtherCurves(key: PublicKey): number[] {
  if (key.kind !== 'ec') return [];
  return SCHEMES.filter(({ keyKind, curve }) => keyKind === 'ec' && curve !== key.curve).map(({ id }) => id);
}

/** A signature of TLS 1.0 and 1.1. */
export interface LegacyScheme {
  readonly id: number;
  readonly name: keyof typeof LegacySignatureScheme;
  readonly algorithm: LegacySignatureAlgorithm;
  readonly keyKind: 'rsa' | 'ec';
}

export const LEGACY_SCHEMES: readonly LegacyScheme[] = [
  {
    id: LegacySignatureScheme.rsa_pkcs1_md5_sha1,
    name: 'rsa_pkcs1_md5_sha1',
    algorithm: { kind: 'rsa-pkcs1', hash: 'md5-sha1' },
    keyKind: 'rsa',
  },
  {
    id: LegacySignatureScheme.ecdsa_sha1,
    name: 'ecdsa_sha1',
    algorithm: { kind: 'ecdsa', hash: 'sha1' },
    keyKind: 'ec',
  },
];

/** Can this key make or verify this scheme? */
export function schemeFitsKey(scheme: Scheme, key: PublicKey): boolean {
  if (scheme.keyKind !== key.kind) return false;
  return key.kind !== 'ec' || scheme.curve === undefined || scheme.curve === key.curve;
}

/** The same, and is it long enough? RFC 8017 §9.1.1: PSS encodes hash, salt as long as the hash, and two bytes more. */
export function canSignWith(scheme: Scheme, key: PublicKey): boolean {
  if (!schemeFitsKey(scheme, key)) return false;
  const { algorithm } = scheme;
  if (algorithm.kind !== 'rsa-pss' || !('modulusBits' in key)) return true;
  return Math.ceil((key.modulusBits - 1) / 8) >= 2 * HASH_LENGTH[algorithm.hash] + 2;
}
