import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBase64, encodeBase64 } from '../../../src/der/base64.ts';
import { encodeUtf8 } from '../../../src/der/text.ts';
import { DecodeError } from '../../../src/errors/errors.ts';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe('base64', () => {
  it('agrees with Buffer, and comes back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const encoded = encodeBase64(bytes);
        expect(text(encoded)).toBe(Buffer.from(bytes).toString('base64'));
        expect(decodeBase64(encoded, 'it')).toEqual(bytes);
      }),
    );
  });

  it('cuts lines, each with its end', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom('\n' as const, '\r\n' as const),
        (bytes, end) => {
          const lines = text(encodeBase64(bytes, { width: 8, end })).split(end);
          expect(lines.pop()).toBe('');
          expect(lines.join('')).toBe(Buffer.from(bytes).toString('base64'));
          expect(lines.slice(0, -1).every((line) => line.length === 8)).toBe(true);
          expect(lines.every((line) => line.length > 0 && line.length <= 8)).toBe(true);
        },
      ),
    );
  });

  it.each([
    ['AAA', /multiple of 4/],
    ['AA\r\n', /contains '\r'/],
    ['AAAé', /contains 'é'/],
    ['AAA*', /contains '\*'/],
    ['A===', /contains '='/],
    ['====', /contains '='/],
    ['=AAA', /contains '='/],
    ['AA=A', /contains '='/],
    ['AA==AAAA', /contains '='/],
    ['AB==', /bits after its end/],
    ['AAB=', /bits after its end/],
  ])('refuses %j', (bad, message) => {
    const decode = () => decodeBase64(encodeUtf8(bad), 'it');
    expect(decode).toThrow(DecodeError);
    expect(decode).toThrow(message);
  });
});
