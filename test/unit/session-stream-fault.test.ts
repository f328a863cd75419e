import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import { Connection, createSecureContext, TLSSocket } from '../../src/index.ts';
import { clientConfig } from '../../src/node/engine-config.ts';
import { duplexPair } from '../e2e/node-duplex-pair.ts';
import { CA, SERVER } from '../e2e/node-kit.ts';

/* What writers hear of a session that fails, or is given up, while they write. */

const opened: { destroy(): void }[] = [];

afterEach(() => {
  for (const stream of opened.splice(0)) stream.destroy();
});

/** Our socket as the server, and a client whose bytes the test sends itself. */
function session() {
  const [near, far] = duplexPair();
  const server = new TLSSocket(far, { isServer: true, ...SERVER });
  opened.push(near, server);
  const context = createSecureContext({ ca: CA });
  const config = clientConfig(context, { servername: 'localhost' }, undefined, () => false);
  const client = Connection.client(config, Date.now());
  near.on('data', (bytes: Buffer) => {
    client.receive(bytes, Date.now());
    near.write(Buffer.concat(client.transmit()));
  });
  const handshake = async (): Promise<void> => {
    near.write(Buffer.concat(client.transmit()));
    await once(server, 'secure');
  };
  return { near, server, client, handshake };
}

it('a write after a fault fails with the fault, not with the session being closed', async () => {
  const { near, server, client, handshake } = session();
  // The answer to the data is written when the record after it has failed already.
  const written = new Promise<Error | null | undefined>((resolve) => {
    server.on('data', (data: Buffer) => server.write(data, resolve));
  });
  await handshake();
  const failed = once(server, 'error');
  client.send(Buffer.from('question'));
  const forged = Buffer.concat([Buffer.of(23, 3, 3, 0, 32), Buffer.alloc(32)]);
  near.write(Buffer.concat([...client.transmit(), forged]));
  const [error] = await failed;
  expect(error.code).toBe('ERR_TLS_BAD_RECORD_MAC');
  expect(await written).toBe(error);
});

it('a write that waits for the transport is called back when the socket is destroyed', async () => {
  const { near, server, handshake } = session();
  await handshake();
  near.pause();
  const written = new Promise<Error | null | undefined>((resolve) => {
    server.write(Buffer.alloc(4 * 1024 * 1024), resolve);
  });
  const gone = once(server, 'close');
  server.destroy();
  expect(await gone).toEqual([false]);
  expect(await written).toMatchObject({ code: 'ERR_TLS_CLOSED' });
});
