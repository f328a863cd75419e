import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { encodePem } from '../../../src/der/pem.ts';
import { connect } from '../../../src/node/connect.ts';
import { openModule } from '../../../src/node/module/open.ts';
import type { SecurityModule } from '../../../src/node/module/security-module.ts';
import { serveModule } from '../../../src/node/module/unix.ts';
import { createServer, type Server } from '../../../src/node/server.ts';
import type { TLSSocket } from '../../../src/node/tls-socket.ts';
import { CA, type Card, cardWith, openState, pin } from './kit.ts';

/* A module in another process that goes and comes back. */

const folder = mkdtempSync(join(tmpdir(), 'trellis-reconnect-'));
const path = join(folder, 'm.sock');
const ca = encodePem('CERTIFICATE', CA);
const open: { close(): unknown }[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

/** @returns what ends it, with all who use it */
async function run(card: Card): Promise<() => Promise<void>> {
  const server: NetServer = await serveModule({ state: openState(card.storage), path });
  const sockets: Socket[] = [];
  server.on('connection', (socket) => sockets.push(socket));
  open.push(server);
  return async () => {
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
}

async function serve(module: SecurityModule): Promise<{ server: Server; port: number }> {
  const server = createServer({ module });
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => socket.write(chunk));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push(server, module);
  return { server, port: (server.address() as AddressInfo).port };
}

function dial(port: number): TLSSocket {
  const socket = connect({ port, host: '127.0.0.1', servername: 'server.test', ca });
  open.push({ close: () => socket.destroy() });
  return socket;
}

async function works(port: number): Promise<TLSSocket> {
  const socket = dial(port);
  await once(socket, 'secureConnect');
  socket.write('hello');
  expect(String((await once(socket, 'data'))[0])).toBe('hello');
  return socket;
}

async function refusal(server: Server, port: number): Promise<string> {
  const told = once(server, 'tlsClientError') as Promise<[Error & { code: string }]>;
  dial(port).on('error', () => undefined);
  return (await told)[0].code;
}

it('ends sessions with a typed error, and opens others when the module is back', async () => {
  const card = cardWith({ kind: 'server' });
  const stop = await run(card);
  const { server, port } = await serve(await openModule(`unix:${path}`, { pin: '1234', reconnect: true }));
  const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
  const client = await works(port);
  client.on('error', () => undefined);
  const [socket] = await accepted;
  const failed = once(socket, 'error') as Promise<[Error & { code: string }]>;
  await stop();
  client.write('anyone there?');
  expect((await failed)[0].code).toBe('ERR_MODULE_GONE');
  expect(await refusal(server, port)).toBe('ERR_MODULE_GONE');
  expect(await refusal(server, port)).toBe('ERR_MODULE_GONE');
  await run(card);
  await works(port);
  await Promise.all([works(port), works(port)]);
});

it('does not try a PIN again that was refused', async () => {
  const card = cardWith({ kind: 'server' });
  const stop = await run(card);
  let given = '1234';
  let asked = 0;
  const read = () => {
    asked++;
    return Buffer.from(given);
  };
  const { server, port } = await serve(await openModule(`unix:${path}`, { pin: read, reconnect: true }));
  await works(port);
  await stop();
  expect(await refusal(server, port)).toBe('ERR_MODULE_GONE');
  await run(card);
  given = '9999';
  asked = 0;
  for (let tries = 0; tries < 4; tries++) expect(await refusal(server, port)).toBe('ERR_MODULE_PIN_WRONG');
  expect(asked).toBe(1);
  expect(openState(card.storage).pin('user').tries).toBe(2);
});

it('is over for good without the option, and needs a PIN that can be had again with it', async () => {
  const card = cardWith({ kind: 'server' });
  const stop = await run(card);
  const { server, port } = await serve(await openModule(`unix:${path}`, { pin: '1234' }));
  await works(port);
  await stop();
  await run(card);
  expect(await refusal(server, port)).toBe('ERR_MODULE_GONE');
  await expect(openModule(`unix:${path}`, { pin: pin('1234'), reconnect: true })).rejects.toMatchObject({
    code: 'ERR_TLS_OPTION',
  });
});
