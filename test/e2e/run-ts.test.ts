import { utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ROOT } from '../../scripts/root.mjs';
import { run, scratch } from './tunnel-kit.ts';

it('run-ts keeps a bundle for as long as nothing of it changes', async () => {
  const folder = scratch();
  const at = (name: string) => join(folder, name);
  /** Written a while ago, so that it is not being written now. */
  const write = (name: string, text: string, secondsAgo: number) => {
    writeFileSync(at(name), text);
    const then = Date.now() / 1000 - secondsAgo;
    utimesSync(at(name), then, then);
  };
  const said = async () => {
    const ran = await run(process.execPath, [join(ROOT, 'scripts', 'run-ts.mjs'), at('main.ts'), 'word']);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    return ran.stdout;
  };
  write(
    'main.ts',
    "import { text } from './other.ts';\nconsole.log(text, process.argv.slice(2).join());\n",
    60,
  );
  write('other.ts', "export const text: string = 'one';\n", 60);
  expect(await said()).toBe('one word\n');
  expect(await said()).toBe('one word\n');
  // As long, and of another time.
  write('other.ts', "export const text: string = 'two';\n", 30);
  expect(await said()).toBe('two word\n');
  // Back in time counts too.
  write('other.ts', "export const text: string = 'ten';\n", 90);
  expect(await said()).toBe('ten word\n');
});
