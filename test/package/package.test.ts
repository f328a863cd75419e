import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commandFile, ROOT } from '../../scripts/root.mjs';

const run = promisify(execFile);
const repository: { version: string; devDependencies: Record<string, string> } = JSON.parse(
  readFileSync(join(ROOT, 'package.json'), 'utf8'),
);

/** Bounds npm, which retries a registry that does not answer for minutes. */
const NPM_MS = 120_000;
/** npm's words for "I could not reach the registry", as against "the package is wrong". */
const UNREACHABLE = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED)\b/;

const TYPESCRIPT_USER = `
import * as trellis from 'trellis';
import * as mux from 'trellis/mux';

type IsAny<T> = 0 extends 1 & T ? true : false;
// Types that were not found are any, and then these two lines do not compile.
export const typed: IsAny<typeof trellis> = false;
export const muxTyped: IsAny<typeof mux> = false;
export const names: string[] = [...Object.keys(trellis), ...Object.keys(mux)];
`;

describe('the package, as a user gets it', () => {
  const work = mkdtempSync(join(tmpdir(), 'trellis-package-'));
  const home = join(work, 'user');
  let tarball = '';
  let unreachable = '';

  beforeAll(async () => {
    // The set-up of this layer has built dist/; packing must not build again under the feet of others.
    const { stdout } = await npm(ROOT, ['pack', '--json', '--ignore-scripts', '--pack-destination', work]);
    tarball = join(work, JSON.parse(stdout)[0].filename);

    mkdirSync(home);
    writeFileSync(join(home, 'package.json'), '{ "name": "user", "private": true, "type": "module" }');
    const types = `@types/node@${repository.devDependencies['@types/node']}`;
    await npm(home, ['install', '--prefer-offline', '--fetch-retries=0', tarball, types]).catch((error) => {
      if (!UNREACHABLE.test(String(error.stderr))) throw error;
      unreachable = 'the package registry cannot be reached';
    });
  }, 2 * NPM_MS);

  afterAll(() => rmSync(work, { recursive: true, force: true }));

  it('satisfies publint', async () => {
    const { messages } = await publint({ pack: { tarball: arrayBuffer(tarball) }, strict: true });
    expect(messages).toEqual([]);
  });

  it('holds what it needs and nothing else', async (context) => {
    context.skip(unreachable !== '', unreachable);
    const installed = join(home, 'node_modules', 'trellis');
    const files = readdirSync(installed, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => resolve(entry.parentPath, entry.name).slice(installed.length + 1));
    const wanted = /^(dist\/.+\.(js|d\.ts)|docs\/.+|package\.json|README\.md|CHANGELOG\.md|LICENSE)$/;
    expect(files.filter((file) => !wanted.test(file))).toEqual([]);
    expect(files).toEqual(
      expect.arrayContaining(['README.md', 'CHANGELOG.md', 'LICENSE', 'dist/index.d.ts']),
    );
  });

  it('is imported by each of its names', async (context) => {
    context.skip(unreachable !== '', unreachable);
    const program = `
      import * as trellis from 'trellis';
      import * as mux from 'trellis/mux';
      import about from 'trellis/package.json' with { type: 'json' };
      const inner = await import('trellis/dist/index.js').catch(({ code }) => code);
      console.log(JSON.stringify([Object.keys(trellis).length, Object.keys(mux).length, about.version, inner]));
    `;
    const { stdout } = await node(['--no-warnings', '--input-type=module', '--eval', program]);
    const [names, muxNames, version, inner] = JSON.parse(stdout);
    expect(names).toBeGreaterThan(0);
    expect(muxNames).toBeGreaterThan(0);
    expect(version).toBe(repository.version);
    expect(inner).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });

  it('has types that resolve and compile on their own', async (context) => {
    context.skip(unreachable !== '', unreachable);
    writeFileSync(join(home, 'user.ts'), TYPESCRIPT_USER);
    writeFileSync(
      join(home, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          module: 'nodenext',
          target: 'es2022',
          strict: true,
          exactOptionalPropertyTypes: true,
          skipLibCheck: false,
          types: ['node'],
          noEmit: true,
        },
        files: ['user.ts'],
      }),
    );
    const { stdout } = await node([commandFile('typescript', 'tsc'), '-p', 'tsconfig.json']).catch(
      (error) => error,
    );
    expect(stdout).toBe('');
  });

  it('brings the trellis command', async (context) => {
    context.skip(unreachable !== '', unreachable);
    const { stdout } = await run('npx', ['--no-install', 'trellis', '--version'], {
      cwd: home,
      timeout: NPM_MS,
    });
    expect(stdout.trim()).toBe(repository.version);
  });

  it('installs no more than its few dependencies ask for', (context) => {
    context.skip(unreachable !== '', unreachable);
    for (const tool of ['typescript', 'vitest', 'esbuild', '@biomejs/biome']) {
      expect(existsSync(join(home, 'node_modules', tool))).toBe(false);
    }
  });

  function node(args: string[]): Promise<{ stdout: string }> {
    return run(process.execPath, args, { cwd: home, timeout: NPM_MS });
  }
});

function npm(cwd: string, args: string[]): Promise<{ stdout: string }> {
  return run('npm', [...args, '--no-audit', '--no-fund'], { cwd, timeout: NPM_MS });
}

function arrayBuffer(file: string): ArrayBuffer {
  const bytes = readFileSync(file);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
}
