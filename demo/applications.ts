import { createHash } from 'node:crypto';
import http from 'node:http';
import net, { type AddressInfo, type Server } from 'node:net';

/** Ports on 127.0.0.1 of three ordinary applications that know nothing of TLS. */
export interface Applications {
  readonly http: number;
  readonly echo: number;
  readonly sink: number;
  close(): void;
}

/** The body that the HTTP application gives for a path: long enough to be a page, different for each. */
export function pageFor(path: string): string {
  return JSON.stringify({ path, text: `This is ${path}. `.repeat(100) });
}

export async function startApplications(): Promise<Applications> {
  const web = http.createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(pageFor(request.url ?? '/'));
  });
  const echo = net.createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  // Answers the end of the data with its SHA-256: needs a half-close that is carried faithfully.
  const sink = net.createServer({ allowHalfOpen: true }, (socket) => {
    const hash = createHash('sha256');
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => hash.update(chunk));
    socket.on('end', () => socket.end(hash.digest('hex')));
  });
  const servers = [web, echo, sink];
  const [httpPort = 0, echoPort = 0, sinkPort = 0] = await Promise.all(servers.map(listenOnLoopback));
  return {
    http: httpPort,
    echo: echoPort,
    sink: sinkPort,
    close: () => {
      for (const server of servers) server.close();
      web.closeAllConnections();
    },
  };
}

export async function listenOnLoopback(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject));
  return (server.address() as AddressInfo).port;
}
