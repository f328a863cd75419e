import { describe, expect, it } from 'vitest';
import { auditProgress, progressText } from '../../../src/cli/evidence/progress.ts';

describe('the progress of an audit', () => {
  it('says how far it is, and how long it takes', () => {
    expect(progressText(412_000, 1_000_000, 17_000)).toBe(
      '  412,000 of 1,000,000 records, 41 %, about 25 s left',
    );
    expect(progressText(0, 10, 5)).toBe('  0 of 10 records, 0 %');
    expect(progressText(10, 10, 5)).toBe('  10 of 10 records, 100 %, looking at heads and witnesses');
    expect(progressText(0, 0, 5)).toContain('100 %');
  });

  it('is not shown where nobody sees it, or where it is over soon', () => {
    const written: string[] = [];
    const write = (text: string) => written.push(text);
    for (const isTTY of [false, true]) {
      const progress = auditProgress(10, { isTTY, write });
      progress.show(5);
      progress.end();
    }
    expect(written).toEqual([]);
  });
});
