import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { nodeModuleKeys } from '../../src/crypto/node/module-keys.ts';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { encodePem } from '../../src/der/pem.ts';
import { connect } from '../../src/node/connect.ts';
import { SecurityModule } from '../../src/node/module/security-module.ts';
import { createServer, type Server } from '../../src/node/server.ts';
import { describeWith } from '../setup/need.ts';
import { SimulatedOpenEap, SimulatedTlsSe } from '../setup/old-cards.ts';
import { CA, certificateFor } from '../unit/module/kit.ts';
import { OpensslClient, OpensslServer, openssl } from './support/openssl.ts';

/*
 * The bridge's profiles of old cards, between cards that we simulate by the rules of docs/security-module.md and a peer
 * that is real. It is not a test with the applets themselves.
 */

const folder = mkdtempSync(join(tmpdir(), 'trellis-old-cards-'));
const certFile = join(folder, 'server.pem');
const keyFile = join(folder, 'server.key');
const CA_PEM = encodePem('CERTIFICATE', CA);
const KEY = Buffer.from('0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20', 'hex');
const servers: Server[] = [];
const modules: SecurityModule[] = [];

beforeAll(() => {
  const pkcs8 = nodeModuleKeys.generate('RSA-2048');
  writeFileSync(keyFile, encodePem('PRIVATE KEY', pkcs8));
  writeFileSync(
    certFile,
    encodePem('CERTIFICATE', certificateFor(nodeModuleKeys.load(pkcs8).spki, 'rsa-server')),
  );
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  for (const module of modules.splice(0)) module.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

async function open(
  card: SimulatedOpenEap | SimulatedTlsSe,
  cardProfile: 'openeap' | 'tls-se',
): Promise<SecurityModule> {
  const module = await SecurityModule.open(card, { pin: Buffer.from('0000'), cardProfile });
  modules.push(module);
  return module;
}

async function serve(module: SecurityModule): Promise<number> {
  const server = createServer({ module }, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => socket.write(chunk.toString('latin1').toUpperCase()));
  });
  server.on('tlsClientError', () => undefined);
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

describeWith(openssl, 'a card of the profile openeap', () => {
  const old = ['-tls1', '-cipher', 'AES128-SHA:@SECLEVEL=0', '-rev'];

  it('is a client of TLS 1.0 to openssl s_server, and goes on to the next session', async () => {
    const card = new SimulatedOpenEap(CA);
    const module = await open(card, 'openeap');
    const server = new OpensslServer({ certFile, keyFile } as never, old);
    const port = await server.port;
    for (const word of ['first', 'second'.repeat(300)]) {
      const socket = connect({ port, host: '127.0.0.1', servername: 'server.test', ca: CA_PEM, module });
      await once(socket, 'secureConnect');
      expect(socket.authorized).toBe(true);
      expect(socket.getProtocol()).toBe('TLSv1');
      expect(socket.getCipher()?.name).toBe('AES128-SHA');
      socket.write(`${word}\n`);
      let reply = '';
      while (!reply.endsWith('\n')) reply += ((await once(socket, 'data')) as [Buffer])[0].toString();
      expect(reply).toBe(`${[...word].reverse().join('')}\n`);
      socket.end();
      socket.resume();
      await once(socket, 'close');
    }
    // A reset before each session, and after it a moment later; INS 80 for everything else, in packets of one APDU.
    expect(card.resets).toBeGreaterThanOrEqual(3);
    const used = new Set(card.commands.map((command) => command.slice(0, 5)));
    expect([...used].sort()).toEqual(['a0 12', 'a0 19', 'a0 20', 'a0 80']);
  });

  it('is not trusted about whom it trusts', async () => {
    const module = await open(new SimulatedOpenEap(CA), 'openeap');
    const server = new OpensslServer({ certFile, keyFile } as never, old);
    const socket = connect({ port: await server.port, host: '127.0.0.1', servername: 'server.test', module });
    const [error] = (await once(socket, 'error')) as [Error & { code: string }];
    expect(error.code).toBe('ERR_MODULE_UNSUPPORTED');
    const other = encodePem(
      'CERTIFICATE',
      certificateFor(nodeModuleKeys.load(nodeModuleKeys.generate('P-256')).spki, 'client'),
    );
    const refused = connect({
      port: await server.port,
      host: '127.0.0.1',
      servername: 'server.test',
      ca: other,
      module,
    });
    const [reason] = (await once(refused, 'error')) as [Error & { code: string }];
    expect(reason.code).toMatch(/UNABLE|SELF|DEPTH/);
  });

  it('fails with its own alert where it cannot agree, and has one session at a time', async () => {
    const module = await open(new SimulatedOpenEap(CA), 'openeap');
    const strict = new OpensslServer({ certFile, keyFile } as never, ['-tls1_2']);
    const refused = connect({
      port: await strict.port,
      host: '127.0.0.1',
      servername: 'server.test',
      ca: CA_PEM,
      module,
    });
    const [error] = (await once(refused, 'error')) as [Error & { code: string }];
    expect(error.code).toMatch(/^(ERR_TLS_ALERT_PROTOCOL_VERSION|ECONNRESET)$/);
    const server = new OpensslServer({ certFile, keyFile } as never, old);
    const options = {
      port: await server.port,
      host: '127.0.0.1',
      servername: 'server.test',
      ca: CA_PEM,
      module,
    };
    const first = connect(options);
    first.on('error', () => undefined);
    await once(first, 'secureConnect');
    const [busy] = (await once(connect(options), 'error')) as [Error & { code: string }];
    expect(busy.code).toBe('ERR_MODULE_NO_ROOM');
    first.destroy();
  });

  it('is no server', async () => {
    const module = await open(new SimulatedOpenEap(CA), 'openeap');
    const port = await serve(module);
    const client = new OpensslClient(port, ['-tls1_2']);
    expect(await client.end()).not.toBe(0);
  });
});

describeWith(openssl, 'a card of the profile tls-se', () => {
  const client = [
    '-tls1_3',
    '-psk',
    KEY.toString('hex'),
    '-psk_identity',
    'Client_identity',
    '-groups',
    'P-256',
  ];
  const ccm = ['-ciphersuites', 'TLS_AES_128_CCM_SHA256', '-quiet'];

  it('serves openssl s_client with a pre-shared key, one after the other', async () => {
    const card = new SimulatedTlsSe('Client_identity', KEY);
    const port = await serve(await open(card, 'tls-se'));
    for (const text of ['hello', 'again '.repeat(60)]) {
      const program = new OpensslClient(port, [...client, ...ccm]);
      program.say(text);
      await program.until(new RegExp(text.trim().toUpperCase()));
      program.child.kill('SIGTERM');
      await program.exited;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    // Records in pieces of 240 bytes: first and last by P2; handshake, read and write by P1.
    const sends = card.commands.filter((command) => command.startsWith('00 d8'));
    for (const p1 of ['00', '01', '02']) expect(sends.some((c) => c.startsWith(`00 d8 ${p1} `))).toBe(true);
    expect(sends).toContain('00 d8 00 01 f0');
    expect(card.commands[0]).toBe('00 a4 04 00 06');
    expect(card.commands[1]).toBe('00 20 00 00 04');
  });

  it('refuses another key, and another suite', async () => {
    const port = await serve(
      await open(new SimulatedTlsSe('Client_identity', nodeCrypto.randomBytes(32)), 'tls-se'),
    );
    for (const words of [
      [...client, ...ccm],
      [...client, '-ciphersuites', 'TLS_AES_256_GCM_SHA384', '-quiet'],
    ]) {
      const program = new OpensslClient(port, words);
      expect(await program.end()).not.toBe(0);
    }
  });

  it('is no client', async () => {
    const module = await open(new SimulatedTlsSe('Client_identity', KEY), 'tls-se');
    const server = new OpensslServer({ certFile, keyFile } as never, []);
    const socket = connect({ port: await server.port, host: '127.0.0.1', servername: 'server.test', module });
    const [error] = (await once(socket, 'error')) as [Error & { code: string }];
    expect(error.code).toBe('ERR_MODULE_UNSUPPORTED');
  });
});
