import { once } from 'node:events';
import { beforeAll, expect, it } from 'vitest';
import { ask } from '../setup/datagrams.ts';
import { describeWith } from '../setup/need.ts';
import { freePort } from '../setup/ports.ts';
import { OurDtls } from './support/dtls.ts';
import { gnutlsClient, gnutlsServer, gnutlsVersion } from './support/gnutls.ts';
import { OpensslClient, openssl, opensslVersion } from './support/openssl.ts';
import { HOST, makePki, type Pki } from './support/pki.ts';
import { Program } from './support/program.ts';

/* DTLS 1.0, RSA key exchange, and CBC with the MAC inside, where `legacy` names them, with programs that no one here wrote. */

let pki: Pki;
const our = new OurDtls('DTLS, legacy', () => pki);

beforeAll(() => {
  pki = makePki();
});

const DTLS_10 = ['dtls1.0'] as const;
interface Old {
  readonly protocol: 'DTLSv1' | 'DTLSv1.2';
  /** OpenSSL's name, and ours. */
  readonly suite: string;
  readonly key: 'p256' | 'rsa2048';
  /** Of GnuTLS: key exchange, cipher, MAC. */
  readonly gnutls: readonly [string, string, string];
  readonly encryptThenMac: boolean;
  readonly legacy: readonly ('dtls1.0' | 'rsa' | 'cbc')[];
}
// biome-ignore format: one case a line
const CASES: readonly Old[] = [
  { protocol: 'DTLSv1', suite: 'ECDHE-ECDSA-AES128-SHA', key: 'p256', gnutls: ['ECDHE-ECDSA', 'AES-128-CBC', 'SHA1'], encryptThenMac: true, legacy: DTLS_10 },
  { protocol: 'DTLSv1', suite: 'ECDHE-RSA-AES256-SHA', key: 'rsa2048', gnutls: ['ECDHE-RSA', 'AES-256-CBC', 'SHA1'], encryptThenMac: false, legacy: [...DTLS_10, 'cbc'] },
  { protocol: 'DTLSv1', suite: 'AES128-SHA', key: 'rsa2048', gnutls: ['RSA', 'AES-128-CBC', 'SHA1'], encryptThenMac: false, legacy: [...DTLS_10, 'rsa', 'cbc'] },
  { protocol: 'DTLSv1.2', suite: 'ECDHE-ECDSA-AES128-SHA256', key: 'p256', gnutls: ['ECDHE-ECDSA', 'AES-128-CBC', 'SHA256'], encryptThenMac: false, legacy: ['cbc'] },
  { protocol: 'DTLSv1.2', suite: 'ECDHE-RSA-AES256-SHA384', key: 'rsa2048', gnutls: ['ECDHE-RSA', 'AES-256-CBC', 'SHA384'], encryptThenMac: false, legacy: ['cbc'] },
  { protocol: 'DTLSv1.2', suite: 'AES256-GCM-SHA384', key: 'rsa2048', gnutls: ['RSA', 'AES-256-GCM', 'AEAD'], encryptThenMac: true, legacy: ['rsa'] },
];
const NAMED = CASES.map((old) => {
  const { protocol, suite, encryptThenMac } = old;
  return [`${protocol} ${suite}${encryptThenMac ? '' : ', MAC inside'}`, old] as const;
});

/** Our side speaks DTLS 1.2 as well: which version it is, the other side settles. */
const ours = ({ suite, legacy }: Old) => ({ legacy, ciphers: suite });

describeWith(openssl, 'OpenSSL, legacy', () => {
  const words = ({ protocol, suite, encryptThenMac }: Old): string[] => [
    protocol === 'DTLSv1' ? '-dtls1' : '-dtls1_2',
    ...['-cipher', `${suite}:@SECLEVEL=0`],
    ...(encryptThenMac ? [] : ['-no_etm']),
  ];

  it.each(NAMED)('s_client, our server: %s', async (what, old) => {
    const { cert, key } = pki.servers[old.key];
    const { port, session } = await our.server({ ...ours(old), cert, key });
    const trust = ['-CAfile', pki.ca.certFile, '-servername', HOST];
    const peer = new OpensslClient(port, [...words(old), ...trust]);
    const socket = await session;
    expect(socket.getCipher()?.name).toBe(old.suite);
    peer.say('hello from s_client');
    await peer.until(/hello from s_client/);
    our.passed(opensslVersion(), 'server', what, socket, old.protocol);
    peer.say('Q');
    await once(socket, 'close');
  });

  it.each(NAMED)('s_server, our client: %s', async (what, old) => {
    const { certFile, keyFile } = pki.servers[old.key];
    const port = await freePort();
    const where = ['s_server', '-accept', `127.0.0.1:${port}`, '-cert', certFile, '-key', keyFile];
    const peer = new Program(openssl.path, [...where, ...words(old)]);
    await peer.until(/ACCEPT/);
    const socket = await our.dial(port, ours(old));
    expect(socket.authorized).toBe(true);
    expect(socket.getCipher()?.name).toBe(old.suite);
    socket.send('hello from ours\n');
    await peer.until(/hello from ours/);
    const answer = once(socket, 'message');
    peer.say('hello from theirs');
    expect(String((await answer)[0])).toContain('hello from theirs');
    our.passed(opensslVersion(), 'client', what, socket, old.protocol);
  });

  it('s_client of DTLS 1.0 is refused where nobody has named it', async () => {
    const { port } = await our.server({});
    const peer = new OpensslClient(port, ['-dtls1', '-cipher', 'ALL:@SECLEVEL=0']);
    await peer.until(/alert protocol version/);
  });
});

describeWith([gnutlsClient, gnutlsServer], 'GnuTLS, legacy', () => {
  const priority = ({ protocol, gnutls: [exchange, cipher, mac], encryptThenMac }: Old): string => {
    const version = protocol === 'DTLSv1' ? 'DTLS1.0' : 'DTLS1.2';
    const suite = `+${exchange}:+${cipher}:+${mac}:+GROUP-ALL:+SIGN-ALL:+COMP-NULL:+CTYPE-ALL`;
    return `NONE:+VERS-${version}:${suite}${encryptThenMac ? '' : ':%NO_ETM'}`;
  };

  it.each(NAMED)('gnutls-cli, our server: %s', async (what, old) => {
    const { cert, key } = pki.servers[old.key];
    const { port, session } = await our.server({ ...ours(old), cert, key });
    const peer = new Program(gnutlsClient.path, [
      ...['--udp', '--port', `${port}`, '--x509cafile', pki.ca.certFile, '--priority', priority(old)],
      ...['--sni-hostname', HOST, '--verify-hostname', HOST, '127.0.0.1'],
    ]);
    const socket = await session;
    await peer.until(/Simple Client Mode/);
    peer.say('hello from gnutls-cli');
    await peer.until(/hello from gnutls-cli/);
    our.passed(gnutlsVersion(), 'server', what, socket, old.protocol);
  });

  it.each(NAMED)('gnutls-serv, our client: %s', async (what, old) => {
    const port = await freePort();
    const { certFile, keyFile } = pki.servers[old.key];
    const peer = new Program(gnutlsServer.path, [
      ...['--udp', '-p', `${port}`, '--echo', '--x509certfile', certFile, '--x509keyfile', keyFile],
      ...['--priority', priority(old)],
    ]);
    await peer.until(/IPv4 0\.0\.0\.0 port \d+\.\.\.done/);
    const socket = await our.dial(port, ours(old));
    expect((await ask(socket, 'hello from ours')).toString()).toBe('hello from ours');
    expect(socket.getCipher()?.name).toBe(old.suite);
    our.passed(gnutlsVersion(), 'client', what, socket, old.protocol);
  });
});
