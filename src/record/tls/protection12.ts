import type { Aead, CryptoProvider } from '../../crypto/provider.ts';
import type { AeadProtection } from '../../crypto/suites12.ts';
import { CbcOpener, CbcSealer } from './cbc12.ts';
import { RECORD_HEADER_LENGTH } from './deframer.ts';
import type { Content, RecordOpener, RecordSealer } from './protection.ts';
import { badMac, type Keys12, MAX_RECORDS_12, requirePlaintext, Sequence12 } from './record12.ts';
import { StreamOpener, StreamSealer } from './stream12.ts';

export function makeSealer12(crypto: CryptoProvider, keys: Keys12, version: number): RecordSealer {
  const { protection } = keys.suite;
  if ('cbc' in protection) return new CbcSealer(crypto, keys, protection, version);
  if ('stream' in protection) return new StreamSealer(crypto, keys, protection, version);
  return new AeadSealer(crypto, keys, protection, version);
}

export function makeOpener12(crypto: CryptoProvider, keys: Keys12, version: number): RecordOpener {
  const { protection } = keys.suite;
  if ('cbc' in protection) return new CbcOpener(crypto, keys, protection, version);
  if ('stream' in protection) return new StreamOpener(crypto, keys, protection, version);
  return new AeadOpener(crypto, keys, protection, version);
}

/**
 * Nonces of AEAD records. RFC 5288 §3: `fixed IV ‖ explicit nonce`, for which we send the sequence number. RFC 7905 §2: the
 * IV xor the sequence number, as in TLS 1.3.
 */
class AeadState extends Sequence12 {
  readonly #iv: Uint8Array;
  readonly #explicit: boolean;

  constructor(iv: Uint8Array, explicit: boolean) {
    super();
    this.#iv = iv;
    this.#explicit = explicit;
  }

  /** @param explicit the record's own part of the nonce; without one, the sequence number */
  nonce(explicit: Uint8Array): Uint8Array {
    nonceScratch.set(this.#iv);
    if (this.#explicit) nonceScratch.set(explicit, this.#iv.length);
    else
      for (let i = 0; i < this.bytes.length; i++) (nonceScratch[4 + i] as number) ^= this.bytes[i] as number;
    return nonceScratch;
  }
}

/** Seals records of TLS 1.2 with an AEAD: GenericAEADCipher of RFC 5246 §6.2.3.3. */
class AeadSealer implements RecordSealer {
  readonly #aead: Aead;
  readonly #state: AeadState;
  readonly #version: number;
  readonly #explicitNonceLength: number;

  constructor(crypto: CryptoProvider, { key, iv }: Keys12, protection: AeadProtection, version: number) {
    this.#aead = crypto.aead(protection.aead, key);
    this.#state = new AeadState(iv, protection.explicitNonceLength > 0);
    this.#version = version;
    this.#explicitNonceLength = protection.explicitNonceLength;
  }

  get exhausted(): boolean {
    return this.#state.count >= MAX_RECORDS_12;
  }

  /** TLS 1.2 has no padding of AEAD records: `_paddedLength` says nothing here. */
  seal(type: number, content: Uint8Array, _paddedLength: number, out: Uint8Array[]): number {
    const state = this.#state;
    const explicit = this.#explicitNonceLength;
    const length = explicit + content.length + this.#aead.tagLength;
    const header = new Uint8Array(RECORD_HEADER_LENGTH + explicit);
    header[0] = type;
    header[1] = this.#version >> 8;
    header[2] = this.#version & 0xff;
    header[3] = length >> 8;
    header[4] = length & 0xff;
    if (explicit > 0) header.set(state.bytes, RECORD_HEADER_LENGTH);
    out.push(header);
    const nonce = state.nonce(state.bytes);
    const aad = state.head(type, this.#version, content.length);
    for (const piece of this.#aead.seal(nonce, aad, content)) out.push(piece);
    state.advance();
    return RECORD_HEADER_LENGTH + length;
  }
}

/** Opens records of TLS 1.2 that an AEAD protects. */
class AeadOpener implements RecordOpener {
  readonly #aead: Aead;
  readonly #state: AeadState;
  readonly #version: number;
  readonly #explicitNonceLength: number;

  constructor(crypto: CryptoProvider, { key, iv }: Keys12, protection: AeadProtection, version: number) {
    this.#aead = crypto.aead(protection.aead, key);
    this.#state = new AeadState(iv, protection.explicitNonceLength > 0);
    this.#version = version;
    this.#explicitNonceLength = protection.explicitNonceLength;
  }

  get unused(): boolean {
    return this.#state.count === 0;
  }

  plaintextLength(fragment: Uint8Array): number {
    return fragment.length - this.#aead.tagLength - this.#explicitNonceLength;
  }

  /** @throws TlsError ERR_TLS_BAD_RECORD_MAC, ERR_TLS_RECORD_OVERFLOW (RFC 5246 §6.2.1) */
  open(header: Uint8Array, fragment: Uint8Array): Content {
    const state = this.#state;
    const explicit = this.#explicitNonceLength;
    const tagAt = fragment.length - this.#aead.tagLength;
    const type = header[0] as number;
    const length = tagAt - explicit;
    const content =
      length < 0
        ? undefined
        : this.#aead.open(
            state.nonce(fragment.subarray(0, explicit)),
            state.head(type, this.#version, length),
            fragment.subarray(explicit, tagAt),
            fragment.subarray(tagAt),
          );
    if (content === undefined) throw badMac();
    requirePlaintext(length);
    state.advance();
    return { type, content };
  }
}

/** Shared scratch: an AEAD does not keep its nonce. */
const nonceScratch = new Uint8Array(12);
