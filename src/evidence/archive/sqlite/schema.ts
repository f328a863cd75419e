/*
 * The schema, as a list of migrations: the file's `user_version` says how many of them it has seen. A released one is
 * never changed; what follows is a new entry. docs/evidence-schema.md describes the tables.
 */

/** "Trel"; marks the file (`PRAGMA application_id`), for file(1) and against opening some other database. */
export const APPLICATION_ID = 0x5472_656c;

/** Two records of usual size fit a page, and a large object takes half as many as with SQLite's default. Bytes. */
export const PAGE_BYTES = 8192;

export const MIGRATIONS: readonly string[] = [
  `
  -- One row: which archive this is.
  CREATE TABLE identity (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    archive BLOB NOT NULL,
    public_key BLOB NOT NULL,
    created INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE session (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    role INTEGER NOT NULL,
    protocol INTEGER NOT NULL,
    cipher_suite INTEGER NOT NULL,
    session_binding BLOB NOT NULL,
    started INTEGER NOT NULL,
    own_name TEXT NOT NULL,
    peer_name TEXT NOT NULL,
    own_chain BLOB NOT NULL,
    peer_chain BLOB NOT NULL
  ) STRICT;

  -- Certificates, revocation data: each kept once, however many records name it.
  CREATE TABLE attachment (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    bytes BLOB NOT NULL
  ) STRICT;

  CREATE TABLE record (
    idx INTEGER PRIMARY KEY,
    direction INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    status INTEGER NOT NULL,
    reason TEXT NOT NULL,
    time INTEGER NOT NULL,
    session INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    application TEXT NOT NULL,
    content_type INTEGER NOT NULL,
    format INTEGER NOT NULL,
    object_length INTEGER NOT NULL,
    object_digest BLOB NOT NULL,
    content_length INTEGER NOT NULL,
    content_digest BLOB NOT NULL,
    flags INTEGER NOT NULL,
    tree_head BLOB NOT NULL,
    target INTEGER,
    signer_chain BLOB,
    revocation BLOB,
    provenance BLOB,
    content INTEGER,
    object BLOB
  ) STRICT;
  CREATE INDEX record_by_time ON record (time);
  CREATE INDEX record_by_session ON record (session, direction, sequence);
  CREATE INDEX record_by_application ON record (application);
  CREATE INDEX record_by_target ON record (target) WHERE target IS NOT NULL;

  -- Large objects. id = content * 2^20 + number of the chunk.
  CREATE TABLE chunk (
    id INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL
  ) STRICT;
  -- Contents that no record has yet; their chunks go when the archive is opened again.
  CREATE TABLE unfinished_content (id INTEGER PRIMARY KEY) STRICT;

  -- Digests of objects and contents, in sorted runs of 2,048 records. One index over all would be written to at
  -- random, and cost more with every record; a run is appended at the end, and looking into every run is quick.
  -- entry = first 40 bits of the digest * 4096 + number of the record in its run
  CREATE TABLE digest_run (
    run INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    PRIMARY KEY (run, entry)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE tile (
    level INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (level, position)
  ) STRICT;

  CREATE TABLE head (
    size INTEGER PRIMARY KEY,
    root BLOB NOT NULL,
    time INTEGER NOT NULL,
    scheme INTEGER,
    signature BLOB
  ) STRICT;
  CREATE INDEX checkpoint ON head (size) WHERE signature IS NOT NULL;

  CREATE TABLE witnessed (
    archive BLOB NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    idx INTEGER NOT NULL,
    PRIMARY KEY (archive, size, root)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE timestamp (
    id INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    authority TEXT NOT NULL,
    token BLOB,
    attempts INTEGER NOT NULL,
    next_attempt INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    UNIQUE (size, authority)
  ) STRICT;
  CREATE INDEX timestamp_due ON timestamp (next_attempt) WHERE token IS NULL;
  `,
];
