import type { Duplex } from 'node:stream';
import { close, type Files, listen, makeFiles, once, type Stack } from './stacks.ts';

/** Connections under way at once: enough that neither waits for the network alone. */
const TOGETHER = 4;

let files: Promise<Files> | undefined;

/** Full handshakes per second, client and server in one process over loopback, one certificate for all benches. */
export async function handshakesPerSecond(make: (files: Files) => Stack, count: number): Promise<number> {
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
  let left = count;
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
  return count / seconds;
}
