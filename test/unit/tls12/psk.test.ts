import { describe, expect, test } from 'vitest';
import { TLS12_SUITES } from '../../../src/crypto/suites12.ts';
import type { AlertName } from '../../../src/errors/alerts.ts';
import type { TlsErrorCode } from '../../../src/errors/errors.ts';
import { parseResumable, serializeResumable } from '../../../src/handshake/resumable-session.ts';
import { buildPskClientKeyExchange } from '../../../src/messages/tls12.ts';
import { MemorySessionStore } from '../../../src/node/session-store.ts';
import { HandshakeType } from '../../../src/wire/codepoints.ts';
import { concat } from '../../../src/wire/writer.ts';
import { testTickets } from '../../setup/engine-config.ts';
import {
  changing,
  changingBody,
  DECODE,
  expectAlive,
  expectFound,
  ILLEGAL,
  NOTHING,
  UNEXPECTED,
} from '../../setup/faults.ts';
import { flipBit, type Tamper } from '../../setup/pair.ts';
import { both12, connect12, PSK, TLS12, WITH_PSK } from './kit.ts';

/* RFC 4279, RFC 5489, RFC 8442. */

const named = (name: string) => ({ ...TLS12, suites: TLS12_SUITES.filter((suite) => suite.name === name) });
const EPHEMERAL = named('ECDHE-PSK-AES128-GCM-SHA256');
const PLAIN = named('PSK-AES128-GCM-SHA256');
const { server_key_exchange, client_key_exchange, server_hello_done } = HandshakeType;

const connect = (tls12 = EPHEMERAL, tamper?: Tamper, client = {}, server = {}) =>
  connect12(
    { ...WITH_PSK.client, tls12, ...client },
    { ...WITH_PSK.server, selectIdentities: () => [], ...server },
    tamper === undefined ? {} : { tamper },
  );

describe('a pre-shared key in TLS 1.2', () => {
  test.each([EPHEMERAL, PLAIN])('authenticates both sides without a certificate', (tls12) => {
    const pair = connect(tls12, undefined, {}, { clientCertificate: 'require' });
    expectAlive(pair);
    for (const { connection } of both12(pair)) {
      expect(Buffer.from(connection.info?.pskIdentity ?? NOTHING).equals(PSK.identity)).toBe(true);
      expect(connection.info?.peer).toBeUndefined();
      expect(connection.info?.group).toBe(tls12 === PLAIN ? undefined : 29);
    }
  });

  test('is used with ECDHE where both have it, before any certificate', () => {
    const pair = connect12(WITH_PSK.client, WITH_PSK.server);
    expectAlive(pair);
    expect(pair.client.connection.info?.suite.name).toBe('ECDHE-PSK-AES128-GCM-SHA256');
  });

  test('is not needed where there is a certificate', () => {
    for (const pair of [connect12(WITH_PSK.client), connect12({}, WITH_PSK.server)]) {
      expectAlive(pair);
      expect(pair.client.connection.info?.pskIdentity).toBeUndefined();
    }
  });

  describe.each([
    ['ticket', () => ({ tickets: testTickets })],
    ['session id', () => ({ sessions: { store: new MemorySessionStore(), lifetime: 86_400 } })],
  ])('is resumed by %s', (_kind, makeServer) => {
    const begin = (tls12 = EPHEMERAL) => {
      const server = makeServer();
      const pair = connect(tls12, undefined, {}, server);
      expectAlive(pair);
      const [session, ...more] = pair.client.sessions;
      if (session === undefined || more.length > 0) expect.fail('there must be one session');
      return { server, session: parseResumable(serializeResumable(session)) };
    };

    test.each([EPHEMERAL, PLAIN])('while both sides have it', (tls12) => {
      const { server, session } = begin(tls12);
      const pair = connect(tls12, undefined, { session }, { ...server, clientCertificate: 'require' });
      expectAlive(pair);
      for (const { connection } of both12(pair))
        expect(connection.info).toMatchObject({
          resumed: true,
          pskIdentity: PSK.identity,
          peer: undefined,
          group: tls12 === PLAIN ? undefined : 29,
        });
    });

    const other = { ...PSK, identity: Uint8Array.of(9) };

    test('but not by a server that knows it no longer', () => {
      const { server, session } = begin();
      const findPsk = (identity: Uint8Array) => (identity[0] === 9 ? other : undefined);
      const pair = connect(EPHEMERAL, undefined, { session, psks: [PSK] }, { ...server, findPsk });
      expectFound(pair, 'server', 'ERR_TLS_UNKNOWN_PSK_IDENTITY', 'unknown_psk_identity');
    });

    test('but not by a client that was given another since', () => {
      const { server, session } = begin();
      const pair = connect(
        EPHEMERAL,
        undefined,
        { session, psks: [other] },
        { ...server, findPsk: () => other },
      );
      expectAlive(pair);
      expect(pair.client.connection.info).toMatchObject({ resumed: false, pskIdentity: other.identity });
    });

    test('but not by a server that takes no keys, nor one to which it is imported', () => {
      const { server, session } = begin();
      const imported = { ...PSK, binder: 'imported' } as const;
      for (const findPsk of [undefined, () => imported]) {
        const pair = connect(EPHEMERAL, undefined, { session }, { ...server, findPsk });
        expect(pair.server.connection.info?.resumed ?? false).toBe(false);
      }
    });
  });

  test.each([EPHEMERAL, PLAIN])('comes with the hint that the server has', (tls12) => {
    const hint = new Uint8Array(Buffer.from('garden'));
    const pair = connect(tls12, undefined, {}, { pskIdentityHint: hint });
    expectAlive(pair);
    expect(pair.client.connection.info?.pskIdentityHint).toEqual(hint);
    expect(pair.server.connection.info?.pskIdentityHint).toBeUndefined();
    expect(connect(tls12).client.connection.info?.pskIdentityHint).toBeUndefined();
  });

  test('is all that is offered, where a client takes nothing else', () => {
    const pair = connect12({ ...WITH_PSK.client, requirePsk: true });
    expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_CIPHER', 'handshake_failure');
    const session = connect12({}, { tickets: testTickets }).client.sessions[0];
    const again = connect12(
      { ...WITH_PSK.client, requirePsk: true, session },
      { ...WITH_PSK.server, tickets: testTickets },
    );
    expectAlive(again);
    expect(again.client.connection.info).toMatchObject({ resumed: false, pskIdentity: PSK.identity });
  });

  test('that was imported stays with TLS 1.3', () => {
    const imported = { ...PSK, binder: 'imported' } as const;
    const client = connect(EPHEMERAL, undefined, { psks: [imported], tls12: TLS12 });
    expect(client.server.error?.code).toBe('ERR_TLS_NO_SHARED_SIGNATURE_SCHEME');
    const server = connect(EPHEMERAL, undefined, {}, { findPsk: () => imported });
    expectFound(server, 'server', 'ERR_TLS_UNKNOWN_PSK_IDENTITY', 'unknown_psk_identity');
  });

  test('that the server does not know', () => {
    const other = { ...PSK, identity: Uint8Array.of(9) };
    const pair = connect(EPHEMERAL, undefined, { psks: [other] });
    expectFound(pair, 'server', 'ERR_TLS_UNKNOWN_PSK_IDENTITY', 'unknown_psk_identity');
  });

  test.each([EPHEMERAL, PLAIN])('that is another on the two sides', (tls12) => {
    const other = { ...PSK, key: flipBit(PSK.key) };
    const pair = connect(tls12, undefined, { psks: [other] });
    expectFound(pair, 'server', 'ERR_TLS_BAD_RECORD_MAC', 'bad_record_mac');
  });

  test('is not used by a server that has none', () => {
    const pair = connect(EPHEMERAL, undefined, {}, { findPsk: undefined });
    expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_CIPHER', 'handshake_failure');
  });
});

type Fault = readonly [
  what: string,
  tls12: typeof PLAIN,
  tamper: Tamper,
  code: TlsErrorCode,
  alert: AlertName,
];

describe('what the client finds', () => {
  const message = (change: (body: Uint8Array) => Uint8Array) =>
    changingBody('server', server_key_exchange, change);
  const faults: Fault[] = [
    ['no ServerKeyExchange', EPHEMERAL, changing('server', server_key_exchange, () => []), ...UNEXPECTED],
    [
      'two of them',
      EPHEMERAL,
      changing('server', server_key_exchange, ({ raw }) => [raw, raw]),
      ...UNEXPECTED,
    ],
    ['a byte after it', EPHEMERAL, message((body) => concat([body, Uint8Array.of(0)])), ...DECODE],
    [
      'a group that was not offered',
      EPHEMERAL,
      message((body) => concat([body.subarray(0, 3), Uint8Array.of(0, 30), body.subarray(5)])),
      ...ILLEGAL,
    ],
    ['a hint that is cut short', EPHEMERAL, message(() => Uint8Array.of(0, 5, 1)), ...DECODE],
  ];
  test.each(faults)('%s', (_what, tls12, tamper, code, alert) => {
    expectFound(connect(tls12, tamper), 'client', code, alert);
  });

  test('a hint alone in a suite without ECDHE is taken', () => {
    const hint = (body: Uint8Array) =>
      concat([Uint8Array.of(server_key_exchange, 0, 0, 2 + body.length, 0, body.length), body]);
    const tamper = changing('server', server_hello_done, ({ raw }) => [hint(Uint8Array.of(7)), raw]);
    // What the network added is found at the end: the keys differ.
    expect(connect(PLAIN, tamper).server.error?.code).toBe('ERR_TLS_BAD_RECORD_MAC');
  });

  test('CertificateRequest has no place', () => {
    const request = Uint8Array.of(HandshakeType.certificate_request, 0, 0, 8, 1, 64, 0, 2, 4, 3, 0, 0);
    const tamper = changing('server', server_hello_done, ({ raw }) => [request, raw]);
    expectFound(connect(EPHEMERAL, tamper), 'client', ...UNEXPECTED);
  });
});

describe('what the server finds', () => {
  const message = (change: (body: Uint8Array) => Uint8Array) =>
    changingBody('client', client_key_exchange, change);
  const faults: Fault[] = [
    [
      'no point',
      EPHEMERAL,
      changing('client', client_key_exchange, () => [
        buildPskClientKeyExchange({ identity: PSK.identity, point: undefined }),
      ]),
      ...DECODE,
    ],
    [
      'a bad point',
      EPHEMERAL,
      changing('client', client_key_exchange, () => [
        buildPskClientKeyExchange({ identity: PSK.identity, point: new Uint8Array(32) }),
      ]),
      ...ILLEGAL,
    ],
    ['a byte after it', PLAIN, message((body) => concat([body, Uint8Array.of(0)])), ...DECODE],
    ['an identity that is cut short', PLAIN, message(() => Uint8Array.of(0, 9, 1)), ...DECODE],
  ];
  test.each(faults)('%s', (_what, tls12, tamper, code, alert) => {
    expectFound(connect(tls12, tamper), 'server', code, alert);
  });
});
