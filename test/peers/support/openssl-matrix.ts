import { beforeAll, expect } from 'vitest';
import { ALL_SUITES, type GroupNames, TLS13, withCaScheme } from './algorithms.ts';
import { type Combination, matrixTests } from './matrix.ts';
import {
  ANY_STRENGTH,
  agreedGroup,
  OpensslClient,
  OpensslServer,
  opensslVersion,
  signatureType,
} from './openssl.ts';
import { connectOurs, Incoming, type OurServer, serve } from './ours.ts';
import { KEY_KINDS, makePki, type Pki, type SigningKind } from './pki.ts';

/**
 * Every suite × group × signature scheme of TLS 1.3 with OpenSSL's programs.
 *
 * @param section of docs/interop.md
 * @param path of `openssl`
 */
export function opensslMatrix(section: string, path: string, groups: readonly GroupNames[]): void {
  let pki: Pki;
  let ours: OurServer;
  /** One for each kind of key: OpenSSL holds only one certificate with an elliptic curve. */
  let theirs: Record<SigningKind, OpensslServer>;
  const theirGroups = groups.map(({ openssl }) => openssl).join(':');

  beforeAll(async () => {
    pki = makePki();
    const args = ['-rev', '-tls1_3', '-ciphersuites', ALL_SUITES, '-groups', theirGroups, ...ANY_STRENGTH];
    theirs = Object.fromEntries(
      KEY_KINDS.map((kind) => [kind, new OpensslServer(pki.servers[kind], args, { path })]),
    ) as typeof theirs;
    ours = await serve({
      ciphers: ALL_SUITES,
      ecdhCurve: groups.map(({ name }) => name).join(':'),
      cert: KEY_KINDS.map((kind) => pki.servers[kind].cert),
      key: KEY_KINDS.map((kind) => pki.servers[kind].key),
    });
    await Promise.all(KEY_KINDS.map((kind) => theirs[kind].port));
  });

  matrixTests(
    section,
    () => opensslVersion(path),
    { client: ourClient, server: ourServer },
    { ...TLS13, groups },
  );

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
    const args = [
      ...['-ciphersuites', suite.name, ...ANY_STRENGTH],
      ...['-groups', group.openssl],
      ...['-sigalgs', scheme.name],
      ...['-CAfile', pki.ca.certFile, '-verify_hostname', 'localhost', '-verify_return_error'],
    ];
    const peer = new OpensslClient(ours.port, args, { path });
    await peer.connected();
    peer.say('abcdef');
    await peer.until(/^abcdef$/m);
    expect(await peer.quit()).toBe(0);
    expect(peer.output).toContain(`New, TLSv1.3, Cipher is ${suite.name}`);
    expect(peer.output).toMatch(agreedGroup(group.opensslReports));
    expect(peer.output).toMatch(signatureType(scheme));
    if (scheme.digest !== undefined) expect(peer.output).toContain(`Peer signing digest: ${scheme.digest}`);
    expect(peer.output).toContain('Verify return code: 0 (ok)');
    const socket = await ours.session();
    expect(socket.getProtocol()).toBe('TLSv1.3');
  }
}
