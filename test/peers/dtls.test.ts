import { once } from 'node:events';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import {
  connect,
  createServer,
  type DtlsConnectOptions,
  type DtlsServerOptions,
  type DtlsSocket,
} from '../../src/node/dtls/index.ts';
import { describeWith, need } from '../setup/need.ts';
import { gnutlsClient, gnutlsServer, gnutlsVersion } from './support/gnutls.ts';
import { OpensslClient, openssl, opensslVersion } from './support/openssl.ts';
import { HOST, makePki, type Pki } from './support/pki.ts';
import { freePort, Program } from './support/program.ts';

/* DTLS 1.2 with programs that no one here wrote, both ways: handshake, data there, data back. */

const KEY = '7f2a0c9e44d15b6a8833c1e0925fb7d6';
const psk = { identity: 'device7', key: Buffer.from(KEY, 'hex') };
/** libcoap's programs take keys as text. */
const COAP_KEY = 'sixteen byte key';
const coapPsk = { identity: 'device7', key: Buffer.from(COAP_KEY) };
const coapClient = need('coap-client-openssl');
const coapServer = need('coap-server-openssl');

let pki: Pki;
const rows: string[] = [];

beforeAll(() => {
  pki = makePki();
});
afterAll(() => {
  console.log(`DTLS 1.2 with other programs\n${rows.map((row) => `  ${row}`).join('\n')}`);
});

function passed(peer: string, ours: 'client' | 'server', what: string, socket: DtlsSocket): void {
  expect(socket.getProtocol()).toBe('DTLSv1.2');
  rows.push(`${peer.padEnd(16)} our ${ours.padEnd(7)} ${what.padEnd(26)} ${socket.getCipher()?.name}`);
}

/** A server of ours. @returns its port, and the first session */
async function ours(
  options: Partial<DtlsServerOptions>,
): Promise<{ port: number; session: Promise<DtlsSocket> }> {
  const { cert, key } = pki.servers.p256;
  const server = createServer({ ...(options.psk === undefined ? { cert, key } : {}), ...options });
  const session = once(server, 'secureConnection').then(([socket]) => {
    const accepted = socket as DtlsSocket;
    accepted.on('error', () => {});
    accepted.on('message', (datagram) => accepted.send(datagram));
    return accepted;
  });
  server.on('tlsClientError', (error) => rows.push(`refused: ${error.message}`));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { port: server.address()?.port as number, session };
}

async function dial(port: number, options: Partial<DtlsConnectOptions> = {}): Promise<DtlsSocket> {
  const trust = options.psk === undefined ? { ca: pki.ca.cert } : {};
  const socket = connect({ host: '127.0.0.1', port, servername: HOST, ...trust, ...options });
  onTestFinished(() => void socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

async function ask(socket: DtlsSocket, datagram: string | Uint8Array): Promise<Buffer> {
  const answer = once(socket, 'message');
  socket.send(datagram);
  const [message] = (await answer) as [Buffer];
  return message;
}

/** With OpenSSL's words, and ours. */
const OPENSSL = [
  ['certificate', [], {}],
  ['ChaCha20-Poly1305', ['-cipher', 'ECDHE-ECDSA-CHACHA20-POLY1305'], {}],
  ['AES-256-GCM', ['-cipher', 'ECDHE-ECDSA-AES256-GCM-SHA384'], {}],
  ['AES-CCM_8', ['-cipher', 'ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0'], { ciphers: 'ECDHE-ECDSA-AES128-CCM8' }],
] as const;
const OPENSSL_PSK = [
  ['ECDHE_PSK', 'ECDHE-PSK-CHACHA20-POLY1305', {}],
  ['PSK, AES-GCM', 'PSK-AES128-GCM-SHA256', { ciphers: 'PSK-AES128-GCM-SHA256' }],
] as const;

describeWith(openssl, 'OpenSSL', () => {
  it.each(OPENSSL)('s_client, our server: %s', async (what, words, options) => {
    const { port, session } = await ours(options);
    const peer = new OpensslClient(port, [
      '-dtls1_2',
      '-CAfile',
      pki.ca.certFile,
      '-servername',
      HOST,
      ...words,
    ]);
    const socket = await session;
    peer.say('hello from s_client');
    await peer.until(/hello from s_client/);
    expect(socket.counts.received).toBe(1);
    passed(opensslVersion(), 'server', what, socket);
    peer.say('Q');
    await once(socket, 'close');
  });

  it.each(OPENSSL)('s_server, our client: %s', async (what, words, options) => {
    const { certFile, keyFile } = pki.servers.p256;
    const { peer, port } = await opensslServer(['-cert', certFile, '-key', keyFile, ...words]);
    const socket = await dial(port, options);
    expect(socket.authorized).toBe(true);
    await talk(socket, peer);
    passed(opensslVersion(), 'client', what, socket);
  });

  it.each(OPENSSL_PSK)('s_client, our server: %s', async (what, cipher, options) => {
    const { port, session } = await ours({ ...options, psk });
    const peer = new OpensslClient(port, [
      ...['-dtls1_2', '-psk', KEY, '-psk_identity', 'device7', '-cipher', cipher],
    ]);
    const socket = await session;
    expect(socket.pskIdentity?.toString()).toBe('device7');
    peer.say('hello from s_client');
    await peer.until(/hello from s_client/);
    passed(opensslVersion(), 'server', what, socket);
  });

  it.each(OPENSSL_PSK)('s_server, our client: %s', async (what, cipher, options) => {
    const { peer, port } = await opensslServer(['-nocert', '-psk', KEY, '-cipher', cipher]);
    const socket = await dial(port, { ...options, psk });
    expect(socket.authorized).toBe(true);
    await talk(socket, peer);
    passed(opensslVersion(), 'client', what, socket);
  });

  it('s_client shows a certificate to our server', async () => {
    const { port, session } = await ours({ requestCert: true, ca: pki.ca.cert });
    const { certFile, keyFile } = pki.clients.p256;
    const peer = new OpensslClient(port, [
      ...['-dtls1_2', '-CAfile', pki.ca.certFile, '-servername', HOST, '-cert', certFile, '-key', keyFile],
    ]);
    const socket = await session;
    expect(socket.authorized).toBe(true);
    expect(socket.getPeerX509Certificate()).toBeDefined();
    peer.say('hello from s_client');
    await peer.until(/hello from s_client/);
    passed(opensslVersion(), 'server', 'client certificate', socket);
  });

  it('both agree on exported keys', async () => {
    const { port, session } = await ours({});
    const peer = new OpensslClient(port, [
      ...[
        '-dtls1_2',
        '-CAfile',
        pki.ca.certFile,
        '-keymatexport',
        'EXTRACTOR-dtls_srtp',
        '-keymatexportlen',
        '60',
      ],
    ]);
    const socket = await session;
    const [, theirs] = await peer.until(/Keying material: ([0-9A-F]+)/);
    expect(theirs).toBe(socket.exportKeyingMaterial(60, 'EXTRACTOR-dtls_srtp').toString('hex').toUpperCase());
  });
});

async function opensslServer(words: readonly string[]): Promise<{ peer: Program; port: number }> {
  const port = await freePort();
  const peer = new Program(openssl.path, ['s_server', '-dtls1_2', '-accept', `127.0.0.1:${port}`, ...words]);
  await peer.until(/ACCEPT/);
  return { peer, port };
}

/** Data both ways with a program that prints what it receives and sends what it is told. */
async function talk(socket: DtlsSocket, peer: Program): Promise<void> {
  socket.send('hello from ours\n');
  await peer.until(/hello from ours/);
  const answer = once(socket, 'message');
  peer.say('hello from theirs');
  expect(String((await answer)[0])).toContain('hello from theirs');
}

describeWith([gnutlsClient, gnutlsServer], 'GnuTLS', () => {
  const priority = 'NORMAL:-VERS-ALL:+VERS-DTLS1.2';

  it('gnutls-cli, our server', async () => {
    const { port, session } = await ours({});
    const peer = new Program(gnutlsClient.path, [
      ...['--udp', '--port', `${port}`, '--x509cafile', pki.ca.certFile, '--priority', priority],
      ...['--sni-hostname', HOST, '--verify-hostname', HOST, '127.0.0.1'],
    ]);
    const socket = await session;
    await peer.until(/Simple Client Mode/);
    peer.say('hello from gnutls-cli');
    await peer.until(/hello from gnutls-cli/);
    passed(gnutlsVersion(), 'server', 'certificate', socket);
  });

  it('gnutls-serv, our client', async () => {
    const port = await freePort();
    const { certFile, keyFile } = pki.servers.p256;
    const peer = new Program(gnutlsServer.path, [
      ...['--udp', '-p', `${port}`, '--echo', '--x509certfile', certFile, '--x509keyfile', keyFile],
      ...['--priority', priority],
    ]);
    await peer.until(/IPv4 0\.0\.0\.0 port \d+\.\.\.done/);
    const socket = await dial(port);
    expect((await ask(socket, 'hello from ours')).toString()).toBe('hello from ours');
    passed(gnutlsVersion(), 'client', 'certificate', socket);
  });
});

describeWith([coapClient, coapServer], 'libcoap', () => {
  const ciphers = 'PSK-AES128-GCM-SHA256:PSK-AES128-CCM8';

  it('coap-client gets a resource of our server, by a pre-shared key', async () => {
    const { port, session } = await ours({ psk: coapPsk, ciphers });
    // A confirmable GET is answered by an ACK with 2.05 Content (RFC 7252 §3).
    const served = session.then((socket) => {
      socket.removeAllListeners('message');
      socket.on('message', (request) => socket.send(coapContent(request, 'from trellis')));
      return socket;
    });
    const peer = new Program(coapClient.path, [
      ...['-k', COAP_KEY, '-u', 'device7', '-B', '8'],
      `coaps://127.0.0.1:${port}/x`,
    ]);
    await peer.until(/from trellis/);
    passed('libcoap', 'server', 'CoAP, PSK', await served);
  });

  it('coap-server answers our client, by a pre-shared key', async () => {
    const port = await freePort();
    const peer = new Program(coapServer.path, [
      '-A',
      '127.0.0.1',
      '-p',
      `${port}`,
      '-k',
      COAP_KEY,
      '-v',
      '7',
    ]);
    await peer.until(/created (?:DTLS|UDP)/i);
    const socket = await dial(port + 1, { psk: coapPsk, ciphers });
    const answer = await ask(socket, Uint8Array.of(0x40, 0x01, 0x12, 0x34));
    // 2.05, with the message id of the request.
    expect([answer[1], answer[2], answer[3]]).toEqual([0x45, 0x12, 0x34]);
    expect(answer.toString('latin1')).toContain('libcoap');
    passed('libcoap', 'client', 'CoAP, PSK', socket);
  });

  it('coap-server answers our client, by certificates', async () => {
    const port = await freePort();
    const { certFile, keyFile } = pki.servers.p256;
    const peer = new Program(coapServer.path, [
      ...[
        '-A',
        '127.0.0.1',
        '-p',
        `${port}`,
        '-c',
        certFile,
        '-j',
        keyFile,
        '-C',
        pki.ca.certFile,
        '-n',
        '-v',
        '7',
      ],
    ]);
    await peer.until(/created (?:DTLS|UDP)/i);
    const { cert, key } = pki.clients.p256;
    const socket = await dial(port + 1, { cert, key });
    expect(socket.authorized).toBe(true);
    const answer = await ask(socket, Uint8Array.of(0x40, 0x01, 0x12, 0x35));
    expect(answer.toString('latin1')).toContain('libcoap');
    passed('libcoap', 'client', 'CoAP, certificates', socket);
  });
});

/** `Ver, T=ACK, TKL | 2.05 | message id | token | 0xff | payload`, RFC 7252 §3. */
function coapContent(request: Buffer, payload: string): Buffer {
  const tokenLength = (request[0] as number) & 0x0f;
  const head = Buffer.from([0x60 | tokenLength, 0x45]);
  return Buffer.concat([
    head,
    request.subarray(2, 4 + tokenLength),
    Buffer.from([0xff]),
    Buffer.from(payload),
  ]);
}
