import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';
import { type Fate, startRelay } from '../../demo/udp/relay.ts';
import {
  connect,
  createServer,
  type DtlsConnectOptions,
  type DtlsEndpoint,
  type DtlsServerOptions,
  type DtlsSocket,
} from '../../src/node/dtls/index.ts';
import { CA, SERVER } from './node-kit.ts';

/** A server on a free port of 127.0.0.1 that ends with the test. */
export async function dtlsServer(
  options: Partial<DtlsServerOptions> = {},
  listener?: (socket: DtlsSocket) => void,
): Promise<{ server: DtlsEndpoint; port: number }> {
  const server = createServer({ ...SERVER, ...options }, listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { server, port: server.address()?.port as number };
}

export function dial(port: number, options: Partial<DtlsConnectOptions> = {}): DtlsSocket {
  const socket = connect({ host: '127.0.0.1', port, ca: CA, servername: 'localhost', ...options });
  onTestFinished(() => void socket.destroy());
  return socket;
}

export async function dialed(port: number, options: Partial<DtlsConnectOptions> = {}): Promise<DtlsSocket> {
  const socket = dial(port, options);
  await once(socket, 'secureConnect');
  return socket;
}

/** A UDP relay before `port` that ends with the test. @returns its port */
export async function relay(port: number, fate: Fate): Promise<number> {
  const started = await startRelay(port, fate);
  onTestFinished(() => started.close());
  return started.port;
}

/** A NAT for one client that can take another port, as one that has forgotten it does. */
export async function rebindingRelay(port: number): Promise<{ readonly port: number; rebind(): void }> {
  const front = createSocket('udp4').bind(0, '127.0.0.1');
  await once(front, 'listening');
  let client = 0;
  const makeBack = (): Socket => {
    const back = createSocket('udp4').bind(0, '127.0.0.1');
    back.on('message', (answer) => front.send(answer, client, '127.0.0.1'));
    return back;
  };
  let back = makeBack();
  front.on('message', (datagram, { port: from }) => {
    client = from;
    back.send(datagram, port, '127.0.0.1');
  });
  onTestFinished(() => {
    front.close();
    back.close();
  });
  return {
    port: front.address().port,
    rebind: () => {
      back.close();
      back = makeBack();
    },
  };
}
