// Two processes exchange signed orders and receipts over TLS, each with an archive; now one, now the other is killed at
// a random moment. Looks whether anything that was acknowledged is lost on either side.
//   node scripts/session-crash.mjs [--kills N] [--seed N] [--json]
//
// Needs dist/ (npm run build). Both archives are the same throughout: each process opens what the one before has left.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { distUrl, randomNumbers } from './crash-support.mjs';

const SELF = fileURLToPath(import.meta.url);
/** Orders under way at once. */
const LANES = 32;
/** Now and then an order that takes many records and chunks, so that kills fall between them. Bytes. */
const LARGE_BYTES = 2 * 1024 * 1024;
const LARGE_EVERY = 200;
/** A kill falls within so many milliseconds of the first receipt. */
const LONGEST_LIFE = 400;
/** Processes that have acknowledged nothing by then have a fault. Milliseconds. */
const LONGEST_START = 60_000;
/** How a client says that its session is gone. */
const SESSION_LOST = 3;
const PAGE = 500;

/**
 * @typedef {object} SessionCrashFigures
 * @property {{ server: number, client: number }} kills
 * @property {number} receipts that `signWrite` had resolved with
 * @property {{ server: number, client: number }} records in the archives at the end
 * @property {{ server: number, client: number }} lost acknowledged, and the order or its receipt is not in this archive
 * @property {number} uncleanOpens times that an archive could not be opened and read after a kill
 * @property {number} findings of audits of both archives after the last kill, each with the other as witness
 * @property {number} seconds
 */

/**
 * @param {object} options
 * @param {number} options.kills
 * @param {number} [options.seed]
 * @param {(line: string) => void} [options.progress]
 * @returns {Promise<SessionCrashFigures>}
 */
export async function runSessionCrashTest({ kills, seed = 1, progress = () => {} }) {
  const folder = mkdtempSync(join(tmpdir(), 'trellis-session-crash-'));
  const random = randomNumbers(seed);
  const start = performance.now();
  const figures = {
    kills: { server: 0, client: 0 },
    receipts: 0,
    records: { server: 0, client: 0 },
    lost: { server: 0, client: 0 },
    uncleanOpens: 0,
    findings: 0,
    seconds: 0,
  };
  try {
    await promisify(execFile)(process.execPath, [
      fileURLToPath(distUrl('cli/main.js')),
      'init',
      '--out',
      folder,
    ]);
    const archives = {
      server: new Look(join(folder, 'server.db')),
      client: new Look(join(folder, 'client.db')),
    };
    for (let kill = 0; kill < kills; kill++) {
      const victim = random() < 0.5 ? 'server' : 'client';
      const receipts = await liveAndDie(folder, victim, random() * LONGEST_LIFE);
      figures.kills[victim]++;
      figures.receipts += receipts.length;
      try {
        await Promise.all([archives.server.readOn(), archives.client.readOn()]);
      } catch (error) {
        figures.uncleanOpens++;
        progress(`kill ${kill + 1}: ${error instanceof Error ? error.message : error}`);
        continue;
      }
      for (const { order, record } of receipts) {
        if (!archives.server.received.has(order)) figures.lost.server++;
        if (!archives.client.sent.has(order) || !archives.client.receipts.has(record)) figures.lost.client++;
      }
      if ((kill + 1) % 20 === 0) progress(`${kill + 1} kills, ${figures.receipts} receipts`);
    }
    for (const side of /** @type {const} */ (['server', 'client'])) {
      const report = await auditOf(
        archives[side].path,
        archives[side === 'server' ? 'client' : 'server'].path,
      );
      figures.records[side] = report.records;
      figures.findings += report.findingCount;
      for (const { text } of report.findings) progress(`${side}: ${text}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  figures.seconds = (performance.now() - start) / 1000;
  return figures;
}

/** What one archive holds, read on after each kill. */
class Look {
  /** SHA-256 of objects: orders that this side has sent, and has received. */
  sent = new Set();
  received = new Set();
  /** Indexes of receipts that have come. */
  receipts = new Set();
  #next = 0;

  /** @param {string} path */
  constructor(path) {
    this.path = path;
  }

  async readOn() {
    const { openSqliteReader } = await import(distUrl('evidence/index.js'));
    const reader = openSqliteReader(this.path);
    for (;;) {
      const page = await reader.records(this.#next, PAGE);
      for (const { record } of page) {
        this.#next = record.index + 1;
        if (record.kind === 'receipt') {
          if (record.direction === 'received') this.receipts.add(record.index);
        } else if (record.direction === 'sent') this.sent.add(hex(record.objectDigest));
        else if (record.status === 'verified') this.received.add(hex(record.objectDigest));
      }
      if (page.length === 0) break;
    }
    await reader.close();
  }
}

/**
 * @param {string} path
 * @param {string} other the other party's archive
 */
async function auditOf(path, other) {
  const { audit, openSqliteReader } = await import(distUrl('evidence/index.js'));
  const { nodeCrypto } = await import(distUrl('index.js'));
  const [reader, witness] = [openSqliteReader(path), openSqliteReader(other)];
  try {
    return await audit(nodeCrypto, reader, {
      signatures: 'all',
      witnesses: [{ name: 'the other archive', reader: witness }],
    });
  } finally {
    await Promise.all([reader.close(), witness.close()]);
  }
}

/**
 * A server and a client, from their start to the kill of one of them and the end of the other.
 *
 * @param {string} folder
 * @param {'server' | 'client'} victim
 * @param {number} life milliseconds after the first receipt
 * @returns {Promise<{ order: string, record: number }[]>} receipts that the client has told of
 */
async function liveAndDie(folder, victim, life) {
  const server = new Child(['--server', folder]);
  const port = (await server.firstLine()).trim();
  const client = new Child(['--client', folder, port]);
  await client.firstLine();
  await new Promise((resolve) => setTimeout(resolve, life));
  if (victim === 'server') {
    server.process.kill('SIGKILL');
    // The client notices by itself, and closes its archive.
    const code = await client.ended;
    if (code !== SESSION_LOST) throw new Error(`The client ended with ${code}: ${client.complaints}`);
    await server.ended;
  } else {
    client.process.kill('SIGKILL');
    await client.ended;
    server.process.kill('SIGTERM');
    const code = await server.ended;
    if (code !== 0) throw new Error(`The server ended with ${code}: ${server.complaints}`);
  }
  // A line that the kill has cut acknowledges nothing.
  const lines = client.output.split('\n').slice(0, -1);
  return lines.map((line) => {
    const [order = '', record] = line.split(' ');
    return { order, record: Number(record) };
  });
}

class Child {
  output = '';
  complaints = '';

  /** @param {string[]} args */
  constructor(args) {
    this.process = spawn(process.execPath, [SELF, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.process.stdout.on('data', (/** @type {Buffer} */ chunk) => {
      this.output += chunk;
    });
    this.process.stderr.on('data', (/** @type {Buffer} */ chunk) => {
      this.complaints += chunk;
    });
    /** @type {Promise<number | NodeJS.Signals>} */
    this.ended = new Promise((resolve) => {
      this.process.once('close', (code, signal) => resolve(code ?? signal ?? -1));
    });
  }

  /** @returns {Promise<string>} */
  async firstLine() {
    const late = setTimeout(() => this.process.kill('SIGKILL'), LONGEST_START);
    while (!this.output.includes('\n')) {
      const data = once(this.process.stdout, 'data');
      const ended = this.ended.then((code) => {
        throw new Error(`A process ended with ${code} before it said anything: ${this.complaints}`);
      });
      await Promise.race([data, ended]);
    }
    clearTimeout(late);
    return this.output.slice(0, this.output.indexOf('\n'));
  }
}

/** @param {string} folder */
async function serve(folder) {
  const { createServer } = await import(distUrl('index.js'));
  const { signServer } = await import(distUrl('sign/index.js'));
  const { openArchive } = await import(distUrl('evidence/index.js'));
  const archive = await openArchive(join(folder, 'server.db'), { checkpointRecords: 200 });
  const file = (/** @type {string} */ name) => readFileSync(join(folder, name));
  const server = createServer(
    {
      cert: file('server.pem'),
      key: file('server.key'),
      ca: file('ca.pem'),
      requestCert: true,
      subProtocols: [signServer({ archive })],
    },
    async (/** @type {import('../src/index.ts').TLSSocket} */ socket) => {
      socket.resume();
      socket.on('error', () => {});
      try {
        for await (const _order of socket.signed);
      } catch {
        // The client was killed.
      }
    },
  );
  server.listen(0, '127.0.0.1', () => writeSync(1, `${server.address().port}\n`));
  process.once('SIGTERM', async () => {
    server.close();
    await archive.close();
    process.exit(0);
  });
}

/**
 * Each receipt is a line, written at once: what is in the pipe outlives the process.
 *
 * @param {string} folder
 * @param {string} port
 */
async function order(folder, port) {
  const { connect } = await import(distUrl('index.js'));
  const { signClient } = await import(distUrl('sign/index.js'));
  const { openArchive } = await import(distUrl('evidence/index.js'));
  const archive = await openArchive(join(folder, 'client.db'), { checkpointRecords: 200 });
  const file = (/** @type {string} */ name) => readFileSync(join(folder, name));
  const socket = connect({
    host: '127.0.0.1',
    port: Number(port),
    servername: 'localhost',
    ca: file('ca.pem'),
    cert: file('client.pem'),
    key: file('client.key'),
    subProtocols: [signClient({ archive, formats: ['pkcs7'] })],
  });
  socket.resume();
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  socket.signing.on();
  let number = 0;
  const lane = async () => {
    for (;;) {
      const isLarge = ++number % LARGE_EVERY === 0;
      const data = Buffer.alloc(isLarge ? LARGE_BYTES : 200 + (number % 3000), `order ${number} `);
      const receipt = await socket.signWrite(data, { receipt: true });
      writeSync(1, `${hex(receipt.acknowledges)} ${receipt.record}\n`);
    }
  };
  try {
    await Promise.all(Array.from({ length: LANES }, lane));
  } catch (error) {
    console.error(error);
    await archive.close();
    process.exit(SESSION_LOST);
  }
}

/** @param {Uint8Array} bytes */
function hex(bytes) {
  return Buffer.from(bytes).toString('hex');
}

async function main() {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
    },
  });
  const figures = await runSessionCrashTest({
    kills: Number(values.kills),
    seed: Number(values.seed),
    progress: values.json ? () => {} : (line) => console.log(line),
  });
  if (values.json) console.log(JSON.stringify(figures));
  else {
    const { kills, receipts, records, lost, uncleanOpens, findings, seconds } = figures;
    console.log(`kills of the server          ${kills.server}`);
    console.log(`kills of the client          ${kills.client}`);
    console.log(`receipts                     ${receipts}`);
    console.log(`records of the server        ${records.server}`);
    console.log(`records of the client        ${records.client}`);
    console.log(`receipted and lost           ${lost.server} by the server, ${lost.client} by the client`);
    console.log(`not opened clean after kill  ${uncleanOpens}`);
    console.log(`findings of the audits       ${findings}`);
    console.log(`seconds                      ${seconds.toFixed(0)}`);
  }
  const isGood = lossOf(figures) === 0 && figures.uncleanOpens === 0 && figures.findings === 0;
  process.exit(isGood ? 0 : 1);
}

/** @param {SessionCrashFigures} figures */
function lossOf({ lost }) {
  return lost.server + lost.client;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [word, folder = '', port = ''] = process.argv.slice(2);
  if (word === '--server') await serve(folder);
  else if (word === '--client') await order(folder, port);
  else await main();
}
