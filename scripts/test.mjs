// Every test there is.   npm test [-- --no-install]
//
// Brings the programs that tests talk to (where it may), checks the sources, builds dist/, runs all layers, and ends with
// one table. Exit code 0 exactly when nothing failed.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, SCRATCH } from './root.mjs';

/** BoringSSL's whole suite takes one or two minutes on two cores. */
const BOGO_MS = 15 * 60_000;
/** A whole run takes ten to fifteen minutes on two cores. One that has not ended by now hangs. */
const TESTS_MS = 25 * 60_000;
/** For vitest to end its own workers and they their programs, before all are ended. */
const GRACE_MS = 10_000;

if (!existsSync(join(ROOT, 'node_modules', '.package-lock.json'))) {
  console.log('npm ci: node_modules is missing');
  const npm = spawnSync('npm', ['ci'], { cwd: ROOT, stdio: 'inherit', shell: process.platform === 'win32' });
  if (npm.status !== 0) process.exit(1);
}
// Only now: these need what npm ci brings.
const { buildIfStale } = await import('./build.mjs');
const { CHECKS, runChecks } = await import('./check.mjs');
const { installPeers } = await import('./peers.mjs');
const { commandFile } = await import('./root.mjs');
const { countsOf, emptyTally, renderTally, total } = await import('./tally.mjs');

if (!process.argv.includes('--no-install')) installPeers();

const tally = emptyTally();
const failedChecks = await runChecks();
countsOf(tally, 'check').passed = CHECKS.length - failedChecks.length;
for (const name of failedChecks) fail('check', name, `see above, or run: npm run check -- ${name}`);

const complaints = buildIfStale();
if (complaints === undefined) countsOf(tally, 'build').passed = 1;
else {
  console.log(complaints);
  fail('build', 'dist', 'see above, or run: npm run build');
}

const ofTests = await runTests();
Object.assign(tally.layers, ofTests.layers);
tally.failures.push(...ofTests.failures);
tally.skips.push(...ofTests.skips);

runBogo();

console.log(`\n${renderTally(tally)}`);
process.exit(total(tally).failed === 0 ? 0 : 1);

/**
 * @param {string} layer
 * @param {string} test
 * @param {string} why
 * @param {import('./tally.mjs').Tally} [into]
 */
function fail(layer, test, why, into = tally) {
  countsOf(into, layer).failed += 1;
  into.failures.push({ layer, test, why });
}

/** BoringSSL's tests, where there is a checkout of it. */
function runBogo() {
  const counts = countsOf(tally, 'bogo');
  if (process.env.BORINGSSL_DIR === undefined) {
    counts.skipped = 1;
    const why =
      'no checkout of BoringSSL: clone it, and name its folder in BORINGSSL_DIR (docs/conformance.md)';
    tally.skips.push({ layer: 'bogo', test: "BoringSSL's runner", why });
    return;
  }
  const bogo = spawnSync(process.execPath, [join(ROOT, 'scripts', 'bogo.mjs')], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: BOGO_MS,
    maxBuffer: 64 * 1024 * 1024,
  });
  console.log(bogo.stdout);
  const [, passed, failed] = /(\d+) passed, (\d+) failed, \d+ disabled/.exec(bogo.stdout) ?? [];
  counts.passed = Number(passed ?? 0);
  if (bogo.status === 0) return;
  fail('bogo', "BoringSSL's runner", 'see above, or run: npm run bogo');
  counts.failed = Math.max(Number(failed ?? 0), 1);
}

/** @returns {Promise<import('./tally.mjs').Tally>} */
async function runTests() {
  mkdirSync(SCRATCH, { recursive: true });
  const file = join(SCRATCH, `tally-${process.pid}.json`);
  // A test left alone with `.only` would hide all others.
  const vitest = spawn(process.execPath, [commandFile('vitest', 'vitest'), 'run', '--allowOnly=false'], {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, TRELLIS_TEST_TALLY: file },
    detached: true, // its own group, so that nothing it started can outlive it
  });
  const forward = () => end('SIGTERM');
  process.once('SIGINT', forward).once('SIGTERM', forward);
  let hung = false;
  const limit = setTimeout(() => {
    hung = true;
    end('SIGTERM');
    setTimeout(() => end('SIGKILL'), GRACE_MS).unref();
  }, TESTS_MS);
  /** @type {number | null} */
  const code = await new Promise((resolve) => {
    vitest.once('exit', resolve);
    vitest.once('error', () => resolve(null));
  });
  clearTimeout(limit);
  end('SIGKILL');

  const result = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : emptyTally();
  rmSync(file, { force: true });
  const { passed, failed } = total(result);
  if (hung) fail('run', 'vitest', `did not end within ${TESTS_MS / 60_000} minutes`, result);
  else if (code !== 0 && failed === 0) fail('run', 'vitest', `ended with ${code}, see above`, result);
  else if (passed + failed === 0) fail('run', 'vitest', 'found no test to run', result);
  return result;

  /** @param {NodeJS.Signals} signal */
  function end(signal) {
    if (vitest.pid === undefined) return;
    try {
      process.kill(-vitest.pid, signal);
    } catch {
      // The group is gone: what was wanted.
    }
  }
}
