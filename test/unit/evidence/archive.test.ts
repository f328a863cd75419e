import { chmodSync, existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { toHex } from '../../../src/der/bytes.ts';
import type { Archive } from '../../../src/evidence/archive/archive.ts';
import { encodeLeaf } from '../../../src/evidence/archive/leaf.ts';
import { CHUNK_BYTES, RecordFlag } from '../../../src/evidence/archive/record.ts';
import { sqliteDriver } from '../../../src/evidence/archive/sqlite/driver.ts';
import { RUN_RECORDS } from '../../../src/evidence/archive/sqlite/reader.ts';
import { MIGRATIONS } from '../../../src/evidence/archive/sqlite/schema.ts';
import { openSqliteReader } from '../../../src/evidence/archive/sqlite/store.ts';
import { MerkleHash } from '../../../src/evidence/merkle/hash.ts';
import { inclusionProof, verifyInclusion } from '../../../src/evidence/merkle/proof.ts';
import { storedSubtrees } from '../../../src/evidence/merkle/tree.ts';
import {
  checkpointToPem,
  decodeTreeHead,
  encodeTreeHead,
  verifyCheckpoint,
} from '../../../src/evidence/merkle/tree-head.ts';
import { itWith, needThat } from '../../setup/need.ts';
import {
  appendMany,
  collect,
  openAt,
  plainRecord,
  START,
  sessionInfo,
  sha256,
  tamper,
  temporaryFolder,
  utf8,
} from './support.ts';

const hash = new MerkleHash(nodeCrypto);

describe('append', () => {
  it('keeps a record with everything that belongs to it, also across a restart', async () => {
    const folder = temporaryFolder();
    const archive = await openAt(folder);
    const chain = [Uint8Array.of(0x30, 0), Uint8Array.of(0x30, 1, 5)];
    const session = archive.addSession(sessionInfo({ peerChain: chain }));
    const first = await archive.append(plainRecord(session, 0));
    const second = await archive.append(
      plainRecord(session, 1, {
        direction: 'sent',
        kind: 'receipt',
        status: 'rejected',
        reason: 'WRONG_SIGNER: another key',
        application: 'Aufträge',
        format: 'xmldsig',
        content: undefined,
        target: first,
        treeHead: archive.treeHead(),
        signerChain: chain,
        revocation: [{ kind: 'crl', der: Uint8Array.of(0x30, 0) }],
        flags: RecordFlag.receiptRequested | RecordFlag.unsigned,
      }),
    );
    await archive.close();

    const reader = openSqliteReader(join(folder, 'archive.db'));
    const record = await reader.record(second);
    expect(record).toMatchObject({
      index: 1,
      direction: 'sent',
      kind: 'receipt',
      status: 'rejected',
      reason: 'WRONG_SIGNER: another key',
      time: START + 1000,
      sequence: 1,
      application: 'Aufträge',
      contentType: 23,
      format: 'xmldsig',
      objectLength: 14,
      contentLength: 0,
      flags: 3,
      target: 0,
      held: 'inline',
    });
    expect(toHex(record?.objectDigest ?? utf8(''))).toBe(toHex(sha256('signed order 1')));
    expect(record?.contentDigest).toHaveLength(0);
    expect(await collect(reader.object(second))).toEqual(Buffer.from('signed order 1'));
    const stored = await reader.session(session.digest);
    expect(stored).toMatchObject({ role: 'server', protocol: 0x0304, ownName: 'CN=server', started: START });
    expect(stored?.peerChain).toEqual(record?.signerChain);
    const attachment = await reader.attachment(record?.signerChain ?? utf8(''));
    expect(toHex(attachment ?? utf8(''))).toBe('30053000300105');
    expect(await reader.size()).toBe(2);
    await reader.close();
  });

  it('gives many appenders one commit, and each its own index', async () => {
    const folder = temporaryFolder();
    const archive = await openAt(folder);
    let commits = 0;
    const commit = archive.store.commit.bind(archive.store);
    archive.store.commit = (batch) => {
      commits++;
      return commit(batch);
    };
    const session = archive.addSession(sessionInfo());
    const indexes = await appendMany(archive, session, 300);
    expect(indexes).toEqual(Array.from({ length: 300 }, (_, i) => i));
    expect(commits).toBe(1);
    expect(archive.size).toBe(300);
    await archive.close();
  });

  it('tells every appender of a group whose commit failed, and stays usable', async () => {
    const archive = await openAt(temporaryFolder());
    const session = archive.addSession(sessionInfo());
    await archive.append(plainRecord(session, 0));
    const before = toHex(archive.head.root);
    const commit = archive.store.commit.bind(archive.store);
    archive.store.commit = () => Promise.reject(new Error('disk full'));
    const other = archive.addSession(sessionInfo({ peerName: 'CN=other' }));
    const results = await Promise.allSettled([
      archive.append(plainRecord(other, 1)),
      archive.append(plainRecord(session, 2)),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(toHex(archive.head.root)).toBe(before);
    archive.store.commit = commit;
    // The session that could not be stored comes with the next records.
    expect(await archive.append(plainRecord(other, 1))).toBe(1);
    await archive.close();
  });

  it('undoes in the store what a failing batch had begun', async () => {
    const folder = temporaryFolder();
    const archive = await openAt(folder);
    const session = archive.addSession(sessionInfo());
    await appendMany(archive, session, RUN_RECORDS - 1);
    const record = (await archive.store.record(0)) ?? expect.fail();
    const entry = (index: number) => ({ record: { ...record, index }, object: utf8('x') });
    await expect(archive.store.commit({ records: [entry(RUN_RECORDS - 1), entry(0)] })).rejects.toMatchObject(
      { code: 'ERR_EVIDENCE_DAMAGED' },
    );
    expect(await archive.store.size()).toBe(RUN_RECORDS - 1);
    await appendMany(archive, session, 2, (i) => ({ object: utf8(`last ${i}`) }));
    const found = await archive.store.find({ digest: sha256('last 0'), limit: 10 });
    expect(found.map(({ index }) => index)).toEqual([RUN_RECORDS - 1]);
    await archive.close();
  });

  it('accepts sessions again and again, and keeps each once', async () => {
    const archive = await openAt(temporaryFolder());
    for (let i = 0; i < 3; i++) {
      const session = archive.addSession(sessionInfo());
      await archive.append(plainRecord(session, i));
    }
    expect(await archive.store.sessions({ limit: 10 })).toHaveLength(1);
    await archive.close();
  });

  it('refuses what it could not give back as it was', async () => {
    const archive = await openAt(temporaryFolder());
    const session = archive.addSession(sessionInfo());
    const refused = { code: 'ERR_EVIDENCE_RECORD' };
    for (const change of [
      { object: undefined },
      { objectDigest: utf8('short') },
      { content: { length: 1, digest: utf8('short') } },
      { sequence: -1 },
      { time: 1.5 },
      { target: Number.NaN },
      { treeHead: new Uint8Array(2049) },
      { application: 'x'.repeat(256) },
      { session: { digest: utf8('nobody') } },
      { session: { digest: sha256('nobody') } },
    ]) {
      await expect(archive.append(plainRecord(session, 0, change))).rejects.toMatchObject(refused);
    }
    expect(() => archive.addSession(sessionInfo({ sessionBinding: utf8('short') }))).toThrow(
      'session binding',
    );
    expect(await archive.append(plainRecord(session, 0, { object: undefined, status: 'missing' }))).toBe(0);
    await archive.close();
    await expect(archive.append(plainRecord(session, 1))).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_CLOSED',
    });
  });

  it('takes control characters and lone surrogates out of texts, and nothing else', async () => {
    const archive = await openAt(temporaryFolder());
    const session = archive.addSession(sessionInfo({ peerName: 'CN=a\u0000b\u001b[31m' }));
    await archive.append(
      plainRecord(session, 0, { application: 'a\u0000\ud800é😀', status: 'rejected', reason: '\n' }),
    );
    const record = await archive.store.record(0);
    expect(record).toMatchObject({ application: 'a\ufffd\ufffdé😀', reason: '\ufffd' });
    expect((await archive.store.session(session.digest))?.peerName).toBe('CN=a\ufffdb\ufffd[31m');
    await archive.close();
  });
});

describe('large objects', () => {
  it('that are on their way when it is closed are waited for', async () => {
    const folder = temporaryFolder();
    const archive = await openAt(folder);
    const session = archive.addSession(sessionInfo());
    const object = Buffer.alloc(CHUNK_BYTES + 1, 'late');
    const appending = archive.append(plainRecord(session, 0, { object }));
    await archive.close();
    expect(await appending).toBe(0);
    const reader = openSqliteReader(join(folder, 'archive.db'));
    expect(await reader.record(0)).toMatchObject({ held: 'chunks', objectLength: object.length });
    await reader.close();
  });

  it('are kept in chunks, streamed in and out', async () => {
    const folder = temporaryFolder();
    const archive = await openAt(folder);
    const session = archive.addSession(sessionInfo());
    const object = Buffer.alloc(2 * CHUNK_BYTES + 12_345, 'abcdefg');
    const content = await archive.newContent();
    for (let at = 0; at < object.length; at += 700_001)
      await content.write(object.subarray(at, at + 700_001));
    const index = await archive.append(plainRecord(session, 0, { object: await content.finish() }));
    await archive.close();
    const reader = openSqliteReader(join(folder, 'archive.db'));
    const pieces: number[] = [];
    const back: Uint8Array[] = [];
    for await (const piece of reader.object(index)) {
      pieces.push(piece.length);
      back.push(piece);
    }
    expect(pieces).toEqual([CHUNK_BYTES, CHUNK_BYTES, 12_345]);
    expect(Buffer.concat(back).equals(object)).toBe(true);
    expect(await reader.record(index)).toMatchObject({ held: 'chunks', objectLength: object.length });
    await reader.close();
  });

  it('are cut up when they are given as a whole', async () => {
    const archive = await openAt(temporaryFolder());
    const session = archive.addSession(sessionInfo());
    const object = Buffer.alloc(70_000, 'x');
    const index = await archive.append(plainRecord(session, 0, { object }));
    expect(await archive.store.record(index)).toMatchObject({ held: 'chunks', objectLength: 70_000 });
    expect(toHex((await archive.store.record(index))?.objectDigest ?? utf8(''))).toBe(toHex(sha256(object)));
    await archive.close();
  });

  it('are gone after a restart when no record has come for them', async () => {
    const folder = temporaryFolder();
    const archive = await openAt(folder);
    const session = archive.addSession(sessionInfo());
    const kept = await archive.newContent();
    const abandoned = await archive.newContent();
    const forgotten = await archive.newContent();
    for (const content of [kept, abandoned, forgotten]) await content.write(Buffer.alloc(CHUNK_BYTES + 1));
    await archive.append(plainRecord(session, 0, { object: await kept.finish() }));
    await abandoned.abandon();
    await expect(kept.write(utf8('more'))).rejects.toMatchObject({ code: 'ERR_EVIDENCE_CLOSED' });
    await archive.close();
    const again = await openAt(folder);
    expect(rows(folder, 'SELECT count(*) FROM chunk')).toEqual([[2]]);
    expect(rows(folder, 'SELECT count(*) FROM unfinished_content')).toEqual([[0]]);
    await again.close();
  });
});

describe('the tree of an archive', () => {
  it('covers every record, and goes on after a restart', async () => {
    const folder = temporaryFolder();
    let archive = await openAt(folder);
    const session = archive.addSession(sessionInfo());
    await appendMany(archive, session, 300);
    await archive.close();
    archive = await openAt(folder);
    await appendMany(archive, session, 300, (i) => ({ sequence: 300 + i }));
    const { size, root } = archive.head;
    expect(size).toBe(600);
    const { store } = archive;
    const subtree = storedSubtrees(
      hash,
      (l, p) => store.tile(l, p),
      () => new Error('missing'),
    );
    for (const index of [0, 255, 256, 299, 300, 511, 599]) {
      const record = (await store.record(index)) ?? expect.fail();
      const proof = await inclusionProof(hash, subtree, index, size);
      expect(verifyInclusion(hash, hash.leaf(encodeLeaf(record)), index, size, proof, root)).toBe(true);
    }
    await archive.close();
  });

  it('gives heads of what is durable only, and keeps those it gave', async () => {
    const archive = await openAt(temporaryFolder());
    const session = archive.addSession(sessionInfo());
    expect(decodeTreeHead(archive.treeHead()).size).toBe(0);
    expect(toHex(decodeTreeHead(archive.treeHead()).archive)).toBe(toHex(archive.id));
    const appended = appendMany(archive, session, 3);
    expect(decodeTreeHead(archive.treeHead()).size).toBe(0);
    await appended;
    const head = decodeTreeHead(archive.treeHead());
    expect(head).toMatchObject({ size: 3 });
    expect(toHex(head.root)).toBe(toHex(archive.head.root));
    await archive.append(plainRecord(session, 3, { direction: 'sent', treeHead: archive.treeHead() }));
    const heads = await archive.store.heads({ from: 0, limit: 10 });
    expect(heads.map(({ size, signature }) => [size, signature])).toEqual([
      [0, undefined],
      [3, undefined],
    ]);
    await archive.close();
  });

  it('keeps the heads of other archives that arrive in verified objects', async () => {
    const archive = await openAt(temporaryFolder());
    const session = archive.addSession(sessionInfo());
    const head = (size: number, text: string) =>
      encodeTreeHead({ archive: sha256('other').subarray(0, 16), size, root: sha256(text) });
    await appendMany(
      archive,
      session,
      5,
      (i) =>
        [
          { treeHead: head(7, 'seven') },
          { treeHead: head(7, 'seven') },
          { treeHead: head(9, 'nine'), status: 'unverified' as const },
          { treeHead: utf8('not a tree head') },
          { treeHead: head(8, 'eight') },
        ][i] ?? {},
    );
    const witnessed = await archive.store.witnessed({ from: 0, limit: 10 });
    expect(witnessed.map(({ size, record }) => [size, record])).toEqual([
      [7, 0],
      [8, 4],
    ]);
    await archive.close();
  });
});

describe('checkpoints', () => {
  it('are taken by count, signed, and one of the last size at close', async () => {
    const folder = temporaryFolder();
    const archive = await openAt(folder, { checkpointRecords: 100 });
    const session = archive.addSession(sessionInfo());
    await appendMany(archive, session, 250);
    await appendMany(archive, session, 10);
    await archive.close();
    const reader = openSqliteReader(join(folder, 'archive.db'));
    const checkpoints = await reader.heads({ from: 0, limit: 10, checkpoints: true });
    expect(checkpoints.map(({ size }) => size)).toEqual([250, 260]);
    const { archive: id, publicKey } = await reader.identity();
    for (const { size, root, time, signature } of checkpoints) {
      verifyCheckpoint(nodeCrypto, {
        head: { archive: id, size, root },
        time,
        scheme: signature?.scheme ?? 0,
        signature: signature?.value ?? utf8(''),
        publicKey,
      });
    }
    await reader.close();
  });

  it('are given again while nothing has been added', async () => {
    const archive = await openAt(temporaryFolder());
    const session = archive.addSession(sessionInfo());
    await archive.append(plainRecord(session, 0));
    const checkpoint = await archive.checkpoint();
    expect(checkpointToPem(await archive.checkpoint())).toBe(checkpointToPem(checkpoint));
    // A head that is given away later does not undo the signature.
    archive.treeHead();
    await archive.append(plainRecord(session, 1));
    expect((await archive.store.lastCheckpoint())?.size).toBe(1);
    await archive.close();
  });
});

describe('find', () => {
  async function filled(folder: string): Promise<Archive> {
    const archive = await openAt(folder);
    const one = archive.addSession(sessionInfo());
    const two = archive.addSession(sessionInfo({ peerName: 'CN=Müller 100%_x' }));
    await appendMany(archive, one, 10);
    await appendMany(archive, two, 10, (i) => ({
      application: i % 2 === 0 ? 'bills' : 'orders',
      direction: 'sent' as const,
      object: utf8(`bill ${i}`),
      time: START + 100_000 + i,
    }));
    await archive.append(plainRecord(two, 20, { kind: 'receipt', target: 3 }));
    return archive;
  }
  const indexes = (records: readonly { index: number }[]) => records.map(({ index }) => index);

  it('looks by time, session, application, direction, kind, status and target', async () => {
    const archive = await filled(temporaryFolder());
    const { store } = archive;
    const find = async (query: object) => indexes(await store.find({ limit: 100, ...query }));
    expect(await find({ from: START + 2000, to: START + 4000 })).toEqual([2, 3, 4]);
    expect(await find({ application: 'bills' })).toEqual([10, 12, 14, 16, 18]);
    expect(await find({ direction: 'sent', after: 15 })).toEqual([16, 17, 18, 19]);
    expect(await find({ kind: 'receipt' })).toEqual([20]);
    expect(await find({ target: 3 })).toEqual([20]);
    expect(await find({ status: 'rejected' })).toEqual([]);
    const [, two] = await store.sessions({ limit: 10 });
    expect(await find({ sessions: [two], application: 'orders' })).toEqual([11, 13, 15, 17, 19, 20]);
    expect(await find({ sessions: [] })).toEqual([]);
    expect(indexes(await store.find({ limit: 2 }))).toEqual([0, 1]);
    await archive.close();
  });

  it('looks for sessions by a part of a name, taken literally', async () => {
    const archive = await filled(temporaryFolder());
    const names = async (name: string) =>
      (await archive.store.sessions({ name, limit: 10 })).map(({ peerName }) => peerName);
    expect(await names('cn=CLIENT')).toEqual(['CN=client']);
    expect(await names('0%_')).toEqual(['CN=Müller 100%_x']);
    expect(await names('%')).toEqual(['CN=Müller 100%_x']);
    expect(await names('server')).toHaveLength(2);
    await archive.close();
  });

  it('looks by digest of object or content, in sorted runs and after them', async () => {
    const folder = temporaryFolder();
    let archive = await openAt(folder);
    const session = archive.addSession(sessionInfo());
    const count = 2 * RUN_RECORDS + 100;
    await appendMany(archive, session, count, (i) => (i === 5000 ? {} : { object: utf8(`o${i}`) }));
    const find = async (text: string) =>
      indexes(await archive.store.find({ digest: sha256(text), limit: 100 }));
    for (const i of [0, 1, RUN_RECORDS - 1, RUN_RECORDS, 2 * RUN_RECORDS - 1, 2 * RUN_RECORDS, count - 1]) {
      expect(await find(`o${i}`)).toEqual([i]);
      expect(await find(`order ${i}`)).toEqual([i]);
    }
    expect(await find('nothing')).toEqual([]);
    await archive.close();
    archive = await openAt(folder);
    await appendMany(archive, session, RUN_RECORDS);
    expect(rows(folder, 'SELECT max(run) FROM digest_run')).toEqual([[2]]);
    expect(await find('order 1')).toEqual([1, count + 1]);
    await archive.close();
  });
});

describe('erase', () => {
  it('removes the object, from the disk too, and says so in a record of its own', async () => {
    const folder = temporaryFolder();
    const archive = await openAt(folder);
    const session = archive.addSession(sessionInfo());
    const secret = 'the secret that must go';
    const large = Buffer.alloc(CHUNK_BYTES + 1000, 'the other secret ');
    const first = await archive.append(plainRecord(session, 0, { object: utf8(secret) }));
    // Pages are split meanwhile, and rows move.
    for (let i = 0; i < 10; i++) {
      await appendMany(archive, session, 3, () => ({ object: Buffer.alloc(3000, 'x') }));
    }
    const second = await archive.append(plainRecord(session, 1, { object: large }));
    const before = (await archive.store.record(first)) ?? expect.fail();
    expect(await archive.erase(first, 'asked to')).toBe(32);
    await archive.erase(second, 'asked to');
    const after = (await archive.store.record(first)) ?? expect.fail();
    expect(after).toEqual({ ...before, held: 'none' });
    expect(await archive.store.record(32)).toMatchObject({ kind: 'erasure', target: 0, reason: 'asked to' });
    expect(await collect(archive.store.object(first))).toHaveLength(0);
    await expect(archive.erase(first, '')).rejects.toMatchObject({ code: 'ERR_EVIDENCE_ERASED' });
    await expect(archive.erase(77, '')).rejects.toMatchObject({ code: 'ERR_EVIDENCE_NOT_FOUND' });
    await archive.close();
    for (const name of ['archive.db', 'archive.db-wal']) {
      const path = join(folder, name);
      const bytes = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
      expect(bytes.includes(secret)).toBe(false);
      expect(bytes.includes('the other secret')).toBe(false);
    }
  });
});

describe('the file', () => {
  it('has a key beside it that only its owner can read, and is opened with no other', async () => {
    const folder = temporaryFolder();
    await (await openAt(folder)).close();
    const key = join(folder, 'archive.db.key');
    expect(statSync(key).mode & 0o777).toBe(0o600);
    expect(readFileSync(key, 'utf8')).toContain('BEGIN PRIVATE KEY');
    await (await openAt(folder, {}, 'other.db')).close();
    await expect(openAt(folder, { keyPath: join(folder, 'other.db.key') })).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_KEY',
    });
    writeFileSync(key, 'nonsense');
    await expect(openAt(folder)).rejects.toMatchObject({ code: 'ERR_EVIDENCE_KEY' });
    await expect(openAt(folder, { keyPath: join(folder, 'no.key') })).rejects.toThrow('missing');
  });

  it('is written to by one archive at a time, and read by any', async () => {
    const folder = temporaryFolder();
    const archive = await openAt(folder);
    await archive.append(plainRecord(archive.addSession(sessionInfo()), 0));
    await expect(openAt(folder)).rejects.toMatchObject({ code: 'ERR_EVIDENCE_LOCKED' });
    const reader = openSqliteReader(join(folder, 'archive.db'));
    expect(await reader.size()).toBe(1);
    await archive.append(plainRecord(archive.addSession(sessionInfo()), 1));
    // A reader sees one state.
    expect(await reader.size()).toBe(1);
    await reader.close();
    await archive.close();
    await (await openAt(folder)).close();
  });

  it('says what it is not', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'archive.db');
    expect(() => openSqliteReader(path)).toThrow('no such file');
    expect(existsSync(path)).toBe(false);
    await expect(openAt(join(folder, 'none'))).rejects.toMatchObject({ code: 'ERR_EVIDENCE_FILE' });
    writeFileSync(path, 'something else, long enough to be looked at. '.repeat(500));
    const notArchive = { code: 'ERR_EVIDENCE_NOT_ARCHIVE' };
    await expect(openAt(folder)).rejects.toMatchObject(notArchive);
    expect(() => openSqliteReader(path)).toThrowError(expect.objectContaining(notArchive));
    const other = join(folder, 'other.db');
    tamper(other, (database) => database.exec('CREATE TABLE x (y)'));
    await expect(openAt(folder, {}, 'other.db')).rejects.toMatchObject(notArchive);
    expect(existsSync(join(folder, 'other.db.key'))).toBe(false);
  });

  it('is refused when a newer version wrote it, and migrated when an older one did', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'archive.db');
    const archive = await openAt(folder);
    const session = archive.addSession(sessionInfo());
    await appendMany(archive, session, 3);
    await archive.close();
    const newer = [...MIGRATIONS, 'ALTER TABLE record ADD COLUMN colour TEXT'];
    expect(() => openSqliteReader(path, { migrations: newer })).toThrowError(
      expect.objectContaining({ code: 'ERR_EVIDENCE_VERSION' }),
    );
    await (await openAt(folder, { migrations: newer })).close();
    expect(rows(folder, 'SELECT idx, colour FROM record WHERE idx = 2')).toEqual([[2, null]]);
    await expect(openAt(folder)).rejects.toMatchObject({ code: 'ERR_EVIDENCE_VERSION' });
    expect(() => openSqliteReader(path)).toThrow('newer Trellis');
  });

  it('says what to do when it is torn or damaged', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'archive.db');
    const archive = await openAt(folder);
    await appendMany(archive, archive.addSession(sessionInfo()), 500);
    await archive.close();
    const good = readFileSync(path);
    const damaged = { code: 'ERR_EVIDENCE_DAMAGED' };
    const readAll = async () => {
      const reader = openSqliteReader(path);
      try {
        for (let from = 0; from < 500; from += 100) await reader.records(from, 100, { objects: true });
        await reader.find({ application: 'orders', limit: 1000 });
      } finally {
        await reader.close();
      }
    };
    truncateSync(path, Math.floor(good.length / 2));
    await expect(readAll()).rejects.toMatchObject(damaged);
    await expect(readAll()).rejects.toThrow('.recover');
    const holes = Buffer.from(good);
    holes.fill(0xaa, 8192 * 3, good.length - 8192);
    writeFileSync(path, holes);
    await expect(readAll()).rejects.toMatchObject(damaged);
    writeFileSync(path, good);
    await expect(readAll()).resolves.toBeUndefined();
  });

  it('is not added to when its records do not fit its tree', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'archive.db');
    const archive = await openAt(folder);
    await appendMany(archive, archive.addSession(sessionInfo()), 10);
    await archive.close();
    tamper(path, (database) => database.exec('DELETE FROM record WHERE idx = 9'));
    await expect(openAt(folder)).rejects.toMatchObject({ code: 'ERR_EVIDENCE_DAMAGED' });
    await expect(openAt(folder)).rejects.toThrow('trellis evidence audit');
    // The lock was let go.
    tamper(path, (database) => database.exec('DELETE FROM tile'));
    await expect(openAt(folder)).rejects.toMatchObject({ code: 'ERR_EVIDENCE_DAMAGED' });
  });

  itWith(
    needThat(process.getuid?.() !== 0, 'root may write everything'),
    'says when it may not be written',
    async () => {
      const folder = temporaryFolder();
      await (await openAt(folder)).close();
      chmodSync(join(folder, 'archive.db'), 0o400);
      await expect(openAt(folder)).rejects.toMatchObject({ code: 'ERR_EVIDENCE_FILE' });
    },
  );
});

function rows(folder: string, sql: string): unknown[] {
  const database = sqliteDriver().open(join(folder, 'archive.db'));
  try {
    return database
      .prepare(sql)
      .all([])
      .map((row) => [...row]);
  } finally {
    database.close();
  }
}
