// The receiving process of the benches of signing: verifies messages, and says when it has them all.
//   sign-sink.ts MESSAGES   (certificate files as JSON in the environment)
import { createServer } from '../../src/index.ts';
import { signServer } from '../../src/sign/index.ts';
import { TrustStore } from '../../src/x509/trust-store.ts';
import { listen } from './stacks.ts';

const expected = Number(process.argv[2]);
const { ca, cert, key } = JSON.parse(process.env.TRELLIS_BENCH_FILES ?? '{}') as Record<string, string>;
const trust = TrustStore.fromPem(ca as string);
const server = createServer({ cert, key, subProtocols: [signServer({ trust })] }, async (socket) => {
  socket.resume();
  socket.on('error', () => {});
  let received = 0;
  try {
    for await (const _message of socket.signed) {
      if (++received === expected) console.log(JSON.stringify({ received }));
    }
  } catch (error) {
    if (received < expected) throw error;
  }
});
console.log(JSON.stringify({ port: await listen(server) }));
