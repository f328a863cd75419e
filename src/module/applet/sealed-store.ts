import type { CryptoProvider } from '../../crypto/provider.ts';
import { DecodeError } from '../../errors/errors.ts';
import { ModuleError } from '../../errors/module.ts';
import { Reader } from '../../wire/reader.ts';
import { concat, Writer } from '../../wire/writer.ts';

/** Of what is kept: some hundred identities with their certificates. */
export const MAX_STATE = 1_048_576;

/**
 * Where the module's state outlives its power. There are two slots, and one write changes one of them, so that one
 * that is torn at any byte leaves the other.
 */
export interface ModuleStorage {
  /** `undefined` when nothing was ever written there. */
  read(slot: 0 | 1): Uint8Array | undefined;
  /** Durable when it returns. @throws whatever; the command that needed it is answered 6F00 then */
  write(slot: 0 | 1, bytes: Uint8Array): void;
}

/** Makes the store's AES-256 key from the parameters that stand in clear in its header. */
export type KeyDerivation = (parameters: Uint8Array) => Uint8Array;

const MAGIC = Uint8Array.of(0x54, 0x52, 0x4c, 0x4d); // TRLM
const FORMAT = 1;
const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;

/**
 * The module's state, sealed:
 *
 * ```
 * opaque magic[4] = "TRLM"; uint8 format = 1; opaque kdf<0..255>; uint48 generation; opaque nonce[12];
 * uint32 length; opaque sealed[length];      // AES-256-GCM; everything before is its additional data
 * ```
 *
 * The nonce is random: a generation whose write was torn is written again with other content.
 */
export class SealedStore {
  readonly #crypto: CryptoProvider;
  readonly #storage: ModuleStorage;
  readonly #parameters: Uint8Array;
  readonly #key: Uint8Array;
  #generation: number;

  private constructor(
    crypto: CryptoProvider,
    storage: ModuleStorage,
    parameters: Uint8Array,
    key: Uint8Array,
    generation: number,
  ) {
    this.#crypto = crypto;
    this.#storage = storage;
    this.#parameters = parameters;
    this.#key = key;
    this.#generation = generation;
  }

  /** A new store, with nothing in it until `save`. @param parameters at most 255 bytes, in clear */
  static create(
    crypto: CryptoProvider,
    storage: ModuleStorage,
    parameters: Uint8Array,
    derive: KeyDerivation,
  ): SealedStore {
    return new SealedStore(crypto, storage, parameters, derive(parameters), 0);
  }

  /**
   * The state as it was when the last write was complete.
   * @throws ModuleError ERR_MODULE_STORE when no slot can be opened
   */
  static open(
    crypto: CryptoProvider,
    storage: ModuleStorage,
    derive: KeyDerivation,
  ): { readonly store: SealedStore; readonly state: Uint8Array } {
    let newest: { slot: Slot; key: Uint8Array; state: Uint8Array } | undefined;
    for (const number of [0, 1] as const) {
      const slot = readSlot(storage.read(number));
      if (slot === undefined || (newest !== undefined && slot.generation < newest.slot.generation)) continue;
      const key = derive(slot.parameters);
      const state = crypto
        .aead('aes-256-gcm', key)
        .open(
          slot.nonce,
          slot.header,
          slot.sealed.subarray(0, -TAG_LENGTH),
          slot.sealed.subarray(-TAG_LENGTH),
        );
      if (state !== undefined) newest = { slot, key, state };
    }
    if (newest === undefined) {
      throw new ModuleError(
        'ERR_MODULE_STORE',
        'The store of the module cannot be opened: it was made with another secret, or it is damaged',
      );
    }
    const { slot, key, state } = newest;
    const parameters = new Uint8Array(slot.parameters);
    return { store: new SealedStore(crypto, storage, parameters, key, slot.generation), state };
  }

  /** Durable when it returns. @throws what the storage throws; the state before is what will be found then */
  save(state: Uint8Array): void {
    if (state.length > MAX_STATE)
      throw new ModuleError('ERR_MODULE_NO_ROOM', `A state of ${state.length} bytes`);
    const generation = this.#generation + 1;
    const nonce = this.#crypto.randomBytes(NONCE_LENGTH);
    const header = new Writer(64)
      .bytes(MAGIC)
      .u8(FORMAT)
      .vector(1, this.#parameters)
      .u16(Math.floor(generation / 2 ** 32))
      .u32(generation % 2 ** 32)
      .bytes(nonce)
      .u32(state.length + TAG_LENGTH)
      .finish();
    const sealed = this.#crypto.aead('aes-256-gcm', this.#key).seal(nonce, header, state);
    this.#storage.write(generation % 2 === 0 ? 0 : 1, concat([header, ...sealed]));
    this.#generation = generation;
  }
}

interface Slot {
  readonly header: Uint8Array;
  readonly parameters: Uint8Array;
  readonly generation: number;
  readonly nonce: Uint8Array;
  readonly sealed: Uint8Array;
}

/** `undefined` for a slot that holds nothing whole: never written, or torn. */
function readSlot(bytes: Uint8Array | undefined): Slot | undefined {
  if (bytes === undefined) return undefined;
  try {
    const r = new Reader(bytes, 'module store');
    if (MAGIC.some((byte) => byte !== r.u8()) || r.u8() !== FORMAT) return undefined;
    const parameters = r.vector(1);
    const generation = r.u16() * 2 ** 32 + r.u32();
    const nonce = r.bytes(NONCE_LENGTH);
    const length = r.u32();
    if (length < TAG_LENGTH || length > MAX_STATE + TAG_LENGTH) return undefined;
    const header = bytes.subarray(0, bytes.length - r.remaining);
    return { header, parameters, generation, nonce, sealed: r.bytes(length) };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}
