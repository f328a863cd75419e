import { DIRECTIONS, FORMATS, KINDS, ROLES, STATUSES } from '../leaf.ts';
import type { EvidenceRecord, EvidenceSession } from '../record.ts';
import type { BatchRecord, StoredHead, StoredTimestamp, WitnessedHead } from '../store.ts';
import type { Row, SqlValue } from './driver.ts';
import { DamagedRowError } from './faults.ts';

/*
 * Rows to values and back. The file may be anybody's work by now, so nothing in a row is taken for granted: what no
 * archive writes is a DamagedRowError.
 */

/** Columns of `record` that make an EvidenceRecord, in the order that `readRecord` takes them. */
export const RECORD_COLUMNS =
  'idx, direction, kind, status, reason, time, session, sequence, application, content_type, format, ' +
  'object_length, object_digest, content_length, content_digest, flags, tree_head, target, signer_chain, ' +
  'revocation, provenance, content, object IS NOT NULL';
export const RECORD_COLUMN_COUNT = 23;

/** @param digestOf the session's digest by its id; undefined when there is none */
export function readRecord(row: Row, digestOf: (id: number) => Uint8Array | undefined): EvidenceRecord {
  const index = integer(row[0]);
  const cells = new Cells(row, index);
  const session = digestOf(cells.integer(6));
  if (session === undefined) throw new DamagedRowError(`Record ${index} belongs to no session`, index);
  return {
    index,
    direction: cells.name(1, DIRECTIONS),
    kind: cells.name(2, KINDS),
    status: cells.name(3, STATUSES),
    reason: cells.text(4),
    time: cells.integer(5),
    session,
    sequence: cells.integer(7),
    application: cells.text(8),
    contentType: cells.integer(9),
    format: cells.name(10, FORMATS),
    objectLength: cells.integer(11),
    objectDigest: cells.bytes(12),
    contentLength: cells.integer(13),
    contentDigest: cells.bytes(14),
    flags: cells.integer(15),
    treeHead: cells.bytes(16),
    target: cells.isNull(17) ? undefined : cells.integer(17),
    signerChain: cells.isNull(18) ? undefined : cells.bytes(18),
    revocation: cells.isNull(19) ? undefined : cells.bytes(19),
    provenance: cells.isNull(20) ? undefined : cells.bytes(20),
    held: !cells.isNull(21) ? 'chunks' : cells.integer(22) === 1 ? 'inline' : 'none',
  };
}

/** Values for all columns of `record`. */
export function recordValues({ record, object, content }: BatchRecord, session: number): SqlValue[] {
  return [
    record.index,
    DIRECTIONS.indexOf(record.direction),
    KINDS.indexOf(record.kind),
    STATUSES.indexOf(record.status),
    record.reason,
    record.time,
    session,
    record.sequence,
    record.application,
    record.contentType,
    FORMATS.indexOf(record.format),
    record.objectLength,
    record.objectDigest,
    record.contentLength,
    record.contentDigest,
    record.flags,
    record.treeHead,
    record.target ?? null,
    record.signerChain ?? null,
    record.revocation ?? null,
    record.provenance ?? null,
    content ?? null,
    object ?? null,
  ];
}

export const SESSION_COLUMNS =
  'digest, role, protocol, cipher_suite, session_binding, started, own_name, peer_name, own_chain, peer_chain';

export function readSession(row: Row): EvidenceSession {
  const cells = new Cells(row, undefined);
  return {
    digest: cells.bytes(0),
    role: cells.name(1, ROLES),
    protocol: cells.integer(2),
    cipherSuite: cells.integer(3),
    sessionBinding: cells.bytes(4),
    started: cells.integer(5),
    ownName: cells.text(6),
    peerName: cells.text(7),
    ownChain: cells.bytes(8),
    peerChain: cells.bytes(9),
  };
}

export function sessionValues(session: EvidenceSession): SqlValue[] {
  return [
    session.digest,
    ROLES.indexOf(session.role),
    session.protocol,
    session.cipherSuite,
    session.sessionBinding,
    session.started,
    session.ownName,
    session.peerName,
    session.ownChain,
    session.peerChain,
  ];
}

export const HEAD_COLUMNS = 'size, root, time, scheme, signature';

export function readHead(row: Row): StoredHead {
  const cells = new Cells(row, undefined);
  return {
    size: cells.integer(0),
    root: cells.bytes(1),
    time: cells.integer(2),
    signature: cells.isNull(4) ? undefined : { scheme: cells.integer(3), value: cells.bytes(4) },
  };
}

export function headValues({ size, root, time, signature }: StoredHead): SqlValue[] {
  return [size, root, time, signature?.scheme ?? null, signature?.value ?? null];
}

export const WITNESSED_COLUMNS = 'archive, size, root, idx';

export function readWitnessed(row: Row): WitnessedHead {
  const cells = new Cells(row, undefined);
  return {
    archive: cells.bytes(0),
    size: cells.integer(1),
    root: cells.bytes(2),
    record: cells.integer(3),
  };
}

export const TIMESTAMP_COLUMNS = 'size, authority, token, attempts, next_attempt, last_error';

export function readTimestamp(row: Row): StoredTimestamp {
  const cells = new Cells(row, undefined);
  return {
    size: cells.integer(0),
    authority: cells.text(1),
    token: cells.isNull(2) ? undefined : cells.bytes(2),
    attempts: cells.integer(3),
    nextAttempt: cells.integer(4),
    lastError: cells.text(5),
  };
}

export function timestampValues(timestamp: StoredTimestamp): SqlValue[] {
  return [
    timestamp.size,
    timestamp.authority,
    timestamp.token ?? null,
    timestamp.attempts,
    timestamp.nextAttempt,
    timestamp.lastError,
  ];
}

/** A whole number that is not negative, from a row of which nothing else is known. */
export function integer(value: SqlValue | undefined): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new DamagedRowError(`The file holds ${typeof value} where a number should be`);
}

export function bytes(value: SqlValue | undefined): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new DamagedRowError(`The file holds ${typeof value} where bytes should be`);
}

/** The values of one row, each checked as it is taken. */
class Cells {
  readonly #row: Row;
  readonly #index: number | undefined;

  constructor(row: Row, index: number | undefined) {
    this.#row = row;
    this.#index = index;
  }

  isNull(column: number): boolean {
    return this.#row[column] === null;
  }

  integer(column: number): number {
    const value = this.#row[column];
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
      ? value
      : this.#damaged(column);
  }

  text(column: number): string {
    const value = this.#row[column];
    return typeof value === 'string' ? value : this.#damaged(column);
  }

  bytes(column: number): Uint8Array {
    const value = this.#row[column];
    return value instanceof Uint8Array ? value : this.#damaged(column);
  }

  name<T>(column: number, names: readonly T[]): T {
    return names[this.integer(column)] ?? this.#damaged(column);
  }

  #damaged(column: number): never {
    const where = this.#index === undefined ? 'A row' : `Record ${this.#index}`;
    throw new DamagedRowError(`${where} holds an impossible value in column ${column + 1}`, this.#index);
  }
}
