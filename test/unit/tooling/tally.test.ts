import { describe, expect, it } from 'vitest';
import { countsOf, emptyTally, renderTally } from '../../../scripts/tally.mjs';

describe('the table at the end of a run', () => {
  it('gives tests of one file that lack the same thing one line, and others their own', () => {
    const tally = emptyTally();
    countsOf(tally, 'peers').skipped = 4;
    for (const test of ['a', 'b']) {
      tally.skips.push({ layer: 'peers', test: `x.test.ts > ${test}`, why: 'no program' });
    }
    tally.skips.push({ layer: 'peers', test: 'x.test.ts > c', why: 'another reason' });
    tally.skips.push({ layer: 'peers', test: 'y.test.ts > d', why: 'no program' });

    expect(renderTally(tally).split('\n').slice(2, -2)).toEqual([
      '',
      'skipped',
      '  peers: x.test.ts (2 tests): no program',
      '  peers: x.test.ts > c: another reason',
      '  peers: y.test.ts > d: no program',
    ]);
  });

  it('ends with what failed and the sum, where a log that was cut still shows them', () => {
    const tally = emptyTally();
    countsOf(tally, 'unit').passed = 2;
    countsOf(tally, 'unit').failed = 1;
    countsOf(tally, 'unit').skipped = 1;
    tally.failures.push({ layer: 'unit', test: 'z.test.ts > e', why: 'expected 1 to be 2' });
    tally.skips.push({ layer: 'unit', test: 'z.test.ts > f', why: 'no program' });

    expect(renderTally(tally).split('\n').slice(-4)).toEqual([
      'failed',
      '  unit: z.test.ts > e: expected 1 to be 2',
      '',
      '2 passed, 1 failed, 1 skipped',
    ]);
  });
});
