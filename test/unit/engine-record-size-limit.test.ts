import { describe, expect, test } from 'vitest';
import { recordSizeLimit } from '../../src/messages/extensions.ts';
import { ContentType, ExtensionType } from '../../src/wire/codepoints.ts';
import {
  changingClientHello,
  changingEncryptedExtensions,
  expectAlive,
  expectFound,
  setExtension,
  withExtension,
} from '../setup/faults.ts';
import { connectPair } from '../setup/handshakes.ts';
import type { Pair } from '../setup/pair.ts';

/* RFC 8449: each side says how long a record it takes, content type and padding included. */

/** Longest protected record so far: header, tag of 16 bytes, and what the limit counts. */
const longest = (pair: Pair, from: 'client' | 'server') =>
  Math.max(...pair.sent[from].filter(([type]) => type === 23).map(({ length }) => length - 5 - 16));

const bothSend = (pair: Pair, length: number) => {
  pair.client.connection.send(new Uint8Array(length));
  pair.server.connection.send(new Uint8Array(length));
  pair.run();
  expect([pair.client.data.length, pair.server.data.length]).toEqual([length, length]);
};

describe('record_size_limit', () => {
  test('bounds the records of both sides, the handshake included', () => {
    const pair = connectPair({ recordSizeLimit: 64 }, { recordSizeLimit: 100 });
    bothSend(pair, 1000);
    expect([longest(pair, 'client'), longest(pair, 'server')]).toEqual([100, 64]);
    expectAlive(pair);
  });

  test('bounds padded records too', () => {
    const pair = connectPair({ recordSizeLimit: 70, padTo: 48 }, { recordSizeLimit: 90, padTo: 64 });
    bothSend(pair, 500);
    expect([longest(pair, 'client'), longest(pair, 'server')]).toEqual([90, 70]);
  });

  test('of 2^14 + 1 bounds nothing', () => {
    const pair = connectPair({ recordSizeLimit: 16_385 }, {});
    bothSend(pair, 20_000);
    expect(longest(pair, 'server')).toBe(16_385);
  });

  test('is not spoken of by a server unless a client does', () => {
    const pair = connectPair({}, { recordSizeLimit: 64 });
    bothSend(pair, 1000);
    expect(longest(pair, 'client')).toBe(1001);
  });

  test('holds for the receiver: a longer record is record_overflow', () => {
    for (const from of ['client', 'server'] as const) {
      const pair = connectPair({ recordSizeLimit: 64 }, { recordSizeLimit: 64 });
      const type = ContentType.application_data;
      pair.inject(from, { type, content: new Uint8Array(63) });
      expectAlive(pair);
      pair.inject(from, { type, content: new Uint8Array(60), padding: 4 });
      expectFound(
        pair,
        from === 'client' ? 'server' : 'client',
        'ERR_TLS_RECORD_OVERFLOW',
        'record_overflow',
      );
    }
  });

  const offering = (limit: number) =>
    changingClientHello((hello) =>
      setExtension(hello, ExtensionType.record_size_limit, recordSizeLimit.build(limit)),
    );
  const answering = (limit: number) =>
    changingEncryptedExtensions((list) =>
      withExtension(list, ExtensionType.record_size_limit, recordSizeLimit.build(limit)),
    );

  test('below 64 is illegal_parameter, from either side', () => {
    const own = { recordSizeLimit: 64 };
    expectFound(
      connectPair(own, {}, offering(63)),
      'server',
      'ERR_TLS_ILLEGAL_PARAMETER',
      'illegal_parameter',
    );
    expectFound(
      connectPair(own, {}, answering(63)),
      'client',
      'ERR_TLS_ILLEGAL_PARAMETER',
      'illegal_parameter',
    );
  });

  test('beyond 2^14 + 1 is illegal_parameter from a server', () => {
    const pair = connectPair({ recordSizeLimit: 64 }, {}, answering(16_386));
    expectFound(pair, 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('unasked is unsupported_extension', () => {
    expectFound(
      connectPair({}, {}, answering(64)),
      'client',
      'ERR_TLS_UNSUPPORTED_EXTENSION',
      'unsupported_extension',
    );
  });

  test('with another length is decode_error', () => {
    const tamper = changingClientHello((hello) =>
      setExtension(hello, ExtensionType.record_size_limit, Uint8Array.of(1, 0, 0)),
    );
    expectFound(connectPair({ recordSizeLimit: 64 }, {}, tamper), 'server', 'ERR_TLS_DECODE', 'decode_error');
  });
});
