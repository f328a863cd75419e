import { afterEach, beforeAll, expect, it } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { Applet } from '../../src/module/applet/applet.ts';
import { InProcessTransport } from '../../src/node/module/in-process.ts';
import { SecurityModule } from '../../src/node/module/security-module.ts';
import { describeWith } from '../setup/need.ts';
import { cardWithPsks, openState, pskObject } from '../unit/module/kit.ts';
import { OpensslClient, OpensslServer, openssl } from './support/openssl.ts';
import { connectFailure, connectOurs, Incoming, serve } from './support/ours.ts';
import { makePki, type Pki } from './support/pki.ts';

/* Pre-shared keys that are in a module, with peers that were given them. */

const KEY = '3c0f9d5e7a1b2648ce80f3d5976b24a1e6075c38d92fab41706e5cd38b19f2a4';
const psk = pskObject('sensor 7', Buffer.from(KEY, 'hex'));

let pki: Pki;
const modules: SecurityModule[] = [];

beforeAll(() => {
  pki = makePki();
});
afterEach(() => {
  for (const module of modules.splice(0)) module.close();
});

async function moduleAs(kind: 'client' | 'server', object = psk): Promise<SecurityModule> {
  const { storage } = cardWithPsks(kind, [object]);
  const applet = new Applet({ crypto: nodeCrypto, state: openState(storage) });
  const module = await SecurityModule.open(new InProcessTransport(applet), { pin: '1234' });
  modules.push(module);
  return module;
}

describeWith(openssl, 'a pre-shared key in a module, and OpenSSL', () => {
  const words = (...more: string[]) => ['-psk', KEY, '-psk_identity', 'sensor 7', ...more];
  const versions = [
    ['TLSv1.3', words('-tls1_3')],
    ['TLSv1.2', words('-tls1_2', '-cipher', 'ECDHE-PSK-CHACHA20-POLY1305')],
  ] as const;

  it.each(versions)('%s: authenticates the client in a module, and s_server', async (version, args) => {
    const peer = new OpensslServer(pki.servers.p256, ['-rev', ...args]);
    const socket = await connectOurs({ port: await peer.port, module: await moduleAs('client') });
    expect([socket.getProtocol(), socket.authorized]).toEqual([version, true]);
    expect(socket.pskIdentity?.toString()).toBe('sensor 7');
    const incoming = new Incoming(socket);
    socket.write('abcdef\n');
    await incoming.until('fedcba\n');
    socket.end();
  });

  it.each(versions)('%s: authenticates s_client, and the server in a module', async (version, args) => {
    const ours = await serve({ module: await moduleAs('server') });
    const peer = new OpensslClient(ours.port, args);
    await peer.connected();
    peer.say('abcdef');
    await peer.until(/^abcdef$/m);
    expect(await peer.quit()).toBe(0);
    const socket = await ours.session();
    expect([socket.getProtocol(), socket.pskIdentity?.toString()]).toEqual([version, 'sensor 7']);
  });

  it('of another value is refused by the module, and by OpenSSL', async () => {
    const other = pskObject('sensor 7', new Uint8Array(32).fill(1));
    const peer = new OpensslServer(pki.servers.p256, ['-rev', ...words('-tls1_3')]);
    const refusal = await connectFailure({ port: await peer.port, module: await moduleAs('client', other) });
    expect(refusal.code).toMatch(/^ERR_TLS_ALERT_(ILLEGAL_PARAMETER|DECRYPT_ERROR)$/);
    const ours = await serve({ module: await moduleAs('server', other) });
    const client = new OpensslClient(ours.port, words('-tls1_3'));
    expect((await ours.failure()).code).toBe('ERR_TLS_BAD_BINDER');
    await client.until('alert decrypt error');
  });
});
