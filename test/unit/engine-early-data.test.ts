import { describe, expect, test } from 'vitest';
import { Connection } from '../../src/connection/connection.ts';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { type Suite, TLS13_SUITES } from '../../src/crypto/suites.ts';
import type { ClientConfig, ServerConfig } from '../../src/handshake/config.ts';
import { EARLY_DATA_WINDOW, EarlyDataGuard } from '../../src/handshake/early-data-guard.ts';
import { trafficKeys } from '../../src/handshake/key-schedule.ts';
import { type ClientSession, parseSession, serializeSession } from '../../src/handshake/session.ts';
import { TicketKeys } from '../../src/handshake/tickets.ts';
import { ExtensionType, NamedGroup } from '../../src/wire/codepoints.ts';
import { concat } from '../../src/wire/writer.ts';
import { clientConfig, serverConfig } from '../setup/engine-config.ts';
import {
  changingClientHello,
  expectAlive,
  expectFound,
  expectUnharmed,
  setExtension,
} from '../setup/faults.ts';
import { type Delivery, Endpoint, Pair, START } from '../setup/pair.ts';
import { keyed } from './engine-early-data-kit.ts';

/* 0-RTT: RFC 8446 §2.3, §4.2.10, §8. */

const WORDS = Uint8Array.from(Buffer.from('early words'));
const keys = new TicketKeys(new Uint8Array(48).fill(5));

/** A server that takes early data, with a guard that has run for long. */
const taking = (maxBytes = 1000, guard = new EarlyDataGuard(START - 3_600_000)): Partial<ServerConfig> => ({
  tickets: { keys, lifetime: 86_400, count: 1, earlyData: keyed(maxBytes, guard) },
});

/** A session of a first handshake with that server. */
function sessionOf(
  server = taking(),
  client: Partial<ClientConfig> = {},
  more: Partial<ServerConfig> = {},
): ClientSession {
  const pair = new Pair({ client: clientConfig(client), server: serverConfig({ ...server, ...more }) }).run();
  return pair.client.tickets[0] ?? expect.fail('no ticket');
}

interface Setup {
  readonly client?: Partial<ClientConfig>;
  readonly server?: Partial<ServerConfig>;
  readonly session?: ClientSession;
  readonly early?: Uint8Array;
  readonly delivery?: Delivery;
  readonly later?: number;
}

function resume({
  client,
  server = taking(),
  session = sessionOf(server),
  early = WORDS,
  delivery,
  later = 0,
}: Setup) {
  const pair = new Pair({
    client: clientConfig({ session, earlyData: true, ...client }),
    server: serverConfig({ ...server }),
    ...(delivery === undefined ? {} : { delivery }),
  });
  pair.now += later;
  if (pair.client.connection.earlyDataLeft > 0) pair.client.connection.sendEarly(early);
  return pair.run();
}

const earlyOf = ({ server }: Pair) =>
  concat(server.events.flatMap((event) => (event.type === 'early-data' ? [event.data] : [])));
const outcome = (pair: Pair) => [
  pair.client.connection.info?.earlyDataAccepted,
  pair.server.connection.info?.earlyDataAccepted,
];

describe('early data', () => {
  test.each<Delivery>(['whole', 'byte', { seed: 4 }])(
    'arrives before the handshake is complete, delivered as %j',
    (delivery) => {
      const pair = resume({ delivery });
      expectAlive(pair);
      expect(earlyOf(pair)).toEqual(WORDS);
      expect(outcome(pair)).toEqual([true, true]);
      const types = pair.server.events.map(({ type }) => type);
      expect(types.indexOf('early-data')).toBeLessThan(types.indexOf('connected'));
      // It is nowhere among what came after.
      expect(Buffer.from(pair.server.data).includes('early')).toBe(false);
    },
  );

  test.each(TLS13_SUITES)('works with $name', (suite) => {
    const server = { ...taking(), suites: [suite] };
    const pair = resume({ server, client: { suites: [suite] } });
    expectAlive(pair);
    expect(earlyOf(pair)).toEqual(WORDS);
  });

  test('works without compatibility mode, and with ALPN', () => {
    const alpn = { alpnProtocols: ['h2'], compatibility: false };
    const server = { ...taking(), selectProtocol: () => 'h2' };
    const pair = resume({ server, session: sessionOf(server, alpn), client: alpn });
    expectAlive(pair);
    expect(earlyOf(pair)).toEqual(WORDS);
  });

  test('can be sent until the server has answered, up to what the ticket allows', () => {
    const server = taking(20);
    const pair = new Pair({
      client: clientConfig({ session: sessionOf(server), earlyData: true }),
      server: serverConfig(server),
    });
    const { connection } = pair.client;
    expect(connection.earlyDataLeft).toBe(20);
    connection.sendEarly(new Uint8Array(15));
    expect(() => connection.sendEarly(new Uint8Array(6))).toThrow(
      expect.objectContaining({ code: 'ERR_TLS_NOT_CONNECTED' }),
    );
    connection.sendEarly(new Uint8Array(5));
    expect(connection.earlyDataLeft).toBe(0);
    pair.run();
    expectAlive(pair);
    expect(earlyOf(pair)).toHaveLength(20);
    expect(() => connection.sendEarly(WORDS)).toThrow();
  });

  test('need not be sent although it was offered', () => {
    const pair = resume({ early: new Uint8Array(0) });
    expectAlive(pair);
    expect(outcome(pair)).toEqual([true, true]);
  });

  test('survives the storage of its session', () => {
    const session = parseSession(serializeSession(sessionOf()));
    expect(session.maxEarlyData).toBe(1000);
    expect(earlyOf(resume({ session }))).toEqual(WORDS);
  });

  test.each<[string, Setup]>([
    ['unless the client wants it', { client: { earlyData: false } }],
    ['without a session', { client: { session: undefined } }],
    ['for a session that allows none', { session: { ...sessionOf(), maxEarlyData: undefined } }],
    ['without the suite of the session', { client: { suites: TLS13_SUITES.slice(3, 4) } }],
    [
      'for another protocol',
      { session: { ...sessionOf(), alpnProtocol: 'h2' }, client: { alpnProtocols: ['h3'] } },
    ],
  ])('is not offered %s', (_what, setup) => {
    const pair = resume(setup);
    expectAlive(pair);
    expect(earlyOf(pair)).toHaveLength(0);
    expect(outcome(pair)).toEqual([undefined, undefined]);
  });

  const session = sessionOf();
  const http = { ...taking(), selectProtocol: (offered: readonly string[]) => offered.at(-1) };
  test.each<[string, Setup]>([
    ['the server takes none', { session, server: { tickets: { keys, lifetime: 86_400, count: 1 } } }],
    [
      'its ticket cannot be opened',
      { session, server: { tickets: { keys: new TicketKeys(new Uint8Array(48)), lifetime: 9, count: 0 } } },
    ],
    [
      'the server asks for another group',
      { session, server: { ...taking(), groups: [NamedGroup.secp256r1] } },
    ],
    [
      'another protocol is agreed on',
      {
        session: sessionOf(http, { alpnProtocols: ['h2'] }),
        server: http,
        client: { alpnProtocols: ['h2', 'h3'] },
      },
    ],
    ['the client is slow', { session, later: EARLY_DATA_WINDOW + 1001 }],
    [
      'the suite is another',
      { session, server: { ...taking(), suites: TLS13_SUITES.filter(({ id }) => id !== session.suite.id) } },
    ],
    ['the server has just started', { session, server: taking(1000, new EarlyDataGuard(START + 1)) }],
  ])('is thrown away where %s, and the session stands', (_what, setup) => {
    const pair = resume(setup);
    expectAlive(pair);
    expect(earlyOf(pair)).toHaveLength(0);
    expect(outcome(pair)[0]).toBe(false);
  });

  test('a client that is refused sends all of it again under real keys', () => {
    const pair = resume({ session, server: { tickets: { keys, lifetime: 86_400, count: 1 } } });
    pair.client.connection.send(WORDS);
    pair.run();
    expect(pair.server.data).toEqual(WORDS);
  });
});

describe('a replay', () => {
  /** All that the client sent before the server had answered. */
  function firstFlight(session: ClientSession) {
    const client = Connection.client(clientConfig({ session, earlyData: true }), START);
    client.sendEarly(WORDS);
    return concat(client.transmit());
  }
  function serve(server: Partial<ServerConfig>, flight: Uint8Array, now: number) {
    const endpoint = new Endpoint('server', Connection.server(serverConfig(server), now));
    endpoint.connection.receive(flight, now);
    endpoint.collect();
    expect(endpoint.error).toBeUndefined();
    return endpoint.events.filter(({ type }) => type === 'early-data').length;
  }

  test.each([0, 1000, EARLY_DATA_WINDOW - 1, EARLY_DATA_WINDOW + 1, 60_000, 3_000_000])(
    'of the first flight %i ms later brings no early data',
    (later) => {
      const server = taking();
      const flight = firstFlight(sessionOf(server));
      expect(serve(server, flight, START)).toBe(1);
      expect(serve(server, flight, START + later)).toBe(0);
      expect(serve(server, flight, START + later)).toBe(0);
    },
  );

  test('is remembered for all servers that share a guard, whatever sessions come between', () => {
    const server = taking();
    const flight = firstFlight(sessionOf(server));
    for (let n = 0; n < 20; n++) expect(serve(server, firstFlight(sessionOf(server)), START)).toBe(1);
    expect(serve(server, flight, START)).toBe(1);
    const { tickets } = server;
    expect(serve({ tickets }, flight, START + 1)).toBe(0);
  });

  test('after the clock was set back brings no early data', () => {
    const server = taking();
    const flight = firstFlight(sessionOf(server));
    expect(serve(server, flight, START)).toBe(1);
    expect(serve(server, flight, START - EARLY_DATA_WINDOW)).toBe(0);
    expect(serve(server, flight, START - 1)).toBe(0);
    expect(serve(server, flight, START)).toBe(0);
  });

  test('with a wrong binder uses nothing up', () => {
    const server = taking();
    const session = sessionOf(server);
    const wrong = resume({ server, session: { ...session, psk: new Uint8Array(32) } });
    expectFound(wrong, 'server', 'ERR_TLS_BAD_BINDER', 'decrypt_error');
    expect(earlyOf(resume({ server, session }))).toEqual(WORDS);
  });
});

describe('EarlyDataGuard', () => {
  const ticket = (n: number) => Uint8Array.of(n >> 16, n >> 8, n);
  test('knows a ticket again for two windows and more', () => {
    const guard = new EarlyDataGuard(0);
    const now = 10 * EARLY_DATA_WINDOW;
    for (let n = 0; n < 50; n++) expect(guard.firstUse(nodeCrypto, ticket(n), now, now + n)).toBe(true);
    for (const later of [50, EARLY_DATA_WINDOW, 2 * EARLY_DATA_WINDOW]) {
      expect(guard.firstUse(nodeCrypto, ticket(3), now, now + later)).toBe(false);
    }
  });

  test('refuses tickets of before it began, for two windows', () => {
    const guard = new EarlyDataGuard(1000);
    expect(guard.firstUse(nodeCrypto, ticket(1), 500, 2000)).toBe(false);
    expect(guard.firstUse(nodeCrypto, ticket(1), 1500, 2000)).toBe(true);
    expect(guard.firstUse(nodeCrypto, ticket(2), 500, 1000 + 2 * EARLY_DATA_WINDOW)).toBe(true);
  });

  test('keeps to the window that it is given', () => {
    const guard = new EarlyDataGuard(0, 50);
    expect(guard.firstUse(nodeCrypto, ticket(1), -1, 99)).toBe(false);
    expect(guard.firstUse(nodeCrypto, ticket(1), -1, 100)).toBe(true);
    expect(guard.firstUse(nodeCrypto, ticket(1), -1, 200)).toBe(false);
    // Forgotten: by then a replay is older than its ticket says.
    expect(guard.firstUse(nodeCrypto, ticket(1), -1, 300)).toBe(true);
  });

  test('forgets nothing where the clock is set back, and takes none until it is again where it was', () => {
    const guard = new EarlyDataGuard(0);
    const now = 10 * EARLY_DATA_WINDOW;
    expect(guard.firstUse(nodeCrypto, ticket(1), now, now)).toBe(true);
    // A jump forward and back, past what was remembered.
    expect(guard.firstUse(nodeCrypto, ticket(2), now, 10 * now)).toBe(true);
    for (const back of [now, now + 1, 10 * now - 1]) {
      expect(guard.firstUse(nodeCrypto, ticket(1), now, back)).toBe(false);
      expect(guard.firstUse(nodeCrypto, ticket(3), now, back)).toBe(false);
    }
    expect(guard.firstUse(nodeCrypto, ticket(2), now, 10 * now)).toBe(false);
    expect(guard.firstUse(nodeCrypto, ticket(3), now, 10 * now)).toBe(true);
  });

  test('refuses when it is full, and has room again later', () => {
    const guard = new EarlyDataGuard(0);
    const now = 10 * EARLY_DATA_WINDOW;
    for (let n = 0; n < 100_000; n++) guard.firstUse(nodeCrypto, ticket(n), now, now);
    expect(guard.firstUse(nodeCrypto, ticket(100_001), now, now)).toBe(false);
    expect(guard.firstUse(nodeCrypto, ticket(100_001), now, now + 5 * EARLY_DATA_WINDOW)).toBe(true);
  });
});

describe('faults', () => {
  test('more than the ticket allows: unexpected_message', () => {
    const server = taking(10);
    const session = { ...sessionOf(server), maxEarlyData: 1000 };
    const pair = resume({ server, session });
    expect(pair.server.error?.code).toBe('ERR_TLS_UNEXPECTED_MESSAGE');
    expect(pair.client.error?.code).toBe('ERR_TLS_ALERT_UNEXPECTED_MESSAGE');
    expect(earlyOf(pair)).toHaveLength(0);
  });

  test.each([
    ['mtls', 28],
    ['tls_sign', 29],
    ['an unknown type', 99],
  ])('content of %s among early data: unexpected_message', (_name, type) => {
    const server = taking();
    const client = new Endpoint(
      'client',
      Connection.client(clientConfig({ session: sessionOf(server), earlyData: true }), START),
    );
    client.collect();
    const suite = TLS13_SUITES[0] as Suite;
    const { key, iv } = trafficKeys(
      nodeCrypto,
      suite,
      client.secrets.get('CLIENT_EARLY_TRAFFIC_SECRET') ?? expect.fail(),
    );
    const inner = Uint8Array.of(1, 2, 3, type);
    const header = Uint8Array.of(23, 3, 3, 0, inner.length + 16);
    const record = concat([header, ...nodeCrypto.aead(suite.aead, key).seal(iv, header, inner)]);
    const endpoint = new Endpoint('server', Connection.server(serverConfig(server), START));
    endpoint.connection.receive(concat([...client.connection.transmit(), record]), START);
    endpoint.collect();
    expect(endpoint.error).toMatchObject({ code: 'ERR_TLS_UNEXPECTED_MESSAGE', alert: 'unexpected_message' });
  });

  test('an indication that is not empty: decode_error', () => {
    const tamper = changingClientHello((hello) =>
      setExtension(hello, ExtensionType.early_data, Uint8Array.of(0)),
    );
    const pair = new Pair({ client: clientConfig(), server: serverConfig(), tamper }).run();
    expectFound(pair, 'server', 'ERR_TLS_DECODE', 'decode_error');
  });

  test('a session that stands is unharmed by further handshakes under its ticket', () => {
    const server = taking();
    const session = sessionOf(server);
    expectUnharmed(resume({ server, session }));
    const again = resume({ server, session });
    expectAlive(again);
    expect(outcome(again)).toEqual([false, false]);
  });
});
