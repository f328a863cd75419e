import { closeSync, existsSync, fsyncSync, openSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { equalBytes } from '../../../der/bytes.ts';
import { EvidenceError, reasonOf } from '../../errors.ts';
import { CHUNK_BYTES, type EvidenceRecord } from '../record.ts';
import type { Batch, EvidenceSnapshot, EvidenceStore, StoredTimestamp, StoreIdentity } from '../store.ts';
import { type Database, type Driver, sqliteDriver } from './driver.ts';
import { asking, explain } from './faults.ts';
import { CHUNKS_PER_CONTENT, digestEntry, RUN_RECORDS, SqliteReader } from './reader.ts';
import {
  HEAD_COLUMNS,
  headValues,
  integer,
  RECORD_COLUMN_COUNT,
  readTimestamp,
  recordValues,
  SESSION_COLUMNS,
  sessionValues,
  TIMESTAMP_COLUMNS,
  timestampValues,
  WITNESSED_COLUMNS,
} from './rows.ts';
import { APPLICATION_ID, MIGRATIONS, PAGE_BYTES } from './schema.ts';

/**
 * Pages in the log before SQLite moves them into the file: 32 MiB, so that pages which many commits touch (indexes, the
 * growing tile) are moved once for many. A larger one would make opening after a crash slow.
 */
const LOG_PAGES = 4096;
/** Page cache of a connection, KiB. */
const CACHE_KIB = 16 * 1024;
/** Ids of sessions that are remembered while their records are written. */
const MAX_REMEMBERED_SESSIONS = 4096;

export interface SqliteOptions {
  /** Default: `sqliteDriver()`. */
  readonly driver?: Driver;
  /** For tests of migrations. */
  readonly migrations?: readonly string[];
}

/**
 * Opens an archive for reading. It may be in use by another process.
 * @throws EvidenceError ERR_EVIDENCE_FILE, ERR_EVIDENCE_NOT_ARCHIVE, ERR_EVIDENCE_VERSION, ERR_EVIDENCE_DAMAGED
 */
export function openSqliteReader(path: string, options: SqliteOptions = {}): EvidenceSnapshot {
  const { driver = sqliteDriver(), migrations = MIGRATIONS } = options;
  if (!existsSync(path)) {
    throw new EvidenceError('ERR_EVIDENCE_FILE', `${path}: there is no such file`);
  }
  const database = connect(driver, path);
  try {
    database.exec('PRAGMA query_only = ON');
    const version = readVersion(database, path);
    if (version === 0) throw notArchive(path);
    if (version !== migrations.length) throw wrongVersion(path, version, migrations.length);
    database.exec('BEGIN');
    return new SqliteSnapshot(database, path);
  } catch (error) {
    database.close();
    throw explain(path, error);
  }
}

/**
 * An archive in one SQLite file, open for writing; made when missing, brought to the present version when older.
 * `FILE-lock`, an empty file beside it, is locked while it is open: the operating system unlocks it when the process
 * ends, however it ends.
 */
export class SqliteStore extends SqliteReader implements EvidenceStore {
  readonly #driver: Driver;
  readonly #lock: Database;
  readonly #sessionIds = new Map<string, number>();
  #lastSession: { readonly digest: Uint8Array; readonly id: number } | undefined;
  /** Entries of the records after the last full run. */
  #pendingDigests: number[] = [];
  #runs = 0;
  #nextContent = 0;

  /**
   * @param create what to write into a new file
   * @throws EvidenceError ERR_EVIDENCE_LOCKED, and as `openSqliteReader`
   */
  static async open(
    path: string,
    create: () => Promise<StoreIdentity>,
    options: SqliteOptions = {},
  ): Promise<SqliteStore> {
    const { driver = sqliteDriver(), migrations = MIGRATIONS } = options;
    const folder = dirname(resolve(path));
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
      throw new EvidenceError('ERR_EVIDENCE_FILE', `${path}: its folder does not exist; make it first`);
    }
    const lock = takeLock(driver, path);
    let database: Database | undefined;
    try {
      database = connect(driver, path);
      const version = readVersion(database, path);
      prepare(database, path, migrations, version, version === 0 ? await create() : undefined);
      if (version === 0) syncFolder(folder);
      const store = new SqliteStore(driver, database, path, lock);
      store.#resume();
      return store;
    } catch (error) {
      database?.close();
      lock.close();
      throw explain(path, error);
    }
  }

  private constructor(driver: Driver, database: Database, name: string, lock: Database) {
    super(database, name);
    this.#driver = driver;
    this.#lock = lock;
  }

  async commit(batch: Batch): Promise<void> {
    const { records = [], erase = [] } = batch;
    const erases = erase.length > 0;
    // Pages that become free are overwritten as well.
    if (erases) this.#run('PRAGMA secure_delete = ON');
    const runsBefore = this.#runs;
    const pendingBefore = this.#pendingDigests;
    try {
      this.#transaction(() => {
        this.#write(batch);
        this.#indexDigests(records.map(({ record }) => record));
      });
    } catch (error) {
      this.#runs = runsBefore;
      this.#pendingDigests = pendingBefore;
      this.#sessionIds.clear();
      this.#lastSession = undefined;
      throw error;
    } finally {
      if (erases) this.#run('PRAGMA secure_delete = FAST');
    }
    // What was erased is also in the log, until that has been moved into the file and cut.
    if (erases) this.one('PRAGMA wal_checkpoint(TRUNCATE)');
  }

  async beginContent(): Promise<number> {
    const id = this.#nextContent++;
    this.#unsynced(() => this.#insert('INSERT INTO unfinished_content VALUES (?)', [id]));
    return id;
  }

  async addChunk(content: number, number: number, bytes: Uint8Array): Promise<void> {
    if (number >= CHUNKS_PER_CONTENT || bytes.length > CHUNK_BYTES) {
      throw new EvidenceError('ERR_EVIDENCE_RECORD', 'An object of more than 1 TiB cannot be archived');
    }
    const id = content * CHUNKS_PER_CONTENT + number;
    this.#unsynced(() => this.#insert('INSERT INTO chunk VALUES (?, ?)', [id, bytes]));
  }

  async dropContent(content: number): Promise<void> {
    this.#unsynced(() => this.#dropContent(content));
  }

  async saveTimestamp(timestamp: StoredTimestamp): Promise<void> {
    this.#transaction(() =>
      this.#insert(
        `INSERT INTO timestamp (${TIMESTAMP_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (size, authority) DO UPDATE SET token = excluded.token, attempts = excluded.attempts,
           next_attempt = excluded.next_attempt, last_error = excluded.last_error`,
        timestampValues(timestamp),
      ),
    );
  }

  async dueTimestamps(now: number, limit: number): Promise<StoredTimestamp[]> {
    return this.rows(
      `SELECT ${TIMESTAMP_COLUMNS} FROM timestamp WHERE token IS NULL AND next_attempt <= ? ORDER BY next_attempt LIMIT ?`,
      [now, limit],
    ).map(readTimestamp);
  }

  async snapshot(): Promise<EvidenceSnapshot> {
    return openSqliteReader(this.name, { driver: this.#driver });
  }

  override async close(): Promise<void> {
    try {
      // So that the file alone is the archive. libsql leaves that undone until its statements are garbage.
      this.one('PRAGMA wal_checkpoint(TRUNCATE)');
      await super.close();
    } finally {
      this.#lock.close();
    }
  }

  /** What only lives in memory, from what is stored; and what a process that was killed has left behind. */
  #resume(): void {
    for (const [id] of this.rows('SELECT id FROM unfinished_content', [])) {
      this.#transaction(() => this.#dropContent(integer(id)));
    }
    const lastChunk = integer(this.one('SELECT coalesce(max(id), 0) FROM chunk')?.[0]);
    this.#nextContent = Math.floor(lastChunk / CHUNKS_PER_CONTENT) + 1;
    this.#runs = integer(this.one('SELECT coalesce(max(run) + 1, 0) FROM digest_run')?.[0]);
    for (const row of this.rows('SELECT idx, object_digest, content_digest FROM record WHERE idx >= ?', [
      this.#runs * RUN_RECORDS,
    ])) {
      const [index, object, content] = row;
      this.#remember(integer(index), object as Uint8Array, content as Uint8Array);
    }
  }

  #write(batch: Batch): void {
    for (const { digest, bytes } of batch.attachments ?? []) {
      this.#insert('INSERT INTO attachment (digest, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING', [
        digest,
        bytes,
      ]);
    }
    for (const session of batch.sessions ?? []) {
      this.#insert(
        `INSERT INTO session (${SESSION_COLUMNS}) VALUES (${marks(10)}) ON CONFLICT DO NOTHING`,
        sessionValues(session),
      );
    }
    const insertRecord = `INSERT INTO record VALUES (${marks(RECORD_COLUMN_COUNT)})`;
    for (const entry of batch.records ?? []) {
      this.#insert(insertRecord, recordValues(entry, this.#sessionIdOf(entry.record)));
      if (entry.content !== undefined) {
        this.#insert('DELETE FROM unfinished_content WHERE id = ?', [entry.content]);
      }
    }
    for (const { level, position, hashes } of batch.tiles ?? []) {
      this.#insert(
        'INSERT INTO tile VALUES (?, ?, ?) ON CONFLICT (level, position) DO UPDATE SET hashes = excluded.hashes',
        [level, position, hashes],
      );
    }
    for (const head of batch.heads ?? []) {
      this.#insert(
        `INSERT INTO head (${HEAD_COLUMNS}) VALUES (${marks(5)})
         ON CONFLICT (size) DO UPDATE SET root = excluded.root, time = excluded.time, scheme = excluded.scheme,
           signature = excluded.signature WHERE excluded.signature IS NOT NULL`,
        headValues(head),
      );
    }
    for (const { archive, size, root, record } of batch.witnessed ?? []) {
      this.#insert(
        `INSERT INTO witnessed (${WITNESSED_COLUMNS}) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
        [archive, size, root, record],
      );
    }
    for (const index of batch.erase ?? []) this.#erase(index);
  }

  #erase(index: number): void {
    const content = this.statement('SELECT content FROM record WHERE idx = ?').get([index])?.[0];
    this.#insert('UPDATE record SET object = NULL, content = NULL WHERE idx = ?', [index]);
    if (typeof content === 'number') this.#dropContent(content);
  }

  #dropContent(content: number): void {
    this.#insert('DELETE FROM chunk WHERE id >= ? AND id < ?', [
      content * CHUNKS_PER_CONTENT,
      (content + 1) * CHUNKS_PER_CONTENT,
    ]);
    this.#insert('DELETE FROM unfinished_content WHERE id = ?', [content]);
  }

  #sessionIdOf(record: EvidenceRecord): number {
    // Records of one session come one after the other.
    const last = this.#lastSession;
    if (last !== undefined && equalBytes(last.digest, record.session)) return last.id;
    const id = this.#lookUpSession(record);
    this.#lastSession = { digest: new Uint8Array(record.session), id };
    return id;
  }

  #lookUpSession(record: EvidenceRecord): number {
    const key = Buffer.from(record.session).toString('latin1');
    let id = this.#sessionIds.get(key);
    if (id === undefined) {
      id = this.sessionId(record.session);
      if (id === undefined) {
        throw new EvidenceError(
          'ERR_EVIDENCE_RECORD',
          'A record of a session that the archive does not know',
        );
      }
      if (this.#sessionIds.size >= MAX_REMEMBERED_SESSIONS) this.#sessionIds.clear();
      this.#sessionIds.set(key, id);
    }
    return id;
  }

  /** Replaces `#pendingDigests` and never changes it, so that a batch that fails can be undone. */
  #indexDigests(records: readonly EvidenceRecord[]): void {
    this.#pendingDigests = [...this.#pendingDigests];
    for (const { index, objectDigest, contentDigest } of records) {
      this.#remember(index, objectDigest, contentDigest);
      if ((index + 1) % RUN_RECORDS === 0) this.#writeRun();
    }
  }

  #remember(index: number, objectDigest: Uint8Array, contentDigest: Uint8Array): void {
    if (objectDigest.length > 0) this.#pendingDigests.push(digestEntry(objectDigest, index));
    if (contentDigest.length > 0) this.#pendingDigests.push(digestEntry(contentDigest, index));
  }

  /** As one JSON text: binding thousands of values one by one takes ten times as long. */
  #writeRun(): void {
    const entries = this.#pendingDigests.sort((a, b) => a - b);
    this.#insert('INSERT OR IGNORE INTO digest_run SELECT ?, value FROM json_each(?)', [
      this.#runs,
      JSON.stringify(entries),
    ]);
    this.#pendingDigests = [];
    this.#runs++;
  }

  /** Durable when it returns: with synchronous = FULL a commit in WAL mode ends with an fsync. */
  #transaction(write: () => void): void {
    this.#run('BEGIN IMMEDIATE');
    try {
      write();
      this.#run('COMMIT');
    } catch (error) {
      this.#rollback();
      throw explain(this.name, error);
    }
  }

  /** Without fsync of its own: the commit that makes these rows matter writes to the same log after them. */
  #unsynced(write: () => void): void {
    this.#run('PRAGMA synchronous = NORMAL');
    try {
      this.#transaction(write);
    } finally {
      this.#run('PRAGMA synchronous = FULL');
    }
  }

  #rollback(): void {
    try {
      this.database.exec('ROLLBACK');
    } catch {
      // SQLite has rolled back by itself (disk full, I/O error).
    }
  }

  #insert(sql: string, values: Parameters<ReturnType<SqliteStore['statement']>['run']>[0]): void {
    this.statement(sql).run(values);
  }

  #run(sql: string): void {
    asking(this.name, () => this.database.exec(sql));
  }
}

class SqliteSnapshot extends SqliteReader implements EvidenceSnapshot {
  override async close(): Promise<void> {
    // A connection of libsql lives on while there are statements of it: its transaction must not.
    asking(this.name, () => this.database.exec('COMMIT'));
    await super.close();
  }
}

function connect(driver: Driver, path: string): Database {
  try {
    return driver.open(path);
  } catch (cause) {
    const fault = explain(path, cause);
    if (fault instanceof EvidenceError) throw fault;
    throw new EvidenceError('ERR_EVIDENCE_FILE', `${path}: it cannot be opened: ${reasonOf(cause)}`, {
      cause,
    });
  }
}

/** An exclusive transaction on a database of its own, never ended: readers of the archive are not in its way. */
function takeLock(driver: Driver, path: string): Database {
  const lock = connect(driver, `${path}-lock`);
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch (error) {
    lock.close();
    throw explain(path, error);
  }
}

function prepare(
  database: Database,
  path: string,
  migrations: readonly string[],
  version: number,
  identity: StoreIdentity | undefined,
): void {
  if (version > migrations.length) throw wrongVersion(path, version, migrations.length);
  // Both before the first table is made.
  if (version === 0) database.exec(`PRAGMA page_size = ${PAGE_BYTES}`);
  database.exec('PRAGMA journal_mode = WAL');
  database.exec('PRAGMA synchronous = FULL');
  // Or rows that move when a page is split would leave copies behind, which no erasure finds.
  database.exec('PRAGMA secure_delete = FAST');
  database.exec(`PRAGMA cache_size = -${CACHE_KIB}`);
  database.exec(`PRAGMA wal_autocheckpoint = ${LOG_PAGES}`);
  if (version < migrations.length) {
    database.exec('BEGIN IMMEDIATE');
    for (const migration of migrations.slice(version)) database.exec(migration);
    if (identity !== undefined) {
      const { archive, publicKey, created } = identity;
      database.prepare('INSERT INTO identity VALUES (1, ?, ?, ?)').run([archive, publicKey, created]);
    }
    database.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
    database.exec(`PRAGMA user_version = ${migrations.length}`);
    database.exec('COMMIT');
  }
}

/** 0 for a database without tables. */
function readVersion(database: Database, path: string): number {
  const application = database.prepare('PRAGMA application_id').get([])?.[0];
  const version = integer(database.prepare('PRAGMA user_version').get([])?.[0]);
  const tables = integer(database.prepare('SELECT count(*) FROM sqlite_schema').get([])?.[0]);
  if (application === APPLICATION_ID && version > 0) return version;
  if (application === 0 && version === 0 && tables === 0) return 0;
  throw notArchive(path);
}

function notArchive(path: string): EvidenceError {
  return new EvidenceError('ERR_EVIDENCE_NOT_ARCHIVE', `${path}: this is no evidence archive`);
}

function wrongVersion(path: string, version: number, known: number): EvidenceError {
  return new EvidenceError(
    'ERR_EVIDENCE_VERSION',
    version > known
      ? `${path}: written by a newer Trellis (schema ${version}, this one knows ${known}); update Trellis`
      : `${path}: written by an older Trellis (schema ${version}); open it once for writing to bring it to ${known}, for example with "trellis evidence checkpoint"`,
  );
}

/** A new file is only safe from a power failure when its name is on the disk too. */
function syncFolder(folder: string): void {
  try {
    const descriptor = openSync(folder, 'r');
    fsyncSync(descriptor);
    closeSync(descriptor);
  } catch {
    // Windows cannot open folders, and keeps names safe by itself.
  }
}

function marks(count: number): string {
  return Array(count).fill('?').join(', ');
}
