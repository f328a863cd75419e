import { nodeCrypto } from '../../crypto/node/provider.ts';
import type { CryptoProvider } from '../../crypto/provider.ts';
import { equalBytes, toHex } from '../../der/bytes.ts';
import { EvidenceError } from '../errors.ts';
import { MerkleHash } from '../merkle/hash.ts';
import { GrowingTree } from '../merkle/tree.ts';
import {
  archiveId,
  type Checkpoint,
  checkpointBody,
  encodeTreeHead,
  type TreeHead,
  treeHeadOf,
} from '../merkle/tree-head.ts';
import { ContentWriter } from './content.ts';
import type { ArchiveKey } from './key.ts';
import { encodeLeaf } from './leaf.ts';
import { cleanText, NO_PLACE, type PreparedRecord, prepareRecord, prepareSession } from './prepare.ts';
import {
  type EvidenceRecord,
  type EvidenceSession,
  MAX_INLINE_OBJECT_BYTES,
  type NewRecord,
  type SessionInfo,
  type SessionRef,
} from './record.ts';
import { residueOf } from './residue.ts';
import type { Attachment, Batch, BatchRecord, EvidenceStore, StoredHead, WitnessedHead } from './store.ts';
import { Timestamping, type TimestampOptions } from './timestamping.ts';

/**
 * Records in one commit. More would make the first wait for the last; with fewer, an fsync would serve too few. Bytes
 * bound it too: a commit holds its records in memory twice.
 */
const MAX_BATCH_RECORDS = 1024;
const MAX_BATCH_BYTES = 8 * 1024 * 1024;
/** A checkpoint is a signature and some hundred bytes: after this many records it costs next to nothing. */
export const CHECKPOINT_RECORDS = 1024;
/** No record waits longer than this for the checkpoint that covers it. Milliseconds. */
export const CHECKPOINT_INTERVAL = 60_000;
/** Heads of other archives that are known to be stored: one peer repeats the same head for many objects. */
const MAX_REMEMBERED_HEADS = 1024;

export interface ArchiveOptions {
  readonly crypto?: CryptoProvider;
  /** Unix milliseconds. Default: the system's clock. */
  readonly now?: () => number;
  /** Records after which a checkpoint is taken. Default `CHECKPOINT_RECORDS`; 0: only when asked, and at `close`. */
  readonly checkpointRecords?: number;
  /** Milliseconds after which new records get a checkpoint. Default `CHECKPOINT_INTERVAL`; 0: never by time. */
  readonly checkpointInterval?: number;
  /** Have checkpoints dated. Default: no. */
  readonly timestamps?: TimestampOptions | undefined;
  /** Is told of each new checkpoint, and of one that could not be taken. */
  readonly onCheckpoint?: (checkpoint: Checkpoint) => void;
  readonly onCheckpointError?: (error: unknown) => void;
}

/** An archive that is open for writing. Everything that it has acknowledged is on the disk. */
export class Archive {
  readonly store: EvidenceStore;
  /** 16 bytes; the same in each of its tree heads. */
  readonly id: Uint8Array;
  readonly #crypto: CryptoProvider;
  readonly #hash: MerkleHash;
  readonly #key: ArchiveKey;
  readonly #now: () => number;
  readonly #options: ArchiveOptions;
  readonly #timestamping: Timestamping | undefined;
  /** Of what is durable. */
  #tree: GrowingTree;
  #queue: Waiting[] = [];
  readonly #newSessions = new Map<string, { session: EvidenceSession; attachments: Attachment[] }>();
  readonly #issuedHeads = new Map<number, StoredHead>();
  readonly #rememberedHeads = new Set<string>();
  #head: Uint8Array | undefined;
  #checkpointSize: number;
  #checkpointing: Promise<unknown> | undefined;
  #flushing: Promise<void> | undefined;
  #isScheduled = false;
  /** Large objects whose chunks are being written. */
  readonly #appending = new Set<Promise<number>>();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /**
   * Goes on with a store, or begins one that is empty. Takes it over: `close` closes it.
   * @throws EvidenceError ERR_EVIDENCE_KEY when the key is not the archive's, ERR_EVIDENCE_DAMAGED when the tree and
   *   the records do not fit together
   */
  static async open(store: EvidenceStore, key: ArchiveKey, options: ArchiveOptions = {}): Promise<Archive> {
    const crypto = options.crypto ?? nodeCrypto;
    const { archive } = await store.identity();
    if (!equalBytes(archive, archiveId(crypto, key.publicKey.spki))) {
      throw new EvidenceError(
        'ERR_EVIDENCE_KEY',
        `${store.name}: the key is not the one that this archive was made with; give that one, or begin a new archive`,
      );
    }
    const size = await store.size();
    const tree = await GrowingTree.restore(new MerkleHash(crypto), size, (level, position) =>
      store.tile(level, position),
    );
    if (tree === undefined || (await store.leaves()) !== size) {
      throw new EvidenceError(
        'ERR_EVIDENCE_DAMAGED',
        `${store.name}: its ${size} records do not fit its tree, so nothing is added to it; "trellis evidence audit" says what was done to it`,
      );
    }
    const last = await store.lastCheckpoint();
    return new Archive(store, key, tree, archive, last?.size ?? 0, crypto, options);
  }

  private constructor(
    store: EvidenceStore,
    key: ArchiveKey,
    tree: GrowingTree,
    id: Uint8Array,
    checkpointSize: number,
    crypto: CryptoProvider,
    options: ArchiveOptions,
  ) {
    this.store = store;
    this.id = id;
    this.#key = key;
    this.#tree = tree;
    this.#checkpointSize = checkpointSize;
    this.#crypto = crypto;
    this.#hash = new MerkleHash(crypto);
    this.#now = options.now ?? Date.now;
    this.#options = options;
    this.#timestamping =
      options.timestamps && new Timestamping(crypto, store, id, this.#now, options.timestamps);
    this.#timestamping?.start();
    const interval = options.checkpointInterval ?? CHECKPOINT_INTERVAL;
    if (interval > 0) {
      this.#timer = setInterval(() => void this.#checkpointQuietly(), interval);
      this.#timer.unref();
    }
  }

  /** Durable records. */
  get size(): number {
    return this.#tree.size;
  }

  /** Of the durable records. */
  get head(): TreeHead {
    return { archive: this.id, size: this.#tree.size, root: this.#tree.root };
  }

  /**
   * The latest head, for the binding of the object that leaves next (tls-sign.md §5: the counterparty is the witness).
   * Only of what is durable: after a crash the archive must still be able to show the tree that it spoke of.
   */
  treeHead(): Uint8Array {
    if (this.#head === undefined) {
      this.#head = encodeTreeHead(this.head);
      // Kept with the next records, among which is the one that carries it.
      const { size, root } = this.#tree;
      this.#issuedHeads.set(size, { size, root, time: this.#now(), signature: undefined });
    }
    return this.#head;
  }

  /** Makes a session known; it is stored with the first record that follows. @throws EvidenceError ERR_EVIDENCE_RECORD */
  addSession(info: SessionInfo): SessionRef {
    const prepared = prepareSession(this.#crypto, info);
    const { digest } = prepared.session;
    this.#newSessions.set(toHex(digest), prepared);
    return { digest };
  }

  /**
   * Resolves when the record is durable: then a receipt for it may leave. Records that are appended meanwhile share its
   * commit.
   * @returns its index
   * @throws EvidenceError ERR_EVIDENCE_RECORD; ERR_EVIDENCE_FULL and what else a store says, then it is not archived
   */
  async append(record: NewRecord): Promise<number> {
    this.#checkOpen();
    const { object } = record;
    if (!(object instanceof Uint8Array) || object.length <= MAX_INLINE_OBJECT_BYTES)
      return this.#enqueue(prepareRecord(this.#crypto, record));
    const appending = this.#appendLarge(record, object);
    this.#appending.add(appending);
    try {
      return await appending;
    } finally {
      this.#appending.delete(appending);
    }
  }

  async #appendLarge(record: NewRecord, object: Uint8Array): Promise<number> {
    const content = await this.#newContent();
    await content.write(object);
    return this.#enqueue(prepareRecord(this.#crypto, { ...record, object: await content.finish() }));
  }

  /** As `append`, for a record from elsewhere. @param provenance where it comes from, see bundle/ */
  async appendImported(record: NewRecord, provenance: Uint8Array): Promise<number> {
    this.#checkOpen();
    return this.#enqueue(prepareRecord(this.#crypto, record, provenance));
  }

  /** For an object that is not held in memory as a whole. */
  async newContent(): Promise<ContentWriter> {
    this.#checkOpen();
    return this.#newContent();
  }

  async #newContent(): Promise<ContentWriter> {
    return new ContentWriter(this.store, this.#crypto, await this.store.beginContent());
  }

  /**
   * Removes the object of a record, from the disk too, and keeps its evidence. That it was done, when and why is a
   * record of its own.
   * @returns the index of that record
   * @throws EvidenceError ERR_EVIDENCE_NOT_FOUND, ERR_EVIDENCE_ERASED
   */
  async erase(index: number, reason: string): Promise<number> {
    this.#checkOpen();
    const record = await this.store.record(index);
    if (record === undefined) {
      throw new EvidenceError('ERR_EVIDENCE_NOT_FOUND', `There is no record ${index} in this archive`);
    }
    if (record.held === 'none') {
      throw new EvidenceError('ERR_EVIDENCE_ERASED', `Record ${index} holds no content any more`);
    }
    const residue = await this.#residue(record);
    const none = new Uint8Array(0);
    const erasure: PreparedRecord['record'] = {
      ...record,
      index: NO_PLACE,
      held: 'none',
      kind: 'erasure',
      status: 'verified',
      reason: cleanText(reason),
      time: this.#now(),
      target: index,
      objectLength: 0,
      objectDigest: none,
      contentLength: 0,
      contentDigest: none,
      flags: 0,
      treeHead: none,
      signerChain: undefined,
      revocation: undefined,
      provenance: residue?.digest,
    };
    const attachments = residue === undefined ? [] : [residue];
    return this.#enqueue({ record: erasure, object: undefined, content: undefined, attachments }, index);
  }

  /** Signs the present tree head. Gives the last checkpoint again when nothing has been added since. */
  async checkpoint(): Promise<Checkpoint> {
    this.#checkOpen();
    return this.#takeCheckpoint();
  }

  /** Waits for what was appended, takes a last checkpoint and closes the store. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    try {
      // What is on its way into chunks comes into the queue yet; each appender is told of its own fault.
      await Promise.allSettled(this.#appending);
      while (this.#queue.length > 0 || this.#flushing !== undefined) await this.#flush();
      await this.#checkpointing;
      if (this.#tree.size > this.#checkpointSize) await this.#checkpointQuietly();
    } finally {
      await this.#timestamping?.stop();
      await this.store.close();
    }
  }

  /** What is needed of the object to verify its signature and its receipts without its content. */
  async #residue(record: EvidenceRecord): Promise<Attachment | undefined> {
    if (record.kind !== 'data') return undefined;
    const bytes = await residueOf(this.#crypto, record, this.store.object(record.index));
    return bytes && { digest: this.#crypto.digest('sha256', bytes), bytes };
  }

  #enqueue(prepared: PreparedRecord, erase?: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ prepared, erase, resolve, reject });
      if (this.#isScheduled) return;
      this.#isScheduled = true;
      // After everything that this turn of the event loop has brought: that is one group.
      setImmediate(() => void this.#flush());
    });
  }

  /** One commit at a time. While one is under way the next group gathers. */
  async #flush(): Promise<void> {
    this.#isScheduled = false;
    if (this.#flushing !== undefined) return this.#flushing;
    const group = this.#takeGroup();
    if (group.length === 0) return;
    this.#flushing = this.#commit(group);
    await this.#flushing;
    this.#flushing = undefined;
    if (this.#queue.length > 0 && !this.#isScheduled) {
      this.#isScheduled = true;
      setImmediate(() => void this.#flush());
    }
  }

  #takeGroup(): Waiting[] {
    let count = 0;
    let bytes = 0;
    while (count < this.#queue.length && count < MAX_BATCH_RECORDS && bytes < MAX_BATCH_BYTES) {
      bytes += this.#queue[count++]?.prepared.object?.length ?? 0;
    }
    const group = this.#queue.slice(0, count);
    this.#queue = this.#queue.slice(count);
    return group;
  }

  /** Never rejects: each appender is told on its own. */
  async #commit(group: readonly Waiting[]): Promise<void> {
    const tree = this.#tree.copy();
    const first = tree.size;
    const sessions = [...this.#newSessions.entries()];
    const heads = [...this.#issuedHeads.values()];
    try {
      const records = group.map(({ prepared }) => this.#place(tree, prepared));
      const witnessed = this.#newWitnessed(records);
      await this.store.commit({
        records,
        sessions: sessions.map(([, { session }]) => session),
        attachments: [
          ...sessions.flatMap(([, { attachments }]) => attachments),
          ...group.flatMap(({ prepared }) => prepared.attachments),
        ],
        tiles: tree.takeChanges(),
        heads,
        witnessed,
        erase: group.flatMap(({ erase }) => (erase === undefined ? [] : [erase])),
      });
    } catch (error) {
      this.#rememberedHeads.clear();
      for (const { reject } of group) reject(error);
      return;
    }
    this.#tree = tree;
    this.#head = undefined;
    for (const [key] of sessions) this.#newSessions.delete(key);
    for (const { size } of heads) this.#issuedHeads.delete(size);
    for (const [offset, { resolve }] of group.entries()) resolve(first + offset);
    const every = this.#options.checkpointRecords ?? CHECKPOINT_RECORDS;
    if (every > 0 && tree.size - this.#checkpointSize >= every) void this.#checkpointQuietly();
  }

  #place(tree: GrowingTree, prepared: PreparedRecord): BatchRecord {
    prepared.record.index = tree.size;
    tree.append(this.#hash.leaf(encodeLeaf(prepared.record)));
    return prepared;
  }

  /** Heads of other archives in what has been verified: signed by who holds that archive, so it cannot deny them. */
  #newWitnessed(records: readonly BatchRecord[]): WitnessedHead[] {
    const witnessed: WitnessedHead[] = [];
    let last = new Uint8Array(0);
    for (const { record } of records) {
      if (record.direction !== 'received' || record.status !== 'verified') continue;
      if (equalBytes(record.treeHead, last)) continue;
      last = new Uint8Array(record.treeHead);
      const key = toHex(last);
      if (this.#rememberedHeads.has(key)) continue;
      const head = treeHeadOf(record.treeHead);
      if (head === undefined || equalBytes(head.archive, this.id)) continue;
      if (this.#rememberedHeads.size >= MAX_REMEMBERED_HEADS) this.#rememberedHeads.clear();
      this.#rememberedHeads.add(key);
      witnessed.push({ ...head, record: record.index });
    }
    return witnessed;
  }

  async #takeCheckpoint(): Promise<Checkpoint> {
    const before = await this.store.lastCheckpoint();
    const { archive, size, root } = this.head;
    const publicKey = this.#key.publicKey.spki;
    if (before?.signature !== undefined && before.size === size) {
      const { scheme, value: signature } = before.signature;
      return { head: { archive, size, root: before.root }, time: before.time, scheme, signature, publicKey };
    }
    const scheme = this.#key.schemes[0];
    if (scheme === undefined) throw new EvidenceError('ERR_EVIDENCE_KEY', 'The archive key can sign nothing');
    const time = Math.floor(this.#now() / 1000) * 1000;
    const signature = await this.#key.sign(scheme, checkpointBody({ archive, size, root }, time));
    const batch: Batch = { heads: [{ size, root, time, signature: { scheme, value: signature } }] };
    await this.store.commit(batch);
    this.#checkpointSize = Math.max(this.#checkpointSize, size);
    const checkpoint = { head: { archive, size, root }, time, scheme, signature, publicKey };
    await this.#timestamping?.want(size);
    this.#options.onCheckpoint?.(checkpoint);
    return checkpoint;
  }

  /** By count or time: one at a time, only when there is something new; a failure is told and tried again later. */
  async #checkpointQuietly(): Promise<void> {
    if (this.#checkpointing !== undefined || this.#tree.size === this.#checkpointSize) return;
    this.#checkpointing = this.#takeCheckpoint().catch((error: unknown) =>
      this.#options.onCheckpointError?.(error),
    );
    await this.#checkpointing;
    this.#checkpointing = undefined;
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new EvidenceError('ERR_EVIDENCE_CLOSED', 'This archive has been closed');
  }
}

interface Waiting {
  readonly prepared: PreparedRecord;
  /** Index of the record whose object goes in the same commit. */
  readonly erase: number | undefined;
  readonly resolve: (index: number) => void;
  readonly reject: (error: unknown) => void;
}
