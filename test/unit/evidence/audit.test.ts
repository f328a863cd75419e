import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { encodeLeaf } from '../../../src/evidence/archive/leaf.ts';
import { CHUNK_BYTES } from '../../../src/evidence/archive/record.ts';
import type { Database } from '../../../src/evidence/archive/sqlite/driver.ts';
import { RECORD_COLUMNS, readRecord } from '../../../src/evidence/archive/sqlite/rows.ts';
import { openSqliteReader } from '../../../src/evidence/archive/sqlite/store.ts';
import { MerkleHash } from '../../../src/evidence/merkle/hash.ts';
import type { Checkpoint } from '../../../src/evidence/merkle/tree-head.ts';
import { type AuditOptions, type AuditReport, audit } from '../../../src/evidence/verify/audit.ts';
import {
  appendMany,
  openAt,
  permanentFolder,
  plainRecord,
  sessionInfo,
  tamper,
  temporaryFolder,
  utf8,
} from './support.ts';

/*
 * What somebody with write access to the file can do to it, and what the audit says then. Objects are not signed here;
 * test/unit/evidence/signatures.test.ts has those.
 */

const RECORDS = 640;
const hash = new MerkleHash(nodeCrypto);
const original = permanentFolder();
let checkpoint: Checkpoint;

beforeAll(async () => {
  const archive = await openAt(original, { checkpointRecords: 100 });
  const session = archive.addSession(
    sessionInfo({ peerChain: [Uint8Array.of(0x30, 0)], ownChain: [Uint8Array.of(0x30, 1, 7)] }),
  );
  const other = archive.addSession(sessionInfo({ peerName: 'CN=other' }));
  for (let at = 0; at < RECORDS - 2; at += 58) {
    const treeHead = archive.treeHead();
    await appendMany(archive, at % 3 === 0 ? session : other, 58, (i) => ({
      sequence: at + i,
      object: utf8(`object ${at + i}`),
      treeHead: i === 0 ? treeHead : new Uint8Array(0),
      direction: i % 2 === 0 ? 'sent' : 'received',
      ...(i === 7 ? { kind: 'receipt', target: at, content: undefined } : {}),
      ...(i === 9 ? { revocation: [{ kind: 'crl', der: Uint8Array.of(0x30, 1, i) }] } : {}),
      ...(i === 11 ? { signerChain: [Uint8Array.of(0x30, 1, at & 0xff)] } : {}),
    }));
  }
  await archive.append(plainRecord(session, 700, { object: Buffer.alloc(CHUNK_BYTES + 10, 'large') }));
  await archive.append(plainRecord(session, 701, { status: 'missing', object: undefined }));
  checkpoint = await archive.checkpoint();
  await archive.close();
});

async function auditOf(path: string, options: AuditOptions = {}): Promise<AuditReport> {
  const reader = openSqliteReader(path);
  try {
    return await audit(nodeCrypto, reader, { signatures: 'none', ...options });
  } finally {
    await reader.close();
  }
}

function copied(): string {
  const folder = temporaryFolder();
  cpSync(original, folder, { recursive: true });
  return join(folder, 'archive.db');
}

async function afterTampering(
  change: (database: Database) => void,
  options: AuditOptions = {},
): Promise<AuditReport> {
  const path = copied();
  tamper(path, change);
  return auditOf(path, options);
}

const kinds = ({ findings }: AuditReport) => findings.map(({ kind, record }) => [kind, record]);

describe('an archive that nobody touched', () => {
  it('is found good, and it is said who vouches for what', async () => {
    const report = await auditOf(join(original, 'archive.db'));
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({
      ok: true,
      records: RECORDS,
      contents: { held: RECORDS - 1, erased: 0 },
      checkpoints: { count: 6, valid: 6, last: { size: RECORDS } },
      signatures: { mode: 'none', valid: 0, invalid: 0 },
      covered: { byCheckpoint: RECORDS, byWitness: 0, byTimestamp: 0 },
    });
    expect(report.covered.byReceipt).toBeGreaterThan(500);
    expect(report.unwitnessed).toBe(RECORDS - report.covered.byReceipt);
  });

  it('is good with a checkpoint from elsewhere, which is then a witness', async () => {
    const report = await auditOf(join(original, 'archive.db'), {
      checkpoints: [{ name: 'kept.pem', checkpoint }],
    });
    expect(report).toMatchObject({ ok: true, covered: { byWitness: RECORDS }, unwitnessed: 0 });
  });

  it('is good when it is empty', async () => {
    const folder = temporaryFolder();
    await (await openAt(folder)).close();
    expect(await auditOf(join(folder, 'archive.db'))).toMatchObject({
      ok: true,
      records: 0,
      findingCount: 0,
    });
  });

  it('is good when contents were erased, and says how many', async () => {
    const path = copied();
    const archive = await openAt(join(path, '..'));
    await archive.erase(3, 'asked to');
    await archive.erase(RECORDS - 2, 'asked to');
    await archive.close();
    expect(await auditOf(path)).toMatchObject({
      ok: true,
      records: RECORDS + 2,
      contents: { held: RECORDS - 3, erased: 2 },
    });
  });
});

describe('a changed record', () => {
  // Record 300 is sent, with an inline object; 299 is a receipt; 301 has revocation data.
  it.each([
    ['direction', 'direction = 1 - direction'],
    ['kind', 'kind = 1 - kind'],
    ['status', 'status = 2'],
    ['reason', `reason = 'x'`],
    ['time', 'time = time + 1'],
    ['session', 'session = 3 - session'],
    ['sequence', 'sequence = sequence + 1'],
    ['application', `application = 'other'`],
    ['content_type', 'content_type = 22'],
    ['format', 'format = 2'],
    ['object_digest', `object_digest = zeroblob(32)`],
    ['content_length', 'content_length = content_length + 1'],
    ['content_digest', `content_digest = zeroblob(32)`],
    ['flags', 'flags = flags + 1'],
    ['tree_head', `tree_head = x'3000'`],
    ['target', 'target = 5'],
    ['signer_chain', 'signer_chain = zeroblob(32)'],
    ['revocation', 'revocation = zeroblob(32)'],
    ['provenance', 'provenance = zeroblob(32)'],
  ])('is named: %s', async (_column, set) => {
    const report = await afterTampering((database) =>
      database.exec(`UPDATE record SET ${set} WHERE idx = 300`),
    );
    expect(report.ok).toBe(false);
    expect(kinds(report)).toContainEqual(['changed', 300]);
    expect(report.findings[0]?.record).toBe(300);
    expect(report.findings.every(({ record }) => record === 300)).toBe(true);
  });

  it('is named when its object is another', async () => {
    for (const set of [
      `object = x'00'`,
      `object = CAST('object 301' AS BLOB)`,
      'object = zeroblob(1000000)',
      'object_length = object_length + 1',
    ]) {
      const report = await afterTampering((database) =>
        database.exec(`UPDATE record SET ${set} WHERE idx = 300`),
      );
      expect(kinds(report)).toContainEqual(['content-changed', 300]);
      expect(report.findings[0]?.record).toBe(300);
    }
  });

  it('is named when a chunk of its object was changed, cut, lengthened or removed', async () => {
    for (const sql of [
      `UPDATE chunk SET bytes = zeroblob(${CHUNK_BYTES}) WHERE id % 2 = 0`,
      `UPDATE chunk SET bytes = x'00' WHERE id % 2 = 1`,
      `UPDATE chunk SET bytes = zeroblob(${3 * CHUNK_BYTES}) WHERE id % 2 = 1`,
      'DELETE FROM chunk WHERE id % 2 = 1',
      'DELETE FROM chunk',
      'INSERT INTO chunk SELECT max(id) + 1, zeroblob(1) FROM chunk',
    ]) {
      const report = await afterTampering((database) => database.exec(sql));
      expect(kinds(report)).toEqual([['content-changed', RECORDS - 2]]);
    }
  });

  it('is named when its object is gone and nobody erased it', async () => {
    const report = await afterTampering((database) =>
      database.exec('UPDATE record SET object = NULL WHERE idx = 41'),
    );
    expect(kinds(report)).toEqual([['content-removed', 41]]);
  });

  it('is named when its session or its certificates were changed', async () => {
    for (const [sql, kind] of [
      [`UPDATE session SET peer_name = 'CN=nobody' WHERE id = 1`, 'session-changed'],
      ['UPDATE session SET session_binding = zeroblob(32) WHERE id = 1', 'session-changed'],
      ['UPDATE session SET role = 0, started = 5 WHERE id = 1', 'session-changed'],
      [`UPDATE attachment SET bytes = x'30020000' WHERE length(bytes) = 2`, 'attachment-changed'],
      ['DELETE FROM attachment WHERE id = 3', 'attachment-changed'],
    ] as const) {
      const report = await afterTampering((database) => database.exec(sql));
      expect(report.ok).toBe(false);
      expect(report.findings[0]?.kind).toBe(kind);
    }
  });

  it('is named when nobody can read its row, and the others are read', async () => {
    const report = await afterTampering((database) =>
      database.exec(
        'UPDATE record SET direction = 99 WHERE idx = 100; UPDATE record SET session = 77 WHERE idx = 400',
      ),
    );
    expect(kinds(report)).toEqual([
      ['changed', 100],
      ['changed', 400],
    ]);
    expect(report.records).toBe(RECORDS - 2);
  });

  it('is narrowed down to a few when its hash in the tree was changed with it', async () => {
    const report = await afterTampering((database) => changeWithLeaf(database, 300));
    expect(report.ok).toBe(false);
    const [first] = report.findings;
    expect(first?.kind).toBe('rewritten');
    expect(first?.record).toBeLessThanOrEqual(300);
    expect(first?.lastRecord).toBeGreaterThanOrEqual(300);
    expect((first?.lastRecord ?? 0) - (first?.record ?? 0)).toBeLessThan(200);
  });
});

describe('a removed record', () => {
  it.each([0, 1, 255, 256, 300, RECORDS - 1])('is named: %i', async (index) => {
    const report = await afterTampering((database) =>
      database.exec(`DELETE FROM record WHERE idx = ${index}`),
    );
    expect(kinds(report)).toContainEqual(['removed', index]);
    expect(report.findings.filter(({ kind }) => kind === 'removed')).toHaveLength(1);
    expect(report.findings[0]?.record).toBe(index);
  });

  it('is named when the following ones were moved up to close the gap', async () => {
    const report = await afterTampering((database) => {
      database.exec('DELETE FROM record WHERE idx = 300');
      renumber(database, 301, RECORDS - 1, -1);
    });
    expect(report.findings[0]).toMatchObject({ kind: 'removed', record: 300 });
    expect(report.findings.filter(({ kind }) => kind === 'removed')).toHaveLength(1);
  });

  it('is named when there are several, together or apart', async () => {
    const report = await afterTampering((database) =>
      database.exec('DELETE FROM record WHERE idx BETWEEN 100 AND 105 OR idx = 500'),
    );
    const removed = report.findings.filter(({ kind }) => kind === 'removed');
    expect(removed.map(({ record, lastRecord }) => [record, lastRecord])).toEqual([
      [100, 105],
      [500, undefined],
    ]);
  });

  it('is named when the end was cut off with everything that speaks of it, by a checkpoint from elsewhere', async () => {
    const cut = (database: Database) => cutEnd(database, 500);
    // Without a witness nothing in the file knows of the end.
    const alone = await afterTampering(cut);
    expect(alone).toMatchObject({ ok: true, records: 500 });
    expect(alone.unwitnessed).toBeGreaterThan(0);
    const report = await afterTampering(cut, { checkpoints: [{ name: 'kept.pem', checkpoint }] });
    expect(report.findings).toMatchObject([{ kind: 'removed', record: 500, lastRecord: RECORDS - 1 }]);
    expect(report.findings[0]?.text).toContain('kept.pem');
  });
});

describe('an inserted record', () => {
  it('is named', async () => {
    const report = await afterTampering((database) => {
      renumber(database, 300, RECORDS - 1, 1);
      copyRecord(database, 10, 300);
    });
    expect(report.findings[0]).toMatchObject({ kind: 'inserted', record: 300 });
    expect(report.findings.filter(({ kind }) => kind === 'inserted')).toHaveLength(1);
  });

  it('is named at the end, where no tree has it', async () => {
    const report = await afterTampering((database) => copyRecord(database, 10, RECORDS));
    expect(report.findings).toMatchObject([{ kind: 'inserted', record: RECORDS }]);
  });

  it('is named where nobody would look', async () => {
    const report = await afterTampering((database) => copyRecord(database, 10, -7));
    expect(report.findings).toMatchObject([{ kind: 'inserted' }]);
    const far = await afterTampering((database) => copyRecord(database, 10, 100_000));
    expect(far.findings).toMatchObject([{ kind: 'inserted' }]);
  });
});

describe('reordered records', () => {
  it('are named', async () => {
    const report = await afterTampering((database) => swap(database, 300, 310));
    expect(report.findings[0]).toMatchObject({ kind: 'reordered', record: 300 });
    expect(report.findings.filter(({ kind }) => kind === 'reordered')).toHaveLength(1);
    const neighbours = await afterTampering((database) => swap(database, 255, 256));
    expect(neighbours.findings[0]).toMatchObject({ kind: 'reordered', record: 255 });
  });
});

describe('a changed tree', () => {
  it('is told from changed records', async () => {
    const report = await afterTampering((database) => {
      const row = database.prepare('SELECT hashes FROM tile WHERE level = 0 AND position = 1').get([]);
      const hashes = Uint8Array.from(row?.[0] as Uint8Array);
      hashes[44 * 32] = (hashes[44 * 32] as number) ^ 1;
      database.prepare('UPDATE tile SET hashes = ? WHERE level = 0 AND position = 1').run([hashes]);
    });
    expect(report.ok).toBe(false);
    expect(kinds(report)).toEqual([['tree-changed', undefined]]);
    expect(report.findings[0]?.text).toContain('record 300');
  });

  it('is told when tiles are gone', async () => {
    for (const sql of [
      'DELETE FROM tile WHERE level = 0 AND position = 1',
      'DELETE FROM tile WHERE level = 0 AND position = 2',
      `UPDATE tile SET hashes = x'00' WHERE level = 0 AND position = 0`,
      'DELETE FROM tile',
    ]) {
      const report = await afterTampering((database) => database.exec(sql));
      expect(report.ok).toBe(false);
      expect(kinds(report)).toEqual([['tree-changed', undefined]]);
    }
  });
});

describe('changed heads and checkpoints', () => {
  it('are told from changed records', async () => {
    for (const sql of [
      'UPDATE head SET root = zeroblob(32) WHERE signature IS NULL AND size = 58',
      'UPDATE head SET root = zeroblob(32) WHERE size = 116',
      'UPDATE head SET time = time + 1000 WHERE size = 116',
      'UPDATE head SET signature = zeroblob(70) WHERE size = 116',
      'UPDATE head SET scheme = 7 WHERE size = 116',
      'UPDATE identity SET archive = zeroblob(16)',
    ]) {
      const report = await afterTampering((database) => database.exec(sql));
      expect(report.ok).toBe(false);
      expect(new Set(report.findings.map(({ kind }) => kind))).toEqual(new Set(['head-changed']));
    }
  });

  it('of another archive are refused, forged ones too', async () => {
    const path = copied();
    const folder = temporaryFolder();
    const other = await openAt(folder);
    await appendMany(other, other.addSession(sessionInfo()), 3);
    const strange = await other.checkpoint();
    await other.close();
    const refused = { code: 'ERR_EVIDENCE_CHECKPOINT' };
    await expect(auditOf(path, { checkpoints: [{ name: 'x', checkpoint: strange }] })).rejects.toMatchObject(
      refused,
    );
    const forged = { ...checkpoint, time: checkpoint.time + 1000 };
    await expect(auditOf(path, { checkpoints: [{ name: 'x', checkpoint: forged }] })).rejects.toMatchObject(
      refused,
    );
  });
});

describe("a tail rewritten with the archive's own key", () => {
  it('is found by a checkpoint from elsewhere, and by nothing in the file', async () => {
    const path = copied();
    await rewriteTail(path, 500);
    const alone = await auditOf(path);
    expect(alone).toMatchObject({ ok: true, covered: { byCheckpoint: RECORDS } });
    const report = await auditOf(path, { checkpoints: [{ name: 'kept.pem', checkpoint }] });
    expect(report.ok).toBe(false);
    expect(report.findings).toMatchObject([{ kind: 'rewritten', lastRecord: RECORDS - 1 }]);
    expect(report.findings[0]?.text).toContain('kept.pem');
  });
});

describe('the list of heads of other archives', () => {
  it('must fit the records', async () => {
    const report = await afterTampering((database) =>
      database.exec(`INSERT INTO witnessed VALUES (zeroblob(16), 5, zeroblob(32), 12)`),
    );
    expect(kinds(report)).toEqual([['witness', 12]]);
  });
});

it('counts what it does not list', async () => {
  const report = await afterTampering((database) => database.exec('UPDATE record SET time = 0'));
  expect(report.findings).toHaveLength(100);
  expect(report.findingCount).toBe(RECORDS);
  expect(report.findings[0]).toMatchObject({ kind: 'changed', record: 0 });
});

/** Moves records `from` to `to` by one, the last first. */
function renumber(database: Database, from: number, to: number, by: 1 | -1): void {
  database.exec(`UPDATE record SET idx = -idx WHERE idx BETWEEN ${from} AND ${to}`);
  database.exec(`UPDATE record SET idx = -idx + ${by} WHERE idx < 0`);
}

function copyRecord(database: Database, from: number, to: number): void {
  database.exec('CREATE TEMP TABLE copy AS SELECT * FROM record');
  database.exec(`UPDATE copy SET idx = ${to}, sequence = 999999 WHERE idx = ${from}`);
  database.exec(`INSERT INTO record SELECT * FROM copy WHERE idx = ${to} AND sequence = 999999`);
}

function swap(database: Database, a: number, b: number): void {
  database.exec(`UPDATE record SET idx = -1000000 WHERE idx = ${a}`);
  database.exec(`UPDATE record SET idx = ${a} WHERE idx = ${b}`);
  database.exec(`UPDATE record SET idx = ${b} WHERE idx = -1000000`);
}

/** Changes a record and its hash in the tile, as somebody would who has read the schema. */
function changeWithLeaf(database: Database, index: number): void {
  database.exec(`UPDATE record SET time = 5 WHERE idx = ${index}`);
  const [tile, at] = [Math.floor(index / 256), index % 256];
  const row = database.prepare('SELECT hashes FROM tile WHERE level = 0 AND position = ?').get([tile]);
  const hashes = Uint8Array.from(row?.[0] as Uint8Array);
  hashes.set(leafAfter(database, index), at * 32);
  database.prepare('UPDATE tile SET hashes = ? WHERE level = 0 AND position = ?').run([hashes, tile]);
}

/** Removes the end with its leaves, heads and checkpoints. */
function cutEnd(database: Database, size: number): void {
  database.exec(`DELETE FROM record WHERE idx >= ${size}; DELETE FROM head WHERE size > ${size}`);
  database.exec(`DELETE FROM tile WHERE level = 0 AND position > ${Math.floor(size / 256)}`);
  // Of two levels, which is what so few records have.
  for (const [level, count] of [
    [0, size],
    [1, Math.floor(size / 256)],
  ] as const) {
    const position = Math.floor(count / 256);
    const cut = 'UPDATE tile SET hashes = substr(hashes, 1, ?) WHERE level = ? AND position = ?';
    database.prepare(cut).run([(count % 256) * 32, level, position]);
  }
}

/** What the owner can do: cut the end off, write another one, and sign it. */
async function rewriteTail(path: string, from: number): Promise<void> {
  tamper(path, (database) => cutEnd(database, from));
  const archive = await openAt(join(path, '..'));
  const session = archive.addSession(sessionInfo());
  await appendMany(archive, session, RECORDS - from, (i) => ({ sequence: from + i, time: 1 }));
  await archive.close();
}

/** What the leaf of a record is now. */
function leafAfter(database: Database, index: number): Uint8Array {
  const row = database.prepare(`SELECT ${RECORD_COLUMNS} FROM record WHERE idx = ?`).get([index]) ?? [];
  const digestOf = (id: number) =>
    database.prepare('SELECT digest FROM session WHERE id = ?').get([id])?.[0] as Uint8Array;
  return hash.leaf(encodeLeaf(readRecord(row, digestOf)));
}
