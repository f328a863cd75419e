/**
 * What the engine asks of cryptography. The engine never imports an implementation:
 * `crypto/node` is the one on node:crypto; tests inject deterministic ones (RFC 8448) or fake ones (fuzzing).
 */

export type HashName = 'sha256' | 'sha384' | 'sha512';

export const HASH_LENGTH: Readonly<Record<HashName, number>> = { sha256: 32, sha384: 48, sha512: 64 };

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

/** Hashes of a MAC. SHA-1 is good enough for HMAC (RFC 6194 §3.3), and for nothing else here. */
export type MacName = HashName | 'sha1';
export type CbcName = 'aes-128-cbc' | 'aes-256-cbc';

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
  hash(name: HashName): RunningHash;
  digest(name: HashName, data: Uint8Array): Uint8Array;
  /** For names of things only (RFC 6960 §4.1.1 CertID), never to sign or to verify. */
  sha1(data: Uint8Array): Uint8Array;
  hmac(name: MacName, key: Uint8Array, data: Uint8Array): Uint8Array;
  /** HKDF-Expand, RFC 5869 §2.3. */
  hkdfExpand(name: HashName, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array;
  /** Constant-time comparison; lengths may differ (then false). */
  equal(a: Uint8Array, b: Uint8Array): boolean;
  aead(name: AeadName, key: Uint8Array): Aead;
  /** @param name whose block or stream cipher it is under `key`: AES, or ChaCha20 */
  recordNumberMask(name: AeadName, key: Uint8Array): RecordNumberMask;
  /** AES-CBC of whole blocks, without padding. */
  encryptCbc(name: CbcName, key: Uint8Array, iv: Uint8Array, blocks: Uint8Array): Uint8Array;
  decryptCbc(name: CbcName, key: Uint8Array, iv: Uint8Array, blocks: Uint8Array): Uint8Array;
  group(id: number): KeyExchangeGroup | undefined;
  /** @throws CertificateError CERT_MALFORMED, UNSUPPORTED_SIGNATURE_ALGORITHM for a key of another kind */
  importPublicKey(spki: Uint8Array): PublicKey;
  /** False for a signature that does not verify, whatever is wrong with its bytes. RSA-PSS: salt as long as the hash. */
  verify(algorithm: SignatureAlgorithm, key: PublicKey, data: Uint8Array, signature: Uint8Array): boolean;
}

/**
 * A private key, wherever it lives: a KeyObject, a card, a PKCS#11 token.
 * The engine only sees `schemes`; it asks for signatures through its *wanted* state.
 */
export interface SigningKey {
  /** SignatureScheme values that this key can make, best first. */
  readonly schemes: readonly number[];
  /** Signs `data` (not a digest). */
  sign(scheme: number, data: Uint8Array): Uint8Array | Promise<Uint8Array>;
}
