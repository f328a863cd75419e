import { describe, expect, it } from 'vitest';
import { impurities } from '../../../scripts/check-purity.mjs';

const found = (text: string): string[] =>
  impurities('a.ts', text).map((line) => line.replace(/ is not for .*/, ''));

describe('purity of the sans-IO floors', () => {
  it.each([
    ['const t = Date.now();', 'a.ts:1: Date.now'],
    ['\nconst t = new Date();', 'a.ts:2: the present time (Date)'],
    ['const t = Date();', 'a.ts:1: the present time (Date)'],
    ['setTimeout(f, 1);', 'a.ts:1: setTimeout'],
    ['const later = setTimeout;', 'a.ts:1: setTimeout'],
    ['const t = performance.now();', 'a.ts:1: performance'],
    ['const r = Math.random();', 'a.ts:1: Math.random'],
    ['const r = crypto.getRandomValues(bytes);', 'a.ts:1: crypto.getRandomValues'],
    ['const b = Buffer.from(bytes);', 'a.ts:1: Buffer'],
    ['if (process.env.X) f();', 'a.ts:1: process'],
    ['const g = globalThis.setTimeout;', 'a.ts:1: globalThis'],
    ['const o = { setTimeout };', 'a.ts:1: setTimeout'],
  ])('finds %j', (text, fault) => {
    expect(found(text)).toEqual([fault]);
  });

  it.each([
    '// Date.now() is asked above\n/* setTimeout(f) */ const now = 1;',
    "const text = 'setTimeout(f); Date.now()';",
    'const when = new Date(milliseconds);',
    'link.process(bytes); const o = { process: 1, console() {} };',
    'function f(process: Step) { return process.next(); }',
    'const bytes = crypto.randomBytes(32);',
    'let handle: typeof setTimeout; let b: Buffer;',
  ])('lets %j pass', (text) => {
    expect(found(text)).toEqual([]);
  });
});
