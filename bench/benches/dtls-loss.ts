import { type Bench, defineBench } from '../harness.ts';
import { isHere } from '../support/dtls.ts';
import { type Handshakes, opensslThrough, oursThrough } from '../support/dtls-loss.ts';

const LOSSES = [0, 0.05, 0.1, 0.2, 0.3, 0.5];
/** Decides the number; the others are told beside it. */
const LOSS = 0.1;

interface Cell {
  readonly median: number;
  readonly p90: number;
  readonly failed: number;
}

interface Row {
  readonly ours: Cell;
  readonly OpenSSL: Cell | null;
  readonly 'ours, DTLS 1.3': Cell;
}

/** The matrix is one run, in which all handshakes of a cell are under way at once: nearly all of their time is waiting. */
let matrix: Promise<ReadonlyMap<number, Row>> | undefined;

/**
 * Milliseconds from the client's first datagram to its complete handshake, through a relay that loses the same share in both
 * directions. DTLS 1.2, which OpenSSL has, both with a first time-out of one second. One that has failed counts as `LIMIT`.
 */
export const dtlsLoss: Bench = defineBench({
  name: 'dtls-loss',
  unit: 'ms',
  higherIsBetter: false,
  peerName: 'OpenSSL',
  rounds: 1,
  coldStart: true,
  ours: async () => (await rowOf(LOSS)).ours.median,
  peer: () =>
    isHere('openssl') ? rowOf(LOSS).then(({ OpenSSL }) => OpenSSL?.median ?? Number.NaN) : undefined,
  details: async () =>
    Object.fromEntries([...(await measureMatrix())].map(([loss, row]) => [`${loss * 100} %`, row])),
});

async function rowOf(loss: number): Promise<Row> {
  return (await measureMatrix()).get(loss) as Row;
}

function measureMatrix(): Promise<ReadonlyMap<number, Row>> {
  matrix ??= (async () => {
    const rows = new Map<number, Row>();
    for (const loss of LOSSES) {
      const [ours, newer] = await Promise.all([oursThrough(loss, 'TLSv1.2'), oursThrough(loss, 'TLSv1.3')]);
      // Apart from ours: starting processes holds up this one, and with it both ends and the relay.
      const theirs = isHere('openssl') ? await opensslThrough(loss) : null;
      rows.set(loss, {
        ours: cell(ours),
        OpenSSL: theirs && cell(theirs),
        'ours, DTLS 1.3': cell(newer),
      });
    }
    return rows;
  })();
  return matrix;
}

function cell({ times, failed }: Handshakes): Cell {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.floor((sorted.length - 1) * share)] as number);
  return { median: at(0.5), p90: at(0.9), failed };
}
