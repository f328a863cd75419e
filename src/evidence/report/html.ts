import type { Account, CertificateView, PartyView } from './account.ts';
import { count, flagsText, plain, verdictText } from './text.ts';

/**
 * One page that needs nothing else: no script, no image, no font, no link. Every text in it is escaped, whoever wrote
 * it, and a policy in the page forbids a browser to load or run anything all the same.
 */
export function accountHtml(account: Account, now: string): string {
  const { record, verification } = account;
  const title = `Evidence: record ${record.index} of archive ${account.archive}`;
  const tone = { valid: 'good', unsigned: 'fair', absent: 'fair', invalid: 'bad' }[verification.verdict];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
<p class="verdict ${tone}">${escapeHtml(verdictText(verification))}</p>
${section('Who', [party('From', account.from), party('To', account.to)].join(''))}
${section('What', rows(whatRows(account)))}
${section('When', rows(whenRows(account)))}
${section('How it was verified', rows(verifiedRows(account)))}
${record.kind === 'data' ? section('Receipts', list(receiptItems(account), 'None.')) : ''}
${section('What is missing', list(account.missing, 'Nothing.'))}
<footer>Made ${escapeHtml(now)} by <code>trellis evidence report</code>. The page shows what the archive holds; it proves
nothing by itself. <code>trellis evidence export</code> makes a bundle that anyone can verify with openssl.</footer>
</body>
</html>
`;
}

/** For text and for attribute values in quotes. */
export function escapeHtml(text: string): string {
  return plain(text).replace(/[&<>"'`]/g, (character) => `&#${character.charCodeAt(0)};`);
}

type Item = readonly [label: string, value: string];

const STYLE = `
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
h1{font-size:1.4rem;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:1.6rem 0 .4rem;border-bottom:1px solid #ccc}
dl{display:grid;grid-template-columns:minmax(8rem,14rem) 1fr;gap:.15rem 1rem;margin:0}
dt{color:#555}
dd{margin:0;overflow-wrap:anywhere}
.verdict{padding:.6rem .8rem;border-left:.4rem solid;overflow-wrap:anywhere}
.good{border-color:#176f2c;background:#e9f6ec}
.fair{border-color:#8a5a00;background:#fdf4e3}
.bad{border-color:#a11212;background:#fbeaea}
footer{margin-top:2rem;color:#555;font-size:.85rem}
@media print{body{margin:0}}
`;

function section(heading: string, body: string): string {
  return `<section><h2>${escapeHtml(heading)}</h2>${body}</section>`;
}

function rows(items: readonly Item[]): string {
  return `<dl>${items.map(([label, value]) => `<dt>${escapeHtml(label)}</dt><dd>${escapeHtml(value)}</dd>`).join('')}</dl>`;
}

function list(items: readonly string[], otherwise: string): string {
  if (items.length === 0) return `<p>${escapeHtml(otherwise)}</p>`;
  return `<ul>${items.map((item) => `<li>${escapeHtml(item)}</li>`).join('')}</ul>`;
}

function party(label: string, { name, side, own, certificate }: PartyView): string {
  const who: Item = [label, `${name} (${side}${own ? ', the owner of this archive' : ''})`];
  return rows([who, ...(certificate === undefined ? [] : certificateRows(certificate))]);
}

function certificateRows({ subject, issuer, serial, notBefore, notAfter, sha256 }: CertificateView): Item[] {
  return [
    ['Certificate', subject],
    ['Issued by', `${issuer}, serial ${serial}`],
    ['Valid', `${notBefore} to ${notAfter}`],
    ['SHA-256', sha256],
  ];
}

function whatRows({ record, session, erased, acknowledges }: Account): Item[] {
  const items: (Item | undefined)[] = [
    ['Kind', `${record.kind}${flagsText(record.flags)}`],
    record.application === '' ? undefined : ['Application', record.application],
    ['Number', `${record.sequence} in its direction`],
    record.kind === 'data' ? ['Data', `${count(record.contentBytes)} bytes`] : undefined,
    record.contentSha256 === '' ? undefined : ['SHA-256 of the data', record.contentSha256],
    record.objectSha256 === ''
      ? undefined
      : ['Object', `${record.format}, ${count(record.objectBytes)} bytes, SHA-256 ${record.objectSha256}`],
    acknowledges && ['Acknowledges', `record ${acknowledges.index}, SHA-256 ${acknowledges.objectSha256}`],
    erased && ['Erased', `${erased.time} (record ${erased.record}): ${erased.reason || 'no reason given'}`],
    session && ['Session', `${session.protocol}, ${session.cipherSuite}, begun ${session.started}`],
    session && ['Session binding', session.binding],
  ];
  return items.filter((item) => item !== undefined);
}

function whenRows({ record, verification, timestamp }: Account): Item[] {
  const items: Item[] = [
    [record.direction === 'sent' ? 'Sent' : 'Received', `${record.time}, by this archive's clock`],
  ];
  if (verification.signedAt !== undefined)
    items.push(['Signed', `${verification.signedAt}, by the signer's clock`]);
  if (timestamp !== undefined && 'time' in timestamp) {
    items.push([
      'Dated',
      `${timestamp.time}, by ${timestamp.authority} (checkpoint at ${timestamp.checkpoint} records)`,
    ]);
  }
  return items;
}

function verifiedRows({ record, verification, checkpoint, revocation }: Account): Item[] {
  const items: (Item | undefined)[] = [
    ['Now', verdictText(verification)],
    verification.judgedAt === undefined
      ? undefined
      : ['Certificate judged at', `${verification.judgedAt}, by ${verification.clock}`],
    ['At reception', record.direction === 'sent' ? 'made here' : `${record.status} ${record.reason}`.trim()],
    checkpoint && [
      'Checkpoint',
      `at ${count(checkpoint.size)} records, ${checkpoint.time}, root ${checkpoint.root}`,
    ],
    ...revocation.map(
      ({ kind, bytes }): Item => ['Revocation data', `${kind.toUpperCase()}, ${count(bytes)} bytes`],
    ),
  ];
  return items.filter((item) => item !== undefined);
}

function receiptItems({ receipts }: Account): string[] {
  return receipts.map(({ record, verification }) => `Record ${record.index}: ${verdictText(verification)}`);
}
