import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DerReader } from '../../../src/der/reader.ts';
import { encodeAscii } from '../../../src/der/text.ts';
import { formatGeneralizedTime, parseGeneralizedTime, parseUtcTime } from '../../../src/der/time.ts';
import { encodeDer, time, utcTime } from '../../../src/der/writer.ts';
import { DecodeError } from '../../../src/errors/errors.ts';

const utc = (text: string) => parseUtcTime(encodeAscii(text));
const generalized = (text: string, fractions = false) => parseGeneralizedTime(encodeAscii(text), fractions);

describe('times of RFC 5280 §4.1.2.5', () => {
  it('UTCTime is 1950 to 2049', () => {
    expect(utc('500101000000Z')).toBe(Date.UTC(1950, 0, 1));
    expect(utc('491231235959Z')).toBe(Date.UTC(2049, 11, 31, 23, 59, 59));
    expect(utc('000229120000Z')).toBe(Date.UTC(2000, 1, 29, 12));
    expect(utc('700101000000Z')).toBe(0);
  });

  it('GeneralizedTime is any year', () => {
    expect(generalized('20500101000000Z')).toBe(Date.UTC(2050, 0, 1));
    expect(generalized('99991231235959Z')).toBe(Date.UTC(9999, 11, 31, 23, 59, 59));
    expect(generalized('00010101000000Z')).toBe(Date.parse('0001-01-01T00:00:00Z'));
  });

  it.each([
    '5001010000Z', // no seconds
    '500101000000', // no zone
    '500101000000+0000',
    '501301000000Z',
    '500001000000Z',
    '500100000000Z',
    '500132000000Z',
    '010229000000Z',
    '500101240000Z',
    '500101006000Z',
    '500101000060Z',
    '5001010000 0Z',
    '5001010000-1Z',
    '500101000000z',
    '',
  ])('UTCTime %j is refused', (text) => {
    expect(() => utc(text)).toThrow(DecodeError);
  });

  it.each([
    '20500101000000',
    '2050010100000Z',
    '20500101000000.5Z',
    '20500101000000+0100',
    '21000229000000Z',
    '20500431000000Z',
    '2050010100Z',
    '',
  ])('GeneralizedTime %j is refused', (text) => {
    expect(() => generalized(text)).toThrow(DecodeError);
  });

  it('fractions, where they are allowed, have no trailing zeros (X.690 §11.7)', () => {
    expect(generalized('20200101000000.5Z', true)).toBe(Date.UTC(2020, 0, 1) + 500);
    expect(generalized('20200101000000.1239Z', true)).toBe(Date.UTC(2020, 0, 1) + 123);
    expect(generalized('20200101000000Z', true)).toBe(Date.UTC(2020, 0, 1));
    for (const text of [
      '20200101000000.Z',
      '20200101000000.50Z',
      '20200101000000,5Z',
      '20200101000000.5xZ',
    ]) {
      expect(() => generalized(text, true), text).toThrow(DecodeError);
    }
  });

  it('agrees with Date for every second', () => {
    fc.assert(
      fc.property(fc.integer({ min: -62_135_596_800, max: 253_402_300_799 }), (seconds) => {
        expect(generalized(formatGeneralizedTime(seconds * 1000))).toBe(seconds * 1000);
      }),
    );
  });

  it('the Time CHOICE changes its form in 2050', () => {
    const tagOf = (value: number) => new DerReader(encodeDer(time(value)), 'time').tag;
    expect(tagOf(Date.UTC(2049, 11, 31, 23, 59, 59))).toBe(0x17);
    expect(tagOf(Date.UTC(2050, 0, 1))).toBe(0x18);
    expect(() => utcTime(Date.UTC(2050, 0, 1))).toThrow(/2050/);
  });
});
