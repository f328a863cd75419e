// Two workers of node:cluster on one UDP port, which send back who they are.   (credentials and secret as JSON in the environment)
import cluster from 'node:cluster';
import { join } from 'node:path';
import { createServer, type Remote } from '../../src/node/dtls/index.ts';

const WORKERS = 2;

/** What workers say to the primary, and one to another by way of it. */
type Message = { readonly port: number } | Handed;

/** A datagram that the other worker has read. */
interface Handed {
  readonly to: number;
  readonly datagram: string;
  readonly remote: Remote;
}

if (cluster.isPrimary) lead();
else work(Number(process.env.WORKER_ID));

function lead(): void {
  cluster.setupPrimary({
    exec: join(import.meta.dirname, '..', '..', 'scripts', 'run-ts.mjs'),
    args: [import.meta.filename],
  });
  const ports: number[] = [];
  const workers = Array.from({ length: WORKERS }, (_, n) => cluster.fork({ WORKER_ID: String(n) }));
  for (const worker of workers) {
    worker.on('message', (message: Message) => {
      if ('to' in message) workers[message.to]?.send(message);
      else if (ports.push(message.port) === WORKERS) console.log(JSON.stringify({ ports }));
    });
    // Without it the test would wait for answers of nobody.
    worker.on('exit', () => process.exit(1));
  }
}

function work(workerId: number): void {
  const { cert, key, cookieSecret } = JSON.parse(process.env.CLUSTER_TERMS ?? '{}') as Record<string, string>;
  const send = (message: Message): void => void process.send?.(message);
  let handed = 0;
  const server = createServer(
    {
      cert,
      key,
      cookieSecret: Buffer.from(cookieSecret as string, 'hex'),
      cluster: {
        workerId,
        workers: WORKERS,
        forward: (to, datagram, remote) => {
          handed++;
          send({ to, datagram: datagram.toString('base64'), remote });
        },
      },
    },
    (socket) => {
      socket.on('error', () => {});
      socket.on('message', (text) =>
        socket.send(JSON.stringify({ workerId, handed, text: String(text), port: socket.remotePort })),
      );
    },
  );
  process.on('message', ({ datagram, remote }: Handed) =>
    server.inject(Buffer.from(datagram, 'base64'), remote),
  );
  server.listen(0, '127.0.0.1', () => send({ port: server.address()?.port as number }));
}
