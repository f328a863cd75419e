import { writeFile } from 'node:fs/promises';
import { nodeCrypto } from '../../crypto/node/provider.ts';
import { toHex } from '../../der/bytes.ts';
import { DIRECTIONS, KINDS, STATUSES } from '../../evidence/archive/leaf.ts';
import type { EvidenceRecord, SessionRef } from '../../evidence/archive/record.ts';
import type { EvidenceReader, StoreQuery } from '../../evidence/archive/store.ts';
import { BundleReader } from '../../evidence/bundle/reader.ts';
import { verifyBundle } from '../../evidence/bundle/verify.ts';
import { EvidenceError, reasonOf } from '../../evidence/errors.ts';
import { type Checkpoint, checkpointsFromFile } from '../../evidence/merkle/tree-head.ts';
import { accountOf, readChain, viewRecord, viewVerdict } from '../../evidence/report/account.ts';
import { accountHtml } from '../../evidence/report/html.ts';
import {
  accountText,
  auditText,
  count,
  plain,
  recordTable,
  verdictText,
} from '../../evidence/report/text.ts';
import { type AuditReport, audit } from '../../evidence/verify/audit.ts';
import { RecordVerifier } from '../../evidence/verify/record.ts';
import type { CommandContext } from '../context.ts';
import { EXIT_FAILURE, EXIT_OK } from '../lifecycle.ts';
import {
  digestOfFile,
  type EvidenceArguments,
  openWitness,
  option,
  parseChoice,
  parseCount,
  parseRecords,
  parseSha256,
  parseTime,
  readInput,
  reading,
  trustFrom,
} from './input.ts';
import { auditProgress } from './progress.ts';

/* The commands that only read: they run beside a process that writes. */

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 1000;
/** Sessions that a name may match. */
const MAX_SESSIONS = 10_000;
const SESSION_PAGE = 500;
/** Receipts and erasures of one record. There is one of each, unless somebody has put in more. */
const MAX_RELATED = 20;

export interface FindArguments extends EvidenceArguments {
  readonly from?: string;
  readonly to?: string;
  readonly peer?: string;
  readonly session?: string;
  readonly application?: string;
  readonly file?: string;
  readonly sha256?: string;
  readonly direction?: string;
  readonly kind?: string;
  readonly status?: string;
  readonly after?: string;
  readonly limit?: string;
}

/** Exit code 0 when something was found, 1 when nothing was. */
export async function find(
  options: FindArguments,
  { printResult, printText }: CommandContext,
): Promise<number> {
  return reading(options, async (reader) => {
    const query = await queryFrom(options, reader);
    const found = query === undefined ? [] : await reader.find(query);
    const records = query?.digest === undefined ? found : await withReceipts(reader, found);
    const peers = await peerNames(reader, records);
    const views = records.map((record) => ({
      ...viewRecord(record),
      peer: peers.get(toHex(record.session)) ?? '',
    }));
    const isMore = query !== undefined && found.length === query.limit;
    const last = found.at(-1)?.index;
    if (options.json) {
      printResult({ records: views, next: isMore ? last : undefined });
    } else if (records.length === 0) {
      printText('nothing found\n');
    } else {
      printText(recordTable(views));
      if (isMore) printText(`there may be more: --after ${last}\n`);
    }
    return records.length > 0 ? EXIT_OK : EXIT_FAILURE;
  });
}

/** Exit code 1 when the record proves nothing. */
export async function show(
  words: readonly string[],
  options: EvidenceArguments,
  { printResult, printText }: CommandContext,
): Promise<number> {
  const [index] = one(words);
  const trust = await trustFrom(options);
  return reading(options, async (reader) => {
    const account = await accountOf(nodeCrypto, reader, index, trust);
    if (options.json) printResult(account);
    else printText(accountText(account));
    return account.verification.verdict === 'invalid' ? EXIT_FAILURE : EXIT_OK;
  });
}

export interface ReportArguments extends EvidenceArguments {
  readonly html?: string;
}

export async function report(
  words: readonly string[],
  options: ReportArguments,
  { printResult, printText }: CommandContext,
): Promise<number> {
  const [index] = one(words);
  const { html } = options;
  if (html === undefined) throw option('--html FILE is missing: where is the page to go?');
  const trust = await trustFrom(options);
  return reading(options, async (reader) => {
    const account = await accountOf(nodeCrypto, reader, index, trust);
    await writeOut(html, accountHtml(account, new Date().toISOString()));
    if (options.json) printResult({ record: index, html, verdict: account.verification.verdict });
    else printText(`${plain(html)}: record ${index}, ${account.verification.verdict}\n`);
    return EXIT_OK;
  });
}

export interface VerifyArguments extends EvidenceArguments {
  readonly bundle?: string;
}

/** Exit code 1 when one of them is invalid. */
export async function verify(
  words: readonly string[],
  options: VerifyArguments,
  context: CommandContext,
): Promise<number> {
  if (options.bundle !== undefined) return verifyBundleFile(options.bundle, options, context);
  const indexes = parseRecords(words);
  if (indexes.length === 0)
    throw option('Say which records: trellis evidence verify 12 13, or --bundle FILE');
  const trust = await trustFrom(options);
  return reading(options, async (reader) => {
    const verifier = new RecordVerifier(nodeCrypto, reader, trust);
    const results = [];
    for (const index of indexes) {
      const record = await reader.record(index);
      if (record === undefined) {
        throw new EvidenceError('ERR_EVIDENCE_NOT_FOUND', `There is no record ${index} in this archive`);
      }
      const verification = viewVerdict(await verifier.verify(record));
      results.push({ record: index, ...verification });
      if (!options.json)
        context.printText(plain(`record ${index}: ${verdictText(verification)}`).concat('\n'));
    }
    const ok = results.every(({ verdict }) => verdict !== 'invalid');
    if (options.json) context.printResult({ ok, records: results });
    return ok ? EXIT_OK : EXIT_FAILURE;
  });
}

export interface AuditArguments extends EvidenceArguments {
  readonly checkpoint?: readonly string[];
  readonly witness?: readonly string[];
  readonly signatures?: string;
}

/** Exit code 1 when anything was tampered with. */
export async function auditCommand(
  options: AuditArguments,
  { printResult, printText }: CommandContext,
): Promise<number> {
  const { checkpoint = [], witness = [], signatures = 'all' } = options;
  const mode = parseChoice('--signatures', signatures, ['all', 'receipts', 'none']);
  const checkpoints: { name: string; checkpoint: Checkpoint }[] = [];
  for (const name of checkpoint) {
    for (const found of checkpointsFromFile(await readInput(name)))
      checkpoints.push({ name, checkpoint: found });
  }
  const trust = await trustFrom(options);
  const witnesses: { name: string; reader: Awaited<ReturnType<typeof openWitness>> }[] = [];
  try {
    for (const name of witness) witnesses.push({ name, reader: await openWitness(name) });
    const start = performance.now();
    const found = await reading(options, async (reader) => {
      const progress = auditProgress(await reader.size());
      try {
        const onProgress = progress.show;
        return await audit(nodeCrypto, reader, {
          ...trust,
          signatures: mode,
          checkpoints,
          witnesses,
          onProgress,
        });
      } finally {
        progress.end();
      }
    });
    const seconds = (performance.now() - start) / 1000;
    if (options.json) printResult({ ...auditView(found), seconds });
    else printText(auditText(options.archive ?? '', found, seconds));
    return found.ok ? EXIT_OK : EXIT_FAILURE;
  } catch (error) {
    // Not a matter of how it was called: the answer to the question is that the file is damaged.
    if (!(error instanceof EvidenceError) || error.code !== 'ERR_EVIDENCE_DAMAGED') throw error;
    if (options.json) printResult({ ok: false, damaged: error.message });
    else printText(`NOT GOOD: the file cannot be read to its end\n${plain(error.message)}\n`);
    return EXIT_FAILURE;
  } finally {
    for (const { reader } of witnesses) await reader.close();
  }
}

async function verifyBundleFile(
  path: string,
  options: EvidenceArguments,
  { printResult, printText }: CommandContext,
): Promise<number> {
  const trust = await trustFrom(options);
  const bundle = await BundleReader.open(nodeCrypto, path);
  try {
    const found = await verifyBundle(nodeCrypto, bundle, trust);
    const { head, time } = bundle.checkpoint;
    const records = found.records.map(({ record, isInTree, faults, verdict }) => ({
      record: record.index,
      kind: record.kind,
      inTree: isInTree,
      faults,
      ...viewVerdict(verdict),
    }));
    if (options.json) {
      printResult({
        ok: found.ok,
        archive: toHex(head.archive),
        checkpoint: { size: head.size, time: new Date(time).toISOString(), fault: found.checkpointFault },
        records,
      });
    } else {
      const lines = [
        `archive ${toHex(head.archive)}, checkpoint at ${count(head.size)} records of ${new Date(time).toISOString()}: ${found.checkpointFault ?? "signed with the archive's key"}`,
        ...records.map(({ record, kind, inTree, faults, ...verification }) =>
          [
            `record ${record}, ${kind}: ${verdictText(verification)}`,
            inTree ? 'in the tree' : 'NOT IN THE TREE that the checkpoint signs',
            ...faults,
          ].join('; '),
        ),
        found.ok ? 'GOOD' : 'NOT GOOD',
      ];
      printText(`${lines.map(plain).join('\n')}\n`);
    }
    return found.ok ? EXIT_OK : EXIT_FAILURE;
  } finally {
    await bundle.close();
  }
}

function auditView({ checkpoints, ...report }: AuditReport): object {
  const { count: total, valid, last } = checkpoints;
  const lastView = last && {
    size: last.size,
    time: new Date(last.time).toISOString(),
    root: toHex(last.root),
  };
  return { ...report, checkpoints: { count: total, valid, last: lastView } };
}

/** @returns undefined when nothing can match */
async function queryFrom(options: FindArguments, reader: EvidenceReader): Promise<StoreQuery | undefined> {
  const { from, to, application, file, sha256, direction, kind, status, after, limit, peer, session } =
    options;
  if (file !== undefined && sha256 !== undefined) throw option('Give --file or --sha256, not both');
  const sessions = await sessionsFrom(reader, peer, session);
  if (sessions?.length === 0) return undefined;
  return {
    from: from === undefined ? undefined : parseTime('--from', from, false),
    to: to === undefined ? undefined : parseTime('--to', to, true),
    application,
    sessions,
    digest:
      file !== undefined
        ? await digestOfFile(file)
        : sha256 === undefined
          ? undefined
          : parseSha256('--sha256', sha256),
    direction: direction === undefined ? undefined : parseChoice('--direction', direction, DIRECTIONS),
    kind: kind === undefined ? undefined : parseChoice('--kind', kind, KINDS),
    status: status === undefined ? undefined : parseChoice('--status', status, STATUSES),
    after: after === undefined ? undefined : parseCount('--after', after, Number.MAX_SAFE_INTEGER),
    limit: limit === undefined ? DEFAULT_LIMIT : Math.max(1, parseCount('--limit', limit, MAX_LIMIT)),
  };
}

/** Who looks for a document wants to know as well whether it arrived. */
async function withReceipts(
  reader: EvidenceReader,
  found: readonly EvidenceRecord[],
): Promise<EvidenceRecord[]> {
  const all = new Map(found.map((record) => [record.index, record]));
  for (const { index, kind } of found) {
    if (kind !== 'data') continue;
    const related = await reader.find({ target: index, limit: MAX_RELATED });
    for (const record of related) all.set(record.index, record);
  }
  return [...all.values()].sort((a, b) => a.index - b.index);
}

/** By a part of the peer's name, by the beginning of its certificate's SHA-256, or by the session itself. */
async function sessionsFrom(
  reader: EvidenceReader,
  peer: string | undefined,
  session: string | undefined,
): Promise<SessionRef[] | undefined> {
  if (peer === undefined && session === undefined) return undefined;
  const fingerprint = peer !== undefined && /^[0-9a-f]{16,64}$/i.test(peer) ? peer.toLowerCase() : undefined;
  const found: SessionRef[] = [];
  let after: Uint8Array | undefined;
  for (;;) {
    const name = fingerprint === undefined ? peer : undefined;
    const page = await reader.sessions({ name, after, limit: SESSION_PAGE });
    for (const one of page) {
      if (session !== undefined && !isNamed(session, [one.digest, one.sessionBinding])) continue;
      if (fingerprint !== undefined) {
        const [leaf] = await readChain(reader, one.peerChain);
        if (leaf === undefined || !isNamed(fingerprint, [nodeCrypto.digest('sha256', leaf.raw)])) continue;
      }
      found.push({ digest: one.digest });
      if (found.length > MAX_SESSIONS) {
        throw option(
          `More than ${MAX_SESSIONS} sessions match: say more of the name, or give --from and --to`,
        );
      }
    }
    after = page.at(-1)?.digest;
    if (page.length < SESSION_PAGE) return found;
  }
}

function isNamed(beginning: string, digests: readonly Uint8Array[]): boolean {
  return digests.some((digest) => toHex(digest).startsWith(beginning.toLowerCase()));
}

async function peerNames(
  reader: EvidenceReader,
  records: readonly EvidenceRecord[],
): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>();
  for (const { session } of records) {
    const key = toHex(session);
    if (!names.has(key)) names.set(key, (await reader.session(session))?.peerName ?? '');
  }
  return names;
}

function one(words: readonly string[]): [number] {
  const [index, ...more] = parseRecords(words);
  if (index === undefined || more.length > 0) throw option('Say which record, one number');
  return [index];
}

async function writeOut(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text);
  } catch (cause) {
    throw new EvidenceError('ERR_EVIDENCE_FILE', `${path}: ${reasonOf(cause)}`, { cause });
  }
}
