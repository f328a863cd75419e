import { describe, expect, test } from 'vitest';
import type { Role } from '../../src/connection/sub-protocol.ts';
import type { TlsErrorCode } from '../../src/errors/errors.ts';
import { MAX_KEY_UPDATES } from '../../src/handshake/established.ts';
import { MAX_HANDSHAKE_MESSAGE } from '../../src/messages/handshake.ts';
import { buildNewSessionTicket } from '../../src/messages/post-handshake.ts';
import { MAX_EMPTY_RECORDS } from '../../src/record/tls/record-layer.ts';
import { ContentType, HandshakeType } from '../../src/wire/codepoints.ts';
import { concat } from '../../src/wire/writer.ts';
import { clientConfig, clientIdentity, serverConfig, testTickets } from '../setup/engine-config.ts';
import { expectAlive, expectFound, expectUnharmed, NOTHING, UNEXPECTED, withBody } from '../setup/faults.ts';
import { clearRecord, Pair, type PairSetup, peerOf, randomNumbers, type Tamper } from '../setup/pair.ts';

/* Peers that stall, flood, or send noise. */

const { application_data, handshake } = ContentType;
const roles = ['client', 'server'] as const;
const start = (setup: Partial<PairSetup> = {}) =>
  new Pair({ client: clientConfig(), server: serverConfig(), ...setup });
const connected = () => start().run();
const update = (request: 0 | 1) => withBody(HandshakeType.key_update, Uint8Array.of(request));

describe('stalls', () => {
  const TIMEOUT = 10_000;

  /** Lets `from` send the records that it has, up to one, and then nothing more. */
  const stalling = (from: Role, after: number): Tamper => {
    return (record) => (record.from === from && record.nth >= after ? [] : undefined);
  };

  test.each([0, 1, 2])(
    'a server that falls silent after %i records: the client gives up in time',
    (after) => {
      const pair = start({ tamper: stalling('server', after) }).run();
      const { connection } = pair.client;
      expect(connection.nextTimeout()).toBe(pair.now + TIMEOUT);
      pair.advance(TIMEOUT - 1);
      expect(pair.client.error).toBeUndefined();
      pair.advance(1);
      expect(pair.client.error?.code).toBe('ERR_TLS_HANDSHAKE_TIMEOUT');
      expect(connection.nextTimeout()).toBeUndefined();
    },
  );

  test.each([0, 1, 2])(
    'a client that falls silent after %i records: the server gives up in time',
    (after) => {
      const pair = start({ tamper: stalling('client', after) }).run();
      expect(pair.server.connection.nextTimeout()).toBe(pair.now + TIMEOUT);
      pair.advance(TIMEOUT);
      expect(pair.server.error?.code).toBe('ERR_TLS_HANDSHAKE_TIMEOUT');
    },
  );

  test('the peer is told: user_canceled, then close_notify (RFC 8446 §6.1)', () => {
    const pair = start({ tamper: stalling('server', 2) }).run();
    // The server must not notice its own timeout first.
    pair.now += TIMEOUT;
    pair.client.connection.handleTimeout(pair.now);
    const alerts: number[][] = [];
    pair.tamper = (record) => {
      if (record.type === ContentType.alert) alerts.push([...record.content]);
      return undefined;
    };
    pair.run();
    expect(alerts).toEqual([
      [1, 90],
      [1, 0],
    ]);
    expect(pair.server.error?.code).toBe('ERR_TLS_ALERT_CLOSE_NOTIFY');
  });

  test('a peer that sends a byte now and then gains no time', () => {
    const pair = start();
    const hello = concat(pair.client.connection.transmit());
    const step = Math.ceil(TIMEOUT / 20);
    for (let i = 0; i < 20; i++) {
      pair.server.connection.receive(hello.subarray(i, i + 1), pair.now);
      pair.advance(step);
    }
    expect(pair.server.error?.code).toBe('ERR_TLS_HANDSHAKE_TIMEOUT');
  });

  test('a signature that does not come is a stall as well', () => {
    const pair = start({ sign: () => undefined }).run();
    pair.advance(TIMEOUT);
    expect(pair.server.error?.code).toBe('ERR_TLS_HANDSHAKE_TIMEOUT');
    // The answer that comes too late changes nothing.
    pair.server.connection.provide(new Uint8Array(70), pair.now);
    expect(pair.server.connection.transmit()).toEqual([]);
  });

  test('once connected there is no timeout, and none with a timeout of 0', () => {
    const pair = connected();
    expect(pair.client.connection.nextTimeout()).toBeUndefined();
    expect(pair.server.connection.nextTimeout()).toBeUndefined();
    pair.advance(1e12);
    expectAlive(pair);
    const patient = start({ client: clientConfig({ handshakeTimeout: 0 }) });
    expect(patient.client.connection.nextTimeout()).toBeUndefined();
  });
});

describe.each(roles)('floods from the %s', (from) => {
  const finder = peerOf[from];

  test('empty records in a row: a few are forgiven', () => {
    const pair = connected();
    const empty = { type: application_data, content: NOTHING };
    pair.inject(from, ...Array.from({ length: MAX_EMPTY_RECORDS }, () => empty));
    expectUnharmed(pair);
    pair.inject(from, { type: application_data, content: Uint8Array.of(1) });
    pair.inject(from, ...Array.from({ length: MAX_EMPTY_RECORDS }, () => empty));
    expectUnharmed(pair);
    expectFound(pair.inject(from, empty), finder, ...UNEXPECTED);
  });

  test('empty records that are padded to full size count as empty', () => {
    const pair = connected();
    const padded = { type: application_data, content: NOTHING, padding: 2 ** 14 };
    pair.inject(from, ...Array.from({ length: MAX_EMPTY_RECORDS + 1 }, () => padded));
    expectFound(pair, finder, ...UNEXPECTED);
  });

  test('KeyUpdates without data between: a few are forgiven', () => {
    const pair = connected();
    for (let i = 0; i < MAX_KEY_UPDATES; i++) pair[from].connection.updateKeys(false);
    expectAlive(pair.run());
    for (let i = 0; i < MAX_KEY_UPDATES; i++) pair[from].connection.updateKeys(false);
    expectUnharmed(pair.run());
    pair[from].connection.updateKeys(false);
    expectFound(pair.run(), finder, ...UNEXPECTED);
  });

  test('empty records do not make up for KeyUpdates', () => {
    const pair = connected();
    for (let i = 0; i <= MAX_KEY_UPDATES; i++) {
      pair[from].connection.updateKeys(false);
      pair[from].connection.send(NOTHING);
    }
    expectFound(pair.run(), finder, ...UNEXPECTED);
  });

  test('a KeyUpdate asked for in every record is answered no more than once for all that came together', () => {
    const pair = connected();
    for (let i = 0; i < 100; i++) {
      pair[from].connection.updateKeys(true);
      pair[from].connection.send(Uint8Array.of(i));
    }
    const before = pair.sent[finder].length;
    pair.run();
    expect(pair.sent[finder].length - before).toBe(1);
    expectAlive(pair);
  });

  test('a message in fragments of one byte is taken', () => {
    const pair = connected();
    for (const byte of update(0).subarray(0, 4)) {
      pair.inject(from, { type: handshake, content: Uint8Array.of(byte) });
    }
    expectUnharmed(pair);
  });

  test('a message longer than any is refused before its content', () => {
    const pair = connected();
    const length = MAX_HANDSHAKE_MESSAGE + 1;
    pair.inject(from, { type: handshake, content: Uint8Array.of(4, length >> 16, length >> 8, length) });
    expectFound(pair, finder, 'ERR_TLS_DECODE', 'decode_error');
  });
});

test('a thousand tickets are a thousand events, and the session goes on', () => {
  const pair = connected();
  const message = (i: number) =>
    buildNewSessionTicket({
      lifetime: 60,
      ageAdd: i,
      nonce: Uint8Array.of(i >> 8, i),
      ticket: Uint8Array.of(1, i >> 8, i),
      extensions: [],
    });
  for (let i = 0; i < 1000; i += 100) {
    const content = concat(Array.from({ length: 100 }, (_, j) => message(i + j)));
    pair.inject('server', { type: handshake, content });
  }
  expect(pair.client.tickets).toHaveLength(1000);
  expectAlive(pair);
});

test('a ClientHello in fragments of one byte, each in a record of its own, is taken', () => {
  const pair = start();
  const [record] = [concat(pair.client.connection.transmit())];
  for (const byte of record?.subarray(5) ?? NOTHING) {
    pair.server.connection.receive(clearRecord(handshake, Uint8Array.of(byte)), pair.now);
  }
  expectAlive(pair.run());
});

describe('noise', () => {
  /** Each of these tests was clean over 800 seeds; this many are run every time. */
  const RUNS = 50;

  test('random bytes never do more than end the connection with a typed error', () => {
    for (let seed = 1; seed <= RUNS; seed++) {
      const random = randomNumbers(seed);
      for (const role of roles) {
        const pair = seed % 2 === 0 ? start() : connected();
        const noise = Uint8Array.from({ length: 1 + random(300) }, () => random(256));
        // Often with a header that passes, so that the noise gets further in.
        if (random(3) > 0)
          noise.set(
            Uint8Array.of(20 + random(4), 3, 3, 0, Math.max(0, noise.length - 5)).subarray(0, noise.length),
          );
        pair.injectRaw(role, noise);
        expectTyped(pair);
      }
    }
  });

  const setups: [string, () => PairSetup][] = [
    ['a plain handshake', () => ({ client: clientConfig(), server: serverConfig({ tickets: testTickets }) })],
    [
      'a handshake with client certificate and ALPN',
      () => ({
        client: clientConfig({ identities: [clientIdentity], alpnProtocols: ['h2'] }),
        server: serverConfig({ clientCertificate: 'require', selectProtocol: () => 'h2' }),
      }),
    ],
    [
      'a handshake with HelloRetryRequest',
      () => ({ client: clientConfig(), server: serverConfig({ groups: [0x17] }) }),
    ],
    [
      'a resumption',
      () => {
        const server = serverConfig({ tickets: testTickets });
        const [session] = new Pair({ client: clientConfig(), server }).run().client.tickets;
        return { client: clientConfig({ session }), server };
      },
    ],
  ];

  test.each(setups)(
    '%s in which one record is mangled never ends well, and never in a bug',
    (_what, setup) => {
      for (let seed = 1; seed <= RUNS; seed++) {
        const random = randomNumbers(seed);
        const target = random(5);
        let seen = 0;
        let mangled = false;
        const pair = new Pair({
          ...setup(),
          tamper: ({ type, content }) => {
            if (type !== handshake || seen++ !== target) return undefined;
            mangled = true;
            return [{ type, content: mangle(content, random) }];
          },
        }).run();
        pair.end('client').end('server');
        expectTyped(pair);
        if (mangled) expect(pair.client.error ?? pair.server.error, `seed ${seed}`).toBeDefined();
      }
    },
  );

  /** Flips, cuts, doubles or overwrites somewhere; always different from what it was. */
  function mangle(content: Uint8Array, random: (below: number) => number): Uint8Array {
    const at = random(content.length);
    switch (random(5)) {
      case 0:
        return content.map((byte, i) => (i === at ? byte ^ (1 << random(8)) : byte));
      case 1:
        return content.slice(0, Math.max(1, at));
      case 2:
        return concat([content.subarray(0, at), Uint8Array.of(random(256)), content.subarray(at)]);
      case 3: {
        const to = at + 1 + random(20);
        return concat([content.subarray(0, to), content.subarray(at)]);
      }
      default:
        return content.map((byte, i) => (i >= at && i < at + 4 ? byte ^ 0xff : byte));
    }
  }

  /** Errors, if any, are the peer's doing and known: never an internal one. */
  function expectTyped(pair: Pair): void {
    for (const { error } of [pair.client, pair.server]) {
      if (error === undefined) continue;
      expect(error.code).toMatch(/^(ERR_TLS_|CERT_|UNSUPPORTED_)/);
      expect(error.code satisfies string as TlsErrorCode, error.message).not.toBe('ERR_TLS_INTERNAL');
      expect(error.code, error.message).not.toBe('ERR_TLS_ALERT_INTERNAL_ERROR');
    }
  }
});
