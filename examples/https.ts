// Node's own HTTP over these sockets: a server that is fed with them, and an agent that opens them.
//
//   node scripts/run-ts.mjs examples/https.ts [FOLDER]     FOLDER has ca.pem, server.pem, server.key; default pki
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { type ConnectionOptions, connect, createServer } from 'trellis';

const folder = process.argv[2] ?? 'pki';
const read = (name: string) => readFileSync(`${folder}/${name}`);

const web = http.createServer((request, response) => response.end(`Hello, you asked for ${request.url}\n`));
const server = createServer(
  { cert: read('server.pem'), key: read('server.key'), ALPNProtocols: ['http/1.1'] },
  (socket) => web.emit('connection', socket),
);
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;

const agent = new https.Agent({ keepAlive: true, ca: read('ca.pem'), servername: 'localhost' });
Object.assign(agent, { createConnection: (options: ConnectionOptions) => connect(options) });

for (const path of ['/one', '/two']) {
  const request = https.request({ host: '127.0.0.1', port, path, agent });
  request.end();
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  for await (const chunk of response) process.stdout.write(chunk as Buffer);
  console.log(`  status ${response.statusCode}, connection ${request.reusedSocket ? 'kept' : 'new'}`);
}
agent.destroy();
server.close();
