import net from 'node:net';

export interface RunnerAddress {
  readonly port: number;
  readonly ipv6: boolean;
  /** Of the test that this is for. */
  readonly shimId: bigint;
  readonly signal: AbortSignal | undefined;
}

/** Connects to the runner and says which test this is for. */
export async function dialRunner({ port, ipv6, shimId, signal }: RunnerAddress): Promise<net.Socket> {
  const socket = net.connect({ port, host: ipv6 ? '::1' : '127.0.0.1', allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve).once('error', reject);
  });
  const abort = (): void => {
    socket.destroy();
  };
  signal?.addEventListener('abort', abort);
  socket.once('close', () => signal?.removeEventListener('abort', abort));
  const id = Buffer.alloc(8);
  id.writeBigUInt64LE(shimId);
  socket.write(id);
  return socket.setNoDelay(true);
}

/** Calls back with what comes, and when nothing comes any more. */
export function listenTo(socket: net.Socket, arrived: (bytes: Buffer) => void, ended: () => void): void {
  socket.on('data', arrived);
  socket.on('end', ended).on('error', ended).on('close', ended);
}
