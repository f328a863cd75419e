import type { CryptoProvider } from '../../crypto/provider.ts';
import { DecodeError } from '../../errors/errors.ts';
import { readChain, writeChain } from '../../handshake/session.ts';
import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';
import { Certificate } from '../../x509/certificate.ts';
import { TrustStore } from '../../x509/trust-store.ts';
import { Status } from '../apdu/status.ts';
import { ClientCertificate, type KeyAlgorithm, Permission } from '../protocol.ts';
import type { ModuleKey, ModuleKeys } from './keys.ts';
import { decodePin, MAX_PIN_TRIES, type PinRecord, sealPin } from './pins.ts';
import { MAX_PSKS, type PskRecord, readPsk, writePsk } from './psks.ts';
import { Refused } from './refused.ts';
import type { SealedStore } from './sealed-store.ts';

/** What is written. */
const FORMAT = 2;
/** Read as well: identities without pre-shared keys. */
const FORMAT_WITHOUT_PSKS = 1;
/** Each has a key and certificates; a card has one to a handful. */
export const MAX_IDENTITIES = 256;

/** What a module knows of one identity. */
export interface IdentityRecord {
  readonly alias: string;
  /** Bits of `IdentityRole`; 0 until it was set. */
  readonly roles: number;
  /** PKCS#8; absent for an identity that only has trust anchors. */
  readonly privateKey: Uint8Array | undefined;
  /** DER, end entity first. */
  readonly chain: readonly Uint8Array[];
  /** DER. */
  readonly anchors: readonly Uint8Array[];
  /** Bits of `Permission`. */
  readonly permissions: number;
  /** `ClientCertificate`: what a server asks for. */
  readonly clientCertificate: number;
  /** What EAP-Response/Identity says (RFC 3748 §5.1); empty for the alias. */
  readonly nai: Uint8Array;
  /** Pre-shared keys, best first. */
  readonly psks: readonly PskRecord[];
}

/** Everything that outlives the module's power. */
interface State {
  readonly latestTime: number;
  readonly user: PinRecord;
  readonly operator: PinRecord;
  readonly identities: readonly IdentityRecord[];
}

/**
 * A state of a module under these PINs, without identities; 4 to 8 digits each.
 * @throws Refused 6A80 for PINs of another form
 */
export function initialState(
  crypto: CryptoProvider,
  userPin: Uint8Array,
  operatorPin: Uint8Array,
): Uint8Array {
  return encodeState({
    latestTime: 0,
    user: sealPin(crypto, decodePin(userPin)),
    operator: sealPin(crypto, decodePin(operatorPin)),
    identities: [],
  });
}

/** An identity that does not exist yet: it may sign for TLS Sign, and nothing leaves the module. */
export function newIdentity(alias: string): IdentityRecord {
  return {
    alias,
    roles: 0,
    privateKey: undefined,
    chain: [],
    anchors: [],
    permissions: Permission.sign,
    clientCertificate: ClientCertificate.none,
    nai: new Uint8Array(0),
    psks: [],
  };
}

/**
 * The state of a module, in memory and in its store: every change is durable before the method returns, and a change
 * that could not be made durable has not happened.
 */
export class PersistentState {
  readonly #store: SealedStore;
  readonly #keys: ModuleKeys;
  #state: State;
  /** What the store has as the latest time. */
  #storedTime: number;
  /** Parsed keys and anchors, made when first needed. */
  readonly #loaded = new WeakMap<IdentityRecord, { key?: ModuleKey; trust?: TrustStore }>();

  /** @throws DecodeError when the state is not one of this version */
  constructor(store: SealedStore, state: Uint8Array, keys: ModuleKeys) {
    this.#store = store;
    this.#keys = keys;
    this.#state = decodeState(state);
    this.#storedTime = this.#state.latestTime;
  }

  get identities(): readonly IdentityRecord[] {
    return this.#state.identities;
  }

  identity(alias: string): IdentityRecord | undefined {
    return this.#state.identities.find((identity) => identity.alias === alias);
  }

  pin(kind: 'user' | 'operator'): PinRecord {
    return this.#state[kind];
  }

  setPin(kind: 'user' | 'operator', pin: PinRecord): void {
    this.#change({ ...this.#state, [kind]: pin });
  }

  /** Adds the identity, or puts it in the place of the one with its alias. @throws Refused 6A84 */
  putIdentity(identity: IdentityRecord): void {
    const others = this.#state.identities.filter(({ alias }) => alias !== identity.alias);
    if (others.length >= MAX_IDENTITIES) throw new Refused(Status.noRoom);
    const at = this.#state.identities.findIndex(({ alias }) => alias === identity.alias);
    const identities = [...others];
    identities.splice(at === -1 ? others.length : at, 0, identity);
    this.#change({ ...this.#state, identities });
  }

  removeIdentity(alias: string): void {
    const identities = this.#state.identities.filter((identity) => identity.alias !== alias);
    this.#change({ ...this.#state, identities });
  }

  /**
   * The host's time is not trusted; but it cannot bring back a certificate that had expired when the module last knew.
   * @returns Unix milliseconds, never before any earlier one
   */
  timeFrom(hostTime: number): number {
    const { latestTime } = this.#state;
    if (hostTime <= latestTime) return latestTime;
    const state = { ...this.#state, latestTime: hostTime };
    // Each write wears the store out; an hour more or less decides about no certificate.
    if (hostTime - this.#storedTime >= TIME_STEP) this.#change(state);
    else this.#state = state;
    return hostTime;
  }

  /** A new private key, PKCS#8; not yet in the state. */
  generateKey(algorithm: KeyAlgorithm): Uint8Array {
    return this.#keys.generate(algorithm);
  }

  /** @throws Refused 6985 when the identity has no key */
  key(identity: IdentityRecord): ModuleKey {
    if (identity.privateKey === undefined) throw new Refused(Status.wrongState);
    const loaded = this.#of(identity);
    loaded.key ??= this.#keys.load(identity.privateKey);
    return loaded.key;
  }

  trust(identity: IdentityRecord): TrustStore {
    const loaded = this.#of(identity);
    loaded.trust ??= new TrustStore(identity.anchors.map((der) => Certificate.parse(der)));
    return loaded.trust;
  }

  #of(identity: IdentityRecord): { key?: ModuleKey; trust?: TrustStore } {
    let loaded = this.#loaded.get(identity);
    if (loaded === undefined) {
      loaded = {};
      this.#loaded.set(identity, loaded);
    }
    return loaded;
  }

  #change(state: State): void {
    this.#store.save(encodeState(state));
    this.#state = state;
    this.#storedTime = state.latestTime;
  }
}

const TIME_STEP = 3_600_000;

const utf8 = new TextEncoder();

function encodeState({ latestTime, user, operator, identities }: State): Uint8Array {
  const writer = new Writer(4096).u8(FORMAT);
  writer.u16(Math.floor(latestTime / 2 ** 32)).u32(latestTime % 2 ** 32);
  for (const pin of [user, operator]) writer.vector(1, pin.salt).vector(1, pin.mac).u8(pin.tries);
  writer.u16(identities.length);
  for (const identity of identities) {
    writer
      .vector(1, utf8.encode(identity.alias))
      .u8(identity.roles)
      .vector(2, identity.privateKey ?? NOTHING);
    writeChain(writer, identity.chain);
    writeChain(writer, identity.anchors);
    writer.u8(identity.permissions).u8(identity.clientCertificate).vector(1, identity.nai);
    writer.u8(identity.psks.length);
    for (const psk of identity.psks) writePsk(writer, psk);
  }
  return writer.finish();
}

function decodeState(bytes: Uint8Array): State {
  const r = new Reader(bytes, 'module state');
  const format = r.u8();
  if (format !== FORMAT && format !== FORMAT_WITHOUT_PSKS) {
    throw new DecodeError(`module state: format ${format}, and up to ${FORMAT} is known`);
  }
  const latestTime = r.u16() * 2 ** 32 + r.u32();
  const user = readPin(r);
  const operator = readPin(r);
  const identities = Array.from({ length: r.u16() }, () => readIdentity(r, format));
  r.end();
  return { latestTime, user, operator, identities };
}

function readPin(r: Reader): PinRecord {
  const pin = { salt: r.vector(1), mac: r.vector(1), tries: r.u8() };
  if (pin.tries > MAX_PIN_TRIES) throw new DecodeError(`module state: ${pin.tries} tries`);
  return pin;
}

function readIdentity(r: Reader, format: number): IdentityRecord {
  const alias = new TextDecoder().decode(r.vector(1, 1));
  const roles = r.u8();
  const privateKey = r.vector(2);
  return {
    alias,
    roles,
    privateKey: privateKey.length === 0 ? undefined : privateKey,
    chain: readChain(r),
    anchors: readChain(r),
    permissions: r.u8(),
    clientCertificate: r.u8(),
    nai: r.vector(1),
    psks: format === FORMAT_WITHOUT_PSKS ? [] : readPsks(r),
  };
}

function readPsks(r: Reader): readonly PskRecord[] {
  const count = r.u8();
  if (count > MAX_PSKS) throw new DecodeError(`module state: ${count} pre-shared keys of one identity`);
  return Array.from({ length: count }, () => readPsk(r));
}

const NOTHING = new Uint8Array(0);
