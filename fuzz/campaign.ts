import { Script } from 'node:vm';
import { growthOf, HEAP_SAMPLES, type HeapSample, sampleHeap } from './growth.ts';
import { mutate, Random } from './mutate.ts';
import { isVerdict, type Target } from './target.ts';

export interface Campaign {
  /** Wall time in ms, collections included; without end where it is not given. */
  readonly ms?: number;
  /** And so many inputs, whichever is reached first. */
  readonly inputs?: number;
  /** The first input's seed; the next has the one after it. */
  readonly seed: number;
  /** An input that takes longer hangs, in ms; default two minutes, for a machine however busy. */
  readonly hangMs?: number;
}

/** What one target did with its inputs. Memory is in bytes. */
export interface Outcome {
  readonly target: string;
  readonly inputs: number;
  readonly seconds: number;
  /** Processor time of the whole process, collections included. */
  readonly cpuSeconds: number;
  /** Inputs that waited longer than a second, though they did not compute so long. */
  readonly waited: number;
  readonly rss: { readonly start: number; readonly end: number; readonly peak: number };
  /** What a collection left at the start, at the end, and what was added after the warm-up; V8's code does not count. */
  readonly heap: { readonly start: number; readonly end: number; readonly grown: number };
  readonly heapSamples: readonly HeapSample[];
  readonly failure: Failure | undefined;
}

export interface Failure {
  readonly kind: 'crash' | 'slow' | 'hang' | 'growth';
  readonly error: unknown;
  /** The input that did it; growth has none. */
  readonly found: { readonly seed: number; readonly input: Uint8Array } | undefined;
}

/** One input that computes longer than this is as good as a hang. */
const SLOW_MS = 1000;
const HANG_MS = 120_000;
/** The event loop gets its turn this often, or finalizers would wait until the end. */
const BATCH_MS = 100;

/** Gives damaged seeds to one target until its time or its inputs are used up, or one of them does harm. */
export async function runCampaign(target: Target, campaign: Campaign): Promise<Outcome> {
  const { ms = Infinity, inputs: maxInputs = Infinity, seed: firstSeed, hangMs = HANG_MS } = campaign;
  const seeds = target.seeds();
  const rssStart = process.memoryUsage.rss();
  const cpuStart = process.cpuUsage();
  const began = performance.now();
  const heapSamples: HeapSample[] = [await sampleHeap(0)];
  let inputs = 0;
  let waited = 0;
  let failure: Failure | undefined;
  let current = { seed: firstSeed, input: new Uint8Array() as Uint8Array };

  const progress = (): number => Math.max((performance.now() - began) / ms, inputs / maxInputs);
  const isSampleDue = (): boolean => progress() >= heapSamples.length / (HEAP_SAMPLES - 1);

  const batch = (): Failure | undefined => {
    const end = performance.now() + BATCH_MS;
    let before = performance.now();
    while (before < end && !isSampleDue()) {
      const seed = firstSeed + inputs;
      current = { seed, input: mutate(seeds, new Random(seed)) };
      try {
        target.run(current.input);
      } catch (error) {
        if (!isVerdict(error)) return { kind: 'crash', error, found: current };
      }
      inputs++;
      const after = performance.now();
      if (after - before > SLOW_MS) {
        if (computesLong(target, current.input))
          return { kind: 'slow', error: new Error(`More than ${SLOW_MS} ms`), found: current };
        waited++;
      }
      before = after;
    }
    return undefined;
  };

  while (failure === undefined && progress() < 1) {
    try {
      failure = interruptible(batch, hangMs);
    } catch (error) {
      failure = { kind: 'hang', error, found: current };
    }
    await new Promise((resolve) => setImmediate(resolve));
    if (isSampleDue()) heapSamples.push(await sampleHeap(inputs));
  }

  const { bytes: grown, grows } = growthOf(heapSamples);
  if (failure === undefined && grows)
    failure = { kind: 'growth', error: new Error(`${grown} bytes more after collection`), found: undefined };
  const { user, system } = process.cpuUsage(cpuStart);
  return {
    target: target.name,
    inputs,
    seconds: (performance.now() - began) / 1000,
    cpuSeconds: (user + system) / 1e6,
    waited,
    rss: {
      start: rssStart,
      end: process.memoryUsage.rss(),
      peak: process.resourceUsage().maxRSS * 1024,
    },
    heap: { start: heapSamples[0]?.bytes ?? 0, end: heapSamples.at(-1)?.bytes ?? 0, grown },
    heapSamples,
    failure,
  };
}

/** Whether it is the input: on a busy machine any of them may have to wait, but not for its own processor time. */
function computesLong(target: Target, input: Uint8Array): boolean {
  const before = process.cpuUsage();
  try {
    target.run(input);
  } catch {
    // Its verdict is known already.
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 > SLOW_MS;
}

const SLOT = 'trellisFuzzBatch';
const script = new Script(`globalThis.${SLOT}()`);

/** Runs what may never come back: V8 ends it in time, by an exception that it cannot catch itself. */
function interruptible<T>(run: () => T, timeout: number): T {
  Object.assign(globalThis, { [SLOT]: run });
  return script.runInThisContext({ timeout }) as T;
}
