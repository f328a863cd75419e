import { describe, expect, test } from 'vitest';
import { RESENT_BEFORE_SMALLER, SMALLER_FLIGHTS } from '../../../src/connection/dtls-io.ts';
import { ContentType } from '../../../src/wire/codepoints.ts';
import { type DtlsPair, LATENCY, type Network, perfect } from '../../setup/dtls-pair.ts';
import { ONLY_TLS12 } from '../../setup/engine-config.ts';
import { pairWithLongFlights } from './long-flights.ts';

/** A path that carries so many bytes, and says nothing of what it does not. */
function narrow(bytes: number): Network {
  return (datagram) => (datagram.length > bytes ? [] : [{ after: LATENCY, bytes: datagram }]);
}

const MTU = 1232;

/** With a chain as real ones are. */
const pairOver = (network: Network, only: object): DtlsPair => pairWithLongFlights(400, MTU, only, network);

const longest = (sent: readonly Uint8Array[]): number => Math.max(...sent.map(({ length }) => length));

describe.each([
  ['DTLSv1.3', {}],
  ['DTLSv1.2', ONLY_TLS12],
] as const)('%s: a path that carries less than was thought', (_, only) => {
  test.each(SMALLER_FLIGHTS)('%i bytes: flights become smaller, and the handshake completes', (bytes) => {
    const pair = pairOver(narrow(bytes), only).run();
    expect([pair.client.connected, pair.server.connected]).toEqual([true, true]);
    expect([pair.client.error, pair.server.error]).toEqual([undefined, undefined]);
    // Both had more to say than fits.
    expect(longest(pair.client.sent)).toBeGreaterThan(bytes);
    expect(longest(pair.server.sent)).toBeGreaterThan(bytes);
  });

  test('application data keeps its size', () => {
    const pair = pairOver(narrow(SMALLER_FLIGHTS[0]), only).run();
    const before = pairOver(perfect, only).run();
    expect(pair.client.connection.mtu).toBe(MTU);
    expect(pair.client.connection.maxDatagramSize).toBe(before.client.connection.maxDatagramSize);
  });

  test('not before so many retransmissions', () => {
    let lost = 0;
    // Only the server's flight, as often as it takes to make it smaller, less one.
    const pair = pairOver((bytes, from) => {
      if (from === 'server' && bytes.length > SMALLER_FLIGHTS[0] && lost < RESENT_BEFORE_SMALLER) {
        lost++;
        return [];
      }
      return [{ after: LATENCY, bytes }];
    }, only).run();
    expect(pair.client.connected).toBe(true);
    expect(lost).toBe(RESENT_BEFORE_SMALLER);
    expect(longest(pair.server.sent.slice(lost))).toBeGreaterThan(SMALLER_FLIGHTS[0]);
  });

  test('a first ClientHello that nobody answers is never cut up', () => {
    const alpnProtocols = [0, 1, 2].map((n) => String(n).repeat(200));
    const pair = pairOver(() => [], { ...only, alpnProtocols }).run();
    // Alerts are behind them.
    const [first, ...again] = pair.client.sent.filter(([type]) => type === ContentType.handshake);
    expect(first?.length).toBeGreaterThan(SMALLER_FLIGHTS[0]);
    expect(again.length).toBeGreaterThan(RESENT_BEFORE_SMALLER * SMALLER_FLIGHTS.length);
    for (const datagram of again) expect(datagram.length).toBe(first?.length);
    expect(pair.client.error).toMatchObject({ code: 'ERR_TLS_HANDSHAKE_TIMEOUT' });
  });
});
