import { closeSync, constants, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { deriveStoreKey, newStoreParameters, nodeModuleKeys } from '../../crypto/node/module-keys.ts';
import { nodeCrypto } from '../../crypto/node/provider.ts';
import { ModuleError } from '../../errors/module.ts';
import { initialState, PersistentState } from '../../module/applet/persistent.ts';
import { MAX_STATE, type ModuleStorage, SealedStore } from '../../module/applet/sealed-store.ts';

/** Each slot begins at a multiple of this; the file is sparse. Room for the largest state and its header. */
const SLOT_LENGTH = MAX_STATE + 65_536;

/** Both slots of a module's store in one file, that its owner alone can read. A write is on the disk when it returns. */
export class StoreFile implements ModuleStorage {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** @throws ModuleError ERR_MODULE_STORE when there is a file already, or none can be made */
  static create(path: string): StoreFile {
    return new StoreFile(open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL));
  }

  /** @throws ModuleError ERR_MODULE_STORE when there is none that can be read and written */
  static open(path: string): StoreFile {
    return new StoreFile(open(path, constants.O_RDWR));
  }

  read(slot: 0 | 1): Uint8Array | undefined {
    const buffer = Buffer.alloc(SLOT_LENGTH);
    let length = 0;
    for (;;) {
      const position = slot * SLOT_LENGTH + length;
      const count = readSync(this.#fd, buffer, length, SLOT_LENGTH - length, position);
      if (count === 0) break;
      length += count;
    }
    return length === 0 ? undefined : buffer.subarray(0, length);
  }

  write(slot: 0 | 1, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      at += writeSync(this.#fd, bytes, at, bytes.length - at, slot * SLOT_LENGTH + at);
    }
    fsyncSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** A module's state in a file, for applets; `close` it when they are done. */
export interface ModuleFile {
  readonly state: PersistentState;
  close(): void;
}

/**
 * Makes the store of a new module.
 * @param secret from which the store's key is derived (scrypt); whoever has it and the file has the keys
 * @param pins 4 to 8 digits each
 * @throws ModuleError ERR_MODULE_STORE
 */
export function createModuleFile(
  path: string,
  secret: Uint8Array,
  pins: { readonly user: Uint8Array; readonly operator: Uint8Array },
): void {
  const file = StoreFile.create(path);
  try {
    const state = initialState(nodeCrypto, pins.user, pins.operator);
    SealedStore.create(nodeCrypto, file, newStoreParameters(), (parameters) =>
      deriveStoreKey(secret, parameters),
    ).save(state);
  } finally {
    file.close();
  }
}

/** @throws ModuleError ERR_MODULE_STORE for another secret, a damaged file, or none */
export function openModuleFile(path: string, secret: Uint8Array): ModuleFile {
  const file = StoreFile.open(path);
  try {
    const { store, state } = SealedStore.open(nodeCrypto, file, (parameters) =>
      deriveStoreKey(secret, parameters),
    );
    return { state: new PersistentState(store, state, nodeModuleKeys), close: () => file.close() };
  } catch (error) {
    file.close();
    throw error;
  }
}

function open(path: string, flags: number): number {
  try {
    return openSync(path, flags, 0o600);
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new ModuleError('ERR_MODULE_STORE', `The store of the module cannot be opened: ${what}`, { cause });
  }
}
