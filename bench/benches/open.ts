import type { Duplex } from 'node:stream';
import { createServer, type TLSSocket } from '../../src/index.ts';
import { muxServer } from '../../src/mux/index.ts';
import { connectMux, type MuxSession, muxSession } from '../../src/node/mux.ts';
import { defineBench } from '../harness.ts';
import { close, type Files, listen, makeFiles, nodes, once } from '../support/stacks.ts';

const CONNECTIONS = 1000;
const APPLICATION = { name: 'echo', port: 7 };

let files: Promise<Files> | undefined;

/** 1,000 application connections opened at once, and one byte echoed on each: over one session, and as TLS connections. */
export default defineBench({
  name: 'open',
  unit: 'ms',
  higherIsBetter: false,
  peerName: 'node:tls',
  ours: measureOurs,
  peer: measurePeer,
});

/** The session's own handshake is part of the time. */
async function measureOurs(): Promise<number> {
  files ??= makeFiles();
  const { ca, cert, key } = await files;
  const server = createServer(
    { cert, key, subProtocols: [muxServer({ applications: [APPLICATION] })] },
    (socket: TLSSocket) => {
      // The client ends with all connections open: that is no part of what is measured.
      socket.on('error', () => {});
      const session = muxSession(socket)?.on('error', () => {});
      session?.on('connection', (connection) => connection.on('error', () => {}).pipe(connection));
    },
  );
  const port = await listen(server);
  const start = performance.now();
  const session: MuxSession = connectMux({ host: '127.0.0.1', port, servername: 'localhost', ca });
  await new Promise((resolve, reject) => session.once('ready', resolve as () => void).once('error', reject));
  const connections = Array.from({ length: CONNECTIONS }, () => session.open(APPLICATION.name));
  await Promise.all(connections.map(echo));
  const milliseconds = performance.now() - start;
  session.destroy();
  await close(server);
  return milliseconds;
}

async function measurePeer(): Promise<number> {
  files ??= makeFiles();
  const stack = nodes(await files);
  const server = stack.serve((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.maxConnections = CONNECTIONS;
  const port = await listen(server);
  const start = performance.now();
  const sockets = Array.from({ length: CONNECTIONS }, () => stack.dial(port));
  await Promise.all(sockets.map(echo));
  const milliseconds = performance.now() - start;
  for (const socket of sockets) socket.destroy();
  await close(server);
  return milliseconds;
}

async function echo(stream: Duplex): Promise<void> {
  const echoed = once(stream, 'data');
  stream.write('!');
  await echoed;
}
