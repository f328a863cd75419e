import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { moduleCommand } from '../../../src/cli/module/program.ts';
import { nodeModuleKeys } from '../../../src/crypto/node/module-keys.ts';
import { decodePem, encodePem } from '../../../src/der/pem.ts';
import { Tracer } from '../../../src/module/apdu/trace.ts';
import { ObjectTag } from '../../../src/module/protocol.ts';
import { type ModuleFile, openModuleFile } from '../../../src/node/module/store-file.ts';
import { serveModule } from '../../../src/node/module/unix.ts';
import { CA, Card, cardWith, certificateFor, EapHost, OPERATOR_PIN, pskObject, USER_PIN } from './kit.ts';

const folder = mkdtempSync(join(tmpdir(), 'trellis-module-cli-'));
const at = (name: string): string => join(folder, name);
const uri = `unix:${at('m.sock')}`;
let file: ModuleFile;
let server: Server;

async function run(...words: string[]): Promise<string> {
  let printed = '';
  await moduleCommand(words, {
    printText: (text) => {
      printed += text;
    },
    printResult: (result) => {
      printed += `${JSON.stringify(result)}\n`;
    },
  });
  return printed;
}

beforeAll(async () => {
  writeFileSync(at('pin'), '1234\n');
  writeFileSync(at('opin'), '12345678\n');
  writeFileSync(at('new'), '98765\n');
  writeFileSync(at('ca.pem'), encodePem('CERTIFICATE', CA));
  const pins = ['--pin-file', at('pin'), '--operator-pin-file', at('opin')];
  await run('init', '--store', at('store'), '--secret-file', at('secret'), ...pins);
  file = openModuleFile(at('store'), Buffer.from(readFileSync(at('secret'), 'latin1').trim(), 'latin1'));
  server = await serveModule({ state: file.state, path: at('m.sock') });
});

afterAll(() => {
  server.close();
  file.close();
  rmSync(folder, { recursive: true });
});

describe('trellis module', () => {
  const operator = ['--module', uri, '--operator-pin-file', at('opin')];

  it('makes a secret that its owner alone can read, and does not make a module twice', async () => {
    expect(statSync(at('secret')).mode & 0o777).toBe(0o600);
    const pins = ['--pin-file', at('pin'), '--operator-pin-file', at('opin')];
    const again = run('init', '--store', at('store'), '--secret-file', at('secret'), ...pins);
    await expect(again).rejects.toMatchObject({ code: 'ERR_MODULE_STORE' });
  });

  it('provisions an identity whose key was never outside', async () => {
    const spki = decodePem(await run('generate-key', 'web', ...operator))[0]?.bytes as Uint8Array;
    const names = ['--subject', 'localhost', '--host', 'localhost', '--host', '127.0.0.1'];
    await run('csr', 'web', ...names, '--out', at('web.csr'), ...operator);
    expect(decodePem(readFileSync(at('web.csr'), 'latin1'))[0]?.label).toBe('CERTIFICATE REQUEST');
    writeFileSync(at('web.pem'), encodePem('CERTIFICATE', certificateFor(spki, 'server')));
    await run('install-cert', 'web', '--cert', at('web.pem'), '--ca', at('ca.pem'), ...operator);
    await run(
      'identity',
      'add',
      'web',
      '--role',
      'server',
      '--client-cert',
      'require',
      '--permit',
      'sign,msk',
      ...operator,
    );
    expect(file.state.identity('web')).toMatchObject({ roles: 2, clientCertificate: 2, permissions: 5 });
    expect(JSON.parse(await run('identity', 'list', '--module', uri, '--json'))).toEqual({
      identities: ['web'],
    });
  });

  it('takes a key from outside', async () => {
    const pkcs8 = nodeModuleKeys.generate('P-384');
    writeFileSync(at('key.pem'), encodePem('PRIVATE KEY', pkcs8));
    writeFileSync(
      at('cert.pem'),
      encodePem('CERTIFICATE', certificateFor(nodeModuleKeys.load(pkcs8).spki, 'client')),
    );
    const files = ['--key', at('key.pem'), '--cert', at('cert.pem'), '--ca', at('ca.pem')];
    await run('identity', 'add', 'old', ...files, '--role', 'client', ...operator);
    expect(file.state.identity('old')?.roles).toBe(1);
    await run('identity', 'remove', 'old', ...operator);
    expect(file.state.identity('old')).toBeUndefined();
  });

  it('puts pre-shared keys from a file, lists and removes them, and says none of them', async () => {
    const [one, two] = ['5a'.repeat(16), 'c3'.repeat(32)];
    writeFileSync(at('keys'), `sensor-7:${one}\n\nurn:dev:8:${two}\n`);
    const put = (...words: string[]) => run('psk', 'add', 'dev', ...words, ...operator);
    let said = await put('--psk-file', at('keys'), '--hash', 'sha384');
    expect(said).toBe('dev has 2 keys more: sensor-7, urn:dev:8\n');
    const identity = (name: string) => new Uint8Array(Buffer.from(name));
    const stored = { hash: 'sha384', binder: 'external' };
    expect(file.state.identity('dev')?.psks).toEqual([
      { identity: identity('sensor-7'), key: new Uint8Array(Buffer.from(one, 'hex')), ...stored },
      { identity: identity('urn:dev:8'), key: new Uint8Array(Buffer.from(two, 'hex')), ...stored },
    ]);
    await expect(put('--psk-file', at('keys'))).rejects.toMatchObject({
      code: 'ERR_MODULE_STATUS',
      message: expect.stringMatching(/^The key sensor-7 was not put .*\(trellis module psk remove\)$/),
    });
    const list = ['psk', 'list', 'dev', ...operator];
    said += await run(...list);
    expect(JSON.parse(await run(...list, '--json'))).toEqual({
      alias: 'dev',
      psks: [
        { identity: 'sensor-7', hash: 'sha384' },
        { identity: 'urn:dev:8', hash: 'sha384' },
      ],
    });
    await run('psk', 'remove', 'dev', '--identity', 'sensor-7', ...operator);
    const again = run('psk', 'remove', 'dev', '--identity', 'sensor-7', ...operator);
    await expect(again).rejects.toMatchObject({ code: 'ERR_MODULE_NOT_FOUND' });
    said += await run(...list);
    expect(said).toContain('urn:dev:8 (sha384)');
    for (const hex of [one, two]) expect(said).not.toContain(hex.slice(0, 8));
    await run('identity', 'remove', 'dev', ...operator);
  });

  it('changes and unblocks PINs, and tells how many tries are left', async () => {
    const pin = (...words: string[]) => run('pin', '--module', uri, ...words);
    await pin('--pin-file', at('pin'), '--new-pin-file', at('new'));
    const wrong = pin('--pin-file', at('pin'), '--new-pin-file', at('new'));
    await expect(wrong).rejects.toMatchObject({ code: 'ERR_MODULE_PIN_WRONG', triesLeft: 2 });
    const status = JSON.parse(await run('status', '--module', uri, '--json'));
    expect(status).toMatchObject({ pinTries: { user: 2, operator: 3 }, identities: ['web'], sessions: 16 });
    await pin('--unblock', '--operator-pin-file', at('opin'), '--new-pin-file', at('pin'));
    expect(await run('status', '--module', uri)).toContain('user PIN: 3 tries left');
  });

  it.each([
    [['serve', '--store', at('store'), '--secret-file', at('secret')], 'ERR_TUNNEL_OPTION'],
    [['status'], 'ERR_TUNNEL_OPTION'],
    [['status', '--module', 'tcp:x'], 'ERR_TLS_OPTION'],
    [['status', '--module', `unix:${at('nobody')}`], 'ERR_MODULE_GONE'],
    [
      ['generate-key', 'x', '--algorithm', 'DSA', '--module', uri, '--operator-pin-file', at('opin')],
      'ERR_TUNNEL_OPTION',
    ],
    [['generate-key', 'x', '--module', uri, '--operator-pin-file', at('none')], 'ERR_TUNNEL_FILE'],
    [
      ['identity', 'add', 'x', '--role', 'boss', '--module', uri, '--operator-pin-file', at('opin')],
      'ERR_TUNNEL_OPTION',
    ],
    [
      ['identity', 'add', 'x', '--permit', 'all', '--module', uri, '--operator-pin-file', at('opin')],
      'ERR_TUNNEL_OPTION',
    ],
    [['trace', at('none')], 'ERR_TUNNEL_FILE'],
    [
      ['psk', 'add', 'x', '--psk-file', at('none'), '--module', uri, '--operator-pin-file', at('opin')],
      'ERR_TUNNEL_FILE',
    ],
    [
      [
        ...['psk', 'add', 'x', '--psk-file', at('pin'), '--hash', 'md5'],
        ...['--module', uri, '--operator-pin-file', at('opin')],
      ],
      'ERR_TUNNEL_OPTION',
    ],
    [
      ['psk', 'add', 'x', '--psk-file', at('pin'), '--module', uri, '--operator-pin-file', at('opin')],
      'ERR_TUNNEL_CREDENTIALS',
    ],
    [['psk', 'list', 'nobody', '--module', uri, '--operator-pin-file', at('opin')], 'ERR_MODULE_NOT_FOUND'],
    [['psk', 'list', 'web', '--module', uri, '--operator-pin-file', at('new')], 'ERR_MODULE_PIN_WRONG'],
    [['fly'], 'ERR_TUNNEL_OPTION'],
  ])('%j is %s', async (words, code) => {
    await expect(run(...words)).rejects.toMatchObject({ code });
  });

  it('helps', async () => {
    expect(await run('--help')).toContain('trellis module generate-key web');
    expect(await run('pin', '--help')).toContain('--unblock');
  });
});

describe('the trace of a dialogue', () => {
  it('names what was said, and no secret in it', async () => {
    const card = cardWith({ permissions: 7 });
    card.verifyUser();
    card.verifyOperator();
    const host = new EapHost(card, card.open({ fragmentSize: 60 }), 'client', 60);
    host.start();
    card.send(0x82, host.handle << 1, 23, host.wrap(13, Buffer.from('\0clear text')));
    card.send(
      0xda,
      0x01,
      0x04,
      Buffer.concat([Buffer.from([4]), Buffer.from('temp'), nodeModuleKeys.generate('P-256')]),
    );
    const tracer = new Tracer();
    const entries = card.dialogue.map(({ command, response }) => tracer.describe(command, response));
    const text = JSON.stringify(entries);
    for (const secret of [USER_PIN, OPERATOR_PIN, Buffer.from('clear text')]) {
      expect(text).not.toContain(Buffer.from(secret).toString('hex'));
    }
    card.put(ObjectTag.preSharedKey, 'main', pskObject('sensor-7', new Uint8Array(32).fill(0xd7)));
    const given = card.dialogue.at(-1);
    if (given !== undefined) entries.push(tracer.describe(given.command, given.response));
    expect(entries.at(-1)).toMatchObject({ name: 'putData', object: 'preSharedKey' });
    expect(entries.at(-1)?.data).toMatch(/^\(\d+ bytes not shown\)$/);
    const put = entries.findLast(({ object }) => object === 'privateKey');
    expect(put?.data).toMatch(/^\(\d+ bytes not shown\)$/);
    const process = entries.filter(({ name }) => name === 'processEap');
    expect(process[0]).toMatchObject({ session: 1, eap: 'EAP-Request 8, EAP-TLS, 0 bytes, start' });
    expect(process[0]?.answerEap).toMatch(/^EAP-Response 8, EAP-TLS, 50 bytes, more, of \d+$/);
    writeFileSync(at('t.trace'), entries.map((entry) => JSON.stringify({ time: 't', ...entry })).join('\n'));
    const shown = await run('trace', at('t.trace'));
    expect(shown).toContain('verifyPin [a0200000]');
    expect(shown).toContain('putData preSharedKey [a0da0106]');
    expect(shown).toContain('  > (8 bytes not shown)');
    expect((await run('trace', at('t.trace'), '--json')).trim().split('\n')).toHaveLength(entries.length);
  });

  it('describes any bytes', () => {
    const tracer = new Tracer();
    const card = new Card();
    for (const command of [
      Buffer.alloc(0),
      Buffer.from('a08403', 'hex'),
      Buffer.from('a0800300ff', 'hex'),
      Buffer.alloc(300),
    ]) {
      expect(tracer.describe(command, card.raw(command)).status).toMatch(/^[0-9a-f]{4}$/);
    }
  });
});
