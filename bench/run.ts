// npm run bench -- [NAME] [--json] [--rounds N]
import { parseArgs } from 'node:util';
import { benches } from './benches/index.ts';
import { measure, renderResult } from './harness.ts';

const USAGE = 'usage: npm run bench -- [NAME] [--json] [--rounds N]';
/** More is a typing mistake: some benches take many seconds a round. */
const MAX_ROUNDS = 1000;

const { name, json, rounds } = readArguments();
const load = name === undefined || !Object.hasOwn(benches, name) ? undefined : benches[name];
if (name === undefined) {
  const width = Math.max(...Object.keys(benches).map((name) => name.length));
  for (const load of Object.values(benches)) {
    const { name, unit, higherIsBetter, peerName } = await load();
    console.log(
      `${name.padEnd(width)} ${unit}, ${higherIsBetter ? 'higher' : 'lower'} is better, against ${peerName}`,
    );
  }
} else if (load === undefined) {
  refuse(`no bench called ${name}; there are ${Object.keys(benches).join(', ')}`);
} else {
  const bench = await load();
  const progress = process.stderr.isTTY ? (line: string) => console.error(line) : undefined;
  const result = await measure(bench, rounds, progress);
  console.log(json ? JSON.stringify(result) : renderResult(bench, result));
}

function readArguments(): { name: string | undefined; json: boolean; rounds: number | undefined } {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { json: { type: 'boolean', default: false }, rounds: { type: 'string' } },
    });
    const [name, ...more] = positionals;
    if (more.length > 0) refuse(`one bench at a time; ${USAGE}`);
    const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
    if (rounds !== undefined && !(Number.isInteger(rounds) && rounds >= 1 && rounds <= MAX_ROUNDS)) {
      refuse(`--rounds takes a whole number from 1 to ${MAX_ROUNDS}`);
    }
    return { name, json: values.json, rounds };
  } catch (error) {
    return refuse(`${error instanceof Error ? error.message : error}; ${USAGE}`);
  }
}

function refuse(why: string): never {
  console.error(`bench: ${why}`);
  process.exit(2);
}
