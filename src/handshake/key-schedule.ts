import type { CryptoProvider, HashName } from '../crypto/provider.ts';
import { HASH_LENGTH } from '../crypto/provider.ts';
import type { Suite } from '../crypto/suites.ts';
import type { DatagramKeys } from '../record/dtls/protection.ts';
import type { TrafficKeys } from '../record/tls/protection.ts';
import { Writer } from '../wire/writer.ts';

/*
 * RFC 8446 §7.1, one class per stage; each stage hands out its secrets and makes the next one.
 *
 *              0 -> HKDF-Extract(PSK or 0)          = EarlySecret
 *    (EC)DHE     -> HKDF-Extract(Derive-Secret(…))  = HandshakeSecret
 *              0 -> HKDF-Extract(Derive-Secret(…))  = MasterSecret
 */

const BINDER_LABELS = {
  resumption: 'res binder',
  external: 'ext binder',
  /** RFC 9258 §5.2. */
  imported: 'imp binder',
} as const;
export type BinderLabel = keyof typeof BINDER_LABELS;

export class EarlySecret {
  readonly #schedule: Schedule;
  readonly #secret: Uint8Array;
  #derived: Uint8Array | undefined;

  /** @param psk `undefined` for a handshake without one */
  constructor(crypto: CryptoProvider, hash: HashName, psk: Uint8Array | undefined) {
    this.#schedule = new Schedule(crypto, hash);
    const zeros = new Uint8Array(HASH_LENGTH[hash]);
    this.#secret = this.#schedule.extract(zeros, psk ?? zeros);
  }

  /** The stage that every handshake without a PSK begins with; it depends on nothing but the hash. */
  static withoutPsk(crypto: CryptoProvider, hash: HashName): EarlySecret {
    let byHash = EarlySecret.#withoutPsk.get(crypto);
    if (byHash === undefined) {
      byHash = new Map();
      EarlySecret.#withoutPsk.set(crypto, byHash);
    }
    let early = byHash.get(hash);
    if (early === undefined) {
      early = new EarlySecret(crypto, hash, undefined);
      byHash.set(hash, early);
    }
    return early;
  }
  static readonly #withoutPsk = new WeakMap<CryptoProvider, Map<HashName, EarlySecret>>();

  /** Key of the binders (§4.2.11.2). */
  binderKey(label: BinderLabel): Uint8Array {
    return this.#schedule.deriveSecret(this.#secret, BINDER_LABELS[label], this.#schedule.emptyHash);
  }

  /** client_early_traffic_secret. @param transcript ClientHello */
  clientTrafficSecret(transcript: Uint8Array): Uint8Array {
    return this.#schedule.deriveSecret(this.#secret, 'c e traffic', transcript);
  }

  /** @param sharedSecret the (EC)DHE result; `undefined` in psk_ke, which has none and no forward secrecy */
  handshakeSecret(sharedSecret: Uint8Array | undefined): HandshakeSecret {
    this.#derived ??= this.#schedule.deriveSecret(this.#secret, 'derived', this.#schedule.emptyHash);
    return new HandshakeSecret(
      this.#schedule,
      this.#schedule.extract(this.#derived, sharedSecret ?? new Uint8Array(this.#schedule.hashLength)),
    );
  }
}

export class HandshakeSecret {
  readonly #schedule: Schedule;
  readonly #secret: Uint8Array;

  constructor(schedule: Schedule, secret: Uint8Array) {
    this.#schedule = schedule;
    this.#secret = secret;
  }

  /** @param transcript ClientHello…ServerHello */
  trafficSecrets(transcript: Uint8Array): { client: Uint8Array; server: Uint8Array } {
    return {
      client: this.#schedule.deriveSecret(this.#secret, 'c hs traffic', transcript),
      server: this.#schedule.deriveSecret(this.#secret, 's hs traffic', transcript),
    };
  }

  masterSecret(): MasterSecret {
    const schedule = this.#schedule;
    const derived = schedule.deriveSecret(this.#secret, 'derived', schedule.emptyHash);
    return new MasterSecret(schedule, schedule.extract(derived, new Uint8Array(schedule.hashLength)));
  }
}

export class MasterSecret {
  readonly #schedule: Schedule;
  readonly #secret: Uint8Array;

  constructor(schedule: Schedule, secret: Uint8Array) {
    this.#schedule = schedule;
    this.#secret = secret;
  }

  /** @param transcript ClientHello…server Finished */
  applicationSecrets(transcript: Uint8Array): {
    client: Uint8Array;
    server: Uint8Array;
    exporter: Uint8Array;
  } {
    return {
      client: this.#schedule.deriveSecret(this.#secret, 'c ap traffic', transcript),
      server: this.#schedule.deriveSecret(this.#secret, 's ap traffic', transcript),
      exporter: this.#schedule.deriveSecret(this.#secret, 'exp master', transcript),
    };
  }

  /**
   * Made here, for a function keeps all that is in sight where it is made: in a state of the handshake, that state and its
   * secrets, for as long as the session.
   * @param transcript ClientHello…client Finished
   * @returns what derives the resumption secret, when a ticket needs it
   */
  resumption(transcript: Uint8Array): () => Uint8Array {
    return () => this.#schedule.deriveSecret(this.#secret, 'res master', transcript);
  }
}

/** Key and IV of a traffic secret, §7.3. */
export function trafficKeys(crypto: CryptoProvider, suite: Suite, secret: Uint8Array): TrafficKeys {
  return {
    suite,
    key: hkdfExpandLabel(crypto, suite.hash, secret, 'key', NO_CONTEXT, suite.keyLength),
    iv: hkdfExpandLabel(crypto, suite.hash, secret, 'iv', NO_CONTEXT, 12),
  };
}

/** As `trafficKeys`, with the key of the record numbers (RFC 9147 §4.2.3). */
export function datagramKeys(crypto: CryptoProvider, suite: Suite, secret: Uint8Array): DatagramKeys {
  const numberKey = hkdfExpandLabel(crypto, suite.hash, secret, 'sn', NO_CONTEXT, suite.keyLength);
  return { numberKey, ...trafficKeys(crypto, suite, secret) };
}

/** The traffic secret after a KeyUpdate, §7.2. */
export function nextTrafficSecret(crypto: CryptoProvider, suite: Suite, secret: Uint8Array): Uint8Array {
  return hkdfExpandLabel(crypto, suite.hash, secret, 'traffic upd', NO_CONTEXT, suite.hashLength);
}

/** `verify_data` of Finished, and a PSK binder, which is made the same way (§4.4.4, §4.2.11.2). */
export function finishedMac(
  crypto: CryptoProvider,
  hash: HashName,
  baseKey: Uint8Array,
  transcript: Uint8Array,
): Uint8Array {
  const key = hkdfExpandLabel(crypto, hash, baseKey, 'finished', NO_CONTEXT, HASH_LENGTH[hash]);
  return crypto.shortHmac(hash, key, transcript);
}

/** PSK of a ticket, §4.6.1. */
export function resumptionPsk(
  crypto: CryptoProvider,
  hash: HashName,
  resumptionSecret: Uint8Array,
  nonce: Uint8Array,
): Uint8Array {
  return hkdfExpandLabel(crypto, hash, resumptionSecret, 'resumption', nonce, HASH_LENGTH[hash]);
}

/** TLS-Exporter, §7.5. An absent context is the same as an empty one. */
export function exportKeyingMaterial(
  crypto: CryptoProvider,
  hash: HashName,
  exporterSecret: Uint8Array,
  label: string,
  context: Uint8Array,
  length: number,
): Uint8Array {
  const empty = crypto.digest(hash, NO_CONTEXT);
  const secret = hkdfExpandLabel(crypto, hash, exporterSecret, label, empty, HASH_LENGTH[hash]);
  return hkdfExpandLabel(crypto, hash, secret, 'exporter', crypto.digest(hash, context), length);
}

/**
 * HKDF-Expand-Label, §7.1:
 * `struct { uint16 length; opaque label<7..255> = "tls13 " + Label; opaque context<0..255>; } HkdfLabel;`
 */
export function hkdfExpandLabel(
  crypto: CryptoProvider,
  hash: HashName,
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  length: number,
): Uint8Array {
  const fullLabel = labelBytes(crypto.labelPrefix ?? 'tls13 ', label);
  const info = new Uint8Array(2 + fullLabel.length + 1 + context.length);
  info[0] = length >> 8;
  info[1] = length;
  info.set(fullLabel, 2);
  info[2 + fullLabel.length] = context.length;
  info.set(context, 3 + fullLabel.length);
  return crypto.hkdfExpand(hash, secret, info, length);
}

/** `opaque label<7..255>` with its length byte. A handshake derives some forty secrets from ten labels. */
function labelBytes(prefix: LabelPrefix, label: string): Uint8Array {
  const labels = LABELS[prefix];
  const known = labels.get(label);
  if (known !== undefined) return known;
  const bytes = new Writer(32).vector(1, utf8.encode(prefix + label)).finish();
  if (labels.size < MAX_CACHED_LABELS) labels.set(label, bytes);
  return bytes;
}

/** RFC 8446 §7.1, RFC 9147 §5.9. */
const LABELS = { 'tls13 ': new Map<string, Uint8Array>(), dtls13: new Map<string, Uint8Array>() };
type LabelPrefix = keyof typeof LABELS;
/** The protocol has about fifteen labels; applications add exporter labels, which must not fill memory. */
const MAX_CACHED_LABELS = 64;
const NO_CONTEXT = new Uint8Array(0);
const utf8 = new TextEncoder();

class Schedule {
  readonly hashLength: number;
  readonly emptyHash: Uint8Array;
  readonly #crypto: CryptoProvider;
  readonly #hash: HashName;

  constructor(crypto: CryptoProvider, hash: HashName) {
    this.#crypto = crypto;
    this.#hash = hash;
    this.hashLength = HASH_LENGTH[hash];
    this.emptyHash = crypto.digest(hash, NO_CONTEXT);
  }

  /** HKDF-Extract, RFC 5869 §2.2. */
  extract(salt: Uint8Array, inputKeyMaterial: Uint8Array): Uint8Array {
    return this.#crypto.shortHmac(this.#hash, salt, inputKeyMaterial);
  }

  deriveSecret(secret: Uint8Array, label: string, transcript: Uint8Array): Uint8Array {
    return hkdfExpandLabel(this.#crypto, this.#hash, secret, label, transcript, this.hashLength);
  }
}
