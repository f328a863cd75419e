import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { close, type Files, listen, makeFiles, once, type Stack } from './stacks.ts';

/** Connections under way at once: enough that neither waits for the network alone. */
const TOGETHER = 4;

let shared: Promise<Files> | undefined;

/**
 * Handshakes per second, client and server in one process over loopback.
 * @param resumed all of them resume the session of one that is not counted
 * @param files by default a certificate on P-256, the same for all
 */
export async function handshakesPerSecond(
  make: (files: Files) => Stack,
  count: number,
  resumed = false,
  files?: Files,
): Promise<number> {
  shared ??= makeFiles();
  const stack = make(files ?? (await shared));
  const sockets: Duplex[] = [];
  const server = stack.serve((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.resume();
  });
  const port = await listen(server);
  const session = resumed ? await firstSession(stack.dial(port)) : undefined;
  const start = performance.now();
  let left = count;
  const dialInTurn = async (): Promise<void> => {
    while (left-- > 0) {
      const socket = stack.dial(port, session);
      sockets.push(socket);
      await once(socket, 'secureConnect');
      if (resumed !== (socket as TLSSocket).isSessionReused())
        throw new Error('It is not what was to be measured');
    }
  };
  await Promise.all(Array.from({ length: TOGETHER }, dialInTurn));
  const seconds = (performance.now() - start) / 1000;
  for (const socket of sockets) socket.destroy();
  await close(server);
  return count / seconds;
}

function firstSession(socket: Duplex): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    socket.once('session', (session: Buffer) => {
      socket.destroy();
      resolve(session);
    });
    socket.once('error', reject);
    socket.resume();
  });
}
