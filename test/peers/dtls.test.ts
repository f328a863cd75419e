import { once } from 'node:events';
import { beforeAll, expect, it } from 'vitest';
import type { DtlsSocket } from '../../src/node/dtls/index.ts';
import { ask } from '../setup/datagrams.ts';
import { describeWith, need } from '../setup/need.ts';
import { freePort } from '../setup/ports.ts';
import { OurDtls } from './support/dtls.ts';
import { gnutlsClient, gnutlsServer, gnutlsVersion } from './support/gnutls.ts';
import { OpensslClient, openssl, opensslVersion } from './support/openssl.ts';
import { HOST, makePki, type Pki } from './support/pki.ts';
import { Program } from './support/program.ts';

/* DTLS 1.2 with programs that no one here wrote, both ways: handshake, data there, data back. */

const KEY = '7f2a0c9e44d15b6a8833c1e0925fb7d6';
const psk = { identity: 'device7', key: Buffer.from(KEY, 'hex') };
/** libcoap's programs take keys as text. */
const COAP_KEY = 'sixteen byte key';
const coapPsk = { identity: 'device7', key: Buffer.from(COAP_KEY) };
const coapClient = need('coap-client-openssl');
const coapServer = need('coap-server-openssl');

let pki: Pki;
const our = new OurDtls('DTLS with other programs', () => pki);

beforeAll(() => {
  pki = makePki();
});

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
    const { port, session } = await our.server(options);
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
    our.passed(opensslVersion(), 'server', what, socket);
    peer.say('Q');
    await once(socket, 'close');
  });

  it.each(OPENSSL)('s_server, our client: %s', async (what, words, options) => {
    const { certFile, keyFile } = pki.servers.p256;
    const { peer, port } = await opensslServer(['-cert', certFile, '-key', keyFile, ...words]);
    const socket = await our.dial(port, options);
    expect(socket.authorized).toBe(true);
    await talk(socket, peer);
    our.passed(opensslVersion(), 'client', what, socket);
  });

  it.each(OPENSSL_PSK)('s_client, our server: %s', async (what, cipher, options) => {
    const { port, session } = await our.server({ ...options, psk });
    const peer = new OpensslClient(port, [
      ...['-dtls1_2', '-psk', KEY, '-psk_identity', 'device7', '-cipher', cipher],
    ]);
    const socket = await session;
    expect(socket.pskIdentity?.toString()).toBe('device7');
    peer.say('hello from s_client');
    await peer.until(/hello from s_client/);
    our.passed(opensslVersion(), 'server', what, socket);
  });

  it.each(OPENSSL_PSK)('s_server, our client: %s', async (what, cipher, options) => {
    const { peer, port } = await opensslServer(['-nocert', '-psk', KEY, '-cipher', cipher]);
    const socket = await our.dial(port, { ...options, psk });
    expect(socket.authorized).toBe(true);
    await talk(socket, peer);
    our.passed(opensslVersion(), 'client', what, socket);
  });

  it('s_client shows a certificate to our server', async () => {
    const { port, session } = await our.server({ requestCert: true, ca: pki.ca.cert });
    const { certFile, keyFile } = pki.clients.p256;
    const peer = new OpensslClient(port, [
      ...['-dtls1_2', '-CAfile', pki.ca.certFile, '-servername', HOST, '-cert', certFile, '-key', keyFile],
    ]);
    const socket = await session;
    expect(socket.authorized).toBe(true);
    expect(socket.getPeerX509Certificate()).toBeDefined();
    peer.say('hello from s_client');
    await peer.until(/hello from s_client/);
    our.passed(opensslVersion(), 'server', 'client certificate', socket);
  });

  it('both agree on exported keys', async () => {
    const { port, session } = await our.server({});
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
    const { port, session } = await our.server({});
    const peer = new Program(gnutlsClient.path, [
      ...['--udp', '--port', `${port}`, '--x509cafile', pki.ca.certFile, '--priority', priority],
      ...['--sni-hostname', HOST, '--verify-hostname', HOST, '127.0.0.1'],
    ]);
    const socket = await session;
    await peer.until(/Simple Client Mode/);
    peer.say('hello from gnutls-cli');
    await peer.until(/hello from gnutls-cli/);
    our.passed(gnutlsVersion(), 'server', 'certificate', socket);
  });

  it('gnutls-serv, our client', async () => {
    const port = await freePort();
    const { certFile, keyFile } = pki.servers.p256;
    const peer = new Program(gnutlsServer.path, [
      ...['--udp', '-p', `${port}`, '--echo', '--x509certfile', certFile, '--x509keyfile', keyFile],
      ...['--priority', priority],
    ]);
    await peer.until(/IPv4 0\.0\.0\.0 port \d+\.\.\.done/);
    const socket = await our.dial(port);
    expect((await ask(socket, 'hello from ours')).toString()).toBe('hello from ours');
    our.passed(gnutlsVersion(), 'client', 'certificate', socket);
  });
});

describeWith([coapClient, coapServer], 'libcoap', () => {
  const ciphers = 'PSK-AES128-GCM-SHA256:PSK-AES128-CCM8';

  it('coap-client gets a resource of our server, by a pre-shared key', async () => {
    const { port, session } = await our.server({ psk: coapPsk, ciphers });
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
    our.passed('libcoap', 'server', 'CoAP, PSK', await served);
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
    const socket = await our.dial(port + 1, { psk: coapPsk, ciphers });
    const answer = await ask(socket, Uint8Array.of(0x40, 0x01, 0x12, 0x34));
    // 2.05, with the message id of the request.
    expect([answer[1], answer[2], answer[3]]).toEqual([0x45, 0x12, 0x34]);
    expect(answer.toString('latin1')).toContain('libcoap');
    our.passed('libcoap', 'client', 'CoAP, PSK', socket);
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
    const socket = await our.dial(port + 1, { cert, key });
    expect(socket.authorized).toBe(true);
    const answer = await ask(socket, Uint8Array.of(0x40, 0x01, 0x12, 0x35));
    expect(answer.toString('latin1')).toContain('libcoap');
    our.passed('libcoap', 'client', 'CoAP, certificates', socket);
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
