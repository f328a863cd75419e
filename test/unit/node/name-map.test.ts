import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NameMap } from '../../../src/node/name-map.ts';

const mapOf = (...patterns: string[]) => {
  const map = new NameMap<string>();
  for (const pattern of patterns) map.add(pattern, pattern);
  return map;
};

describe('NameMap', () => {
  it.each([
    ['a.test', ['a.test'], 'a.test'],
    ['A.Test', ['a.tEST'], 'a.tEST'],
    ['a.test', ['b.test'], undefined],
    ['x.c.test', ['*.c.test'], '*.c.test'],
    ['c.test', ['*.c.test'], undefined],
    ['y.x.c.test', ['*.c.test'], undefined],
    ['www1.c.test', ['www*.c.test'], 'www*.c.test'],
    ['a.test', ['a.test', '*.test'], '*.test'],
    ['a.test', ['*.test', 'a.test'], 'a.test'],
    ['a.test', ['*.test', 'a.test', 'a*.test'], 'a*.test'],
    ['a+test', ['a+test'], 'a+test'],
    ['localhost', ['*.localhost', '*'], '*'],
    ['', ['*.test'], undefined],
  ])('finds for %s among %j: %s', (name, patterns, expected) => {
    expect(mapOf(...patterns).find(name)).toBe(expected);
  });

  it('agrees with trying every pattern, the last match first', () => {
    const label = fc.constantFrom('a', 'b', 'ab');
    const pattern = fc
      .array(fc.oneof(label, fc.constantFrom('*', 'a*', '*b')), { minLength: 1, maxLength: 3 })
      .map((labels) => labels.join('.'));
    const name = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join('.'));
    const matches = (text: string, given: string) =>
      new RegExp(`^${text.replaceAll('.', '\\.').replaceAll('*', '[^.]*')}$`).test(given);
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 8 }), name, (patterns, given) => {
        expect(mapOf(...patterns).find(given)).toBe(patterns.findLast((text) => matches(text, given)));
      }),
    );
  });
});
