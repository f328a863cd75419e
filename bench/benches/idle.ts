import { defineBench } from '../harness.ts';
import { runFile } from '../support/child.ts';

/** Resident memory of an idle session's two ends, client and server, each in a fresh process that holds nothing else. */
export default defineBench({
  name: 'idle',
  unit: 'KiB/session',
  higherIsBetter: false,
  peerName: 'node:tls',
  ours: () => measure('ours'),
  peer: () => measure('peer'),
});

async function measure(which: 'ours' | 'peer'): Promise<number> {
  const child = runFile('bench/support/idle.ts', [which], ['--expose-gc']);
  try {
    return (await child.next<{ kibibytes: number }>()).kibibytes;
  } finally {
    await child.stop();
  }
}
