// One side of the bench of streamed messages, with an archive on disk. Prints a JSON line for each step.
//   sign-stream.ts receive ARCHIVE              says its port, then how it went
//   sign-stream.ts send ARCHIVE PORT MEBIBYTES  says how it went
// (certificate files as JSON in the environment)
import { openArchive } from '../../src/evidence/archive/open.ts';
import { connect, createSecureContext, createServer, StreamedMessage } from '../../src/index.ts';
import { signClient, signServer } from '../../src/sign/index.ts';
import { TrustStore } from '../../src/x509/trust-store.ts';
import { listen, once } from './stacks.ts';

const MEBIBYTE = 1 << 20;
const [role, path, port, mebibytes] = process.argv.slice(2) as [string, string, string, string];
const { ca, cert, key } = JSON.parse(process.env.TRELLIS_BENCH_FILES ?? '{}') as Record<string, string>;
const archive = await openArchive(path);
const tell = (what: object): void => console.log(JSON.stringify(what));

/** How much larger the process gets, at most, in MiB, and the time that it computes, in seconds. */
function watch(): () => { growth: number; cpu: number } {
  const cpuBefore = process.cpuUsage();
  const before = process.memoryUsage.rss();
  let most = before;
  const look = (): void => {
    most = Math.max(most, process.memoryUsage.rss());
  };
  const timer = setInterval(look, 50);
  return () => {
    clearInterval(timer);
    look();
    const { user, system } = process.cpuUsage(cpuBefore);
    return { growth: Math.round((most - before) / MEBIBYTE), cpu: (user + system) / 1e6 };
  };
}

async function send(): Promise<void> {
  const [identity] = createSecureContext({ cert, key }).identities;
  const socket = connect({
    host: '127.0.0.1',
    port: Number(port),
    servername: 'localhost',
    ca,
    subProtocols: [signClient({ formats: ['pkcs7'], signer: identity, archive })],
  });
  await once(socket, 'secureConnect');
  socket.signing?.on();
  await socket.signWrite('a first message, so that what is made once is there');
  const figures = watch();
  const piece = Buffer.alloc(MEBIBYTE);
  async function* content(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < Number(mebibytes); i++) {
      piece.writeUInt32BE(i);
      yield piece;
    }
  }
  const began = performance.now();
  await socket.signWrite(content());
  const seconds = (performance.now() - began) / 1000;
  tell({ seconds, ...figures() });
  socket.destroy();
  await archive.close();
}

async function receive(): Promise<void> {
  const trust = TrustStore.fromPem(ca as string);
  const server = createServer(
    { cert, key, subProtocols: [signServer({ trust, archive })] },
    async (socket) => {
      socket.resume();
      socket.on('error', () => {});
      for await (const message of socket.signed.streaming()) {
        if (!(message instanceof StreamedMessage)) continue;
        const figures = watch();
        let length = 0;
        for await (const { bytes } of message.content) length += bytes.length;
        const { record } = await message.verdict;
        tell({ length, record, ...figures() });
      }
    },
  );
  tell({ port: await listen(server) });
}

await (role === 'send' ? send() : receive());
