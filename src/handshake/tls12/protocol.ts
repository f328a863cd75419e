import type { Legacy } from '../../crypto/legacy.ts';
import type { LegacyHash, PrfHash } from '../../crypto/provider.ts';
import { existsBeforeTls12, isCbc, type Suite12 } from '../../crypto/suites12.ts';
import { ProtocolVersion } from '../../wire/codepoints.ts';

/** What differs between TLS 1.2 and the versions before it, for the states that they share. */
export interface Protocol12 {
  readonly version: number;
  /** The version of TLS whose rules it has: its own, or that which a version of DTLS is made from. */
  readonly rulesOf: number;
  /** What has to be named for it. */
  readonly legacy: Legacy | undefined;
  /** Of PRF, transcript and Finished; `undefined` leaves it to the suite (RFC 5246 §5). */
  readonly hash: LegacyHash | undefined;
  /** Messages say by which scheme they are signed; else the kind of key says it (RFC 5246 §4.7). */
  readonly namesSchemes: boolean;
  /** The IV of a record is the end of the one before (RFC 2246 §6.2.3.2); since RFC 4346 each brings its own. */
  readonly chainsIvs: boolean;
}

const LIKE_TLS12 = {
  rulesOf: ProtocolVersion.tls12,
  legacy: undefined,
  hash: undefined,
  namesSchemes: true,
  chainsIvs: false,
} as const;
const LIKE_TLS11 = {
  rulesOf: ProtocolVersion.tls11,
  hash: 'md5-sha1',
  namesSchemes: false,
  chainsIvs: false,
} as const;

/** Newest first of each kind, those of datagrams after the others. */
export const PROTOCOLS_12: readonly Protocol12[] = [
  { ...LIKE_TLS12, version: ProtocolVersion.tls12 },
  { ...LIKE_TLS11, version: ProtocolVersion.tls11, legacy: 'tls1.1' },
  {
    ...LIKE_TLS11,
    version: ProtocolVersion.tls10,
    rulesOf: ProtocolVersion.tls10,
    legacy: 'tls1.0',
    chainsIvs: true,
  },
  { ...LIKE_TLS12, version: ProtocolVersion.dtls12 },
  // RFC 4347: what is different from TLS 1.1 is below the handshake.
  { ...LIKE_TLS11, version: ProtocolVersion.dtls10, legacy: 'dtls1.0' },
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
  const { newest = ProtocolVersion.tls12 } = tls12;
  return PROTOCOLS_12.filter(
    (protocol) =>
      isOfDatagrams(protocol) === (datagrams !== undefined) &&
      protocol.rulesOf <= newest &&
      (protocol.legacy === undefined || (legacy?.includes(protocol.legacy) ?? false)),
  );
}

function isOfDatagrams({ version, rulesOf }: Protocol12): boolean {
  return version !== rulesOf;
}

/** The suites that this side uses in one version, best first. */
export function suitesOf(config: VersionConfig, { rulesOf }: Protocol12): readonly Suite12[] {
  return (config.tls12?.suites ?? []).filter(
    (suite) =>
      (rulesOf >= ProtocolVersion.tls12 || existsBeforeTls12(suite)) &&
      suite.legacy.every((item) => isNamed(config, item)),
  );
}

/** CBC is spoken with encrypt_then_mac alone unless it is named: the other order has had one padding oracle after the other. */
export function permitsCbc(config: VersionConfig, encryptThenMac: boolean): boolean {
  return encryptThenMac || isNamed(config, 'cbc');
}

/** RC4 MUST NOT be used with datagrams: its key stream goes on from record to record (RFC 6347 §4.1.2.2). */
function isNamed({ legacy, datagrams }: VersionConfig, item: Legacy): boolean {
  return (legacy?.includes(item) ?? false) && (datagrams === undefined || item !== 'rc4');
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
