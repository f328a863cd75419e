import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { beforeAll, expect, it } from 'vitest';
import { Connection, createSecureContext, type TLSSocket } from '../../src/index.ts';
import { clientConfig } from '../../src/node/engine-config.ts';
import { NamedGroup } from '../../src/wire/codepoints.ts';
import { describeWith } from '../setup/need.ts';
import { freePort } from '../setup/ports.ts';
import { SUITES } from './support/algorithms.ts';
import {
  ANY_STRENGTH,
  commonName,
  Digest,
  OpensslPipe,
  OpensslServer,
  openssl,
  sha256,
} from './support/openssl.ts';
import {
  bounded,
  type CodedError,
  closed,
  connectFailure,
  connectOurs,
  connectWhenListening,
  event,
  Incoming,
} from './support/ours.ts';
import { KEY_KINDS, makePki, type Pki } from './support/pki.ts';

/*
 * Our client against `openssl s_server`. What the two sides say is compared: our properties with what the program
 * prints. Without an option of its own for it, `s_server` prints what it receives and sends what it is told.
 */

/** Many records and many fills of every buffer on the way. */
const LARGE = 12 * 1024 * 1024;

let pki: Pki;

beforeAll(() => {
  pki = makePki();
});

function s_server(...args: string[]): OpensslServer {
  return new OpensslServer(pki.servers.p256, args);
}

async function connectTo(
  server: OpensslServer,
  options: Parameters<typeof connectOurs>[0] = {},
): Promise<TLSSocket> {
  return connectOurs({ port: await server.port, ca: pki.ca.cert, ...options });
}

/** A line each way. */
async function exchange(socket: TLSSocket, server: OpensslServer, word = 'ping'): Promise<Incoming> {
  const incoming = new Incoming(socket);
  socket.write(`${word} from us\n`);
  await server.until(`${word} from us`);
  server.say(`${word} from them`);
  await incoming.until(`${word} from them\n`);
  return incoming;
}

/** How often the server saw a ClientHello; it runs with `-msg`. */
function clientHellos(server: OpensslServer): number {
  return server.output.match(/<<< TLS.*, ClientHello/g)?.length ?? 0;
}

async function failureAfterHandshake(socket: TLSSocket): Promise<CodedError> {
  return bounded('an error', (resolve) => socket.once('error', resolve));
}

describeWith(openssl, 'our client, OpenSSL s_server: names and protocols', () => {
  it('agrees on ALPN, by the preference of the server', async () => {
    const server = s_server('-alpn', 'h2,http/1.1');
    const socket = await connectTo(server, { ALPNProtocols: ['http/1.1', 'h2'] });
    expect(socket.alpnProtocol).toBe('h2');
    await server.until('ALPN protocols selected: h2');
    socket.end();
  });

  it('goes on without ALPN when the server does not know it', async () => {
    const socket = await connectTo(s_server(), { ALPNProtocols: ['h2'] });
    expect(socket.alpnProtocol).toBe(false);
    socket.end();
  });

  it('reports no_application_protocol', async () => {
    const server = s_server('-alpn', 'h2');
    const error = await connectFailure({
      port: await server.port,
      ca: pki.ca.cert,
      ALPNProtocols: ['imap'],
    });
    expect(error.code).toBe('ERR_TLS_ALERT_NO_APPLICATION_PROTOCOL');
  });

  it('sends SNI, and sees the certificate of that name', async () => {
    const { certFile, keyFile } = pki.servers.ed25519;
    const server = s_server('-servername', 'a.test', '-cert2', certFile, '-key2', keyFile);
    const named = await connectTo(server, { servername: 'a.test' });
    await server.until('Hostname in TLS extension: "a.test"');
    expect(named.getX509Certificate()).toBeUndefined();
    expect(named.getPeerX509Certificate()?.publicKey.asymmetricKeyType).toBe('ed25519');
    named.end();
    const other = await connectTo(server, { servername: 'b.test' });
    expect(other.getPeerX509Certificate()?.publicKey.asymmetricKeyType).toBe('ec');
    other.end();
  });

  it('reports unrecognized_name', async () => {
    const { certFile, keyFile } = pki.servers.p256;
    const fatal = ['-servername', 'a.test', '-servername_fatal', '-cert2', certFile, '-key2', keyFile];
    const error = await connectFailure({
      port: await s_server(...fatal).port,
      ca: pki.ca.cert,
      servername: 'b.test',
    });
    expect(error.code).toBe('ERR_TLS_ALERT_UNRECOGNIZED_NAME');
  });
});

describeWith(openssl, 'our client, OpenSSL s_server: client certificates', () => {
  const required = () => ['-Verify', '2', '-verify_return_error', '-CAfile', pki.ca.certFile];

  for (const kind of KEY_KINDS) {
    it(`shows a certificate with a ${kind} key`, async () => {
      const server = s_server(...required());
      const { cert, key } = pki.clients[kind];
      const socket = await connectTo(server, { cert, key });
      await exchange(socket, server);
      expect(server.output).toMatch(commonName(`client ${kind}`));
      expect(server.output).toContain('depth=0');
      socket.end();
    });
  }

  it('shows none where one is asked for but not required', async () => {
    const server = s_server('-verify', '2', '-CAfile', pki.ca.certFile);
    await exchange(await connectTo(server), server);
    expect(server.output).not.toMatch(/^subject=/m);
  });

  it('reports certificate_required when it shows none', async () => {
    const socket = await connectTo(s_server(...required()));
    expect((await failureAfterHandshake(socket)).code).toBe('ERR_TLS_ALERT_CERTIFICATE_REQUIRED');
  });

  it.each(['strangeClient', 'forgedClient'] as const)(
    'reports unknown_ca for a certificate that is refused: %s',
    async (name) => {
      const { cert, key } = pki[name];
      const socket = await connectTo(s_server(...required()), { cert, key });
      expect((await failureAfterHandshake(socket)).code).toBe('ERR_TLS_ALERT_UNKNOWN_CA');
    },
  );
});

describeWith(openssl, 'our client, OpenSSL s_server: resumption', () => {
  /** A session of the first connection, once data has flowed so that the tickets are here. */
  async function firstSession(server: OpensslServer, options = {}): Promise<Buffer> {
    const socket = await connectTo(server, options);
    const session = event<Buffer>(socket, 'session');
    await exchange(socket, server, 'first');
    expect(socket.isSessionReused()).toBe(false);
    const bytes = await session;
    socket.end();
    await closed(socket);
    return bytes;
  }

  async function resume(server: OpensslServer, session: Buffer, options = {}): Promise<TLSSocket> {
    const socket = await connectTo(server, { session, ...options });
    await exchange(socket, server, 'again');
    return socket;
  }

  for (const { name } of SUITES) {
    it(`resumes with ${name}, and both sides say so`, async () => {
      const server = s_server('-ciphersuites', name, ...ANY_STRENGTH);
      const session = await firstSession(server, { ciphers: name });
      const socket = await resume(server, session, { ciphers: name });
      expect(socket.isSessionReused()).toBe(true);
      expect(socket.authorized).toBe(true);
      expect(socket.getPeerX509Certificate()?.checkHost('localhost')).toBe('localhost');
      expect(server.output).toContain('Reused session-id');
      socket.end();
    });
  }

  it.each([
    ['a server that keeps its sessions itself', ['-no_ticket']],
    ['a server that asks for another group each time', ['-groups', 'P-384']],
    ['a server whose tickets allow early data', ['-early_data', '-max_early_data', '1024']],
    ['a server that sends many tickets', ['-num_tickets', '9']],
  ])('resumes with %s', async (_, args) => {
    const server = s_server(...args);
    const session = await firstSession(server);
    const socket = await resume(server, session);
    expect(socket.isSessionReused()).toBe(true);
    expect(server.output).toContain('Reused session-id');
    socket.end();
  });

  it('keeps the client certificate of the first session', async () => {
    const server = s_server('-Verify', '2', '-verify_return_error', '-CAfile', pki.ca.certFile);
    const { cert, key } = pki.clients.p256;
    const session = await firstSession(server, { cert, key });
    const socket = await resume(server, session, { cert, key });
    expect(socket.isSessionReused()).toBe(true);
    expect(server.output).toContain('Reused session-id');
    socket.end();
  });

  it('makes a full handshake where the ticket is unknown', async () => {
    const session = await firstSession(s_server());
    const other = s_server();
    const socket = await resume(other, session);
    expect(socket.isSessionReused()).toBe(false);
    expect(other.output).not.toContain('Reused session-id');
    socket.end();
  });

  it('has no session to offer when the server sends no ticket', async () => {
    const server = s_server('-num_tickets', '0');
    const socket = await connectTo(server);
    await exchange(socket, server);
    expect(socket.getSession()).toBeUndefined();
    socket.end();
  });

  it('does not offer the session of another name', async () => {
    const server = s_server();
    const session = await firstSession(server);
    const socket = await resume(server, session, { servername: 'a.test' });
    expect(socket.isSessionReused()).toBe(false);
    socket.end();
  });
});

describeWith(openssl, 'our client, OpenSSL s_server: HelloRetryRequest', () => {
  it('answers a request for a group without a key share', async () => {
    const server = s_server('-msg', '-groups', 'P-384');
    const socket = await connectTo(server);
    await exchange(socket, server);
    expect(clientHellos(server)).toBe(2);
    expect(socket.getEphemeralKeyInfo()).toMatchObject({ name: 'secp384r1' });
    socket.end();
  });

  it.each([
    ['a cookie', [], NamedGroup.x25519],
    ['a cookie and another group', ['-groups', 'P-384'], NamedGroup.secp384r1],
  ])('answers a request for %s', async (_, args, group) => {
    const server = s_server('-stateless', ...args);
    const connection = await engineHandshake(await server.port);
    expect(connection.info?.group).toBe(group);
    // What it prints when it has sent a cookie and forgotten all about the connection.
    await server.until(/DELAY.*CIPHER is/s);
  });

  it('is not asked when its first share fits', async () => {
    const server = s_server('-msg');
    const socket = await connectTo(server);
    await exchange(socket, server);
    expect(clientHellos(server)).toBe(1);
    socket.end();
  });

  it('reports handshake_failure when no group is shared', async () => {
    const server = s_server('-groups', 'X448');
    const error = await connectFailure({ port: await server.port, ca: pki.ca.cert });
    expect(error.code).toBe('ERR_TLS_ALERT_HANDSHAKE_FAILURE');
  });
});

describeWith(openssl, 'our client, OpenSSL s_server: the session', () => {
  it('exports the same keying material', async () => {
    const server = s_server('-keymatexport', 'EXPORTER-trellis-test', '-keymatexportlen', '48');
    const socket = await connectTo(server);
    const ours = socket.exportKeyingMaterial(48, 'EXPORTER-trellis-test').toString('hex').toUpperCase();
    const [, theirs] = await server.until(/Keying material: ([0-9A-F]{96})/);
    expect(theirs).toBe(ours);
    socket.end();
  });

  it('updates keys, asked by either side and not', async () => {
    const fromUs = /<<< TLS 1\.3, Handshake.*KeyUpdate/g;
    const fromThem = />>> TLS 1\.3, Handshake.*KeyUpdate/g;
    const server = s_server('-msg');
    const socket = await connectTo(server);
    await exchange(socket, server, 'before');
    for (const [index, command] of ['k', 'K', 'K'].entries()) {
      server.say(command);
      // What it reads together with a command is lost.
      await server.untilTimes(fromThem, index + 1);
      await exchange(socket, server, `after ${index} ${command}`);
    }
    // K asks us for an update of ours.
    await server.untilTimes(fromUs, 2);
    for (const [index, requestPeer] of [false, true, true].entries()) {
      socket.updateKeys(requestPeer);
      await exchange(socket, server, `ours ${index} ${requestPeer}`);
    }
    await exchange(socket, server, 'last');
    expect(server.output.match(fromUs)).toHaveLength(5);
    // Three of its own accord and two that we asked for.
    expect(server.output.match(fromThem)).toHaveLength(5);
    socket.end();
  });

  it('works without middlebox compatibility mode', async () => {
    const server = s_server('-no_middlebox');
    const socket = await connectTo(server);
    await exchange(socket, server);
    socket.end();
  });

  it('ends with close_notify: theirs, then ours', async () => {
    const socket = await connectTo(s_server('-rev'));
    const incoming = new Incoming(socket);
    socket.write('abc\nCLOSE\n');
    await incoming.end();
    expect(incoming.text).toBe('cba\n');
    expect(await closed(socket)).toBeNull();
  });

  it('ends with close_notify: ours, then theirs', async () => {
    const server = s_server('-naccept', '1');
    const socket = await connectTo(server);
    await exchange(socket, server);
    socket.end('goodbye\n');
    await server.until('goodbye');
    // Without close_notify OpenSSL 3 reports "unexpected eof while reading".
    expect(await server.end()).toBe(0);
    expect(server.output).not.toMatch(/error/i);
    expect(await closed(socket)).toBeNull();
  });

  it('tells a connection that is cut from one that ends', async () => {
    const server = s_server();
    const socket = await connectTo(server);
    await exchange(socket, server);
    const failure = failureAfterHandshake(socket);
    await server.stop();
    expect((await failure).code).toMatch(/^(ERR_TLS_TRUNCATED|ECONNRESET)$/);
  });
});

describeWith(openssl, 'our client, OpenSSL s_server: large transfers', () => {
  it.each([
    ['whole records', [], {}],
    ['padded records', ['-record_padding', '512'], { padding: 1000 }],
    ['small records', ['-max_send_frag', '512', '-split_send_frag', '512'], { maxSendFragment: 512 }],
    ['records of other sizes', ['-split_send_frag', '4099'], { maxSendFragment: 5003, padding: 4096 }],
  ])('moves data both ways at once: %s', async (_, args, options) => {
    const data = randomBytes(LARGE);
    const port = await freePort();
    const { certFile, keyFile } = pki.servers.rsa2048;
    const server = new OpensslPipe(
      ['s_server', '-accept', `127.0.0.1:${port}`, '-cert', certFile, '-key', keyFile, ...args],
      LARGE,
    );
    const socket = await connectWhenListening({ port, ca: pki.ca.cert, ...options });
    const received = new Digest(LARGE);
    socket.on('data', (chunk: Buffer) => received.add(chunk));
    server.child.stdin.write(data);
    socket.write(data);
    expect(await received.complete).toBe(sha256(data));
    expect(await server.received.complete).toBe(sha256(data));
    socket.end();
    expect(await closed(socket)).toBeNull();
    await server.stop();
  });
});

/**
 * The engine alone, without middlebox compatibility mode: `s_server -stateless` does not understand the
 * change_cipher_spec record of that mode, not even from `s_client`.
 */
async function engineHandshake(port: number): Promise<Connection> {
  const context = createSecureContext({ ca: pki.ca.cert });
  const config = clientConfig(context, { servername: 'localhost' }, undefined, () => false);
  const connection = Connection.client({ ...config, compatibility: false }, Date.now());
  const transport = net.connect(port, '127.0.0.1');
  const flush = (): void => {
    for (const piece of connection.transmit()) transport.write(piece);
  };
  await bounded<void>('the handshake', (resolve, reject) => {
    const look = (): void => {
      flush();
      for (let e = connection.nextEvent(); e !== undefined; e = connection.nextEvent()) {
        if (e.type === 'connected') resolve();
        if (e.type === 'error') reject(e.error);
      }
    };
    transport.on('connect', flush);
    transport.on('error', reject);
    transport.on('data', (bytes: Buffer) => {
      connection.receive(bytes, Date.now());
      look();
    });
    transport.on('end', () => {
      connection.receiveEnd();
      look();
    });
  });
  connection.close();
  flush();
  transport.end();
  return connection;
}
