// Runs a TypeScript program of this repository on Node 20, which cannot by itself.   node scripts/run-ts.mjs FILE [ARGUMENT]...
//
// esbuild bundles FILE and what it imports from here (about 50 ms); packages stay outside. The bundle runs in this very
// process, so arguments, standard streams, signals, IPC and the exit code are the program's own.
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
import { dirname, join, resolve, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, stop } from 'esbuild';
import { ROOT } from './root.mjs';

/** Under node_modules, so that the bundle finds its packages. */
const BUNDLES = join(ROOT, 'node_modules', '.cache', 'trellis');
const BUNDLE_LIFE_MS = 24 * 60 * 60 * 1000;

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
const bundle = await bundleOf(entry);
process.argv = [process.execPath, entry, ...rest];
process.setSourceMapsEnabled(true);
await import(pathToFileURL(bundle).href);

/** @param {string} entry */
async function bundleOf(entry) {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
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
    logLevel: 'error',
    plugins: [ownPlace()],
  }).catch(() => process.exit(1)); // esbuild has already said what is wrong
  await stop();
  const code = result.outputFiles[0]?.contents ?? new Uint8Array();
  const name = createHash('sha256').update(code).digest('hex').slice(0, 32);
  const path = join(BUNDLES, `${name}.mjs`);
  if (!existsSync(path)) {
    mkdirSync(BUNDLES, { recursive: true });
    forgetOldBundles();
    // Renamed into place: another run of the same program may be looking for it now.
    writeFileSync(`${path}.${process.pid}`, code);
    renameSync(`${path}.${process.pid}`, path);
  }
  return path;
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
    if (age > BUNDLE_LIFE_MS) rmSync(path, { force: true });
  }
}
