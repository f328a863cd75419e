import { beforeAll, expect, it } from 'vitest';
import { NamedGroup, ProtocolVersion } from '../../src/wire/codepoints.ts';
import { describeWith } from '../setup/need.ts';
import { EchoPeer } from './support/echo-peer.ts';
import { connectOurs, Incoming, serve } from './support/ours.ts';
import { makePki, type Pki, type SigningKind } from './support/pki.ts';
import { rustls, rustlsPeer } from './support/rustls.ts';

let pki: Pki;

const GROUPS = [
  ['X25519MLKEM768', NamedGroup.x25519mlkem768],
  ['X25519', NamedGroup.x25519],
  ['P-256', NamedGroup.secp256r1],
  ['P-384', NamedGroup.secp384r1],
] as const;
const VERSIONS = [
  ['1.3', ProtocolVersion.tls13],
  ['1.2', ProtocolVersion.tls12],
] as const;
/** The hybrid group is for TLS 1.3 alone. */
const COMBINATIONS = VERSIONS.flatMap(([name, version]) =>
  GROUPS.filter(([, group]) => version === ProtocolVersion.tls13 || group !== NamedGroup.x25519mlkem768).map(
    ([curve, group]) => [name, curve, version, group] as const,
  ),
);
/** In TLS 1.2 a client's groups are its curves too (RFC 8422 §4): without P-256 it takes no such certificate. */
const WITHOUT_CURVE = 'rsa2048';
const KINDS: readonly SigningKind[] = ['p256', 'p384', 'ed25519', 'rsa2048'];

describeWith(rustls, 'rustls', () => {
  beforeAll(() => {
    pki = makePki();
  });

  const theirServer = async (kind: SigningKind, args: readonly string[] = []) => {
    const { certFile, keyFile } = pki.servers[kind];
    const peer = new EchoPeer(rustlsPeer, ['server', '-cert', certFile, '-key', keyFile, ...args]);
    return { peer, port: await peer.port() };
  };
  const theirClient = (port: number, args: readonly string[] = []) =>
    new EchoPeer(rustlsPeer, ['client', '-connect', `127.0.0.1:${port}`, '-ca', pki.ca.certFile, ...args]);

  it.each(COMBINATIONS)('its server agrees with us on TLS %s and %s', async (name, curve, version, group) => {
    const { peer, port } = await theirServer(WITHOUT_CURVE, ['-groups', `${group}`, '-version', name]);
    const socket = await connectOurs({ port, ca: pki.ca.cert, ecdhCurve: curve });
    const incoming = new Incoming(socket);
    socket.write('ping\n');
    await incoming.until('ping\n');
    socket.end();
    await incoming.end();
    expect(peer.sessions()).toMatchObject([{ version, curve: group, resumed: false, peer: 0 }]);
  });

  it.each(COMBINATIONS)('its client agrees with us on TLS %s and %s', async (name, curve, version, group) => {
    const { cert, key } = pki.servers[WITHOUT_CURVE];
    const ours = await serve({ cert, key, ecdhCurve: curve });
    const peer = theirClient(ours.port, ['-groups', `${group}`, '-version', name]);
    expect(await peer.end(), peer.output).toBe(0);
    expect(peer.output).toContain('GOT ping');
    expect(peer.sessions()).toMatchObject([{ version, curve: group, resumed: false, peer: 1 }]);
  });

  it.each(KINDS)('each side shows a certificate with a %s key, and judges the other', async (kind) => {
    const { certFile, keyFile, cert, key } = pki.clients[kind];
    const { peer, port } = await theirServer(kind, ['-client-ca', pki.ca.certFile]);
    const socket = await connectOurs({ port, ca: pki.ca.cert, cert, key });
    expect(socket.authorized).toBe(true);
    await peer.until('SESSION');
    expect(peer.sessions()).toMatchObject([{ peer: 1 }]);
    socket.destroy();

    const server = pki.servers[kind];
    const ours = await serve({ cert: server.cert, key: server.key, requestCert: true, ca: pki.ca.cert });
    const client = theirClient(ours.port, ['-cert', certFile, '-key', keyFile]);
    expect(await client.end()).toBe(0);
    expect((await ours.session()).authorized).toBe(true);
  });

  it.each(VERSIONS)('its client resumes a session of TLS %s with us', async (name) => {
    const { cert, key } = pki.servers.p256;
    const ours = await serve({ cert, key });
    const peer = theirClient(ours.port, ['-version', name, '-times', '3']);
    expect(await peer.end()).toBe(0);
    expect(peer.sessions().map(({ resumed }) => resumed)).toEqual([false, true, true]);
  });
});
