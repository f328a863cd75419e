import { cpSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { decodePemBlocks } from '../../src/der/pem.ts';
import type { Archive } from '../../src/evidence/archive/archive.ts';
import { openArchive } from '../../src/evidence/archive/open.ts';
import type { EvidenceRecord, NewRecord } from '../../src/evidence/archive/record.ts';
import { type Database, sqliteDriver } from '../../src/evidence/archive/sqlite/driver.ts';
import { openSqliteReader } from '../../src/evidence/archive/sqlite/store.ts';
import type { EvidenceReader } from '../../src/evidence/archive/store.ts';
import { cmsMaker } from '../../src/formats/cms/make.ts';
import { startReading } from '../../src/formats/cms/verify-stream.ts';
import type { ObjectReference } from '../../src/formats/format.ts';
import { createSecureContext } from '../../src/node/secure-context.ts';
import { initPki } from '../../src/tunnel/init.ts';

/*
 * What somebody with the file, and for the last two with the archive's key, can do to it. Each works on a copy.
 * The archive is small: all its leaves are in one tile.
 */

export type Tampering =
  | 'changed-byte'
  | 'removed'
  | 'reordered'
  | 'inserted'
  | 'forged-receipt'
  | 'rewritten-tail';

export interface Tampered {
  /** The copy. */
  readonly path: string;
  /** The record that an audit should name. */
  readonly record: number;
}

/** @param record the disputed order */
export async function tamperWith(kind: Tampering, archive: string, record: number): Promise<Tampered> {
  const path = copyOf(archive, kind);
  switch (kind) {
    case 'changed-byte':
      await changeQuantity(path, record);
      return { path, record };
    case 'removed':
      // And the others are moved up, so that no number is missing.
      change(path, (database) => {
        const last = lastRecord(database);
        database.exec(`DELETE FROM record WHERE idx = ${record}`);
        renumber(database, record + 1, last, -1);
      });
      return { path, record };
    case 'reordered':
      change(path, (database) => {
        database.exec(`UPDATE record SET idx = -1000000 WHERE idx = ${record}`);
        database.exec(`UPDATE record SET idx = ${record} WHERE idx = ${record + 8}`);
        database.exec(`UPDATE record SET idx = ${record + 8} WHERE idx = -1000000`);
      });
      return { path, record };
    case 'inserted':
      change(path, (database) => {
        renumber(database, record, lastRecord(database), 1);
        database.exec('CREATE TEMP TABLE copy AS SELECT * FROM record WHERE idx = 0');
        database.exec(`UPDATE copy SET idx = ${record}`);
        database.exec('INSERT INTO record SELECT * FROM copy');
      });
      return { path, record };
    case 'forged-receipt':
      return { path, record: await forgeReceipt(path, record) };
    case 'rewritten-tail':
      await rewriteTail(archive, path, record);
      return { path, record };
  }
}

/** The file as it would be in a backup, with its key. */
function copyOf(archive: string, kind: Tampering): string {
  const path = join(dirname(archive), `${kind}.db`);
  cpSync(archive, path);
  cpSync(`${archive}.key`, `${path}.key`);
  return path;
}

function change(path: string, how: (database: Database) => void): void {
  const database = sqliteDriver().open(path);
  try {
    how(database);
  } finally {
    database.close();
  }
}

/** One digit of the order, inside of the signed object. */
async function changeQuantity(path: string, record: number): Promise<void> {
  const object = Buffer.from(await objectOf(path, record));
  const at = object.indexOf('<quantity>') + '<quantity>'.length;
  object[at] = '9'.charCodeAt(0);
  change(path, (database) => {
    database.prepare('UPDATE record SET object = ? WHERE idx = ?').run([object, record]);
  });
}

/** A receipt of somebody who calls himself what the supplier is called, put into the archive with its own key. */
async function forgeReceipt(path: string, order: number): Promise<number> {
  const folder = `${path}.pki`;
  await initPki({ directory: folder });
  const [forger] = createSecureContext({
    cert: await readFile(join(folder, 'server.pem'), 'utf8'),
    key: await readFile(join(folder, 'server.key'), 'utf8'),
  }).identities;
  const reader = openSqliteReader(path);
  const record = await reader.record(order);
  const session = record && (await reader.session(record.session));
  await reader.close();
  if (forger === undefined || record === undefined || session === undefined)
    throw new Error('the order is not there');
  const scheme = forger.key.schemes[0] as number;
  const [buyer = new Uint8Array(0)] = decodePemBlocks(
    await readFile(join(dirname(path), 'pki', 'client.pem'), 'utf8'),
    'CERTIFICATE',
  );
  const binding = {
    version: 1,
    role: session.role === 'client' ? 'server' : 'client',
    kind: 'receipt',
    sequence: 1_000,
    contentType: record.contentType,
    application: record.application,
    peer: nodeCrypto.digest('sha256', buyer),
    sessionBinding: session.sessionBinding,
    treeHead: new Uint8Array(0),
  } as const;
  const time = record.time + 1_000;
  const unsigned = cmsMaker.prepareReceipt(nodeCrypto, referenceTo(await objectOf(path, order)), {
    signer: { chain: forger.chain, scheme },
    binding,
    signingTime: time,
    includeCertificates: true,
  });
  const archive = await openArchive(path, { checkpointInterval: 0 });
  try {
    return await archive.append({
      direction: 'received',
      kind: 'receipt',
      status: 'verified',
      time,
      session: { digest: session.digest },
      sequence: binding.sequence,
      application: binding.application,
      contentType: binding.contentType,
      format: 'pkcs7',
      object: unsigned.finish(await forger.key.sign(scheme, unsigned.toBeSigned)),
      target: order,
      treeHead: binding.treeHead,
    });
  } finally {
    await archive.close();
  }
}

/** What a receipt for a streamed object has to name. */
function referenceTo(object: Uint8Array): ObjectReference {
  const reading = startReading(nodeCrypto);
  reading.write(object);
  return reading.end().reference;
}

/**
 * What the owner can do, who has the key: cut the archive off before the order, write the rest anew without it, and
 * sign new checkpoints. Nothing in the new file contradicts it: what had left with the old heads in it is left out.
 */
async function rewriteTail(original: string, path: string, order: number): Promise<void> {
  change(path, (database) => {
    database.exec(
      `DELETE FROM record WHERE idx >= ${order}; DELETE FROM head WHERE size > ${order}; DELETE FROM witnessed WHERE idx >= ${order}`,
    );
    database.exec(`UPDATE tile SET hashes = substr(hashes, 1, ${order * 32}) WHERE level = 0`);
  });
  const reader = openSqliteReader(original);
  const archive = await openArchive(path, { checkpointInterval: 0 });
  try {
    const size = await reader.size();
    for (let index = order + 1; index < size; index++) {
      const record = await reader.record(index);
      if (record?.direction === 'received' && record.kind === 'data')
        await archive.append(await again(archive, reader, record));
    }
  } finally {
    await archive.close();
    await reader.close();
  }
}

async function again(archive: Archive, reader: EvidenceReader, record: EvidenceRecord): Promise<NewRecord> {
  // Streamed objects are kept in chunks.
  const content = await archive.newContent();
  for await (const piece of reader.object(record.index)) await content.write(piece);
  const { direction, status, time, sequence, application, contentType, format, flags, treeHead } = record;
  return {
    ...{ direction, status, time, sequence, application, contentType, format, flags, treeHead },
    kind: 'data',
    session: { digest: record.session },
    object: await content.finish(),
    content: { length: record.contentLength, digest: record.contentDigest },
  };
}

async function objectOf(path: string, record: number): Promise<Uint8Array> {
  const reader = openSqliteReader(path);
  try {
    return await joined(reader, record);
  } finally {
    await reader.close();
  }
}

async function joined(reader: EvidenceReader, record: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of reader.object(record)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Moves records by one, by way of numbers that none has. */
function renumber(database: Database, from: number, to: number, by: 1 | -1): void {
  database.exec(`UPDATE record SET idx = -idx WHERE idx BETWEEN ${from} AND ${to}`);
  database.exec(`UPDATE record SET idx = -idx + ${by} WHERE idx < 0`);
}

function lastRecord(database: Database): number {
  return Number(database.prepare('SELECT max(idx) FROM record').get([])?.[0]);
}
