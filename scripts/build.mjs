// Builds dist/ from src/.   node scripts/build.mjs [--if-stale]
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { commandFile, ROOT, SCRATCH } from './root.mjs';

const DIST = join(ROOT, 'dist');
const STAMP = join(SCRATCH, 'dist.stamp');

/**
 * Builds unless dist/ is what the present sources gave.
 *
 * @returns {string | undefined} the compiler's complaints, `undefined` when dist/ is fresh
 */
export function buildIfStale() {
  return existsSync(DIST) && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === fingerprint()
    ? undefined
    : build();
}

/**
 * Compiles beside dist/ and then swaps: a failed build leaves the last good one, and nobody sees half a build.
 *
 * @returns {string | undefined} the compiler's complaints, `undefined` when all went well
 */
export function build() {
  const before = fingerprint();
  const fresh = join(SCRATCH, `dist-${process.pid}`);
  rmSync(fresh, { recursive: true, force: true });
  const compiler = spawnSync(
    process.execPath,
    [commandFile('typescript', 'tsc'), '-p', 'tsconfig.build.json', '--outDir', fresh],
    { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
  );
  if (compiler.status !== 0) {
    rmSync(fresh, { recursive: true, force: true });
    return `${compiler.stdout}${compiler.stderr}`.trim() || 'tsc failed and said nothing';
  }
  // A build of no files writes no folder; the swap below needs one.
  mkdirSync(fresh, { recursive: true });
  const old = join(SCRATCH, `dist-old-${process.pid}`);
  if (existsSync(DIST)) renameSync(DIST, old);
  renameSync(fresh, DIST);
  rmSync(old, { recursive: true, force: true });
  writeFileSync(STAMP, before);
  return undefined;
}

/** Contents, not times: a checkout or a clone sets times that say nothing. */
function fingerprint() {
  const hash = createHash('sha256');
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  for (const file of [
    ...files.sort(),
    ...['tsconfig.json', 'tsconfig.build.json', 'package.json'].map(inRoot),
  ]) {
    hash.update(`${file}\0`).update(readFileSync(file)).update('\0');
  }
  return hash.digest('hex');
}

/** @param {string} name */
function inRoot(name) {
  return join(ROOT, name);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const complaints = process.argv.includes('--if-stale') ? buildIfStale() : build();
  if (complaints !== undefined) {
    console.error(complaints);
    process.exit(1);
  }
}
