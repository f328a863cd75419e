import { isIP } from 'node:net';
import { LEGACY, type Legacy } from '../crypto/legacy.ts';
import { SCHEMES } from '../crypto/schemes.ts';
import { ConnectionError } from '../errors/errors.ts';
import { NamedGroup, ProtocolVersion } from '../wire/codepoints.ts';

/** An option that cannot work; the message names it and says what would. */
export function optionError(option: string, problem: string, cause?: unknown): ConnectionError {
  return new ConnectionError('ERR_TLS_OPTION', `Option ${option}: ${problem}`, { cause });
}

/** Options of node:tls that are absent here and whose silence would mislead: what to do instead. */
const ABSENT: Readonly<Record<string, string>> = {
  pfx: 'it is not supported; convert the file with "openssl pkcs12 -nodes" and give cert and key',
  pskCallback:
    'give the option psk: { identity, key }, on a server also a list of them or a function of the identity',
  clientCertEngine: 'OpenSSL engines are not used; give a SigningKey in the option key',
  privateKeyEngine: 'OpenSSL engines are not used; give a SigningKey in the option key',
  privateKeyIdentifier: 'OpenSSL engines are not used; give a SigningKey in the option key',
  secureProtocol: 'it is not supported; use minVersion and maxVersion',
};

/** @throws ConnectionError ERR_TLS_OPTION for an option of node:tls that would be passed over in silence */
export function requireSupported(options: object): void {
  for (const [name, value] of Object.entries(options)) {
    const advice = Object.hasOwn(ABSENT, name) ? ABSENT[name] : undefined;
    if (advice !== undefined && value !== undefined && value !== null && value !== false) {
      throw optionError(name, advice);
    }
  }
}

/** @throws ConnectionError ERR_TLS_OPTION for a value that is given and no integer from `min` to `max` */
export function requireInteger(option: string, value: number | undefined, min: number, max: number): void {
  if (value === undefined) return;
  if (!Number.isInteger(value) || value < min || value > max) {
    throw optionError(option, `${value} is not an integer from ${min} to ${max}`);
  }
}

/** node:tls's names of versions, oldest first. */
const VERSIONS = {
  TLSv1: ProtocolVersion.tls10,
  'TLSv1.1': ProtocolVersion.tls11,
  'TLSv1.2': ProtocolVersion.tls12,
  'TLSv1.3': ProtocolVersion.tls13,
} as const;

/** As on the wire. */
export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

/**
 * From the oldest to the newest. Those before TLS 1.2 are spoken where `legacy` names them; then they are within the range too,
 * unless `minVersion` says otherwise.
 * @throws ConnectionError ERR_TLS_OPTION for what is no version or not spoken here, and for a range that is empty
 */
export function parseVersions(
  minVersion: string | undefined,
  maxVersion: string | undefined,
  legacy: readonly Legacy[] = [],
): VersionRange {
  const named = legacy.flatMap((item) => LEGACY_VERSION[item] ?? []);
  const range = {
    min: parseVersion('minVersion', minVersion, legacy) ?? Math.min(...named, ProtocolVersion.tls12),
    max: parseVersion('maxVersion', maxVersion, legacy) ?? ProtocolVersion.tls13,
  };
  if (range.min > range.max) {
    throw optionError('minVersion', `it is above maxVersion; no version is left between them`);
  }
  return range;
}

/** Those of `legacy` that are versions, by node:tls's names: DTLS 1.0 is TLS 1.1 over datagrams, and has no name there. */
export const LEGACY_VERSION: Readonly<Partial<Record<Legacy, number>>> = {
  'tls1.0': ProtocolVersion.tls10,
  'tls1.1': ProtocolVersion.tls11,
  'dtls1.0': ProtocolVersion.tls11,
};

function parseVersion(
  option: string,
  name: string | undefined,
  legacy: readonly Legacy[],
): number | undefined {
  if (name === undefined) return undefined;
  const version = Object.entries(VERSIONS).find(([known]) => known === name)?.[1];
  if (version === undefined) {
    throw optionError(option, `'${name}' is no version; use one of ${Object.keys(VERSIONS).join(', ')}`);
  }
  const needed = LEGACY.filter((item) => LEGACY_VERSION[item] === version);
  if (needed.length > 0 && !needed.some((item) => legacy.includes(item))) {
    throw optionError(
      option,
      `'${name}' is retired (RFC 8996); use 'TLSv1.2' or 'TLSv1.3', or name it in the option legacy: ['${needed.join("'] or ['")}']`,
    );
  }
  return version;
}

/** Names that OpenSSL and RFC 8446 use for the groups of this engine. */
const GROUP_BY_NAME: Readonly<Record<string, number>> = {
  x25519: NamedGroup.x25519,
  'p-256': NamedGroup.secp256r1,
  prime256v1: NamedGroup.secp256r1,
  secp256r1: NamedGroup.secp256r1,
  'p-384': NamedGroup.secp384r1,
  secp384r1: NamedGroup.secp384r1,
  'p-521': NamedGroup.secp521r1,
  secp521r1: NamedGroup.secp521r1,
  x25519mlkem768: NamedGroup.x25519mlkem768,
};

/** What `getEphemeralKeyInfo` returns. */
export interface EphemeralKeyInfo {
  /** 'TLSGroup' for a hybrid group, as node:tls has it. */
  readonly type: 'ECDH' | 'TLSGroup';
  /** OpenSSL's name. */
  readonly name: string;
  /** Bits; a hybrid group has no one size. */
  readonly size: number | undefined;
}

export const GROUP_INFO: Readonly<Record<number, EphemeralKeyInfo>> = {
  [NamedGroup.x25519]: { type: 'ECDH', name: 'X25519', size: 253 },
  [NamedGroup.secp256r1]: { type: 'ECDH', name: 'prime256v1', size: 256 },
  [NamedGroup.secp384r1]: { type: 'ECDH', name: 'secp384r1', size: 384 },
  [NamedGroup.secp521r1]: { type: 'ECDH', name: 'secp521r1', size: 521 },
  [NamedGroup.x25519mlkem768]: { type: 'TLSGroup', name: 'X25519MLKEM768', size: undefined },
};

/** Named groups, most wanted first, from `ecdhCurve`; 'auto' is the default. */
export function parseGroups(ecdhCurve: string | undefined): readonly number[] | undefined {
  if (ecdhCurve === undefined || ecdhCurve === 'auto') return undefined;
  const ids: number[] = [];
  for (const name of ecdhCurve.split(':')) {
    const id = GROUP_BY_NAME[name.toLowerCase()];
    if (id === undefined) {
      throw optionError(
        'ecdhCurve',
        `'${name}' is not supported; known are X25519, P-256, P-384, P-521 and X25519MLKEM768`,
      );
    }
    if (!ids.includes(id)) ids.push(id);
  }
  return ids;
}

/** OpenSSL's spellings that are not RFC 8446's names; the curve of ECDSA follows from the hash in TLS 1.3. */
const SCHEMES_BY_OPENSSL_NAME: Readonly<Record<string, readonly string[]>> = {
  'ecdsa+sha256': ['ecdsa_secp256r1_sha256'],
  'ecdsa+sha384': ['ecdsa_secp384r1_sha384'],
  'ecdsa+sha512': ['ecdsa_secp521r1_sha512'],
  'rsa-pss+sha256': ['rsa_pss_rsae_sha256', 'rsa_pss_pss_sha256'],
  'rsa-pss+sha384': ['rsa_pss_rsae_sha384', 'rsa_pss_pss_sha384'],
  'rsa-pss+sha512': ['rsa_pss_rsae_sha512', 'rsa_pss_pss_sha512'],
  'rsa+sha256': ['rsa_pkcs1_sha256'],
  'rsa+sha384': ['rsa_pkcs1_sha384'],
  'rsa+sha512': ['rsa_pkcs1_sha512'],
};

/** Signature schemes, most wanted first, in RFC 8446's or OpenSSL's spelling. */
export function parseSignatureSchemes(sigalgs: string | undefined): readonly number[] | undefined {
  if (sigalgs === undefined) return undefined;
  const ids: number[] = [];
  for (const given of sigalgs.split(':')) {
    const name = given.toLowerCase();
    for (const rfcName of SCHEMES_BY_OPENSSL_NAME[name] ?? [name]) {
      const scheme = SCHEMES.find((candidate) => candidate.name === rfcName);
      if (scheme === undefined) {
        throw optionError(
          'sigalgs',
          `'${given}' is not supported; known are ${SCHEMES.map((s) => s.name).join(':')}`,
        );
      }
      if (!ids.includes(scheme.id)) ids.push(scheme.id);
    }
  }
  return ids;
}

/**
 * ALPN protocols from an array of names, or from the wire form that node:tls also takes: each name after its length
 * byte. RFC 7301 §3.1: 1 to 255 bytes each.
 */
export function parseAlpn(
  protocols: readonly string[] | Uint8Array | undefined,
): readonly string[] | undefined {
  if (protocols === undefined) return undefined;
  const names = protocols instanceof Uint8Array ? splitWireForm(protocols) : [...protocols];
  for (const name of names) {
    const length = Buffer.byteLength(name, 'latin1');
    if (length === 0 || length > 255)
      throw optionError('ALPNProtocols', `'${name}' must be 1 to 255 bytes long`);
  }
  return names.length === 0 ? undefined : names;
}

function splitWireForm(bytes: Uint8Array): string[] {
  const names: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes[at] as number;
    if (at + 1 + length > bytes.length)
      throw optionError('ALPNProtocols', 'a length byte points past the end');
    names.push(Buffer.from(bytes.subarray(at + 1, at + 1 + length)).toString('latin1'));
    at += 1 + length;
  }
  return names;
}

/** The name to put in SNI for this host: RFC 6066 §3 allows DNS names without trailing dot and no addresses. */
export function sniFor(host: string): string | undefined {
  const name = host.endsWith('.') ? host.slice(0, -1) : host;
  return name === '' || isIP(name) !== 0 || name.includes(':') ? undefined : name;
}
