import { once } from 'node:events';
import http, { type IncomingMessage, type RequestListener } from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import nodeTls from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { type ConnectionOptions, connect } from '../../src/index.ts';
import {
  CA,
  closeAll,
  closed,
  OUR_CLIENT,
  PAIRINGS,
  type Pairing,
  pattern,
  readAll,
  SERVER,
  serve,
  trellis,
} from './node-kit.ts';

const agents: http.Agent[] = [];
const servers: http.Server[] = [];

afterEach(async () => {
  for (const agent of agents.splice(0)) agent.destroy();
  for (const server of servers.splice(0)) server.closeAllConnections();
  await closeAll();
});

/** An HTTP server behind a TLS server: Node's `https`, or http fed with the sockets of ours. */
async function serveHttp(
  { server }: Pairing,
  onRequest: RequestListener,
): Promise<{ port: number; http: http.Server }> {
  if (server !== trellis) {
    const listener = https.createServer({ ...SERVER, minVersion: 'TLSv1.3' }, onRequest);
    servers.push(listener);
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    return { port: (listener.address() as AddressInfo).port, http: listener };
  }
  const plain = http.createServer(onRequest);
  servers.push(plain);
  const { port } = await serve(server, {}, (socket) => plain.emit('connection', socket));
  return { port, http: plain };
}

/** https.Agent, whose connections are ours on our side. */
function agentOf({ client }: Pairing, options: https.AgentOptions = {}): https.Agent {
  const agent = new https.Agent({ keepAlive: true, ca: CA, servername: 'localhost', ...options });
  if (client === trellis) {
    Object.assign(agent, { createConnection: (target: ConnectionOptions) => connect(target) });
  }
  agents.push(agent);
  return agent;
}

async function fetchFrom(
  port: number,
  agent: https.Agent | undefined,
  { body, ...options }: https.RequestOptions & { body?: Buffer } = {},
): Promise<{ response: IncomingMessage; text: Buffer }> {
  const request = https.request({ host: '127.0.0.1', port, ...(agent && { agent }), ...options });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return { response, text: await readAll(response as unknown as Duplex) };
}

describe.each(PAIRINGS)('http, $name', (pairing) => {
  it('answers one request', async () => {
    const { port } = await serveHttp(pairing, (request, response) =>
      response.end(`you asked for ${request.url}`),
    );
    const { response, text } = await fetchFrom(port, agentOf(pairing), { path: '/x' });
    expect(response.statusCode).toBe(200);
    expect(text.toString()).toBe('you asked for /x');
  });

  it('takes createConnection of one request', async () => {
    const { port } = await serveHttp(pairing, (_request, response) => response.end('ok'));
    const { text } = await fetchFrom(port, undefined, {
      ca: CA,
      servername: 'localhost',
      createConnection: (options: object) =>
        (pairing.client === trellis
          ? connect(options as ConnectionOptions)
          : nodeTls.connect(options as nodeTls.ConnectionOptions)) as never,
    });
    expect(text.toString()).toBe('ok');
  });

  it('keeps a connection for the next request', async () => {
    const ports = new Set<number | undefined>();
    const { port } = await serveHttp(pairing, (request, response) => {
      ports.add(request.socket.remotePort);
      response.end();
    });
    const agent = agentOf(pairing, { maxSockets: 1 });
    for (let i = 0; i < 5; i++) await fetchFrom(port, agent);
    expect(ports.size).toBe(1);
  });

  it('closes the connection on request', async () => {
    const { port } = await serveHttp(pairing, (_request, response) => {
      response.setHeader('connection', 'close');
      response.end('last');
    });
    const { response, text } = await fetchFrom(port, agentOf(pairing));
    expect(text.toString()).toBe('last');
    if (!response.socket.destroyed) await once(response.socket, 'close');
  });

  it('carries large bodies both ways, chunked and with a length', async () => {
    const body = pattern(3_000_000);
    const { port } = await serveHttp(pairing, async (request, response) => {
      const received = await readAll(request as unknown as Duplex);
      if (request.url === '/length') response.setHeader('content-length', received.length);
      response.end(received);
    });
    for (const path of ['/length', '/chunked']) {
      const { text } = await fetchFrom(port, agentOf(pairing), { method: 'POST', path, body });
      expect(text.equals(body)).toBe(true);
    }
  });

  it('serves 50 requests at once', async () => {
    const { port } = await serveHttp(pairing, (request, response) => response.end(request.url));
    const agent = agentOf(pairing, { maxSockets: 10 });
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => fetchFrom(port, agent, { path: `/${i}` })),
    );
    expect(answers.map(({ text }) => text.toString())).toEqual(answers.map((_, i) => `/${i}`));
  });

  it('survives idle connections that the server closes', async () => {
    // Without the hint how long that is, by which an agent would not keep the connection.
    const { port, http: server } = await serveHttp(pairing, (_request, response) =>
      response.writeHead(200, { connection: 'keep-alive' }).end('ok'),
    );
    // One that listens to nothing itself knows no connections to close: there they end by their time.
    server.keepAliveTimeout = 100;
    const agent = agentOf(pairing);
    await fetchFrom(port, agent);
    const [idle] = Object.values(agent.freeSockets).flat();
    expect(idle).toBeDefined();
    server.closeIdleConnections();
    if (idle !== undefined && !idle.destroyed) await closed(idle);
    expect((await fetchFrom(port, agent)).text.toString()).toBe('ok');
  });

  it('times out a request', async () => {
    const { port } = await serveHttp(pairing, () => {});
    const request = https.request({ host: '127.0.0.1', port, agent: agentOf(pairing), timeout: 40 });
    request.end();
    await once(request, 'timeout');
    request.destroy();
    await once(request, 'error');
  });

  it('hands over the connection on upgrade', async () => {
    const { port, http: server } = await serveHttp(pairing, () => {});
    server.on('upgrade', (_request, socket: Duplex) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
      socket.pipe(socket);
    });
    const request = https.request({
      host: '127.0.0.1',
      port,
      agent: agentOf(pairing),
      headers: { connection: 'Upgrade', upgrade: 'echo' },
    });
    request.end();
    const [, socket, head] = (await once(request, 'upgrade')) as [IncomingMessage, Duplex, Buffer];
    const echoed = readAll(socket);
    socket.end('raw bytes');
    expect(Buffer.concat([head, await echoed]).toString()).toBe('raw bytes');
  });
});

describe('authorized requests', () => {
  it.each(OUR_CLIENT)('fail when the certificate is for another name, $name', async (pairing) => {
    const { port } = await serveHttp(pairing, (_request, response) => response.end());
    const request = https.request({
      host: '127.0.0.1',
      port,
      agent: agentOf(pairing, { servername: 'other.test' }),
    });
    request.end();
    const [error] = await once(request, 'error');
    expect(error.code).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
  });
});

describe.each(PAIRINGS)('http2, $name', (pairing) => {
  it('runs many streams over one session', async () => {
    const handler = (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => {
      response.end(request.url.repeat(1000));
    };
    const plain = http2.createServer(handler);
    const { port } = await serve(pairing.server, { ALPNProtocols: ['h2'] }, (socket) =>
      plain.emit('connection', socket),
    );
    const client = http2.connect('https://localhost', {
      createConnection: () =>
        pairing.client.connect({
          host: '127.0.0.1',
          port,
          servername: 'localhost',
          ca: CA,
          ALPNProtocols: ['h2'],
        }),
    });
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const stream = client.request({ ':path': `/${i}` });
        return (await readAll(stream)).toString();
      }),
    );
    expect(answers).toEqual(Array.from({ length: 20 }, (_, i) => `/${i}`.repeat(1000)));
    await new Promise<void>((resolve) => client.close(resolve));
  });
});
