import { beforeAll, expect } from 'vitest';
import { describeWith } from '../setup/need.ts';
import { type SchemeNames, type SuiteNames, TLS12, withCaScheme, withCurveOf } from './support/algorithms.ts';
import {
  GnutlsClient,
  type GnutlsServer,
  gnutlsClient,
  gnutlsServer,
  gnutlsVersion,
  startGnutlsServer,
} from './support/gnutls.ts';
import { type Combination, matrixTests } from './support/matrix.ts';
import { closed, connectOurs, Incoming, type OurServer, serve } from './support/ours.ts';
import { KEY_KINDS, makePki, type Pki, type SigningKind } from './support/pki.ts';

let pki: Pki;
/** One for each group, which is then the one that it chooses. */
let ours: Map<string, OurServer>;
/** One for each kind of key: gnutls-serv with several shows P-256 wherever that is allowed. */
let theirs: Record<SigningKind, GnutlsServer>;

/** A priority string for TLS 1.2 alone. */
const priority = (...words: readonly string[]) => ['NORMAL', '-VERS-ALL', '+VERS-TLS1.2', ...words].join(':');

describeWith([gnutlsClient, gnutlsServer], 'GnuTLS, TLS 1.2', () => {
  beforeAll(async () => {
    pki = makePki();
    const everySuite = priority(
      ...new Set(TLS12.suites.flatMap(({ gnutls, mac }) => [`+${gnutls}`, `+${mac ?? 'AEAD'}`])),
    );
    const started = KEY_KINDS.map(async (kind) => {
      return [kind, await startGnutlsServer([pki.servers[kind]], ['--priority', everySuite])] as const;
    });
    theirs = Object.fromEntries(await Promise.all(started)) as typeof theirs;
    // gnutls-cli must always allow P-256 too, for the CA's signature; the first certificate that suits is shown.
    const kinds = KEY_KINDS.toSorted((a, b) => Number(a === 'p256') - Number(b === 'p256'));
    const servers = TLS12.groups.map(async ({ name }) => {
      const server = await serve({
        ciphers: TLS12.suites.map((suite) => suite.name).join(':'),
        ecdhCurve: name,
        cert: kinds.map((kind) => pki.servers[kind].cert),
        key: kinds.map((kind) => pki.servers[kind].key),
      });
      return [name, server] as const;
    });
    ours = new Map(await Promise.all(servers));
  });

  matrixTests('gnutls-tls12', gnutlsVersion, { client: ourClient, server: ourServer }, TLS12);
});

async function ourClient({ suite, group, scheme }: Combination): Promise<void> {
  const { port, program } = theirs[scheme.key];
  const socket = await connectOurs({
    port,
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
  await incoming.until('abcdef\n');
  // Each combination is met once, so these words are about this session.
  await program.until(describe12(group.gnutlsReports, scheme, suite));
  socket.end();
  expect(await closed(socket)).toBeNull();
}

async function ourServer({ suite, group, scheme }: Combination): Promise<void> {
  const keyExchange = suite.name.includes('-RSA-') ? 'ECDHE-RSA' : 'ECDHE-ECDSA';
  const groups = withCurveOf(scheme, group.name).split(':');
  const server = ours.get(group.name) as OurServer;
  const client = new GnutlsClient(server.port, pki.ca, [
    '--priority',
    priority(
      ...[
        '-KX-ALL',
        `+${keyExchange}`,
        '-CIPHER-ALL',
        `+${suite.gnutls}`,
        '-MAC-ALL',
        `+${suite.mac ?? 'AEAD'}`,
        '-GROUP-ALL',
      ],
      ...groups.map((name) => `+GROUP-${name.replace(/^P-(\d+)$/, 'SECP$1R1')}`),
      ...['-SIGN-ALL', `+SIGN-${withoutCurve(scheme)}`, '+SIGN-ECDSA-SHA256'],
    ),
  ]);
  client.say('abcdef');
  await client.until(/^abcdef$/m);
  expect(await client.quit()).toBe(0);
  expect(client.output).toContain(describe12(group.gnutlsReports, scheme, suite));
  expect(client.output).toContain('The certificate is trusted');
  expect(client.output).toContain('safe renegotiation');
  expect(client.output).toContain('extended master secret');
  await server.session();
}

/** In TLS 1.2 the scheme says nothing of the curve. */
function withoutCurve({ gnutls }: SchemeNames): string {
  return gnutls.replace(/SECP\d+R1-/, '');
}

function describe12(group: string, scheme: SchemeNames, { gnutls, mac }: SuiteNames): string {
  const cipher = mac === undefined ? gnutls : `${gnutls})-(${mac}`;
  return `Description: (TLS1.2-X.509)-(${group})-(${withoutCurve(scheme)})-(${cipher})`;
}
