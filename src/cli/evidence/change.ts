import { writeFile } from 'node:fs/promises';
import { nodeCrypto } from '../../crypto/node/provider.ts';
import { toHex } from '../../der/bytes.ts';
import { fetchTimestamp, Timestamping } from '../../evidence/archive/timestamping.ts';
import { exportBundle } from '../../evidence/bundle/export.ts';
import { importBundle } from '../../evidence/bundle/import.ts';
import { BundleReader } from '../../evidence/bundle/reader.ts';
import { EvidenceError, reasonOf } from '../../evidence/errors.ts';
import { type Checkpoint, checkpointToPem } from '../../evidence/merkle/tree-head.ts';
import { count, plain } from '../../evidence/report/text.ts';
import type { CommandContext } from '../context.ts';
import { EXIT_FAILURE, EXIT_OK } from '../lifecycle.ts';
import { type EvidenceArguments, option, parseRecords, reading, trustFrom, writing } from './input.ts';

/* The commands that make something: bundles, checkpoints, timestamps, erasures. */

export interface ExportArguments extends EvidenceArguments {
  readonly out?: string;
  readonly timestamp?: string;
}

export async function exportCommand(
  words: readonly string[],
  options: ExportArguments,
  { printResult, printText }: CommandContext,
): Promise<number> {
  const records = parseRecords(words);
  const { out, timestamp } = options;
  if (out === undefined) throw option('--out FILE is missing: where is the bundle to go?');
  const trust = await trustFrom(options);
  return reading(options, async (reader) => {
    const result = await exportBundle(nodeCrypto, reader, {
      ...trust,
      path: out,
      records,
      now: Date.now(),
      timestamp:
        timestamp === undefined
          ? undefined
          : (digest) => fetchTimestamp(nodeCrypto, timestamp, digest, { trust: trust.timeTrust }),
    });
    if (options.json) {
      printResult({
        ...result,
        checkpoint: { ...result.checkpoint, time: new Date(result.checkpoint.time).toISOString() },
      });
    } else {
      printText(
        `${plain(out)}: records ${result.records.join(', ')} under the checkpoint at ${count(result.checkpoint.size)} records; README.txt in it says how to verify them\n`,
      );
    }
    return EXIT_OK;
  });
}

export async function importCommand(
  words: readonly string[],
  options: EvidenceArguments,
  { printResult, printText }: CommandContext,
): Promise<number> {
  if (words.length === 0)
    throw option('Say which bundles: trellis evidence import case.asice --archive FILE');
  const trust = await trustFrom(options);
  return writing(
    options,
    async (archive) => {
      const imported = [];
      for (const path of words) {
        const bundle = await BundleReader.open(nodeCrypto, path);
        try {
          imported.push({ bundle: path, ...(await importBundle(nodeCrypto, archive, bundle, trust)) });
        } finally {
          await bundle.close();
        }
      }
      if (options.json) printResult({ imported });
      else {
        for (const { bundle, records, known } of imported) {
          const pairs = records.map(({ from, to }) => `${from} → ${to}`).join(', ');
          printText(
            plain(`${bundle}: ${pairs}${known > 0 ? ` (${known} were here already)` : ''}`).concat('\n'),
          );
        }
      }
      return EXIT_OK;
    },
    false,
  );
}

export interface EraseArguments extends EvidenceArguments {
  readonly content?: boolean;
  readonly reason?: string;
}

export async function erase(
  words: readonly string[],
  options: EraseArguments,
  { printResult, printText }: CommandContext,
): Promise<number> {
  const records = parseRecords(words);
  if (records.length === 0)
    throw option('Say which records: trellis evidence erase 12 --content --archive FILE');
  if (options.content !== true) {
    throw option('Only contents can be erased, evidence stays: say --content. It cannot be undone');
  }
  return writing(options, async (archive) => {
    const erased = [];
    for (const record of records)
      erased.push({ record, by: await archive.erase(record, options.reason ?? '') });
    if (options.json) printResult({ erased });
    else {
      for (const { record, by } of erased) {
        printText(`record ${record}: content erased, its evidence stays; record ${by} says so\n`);
      }
    }
    return EXIT_OK;
  });
}

export interface CheckpointArguments extends EvidenceArguments {
  readonly out?: string;
}

/** Takes one; where another process writes to the archive, gives the last one that it took. */
export async function checkpoint(
  options: CheckpointArguments,
  { printResult, printText }: CommandContext,
): Promise<number> {
  const taken = await takeCheckpoint(options);
  const pem = checkpointToPem(taken);
  const { head, time } = taken;
  if (options.out !== undefined) await writeOut(options.out, pem);
  const view = {
    archive: toHex(head.archive),
    size: head.size,
    root: toHex(head.root),
    time: new Date(time).toISOString(),
    out: options.out,
  };
  if (options.json) printResult(options.out === undefined ? { ...view, pem } : view);
  else if (options.out === undefined) printText(pem);
  else
    printText(`${plain(options.out)}: archive ${view.archive}, ${count(view.size)} records, ${view.time}\n`);
  return EXIT_OK;
}

async function takeCheckpoint(options: EvidenceArguments): Promise<Checkpoint> {
  try {
    return await writing(options, (archive) => archive.checkpoint());
  } catch (error) {
    if (!(error instanceof EvidenceError) || error.code !== 'ERR_EVIDENCE_LOCKED') throw error;
    return reading(options, async (reader) => {
      const { archive, publicKey } = await reader.identity();
      const last = await reader.lastCheckpoint();
      if (last?.signature === undefined) throw error;
      const { size, root, time, signature } = last;
      return {
        head: { archive, size, root },
        time,
        scheme: signature.scheme,
        signature: signature.value,
        publicKey,
      };
    });
  }
}

export interface TimestampArguments extends EvidenceArguments {
  readonly authority?: string;
}

/** Takes a checkpoint, has it dated, and fetches what is due. Exit code 1 when a token could not be had yet. */
export async function timestamp(
  options: TimestampArguments,
  { printResult, printText }: CommandContext,
): Promise<number> {
  const { authority } = options;
  if (authority === undefined) throw option('--authority URL is missing: who is to give the time?');
  const { timeTrust } = await trustFrom(options);
  return writing(options, async (archive) => {
    const { head } = await archive.checkpoint();
    const timestamps = new Timestamping(nodeCrypto, archive.store, archive.id, Date.now, {
      authority,
      trust: timeTrust,
    });
    const known = await archive.store.timestamps({ size: head.size, limit: 100 });
    const isDated = known.some(({ authority: by, token }) => by === authority && token !== undefined);
    if (!isDated) await timestamps.want(head.size);
    const result = await timestamps.run();
    if (options.json) printResult({ checkpoint: head.size, ...result });
    else {
      printText(`${count(result.fetched)} fetched, ${count(result.failed)} to be fetched later\n`);
      if (result.lastError !== undefined) printText(`${plain(result.lastError)}\n`);
    }
    return result.failed === 0 ? EXIT_OK : EXIT_FAILURE;
  });
}

async function writeOut(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text);
  } catch (cause) {
    throw new EvidenceError('ERR_EVIDENCE_FILE', `${path}: ${reasonOf(cause)}`, { cause });
  }
}
