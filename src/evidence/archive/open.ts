import { nodeCrypto } from '../../crypto/node/provider.ts';
import { archiveId } from '../merkle/tree-head.ts';
import { Archive, type ArchiveOptions } from './archive.ts';
import { type ArchiveKey, createArchiveKey, defaultKeyPath, readArchiveKey } from './key.ts';
import { type SqliteOptions, SqliteStore } from './sqlite/store.ts';

export interface OpenOptions extends ArchiveOptions, SqliteOptions {
  /** The archive's key. Default: that of `keyPath`. */
  readonly key?: ArchiveKey;
  /** Default: `PATH.key`, made with a new archive. */
  readonly keyPath?: string;
}

/**
 * Opens an archive in one SQLite file, or makes it.
 * @throws EvidenceError as `SqliteStore.open` and `Archive.open`
 */
export async function openArchive(path: string, options: OpenOptions = {}): Promise<Archive> {
  const { crypto = nodeCrypto, now = Date.now, keyPath = defaultKeyPath(path) } = options;
  let key = options.key;
  const store = await SqliteStore.open(
    path,
    async () => {
      key ??= createArchiveKey(keyPath);
      const publicKey = key.publicKey.spki;
      return { archive: archiveId(crypto, publicKey), publicKey, created: now() };
    },
    options,
  );
  try {
    return await Archive.open(store, key ?? readArchiveKey(keyPath), options);
  } catch (error) {
    await store.close();
    throw error;
  }
}
