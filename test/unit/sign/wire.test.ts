import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TlsError, TlsErrorCode } from '../../../src/errors/errors.ts';
import { Assembler, type RawObject } from '../../../src/sign/assembler.ts';
import { decodeCertificateSign, encodeCertificateSign } from '../../../src/sign/certificate-sign.ts';
import {
  decodeSignatureRequests,
  encodeSignatureRequests,
  type SignatureRequest,
} from '../../../src/sign/extension.ts';
import { encodeSigntext, Flag, SignReader } from '../../../src/sign/frame.ts';
import { signClient, signServer } from '../../../src/sign/index.ts';
import { MAX_RECEIPT_BYTES, MAX_REQUESTS } from '../../../src/sign/limits.ts';
import { concat } from '../../../src/wire/writer.ts';

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));

function codeOf(run: () => unknown): TlsErrorCode | undefined {
  try {
    run();
  } catch (error) {
    return (error as TlsError).code;
  }
  return undefined;
}

describe('the extension', () => {
  const both = ['origin', 'delivery'] as const;
  test.each<[string, SignatureRequest[]]>([
    ['00 00 0002 0001', [{ spelling: 'enum', format: 'pkcs7', method: 'certificate', types: ['origin'] }]],
    ['01 00 0004 0001 0002', [{ spelling: 'enum', format: 'smime', method: 'certificate', types: both }]],
    [
      '00a1 00b1 0002 0001',
      [{ spelling: 'two-byte', format: 'pkcs7', method: 'certificate', types: ['origin'] }],
    ],
    [
      '00a3 00b1 0002 0002 02 00 0004 0002 0001',
      [
        { spelling: 'two-byte', format: 'xmldsig', method: 'certificate', types: ['delivery'] },
        { spelling: 'enum', format: 'xmldsig', method: 'certificate', types: ['delivery', 'origin'] },
      ],
    ],
  ])('%s', (wire, requests) => {
    expect(decodeSignatureRequests(hex(wire))).toEqual(requests);
    expect(encodeSignatureRequests(requests)).toEqual(hex(wire));
  });

  test.each([
    ['a URL for the certificate', '00 01 0002 0001', { format: 'pkcs7', method: 'other' }],
    ['a method of the two-byte spelling', '00a1 00b2 0002 0001', { format: 'pkcs7', method: 'other' }],
    ['a format', '07 00 0002 0001', { format: undefined, method: 'certificate' }],
    [
      'a format of the two-byte spelling',
      '00a4 00b1 0002 0001',
      { format: undefined, method: 'certificate' },
    ],
    ['a type', '00 00 0004 0003 0001', { format: 'pkcs7', types: ['origin'] }],
    ['a type twice', '00 00 0004 0001 0001', { format: 'pkcs7', types: ['origin'] }],
  ])('passes over %s that is not known', (_what, wire, request) => {
    expect(decodeSignatureRequests(hex(wire))).toMatchObject([request]);
  });

  test.each([
    ['nothing', ''],
    ['half a request', '00'],
    ['no types', '00 00 0000'],
    ['half a type', '00 00 0003 0001 00'],
    ['types that end early', '00 00 0004 0001'],
    ['bytes after it', '00 00 0002 0001 00'],
    ['half a method', '00a1 00'],
  ])('refuses %s', (_what, wire) => {
    expect(codeOf(() => decodeSignatureRequests(hex(wire)))).toBe('ERR_TLS_DECODE');
  });

  test('refuses more requests than anyone has', () => {
    const one = hex('00 00 0002 0001');
    const many = (count: number) => concat(Array.from({ length: count }, () => one));
    expect(decodeSignatureRequests(many(MAX_REQUESTS))).toHaveLength(MAX_REQUESTS);
    expect(codeOf(() => decodeSignatureRequests(many(MAX_REQUESTS + 1)))).toBe('ERR_TLS_ILLEGAL_PARAMETER');
  });

  test('any bytes are requests or malformed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (wire) => {
        expect([undefined, 'ERR_TLS_DECODE']).toContain(codeOf(() => decodeSignatureRequests(wire)));
      }),
    );
  });
});

describe('what is agreed', () => {
  const HELLO = { serverName: undefined, alpnProtocol: undefined };
  const answer = (options: Parameters<typeof signServer>[0], offer: string | undefined) =>
    signServer(options)('server').answer(offer === undefined ? undefined : hex(offer), HELLO);
  const confirm = (options: Parameters<typeof signClient>[0], answered: string | undefined) =>
    signClient(options)('client').confirm(answered === undefined ? undefined : hex(answered), HELLO);

  test('the client offers all formats and both types', () => {
    expect(signClient()('client').offer()).toEqual(
      hex('00 00 0004 0001 0002 01 00 0004 0001 0002 02 00 0004 0001 0002'),
    );
    const spelt = signClient({ spelling: 'two-byte', formats: ['smime'], types: ['delivery'] });
    expect(spelt('client').offer()).toEqual(hex('00a2 00b1 0002 0002'));
  });

  test.each([
    ['the first', {}, '00 00 0004 0001 0002 01 00 0002 0001', '00 00 0004 0001 0002'],
    [
      'the first format that it has',
      { formats: ['smime'] },
      '00 00 0002 0001 01 00 0002 0001',
      '01 00 0002 0001',
    ],
    ['the types that it has', { types: ['delivery'] }, '00 00 0004 0001 0002', '00 00 0002 0002'],
    ['in the spelling of the request', {}, '00a2 00b1 0002 0001', '00a2 00b1 0002 0001'],
    ['after a URL, which it never takes', {}, '00 01 0002 0001 01 00 0002 0002', '01 00 0002 0002'],
  ] as const)('the server answers with %s', (_what, options, offer, answered) => {
    expect(answer(options, offer)).toEqual(hex(answered));
  });

  test.each([
    ['no offer', undefined],
    ['a format that nobody knows', '03 00 0002 0001'],
    ['another type', '00 00 0002 0003'],
    ['a URL', '00 01 0002 0001'],
  ])('to %s there is no answer, or the end by policy', (_what, offer) => {
    expect(answer({}, offer)).toBeUndefined();
    expect(codeOf(() => answer({ policy: 'require' }, offer))).toBe('ERR_SIGN_REQUIRED');
  });

  test('a server that refuses, refuses whoever offers', () => {
    expect(codeOf(() => answer({ policy: 'refuse' }, '00 00 0002 0001'))).toBe('ERR_SIGN_REFUSED');
    expect(answer({ policy: 'refuse' }, undefined)).toBeUndefined();
  });

  test('without an answer the client goes on or not', () => {
    expect(codeOf(() => confirm({}, undefined))).toBe('ERR_SIGN_REQUIRED');
    expect(codeOf(() => confirm({ policy: 'allow' }, undefined))).toBeUndefined();
  });

  test.each([
    ['two of them', '00 00 0002 0001 01 00 0002 0001'],
    ['a format that nobody knows', '03 00 0002 0001'],
    ['a type that was not offered', '00 00 0002 0002'],
    ['no type that is known', '00 00 0002 0003'],
    ['a URL', '00 01 0002 0001'],
    ['the other spelling', '00a1 00b1 0002 0001'],
    ['a format that was not offered', '02 00 0002 0001'],
  ])('the client refuses an answer with %s', (_what, answered) => {
    const options = { types: ['origin'], formats: ['pkcs7', 'smime'] } as const;
    expect(codeOf(() => confirm(options, answered))).toBe('ERR_TLS_ILLEGAL_PARAMETER');
  });

  test.each([
    ['a format that nobody knows', { formats: ['pgp' as 'pkcs7'] }],
    ['no format', { formats: [] }],
    ['no type', { types: [] }],
    ['a demand without "require"', { demand: true, types: ['origin'] as const, policy: 'allow' as const }],
    ['a demand that unsigned data would meet', { demand: ['orders'], policy: 'require' as const }],
    ['a bound that is none', { maxObject: 0 }],
    [
      'a signer without certificate',
      { signer: { chain: [], key: { schemes: [1027], sign: () => hex('') } } },
    ],
    ['a content type of TLS', { contentType: 23 }],
  ])('options with %s are refused', (_what, options) => {
    expect(codeOf(() => signServer(options))).toBe('ERR_TLS_OPTION');
  });
});

describe('TLSSigntext', () => {
  const VERSION = 0x0304;
  const reading = (wire: Uint8Array, cuts: (bytes: Uint8Array) => Uint8Array[] = (b) => [b]) => {
    const reader = new SignReader([23, 28], VERSION);
    const found: string[] = [];
    let data: number[] = [];
    for (const part of cuts(wire)) {
      reader.push(part);
      while (reader.next()) {
        if (reader.kind !== 'text') {
          found.push(reader.kind);
          continue;
        }
        data.push(...reader.piece);
        if (!reader.ends) continue;
        found.push(`${reader.contentType}/${reader.flags.toString(16)}:${data.join()}`);
        data = [];
      }
    }
    return { found, midText: reader.midText };
  };

  test('is a byte stream with switches between', () => {
    const wire = hex('01 17 20 0304 0002 0a0b 00 1c 80 0304 0001 00 01');
    const expected = { found: ['on', '23/20:10,11', 'off', '28/80:0', 'on'], midText: false };
    expect(reading(wire)).toEqual(expected);
    expect(reading(wire, (bytes) => Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(expected);
  });

  test('is read the same however it is cut', () => {
    const item = fc.oneof(
      fc.constantFrom(Uint8Array.of(0), Uint8Array.of(1)),
      fc
        .tuple(
          fc.constantFrom(23, 28),
          fc.constantFrom(0x80, 0x40, 0xc0, 0x20, 0x30, 0),
          fc.uint8Array({ minLength: 1, maxLength: 30 }),
        )
        .map(([type, flags, data]) => encodeSigntext(type, flags, VERSION, data)),
    );
    fc.assert(
      fc.property(fc.array(item, { maxLength: 8 }), fc.array(fc.nat(20)), (items, sizes) => {
        const wire = concat(items);
        const cut = (bytes: Uint8Array): Uint8Array[] => {
          const parts: Uint8Array[] = [];
          let at = 0;
          for (const size of sizes) {
            parts.push(bytes.subarray(at, at + size));
            at += size;
          }
          return [...parts, bytes.subarray(at)];
        };
        expect(reading(wire, cut)).toEqual(reading(wire));
        expect(reading(wire).found).toHaveLength(items.length);
      }),
    );
  });

  test.each([
    ['a content type that is not signed', '16 00 0304 0001 00'],
    ['a content type that is nothing', '02'],
    ['an unknown flag', '17 01'],
    ['a receipt that asks for a receipt', '17 a0'],
    ['a receipt without signature', '17 90'],
    ['another version', '17 00 0303'],
    ['no data', '17 00 0304 0000'],
  ])('with %s is illegal_parameter, as soon as it shows', (_what, wire) => {
    expect(codeOf(() => reading(hex(wire)))).toBe('ERR_TLS_ILLEGAL_PARAMETER');
  });

  test('a part of one is no fault', () => {
    const whole = hex('17 00 0304 0002 0a0b');
    for (let length = 1; length < whole.length; length++)
      expect(reading(whole.subarray(0, length))).toEqual({ found: [], midText: true });
  });
});

describe('objects from pieces', () => {
  const assemble = (pieces: [flags: number, length: number, type?: number][], max = 100) => {
    const reader = new SignReader([23, 28], 0x0304);
    const assembler = new Assembler(max, () => {}, undefined);
    const objects: RawObject[] = [];
    for (const [flags, length, type = 23] of pieces) {
      reader.push(encodeSigntext(type, flags, 0x0304, new Uint8Array(length).fill(length)));
      while (reader.next()) {
        const object = assembler.add(reader);
        if (object !== undefined) objects.push(object);
      }
    }
    return { objects, assembler };
  };
  const { more, acknowledgement, receipt } = Flag;

  test('receipts come between the pieces of data, numbered as they begin', () => {
    const { objects, assembler } = assemble([
      [more | receipt, 3],
      [acknowledgement | more, 2],
      [acknowledgement, 1],
      [more | receipt, 4],
      [receipt, 5],
    ]);
    expect(objects.map(({ kind, sequence, bytes }) => [kind, sequence, [...bytes].join('')])).toEqual([
      ['receipt', 1, '221'],
      ['data', 0, '333444455555'],
    ]);
    expect(assembler.midObject).toBe(false);
  });

  test.each<[string, [number, number, number?][], string]>([
    [
      'data between the pieces of a receipt',
      [
        [acknowledgement | more, 1],
        [0, 1],
      ],
      'ERR_TLS_UNEXPECTED_MESSAGE',
    ],
    [
      'pieces with other flags',
      [
        [more, 1],
        [receipt, 1],
      ],
      'ERR_TLS_ILLEGAL_PARAMETER',
    ],
    [
      'pieces of other types',
      [
        [more, 1],
        [0, 1, 28],
      ],
      'ERR_TLS_ILLEGAL_PARAMETER',
    ],
    [
      'more than there may be',
      [
        [more, 60],
        [0, 41],
      ],
      'ERR_SIGN_TOO_LARGE',
    ],
  ])('refuses %s', (_what, pieces, code) => {
    expect(codeOf(() => assemble(pieces))).toBe(code);
  });

  test('refuses receipts that cannot be', () => {
    const piece: [number, number] = [acknowledgement | more, 65_535];
    expect(codeOf(() => assemble(Array(3).fill(piece), 10 * MAX_RECEIPT_BYTES))).toBe('ERR_SIGN_TOO_LARGE');
  });

  test('pieces of one byte cost what they hold', () => {
    const reader = new SignReader([23], 0x0304);
    const assembler = new Assembler(1 << 20, () => {}, undefined);
    reader.push(encodeSigntext(23, more, 0x0304, Uint8Array.of(1)));
    for (let i = 0; i < 50_000; i++) {
      while (reader.next()) expect(assembler.add(reader)).toBeUndefined();
      reader.push(encodeSigntext(23, i < 49_999 ? more : 0, 0x0304, Uint8Array.of(2)));
    }
    expect(reader.next()).toBe(true);
    const object = assembler.add(reader);
    expect(object?.bytes).toHaveLength(50_001);
    expect(object?.bytes.buffer.byteLength).toBeLessThanOrEqual(2 * 50_001);
  });
});

describe('certificate_sign', () => {
  test('is a list of certificates', () => {
    const chain = [Uint8Array.of(1, 2), Uint8Array.of(3)];
    expect(encodeCertificateSign(chain)).toEqual(hex('000009 000002 0102 000001 03'));
    expect(decodeCertificateSign(encodeCertificateSign(chain))).toEqual(chain);
  });

  test.each([
    ['no list', ''],
    ['an empty list', '000000'],
    ['an empty certificate', '000003 000000'],
    ['a certificate that ends early', '000004 000002 01'],
    ['bytes after it', '000004 000001 01 00'],
  ])('is malformed with %s', (_what, wire) => {
    expect(codeOf(() => decodeCertificateSign(hex(wire)))).toBe('ERR_TLS_DECODE');
  });
});
