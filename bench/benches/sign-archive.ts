import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { sqliteDriver } from '../../src/evidence/archive/sqlite/driver.ts';
import { defineBench } from '../harness.ts';
import {
  APPENDERS,
  benchFolder,
  benchSession,
  fill,
  openBenchArchive,
  verifiedObjects,
} from '../support/evidence.ts';

const RECORDS = 30_000;
const folder = benchFolder();
let count = 0;

/**
 * Objects of 1.5 KB that have been verified, into an archive, each acknowledged when it is durable: tree, digests,
 * indexes and group commit included. The peer stores the same bytes and nothing else, as many in a transaction.
 */
export default defineBench({
  name: 'sign-archive',
  unit: 'records/s',
  higherIsBetter: true,
  peerName: `plain ${sqliteDriver().name} inserts, ${APPENDERS} a transaction, synchronous=FULL`,
  ours: async () => {
    const path = join(folder, `${count++}.db`);
    const archive = await openBenchArchive(path);
    const milliseconds = await fill(archive, benchSession(archive), RECORDS);
    await archive.close();
    remove(path);
    return (RECORDS / milliseconds) * 1000;
  },
  peer: async () => {
    const path = join(folder, `${count++}.db`);
    const database = sqliteDriver().open(path);
    database.exec('PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    database.exec('CREATE TABLE object (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)');
    const insert = database.prepare('INSERT INTO object VALUES (?, ?)');
    const objects = verifiedObjects(1024);
    const began = performance.now();
    for (let number = 0; number < RECORDS; ) {
      database.exec('BEGIN IMMEDIATE');
      for (let i = 0; i < APPENDERS && number < RECORDS; i++, number++) {
        insert.run([number, objects[number % objects.length]?.object ?? null]);
      }
      database.exec('COMMIT');
    }
    const milliseconds = performance.now() - began;
    database.close();
    remove(path);
    return (RECORDS / milliseconds) * 1000;
  },
});

function remove(path: string): void {
  for (const suffix of ['', '-wal', '-shm', '-lock', '.key']) rmSync(`${path}${suffix}`, { force: true });
}
