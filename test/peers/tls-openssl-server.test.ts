import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { createSecureContext, type ServerOptions, type TLSSocket } from '../../src/index.ts';
import { describeWith } from '../setup/need.ts';
import { SUITES } from './support/algorithms.ts';
import {
  ANY_STRENGTH,
  agreedGroup,
  commonName,
  Digest,
  OpensslClient,
  OpensslPipe,
  openssl,
  sha256,
} from './support/openssl.ts';
import { closed, Incoming, type OurServer, serve } from './support/ours.ts';
import { type Credential, KEY_KINDS, makePki, type Pki } from './support/pki.ts';

/*
 * Our server against `openssl s_client`. What the two sides say is compared: our properties with what the program
 * prints. `s_client` sends the lines that it is told, but `Q` ends it, `K` and `k` make it update its keys.
 */

/** Many records and many fills of every buffer on the way. */
const LARGE = 12 * 1024 * 1024;

let pki: Pki;

beforeAll(() => {
  pki = makePki();
});

const identity = ({ cert, key }: Credential) => ({ cert, key });

/** A server with a P-256 certificate that sends back what it gets. */
function ourServer(options: ServerOptions = {}): Promise<OurServer> {
  return serve({ ...identity(pki.servers.p256), ...options });
}

function s_client({ port }: OurServer, ...args: string[]): OpensslClient {
  const trust = ['-CAfile', pki.ca.certFile, '-verify_return_error'];
  return new OpensslClient(port, [...trust, '-servername', 'localhost', ...args]);
}

/** A line there and back. `s_client` does not print what it sends, only what comes back. */
async function exchange(client: OpensslClient, word = 'ping'): Promise<void> {
  client.say(`${word} from them`);
  await client.until(`${word} from them\n`);
}

describeWith(openssl, 'our server, OpenSSL s_client: names and protocols', () => {
  it('agrees on ALPN, by the preference of the server', async () => {
    const ours = await ourServer({ ALPNProtocols: ['h2', 'http/1.1'] });
    const client = s_client(ours, '-alpn', 'http/1.1,h2');
    await client.until('ALPN protocol: h2');
    expect((await ours.session()).alpnProtocol).toBe('h2');
    await client.quit();
  });

  it('goes on without ALPN when it has no protocols', async () => {
    const ours = await ourServer();
    const client = s_client(ours, '-alpn', 'h2');
    await client.until('No ALPN negotiated');
    expect((await ours.session()).alpnProtocol).toBe(false);
    await client.quit();
  });

  it('refuses with no_application_protocol', async () => {
    const ours = await ourServer({ ALPNProtocols: ['h2'] });
    const client = s_client(ours, '-alpn', 'imap');
    expect((await ours.failure()).code).toBe('ERR_TLS_NO_APPLICATION_PROTOCOL');
    await client.until('SSL alert number 120');
  });

  it('sees SNI, and shows the certificate of that name', async () => {
    const ours = await ourServer();
    ours.server.addContext('*.test', createSecureContext(identity(pki.servers.ed25519)));
    const named = s_client(ours, '-servername', 'a.test', '-verify_hostname', 'a.test');
    await named.until('Peer signature type: ed25519');
    expect((await ours.session()).servername).toBe('a.test');
    await named.quit();
    const unnamed = new OpensslClient(ours.port, ['-noservername']);
    await unnamed.until(/^Peer signature type: (?:ECDSA|ecdsa_secp256r1_sha256)$/m);
    expect((await ours.session()).servername).toBe(false);
    await unnamed.quit();
  });

  it('refuses with unrecognized_name', async () => {
    const ours = await ourServer({ SNICallback: (_, answer) => answer(new Error('not here')) });
    const client = s_client(ours);
    expect((await ours.failure()).code).toBe('ERR_TLS_UNRECOGNIZED_NAME');
    await client.until('SSL alert number 112');
  });
});

describeWith(openssl, 'our server, OpenSSL s_client: client certificates', () => {
  const required = () => ({ requestCert: true, ca: pki.ca.cert });
  const shown = ({ certFile, keyFile }: Credential) => ['-cert', certFile, '-key', keyFile];

  for (const kind of KEY_KINDS) {
    it(`accepts a certificate with a ${kind} key`, async () => {
      const ours = await ourServer(required());
      const client = s_client(ours, ...shown(pki.clients[kind]));
      await exchange(client);
      const [, names] = client.output.split('Acceptable client certificate CA names\n');
      expect(names?.split('\n')[0]).toMatch(commonName('Trellis peers CA'));
      const socket = await ours.session();
      expect(socket.authorized).toBe(true);
      expect(socket.getPeerCertificate().subject.CN).toBe(`client ${kind}`);
      await client.quit();
    });
  }

  it('goes on without one where none is required', async () => {
    const ours = await ourServer({ ...required(), rejectUnauthorized: false });
    const client = s_client(ours);
    await exchange(client);
    const socket = await ours.session();
    expect(socket.authorized).toBe(false);
    expect(socket.getPeerCertificate()).toEqual({});
    await client.quit();
  });

  it('goes on with a bad one where that is allowed, and says so', async () => {
    const ours = await ourServer({ ...required(), rejectUnauthorized: false });
    const client = s_client(ours, ...shown(pki.strangeClient));
    await exchange(client);
    const socket = await ours.session();
    expect(socket.authorized).toBe(false);
    expect(socket.authorizationError).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    expect(socket.getPeerCertificate().subject.CN).toBe('strange client');
    await client.quit();
  });

  it('refuses with certificate_required', async () => {
    const ours = await ourServer(required());
    const client = s_client(ours);
    expect((await ours.failure()).code).toBe('ERR_TLS_CERTIFICATE_REQUIRED');
    await client.until('SSL alert number 116');
  });

  it('refuses the certificate of another CA with unknown_ca', async () => {
    const ours = await ourServer(required());
    const client = s_client(ours, ...shown(pki.strangeClient));
    expect((await ours.failure()).code).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    await client.until('SSL alert number 48');
  });

  it('refuses the certificate of a CA with a name that it trusts and another key with bad_certificate', async () => {
    const ours = await ourServer(required());
    const client = s_client(ours, ...shown(pki.forgedClient));
    expect((await ours.failure()).code).toBe('CERT_SIGNATURE_FAILURE');
    await client.until('SSL alert number 42');
  });
});

describeWith(openssl, 'our server, OpenSSL s_client: resumption', () => {
  let files = 0;

  /** Runs a first connection that keeps its session. */
  async function firstSession(ours: OurServer, ...args: string[]): Promise<string> {
    const file = join(pki.folder, `session-${files++}`);
    const client = s_client(ours, '-sess_out', file, ...args);
    await exchange(client, 'first');
    await client.quit();
    expect((await ours.session()).isSessionReused()).toBe(false);
    expect(readFileSync(file, 'latin1')).toContain('BEGIN SSL SESSION PARAMETERS');
    return file;
  }

  async function again(
    ours: OurServer,
    file: string,
    ...args: string[]
  ): Promise<[OpensslClient, TLSSocket]> {
    const client = s_client(ours, '-sess_in', file, ...args);
    await exchange(client, 'again');
    await client.quit();
    return [client, await ours.session()];
  }

  for (const { name } of SUITES) {
    it(`resumes with ${name}, and both sides say so`, async () => {
      const ours = await ourServer({ ciphers: name });
      const suite = ['-ciphersuites', name, ...ANY_STRENGTH];
      const session = await firstSession(ours, ...suite);
      const [client, socket] = await again(ours, session, ...suite);
      expect(client.output).toContain(`Reused, TLSv1.3, Cipher is ${name}`);
      expect(socket.isSessionReused()).toBe(true);
      expect(socket.getCipher()?.name).toBe(name);
    });
  }

  it('resumes across a HelloRetryRequest', async () => {
    const ours = await ourServer({ ecdhCurve: 'P-384' });
    const session = await firstSession(ours, '-groups', 'X25519:P-384');
    const [client, socket] = await again(ours, session, '-groups', 'X25519:P-384');
    expect(client.output).toContain('Reused, TLSv1.3');
    expect(socket.isSessionReused()).toBe(true);
  });

  it('resumes with another suite of the same hash on offer first', async () => {
    const ours = await ourServer();
    const session = await firstSession(ours, '-ciphersuites', 'TLS_AES_128_GCM_SHA256');
    const both = 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256';
    const [client, socket] = await again(ours, session, '-ciphersuites', both);
    expect(client.output).toContain('Reused, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256');
    expect(socket.isSessionReused()).toBe(true);
  });

  it('keeps the client certificate of the first session', async () => {
    const ours = await ourServer({ requestCert: true, ca: pki.ca.cert });
    const { certFile, keyFile } = pki.clients.p256;
    const session = await firstSession(ours, '-cert', certFile, '-key', keyFile);
    const [client, socket] = await again(ours, session);
    expect(client.output).toContain('Reused, TLSv1.3');
    expect(socket.authorized).toBe(true);
    expect(socket.getPeerCertificate().subject.CN).toBe('client p256');
  });

  it('makes a full handshake once its ticket keys are new', async () => {
    const ours = await ourServer();
    const session = await firstSession(ours);
    ours.server.setTicketKeys(randomBytes(48));
    const [client, socket] = await again(ours, session);
    expect(client.output).toContain('New, TLSv1.3');
    expect(socket.isSessionReused()).toBe(false);
  });

  it('resumes at another server with the same ticket keys', async () => {
    const ticketKeys = randomBytes(48);
    const session = await firstSession(await ourServer({ ticketKeys }));
    const [client, socket] = await again(await ourServer({ ticketKeys }), session);
    expect(client.output).toContain('Reused, TLSv1.3');
    expect(socket.isSessionReused()).toBe(true);
  });
});

describeWith(openssl, 'our server, OpenSSL s_client: HelloRetryRequest', () => {
  const clientHellos = (client: OpensslClient) => client.output.match(/>>> TLS.*, ClientHello/g)?.length;

  it('asks for a group that the client has no key share for', async () => {
    const ours = await ourServer({ ecdhCurve: 'P-384:P-256' });
    const client = s_client(ours, '-msg', '-groups', 'X25519:P-256:P-384');
    await exchange(client);
    expect(clientHellos(client)).toBe(2);
    expect(client.output).toMatch(agreedGroup('ECDH, secp384r1, 384 bits'));
    await client.quit();
  });

  it('prefers a share that is there to a group that it likes better', async () => {
    const ours = await ourServer({ ecdhCurve: 'X25519:P-384' });
    const client = s_client(ours, '-msg', '-groups', 'P-384:X25519');
    await exchange(client);
    expect(clientHellos(client)).toBe(1);
    await client.quit();
  });

  it('refuses with handshake_failure when no group is shared', async () => {
    const ours = await ourServer();
    const client = s_client(ours, '-groups', 'X448');
    expect((await ours.failure()).code).toBe('ERR_TLS_NO_SHARED_GROUP');
    await client.until('SSL alert number 40');
  });

  it('refuses with handshake_failure when no suite is shared', async () => {
    const ours = await ourServer({ ciphers: 'TLS_AES_256_GCM_SHA384' });
    const client = s_client(ours, '-ciphersuites', 'TLS_AES_128_GCM_SHA256');
    expect((await ours.failure()).code).toBe('ERR_TLS_NO_SHARED_CIPHER');
    await client.until('SSL alert number 40');
  });

  it('refuses with handshake_failure when no certificate suits', async () => {
    const ours = await ourServer();
    const client = s_client(ours, '-sigalgs', 'ed25519');
    expect((await ours.failure()).code).toBe('ERR_TLS_NO_SHARED_SIGNATURE_SCHEME');
    await client.until('SSL alert number 40');
  });
});

describeWith(openssl, 'our server, OpenSSL s_client: the session', () => {
  it('exports the same keying material', async () => {
    const ours = await ourServer();
    const client = s_client(ours, '-keymatexport', 'EXPORTER-trellis-test', '-keymatexportlen', '48');
    const [, theirs] = await client.until(/Keying material: ([0-9A-F]{96})/);
    const socket = await ours.session();
    const exported = socket.exportKeyingMaterial(48, 'EXPORTER-trellis-test');
    expect(exported.toString('hex').toUpperCase()).toBe(theirs);
    await client.quit();
  });

  it('updates keys, asked by either side and not', async () => {
    const ours = await ourServer();
    const client = s_client(ours, '-msg');
    const fromUs = /<<< TLS 1\.3, Handshake.*KeyUpdate/g;
    const fromThem = />>> TLS 1\.3, Handshake.*KeyUpdate/g;
    await exchange(client, 'before');
    for (const [index, command] of ['k', 'K', 'K'].entries()) {
      client.say(command);
      // What it reads together with a command is lost.
      await client.untilTimes(/KEYUPDATE\n/, index + 1);
      await exchange(client, `after ${index} ${command}`);
    }
    await client.untilTimes(fromUs, 2);
    const socket = await ours.session();
    for (const [index, requestPeer] of [false, true, true].entries()) {
      socket.updateKeys(requestPeer);
      await exchange(client, `ours ${index} ${requestPeer}`);
    }
    await exchange(client, 'last');
    expect(client.output.match(fromUs)).toHaveLength(5);
    // Three of its own accord and two that we asked for.
    expect(client.output.match(fromThem)).toHaveLength(5);
    await client.quit();
    expect(await closed(socket)).toBeNull();
  });

  it('works without middlebox compatibility mode', async () => {
    const client = s_client(await ourServer(), '-no_middlebox');
    await exchange(client);
    await client.quit();
  });

  it('ends with close_notify: theirs, then ours', async () => {
    const ours = await ourServer();
    const client = s_client(ours);
    await exchange(client);
    expect(await client.quit()).toBe(0);
    expect(await closed(await ours.session())).toBeNull();
  });

  it('ends with close_notify: ours, then theirs', async () => {
    const ours = await serve(identity(pki.servers.p256), (socket) => {
      const incoming = new Incoming(socket);
      void incoming.until('goodbye').then(() => socket.end('so long\n'));
    });
    const client = s_client(ours);
    await client.connected();
    client.say('goodbye');
    // s_client ends by itself with 0 after close_notify, with 1 when it is missing.
    expect(await client.end()).toBe(0);
    expect(client.output).toMatch(/so long\n.*closed\n/s);
    expect(await closed(await ours.session())).toBeNull();
  });

  it('tells a connection that is cut from one that ends', async () => {
    const ours = await ourServer();
    const client = s_client(ours);
    await exchange(client);
    const socket = await ours.session();
    await client.stop();
    expect((await closed(socket))?.code).toMatch(/^(ERR_TLS_TRUNCATED|ECONNRESET)$/);
  });
});

describeWith(openssl, 'our server, OpenSSL s_client: large transfers', () => {
  it.each([
    ['whole records', [], {}],
    ['padded records', ['-record_padding', '512'], { padding: 1000 }],
    ['small records', ['-max_send_frag', '512', '-split_send_frag', '512'], { maxSendFragment: 512 }],
    ['records of other sizes', ['-split_send_frag', '4099'], { maxSendFragment: 5003, padding: 4096 }],
  ])('moves data both ways at once: %s', async (_, args, options) => {
    const data = randomBytes(LARGE);
    const received = new Digest(LARGE);
    const ours = await serve({ ...identity(pki.servers.rsa2048), ...options }, (socket) => {
      socket.on('data', (chunk: Buffer) => received.add(chunk));
      socket.write(data);
    });
    const client = new OpensslPipe(['s_client', '-connect', `127.0.0.1:${ours.port}`, ...args], LARGE);
    client.child.stdin.write(data);
    expect(await received.complete).toBe(sha256(data));
    expect(await client.received.complete).toBe(sha256(data));
    const socket = await ours.session();
    socket.end();
    expect(await client.end()).toBe(0);
    expect(await closed(socket)).toBeNull();
  });
});
