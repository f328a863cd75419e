import { describe, expect, test } from 'vitest';
import { DtlsConnection } from '../../../src/connection/dtls-connection.ts';
import {
  COOKIE_PERIOD,
  COOKIE_SECRET_LENGTH,
  DtlsGreeter,
  isClientHello,
} from '../../../src/connection/dtls-greeter.ts';
import { NamedGroup } from '../../../src/wire/codepoints.ts';
import { ADDRESS, DtlsPair } from '../../setup/dtls-pair.ts';
import { clientConfig, ONLY_TLS12, serverConfig, testTickets } from '../../setup/engine-config.ts';

import { flipBit, START } from '../../setup/pair.ts';

const SECRET = new Uint8Array(COOKIE_SECRET_LENGTH).fill(9);
const greeterFor = (only: object) => new DtlsGreeter(serverConfig(only), SECRET);
const VERSIONS = [
  ['DTLSv1.3', {}],
  ['DTLSv1.2', ONLY_TLS12],
] as const;

/** The first two ClientHellos of a client, with what a greeter says to the first. */
function hellos(only: object, greeter = greeterFor(only)) {
  const client = DtlsConnection.client(clientConfig(only), START);
  const [first] = client.transmit() as [Uint8Array];
  const greeting = greeter.greet(first, ADDRESS, START);
  if (greeting.kind !== 'reply') throw new Error(`no reply but ${greeting.kind}`);
  client.receive(greeting.datagram, START);
  const [second] = client.transmit() as [Uint8Array];
  return { first, second, reply: greeting.datagram, greeter };
}

describe.each(VERSIONS)('%s', (protocol, only) => {
  test('a handshake that leaves nothing behind before its cookie', () => {
    const pair = new DtlsPair({
      client: clientConfig(only),
      server: serverConfig(only),
      greeter: greeterFor(only),
    });
    pair.run();
    expect([pair.client.connected, pair.server.connected]).toEqual([true, true]);
    expect(pair.server.connection.info?.protocol).toBe(protocol);
    pair.client.connection.send(Uint8Array.of(0x68, 0x69));
    pair.run();
    expect(pair.server.data).toEqual(['hi']);
  });

  test('a resumption', () => {
    const server = { ...only, tickets: testTickets };
    const first = new DtlsPair({ client: clientConfig(only), server: serverConfig(server) }).run();
    const greeter = new DtlsGreeter(serverConfig(server), SECRET);
    const second = new DtlsPair({
      client: clientConfig({ ...only, session: first.client.sessions[0] }),
      server: serverConfig(server),
      greeter,
      now: first.now,
    }).run();
    expect(second.server.connection.info?.resumed).toBe(true);
  });

  test('a small MTU: the second ClientHello may come in pieces', () => {
    const datagrams = { mtu: 296, initialTimeout: 1000, maxTimeout: 60_000 };
    const setup = { ...only, datagrams };
    const pair = new DtlsPair({
      client: clientConfig(setup),
      server: serverConfig(setup),
      greeter: greeterFor(setup),
    });
    pair.run();
    expect(pair.client.error?.message).toBeUndefined();
    expect(pair.server.connected).toBe(true);
  });

  test('a cookie is good for its address, its ClientHello, its key and its time', () => {
    const { first, second, greeter } = hellos(only);
    const kind = (by: DtlsGreeter, bytes: Uint8Array, address = ADDRESS, now = START) =>
      by.greet(bytes, address, now).kind;
    expect(kind(greeter, second)).toBe('accept');
    expect(kind(greeter, second, ADDRESS, START + COOKIE_PERIOD)).toBe('accept');
    expect(kind(greeter, second, ADDRESS, START + 2 * COOKIE_PERIOD)).toBe('reply');
    expect(kind(greeter, second, flipBit(ADDRESS))).toBe('reply');
    expect(kind(new DtlsGreeter(serverConfig(only), flipBit(SECRET)), second)).toBe('reply');
    expect(kind(greeter, first)).toBe('reply');
  });

  test('no answer is longer than three times the question', () => {
    const { first, reply } = hellos(only);
    expect(reply.length).toBeLessThanOrEqual(3 * first.length);
  });

  test('the answer has the numbers of the question', () => {
    const { first, reply } = hellos(only);
    expect(reply.subarray(3, 11)).toEqual(first.subarray(3, 11));
  });
});

test('a group of the server that the client has no share for is asked for with the cookie', () => {
  const server = { groups: [NamedGroup.secp384r1] };
  const pair = new DtlsPair({
    client: clientConfig(),
    server: serverConfig(server),
    greeter: greeterFor(server),
  }).run();
  expect(pair.client.connection.info?.group).toBe(NamedGroup.secp384r1);
});

test('ML-KEM does not fit the first datagram, and goes in the second ClientHello', () => {
  const groups = [NamedGroup.x25519mlkem768];
  const server = { groups };
  const client = clientConfig({ groups: [...groups, NamedGroup.x25519], keyShares: groups });
  const pair = new DtlsPair({ client, server: serverConfig(server), greeter: greeterFor(server) }).run();
  expect(pair.client.error?.message).toBeUndefined();
  expect(pair.server.connection.info?.group).toBe(NamedGroup.x25519mlkem768);
  const [first] = pair.client.sent as [Uint8Array];
  expect(first.length).toBeLessThan(400);
});

test('pieces of a ClientHello without a cookie are not kept', () => {
  const client = DtlsConnection.client(clientConfig(), START);
  const [hello] = client.transmit() as [Uint8Array];
  const piece = hello.slice(0, 13 + 12 + 60);
  piece.set([0, 72], 11);
  piece.set([0, 0, 60], 22);
  expect(isClientHello(piece)).toBe(true);
  expect(greeterFor({}).greet(piece, ADDRESS, START).kind).toBe('discard');
});

test('what is no ClientHello is discarded', () => {
  const greeter = greeterFor({});
  for (const bytes of [
    [],
    [22],
    [22, 254, 253, 0, 0],
    Array.from({ length: 80 }, (_, i) => i),
    [23, 254, 253],
  ]) {
    expect(greeter.greet(Uint8Array.from(bytes), ADDRESS, START).kind).toBe('discard');
  }
});

test('a client that offers no version of ours is told so', () => {
  const [hello] = DtlsConnection.client(clientConfig(ONLY_TLS12), START).transmit() as [Uint8Array];
  const greeting = greeterFor({}).greet(hello, ADDRESS, START);
  if (greeting.kind !== 'reply') throw new Error('no reply');
  // A fatal protocol_version.
  expect([...greeting.datagram.subarray(-2)]).toEqual([2, 70]);
});

test('a secret that could be guessed is refused', () => {
  expect(() => new DtlsGreeter(serverConfig(), new Uint8Array(COOKIE_SECRET_LENGTH - 1))).toThrow(
    expect.objectContaining({ code: 'ERR_TLS_OPTION' }),
  );
});

test('a ClientHello that no datagram of this MTU holds is refused here', () => {
  const datagrams = { mtu: 150, initialTimeout: 1000, maxTimeout: 60_000 };
  expect(() => DtlsConnection.client(clientConfig({ datagrams }), START)).toThrow(
    expect.objectContaining({ code: 'ERR_DTLS_CLIENT_HELLO_TOO_LARGE' }),
  );
});
