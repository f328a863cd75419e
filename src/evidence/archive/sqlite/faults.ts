import { EvidenceError, reasonOf } from '../../errors.ts';

/** A row whose values no archive writes: somebody has changed it. */
export class DamagedRowError extends EvidenceError {
  /** Index of the record; undefined for other tables. */
  readonly index: number | undefined;
  constructor(message: string, index?: number) {
    super('ERR_EVIDENCE_DAMAGED', message);
    this.index = index;
  }
}

/** Runs SQL; whatever SQLite says becomes an error that tells the user what to do. */
export function asking<T>(name: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw explain(name, error);
  }
}

export function explain(name: string, error: unknown): unknown {
  if (error instanceof EvidenceError) return error;
  const code = primaryCode(error);
  const reason = reasonOf(error);
  const fault = (kind: EvidenceError['code'], text: string): EvidenceError =>
    new EvidenceError(kind, `${name}: ${text}`, { cause: error });
  switch (code) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fault(
        'ERR_EVIDENCE_LOCKED',
        'another process writes to this archive; stop that one, or let it do the work (reading is possible meanwhile)',
      );
    case SQLITE_CORRUPT:
      return fault('ERR_EVIDENCE_DAMAGED', `${reason}. ${DAMAGED_ADVICE}`);
    case SQLITE_NOTADB:
      return fault(
        'ERR_EVIDENCE_NOT_ARCHIVE',
        'this is no evidence archive, or its beginning is damaged; restore it from a copy if it was one',
      );
    case SQLITE_FULL:
      return fault(
        'ERR_EVIDENCE_FULL',
        'no room left on the disk; free some and try again, nothing was half written',
      );
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      return fault('ERR_EVIDENCE_FILE', `${reason}; the file and its folder must be writable by this user`);
    case SQLITE_IOERR:
      return fault(
        'ERR_EVIDENCE_FILE',
        `${reason}; the disk does not do what it should, look at the system's log`,
      );
    case undefined:
      return error;
    default:
      return fault('ERR_EVIDENCE_DAMAGED', `${reason}. ${DAMAGED_ADVICE}`);
  }
}

export const DAMAGED_ADVICE =
  'Copy the file and its -wal as they are before anything else; restore the last good copy, or save what can be ' +
  'read with "sqlite3 FILE .recover | sqlite3 NEW"; then "trellis evidence audit" says what is left, and with ' +
  "--witness the other party's archive shows what is gone";

const SQLITE_PERM = 3;
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_NOTADB = 26;

/** Primary result codes (sqlite.org/rescode.html) by the name that libsql gives; extended names begin with these. */
const CODE_BY_NAME: readonly (readonly [string, number])[] = [
  ['SQLITE_PERM', SQLITE_PERM],
  ['SQLITE_BUSY', SQLITE_BUSY],
  ['SQLITE_LOCKED', SQLITE_LOCKED],
  ['SQLITE_READONLY', SQLITE_READONLY],
  ['SQLITE_IOERR', SQLITE_IOERR],
  ['SQLITE_CORRUPT', SQLITE_CORRUPT],
  ['SQLITE_FULL', SQLITE_FULL],
  ['SQLITE_CANTOPEN', SQLITE_CANTOPEN],
  ['SQLITE_NOTADB', SQLITE_NOTADB],
];

/** `undefined` for what SQLite did not throw. node:sqlite has `errcode`, libsql `rawCode` and a name in `code`. */
function primaryCode(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  if ('errcode' in error && typeof error.errcode === 'number') return error.errcode & 0xff;
  if ('rawCode' in error && typeof error.rawCode === 'number') return error.rawCode & 0xff;
  if (!('code' in error) || typeof error.code !== 'string') return undefined;
  const { code } = error;
  const known = CODE_BY_NAME.find(([name]) => code.startsWith(name));
  return known?.[1] ?? (code.startsWith('SQLITE_') ? 1 : undefined);
}
