import { beforeAll, expect } from 'vitest';
import { describeWith } from '../setup/need.ts';
import { ALL_GROUPS, ALL_SUITES, withCaScheme } from './support/algorithms.ts';
import { type Combination, matrixTests } from './support/matrix.ts';
import {
  ANY_STRENGTH,
  OpensslClient,
  OpensslServer,
  openssl,
  opensslVersion,
  signatureType,
  temporaryKey,
} from './support/openssl.ts';
import { connectOurs, Incoming, type OurServer, serve } from './support/ours.ts';
import { KEY_KINDS, makePki, type Pki, type SigningKind } from './support/pki.ts';

let pki: Pki;
let ours: OurServer;
/** One for each kind of key: OpenSSL holds only one certificate with an elliptic curve. */
let theirs: Record<SigningKind, OpensslServer>;

describeWith(openssl, 'OpenSSL', () => {
  beforeAll(async () => {
    pki = makePki();
    theirs = Object.fromEntries(
      KEY_KINDS.map((kind) => [
        kind,
        new OpensslServer(pki.servers[kind], [
          '-rev',
          '-tls1_3',
          '-ciphersuites',
          ALL_SUITES,
          ...ANY_STRENGTH,
        ]),
      ]),
    ) as typeof theirs;
    ours = await serve({
      ciphers: ALL_SUITES,
      ecdhCurve: ALL_GROUPS,
      cert: KEY_KINDS.map((kind) => pki.servers[kind].cert),
      key: KEY_KINDS.map((kind) => pki.servers[kind].key),
    });
    await Promise.all(KEY_KINDS.map((kind) => theirs[kind].port));
  });

  matrixTests('openssl', opensslVersion, { client: ourClient, server: ourServer });
});

/** `-rev` answers each line reversed. */
async function ourClient({ suite, group, scheme }: Combination): Promise<void> {
  const socket = await connectOurs({
    port: await theirs[scheme.key].port,
    ca: pki.ca.cert,
    ciphers: suite.name,
    ecdhCurve: group.name,
    sigalgs: withCaScheme(scheme),
  });
  expect(socket.authorized).toBe(true);
  expect(socket.getCipher()?.name).toBe(suite.name);
  expect(socket.getEphemeralKeyInfo()).toMatchObject(group.key);
  const incoming = new Incoming(socket);
  socket.write('abcdef\n');
  await incoming.until('fedcba\n');
  socket.end();
  await incoming.end();
}

async function ourServer({ suite, group, scheme }: Combination): Promise<void> {
  const peer = new OpensslClient(ours.port, [
    ...['-ciphersuites', suite.name, ...ANY_STRENGTH],
    ...['-groups', group.openssl],
    ...['-sigalgs', scheme.name],
    ...['-CAfile', pki.ca.certFile, '-verify_hostname', 'localhost', '-verify_return_error'],
  ]);
  await peer.connected();
  peer.say('abcdef');
  await peer.until(/^abcdef$/m);
  expect(await peer.quit()).toBe(0);
  expect(peer.output).toContain(`New, TLSv1.3, Cipher is ${suite.name}`);
  expect(peer.output).toMatch(temporaryKey(group.opensslReports));
  expect(peer.output).toMatch(signatureType(scheme));
  if (scheme.digest !== undefined) expect(peer.output).toContain(`Peer signing digest: ${scheme.digest}`);
  expect(peer.output).toContain('Verify return code: 0 (ok)');
  const socket = await ours.session();
  expect(socket.getProtocol()).toBe('TLSv1.3');
}
