import { CipherSuite } from '../wire/codepoints.ts';
import { type AeadName, HASH_LENGTH, type HashName } from './provider.ts';

/** A TLS 1.3 cipher suite: an AEAD and the hash of transcript and key schedule (RFC 8446 §B.4). */
export interface Suite {
  readonly id: number;
  /** RFC 8446's name, which is also OpenSSL's. */
  readonly name: string;
  readonly aead: AeadName;
  readonly keyLength: number;
  readonly hash: HashName;
  readonly hashLength: number;
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
  return { id: CipherSuite[name], name, aead, keyLength, hash, hashLength: HASH_LENGTH[hash], recordLimit };
}

/** Default preference. AES first: every platform that runs Node has AES instructions. */
export const TLS13_SUITES: readonly Suite[] = [
  suite('TLS_AES_128_GCM_SHA256', 'aes-128-gcm', 16, 'sha256', 2 ** 24),
  suite('TLS_AES_256_GCM_SHA384', 'aes-256-gcm', 32, 'sha384', 2 ** 24),
  suite('TLS_CHACHA20_POLY1305_SHA256', 'chacha20-poly1305', 32, 'sha256', 2 ** 36),
];

export function suiteById(id: number): Suite | undefined {
  return TLS13_SUITES.find((candidate) => candidate.id === id);
}
