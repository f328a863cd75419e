import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AlertDescription, type AlertName } from '../../../src/errors/alerts.ts';
import { alertFor, TlsError } from '../../../src/errors/errors.ts';
import {
  type DataMultiplexing,
  decodeDataMultiplexing,
  encodeDataMultiplexing,
} from '../../../src/mux/extension.ts';
import { APPLICATIONS_MAX } from '../../../src/mux/limits.ts';
import { hex, thrown } from './pair.ts';

function expectFault(body: Uint8Array, code: string, alert: AlertName): void {
  const error = thrown(() => decodeDataMultiplexing(body));
  expect(error).toBeInstanceOf(TlsError);
  expect(error).toMatchObject({ code });
  expect(alertFor(error)).toBe(AlertDescription[alert]);
}

const list = (
  applications: { name: string; port: number }[],
  all = false,
  channel = false,
): DataMultiplexing => ({
  form: 'list',
  all,
  channel,
  applications,
});

describe('data_multiplexing: the struct', () => {
  it.each([
    ['the empty form', '', { form: 'empty' } as DataMultiplexing],
    ['a list of nothing', '000000', list([])],
    ['ALL', '000006 03 414c4c 0000', list([], true)],
    ['CHANNEL alone', '00000a 07 4348414e4e454c 0000', list([], false, true)],
    ['ALL and CHANNEL', '000010 03 414c4c 0000 07 4348414e4e454c 0000', list([], true, true)],
    ['one application', '000007 04 68747470 0050', list([{ name: 'http', port: 80 }])],
    [
      'two applications on one port, and letters that matter',
      '000010 04 68747470 0050 06 48747470 2d78 0050',
      list([
        { name: 'http', port: 80 },
        { name: 'Http-x', port: 80 },
      ]),
    ],
    [
      'a name of 16 bytes and the last port',
      '000013 10 61616161616161616161616161616161 ffff',
      list([{ name: 'a'.repeat(16), port: 65535 }]),
    ],
    ['bytes that are no ASCII', '000005 02 ff00 0001', list([{ name: 'ÿ\0', port: 1 }])],
  ])('%s', (_what, body, value) => {
    expect(decodeDataMultiplexing(hex(body))).toEqual(value);
    expect(encodeDataMultiplexing(value)).toEqual(hex(body));
  });

  it.each([
    ['a length that is cut', '0000'],
    ['a list shorter than its length', '000007 04 68747470 00'],
    ['a list longer than its length', '000007 04 68747470 0050 00'],
    ['a list that ends inside an entry', '000006 04 68747470 00'],
    ['a name that reaches beyond the list', '000003 ff 6874'],
    ['an empty name', '000003 00 0050'],
    ['a name of 17 bytes', '000014 11 6161616161616161616161616161616161 ffff'],
    ['a list longer than an extension can be', 'fffffd 04 68747470 0050'],
  ])('%s is decode_error', (_what, body) => {
    expectFault(hex(body), 'ERR_TLS_DECODE', 'decode_error');
  });

  it.each([
    ['a name twice', '00000e 04 68747470 0050 04 68747470 0050'],
    ['a name twice with other ports', '00000e 04 68747470 0050 04 68747470 0051'],
    ['ALL twice', '00000c 03 414c4c 0000 03 414c4c 0000'],
    ['ALL with a port', '000006 03 414c4c 0050'],
    ['CHANNEL with a port', '00000a 07 4348414e4e454c 0001'],
    ['an application with port 0', '000007 04 68747470 0000'],
  ])('%s is illegal_parameter', (_what, body) => {
    expectFault(hex(body), 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  it('holds as many applications as the limit and not one more', () => {
    const applications = Array.from({ length: APPLICATIONS_MAX + 1 }, (_, i) => ({
      name: `a${i}`,
      port: 1 + i,
    }));
    const most = list(applications.slice(1));
    expect(decodeDataMultiplexing(encodeDataMultiplexing(most))).toEqual(most);
    expectFault(encodeDataMultiplexing(list(applications)), 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  it('gives back any list that was written', () => {
    const name = fc
      .array(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 16 })
      .map((codes) => String.fromCharCode(...codes))
      .filter((value) => value !== 'ALL' && value !== 'CHANNEL');
    const application = fc.record({ name, port: fc.integer({ min: 1, max: 65535 }) });
    const applications = fc.uniqueArray(application, { selector: (one) => one.name, maxLength: 50 });
    fc.assert(
      fc.property(applications, fc.boolean(), fc.boolean(), (names, all, channel) => {
        const value = list(names, all, channel);
        expect(decodeDataMultiplexing(encodeDataMultiplexing(value))).toEqual(value);
      }),
    );
  });

  it('meets random bytes with a value or a TlsError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (body) => {
        try {
          decodeDataMultiplexing(body);
        } catch (error) {
          expect(error).toBeInstanceOf(TlsError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
