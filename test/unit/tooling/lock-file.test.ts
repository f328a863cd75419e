import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path/posix';
import { expect, it } from 'vitest';

interface Package {
  readonly version?: string;
  readonly resolved?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const lock: { packages: Record<string, Package> } = JSON.parse(
  readFileSync(new URL('../../../package-lock.json', import.meta.url), 'utf8'),
);

it('names no host other than the public registry', () => {
  const elsewhere = Object.values(lock.packages)
    .map(({ resolved }) => resolved)
    .filter((url) => url !== undefined && !url.startsWith('https://registry.npmjs.org/'));
  expect(elsewhere).toEqual([]);
});

// npm refuses `npm ci` when the registry could not give one of them while the lock file was written.
it('knows every optional package, so that each platform can install', () => {
  const missing = Object.entries(lock.packages).flatMap(([place, { optionalDependencies }]) =>
    Object.keys(optionalDependencies ?? {}).filter((name) => versionSeenFrom(place, name) === undefined),
  );
  expect(missing).toEqual([]);
});

/** Node's own look-up: in the package's node_modules, then in each folder's above it. */
function versionSeenFrom(place: string, name: string): string | undefined {
  const found = lock.packages[join(place, 'node_modules', name)]?.version;
  return found !== undefined || place === '' ? found : versionSeenFrom(above(place), name);
}

function above(place: string): string {
  const up = dirname(place);
  return up === '.' ? '' : up;
}
