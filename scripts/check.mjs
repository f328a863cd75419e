// All that can be said of the sources without running them.   node scripts/check.mjs [NAME]...
import { spawn } from 'node:child_process';
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

/** The types take as long as all others, on one core. */
const AT_ONCE = 2;

/**
 * Runs the checks, two at a time, a line for each, with the tool's own words where it finds fault.
 *
 * @param {readonly { name: string, command: () => string[] }[]} [checks]
 * @returns {Promise<string[]>} names of those that failed
 */
export async function runChecks(checks = CHECKS) {
  const waiting = [...checks];
  /** @type {Set<string>} */
  const failed = new Set();
  const lane = async () => {
    for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) {
      if (!(await passes(check))) failed.add(check.name);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return checks.map(({ name }) => name).filter((name) => failed.has(name));
}

/** @param {{ name: string, command: () => string[] }} check */
async function passes({ name, command }) {
  const start = Date.now();
  const tool = spawn(process.execPath, command(), { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  const [said, complained] = [textOf(tool.stdout), textOf(tool.stderr)];
  /** @type {number | null} */
  const status = await new Promise((resolve) => {
    tool.once('close', resolve);
    tool.once('error', () => resolve(null));
  });
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  console.log(`check ${name.padEnd(10)} ${status === 0 ? 'ok' : 'FAILED'} (${seconds} s)`);
  if (status !== 0) console.log(`${said()}${complained()}`.trimEnd());
  return status === 0;
}

/** @param {import('node:stream').Readable} stream */
function textOf(stream) {
  let text = '';
  stream.setEncoding('utf8').on('data', (part) => {
    text += part;
  });
  return () => text;
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
  const failed = await runChecks(
    asked.length === 0 ? CHECKS : CHECKS.filter(({ name }) => asked.includes(name)),
  );
  process.exit(failed.length === 0 ? 0 : 1);
}
