// The receiving process of the bulk bench: counts what it gets and answers one byte when it has it all.
//   sink.ts ours|peer BYTES   (certificate files as JSON on standard input's place: the environment)
import type { Duplex } from 'node:stream';
import { type Files, listen, nodes, ours } from './stacks.ts';

const [which, bytes] = process.argv.slice(2);
const expected = Number(bytes);
const encoded = JSON.parse(process.env.TRELLIS_BENCH_FILES ?? '{}') as Record<keyof Files, string>;
const files: Files = {
  ca: Buffer.from(encoded.ca),
  cert: Buffer.from(encoded.cert),
  key: Buffer.from(encoded.key),
};
const stack = (which === 'ours' ? ours : nodes)(files);
const server = stack.serve((socket: Duplex) => {
  let received = 0;
  socket.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (received === expected) socket.end('!');
  });
  socket.on('error', (error) => {
    console.error(error);
    process.exit(1);
  });
});
console.log(JSON.stringify({ port: await listen(server) }));
