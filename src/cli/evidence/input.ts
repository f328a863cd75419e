import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { nodeCrypto } from '../../crypto/node/provider.ts';
import { TrellisError } from '../../errors/errors.ts';
import type { Archive } from '../../evidence/archive/archive.ts';
import { openArchive } from '../../evidence/archive/open.ts';
import { openSqliteReader } from '../../evidence/archive/sqlite/store.ts';
import type { EvidenceSnapshot } from '../../evidence/archive/store.ts';
import { BundleReader } from '../../evidence/bundle/reader.ts';
import { EvidenceError, reasonOf } from '../../evidence/errors.ts';
import { TrustStore } from '../../x509/trust-store.ts';
import { withArchiveKey } from '../keys.ts';

/** What the options of `trellis evidence` are, as they were typed. */
export interface EvidenceArguments {
  readonly archive?: string;
  readonly key?: string;
  readonly ca?: readonly string[];
  readonly tsaCa?: readonly string[];
  readonly json?: boolean;
}

/** @throws EvidenceError ERR_EVIDENCE_OPTION */
export function archivePath({ archive }: EvidenceArguments): string {
  if (archive === undefined) throw option('--archive FILE is missing: which archive is meant?');
  return archive;
}

/** Reads while `use` runs; the archive may be in use by another process. */
export async function reading<T>(
  options: EvidenceArguments,
  use: (reader: EvidenceSnapshot) => Promise<T>,
): Promise<T> {
  const reader = openSqliteReader(archivePath(options));
  try {
    return await use(reader);
  } finally {
    await reader.close();
  }
}

/** Writes while `use` runs. @param mustExist or a new archive is made */
export async function writing<T>(
  options: EvidenceArguments,
  use: (archive: Archive) => Promise<T>,
  mustExist = true,
): Promise<T> {
  const path = archivePath(options);
  // Its error says that there is no such file; nothing is made by mistake.
  if (mustExist) await openSqliteReaderOnce(path);
  return withArchiveKey(options.key, async (key) => {
    const archive = await openArchive(path, { checkpointInterval: 0, ...key });
    try {
      return await use(archive);
    } finally {
      await archive.close();
    }
  });
}

/** Both trust stores; undefined where no file was named. */
export async function trustFrom(
  options: EvidenceArguments,
): Promise<{ trust: TrustStore | undefined; timeTrust: TrustStore | undefined }> {
  const trust = await readTrust('--ca', options.ca);
  return { trust, timeTrust: (await readTrust('--tsa-ca', options.tsaCa)) ?? trust };
}

/** An archive or a bundle, whichever the file is. */
export async function openWitness(path: string): Promise<EvidenceSnapshot> {
  const start = Buffer.alloc(4);
  try {
    for await (const piece of createReadStream(path, { end: 3 })) (piece as Buffer).copy(start);
  } catch (cause) {
    throw new EvidenceError('ERR_EVIDENCE_FILE', `${path}: ${reasonOf(cause)}`, { cause });
  }
  const isZip = start.readUInt32LE(0) === 0x0403_4b50;
  return isZip ? BundleReader.open(nodeCrypto, path) : openSqliteReader(path);
}

/** @throws EvidenceError ERR_EVIDENCE_FILE */
export async function readInput(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new EvidenceError('ERR_EVIDENCE_FILE', `${path}: ${reasonOf(cause)}`, { cause });
  }
}

/** SHA-256 of a file of any size. */
export async function digestOfFile(path: string): Promise<Uint8Array> {
  const hash = nodeCrypto.hash('sha256');
  try {
    for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  } catch (cause) {
    throw new EvidenceError('ERR_EVIDENCE_FILE', `--file ${path}: ${reasonOf(cause)}`, { cause });
  }
  return hash.snapshot();
}

/** Record numbers: `12`, `12-20`. */
export function parseRecords(words: readonly string[]): number[] {
  const records: number[] = [];
  for (const word of words) {
    const [, first, last] = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(word) ?? [];
    const from = Number(first);
    const to = last === undefined ? from : Number(last);
    if (first === undefined || to < from || to - from > MAX_RANGE) {
      throw option(`"${word}" is no record: write a number such as 12, or a range such as 12-20`);
    }
    for (let index = from; index <= to; index++) records.push(index);
  }
  return records;
}

/** A date or a time of ISO 8601; a date alone is the whole day, UTC. @param isEnd the day's last millisecond */
export function parseTime(name: string, text: string, isEnd: boolean): number {
  const isDate = /^\d{4}-\d{2}-\d{2}$/.test(text);
  const isTime = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$/.test(text);
  // Without a zone it is UTC, as everything that the archive prints.
  const zoned = isDate || /(Z|[+-]\d{2}:?\d{2})$/.test(text) ? text : `${text}Z`;
  const time = isDate || isTime ? Date.parse(zoned.replace(' ', 'T')) : Number.NaN;
  if (Number.isNaN(time)) {
    throw option(`${name} ${text}: write 2026-01-31 or 2026-01-31T12:30:00Z`);
  }
  return isDate && isEnd ? time + DAY - 1 : time;
}

export function parseSha256(name: string, text: string): Uint8Array {
  if (!/^[0-9a-f]{64}$/i.test(text))
    throw option(`${name} ${text}: write the 64 hexadecimal digits of a SHA-256`);
  return Buffer.from(text, 'hex');
}

export function parseChoice<T extends string>(name: string, text: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === text);
  if (found === undefined) throw option(`${name} ${text}: use ${choices.join(', ')}`);
  return found;
}

export function parseCount(name: string, text: string, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > max) throw option(`${name} ${text}: write a whole number up to ${max}`);
  return value;
}

export function option(message: string): EvidenceError {
  return new EvidenceError('ERR_EVIDENCE_OPTION', message);
}

const DAY = 86_400_000;
/** More is a typing mistake. */
const MAX_RANGE = 10_000;

async function openSqliteReaderOnce(path: string): Promise<void> {
  try {
    await openSqliteReader(path).close();
  } catch (error) {
    // Opening it for writing brings it up to date.
    if (!(error instanceof EvidenceError) || error.code !== 'ERR_EVIDENCE_VERSION') throw error;
  }
}

async function readTrust(
  name: string,
  files: readonly string[] | undefined,
): Promise<TrustStore | undefined> {
  if (files === undefined) return undefined;
  let pem = '';
  for (const file of files) pem += `${Buffer.from(await readInput(file)).toString('utf8')}\n`;
  try {
    return TrustStore.fromPem(pem);
  } catch (cause) {
    if (!(cause instanceof TrellisError)) throw cause;
    throw option(`${name} ${files.join(', ')}: ${cause.message}`);
  }
}
