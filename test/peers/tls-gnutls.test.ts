import { beforeAll, expect, it } from 'vitest';
import type { ServerOptions } from '../../src/index.ts';
import { describeWith } from '../setup/need.ts';
import { ALL_GROUPS, ALL_SUITES, SUITES, withCaScheme } from './support/algorithms.ts';
import {
  GnutlsClient,
  type GnutlsServer,
  gnutlsClient,
  gnutlsServer,
  gnutlsVersion,
  priority,
  startGnutlsServer,
} from './support/gnutls.ts';
import { type Combination, matrixTests } from './support/matrix.ts';
import {
  closed,
  connectFailure,
  connectOurs,
  event,
  Incoming,
  type OurServer,
  serve,
} from './support/ours.ts';
import { type Credential, KEY_KINDS, makePki, type Pki, type SigningKind } from './support/pki.ts';

let pki: Pki;

beforeAll(() => {
  pki = makePki();
});

const identity = ({ cert, key }: Credential) => ({ cert, key });

describeWith([gnutlsClient, gnutlsServer], 'GnuTLS', () => {
  let ours: OurServer;
  /** One for each kind of key: gnutls-serv with several shows P-256 wherever that is allowed. */
  let theirs: Record<SigningKind, GnutlsServer>;

  beforeAll(async () => {
    const everySuite = priority(...SUITES.map(({ gnutls }) => `+${gnutls}`));
    const started = KEY_KINDS.map(async (kind) => {
      return [kind, await startGnutlsServer([pki.servers[kind]], ['--priority', everySuite])] as const;
    });
    theirs = Object.fromEntries(await Promise.all(started)) as typeof theirs;
    // gnutls-cli must always allow P-256 too, for the CA's signature; the first certificate that suits is shown.
    const kinds = KEY_KINDS.toSorted((a, b) => Number(a === 'p256') - Number(b === 'p256'));
    ours = await serve({
      ciphers: ALL_SUITES,
      ecdhCurve: ALL_GROUPS,
      cert: kinds.map((kind) => pki.servers[kind].cert),
      key: kinds.map((kind) => pki.servers[kind].key),
    });
  });

  async function ourClient({ suite, group, scheme }: Combination): Promise<void> {
    const { port, program } = theirs[scheme.key];
    const socket = await connectOurs({
      port,
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
    await incoming.until('abcdef\n');
    // Each combination is met once, so these words are about this session.
    await program.until(
      `Description: (TLS1.3-X.509)-(${group.gnutlsReports})-(${scheme.gnutls})-(${suite.gnutls})`,
    );
    socket.end();
    expect(await closed(socket)).toBeNull();
  }

  async function ourServer({ suite, group, scheme }: Combination): Promise<void> {
    const client = new GnutlsClient(ours.port, pki.ca, [
      '--priority',
      priority(
        ...['-CIPHER-ALL', `+${suite.gnutls}`],
        ...['-GROUP-ALL', `+${group.gnutls}`],
        ...['-SIGN-ALL', `+SIGN-${scheme.gnutls}`, '+SIGN-ECDSA-SECP256R1-SHA256'],
      ),
    ]);
    client.say('abcdef');
    await client.until(/^abcdef$/m);
    expect(await client.quit()).toBe(0);
    expect(client.output).toContain(
      `Description: (TLS1.3-X.509)-(${group.gnutlsReports})-(${scheme.gnutls})-(${suite.gnutls})`,
    );
    expect(client.output).toContain('The certificate is trusted');
    await ours.session();
  }

  matrixTests('gnutls', gnutlsVersion, { client: ourClient, server: ourServer });
});

describeWith(gnutlsServer, 'our client, gnutls-serv', () => {
  it('agrees on ALPN, and reports when there is no common protocol', async () => {
    const { program, port } = await startGnutlsServer([pki.servers.p256], ['--alpn', 'h2', '--alpn-fatal']);
    const socket = await connectOurs({ port, ca: pki.ca.cert, ALPNProtocols: ['http/1.1', 'h2'] });
    expect(socket.alpnProtocol).toBe('h2');
    await program.until('Application protocol: h2');
    socket.end();
    const error = await connectFailure({ port, ca: pki.ca.cert, ALPNProtocols: ['imap'] });
    expect(error.code).toBe('ERR_TLS_ALERT_NO_APPLICATION_PROTOCOL');
  });

  it('sends SNI', async () => {
    const { program, port } = await startGnutlsServer([pki.servers.p256]);
    const socket = await connectOurs({ port, ca: pki.ca.cert, servername: 'a.test' });
    await program.until('Given server name[1]: a.test');
    socket.end();
  });

  for (const kind of KEY_KINDS) {
    it(`shows a client certificate with a ${kind} key`, async () => {
      const args = ['--require-client-cert', '--verify-client-cert', '--x509cafile', pki.ca.certFile];
      const { program, port } = await startGnutlsServer([pki.servers.p256], args);
      const socket = await connectOurs({ port, ca: pki.ca.cert, ...identity(pki.clients[kind]) });
      socket.write('hello\n');
      await new Incoming(socket).until('hello\n');
      await program.until(
        new RegExp(`Subject: CN=client ${kind}\n.*Client Signature: (RSA-PSS|ECDSA|EdDSA)`, 's'),
      );
      socket.end();
    });
  }

  it('reports what it is refused for: no client certificate, and a wrong one', async () => {
    const args = ['--require-client-cert', '--verify-client-cert', '--x509cafile', pki.ca.certFile];
    const { port } = await startGnutlsServer([pki.servers.p256], args);
    const without = await connectOurs({ port, ca: pki.ca.cert });
    without.resume();
    expect((await closed(without))?.code).toBe('ERR_TLS_ALERT_CERTIFICATE_REQUIRED');
    const wrong = await connectOurs({ port, ca: pki.ca.cert, ...identity(pki.strangeClient) });
    wrong.resume();
    expect((await closed(wrong))?.code).toMatch(/^ERR_TLS_ALERT_/);
  });

  it('resumes, and both sides say so', async () => {
    const { program, port } = await startGnutlsServer([pki.servers.p256]);
    const first = await connectOurs({ port, ca: pki.ca.cert });
    const session = await event<Buffer>(first, 'session');
    first.end();
    const again = await connectOurs({ port, ca: pki.ca.cert, session });
    expect(again.isSessionReused()).toBe(true);
    await program.until('This is a resumed session');
    again.write('hello\n');
    await new Incoming(again).until('hello\n');
    again.end();
    expect(await closed(again)).toBeNull();
  });

  it('answers a HelloRetryRequest', async () => {
    const args = ['--priority', priority('-GROUP-ALL', '+GROUP-SECP384R1')];
    const { port } = await startGnutlsServer([pki.servers.p256], args);
    const socket = await connectOurs({ port, ca: pki.ca.cert });
    expect(socket.getEphemeralKeyInfo()).toMatchObject({ name: 'secp384r1' });
    socket.write('hello\n');
    await new Incoming(socket).until('hello\n');
    socket.end();
  });

  it('exports the same keying material', async () => {
    const args = ['--keymatexport', 'EXPORTER-trellis-test', '--keymatexportsize', '48'];
    const { program, port } = await startGnutlsServer([pki.servers.p256], args);
    const socket = await connectOurs({ port, ca: pki.ca.cert });
    const ours = socket.exportKeyingMaterial(48, 'EXPORTER-trellis-test').toString('hex');
    await program.until(`Key material: ${ours}`);
    socket.end();
  });

  it('updates keys', async () => {
    const { port } = await startGnutlsServer([pki.servers.p256]);
    const socket = await connectOurs({ port, ca: pki.ca.cert });
    const incoming = new Incoming(socket);
    for (const [index, requestPeer] of [false, true, true].entries()) {
      socket.updateKeys(requestPeer);
      socket.write(`hello ${index}\n`);
      await incoming.until(`hello ${index}\n`);
    }
    socket.end();
    expect(await closed(socket)).toBeNull();
  });
});

describeWith(gnutlsClient, 'our server, gnutls-cli', () => {
  const ourServer = (options: ServerOptions = {}) => serve({ ...identity(pki.servers.p256), ...options });
  const gnutls_cli = ({ port }: OurServer, ...args: string[]) => new GnutlsClient(port, pki.ca, args);

  it('agrees on ALPN', async () => {
    const ours = await ourServer({ ALPNProtocols: ['h2', 'http/1.1'] });
    const client = gnutls_cli(ours, '--alpn', 'http/1.1', '--alpn', 'h2');
    await client.until('Application protocol: h2');
    const socket = await ours.session();
    expect(socket.alpnProtocol).toBe('h2');
    expect(socket.servername).toBe('localhost');
    await client.quit();
  });

  for (const kind of KEY_KINDS) {
    it(`accepts a client certificate with a ${kind} key`, async () => {
      const ours = await ourServer({ requestCert: true, ca: pki.ca.cert });
      const { certFile, keyFile } = pki.clients[kind];
      const client = gnutls_cli(ours, '--x509certfile', certFile, '--x509keyfile', keyFile);
      const socket = await ours.session();
      expect(socket.authorized).toBe(true);
      expect(socket.getPeerCertificate().subject.CN).toBe(`client ${kind}`);
      client.say('hello');
      await client.until(/^hello$/m);
      await client.quit();
    });
  }

  it('refuses a client without certificate', async () => {
    const ours = await ourServer({ requestCert: true, ca: pki.ca.cert });
    const client = gnutls_cli(ours);
    expect((await ours.failure()).code).toBe('ERR_TLS_CERTIFICATE_REQUIRED');
    await client.until(/Received alert \[116\]|Certificate is required/);
  });

  it('resumes, and both sides say so', async () => {
    const ours = await ourServer();
    const client = gnutls_cli(ours, '--resume', '--waitresumption');
    await client.until('This is a resumed session');
    client.say('hello');
    await client.until(/^hello$/m);
    await client.quit();
    expect((await ours.session()).isSessionReused()).toBe(false);
    expect((await ours.session()).isSessionReused()).toBe(true);
  });

  it('asks for another group with HelloRetryRequest', async () => {
    const ours = await ourServer({ ecdhCurve: 'P-384' });
    const client = gnutls_cli(ours, '--single-key-share', '--debug', '5');
    client.say('hello');
    await client.until(/^hello$/m);
    await client.quit();
    expect(client.output).toContain('HELLO RETRY REQUEST');
    expect(client.output).toContain('(ECDHE-SECP384R1)');
  });

  it('exports the same keying material', async () => {
    const ours = await ourServer();
    const client = gnutls_cli(ours, '--keymatexport', 'EXPORTER-trellis-test', '--keymatexportsize', '48');
    const [, theirs] = await client.until(/Key material: ([0-9a-f]{96})/);
    const socket = await ours.session();
    expect(socket.exportKeyingMaterial(48, 'EXPORTER-trellis-test').toString('hex')).toBe(theirs);
    await client.quit();
  });

  it('updates keys when the client does', async () => {
    const ours = await ourServer();
    const client = gnutls_cli(ours, '--inline-commands');
    const socket = await ours.session();
    for (const [index, command] of ['^rekey^', '^rekey1^', '^rekey^'].entries()) {
      client.say(command);
      await client.untilTimes(/Rekey was completed/, index + 1);
      // One side at a time: GnuTLS takes a request for an update as the wrong answer to a request of its own.
      for (const word of [`a${index}`, `b${index}`]) {
        client.say(word);
        await client.until(new RegExp(`^${word}$`, 'm'));
        socket.updateKeys(true);
      }
      client.say(`c${index}`);
      await client.until(new RegExp(`^c${index}$`, 'm'));
    }
    expect(await client.quit()).toBe(0);
    expect(await closed(socket)).toBeNull();
  });

  it('sends small records to a client that announces a limit', async () => {
    const long = 'x'.repeat(20_000);
    const ours = await serve({ ...identity(pki.servers.p256), maxSendFragment: 1000 }, (socket) => {
      socket.end(`${long}\n`);
    });
    const client = gnutls_cli(ours, '--recordsize', '1024');
    expect(await client.end()).toBe(0);
    expect(client.output).toContain(`${long}\n`);
  });
});
