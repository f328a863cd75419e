import type { AuditReport } from '../verify/audit.ts';
import type { Account, CertificateView, RecordView, VerdictView } from './account.ts';

/* For people at a terminal. Texts in an archive may be anybody's, so nothing goes out unescaped. */

const LABEL_WIDTH = 11;

/** One page: who, what, when, how it was verified, what is missing. */
export function accountText(account: Account): string {
  const { record } = account;
  const lines: string[] = [
    `Record ${record.index} of archive ${account.archive}`,
    '',
    ...section('WHO', whoLines(account)),
    ...section('WHAT', whatLines(account)),
    ...section('WHEN', whenLines(account)),
    ...section('VERIFIED', verifiedLines(account)),
  ];
  if (account.acknowledges !== undefined) {
    lines.push(
      ...section('FOR', [`record ${account.acknowledges.index}: ${describe(account.acknowledges)}`]),
    );
  }
  if (record.kind === 'data') lines.push(...section('RECEIPT', receiptLines(account)));
  const missing = account.missing.map((sentence) => `- ${sentence}`);
  lines.push(...section('MISSING', missing.length === 0 ? ['nothing'] : missing));
  return `${lines.map(plain).join('\n')}\n`;
}

/** A table with one line for each record. */
export function recordTable(records: readonly (RecordView & { readonly peer: string })[]): string {
  const header = ['record', 'time', '', 'kind', 'status', 'application', 'peer', 'bytes', 'SHA-256'];
  const rows = records.map((record) => [
    `${record.index}`,
    record.time.replace('T', ' ').replace(/\.\d+Z$/, 'Z'),
    record.direction === 'sent' ? '→' : '←',
    record.target === undefined ? record.kind : `${record.kind} for ${record.target}`,
    statusText(record),
    record.application || '-',
    record.peer || '-',
    record.contentBytes > 0 ? record.contentBytes.toLocaleString('en') : '-',
    `${(record.contentSha256 || record.objectSha256).slice(0, 16)}`,
  ]);
  return table(header, rows, [0, 7]);
}

/** What an audit has found, most important first. */
export function auditText(name: string, report: AuditReport, seconds: number): string {
  const { findings, findingCount, covered, signatures, timestamps, checkpoints, contents } = report;
  const first = findings.find(({ record }) => record !== undefined);
  const verdict = report.ok
    ? 'GOOD: nothing was changed, as far as can be told'
    : first === undefined
      ? 'NOT GOOD'
      : `NOT GOOD, first at record ${first.record}`;
  const lines = [
    `${name}: archive ${report.archive}, ${counted(report.records, 'record')}, read in ${seconds.toFixed(1)} s`,
    '',
    verdict,
    ...findings.map(({ kind, text }) => `  ${kind.padEnd(18)} ${text}`),
  ];
  if (findingCount > findings.length) lines.push(`  and ${count(findingCount - findings.length)} more`);
  const checked =
    signatures.mode === 'none'
      ? 'not verified (--signatures none)'
      : `${count(signatures.valid)} valid, ${count(signatures.invalid)} not${signatures.mode === 'receipts' ? ' (receipts only)' : ''}${report.judged ? '' : '; certificates not judged (no --ca)'}`;
  const rows: [string, string][] = [
    ['contents', `${count(contents.held)} held, ${count(contents.erased)} erased on purpose`],
    ['signatures', checked],
    ['checkpoints', `${count(checkpoints.valid)} of ${count(checkpoints.count)} valid`],
    [
      'timestamps',
      `${count(timestamps.valid)} valid, ${count(timestamps.pending)} to be fetched, ${count(timestamps.invalid)} not valid`,
    ],
  ];
  for (const witness of report.witnesses) {
    rows.push([
      'witness',
      `${witness.name}: ${counted(witness.sessions, 'session')} in common, ${counted(witness.same, 'record')} the same, ${count(witness.differing)} different, ${count(witness.lacking)} not here`,
    ]);
  }
  rows.push(
    ['covered', `${counted(covered.byCheckpoint, 'record')} by a checkpoint of the archive's own key`],
    [
      '',
      `${count(covered.byTimestamp)} by a time authority, ${count(covered.byReceipt)} by receipts of the other party, ${count(covered.byWitness)} by what was given as witness`,
    ],
    [
      'unwitnessed',
      report.unwitnessed === 0
        ? 'nothing'
        : report.unwitnessed === 1
          ? "the last record: only the owner's word stands for it"
          : `the last ${count(report.unwitnessed)} records: only the owner's word stands for them`,
    ],
  );
  lines.push('', ...rows.map(([label, text]) => `  ${label.padEnd(LABEL_WIDTH)}  ${text}`));
  return `${lines.map(plain).join('\n')}\n`;
}

/** "valid, signed by …" */
export function verdictText(verification: VerdictView): string {
  const { verdict, code, reason, signer, signedAt, certificate } = verification;
  if (verdict === 'valid') {
    return `valid, signed by ${signer} (certificate ${certificate}), ${signedAt} by the signer's clock`;
  }
  return `${verdict}${code === undefined ? '' : ` (${code})`}: ${reason}`;
}

/** Columns as wide as their widest cell; those in `right` are numbers. */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string {
  const cells = [header, ...rows].map((row) => row.map(plain));
  const widths = header.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
  return cells
    .map((row) =>
      row
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return right.includes(column) ? cell.padStart(width) : cell.padEnd(width);
        })
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

/** Without what a terminal would obey, or what turns the direction of text. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd');
}

export function count(value: number): string {
  return value.toLocaleString('en');
}

/** "1 record", "2 records". */
function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** What an archive says of what it has made itself is not a verdict. */
function statusText({ direction, held, kind, status }: RecordView): string {
  if (!held && status !== 'missing' && kind !== 'erasure') return 'erased';
  return direction === 'sent' && status === 'unverified' ? 'made here' : status;
}

/** `RecordView.flags` in words. */
export function flagsText(flags: RecordView['flags']): string {
  return flags.length === 0 ? '' : ` (${flags.map((flag) => FLAGS[flag] ?? flag).join(', ')})`;
}

const FLAGS: Readonly<Record<string, string>> = {
  receiptRequested: 'a receipt was asked for',
  unsigned: 'travelled unsigned',
  streamed: 'signed as a stream',
  imported: 'imported',
};

function section(label: string, lines: readonly string[]): string[] {
  return [...lines.map((line, i) => `${(i === 0 ? label : '').padEnd(LABEL_WIDTH)}${line}`), ''];
}

function whoLines({ from, to }: Account): string[] {
  const party = ({ side, own, name }: Account['from']): string =>
    `${name} (${side}${own ? ', the owner of this archive' : ''})`;
  return [
    `from ${party(from)}`,
    ...(from.certificate ? certificateLines(from.certificate) : []),
    `to   ${party(to)}`,
    ...(to.certificate ? certificateLines(to.certificate) : []),
  ];
}

function certificateLines({
  subject,
  issuer,
  serial,
  notBefore,
  notAfter,
  sha256,
}: CertificateView): string[] {
  return [
    `     certificate of ${subject}, by ${issuer}, serial ${serial}`,
    `     valid ${notBefore} to ${notAfter}`,
    `     SHA-256 ${sha256}`,
  ];
}

function describe({
  kind,
  contentBytes,
  objectBytes,
  application,
  sequence,
  format,
  flags,
}: RecordView): string {
  const what =
    kind === 'data' ? `data, ${count(contentBytes)} bytes` : kind === 'receipt' ? 'a receipt' : 'an erasure';
  const where = application === '' ? '' : `, application ${application}`;
  const how = kind === 'erasure' ? '' : `, ${format}, ${count(objectBytes)} bytes as an object`;
  return `${what}${where}, number ${sequence} in its direction${how}${flagsText(flags)}`;
}

function whatLines({ record, session, erased }: Account): string[] {
  const lines = [describe(record)];
  if (record.contentSha256 !== '') lines.push(`SHA-256 of the data    ${record.contentSha256}`);
  if (record.objectSha256 !== '') lines.push(`SHA-256 of the object  ${record.objectSha256}`);
  if (erased !== undefined) {
    lines.push(`erased ${erased.time} (record ${erased.record}): ${erased.reason || 'no reason given'}`);
  }
  if (session !== undefined) {
    lines.push(`in a session of ${session.protocol}, ${session.cipherSuite}, begun ${session.started}`);
    lines.push(`session binding        ${session.binding}`);
  }
  return lines;
}

function whenLines({ record, verification, timestamp }: Account): string[] {
  const lines = [`${record.time}  ${record.direction}, by the clock of this archive`];
  if (verification.signedAt !== undefined)
    lines.push(`${verification.signedAt}  signed, by the signer's clock`);
  if (timestamp !== undefined && 'time' in timestamp) {
    lines.push(
      `${timestamp.time}  dated by ${timestamp.authority} (checkpoint at ${timestamp.checkpoint} records)`,
    );
  }
  return lines;
}

function verifiedLines({ record, verification, checkpoint, revocation }: Account): string[] {
  const lines = [verdictText(verification)];
  if (verification.judgedAt !== undefined) {
    lines.push(`certificate judged at ${verification.judgedAt}, by ${verification.clock}`);
  }
  lines.push(`at reception: ${record.direction === 'sent' ? 'made here' : record.status}`);
  if (checkpoint !== undefined) {
    lines.push(`under the checkpoint at ${count(checkpoint.size)} records, ${checkpoint.time}`);
  }
  for (const { kind, bytes } of revocation)
    lines.push(`revocation data: ${kind.toUpperCase()}, ${count(bytes)} bytes`);
  return lines;
}

function receiptLines({ receipts }: Account): string[] {
  if (receipts.length === 0) return ['none'];
  return receipts.map(({ record, verification }) => `record ${record.index}: ${verdictText(verification)}`);
}
