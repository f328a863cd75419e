import { readFileSync } from 'node:fs';
import net from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type ClientTunnel, connectTunnel } from '../../src/tunnel/connect.ts';
import type { LogFields, TunnelLog } from '../../src/tunnel/log.ts';
import type { ConnectOptions, ServeOptions } from '../../src/tunnel/options.ts';
import { type ServerTunnel, serveTunnel } from '../../src/tunnel/serve.ts';
import { freePort } from '../setup/ports.ts';
import { dial, echoServer, listen, outcome, type Pki, pki, readAll } from './tunnel-kit.ts';

const read = (path: string): string => readFileSync(path, 'utf8');
const HERE = { host: '127.0.0.1', port: 0 };

async function serve(
  certificates: Pki,
  app: number,
  more: Partial<ServeOptions> = {},
): Promise<ServerTunnel> {
  const tunnel = await serveTunnel({
    listen: HERE,
    cert: read(certificates.server),
    key: read(certificates.serverKey),
    clientCa: read(certificates.ca),
    applications: [{ name: 'app', port: 7, target: { host: '127.0.0.1', port: app } }],
    drainTimeout: 0,
    ...more,
  });
  onTestFinished(() => tunnel.close());
  return tunnel;
}

async function connect(
  certificates: Pki,
  { address }: { address: { port: number } },
  more: Partial<ConnectOptions> = {},
): Promise<ClientTunnel> {
  const tunnel = await connectTunnel({
    server: { host: 'localhost', port: address.port },
    ca: read(certificates.ca),
    cert: read(certificates.client),
    key: read(certificates.clientKey),
    forwards: [{ listen: HERE, application: 'app' }],
    drainTimeout: 0,
    ...more,
  });
  onTestFinished(() => tunnel.close());
  return tunnel;
}

const portOf = (client: ClientTunnel): number => client.forwards[0]?.listen.port ?? 0;

async function echoes(client: ClientTunnel, text: string): Promise<string> {
  const socket = dial(portOf(client));
  socket.end(text);
  return (await readAll(socket)).toString();
}

function recorder(): { readonly log: TunnelLog; readonly events: LogFields[] } {
  const events: LogFields[] = [];
  const note = (fields: LogFields) => void events.push(fields);
  return { events, log: { debug: note, info: note, warn: note, error: note } };
}

describe('serveTunnel and connectTunnel', () => {
  it('carry, count, and say when they are over', async () => {
    const certificates = await pki();
    const server = await serve(certificates, await listen(echoServer()));
    const client = await connect(certificates, server);
    expect(client.stats).toEqual({
      sessions: { open: 0, total: 0 },
      connections: { open: 0, total: 0, failed: 0 },
      bytesIn: 0,
      bytesOut: 0,
      datagrams: { in: 0, out: 0, dropped: 0 },
    });
    expect(await echoes(client, 'hello')).toBe('hello');
    const open = dial(portOf(client));
    open.write('more');
    await new Promise((resolve) => open.once('data', resolve));
    for (const tunnel of [client, server]) {
      expect(tunnel.stats).toMatchObject({
        sessions: { open: 1, total: 1 },
        connections: { open: 1, total: 2, failed: 0 },
        bytesIn: 9,
        bytesOut: 9,
      });
    }
    const ending = outcome(open);
    await client.close();
    expect(await ending).toBe('ECONNRESET');
    expect(await client.finished).toBeUndefined();
    expect(client.stats).toMatchObject({
      sessions: { open: 0, total: 1 },
      connections: { open: 0, total: 2, failed: 1 },
    });
    await client.close();
    await server.close();
    expect(await server.finished).toBeUndefined();
    expect(await outcome(dial(portOf(client)))).toBe('ECONNREFUSED');
  });

  it('give the key log of both sides', async () => {
    const certificates = await pki();
    const lines: Record<'server' | 'client', string> = { server: '', client: '' };
    const keep = (side: keyof typeof lines) => (line: Uint8Array) => {
      lines[side] += Buffer.from(line).toString();
    };
    const server = await serve(certificates, await listen(echoServer()), { onKeylog: keep('server') });
    const client = await connect(certificates, server, { onKeylog: keep('client') });
    await echoes(client, 'x');
    expect(lines.server).toMatch(/^CLIENT_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]{64}$/m);
    expect(lines.client.split('\n').sort()).toEqual(lines.server.split('\n').sort());
  });

  it('name the peer of a session that was refused', async () => {
    const certificates = await pki();
    const { log, events } = recorder();
    const server = await serve(certificates, await freePort(), { log });
    const socket = dial(server.address.port);
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await outcome(socket);
    expect(events).toContainEqual(
      expect.objectContaining({
        event: 'session.refused',
        peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
        code: expect.any(String),
      }),
    );
    expect(server.stats.sessions.total).toBe(0);
  });

  it('end a handshake that stalls', async () => {
    const certificates = await pki();
    const { log, events } = recorder();
    const server = await serve(certificates, await freePort(), { log, handshakeTimeout: 200 });
    expect(await outcome(dial(server.address.port))).toMatch(/^(end|ECONNRESET)$/);
    expect(events).toContainEqual(expect.objectContaining({ event: 'session.refused' }));
  });

  it('hold sessions to their bound', async () => {
    const certificates = await pki();
    const server = await serve(certificates, await listen(echoServer()), { maxSessions: 1 });
    const first = await connect(certificates, server);
    expect(await echoes(first, 'one')).toBe('one');
    const second = await connect(certificates, server, { waitTimeout: 300 });
    expect(await outcome(dial(portOf(second)))).toBe('ECONNRESET');
    expect(await echoes(first, 'two')).toBe('two');
    await first.close();
    expect(await echoes(second, 'three')).toBe('three');
  });

  it('do not start with what cannot work, and leave nothing behind', async () => {
    const certificates = await pki();
    const other = await pki();
    const app = await freePort();
    await expect(serve(certificates, app, { key: read(other.serverKey) })).rejects.toMatchObject({
      code: 'ERR_TUNNEL_CREDENTIALS',
      message: expect.stringContaining('key'),
    });
    await expect(serve(certificates, app, { clientCa: 'not PEM' })).rejects.toMatchObject({
      code: 'ERR_TUNNEL_CREDENTIALS',
      message: expect.stringContaining('client CA'),
    });
    await expect(serve(certificates, app, { applications: [] })).rejects.toMatchObject({
      code: 'ERR_TUNNEL_OPTION',
    });
    const taken = await listen(net.createServer());
    const listening = { host: '127.0.0.1', port: taken };
    await expect(serve(certificates, app, { listen: listening })).rejects.toMatchObject({
      code: 'ERR_TUNNEL_LISTEN',
    });
    const free = { host: '127.0.0.1', port: await freePort() };
    const forwards = [free, listening].map((where) => ({ listen: where, application: 'app' }));
    const address = { port: 1 };
    await expect(connect(certificates, { address }, { forwards })).rejects.toMatchObject({
      code: 'ERR_TUNNEL_LISTEN',
    });
    await listen(net.createServer(), free.port);
    await expect(connect(certificates, { address }, { forwards: [] })).rejects.toMatchObject({
      code: 'ERR_TUNNEL_OPTION',
    });
    await expect(connect(certificates, { address }, { cert: undefined })).rejects.toMatchObject({
      code: 'ERR_TUNNEL_CREDENTIALS',
    });
  });
});
