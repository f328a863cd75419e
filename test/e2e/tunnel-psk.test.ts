import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodePemBlocks } from '../../src/der/pem.ts';
import { Certificate } from '../../src/x509/certificate.ts';
import { describeWith, need } from '../setup/need.ts';
import {
  dial,
  echoServer,
  listen,
  type Pki,
  pki,
  portOf,
  readAll,
  scratch,
  startClient,
  startServer,
  startTrellis,
  trellis,
  trellisHere,
} from './tunnel-kit.ts';

const KEY = '0f'.repeat(32);

async function echoes(port: number): Promise<string> {
  const socket = await dial(port);
  socket.end('over there');
  return (await readAll(socket)).toString();
}

describe('pre-shared keys', () => {
  it('are all that a server and its clients need', async () => {
    const target = await listen(echoServer());
    const file = join(scratch(), 'keys');
    writeFileSync(file, `other:${'01'.repeat(16)}\ndevice 7:${KEY}\n`);
    const server = startTrellis([
      ...['serve', '--json', '--log-level', 'debug', '--listen', '127.0.0.1:0', '--psk-file', file],
      ...['--app', `echo=127.0.0.1:${target}`],
    ]);
    const { listen: address } = await server.result<{ listen: string }>();
    const client = startTrellis([
      ...['connect', address, '--json', '--log-level', 'debug', '--psk', `device 7:${KEY}`],
      ...['--forward', '0=echo'],
    ]);
    const { forwards } = await client.result<{ forwards: { listen: string }[] }>();
    expect(await echoes(portOf(forwards[0]?.listen ?? ''))).toBe('over there');
    expect(await server.event('session.open')).toMatchObject({ psk: 'device 7' });
    expect(await client.event('session.open')).toMatchObject({ psk: 'device 7' });
    // Nobody without a key gets in, so there is nothing to warn of.
    expect(server.events('open-to-anyone')).toEqual([]);
    const probed = await trellis('probe', address, '--psk-file', file, '--json', '--timeout', '8');
    expect(probed.code, probed.stderr).toBe(0);
    expect(JSON.parse(probed.stdout)).toMatchObject({ event: 'probed', pskIdentity: 'other' });
  });

  it('serve without certificates in TLS 1.2 as well, with a suite from the command line', async () => {
    const target = await listen(echoServer());
    const server = startTrellis([
      ...['serve', '--json', '--log-level', 'debug', '--listen', '127.0.0.1:0', '--psk', `device 7:${KEY}`],
      ...['--max-version', 'TLSv1.2', '--ciphers', 'ECDHE-PSK-CHACHA20-POLY1305'],
      ...['--app', `echo=127.0.0.1:${target}`],
    ]);
    const { listen: address } = await server.result<{ listen: string }>();
    // The client speaks both versions; the server's choice stands.
    const client = startTrellis([
      ...['connect', address, '--json', '--log-level', 'debug', '--psk', `device 7:${KEY}`],
      ...['--ciphers', 'TLS_AES_128_GCM_SHA256:PSK-AES128-GCM-SHA256:ECDHE-PSK-CHACHA20-POLY1305'],
      ...['--forward', '0=echo'],
    ]);
    const { forwards } = await client.result<{ forwards: { listen: string }[] }>();
    expect(await echoes(portOf(forwards[0]?.listen ?? ''))).toBe('over there');
    const agreed = { protocol: 'TLSv1.2', cipher: expect.stringMatching(/ECDHE.PSK.*CHACHA20/) };
    expect(await server.event('session.open')).toMatchObject(agreed);
    expect(await client.event('session.open')).toMatchObject(agreed);
    const wrong = startTrellis([
      ...['connect', address, '--json', '--log-level', 'debug', '--psk', `device 7:${'10'.repeat(32)}`],
      ...['--ciphers', 'ECDHE-PSK-CHACHA20-POLY1305', '--max-version', '1.2', '--forward', '0=echo'],
      '--eager',
    ]);
    // The keys differ, so its Finished cannot be opened.
    expect(await wrong.event('session.retry')).toMatchObject({ code: 'ERR_TLS_ALERT_BAD_RECORD_MAC' });
  });

  it('that are wrong are refused, and never shown', async () => {
    const made = await trellisHere('connect', '127.0.0.1:1', '--forward', '0=web', '--psk', `a:${KEY}0`);
    expect(made.code).toBe(2);
    expect(made.stderr).toMatch(/^trellis: --psk: this key does not work: write IDENTITY:HEX/);
    expect(made.stderr).not.toContain(KEY);
  });
});

describe('ALPN', () => {
  it('is agreed on between serve and connect', async () => {
    const certificates = await pki();
    const target = await listen(echoServer());
    const { address } = await startServer(certificates, { echo: target }, ['--alpn', 'trellis,h2']);
    const { ports } = await startClient(certificates, address, ['echo'], ['--alpn', 'h2']);
    expect(await echoes(ports.echo ?? 0)).toBe('over there');
    const { client } = await startClient(certificates, address, ['echo'], ['--alpn', 'imap', '--eager']);
    expect(await client.event('session.retry')).toMatchObject({
      code: 'ERR_TLS_ALERT_NO_APPLICATION_PROTOCOL',
    });
  });
});

const openssl = need('openssl');

describeWith(openssl, 'revocation lists', () => {
  /** A CRL of the CA of `trellis init`, made by OpenSSL, that has these certificates in it. */
  function crl(certificates: Pki, revoked: readonly string[]): string {
    const folder = scratch();
    const database = revoked.map((path) => {
      const [der] = decodePemBlocks(readFileSync(path, 'latin1'), 'CERTIFICATE');
      const { serialHex } = Certificate.parse(der as Uint8Array);
      return `R\t350101000000Z\t250101000000Z\t${serialHex}\tunknown\t/CN=x\n`;
    });
    writeFileSync(join(folder, 'index'), database.join(''));
    writeFileSync(join(folder, 'cnf'), '[ca]\ndefault_ca=d\n[d]\ndatabase=index\ndefault_md=sha256\n');
    execFileSync(
      openssl.path,
      [
        ...['ca', '-config', 'cnf', '-gencrl', '-crldays', '1', '-out', 'list.crl'],
        ...['-cert', certificates.ca, '-keyfile', certificates.ca.replace('.pem', '.key')],
      ],
      { cwd: folder, stdio: 'ignore' },
    );
    return join(folder, 'list.crl');
  }

  it('keep out servers and clients that are on them', async () => {
    const certificates = await pki();
    const target = await listen(echoServer());
    const none = crl(certificates, []);
    const { address } = await startServer(certificates, { echo: target }, ['--crl', none]);
    const { ports } = await startClient(certificates, address, ['echo'], ['--crl', none]);
    expect(await echoes(ports.echo ?? 0)).toBe('over there');

    const noServer = crl(certificates, [certificates.server]);
    const { client } = await startClient(certificates, address, ['echo'], ['--crl', noServer, '--eager']);
    expect(await client.event('session.retry')).toMatchObject({ code: 'CERT_REVOKED' });

    const noClient = crl(certificates, [certificates.client]);
    const strict = await startServer(certificates, { echo: target }, ['--crl', noClient]);
    await startClient(certificates, strict.address, ['echo'], ['--eager']);
    expect(await strict.server.event('session.refused')).toMatchObject({ code: 'CERT_REVOKED' });

    const probed = await trellis(
      ...['probe', address, '--ca', certificates.ca, '--servername', 'localhost', '--crl', noServer],
    );
    expect(probed.code, probed.stderr).toBe(1);
    expect(probed.stdout).toMatch(
      /NOT TRUSTED as localhost: .*\(CERT_REVOKED\)\n {2}Its issuer has withdrawn it/,
    );
    expect(probed.stdout).toMatch(/ {2}multiplexing {2}channels and ports: echo:\d+\n/);
    expect(probed.stdout).toMatch(/ {2}client cert {3}required/);
  });

  it('and staples are demanded by --revocation hard', async () => {
    const certificates = await pki();
    const { address } = await startServer(certificates, { echo: await listen(echoServer()) });
    const { client } = await startClient(
      certificates,
      address,
      ['echo'],
      ['--revocation', 'hard', '--eager'],
    );
    expect(await client.event('session.retry')).toMatchObject({ code: 'ERR_TLS_BAD_CERTIFICATE_STATUS' });
  });

  it('are for someone', async () => {
    const certificates = await pki();
    const made = await trellisHere(
      ...['serve', '--listen', '127.0.0.1:0', '--cert', certificates.server, '--key', certificates.serverKey],
      ...['--app', 'a=127.0.0.1:1', '--crl', crl(certificates, [])],
    );
    expect(made).toMatchObject({ code: 2, stderr: expect.stringContaining('give --client-ca') });
  });
});
