import crypto from 'node:crypto';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import type { AeadProtection, CbcProtection, StreamProtection } from '../../src/crypto/suites12.ts';
import { MasterSecret12 } from '../../src/handshake/tls12/key-schedule.ts';
import type { Terms12 } from '../../src/handshake/tls12/protocol.ts';
import type { Keys12 } from '../../src/record/tls/record12.ts';
import { concat } from '../../src/wire/writer.ts';

interface Opened {
  readonly type: number;
  readonly content: Uint8Array;
}

/** The keys of one direction of a session of TLS 1.2 or before, for the hostile network of `Pair`. */
export class NetworkKeys12 {
  readonly #keys: Keys12;
  readonly #version: number;
  /** Of the next record. */
  sequence = 0;
  /** CBC of TLS 1.0: the last block so far. */
  #chain: Uint8Array | undefined;
  readonly #stream: ((data: Uint8Array) => Uint8Array) | undefined;

  constructor(
    terms: Terms12,
    masterSecret: Uint8Array,
    randoms: { readonly client: Uint8Array; readonly server: Uint8Array },
    from: 'client' | 'server',
  ) {
    this.#keys = new MasterSecret12(nodeCrypto, terms, masterSecret).keys(randoms)[from];
    this.#version = terms.protocol.version;
    const { protection } = terms.suite;
    if ('cbc' in protection && this.#keys.iv.length > 0) this.#chain = this.#keys.iv;
    if ('stream' in protection) this.#stream = nodeCrypto.streamCipher(protection.stream, this.#keys.key);
  }

  /** A record has passed as it is. */
  skip(record: Uint8Array): void {
    this.sequence++;
    if (this.#chain !== undefined) {
      const behind = this.#keys.macThenEncrypt === true ? 0 : this.#keys.macKey.length;
      const blocks = record.subarray(0, record.length - behind);
      this.#chain = blocks.slice(-this.#chain.length);
    }
    // The key stream goes on.
    this.#stream?.(record.subarray(5));
  }

  /** `undefined` when the record is not under these keys. */
  open(record: Uint8Array): Opened | undefined {
    const { protection } = this.#keys.suite;
    if ('cbc' in protection) return this.#openCbc(record, protection);
    if ('stream' in protection) return this.#openStream(record, protection);
    return this.#openAead(record, protection);
  }

  seal({ type, content }: Opened): Uint8Array {
    const { protection } = this.#keys.suite;
    if ('cbc' in protection) return this.#sealCbc(type, content, protection);
    if ('stream' in protection) return this.#sealStream(type, content, protection);
    return this.#sealAead(type, content, protection);
  }

  #openAead(record: Uint8Array, { explicitNonceLength, aead: name }: AeadProtection): Opened | undefined {
    const { key, iv } = this.#keys;
    const aead = nodeCrypto.aead(name, key);
    const type = record[0] as number;
    const explicit = record.subarray(5, 5 + explicitNonceLength);
    const ciphertext = record.subarray(5 + explicitNonceLength, record.length - aead.tagLength);
    const tag = record.subarray(record.length - aead.tagLength);
    const sequence = this.#next();
    const nonce = explicitNonceLength > 0 ? concat([iv, explicit]) : mixed(iv, sequence);
    const content = aead.open(nonce, this.#head(sequence, type, ciphertext.length), ciphertext, tag);
    return content === undefined ? undefined : { type, content };
  }

  #sealAead(
    type: number,
    content: Uint8Array,
    { explicitNonceLength, aead: name }: AeadProtection,
  ): Uint8Array {
    const { key, iv } = this.#keys;
    const sequence = this.#next();
    const explicit = sequence.subarray(0, explicitNonceLength);
    const nonce = explicitNonceLength > 0 ? concat([iv, explicit]) : mixed(iv, sequence);
    const aead = nodeCrypto.aead(name, key);
    const sealed = aead.seal(nonce, this.#head(sequence, type, content.length), content);
    return this.#record(type, concat([explicit, ...sealed]));
  }

  /** RFC 5246 §6.2.3.2, RFC 7366 §3. */
  #openCbc(record: Uint8Array, protection: CbcProtection): Opened | undefined {
    const type = record[0] as number;
    const { macKeyLength } = protection;
    const sequence = this.#next();
    const body = record.subarray(5);
    if (this.#keys.macThenEncrypt === true) {
      const inside = unpadded(this.#decrypt(body, protection));
      const content = inside.subarray(0, inside.length - macKeyLength);
      const tag = this.#mac(protection.mac, this.#head(sequence, type, content.length), content);
      return tag.equals(inside.subarray(content.length)) ? { type, content } : undefined;
    }
    const covered = body.subarray(0, body.length - macKeyLength);
    const tag = this.#mac(protection.mac, this.#head(sequence, type, covered.length), covered);
    if (!tag.equals(body.subarray(covered.length))) return undefined;
    return { type, content: unpadded(this.#decrypt(covered, protection)) };
  }

  #sealCbc(type: number, content: Uint8Array, protection: CbcProtection): Uint8Array {
    const sequence = this.#next();
    if (this.#keys.macThenEncrypt === true) {
      const tag = this.#mac(protection.mac, this.#head(sequence, type, content.length), content);
      return this.#record(type, this.#encrypt(concat([content, tag]), protection));
    }
    const covered = this.#encrypt(content, protection);
    const tag = this.#mac(protection.mac, this.#head(sequence, type, covered.length), covered);
    return this.#record(type, concat([covered, tag]));
  }

  #decrypt(covered: Uint8Array, { cbc, blockLength }: CbcProtection): Uint8Array {
    const iv = this.#chain ?? covered.subarray(0, blockLength);
    const blocks = this.#chain === undefined ? covered.subarray(blockLength) : covered;
    const decipher = crypto.createDecipheriv(cbc, this.#keys.key, iv).setAutoPadding(false);
    if (this.#chain !== undefined) this.#chain = blocks.slice(-blockLength);
    return decipher.update(blocks);
  }

  /** With a fixed IV where there is one to choose. */
  #encrypt(inside: Uint8Array, { cbc, blockLength }: CbcProtection): Uint8Array {
    const padding = blockLength - (inside.length % blockLength);
    const padded = concat([inside, new Uint8Array(padding).fill(padding - 1)]);
    const iv = this.#chain ?? new Uint8Array(blockLength).fill(0xab);
    const blocks = crypto.createCipheriv(cbc, this.#keys.key, iv).setAutoPadding(false).update(padded);
    if (this.#chain === undefined) return concat([iv, blocks]);
    this.#chain = new Uint8Array(blocks.subarray(-blockLength));
    return blocks;
  }

  /** RFC 5246 §6.2.3.1. */
  #openStream(record: Uint8Array, { mac, macKeyLength }: StreamProtection): Opened | undefined {
    const type = record[0] as number;
    const inside = this.#stream?.(record.subarray(5)) ?? new Uint8Array(0);
    const content = inside.subarray(0, inside.length - macKeyLength);
    const tag = this.#mac(mac, this.#head(this.#next(), type, content.length), content);
    return tag.equals(inside.subarray(content.length)) ? { type, content } : undefined;
  }

  #sealStream(type: number, content: Uint8Array, { mac }: StreamProtection): Uint8Array {
    const tag = this.#mac(mac, this.#head(this.#next(), type, content.length), content);
    return this.#record(type, this.#stream?.(concat([content, tag])) ?? new Uint8Array(0));
  }

  #record(type: number, body: Uint8Array): Uint8Array {
    const version = [this.#version >> 8, this.#version & 0xff];
    return concat([Uint8Array.of(type, ...version, body.length >> 8, body.length & 0xff), body]);
  }

  #mac(name: string, head: Uint8Array, covered: Uint8Array): Buffer {
    return crypto.createHmac(name, this.#keys.macKey).update(head).update(covered).digest();
  }

  #head(sequence: Uint8Array, type: number, length: number): Uint8Array {
    const version = [this.#version >> 8, this.#version & 0xff];
    return concat([sequence, Uint8Array.of(type, ...version, (length >> 8) & 0xff, length & 0xff)]);
  }

  #next(): Uint8Array {
    const sequence = new Uint8Array(8);
    new DataView(sequence.buffer).setUint32(4, this.sequence++);
    return sequence;
  }
}

function unpadded(padded: Uint8Array): Uint8Array {
  return new Uint8Array(padded.subarray(0, padded.length - 1 - (padded.at(-1) ?? 0)));
}

function mixed(iv: Uint8Array, sequence: Uint8Array): Uint8Array {
  return iv.map((byte, i) => (i < 4 ? byte : byte ^ (sequence[i - 4] as number)));
}
