import { describe, expect, test } from 'vitest';
import type { Role } from '../../../src/connection/sub-protocol.ts';
import { faulty } from '../../setup/bad-network.ts';
import { DtlsPair, LATENCY, type Network, perfect } from '../../setup/dtls-pair.ts';
import { clientConfig, serverConfig, testTickets } from '../../setup/engine-config.ts';

/*
 * RFC 9147 §5.8.4: KeyUpdate, NewConnectionId and RequestConnectionId wait for the ACK of the one before of their type. And
 * §8 with erratum 8047: nothing follows a KeyUpdate before the peer has it, with all that was said before.
 */

const datagrams = { mtu: 1232, initialTimeout: 1000, maxTimeout: 60_000 };

function connected(tickets: typeof testTickets | undefined = undefined): {
  pair: DtlsPair;
  given: () => number;
} {
  let made = 0;
  const newConnectionId = () => Uint8Array.of(0x90, 0x91, made++);
  const pair = new DtlsPair({
    client: clientConfig({ datagrams: { ...datagrams, connectionId: Uint8Array.of(1, 2) } }),
    server: serverConfig({
      ...(tickets && { tickets }),
      datagrams: { ...datagrams, connectionId: Uint8Array.of(3, 4, 5), newConnectionId },
    }),
  });
  if (tickets === undefined) pair.run();
  return { pair, given: () => made };
}

/** Loses what a side sends from here on, as often as `times` says, and lets the rest through. */
function losing(role: Role, times: number): Network {
  let lost = 0;
  return (bytes, from) => (from === role && lost++ < times ? [] : [{ after: LATENCY, bytes }]);
}

/** Both still understand each other. */
function exchange(pair: DtlsPair): void {
  pair.network = perfect;
  pair.client.connection.send(Uint8Array.of(0x61));
  pair.server.connection.send(Uint8Array.of(0x62));
  pair.run();
  expect([pair.client.error?.message, pair.server.error?.message]).toEqual([undefined, undefined]);
  expect(pair.server.data.at(-1)).toBe('a');
  expect(pair.client.data.at(-1)).toBe('b');
}

function spares(pair: DtlsPair): number {
  let count = 0;
  while (pair.client.connection.useNextConnectionId()) count++;
  return count;
}

describe('a message waits for the ACK of the one before of its type', () => {
  test('RequestConnectionId, although it is fulfilled', () => {
    const { pair, given } = connected();
    // The server's ACK, and the second, are lost; its NewConnectionId arrives.
    pair.network = (bytes, from, nth) =>
      from === 'server' && nth !== firstOf ? [] : [{ after: LATENCY, bytes }];
    const firstOf = pair.server.sent.length;
    pair.client.connection.requestConnectionIds(2);
    pair.run(100);
    expect(given()).toBe(2);
    const before = pair.client.sent.length;
    pair.client.connection.requestConnectionIds(2);
    pair.run(100);
    // Nothing is sent; what the first request waits for has not come.
    expect(pair.client.sent.length).toBe(before);
    pair.network = perfect;
    pair.run();
    expect(given()).toBe(4);
    expect(spares(pair)).toBe(4);
    exchange(pair);
  });

  test('NewConnectionId', () => {
    const { pair, given } = connected();
    let nth = 0;
    // The client’s ACK is lost.
    pair.network = (bytes, from) => (from === 'client' && nth++ === 1 ? [] : [{ after: LATENCY, bytes }]);
    pair.client.connection.requestConnectionIds(1);
    pair.run(500);
    expect([given(), nth]).toEqual([1, 2]);
    const before = pair.server.sent.length;
    pair.client.connection.requestConnectionIds(1);
    pair.run(50);
    // The second is made, and waits.
    expect([given(), pair.server.sent.length]).toEqual([2, before]);
    pair.run();
    expect(spares(pair)).toBe(2);
    exchange(pair);
  });

  test('KeyUpdate', () => {
    const { pair } = connected();
    pair.network = losing('server', 1);
    pair.client.connection.updateKeys(false);
    pair.run(100);
    pair.client.connection.updateKeys(false);
    pair.client.connection.updateKeys(false);
    expect(pair.client.connection.updatingKeys).toBe(true);
    pair.run();
    expect(pair.client.connection.updatingKeys).toBe(false);
    exchange(pair);
    // Two of three, since the last two say the same.
    expect((pair.client.sent.at(-1)?.[0] ?? 0) & 3).toBe((3 + 2) & 3);
  });

  test('NewSessionTicket does not', () => {
    const { pair } = connected({ ...testTickets, count: 3 });
    pair.run();
    expect(pair.client.sessions).toHaveLength(3);
  });
});

describe('KeyUpdate', () => {
  test('what is said after it waits for its ACK', () => {
    const { pair, given } = connected();
    pair.network = losing('client', 1);
    pair.client.connection.updateKeys(false);
    pair.client.connection.requestConnectionIds(2);
    const before = pair.client.sent.length;
    pair.run(100);
    expect(pair.client.sent.length).toBe(before + 1);
    pair.run();
    expect(given()).toBe(2);
    expect(spares(pair)).toBe(2);
    exchange(pair);
  });

  test('is not followed by its keys before all that was said earlier is acknowledged', () => {
    const { pair, given } = connected();
    // The request is lost, the KeyUpdate behind it arrives, is kept and acknowledged.
    pair.network = losing('client', 1);
    pair.client.connection.requestConnectionIds(1);
    pair.run(1);
    pair.client.connection.updateKeys(false);
    pair.run(500);
    expect([given(), pair.client.connection.updatingKeys]).toEqual([0, true]);
    // Its keys would be unknown to the server.
    pair.client.connection.send(Uint8Array.of(0x63));
    pair.run(100);
    expect(pair.server.data).toEqual(['c']);
    pair.run();
    expect([given(), pair.client.connection.updatingKeys]).toEqual([1, false]);
    exchange(pair);
  });

  test('an answer to the peer’s waits for the ACK of our own', () => {
    const { pair } = connected();
    pair.network = losing('server', 2);
    pair.client.connection.updateKeys(true);
    pair.server.connection.updateKeys(true);
    pair.run();
    expect([pair.client.connection.updatingKeys, pair.server.connection.updatingKeys]).toEqual([
      false,
      false,
    ]);
    exchange(pair);
  });
});

test('a server that gives no connection IDs says so, and can be asked again', () => {
  const pair = new DtlsPair({
    client: clientConfig({ datagrams: { ...datagrams, connectionId: Uint8Array.of(1, 2) } }),
    server: serverConfig({ datagrams: { ...datagrams, connectionId: Uint8Array.of(3, 4, 5) } }),
  }).run();
  for (let asked = 0; asked < 2; asked++) {
    const before = pair.client.sent.length;
    pair.client.connection.requestConnectionIds(2);
    pair.run();
    expect(pair.client.sent.length).toBeGreaterThan(before + 1);
  }
  expect(spares(pair)).toBe(0);
  exchange(pair);
});

test.each([10, 25, 40])('everything at once, with so many % lost: %i', (loss) => {
  for (let seed = 1; seed <= 10; seed++) {
    const { pair, given } = connected({ ...testTickets, count: 2 });
    pair.run();
    pair.network = faulty({ loss, double: 10, delay: 20, damage: 0 }, seed * 31 + loss);
    for (let round = 0; round < 3; round++) {
      pair.client.connection.requestConnectionIds(2);
      pair.client.connection.updateKeys(round === 1);
      pair.server.connection.updateKeys(round === 2);
      pair.client.connection.requestConnectionIds(1);
      pair.run(seed * 700);
    }
    pair.run();
    const faults = [pair.client.error?.code, pair.server.error?.code].filter((code) => code !== undefined);
    expect(faults).toEqual([]);
    expect(given()).toBeGreaterThan(0);
    expect([pair.client.connection.updatingKeys, pair.server.connection.updatingKeys]).toEqual([
      false,
      false,
    ]);
    exchange(pair);
  }
});

describe('the timer', () => {
  test('a later message does not put off the retransmission of an earlier one', () => {
    const { pair, given } = connected();
    pair.network = losing('client', 1);
    pair.client.connection.requestConnectionIds(1);
    pair.run(0);
    pair.now += 900;
    pair.client.connection.updateKeys(false);
    pair.run(0);
    pair.now += 110;
    pair.run(50);
    expect(given()).toBe(1);
  });

  test('begins when a message is sent, however long nothing was heard before', () => {
    const { pair } = connected();
    pair.now += 3_600_000;
    const before = pair.client.sent.length;
    pair.client.connection.updateKeys(false);
    pair.run(900);
    expect(pair.client.sent.length).toBe(before + 1);
    expect(pair.client.connection.updatingKeys).toBe(false);
    exchange(pair);
  });

  test('messages that are lost again and again do not use up the patience for others', () => {
    const { pair, given } = connected();
    for (let i = 0; i < 4; i++) {
      // Each is lost eight times; at least one is always under way.
      pair.network = losing('client', 8);
      pair.client.connection.requestConnectionIds(1);
      pair.run();
    }
    expect(given()).toBe(4);
    exchange(pair);
  });
});
