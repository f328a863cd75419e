/**
 * What the engine asks of cryptography. The engine never imports an implementation:
 * `crypto/node` is the one on node:crypto; tests inject deterministic ones (RFC 8448) or fake ones (fuzzing).
 */

export type HashName = 'sha256' | 'sha384' | 'sha512';

export const HASH_LENGTH: Readonly<Record<HashName, number>> = { sha256: 32, sha384: 48, sha512: 64 };

/** What TLS 1.0 and 1.1 hash with: MD5 and SHA-1 side by side, 36 bytes (RFC 4346 §5, §7.4.9). */
export type LegacyHash = 'md5-sha1';
/** Of transcript and PRF, in TLS 1.2 and before. */
export type PrfHash = HashName | LegacyHash;

/** A hash under way. */
export interface RunningHash {
  update(data: Uint8Array): void;
  /** Digest of everything so far; the hash can go on. */
  snapshot(): Uint8Array;
  copy(): RunningHash;
}

export type AeadName =
  | 'aes-128-gcm'
  | 'aes-256-gcm'
  | 'chacha20-poly1305'
  | 'aes-128-ccm'
  | 'aes-256-ccm'
  /** CCM with tags of 8 bytes, RFC 6655 §6. */
  | 'aes-128-ccm-8'
  | 'aes-256-ccm-8';

/** Hashes of a MAC. SHA-1 is good enough for HMAC (RFC 6194 §3.3); HMAC-MD5 is TLS 1.0's and 1.1's alone. */
export type MacName = HashName | 'sha1' | 'md5';
export const MAC_LENGTH: Readonly<Record<MacName, number>> = { ...HASH_LENGTH, sha1: 20, md5: 16 };

export type CbcName = 'aes-128-cbc' | 'aes-256-cbc' | 'des-ede3-cbc';
export type StreamName = 'rc4';

/** A stream cipher that goes on from one record to the next; to encrypt and to decrypt is the same. */
export type StreamCipher = (data: Uint8Array) => Uint8Array;

/** An AEAD under one key. Nonces are 12 bytes. The caller never repeats a nonce. */
export interface Aead {
  /** Bytes: 16, and 8 for the CCM_8 ciphers. */
  readonly tagLength: number;
  /** Ciphertext ‖ tag, in one or more pieces, in order. `plaintext` is not changed. */
  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array[];
  /** Plaintext, or `undefined` if the tag is wrong. */
  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array, tag: Uint8Array): Uint8Array | undefined;
}

/**
 * Encrypts record numbers (RFC 9147 §4.2.3).
 * @param sample the first 16 bytes of the record's ciphertext
 * @returns at least 2 bytes to xor with the number; overwritten or not, they are used at once
 */
export type RecordNumberMask = (sample: Uint8Array) => Uint8Array;

/** Our half of a key exchange that we began. */
export interface KeyExchange {
  /** The `key_exchange` of KeyShareEntry, RFC 8446 §4.2.8. */
  readonly share: Uint8Array;
  /** @throws TlsError ERR_TLS_ILLEGAL_PARAMETER when the peer's share is not a valid one (§4.2.8.2, §7.4.2) */
  complete(peerShare: Uint8Array): Uint8Array;
}

/** A named group. `respond` exists beside `begin` so that a KEM fits (the responder encapsulates). */
export interface KeyExchangeGroup {
  readonly id: number;
  begin(): KeyExchange;
  /** @throws TlsError ERR_TLS_ILLEGAL_PARAMETER */
  respond(peerShare: Uint8Array): { readonly share: Uint8Array; readonly secret: Uint8Array };
}

export type EcCurve = 'P-256' | 'P-384' | 'P-521';

export type SignatureAlgorithm =
  | { readonly kind: 'ecdsa'; readonly hash: HashName }
  | { readonly kind: 'rsa-pkcs1'; readonly hash: HashName }
  | { readonly kind: 'rsa-pss'; readonly hash: HashName }
  | { readonly kind: 'ed25519' };

/** The signatures of TLS 1.0 and 1.1: PKCS #1 v1.5 over MD5 ‖ SHA-1 without DigestInfo, and ECDSA over SHA-1. */
export type LegacySignatureAlgorithm =
  | { readonly kind: 'rsa-pkcs1'; readonly hash: LegacyHash }
  | { readonly kind: 'ecdsa'; readonly hash: 'sha1' };

/**
 * A public key from a SubjectPublicKeyInfo. `kind` tells rsaEncryption (`rsa`) from id-RSASSA-PSS (`rsa-pss`),
 * which TLS keeps apart (RFC 8446 §4.2.3).
 */
export type PublicKey = (
  | { readonly kind: 'rsa' | 'rsa-pss'; readonly modulusBits: number }
  | { readonly kind: 'ec'; readonly curve: EcCurve }
  | { readonly kind: 'ed25519' }
) & { readonly spki: Uint8Array };

/** A signature to be checked: what `CryptoProvider.verify` takes. */
export interface SignatureCheck {
  readonly algorithm: SignatureAlgorithm;
  readonly key: PublicKey;
  readonly data: Uint8Array;
  readonly signature: Uint8Array;
}

export interface CryptoProvider {
  /** What labels of HKDF-Expand-Label begin with: `tls13 ` unless it says `dtls13` (RFC 9147 §5.9). */
  readonly labelPrefix?: 'dtls13' | undefined;
  randomBytes(length: number): Uint8Array;
  hash(name: PrfHash): RunningHash;
  digest(name: HashName, data: Uint8Array): Uint8Array;
  /** For names of things only (RFC 6960 §4.1.1 CertID), never to sign or to verify. */
  sha1(data: Uint8Array): Uint8Array;
  /** Its time grows evenly with the length of `data`, which may be a secret (CBC records, RFC 5246 §6.2.3.2). */
  hmac(name: MacName, key: Uint8Array, data: Uint8Array): Uint8Array;
  /** The same, faster for the short messages of key schedules; of a time that may leap with the length of `data`. */
  shortHmac(name: MacName, key: Uint8Array, data: Uint8Array): Uint8Array;
  /** HKDF-Expand, RFC 5869 §2.3. */
  hkdfExpand(name: HashName, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array;
  /** Constant-time comparison; lengths may differ (then false). */
  equal(a: Uint8Array, b: Uint8Array): boolean;
  aead(name: AeadName, key: Uint8Array): Aead;
  /** @param name whose block or stream cipher it is under `key`: AES, or ChaCha20 */
  recordNumberMask(name: AeadName, key: Uint8Array): RecordNumberMask;
  /** CBC of whole blocks, without padding. */
  encryptCbc(name: CbcName, key: Uint8Array, iv: Uint8Array, blocks: Uint8Array): Uint8Array;
  decryptCbc(name: CbcName, key: Uint8Array, iv: Uint8Array, blocks: Uint8Array): Uint8Array;
  /** Legacy. @throws TlsError ERR_TLS_INTERNAL where the platform does not have it */
  streamCipher(name: StreamName, key: Uint8Array): StreamCipher;
  /** Legacy: RSAES-PKCS1-v1_5 (RFC 8017 §7.2.1), for the RSA key exchange. */
  encryptPkcs1(key: PublicKey, data: Uint8Array): Uint8Array;
  group(id: number): KeyExchangeGroup | undefined;
  /** @throws CertificateError CERT_MALFORMED, UNSUPPORTED_SIGNATURE_ALGORITHM for a key of another kind */
  importPublicKey(spki: Uint8Array): PublicKey;
  /** False for a signature that does not verify, whatever is wrong with its bytes. RSA-PSS: salt as long as the hash. */
  verify(
    algorithm: SignatureAlgorithm | LegacySignatureAlgorithm,
    key: PublicKey,
    data: Uint8Array,
    signature: Uint8Array,
  ): boolean;
}

/** What a signature of TLS Sign says, besides the data. */
export interface SignedStatement {
  /** `Binding` of docs/tls-sign.md, DER: in XML, what is signed has but its digest. */
  readonly binding: Uint8Array;
}

/**
 * A private key, wherever it lives: a KeyObject, a card, a PKCS#11 token.
 * The engine only sees `schemes`; it asks for signatures through its *wanted* state.
 */
export interface SigningKey {
  /** SignatureScheme values that this key can make, best first. */
  readonly schemes: readonly number[];
  /**
   * Signs `data` (not a digest).
   * @param statement with objects of TLS Sign, for keys that sign no more than they understand
   */
  sign(scheme: number, data: Uint8Array, statement?: SignedStatement): Uint8Array | Promise<Uint8Array>;
  /**
   * Further values of `schemes` for TLS 1.2 alone, which `sign` takes too: its pairs of ECDSA and a hash say nothing of the
   * curve (RFC 8446 §4.2.3), so that a key on P-384 can answer a peer that takes `ecdsa_secp256r1_sha256` and nothing else.
   */
  readonly schemes12?: readonly number[] | undefined;
  /** LegacySignatureScheme values for TLS 1.0 and 1.1, which `sign` takes too; none where this key shall make none. */
  readonly legacySchemes?: readonly number[] | undefined;
  /**
   * For the RSA key exchange, where this key shall serve it: RSADP (RFC 8017 §5.1.2) and nothing else, so that no padding
   * is looked at here. It must not fail because of what the ciphertext is; an error ends the handshake.
   * @param ciphertext of any length, made by anybody
   * @returns as many bytes as the modulus has; zeros for a ciphertext that is none (of another length, or not below it)
   */
  decrypt?(ciphertext: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

/** A private key that can serve the RSA key exchange. */
export type DecryptingKey = SigningKey & Required<Pick<SigningKey, 'decrypt'>>;

export function canDecrypt(key: SigningKey): key is DecryptingKey {
  return key.decrypt !== undefined;
}
