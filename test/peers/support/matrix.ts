import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { ROOT } from '../../../scripts/root.mjs';
import { type Axes, type GroupNames, type SchemeNames, type SuiteNames, TLS13 } from './algorithms.ts';

/** One handshake to be made, with the roles of our side. */
export interface Combination {
  readonly suite: SuiteNames;
  readonly group: GroupNames;
  readonly scheme: SchemeNames;
}

/** Makes one handshake, moves data both ways and checks what both sides say of it; throws what is wrong. */
export type Attempt = (combination: Combination) => Promise<void>;

const OURS = { client: 'c', server: 's' } as const;
type OurRole = keyof typeof OURS;

/** Programs that run side by side: as many as a small machine has cores. */
const AT_ONCE = 2;

/**
 * Tests of every suite × group × signature scheme with our side in each role; the results are printed as a table when
 * they are complete, and written into docs/interop.md when TRELLIS_WRITE_INTEROP is set.
 *
 * @param peer names the section of docs/interop.md
 * @param version of the peer, for the table
 */
export function matrixTests(
  peer: string,
  version: () => string,
  attempts: Record<OurRole, Attempt>,
  axes: Axes = TLS13,
): void {
  const passed = new Set<string>();
  for (const role of ['client', 'server'] as const) {
    for (const suite of axes.suites) {
      for (const group of axes.groups) {
        it(`our ${role}: ${suite.name}, ${group.name}, every signature scheme`, async () => {
          const wrong: Record<string, string> = {};
          const schemes = axes.schemes.filter((scheme) => axes.fits(suite, scheme));
          await inTurn(schemes, async (scheme) => {
            // Two can be waited for within the time of a test; more say nothing new.
            if (Object.keys(wrong).length >= 2) return;
            try {
              await attempts[role]({ suite, group, scheme });
              passed.add(keyOf(role, suite, group, scheme));
            } catch (error) {
              wrong[scheme.name] = String(error);
            }
          });
          expect(wrong).toEqual({});
        });
      }
    }
  }
  afterAll(() => {
    const table = render(passed, axes);
    const title = `${version()}; c = our client, s = our server`;
    console.log(`\n${title}\n\n${table}\n`);
    writeSection(peer, `${title}.\n\n${table}`);
  });
}

async function inTurn<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

function keyOf(role: OurRole, suite: SuiteNames, group: GroupNames, scheme: SchemeNames): string {
  return [role, suite.name, group.name, scheme.name].join();
}

function render(passed: ReadonlySet<string>, axes: Axes): string {
  const rows = [['suite', 'group', ...axes.schemes.map(({ short }) => short)]];
  for (const suite of axes.suites) {
    for (const group of axes.groups) {
      const cells = axes.schemes.map((scheme) =>
        axes.fits(suite, scheme)
          ? (['client', 'server'] as const)
              .map((role) => (passed.has(keyOf(role, suite, group, scheme)) ? OURS[role] : '-'))
              .join(' ')
          : '',
      );
      rows.push([suite.name.replace(/^TLS_|_SHA\d+$/g, ''), group.name, ...cells]);
    }
  }
  return renderRows(rows);
}

/** A Markdown table that is readable as text too; the first row is its head. */
export function renderRows(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`);
  lines.splice(1, 0, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`);
  return lines.join('\n');
}

/** Replaces what is between the marks of a section of docs/interop.md, if that is wanted. */
function writeSection(name: string, text: string): void {
  if (!process.env.TRELLIS_WRITE_INTEROP) return;
  const file = join(ROOT, 'docs', 'interop.md');
  const page = readFileSync(file, 'utf8');
  const [start, end] = [`<!-- matrix ${name} -->\n`, `<!-- end of matrix ${name} -->`];
  const from = page.indexOf(start) + start.length;
  const to = page.indexOf(end);
  if (from < start.length || to < from) throw new Error(`docs/interop.md has no section '${name}'`);
  writeFileSync(file, `${page.slice(0, from)}\n${text}\n\n${page.slice(to)}`);
}
