import { describe, expect, test } from 'vitest';
import { MAX_RECORDS_AT_ONCE } from '../../../src/connection/dtls-io.ts';
import { nextFrame } from '../../../src/record/dtls/frames.ts';
import { faulty } from '../../setup/bad-network.ts';
import { type DtlsPair, LATENCY, type Network, perfect } from '../../setup/dtls-pair.ts';
import { ONLY_TLS12 } from '../../setup/engine-config.ts';
import { pairWithLongFlights } from './long-flights.ts';

/* RFC 9147 §5.8.3: a flight of more than ten records goes in parts, and the next one when some are acknowledged. */

/** Both sides have thirty records and more to say. */
const pairOver = (only: object = {}): DtlsPair => pairWithLongFlights(3000, 268, only);

/** Counts the records that a side sends at one moment. */
function counting(pair: DtlsPair, network: Network): { most: number; all: number } {
  const found = { most: 0, all: 0 };
  const moments = new Map<string, number>();
  pair.network = (bytes, from, nth) => {
    const moment = `${from} ${pair.now}`;
    const records = (moments.get(moment) ?? 0) + recordsIn(bytes);
    moments.set(moment, records);
    found.most = Math.max(found.most, records);
    found.all += recordsIn(bytes);
    return network(bytes, from, nth);
  };
  return found;
}

function recordsIn(datagram: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < datagram.length; count++) at = nextFrame(datagram, at, 0)?.end ?? datagram.length;
  return count;
}

function expectConnected(pair: DtlsPair): void {
  expect([pair.client.error?.message, pair.server.error?.message]).toEqual([undefined, undefined]);
  expect([pair.client.connected, pair.server.connected]).toEqual([true, true]);
}

describe('DTLS 1.3: a large flight', () => {
  test('goes in parts of ten records, and without losses waits for no retransmission', () => {
    const pair = pairOver();
    const records = counting(pair, perfect);
    pair.run(900);
    expectConnected(pair);
    expect(records.most).toBe(MAX_RECORDS_AT_ONCE);
    expect(records.all).toBeGreaterThan(6 * MAX_RECORDS_AT_ONCE);
    // Nothing twice: the content of both chains, with the headers of as many records and fragments.
    expect(records.all).toBeLessThan(8 * MAX_RECORDS_AT_ONCE);
  });

  test('arrives at a peer that acknowledges no parts', () => {
    const pair = pairOver();
    const records = counting(pair, (bytes, from, nth) => {
      const isAck = from === 'client' && nth > 0 && !pair.client.connected;
      return isAck ? [] : [{ after: LATENCY, bytes }];
    });
    pair.run();
    expectConnected(pair);
    expect(records.most).toBe(MAX_RECORDS_AT_ONCE);
  });

  test.each([5, 20, 40])('arrives when so many % of the datagrams are lost: %i', (loss) => {
    for (let seed = 1; seed <= 5; seed++) {
      const pair = pairOver();
      counting(pair, faulty({ loss, double: 5, delay: 10, damage: 0 }, seed * 101 + loss));
      pair.run();
      expectConnected(pair);
    }
  });

  test('arrives whichever of its first parts is lost', () => {
    for (let lost = 0; lost < 25; lost++) {
      const pair = pairOver();
      pair.network = (bytes, from, nth) =>
        from === 'server' && nth === lost ? [] : perfect(bytes, from, nth);
      pair.run(5_000);
      expectConnected(pair);
    }
  });
});

test('DTLS 1.2: a flight goes as a whole, since nobody could ask for the rest', () => {
  const pair = pairOver(ONLY_TLS12);
  const records = counting(pair, perfect);
  pair.run(900);
  expectConnected(pair);
  expect(records.most).toBeGreaterThan(2 * MAX_RECORDS_AT_ONCE);
});
