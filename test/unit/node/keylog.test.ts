import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { keyLogFile } from '../../../src/node/keylog.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'trellis-keylog-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

it('appends lines to a file that only the owner can read', () => {
  const path = join(folder, 'keys.log');
  const log = keyLogFile(path);
  log(Buffer.from('one\n'));
  keyLogFile(path)(Buffer.from('two\n'));
  expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n');
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

it('keeps what the file held, and its mode', () => {
  const path = join(folder, 'keys.log');
  writeFileSync(path, 'before\n');
  chmodSync(path, 0o640);
  keyLogFile(path)(Buffer.from('after\n'));
  expect(readFileSync(path, 'utf8')).toBe('before\nafter\n');
  expect(statSync(path).mode & 0o777).toBe(0o640);
});

it('says at once that a file cannot be written, and what to do', () => {
  expect(() => keyLogFile(join(folder, 'missing', 'keys.log'))).toThrow(
    expect.objectContaining({
      code: 'ERR_TLS_OPTION',
      message: expect.stringMatching(/missing.*folder that exists/s),
    }),
  );
});

it('warns once, and harms no session, when the file goes away', async () => {
  const inner = mkdtempSync(join(folder, 'inner-'));
  const log = keyLogFile(join(inner, 'keys.log'));
  rmSync(inner, { recursive: true });
  const warned = once(process, 'warning');
  log(Buffer.from('one\n'));
  log(Buffer.from('two\n'));
  const [warning] = await warned;
  expect(warning.message).toMatch(/not written any more/);
});
