import { writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { join } from 'node:path';
import * as tls from 'node:tls';
import { beforeAll, expect, it } from 'vitest';
import type { ServerOptions, TLSSocket } from '../../src/index.ts';
import { describeWith } from '../setup/need.ts';
import { GnutlsClient, gnutlsClient } from './support/gnutls.ts';
import { OpensslClient, OpensslServer, openssl } from './support/openssl.ts';
import {
  type CodedError,
  closed,
  connectFailure,
  connectOurs,
  event,
  Incoming,
  listen,
  type OurServer,
  serve,
} from './support/ours.ts';
import { type Credential, makePki, type Pki } from './support/pki.ts';

/* TLS 1.2 beyond suites: resumption, client certificates, exporters, renegotiation, fallback. */

let pki: Pki;

beforeAll(() => {
  pki = makePki();
});

const TLS12 = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
const identity = ({ cert, key }: Credential) => ({ cert, key });
const LABEL = 'EXPORTER-peers';

function ourServer(options: ServerOptions = {}): Promise<OurServer> {
  return serve({ ...identity(pki.servers.p256), ...options });
}

function ourClient(port: number, options: object = {}): Promise<TLSSocket> {
  return connectOurs({ port, ca: pki.ca.cert, ...options });
}

/** A session that can be resumed; the socket has ended. */
async function sessionOf(socket: TLSSocket): Promise<Buffer> {
  const session = socket.getSession() ?? (await event<Buffer>(socket, 'session'));
  socket.end();
  socket.resume();
  await closed(socket);
  return session;
}

describeWith(openssl, 'TLS 1.2 with OpenSSL, our server', () => {
  const s_client = ({ port }: OurServer, ...args: string[]) =>
    new OpensslClient(port, ['-tls1_2', '-CAfile', pki.ca.certFile, '-verify_return_error', ...args]);

  it.each([
    ['ticket', []],
    ['session id', ['-no_ticket']],
  ])('resumes by %s', async (_how, args) => {
    const ours = await ourServer();
    const file = join(pki.folder, `openssl-${args.length}.sess`);
    const first = s_client(ours, '-sess_out', file, ...args);
    await first.connected();
    expect(await first.quit()).toBe(0);
    expect((await ours.session()).isSessionReused()).toBe(false);
    const second = s_client(ours, '-sess_in', file, ...args);
    await second.until('Reused, TLSv1.2');
    second.say('again');
    await second.until(/^again$/m);
    expect(await second.quit()).toBe(0);
    expect((await ours.session()).isSessionReused()).toBe(true);
  });

  it('takes a client certificate, and misses one', async () => {
    const ours = await ourServer({ requestCert: true, ca: pki.ca.cert });
    for (const kind of ['p256', 'rsa2048', 'ed25519'] as const) {
      const { certFile, keyFile } = pki.clients[kind];
      const client = s_client(ours, '-cert', certFile, '-key', keyFile);
      await client.connected();
      const socket = await ours.session();
      expect(socket.authorized).toBe(true);
      await client.quit();
    }
    const anonymous = s_client(ours);
    expect((await ours.failure()).code).toBe('ERR_TLS_NO_CLIENT_CERTIFICATE');
    await anonymous.until('SSL alert number 40');
  });

  it('exports the same keys', async () => {
    const ours = await ourServer();
    const client = s_client(ours, '-keymatexport', LABEL, '-keymatexportlen', '20');
    const [, theirs] = await client.until(/Keying material: ([0-9A-F]{40})/);
    const socket = await ours.session();
    expect(socket.exportKeyingMaterial(20, LABEL).toString('hex').toUpperCase()).toBe(theirs);
    await client.quit();
  });

  it('refuses to renegotiate, and goes on', async () => {
    const ours = await ourServer();
    const client = s_client(ours);
    await client.connected();
    client.say('R');
    await client.until('RENEGOTIATING');
    await client.until(/no renegotiation/);
    const socket = await ours.session();
    socket.destroy();
  });

  it('finds a fallback that was not needed', async () => {
    const ours = await ourServer();
    const client = s_client(ours, '-fallback_scsv');
    expect((await ours.failure()).code).toBe('ERR_TLS_INAPPROPRIATE_FALLBACK');
    await client.until('SSL alert number 86');
  });
});

describeWith(openssl, 'TLS 1.2 with OpenSSL, our client', () => {
  const s_server = (...args: string[]) =>
    new OpensslServer(pki.servers.p256, ['-tls1_2', '-CAfile', pki.ca.certFile, ...args]);

  it.each([
    ['ticket', []],
    ['session id', ['-no_ticket']],
  ])('resumes by %s', async (_how, args) => {
    const server = s_server('-rev', ...args);
    const port = await server.port;
    const session = await sessionOf(await ourClient(port));
    const again = await ourClient(port, { session });
    expect(again.isSessionReused()).toBe(true);
    expect(again.authorized).toBe(true);
    const incoming = new Incoming(again);
    again.write('abc\n');
    await incoming.until('cba\n');
    again.destroy();
  });

  it('shows a client certificate', async () => {
    const server = s_server('-rev', '-Verify', '1', '-verify_return_error');
    const port = await server.port;
    const socket = await ourClient(port, identity(pki.clients.rsa2048));
    const incoming = new Incoming(socket);
    socket.write('abc\n');
    await incoming.until('cba\n');
    socket.destroy();
  });

  it('exports the same keys', async () => {
    const server = s_server('-keymatexport', LABEL, '-keymatexportlen', '20');
    const socket = await ourClient(await server.port);
    const [, theirs] = await server.until(/Keying material: ([0-9A-F]{40})/);
    expect(socket.exportKeyingMaterial(20, LABEL).toString('hex').toUpperCase()).toBe(theirs);
    socket.destroy();
  });

  it('refuses to renegotiate', async () => {
    const server = s_server();
    const socket = await ourClient(await server.port);
    socket.resume();
    await server.until(/Secure Renegotiation IS supported/);
    server.say('r');
    await server.until(/no renegotiation|SSL_do_handshake|ERROR/i);
    socket.destroy();
  });

  it('refuses a server without extended_master_secret, unless told otherwise', async () => {
    const config = join(pki.folder, 'no-ems.cnf');
    writeFileSync(
      config,
      'openssl_conf = c\n[c]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\nOptions = -ExtendedMasterSecret\n',
    );
    const server = new OpensslServer(pki.servers.p256, ['-tls1_2', '-rev'], {
      env: { OPENSSL_CONF: config },
    });
    const port = await server.port;
    expect((await connectFailure({ port, ca: pki.ca.cert })).code).toBe('ERR_TLS_HANDSHAKE_FAILURE');
    const socket = await ourClient(port, { requireExtendedMasterSecret: false });
    const incoming = new Incoming(socket);
    socket.write('abc\n');
    await incoming.until('cba\n');
    socket.destroy();
  });
});

const PSK_SUITES = [
  'PSK-AES128-GCM-SHA256',
  'PSK-AES256-GCM-SHA384',
  'PSK-CHACHA20-POLY1305',
  'PSK-AES128-CCM',
  'PSK-AES256-CCM',
  'PSK-AES128-CCM8',
  'PSK-AES256-CCM8',
  'ECDHE-PSK-CHACHA20-POLY1305',
];
const PSK_KEY = Buffer.alloc(32, 7);

describeWith(openssl, 'TLS 1.2 with OpenSSL and a pre-shared key', () => {
  const theirs = ['-tls1_2', '-psk', PSK_KEY.toString('hex'), '-psk_identity', 'device 7'];
  const psk = { identity: 'device 7', key: PSK_KEY };

  it.each(PSK_SUITES)('our server, %s', async (suite) => {
    const ours = await serve({ psk, ciphers: suite });
    const client = new OpensslClient(ours.port, [...theirs, '-cipher', `${suite}:@SECLEVEL=0`]);
    await client.until(`New, TLSv1.2, Cipher is ${suite}`);
    client.say('abcdef');
    await client.until(/^abcdef$/m);
    const socket = await ours.session();
    expect(String(socket.pskIdentity)).toBe('device 7');
    expect(await client.quit()).toBe(0);
  });

  it.each(PSK_SUITES)('our client, %s', async (suite) => {
    const args = [...theirs, '-nocert', '-psk_hint', 'who?', '-cipher', `${suite}:@SECLEVEL=0`, '-rev'];
    const server = new OpensslServer(pki.servers.p256, args);
    const socket = await ourClient(await server.port, { psk, ciphers: suite });
    expect(socket.getCipher()?.name).toBe(suite);
    expect(socket.authorized).toBe(true);
    const incoming = new Incoming(socket);
    socket.write('abc\n');
    await incoming.until('cba\n');
    socket.destroy();
  });
});

it("TLS 1.2 with Node's tls as the server: data, resumption, exporters", async () => {
  let near: tls.TLSSocket | undefined;
  const server = tls.createServer({ ...identity(pki.servers.p256), ...TLS12 }, (socket) => {
    near = socket;
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  const port = await listen(server);
  const first = await ourClient(port);
  expect(first.getProtocol()).toBe('TLSv1.2');
  const incoming = new Incoming(first);
  first.write('abc');
  await incoming.until('abc');
  const key = first.exportKeyingMaterial(32, LABEL, Buffer.from('context'));
  expect(near?.exportKeyingMaterial(32, LABEL, Buffer.from('context')).equals(key)).toBe(true);
  const session = first.getSession();
  first.end();
  const again = await ourClient(port, { session });
  expect(again.isSessionReused()).toBe(true);
  again.destroy();
});

it("TLS 1.2 with Node's tls as the client: data, resumption, client certificate", async () => {
  const ours = await serve({ ...identity(pki.servers.rsa2048), requestCert: true, ca: pki.ca.cert });
  const options = { port: ours.port, ca: pki.ca.cert, servername: 'localhost', ...TLS12 };
  const dial = async (session?: Buffer): Promise<tls.TLSSocket> => {
    const socket = tls.connect({ ...options, ...identity(pki.clients.p256), session });
    await event(socket, 'secureConnect');
    return socket;
  };
  const first = await dial();
  expect(first.getProtocol()).toBe('TLSv1.2');
  expect((await ours.session()).authorized).toBe(true);
  first.write('abc');
  expect(String(await event<Buffer>(first, 'data'))).toBe('abc');
  const session = first.getSession();
  first.end();
  const again = await dial(session);
  expect(again.isSessionReused()).toBe(true);
  const socket = await ours.session();
  expect(socket.isSessionReused()).toBe(true);
  expect(socket.authorized).toBe(true);
  again.destroy();
  const failed = tls.connect(options);
  failed.on('error', () => {});
  expect(((await ours.failure()) as CodedError).code).toBe('ERR_TLS_NO_CLIENT_CERTIFICATE');
});

describeWith(gnutlsClient, 'record_size_limit in TLS 1.2, GnuTLS', () => {
  it('is what gnutls-cli says that it takes, and what our server says that it takes', async () => {
    const ours = await ourServer({ recordSizeLimit: 700 });
    const relay = await recordsBetween(ours.port);
    const args = [
      '--recordsize',
      '1000',
      '--priority',
      'NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM',
    ];
    const client = new GnutlsClient(relay.port, pki.ca, args);
    const socket = await ours.session();
    expect(socket.getProtocol()).toBe('TLSv1.2');
    // Of a longer line, gnutls-cli sends one record.
    client.say('x'.repeat(3000));
    await client.until('x'.repeat(700));
    const long = 'y'.repeat(3000);
    socket.write(`${long}\n`);
    await client.until(long);
    expect(await client.quit()).toBe(0);
    // Nonce of 8 bytes and tag of 16 around the content.
    expect(Math.max(...relay.lengths.fromServer)).toBe(1000 + 24);
    expect(Math.max(...relay.lengths.fromClient)).toBe(700 + 24);
  });
});

/** A relay in front of a server, that notes how long the records of application data are. */
async function recordsBetween(to: number) {
  const lengths: { readonly fromClient: number[]; readonly fromServer: number[] } = {
    fromClient: [],
    fromServer: [],
  };
  const note = (source: net.Socket, found: number[]): void => {
    let rest = Buffer.alloc(0);
    source.on('data', (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      while (rest.length >= 5 && rest.length >= 5 + rest.readUInt16BE(3)) {
        const length = rest.readUInt16BE(3);
        if (rest[0] === 23) found.push(length);
        rest = rest.subarray(5 + length);
      }
    });
  };
  const relay = net.createServer((client) => {
    const server = net.connect(to, '127.0.0.1');
    note(client, lengths.fromClient);
    note(server, lengths.fromServer);
    for (const socket of [client, server]) socket.on('error', () => {});
    client.pipe(server).pipe(client);
  });
  return { port: await listen(relay), lengths };
}
