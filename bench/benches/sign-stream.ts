import { join } from 'node:path';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { defineBench } from '../harness.ts';
import { runFile } from '../support/child.ts';
import { benchFolder } from '../support/evidence.ts';
import { signFiles } from '../support/sign.ts';

/** Of the message; 1024 shows that memory does not grow with it. */
const MEBIBYTES = Number(process.env.TRELLIS_BENCH_MIB ?? 256);
const MEBIBYTE = 1 << 20;
/** What issue 3 asks for: growth of either process while a message of any size goes through, in MiB. */
const MEMORY_GOAL = 150;

/**
 * One streamed message, signed in one process, verified in another, archived by both and acknowledged. The peer hashes
 * the same bytes three times, as each side has to: the content, the object, and what goes into the archive.
 */
export default defineBench({
  name: 'sign-stream',
  unit: 'MB/s',
  higherIsBetter: true,
  peerName: 'bare SHA-256 of the same bytes, three times',
  rounds: 3,
  ours: async () => {
    const { ca, cert, key } = await signFiles();
    process.env.TRELLIS_BENCH_FILES = JSON.stringify({ ca: `${ca}`, cert: `${cert}`, key: `${key}` });
    const folder = benchFolder();
    const run = (...args: string[]) => runFile('bench/support/sign-stream.ts', args);
    const receiver = run('receive', join(folder, 'far.db'));
    try {
      const { port } = await receiver.next<{ port: number }>();
      const sender = run('send', join(folder, 'near.db'), String(port), String(MEBIBYTES));
      try {
        const [sent, received] = await Promise.all([
          sender.next<Figures & { seconds: number }>(),
          receiver.next<Figures & { length: number }>(),
        ]);
        if (received.length !== MEBIBYTES * MEBIBYTE) throw new Error(`it has ${received.length} bytes`);
        console.error(
          `sign-stream: ${MEBIBYTES} MiB in ${sent.seconds.toFixed(1)} s; sender ${describe(sent)}, receiver ${describe(received)} (goal: ${MEMORY_GOAL} MiB)`,
        );
        return received.length / 1e6 / sent.seconds;
      } finally {
        await sender.stop();
      }
    } finally {
      await receiver.stop();
    }
  },
  peer: async () => {
    const piece = new Uint8Array(MEBIBYTE);
    const began = performance.now();
    for (let pass = 0; pass < 3; pass++) {
      const hash = nodeCrypto.hash('sha256');
      for (let i = 0; i < MEBIBYTES; i++) hash.update(piece);
      hash.snapshot();
    }
    return (MEBIBYTES * MEBIBYTE) / 1e6 / ((performance.now() - began) / 1000);
  },
});

interface Figures {
  /** MiB. */
  readonly growth: number;
  /** Seconds. */
  readonly cpu: number;
}

function describe({ growth, cpu }: Figures): string {
  return `grew by ${growth} MiB and computed for ${cpu.toFixed(1)} s`;
}
