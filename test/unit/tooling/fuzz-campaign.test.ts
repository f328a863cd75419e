import { describe, expect, it } from 'vitest';
import { runCampaign } from '../../../fuzz/campaign.ts';
import { growthOf, HEAP_SAMPLES, sampleHeap } from '../../../fuzz/growth.ts';
import { decoder } from '../../../fuzz/target.ts';
import { DecodeError } from '../../../src/errors/errors.ts';

/** What `npm run fuzz` says of a target whose fault is known. */

const MIB = 2 ** 20;
const seeds = () => [new Uint8Array(100)];
const samples = (...mebibytes: number[]) =>
  mebibytes.map((bytes, i) => ({ inputs: i * 1000, bytes: bytes * MIB, code: 0 }));

describe('growth', () => {
  it('is none where the heap is level, or jumps once at the start', () => {
    expect(growthOf(samples(20, 26, 26.3, 26.1, 26.4, 26.2, 26.1, 26.3)).grows).toBe(false);
    expect(growthOf(samples(20, 26, 90, 26.1, 26.4, 26.2, 26.1, 26.3)).grows).toBe(false);
    expect(growthOf(samples(20)).grows).toBe(false);
  });

  it('is what is added steadily', () => {
    const steady = growthOf(samples(20, 21, 22, 23, 24, 25, 26, 27));
    expect(steady).toEqual({ bytes: 4 * MIB, grows: true });
  });

  it('is measured by what a collection leaves', async () => {
    const before = await sampleHeap(0);
    const kept = [new Uint8Array(8 * MIB)];
    const during = await sampleHeap(0);
    kept.length = 0;
    const after = await sampleHeap(0);
    expect(during.bytes - before.bytes).toBeGreaterThan(7 * MIB);
    expect(during.bytes - after.bytes).toBeGreaterThan(7 * MIB);
  });
});

describe('a campaign', () => {
  it('finds nothing where there is nothing, and counts', async () => {
    const harmless = decoder('harmless', seeds, () => {
      throw new DecodeError('no');
    });
    const outcome = await runCampaign(harmless, { inputs: 100, seed: 1 });
    expect(outcome).toMatchObject({ target: 'harmless', inputs: 100, failure: undefined });
    expect(outcome.heapSamples).toHaveLength(HEAP_SAMPLES);
    expect(outcome.cpuSeconds).toBeGreaterThan(0);
    expect(outcome.rss.peak).toBeGreaterThan(0);
  });

  it('ends with the input that crashes', async () => {
    let left = 5;
    const bug = new TypeError('a bug');
    const crashing = decoder('crashing', seeds, () => {
      if (--left === 0) throw bug;
    });
    const { failure, inputs } = await runCampaign(crashing, { seed: 7 });
    expect(inputs).toBe(4);
    expect(failure).toMatchObject({ kind: 'crash', error: bug, found: { seed: 11 } });
  });

  it('ends with the input that never comes back', async () => {
    const hanging = decoder('hanging', seeds, () => {
      for (;;);
    });
    const { failure } = await runCampaign(hanging, { seed: 3, hangMs: 200 });
    expect(failure).toMatchObject({ kind: 'hang', found: { seed: 3 } });
  });

  it('finds a target that keeps two KiB of each input', async () => {
    const kept: Uint8Array[] = [];
    const leaking = decoder('leaking', seeds, () => kept.push(new Uint8Array(2048)));
    const { failure, heap } = await runCampaign(leaking, { inputs: 4000, seed: 1 });
    expect(failure?.kind).toBe('growth');
    expect(heap.grown).toBeGreaterThan(MIB);
  });
});
