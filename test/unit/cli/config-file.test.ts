import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nearest, readConfigFile } from '../../../src/cli/config-file.ts';
import { commands, serveOptions } from '../../../src/cli/options.ts';
import { readValues } from '../../../src/cli/values.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trellis-config-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const file = (text: string): string => {
  const path = join(folder, 'trellis.toml');
  writeFileSync(path, text);
  return path;
};

describe('readConfigFile', () => {
  it('gives the values with their place, file names relative to its folder', async () => {
    const path = file(`
      listen = "127.0.0.1:4433"
      cert = "server.pem"
      key = "/etc/trellis/server.key"
      app = ["web=127.0.0.1:80", "db=127.0.0.1:5432"]
      drain-timeout = 5
      json = true
    `);
    const found = await readConfigFile(path, commands.serve);
    expect(Object.fromEntries([...found].map(([name, { value }]) => [name, value]))).toEqual({
      listen: '127.0.0.1:4433',
      cert: join(folder, 'server.pem'),
      key: '/etc/trellis/server.key',
      app: ['web=127.0.0.1:80', 'db=127.0.0.1:5432'],
      'drain-timeout': 5,
      json: true,
    });
    expect(found.get('listen')?.where).toBe(`${path}: listen`);
  });

  it('takes the positional by its name', async () => {
    const found = await readConfigFile(file('server = "h:1"\nforward = "1=a"'), commands.connect);
    expect(found.get('server')?.value).toBe('h:1');
  });

  it.each([
    ['lisen = "x"', 'ERR_TUNNEL_OPTION', 'unknown option "lisen"; did you mean "listen"?'],
    ['client_ca = "x"', 'ERR_TUNNEL_OPTION', 'unknown option "client_ca"; did you mean "client-ca"?'],
    ['forward = "1=a"', 'ERR_TUNNEL_OPTION', 'unknown option "forward"; it belongs to trellis connect'],
    ['config = "x"', 'ERR_TUNNEL_OPTION', 'unknown option "config"'],
    ['frobnicate = 1', 'ERR_TUNNEL_OPTION', 'trellis serve --help lists the options'],
    ['listen = ', 'ERR_TUNNEL_FILE', 'line 1'],
    ['a = 1\na = 2', 'ERR_TUNNEL_FILE', 'line 2'],
  ])('refuses %j in one line', async (text, code, message) => {
    const refusal = readConfigFile(file(text), commands.serve);
    await expect(refusal).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    await expect(refusal).rejects.toThrow(/^[^\n]*$/);
  });

  it('refuses a file that is not there, or far too long', async () => {
    await expect(readConfigFile(join(folder, 'none.toml'), commands.serve)).rejects.toMatchObject({
      code: 'ERR_TUNNEL_FILE',
    });
    await expect(readConfigFile(file('#'.repeat(2_000_000)), commands.serve)).rejects.toMatchObject({
      code: 'ERR_TUNNEL_FILE',
      message: expect.stringContaining('right file'),
    });
  });
});

describe('what is signed', () => {
  it('is in the file as on the command line', async () => {
    const path = file(
      'sign = ["web=pkcs7:receipt", "db=smime"]\nsign-unit = ["line", "web=http"]\narchive = "evidence.db"',
    );
    const given = new Map(await readConfigFile(path, commands.serve));
    const wanted = serveOptions.filter(({ name }) => ['sign', 'sign-unit', 'archive'].includes(name));
    expect(readValues(wanted, given)).toEqual({
      sign: [
        { application: 'web', format: 'pkcs7', receipt: true },
        { application: 'db', format: 'smime', receipt: false },
      ],
      'sign-unit': [
        { application: undefined, unit: 'line' },
        { application: 'web', unit: 'http' },
      ],
      archive: join(folder, 'evidence.db'),
    });
    const wrong = new Map(await readConfigFile(file('sign = "web"'), commands.connect));
    expect(() => readValues(wanted, wrong)).toThrow(/sign: "web" does not work: write APP=/);
  });
});

describe('nearest', () => {
  const known = ['listen', 'cert', 'key', 'client-ca', 'drain-timeout'];
  it.each([
    ['Listen', 'listen'],
    ['lsten', 'listen'],
    ['clientca', 'client-ca'],
    ['client_ca', 'client-ca'],
    ['draintimeout', 'drain-timeout'],
    ['certt', 'cert'],
    ['xyz', undefined],
    ['', undefined],
    ['something-else', undefined],
  ])('%j is %j', (name, want) => {
    expect(nearest(name, known)).toBe(want);
  });
});
