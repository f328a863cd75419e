import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { openArchive } from '../../../src/evidence/archive/open.ts';
import { CHUNK_BYTES } from '../../../src/evidence/archive/record.ts';
import { openSqliteReader } from '../../../src/evidence/archive/sqlite/store.ts';
import { exportBundle, sidesOf } from '../../../src/evidence/bundle/export.ts';
import { importBundle } from '../../../src/evidence/bundle/import.ts';
import { BundleReader } from '../../../src/evidence/bundle/reader.ts';
import { verifyBundle } from '../../../src/evidence/bundle/verify.ts';
import { ZipReader } from '../../../src/evidence/bundle/zip-reader.ts';
import { ZipWriter } from '../../../src/evidence/bundle/zip-writer.ts';
import { audit } from '../../../src/evidence/verify/audit.ts';
import { NOW } from '../formats/kit.ts';
import { closePair, exchange, openPair, trust } from './parties.ts';
import {
  appendMany,
  collect,
  openAt,
  permanentFolder,
  plainRecord,
  sessionInfo,
  temporaryFolder,
  utf8,
} from './support.ts';

const folder = permanentFolder();
const bundlePath = join(folder, 'case.asice');
const serverPath = join(folder, 'server.db');

beforeAll(async () => {
  const pair = await openPair(folder);
  for (let i = 0; i < 150; i++) await exchange(pair.client, pair.server, `order ${i}`);
  await exchange(pair.client, pair.server, 'in mail', 'smime');
  await exchange(pair.client, pair.server, 'in XML', 'xmldsig');
  await closePair(pair);
  const reader = openSqliteReader(serverPath);
  await exportBundle(nodeCrypto, reader, {
    path: bundlePath,
    records: [100, 201, 300, 302],
    now: NOW,
    trust,
  });
  await reader.close();
});

async function opened<T>(path: string, use: (bundle: BundleReader) => Promise<T>): Promise<T> {
  const bundle = await BundleReader.open(nodeCrypto, path);
  try {
    return await use(bundle);
  } finally {
    await bundle.close();
  }
}

/** The same bundle with files changed, left out or added. */
async function changed(change: (files: Map<string, Uint8Array>) => void): Promise<string> {
  const zip = await ZipReader.open(bundlePath);
  const files = new Map<string, Uint8Array>();
  for (const { name } of zip.entries) files.set(name, await zip.read(name, CHUNK_BYTES));
  await zip.close();
  change(files);
  const path = join(temporaryFolder(), 'changed.asice');
  const writer = await ZipWriter.create(path, NOW);
  for (const [name, bytes] of files) await writer.add(name, bytes);
  await writer.finish();
  return path;
}

describe('a bundle', () => {
  it('holds what is wanted, with the receipts and what they are for', async () => {
    await opened(bundlePath, async (bundle) => {
      const indexes = [...bundle.bundled].map(({ record }) => record.index);
      expect(indexes).toEqual([100, 101, 200, 201, 300, 301, 302, 303]);
      const report = await verifyBundle(nodeCrypto, bundle, { trust });
      expect(report.checkpointFault).toBeUndefined();
      expect(
        report.records.map(({ isInTree, faults, verdict }) => [isInTree, faults, verdict.verdict]),
      ).toEqual(indexes.map(() => [true, [], 'valid']));
      expect(report.ok).toBe(true);
    });
  });

  it('is a container of ASiC-E: mimetype first and stored, content and account inside', async () => {
    const bytes = readFileSync(bundlePath);
    expect(bytes.toString('latin1', 30, 38)).toBe('mimetype');
    expect(bytes.readUInt16LE(8)).toBe(0);
    expect(bytes.readUInt16LE(28)).toBe(0);
    expect(bytes.toString('latin1', 38, 69)).toBe('application/vnd.etsi.asic-e+zip');
    const zip = await ZipReader.open(bundlePath);
    expect(Buffer.from(await zip.read('records/000100/content.bin', 100)).toString()).toBe('order 50');
    expect(Buffer.from(await zip.read('records/000300/content.bin', 100)).toString()).toBe('in mail');
    const readme = Buffer.from(await zip.read('README.txt', CHUNK_BYTES)).toString();
    expect(readme).toContain('openssl cms -verify');
    expect(readme).toContain('Record 100 of archive');
    const manifest = Buffer.from(await zip.read('META-INF/manifest.xml', CHUNK_BYTES)).toString();
    expect(manifest).toContain('manifest:full-path="records/000100/object.p7m"');
    await zip.close();
  });

  it('is not made of records that no checkpoint covers, that are not there, or over a file', async () => {
    const at = temporaryFolder();
    const archive = await openAt(at);
    const session = archive.addSession(sessionInfo());
    await appendMany(archive, session, 3);
    const base = { path: join(at, 'x.asice'), now: NOW };
    const make = (options: object) =>
      exportBundle(nodeCrypto, archive.store, { ...base, records: [1], ...options });
    await expect(make({})).rejects.toMatchObject({ code: 'ERR_EVIDENCE_NOT_FOUND' });
    await archive.checkpoint();
    await expect(make({ records: [] })).rejects.toMatchObject({ code: 'ERR_EVIDENCE_OPTION' });
    await expect(make({ records: [7] })).rejects.toMatchObject({ code: 'ERR_EVIDENCE_NOT_FOUND' });
    await make({});
    await expect(make({})).rejects.toMatchObject({ code: 'ERR_EVIDENCE_FILE' });
    await archive.close();
  });

  it.each([
    ['an object', 'records/000100/object.p7m', 'faults'],
    ['a leaf', 'records/000100/leaf.der', 'tree'],
    ['a proof', 'records/000100/proof/03.right', 'tree'],
    ['the session', 'sessions/1/session.der', 'any'],
    ['the signature of the checkpoint', 'checkpoint/checkpoint.pem', 'any'],
  ])('proves nothing when %s was changed', async (_what, name, where) => {
    const path = await changed((files) => {
      const file = [...files.keys()].find((key) => key === name || key.startsWith(name.replace('right', '')));
      const bytes = Uint8Array.from(files.get(file ?? '') ?? expect.fail());
      const at = bytes.length - (name.endsWith('.pem') ? 60 : 3);
      bytes[at] = name.endsWith('.pem') ? (bytes[at] === 0x41 ? 0x42 : 0x41) : (bytes[at] as number) ^ 1;
      files.set(file ?? '', bytes);
    });
    const outcome = await opened(path, (bundle) => verifyBundle(nodeCrypto, bundle, { trust })).catch(
      (error: unknown) => error,
    );
    if (outcome instanceof Error) {
      expect(outcome).toMatchObject({ code: expect.stringMatching(/^ERR_EVIDENCE_(BUNDLE|CHECKPOINT)$/) });
      return;
    }
    const report = outcome as Awaited<ReturnType<typeof verifyBundle>>;
    expect(report.ok).toBe(false);
    const first = report.records[0];
    if (where === 'tree') expect(first?.isInTree).toBe(false);
    if (where === 'faults') expect(first?.faults).toHaveLength(1);
  });

  it('proves nothing with the proof of another record', async () => {
    const path = await changed((files) => {
      files.set('records/000100/leaf.der', files.get('records/000200/leaf.der') ?? utf8(''));
      files.set('records/000100/object.p7m', files.get('records/000200/object.p7m') ?? utf8(''));
    });
    const report = await opened(path, (bundle) => verifyBundle(nodeCrypto, bundle, { trust }));
    expect(report.ok).toBe(false);
    expect(report.records.map(({ isInTree }) => isInTree)).toEqual([
      false,
      true,
      true,
      true,
      true,
      true,
      true,
      true,
    ]);
  });

  it.each([
    ['no index', (files: Map<string, Uint8Array>) => files.delete('bundle.json')],
    ['an index that is no JSON', (files: Map<string, Uint8Array>) => files.set('bundle.json', utf8('{'))],
    [
      'an index of something else',
      (files: Map<string, Uint8Array>) => files.set('bundle.json', utf8('{"records":[]}')),
    ],
    ['no leaf', (files: Map<string, Uint8Array>) => files.delete('records/000100/leaf.der')],
    [
      'a leaf that is none',
      (files: Map<string, Uint8Array>) => files.set('records/000100/leaf.der', utf8('x')),
    ],
    ['another type', (files: Map<string, Uint8Array>) => files.set('mimetype', utf8('application/zip'))],
    [
      'a leaf that is too long',
      (files: Map<string, Uint8Array>) => files.set('records/000100/leaf.der', Buffer.alloc(70_000)),
    ],
  ])('is refused with %s', async (_what, change) => {
    const path = await changed(change);
    await expect(BundleReader.open(nodeCrypto, path)).rejects.toMatchObject({ code: 'ERR_EVIDENCE_BUNDLE' });
  });
});

describe("the other party's bundle", () => {
  it('is a witness for an audit', async () => {
    const reader = openSqliteReader(join(folder, 'client.db'));
    await opened(bundlePath, async (bundle) => {
      const report = await audit(nodeCrypto, reader, {
        signatures: 'none',
        witnesses: [{ name: 'case.asice', reader: bundle }],
      });
      expect(report.findings).toEqual([]);
      expect(report).toMatchObject({
        ok: true,
        witnesses: [{ sessions: 1, same: 8, differing: 0, lacking: 0 }],
        witnessHeads: { count: 4, fitting: 4 },
        covered: { byWitness: 302 },
      });
    });
    await reader.close();
  });
});

describe('import', () => {
  it('takes the records with where they come from, once', async () => {
    const at = temporaryFolder();
    const path = join(at, 'own.db');
    const archive = await openArchive(path, { now: () => NOW });
    await archive.append(plainRecord(archive.addSession(sessionInfo()), 0));
    await opened(bundlePath, async (bundle) => {
      const result = await importBundle(nodeCrypto, archive, bundle, { trust });
      expect(result.records.map(({ to }) => to)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
      expect(await importBundle(nodeCrypto, archive, bundle, { trust })).toMatchObject({ known: 8 });
    });
    expect(await archive.store.record(2)).toMatchObject({ kind: 'receipt', target: 1, flags: 8 });
    await archive.close();
    const reader = openSqliteReader(path);
    const report = await audit(nodeCrypto, reader, { trust });
    expect(report.findings.map(({ kind, record }) => [kind, record])).toEqual([['forged', 0]]);
    expect(report.signatures).toMatchObject({ valid: 8, invalid: 1 });
    await reader.close();
  });

  it('takes nothing of a bundle that does not verify', async () => {
    const path = await changed((files) => {
      const object = Uint8Array.from(files.get('records/000300/object.eml') ?? utf8(''));
      // Another digit of base64 than is there.
      object[object.length - 30] = object[object.length - 30] === 0x41 ? 0x42 : 0x41;
      files.set('records/000300/object.eml', object);
    });
    const archive = await openAt(temporaryFolder());
    await opened(path, async (bundle) => {
      await expect(importBundle(nodeCrypto, archive, bundle, { trust })).rejects.toMatchObject({
        code: 'ERR_EVIDENCE_BUNDLE',
      });
    });
    expect(archive.size).toBe(0);
    await archive.close();
  });
});

describe('zip files', () => {
  it('come out as they went in, streamed too', async () => {
    const path = join(temporaryFolder(), 'x.zip');
    const writer = await ZipWriter.create(path, NOW);
    const large = Buffer.alloc(CHUNK_BYTES + 5, 'pieces ');
    await writer.add('a.txt', utf8('small'));
    const pieces = async function* () {
      yield large.subarray(0, 1000);
      yield large.subarray(1000);
    };
    await writer.add('folder/b.bin', pieces(), large.length);
    await writer.add('empty', utf8(''));
    await expect(writer.add('c', pieces(), 17)).rejects.toMatchObject({ code: 'ERR_EVIDENCE_DAMAGED' });
    await writer.finish();
    const zip = await ZipReader.open(path);
    expect([...zip.entries].map(({ name, length }) => [name, length])).toEqual([
      ['a.txt', 5],
      ['folder/b.bin', large.length],
      ['empty', 0],
    ]);
    expect(Buffer.from(await zip.read('a.txt', 5)).toString()).toBe('small');
    expect(large.equals(await collect(zip.stream('folder/b.bin')))).toBe(true);
    expect(await zip.read('empty', 0)).toHaveLength(0);
    await expect(zip.read('a.txt', 4)).rejects.toMatchObject({ code: 'ERR_EVIDENCE_BUNDLE' });
    await expect(zip.read('none', 4)).rejects.toThrow('lacks none');
    await zip.close();
  });

  it('that others have packed are read, and bombs are not', async () => {
    const path = join(temporaryFolder(), 'x.zip');
    writeFileSync(path, deflated('a.txt', Buffer.alloc(5000, 'packed '), 5000));
    let zip = await ZipReader.open(path);
    expect(Buffer.from(await zip.read('a.txt', 5000)).toString('latin1', 0, 14)).toBe('packed packed ');
    await zip.close();
    // It says that it unpacks to 100 bytes.
    writeFileSync(path, deflated('a.txt', Buffer.alloc(50_000_000), 100));
    zip = await ZipReader.open(path);
    await expect(zip.read('a.txt', 1000)).rejects.toMatchObject({ code: 'ERR_EVIDENCE_BUNDLE' });
    await zip.close();
  });

  it.each(['../up', '/root', 'a/../b', 'a//b', 'a\\b', '.hidden', 'a\u0000b', ''])(
    'with the name %j are refused',
    async (name) => {
      const path = join(temporaryFolder(), 'x.zip');
      writeFileSync(path, deflated(name, utf8('x'), 1));
      await expect(ZipReader.open(path)).rejects.toMatchObject({ code: 'ERR_EVIDENCE_BUNDLE' });
    },
  );

  it('that are damaged anywhere are refused, never misread', async () => {
    const path = join(temporaryFolder(), 'x.zip');
    const writer = await ZipWriter.create(path, NOW);
    await writer.add('a.txt', utf8('first'));
    await writer.add('b.txt', utf8('second'));
    await writer.finish();
    const good = readFileSync(path);
    for (let cut = 0; cut < good.length; cut += 7) {
      writeFileSync(path, good.subarray(0, cut));
      await expect(ZipReader.open(path)).rejects.toMatchObject({ code: 'ERR_EVIDENCE_BUNDLE' });
    }
    for (let at = 0; at < good.length; at++) {
      const bytes = Buffer.from(good);
      bytes[at] = (bytes[at] as number) ^ 0x10;
      writeFileSync(path, bytes);
      try {
        const zip = await ZipReader.open(path);
        try {
          for (const [name, content] of [
            ['a.txt', 'first'],
            ['b.txt', 'second'],
          ] as const) {
            if (zip.has(name)) expect(Buffer.from(await zip.read(name, 10)).toString()).toBe(content);
          }
        } finally {
          await zip.close();
        }
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_EVIDENCE_BUNDLE' });
      }
    }
  });
});

it('says on which side each hash of a proof stands', () => {
  expect(sidesOf(0, 1)).toEqual([]);
  expect(sidesOf(0, 2)).toEqual(['right']);
  expect(sidesOf(2, 3)).toEqual(['left']);
  expect(sidesOf(5, 7)).toEqual(['left', 'right', 'left']);
  expect(sidesOf(6, 7)).toEqual(['left', 'left']);
});

/** A zip with one deflated entry that declares any length. */
function deflated(name: string, bytes: Uint8Array, declared: number): Buffer {
  const packed = deflateRawSync(bytes);
  const encoded = utf8(name);
  const { crc32 } = process.getBuiltinModule('node:zlib');
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x0403_4b50, 0);
  local.writeUInt16LE(8, 8);
  local.writeUInt16LE(encoded.length, 26);
  const central = Buffer.alloc(46);
  central.writeUInt32LE(0x0201_4b50, 0);
  central.writeUInt16LE(8, 10);
  central.writeUInt32LE(crc32(bytes), 16);
  central.writeUInt32LE(packed.length, 20);
  central.writeUInt32LE(declared, 24);
  central.writeUInt16LE(encoded.length, 28);
  const start = 30 + encoded.length + packed.length;
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x0605_4b50, 0);
  end.writeUInt16LE(1, 8);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(46 + encoded.length, 12);
  end.writeUInt32LE(start, 16);
  return Buffer.concat([local, encoded, packed, central, encoded, end]);
}
