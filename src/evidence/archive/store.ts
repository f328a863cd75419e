import type { FindTile, Tile } from '../merkle/tree.ts';
import type {
  Direction,
  EvidenceRecord,
  EvidenceSession,
  RecordKind,
  RecordStatus,
  SessionRef,
} from './record.ts';

/*
 * Where an archive is kept. A store knows rows, atomic commits and durability; it knows nothing of trees, keys and
 * signatures. `archive/sqlite` is one; what it must do to be correct is what test/unit/evidence/store-suite.ts checks.
 */

/** Reads one state of the archive, while others may go on writing. */
export interface EvidenceReader {
  /** What `EvidenceStore` was created with. */
  identity(): Promise<StoreIdentity>;
  /** Records that have been committed. */
  size(): Promise<number>;
  /** Those from `from` on, in order; fewer than `limit` at the end, and where objects are large. A gap stays one. */
  records(from: number, limit: number, options?: { readonly objects?: boolean }): Promise<RecordWithObject[]>;
  record(index: number): Promise<EvidenceRecord | undefined>;
  /** Lowest index first. */
  find(query: StoreQuery): Promise<EvidenceRecord[]>;
  /** The object's bytes in pieces of `CHUNK_BYTES` at most; none when the record holds none. */
  object(index: number): AsyncIterable<Uint8Array>;
  session(digest: Uint8Array): Promise<EvidenceSession | undefined>;
  /** In the order in which they were added. `name`: part of `ownName` or `peerName`, whatever its case (ASCII). */
  sessions(query: {
    readonly name?: string | undefined;
    readonly after?: Uint8Array | undefined;
    readonly limit: number;
  }): Promise<EvidenceSession[]>;
  /** Undefined too when its bytes are more than MAX_ATTACHMENT_BYTES. */
  attachment(digest: Uint8Array): Promise<Uint8Array | undefined>;
  tile: FindTile;
  /** How many leaf hashes the tiles hold. */
  leaves(): Promise<number>;
  head(size: number): Promise<StoredHead | undefined>;
  /** By size, from `from` on. */
  heads(query: {
    readonly from: number;
    readonly limit: number;
    readonly checkpoints?: boolean;
  }): Promise<StoredHead[]>;
  /** The largest size that has one. */
  lastCheckpoint(): Promise<StoredHead | undefined>;
  /** Heads of other archives that arrived inside of what they signed, by size. Of this archive, or of all. */
  witnessed(query: {
    readonly archive?: Uint8Array | undefined;
    readonly from: number;
    readonly limit: number;
  }): Promise<WitnessedHead[]>;
  /** Of one checkpoint, or all; oldest first. */
  timestamps(query: {
    readonly size?: number | undefined;
    readonly from?: number | undefined;
    readonly limit: number;
  }): Promise<StoredTimestamp[]>;
}

/** Has what an archive needs to write. One process at a time holds a store. */
export interface EvidenceStore extends EvidenceReader {
  /** For people: a path, a database. */
  readonly name: string;
  /**
   * All of it, durably, or nothing.
   * @throws EvidenceError ERR_EVIDENCE_FULL, ERR_EVIDENCE_FILE, ERR_EVIDENCE_DAMAGED
   */
  commit(batch: Batch): Promise<void>;
  /** Names a large object whose chunks come one by one. What is never committed with a record is gone after `open`. */
  beginContent(): Promise<number>;
  /** @param number counted from 0; every chunk but the last one has `CHUNK_BYTES` */
  addChunk(content: number, number: number, bytes: Uint8Array): Promise<void>;
  dropContent(content: number): Promise<void>;
  /** Takes a new one, or the newer state of one with the same size and authority. */
  saveTimestamp(timestamp: StoredTimestamp): Promise<void>;
  /** Those without token whose `nextAttempt` has come, oldest first. */
  dueTimestamps(now: number, limit: number): Promise<StoredTimestamp[]>;
  /** One state to read, however long that takes. Close it: a store keeps what a snapshot can see. */
  snapshot(): Promise<EvidenceSnapshot>;
  close(): Promise<void>;
}

export interface EvidenceSnapshot extends EvidenceReader {
  close(): Promise<void>;
}

export interface StoreIdentity {
  /** 16 bytes, see tree-head.ts. */
  readonly archive: Uint8Array;
  /** SubjectPublicKeyInfo of the archive's key. */
  readonly publicKey: Uint8Array;
  /** Unix milliseconds. */
  readonly created: number;
}

/** What is committed at once. Order inside does not matter. */
export interface Batch {
  readonly records?: readonly BatchRecord[];
  /** May be there already. */
  readonly sessions?: readonly EvidenceSession[];
  /** May be there already. */
  readonly attachments?: readonly Attachment[];
  /** Replace earlier ones of the same place. */
  readonly tiles?: readonly Tile[];
  /** A signed one replaces an earlier one of the same size; another one does not. */
  readonly heads?: readonly StoredHead[];
  /** May be there already. */
  readonly witnessed?: readonly WitnessedHead[];
  /** Indexes of records whose object is to be gone, from the disk too. */
  readonly erase?: readonly number[];
}

export interface BatchRecord {
  readonly record: EvidenceRecord;
  /** When `record.held` is `inline`. */
  readonly object?: Uint8Array | undefined;
  /** When `record.held` is `chunks`. */
  readonly content?: number | undefined;
}

export interface RecordWithObject {
  readonly record: EvidenceRecord;
  /** Only when asked for, and `record.held` is `inline`. */
  readonly object: Uint8Array | undefined;
}

export interface Attachment {
  /** SHA-256. */
  readonly digest: Uint8Array;
  readonly bytes: Uint8Array;
}

/** A tree head of this archive that has been given away or signed. */
export interface StoredHead {
  readonly size: number;
  readonly root: Uint8Array;
  /** Unix milliseconds. */
  readonly time: number;
  /** The archive's signature, when it is a checkpoint. */
  readonly signature: { readonly scheme: number; readonly value: Uint8Array } | undefined;
}

/** A head of another archive, and the first record here whose signed binding holds it. */
export interface WitnessedHead {
  readonly archive: Uint8Array;
  readonly size: number;
  readonly root: Uint8Array;
  readonly record: number;
}

/** An RFC 3161 timestamp of a checkpoint, or the wish for one. */
export interface StoredTimestamp {
  /** Of the checkpoint. */
  readonly size: number;
  /** URL of the time authority. */
  readonly authority: string;
  /** TimeStampToken, DER; undefined while it has not been got. */
  readonly token: Uint8Array | undefined;
  readonly attempts: number;
  /** Unix milliseconds; when to ask again. */
  readonly nextAttempt: number;
  /** Why the last attempt failed; empty otherwise. */
  readonly lastError: string;
}

export interface StoreQuery {
  /** Unix milliseconds, both inclusive. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  /** Any of these. */
  readonly sessions?: readonly SessionRef[] | undefined;
  readonly application?: string | undefined;
  /** SHA-256 of the object or of its content. */
  readonly digest?: Uint8Array | undefined;
  readonly direction?: Direction | undefined;
  readonly kind?: RecordKind | undefined;
  readonly status?: RecordStatus | undefined;
  /** Of the binding. */
  readonly sequence?: number | undefined;
  /** Receipts for, and erasures of, this record. */
  readonly target?: number | undefined;
  /** Only records with a higher index: to go on where the last answer ended. */
  readonly after?: number | undefined;
  readonly limit: number;
}
