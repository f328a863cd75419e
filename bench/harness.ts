/** One thing that is measured, ours against software that others trust. */
export interface Bench {
  readonly name: string;
  /** Of every number below, such as `MB/s` or `ms`. */
  readonly unit: string;
  readonly higherIsBetter: boolean;
  /** Whom we are compared with, and its version where that matters. */
  readonly peerName: string;
  /** One measurement. What it prepares and tears down is not part of the number it gives. */
  ours(): Promise<number>;
  /** The same work done by the peer; `undefined` when the peer is not on this machine. */
  peer(): Promise<number> | undefined;
  /** Further peers by name, measured once, for the reader; they decide nothing. */
  readonly others?: Readonly<Record<string, () => Promise<number>>>;
  /** Further peers that there is a goal for, each measured in turn with ours doing the same work. */
  readonly rivals?: readonly Rival[];
  /** What one number does not say, measured once: printed beside it as it is. */
  readonly details?: () => Promise<Readonly<Record<string, unknown>>>;
  /** Rounds that count, without the warm-up. Default 5. */
  readonly rounds?: number;
  /** No round to warm up: each starts processes that get warm by themselves. */
  readonly coldStart?: boolean;
}

export interface Rival {
  readonly name: string;
  ours(): Promise<number>;
  theirs(): Promise<number>;
}

export interface RivalResult {
  readonly name: string;
  /** Medians of the rounds, and their ratio: above 1 ours is better. */
  readonly ours: number;
  readonly peer: number;
  readonly ratio: number;
  readonly rounds: readonly Round[];
}

export interface Round {
  readonly ours: number;
  readonly peer: number | null;
}

/** What `npm run bench -- NAME --json` prints. */
export interface BenchResult {
  readonly name: string;
  /** Median of the rounds. */
  readonly ours: number;
  /** Median of the rounds, or `null` without a peer. */
  readonly peer: number | null;
  readonly peerName: string;
  /** Of the medians. Above 1 ours is better, whichever way the unit counts. `null` without a peer. */
  readonly ratio: number | null;
  readonly unit: string;
  readonly rounds: readonly Round[];
  readonly details?: Readonly<Record<string, unknown>>;
  /** In the place of a result, why one has failed. */
  readonly rivals?: readonly (RivalResult | { readonly name: string; readonly failed: string })[];
  /** Of `others`; `null` for one that has failed or is not there. */
  readonly others?: Readonly<Record<string, number | null>>;
}

/** Odd, so that the median is a measured value; enough to leave an outlier on each side. */
export const DEFAULT_ROUNDS = 5;

/** Gives a bench its type; a file in bench/benches exports the result as its default and benches/index.ts lists it. */
export function defineBench(bench: Bench): Bench {
  return bench;
}

/**
 * Measures ours and the peer in turn, so that a machine that gets slower meanwhile slows both. Each goes first in every
 * other round. The first round warms up (code, caches, clocks) and is thrown away.
 */
export async function measure(
  bench: Bench,
  rounds: number = bench.rounds ?? DEFAULT_ROUNDS,
  progress: (line: string) => void = () => {},
): Promise<BenchResult> {
  if (bench.coldStart !== true) {
    await measureRound(bench, true);
    progress(`${bench.name}: warmed up`);
  }
  const measured = await measureRounds(bench, rounds, progress);
  const rivals = bench.rivals === undefined ? {} : { rivals: await measureRivals(bench, rounds, progress) };
  const result = {
    ...summarise(bench, measured),
    ...rivals,
    ...(bench.details === undefined ? {} : { details: await bench.details() }),
  };
  return bench.others === undefined ? result : { ...result, others: await measureOthers(bench.others) };
}

async function measureRounds(
  bench: Measurable,
  rounds: number,
  progress: (line: string) => void,
): Promise<Round[]> {
  const measured: Round[] = [];
  for (let index = 0; index < rounds; index++) {
    const round = await measureRound(bench, index % 2 === 0);
    measured.push(round);
    progress(`${bench.name}: round ${index + 1} of ${rounds}: ${describeRound(bench, round)}`);
  }
  return measured;
}

type Measurable = Pick<Bench, 'name' | 'unit' | 'peerName' | 'higherIsBetter' | 'ours' | 'peer'>;

async function measureRivals(
  bench: Bench,
  rounds: number,
  progress: (line: string) => void,
): Promise<NonNullable<BenchResult['rivals']>> {
  const results: NonNullable<BenchResult['rivals']>[number][] = [];
  for (const { name, ours, theirs } of bench.rivals ?? []) {
    const pair = { ...bench, peerName: name, ours, peer: theirs };
    try {
      const { ours, peer, ratio, rounds: all } = summarise(pair, await measureRounds(pair, rounds, progress));
      results.push({ name, ours, peer: peer as number, ratio: ratio as number, rounds: all });
    } catch (error) {
      results.push({ name, failed: error instanceof Error ? error.message : String(error) });
    }
  }
  return results;
}

async function measureOthers(
  others: Readonly<Record<string, () => Promise<number>>>,
): Promise<Record<string, number | null>> {
  const found: Record<string, number | null> = {};
  for (const [name, run] of Object.entries(others)) {
    found[name] = await run().catch(() => null);
  }
  return found;
}

/** The medians and their ratio. */
export function summarise(
  { name, unit, peerName, higherIsBetter }: Pick<Bench, 'name' | 'unit' | 'peerName' | 'higherIsBetter'>,
  rounds: readonly Round[],
): BenchResult {
  const ours = median(rounds.map((round) => round.ours));
  const peers = rounds.map((round) => round.peer).filter((value) => value !== null);
  const peer = peers.length === 0 ? null : median(peers);
  const ratio = peer === null ? null : higherIsBetter ? ours / peer : peer / ours;
  return { name, ours, peer, peerName, ratio, unit, rounds };
}

/** The middle value; of an even number of values, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  if (upper === undefined || lower === undefined) throw new RangeError('A median needs at least one value');
  return (lower + upper) / 2;
}

/** The result for a reader. */
export function renderResult(bench: Bench, result: BenchResult): string {
  const direction = bench.higherIsBetter ? 'higher is better' : 'lower is better';
  const heading = `${result.name} (${result.unit}, ${direction}; median of ${result.rounds.length} rounds)`;
  const ours = `  ours   ${formatNumber(result.ours)}`;
  if (result.peer === null || result.ratio === null) {
    return `${heading}\n${ours}\n  peer   ${result.peerName} is not on this machine: no comparison`;
  }
  const verdict = result.ratio >= 1 ? 'ours is better' : 'the peer is better';
  const others = Object.entries(result.others ?? {}).map(
    ([name, value]) => `  also   ${value === null ? 'failed' : formatNumber(value)}  ${name}`,
  );
  return [
    heading,
    ours,
    `  peer   ${formatNumber(result.peer)}  ${result.peerName}`,
    `  ratio  ${result.ratio.toFixed(2)}  ${verdict}`,
    ...(result.rivals ?? []).map((rival) =>
      'failed' in rival
        ? `  beside ${rival.name}: ${rival.failed}`
        : `  beside ${rival.name}: ours ${formatNumber(rival.ours)}, theirs ${formatNumber(rival.peer)}, ratio ${rival.ratio.toFixed(2)}`,
    ),
    ...others,
    ...(result.details === undefined ? [] : [JSON.stringify(result.details, undefined, 2)]),
  ].join('\n');
}

async function measureRound(bench: Measurable, oursFirst: boolean): Promise<Round> {
  if (oursFirst) {
    const ours = await bench.ours();
    return { ours, peer: (await bench.peer()) ?? null };
  }
  const peer = (await bench.peer()) ?? null;
  return { ours: await bench.ours(), peer };
}

function describeRound({ unit, peerName }: Measurable, { ours, peer }: Round): string {
  const other = peer === null ? `no ${peerName} here` : `${peerName} ${formatNumber(peer)}`;
  return `ours ${formatNumber(ours)}, ${other} (${unit})`;
}

function formatNumber(value: number): string {
  return value.toLocaleString('en', { maximumSignificantDigits: 4 });
}
