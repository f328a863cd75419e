import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { encodePem } from '../../src/der/pem.ts';
import { Applet } from '../../src/module/applet/applet.ts';
import { InProcessTransport } from '../../src/node/module/in-process.ts';
import { SecurityModule } from '../../src/node/module/security-module.ts';
import { describeWith, need } from '../setup/need.ts';
import { CA, cardWith, certificateFor, openState } from '../unit/module/kit.ts';
import { OpensslClient, OpensslServer, openssl } from './support/openssl.ts';
import { connectOurs, Incoming, serve } from './support/ours.ts';
import { Program } from './support/program.ts';

/*
 * Handshakes in a module, records here: to peers that know nothing of it, so that sequence numbers, limits and updates of
 * keys must go on exactly where the module has stopped.
 */

const gnutls = need('gnutls-cli');

const folder = mkdtempSync(join(tmpdir(), 'trellis-offload-'));
const caFile = join(folder, 'ca.pem');
const modules: SecurityModule[] = [];

beforeAll(() => {
  writeFileSync(caFile, encodePem('CERTIFICATE', CA));
});
afterEach(() => {
  for (const module of modules.splice(0)) module.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function moduleAs(
  kind: 'client' | 'server',
): Promise<{ module: SecurityModule; commands: () => number }> {
  const card = cardWith({ kind });
  const inner = new InProcessTransport(new Applet({ crypto: nodeCrypto, state: openState(card.storage) }));
  let commands = 0;
  const transport = {
    maxCommandData: inner.maxCommandData,
    maxResponseData: inner.maxResponseData,
    transmit: (command: Uint8Array) => {
      commands++;
      return inner.transmit(command);
    },
    close: () => inner.close(),
  };
  const module = await SecurityModule.open(transport, { pin: '1234', offload: true });
  modules.push(module);
  return { module, commands: () => commands };
}

describeWith(openssl, 'an offloaded session and OpenSSL', () => {
  it('as server: data both ways, and KeyUpdates that either side asks for', async () => {
    const { module, commands } = await moduleAs('server');
    const ours = await serve({ module });
    const client = new OpensslClient(ours.port, ['-CAfile', caFile, '-servername', 'server.test', '-tls1_3']);
    client.say('ping');
    await client.until('ping\n');
    const after = commands();
    const socket = await ours.session();
    client.say('K');
    await client.until('KEYUPDATE');
    client.say('after theirs');
    await client.until('after theirs\n');
    socket.updateKeys(true);
    client.say('after ours');
    await client.until('after ours\n');
    expect(commands()).toBe(after);
    await client.quit();
  });

  it('as client: much data both ways, and KeyUpdates', async () => {
    const { module, commands } = await moduleAs('client');
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
    const certFile = join(folder, 'server.pem');
    const keyFile = join(folder, 'server.key');
    writeFileSync(certFile, encodePem('CERTIFICATE', certificateFor(spki, 'server')));
    writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const server = new OpensslServer({ cert: '', key: '', spkiPin: '', certFile, keyFile }, [
      '-tls1_3',
      '-rev',
    ]);
    const socket = await connectOurs({ port: await server.port, module, servername: 'server.test' });
    const after = commands();
    const incoming = new Incoming(socket);
    const line = 'x'.repeat(10_000);
    for (const word of ['one', 'two', 'three']) {
      socket.updateKeys(true);
      socket.write(`${line}${word}\n`);
      await incoming.until(`${[...word].reverse().join('')}${line}\n`);
    }
    expect(commands()).toBe(after);
    socket.end();
  });
});

describeWith(gnutls, 'an offloaded session and GnuTLS', () => {
  it('keeps to the record size limit that was agreed on in the module', async () => {
    const { module, commands } = await moduleAs('server');
    const ours = await serve({ module });
    const client = new Program(gnutls.path, [
      ...['--x509cafile', caFile, '--verify-hostname', 'server.test', '--sni-hostname', 'server.test'],
      ...['--port', String(ours.port), '--recordsize', '1024', '127.0.0.1'],
    ]);
    await client.until('Handshake was completed');
    const socket = await ours.session();
    const after = commands();
    // GnuTLS ends the session with record_overflow for a record above the limit.
    const line = 'y'.repeat(5_000);
    socket.write(`${line}\n`);
    await client.until(line);
    expect(commands()).toBe(after);
  });
});
