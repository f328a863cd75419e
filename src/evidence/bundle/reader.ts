import type { CryptoProvider } from '../../crypto/provider.ts';
import { equalBytes, toHex } from '../../der/bytes.ts';
import { DecodeError } from '../../errors/errors.ts';
import { decodeLeaf, decodeSession } from '../archive/leaf.ts';
import {
  type EvidenceRecord,
  type EvidenceSession,
  MAX_ATTACHMENT_BYTES,
  MAX_INLINE_OBJECT_BYTES,
} from '../archive/record.ts';
import type {
  EvidenceReader,
  RecordWithObject,
  StoredHead,
  StoredTimestamp,
  StoreIdentity,
  StoreQuery,
  WitnessedHead,
} from '../archive/store.ts';
import { EvidenceError, reasonOf } from '../errors.ts';
import { HASH_BYTES } from '../merkle/hash.ts';
import { MAX_PROOF_HASHES } from '../merkle/proof.ts';
import { type Checkpoint, checkpointsFromFile, treeHeadOf } from '../merkle/tree-head.ts';
import { MAX_BUNDLE_RECORDS } from './export.ts';
import {
  type BundleIndex,
  type BundleIndexRecord,
  CHECKPOINT_FILE,
  INDEX_FILE,
  INDEX_FORMAT,
  INDEX_VERSION,
  MIMETYPE,
  MIMETYPE_FILE,
  TIMESTAMP_FILE,
} from './layout.ts';
import { ZipReader } from './zip-reader.ts';

/** Of 5,000 records, with proofs. Bytes. */
const MAX_INDEX_BYTES = 32 * 1024 * 1024;
/** A leaf with the longest texts and a tree head. Bytes. */
const MAX_LEAF_BYTES = 16 * 1024;
const MAX_CHECKPOINT_BYTES = 64 * 1024;
const MAX_TOKEN_BYTES = 256 * 1024;

/** A record of a bundle, with the proof that it is in the tree. */
export interface BundleRecord {
  readonly record: EvidenceRecord;
  /** What its hash in the tree is made of. */
  readonly leaf: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/**
 * An exported bundle, read like an archive. Opening it checks its form alone; `verifyBundle` says what it proves.
 */
export class BundleReader implements EvidenceReader {
  readonly name: string;
  readonly checkpoint: Checkpoint;
  readonly #records: ReadonlyMap<number, BundleRecord>;
  readonly #zip: ZipReader;
  readonly #objects: ReadonlyMap<number, string>;
  readonly #sessions: ReadonlyMap<string, EvidenceSession>;
  readonly #token: Uint8Array | undefined;

  /** @throws EvidenceError ERR_EVIDENCE_FILE, ERR_EVIDENCE_BUNDLE, ERR_EVIDENCE_CHECKPOINT */
  static async open(crypto: CryptoProvider, path: string): Promise<BundleReader> {
    const zip = await ZipReader.open(path);
    try {
      return await load(crypto, zip);
    } catch (error) {
      await zip.close();
      throw error instanceof DecodeError ? malformed(path, error.message) : error;
    }
  }

  constructor(parts: {
    readonly zip: ZipReader;
    readonly checkpoint: Checkpoint;
    readonly records: ReadonlyMap<number, BundleRecord>;
    readonly objects: ReadonlyMap<number, string>;
    readonly sessions: ReadonlyMap<string, EvidenceSession>;
    readonly token: Uint8Array | undefined;
  }) {
    this.name = parts.zip.name;
    this.#zip = parts.zip;
    this.checkpoint = parts.checkpoint;
    this.#records = parts.records;
    this.#objects = parts.objects;
    this.#sessions = parts.sessions;
    this.#token = parts.token;
  }

  /** All of them, by index. */
  get bundled(): Iterable<BundleRecord> {
    return this.#records.values();
  }

  async identity(): Promise<StoreIdentity> {
    const { head, publicKey, time } = this.checkpoint;
    return { archive: head.archive, publicKey, created: time };
  }

  async size(): Promise<number> {
    return this.checkpoint.head.size;
  }

  async records(
    from: number,
    limit: number,
    options: { readonly objects?: boolean } = {},
  ): Promise<RecordWithObject[]> {
    const rows: RecordWithObject[] = [];
    for (const { record } of this.#records.values()) {
      if (rows.length >= limit) break;
      if (record.index < from) continue;
      const wanted = options.objects === true && record.held === 'inline';
      rows.push({ record, object: wanted ? await this.#whole(record) : undefined });
    }
    return rows;
  }

  async record(index: number): Promise<EvidenceRecord | undefined> {
    return this.#records.get(index)?.record;
  }

  async find(query: StoreQuery): Promise<EvidenceRecord[]> {
    const found: EvidenceRecord[] = [];
    for (const { record } of this.#records.values()) {
      if (found.length >= query.limit) break;
      if (matches(record, query)) found.push(record);
    }
    return found;
  }

  async *object(index: number): AsyncGenerator<Uint8Array> {
    const name = this.#objects.get(index);
    if (name !== undefined) yield* this.#zip.stream(name);
  }

  async session(digest: Uint8Array): Promise<EvidenceSession | undefined> {
    return this.#sessions.get(toHex(digest));
  }

  async sessions(query: {
    readonly name?: string | undefined;
    readonly after?: Uint8Array | undefined;
    readonly limit: number;
  }): Promise<EvidenceSession[]> {
    const all = [...this.#sessions.values()];
    const { after, name } = query;
    const start = after === undefined ? 0 : all.findIndex(({ digest }) => equalBytes(digest, after)) + 1;
    const wanted = name?.toLowerCase();
    return all
      .slice(start)
      .filter(
        ({ ownName, peerName }) =>
          wanted === undefined ||
          ownName.toLowerCase().includes(wanted) ||
          peerName.toLowerCase().includes(wanted),
      )
      .slice(0, query.limit);
  }

  async attachment(digest: Uint8Array): Promise<Uint8Array | undefined> {
    const name = `attachments/${toHex(digest)}.der`;
    const length = this.#zip.lengthOf(name);
    if (length === undefined || length > MAX_ATTACHMENT_BYTES) return undefined;
    return this.#zip.read(name, MAX_ATTACHMENT_BYTES);
  }

  async tile(): Promise<undefined> {
    return undefined;
  }

  async leaves(): Promise<number> {
    return 0;
  }

  async head(size: number): Promise<StoredHead | undefined> {
    return size === this.checkpoint.head.size ? this.#head() : undefined;
  }

  async heads(query: { readonly from: number; readonly limit: number }): Promise<StoredHead[]> {
    return this.checkpoint.head.size >= query.from ? [this.#head()] : [];
  }

  async lastCheckpoint(): Promise<StoredHead | undefined> {
    return this.#head();
  }

  async witnessed(query: {
    readonly archive?: Uint8Array | undefined;
    readonly from: number;
    readonly limit: number;
  }): Promise<WitnessedHead[]> {
    const { archive, from, limit } = query;
    const heads: WitnessedHead[] = [];
    for (const { record } of this.#records.values()) {
      if (record.direction !== 'received' || record.status !== 'verified') continue;
      const head = treeHeadOf(record.treeHead);
      if (head === undefined || head.size < from) continue;
      if (archive !== undefined && !equalBytes(archive, head.archive)) continue;
      heads.push({ ...head, record: record.index });
    }
    return heads.sort((a, b) => a.size - b.size || a.record - b.record).slice(0, limit);
  }

  async timestamps(query: {
    readonly size?: number | undefined;
    readonly from?: number | undefined;
    readonly limit: number;
  }): Promise<StoredTimestamp[]> {
    const { size } = this.checkpoint.head;
    const isAsked = (query.size === undefined || query.size === size) && size >= (query.from ?? 0);
    if (this.#token === undefined || !isAsked) return [];
    return [{ size, authority: this.name, token: this.#token, attempts: 1, nextAttempt: 0, lastError: '' }];
  }

  async close(): Promise<void> {
    await this.#zip.close();
  }

  #head(): StoredHead {
    const { head, time, scheme, signature } = this.checkpoint;
    return { size: head.size, root: head.root, time, signature: { scheme, value: signature } };
  }

  async #whole({ index }: EvidenceRecord): Promise<Uint8Array | undefined> {
    const name = this.#objects.get(index);
    return name === undefined ? undefined : this.#zip.read(name, MAX_INLINE_OBJECT_BYTES);
  }
}

async function load(crypto: CryptoProvider, zip: ZipReader): Promise<BundleReader> {
  const mimetype = new TextDecoder().decode(await zip.read(MIMETYPE_FILE, 100));
  if (mimetype.trim() !== MIMETYPE) throw malformed(zip.name, 'it is no evidence bundle (mimetype)');
  const index = readIndex(zip.name, await zip.read(INDEX_FILE, MAX_INDEX_BYTES));
  const [checkpoint] = checkpointsFromFile(await zip.read(CHECKPOINT_FILE, MAX_CHECKPOINT_BYTES));
  if (checkpoint === undefined) throw malformed(zip.name, 'it holds no checkpoint');
  const sessions = new Map<string, EvidenceSession>();
  for (const name of index.sessions) {
    const der = await zip.read(name, MAX_LEAF_BYTES);
    const digest = crypto.digest('sha256', der);
    sessions.set(toHex(digest), { ...decodeSession(der), digest });
  }
  const records = new Map<number, BundleRecord>();
  const objects = new Map<number, string>();
  for (const entry of [...index.records].sort((a, b) => a.index - b.index)) {
    const { record, object } = await readRecord(zip, entry);
    records.set(entry.index, record);
    if (object !== undefined) objects.set(entry.index, object);
  }
  const token = zip.has(TIMESTAMP_FILE) ? await zip.read(TIMESTAMP_FILE, MAX_TOKEN_BYTES) : undefined;
  return new BundleReader({ zip, checkpoint, records, objects, sessions, token });
}

async function readRecord(
  zip: ZipReader,
  { index, folder, object, proof }: BundleIndexRecord,
): Promise<{ record: BundleRecord; object: string | undefined }> {
  const leaf = await zip.read(`${folder}/leaf.der`, MAX_LEAF_BYTES);
  const hashes: Uint8Array[] = [];
  for (const name of proof) {
    const hash = await zip.read(`${folder}/${name}`, HASH_BYTES);
    if (hash.length !== HASH_BYTES) throw malformed(zip.name, `${folder}/${name} is no hash`);
    hashes.push(hash);
  }
  const file = object === undefined ? undefined : `${folder}/${object}`;
  const length = file === undefined ? undefined : zip.lengthOf(file);
  const held = length === undefined ? 'none' : length > MAX_INLINE_OBJECT_BYTES ? 'chunks' : 'inline';
  return { record: { record: { ...decodeLeaf(leaf), index, held }, leaf, proof: hashes }, object: file };
}

function readIndex(name: string, bytes: Uint8Array): BundleIndex {
  let index: unknown;
  try {
    index = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw malformed(name, `${INDEX_FILE} cannot be read: ${reasonOf(cause)}`);
  }
  if (!isIndex(index)) throw malformed(name, `${INDEX_FILE} is not what a bundle has`);
  const numbers = new Set(index.records.map((record) => record.index));
  if (numbers.size !== index.records.length) throw malformed(name, `${INDEX_FILE} names a record twice`);
  return index;
}

function isIndex(value: unknown): value is BundleIndex {
  if (typeof value !== 'object' || value === null) return false;
  const { format, version, records, sessions, attachments } = value as Partial<
    Record<keyof BundleIndex, unknown>
  >;
  return (
    format === INDEX_FORMAT &&
    version === INDEX_VERSION &&
    isList(records, MAX_BUNDLE_RECORDS, isIndexRecord) &&
    isList(sessions, MAX_BUNDLE_RECORDS, isString) &&
    isList(attachments, 4 * MAX_BUNDLE_RECORDS, isString)
  );
}

function isIndexRecord(value: unknown): value is BundleIndexRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { index, folder, object, proof } = value as Partial<Record<keyof BundleIndexRecord, unknown>>;
  return (
    typeof index === 'number' &&
    Number.isSafeInteger(index) &&
    index >= 0 &&
    isString(folder) &&
    (object === undefined || isString(object)) &&
    isList(proof, MAX_PROOF_HASHES, isString)
  );
}

function isList<T>(value: unknown, max: number, test: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.length <= max && value.every(test);
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function matches(record: EvidenceRecord, query: StoreQuery): boolean {
  const { digest, sessions } = query;
  const is = <T>(wanted: T | undefined, value: T): boolean => wanted === undefined || wanted === value;
  return (
    record.index > (query.after ?? -1) &&
    record.time >= (query.from ?? Number.NEGATIVE_INFINITY) &&
    record.time <= (query.to ?? Number.POSITIVE_INFINITY) &&
    is(query.application, record.application) &&
    is(query.direction, record.direction) &&
    is(query.kind, record.kind) &&
    is(query.status, record.status) &&
    is(query.sequence, record.sequence) &&
    (query.target === undefined || query.target === record.target) &&
    (sessions === undefined || sessions.some((session) => equalBytes(session.digest, record.session))) &&
    (digest === undefined ||
      equalBytes(digest, record.objectDigest) ||
      equalBytes(digest, record.contentDigest))
  );
}

function malformed(name: string, what: string): EvidenceError {
  return new EvidenceError('ERR_EVIDENCE_BUNDLE', `${name}: ${what}`);
}
