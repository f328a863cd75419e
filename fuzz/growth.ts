import { getHeapCodeStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** What is still reachable after a collection, after so many inputs. */
export interface HeapSample {
  readonly inputs: number;
  /** V8's heap and what hangs on it outside, without `code`. */
  readonly bytes: number;
  /** What V8 compiled, and its notes on that. It grows for as long as inputs find new ways through the functions. */
  readonly code: number;
}

/** Samples in a run of any length, evenly spaced, with one before the first input. */
export const HEAP_SAMPLES = 16;
/** The share of the samples at the start that says nothing: tables are built when first used. */
const WARM_UP = 1 / 4;
/**
 * What may be added after the warm-up. Feedback that V8 keeps for functions is some hundred KiB that do not come again; a
 * leak of a single object per input is beyond this after some ten thousand inputs.
 */
const MAX_GROWTH = 2 ** 20;

/**
 * Whether memory grows with the inputs: the median of the last quarter of the samples against that of the quarter after
 * the warm-up. Resident memory is no measure of this, for V8 lets garbage lie while there is room, and keeps freed pages.
 */
export function growthOf(samples: readonly HeapSample[]): {
  readonly bytes: number;
  readonly grows: boolean;
} {
  const quarter = Math.max(1, Math.floor(samples.length * WARM_UP));
  const rest = samples.slice(quarter);
  const bytes = median(rest.slice(-quarter)) - median(rest.slice(0, quarter));
  return { bytes, grows: bytes > MAX_GROWTH };
}

/** What a full collection leaves, after what waits for the event loop has been let go. */
export async function sampleHeap(inputs: number): Promise<HeapSample> {
  collect ??= exposedCollector();
  // Twice: what a finalizer of the first round lets go is garbage of the second.
  for (let round = 0; round < 2; round++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external } = process.memoryUsage();
  const { code_and_metadata_size, bytecode_and_metadata_size } = getHeapCodeStatistics();
  const code = code_and_metadata_size + bytecode_and_metadata_size;
  return { inputs, bytes: heapUsed + external - code, code };
}
let collect: (() => void) | undefined;

function exposedCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

function median(samples: readonly HeapSample[]): number {
  const sorted = samples.map(({ bytes }) => bytes).sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}
