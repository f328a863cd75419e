// A TLS server that echoes, and a client that connects twice: the second time it resumes the first session.
//
//   node scripts/run-ts.mjs examples/echo.ts [FOLDER]     FOLDER has ca.pem, server.pem, server.key; default pki
//   SSLKEYLOGFILE=keys.log node scripts/run-ts.mjs examples/echo.ts
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect, createServer, keyLogFile } from 'trellis';

const folder = process.argv[2] ?? 'pki';
const read = (name: string) => readFileSync(`${folder}/${name}`);

const server = createServer({ cert: read('server.pem'), key: read('server.key') }, (socket) => {
  socket.on('error', (error) => console.error('server:', error.message));
  socket.pipe(socket);
});
if (process.env.SSLKEYLOGFILE) server.on('keylog', keyLogFile(process.env.SSLKEYLOGFILE));
server.on('tlsClientError', (error: Error) => console.error('a handshake failed:', error.message));
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;

let session: Uint8Array | undefined;
for (const text of ['first', 'second']) {
  const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: read('ca.pem'), session });
  socket.on('session', (ticket: Uint8Array) => {
    session = ticket;
  });
  await once(socket, 'secureConnect');
  console.log(
    socket.getProtocol(),
    socket.getCipher()?.name,
    socket.isSessionReused() ? 'resumed' : 'full handshake',
  );
  socket.end(text);
  for await (const chunk of socket) console.log('echoed:', String(chunk));
}
server.close();
