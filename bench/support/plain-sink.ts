// A TCP application behind a tunnel: counts bytes and answers one when it has them all.   plain-sink.ts BYTES
import { createServer } from 'node:net';
import { listen } from './stacks.ts';

const expected = Number(process.argv[2]);
const server = createServer((socket) => {
  let received = 0;
  socket.on('data', (chunk) => {
    received += chunk.length;
    if (received === expected) socket.end('!');
  });
  socket.on('error', (error) => console.error(error));
});
console.log(JSON.stringify({ port: await listen(server) }));
