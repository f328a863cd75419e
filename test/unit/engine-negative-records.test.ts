import { describe, expect, test } from 'vitest';
import { MAX_WARNING_ALERTS } from '../../src/connection/session.ts';
import type { Role } from '../../src/connection/sub-protocol.ts';
import { AlertDescription, type AlertName } from '../../src/errors/alerts.ts';
import type { TlsErrorCode } from '../../src/errors/errors.ts';
import { MAX_CHANGE_CIPHER_SPECS } from '../../src/record/tls/record-layer.ts';
import { ContentType, HandshakeType } from '../../src/wire/codepoints.ts';
import { concat } from '../../src/wire/writer.ts';
import { clientConfig, serverConfig } from '../setup/engine-config.ts';
import { expectAlive, expectFound, expectUnharmed, NOTHING, withBody } from '../setup/faults.ts';
import { type Cargo, clearRecord, flipBit, type InFlight, Pair, peerOf, type Tamper } from '../setup/pair.ts';

/* Faults of the record layer (RFC 8446 §5): each with the code at the finder and the alert that the peer receives. */

const { alert, application_data, change_cipher_spec, handshake } = ContentType;
const roles = ['client', 'server'] as const;

const start = (tamper?: Tamper) =>
  new Pair({ client: clientConfig(), server: serverConfig(), ...(tamper ? { tamper } : {}) });
const connected = () => {
  const pair = start().run();
  expectUnharmed(pair);
  return pair;
};

/** Replaces the first record from `from` that `is` picks. */
function once(
  from: Role,
  is: (record: InFlight) => boolean,
  instead: (record: InFlight) => readonly Cargo[],
): Tamper {
  let done = false;
  return (record) => {
    if (done || record.from !== from || !is(record)) return undefined;
    done = true;
    return instead(record);
  };
}

const inHandshake = ({ epoch, type }: InFlight) => epoch === 'handshake' && type === handshake;
const bytes = (length: number, fill = 0x41) => new Uint8Array(length).fill(fill);

describe('in clear, before anything else', () => {
  const first: [string, Uint8Array, TlsErrorCode, AlertName][] = [
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n'), 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message'],
    [
      'an SSL 2 hello',
      Uint8Array.of(0x80, 0x2e, 1, 3, 1),
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'unexpected_message',
    ],
    ['SSH', Buffer.from('SSH-2.0-x\r\n'), 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message'],
    [
      'application data',
      clearRecord(application_data, bytes(4)),
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'unexpected_message',
    ],
    ['a heartbeat', clearRecord(24, bytes(3)), 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message'],
    [
      'change_cipher_spec',
      clearRecord(change_cipher_spec, Uint8Array.of(1)),
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'unexpected_message',
    ],
    [
      'an empty handshake record',
      clearRecord(handshake, NOTHING),
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'unexpected_message',
    ],
    ['an empty alert', clearRecord(alert, NOTHING), 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message'],
    ['half an alert', clearRecord(alert, Uint8Array.of(2)), 'ERR_TLS_DECODE', 'decode_error'],
    [
      'two alerts in one record',
      clearRecord(alert, Uint8Array.of(1, 0, 2, 40)),
      'ERR_TLS_DECODE',
      'decode_error',
    ],
    [
      'a record of 2^14+1 bytes',
      clearRecord(handshake, bytes(2 ** 14 + 1)),
      'ERR_TLS_RECORD_OVERFLOW',
      'record_overflow',
    ],
    [
      'the header of a record of 65,535 bytes',
      Uint8Array.of(22, 3, 1, 0xff, 0xff),
      'ERR_TLS_RECORD_OVERFLOW',
      'record_overflow',
    ],
  ];
  test.each(first)('the server refuses %s', (_what, sent, code, told) => {
    const pair = start().injectRaw('client', sent);
    expectFound(pair, 'server', code, told);
  });

  test.each(first.filter(([what]) => what !== 'change_cipher_spec'))(
    'the client refuses %s',
    (_what, sent, code, told) => {
      const pair = start().injectRaw('server', sent);
      expectFound(pair, 'client', code, told);
    },
  );

  test('a record of exactly 2^14 bytes is taken', () => {
    // A handshake message that fills it and goes on in the next record: still waiting, not refused.
    const content = concat([Uint8Array.of(HandshakeType.client_hello, 0, 0xf0, 0), bytes(2 ** 14 - 4)]);
    const pair = start();
    pair.server.connection.receive(clearRecord(handshake, content), pair.now);
    pair.server.collect();
    expect(pair.server.error).toBeUndefined();
  });
});

describe('change_cipher_spec, RFC 8446 §5', () => {
  const ccs = (...content: number[]): Cargo => ({
    raw: clearRecord(change_cipher_spec, Uint8Array.from(content)),
  });
  const precededBy = (from: Role, ...cargo: Cargo[]) =>
    once(from, inHandshake, ({ type, content }) => [...cargo, { type, content }]);

  test.each(roles)('a few more of them from the %s are dropped', (from) => {
    const pair = start(precededBy(from, ccs(1), ccs(1), ccs(1))).run();
    expectUnharmed(pair);
    pair.tamper = undefined;
    expectAlive(pair);
  });

  const wrong: [string, Cargo[]][] = [
    ['with another value', [ccs(2)]],
    ['with two bytes', [ccs(1, 1)]],
    ['empty', [ccs()]],
    ['too often', Array.from({ length: MAX_CHANGE_CIPHER_SPECS + 1 }, () => ccs(1))],
    ['protected', [{ type: change_cipher_spec, content: Uint8Array.of(1) }]],
  ];
  for (const from of roles) {
    test.each(wrong)(`from the ${from}, %s, is refused`, (_what, cargo) => {
      const pair = start(precededBy(from, ...cargo)).run();
      expectFound(pair, peerOf[from], 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
    });

    test(`from the ${from}, after the handshake, is refused`, () => {
      const pair = connected().inject(from, ccs(1));
      expectFound(pair, peerOf[from], 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
    });
  }
});

describe.each(roles)('protected records from the %s', (from) => {
  const finder = peerOf[from];

  const inFlight: [string, (record: InFlight) => readonly Cargo[], TlsErrorCode, AlertName][] = [
    [
      'too short for a tag',
      () => [{ raw: clearRecord(application_data, bytes(15)) }],
      'ERR_TLS_BAD_RECORD_MAC',
      'bad_record_mac',
    ],
    [
      'empty',
      () => [{ raw: clearRecord(application_data, NOTHING) }],
      'ERR_TLS_BAD_RECORD_MAC',
      'bad_record_mac',
    ],
    [
      'of random bytes',
      () => [{ raw: clearRecord(application_data, bytes(100)) }],
      'ERR_TLS_BAD_RECORD_MAC',
      'bad_record_mac',
    ],
    [
      'of 2^14+257 bytes',
      () => [{ raw: clearRecord(application_data, bytes(2 ** 14 + 257)) }],
      'ERR_TLS_RECORD_OVERFLOW',
      'record_overflow',
    ],
    [
      'with 2^14+1 bytes of content',
      () => [{ type: handshake, content: bytes(2 ** 14 + 1) }],
      'ERR_TLS_RECORD_OVERFLOW',
      'record_overflow',
    ],
    [
      'with padding past 2^14',
      ({ type, content }) => [{ type, content, padding: 2 ** 14 - content.length + 1 }],
      'ERR_TLS_RECORD_OVERFLOW',
      'record_overflow',
    ],
    [
      'of nothing but zeros',
      () => [{ type: 0, content: NOTHING, padding: 20 }],
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'unexpected_message',
    ],
    [
      'with an empty handshake fragment',
      () => [{ type: handshake, content: NOTHING }],
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'unexpected_message',
    ],
    [
      'with an empty alert',
      () => [{ type: alert, content: NOTHING, padding: 5 }],
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'unexpected_message',
    ],
    [
      'with a long alert',
      () => [{ type: alert, content: Uint8Array.of(2, 40, 0) }],
      'ERR_TLS_DECODE',
      'decode_error',
    ],
    [
      'with application data before Finished',
      () => [{ type: application_data, content: bytes(3) }],
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'unexpected_message',
    ],
    [
      'with a content type that was not negotiated',
      () => [{ type: 28, content: bytes(3) }],
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'unexpected_message',
    ],
    [
      'with a handshake message in clear',
      ({ content }) => [{ raw: clearRecord(handshake, content) }],
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'unexpected_message',
    ],
  ];
  test.each(inFlight)('%s, during the handshake, are refused', (_what, instead, code, told) => {
    const pair = start(once(from, inHandshake, instead)).run();
    expectFound(pair, finder, code, told);
    expect(pair[finder].connected).toBe(false);
  });

  const later: [string, Cargo, TlsErrorCode, AlertName][] = [
    [
      'of random bytes',
      { raw: clearRecord(application_data, bytes(40)) },
      'ERR_TLS_BAD_RECORD_MAC',
      'bad_record_mac',
    ],
    [
      'of 2^14+257 bytes',
      { raw: clearRecord(application_data, bytes(2 ** 14 + 257)) },
      'ERR_TLS_RECORD_OVERFLOW',
      'record_overflow',
    ],
    [
      'with 2^14+1 bytes of content',
      { type: application_data, content: bytes(2 ** 14 + 1) },
      'ERR_TLS_RECORD_OVERFLOW',
      'record_overflow',
    ],
    [
      'of nothing but zeros',
      { type: 0, content: NOTHING, padding: 2 ** 14 },
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'unexpected_message',
    ],
    [
      'with a content type that was not negotiated',
      { type: 28, content: bytes(3) },
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'unexpected_message',
    ],
    [
      'with a content type of 0xff',
      { type: 255, content: bytes(3) },
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'unexpected_message',
    ],
    [
      'with a handshake message in clear',
      { raw: clearRecord(handshake, withBody(HandshakeType.key_update, Uint8Array.of(0))) },
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'unexpected_message',
    ],
    [
      'with a heartbeat in clear',
      { raw: clearRecord(24, bytes(3)) },
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'unexpected_message',
    ],
  ];
  test.each(later)('%s, after the handshake, are refused', (_what, cargo, code, told) => {
    expectFound(connected().inject(from, cargo), finder, code, told);
  });

  test('that are full to the last byte are taken', () => {
    const pair = connected();
    pair.inject(from, { type: application_data, content: bytes(2 ** 14) });
    pair.inject(from, { type: application_data, content: bytes(1), padding: 2 ** 14 - 1 });
    expectUnharmed(pair);
    expect(pair[finder].data).toHaveLength(2 ** 14 + 1);
  });

  describe('with one bit changed, doubled, lost or swapped', () => {
    /** Sends three records, with `network` between. */
    const three = (network: (records: readonly Uint8Array[]) => readonly Uint8Array[]) => {
      const pair = connected();
      for (const byte of [1, 2, 3]) pair[from].connection.send(Uint8Array.of(byte));
      const held: Uint8Array[] = [];
      pair.tamper = (record) => {
        if (record.from !== from) return undefined;
        held.push(pair.sent[from][pair.sent[from].length - 3 + held.length] as Uint8Array);
        return held.length < 3 ? [] : network(held).map((raw) => ({ raw }));
      };
      pair.run();
      return pair;
    };
    const swap = ([a, b, c]: readonly Uint8Array[]) => [a, c, b].filter((record) => record !== undefined);

    test('nothing changed: they arrive', () => {
      const pair = three((records) => records);
      expectUnharmed(pair);
      expect([...pair[finder].data]).toEqual([1, 2, 3]);
    });

    test.each<[string, (records: readonly Uint8Array[]) => readonly Uint8Array[], number[]]>([
      ['a bit of the ciphertext', ([a, b, c]) => [a, flipBit(b as Uint8Array, 5), c] as Uint8Array[], [1]],
      ['a bit of the tag', ([a, b, c]) => [a, flipBit(b as Uint8Array), c] as Uint8Array[], [1]],
      ['a bit of the version', ([a, b, c]) => [a, flipBit(b as Uint8Array, 2), c] as Uint8Array[], [1]],
      ['one twice', ([a, b, c]) => [a, b, b, c] as Uint8Array[], [1, 2]],
      ['one lost', ([a, , c]) => [a, c] as Uint8Array[], [1]],
      ['two swapped', swap, [1]],
    ])('%s: bad_record_mac, and only what came before is delivered', (_what, network, delivered) => {
      const pair = three(network);
      expectFound(pair, finder, 'ERR_TLS_BAD_RECORD_MAC', 'bad_record_mac');
      expect([...pair[finder].data]).toEqual(delivered);
    });
  });

  describe('of alerts', () => {
    const fatal = Object.entries(AlertDescription).filter(
      ([name]) => name !== 'close_notify' && name !== 'user_canceled',
    );

    test.each(fatal)('%s ends the session, whatever its level, and is not answered', (name, description) => {
      for (const level of [1, 2, 0, 255]) {
        const pair = connected();
        const sent = pair.sent[finder].length;
        pair.inject(from, { type: alert, content: Uint8Array.of(level, description) });
        expect(pair[finder].error?.code).toBe(`ERR_TLS_ALERT_${name.toUpperCase()}`);
        expect(pair.sent[finder]).toHaveLength(sent);
      }
    });

    test('a number that no RFC lists ends it too', () => {
      const pair = connected().inject(from, { type: alert, content: Uint8Array.of(2, 255) });
      expect(pair[finder].error?.code).toBe('ERR_TLS_ALERT_UNKNOWN_255');
    });

    test('user_canceled alone is ignored, many are a flood', () => {
      const cancel: Cargo = { type: alert, content: Uint8Array.of(1, AlertDescription.user_canceled) };
      const pair = connected().inject(from, ...Array.from({ length: MAX_WARNING_ALERTS }, () => cancel));
      expectUnharmed(pair);
      pair.inject(from, cancel);
      expectFound(pair, finder, 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
    });

    test('in clear after the handshake are forged: no clean end, no error of the attacker’s choice', () => {
      for (const description of [AlertDescription.close_notify, AlertDescription.handshake_failure]) {
        for (const prepare of [() => {}, (pair: Pair) => pair[from].connection.updateKeys(false)]) {
          const pair = connected();
          prepare(pair);
          pair.run().injectRaw(from, clearRecord(alert, Uint8Array.of(1, description)));
          expect(pair[finder].ended).toBe(false);
          expectFound(pair, finder, 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
        }
      }
    });

    test('close_notify during the handshake is not an end of data but a failure', () => {
      const pair = start(
        once(from, inHandshake, () => [{ type: alert, content: Uint8Array.of(1, 0) }]),
      ).run();
      expect(pair[finder].error?.code).toBe('ERR_TLS_ALERT_CLOSE_NOTIFY');
      expect(pair[finder].ended || pair[finder].connected).toBe(false);
    });
  });

  describe('of handshake fragments', () => {
    const update = withBody(HandshakeType.key_update, Uint8Array.of(0));

    test.each([
      ['application data', application_data, bytes(1)],
      ['an alert', alert, Uint8Array.of(1, AlertDescription.user_canceled)],
    ] as const)('with %s between them are refused (§5.1)', (_what, type, content) => {
      const pair = connected();
      pair.inject(from, { type: handshake, content: update.subarray(0, 3) }, { type, content });
      expectFound(pair, finder, 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
    });

    test('that go on after a message that changes the keys are refused (§5.1)', () => {
      for (const rest of [1, 4, 5]) {
        const pair = connected();
        pair.inject(from, { type: handshake, content: concat([update, update.subarray(0, rest)]) });
        expectFound(pair, finder, 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
      }
    });
  });

  describe('when the transport ends', () => {
    test('without close_notify, the data may be truncated: an error, and no alert', () => {
      const pair = connected();
      const sent = pair.sent[finder].length;
      pair.end(from);
      expect(pair[finder].error?.code).toBe('ERR_TLS_TRUNCATED');
      expect(pair[finder].ended).toBe(false);
      expect(pair.sent[finder]).toHaveLength(sent);
    });

    test('in the middle of a record as well', () => {
      const pair = connected()
        .injectRaw(from, Uint8Array.of(23, 3, 3, 0, 40, 1, 2, 3))
        .end(from);
      expect(pair[finder].error?.code).toBe('ERR_TLS_TRUNCATED');
    });

    test('during the handshake as well', () => {
      const pair = start(once(from, inHandshake, () => []))
        .run()
        .end(from);
      expect(pair[finder].error?.code).toBe('ERR_TLS_TRUNCATED');
    });

    test('after close_notify, all is well', () => {
      const pair = connected();
      pair[from].connection.close();
      pair.run().end(from);
      expectUnharmed(pair);
      expect(pair[finder].ended).toBe(true);
    });
  });
});

test('a failed connection is silent: it takes no more bytes, sends none, and reports nothing more', () => {
  const pair = connected().inject('client', { type: 28, content: bytes(1) });
  const { connection, events } = pair.server;
  const seen = events.length;
  connection.receive(bytes(1000), pair.now);
  connection.receiveEnd();
  connection.handleTimeout(pair.now + 1e9);
  connection.close();
  connection.abandon(new Error('late'));
  pair.server.collect();
  expect(connection.transmit()).toEqual([]);
  expect(events).toHaveLength(seen);
  expect(connection.nextTimeout()).toBeUndefined();
  expect(connection.writable).toBe(false);
  expect(() => connection.send(bytes(1))).toThrow(expect.objectContaining({ code: 'ERR_TLS_CLOSED' }));
});

test('one session that fails leaves another with the same configuration alone', () => {
  const client = clientConfig();
  const server = serverConfig();
  const well = new Pair({ client, server }).run();
  const ill = new Pair({ client, server }).run().inject('client', { type: 28, content: bytes(1) });
  expectFound(ill, 'server', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  expectAlive(well);
});
