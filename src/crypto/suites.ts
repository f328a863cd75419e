import { CipherSuite } from '../wire/codepoints.ts';
import { type AeadName, HASH_LENGTH, type HashName } from './provider.ts';

/** What the suites of every version have. */
export interface SuiteFacts {
  readonly id: number;
  /** OpenSSL's name. */
  readonly name: string;
  /** IANA's name; for TLS 1.3 both are the same. */
  readonly standardName: string;
  /** Of transcript and key derivation. */
  readonly hash: HashName;
  readonly hashLength: number;
}

/** A TLS 1.3 cipher suite: an AEAD and the hash of transcript and key schedule (RFC 8446 §B.4). */
export interface Suite extends SuiteFacts {
  readonly aead: AeadName;
  readonly keyLength: number;
  /**
   * Records after which the sender updates its key. RFC 8446 §5.5 allows 2^24.5 full-size records for AES-GCM;
   * 2^24 keeps clear of it. ChaCha20-Poly1305 would wrap its sequence number first; 2^36 is far below that.
   */
  readonly recordLimit: number;
}

function suite(
  name: keyof typeof CipherSuite,
  aead: AeadName,
  keyLength: number,
  hash: HashName,
  recordLimit: number,
): Suite {
  const facts = { id: CipherSuite[name], name, standardName: name, hash, hashLength: HASH_LENGTH[hash] };
  return { ...facts, aead, keyLength, recordLimit };
}

/** RFC 9147 §4.5.3 bounds CCM by 2^23 records; TLS 1.3 over TCP has the same cipher and the same analysis. */
const CCM_RECORD_LIMIT = 2 ** 23;

/** All of RFC 8446 §B.4. AES first: every platform that runs Node has AES instructions. */
export const TLS13_SUITES: readonly Suite[] = [
  suite('TLS_AES_128_GCM_SHA256', 'aes-128-gcm', 16, 'sha256', 2 ** 24),
  suite('TLS_AES_256_GCM_SHA384', 'aes-256-gcm', 32, 'sha384', 2 ** 24),
  suite('TLS_CHACHA20_POLY1305_SHA256', 'chacha20-poly1305', 32, 'sha256', 2 ** 36),
  suite('TLS_AES_128_CCM_SHA256', 'aes-128-ccm', 16, 'sha256', CCM_RECORD_LIMIT),
  suite('TLS_AES_128_CCM_8_SHA256', 'aes-128-ccm-8', 16, 'sha256', CCM_RECORD_LIMIT),
];

/** Used without being asked for, best first. CCM is for small devices, which say so by name (docs/defaults.md). */
export const DEFAULT_TLS13_SUITES: readonly Suite[] = TLS13_SUITES.slice(0, 3);

export function suiteById(id: number): Suite | undefined {
  return TLS13_SUITES.find((candidate) => candidate.id === id);
}
