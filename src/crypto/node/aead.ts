import crypto from 'node:crypto';
import type { Aead, AeadName } from '../provider.ts';

export function nodeAead(name: AeadName, key: Uint8Array): Aead {
  return CCM_TAG_LENGTH[name] === undefined ? new NodeAead(name, key) : new NodeCcm(name, key);
}

const TAG = { authTagLength: 16 } as const;

/** node:crypto makes one cipher object per record. */
class NodeAead implements Aead {
  readonly tagLength = TAG.authTagLength;
  readonly #name: crypto.CipherGCMTypes;
  readonly #key: RecordKey;

  constructor(name: AeadName, key: Uint8Array) {
    this.#name = OPENSSL_NAME[name] as crypto.CipherGCMTypes;
    this.#key = new RecordKey(key);
  }

  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array[] {
    const cipher = crypto.createCipheriv(this.#name, this.#key.next(), nonce, TAG);
    cipher.setAAD(aad);
    const ciphertext = cipher.update(plaintext);
    cipher.final();
    return [ciphertext, cipher.getAuthTag()];
  }

  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array, tag: Uint8Array): Uint8Array | undefined {
    const decipher = crypto.createDecipheriv(this.#name, this.#key.next(), nonce, TAG);
    decipher.setAAD(aad);
    decipher.setAuthTag(tag);
    const plaintext = decipher.update(ciphertext);
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plaintext;
  }
}

/** Records after which a key becomes a KeyObject: making one costs as much as it saves on three. */
const RECORDS_WITH_BYTES = 3;

/** A key as the next record shall have it: those of the handshake serve one or two records, others go on for long. */
class RecordKey {
  #key: Uint8Array | crypto.KeyObject;
  #used = 0;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  next(): Uint8Array | crypto.KeyObject {
    if (this.#used <= RECORDS_WITH_BYTES && ++this.#used > RECORDS_WITH_BYTES)
      this.#key = crypto.createSecretKey(this.#key as Uint8Array);
    return this.#key;
  }
}

/** CCM has to know the length of the plaintext before its first byte (NIST SP 800-38C §A.2.1). */
class NodeCcm implements Aead {
  readonly tagLength: number;
  readonly #name: crypto.CipherCCMTypes;
  readonly #key: RecordKey;

  constructor(name: AeadName, key: Uint8Array) {
    this.tagLength = CCM_TAG_LENGTH[name] as number;
    this.#name = OPENSSL_NAME[name] as crypto.CipherCCMTypes;
    this.#key = new RecordKey(key);
  }

  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array[] {
    const cipher = crypto.createCipheriv(this.#name, this.#key.next(), nonce, {
      authTagLength: this.tagLength,
    });
    cipher.setAAD(aad, { plaintextLength: plaintext.length });
    const ciphertext = cipher.update(plaintext);
    cipher.final();
    return [ciphertext, cipher.getAuthTag()];
  }

  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array, tag: Uint8Array): Uint8Array | undefined {
    const decipher = crypto.createDecipheriv(this.#name, this.#key.next(), nonce, {
      authTagLength: this.tagLength,
    });
    decipher.setAuthTag(tag);
    decipher.setAAD(aad, { plaintextLength: ciphertext.length });
    try {
      const plaintext = decipher.update(ciphertext);
      decipher.final();
      return plaintext;
    } catch {
      return undefined;
    }
  }
}

const CCM_TAG_LENGTH: Readonly<Partial<Record<AeadName, number>>> = {
  'aes-128-ccm': 16,
  'aes-256-ccm': 16,
  'aes-128-ccm-8': 8,
  'aes-256-ccm-8': 8,
};

/**
 * By these names OpenSSL 3 finds the AES ciphers in three quarters of the time, which is paid for every record.
 * ChaCha20-Poly1305 has the same interface as GCM; only node's type for it is separate.
 */
const OPENSSL_NAME: Readonly<Record<AeadName, string>> = {
  'aes-128-gcm': 'id-aes128-GCM',
  'aes-256-gcm': 'id-aes256-GCM',
  'chacha20-poly1305': 'chacha20-poly1305',
  'aes-128-ccm': 'id-aes128-CCM',
  'aes-256-ccm': 'id-aes256-CCM',
  'aes-128-ccm-8': 'id-aes128-CCM',
  'aes-256-ccm-8': 'id-aes256-CCM',
};
