import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import type { DtlsConnectOptions, DtlsSocket } from '../../src/node/dtls/index.ts';
import { ask } from '../setup/datagrams.ts';
import { describeWith, needThat } from '../setup/need.ts';
import { freePort } from '../setup/ports.ts';
import { OurDtls } from './support/dtls.ts';
import { HOST, makePki, type Pki, type SigningKind } from './support/pki.ts';
import { Program } from './support/program.ts';

/* DTLS 1.3 and 1.2 with the example programs of wolfSSL. */

/** A source tree of wolfSSL with its example programs built, with DTLS 1.3 and connection IDs. */
const folder = process.env.TRELLIS_WOLFSSL_DIR ?? '';
const clientPath = join(folder, 'examples', 'client', 'client');
const serverPath = join(folder, 'examples', 'server', 'server');
const wolfssl = needThat(
  folder !== '' && existsSync(clientPath) && existsSync(serverPath),
  'no wolfSSL here (TRELLIS_WOLFSSL_DIR: its source, with examples/client and examples/server built)',
);
const NAME = 'wolfSSL';

/** wolfSSL's name, ours, and the key of the certificate. */
const SUITES_13 = [
  ['TLS13-AES128-GCM-SHA256', 'TLS_AES_128_GCM_SHA256', 'p256'],
  ['TLS13-AES256-GCM-SHA384', 'TLS_AES_256_GCM_SHA384', 'p384'],
  ['TLS13-CHACHA20-POLY1305-SHA256', 'TLS_CHACHA20_POLY1305_SHA256', 'rsa2048'],
  ['TLS13-AES128-CCM-SHA256', 'TLS_AES_128_CCM_SHA256', 'ed25519'],
  ['TLS13-AES128-CCM-8-SHA256', 'TLS_AES_128_CCM_8_SHA256', 'p256'],
] as const;
const SUITES_12 = [
  ['ECDHE-ECDSA-AES128-GCM-SHA256', 'p256'],
  ['ECDHE-ECDSA-AES256-GCM-SHA384', 'p384'],
  ['ECDHE-ECDSA-CHACHA20-POLY1305', 'p256'],
  ['ECDHE-RSA-AES256-GCM-SHA384', 'rsa2048'],
] as const;
const SUITES = [
  ...SUITES_13.map(([theirs, ours, kind]) => ['DTLSv1.3', '4', theirs, ours, kind] as const),
  ...SUITES_12.map(([name, kind]) => ['DTLSv1.2', '3', name, name, kind] as const),
];

let pki: Pki;
const our = new OurDtls('DTLS with wolfSSL', () => pki);

describeWith(wolfssl, 'wolfSSL', () => {
  beforeAll(() => {
    pki = makePki();
  });

  /** Says "hello wolfssl!", wants an answer, prints it, and ends. */
  const client = (port: number, args: readonly string[] = []): Program => {
    const where = ['-u', '-h', '127.0.0.1', '-p', `${port}`, '-A', pki.ca.certFile, '-C', '-S', HOST];
    const own = args.includes('-c') ? [] : ['-x'];
    return new Program(clientPath, [...where, ...own, ...args], { cwd: folder });
  };

  /** Sends back what it gets, until its one session ends; then it prints what it was. It cannot be asked when it listens: our client says its ClientHello again until it does. */
  const server = async (
    args: readonly string[],
    kind: SigningKind = 'p256',
  ): Promise<{ peer: Program; port: number }> => {
    const port = await freePort();
    const { certFile, keyFile } = pki.servers[kind];
    const credentials = args.includes('-s') ? [] : ['-c', certFile, '-k', keyFile, '-A', pki.ca.certFile];
    const own = args.includes('-F') ? [] : ['-d'];
    const peer = new Program(
      serverPath,
      ['-u', '-p', `${port}`, '-e', '-x', ...credentials, ...own, ...args],
      {
        cwd: folder,
      },
    );
    return { peer, port };
  };

  const dial = (port: number, options: Partial<DtlsConnectOptions> = {}) =>
    our.dial(port, { retransmitTimeout: 250, ...options });

  it.each(SUITES)('%s, its client, our server: -v %s %s', async (protocol, version, theirs, ours, kind) => {
    const { cert, key } = pki.servers[kind];
    const { port, session } = await our.server({ cert, key, ciphers: ours });
    const peer = client(port, ['-v', version, '-l', theirs]);
    const socket = await session;
    expect(socket.getCipher()?.name).toBe(ours);
    expect(await peer.end()).toBe(0);
    expect(peer.output).toContain(`SSL version is ${protocol}`);
    expect(socket.counts.received).toBe(1);
    our.passed(NAME, 'server', `certificate (${kind})`, socket, protocol);
  });

  it.each(SUITES)('%s, its server, our client: -v %s %s', async (protocol, version, theirs, ours, kind) => {
    const { peer, port } = await server(['-v', version, '-l', theirs], kind);
    const socket = await dial(port, { ciphers: ours });
    expect(socket.authorized).toBe(true);
    expect(socket.getCipher()?.name).toBe(ours);
    expect((await ask(socket, 'hello from ours')).toString()).toBe('hello from ours');
    socket.close();
    await peer.end();
    expect(peer.output).toContain(`SSL version is ${protocol}`);
    our.passed(NAME, 'client', `certificate (${kind})`, socket, protocol);
  });

  it('1.3, its client without a key share: HelloRetryRequest with a group and a cookie', async () => {
    const { port, session } = await our.server({});
    const peer = client(port, ['-v', '4', '-J']);
    const socket = await session;
    expect(await peer.end()).toBe(0);
    our.passed(NAME, 'server', 'HelloRetryRequest for a group', socket, 'DTLSv1.3');
  });

  it('1.3, its client updates its keys', async () => {
    const { port, session } = await our.server({});
    const peer = client(port, ['-v', '4', '-I']);
    const socket = await session;
    expect(await peer.end()).toBe(0);
    // The update comes first, then a datagram that is answered, and one more.
    expect(socket.counts.received).toBe(2);
    our.passed(NAME, 'server', 'KeyUpdate by them', socket, 'DTLSv1.3');
  });

  it('1.3, its server updates its keys, and so does our client, twice', async () => {
    const { port } = await server(['-v', '4', '-U']);
    const socket = await dial(port);
    expect((await ask(socket, 'one')).toString()).toBe('one');
    our.passed(NAME, 'client', 'KeyUpdate by them', socket, 'DTLSv1.3');
    socket.updateKeys();
    expect((await ask(socket, 'two')).toString()).toBe('two');
    socket.updateKeys(true);
    expect((await ask(socket, 'three')).toString()).toBe('three');
    our.passed(NAME, 'client', 'KeyUpdate by us', socket, 'DTLSv1.3');
  });

  it.each([
    ['DTLSv1.3', '4'],
    ['DTLSv1.2', '3'],
  ])('%s: client certificates both ways', async (protocol, version) => {
    const theirs = pki.clients.p256;
    const { port, session } = await our.server({ requestCert: true, ca: pki.ca.cert });
    const peer = client(port, ['-v', version, '-c', theirs.certFile, '-k', theirs.keyFile]);
    const accepted = await session;
    expect(accepted.authorized).toBe(true);
    expect(await peer.end()).toBe(0);
    our.passed(NAME, 'server', 'client certificate', accepted, protocol);

    const listening = await server(['-v', version, '-F']);
    const { cert, key } = pki.clients.rsa2048;
    const socket = await dial(listening.port, { cert, key });
    expect((await ask(socket, 'ping')).toString()).toBe('ping');
    our.passed(NAME, 'client', 'client certificate', socket, protocol);
  });

  it.each([
    ['DTLSv1.3', '4'],
    ['DTLSv1.2', '3'],
  ])('%s: connection IDs both ways', async (protocol, version) => {
    const { port, session } = await our.server({});
    const peer = client(port, ['-v', version, '--cid', 'theirs']);
    const accepted = await session;
    expect(await peer.end()).toBe(0);
    expect(peer.output).toContain('CID extension was negotiated');
    our.passed(NAME, 'server', 'connection IDs', accepted, protocol);

    const listening = await server(['-v', version, '--cid', 'theirs']);
    const socket = await dial(listening.port);
    expect((await ask(socket, 'ping')).toString()).toBe('ping');
    socket.close();
    await listening.peer.end();
    expect(listening.peer.output).toContain('CID extension was negotiated');
    our.passed(NAME, 'client', 'connection IDs', socket, protocol);
  });

  /* Its programs have one key, which serves suites of either hash by the name of the hash in the identity. */
  const psks = (['sha256', 'sha384'] as const).map((hash) => ({
    identity: `Client_identity${hash.toUpperCase()}`,
    key: Buffer.from('0123456789abcdef'.repeat(4), 'hex'),
    hash,
  }));
  const PSK_SUITES = [
    ['TLS13-AES128-GCM-SHA256', 'TLS_AES_128_GCM_SHA256', 'Client_identitySHA256'],
    ['TLS13-AES256-GCM-SHA384', 'TLS_AES_256_GCM_SHA384', 'Client_identitySHA384'],
  ] as const;

  it.each(PSK_SUITES)('1.3, its client with a pre-shared key: %s', async (theirs, ours, identity) => {
    const { port, session } = await our.server({ psk: psks });
    const peer = client(port, ['-v', '4', '-s', '-l', theirs]);
    const socket = await session;
    expect([socket.getCipher()?.name, socket.pskIdentity?.toString()]).toEqual([ours, identity]);
    expect(await peer.end()).toBe(0);
    expect(socket.counts.received).toBe(1);
    our.passed(NAME, 'server', 'pre-shared key', socket, 'DTLSv1.3');
  });

  it.each(PSK_SUITES)('1.3, its server with a pre-shared key: %s', async (theirs, ours, identity) => {
    const { port } = await server(['-v', '4', '-s', '-l', theirs]);
    const socket = await dial(port, { psk: psks, ciphers: ours });
    expect(socket.pskIdentity?.toString()).toBe(identity);
    expect((await ask(socket, 'hello from ours')).toString()).toBe('hello from ours');
    our.passed(NAME, 'client', 'pre-shared key', socket, 'DTLSv1.3');
  });

  it('1.3, its client with the key of another is refused: the binder is wrong', async () => {
    const { port } = await our.server({ psk: psks.map((psk) => ({ ...psk, key: Buffer.alloc(32, 1) })) });
    const peer = client(port, ['-v', '4', '-s', '-l', 'TLS13-AES128-GCM-SHA256']);
    expect(await peer.end()).not.toBe(0);
    expect(peer.output).toMatch(/decrypt_error|-313|fatal/i);
  });

  it.each([
    ['DTLSv1.3', '4'],
    ['DTLSv1.2', '3'],
  ])('%s, its client resumes with a ticket of ours', async (protocol, version) => {
    const { port, accepted } = await our.server({});
    const peer = client(port, ['-v', version, '-r']);
    expect(await peer.end()).toBe(0);
    expect(accepted.map((socket) => socket.isSessionReused())).toEqual([false, true]);
    our.passed(NAME, 'server', 'resumption', accepted[1] as DtlsSocket, protocol);
  });

  it.each([
    ['DTLSv1.3', '4'],
    ['DTLSv1.2', '3'],
  ])('%s, our client resumes with a ticket of its server', async (protocol, version) => {
    const { peer, port } = await server(['-v', version, '-r']);
    const first = await dial(port);
    // Before its Finished in DTLS 1.2, behind it in 1.3.
    const session = first.getSession() ?? ((await once(first, 'session')) as [Buffer])[0];
    expect((await ask(first, 'one')).toString()).toBe('one');
    first.close();
    await once(first, 'close');
    const second = await dial(port, { session });
    expect(second.isSessionReused()).toBe(true);
    expect((await ask(second, 'two')).toString()).toBe('two');
    second.close();
    await peer.end();
    our.passed(NAME, 'client', 'resumption', second, protocol);
  });

  it('1.3, its client refuses a certificate of a CA that it does not know', async () => {
    const { cert, key } = pki.servers.p256;
    const { port } = await our.server({ cert, key });
    const peer = client(port, ['-v', '4', '-A', pki.otherCa.certFile]);
    expect(await peer.end()).not.toBe(0);
    expect(peer.output).toMatch(/no signer|-188/i);
  });
});
