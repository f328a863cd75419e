import { describe, expect, test } from 'vitest';
import type { ClientConfig, ServerConfig } from '../../../src/handshake/config.ts';
import { findExtension, recordSizeLimit } from '../../../src/messages/extensions.ts';
import { ContentType, ExtensionType } from '../../../src/wire/codepoints.ts';
import { ONLY_TLS12, testTickets } from '../../setup/engine-config.ts';
import {
  changingClientHello,
  changingServerHello,
  expectAlive,
  expectFound,
  setExtension,
} from '../../setup/faults.ts';
import { connectPair } from '../../setup/handshakes.ts';
import type { Pair, Tamper } from '../../setup/pair.ts';

/* RFC 8449 in TLS 1.2, where it counts content alone, of protected records. */

const run = (client: Partial<ClientConfig>, server: Partial<ServerConfig>, tamper?: Tamper) =>
  connectPair({ ...ONLY_TLS12, ...client }, { ...ONLY_TLS12, ...server }, tamper);

/** Longest record of application data so far: header, nonce and tag of AES-GCM, and what the limit counts. */
const longest = (pair: Pair, from: 'client' | 'server') =>
  Math.max(...pair.sent[from].filter(([type]) => type === 23).map(({ length }) => length - 5 - 8 - 16));

const bothSend = (pair: Pair, length: number) => {
  const before = [pair.client.data.length, pair.server.data.length].map((had) => had + length);
  pair.client.connection.send(new Uint8Array(length));
  pair.server.connection.send(new Uint8Array(length));
  pair.run();
  expect([pair.client.data.length, pair.server.data.length]).toEqual(before);
};

/** What ServerHello says of it. */
const answered = (client: Partial<ClientConfig>, server: Partial<ServerConfig>) => {
  let limit: number | undefined;
  run(
    client,
    server,
    changingServerHello((hello) => {
      const body = findExtension(hello.extensions, ExtensionType.record_size_limit);
      limit = body === undefined ? undefined : recordSizeLimit.parse(body);
      return hello;
    }),
  );
  return limit;
};

describe('record_size_limit in TLS 1.2', () => {
  test('bounds the records of both sides', () => {
    const pair = run({ recordSizeLimit: 64 }, { recordSizeLimit: 100 });
    bothSend(pair, 1000);
    expect([longest(pair, 'client'), longest(pair, 'server')]).toEqual([100, 64]);
    expectAlive(pair);
  });

  test('is agreed on again when a session is resumed', () => {
    const server = { recordSizeLimit: 100, tickets: testTickets };
    const [session] = run({ recordSizeLimit: 64 }, server).client.sessions;
    const pair = run({ recordSizeLimit: 80, session }, server);
    expect(pair.server.connection.info?.resumed).toBe(true);
    bothSend(pair, 1000);
    expect([longest(pair, 'client'), longest(pair, 'server')]).toEqual([100, 80]);
  });

  test('is answered with no more than this version has, and only where a client asks', () => {
    expect(answered({ recordSizeLimit: 16_385 }, {})).toBe(2 ** 14);
    expect(answered({ recordSizeLimit: 64 }, { recordSizeLimit: 16_385 })).toBe(2 ** 14);
    expect(answered({ recordSizeLimit: 64 }, { recordSizeLimit: 500 })).toBe(500);
    expect(answered({}, { recordSizeLimit: 500 })).toBeUndefined();
    const pair = run({ recordSizeLimit: 16_385 }, {});
    bothSend(pair, 20_000);
    expect(longest(pair, 'server')).toBe(2 ** 14);
  });

  test.each(['client', 'server'] as const)('holds for what the %s sends: more is record_overflow', (from) => {
    const type = ContentType.application_data;
    const pair = run({ recordSizeLimit: 64 }, { recordSizeLimit: 64 });
    pair.inject(from, { type, content: new Uint8Array(64) });
    expectAlive(pair);
    pair.inject(from, { type, content: new Uint8Array(65) });
    const to = from === 'client' ? 'server' : 'client';
    expectFound(pair, to, 'ERR_TLS_RECORD_OVERFLOW', 'record_overflow');
  });

  test('below 64 is illegal_parameter, from either side; more than 2^14 from a server', () => {
    const own = { recordSizeLimit: 64 };
    const offering = changingClientHello((hello) =>
      setExtension(hello, ExtensionType.record_size_limit, recordSizeLimit.build(63)),
    );
    expectFound(run(own, {}, offering), 'server', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
    for (const limit of [63, 2 ** 14 + 1]) {
      const answering = changingServerHello((hello) =>
        setExtension(hello, ExtensionType.record_size_limit, recordSizeLimit.build(limit)),
      );
      expectFound(run(own, {}, answering), 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
    }
  });

  test('with another length is decode_error', () => {
    const tamper = changingClientHello((hello) =>
      setExtension(hello, ExtensionType.record_size_limit, Uint8Array.of(1, 0, 0)),
    );
    expectFound(run({ recordSizeLimit: 64 }, {}, tamper), 'server', 'ERR_TLS_DECODE', 'decode_error');
  });
});
