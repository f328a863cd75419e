import { once } from 'node:events';
import { afterEach } from 'vitest';
import { muxServer } from '../../src/mux/index.ts';
import { connectMux, type MuxSession, muxSession } from '../../src/node/mux.ts';
import type { TLSSocket } from '../../src/node/tls-socket.ts';
import { muxCompliance } from '../setup/mux-compliance.ts';
import { CA, closeAll, serve, trellis } from './node-kit.ts';

afterEach(closeAll);

const applications = [
  { name: 'echo', port: 7 },
  { name: 'sink', port: 9 },
];

muxCompliance('over TLS', async (mode, options) => {
  let accept: (session: MuxSession) => void = () => {};
  const accepted = new Promise<MuxSession>((resolve) => {
    accept = resolve;
  });
  const { port } = await serve(
    trellis,
    { subProtocols: [muxServer({ applications, ...options })] },
    (socket) => {
      const session = muxSession(socket as unknown as TLSSocket, { allowHalfOpen: true });
      if (session !== undefined) accept(session);
    },
  );
  const client = connectMux({
    port,
    host: '127.0.0.1',
    servername: 'localhost',
    ca: CA,
    mux: { ...options, mode },
  });
  await once(client, 'ready');
  const server = await accepted;
  // Without a goodbye, as a network breaks.
  return { client, server, drop: () => (client.socket as TLSSocket).destroy(new Error('the cable was cut')) };
});
