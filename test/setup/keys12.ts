import crypto from 'node:crypto';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import type { CbcProtection, Suite12 } from '../../src/crypto/suites12.ts';
import { MasterSecret12 } from '../../src/handshake/tls12/key-schedule.ts';
import type { Keys12 } from '../../src/record/tls/protection12.ts';
import { concat } from '../../src/wire/writer.ts';

/** The keys of one direction of a TLS 1.2 session, for the hostile network of `Pair`. */
export class NetworkKeys12 {
  readonly #keys: Keys12;
  /** Of the next record. */
  sequence = 0;

  constructor(
    suite: Suite12,
    masterSecret: Uint8Array,
    randoms: { readonly client: Uint8Array; readonly server: Uint8Array },
    from: 'client' | 'server',
  ) {
    this.#keys = new MasterSecret12(nodeCrypto, suite, masterSecret).keys(randoms)[from];
  }

  skip(): void {
    this.sequence++;
  }

  /** `undefined` when the record is not under these keys. */
  open(record: Uint8Array): { type: number; content: Uint8Array } | undefined {
    const { suite, key, iv } = this.#keys;
    if ('cbc' in suite.protection) return this.#openCbc(record, suite.protection);
    const { explicitNonceLength, aead: name } = suite.protection;
    const aead = nodeCrypto.aead(name, key);
    const type = record[0] as number;
    const explicit = record.subarray(5, 5 + explicitNonceLength);
    const ciphertext = record.subarray(5 + explicitNonceLength, record.length - aead.tagLength);
    const tag = record.subarray(record.length - aead.tagLength);
    const sequence = this.#next();
    const nonce = explicitNonceLength > 0 ? concat([iv, explicit]) : mixed(iv, sequence);
    const content = aead.open(nonce, additional(sequence, type, ciphertext.length), ciphertext, tag);
    return content === undefined ? undefined : { type, content };
  }

  seal({ type, content }: { readonly type: number; readonly content: Uint8Array }): Uint8Array {
    const { suite, key, iv } = this.#keys;
    if ('cbc' in suite.protection) return this.#sealCbc(type, content, suite.protection);
    const { explicitNonceLength, aead: name } = suite.protection;
    const sequence = this.#next();
    const explicit = sequence.subarray(0, explicitNonceLength);
    const nonce = explicitNonceLength > 0 ? concat([iv, explicit]) : mixed(iv, sequence);
    const aead = nodeCrypto.aead(name, key);
    const sealed = concat(aead.seal(nonce, additional(sequence, type, content.length), content));
    const length = explicit.length + sealed.length;
    return concat([Uint8Array.of(type, 3, 3, length >> 8, length & 0xff), explicit, sealed]);
  }

  /** RFC 7366 §3, with a fixed IV. */
  #openCbc(record: Uint8Array, { cbc, mac, macKeyLength }: CbcProtection) {
    const type = record[0] as number;
    const covered = record.subarray(5, record.length - macKeyLength);
    const tag = this.#mac(mac, additional(this.#next(), type, covered.length), covered);
    if (!tag.equals(record.subarray(record.length - macKeyLength))) return undefined;
    const decipher = crypto.createDecipheriv(cbc, this.#keys.key, covered.subarray(0, 16));
    decipher.setAutoPadding(false);
    const padded = decipher.update(covered.subarray(16));
    return { type, content: new Uint8Array(padded.subarray(0, padded.length - 1 - (padded.at(-1) ?? 0))) };
  }

  #sealCbc(type: number, content: Uint8Array, { cbc, mac }: CbcProtection): Uint8Array {
    const padding = 16 - (content.length % 16);
    return this.#sealBlocks(type, concat([content, new Uint8Array(padding).fill(padding - 1)]), cbc, mac);
  }

  /** Whole blocks as they are, whatever their padding says. */
  #sealBlocks(type: number, padded: Uint8Array, cbc: string, mac: string): Uint8Array {
    const iv = Buffer.alloc(16, 0xab);
    const cipher = crypto.createCipheriv(cbc, this.#keys.key, iv);
    cipher.setAutoPadding(false);
    const covered = concat([iv, cipher.update(padded)]);
    const tag = this.#mac(mac, additional(this.#next(), type, covered.length), covered);
    const length = covered.length + tag.length;
    return concat([Uint8Array.of(type, 3, 3, length >> 8, length & 0xff), covered, tag]);
  }

  #mac(name: string, head: Uint8Array, covered: Uint8Array): Buffer {
    return crypto.createHmac(name, this.#keys.macKey).update(head).update(covered).digest();
  }

  #next(): Uint8Array {
    const sequence = new Uint8Array(8);
    new DataView(sequence.buffer).setUint32(4, this.sequence++);
    return sequence;
  }
}

function additional(sequence: Uint8Array, type: number, length: number): Uint8Array {
  return concat([sequence, Uint8Array.of(type, 3, 3, (length >> 8) & 0xff, length & 0xff)]);
}

function mixed(iv: Uint8Array, sequence: Uint8Array): Uint8Array {
  return iv.map((byte, i) => (i < 4 ? byte : byte ^ (sequence[i - 4] as number)));
}
