import { beforeAll, expect, it } from 'vitest';
import { NamedGroup } from '../../src/wire/codepoints.ts';
import { describeWith } from '../setup/need.ts';
import { EchoPeer } from './support/echo-peer.ts';
import { buildGoPeer, go } from './support/go.ts';
import { connectOurs, Incoming, serve } from './support/ours.ts';
import { makePki, type Pki } from './support/pki.ts';

/** The compiler has all of crypto/tls to compile the first time. */
const BUILD_MS = 180_000;

let pki: Pki;
let program: string;

describeWith(go, "Go's crypto/tls", () => {
  beforeAll(() => {
    pki = makePki();
    program = buildGoPeer(pki.folder);
  }, BUILD_MS);

  const goServer = async (args: readonly string[]) => {
    const { certFile, keyFile } = pki.servers.p256;
    const peer = new EchoPeer(program, ['server', '-cert', certFile, '-key', keyFile, ...args]);
    return { peer, port: await peer.port() };
  };

  it.each([
    ['X25519MLKEM768', NamedGroup.x25519mlkem768],
    ['X25519', NamedGroup.x25519],
    ['P-256', NamedGroup.secp256r1],
  ])('our client agrees on %s with its server', async (ecdhCurve, group) => {
    const { peer, port } = await goServer(['-curves', `${group}`]);
    const socket = await connectOurs({ port, ca: pki.ca.cert, ecdhCurve });
    const incoming = new Incoming(socket);
    socket.write('ping\n');
    await incoming.until('ping\n');
    expect(socket.getEphemeralKeyInfo()).toMatchObject({ name: ecdhCurve.replace('P-256', 'prime256v1') });
    expect(peer.sessions()).toMatchObject([{ version: 0x0304, curve: group }]);
    socket.end();
    await incoming.end();
  });

  it('our client, which greases, falls back to the second share, without HelloRetryRequest', async () => {
    const { peer, port } = await goServer(['-curves', `${NamedGroup.x25519}`]);
    const socket = await connectOurs({
      port,
      ca: pki.ca.cert,
      ecdhCurve: 'X25519MLKEM768:X25519',
      grease: true,
    });
    expect(socket.getEphemeralKeyInfo()).toMatchObject({ name: 'X25519' });
    await peer.until('SESSION');
    socket.destroy();
  });

  it('its client agrees on X25519MLKEM768 with our server, and resumes', async () => {
    const { cert, key } = pki.servers.p256;
    const ours = await serve({ cert, key, ecdhCurve: 'X25519MLKEM768' });
    const args = ['-connect', `127.0.0.1:${ours.port}`, '-ca', pki.ca.certFile, '-times', '2'];
    const peer = new EchoPeer(program, ['client', ...args]);
    expect(await peer.end()).toBe(0);
    expect(peer.sessions()).toMatchObject([
      { curve: NamedGroup.x25519mlkem768, resumed: false },
      { curve: NamedGroup.x25519mlkem768, resumed: true },
    ]);
  });

  it('its client shows a certificate to our server, and ours to its', async () => {
    const { cert, key } = pki.servers.p256;
    const ours = await serve({ cert, key, requestCert: true, ca: pki.ca.cert });
    const client = pki.clients.ed25519;
    const peer = new EchoPeer(program, [
      ...['client', '-connect', `127.0.0.1:${ours.port}`, '-ca', pki.ca.certFile],
      ...['-cert', client.certFile, '-key', client.keyFile],
    ]);
    expect(await peer.end()).toBe(0);
    expect((await ours.session()).authorized).toBe(true);

    const theirs = await goServer(['-client-ca', pki.ca.certFile]);
    const identity = { cert: pki.clients.rsa2048.cert, key: pki.clients.rsa2048.key };
    const socket = await connectOurs({ port: theirs.port, ca: pki.ca.cert, ...identity });
    await theirs.peer.until('SESSION');
    expect(theirs.peer.sessions()).toMatchObject([{ peer: 1 }]);
    socket.destroy();
  });
});
