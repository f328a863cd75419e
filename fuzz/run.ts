// npm run fuzz -- TARGET|all [--seconds N] [--seed N]      a crash is kept in fuzz/crashers/TARGET/
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { mutate, Random } from './mutate.ts';
import { isVerdict, type Target } from './target.ts';
import { TARGETS } from './targets.ts';

const USAGE = 'usage: npm run fuzz -- TARGET|all [--seconds N] [--seed N]';
const CRASHERS = join(dirname(fileURLToPath(import.meta.url)), 'crashers');
/** One input that takes longer than this is as good as a hang. */
const SLOW_MS = 1000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: '1' } },
});
const [name] = positionals;
const targets = TARGETS.filter((target) => name === 'all' || target.name === name);
const seconds = Number(values.seconds);
if (targets.length === 0 || !(seconds > 0)) {
  console.error(`${USAGE}\ntargets: ${TARGETS.map((target) => target.name).join(' ')}`);
  process.exit(2);
}
let failed = false;
for (const target of targets) failed = !fuzz(target) || failed;
process.exit(failed ? 1 : 0);

function fuzz(target: Target): boolean {
  const seeds = target.seeds();
  const before = process.memoryUsage.rss();
  const end = performance.now() + seconds * 1000;
  let runs = 0;
  for (let seed = Number(values.seed); performance.now() < end; seed++) {
    const input = mutate(seeds, new Random(seed));
    const began = performance.now();
    try {
      target.run(input);
    } catch (error) {
      if (!isVerdict(error)) return keep(target, input, seed, error);
    }
    if (performance.now() - began > SLOW_MS && isSlow(target, input))
      return keep(target, input, seed, new Error('slow'));
    runs++;
  }
  const grown = Math.round((process.memoryUsage.rss() - before) / 2 ** 20);
  console.log(
    `${target.name}: ${runs} inputs in ${seconds} s, no crash, memory ${grown >= 0 ? '+' : ''}${grown} MiB`,
  );
  return true;
}

/** Whether it is the input: on a busy machine any of them may have to wait, but not for its own processor time. */
function isSlow(target: Target, input: Uint8Array): boolean {
  const before = process.cpuUsage();
  try {
    target.run(input);
  } catch {
    // Its verdict is known already.
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 > SLOW_MS;
}

function keep(target: Target, input: Uint8Array, seed: number, error: unknown): false {
  const directory = join(CRASHERS, target.name);
  mkdirSync(directory, { recursive: true });
  const file = join(directory, `${seed}.hex`);
  writeFileSync(file, `${Buffer.from(input).toString('hex')}\n`);
  console.error(`${target.name}: seed ${seed} crashes; kept in ${file}`);
  console.error(error);
  return false;
}
