import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mutate, Random } from '../../fuzz/mutate.ts';
import { isVerdict } from '../../fuzz/target.ts';
import { TARGETS } from '../../fuzz/targets.ts';

/** Bounded, and the same inputs every time; `npm run fuzz` goes on from here with other seeds. */
const INPUTS = 1500;
/** Whole connections, and signatures that are checked to the end. */
const SLOW = /^connection|^dtls-|session$|-receipt$|^xmldsig/;
const CRASHERS = join(import.meta.dirname, '../../fuzz/crashers');

describe.each(TARGETS)('fuzz $name', ({ name, seeds, run }) => {
  it('answers damaged input with a verdict, never with a crash', () => {
    const from = seeds();
    expect(from.length).toBeGreaterThan(0);
    const slow = SLOW.test(name) ? 10 : 1;
    for (let seed = 0; seed < INPUTS / slow; seed++) {
      const input = mutate(from, new Random(seed));
      try {
        run(input);
      } catch (error) {
        if (!isVerdict(error)) {
          throw new Error(`seed ${seed}: ${Buffer.from(input).toString('hex')}`, { cause: error });
        }
      }
    }
  });

  it('takes its undamaged seeds', () => {
    for (const seed of seeds()) {
      try {
        run(seed);
      } catch (error) {
        expect(isVerdict(error), String(error)).toBe(true);
      }
    }
  });

  const kept = join(CRASHERS, name);
  const crashers = existsSync(kept) ? readdirSync(kept) : [];
  it.each(crashers)('survives %s, which once crashed it', (file) => {
    const input = Uint8Array.from(Buffer.from(readFileSync(join(kept, file), 'utf8').trim(), 'hex'));
    try {
      run(input);
    } catch (error) {
      expect(isVerdict(error), String(error)).toBe(true);
    }
  });
});
