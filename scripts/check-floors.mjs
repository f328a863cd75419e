// Import floors: .dependency-cruiser.cjs over src/.   node scripts/check-floors.mjs
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { cruise } from 'dependency-cruiser';
import rules from '../.dependency-cruiser.cjs';
import { FLOORS } from './floors.cjs';
import { ROOT } from './root.mjs';

const { forbidden, options } = rules;

/**
 * @param {string} root folder that holds a src/ folder
 * @param {import('dependency-cruiser').ICruiseOptions} [more] options beside those of the rules' file
 * @returns {Promise<{ faults: string[], modules: number }>} one line per fault
 */
export async function checkFloors(root, more = {}) {
  const files = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && entry.name.endsWith('.ts'),
  );
  const strays = readdirSync(join(root, 'src'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !FLOORS.includes(entry.name))
    .map(({ name }) => `src/${name} is on no floor: give it its place in scripts/floors.cjs`);

  const report = await cruise(['src'], {
    ...options,
    ...more,
    ruleSet: { forbidden },
    validate: true,
    baseDir: root,
  });
  if (typeof report.output === 'string')
    throw new Error('dependency-cruiser gave text where a result was due');
  const modules = report.output.modules.filter(({ source }) => source.startsWith('src/')).length;
  const violations = report.output.summary.violations.map(
    ({ rule, from, to, cycle }) =>
      `${rule.name}: ${[from, ...(cycle?.map(({ name }) => name) ?? [to])].join(' -> ')}`,
  );
  // Under a TypeScript that it does not know, dependency-cruiser sees nothing and finds nothing wrong.
  const blind =
    modules < files.length
      ? [
          `dependency-cruiser saw ${modules} of the ${files.length} modules in src: its verdict is worth nothing`,
        ]
      : [];
  return { faults: [...blind, ...strays, ...violations], modules };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { faults, modules } = await checkFloors(ROOT);
  for (const fault of faults) console.error(fault);
  const reasons = forbidden.filter(
    ({ name, comment }) => comment !== undefined && faults.some((fault) => fault.startsWith(`${name}:`)),
  );
  for (const { name, comment } of reasons) console.error(`  ${name}: ${comment}`);
  console.log(`${modules} modules, ${faults.length} faults`);
  process.exit(faults.length === 0 ? 0 : 1);
}
