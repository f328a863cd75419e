import { CipherSuite } from '../wire/codepoints.ts';
import type { Legacy } from './legacy.ts';
import {
  type AeadName,
  type CbcName,
  HASH_LENGTH,
  type HashName,
  MAC_LENGTH,
  type MacName,
  type StreamName,
} from './provider.ts';
import type { SuiteFacts } from './suites.ts';

/** How a suite of TLS 1.2 and before protects records: with an AEAD, or with a cipher and a MAC. */
export type Protection12 = AeadProtection | CbcProtection | StreamProtection;

export interface AeadProtection {
  readonly macKeyLength: 0;
  readonly aead: AeadName;
  readonly keyLength: number;
  /** Bytes of the nonce that come from the key block. */
  readonly fixedIvLength: 4 | 12;
  /** Bytes of the nonce in each record (RFC 5288 §3); with none, the sequence number is mixed in (RFC 7905 §2). */
  readonly explicitNonceLength: 8 | 0;
}

export interface CbcProtection {
  readonly cbc: CbcName;
  readonly mac: MacName;
  readonly macKeyLength: number;
  readonly keyLength: number;
  /** Each record brings its own IV (RFC 5246 §6.2.3.2), but in TLS 1.0. */
  readonly fixedIvLength: 0;
  readonly blockLength: 8 | 16;
}

export interface StreamProtection {
  readonly stream: StreamName;
  readonly mac: MacName;
  readonly macKeyLength: number;
  readonly keyLength: number;
  readonly fixedIvLength: 0;
}

/** A cipher suite of TLS 1.2 and before: here it also says how keys are exchanged and the server proves who it is. */
export interface Suite12 extends SuiteFacts {
  /** IANA's name; `name` is OpenSSL's. */
  readonly standardName: keyof typeof CipherSuite;
  /**
   * What kind of certificate the server shows; Ed25519 counts as ECDSA (RFC 8422 §5.10). With `psk` there is none: both
   * sides know a key that they were given beforehand (RFC 4279).
   */
  readonly authentication: 'ecdsa' | 'rsa' | 'psk';
  /** There is an ECDHE key exchange, and with it forward secrecy. Without, a server's key decrypts (`rsa`). */
  readonly ephemeral: boolean;
  readonly protection: Protection12;
  /** What has to be named for it. */
  readonly legacy: readonly Legacy[];
}

/** GCM and CCM alike: RFC 5288 §3, RFC 6655 §3. */
const COUNTER = { macKeyLength: 0, fixedIvLength: 4, explicitNonceLength: 8 } as const;
const PROTECTION = {
  AES128_GCM: { ...COUNTER, aead: 'aes-128-gcm', keyLength: 16 },
  AES256_GCM: { ...COUNTER, aead: 'aes-256-gcm', keyLength: 32 },
  AES128_CCM: { ...COUNTER, aead: 'aes-128-ccm', keyLength: 16 },
  AES256_CCM: { ...COUNTER, aead: 'aes-256-ccm', keyLength: 32 },
  AES128_CCM8: { ...COUNTER, aead: 'aes-128-ccm-8', keyLength: 16 },
  AES256_CCM8: { ...COUNTER, aead: 'aes-256-ccm-8', keyLength: 32 },
  CHACHA20: {
    aead: 'chacha20-poly1305',
    macKeyLength: 0,
    keyLength: 32,
    fixedIvLength: 12,
    explicitNonceLength: 0,
  },
  AES128_CBC_SHA: cbc('aes-128-cbc', 'sha1', 16),
  AES256_CBC_SHA: cbc('aes-256-cbc', 'sha1', 32),
  AES128_CBC_SHA256: cbc('aes-128-cbc', 'sha256', 16),
  AES256_CBC_SHA256: cbc('aes-256-cbc', 'sha256', 32),
  AES256_CBC_SHA384: cbc('aes-256-cbc', 'sha384', 32),
  TRIPLE_DES_CBC_SHA: { ...cbc('des-ede3-cbc', 'sha1', 24), blockLength: 8 },
  RC4_128_MD5: { stream: 'rc4', mac: 'md5', macKeyLength: 16, keyLength: 16, fixedIvLength: 0 },
  RC4_128_SHA: { stream: 'rc4', mac: 'sha1', macKeyLength: 20, keyLength: 16, fixedIvLength: 0 },
} as const satisfies Record<string, Protection12>;

function cbc(name: CbcName, mac: MacName, keyLength: number): CbcProtection {
  return { cbc: name, mac, macKeyLength: MAC_LENGTH[mac], keyLength, fixedIvLength: 0, blockLength: 16 };
}

function suite(
  standardName: keyof typeof CipherSuite,
  name: string,
  authentication: Suite12['authentication'],
  protection: Protection12,
  hash: HashName,
  legacy: readonly Legacy[] = [],
): Suite12 {
  return {
    id: CipherSuite[standardName],
    name,
    standardName,
    authentication,
    ephemeral: name.startsWith('ECDHE'),
    protection,
    hash,
    hashLength: HASH_LENGTH[hash],
    legacy,
  };
}

/**
 * Used without being asked for, best first, as in TLS 1.3; every one of them has forward secrecy and an AEAD. Those with a
 * PSK (RFC 8442) come first, and only where there is one: who gives a key wants it used.
 */
// biome-ignore format: one suite a line
export const DEFAULT_TLS12_SUITES: readonly Suite12[] = [
  suite('TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256', 'ECDHE-PSK-AES128-GCM-SHA256', 'psk', PROTECTION.AES128_GCM, 'sha256'),
  suite('TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384', 'ECDHE-PSK-AES256-GCM-SHA384', 'psk', PROTECTION.AES256_GCM, 'sha384'),
  suite('TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256', 'ECDHE-PSK-CHACHA20-POLY1305', 'psk', PROTECTION.CHACHA20, 'sha256'),
  suite('TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', 'ECDHE-ECDSA-AES128-GCM-SHA256', 'ecdsa', PROTECTION.AES128_GCM, 'sha256'),
  suite('TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256', 'ECDHE-RSA-AES128-GCM-SHA256', 'rsa', PROTECTION.AES128_GCM, 'sha256'),
  suite('TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384', 'ECDHE-ECDSA-AES256-GCM-SHA384', 'ecdsa', PROTECTION.AES256_GCM, 'sha384'),
  suite('TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384', 'ECDHE-RSA-AES256-GCM-SHA384', 'rsa', PROTECTION.AES256_GCM, 'sha384'),
  suite('TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256', 'ECDHE-ECDSA-CHACHA20-POLY1305', 'ecdsa', PROTECTION.CHACHA20, 'sha256'),
  suite('TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256', 'ECDHE-RSA-CHACHA20-POLY1305', 'rsa', PROTECTION.CHACHA20, 'sha256'),
];

/**
 * All that can be named without `legacy`. CCM (RFC 7251) is for small devices, as in TLS 1.3; PSK alone (RFC 5487) has no
 * forward secrecy; CBC is for what has nothing better, and only with encrypt_then_mac (RFC 7366) unless `legacy` says more.
 */
// biome-ignore format: one suite a line
export const TLS12_SUITES: readonly Suite12[] = [
  ...DEFAULT_TLS12_SUITES,
  suite('TLS_ECDHE_ECDSA_WITH_AES_128_CCM', 'ECDHE-ECDSA-AES128-CCM', 'ecdsa', PROTECTION.AES128_CCM, 'sha256'),
  suite('TLS_ECDHE_ECDSA_WITH_AES_256_CCM', 'ECDHE-ECDSA-AES256-CCM', 'ecdsa', PROTECTION.AES256_CCM, 'sha256'),
  suite('TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8', 'ECDHE-ECDSA-AES128-CCM8', 'ecdsa', PROTECTION.AES128_CCM8, 'sha256'),
  suite('TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8', 'ECDHE-ECDSA-AES256-CCM8', 'ecdsa', PROTECTION.AES256_CCM8, 'sha256'),
  suite('TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256', 'ECDHE-PSK-AES128-CCM', 'psk', PROTECTION.AES128_CCM, 'sha256'),
  suite('TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256', 'ECDHE-PSK-AES128-CCM8', 'psk', PROTECTION.AES128_CCM8, 'sha256'),
  suite('TLS_PSK_WITH_AES_128_GCM_SHA256', 'PSK-AES128-GCM-SHA256', 'psk', PROTECTION.AES128_GCM, 'sha256'),
  suite('TLS_PSK_WITH_AES_256_GCM_SHA384', 'PSK-AES256-GCM-SHA384', 'psk', PROTECTION.AES256_GCM, 'sha384'),
  suite('TLS_PSK_WITH_CHACHA20_POLY1305_SHA256', 'PSK-CHACHA20-POLY1305', 'psk', PROTECTION.CHACHA20, 'sha256'),
  suite('TLS_PSK_WITH_AES_128_CCM', 'PSK-AES128-CCM', 'psk', PROTECTION.AES128_CCM, 'sha256'),
  suite('TLS_PSK_WITH_AES_256_CCM', 'PSK-AES256-CCM', 'psk', PROTECTION.AES256_CCM, 'sha256'),
  suite('TLS_PSK_WITH_AES_128_CCM_8', 'PSK-AES128-CCM8', 'psk', PROTECTION.AES128_CCM8, 'sha256'),
  suite('TLS_PSK_WITH_AES_256_CCM_8', 'PSK-AES256-CCM8', 'psk', PROTECTION.AES256_CCM8, 'sha256'),
  suite('TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256', 'ECDHE-ECDSA-AES128-SHA256', 'ecdsa', PROTECTION.AES128_CBC_SHA256, 'sha256'),
  suite('TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256', 'ECDHE-RSA-AES128-SHA256', 'rsa', PROTECTION.AES128_CBC_SHA256, 'sha256'),
  suite('TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384', 'ECDHE-ECDSA-AES256-SHA384', 'ecdsa', PROTECTION.AES256_CBC_SHA384, 'sha384'),
  suite('TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384', 'ECDHE-RSA-AES256-SHA384', 'rsa', PROTECTION.AES256_CBC_SHA384, 'sha384'),
  suite('TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA', 'ECDHE-ECDSA-AES128-SHA', 'ecdsa', PROTECTION.AES128_CBC_SHA, 'sha256'),
  suite('TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA', 'ECDHE-RSA-AES128-SHA', 'rsa', PROTECTION.AES128_CBC_SHA, 'sha256'),
  suite('TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA', 'ECDHE-ECDSA-AES256-SHA', 'ecdsa', PROTECTION.AES256_CBC_SHA, 'sha256'),
  suite('TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA', 'ECDHE-RSA-AES256-SHA', 'rsa', PROTECTION.AES256_CBC_SHA, 'sha256'),
  suite('TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256', 'ECDHE-PSK-AES128-CBC-SHA256', 'psk', PROTECTION.AES128_CBC_SHA256, 'sha256'),
  suite('TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA384', 'ECDHE-PSK-AES256-CBC-SHA384', 'psk', PROTECTION.AES256_CBC_SHA384, 'sha384'),
  suite('TLS_PSK_WITH_AES_128_CBC_SHA256', 'PSK-AES128-CBC-SHA256', 'psk', PROTECTION.AES128_CBC_SHA256, 'sha256'),
  suite('TLS_PSK_WITH_AES_256_CBC_SHA384', 'PSK-AES256-CBC-SHA384', 'psk', PROTECTION.AES256_CBC_SHA384, 'sha384'),
];

/**
 * Only where `legacy` names them, best first: RSA key exchange, CBC of TLS 1.0 and 1.1 with pre-shared keys, 3DES, RC4. In the
 * versions that have no other PRF than their own, `hash` says nothing.
 */
// biome-ignore format: one suite a line
export const LEGACY_SUITES: readonly Suite12[] = [
  suite('TLS_RSA_WITH_AES_128_GCM_SHA256', 'AES128-GCM-SHA256', 'rsa', PROTECTION.AES128_GCM, 'sha256', ['rsa']),
  suite('TLS_RSA_WITH_AES_256_GCM_SHA384', 'AES256-GCM-SHA384', 'rsa', PROTECTION.AES256_GCM, 'sha384', ['rsa']),
  suite('TLS_RSA_WITH_AES_128_CBC_SHA256', 'AES128-SHA256', 'rsa', PROTECTION.AES128_CBC_SHA256, 'sha256', ['rsa']),
  suite('TLS_RSA_WITH_AES_256_CBC_SHA256', 'AES256-SHA256', 'rsa', PROTECTION.AES256_CBC_SHA256, 'sha256', ['rsa']),
  suite('TLS_RSA_WITH_AES_128_CBC_SHA', 'AES128-SHA', 'rsa', PROTECTION.AES128_CBC_SHA, 'sha256', ['rsa']),
  suite('TLS_RSA_WITH_AES_256_CBC_SHA', 'AES256-SHA', 'rsa', PROTECTION.AES256_CBC_SHA, 'sha256', ['rsa']),
  suite('TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA', 'ECDHE-PSK-AES128-CBC-SHA', 'psk', PROTECTION.AES128_CBC_SHA, 'sha256', ['cbc']),
  suite('TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA', 'ECDHE-PSK-AES256-CBC-SHA', 'psk', PROTECTION.AES256_CBC_SHA, 'sha256', ['cbc']),
  suite('TLS_PSK_WITH_AES_128_CBC_SHA', 'PSK-AES128-CBC-SHA', 'psk', PROTECTION.AES128_CBC_SHA, 'sha256', ['cbc']),
  suite('TLS_PSK_WITH_AES_256_CBC_SHA', 'PSK-AES256-CBC-SHA', 'psk', PROTECTION.AES256_CBC_SHA, 'sha256', ['cbc']),
  suite('TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA', 'ECDHE-ECDSA-DES-CBC3-SHA', 'ecdsa', PROTECTION.TRIPLE_DES_CBC_SHA, 'sha256', ['cbc']),
  suite('TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA', 'ECDHE-RSA-DES-CBC3-SHA', 'rsa', PROTECTION.TRIPLE_DES_CBC_SHA, 'sha256', ['cbc']),
  suite('TLS_RSA_WITH_3DES_EDE_CBC_SHA', 'DES-CBC3-SHA', 'rsa', PROTECTION.TRIPLE_DES_CBC_SHA, 'sha256', ['rsa', 'cbc']),
  suite('TLS_ECDHE_ECDSA_WITH_RC4_128_SHA', 'ECDHE-ECDSA-RC4-SHA', 'ecdsa', PROTECTION.RC4_128_SHA, 'sha256', ['rc4']),
  suite('TLS_ECDHE_RSA_WITH_RC4_128_SHA', 'ECDHE-RSA-RC4-SHA', 'rsa', PROTECTION.RC4_128_SHA, 'sha256', ['rc4']),
  suite('TLS_RSA_WITH_RC4_128_SHA', 'RC4-SHA', 'rsa', PROTECTION.RC4_128_SHA, 'sha256', ['rsa', 'rc4']),
  suite('TLS_RSA_WITH_RC4_128_MD5', 'RC4-MD5', 'rsa', PROTECTION.RC4_128_MD5, 'sha256', ['rsa', 'rc4']),
];

/** Of LEGACY_SUITES too. */
export function suite12ById(id: number): Suite12 | undefined {
  return TLS12_SUITES.find((candidate) => candidate.id === id) ?? LEGACY_SUITES.find((c) => c.id === id);
}

/** The server's certificate has a key that decrypts the premaster secret, in place of one that signs (RFC 5246 §7.4.7.1). */
export function isRsaKeyExchange({ authentication, ephemeral }: Suite12): boolean {
  return authentication === 'rsa' && !ephemeral;
}

/** What encrypt_then_mac is for (RFC 7366 §3). */
export function isCbc({ protection }: Suite12): boolean {
  return 'cbc' in protection;
}

/** AEADs, and MACs of SHA-2, came with TLS 1.2 (RFC 5246 §1.2, RFC 5289 §4). */
export function existsBeforeTls12({ protection }: Suite12): boolean {
  return 'mac' in protection && (protection.mac === 'sha1' || protection.mac === 'md5');
}
