import diagnostics_channel from 'node:diagnostics_channel';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { Agent, request } from 'undici';
import { afterEach, describe, expect, it } from 'vitest';
import {
  connectMux,
  MuxAgent,
  MuxHttpsAgent,
  type MuxSession,
  muxCreateConnection,
  muxSession,
  muxUndiciConnect,
} from '../../src/index.ts';
import { muxServer } from '../../src/mux/index.ts';
import type { TLSSocket } from '../../src/node/tls-socket.ts';
import { CA, closeAll, SERVER, serve, track, trellis } from './node-kit.ts';

afterEach(closeAll);

const applications = [
  { name: 'web', port: 80 },
  { name: 'secure', port: 443 },
];

/** A session to a gateway with a web server behind it, in clear and with TLS; both say what they were asked. */
async function web(): Promise<{ session: MuxSession; hosts: string[] }> {
  const handler: http.RequestListener = (asked, answer) => answer.end(`${asked.headers.host}${asked.url}`);
  const plain = http.createServer(handler);
  const secure = https.createServer({ cert: SERVER.cert, key: SERVER.key }, handler);
  const hosts: string[] = [];
  const { port } = await serve(
    trellis,
    { subProtocols: [muxServer({ applications, destinations: true })] },
    (socket) => {
      muxSession(socket as unknown as TLSSocket)?.on('connection', (connection) => {
        const { destination, application } = connection;
        if (destination !== undefined) hosts.push(`${destination.host}:${destination.port}`);
        const isSecure = application.name === 'secure' || destination?.port === 443;
        (isSecure ? secure : plain).emit('connection', connection);
      });
    },
  );
  const session = connectMux({ port, host: '127.0.0.1', servername: 'localhost', ca: CA });
  track(session);
  await once(session, 'ready');
  return { session, hosts };
}

async function get(
  client: typeof http | typeof https,
  url: string,
  options: http.RequestOptions,
): Promise<string> {
  const asked = client.get(url, options);
  const [answer] = (await once(asked, 'response')) as [http.IncomingMessage];
  let body = '';
  for await (const piece of answer) body += piece;
  return body;
}

describe('clients of a session', () => {
  it('http.Agent, to an application', async () => {
    const { session } = await web();
    const agent = new MuxAgent(session, { route: 'web', keepAlive: true });
    const answers = await Promise.all(
      ['/a', '/b', '/c'].map((path) => get(http, `http://any.test${path}`, { agent })),
    );
    expect(answers).toEqual(['any.test/a', 'any.test/b', 'any.test/c']);
    agent.destroy();
  });

  it('http.Agent, to destinations', async () => {
    const { session, hosts } = await web();
    const agent = new MuxAgent(session);
    expect(await get(http, 'http://one.test/x', { agent })).toBe('one.test/x');
    expect(await get(http, 'http://[2001:db8::1]:8080/y', { agent })).toBe('[2001:db8::1]:8080/y');
    expect(hosts).toEqual(['one.test:80', '2001:db8::1:8080']);
  });

  it('https.Agent: TLS inside, with the certificate checked', async () => {
    const { session } = await web();
    const agent = new MuxHttpsAgent(session, { route: 'secure', ca: CA });
    expect(await get(https, 'https://localhost/x', { agent })).toBe('localhost/x');
    await expect(get(https, 'https://wrong.test/x', { agent })).rejects.toMatchObject({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
  });

  it('undici, in clear and with TLS', async () => {
    const { session } = await web();
    const dispatcher = new Agent({ connect: muxUndiciConnect(session, 'web') });
    const { body } = await request('http://any.test/undici', { dispatcher });
    expect(await body.text()).toBe('any.test/undici');
    const secure = new Agent({ connect: muxUndiciConnect(session, 'secure', { ca: CA }) });
    const answer = await request('https://localhost/undici', { dispatcher: secure });
    expect(await answer.body.text()).toBe('localhost/undici');
    await Promise.all([dispatcher.close(), secure.close()]);
  });

  it('undici hears of a refusal', async () => {
    const { session } = await web();
    const dispatcher = new Agent({ connect: muxUndiciConnect(session, 'gopher') });
    await expect(request('http://any.test/', { dispatcher })).rejects.toMatchObject({
      code: 'ERR_MUX_REFUSED',
    });
    await dispatcher.close();
  });

  it('anything that takes createConnection', async () => {
    const { session } = await web();
    const createConnection = muxCreateConnection(session, ({ port }) => (port === 1 ? 'secure' : 'web'));
    expect(await get(http, 'http://any.test:8080/', { createConnection })).toBe('any.test:8080/');
  });
});

describe('diagnostics_channel', () => {
  it('tells of sessions and connections', async () => {
    const heard: string[] = [];
    const names = ['session', 'open', 'accept', 'failed', 'close'].map((name) => `trellis:mux:${name}`);
    const listener = (message: unknown, name: string | symbol): void => {
      expect((message as { session: unknown }).session).toBeDefined();
      heard.push(String(name).replace('trellis:mux:', ''));
    };
    for (const name of names) diagnostics_channel.subscribe(name, listener);
    try {
      const { session } = await web();
      const refused = session.open('gopher');
      await once(refused, 'close').catch(() => {});
      expect(heard.sort()).toEqual(['close', 'failed', 'open', 'session', 'session']);
    } finally {
      for (const name of names) diagnostics_channel.unsubscribe(name, listener);
    }
  });
});
