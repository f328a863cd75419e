import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCredential } from '../../../src/tunnel/credentials.ts';
import { initPki } from '../../../src/tunnel/init.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trellis-init-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const certificate = (directory: string, name: string) =>
  new X509Certificate(readFileSync(join(directory, `${name}.pem`)));

describe('initPki', () => {
  it('makes a CA, a server and a client whose certificates and keys belong together', async () => {
    const directory = join(folder, 'new', 'pki');
    const { files } = await initPki({
      directory,
      hosts: ['gateway.example.org', '*.example.net', '192.0.2.7', '2001:db8::7'],
    });
    expect(files).toHaveLength(6);
    const ca = certificate(directory, 'ca');
    const server = certificate(directory, 'server');
    const client = certificate(directory, 'client');
    expect(ca.ca).toBe(true);
    expect(ca.verify(ca.publicKey)).toBe(true);
    for (const [name, leaf] of Object.entries({ server, client })) {
      expect(leaf.ca).toBe(false);
      expect(leaf.checkIssued(ca)).toBe(true);
      expect(leaf.verify(ca.publicKey)).toBe(true);
      expect(leaf.checkPrivateKey(createPrivateKey(readFileSync(join(directory, `${name}.key`))))).toBe(true);
      expect(leaf.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
      expect(new Date(leaf.validTo).getTime() - Date.now()).toBeGreaterThan(800 * 86_400_000);
      expect(new Date(leaf.validFrom).getTime()).toBeLessThan(Date.now());
    }
    expect(server.checkHost('gateway.example.org')).toBeDefined();
    expect(server.checkHost('a.example.net')).toBeDefined();
    expect(server.checkIP('192.0.2.7')).toBeDefined();
    expect(server.checkIP('2001:db8::7')).toBeDefined();
    expect(server.checkHost('localhost')).toBeUndefined();
    // serverAuth; clientAuth and emailProtection
    expect(server.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(client.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.4']);
  });

  it('is for this machine unless told otherwise', async () => {
    const directory = join(folder, 'default');
    await initPki({ directory });
    const server = certificate(directory, 'server');
    expect(server.checkHost('localhost')).toBeDefined();
    expect(server.checkIP('127.0.0.1')).toBeDefined();
    expect(server.checkIP('::1')).toBeDefined();
  });

  it('lets only the owner read keys', async () => {
    const directory = join(folder, 'modes');
    await initPki({ directory });
    for (const name of ['ca.key', 'server.key', 'client.key']) {
      expect(statSync(join(directory, name)).mode & 0o777, name).toBe(0o600);
    }
  });

  it('refuses to overwrite unless forced, and then repairs the permissions', async () => {
    const directory = join(folder, 'twice');
    await initPki({ directory });
    const before = readFileSync(join(directory, 'ca.key'), 'utf8');
    await expect(initPki({ directory })).rejects.toMatchObject({
      code: 'ERR_TUNNEL_FILE',
      message: expect.stringMatching(/ca\.pem.*--force/),
    });
    expect(readFileSync(join(directory, 'ca.key'), 'utf8')).toBe(before);
    chmodSync(join(directory, 'ca.key'), 0o644);
    await initPki({ directory, force: true });
    expect(readFileSync(join(directory, 'ca.key'), 'utf8')).not.toBe(before);
    expect(statSync(join(directory, 'ca.key')).mode & 0o777).toBe(0o600);
  });

  it('says which folder cannot be written to', async () => {
    writeFileSync(join(folder, 'file'), '');
    await expect(initPki({ directory: join(folder, 'file') })).rejects.toMatchObject({
      code: 'ERR_TUNNEL_FILE',
      message: expect.stringContaining('cannot be written'),
    });
  });
});

describe('readCredential', () => {
  it('reads what init made', async () => {
    const directory = join(folder, 'read');
    await initPki({ directory });
    expect(await readCredential('--cert', join(directory, 'server.pem'), 'certificate')).toMatch(
      /^-----BEGIN CERT/,
    );
    expect(await readCredential('--key', join(directory, 'server.key'), 'key')).toMatch(
      /^-----BEGIN PRIVATE KEY/,
    );
  });

  it.each([
    ['server.key', 'certificate', 'ERR_TUNNEL_CREDENTIALS', 'it holds a private key'],
    ['server.pem', 'key', 'ERR_TUNNEL_CREDENTIALS', 'it holds a certificate'],
    ['none.pem', 'certificate', 'ERR_TUNNEL_FILE', 'no such file'],
    ['', 'certificate', 'ERR_TUNNEL_FILE', 'it is a folder'],
    ['noise', 'key', 'ERR_TUNNEL_CREDENTIALS', 'not a PEM file'],
    ['huge', 'key', 'ERR_TUNNEL_CREDENTIALS', 'not a PEM file'],
  ] as const)('refuses %s as %s', async (name, kind, code, hint) => {
    const directory = join(folder, 'refuse');
    await initPki({ directory, force: true });
    writeFileSync(join(directory, 'noise'), 'noise');
    writeFileSync(join(directory, 'huge'), 'x'.repeat(3_000_000));
    await expect(readCredential('--x', join(directory, name), kind)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(hint),
    });
  });
});
