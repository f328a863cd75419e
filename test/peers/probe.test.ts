import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { encodePem } from '../../src/der/pem.ts';
import { Applet } from '../../src/module/applet/applet.ts';
import { muxServer } from '../../src/mux/index.ts';
import { InProcessTransport } from '../../src/node/module/in-process.ts';
import { SecurityModule } from '../../src/node/module/security-module.ts';
import { type ProbeOptions, probe } from '../../src/node/probe/probe.ts';
import type { ProbeReport, VersionReport } from '../../src/node/probe/report.ts';
import { signServer } from '../../src/sign/index.ts';
import { describeWith } from '../setup/need.ts';
import { freePort } from '../setup/ports.ts';
import { CA, cardWith, certificateFor, openState } from '../unit/module/kit.ts';
import { gnutlsServer, startGnutlsServer } from './support/gnutls.ts';
import { OpensslServer, openssl } from './support/openssl.ts';
import { listen, serve } from './support/ours.ts';
import { makePki, type Pki } from './support/pki.ts';

/* What `trellis probe` finds out about servers of others and our own. */

let pki: Pki;

beforeAll(() => {
  pki = makePki();
});

function look(port: number, options: Partial<ProbeOptions> = {}): Promise<ProbeReport> {
  return probe({
    host: '127.0.0.1',
    port,
    label: `127.0.0.1:${port}`,
    servername: 'localhost',
    ca: pki.ca.cert,
    ALPNProtocols: ['h2', 'http/1.1'],
    timeout: 30_000,
    timeLimit: 80_000,
    ...options,
  });
}

const versionOf = (report: ProbeReport, version: VersionReport['version']): VersionReport | undefined =>
  report.versions.find((one) => one.version === version && one.supported);
const names = (version: VersionReport | undefined) => version?.suites.map(({ name }) => name);

describeWith(openssl, 'OpenSSL s_server', () => {
  it('of TLS 1.3 and 1.2', async () => {
    const peer = new OpensslServer(pki.servers.rsa2048, [
      ...['-alpn', 'http/1.1', '-groups', 'X25519:P-384:ffdhe2048', '-serverpref'],
      ...['-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256'],
      ...['-cipher', 'ECDHE-RSA-AES256-GCM-SHA384:AES128-SHA'],
    ]);
    const report = await look(await peer.port);
    expect(report).toMatchObject({
      address: '127.0.0.1',
      servername: 'localhost',
      alpn: { offered: ['h2', 'http/1.1'], accepted: ['http/1.1'] },
      trust: { trusted: true, anchor: 'CN=Trellis peers CA' },
      clientCertificate: 'not-asked',
      mux: undefined,
      sign: [],
      postQuantum: [],
      failure: undefined,
      warnings: [],
      ocsp: { stapled: false, mustStaple: false },
    });
    expect(report.chain).toMatchObject([
      { subject: 'CN=localhost', issuer: 'CN=Trellis peers CA', key: 'RSA 2048', ca: false },
    ]);
    expect(report.chain[0]?.names).toContain('DNS:a.test');
    const new13 = versionOf(report, 'TLSv1.3');
    expect(names(new13)).toEqual(['TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_GCM_SHA256']);
    expect(new13).toMatchObject({
      ownOrder: true,
      groups: ['X25519', 'P-384', 'ffdhe2048'],
      schemes: ['rsa_pss_rsae_sha256', 'rsa_pss_rsae_sha384', 'rsa_pss_rsae_sha512'],
      resumption: { by: 'ticket', tickets: 2, lifetime: 7200, resumed: true, earlyData: 0 },
    });
    const old = versionOf(report, 'TLSv1.2');
    expect(old?.suites).toEqual([
      { name: 'ECDHE-RSA-AES256-GCM-SHA384', weakness: undefined },
      { name: 'AES128-SHA', weakness: 'no forward secrecy' },
    ]);
    expect(old).toMatchObject({
      groups: ['X25519', 'P-384'],
      extendedMasterSecret: true,
      secureRenegotiation: true,
      resumption: { by: 'ticket', resumed: true },
    });
    expect(old?.schemes).toEqual(expect.arrayContaining(['rsa_pss_rsae_sha256', 'rsa_pkcs1_sha512']));
    expect(old?.schemes).not.toContain('ecdsa_secp256r1_sha256');
    expect(versionOf(report, 'TLSv1.1')).toBeUndefined();
    expect(report.handshakes).toBeLessThan(120);
  });

  it('of old versions, with an expired certificate, tickets off', async () => {
    const peer = new OpensslServer(pki.expiredServer, [
      ...['-cipher', 'ALL:@SECLEVEL=0', '-no_tls1_3', '-no_ticket'],
    ]);
    const report = await look(await peer.port);
    expect(report.trust).toMatchObject({ trusted: false, code: 'CERT_HAS_EXPIRED' });
    expect(report.trust?.next).toMatch(/^Renew the certificate/);
    expect(report.chain[0]?.daysLeft).toBeLessThan(0);
    expect(report.versions.map(({ supported }) => supported)).toEqual([false, true, true, true]);
    const old = versionOf(report, 'TLSv1');
    expect(names(old)).toContain('ECDHE-ECDSA-AES128-SHA');
    expect(old?.suites.every(({ weakness }) => weakness !== undefined)).toBe(true);
    // With the curve of the certificate alone on offer, others can only be found beside it.
    expect(old?.groups).toEqual(expect.arrayContaining(['X25519', 'P-256', 'P-384', 'P-521']));
    expect(versionOf(report, 'TLSv1.2')?.resumption).toMatchObject({ by: 'session-id', resumed: true });
  });

  it('that demands a client certificate', async () => {
    const args = ['-Verify', '1', '-CAfile', pki.ca.certFile, '-verify_return_error'];
    const peer = new OpensslServer(pki.servers.p256, args);
    const port = await peer.port;
    const without = await look(port);
    expect(without.clientCertificate).toBe('required');
    expect(without.failure?.code).toBe('ERR_TLS_ALERT_CERTIFICATE_REQUIRED');
    expect(without.trust?.trusted).toBe(true);
    const { cert, key } = pki.clients.p256;
    const withOne = await look(port, { cert, key });
    expect(withOne).toMatchObject({ clientCertificate: 'asked', failure: undefined });
    expect(versionOf(withOne, 'TLSv1.3')?.resumption?.resumed).toBe(true);
  });

  it('that asks for a pre-shared key', async () => {
    const key = 'aa'.repeat(16);
    const peer = new OpensslServer(pki.servers.p256, ['-psk', key, '-psk_identity', 'device 7', '-tls1_3']);
    const psk = { identity: 'device 7', key: Buffer.from(key, 'hex') };
    const report = await look(await peer.port, { psk });
    expect(report).toMatchObject({ pskIdentity: 'device 7', trust: undefined, chain: [] });
  });

  it('whose certificate is for another name', async () => {
    const peer = new OpensslServer(pki.misnamedServer, []);
    const report = await look(await peer.port);
    expect(report.trust).toMatchObject({ trusted: false, code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
    expect(report.trust?.next).toContain('--servername');
  });

  it('that staples nothing, where that is demanded', async () => {
    const peer = new OpensslServer(pki.servers.p256, []);
    const report = await look(await peer.port, { ocsp: 'hard' });
    expect(report.trust).toMatchObject({ trusted: false, code: 'ERR_TLS_BAD_CERTIFICATE_STATUS' });
  });
});

describeWith(openssl, 'a probe whose key is in a module', () => {
  const ca = encodePem('CERTIFICATE', CA);

  /** Trusts the CA of its own certificate, and no other. */
  async function clientModule(offload: boolean): Promise<SecurityModule> {
    const { storage } = cardWith({ kind: 'client' });
    const transport = new InProcessTransport(new Applet({ crypto: nodeCrypto, state: openState(storage) }));
    const module = await SecurityModule.open(transport, { pin: '1234', offload });
    onTestFinished(() => module.close());
    return module;
  }

  /** @param clientCa whose certificates it demands; default: the CA of the module's */
  function startDemanding(version: string, clientCa?: string): OpensslServer {
    const folder = mkdtempSync(join(tmpdir(), 'trellis-probe-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
    const at = (name: string, pem: string | Buffer): string => {
      writeFileSync(join(folder, name), pem);
      return join(folder, name);
    };
    const certFile = at('server.pem', encodePem('CERTIFICATE', certificateFor(spki, 'server')));
    const keyFile = at('server.key', privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const demands = ['-Verify', '1', '-CAfile', clientCa ?? at('ca.pem', ca), '-verify_return_error'];
    const words = [version, '-alpn', 'http/1.1', ...demands];
    return new OpensslServer({ cert: '', key: '', spkiPin: '', certFile, keyFile }, words);
  }

  it.each(['-tls1_2', '-tls1_3'])(
    'shows its certificate to a server of %s that demands one',
    async (version) => {
      const isNew = version === '-tls1_3';
      const peer = startDemanding(version);
      const report = await look(await peer.port, { ca, module: await clientModule(true) });
      expect(report).toMatchObject({
        trust: { trusted: true },
        clientCertificate: 'required',
        module: {
          connected: true,
          version: isNew ? 'TLSv1.3' : 'TLSv1.2',
          alpn: 'http/1.1',
          shown: 'CN=client.test',
          // Sessions of TLS 1.2 stay where they are.
          offloaded: isNew,
          failure: undefined,
        },
      });
      // The handshakes of this process have shown none.
      expect(versionOf(report, isNew ? 'TLSv1.3' : 'TLSv1.2')).toMatchObject({ resumption: undefined });
      expect(report.alpn.accepted).toEqual(isNew ? ['http/1.1'] : []);
    },
  );

  it.each([
    ['-tls1_2', undefined],
    ['-tls1_3', 'CN=client.test'],
  ])('is refused by a server of %s that does not know its CA', async (version, shown) => {
    const peer = startDemanding(version, pki.ca.certFile);
    const report = await look(await peer.port, { ca, module: await clientModule(false) });
    expect(report).toMatchObject({
      trust: { trusted: true },
      module: { connected: false, shown, failure: { code: 'ERR_TLS_ALERT_UNKNOWN_CA' } },
    });
  });

  it('refuses a server whose CA the module does not know, whatever the host knows', async () => {
    const peer = new OpensslServer(pki.servers.p256, []);
    const report = await look(await peer.port, { module: await clientModule(false) });
    expect(report).toMatchObject({
      trust: { trusted: true },
      failure: undefined,
      module: { connected: false, shown: undefined, failure: { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' } },
    });
  });
});

describeWith(gnutlsServer, 'gnutls-serv', () => {
  it('is told from the others by what it speaks', async () => {
    const { port } = await startGnutlsServer(
      [pki.servers.p384],
      [
        '--priority',
        'NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-GROUP-ALL:+GROUP-SECP521R1:+GROUP-SECP384R1:+GROUP-X25519',
      ],
    );
    const report = await look(port);
    expect(report.trust?.trusted).toBe(true);
    expect(report.chain[0]?.key).toBe('ECDSA P-384');
    expect(new Set(versionOf(report, 'TLSv1.3')?.groups)).toEqual(new Set(['X25519', 'P-384', 'P-521']));
    expect(versionOf(report, 'TLSv1.3')?.schemes).toEqual(['ecdsa_secp384r1_sha384']);
    expect(names(versionOf(report, 'TLSv1.2'))).toContain('ECDHE-ECDSA-AES256-GCM-SHA384');
    expect(report.failure).toBeUndefined();
  });
});

describe('our server', () => {
  it('with multiplexing, signing and ML-KEM, that serves nobody else', async () => {
    const { cert, key } = pki.servers.ed25519;
    const { port } = await serve({
      cert,
      key,
      ecdhCurve: 'X25519MLKEM768:X25519',
      ALPNProtocols: ['h2', 'http/1.1'],
      maxEarlyData: 1000,
      subProtocols: [
        muxServer({ applications: [{ name: 'web', port: 8080 }], policy: 'require' }),
        signServer({ formats: ['pkcs7', 'xmldsig'], policy: 'allow' }),
      ],
    });
    const report = await look(port);
    expect(report).toMatchObject({
      mux: { channels: true, ports: true, applications: ['web:8080'] },
      sign: ['pkcs7', 'xmldsig'],
      postQuantum: ['X25519MLKEM768'],
      alpn: { accepted: ['h2', 'http/1.1'] },
      failure: undefined,
    });
    expect(versionOf(report, 'TLSv1.3')).toMatchObject({
      groups: ['X25519MLKEM768', 'X25519'],
      ownOrder: true,
      resumption: { tickets: 1, lifetime: 300, resumed: true, earlyData: 1000 },
    });
    expect(names(versionOf(report, 'TLSv1.2'))).toEqual([
      'ECDHE-ECDSA-AES128-GCM-SHA256',
      'ECDHE-ECDSA-AES256-GCM-SHA384',
      'ECDHE-ECDSA-CHACHA20-POLY1305',
    ]);
  });
});

describe('no TLS server', () => {
  it('where nobody listens', async () => {
    await expect(look(await freePort())).rejects.toMatchObject({ code: 'ERR_PROBE_UNREACHABLE' });
  });

  it('where something else answers', async () => {
    const port = await listen(createServer((socket) => void socket.end('220 mail.test ESMTP\r\n')));
    await expect(look(port)).rejects.toMatchObject({
      code: 'ERR_PROBE_NOT_TLS',
      message: expect.stringContaining('is that the right port?'),
    });
  });

  it('where nothing is said at all, within the time', async () => {
    const port = await listen(createServer((socket) => void socket.on('error', () => {})));
    await expect(look(port, { timeout: 200, timeLimit: 3_000 })).rejects.toMatchObject({
      code: 'ERR_PROBE_NOT_TLS',
    });
  });
});
