// All that can be said of the sources without running them.   node scripts/check.mjs [NAME]...
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { commandFile, ROOT } from './root.mjs';

/** @type {readonly { name: string, command: () => string[] }[]} */
export const CHECKS = [
  { name: 'types', command: () => [commandFile('typescript', 'tsc'), '-p', 'tsconfig.json'] },
  { name: 'lint', command: () => [commandFile('@biomejs/biome', 'biome'), 'check', '--error-on-warnings'] },
  { name: 'dead-code', command: () => [commandFile('knip', 'knip'), '--no-progress'] },
  { name: 'floors', command: () => [join(ROOT, 'scripts', 'check-floors.mjs')] },
  { name: 'purity', command: () => [join(ROOT, 'scripts', 'check-purity.mjs')] },
];

/**
 * Runs the checks one after the other, a line for each, with the tool's own words where it finds fault.
 *
 * @param {readonly { name: string, command: () => string[] }[]} [checks]
 * @returns {string[]} names of those that failed
 */
export function runChecks(checks = CHECKS) {
  return checks
    .filter(({ name, command }) => {
      const start = Date.now();
      const tool = spawnSync(process.execPath, command(), {
        cwd: ROOT,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
        // Room for a tool that complains about everything.
        maxBuffer: 64 * 1024 * 1024,
      });
      const seconds = ((Date.now() - start) / 1000).toFixed(1);
      const failed = tool.status !== 0;
      console.log(`check ${name.padEnd(10)} ${failed ? 'FAILED' : 'ok'} (${seconds} s)`);
      if (failed) console.log(`${tool.stdout}${tool.stderr}`.trimEnd());
      return failed;
    })
    .map(({ name }) => name);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const asked = process.argv.slice(2);
  const unknown = asked.find((name) => !CHECKS.some((check) => check.name === name));
  if (unknown !== undefined) {
    console.error(
      `check: no check called ${unknown}; there are ${CHECKS.map(({ name }) => name).join(', ')}`,
    );
    process.exit(2);
  }
  const failed = runChecks(asked.length === 0 ? CHECKS : CHECKS.filter(({ name }) => asked.includes(name)));
  process.exit(failed.length === 0 ? 0 : 1);
}
