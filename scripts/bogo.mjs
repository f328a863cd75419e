// BoringSSL's test suite for TLS implementations against this engine.
//   npm run bogo -- --runner DIR [--dtls] [--test 'PATTERN;…'] [--workers N] [--cold] [--all] [--json FILE] [--write [--revision R]]
//
// --dtls runs the tests of DTLS, which TLS's run leaves out, with test/bogo/dtls.json on top of the configuration.
// --cold starts Node for every test, --all runs the disabled ones too, --write puts the result into docs/conformance.md.
// Tests of config.json's `Otherwise` are run apart, and must end as it says.
// DIR is a checkout of BoringSSL, or BORINGSSL_DIR names it. Its runner is built with Go and plays the peer of
// test/bogo's shim, some thousand times; test/bogo/config.json says which tests are not for us, and why.
// Exit code 0 exactly when nothing failed.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build, stop } from 'esbuild';
import { firstMatch, renderText, writeDocument } from './bogo-report.mjs';
import { ROOT, SCRATCH } from './root.mjs';

const TLS_CONFIG = join(ROOT, 'test', 'bogo', 'config.json');
/** What is disabled for DTLS beside what is for TLS. */
const DTLS_CONFIG = join(ROOT, 'test', 'bogo', 'dtls.json');
const FOLDER = join(SCRATCH, 'bogo');
/** Where Go's own archive is unpacked by its instructions; often not in PATH. */
const GO_FOLDER = '/usr/local/go/bin';
const DTLS_TESTS = '*DTLS*';

/**
 * @typedef {import('./bogo-report.mjs').Verdict} Verdict
 * @typedef {import('./bogo-report.mjs').Test} Test
 */

const { values } = parseArgs({
  options: {
    runner: { type: 'string' },
    test: { type: 'string' },
    dtls: { type: 'boolean', default: false },
    workers: { type: 'string', default: '2' },
    cold: { type: 'boolean', default: false },
    all: { type: 'boolean', default: false },
    json: { type: 'string' },
    write: { type: 'boolean', default: false },
    revision: { type: 'string' },
  },
});
const given = values.runner ?? process.env.BORINGSSL_DIR;
if (given === undefined) {
  console.error(
    'bogo: where is BoringSSL? Clone https://boringssl.googlesource.com/boringssl and give --runner DIR',
  );
  process.exit(2);
}
const folder = join(resolve(given), 'ssl', 'test', 'runner');
if (!existsSync(join(folder, 'runner.go'))) {
  console.error(`bogo: ${folder} has no runner.go; --runner wants a checkout of BoringSSL`);
  process.exit(2);
}

mkdirSync(FOLDER, { recursive: true });
if (values.dtls) values.test ??= DTLS_TESTS;
const CONFIG = values.dtls ? dtlsConfig() : TLS_CONFIG;
const runner = buildRunner();
const warm = await bundle('warm');
const cold = await bundle('main');
const tests = await listTests();
const verdicts = await runTests();
if (!values.all) for (const [name, verdict] of await runOtherwise()) verdicts.set(name, verdict);
const outcomes = tests.map((test) => ({ ...test, verdict: verdicts.get(test.name) ?? 'disabled' }));
console.log(`\n${renderText(outcomes)}`);
if (values.json !== undefined) writeFileSync(resolve(values.json), JSON.stringify(outcomes, undefined, 1));
if (values.write)
  writeDocument(
    revisionOf(given),
    outcomes,
    JSON.parse(readFileSync(CONFIG, 'utf8')).DisabledTests,
    values.dtls ? 'dtls' : 'tls',
  );
process.exit([...verdicts.values()].includes('failed') ? 1 : 0);

/** @returns {string} the path of a configuration in which DTLS is not disabled as a whole */
function dtlsConfig() {
  const config = JSON.parse(readFileSync(TLS_CONFIG, 'utf8'));
  const { DisabledTests: more, Otherwise, ErrorMap, ...rest } = JSON.parse(readFileSync(DTLS_CONFIG, 'utf8'));
  delete config.DisabledTests[DTLS_TESTS];
  Object.assign(config.DisabledTests, twins(config.DisabledTests), more);
  Object.assign(config.Otherwise, twins(config.Otherwise), Otherwise);
  Object.assign(config.ErrorMap, ErrorMap);
  Object.assign(config, rest);
  const path = join(FOLDER, 'dtls.json');
  writeFileSync(path, JSON.stringify(config));
  return path;
}

/**
 * What was decided about a test of TLS holds for its twin, whose name says DTLS.
 *
 * @param {Record<string, string>} decided by pattern of names
 */
function twins(decided) {
  const all = Object.entries(decided).map(([pattern, what]) => [
    pattern.replace(/-TLS(?=-|$)/, '-DTLS'),
    what,
  ]);
  return Object.fromEntries(all);
}

/** @param {string} checkout */
function revisionOf(checkout) {
  const git = spawnSync('git', ['-C', checkout, 'rev-parse', 'HEAD'], { encoding: 'utf8' });
  return values.revision ?? (git.status === 0 ? git.stdout.trim() : 'unknown');
}

/** The runner is a Go test. @returns {string} its program */
function buildRunner() {
  const program = join(FOLDER, 'runner');
  const go = spawnSync('go', ['test', '-c', '-o', program, '.'], {
    cwd: folder,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, PATH: `${process.env.PATH}${delimiter}${GO_FOLDER}` },
  });
  if (go.error !== undefined || go.status !== 0) {
    console.error(`bogo: the runner does not build${go.error === undefined ? '' : `: ${go.error.message}`}`);
    process.exit(2);
  }
  return program;
}

/**
 * @param {string} entry a file of test/bogo
 * @returns {Promise<string>} the bundle's path
 */
async function bundle(entry) {
  const outfile = join(FOLDER, `${entry}.mjs`);
  await build({
    entryPoints: [join(ROOT, 'test', 'bogo', `${entry}.ts`)],
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    outfile,
    sourcemap: 'inline',
    logLevel: 'error',
  });
  await stop();
  return outfile;
}

/**
 * Every test that the runner has. It tells neither names nor sides without running, so it runs with a shim that
 * only writes down what `-write-settings`, which carries all three, says.
 *
 * @returns {Promise<Test[]>}
 */
async function listTests() {
  const list = join(FOLDER, 'tests.txt');
  const transcripts = join(FOLDER, 'transcripts');
  rmSync(list, { force: true });
  const shim = writeProgram(
    'list.sh',
    `#!/bin/bash
if [ "$1" = -is-handshaker-supported ]; then echo No; exit 0; fi
while [ $# -gt 0 ]; do
  if [ "$1" = -write-settings ]; then printf '%s\\n' "$2" >> '${list}'; break; fi
  shift
done
exit 89
`,
  );
  const args = ['-include-disabled', '-allow-unimplemented', '-pipe', '-transcript-dir', transcripts];
  await runRunner([...args, ...selection(), '-shim-path', shim], () => {});
  rmSync(transcripts, { recursive: true, force: true });
  if (!existsSync(list)) {
    console.error(`bogo: no test matches ${values.test}`);
    process.exit(2);
  }
  return readFileSync(list, 'utf8')
    .trimEnd()
    .split('\n')
    .map((path) => {
      const [protocol = '', side = '', name = ''] = path.slice(transcripts.length + 1).split('/');
      return { protocol, side, name: name.slice(0, -1) };
    });
}

/** @returns {Promise<Map<string, Verdict>>} of each test that was run */
async function runTests() {
  /** @type {Map<string, Verdict>} */
  const found = new Map();
  const disabled = values.all ? ['-include-disabled'] : [];
  const missing = await runShims([...disabled, ...selection()], (line, status) => {
    if (status !== undefined) found.set(status.name, status.verdict);
    const quiet = status !== undefined && status.verdict !== 'failed';
    if (!quiet && line !== 'PASS') console.log(line);
  });
  for (const [reason, count] of [...missing].sort(([, a], [, b]) => b - a)) {
    console.log(`${`${count}`.padStart(5)} × ${reason.trim()}`);
  }
  return found;
}

/**
 * Runs what a decision disables and says how it ends: `passes`, or the code and the alert of the engine's error.
 *
 * @returns {Promise<Map<string, Verdict>>}
 */
async function runOtherwise() {
  const { DisabledTests, Otherwise } = JSON.parse(readFileSync(CONFIG, 'utf8'));
  const decisionOf = firstMatch(Object.keys(DisabledTests));
  /** @type {Map<string, string>} */
  const expected = new Map();
  for (const { name } of tests) {
    const outcome = Otherwise[decisionOf(name) ?? ''];
    if (outcome !== undefined && !verdicts.has(name)) expected.set(name, outcome);
  }
  /** @type {Map<string, string>} what the runner says of each that failed */
  const told = new Map();
  let current = '';
  if (expected.size > 0) {
    const names = [...expected.keys()].join(';');
    await runShims(['-include-disabled', '-num-workers', values.workers, '-test', names], (line, status) => {
      if (status !== undefined) current = status.name;
      if (status?.verdict !== 'passed') told.set(current, `${told.get(current) ?? ''}${line}\n`);
    });
  }
  return new Map(
    [...expected].map(([name, outcome]) => {
      const text = told.get(name) ?? 'It passed.';
      const isDecided = outcome === 'passes' ? text.includes('unexpected success') : text.includes(outcome);
      if (!isDecided) console.log(`NOT AS DECIDED: ${outcome}\n${text}`);
      return [name, isDecided ? 'otherwise' : 'failed'];
    }),
  );
}

/**
 * @param {string[]} args
 * @param {(line: string, status: { verdict: Verdict, name: string } | undefined) => void} onLine
 * @returns {Promise<ReadonlyMap<string, number>>} what was not implemented, and how many tests asked for it
 */
async function runShims(args, onLine) {
  process.setSourceMapsEnabled(true);
  /** @type {typeof import('../test/bogo/warm.ts')} */
  const { serveShims, launcher } = await import(pathToFileURL(warm).href);
  const server = await serveShims();
  const shim = values.cold
    ? writeProgram('cold.sh', `#!/bin/sh\nexec '${process.execPath}' '${cold}' "$@"\n`)
    : writeProgram('warm.sh', launcher(server.port));
  const fixed = ['-allow-unimplemented', '-pipe', '-shim-config', CONFIG, '-shim-path', shim];
  await runRunner([...fixed, ...args], (line) => {
    const [, word, name] = /^(PASSED|FAILED|UNIMPLEMENTED) \((.*)\)$/.exec(line) ?? [];
    const status =
      word === undefined || name === undefined
        ? undefined
        : { verdict: /** @type {Verdict} */ (word.toLowerCase()), name };
    onLine(line, status);
  });
  server.close();
  return server.missing;
}

function selection() {
  return ['-num-workers', values.workers, ...(values.test === undefined ? [] : ['-test', values.test])];
}

/**
 * @param {string[]} args
 * @param {(line: string) => void} onLine
 * @returns {Promise<void>}
 */
function runRunner(args, onLine) {
  return new Promise((done) => {
    const child = spawn(runner, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
    for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.once(name, () => child.kill());
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      lines.forEach(onLine);
    });
    child.once('close', () => done());
  });
}

/**
 * @param {string} name
 * @param {string} text
 */
function writeProgram(name, text) {
  const path = join(FOLDER, name);
  writeFileSync(path, text, { mode: 0o755 });
  return path;
}
