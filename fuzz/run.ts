// npm run fuzz -- TARGET|all [--seconds N] [--inputs N] [--seed N] [--json]      a crash is kept in fuzz/crashers/TARGET/
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Failure, type Outcome, runCampaign } from './campaign.ts';
import { TARGETS } from './targets.ts';

const USAGE = `usage: npm run fuzz -- TARGET|all [--seconds N] [--inputs N] [--seed N] [--json]
  --seconds N   wall time for each target (60)
  --inputs N    ends earlier, after so many inputs
  --seed N      the first input's number (1): the same number gives the same damage
  --json        one line of JSON per target: inputs, processor seconds, resident memory, heap after collection`;
const CRASHERS = join(dirname(fileURLToPath(import.meta.url)), 'crashers');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '60' },
    inputs: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
});
const [name] = positionals;
const targets = TARGETS.filter((target) => name === 'all' || target.name === name);
const seconds = Number(values.seconds);
const inputs = Number(values.inputs);
const seed = Number(values.seed);
if (targets.length === 0 || !(seconds > 0) || !(inputs > 0) || !Number.isSafeInteger(seed)) {
  console.error(`${USAGE}\ntargets: ${TARGETS.map((target) => target.name).join(' ')}`);
  process.exit(2);
}
let failed = false;
for (const target of targets) {
  const outcome = await runCampaign(target, { ms: seconds * 1000, inputs, seed });
  console.log(values.json ? JSON.stringify(machineReadable(outcome)) : humanReadable(outcome));
  if (outcome.failure !== undefined) {
    failed = true;
    keep(outcome.target, outcome.failure);
  }
}
process.exit(failed ? 1 : 0);

function machineReadable({ failure, ...outcome }: Outcome): object {
  return { ...outcome, failure: failure?.kind ?? null, seed: failure?.found?.seed ?? null };
}

function humanReadable(outcome: Outcome): string {
  const { target, inputs, seconds, cpuSeconds, rss, heap, failure } = outcome;
  const verdict = failure === undefined ? 'no failure' : failure.kind;
  return (
    `${target}: ${inputs} inputs in ${Math.round(seconds)} s (${cpuSeconds.toFixed(1)} s of processor), ${verdict}, ` +
    `heap ${signed(heap.grown)} KiB, resident ${mib(rss.start)} to ${mib(rss.end)}, at most ${mib(rss.peak)} MiB`
  );
}

function keep(target: string, { kind, error, found }: Failure): void {
  if (found !== undefined) {
    const directory = join(CRASHERS, target);
    mkdirSync(directory, { recursive: true });
    const file = join(directory, `${found.seed}.hex`);
    writeFileSync(file, `${Buffer.from(found.input).toString('hex')}\n`);
    console.error(`${target}: seed ${found.seed}: ${kind}; kept in ${file}`);
  }
  console.error(error);
}

function mib(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}

function signed(bytes: number): string {
  const kib = Math.round(bytes / 1024);
  return kib > 0 ? `+${kib}` : `${kib}`;
}
