// Kills a process that archives evidence, at random moments, again and again, and looks whether anything that it had
// acknowledged is lost.   node scripts/evidence-crash.mjs [--kills N] [--seed N] [--json]
//
// Needs dist/ (npm run build). The archive is the same throughout: each process opens what the one before has left.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { distUrl, randomNumbers } from './crash-support.mjs';

const SELF = fileURLToPath(import.meta.url);
const APPENDERS = 64;
/** Now and then an object that is kept in chunks, so that kills fall between them. Bytes. */
const LARGE_BYTES = 3 * 1024 * 1024;
const LARGE_EVERY = 500;
/** A kill falls within so many milliseconds of the first acknowledgement. */
const LONGEST_LIFE = 250;
/** A process that has acknowledged nothing by then has a fault. Milliseconds. */
const LONGEST_START = 30_000;
const PAGE = 500;

/**
 * @typedef {object} CrashFigures
 * @property {number} kills
 * @property {number} acknowledged records whose `append` had resolved in a process that was killed
 * @property {number} inFile records in the archive at the end
 * @property {number} lost acknowledged and not in the file, or not the same
 * @property {number} uncleanOpens times that the file could not be opened and read after a kill
 * @property {number} findings of an audit after the last kill
 * @property {number} seconds
 */

/**
 * @param {object} options
 * @param {number} options.kills
 * @param {number} [options.seed]
 * @param {(line: string) => void} [options.progress]
 * @returns {Promise<CrashFigures>}
 */
export async function runCrashTest({ kills, seed = 1, progress = () => {} }) {
  const { audit, openSqliteReader } = await import(distUrl('evidence/index.js'));
  const { nodeCrypto } = await import(distUrl('index.js'));
  const folder = mkdtempSync(join(tmpdir(), 'trellis-crash-'));
  const path = join(folder, 'archive.db');
  const random = randomNumbers(seed);
  const start = performance.now();
  const figures = { kills: 0, acknowledged: 0, inFile: 0, lost: 0, uncleanOpens: 0, findings: 0, seconds: 0 };
  try {
    for (let kill = 0; kill < kills; kill++) {
      const acknowledged = await liveAndDie(path, kill, random() * LONGEST_LIFE);
      figures.kills++;
      figures.acknowledged += acknowledged.size;
      try {
        figures.lost += await countLost(openSqliteReader(path), acknowledged);
      } catch (error) {
        figures.uncleanOpens++;
        progress(`kill ${kill + 1}: ${error instanceof Error ? error.message : error}`);
      }
      if ((kill + 1) % 20 === 0) progress(`${kill + 1} kills, ${figures.acknowledged} acknowledged`);
    }
    const reader = openSqliteReader(path);
    const report = await audit(nodeCrypto, reader, { signatures: 'none' });
    await reader.close();
    figures.inFile = report.records;
    figures.findings = report.findingCount;
    for (const { text } of report.findings) progress(text);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  figures.seconds = (performance.now() - start) / 1000;
  return figures;
}

/**
 * One process, from its start to its kill.
 *
 * @param {string} path
 * @param {number} run
 * @param {number} life milliseconds after the first acknowledgement
 * @returns {Promise<Map<number, string>>} acknowledged records: index and SHA-256 of the object
 */
function liveAndDie(path, run, life) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [SELF, '--child', path, String(run)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [output, complaints] = ['', ''];
    let dying = false;
    const kill = () => {
      dying = true;
      child.kill('SIGKILL');
    };
    const late = setTimeout(kill, LONGEST_START);
    child.stdout.on('data', (/** @type {Buffer} */ chunk) => {
      if (output === '') setTimeout(kill, life);
      output += chunk;
    });
    child.stderr.on('data', (/** @type {Buffer} */ chunk) => {
      complaints += chunk;
    });
    child.on('error', reject);
    child.on('close', () => {
      clearTimeout(late);
      if (!dying || output === '') {
        reject(new Error(`The process that archives ended by itself or acknowledged nothing: ${complaints}`));
        return;
      }
      // A line that the kill has cut acknowledges nothing.
      const lines = output.split('\n').slice(0, -1);
      resolve(
        new Map(
          lines.map((line) => {
            const [index, digest = ''] = line.split(' ');
            return [Number(index), digest];
          }),
        ),
      );
    });
  });
}

/**
 * @param {import('../src/evidence/archive/store.ts').EvidenceSnapshot} reader
 * @param {Map<number, string>} acknowledged
 */
async function countLost(reader, acknowledged) {
  const missing = new Map(acknowledged);
  const from = Math.min(...acknowledged.keys());
  for (let at = from; ; ) {
    const page = await reader.records(at, PAGE);
    for (const { record } of page) {
      const hash = createHash('sha256');
      for await (const piece of reader.object(record.index)) hash.update(piece);
      const digest = hash.digest('hex');
      const isWhole = digest === Buffer.from(record.objectDigest).toString('hex');
      if (isWhole && missing.get(record.index) === digest) missing.delete(record.index);
    }
    const last = page.at(-1);
    if (last === undefined) break;
    at = last.record.index + 1;
  }
  await reader.close();
  return missing.size;
}

/**
 * Archives until it is killed. Each acknowledgement is a line, written at once: what is in the pipe outlives it.
 *
 * @param {string} path
 * @param {string} run
 */
async function archiveForever(path, run) {
  const { openArchive } = await import(distUrl('evidence/index.js'));
  const archive = await openArchive(path, { checkpointRecords: 200 });
  const session = archive.addSession({
    role: 'server',
    protocol: 0x0304,
    cipherSuite: 0x1301,
    sessionBinding: createHash('sha256').update(run).digest(),
    started: Date.now(),
    ownName: 'CN=server',
    peerName: `CN=run ${run}`,
    ownChain: [],
    peerChain: [],
  });
  let number = 0;
  const append = async () => {
    for (;;) {
      const sequence = number++;
      const isLarge = sequence % LARGE_EVERY === LARGE_EVERY - 1;
      const object = Buffer.alloc(isLarge ? LARGE_BYTES : 200 + (sequence % 3000), `${run}/${sequence} `);
      const digest = createHash('sha256').update(object).digest();
      const index = await archive.append({
        direction: sequence % 2 === 0 ? 'received' : 'sent',
        kind: 'data',
        status: 'verified',
        time: Date.now(),
        session,
        sequence,
        application: 'load',
        contentType: 23,
        format: 'pkcs7',
        object,
        content: { length: object.length, digest },
        treeHead: archive.treeHead(),
      });
      writeSync(1, `${index} ${digest.toString('hex')}\n`);
    }
  };
  await Promise.all(Array.from({ length: APPENDERS }, append));
}

async function main() {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
    },
  });
  const figures = await runCrashTest({
    kills: Number(values.kills),
    seed: Number(values.seed),
    progress: values.json ? () => {} : (line) => console.log(line),
  });
  if (values.json) console.log(JSON.stringify(figures));
  else {
    const { kills, acknowledged, inFile, lost, uncleanOpens, findings, seconds } = figures;
    console.log(`kills                        ${kills}`);
    console.log(`acknowledged                 ${acknowledged}`);
    console.log(
      `in the file                  ${inFile} (${inFile - acknowledged} of them not acknowledged yet)`,
    );
    console.log(`acknowledged and lost        ${lost}`);
    console.log(`not opened clean after kill  ${uncleanOpens}`);
    console.log(`findings of the audit        ${findings}`);
    console.log(`seconds                      ${seconds.toFixed(0)}`);
  }
  const isGood = figures.lost === 0 && figures.uncleanOpens === 0 && figures.findings === 0;
  process.exit(isGood ? 0 : 1);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [word, path = '', run = ''] = process.argv.slice(2);
  if (word === '--child') await archiveForever(path, run);
  else await main();
}
