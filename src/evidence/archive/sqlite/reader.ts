import { HASH_BYTES } from '../../merkle/hash.ts';
import { TILE_WIDTH } from '../../merkle/tree.ts';
import { DIRECTIONS, KINDS, STATUSES } from '../leaf.ts';
import {
  CHUNK_BYTES,
  type EvidenceRecord,
  type EvidenceSession,
  MAX_ATTACHMENT_BYTES,
  MAX_INLINE_OBJECT_BYTES,
} from '../record.ts';
import type {
  EvidenceReader,
  RecordWithObject,
  StoredHead,
  StoredTimestamp,
  StoreIdentity,
  StoreQuery,
  WitnessedHead,
} from '../store.ts';
import type { Database, Row, SqlValue, Statement } from './driver.ts';
import { asking, DAMAGED_ADVICE, DamagedRowError } from './faults.ts';
import {
  bytes,
  HEAD_COLUMNS,
  integer,
  RECORD_COLUMN_COUNT,
  RECORD_COLUMNS,
  readHead,
  readRecord,
  readSession,
  readTimestamp,
  readWitnessed,
  SESSION_COLUMNS,
  TIMESTAMP_COLUMNS,
  WITNESSED_COLUMNS,
} from './rows.ts';

/** chunk.id = content · CHUNKS_PER_CONTENT + number: 1 TiB in one object. */
export const CHUNKS_PER_CONTENT = 2 ** 20;
/** Records whose digests are sorted into one run: writing one takes milliseconds, looking into 500 of them too. */
export const RUN_RECORDS = 2048;
/** digest_run.entry = prefix · ENTRY_STEP + number of the record in its run. */
const ENTRY_STEP = 4096;

/** Rows in one answer, so that an answer has a bounded size: with objects inside, 16 MiB at most. */
const MAX_ROWS = 1000;
const MAX_ROWS_WITH_OBJECTS = 256;
/** Digests of sessions that are remembered while records go by. */
const MAX_REMEMBERED_SESSIONS = 4096;

/** Reads an archive through one connection. */
export class SqliteReader implements EvidenceReader {
  /** Path of the file. */
  readonly name: string;
  protected readonly database: Database;
  readonly #statements = new Map<string, Statement>();
  readonly #sessionDigests = new Map<number, Uint8Array>();

  constructor(database: Database, name: string) {
    this.database = database;
    this.name = name;
  }

  async identity(): Promise<StoreIdentity> {
    const row = this.one('SELECT archive, public_key, created FROM identity');
    if (row === undefined) throw new DamagedRowError(`${this.name}: no identity. ${DAMAGED_ADVICE}`);
    return { archive: bytes(row[0]), publicKey: bytes(row[1]), created: integer(row[2]) };
  }

  async size(): Promise<number> {
    return integer(this.one('SELECT coalesce(max(idx) + 1, 0) FROM record')?.[0]);
  }

  async records(
    from: number,
    limit: number,
    options: { readonly objects?: boolean } = {},
  ): Promise<RecordWithObject[]> {
    const rows =
      options.objects === true
        ? this.rows(RECORDS_WITH_OBJECTS, [from, Math.min(limit, MAX_ROWS_WITH_OBJECTS)])
        : this.rows(RECORDS, [from, Math.min(limit, MAX_ROWS)]);
    return rows.map((row) => {
      const object = row[RECORD_COLUMN_COUNT];
      return {
        record: this.#record(row),
        object: object === null || object === undefined ? undefined : bytes(object),
      };
    });
  }

  async record(index: number): Promise<EvidenceRecord | undefined> {
    const row = this.one(`SELECT ${RECORD_COLUMNS} FROM record WHERE idx = ?`, [index]);
    return row === undefined ? undefined : this.#record(row);
  }

  async find(query: StoreQuery): Promise<EvidenceRecord[]> {
    const { conditions, values } = this.#conditions(query);
    const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
    const rows = this.rows(`SELECT ${RECORD_COLUMNS} FROM record ${where} ORDER BY idx LIMIT ?`, [
      ...values,
      Math.min(query.limit, MAX_ROWS),
    ]);
    return rows.map((row) => this.#record(row));
  }

  async *object(index: number): AsyncGenerator<Uint8Array> {
    const row = this.one(
      `SELECT content, CASE WHEN length(object) <= ${MAX_INLINE_OBJECT_BYTES} THEN object END, object IS NULL FROM record WHERE idx = ?`,
      [index],
    );
    if (row === undefined) return;
    const [content, object, hasNone] = row;
    if (object instanceof Uint8Array) yield object;
    else if (hasNone !== 1) throw new DamagedRowError(`The object of record ${index} is too large`, index);
    if (content === null || content === undefined) return;
    const first = integer(content) * CHUNKS_PER_CONTENT;
    for (let id = first; id < first + CHUNKS_PER_CONTENT; id++) {
      const chunk = this.one(
        `SELECT CASE WHEN length(bytes) <= ${CHUNK_BYTES} THEN bytes END FROM chunk WHERE id = ?`,
        [id],
      );
      if (chunk === undefined) return;
      if (chunk[0] === null) throw new DamagedRowError(`A chunk of record ${index} is too large`, index);
      yield bytes(chunk[0]);
    }
  }

  async session(digest: Uint8Array): Promise<EvidenceSession | undefined> {
    const row = this.one(`SELECT ${SESSION_COLUMNS} FROM session WHERE digest = ?`, [digest]);
    return row === undefined ? undefined : readSession(row);
  }

  async sessions(query: {
    readonly name?: string | undefined;
    readonly after?: Uint8Array | undefined;
    readonly limit: number;
  }): Promise<EvidenceSession[]> {
    const conditions = ['id > ?'];
    const values: SqlValue[] = [query.after === undefined ? 0 : (this.sessionId(query.after) ?? 0)];
    if (query.name !== undefined) {
      conditions.push(`(own_name LIKE ? ESCAPE '\\' OR peer_name LIKE ? ESCAPE '\\')`);
      const pattern = `%${query.name.replace(/[\\%_]/g, '\\$&')}%`;
      values.push(pattern, pattern);
    }
    const rows = this.rows(
      `SELECT ${SESSION_COLUMNS} FROM session WHERE ${conditions.join(' AND ')} ORDER BY id LIMIT ?`,
      [...values, Math.min(query.limit, MAX_ROWS)],
    );
    return rows.map(readSession);
  }

  async attachment(digest: Uint8Array): Promise<Uint8Array | undefined> {
    const row = this.one(
      `SELECT CASE WHEN length(bytes) <= ${MAX_ATTACHMENT_BYTES} THEN bytes END FROM attachment WHERE digest = ?`,
      [digest],
    );
    return row === undefined || row[0] === null ? undefined : bytes(row[0]);
  }

  async tile(level: number, position: number): Promise<Uint8Array | undefined> {
    const row = this.one(
      `SELECT CASE WHEN length(hashes) <= ${TILE_WIDTH * HASH_BYTES} THEN hashes END FROM tile WHERE level = ? AND position = ?`,
      [level, position],
    );
    return row === undefined || row[0] === null ? undefined : bytes(row[0]);
  }

  async leaves(): Promise<number> {
    const row = this.one(
      'SELECT position, length(hashes) FROM tile WHERE level = 0 ORDER BY position DESC LIMIT 1',
    );
    return row === undefined ? 0 : integer(row[0]) * TILE_WIDTH + Math.floor(integer(row[1]) / HASH_BYTES);
  }

  async head(size: number): Promise<StoredHead | undefined> {
    const row = this.one(`SELECT ${HEAD_COLUMNS} FROM head WHERE size = ?`, [size]);
    return row === undefined ? undefined : readHead(row);
  }

  async heads(query: {
    readonly from: number;
    readonly limit: number;
    readonly checkpoints?: boolean;
  }): Promise<StoredHead[]> {
    const signed = query.checkpoints === true ? 'AND signature IS NOT NULL' : '';
    return this.rows(`SELECT ${HEAD_COLUMNS} FROM head WHERE size >= ? ${signed} ORDER BY size LIMIT ?`, [
      query.from,
      Math.min(query.limit, MAX_ROWS),
    ]).map(readHead);
  }

  async lastCheckpoint(): Promise<StoredHead | undefined> {
    const row = this.one(
      `SELECT ${HEAD_COLUMNS} FROM head WHERE signature IS NOT NULL ORDER BY size DESC LIMIT 1`,
    );
    return row === undefined ? undefined : readHead(row);
  }

  async witnessed(query: {
    readonly archive?: Uint8Array | undefined;
    readonly from: number;
    readonly limit: number;
  }): Promise<WitnessedHead[]> {
    const { archive, from, limit } = query;
    const ours = archive === undefined ? '' : 'AND archive = ?';
    return this.rows(
      `SELECT ${WITNESSED_COLUMNS} FROM witnessed WHERE size >= ? ${ours} ORDER BY size, idx LIMIT ?`,
      [from, ...(archive === undefined ? [] : [archive]), Math.min(limit, MAX_ROWS)],
    ).map(readWitnessed);
  }

  async timestamps(query: {
    readonly size?: number | undefined;
    readonly from?: number | undefined;
    readonly limit: number;
  }): Promise<StoredTimestamp[]> {
    const values: SqlValue[] = [query.from ?? 0];
    if (query.size !== undefined) values.push(query.size);
    return this.rows(
      `SELECT ${TIMESTAMP_COLUMNS} FROM timestamp WHERE size >= ? ${query.size === undefined ? '' : 'AND size = ?'} ORDER BY size, id LIMIT ?`,
      [...values, Math.min(query.limit, MAX_ROWS)],
    ).map(readTimestamp);
  }

  async close(): Promise<void> {
    this.#statements.clear();
    asking(this.name, () => this.database.close());
  }

  protected sessionId(digest: Uint8Array): number | undefined {
    const row = this.one('SELECT id FROM session WHERE digest = ?', [digest]);
    return row === undefined ? undefined : integer(row[0]);
  }

  protected one(sql: string, values: readonly SqlValue[] = []): Row | undefined {
    return asking(this.name, () => this.statement(sql).get(values));
  }

  protected rows(sql: string, values: readonly SqlValue[]): Row[] {
    return asking(this.name, () => this.statement(sql).all(values));
  }

  /** Prepared once; the texts are few, since everything that varies is bound. */
  protected statement(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #record(row: Row): EvidenceRecord {
    return readRecord(row, (id) => this.#sessionDigest(id));
  }

  #sessionDigest(id: number): Uint8Array | undefined {
    const known = this.#sessionDigests.get(id);
    if (known !== undefined) return known;
    const row = this.one('SELECT digest FROM session WHERE id = ?', [id]);
    if (row === undefined) return undefined;
    const digest = bytes(row[0]);
    if (this.#sessionDigests.size >= MAX_REMEMBERED_SESSIONS) this.#sessionDigests.clear();
    this.#sessionDigests.set(id, digest);
    return digest;
  }

  #conditions(query: StoreQuery): { conditions: string[]; values: SqlValue[] } {
    const conditions: string[] = [];
    const values: SqlValue[] = [];
    const where = (condition: string, ...bound: SqlValue[]): void => {
      conditions.push(condition);
      values.push(...bound);
    };
    if (query.after !== undefined) where('idx > ?', query.after);
    if (query.from !== undefined) where('time >= ?', query.from);
    if (query.to !== undefined) where('time <= ?', query.to);
    if (query.application !== undefined) where('application = ?', query.application);
    if (query.direction !== undefined) where('direction = ?', DIRECTIONS.indexOf(query.direction));
    if (query.kind !== undefined) where('kind = ?', KINDS.indexOf(query.kind));
    if (query.status !== undefined) where('status = ?', STATUSES.indexOf(query.status));
    if (query.sequence !== undefined) where('sequence = ?', query.sequence);
    if (query.target !== undefined) where('target = ?', query.target);
    if (query.sessions !== undefined) {
      const ids = query.sessions.map(({ digest }) => this.sessionId(digest)).filter((id) => id !== undefined);
      where('session IN (SELECT value FROM json_each(?))', JSON.stringify(ids));
    }
    if (query.digest !== undefined) {
      const runs = integer(this.one('SELECT coalesce(max(run) + 1, 0) FROM digest_run')?.[0]);
      const first = digestEntry(query.digest, 0);
      where(`idx IN (${BY_DIGEST})`, runs, first, first + ENTRY_STEP, runs * RUN_RECORDS);
      where('(object_digest = ? OR content_digest = ?)', query.digest, query.digest);
    }
    return { conditions, values };
  }
}

/** What a run is sorted by. 40 bits of the digest and 12 of the index are what a number holds exactly. */
export function digestEntry(digest: Uint8Array, index: number): number {
  let prefix = 0;
  for (let i = 0; i < 5; i++) prefix = prefix * 0x100 + (digest[i] ?? 0);
  return prefix * ENTRY_STEP + (index % RUN_RECORDS);
}

const RECORDS = `SELECT ${RECORD_COLUMNS} FROM record WHERE idx >= ? ORDER BY idx LIMIT ?`;
const RECORDS_WITH_OBJECTS = `SELECT ${RECORD_COLUMNS}, CASE WHEN length(object) <= ${MAX_INLINE_OBJECT_BYTES} THEN object END FROM record WHERE idx >= ? ORDER BY idx LIMIT ?`;

/** Each run, and the records that are in no run yet. */
const BY_DIGEST = `
  WITH RECURSIVE runs(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM runs WHERE n + 1 < ?)
  SELECT run * ${RUN_RECORDS} + entry % ${ENTRY_STEP} FROM runs JOIN digest_run ON run = n AND entry >= ? AND entry < ?
  UNION ALL SELECT record.idx FROM record WHERE record.idx >= ?`;
