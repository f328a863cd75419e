import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const formats = fileURLToPath(new URL('../../../src/formats/', import.meta.url));
const src = fileURLToPath(new URL('../../../src/', import.meta.url));

function sources(folder: string): { readonly name: string; readonly text: string }[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') }));
}

it('only verifiers make proofs', () => {
  const users = sources(src).filter(({ text }) => /\bprove\b[^;]*from '[^']*verified\.ts'/.test(text));
  expect(users.length).toBeGreaterThan(0);
  for (const { name } of users) expect(name).toMatch(/^formats\/.*verify[^/]*\.ts$/);
});

it('verifying does not import making', () => {
  const all = new Map(sources(formats).map(({ name, text }) => [name, text]));
  const imports = (name: string): string[] =>
    [...(all.get(name) ?? '').matchAll(/from '(\.[^']+)'/g)].map(([, path = '']) => join(name, '..', path));
  const reached = new Set<string>();
  const visit = (name: string): void => {
    if (reached.has(name) || !all.has(name)) return;
    reached.add(name);
    for (const next of imports(name)) visit(next);
  };
  for (const name of all.keys()) if (/(^|\/)verify/.test(name)) visit(name);
  expect(reached.size).toBeGreaterThan(5);
  expect([...reached].filter((name) => /(^|\/)make/.test(name))).toEqual([]);
});
