/**
 * The evidence archive: what was said in signed sessions, kept so that every later change shows, and handed over so
 * that anyone can verify it. Uses files, SQLite and the system's clock; docs/evidence.md is its description.
 */
export { Archive, type ArchiveOptions } from './archive/archive.ts';
export type { ContentWriter } from './archive/content.ts';
export { type ArchiveKey, createArchiveKey, readArchiveKey } from './archive/key.ts';
export { type OpenOptions, openArchive } from './archive/open.ts';
export {
  type Direction,
  type EvidenceRecord,
  type EvidenceSession,
  type NewRecord,
  RecordFlag,
  type RecordKind,
  type RecordStatus,
  type RevocationData,
  type SessionInfo,
  type SessionRef,
  type StoredContent,
} from './archive/record.ts';
export { openSqliteReader, SqliteStore } from './archive/sqlite/store.ts';
export type {
  Attachment,
  Batch,
  BatchRecord,
  EvidenceReader,
  EvidenceSnapshot,
  EvidenceStore,
  RecordWithObject,
  StoredHead,
  StoredTimestamp,
  StoreIdentity,
  StoreQuery,
  WitnessedHead,
} from './archive/store.ts';
export { type FetchLike, Timestamping, type TimestampOptions } from './archive/timestamping.ts';
export { type ExportOptions, exportBundle } from './bundle/export.ts';
export { importBundle } from './bundle/import.ts';
export { BundleReader } from './bundle/reader.ts';
export { type BundleReport, verifyBundle } from './bundle/verify.ts';
export { EvidenceError, type EvidenceErrorCode } from './errors.ts';
export {
  type Checkpoint,
  checkpointsFromFile,
  checkpointToPem,
  type TreeHead,
  treeHeadOf,
  verifyCheckpoint,
} from './merkle/tree-head.ts';
export { type Account, accountOf } from './report/account.ts';
export { accountHtml } from './report/html.ts';
export { accountText } from './report/text.ts';
export { type AuditOptions, type AuditReport, audit } from './verify/audit.ts';
export type { Finding, FindingKind } from './verify/findings.ts';
export { type RecordVerdict, RecordVerifier, type RecordVerifierOptions } from './verify/record.ts';
