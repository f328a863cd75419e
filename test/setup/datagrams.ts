import { once } from 'node:events';
import type { DtlsSocket } from '../../src/node/dtls/index.ts';

/** Sends it, and waits for what comes next. */
export async function ask(socket: DtlsSocket, datagram: string | Uint8Array): Promise<Buffer> {
  const answer = once(socket, 'message');
  socket.send(datagram);
  const [message] = (await answer) as [Buffer];
  return message;
}

/** Sends every datagram back. */
export function echo(socket: DtlsSocket): void {
  socket.on('error', () => {});
  socket.on('message', (datagram) => socket.send(datagram));
}
