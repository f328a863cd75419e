import type { Duplex } from 'node:stream';
import { defineBench } from '../harness.ts';
import { close, type Files, listen, makeFiles, nodes, once, ours, type Stack } from '../support/stacks.ts';

const HANDSHAKES = 1500;
/** Connections under way at once: enough that neither waits for the network alone. */
const TOGETHER = 4;

let files: Promise<Files> | undefined;

/** Full TLS 1.3 handshakes, P-256 certificate and its path validated, client and server in one process over loopback. */
export default defineBench({
  name: 'handshake',
  unit: 'handshakes/s',
  higherIsBetter: true,
  peerName: 'node:tls',
  ours: () => measure(ours),
  peer: () => measure(nodes),
});

async function measure(make: (files: Files) => Stack): Promise<number> {
  files ??= makeFiles();
  const stack = make(await files);
  const sockets: Duplex[] = [];
  const server = stack.serve((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.resume();
  });
  const port = await listen(server);
  const start = performance.now();
  let left = HANDSHAKES;
  const dialInTurn = async (): Promise<void> => {
    while (left-- > 0) {
      const socket = stack.dial(port);
      sockets.push(socket);
      await once(socket, 'secureConnect');
    }
  };
  await Promise.all(Array.from({ length: TOGETHER }, dialInTurn));
  const seconds = (performance.now() - start) / 1000;
  for (const socket of sockets) socket.destroy();
  await close(server);
  return HANDSHAKES / seconds;
}
