// Builds dist/ from src/.   node scripts/build.mjs [--if-stale]
//
// tsc checks the types and writes the declarations; esbuild writes the JavaScript, a file for each name of the package and
// files that these share. Hundreds of small modules took `import 'trellis'` twice as long.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildSync } from 'esbuild';
import { inLatin1 } from './latin1.mjs';
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
  bundle(fresh);
  const old = join(SCRATCH, `dist-old-${process.pid}`);
  if (existsSync(DIST)) renameSync(DIST, old);
  renameSync(fresh, DIST);
  rmSync(old, { recursive: true, force: true });
  writeFileSync(STAMP, before);
  return undefined;
}

/**
 * Not minified: who debugs an application may read it, and a stack trace names our functions.
 *
 * @param {string} folder
 */
function bundle(folder) {
  const { outputFiles } = buildSync({
    absWorkingDir: ROOT,
    entryPoints: entries(),
    outdir: folder,
    outbase: 'src',
    bundle: true,
    splitting: true,
    chunkNames: 'shared/[name]-[hash]',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    logLevel: 'error',
    write: false,
  });
  for (const { path, text } of outputFiles) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, inLatin1(text));
  }
}

/** What package.json says that others may import or run: the sources of those files. */
function entries() {
  /** @type {{ exports: Record<string, string | { default: string }>, bin: Record<string, string> }} */
  const { exports, bin } = JSON.parse(readFileSync(inRoot('package.json'), 'utf8'));
  return [
    ...Object.values(exports).flatMap((target) => (typeof target === 'string' ? [] : [target.default])),
    ...Object.values(bin),
  ].map((file) => file.replace(/^(\.\/)?dist\//, 'src/').replace(/\.js$/, '.ts'));
}

/** Contents, not times: a checkout or a clone sets times that say nothing. */
function fingerprint() {
  const hash = createHash('sha256');
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  for (const file of [
    ...files.sort(),
    ...[
      'tsconfig.json',
      'tsconfig.build.json',
      'package.json',
      'scripts/build.mjs',
      'scripts/latin1.mjs',
    ].map(inRoot),
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
