import { defineBench } from '../harness.ts';
import { runFile } from '../support/child.ts';
import { pour } from '../support/pour.ts';
import { type Files, makeFiles, nodes, once, ours, type Stack } from '../support/stacks.ts';

const MEBIBYTE = 1024 * 1024;
const TOTAL = 512 * MEBIBYTE;
const CHUNK = Buffer.alloc(64 * 1024, 7);

let files: Promise<Files> | undefined;

/** One stream, a sending and a receiving process, AES-128-GCM; until the receiver has said that it has everything. */
export default defineBench({
  name: 'bulk',
  unit: 'MB/s',
  higherIsBetter: true,
  peerName: 'node:tls',
  ours: () => measure('ours', ours),
  peer: () => measure('peer', nodes),
});

async function measure(which: 'ours' | 'peer', make: (files: Files) => Stack): Promise<number> {
  files ??= makeFiles();
  const made = await files;
  process.env.TRELLIS_BENCH_FILES = JSON.stringify({
    ca: made.ca.toString(),
    cert: made.cert.toString(),
    key: made.key.toString(),
  });
  const sink = runFile('bench/support/sink.ts', [which, String(TOTAL)]);
  try {
    const { port } = await sink.next<{ port: number }>();
    const socket = make(made).dial(port);
    await once(socket, 'secureConnect');
    const answered = once(socket, 'data');
    const start = performance.now();
    pour(socket, CHUNK, TOTAL);
    await answered;
    const seconds = (performance.now() - start) / 1000;
    socket.destroy();
    return TOTAL / 1e6 / seconds;
  } finally {
    await sink.stop();
  }
}
