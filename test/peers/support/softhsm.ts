import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { type Need, need, needThat } from '../../setup/need.ts';

const util = need('softhsm2-util');
const tool = need('pkcs11-tool');

/** Where Debian, Fedora, Alpine and Homebrew put it. */
const MODULE = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/usr/lib/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
].find(existsSync);

export const softhsm: readonly Need[] = [
  util,
  tool,
  needThat(MODULE !== undefined, 'no libsofthsm2.so where it is looked for'),
];

export const PIN = '493817';

/** Tokens of SoftHSM in a folder of their own, which goes with the test file. */
export class SoftHsm {
  readonly folder = mkdtempSync(join(tmpdir(), 'trellis-softhsm-'));
  readonly pinFile = join(this.folder, 'pin');

  constructor() {
    mkdirSync(join(this.folder, 'tokens'));
    const config = join(this.folder, 'softhsm2.conf');
    writeFileSync(
      config,
      `directories.tokendir = ${join(this.folder, 'tokens')}\nobjectstore.backend = file\n`,
    );
    writeFileSync(this.pinFile, `${PIN}\n`);
    // The module reads it when it is initialised, in this process too.
    process.env.SOFTHSM2_CONF = config;
    afterAll(() => rmSync(this.folder, { recursive: true, force: true }));
  }

  addToken(label: string): void {
    run(util.path, ['--init-token', '--free', '--label', label, '--so-pin', '12345678', '--pin', PIN]);
  }

  removeToken(label: string): void {
    run(util.path, ['--delete-token', '--token', label]);
  }

  /** @param id hex @param keyFile PKCS#8, PEM */
  importKey(token: string, label: string, id: string, keyFile: string): void {
    const where = ['--token', token, '--label', label, '--id', id, '--pin', PIN];
    run(util.path, ['--import', keyFile, ...where]);
  }

  /** @returns SubjectPublicKeyInfo, DER, of a key that was born in the token */
  generate(token: string, label: string, id: string, type: string): Uint8Array {
    this.tool(token, ['--keypairgen', '--key-type', type, '--label', label, '--id', id]);
    const file = join(this.folder, 'public.der');
    this.tool(token, ['--read-object', '--type', 'pubkey', '--id', id, '--output-file', file]);
    return new Uint8Array(run('cat', [file]));
  }

  importCertificate(token: string, label: string, id: string, der: Uint8Array): void {
    const file = join(this.folder, 'certificate.der');
    writeFileSync(file, der);
    this.tool(token, ['--write-object', file, '--type', 'cert', '--label', label, '--id', id]);
  }

  tool(token: string, args: readonly string[]): void {
    run(tool.path, ['--module', this.module, '--token-label', token, '--login', '--pin', PIN, ...args]);
  }

  get module(): string {
    return MODULE ?? '';
  }

  uri(path: string, query = `pin-source=${this.pinFile}`): string {
    return `pkcs11:${path}?module-path=${this.module}&${query}`;
  }
}

function run(program: string, args: readonly string[]): Buffer {
  const { status, stdout, stderr } = spawnSync(program, args, { timeout: 20_000 });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}
