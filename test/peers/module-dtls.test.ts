import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { nodeModuleKeys } from '../../src/crypto/node/module-keys.ts';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { encodePem } from '../../src/der/pem.ts';
import { Applet } from '../../src/module/applet/applet.ts';
import { connect, createServer, type DtlsSocket } from '../../src/node/dtls/index.ts';
import { InProcessTransport } from '../../src/node/module/in-process.ts';
import { SecurityModule } from '../../src/node/module/security-module.ts';
import { describeWith } from '../setup/need.ts';
import { CA, type Card, cardWith, certificateFor, openState } from '../unit/module/kit.ts';
import { OpensslClient, OpensslServer, openssl } from './support/openssl.ts';

/* DTLS 1.2 between a module, behind short APDUs, and OpenSSL: certificates of both sides, data both ways. */

const folder = mkdtempSync(join(tmpdir(), 'trellis-module-dtls-'));
const caFile = join(folder, 'ca.pem');
const SIZES: [string, number | undefined][] = [
  ['50 bytes', 50],
  ['100 bytes', 100],
  ['200 bytes', 200],
  ['the default size', undefined],
];

beforeAll(() => writeFileSync(caFile, encodePem('CERTIFICATE', CA)));
afterAll(() => rmSync(folder, { recursive: true }));

async function moduleOn(card: Card, fragmentSize: number | undefined): Promise<SecurityModule> {
  const applet = new Applet({ crypto: nodeCrypto, state: openState(card.storage) });
  return SecurityModule.open(new InProcessTransport(applet, 'short'), { pin: '1234', fragmentSize });
}

function credential(kind: 'client' | 'server'): { certFile: string; keyFile: string } {
  const [certFile, keyFile] = [join(folder, `${kind}.pem`), join(folder, `${kind}.key`)];
  const pkcs8 = nodeModuleKeys.generate('P-256');
  writeFileSync(certFile, encodePem('CERTIFICATE', certificateFor(nodeModuleKeys.load(pkcs8).spki, kind)));
  writeFileSync(keyFile, encodePem('PRIVATE KEY', pkcs8));
  return { certFile, keyFile };
}

describeWith(openssl, 'a module as the client of openssl s_server -dtls1_2', () => {
  it.each(SIZES)('with fragments of %s', async (_name, size) => {
    const module = await moduleOn(cardWith({ kind: 'client' }), size);
    const words = ['-dtls1_2', '-mtu', '400', '-Verify', '3', '-CAfile', caFile, '-verify_return_error'];
    const peer = new OpensslServer(credential('server') as never, words);
    const port = await peer.port;
    const socket = connect({ port, host: '127.0.0.1', servername: 'server.test', mtu: 400, module });
    await once(socket, 'secureConnect');
    expect([socket.authorized, socket.getProtocol()]).toEqual([true, 'DTLSv1.2']);
    socket.send('hello from the card\n');
    await peer.until(/hello from the card/);
    expect(peer.output).toContain('client.test');
    const answer = once(socket, 'message');
    peer.say('hello, card');
    expect(String((await answer)[0])).toBe('hello, card\n');
    const closed = once(socket, 'close');
    socket.close();
    await closed;
    await peer.until(/DONE|closed/i);
    module.close();
  });
});

describeWith(openssl, 'a module as the server of openssl s_client -dtls1_2', () => {
  it.each(SIZES)('with fragments of %s', async (_name, size) => {
    const module = await moduleOn(cardWith({ kind: 'server', clientCertificate: 2 }), size);
    const endpoint = createServer({ module, mtu: 400 });
    endpoint.listen(0, '127.0.0.1');
    await once(endpoint, 'listening');
    const session = once(endpoint, 'secureConnection') as Promise<[DtlsSocket]>;
    const { certFile, keyFile } = credential('client');
    const peer = new OpensslClient(endpoint.address()?.port ?? 0, [
      ...['-dtls1_2', '-mtu', '400', '-CAfile', caFile, '-servername', 'server.test'],
      ...['-cert', certFile, '-key', keyFile],
    ]);
    const [socket] = await session;
    expect([socket.authorized, socket.getProtocol()]).toEqual([true, 'DTLSv1.2']);
    expect(socket.getPeerX509Certificate()?.subject).toBe('CN=client.test');
    await peer.connected();
    expect(peer.output).toContain('Verify return code: 0 (ok)');
    const heard = once(socket, 'message');
    peer.say('hello from s_client');
    expect(String((await heard)[0])).toBe('hello from s_client\n');
    socket.send('hello from the card\n');
    await peer.until(/hello from the card/);
    const closed = once(socket, 'close');
    peer.say('Q');
    await closed;
    endpoint.close();
    module.close();
  });
});
