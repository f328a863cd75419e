import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeWith } from '../setup/need.ts';
import {
  GnutlsClient,
  type GnutlsServer,
  gnutlsClient,
  gnutlsServer,
  gnutlsVersion,
  startGnutlsServer,
} from './support/gnutls.ts';
import { renderRows } from './support/matrix.ts';
import { OpensslClient, OpensslServer, openssl, opensslVersion } from './support/openssl.ts';
import { closed, connectOurs, Incoming, type OurServer, serve } from './support/ours.ts';
import { type Credential, makePki, type Pki } from './support/pki.ts';

/*
 * What is spoken where `legacy` names it: every old version with every old suite that both sides have, our side in each role.
 * OpenSSL offers encrypt_then_mac, GnuTLS is told not to, so that the MAC goes inside there.
 */

const VERSIONS = [
  { name: 'TLSv1', openssl: '-tls1', gnutls: 'TLS1.0', before12: true },
  { name: 'TLSv1.1', openssl: '-tls1_1', gnutls: 'TLS1.1', before12: true },
  { name: 'TLSv1.2', openssl: '-tls1_2', gnutls: 'TLS1.2', before12: false },
] as const;

interface OldSuite {
  /** OpenSSL's and ours. */
  readonly name: string;
  readonly key: 'rsa2048' | 'p256';
  /** Of GnuTLS: key exchange, cipher, MAC. */
  readonly gnutls: readonly [string, string, string];
  readonly only12?: true;
  /** OpenSSL is built without it. */
  readonly notOpenssl?: true;
}

// biome-ignore format: one suite a line
const SUITES: readonly OldSuite[] = [
  { name: 'AES128-SHA', key: 'rsa2048', gnutls: ['RSA', 'AES-128-CBC', 'SHA1'] },
  { name: 'AES256-SHA', key: 'rsa2048', gnutls: ['RSA', 'AES-256-CBC', 'SHA1'] },
  { name: 'DES-CBC3-SHA', key: 'rsa2048', gnutls: ['RSA', '3DES-CBC', 'SHA1'], notOpenssl: true },
  { name: 'ECDHE-RSA-AES128-SHA', key: 'rsa2048', gnutls: ['ECDHE-RSA', 'AES-128-CBC', 'SHA1'] },
  { name: 'ECDHE-RSA-AES256-SHA', key: 'rsa2048', gnutls: ['ECDHE-RSA', 'AES-256-CBC', 'SHA1'] },
  { name: 'ECDHE-RSA-DES-CBC3-SHA', key: 'rsa2048', gnutls: ['ECDHE-RSA', '3DES-CBC', 'SHA1'], notOpenssl: true },
  { name: 'ECDHE-ECDSA-AES128-SHA', key: 'p256', gnutls: ['ECDHE-ECDSA', 'AES-128-CBC', 'SHA1'] },
  { name: 'ECDHE-ECDSA-AES256-SHA', key: 'p256', gnutls: ['ECDHE-ECDSA', 'AES-256-CBC', 'SHA1'] },
  { name: 'AES128-SHA256', key: 'rsa2048', gnutls: ['RSA', 'AES-128-CBC', 'SHA256'], only12: true },
  { name: 'AES256-SHA256', key: 'rsa2048', gnutls: ['RSA', 'AES-256-CBC', 'SHA256'], only12: true },
  { name: 'AES128-GCM-SHA256', key: 'rsa2048', gnutls: ['RSA', 'AES-128-GCM', 'AEAD'], only12: true },
  { name: 'AES256-GCM-SHA384', key: 'rsa2048', gnutls: ['RSA', 'AES-256-GCM', 'AEAD'], only12: true },
  { name: 'ECDHE-RSA-AES128-SHA256', key: 'rsa2048', gnutls: ['ECDHE-RSA', 'AES-128-CBC', 'SHA256'], only12: true },
  { name: 'ECDHE-RSA-AES256-SHA384', key: 'rsa2048', gnutls: ['ECDHE-RSA', 'AES-256-CBC', 'SHA384'], only12: true },
];

type Version = (typeof VERSIONS)[number];

const LEGACY = ['tls1.0', 'tls1.1', 'rsa', 'cbc'] as const;
const OPENSSL_CIPHERS = `${SUITES.map(({ name }) => name).join(':')}:@SECLEVEL=0`;

const oursWith = (pki: Pki) =>
  serve({
    legacy: LEGACY,
    requireExtendedMasterSecret: false,
    ciphers: SUITES.map(({ name }) => name).join(':'),
    ecdhCurve: 'P-256',
    cert: [pki.servers.rsa2048.cert, pki.servers.p256.cert],
    key: [pki.servers.rsa2048.key, pki.servers.p256.key],
  });

/** @param has whether the peer has a suite */
function matrix(
  title: () => string,
  has: (suite: OldSuite) => boolean,
  attempts: Readonly<Record<'client' | 'server', (suite: OldSuite, version: Version) => Promise<void>>>,
): void {
  const passed = new Set<string>();
  const suites = SUITES.filter(has);
  const fits = (suite: OldSuite, { before12 }: Version) => !(before12 && suite.only12);
  for (const role of ['client', 'server'] as const) {
    for (const version of VERSIONS) {
      for (const suite of suites.filter((candidate) => fits(candidate, version))) {
        it(`our ${role}: ${version.name}, ${suite.name}`, async () => {
          await attempts[role](suite, version);
          passed.add([role, version.name, suite.name].join());
        });
      }
    }
  }
  afterAll(() => {
    const cell = (suite: OldSuite, version: Version): string =>
      !fits(suite, version)
        ? ''
        : (['client', 'server'] as const)
            .map((role) => (passed.has([role, version.name, suite.name].join()) ? role[0] : '-'))
            .join(' ');
    const rows = suites.map((suite) => [suite.name, ...VERSIONS.map((version) => cell(suite, version))]);
    const table = renderRows([['suite', ...VERSIONS.map(({ name }) => name)], ...rows]);
    console.log(`\n${title()}, legacy; c = our client, s = our server\n\n${table}\n`);
  });
}

const ourSide = (pki: Pki, port: number, suite: OldSuite, version: Version) =>
  connectOurs({
    port,
    ca: pki.ca.cert,
    legacy: LEGACY,
    requireExtendedMasterSecret: false,
    ciphers: suite.name,
    ecdhCurve: 'P-256',
    minVersion: version.name,
    maxVersion: version.name,
  });

describeWith(openssl, 'OpenSSL, legacy', () => {
  let pki: Pki;
  let ours: OurServer;
  let theirs: Record<OldSuite['key'], OpensslServer>;

  beforeAll(async () => {
    pki = makePki();
    const start = (credential: Credential) =>
      new OpensslServer(credential, ['-rev', '-cipher', OPENSSL_CIPHERS]);
    theirs = { rsa2048: start(pki.servers.rsa2048), p256: start(pki.servers.p256) };
    ours = await oursWith(pki);
  });

  matrix(opensslVersion, ({ notOpenssl }) => notOpenssl !== true, {
    async client(suite, version) {
      const socket = await ourSide(pki, await theirs[suite.key].port, suite, version);
      expect(socket.authorized).toBe(true);
      expect(socket.getProtocol()).toBe(version.name);
      expect(socket.getCipher()?.name).toBe(suite.name);
      const incoming = new Incoming(socket);
      socket.write('abcdef\n');
      await incoming.until('fedcba\n');
      socket.end();
      await incoming.end();
    },
    async server(suite, version) {
      const peer = new OpensslClient(ours.port, [
        ...[version.openssl, '-cipher', `${suite.name}:@SECLEVEL=0`],
        ...['-CAfile', pki.ca.certFile, '-verify_hostname', 'localhost', '-verify_return_error'],
      ]);
      await peer.connected();
      peer.say('abcdef');
      await peer.until(/^abcdef$/m);
      expect(await peer.quit()).toBe(0);
      expect(peer.output).toContain(`Cipher is ${suite.name}`);
      expect(peer.output).toMatch(new RegExp(`Protocol +: ${version.name.replace('.', '\\.')}\\n`));
      expect(peer.output).toContain('Verify return code: 0 (ok)');
      expect((await ours.session()).getProtocol()).toBe(version.name);
    },
  });
});

describeWith([gnutlsClient, gnutlsServer], 'GnuTLS, legacy', () => {
  let pki: Pki;
  let ours: OurServer;
  let theirs: Record<OldSuite['key'], GnutlsServer>;
  const everything = ['+3DES-CBC', '+AES-128-CBC', '+AES-256-CBC', '+SHA1', '+SHA256', '+SHA384', '+RSA'];
  const priority = (words: readonly string[]) =>
    ['NORMAL', '-VERS-ALL', ...words, '%NO_ETM', '%VERIFY_ALLOW_SIGN_WITH_SHA1'].join(':');

  beforeAll(async () => {
    pki = makePki();
    const versions = VERSIONS.map(({ gnutls }) => `+VERS-${gnutls}`);
    const args = ['--priority', priority([...versions, ...everything, '+SIGN-ALL'])];
    theirs = {
      rsa2048: await startGnutlsServer([pki.servers.rsa2048], args),
      p256: await startGnutlsServer([pki.servers.p256], args),
    };
    ours = await oursWith(pki);
  });

  matrix(gnutlsVersion, () => true, {
    async client(suite, version) {
      const socket = await ourSide(pki, theirs[suite.key].port, suite, version);
      expect(socket.getProtocol()).toBe(version.name);
      expect(socket.getCipher()?.name).toBe(suite.name);
      const incoming = new Incoming(socket);
      socket.write('abcdef\n');
      await incoming.until('abcdef\n');
      socket.end();
      expect(await closed(socket)).toBeNull();
    },
    async server(suite, version) {
      const [keyExchange, cipher, mac] = suite.gnutls;
      const client = new GnutlsClient(ours.port, pki.ca, [
        '--priority',
        priority([
          ...[`+VERS-${version.gnutls}`, '-KX-ALL', `+${keyExchange}`, '-CIPHER-ALL', `+${cipher}`],
          ...['-MAC-ALL', `+${mac}`, '+SIGN-ALL'],
        ]),
      ]);
      client.say('abcdef');
      await client.until(/^abcdef$/m);
      expect(await client.quit()).toBe(0);
      expect(client.output).toContain(`Description: (${version.gnutls}-X.509)`);
      expect(client.output).toContain('The certificate is trusted');
      expect((await ours.session()).getCipher()?.name).toBe(suite.name);
    },
  });
});
