import type { Legacy } from '../../crypto/legacy.ts';
import type { LegacyHash, PrfHash } from '../../crypto/provider.ts';
import { existsBeforeTls12, isCbc, type Suite12 } from '../../crypto/suites12.ts';
import { ProtocolVersion } from '../../wire/codepoints.ts';

/** What differs between TLS 1.2 and the versions before it, for the states that they share. */
export interface Protocol12 {
  readonly version: number;
  /** What has to be named for it. */
  readonly legacy: Legacy | undefined;
  /** Of PRF, transcript and Finished; `undefined` leaves it to the suite (RFC 5246 §5). */
  readonly hash: LegacyHash | undefined;
  /** Messages say by which scheme they are signed; else the kind of key says it (RFC 5246 §4.7). */
  readonly namesSchemes: boolean;
  /** The IV of a record is the end of the one before (RFC 2246 §6.2.3.2); since RFC 4346 each brings its own. */
  readonly chainsIvs: boolean;
}

const LIKE_TLS12 = { legacy: undefined, hash: undefined, namesSchemes: true, chainsIvs: false } as const;

/** Newest first, those of datagrams after the others. */
export const PROTOCOLS_12: readonly Protocol12[] = [
  { version: ProtocolVersion.tls12, ...LIKE_TLS12 },
  {
    version: ProtocolVersion.tls11,
    legacy: 'tls1.1',
    hash: 'md5-sha1',
    namesSchemes: false,
    chainsIvs: false,
  },
  {
    version: ProtocolVersion.tls10,
    legacy: 'tls1.0',
    hash: 'md5-sha1',
    namesSchemes: false,
    chainsIvs: true,
  },
  { version: ProtocolVersion.dtls12, ...LIKE_TLS12 },
];

/** What of a configuration says which versions and suites are spoken. */
interface VersionConfig {
  readonly tls12?: { readonly suites: readonly Suite12[]; readonly newest?: number | undefined } | undefined;
  readonly legacy?: readonly Legacy[] | undefined;
  readonly datagrams?: object | undefined;
}

/** TLS 1.2 and before, as far as this side speaks them, newest first. */
export function spokenProtocols12({ tls12, legacy, datagrams }: VersionConfig): readonly Protocol12[] {
  if (tls12 === undefined) return [];
  if (datagrams !== undefined)
    return PROTOCOLS_12.filter(({ version }) => version === ProtocolVersion.dtls12);
  const { newest = ProtocolVersion.tls12 } = tls12;
  return PROTOCOLS_12.filter(
    (protocol) =>
      protocol.version <= newest &&
      (protocol.legacy === undefined || (legacy?.includes(protocol.legacy) ?? false)),
  );
}

/** The suites that this side uses in one version, best first. */
export function suitesOf(config: VersionConfig, { version }: Protocol12): readonly Suite12[] {
  return (config.tls12?.suites ?? []).filter(
    (suite) =>
      (version >= ProtocolVersion.tls12 || existsBeforeTls12(suite)) &&
      suite.legacy.every((item) => isNamed(config, item)),
  );
}

/** CBC is spoken with encrypt_then_mac alone unless it is named: the other order has had one padding oracle after the other. */
export function permitsCbc(config: VersionConfig, encryptThenMac: boolean): boolean {
  return encryptThenMac || isNamed(config, 'cbc');
}

/** Over datagrams only the key exchange: RC4 MUST NOT be used there (RFC 6347 §4.1.2.2), and CBC goes with encrypt_then_mac. */
function isNamed({ legacy, datagrams }: VersionConfig, item: Legacy): boolean {
  return (legacy?.includes(item) ?? false) && (datagrams === undefined || item === 'rsa');
}

/** What the hellos have settled that keys depend on. */
export interface Terms12 {
  readonly protocol: Protocol12;
  readonly suite: Suite12;
  /** Agreed on; of no account but for CBC. */
  readonly encryptThenMac: boolean;
}

export function prfHashOf({ protocol, suite }: Terms12): PrfHash {
  return protocol.hash ?? suite.hash;
}

/** Bytes of IV that each direction takes from the key block. */
export function fixedIvLength({ protocol, suite }: Terms12): number {
  const { protection } = suite;
  return protocol.chainsIvs && 'cbc' in protection ? protection.blockLength : protection.fixedIvLength;
}

/** The MAC goes inside the encryption. */
export function macsThenEncrypts({ suite, encryptThenMac }: Terms12): boolean {
  return isCbc(suite) && !encryptThenMac;
}
