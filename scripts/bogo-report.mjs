// What a run of BoringSSL's tests came to: as a table for the terminal, and as the generated part of docs/conformance.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './root.mjs';

/**
 * `otherwise`: it is disabled by a decision that says how it ends here, it was run all the same, and so it ended.
 *
 * @typedef {'passed' | 'failed' | 'otherwise' | 'disabled' | 'unimplemented'} Verdict
 * @typedef {{ name: string, protocol: string, side: string }} Test
 * @typedef {Test & { verdict: Verdict }} Outcome
 * @typedef {Record<Verdict, number>} Counts
 */

const DOCUMENT = join(ROOT, 'docs', 'conformance.md');
const PLACES = {
  tls: { begin: '<!-- bogo: written by npm run bogo -- --write -->', end: '<!-- /bogo -->' },
  dtls: {
    begin: '<!-- bogo-dtls: written by npm run bogo -- --dtls --write -->',
    end: '<!-- /bogo-dtls -->',
  },
};

const COLUMNS = /** @type {Verdict[]} */ (['passed', 'failed', 'otherwise', 'disabled', 'unimplemented']);

/**
 * @param {readonly Outcome[]} outcomes
 * @returns {[string, Counts][]} a row for each protocol, version and role, and the total
 */
export function tally(outcomes) {
  /** @type {Map<string, Counts>} */
  const rows = new Map();
  const total = noCounts();
  for (const outcome of outcomes) {
    const row = rowOf(outcome);
    const counts = rows.get(row) ?? noCounts();
    rows.set(row, counts);
    counts[outcome.verdict]++;
    total[outcome.verdict]++;
  }
  return [...[...rows].sort(([a], [b]) => a.localeCompare(b)), ['total', total]];
}

/** @returns {Counts} */
function noCounts() {
  return { passed: 0, failed: 0, otherwise: 0, disabled: 0, unimplemented: 0 };
}

/**
 * Only a test's name tells its version, and many are of none, or of several.
 *
 * @param {Test} test
 */
function rowOf({ protocol, side, name }) {
  const version = /(?:^|-)D?TLS(1[123]?)(?=$|-)/.exec(name)?.[1] ?? /(?:^|-)D?TLS(1[123])/.exec(name)?.[1];
  const named = version === undefined ? '(any)' : `1.${version[1] ?? 0}`;
  return `${protocol.toUpperCase()} ${named} ${side}`;
}

/** @param {readonly Outcome[]} outcomes */
export function renderText(outcomes) {
  const rows = tally(outcomes);
  const [, total] = /** @type {[string, Counts]} */ (rows.at(-1));
  return [
    'tests'.padEnd(20) + COLUMNS.map((column) => column.padStart(15)).join(''),
    ...rows.map(
      ([row, counts]) => row.padEnd(20) + COLUMNS.map((column) => `${counts[column]}`.padStart(15)).join(''),
    ),
    '',
    COLUMNS.map((column) => `${total[column]} ${column}`).join(', '),
  ].join('\n');
}

/**
 * Replaces the generated part of docs/conformance.md.
 *
 * @param {string} revision of BoringSSL
 * @param {readonly Outcome[]} outcomes
 * @param {Readonly<Record<string, string>>} decisions pattern of names -> why those tests are not for us
 * @param {keyof typeof PLACES} place
 */
export function writeDocument(revision, outcomes, decisions, place) {
  const before = readFileSync(DOCUMENT, 'utf8');
  const { begin: BEGIN, end: END } = PLACES[place];
  const begin = before.indexOf(BEGIN);
  const end = before.indexOf(END);
  if (begin === -1 || end < begin) throw new Error(`${DOCUMENT} has no place for the tables`);
  const text = [
    BEGIN,
    '',
    `Revision \`${revision}\`.`,
    '',
    table(outcomes),
    '',
    list(outcomes, decisions),
    '',
  ];
  writeFileSync(DOCUMENT, before.slice(0, begin) + text.join('\n') + before.slice(end));
}

/** @param {readonly Outcome[]} outcomes */
function table(outcomes) {
  return [
    `| tests | ${COLUMNS.join(' | ')} |`,
    `|---|${COLUMNS.map(() => '---:|').join('')}`,
    ...tally(outcomes).map(
      ([row, counts]) => `| ${row} | ${COLUMNS.map((column) => counts[column]).join(' | ')} |`,
    ),
  ].join('\n');
}

/**
 * Each decision once, with the tests that it is about. A test is counted with the first that names it.
 *
 * @param {readonly Outcome[]} outcomes
 * @param {Readonly<Record<string, string>>} decisions
 */
function list(outcomes, decisions) {
  const decisionOf = firstMatch(Object.keys(decisions));
  /** @type {Map<string, { disabled: number, otherwise: number, patterns: string[] }>} */
  const groups = new Map();
  for (const { name, verdict } of outcomes) {
    const pattern = decisionOf(name);
    if (pattern === undefined || (verdict !== 'disabled' && verdict !== 'otherwise')) continue;
    const why = /** @type {string} */ (decisions[pattern]);
    const group = groups.get(why) ?? { disabled: 0, otherwise: 0, patterns: [] };
    group[verdict]++;
    if (!group.patterns.includes(pattern)) group.patterns.push(pattern);
    groups.set(why, group);
  }
  return [
    '| decision | otherwise | disabled | names |',
    '|---|---:|---:|---|',
    ...[...groups].map(([why, { otherwise, disabled, patterns: names }]) => {
      const cells = [
        why.replaceAll('|', '\\|'),
        otherwise || '',
        disabled || '',
        names.map((name) => `\`${name}\``).join(' '),
      ];
      return `| ${cells.join(' | ')} |`;
    }),
  ].join('\n');
}

/**
 * Go's path.Match, as far as our patterns go: `*`, and classes of characters.
 *
 * @param {readonly string[]} patterns
 * @returns {(name: string) => string | undefined} the first pattern that a name matches
 */
export function firstMatch(patterns) {
  const known = patterns.map((pattern) => {
    const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|\\]/g, '\\$&'));
    return { pattern, names: new RegExp(`^${parts.join('.*')}$`) };
  });
  return (name) => known.find(({ names }) => names.test(name))?.pattern;
}
