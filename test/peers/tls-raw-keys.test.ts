import { createPublicKey } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { describeWith } from '../setup/need.ts';
import { freePort } from '../setup/ports.ts';
import { gnutlsClient, gnutlsServer } from './support/gnutls.ts';
import { connectFailure, connectOurs, Incoming, serve } from './support/ours.ts';
import { type Credential, makePki, type Pki } from './support/pki.ts';
import { Program } from './support/program.ts';

/* Raw public keys (RFC 7250) with GnuTLS, both ways. OpenSSL has them from 3.2 on. */

let pki: Pki;

beforeAll(() => {
  pki = makePki();
});

/** PEM of the public key alone. */
const publicKey = ({ key }: Credential): string =>
  createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();

/** Options of the GnuTLS programs for this key, raw. */
function rawKey(name: string, credential: Credential): string[] {
  const file = join(pki.folder, `${name}.pub`);
  writeFileSync(file, publicKey(credential));
  return ['--rawpkfile', file, '--rawpkkeyfile', credential.keyFile];
}

const RAW = 'NORMAL:-CTYPE-ALL:+CTYPE-SRV-RAWPK:+CTYPE-CLI-RAWPK';

describeWith([gnutlsClient, gnutlsServer], 'raw public keys, GnuTLS', () => {
  it.each([
    ['TLSv1.3', '-VERS-ALL:+VERS-TLS1.3'],
    ['TLSv1.2', '-VERS-ALL:+VERS-TLS1.2'],
  ])('our client and gnutls-serv, each by its key, %s', async (version, priority) => {
    const port = await freePort();
    const words = [...rawKey('server', pki.servers.p256), '--priority', `${RAW}:${priority}`];
    const server = new Program(gnutlsServer.path, [
      '-p',
      `${port}`,
      '--echo',
      '--require-client-cert',
      ...words,
    ]);
    await server.until(new RegExp(`IPv4 0\\.0\\.0\\.0 port ${port}\\.\\.\\.done`));
    const socket = await connectOurs({
      port,
      trustedPublicKeys: publicKey(pki.servers.p256),
      key: pki.clients.ed25519.key,
      rawPublicKey: true,
    });
    expect(socket.getProtocol()).toBe(version);
    expect(socket.authorized).toBe(true);
    expect(socket.getPeerCertificate()).toEqual({});
    expect(socket.peerRawPublicKey).toEqual(
      createPublicKey(pki.servers.p256.key).export({ type: 'spki', format: 'der' }),
    );
    const incoming = new Incoming(socket);
    socket.write('abcdef\n');
    await incoming.until('abcdef\n');
    socket.end();
    const other = { port, trustedPublicKeys: publicKey(pki.servers.p384) };
    expect((await connectFailure(other)).code).toBe('CERT_REJECTED');
  });

  it.each([
    ['TLSv1.3', '-VERS-ALL:+VERS-TLS1.3'],
    ['TLSv1.2', '-VERS-ALL:+VERS-TLS1.2'],
  ])('gnutls-cli and our server, each by its key, %s', async (version, priority) => {
    const ours = await serve({
      key: pki.servers.p256.key,
      rawPublicKey: true,
      requestCert: true,
      trustedPublicKeys: publicKey(pki.clients.rsa2048),
    });
    // It has no option for the key to expect, so it takes any.
    const words = ['--port', `${ours.port}`, '--insecure', '--priority', `${RAW}:${priority}`];
    const client = new Program(gnutlsClient.path, [
      ...words,
      ...rawKey('client', pki.clients.rsa2048),
      '127.0.0.1',
    ]);
    client.say('abcdef');
    await client.until(/^abcdef$/m);
    const socket = await ours.session();
    expect([socket.getProtocol(), socket.authorized]).toEqual([version, true]);
    expect(socket.peerRawPublicKey).toEqual(
      createPublicKey(pki.clients.rsa2048.key).export({ type: 'spki', format: 'der' }),
    );
    client.child.stdin.end();
    expect(await client.end()).toBe(0);
    const stranger = new Program(gnutlsClient.path, [
      ...words,
      ...rawKey('stranger', pki.clients.p256),
      '127.0.0.1',
    ]);
    expect((await ours.failure()).code).toBe('CERT_REJECTED');
    await stranger.end();
  });

  it('gnutls-cli that takes certificates alone gets one', async () => {
    const { cert, key } = pki.servers.p256;
    const ours = await serve({ cert, key, rawPublicKey: true });
    const client = new Program(gnutlsClient.path, [
      ...['--port', `${ours.port}`, '--x509cafile', pki.ca.certFile, '--verify-hostname', 'localhost'],
      '127.0.0.1',
    ]);
    client.say('abcdef');
    await client.until(/^abcdef$/m);
    expect(client.output).toContain('The certificate is trusted.');
    client.child.stdin.end();
    expect(await client.end()).toBe(0);
  });
});
