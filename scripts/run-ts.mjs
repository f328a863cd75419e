// Runs a TypeScript program of this repository on Node 20, which cannot by itself.   node scripts/run-ts.mjs FILE [ARGUMENT]...
//
// esbuild bundles FILE and what it imports from here; packages stay outside. That takes a second or two, so the bundle is kept,
// with what it was made from, for as long as nothing of that changes; what FILE imports dynamically is a file of its own, so
// that a program which does many things has in memory what it does now. It runs in this very process: arguments, standard
// streams, signals, IPC and the exit code are the program's own.
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inLatin1 } from './latin1.mjs';
import { ROOT } from './root.mjs';

/** Under node_modules, so that the bundle finds its packages. */
const BUNDLES = join(ROOT, 'node_modules', '.cache', 'trellis');
const BUNDLE_LIFE_MS = 24 * 60 * 60 * 1000;
/** What a bundle depends on besides its modules. */
const ALSO = [
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'scripts/run-ts.mjs',
  'scripts/latin1.mjs',
].map((file) => join(ROOT, file));

const [file, ...rest] = process.argv.slice(2);
if (file === undefined) {
  console.error('usage: node scripts/run-ts.mjs FILE [ARGUMENT]...');
  process.exit(2);
}
// Relative to the repository, as in package.json, wherever the command was given; else relative to where it was given.
const entry = [resolve(ROOT, file), resolve(file)].find((path) => existsSync(path));
if (entry === undefined) {
  console.error(`run-ts: no such file: ${file}`);
  process.exit(2);
}
const bundle = keptBundle(entry) ?? (await makeBundle(entry));
process.argv = [process.execPath, entry, ...rest];
process.setSourceMapsEnabled(true);
await import(pathToFileURL(bundle).href);

/**
 * @typedef {{ path: string, mtimeMs: number, size: number }} Input
 * @typedef {{ bundle: string, inputs: Input[] }} Manifest
 */

/** @param {string} entry */
function manifestOf(entry) {
  return join(BUNDLES, `${sha256(entry)}.json`);
}

/**
 * @param {string} entry
 * @returns {string | undefined} the bundle of before, if it would be the same today
 */
function keptBundle(entry) {
  try {
    /** @type {Manifest} */
    const { bundle, inputs } = JSON.parse(readFileSync(manifestOf(entry), 'utf8'));
    const same = inputs.every(({ path, mtimeMs, size }) => {
      const found = statSync(path);
      return found.mtimeMs === mtimeMs && found.size === size;
    });
    return same && existsSync(bundle) ? bundle : undefined;
  } catch {
    return undefined; // There is none, or something that it was made from is gone.
  }
}

/** @param {string} entry */
async function makeBundle(entry) {
  const { build, stop } = await import('esbuild');
  const startedAt = Date.now();
  const result = await build({
    entryPoints: [entry],
    outdir: BUNDLES,
    outExtension: { '.js': '.mjs' },
    entryNames: 'main',
    bundle: true,
    splitting: true,
    write: false,
    metafile: true,
    absWorkingDir: ROOT,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    alias: {
      trellis: join(ROOT, 'src', 'index.ts'),
      'trellis/dtls': join(ROOT, 'src', 'node', 'dtls', 'index.ts'),
      'trellis/mux': join(ROOT, 'src', 'mux', 'index.ts'),
      'trellis/sign': join(ROOT, 'src', 'sign', 'index.ts'),
      'trellis/evidence': join(ROOT, 'src', 'evidence', 'index.ts'),
      'trellis/module': join(ROOT, 'src', 'module', 'index.ts'),
    },
    // Megabytes of heap, with which garbage is collected more often: a benchmark would measure that.
    sourcemap: entry.startsWith(join(ROOT, 'bench', sep)) ? false : 'inline',
    sourcesContent: false,
    logLevel: 'error',
    plugins: [ownPlace()],
  }).catch(() => process.exit(1)); // esbuild has already said what is wrong
  await stop();
  const files = result.outputFiles.map(({ path, text }) => ({ name: basename(path), code: inLatin1(text) }));
  const folder = join(BUNDLES, sha256(JSON.stringify(files)));
  const path = join(folder, 'main.mjs');
  if (!existsSync(path)) {
    mkdirSync(BUNDLES, { recursive: true });
    forgetOldBundles();
    putInPlace(folder, (to) => {
      mkdirSync(to);
      for (const { name, code } of files) writeFileSync(join(to, name), code);
    });
  }
  const paths = Object.keys(result.metafile.inputs).map((input) => join(ROOT, input));
  const inputs = [...paths, ...ALSO].map((input) => {
    const { mtimeMs, size } = statSync(input);
    return { path: input, mtimeMs, size };
  });
  // What was written while it was read is not known to be what was read.
  if (inputs.every(({ mtimeMs }) => mtimeMs < startedAt))
    putInPlace(manifestOf(entry), (to) => writeFileSync(to, JSON.stringify({ bundle: path, inputs })));
  return path;
}

/** @param {string} data */
function sha256(data) {
  return createHash('sha256').update(data).digest('hex').slice(0, 32);
}

/**
 * Renamed into place: another run of the same program may be looking for it now, or have been faster.
 *
 * @param {string} path
 * @param {(to: string) => void} write
 */
function putInPlace(path, write) {
  const fresh = `${path}.${process.pid}`;
  write(fresh);
  try {
    renameSync(fresh, path);
  } catch (error) {
    if (!existsSync(path)) throw error;
    rmSync(fresh, { recursive: true, force: true });
  }
}

/**
 * Each module keeps the `import.meta` of its source file, so that it finds its neighbours.
 *
 * @returns {import('esbuild').Plugin}
 */
function ownPlace() {
  return {
    name: 'own-place',
    setup(build) {
      build.onLoad({ filter: /\.ts$/ }, ({ path }) => ({
        loader: 'ts',
        contents: readFileSync(path, 'utf8')
          .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href))
          .replaceAll('import.meta.dirname', JSON.stringify(dirname(path)))
          .replaceAll('import.meta.filename', JSON.stringify(path)),
      }));
    },
  };
}

function forgetOldBundles() {
  for (const name of readdirSync(BUNDLES)) {
    const path = join(BUNDLES, name);
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
    if (age > BUNDLE_LIFE_MS) rmSync(path, { recursive: true, force: true });
  }
}
