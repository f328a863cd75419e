import { randomBytes } from 'node:crypto';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import tls from 'node:tls';
import { beforeAll, describe, expect, it } from 'vitest';
import { ALL_GROUPS, ALL_SUITES, withCaScheme } from './support/algorithms.ts';
import { pattern, request, serveHttp } from './support/http.ts';
import { type Combination, matrixTests } from './support/matrix.ts';
import {
  bounded,
  type CodedError,
  closed,
  connectOurs,
  event,
  Incoming,
  listen,
  type OurServer,
  serve,
} from './support/ours.ts';
import { type Credential, KEY_KINDS, makePki, type Pki, type SigningKind } from './support/pki.ts';

const LARGE = 12 * 1024 * 1024;
const TLS13 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;
/** From OpenSSL 3.5 on (Node 24) a tag of eight bytes is not strong enough for what is the default. */
const anyStrength = (suites: string): string => `${suites}:DEFAULT:@SECLEVEL=0`;

let pki: Pki;

beforeAll(() => {
  pki = makePki();
});

const identity = ({ cert, key }: Credential) => ({ cert, key });

interface NodeServer {
  readonly server: tls.Server;
  readonly port: number;
  /** Its next session. */
  session(): Promise<tls.TLSSocket>;
}

/** A server of node:tls that sends back what it gets. */
async function nodeServer(options: tls.TlsOptions): Promise<NodeServer> {
  const arrived: tls.TLSSocket[] = [];
  const server = tls.createServer({ ...TLS13, ...options }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
    arrived.push(socket);
    server.emit('arrived');
  });
  const port = await listen(server);
  return {
    server,
    port,
    async session() {
      if (arrived.length === 0) await event(server, 'arrived');
      return arrived.shift() as tls.TLSSocket;
    },
  };
}

async function connectNode(port: number, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
  const socket = tls.connect({
    ...TLS13,
    port,
    host: '127.0.0.1',
    servername: 'localhost',
    ca: pki.ca.cert,
    ...options,
  });
  await bounded<void>('secureConnect of node:tls', (resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  socket.on('error', () => {});
  return socket;
}

async function echo(socket: NodeJS.ReadWriteStream, word = 'ping'): Promise<void> {
  const incoming = new Incoming(socket);
  socket.write(`${word}\n`);
  await incoming.until(`${word}\n`);
}

describe("Node's tls", () => {
  let ours: OurServer;
  let theirs: Record<SigningKind, NodeServer>;

  beforeAll(async () => {
    const started = KEY_KINDS.map(async (kind) => {
      return [
        kind,
        await nodeServer({ ...identity(pki.servers[kind]), ciphers: anyStrength(ALL_SUITES) }),
      ] as const;
    });
    theirs = Object.fromEntries(await Promise.all(started)) as typeof theirs;
    ours = await serve({
      ciphers: ALL_SUITES,
      ecdhCurve: ALL_GROUPS,
      cert: KEY_KINDS.map((kind) => pki.servers[kind].cert),
      key: KEY_KINDS.map((kind) => pki.servers[kind].key),
    });
  });

  async function ourClient({ suite, group, scheme }: Combination): Promise<void> {
    const server = theirs[scheme.key];
    const socket = await connectOurs({
      port: server.port,
      ca: pki.ca.cert,
      ciphers: suite.name,
      ecdhCurve: group.name,
      sigalgs: withCaScheme(scheme),
    });
    expect(socket.authorized).toBe(true);
    expect(socket.getEphemeralKeyInfo()).toMatchObject(group.key);
    await echo(socket);
    socket.end();
    expect(await closed(socket)).toBeNull();
    await server.session();
  }

  async function ourServer({ suite, group, scheme }: Combination): Promise<void> {
    const socket = await connectNode(ours.port, {
      ciphers: anyStrength(suite.name),
      ecdhCurve: group.name,
      sigalgs: scheme.name,
    });
    expect(socket.authorized).toBe(true);
    expect(socket.getProtocol()).toBe('TLSv1.3');
    expect(socket.getCipher().name).toBe(suite.name);
    expect(socket.getEphemeralKeyInfo()).toMatchObject(group.key);
    await echo(socket);
    socket.end();
    expect((await ours.session()).getCipher()?.name).toBe(suite.name);
  }

  const version = () => `Node ${process.versions.node} (OpenSSL ${process.versions.openssl})`;
  matrixTests('node', version, { client: ourClient, server: ourServer });
});

describe("our client, Node's tls server", () => {
  it('shows client certificates, and both sides name the same ones', async () => {
    const server = await nodeServer({
      ...identity(pki.servers.p256),
      ca: pki.ca.cert,
      requestCert: true,
      rejectUnauthorized: true,
    });
    for (const kind of KEY_KINDS) {
      const socket = await connectOurs({
        port: server.port,
        ca: pki.ca.cert,
        ...identity(pki.clients[kind]),
      });
      await echo(socket);
      const theirs = await server.session();
      expect(theirs.authorized).toBe(true);
      expect(theirs.getPeerCertificate().fingerprint256).toBe(socket.getCertificate()?.fingerprint256);
      expect(socket.getPeerCertificate().fingerprint256).toBe(
        (theirs.getCertificate() as tls.PeerCertificate).fingerprint256,
      );
      socket.end();
    }
  });

  it('reports what it is refused for', async () => {
    const { port } = await nodeServer({
      ...identity(pki.servers.p256),
      ca: pki.ca.cert,
      requestCert: true,
      rejectUnauthorized: true,
    });
    const socket = await connectOurs({ port, ca: pki.ca.cert });
    expect((await closed(socket))?.code).toBe('ERR_TLS_ALERT_CERTIFICATE_REQUIRED');
  });

  it('resumes, and both sides say so', async () => {
    const server = await nodeServer(identity(pki.servers.p256));
    const first = await connectOurs({ port: server.port, ca: pki.ca.cert });
    const session = await event<Buffer>(first, 'session');
    await echo(first);
    first.end();
    expect((await server.session()).isSessionReused()).toBe(false);
    const again = await connectOurs({ port: server.port, ca: pki.ca.cert, session });
    await echo(again);
    expect(again.isSessionReused()).toBe(true);
    expect((await server.session()).isSessionReused()).toBe(true);
    again.end();
  });

  it('agrees on ALPN and SNI', async () => {
    const server = await nodeServer({ ...identity(pki.servers.p256), ALPNProtocols: ['h2', 'http/1.1'] });
    const socket = await connectOurs({
      port: server.port,
      ca: pki.ca.cert,
      servername: 'a.test',
      ALPNProtocols: ['http/1.1'],
    });
    const theirs = await server.session();
    expect(socket.alpnProtocol).toBe('http/1.1');
    expect(theirs.alpnProtocol).toBe('http/1.1');
    expect((theirs as tls.TLSSocket & { servername: unknown }).servername).toBe('a.test');
    socket.end();
  });

  it('exports the same keying material', async () => {
    const server = await nodeServer(identity(pki.servers.p256));
    const socket = await connectOurs({ port: server.port, ca: pki.ca.cert });
    const theirs = await server.session();
    const context = Buffer.from('context');
    const exported = socket.exportKeyingMaterial(64, 'EXPORTER-trellis-test', context);
    expect(theirs.exportKeyingMaterial(64, 'EXPORTER-trellis-test', context)).toEqual(exported);
    socket.end();
  });

  it('moves a lot both ways, under changing keys, and half-closes', async () => {
    const data = randomBytes(LARGE);
    const server = await nodeServer(identity(pki.servers.p256));
    const socket = await connectOurs({ port: server.port, ca: pki.ca.cert });
    const received: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => {
      if (received.push(chunk) % 50 === 0 && !socket.writableEnded) socket.updateKeys(true);
    });
    socket.write(data.subarray(0, LARGE / 2), () => socket.end(data.subarray(LARGE / 2)));
    await event(socket, 'end');
    expect(Buffer.concat(received).equals(data)).toBe(true);
    expect(await closed(socket)).toBeNull();
  });

  it('speaks HTTP/1.1 with an https server', async () => {
    const server = https.createServer(identity(pki.servers.p256), (incoming, response) => {
      incoming.on('data', () => {});
      incoming.on('end', () => response.end(pattern(1_000_000)));
    });
    const port = await listen(server);
    const socket = await connectOurs({ port, ca: pki.ca.cert });
    const { body } = await request(
      () => http.request({ createConnection: () => socket, method: 'POST', headers: { host: 'localhost' } }),
      pattern(500_000),
    );
    expect(body.equals(pattern(1_000_000))).toBe(true);
  });

  it('speaks HTTP/2 with an http2 server', async () => {
    const server = http2.createSecureServer(identity(pki.servers.p256), (_, response) => {
      response.end(pattern(1_000_000));
    });
    const port = await listen(server);
    const socket = await connectOurs({ port, ca: pki.ca.cert, ALPNProtocols: ['h2'] });
    const client = http2.connect('https://localhost', { createConnection: () => socket });
    const bodies = [0, 1, 2, 3].map(
      () =>
        new Promise<Buffer>((resolve, reject) => {
          const chunks: Buffer[] = [];
          const stream = client.request({ ':path': '/' });
          stream.on('data', (chunk: Buffer) => chunks.push(chunk));
          stream.on('end', () => resolve(Buffer.concat(chunks)));
          stream.on('error', reject);
        }),
    );
    for (const body of await Promise.all(bodies)) expect(body.equals(pattern(1_000_000))).toBe(true);
    client.close();
  });
});

describe("our server, Node's tls client", () => {
  it('asks for client certificates, and both sides name the same ones', async () => {
    const ours = await serve({ ...identity(pki.servers.p256), ca: pki.ca.cert, requestCert: true });
    for (const kind of KEY_KINDS) {
      const theirs = await connectNode(ours.port, identity(pki.clients[kind]));
      await echo(theirs);
      const socket = await ours.session();
      expect(socket.authorized).toBe(true);
      expect(socket.getPeerCertificate().fingerprint256).toBe(
        (theirs.getCertificate() as tls.PeerCertificate).fingerprint256,
      );
      expect(theirs.getPeerCertificate().fingerprint256).toBe(socket.getCertificate()?.fingerprint256);
      theirs.end();
    }
  });

  it('refuses a client without certificate', async () => {
    const ours = await serve({ ...identity(pki.servers.p256), ca: pki.ca.cert, requestCert: true });
    const theirs = await connectNode(ours.port);
    const error = await event<CodedError>(theirs, 'error');
    expect((await ours.failure()).code).toBe('ERR_TLS_CERTIFICATE_REQUIRED');
    expect(error.code).toBe('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED');
  });

  it('resumes, and both sides say so', async () => {
    const ours = await serve(identity(pki.servers.p256));
    const first = tls.connect({ ...TLS13, port: ours.port, servername: 'localhost', ca: pki.ca.cert });
    const session = await event<Buffer>(first, 'session');
    first.end();
    expect((await ours.session()).isSessionReused()).toBe(false);
    const again = await connectNode(ours.port, { session });
    await echo(again);
    expect(again.isSessionReused()).toBe(true);
    expect((await ours.session()).isSessionReused()).toBe(true);
    again.end();
  });

  it('agrees on ALPN and SNI', async () => {
    const ours = await serve({ ...identity(pki.servers.p256), ALPNProtocols: ['h2', 'http/1.1'] });
    const theirs = await connectNode(ours.port, { servername: 'b.test', ALPNProtocols: ['http/1.1'] });
    const socket = await ours.session();
    expect([socket.alpnProtocol, socket.servername]).toEqual(['http/1.1', 'b.test']);
    expect(theirs.alpnProtocol).toBe('http/1.1');
    theirs.end();
  });

  it('exports the same keying material', async () => {
    const ours = await serve(identity(pki.servers.p256));
    const theirs = await connectNode(ours.port);
    const socket = await ours.session();
    const context = Buffer.from('context');
    const exported = socket.exportKeyingMaterial(64, 'EXPORTER-trellis-test', context);
    expect(theirs.exportKeyingMaterial(64, 'EXPORTER-trellis-test', context)).toEqual(exported);
    theirs.end();
  });

  it('moves a lot both ways, under changing keys, and half-closes', async () => {
    const data = randomBytes(LARGE);
    let chunks = 0;
    const ours = await serve(identity(pki.servers.p256), (socket) => {
      socket.on('data', () => {
        if (++chunks % 50 === 0) socket.updateKeys(true);
      });
      socket.pipe(socket);
    });
    const theirs = await connectNode(ours.port);
    const received: Buffer[] = [];
    theirs.on('data', (chunk: Buffer) => received.push(chunk));
    theirs.end(data);
    await event(theirs, 'end');
    expect(Buffer.concat(received).equals(data)).toBe(true);
    expect(await closed(await ours.session())).toBeNull();
  });

  it('is an https server to an https client, with keep-alive and resumption by its agent', async () => {
    const server = await serveHttp(identity(pki.servers.p256));
    const agent = new https.Agent({ keepAlive: true, maxCachedSessions: 10, ca: pki.ca.cert });
    const get = (path: string) =>
      request(() =>
        https.request(`${server.url}${path}`, { agent, host: '127.0.0.1', servername: 'localhost' }),
      );
    expect((await get('/bytes/1000000')).body.equals(pattern(1_000_000))).toBe(true);
    expect((await get('/')).body.toString()).toBe('Hello from Trellis\n');
    expect(server.sessions).toHaveLength(1);
    agent.destroy();
    expect((await get('/')).status).toBe(200);
    expect(server.sessions).toHaveLength(2);
    expect(server.sessions[1]?.isSessionReused()).toBe(true);
    agent.destroy();
  });

  it('takes uploads of an https client', async () => {
    const server = await serveHttp(identity(pki.servers.p256));
    const agent = new https.Agent({ ca: pki.ca.cert });
    const body = pattern(3_000_000);
    const { body: answer } = await request(
      () => https.request(server.url, { agent, method: 'POST', host: '127.0.0.1', servername: 'localhost' }),
      body,
    );
    expect(answer.toString()).toMatch(/^3000000 /);
  });
});
