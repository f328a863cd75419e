import { once } from 'node:events';
import { type AddressInfo, createServer as createNetServer, connect as netConnect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { nodeModuleKeys } from '../../../src/crypto/node/module-keys.ts';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { encodePem } from '../../../src/der/pem.ts';
import { ModuleError } from '../../../src/errors/module.ts';
import { Applet } from '../../../src/module/applet/applet.ts';
import { muxServer } from '../../../src/mux/index.ts';
import { type ConnectionOptions, connect } from '../../../src/node/connect.ts';
import { InProcessTransport } from '../../../src/node/module/in-process.ts';
import { SecurityModule } from '../../../src/node/module/security-module.ts';
import { connectMux, type MuxSession, muxSession } from '../../../src/node/mux.ts';
import { createServer, type Server, type ServerOptions } from '../../../src/node/server.ts';
import type { TLSSocket } from '../../../src/node/tls-socket.ts';
import { signClient, signServer } from '../../../src/sign/index.ts';
import { connectTunnel } from '../../../src/tunnel/connect.ts';
import { serveTunnel } from '../../../src/tunnel/serve.ts';
import { CA, type Card, cardWith, certificateFor, LaterTransport, openState, utf8 } from './kit.ts';

const CA_PEM = encodePem('CERTIFICATE', CA);

interface Opened {
  readonly module: SecurityModule;
  readonly applet: Applet;
  readonly transport: LaterTransport | InProcessTransport;
}

async function openModule(
  card: Card,
  over: { later?: boolean; short?: boolean; fragmentSize?: number; offload?: boolean } = {},
): Promise<Opened> {
  const applet = new Applet({ crypto: nodeCrypto, state: openState(card.storage) });
  const inner = new InProcessTransport(applet, over.short === true ? 'short' : 'extended');
  const transport = over.later === false ? inner : new LaterTransport(inner);
  const { fragmentSize, offload } = over;
  const module = await SecurityModule.open(transport, { pin: '1234', fragmentSize, offload });
  return { module, applet, transport };
}

const servers: Server[] = [];
const sockets: TLSSocket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

/** A server on a free port that ends with the test. */
async function serving(options: ServerOptions): Promise<{ listening: Server; port: number }> {
  const listening = createServer(options);
  servers.push(listening);
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  return { listening, port: (listening.address() as AddressInfo).port };
}

/** A server and a client connected to it; each side's module by option. */
async function pair(
  serverOptions: ServerOptions,
  clientOptions: ConnectionOptions,
): Promise<{ client: TLSSocket; server: TLSSocket }> {
  const { listening, port } = await serving(serverOptions);
  listening.on('tlsClientError', () => undefined);
  // A client may end a session that its server has begun.
  listening.on('secureConnection', (socket) => socket.on('error', () => undefined));
  const accepted = once(listening, 'secureConnection') as Promise<[TLSSocket]>;
  const client = connect({ port, host: '127.0.0.1', servername: 'server.test', ...clientOptions });
  sockets.push(client);
  await once(client, 'secureConnect');
  const [server] = await accepted;
  sockets.push(server);
  return { client, server };
}

const both = async (over: Parameters<typeof openModule>[1] = {}) => {
  const server = await openModule(cardWith({ kind: 'server', clientCertificate: 2 }), over);
  const client = await openModule(cardWith({ kind: 'client' }), over);
  return { server, client };
};

/** Until its end. A loop over the socket would destroy it. */
async function read(socket: TLSSocket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

describe.each([
  ['at once', { later: false }],
  ['later', {}],
  ['later, short APDUs', { short: true }],
  ['later, short APDUs, 50 bytes', { short: true, fragmentSize: 50 }],
  ['at once, offloaded', { later: false, offload: true }],
  ['later, offloaded, 50 bytes', { offload: true, short: true, fragmentSize: 50 }],
])('sessions in modules that answer %s', (_name, over) => {
  it('carry data both ways and end in order', async () => {
    const modules = await both(over);
    const { client, server } = await pair(
      { module: modules.server.module, allowHalfOpen: true },
      { module: modules.client.module, allowHalfOpen: true },
    );
    expect(client.authorized).toBe(true);
    expect(server.authorized).toBe(true);
    expect(client.getProtocol()).toBe('TLSv1.3');
    expect(client.getPeerCertificate().subject).toEqual({ CN: 'server.test' });
    expect(server.getPeerCertificate().subject).toEqual({ CN: 'client.test' });
    const request = Buffer.alloc(70_000, 'q');
    const reply = Buffer.alloc(90_000, 'r');
    client.end(request);
    const [atServer] = await Promise.all([read(server)]);
    expect(atServer.equals(request)).toBe(true);
    server.end(reply);
    expect((await read(client)).equals(reply)).toBe(true);
  });
});

/** A session that carries many connections to an echo. */
async function multiplexed(modules: Awaited<ReturnType<typeof both>>): Promise<MuxSession> {
  const { listening, port } = await serving({
    module: modules.server.module,
    subProtocols: [muxServer({ applications: [{ name: 'echo', port: 7 }] })],
  });
  listening.on('secureConnection', (socket) => {
    muxSession(socket)?.on('connection', (connection) => connection.pipe(connection));
  });
  const session = connectMux({
    port,
    host: '127.0.0.1',
    servername: 'server.test',
    module: modules.client.module,
    mux: {},
  });
  await once(session, 'ready');
  return session;
}

describe('bulk data', () => {
  it('takes one command for three full records', async () => {
    const { module, transport } = await openModule(cardWith({ kind: 'client' }));
    const pki = nodeModuleKeys.generate('P-256');
    const cert = encodePem('CERTIFICATE', certificateFor(nodeModuleKeys.load(pki).spki, 'server'));
    const { client, server } = await pair({ cert, key: encodePem('PRIVATE KEY', pki) }, { module });
    const count = () => (transport as LaterTransport).apdus;
    const data = Buffer.alloc(8 * 3 * 16_384, 'b');
    const before = count();
    let left = data.length;
    const arrived = new Promise<void>((resolve) => {
      server.on('data', (chunk: Buffer) => {
        left -= chunk.length;
        if (left === 0) resolve();
      });
    });
    client.write(data);
    await arrived;
    // What the stream hands over first may be less than a batch.
    expect(count() - before).toBeGreaterThanOrEqual(8);
    expect(count() - before).toBeLessThanOrEqual(10);
  });
});

describe('an offloaded session', () => {
  const offloaded = { offload: true };

  it('asks the module for nothing once it is open, and gives its place back in the end', async () => {
    const modules = await both(offloaded);
    const { client, server } = await pair(
      { module: modules.server.module, allowHalfOpen: true },
      { module: modules.client.module, allowHalfOpen: true },
    );
    const commands = () =>
      [modules.client, modules.server].map(({ transport }) => (transport as LaterTransport).apdus);
    const before = commands();
    const data = Buffer.alloc(3_000_000, 'b');
    client.end(data);
    expect((await read(server)).equals(data)).toBe(true);
    expect(commands()).toEqual(before);
    expect(modules.client.applet.sessions).toBe(1);
    server.end();
    await read(client);
    await released(modules.client);
    await released(modules.server);
  });

  it('goes on through KeyUpdates of both sides', async () => {
    const modules = await both(offloaded);
    const { client, server } = await pair(
      { module: modules.server.module },
      { module: modules.client.module },
    );
    server.on('data', (chunk) => server.write(chunk));
    for (const word of ['one', 'two', 'three']) {
      client.updateKeys(true);
      client.write(word);
      expect(String((await once(client, 'data'))[0])).toBe(word);
    }
  });

  it('takes what the peer has sent right after its Finished', async () => {
    const server = await openModule(cardWith({ kind: 'server' }), offloaded);
    const { listening, port } = await serving({ module: server.module });
    const accepted = once(listening, 'secureConnection') as Promise<[TLSSocket]>;
    const client = connect({ port, host: '127.0.0.1', servername: 'server.test', ca: CA_PEM });
    sockets.push(client);
    // In one piece with the Finished.
    client.end('at once');
    const [socket] = await accepted;
    sockets.push(socket);
    expect((await read(socket)).toString()).toBe('at once');
  });

  it('signs in the module, which keeps no keys of records any more', async () => {
    const modules = await both(offloaded);
    const { client, server } = await pair(
      { module: modules.server.module, subProtocols: [signServer()] },
      { module: modules.client.module, subProtocols: [signClient()] },
    );
    client.signing?.on();
    for (const word of ['an order', 'another']) {
      const receipt = client.signWrite(word);
      for await (const message of server.signed) {
        expect(Buffer.from(message.content as Uint8Array).toString()).toBe(word);
        break;
      }
      expect(await receipt).toBeDefined();
    }
  });

  it('multiplexes', async () => {
    const modules = await both(offloaded);
    const session = await multiplexed(modules);
    const connection = session.open('echo');
    connection.end('through it');
    const heard: Buffer[] = [];
    for await (const chunk of connection) heard.push(chunk);
    expect(Buffer.concat(heard).toString()).toBe('through it');
    session.close();
  });

  it('does not come about where the identity does not permit it', async () => {
    const server = await openModule(cardWith({ kind: 'server', permissions: 4 }), offloaded);
    const { listening, port } = await serving({ module: server.module });
    const told = once(listening, 'tlsClientError') as Promise<[Error & { code: string }]>;
    const client = connect({ port, host: '127.0.0.1', servername: 'server.test', ca: CA_PEM });
    sockets.push(client);
    const [error] = (await once(client, 'error')) as [Error & { code: string }];
    expect(error.code).toBe('ERR_TLS_ALERT_INTERNAL_ERROR');
    expect((await told)[0].code).toBe('ERR_MODULE_NOT_PERMITTED');
    await released(server);
  });

  it('stays in the module in TLS 1.2', async () => {
    const modules = await both(offloaded);
    const { client, server } = await pair(
      { module: modules.server.module },
      { module: modules.client.module, maxVersion: 'TLSv1.2' },
    );
    expect(client.getProtocol()).toBe('TLSv1.2');
    server.end('from the module');
    expect((await read(client)).toString()).toBe('from the module');
  });

  it('is refused a certificate of another CA before its keys leave', async () => {
    const { client: own } = await both(offloaded);
    const { module } = await openModule(cardWith({ kind: 'server' }));
    const other = encodePem('CERTIFICATE', certificateOfAnotherCa());
    await expect(pair({ module }, { module: own.module, ca: other })).rejects.toMatchObject({
      code: expect.stringMatching(/UNABLE|SELF|DEPTH/),
    });
  });
});

describe('a session in a module', () => {
  it('is like any other to a peer that has none, either way', async () => {
    const { module } = await openModule(cardWith({ kind: 'server' }));
    const { client, server } = await pair({ module }, { ca: CA_PEM });
    expect(client.authorized).toBe(true);
    server.end('from the module');
    expect((await read(client)).toString()).toBe('from the module');
  });

  it('is judged with the anchors of the host too, where it has some', async () => {
    const { client: own } = await both();
    const { module } = await openModule(cardWith({ kind: 'server' }));
    const other = encodePem('CERTIFICATE', certificateOfAnotherCa());
    const failure = pair({ module }, { module: own.module, ca: other });
    await expect(failure).rejects.toMatchObject({ code: expect.stringMatching(/UNABLE|SELF|DEPTH/) });
  });

  it('tells the peer what is wrong with its certificate, and the user too', async () => {
    const server = await openModule(cardWith({ kind: 'server' }));
    const client = await openModule(cardWith({ kind: 'client' }));
    const { listening, port } = await serving({ module: server.module });
    const told = once(listening, 'tlsClientError') as Promise<[Error & { code: string }]>;
    const socket = connect({ port, host: '127.0.0.1', servername: 'other.test', module: client.module });
    const [error] = (await once(socket, 'error')) as [Error & { code: string }];
    expect(error.code).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
    expect((await told)[0].code).toBe('ERR_TLS_ALERT_BAD_CERTIFICATE');
    await released(server);
    await released(client);
  });

  it('releases its place in the module, however it ends', async () => {
    const modules = await both();
    const options: [ServerOptions, ConnectionOptions] = [
      { module: modules.server.module },
      { module: modules.client.module },
    ];
    const first = await pair(...options);
    expect(modules.client.applet.sessions).toBe(1);
    first.client.end();
    first.client.resume();
    first.server.resume();
    await once(first.client, 'close');
    await released(modules.client);
    await released(modules.server);
    const second = await pair(...options);
    second.server.on('error', () => undefined);
    second.client.destroy();
    await released(modules.client);
    await released(modules.server);
  });

  it('is not opened before a client has said hello', async () => {
    const server = await openModule(cardWith({ kind: 'server' }));
    const { listening, port } = await serving({ module: server.module });
    listening.on('tlsClientError', () => undefined);
    const silent = netConnect(port, '127.0.0.1');
    await once(silent, 'connect');
    silent.write(Buffer.from('16030100ff0100', 'hex'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(server.applet.sessions).toBe(0);
    silent.destroy();
  });

  it('answers what is no TLS with the right alert', async () => {
    const server = await openModule(cardWith({ kind: 'server' }));
    const { listening, port } = await serving({ module: server.module });
    const told = once(listening, 'tlsClientError') as Promise<[Error & { code: string }]>;
    const lost = netConnect(port, '127.0.0.1');
    lost.write('GET / HTTP/1.1\r\n\r\n');
    const [answer] = (await once(lost, 'data')) as [Buffer];
    expect(answer.toString('hex')).toBe('1503030002020a');
    expect((await told)[0].code).toBe('ERR_TLS_UNEXPECTED_MESSAGE');
    lost.destroy();
  });

  it('refuses ALPN that it shares with nobody, in clear, before it asks the module', async () => {
    const server = await openModule(cardWith({ kind: 'server' }));
    const { client, server: accepted } = await pair(
      { module: server.module, ALPNProtocols: ['a', 'b'] },
      { ca: CA_PEM, ALPNProtocols: ['b'] },
    );
    expect([client.alpnProtocol, accepted.alpnProtocol]).toEqual(['b', 'b']);
    const failure = pair(
      { module: server.module, ALPNProtocols: ['a'] },
      { ca: CA_PEM, ALPNProtocols: ['c'] },
    );
    await expect(failure).rejects.toMatchObject({ code: 'ERR_TLS_ALERT_NO_APPLICATION_PROTOCOL' });
  });

  it('speaks TLS 1.2 when that is what is wanted', async () => {
    const modules = await both({ short: true });
    const { client, server } = await pair(
      { module: modules.server.module },
      { module: modules.client.module, maxVersion: 'TLSv1.2' },
    );
    expect(client.getProtocol()).toBe('TLSv1.2');
    server.end('old');
    expect((await read(client)).toString()).toBe('old');
  });

  it('updates its keys', async () => {
    const modules = await both();
    const { client, server } = await pair(
      { module: modules.server.module },
      { module: modules.client.module },
    );
    client.updateKeys(true);
    client.end('after');
    expect((await read(server)).toString()).toBe('after');
  });

  it('ends with a typed error when the card is removed, and so do all others', async () => {
    const modules = await both();
    const server: ServerOptions = { ca: CA_PEM, ...plainServer() };
    const first = await pair(server, { module: modules.client.module });
    const second = await pair(server, { module: modules.client.module });
    for (const { server: accepted } of [first, second]) accepted.on('error', () => undefined);
    const errors = [first, second].map(({ client }) => once(client, 'error'));
    (modules.client.transport as LaterTransport).failure = new ModuleError(
      'ERR_MODULE_REMOVED',
      'card removed',
    );
    first.client.write('x');
    second.client.write('y');
    for (const [error] of await Promise.all(errors)) expect(error.code).toBe('ERR_MODULE_REMOVED');
    const socket = connect({ port: 1, host: '127.0.0.1', module: modules.client.module });
    await once(socket, 'error');
  });

  it('ends with ERR_MODULE_RESET when somebody has reset the card', async () => {
    const modules = await both();
    const { client, server } = await pair(
      { ca: CA_PEM, ...plainServer() },
      { module: modules.client.module },
    );
    server.on('error', () => undefined);
    modules.client.applet.reset();
    const failed = once(client, 'error');
    client.write('x');
    expect((await failed)[0].code).toBe('ERR_MODULE_RESET');
  });

  it('is refused to a client without a certificate where the host wants one, whatever the module asks for', async () => {
    const { module } = await openModule(cardWith({ kind: 'server', clientCertificate: 0 }));
    const { listening, port } = await serving({ module, requestCert: true, ca: CA_PEM });
    const refused = once(listening, 'tlsClientError') as Promise<[Error & { code: string }]>;
    const client = connect({ port, host: '127.0.0.1', servername: 'server.test', ca: CA_PEM });
    const [error] = (await once(client, 'error')) as [Error & { code: string }];
    expect(error.code).toBe('ERR_TLS_ALERT_CERTIFICATE_REQUIRED');
    expect((await refused)[0].code).toBe('ERR_TLS_CERTIFICATE_REQUIRED');
  });

  it('takes turns with others: much data of one does not keep the other waiting', async () => {
    const modules = await both({ short: true, fragmentSize: 100 });
    const options: [ServerOptions, ConnectionOptions] = [
      { module: modules.server.module, allowHalfOpen: true },
      { module: modules.client.module, allowHalfOpen: true },
    ];
    const [bulk, chat] = [await pair(...options), await pair(...options)];
    let bulkDone = false;
    const received = read(bulk.server).then((all) => {
      bulkDone = true;
      return all.length;
    });
    bulk.client.end(Buffer.alloc(60_000));
    chat.client.end('quick');
    expect((await read(chat.server)).toString()).toBe('quick');
    expect(bulkDone).toBe(false);
    expect(await received).toBe(60_000);
  });

  it('refuses more sessions than the module has room for, and says so', async () => {
    const card = cardWith({ kind: 'client' });
    const applet = new Applet({ crypto: nodeCrypto, state: openState(card.storage), sessions: 1 });
    const module = await SecurityModule.open(new InProcessTransport(applet), { pin: '1234' });
    const { server } = await pair(plainServer(), { module });
    server.on('error', () => undefined);
    await expect(pair(plainServer(), { module })).rejects.toMatchObject({ code: 'ERR_MODULE_NO_ROOM' });
  });

  it('is opened with the right PIN, for an identity that is there', async () => {
    const card = cardWith();
    const transport = () =>
      new InProcessTransport(new Applet({ crypto: nodeCrypto, state: openState(card.storage) }));
    const wrong = SecurityModule.open(transport(), { pin: '9999' });
    await expect(wrong).rejects.toMatchObject({ code: 'ERR_MODULE_PIN_WRONG', triesLeft: 2 });
    const pin = Buffer.from('1234');
    const module = await SecurityModule.open(transport(), { pin, alias: 'nobody' });
    expect(pin.equals(Buffer.alloc(4))).toBe(true);
    await expect(pair(plainServer(), { module })).rejects.toMatchObject({ code: 'ERR_MODULE_NOT_FOUND' });
    const size = SecurityModule.open(transport(), { pin: '1234', fragmentSize: 31 });
    await expect(size).rejects.toMatchObject({ code: 'ERR_TLS_OPTION' });
  });
});

describe('sub-protocols over a module', () => {
  it('multiplex many connections in one session', async () => {
    const modules = await both();
    const session = await multiplexed(modules);
    const replies = await Promise.all(
      Array.from({ length: 5 }, async (_, i) => {
        const connection = session.open('echo');
        const text = `${i}`.repeat(20_000);
        connection.end(text);
        let got = '';
        for await (const chunk of connection) got += chunk;
        return got === text;
      }),
    );
    expect(replies).toEqual([true, true, true, true, true]);
    session.close();
    await once(session, 'close');
    await released(modules.client);
  });

  it('carry the tunnel', async () => {
    const modules = await both();
    const echo = createNetServer((socket) => socket.pipe(socket));
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    const target = { host: '127.0.0.1', port: (echo.address() as AddressInfo).port };
    const serving = await serveTunnel({
      listen: { host: '127.0.0.1', port: 0 },
      module: modules.server.module,
      clientCa: CA_PEM,
      applications: [{ name: 'echo', port: 7, target }],
    });
    const connecting = await connectTunnel({
      server: serving.address,
      servername: 'server.test',
      module: modules.client.module,
      ca: CA_PEM,
      forwards: [{ listen: { host: '127.0.0.1', port: 0 }, application: 'echo' }],
    });
    const socket = netConnect(connecting.forwards[0]?.listen.port ?? 0, '127.0.0.1');
    socket.end('through two modules');
    let got = '';
    for await (const chunk of socket) got += chunk;
    expect(got).toBe('through two modules');
    await connecting.close();
    await serving.close();
    echo.close();
  });

  it('sign with the key in the module, and get receipts that it signs', async () => {
    const modules = await both();
    const { client, server } = await pair(
      { module: modules.server.module, subProtocols: [signServer()] },
      { module: modules.client.module, subProtocols: [signClient()] },
    );
    client.signing?.on();
    const receipt = client.signWrite('an order');
    for await (const message of server.signed) {
      expect(Buffer.from(message.content as Uint8Array).toString()).toBe('an order');
      break;
    }
    expect(await receipt).toBeDefined();
  });

  it('sign as XML, and streams, while other messages and receipts come between', async () => {
    const modules = await both();
    for (const format of ['xmldsig', 'pkcs7'] as const) {
      const { client, server } = await pair(
        { module: modules.server.module, subProtocols: [signServer({ formats: [format] })] },
        { module: modules.client.module, subProtocols: [signClient({ formats: [format] })] },
      );
      client.signing?.on();
      server.signing?.on();
      const content = format === 'pkcs7' ? [Buffer.alloc(50_000, 'a'), Buffer.alloc(50_000, 'b')] : 'a text';
      const receipts = [
        client.signWrite(content),
        server.signWrite('against it'),
        client.signWrite('after it'),
      ];
      for (const [side, count] of [
        [server, 2],
        [client, 1],
      ] as const) {
        let seen = 0;
        for await (const _message of side.signed) if (++seen === count) break;
      }
      expect((await Promise.all(receipts)).every((receipt) => receipt !== undefined)).toBe(true);
      client.destroy();
    }
  });

  it.each([
    ['TLSv1.3', false],
    ['TLSv1.2', false],
    ['TLSv1.3', true],
  ] as const)(
    'exports keying material that the peer has too, in %s, offloaded: %s',
    async (maxVersion, offload) => {
      const { module, applet } = await openModule(cardWith({ kind: 'server' }), { offload });
      const { client, server } = await pair({ module }, { ca: CA_PEM, maxVersion });
      for (const context of [undefined, new Uint8Array(0), utf8('context')]) {
        const theirs = await client.requestKeyingMaterial(40, 'EXPORTER-test', context);
        expect(await server.requestKeyingMaterial(40, 'EXPORTER-test', context)).toEqual(theirs);
        expect(client.exportKeyingMaterial(40, 'EXPORTER-test', context)).toEqual(theirs);
      }
      await expect(server.requestKeyingMaterial(40, 'key expansion')).rejects.toMatchObject({
        code: 'ERR_MODULE_NOT_PERMITTED',
      });
      await expect(server.requestKeyingMaterial(256, 'EXPORTER-test')).rejects.toMatchObject({
        code: 'ERR_TLS_OPTION',
      });
      expect(applet.sessions).toBe(1);
    },
  );

  it('are refused by the module for a binding that is not of this session', async () => {
    const modules = await both();
    const { client } = await pair(
      { module: modules.server.module, subProtocols: [signServer()] },
      { module: modules.client.module, subProtocols: [signClient()] },
    );
    const [identity] = client.connection.identities;
    const signed = Promise.resolve(identity?.key.sign(0x0403, Buffer.from('anything')));
    await expect(signed).rejects.toMatchObject({ status: 0x6a80 });
    expect(() => client.exportKeyingMaterial(20, 'EXPORTER-x')).toThrow(
      expect.objectContaining({ code: 'ERR_MODULE_UNSUPPORTED' }),
    );
  });
});

async function released({ applet }: Opened): Promise<void> {
  for (let turns = 0; applet.sessions > 0; turns++) {
    if (turns > 200) throw new Error(`${applet.sessions} sessions are not released`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Certificate and key of a server in this process, of the same CA. */
function plainServer(): ServerOptions {
  const pkcs8 = nodeModuleKeys.generate('P-256');
  const certificate = certificateFor(nodeModuleKeys.load(pkcs8).spki, 'server');
  return { cert: encodePem('CERTIFICATE', certificate), key: encodePem('PRIVATE KEY', pkcs8) };
}

function certificateOfAnotherCa(): Uint8Array {
  return certificateFor(nodeModuleKeys.load(nodeModuleKeys.generate('P-256')).spki, 'client');
}
