import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import type { PskInput } from '../../src/index.ts';
import { describeWith } from '../setup/need.ts';
import { freePort } from '../setup/ports.ts';
import { GnutlsClient, gnutlsClient, gnutlsServer, priority } from './support/gnutls.ts';
import { KEY_EXCHANGE, OpensslClient, OpensslServer, openssl } from './support/openssl.ts';
import { closed, connectFailure, connectOurs, Incoming, serve } from './support/ours.ts';
import { makePki, type Pki } from './support/pki.ts';
import { Program } from './support/program.ts';

/* External pre-shared keys of TLS 1.3 with OpenSSL and GnuTLS, both ways. */

const KEY = '7f2a0c9e44d15b6a8833c1e0925fb7d6aa10394c8e7752f60b1dd49ce3a8f215';
const psk: PskInput = { identity: 'device 7', key: Buffer.from(KEY, 'hex') };
const TLS13 = { minVersion: 'TLSv1.3' } as const;

let pki: Pki;

beforeAll(() => {
  pki = makePki();
});

const words = ['-psk', KEY, '-psk_identity', 'device 7', '-tls1_3'];

describeWith(openssl, 'a pre-shared key, OpenSSL', () => {
  it('authenticates our client and s_server', async () => {
    const peer = new OpensslServer(pki.servers.p256, ['-rev', ...words]);
    const socket = await connectOurs({ ...TLS13, port: await peer.port, psk, grease: true });
    expect(socket.authorized).toBe(true);
    expect(socket.pskIdentity?.toString()).toBe('device 7');
    expect(socket.getPeerCertificate()).toEqual({});
    const incoming = new Incoming(socket);
    socket.write('abcdef\n');
    await incoming.until('fedcba\n');
    socket.end();
    expect(await closed(socket)).toBeNull();
  });

  it('authenticates s_client and our server, which needs no certificate', async () => {
    const ours = await serve({ ...TLS13, psk });
    const peer = new OpensslClient(ours.port, words);
    await peer.connected();
    peer.say('abcdef');
    await peer.until(/^abcdef$/m);
    expect(await peer.quit()).toBe(0);
    expect(peer.output).toContain('Reused, TLSv1.3');
    const socket = await ours.session();
    expect([socket.authorized, socket.pskIdentity?.toString()]).toEqual([true, 'device 7']);
  });

  it('of another value is refused by either side', async () => {
    const other = { ...psk, key: Buffer.alloc(32, 1) };
    const peer = new OpensslServer(pki.servers.p256, ['-rev', ...words]);
    const refusal = await connectFailure({ ...TLS13, port: await peer.port, psk: other });
    expect(refusal.code).toMatch(/^ERR_TLS_ALERT_(ILLEGAL_PARAMETER|DECRYPT_ERROR)$/);
    const ours = await serve({ ...TLS13, psk: other });
    const client = new OpensslClient(ours.port, words);
    expect((await ours.failure()).code).toBe('ERR_TLS_BAD_BINDER');
    await client.until('alert decrypt error');
  });

  it('under another identity leads to the certificate, or nowhere', async () => {
    const ours = await serve({ ...TLS13, psk: { ...psk, identity: 'device 8' } });
    const client = new OpensslClient(ours.port, words);
    expect((await ours.failure()).code).toBe('ERR_TLS_NO_SHARED_PSK');
    await client.end();
  });
});

/* psk_ke (RFC 8446 §4.2.9): OpenSSL, like us, takes it where no group is shared. */
describeWith(openssl, 'a PSK without a key exchange, OpenSSL', () => {
  const ALONE = { ...TLS13, pskOnlyKeyExchange: true };
  const far = [...words, '-allow_no_dhe_kex', '-groups', 'P-384'];

  it('serves our client and s_server, with a given key and a ticket of its session', async () => {
    const peer = new OpensslServer(pki.servers.p256, ['-rev', ...far]);
    const options = { ...ALONE, port: await peer.port, ecdhCurve: 'X25519' };
    const socket = await connectOurs({ ...options, psk });
    expect([socket.pskIdentity?.toString(), socket.getEphemeralKeyInfo()]).toEqual(['device 7', {}]);
    const session = new Promise<Buffer>((resolve) => socket.once('session', resolve));
    const incoming = new Incoming(socket);
    socket.write('abcdef\n');
    await incoming.until('fedcba\n');
    const kept = await session;
    // s_server serves one after the other.
    socket.end();
    expect(await closed(socket)).toBeNull();
    const resumed = await connectOurs({ ...options, psk, session: kept });
    expect([resumed.isSessionReused(), resumed.getEphemeralKeyInfo()]).toEqual([true, {}]);
    resumed.resume();
    resumed.end();
    expect(await closed(resumed)).toBeNull();
  });

  it('serves s_client and our server', async () => {
    const ours = await serve({ ...ALONE, psk, ecdhCurve: 'X25519' });
    const peer = new OpensslClient(ours.port, far);
    await peer.connected();
    peer.say('abcdef');
    await peer.until(/^abcdef$/m);
    expect(await peer.quit()).toBe(0);
    expect(peer.output).toContain('Reused, TLSv1.3');
    expect(peer.output).not.toMatch(KEY_EXCHANGE);
    expect((await ours.session()).pskIdentity?.toString()).toBe('device 7');
  });

  it('is refused by whichever side was not told to take it', async () => {
    const peer = new OpensslServer(pki.servers.p256, ['-rev', ...far]);
    const strict = { ...TLS13, port: await peer.port, ecdhCurve: 'X25519', psk };
    expect((await connectFailure(strict)).code).toBe('ERR_TLS_ALERT_HANDSHAKE_FAILURE');
    const ours = await serve({ ...TLS13, psk, ecdhCurve: 'X25519' });
    const client = new OpensslClient(ours.port, far);
    expect((await ours.failure()).code).toBe('ERR_TLS_NO_SHARED_GROUP');
    await client.until('alert handshake failure');
  });
});

const PSK_ONLY = priority('-KX-ALL', '+ECDHE-PSK', '+DHE-PSK');

describeWith([gnutlsClient, gnutlsServer], 'a pre-shared key, GnuTLS', () => {
  it('authenticates our client and gnutls-serv', async () => {
    const file = join(pki.folder, 'psk.txt');
    writeFileSync(file, `device7:${KEY}\n`);
    const port = await freePort();
    const args = ['-p', `${port}`, '--echo', '--pskpasswd', file, '--priority', PSK_ONLY];
    const program = new Program(gnutlsServer.path, args);
    await program.until(new RegExp(`IPv4 0\\.0\\.0\\.0 port ${port}\\.\\.\\.done`));
    const socket = await connectOurs({ ...TLS13, port, psk: { ...psk, identity: 'device7' } });
    expect(socket.pskIdentity?.toString()).toBe('device7');
    const incoming = new Incoming(socket);
    socket.write('abcdef\n');
    await incoming.until('abcdef\n');
    socket.end();
  });

  it('authenticates gnutls-cli and our server', async () => {
    const asked: string[] = [];
    const ours = await serve({
      ...TLS13,
      psk: (identity) => {
        asked.push(identity.toString());
        return identity.toString() === 'device7' ? Buffer.from(KEY, 'hex') : null;
      },
    });
    const args = ['--pskusername', 'device7', '--pskkey', KEY, '--priority', PSK_ONLY];
    const client = new GnutlsClient(ours.port, pki.ca, args);
    client.say('abcdef');
    await client.until(/^abcdef$/m);
    expect(await client.quit()).toBe(0);
    expect((await ours.session()).pskIdentity?.toString()).toBe('device7');
    expect(asked).toEqual(['device7']);
  });
});
