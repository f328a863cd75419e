import { join } from 'node:path';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { openSqliteReader } from '../../src/evidence/archive/sqlite/store.ts';
import { defineBench } from '../harness.ts';
import { runFile } from '../support/child.ts';
import { benchFolder, benchSession, fill, openBenchArchive } from '../support/evidence.ts';

const RECORDS = Number(process.env.TRELLIS_BENCH_RECORDS ?? 1_000_000);
/** What the issue asks for. */
const MEMORY_GOAL = 256;
const PAGE = 256;

let made: Promise<string> | undefined;

/**
 * Everything in an archive of a million records computed again, signatures aside: rows, leaves, tree, heads,
 * checkpoints and the SHA-256 of every object. The peer reads the same objects out of the same file and hashes them.
 */
export default defineBench({
  name: 'audit',
  unit: 's',
  higherIsBetter: false,
  peerName: 'bare SHA-256 of the same objects, read from the same file',
  rounds: 3,
  ours: async () => {
    const child = runFile('bench/support/audit.ts', [await archive()]);
    try {
      const result = await child.next<{ ok: boolean; records: number; seconds: number; mebibytes: number }>();
      if (!result.ok || result.records !== RECORDS) throw new Error(`audit: ${JSON.stringify(result)}`);
      console.error(
        `audit: ${result.records} records, ${result.seconds.toFixed(1)} s, at most ${result.mebibytes.toFixed(0)} MiB (goal: ${MEMORY_GOAL})`,
      );
      return result.seconds;
    } finally {
      await child.stop();
    }
  },
  peer: async () => {
    const reader = openSqliteReader(await archive());
    const began = performance.now();
    let hashed = 0;
    for (let from = 0; from < RECORDS; from += PAGE) {
      for (const { object } of await reader.records(from, PAGE, { objects: true })) {
        if (object !== undefined) hashed += nodeCrypto.digest('sha256', object).length;
      }
    }
    const seconds = (performance.now() - began) / 1000;
    await reader.close();
    if (hashed !== RECORDS * 32) throw new Error('audit: the peer has not read every object');
    return seconds;
  },
});

/** Made once for all rounds; says what a record has cost from the first thousand to the last. */
function archive(): Promise<string> {
  made ??= makeArchive();
  return made;
}

async function makeArchive(): Promise<string> {
  const path = join(benchFolder(), 'archive.db');
  const open = await openBenchArchive(path);
  const session = benchSession(open);
  for (let size = 1000; open.size < RECORDS; size *= 10) {
    const count = Math.min(size, RECORDS) - open.size;
    const milliseconds = await fill(open, session, count);
    console.error(
      `audit: ${open.size} records in the archive, ${((milliseconds / count) * 1000).toFixed(1)} µs for each of the last ${count}`,
    );
  }
  await open.close();
  return path;
}
