import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import type { Archive } from '../../../src/evidence/archive/archive.ts';
import { type OpenOptions, openArchive } from '../../../src/evidence/archive/open.ts';
import type { NewRecord, SessionInfo, SessionRef } from '../../../src/evidence/archive/record.ts';
import { type Database, sqliteDriver } from '../../../src/evidence/archive/sqlite/driver.ts';

export const START = Date.UTC(2026, 0, 2, 3, 4, 5);

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** Gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'trellis-evidence-'));
  folders.push(folder);
  return folder;
}

/** Gone after the test file. */
export function permanentFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'trellis-evidence-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A clock that goes forward by a second each time somebody looks. */
export function tickingClock(start = START): () => number {
  let now = start;
  return () => {
    now += 1000;
    return now;
  };
}

export function openAt(folder: string, options: OpenOptions = {}, name = 'archive.db'): Promise<Archive> {
  return openArchive(join(folder, name), {
    now: tickingClock(),
    checkpointInterval: 0,
    checkpointRecords: 0,
    ...options,
  });
}

export function sha256(data: Uint8Array | string): Uint8Array {
  return nodeCrypto.digest('sha256', typeof data === 'string' ? utf8(data) : data);
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function sessionInfo(change: Partial<SessionInfo> = {}): SessionInfo {
  return {
    role: 'server',
    protocol: 0x0304,
    cipherSuite: 0x1301,
    sessionBinding: sha256('session'),
    started: START,
    ownName: 'CN=server',
    peerName: 'CN=client',
    ownChain: [],
    peerChain: [],
    ...change,
  };
}

/** Bytes that stand for a signed object; nothing checks signatures here. */
export function plainRecord(session: SessionRef, number: number, change: Partial<NewRecord> = {}): NewRecord {
  const content = utf8(`order ${number}`);
  return {
    direction: 'received',
    kind: 'data',
    status: 'verified',
    time: START + number * 1000,
    session,
    sequence: number,
    application: 'orders',
    contentType: 23,
    format: 'pkcs7',
    object: utf8(`signed order ${number}`),
    content: { length: content.length, digest: sha256(content) },
    treeHead: new Uint8Array(0),
    ...change,
  };
}

/** Appends `count` records in one group. @returns their indexes */
export function appendMany(
  archive: Archive,
  session: SessionRef,
  count: number,
  change: (number: number) => Partial<NewRecord> = () => ({}),
): Promise<number[]> {
  return Promise.all(
    Array.from({ length: count }, (_, i) => archive.append(plainRecord(session, i, change(i)))),
  );
}

/** Changes the file behind the archive's back. */
export function tamper(path: string, change: (database: Database) => void): void {
  const database = sqliteDriver().open(path);
  try {
    change(database);
  } finally {
    database.close();
  }
}

export async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece);
  return Buffer.concat(parts);
}
