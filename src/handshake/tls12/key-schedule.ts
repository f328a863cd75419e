import { prf } from '../../crypto/prf.ts';
import type { CryptoProvider, PrfHash } from '../../crypto/provider.ts';
import type { Keys12 } from '../../record/tls/record12.ts';
import type { Role } from '../hello-extension.ts';
import { fixedIvLength, macsThenEncrypts, prfHashOf, type Terms12 } from './protocol.ts';

/** RFC 5246 §8.1. */
export const MASTER_SECRET_LENGTH = 48;
/** `verify_data_length`, RFC 5246 §7.4.9: all suites have the default. */
export const VERIFY_DATA_LENGTH = 12;

/** ClientHello.random and ServerHello.random. */
export interface Randoms {
  readonly client: Uint8Array;
  readonly server: Uint8Array;
}

export type KeyPair12 = Readonly<Record<Role, Keys12>>;

/** The master secret of a session of TLS 1.2 or before and what is derived from it (RFC 5246 §6.3, §7.4.9, §8.1). */
export class MasterSecret12 {
  readonly bytes: Uint8Array;
  readonly #crypto: CryptoProvider;
  readonly #terms: Terms12;
  readonly #hash: PrfHash;

  /** Of a session that is resumed. */
  constructor(crypto: CryptoProvider, terms: Terms12, bytes: Uint8Array) {
    this.#crypto = crypto;
    // No more than these: who calls has a handshake in its hands, with keys that shall go when it is over.
    const { protocol, suite, encryptThenMac } = terms;
    this.#terms = { protocol, suite, encryptThenMac };
    this.#hash = prfHashOf(terms);
    this.bytes = bytes;
  }

  /** @param sessionHash of the messages up to and including ClientKeyExchange (RFC 7627 §3, §4) */
  static extended(
    crypto: CryptoProvider,
    terms: Terms12,
    premaster: Uint8Array,
    sessionHash: Uint8Array,
  ): MasterSecret12 {
    const label = 'extended master secret';
    const bytes = prf(crypto, prfHashOf(terms), premaster, label, [sessionHash], MASTER_SECRET_LENGTH);
    return new MasterSecret12(crypto, terms, bytes);
  }

  /** Without extended_master_secret; RFC 7627 §1 says what is wrong with it. */
  static ofRandoms(
    crypto: CryptoProvider,
    terms: Terms12,
    premaster: Uint8Array,
    { client, server }: Randoms,
  ): MasterSecret12 {
    const seed = [client, server];
    const bytes = prf(crypto, prfHashOf(terms), premaster, 'master secret', seed, MASTER_SECRET_LENGTH);
    return new MasterSecret12(crypto, terms, bytes);
  }

  /** Keys of what client and server write, cut from the key block in the order of RFC 5246 §6.3. */
  keys({ client, server }: Randoms): KeyPair12 {
    const { suite } = this.#terms;
    const { macKeyLength, keyLength } = suite.protection;
    const ivLength = fixedIvLength(this.#terms);
    const length = 2 * (macKeyLength + keyLength + ivLength);
    const block = prf(this.#crypto, this.#hash, this.bytes, 'key expansion', [server, client], length);
    let at = 0;
    const cut = (size: number): Uint8Array => {
      at += size;
      return block.subarray(at - size, at);
    };
    const macKeys = [cut(macKeyLength), cut(macKeyLength)] as const;
    const keys = [cut(keyLength), cut(keyLength)] as const;
    const ivs = [cut(ivLength), cut(ivLength)] as const;
    const macThenEncrypt = macsThenEncrypts(this.#terms);
    return {
      client: { suite, macKey: macKeys[0], key: keys[0], iv: ivs[0], macThenEncrypt },
      server: { suite, macKey: macKeys[1], key: keys[1], iv: ivs[1], macThenEncrypt },
    };
  }

  /** `verify_data` of a Finished. @param transcript of the messages before it */
  verifyData(sender: Role, transcript: Uint8Array): Uint8Array {
    const label = `${sender} finished`;
    return prf(this.#crypto, this.#hash, this.bytes, label, [transcript], VERIFY_DATA_LENGTH);
  }

  /** RFC 5705 §4. No context is not the same as an empty one. */
  exportKeyingMaterial(
    { client, server }: Randoms,
    label: string,
    context: Uint8Array | undefined,
    length: number,
  ): Uint8Array {
    const seed = [client, server];
    if (context !== undefined) seed.push(Uint8Array.of(context.length >> 8, context.length), context);
    return prf(this.#crypto, this.#hash, this.bytes, label, seed, length);
  }
}
