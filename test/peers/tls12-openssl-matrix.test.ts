import { beforeAll, expect } from 'vitest';
import { describeWith } from '../setup/need.ts';
import { TLS12, withCaScheme, withCurveOf } from './support/algorithms.ts';
import { type Combination, matrixTests } from './support/matrix.ts';
import {
  agreedGroup,
  OpensslClient,
  OpensslServer,
  openssl,
  opensslVersion,
  signatureType,
} from './support/openssl.ts';
import { connectOurs, Incoming, type OurServer, serve } from './support/ours.ts';
import { KEY_KINDS, makePki, type Pki, type SigningKind } from './support/pki.ts';

/** OpenSSL's default security level leaves out CCM_8, whose tags are short. */
const CIPHERS = `${TLS12.suites.map(({ name }) => name).join(':')}:@SECLEVEL=0`;

let pki: Pki;
/** One for each group, which is then the one that it chooses. */
let ours: Map<string, OurServer>;
/** One for each kind of key: OpenSSL holds only one certificate with an elliptic curve. */
let theirs: Record<SigningKind, OpensslServer>;

describeWith(openssl, 'OpenSSL, TLS 1.2', () => {
  beforeAll(async () => {
    pki = makePki();
    theirs = Object.fromEntries(
      KEY_KINDS.map((kind) => [
        kind,
        new OpensslServer(pki.servers[kind], ['-rev', '-tls1_2', '-cipher', CIPHERS]),
      ]),
    ) as typeof theirs;
    const servers = TLS12.groups.map(async ({ name }) => {
      const server = await serve({
        ciphers: CIPHERS,
        ecdhCurve: name,
        cert: KEY_KINDS.map((kind) => pki.servers[kind].cert),
        key: KEY_KINDS.map((kind) => pki.servers[kind].key),
      });
      return [name, server] as const;
    });
    ours = new Map(await Promise.all(servers));
    await Promise.all(KEY_KINDS.map((kind) => theirs[kind].port));
  });

  matrixTests('openssl-tls12', opensslVersion, { client: ourClient, server: ourServer }, TLS12);
});

/** `-rev` answers each line reversed. */
async function ourClient({ suite, group, scheme }: Combination): Promise<void> {
  const socket = await connectOurs({
    port: await theirs[scheme.key].port,
    ca: pki.ca.cert,
    ciphers: suite.name,
    ecdhCurve: withCurveOf(scheme, group.name),
    sigalgs: withCaScheme(scheme),
  });
  expect(socket.authorized).toBe(true);
  expect(socket.getProtocol()).toBe('TLSv1.2');
  expect(socket.getCipher()?.name).toBe(suite.name);
  expect(socket.getEphemeralKeyInfo()).toMatchObject(group.key);
  const incoming = new Incoming(socket);
  socket.write('abcdef\n');
  await incoming.until('fedcba\n');
  socket.end();
  await incoming.end();
}

async function ourServer({ suite, group, scheme }: Combination): Promise<void> {
  const server = ours.get(group.name) as OurServer;
  const peer = new OpensslClient(server.port, [
    ...['-tls1_2', '-cipher', `${suite.name}:@SECLEVEL=0`],
    ...['-groups', withCurveOf(scheme, group.openssl)],
    ...['-sigalgs', scheme.name],
    ...['-CAfile', pki.ca.certFile, '-verify_hostname', 'localhost', '-verify_return_error'],
  ]);
  await peer.connected();
  peer.say('abcdef');
  await peer.until(/^abcdef$/m);
  expect(await peer.quit()).toBe(0);
  // The version here is that in which the suite came up, which for CBC with SHA-1 was earlier.
  expect(peer.output).toMatch(new RegExp(`^New, TLSv1.[02], Cipher is ${suite.name}$`, 'm'));
  expect(peer.output).toMatch(/Protocol +: TLSv1\.2/);
  expect(peer.output).toMatch(agreedGroup(group.opensslReports));
  expect(peer.output).toMatch(signatureType(scheme));
  if (scheme.digest !== undefined) expect(peer.output).toContain(`Peer signing digest: ${scheme.digest}`);
  expect(peer.output).toContain('Secure Renegotiation IS supported');
  expect(peer.output).toContain('Extended master secret: yes');
  expect(peer.output).toContain('Verify return code: 0 (ok)');
  const socket = await server.session();
  expect(socket.getProtocol()).toBe('TLSv1.2');
}
