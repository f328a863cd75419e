import { once } from 'node:events';
import { beforeAll, expect, it } from 'vitest';
import type { DtlsSocket, Remote } from '../../src/node/dtls/index.ts';
import { CipherSuite } from '../../src/wire/codepoints.ts';
import { rebindingRelay } from '../e2e/dtls-kit.ts';
import { ask } from '../setup/datagrams.ts';
import { describeWith } from '../setup/need.ts';
import { OurDtls } from './support/dtls.ts';
import { buildGoPeer, pion } from './support/go.ts';
import { makePki, type Pki } from './support/pki.ts';
import { Program } from './support/program.ts';

/* DTLS 1.2 with pion/dtls, which is what WebRTC in Go speaks. Its version 3.1 does not speak DTLS 1.3 yet. */

/** The compiler has all of pion to compile the first time. */
const BUILD_MS = 180_000;
const KEY = '7f2a0c9e44d15b6a8833c1e0925fb7d6';
const psk = { identity: 'device7', key: Buffer.from(KEY, 'hex') };
const NAME = 'pion/dtls 3.1';

const CERTIFICATE_SUITES = [
  ['ECDHE-ECDSA-AES128-GCM-SHA256', CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 'p256'],
  ['ECDHE-ECDSA-AES256-GCM-SHA384', CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, 'p384'],
  ['ECDHE-ECDSA-CHACHA20-POLY1305', CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, 'p256'],
  ['ECDHE-ECDSA-AES128-CCM', CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_CCM, 'p256'],
  ['ECDHE-ECDSA-AES128-CCM8', CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8, 'p256'],
  ['ECDHE-RSA-AES128-GCM-SHA256', CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, 'rsa2048'],
  ['ECDHE-RSA-AES256-GCM-SHA384', CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, 'rsa2048'],
  ['ECDHE-RSA-CHACHA20-POLY1305', CipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, 'rsa2048'],
] as const;
const PSK_SUITES = [
  ['ECDHE-PSK-CHACHA20-POLY1305', CipherSuite.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256],
  ['PSK-AES128-GCM-SHA256', CipherSuite.TLS_PSK_WITH_AES_128_GCM_SHA256],
  ['PSK-CHACHA20-POLY1305', CipherSuite.TLS_PSK_WITH_CHACHA20_POLY1305_SHA256],
  ['PSK-AES128-CCM', CipherSuite.TLS_PSK_WITH_AES_128_CCM],
  ['PSK-AES128-CCM8', CipherSuite.TLS_PSK_WITH_AES_128_CCM_8],
  ['PSK-AES256-CCM8', CipherSuite.TLS_PSK_WITH_AES_256_CCM_8],
] as const;

let pki: Pki;
let program: string;
const our = new OurDtls('DTLS with pion/dtls', () => pki);

interface PionSession {
  readonly suite: number;
  readonly peer: number;
  readonly identity: string;
  readonly exported: string;
}

describeWith(pion, 'pion/dtls', () => {
  beforeAll(() => {
    pki = makePki();
    program = buildGoPeer(pki.folder, 'pion-peer');
  }, BUILD_MS);

  const client = (port: number, args: readonly string[] = ['-ca', pki.ca.certFile]): Program =>
    new Program(program, ['client', '-connect', `127.0.0.1:${port}`, ...args]);

  const server = async (args: readonly string[]): Promise<{ peer: Program; port: number }> => {
    const peer = new Program(program, ['server', ...args]);
    const [, port] = await peer.until(/^LISTEN (\d+)$/m);
    return { peer, port: Number(port) };
  };

  const identity = (kind: 'p256' | 'p384' | 'rsa2048'): string[] => {
    const { certFile, keyFile } = pki.servers[kind];
    return ['-cert', certFile, '-key', keyFile];
  };

  /** Both say the same of the handshake, to the exported keys (RFC 5764 §4.2). */
  const agreed = async (peer: Program, socket: DtlsSocket): Promise<PionSession> => {
    const [, json] = await peer.until(/^SESSION (.*)$/m);
    const session = JSON.parse(json ?? '') as PionSession;
    expect(session.exported).toBe(socket.exportKeyingMaterial(60, 'EXTRACTOR-dtls_srtp').toString('hex'));
    return session;
  };

  it.each(CERTIFICATE_SUITES)('its client, our server: %s', async (suite, id, kind) => {
    const { cert, key } = pki.servers[kind];
    const { port, session } = await our.server({ cert, key, ciphers: suite });
    const peer = client(port, ['-ca', pki.ca.certFile, '-suites', `${id}`]);
    const socket = await session;
    expect(await agreed(peer, socket)).toMatchObject({ suite: id, peer: 1 });
    await peer.until('GOT ping');
    expect(await peer.end()).toBe(0);
    our.passed(NAME, 'server', 'certificate', socket);
  });

  it.each(CERTIFICATE_SUITES)('its server, our client: %s', async (suite, id, kind) => {
    const { peer, port } = await server([...identity(kind), '-suites', `${id}`]);
    const socket = await our.dial(port, { ciphers: suite });
    expect(socket.authorized).toBe(true);
    expect(await agreed(peer, socket)).toMatchObject({ suite: id });
    expect((await ask(socket, 'ping')).toString()).toBe('ping');
    our.passed(NAME, 'client', 'certificate', socket);
    socket.close();
    await peer.until('ENDED');
  });

  it.each(PSK_SUITES)('its client, our server: %s', async (suite, id) => {
    const { port, session } = await our.server({ psk, ciphers: suite });
    const peer = client(port, ['-psk', KEY, '-suites', `${id}`]);
    const socket = await session;
    expect(socket.pskIdentity?.toString()).toBe('device7');
    expect(await agreed(peer, socket)).toMatchObject({ suite: id });
    await peer.until('GOT ping');
    our.passed(NAME, 'server', 'pre-shared key', socket);
  });

  it.each(PSK_SUITES)('its server, our client: %s', async (suite, id) => {
    const { peer, port } = await server(['-psk', KEY, '-suites', `${id}`]);
    const socket = await our.dial(port, { psk, ciphers: suite });
    expect(await agreed(peer, socket)).toMatchObject({ suite: id });
    expect((await ask(socket, 'ping')).toString()).toBe('ping');
    our.passed(NAME, 'client', 'pre-shared key', socket);
  });

  it('its client shows a certificate to our server, and ours to its', async () => {
    const theirs = pki.clients.p256;
    const { port, session } = await our.server({ requestCert: true, ca: pki.ca.cert });
    const peer = client(port, [
      ...['-ca', pki.ca.certFile, '-cert', theirs.certFile, '-key', theirs.keyFile],
    ]);
    const accepted = await session;
    expect(accepted.authorized).toBe(true);
    await peer.until('GOT ping');
    our.passed(NAME, 'server', 'client certificate', accepted);

    const listening = await server([...identity('p256'), '-client-ca', pki.ca.certFile]);
    const { cert, key } = pki.clients.rsa2048;
    const socket = await our.dial(listening.port, { cert, key });
    expect(await agreed(listening.peer, socket)).toMatchObject({ peer: 1 });
    expect((await ask(socket, 'ping')).toString()).toBe('ping');
    our.passed(NAME, 'client', 'client certificate', socket);
  });

  it('its client refuses a certificate of a CA that it does not know', async () => {
    const { cert, key } = pki.servers.p256;
    const { port } = await our.server({ cert, key });
    const peer = client(port, ['-ca', pki.otherCa.certFile]);
    expect(await peer.end()).toBe(1);
    expect(peer.output).toMatch(/FAILED .*unknown authority/);
  });

  it('its client, whose address changes, keeps its session with our server, by a connection ID', async () => {
    const { port, session } = await our.server({});
    const nat = await rebindingRelay(port);
    const peer = client(nat.port, ['-ca', pki.ca.certFile, '-cid', '-wait']);
    const socket = await session;
    await peer.until('SESSION');
    const moves: Remote[] = [];
    socket.on('move', (remote) => moves.push(remote));
    nat.rebind();
    peer.say('go');
    await peer.until('GOT ping');
    expect(moves).toHaveLength(1);
    our.passed(NAME, 'server', 'connection ID, address changes', socket);
  });

  it('our client, whose address changes, keeps its session with its server, by a connection ID', async () => {
    const { peer, port } = await server([...identity('p256'), '-cid']);
    const nat = await rebindingRelay(port);
    const socket = await our.dial(nat.port);
    await agreed(peer, socket);
    expect((await ask(socket, 'from here')).toString()).toBe('from here');
    nat.rebind();
    expect((await ask(socket, 'from there')).toString()).toBe('from there');
    our.passed(NAME, 'client', 'connection ID, address changes', socket);
  });

  it('both put messages together that do not fit a datagram', async () => {
    const { cert, key } = pki.servers.rsa2048;
    const { port, session } = await our.server({ cert, key, mtu: 256 });
    const peer = client(port, ['-ca', pki.ca.certFile, '-mtu', '300']);
    const socket = await session;
    await peer.until('GOT ping');
    our.passed(NAME, 'server', 'datagrams of 256 bytes', socket);

    const listening = await server([...identity('rsa2048'), '-mtu', '300']);
    const dialed = await our.dial(listening.port, { mtu: 256 });
    expect((await ask(dialed, 'ping')).toString()).toBe('ping');
    our.passed(NAME, 'client', 'datagrams of 256 bytes', dialed);
    dialed.close();
    await once(dialed, 'close');
  });
});
