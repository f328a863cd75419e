import { createPrivateKey, sign as signWith, type X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createNetServer, connect as netConnect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import nodeTls, { type TLSSocket as NodeTLSSocket } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { decodePemBlocks } from '../../src/der/pem.ts';
import {
  type CertificateCallback,
  type CertificateWishes,
  type CheckServerIdentity,
  checkServerIdentity,
  connect,
  createSecureContext,
  createServer,
  type SigningKey,
  type TLSSocket,
} from '../../src/index.ts';
import { SignatureScheme } from '../../src/wire/codepoints.ts';
import { Certificate } from '../../src/x509/certificate.ts';
import {
  CA,
  CLIENT,
  type Credentials,
  closeAll,
  closed,
  deferred,
  dial,
  EXPIRED,
  nextError,
  node,
  OTHER_CA,
  OTHER_CLIENT,
  OUR_CLIENT,
  OUR_SERVER,
  PAIRINGS,
  type Pairing,
  pattern,
  readAll,
  SERVER,
  SERVER_B,
  SERVER_ED25519,
  SERVER_P384,
  SERVER_RSA,
  type Stack,
  serve,
  session,
  ticket,
  track,
  trellis,
  until,
} from './node-kit.ts';

afterEach(closeAll);

const OURS: Pairing = { name: 'trellis', client: trellis, server: trellis };

/** A handshake that fails: what each side says about it. */
async function failure(
  pairing: Pairing,
  serverOptions: object,
  clientOptions: object,
): Promise<{ client: string | undefined; server: string | undefined }> {
  const { listener, port } = await serve(pairing.server, serverOptions, (socket) => {
    // TLS 1.3 lets a client think that all is well until the server has looked at its certificate.
    socket.on('error', () => {});
  });
  const serverSide = new Promise<Error & { code?: string }>((resolve) => {
    listener.once('tlsClientError', resolve);
  });
  const client = dial(pairing.client, port, clientOptions);
  client.resume();
  const error = await nextError(client);
  return { client: error.code, server: (await serverSide).code };
}

describe.each(PAIRINGS)('what a socket tells, $name', (pairing) => {
  it('has the properties of node:tls', async () => {
    // From Node 24 on both would agree on X25519MLKEM768.
    const { client, server, port } = await session(pairing, {}, { ecdhCurve: 'X25519' });
    expect(client).toMatchObject({
      encrypted: true,
      authorized: true,
      authorizationError: null,
      alpnProtocol: false,
      servername: 'localhost',
      remotePort: port,
      remoteAddress: '127.0.0.1',
      remoteFamily: 'IPv4',
      localAddress: '127.0.0.1',
      connecting: false,
      pending: false,
      readyState: 'open',
    });
    expect(server).toMatchObject({
      encrypted: true,
      authorized: false,
      alpnProtocol: false,
      servername: 'localhost',
      localPort: port,
      remotePort: client.localPort,
    });
    for (const socket of [client, server]) {
      expect(socket.getProtocol()).toBe('TLSv1.3');
      expect(socket.getCipher().version).toBe('TLSv1.3');
      expect(socket.getCipher().name).toBe(socket.getCipher().standardName);
      expect(socket.isSessionReused()).toBe(false);
    }
    expect(client.getCipher()).toEqual(server.getCipher());
    expect(client.getEphemeralKeyInfo()).toEqual({ type: 'ECDH', name: 'X25519', size: 253 });
    expect(server.getEphemeralKeyInfo()).toBeNull();
    expect(client.address()).toEqual({ address: '127.0.0.1', family: 'IPv4', port: client.localPort });
    expect(client.setNoDelay().setKeepAlive(true).ref().unref().ref()).toBe(client);
  });

  it('shows the certificates', async () => {
    const { client, server } = await session(pairing, { requestCert: true, ca: CA }, CLIENT);
    expect(server.authorized).toBe(true);
    expect(server.getPeerCertificate().subject.CN).toBe('alice');
    expect(client.getPeerCertificate().subjectaltname).toBe('DNS:localhost, IP Address:127.0.0.1');
    const chain = client.getPeerCertificate(true);
    expect(chain.issuerCertificate.subject.CN).toBe('Test authority');
    expect(chain.issuerCertificate.issuerCertificate).toBe(chain.issuerCertificate);
    expect((client.getPeerX509Certificate() as X509Certificate).checkHost('localhost')).toBe('localhost');
    expect((server.getX509Certificate() as X509Certificate).subject).toBe('CN=localhost');
    expect(client.getCertificate()).toMatchObject({ subject: { CN: 'alice' } });
    expect(server.getCertificate()).toMatchObject({ subject: { CN: 'localhost' } });
  });

  it('shows {} for a client without certificate', async () => {
    const { client, server } = await session(pairing);
    expect(server.getPeerCertificate()).toEqual({});
    expect(server.getPeerX509Certificate()).toBeUndefined();
    expect(client.getX509Certificate()).toBeUndefined();
  });

  it('exports the same keying material on both sides', async () => {
    const { client, server } = await session(pairing);
    const context = Buffer.from('context');
    for (const socket of [client, server])
      expect(socket.exportKeyingMaterial(32, 'EXPORTER-x', context).length).toBe(32);
    expect(client.exportKeyingMaterial(48, 'EXPORTER-x', context)).toEqual(
      server.exportKeyingMaterial(48, 'EXPORTER-x', context),
    );
  });

  it('refuses to renegotiate', async () => {
    const { client } = await session(pairing);
    const error = await new Promise<Error | null>((resolve) => {
      client.on('error', resolve);
      expect(client.renegotiate({ rejectUnauthorized: false }, resolve)).not.toBe(true);
    });
    expect(error).toBeInstanceOf(Error);
  });
});

describe('the certificate object', () => {
  it('is what node:tls shows for the same certificate', async () => {
    const { port } = await serve(node, {}, () => {});
    const [ours, theirs] = [dial(trellis, port), dial(node, port)];
    await Promise.all([once(ours, 'secureConnect'), once(theirs, 'secureConnect')]);
    expect(ours.getPeerCertificate()).toEqual(theirs.getPeerCertificate());
    expect(ours.getPeerCertificate(true)).toEqual(theirs.getPeerCertificate(true));
  });
});

describe.each(PAIRINGS)('ALPN, $name', (pairing) => {
  it('selects by the preference of the server', async () => {
    const { client, server } = await session(
      pairing,
      { ALPNProtocols: ['h2', 'http/1.1'] },
      { ALPNProtocols: ['http/1.1', 'h2'] },
    );
    expect([client.alpnProtocol, server.alpnProtocol]).toEqual(['h2', 'h2']);
  });

  it('takes the wire form', async () => {
    const { client } = await session(
      pairing,
      { ALPNProtocols: Buffer.from('\x02h2') },
      { ALPNProtocols: Buffer.from('\x03foo\x02h2') },
    );
    expect(client.alpnProtocol).toBe('h2');
  });

  it('is false when one side does not use it', async () => {
    const { client, server } = await session(pairing, {}, { ALPNProtocols: ['h2'] });
    expect([client.alpnProtocol, server.alpnProtocol]).toEqual([false, false]);
  });

  it('asks the callback', async () => {
    const asked: unknown[] = [];
    const ALPNCallback = (offer: { servername: string; protocols: string[] }) => {
      asked.push(offer);
      return 'b';
    };
    const { server } = await session(pairing, { ALPNCallback }, { ALPNProtocols: ['a', 'b'] });
    expect(server.alpnProtocol).toBe('b');
    expect(asked).toEqual([{ servername: 'localhost', protocols: ['a', 'b'] }]);
  });

  it('fails without a shared protocol', async () => {
    const codes = await failure(pairing, { ALPNProtocols: ['a'] }, { ALPNProtocols: ['b'] });
    expect(codes).toEqual({
      client:
        pairing.client === trellis
          ? 'ERR_TLS_ALERT_NO_APPLICATION_PROTOCOL'
          : 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
      server:
        pairing.server === trellis ? 'ERR_TLS_NO_APPLICATION_PROTOCOL' : 'ERR_SSL_NO_APPLICATION_PROTOCOL',
    });
  });
});

describe.each(PAIRINGS)('server names, $name', (pairing) => {
  const commonName = (socket: NodeTLSSocket) => socket.getPeerCertificate().subjectaltname;

  it('selects the context that was added for the name', async () => {
    const seen: (string | false | null)[] = [];
    const { listener, port } = await serve(pairing.server, {}, (socket) => seen.push(servernameOf(socket)));
    listener.addContext('b.test', SERVER_B);
    listener.addContext('*.c.test', SERVER_B);
    for (const [servername, expected] of [
      ['b.test', 'DNS:b.test, DNS:*.c.test'],
      ['x.c.test', 'DNS:b.test, DNS:*.c.test'],
      ['localhost', 'DNS:localhost, IP Address:127.0.0.1'],
    ] as const) {
      const client = dial(pairing.client, port, { servername });
      await once(client, 'secureConnect');
      expect(commonName(client)).toBe(expected);
    }
    await until(() => seen.length === 3);
    expect(seen).toEqual(['b.test', 'x.c.test', 'localhost']);
  });

  it.each(['at once', 'later'])('asks SNICallback, which answers %s', async (when) => {
    const defer = when === 'later' ? setImmediate : (act: () => void) => act();
    const context =
      pairing.server === trellis ? createSecureContext(SERVER_B) : nodeTls.createSecureContext(SERVER_B);
    const SNICallback = (name: string, done: (error: Error | null, context?: never) => void) =>
      defer(() => done(null, (name === 'b.test' ? context : undefined) as never));
    const { port } = await serve(pairing.server, { SNICallback }, () => {});
    const [a, b] = [dial(pairing.client, port), dial(pairing.client, port, { servername: 'b.test' })];
    await Promise.all([once(a, 'secureConnect'), once(b, 'secureConnect')]);
    expect(commonName(a)).toBe('DNS:localhost, IP Address:127.0.0.1');
    expect(commonName(b)).toBe('DNS:b.test, DNS:*.c.test');
  });

  it('is false for a client that sends none', async () => {
    const { server } = await session(pairing, {}, { servername: '', host: '127.0.0.1' } as object);
    expect(servernameOf(server)).toBe(false);
  });
});

/** Missing in Node's types. */
function servernameOf(socket: NodeTLSSocket): string | false | null {
  return (socket as unknown as TLSSocket).servername;
}

describe('SNICallback of ours', () => {
  it('fails the handshake with its error as cause', async () => {
    const SNICallback = (_name: string, done: (error: Error | null) => void) =>
      done(new Error('no such host'));
    const codes = await failure(OURS, { SNICallback }, {});
    expect(codes).toEqual({ client: 'ERR_TLS_ALERT_UNRECOGNIZED_NAME', server: 'ERR_TLS_UNRECOGNIZED_NAME' });
  });

  it('fails the handshake with an error that comes later', async () => {
    const SNICallback = (_name: string, done: (error: Error | null) => void) =>
      setImmediate(() => done(new Error('no such host')));
    const codes = await failure(OURS, { SNICallback }, {});
    expect(codes).toEqual({ client: 'ERR_TLS_ALERT_UNRECOGNIZED_NAME', server: 'ERR_TLS_UNRECOGNIZED_NAME' });
  });

  it('ends with the time for the handshake when it never answers', async () => {
    const codes = await failure(OURS, { SNICallback: () => {}, handshakeTimeout: 50 }, {});
    expect(codes).toMatchObject({ server: 'ERR_TLS_HANDSHAKE_TIMEOUT' });
  });

  it('refuses a context that is not ours, at once or later', async () => {
    for (const defer of [(act: () => void) => act(), setImmediate]) {
      const SNICallback = (_name: string, done: (error: Error | null, context?: never) => void) =>
        defer(() => done(null, {} as never));
      const codes = await failure(OURS, { SNICallback }, {});
      expect(codes).toEqual({ client: 'ERR_TLS_ALERT_INTERNAL_ERROR', server: 'ERR_TLS_OPTION' });
    }
  });
});

describe.each(PAIRINGS)('client certificates, $name', (pairing) => {
  const ours = pairing.server === trellis;

  it('are required by requestCert', async () => {
    const codes = await failure(pairing, { requestCert: true, ca: CA }, {});
    expect(codes.server).toBe(
      ours ? 'ERR_TLS_CERTIFICATE_REQUIRED' : 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE',
    );
  });

  it('must come from the given CA', async () => {
    const options = { requestCert: true, ca: CA };
    if (ours) {
      const codes = await failure(pairing, options, OTHER_CLIENT);
      expect(codes.server).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
      return;
    }
    // node:tls accepts the handshake and then destroys the socket.
    const { port } = await serve(pairing.server, options, () => {});
    const client = dial(pairing.client, port, OTHER_CLIENT);
    client.resume();
    client.on('error', () => {});
    await closed(client);
  });

  it('are optional with rejectUnauthorized: false, and judged', async () => {
    const options = { requestCert: true, rejectUnauthorized: false, ca: CA };
    const judgements: unknown[] = [];
    for (const credentials of [{}, OTHER_CLIENT, CLIENT]) {
      const { server } = await session(pairing, options, credentials);
      judgements.push([server.authorized, server.authorizationError ?? null]);
    }
    expect(judgements).toEqual([
      [false, 'UNABLE_TO_GET_ISSUER_CERT'],
      [false, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
      [true, null],
    ]);
  });
});

describe.each(OUR_CLIENT)('certificateCallback, $name', (pairing) => {
  const asks = { requestCert: true, ca: CA };
  const subject = Certificate.parse(decodePemBlocks(CA, 'CERTIFICATE')[0] as Uint8Array).subject.raw;
  const isNamed = ({ authorities }: CertificateWishes) =>
    authorities.some((name) => Buffer.from(name).equals(subject));

  it.each(['at once', 'later'])('chooses by what the server names, %s', async (when) => {
    const choose = (wishes: CertificateWishes) =>
      createSecureContext(isNamed(wishes) ? CLIENT : OTHER_CLIENT);
    const certificateCallback =
      when === 'later' ? async (wishes: CertificateWishes) => choose(wishes) : choose;
    const { client, server } = await session(pairing, asks, { certificateCallback });
    expect([server.authorized, server.getPeerCertificate().subject.CN]).toEqual([true, 'alice']);
    expect(client.getCertificate()).toMatchObject({ subject: { CN: 'alice' } });
  });

  it('leaves it to cert and key, and shows nothing where a context has nothing', async () => {
    const lax = { ...asks, rejectUnauthorized: false };
    const certificateCallback: CertificateCallback = () => undefined;
    const { server: shown } = await session(pairing, lax, { ...CLIENT, certificateCallback });
    expect(shown.authorized).toBe(true);
    const none: CertificateCallback = () => createSecureContext();
    const { server: nobody } = await session(pairing, lax, { ...CLIENT, certificateCallback: none });
    expect(nobody.authorized).toBe(false);
  });

  it('is not asked by a server that asks for nothing', async () => {
    await session(pairing, {}, { certificateCallback: () => expect.fail('asked') });
  });

  it.each<[string, CertificateCallback, string]>([
    [
      'that throws',
      () => {
        throw new Error('no card');
      },
      'ERR_TLS_INTERNAL',
    ],
    ['that rejects', () => Promise.reject(new Error('no card')), 'ERR_TLS_INTERNAL'],
    ['that brings a context of others', () => ({}) as never, 'ERR_TLS_OPTION'],
  ])('%s ends the handshake', async (_what, certificateCallback, code) => {
    const { port } = await serve(pairing.server, asks, (socket) => socket.on('error', () => {}));
    expect((await nextError(dial(pairing.client, port, { certificateCallback }))).code).toBe(code);
  });
});

describe.each(PAIRINGS)('certificates that are refused, $name', (pairing) => {
  const cases: [string, Credentials, object, string][] = [
    ['expired', EXPIRED, {}, 'CERT_HAS_EXPIRED'],
    ['of another name', SERVER, { servername: 'other.test' }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['of an unknown CA', SERVER, { ca: OTHER_CA }, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  ];

  it.each(cases)('%s', async (_what, credentials, options, code) => {
    const { port } = await serve(pairing.server, credentials, (socket) => socket.on('error', () => {}));
    const client = dial(pairing.client, port, options);
    expect((await nextError(client)).code).toBe(code);
    expect(client.authorized).toBe(false);

    const lax = dial(pairing.client, port, { ...options, rejectUnauthorized: false });
    await once(lax, 'secureConnect');
    expect([lax.authorized, lax.authorizationError]).toEqual([false, code]);
    expect(lax.getPeerCertificate().subject.CN).toBe('localhost');
  });

  it('by checkServerIdentity, whose error is reported as it is', async () => {
    const error = Object.assign(new Error('not that one'), { code: 'E_MINE' });
    const asked: unknown[] = [];
    const check = (host: string, certificate: { subject: { CN: string } }) => {
      asked.push(host, certificate.subject.CN);
      return error;
    };
    const { port } = await serve(pairing.server, {}, (socket) => socket.on('error', () => {}));
    const client = dial(pairing.client, port, {
      servername: 'wanted.test',
      checkServerIdentity: check as never,
    });
    expect(await nextError(client)).toBe(error);
    expect(asked).toEqual(['wanted.test', 'localhost']);
  });

  it('not by a checkServerIdentity that is content', async () => {
    const { client } = await session(
      pairing,
      {},
      { servername: 'x.test', checkServerIdentity: () => undefined },
    );
    expect(client.authorized).toBe(true);
  });
});

describe('checkServerIdentity of ours', () => {
  it('judges the object of getPeerCertificate()', async () => {
    const { client } = await session(OURS);
    const certificate = client.getPeerCertificate() as Parameters<CheckServerIdentity>[1];
    expect(checkServerIdentity('localhost', certificate)).toBeUndefined();
    expect(checkServerIdentity('127.0.0.1', certificate)).toBeUndefined();
    expect(checkServerIdentity('other.test', certificate)).toMatchObject({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
  });
});

describe.each(PAIRINGS)('resumption, $name', (pairing) => {
  it('resumes with the session of the event, and once more with getSession()', async () => {
    const { client, server, port, listener } = await session(pairing);
    let saved = await ticket(client, pairing);
    client.end();
    server.end();
    for (let round = 0; round < 2; round++) {
      const accepted = once(listener, 'secureConnection');
      const next = dial(pairing.client, port, { session: saved });
      const [[other]] = await Promise.all([accepted, once(next, 'secureConnect')]);
      expect([next.isSessionReused(), other.isSessionReused()]).toEqual([true, true]);
      expect(next.authorized).toBe(true);
      // node:tls's clients do not keep the certificate in a session.
      if (pairing.client === trellis) expect(next.getPeerCertificate().subject.CN).toBe('localhost');
      saved = next.getSession() as Buffer;
      next.resume();
      next.end();
    }
  });

  it('keeps the client certificate', async () => {
    const options = { requestCert: true, ca: CA };
    const { client, port, listener } = await session(pairing, options, CLIENT);
    const saved = await ticket(client, pairing);
    const accepted = once(listener, 'secureConnection');
    dial(pairing.client, port, { ...CLIENT, session: saved });
    const [server] = await accepted;
    expect(server.isSessionReused()).toBe(true);
    expect(server.authorized).toBe(true);
    expect(server.getPeerCertificate().subject.CN).toBe('alice');
  });

  it('shares ticket keys between servers', async () => {
    const ticketKeys = Buffer.from(pattern(48));
    const { client } = await session(pairing, { ticketKeys });
    const saved = await ticket(client, pairing);
    const { listener, port } = await serve(pairing.server, { ticketKeys }, () => {});
    expect(listener.getTicketKeys()).toEqual(ticketKeys);
    const next = dial(pairing.client, port, { session: saved });
    await once(next, 'secureConnect');
    expect(next.isSessionReused()).toBe(true);

    listener.setTicketKeys(pattern(96).subarray(48));
    const stranger = dial(pairing.client, port, { session: saved });
    await once(stranger, 'secureConnect');
    expect(stranger.isSessionReused()).toBe(false);
  });

  it('makes a full handshake with a session that is none, of another name, or of another library', async () => {
    const { client, port } = await session(pairing);
    const saved = await ticket(client, pairing);
    const strange = [
      saved.subarray(1),
      Buffer.from('?'),
      ...(pairing.client === trellis ? [await nodeSession(port)] : []),
    ];
    for (const bytes of strange) {
      if (pairing.client !== trellis) break;
      const next = dial(pairing.client, port, { session: bytes });
      await once(next, 'secureConnect');
      expect(next.isSessionReused()).toBe(false);
    }
  });
});

async function nodeSession(port: number): Promise<Buffer> {
  return ticket(dial(node, port), OURS);
}

describe.each(PAIRINGS)('the key log, $name', (pairing) => {
  it('has the same lines on both sides', async () => {
    const lines: Record<string, string[]> = { client: [], server: [] };
    const { listener, port } = await serve(pairing.server, {}, (socket) => socket.end('x'));
    listener.on('keylog', (line: Buffer, socket: unknown) => {
      expect(socket).toHaveProperty('encrypted', true);
      lines.server?.push(line.toString());
    });
    const client = dial(pairing.client, port);
    client.on('keylog', (line: Buffer) => lines.client?.push(line.toString()));
    await once(client, 'secureConnect');
    await until(() => lines.client?.length === 5 && lines.server?.length === 5);
    const labels = (side: string) => lines[side]?.map((line) => line.split(' ')[0]).sort();
    expect(labels('client')).toEqual([
      'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
      'CLIENT_TRAFFIC_SECRET_0',
      'EXPORTER_SECRET',
      'SERVER_HANDSHAKE_TRAFFIC_SECRET',
      'SERVER_TRAFFIC_SECRET_0',
    ]);
    expect(lines.client?.sort()).toEqual(lines.server?.sort());
    expect(lines.client?.every((line) => line.endsWith('\n'))).toBe(true);
  });
});

describe.each(PAIRINGS)('algorithms, $name', (pairing) => {
  it.each([
    ['RSA', SERVER_RSA],
    ['Ed25519', SERVER_ED25519],
    ['P-384', SERVER_P384],
  ])('a server key of kind %s', async (_kind, credentials) => {
    const { client } = await session(pairing, credentials);
    expect(client.authorized).toBe(true);
  });

  it.each(['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'])(
    '%s',
    async (ciphers) => {
      const { client, server } = await session(pairing, {}, { ciphers });
      expect(client.getCipher().name).toBe(ciphers);
      server.pipe(server);
      client.end(pattern(100_000));
      expect((await readAll(client)).equals(pattern(100_000))).toBe(true);
    },
  );

  it('HelloRetryRequest, when the server wants another group', async () => {
    const { client } = await session(pairing, { ecdhCurve: 'secp384r1' }, { ecdhCurve: 'X25519:secp384r1' });
    expect(client.getEphemeralKeyInfo()).toEqual({ type: 'ECDH', name: 'secp384r1', size: 384 });
  });

  it('chooses among certificates of several kinds', async () => {
    const both = { cert: [SERVER.cert, SERVER_RSA.cert], key: [SERVER_RSA.key, SERVER.key] };
    const { client } = await session(pairing, both, {
      sigalgs: 'rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256',
    });
    expect(client.authorized).toBe(true);
    const rsa = dial(pairing.client, Number(client.remotePort), {
      sigalgs: 'rsa_pss_rsae_sha256:RSA+SHA256',
      rejectUnauthorized: false,
    });
    await once(rsa, 'secureConnect');
    expect(rsa.getPeerCertificate().bits).toBe(2048);
  });

  it('fails without a shared group or suite', async () => {
    const groups = await failure(pairing, { ecdhCurve: 'P-256' }, { ecdhCurve: 'X25519' });
    expect(groups.server).toBe(
      pairing.server === trellis ? 'ERR_TLS_NO_SHARED_GROUP' : 'ERR_SSL_NO_SUITABLE_KEY_SHARE',
    );
    const suites = await failure(
      pairing,
      { ciphers: 'TLS_AES_256_GCM_SHA384' },
      { ciphers: 'TLS_AES_128_GCM_SHA256' },
    );
    expect(suites.server).toBe(
      pairing.server === trellis ? 'ERR_TLS_NO_SHARED_CIPHER' : 'ERR_SSL_NO_SHARED_CIPHER',
    );
  });
});

describe.each(PAIRINGS)('faults of the transport, $name', (pairing) => {
  it('reports a refused connection', async () => {
    const server = createNetServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, 'close');
    expect((await nextError(dial(pairing.client, port))).code).toBe('ECONNREFUSED');
  });

  it('reports a connection that ends during the handshake, on the client', async () => {
    const server = createNetServer((socket) => socket.end());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const error = await nextError(dial(pairing.client, (server.address() as { port: number }).port));
    expect(error).toMatchObject({
      code: 'ECONNRESET',
      message: 'Client network socket disconnected before secure TLS connection was established',
    });
    server.close();
  });

  it('reports a connection that ends during the handshake, on the server', async () => {
    const { listener, port } = await serve(pairing.server, {}, () => {});
    const reported = once(listener, 'tlsClientError');
    netConnect(port, '127.0.0.1').end();
    const [error, socket] = await reported;
    expect(error.code).toBe('ECONNRESET');
    expect(socket).toHaveProperty('encrypted', true);
  });

  it('ends a handshake that takes too long', async () => {
    const { listener, port } = await serve(pairing.server, { handshakeTimeout: 40 }, () => {});
    const reported = once(listener, 'tlsClientError');
    const silent = track(netConnect(port, '127.0.0.1'));
    silent.resume();
    const [error] = await reported;
    expect(error.code).toBe('ERR_TLS_HANDSHAKE_TIMEOUT');
    // node:tls leaves it to the listener to close the connection.
    if (pairing.server === trellis) await closed(silent);
  });

  it('emits timeout when there is no traffic', async () => {
    const { client, server } = await session(pairing);
    server.setTimeout(30);
    client.setTimeout(40);
    await Promise.all([once(client, 'timeout'), once(server, 'timeout')]);
    expect(client.destroyed).toBe(false);
  });

  it('a peer that does not speak TLS is told so and goes no further', async () => {
    const { listener, port } = await serve(pairing.server, {}, () => {});
    const reported = once(listener, 'tlsClientError');
    const plain = track(netConnect(port, '127.0.0.1'));
    plain.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    plain.resume();
    const [error] = await reported;
    expect(error).toBeInstanceOf(Error);
    await closed(plain);
  });
});

describe.each(OUR_CLIENT)('a server that never answers, $name', ({ client }) => {
  it('is given up after handshakeTimeout', async () => {
    const server = createNetServer((socket) => void track(socket).resume());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const socket = dial(client, port, { handshakeTimeout: 40 });
    expect((await nextError(socket)).code).toBe('ERR_TLS_HANDSHAKE_TIMEOUT');
    server.close();
  });
});

/** A key that lives elsewhere: a card, a token, another process. */
function distantKey({ key }: Credentials, answer: (signature: Buffer) => Promise<Uint8Array>): SigningKey {
  const own = createPrivateKey(key);
  return {
    schemes: [SignatureScheme.ecdsa_secp256r1_sha256],
    sign: (_scheme, data) => answer(signWith('sha256', data, own)),
  };
}

describe.each(OUR_SERVER)('a signing key that answers later, $name', (pairing) => {
  const options = (answer: (signature: Buffer) => Promise<Uint8Array>) =>
    ({ cert: SERVER.cert, key: distantKey(SERVER, answer) }) as object;

  it('signs', async () => {
    const { client, server } = await session(
      pairing,
      options(async (signature) => sleep(20, signature)),
    );
    server.end('signed');
    expect((await readAll(client)).toString()).toBe('signed');
  });

  it('fails the handshake when it cannot', async () => {
    const refuse = options(() => Promise.reject(new Error('card removed')));
    const { listener, port } = await serve(pairing.server, refuse, () => {});
    const reported = once(listener, 'tlsClientError');
    const client = dial(pairing.client, port);
    expect((await nextError(client)).code).toMatch(/ALERT_INTERNAL_ERROR$/);
    const [error] = await reported;
    expect(error.code).toBe('ERR_TLS_INTERNAL');
    expect(error.cause.message).toBe('card removed');
  });

  it('may be answered when the socket is gone', async () => {
    const signature = deferred<Uint8Array>();
    const asked = deferred<void>();
    const { port } = await serve(
      pairing.server,
      options(() => {
        asked.resolve();
        return signature.promise;
      }),
      () => {},
    );
    const client = dial(pairing.client, port);
    await asked.promise;
    client.destroy();
    await closed(client);
    signature.resolve(new Uint8Array(70));
    await sleep(20);
  });
});

describe.each(OUR_CLIENT)('a client key that answers later, $name', (pairing) => {
  it('signs', async () => {
    const key = distantKey(CLIENT, async (signature) => sleep(20, signature));
    const { server } = await session(pairing, { requestCert: true, ca: CA }, {
      cert: CLIENT.cert,
      key,
    } as object);
    expect(server.authorized).toBe(true);
  });
});

describe.each([...OUR_CLIENT, ...OUR_SERVER])('key updates, $name', (pairing) => {
  it('changes keys of both directions amid traffic', async () => {
    const { client, server } = await session(pairing);
    const [ours, theirs] = pairing.client === trellis ? [client, server] : [server, client];
    theirs.pipe(theirs);
    const sent = pattern(1_000_000);
    const received = readAll(ours);
    for (let at = 0; at < sent.length; at += 100_000) {
      ours.write(sent.subarray(at, at + 100_000));
      (ours as unknown as TLSSocket).updateKeys(at % 200_000 === 0);
      await sleep(1);
    }
    ours.end();
    expect((await received).equals(sent)).toBe(true);
  });
});

describe('the forms of connect()', () => {
  it('takes port, host, options and listener as node:tls does', async () => {
    const { port } = await serve(trellis, {}, (socket) => socket.end('hi'));
    const options = { servername: 'localhost', ca: CA };
    for (const open of [
      (listener: () => void) => connect({ port, host: '127.0.0.1', ...options }, listener),
      (listener: () => void) => connect(port, '127.0.0.1', options, listener),
      (listener: () => void) => connect(port, { host: '127.0.0.1', ...options }, listener),
    ]) {
      let heard = false;
      const socket = track(
        open(() => {
          heard = true;
        }),
      );
      expect((await readAll(socket)).toString()).toBe('hi');
      expect(heard).toBe(true);
    }
  });

  it('takes a socket that is still connecting, and one that is connected', async () => {
    const { port } = await serve(trellis, {}, (socket) => socket.end('hi'));
    for (const wait of [false, true]) {
      const socket = track(netConnect(port, '127.0.0.1'));
      if (wait) await once(socket, 'connect');
      const client = track(connect({ socket, servername: 'localhost', ca: CA }));
      expect((await readAll(client)).toString()).toBe('hi');
    }
  });

  it('reports a socket that is dead already', async () => {
    const { port } = await serve(trellis, {}, () => {});
    const socket = netConnect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.destroy();
    await once(socket, 'close');
    const client = track(connect({ socket, servername: 'localhost', ca: CA }));
    expect((await nextError(client)).code).toBe('ECONNRESET');
  });

  it('reports an option that cannot work at once, by a throw', () => {
    expect(() => connect({ port: 1, maxVersion: 'TLSv1.1' })).toThrow(/maxVersion/);
    expect(() => connect({ port: 1, cert: SERVER.cert })).toThrow(/key/);
    expect(() => connect({ port: 1, handshakeTimeout: -1 })).toThrow(/handshakeTimeout/);
    expect(() => connect({ port: 1, ALPNProtocols: [''] })).toThrow(/ALPNProtocols/);
    expect(() => connect({ port: 1, pskCallback: () => null } as object)).toThrow(/pskCallback/);
    expect(() => createServer({ cert: SERVER.cert, key: SERVER_RSA.key })).toThrow(/does not belong/);
  });

  it('reports a servername that is none by an error event', async () => {
    const { port } = await serve(trellis, {}, () => {});
    const client = dial(trellis, port, { servername: 'no such/name' });
    expect((await nextError(client)).code).toBe('ERR_TLS_OPTION');
  });
});

describe('setSecureContext', () => {
  it('changes the certificate of connections to come', async () => {
    const { listener, port } = await serve(trellis, {}, () => {});
    const names: (string | undefined)[] = [];
    for (const servername of ['localhost', 'b.test']) {
      const client = dial(trellis, port, { servername });
      await once(client, 'secureConnect');
      names.push(client.getPeerCertificate().subjectaltname);
      listener.setSecureContext(SERVER_B);
    }
    expect(names).toEqual(['DNS:localhost, IP Address:127.0.0.1', 'DNS:b.test, DNS:*.c.test']);
  });
});

/** The peer must find the fault of the other, in both roles; `Stack` is named for the table. */
describe('alerts reach the peer', () => {
  it.each<[string, Stack]>([
    ['trellis', trellis],
    ['node:tls', node],
  ])('%s hears why its certificate was refused, while it is sending', async (_name, client) => {
    const { port } = await serve(trellis, { requestCert: true, ca: CA }, () => {});
    const socket = dial(client, port, OTHER_CLIENT);
    socket.on('secureConnect', () => socket.write(pattern(400_000)));
    socket.resume();
    expect((await nextError(socket)).code).toMatch(/UNKNOWN_CA$/);
  });
});
