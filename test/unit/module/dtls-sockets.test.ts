import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { encodePem } from '../../../src/der/pem.ts';
import { ModuleError } from '../../../src/errors/module.ts';
import { Applet } from '../../../src/module/applet/applet.ts';
import {
  connect,
  createServer,
  type DtlsConnectOptions,
  type DtlsEndpoint,
  type DtlsServerOptions,
  type DtlsSocket,
} from '../../../src/node/dtls/index.ts';
import { InProcessTransport } from '../../../src/node/module/in-process.ts';
import { SecurityModule } from '../../../src/node/module/security-module.ts';
import { connectTunnel } from '../../../src/tunnel/connect.ts';
import { serveTunnel } from '../../../src/tunnel/serve.ts';
import { CA, type Card, cardWith, LaterTransport, openState } from './kit.ts';

/* DTLS in modules, on real UDP sockets and with modules that answer later. */

const CA_PEM = encodePem('CERTIFICATE', CA);
const LOCAL = '127.0.0.1';

interface Opened {
  readonly module: SecurityModule;
  readonly applet: Applet;
  readonly transport: LaterTransport;
}

async function openModule(card: Card): Promise<Opened> {
  const applet = new Applet({ crypto: nodeCrypto, state: openState(card.storage) });
  const transport = new LaterTransport(new InProcessTransport(applet, 'extended'));
  return { module: await SecurityModule.open(transport, { pin: '1234' }), applet, transport };
}

const CARDS = {
  client: cardWith({ kind: 'client' }),
  server: cardWith({ kind: 'server' }),
  strictServer: cardWith({ kind: 'server', clientCertificate: 2 }),
};

const endpoints: DtlsEndpoint[] = [];
const sockets: { close(): unknown }[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
  for (const endpoint of endpoints.splice(0)) endpoint.close();
});

async function pair(
  serverOptions: DtlsServerOptions,
  clientOptions: DtlsConnectOptions,
): Promise<{ client: DtlsSocket; server: DtlsSocket; endpoint: DtlsEndpoint }> {
  const endpoint = createServer(serverOptions);
  endpoints.push(endpoint);
  endpoint.listen(0, LOCAL);
  await once(endpoint, 'listening');
  const accepted = once(endpoint, 'secureConnection') as Promise<[DtlsSocket]>;
  const port = endpoint.address()?.port ?? 0;
  const client = connect({ port, host: LOCAL, servername: 'server.test', ...clientOptions });
  sockets.push(client);
  const [[server]] = await Promise.all([accepted, once(client, 'secureConnect')]);
  return { client, server, endpoint };
}

async function released(applet: Applet): Promise<void> {
  while (applet.sessions > 0) await new Promise((resolve) => setImmediate(resolve));
}

describe.each(['DTLSv1.3', 'DTLSv1.2'] as const)('%s in two modules', (version) => {
  it('carries datagrams both ways, and says goodbye', async () => {
    const modules = { server: await openModule(CARDS.strictServer), client: await openModule(CARDS.client) };
    const { client, server } = await pair(
      { module: modules.server.module },
      { module: modules.client.module, maxVersion: version === 'DTLSv1.3' ? 'TLSv1.3' : 'TLSv1.2' },
    );
    expect(client.getProtocol()).toBe(version);
    expect([client.authorized, server.authorized]).toEqual([true, true]);
    expect(client.getPeerX509Certificate()?.subject).toBe('CN=server.test');
    const heard = once(server, 'message');
    client.send('a question');
    expect(String((await heard)[0])).toBe('a question');
    const answer = once(client, 'message');
    server.send(Buffer.alloc(server.maxDatagramSize, 'x'));
    expect(((await answer)[0] as Buffer).length).toBe(server.maxDatagramSize);
    expect(() => server.send(Buffer.alloc(server.maxDatagramSize + 1))).toThrow(
      expect.objectContaining({ code: 'ERR_DTLS_TOO_LARGE' }),
    );
    const label = 'EXPORTER-test';
    const keys = [client, server].map((socket) => socket.requestKeyingMaterial(32, label));
    const [one, other] = await Promise.all(keys);
    expect(one?.equals(other as Buffer)).toBe(true);
    const ended = Promise.all([once(server, 'end'), once(server, 'close'), once(client, 'close')]);
    client.close();
    await ended;
    await released(modules.client.applet);
    await released(modules.server.applet);
  });
});

it('a session whose module is gone ends with a typed error', async () => {
  const opened = await openModule(CARDS.client);
  const server = await openModule(CARDS.server);
  const { client } = await pair({ module: server.module }, { module: opened.module });
  opened.transport.failure = new ModuleError('ERR_MODULE_REMOVED', 'taken out');
  const failed = once(client, 'error') as Promise<[ModuleError]>;
  client.send('lost');
  expect((await failed)[0].code).toBe('ERR_MODULE_REMOVED');
});

it('updates its keys, and goes on', async () => {
  const modules = { server: await openModule(CARDS.server), client: await openModule(CARDS.client) };
  const { client, server } = await pair(
    { module: modules.server.module },
    { module: modules.client.module, minVersion: 'TLSv1.3' },
  );
  for (const word of ['one', 'two']) {
    client.updateKeys(true);
    const heard = once(server, 'message');
    client.send(word);
    expect(String((await heard)[0])).toBe(word);
  }
});

it('carries the tunnel', async () => {
  const modules = { server: await openModule(CARDS.strictServer), client: await openModule(CARDS.client) };
  const echo: Socket = createSocket('udp4');
  sockets.push(echo);
  echo.on('message', (datagram, { port, address }) => echo.send(datagram, port, address));
  echo.bind(0, LOCAL);
  await once(echo, 'listening');
  const serving = await serveTunnel({
    listen: { host: LOCAL, port: 0, transport: 'udp' },
    module: modules.server.module,
    clientCa: CA_PEM,
    applications: [
      {
        name: 'echo/udp',
        port: 7,
        target: { host: LOCAL, port: (echo.address() as AddressInfo).port, transport: 'udp' },
      },
    ],
  });
  const connecting = await connectTunnel({
    server: serving.address,
    servername: 'server.test',
    module: modules.client.module,
    ca: CA_PEM,
    forwards: [{ listen: { host: LOCAL, port: 0, transport: 'udp' }, application: 'echo/udp' }],
  });
  const socket = createSocket('udp4');
  sockets.push(socket);
  const heard = once(socket, 'message') as Promise<[Buffer]>;
  socket.send('through two modules', connecting.forwards[0]?.listen.port ?? 0, LOCAL);
  expect(String((await heard)[0])).toBe('through two modules');
  await connecting.close();
  await serving.close();
});
