import { createRequire } from 'node:module';
import { EvidenceError, reasonOf } from '../../errors.ts';

/** What can be bound to a statement and come back from one. */
export type SqlValue = number | string | Uint8Array | null;
export type Row = readonly SqlValue[];

/** A connection to a SQLite database, whichever package it comes from. Everything is synchronous. */
export interface Database {
  exec(sql: string): void;
  prepare(sql: string): Statement;
  close(): void;
}

/** Values in the order of the placeholders. Rows are arrays. */
export interface Statement {
  run(values: readonly SqlValue[]): void;
  get(values: readonly SqlValue[]): Row | undefined;
  /** Reads them all: put a LIMIT into the statement. */
  all(values: readonly SqlValue[]): Row[];
}

export interface Driver {
  /** For people and tests. */
  readonly name: 'node:sqlite' | 'libsql';
  /** Opens or makes the file. */
  open(path: string): Database;
}

/**
 * `node:sqlite` where the running Node has it (22.13 and newer), else the optional package libsql.
 * @throws EvidenceError ERR_EVIDENCE_NO_SQLITE
 */
export function sqliteDriver(): Driver {
  chosen ??= nodeDriver() ?? libsqlDriver();
  return chosen;
}

let chosen: Driver | undefined;

/** What is used of node:sqlite; the types of Node 20 do not have it. */
interface NodeSqlite {
  readonly DatabaseSync: new (path: string) => NodeDatabase;
}
interface NodeDatabase {
  exec(sql: string): void;
  prepare(sql: string): NodeStatement;
  close(): void;
}
interface NodeStatement {
  run(...values: readonly SqlValue[]): unknown;
  all(...values: readonly SqlValue[]): readonly object[];
  get(...values: readonly SqlValue[]): object | undefined;
  setReturnArrays?(enabled: boolean): void;
}

function nodeDriver(): Driver | undefined {
  // Not an import: Node 20 does not know the name, and older ones lack getBuiltinModule too.
  const module = process.getBuiltinModule?.('node:sqlite') as NodeSqlite | undefined;
  if (module === undefined) return undefined;
  return {
    name: 'node:sqlite',
    open: (path) => {
      const database = new module.DatabaseSync(path);
      return {
        exec: (sql) => database.exec(sql),
        prepare: (sql) => nodeStatement(database.prepare(sql)),
        close: () => database.close(),
      };
    },
  };
}

function nodeStatement(statement: NodeStatement): Statement {
  // Rows as arrays came with Node 22.16; before, the columns of a row object are in the order of the statement.
  const hasArrays = statement.setReturnArrays !== undefined;
  statement.setReturnArrays?.(true);
  const toRow = (row: object): Row => (hasArrays ? row : Object.values(row)) as Row;
  return {
    run: (values) => void statement.run(...values),
    get: (values) => {
      const row = statement.get(...values);
      return row === undefined ? undefined : toRow(row);
    },
    all: (values) => statement.all(...values).map(toRow),
  };
}

/** What is used of libsql, whose interface is that of better-sqlite3. */
type LibsqlConstructor = new (path: string) => LibsqlDatabase;
interface LibsqlDatabase {
  exec(sql: string): void;
  prepare(sql: string): LibsqlStatement;
  close(): void;
}
interface LibsqlStatement {
  raw(enabled: boolean): LibsqlStatement;
  run(values: readonly SqlValue[]): unknown;
  get(values: readonly SqlValue[]): Row | undefined;
  all(values: readonly SqlValue[]): Row[];
}

function libsqlDriver(): Driver {
  const Libsql = loadLibsql();
  return {
    name: 'libsql',
    open: (path) => {
      const database = new Libsql(path);
      return {
        exec: (sql) => database.exec(sql),
        prepare: (sql) => libsqlStatement(database.prepare(sql)),
        close: () => database.close(),
      };
    },
  };
}

/** Values always go in as one array: libsql ends the process when `run` is given a lone buffer. */
function libsqlStatement(statement: LibsqlStatement): Statement {
  let isRaw = false;
  // A statement that returns no rows refuses to be raw.
  const raw = (): LibsqlStatement => {
    if (!isRaw) statement.raw(true);
    isRaw = true;
    return statement;
  };
  return {
    run: (values) => void statement.run(values),
    get: (values) => raw().get(values),
    all: (values) => raw().all(values),
  };
}

function loadLibsql(): LibsqlConstructor {
  try {
    return createRequire(import.meta.url)('libsql') as LibsqlConstructor;
  } catch (cause) {
    throw new EvidenceError(
      'ERR_EVIDENCE_NO_SQLITE',
      `The archive needs SQLite: use Node 22.13 or newer, or install the package libsql (npm install libsql). ${reasonOf(cause).split('\n')[0]}`,
      { cause },
    );
  }
}
