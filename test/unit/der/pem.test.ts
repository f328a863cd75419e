import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodePem, decodePemBlocks, encodePem } from '../../../src/der/pem.ts';
import { DecodeError } from '../../../src/errors/errors.ts';

const block = (label: string, body: string) => `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;

describe('PEM', () => {
  it('round trips, and is what Node writes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (bytes) => {
        const text = encodePem('CERTIFICATE', bytes);
        expect(decodePem(text)).toEqual([{ label: 'CERTIFICATE', bytes }]);
        const base64 = text.split('\n').slice(1, -2);
        expect(base64.join('')).toBe(Buffer.from(bytes).toString('base64'));
        expect(base64.every((line) => line.length <= 64)).toBe(true);
      }),
    );
  });

  it('reads several blocks with text around them, any line ending', () => {
    const text = `subject=a\r\n${block('CERTIFICATE', 'AAEC').replaceAll('\n', '\r\n')}\nissuer=b: c\n${block('PRIVATE KEY', ' AwQF \n')}\n`;
    expect(decodePem(text)).toEqual([
      { label: 'CERTIFICATE', bytes: Uint8Array.of(0, 1, 2) },
      { label: 'PRIVATE KEY', bytes: Uint8Array.of(3, 4, 5) },
    ]);
    expect(decodePemBlocks(text, 'CERTIFICATE')).toEqual([Uint8Array.of(0, 1, 2)]);
  });

  it.each([
    ['', /no CERTIFICATE block found.*no PEM block at all/],
    ['0\x82\x01', /no CERTIFICATE block found.*is it DER\?/],
    [block('PRIVATE KEY', 'AAEC'), /no CERTIFICATE block found.*found only PRIVATE KEY/],
    ['-----BEGIN CERTIFICATE-----\nAAEC\n', /line 1 has no -----END CERTIFICATE-----; is the file cut off\?/],
    ['-----END CERTIFICATE-----\n', /line 1 ends a CERTIFICATE block that did not begin/],
    [
      `-----BEGIN A-----\n${block('CERTIFICATE', 'AAEC')}`,
      /line 2 begins a block inside the A block of line 1/,
    ],
    ['-----BEGIN A-----\nAAEC\n-----END B-----', /ends a B block that did not begin/],
    [block('CERTIFICATE', ''), /is empty/],
    [block('CERTIFICATE', 'AAE'), /not a multiple of 4/],
    [block('CERTIFICATE', 'AA!C'), /contains '!'/],
    [block('CERTIFICATE', 'AAé'), /contains 'é'/],
    [block('CERTIFICATE', 'A==='), /not base64/],
    [block('CERTIFICATE', 'AA==AAEC'), /contains '='/],
    [block('CERTIFICATE', 'AAF='), /bits after its end/],
    [block('RSA PRIVATE KEY', 'Proc-Type: 4,ENCRYPTED\n\nAAEC'), /encrypted in the old way.*openssl pkcs8/],
  ])('%j', (text, message) => {
    expect(() => decodePemBlocks(text, 'CERTIFICATE')).toThrow(message);
    expect(() => decodePemBlocks(text, 'CERTIFICATE')).toThrow(DecodeError);
  });

  it('bounds size and number', () => {
    expect(() => decodePem('x'.repeat(16 * 1024 * 1024 + 1))).toThrow(/at most/);
    expect(() => decodePem(block('A', 'AAEC').repeat(10_001))).toThrow(/more than 10000 blocks/);
  });
});
