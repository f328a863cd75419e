import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DtlsGreeter } from '../../../src/connection/dtls-greeter.ts';
import type { ClientConfig, ServerConfig } from '../../../src/handshake/config.ts';
import { faulty } from '../../setup/bad-network.ts';
import { DtlsPair, LATENCY, type Network } from '../../setup/dtls-pair.ts';
import {
  clientConfig,
  clientIdentity,
  ONLY_TLS12,
  serverConfig,
  testTickets,
} from '../../setup/engine-config.ts';

const SECRET = new Uint8Array(32).fill(3);

/** Everything at once: client certificates, tickets, cookies, fragments. */
function heavyPair(only: Partial<ClientConfig & ServerConfig>, mtu: number, network: Network): DtlsPair {
  const datagrams = { mtu, initialTimeout: 1000, maxTimeout: 60_000 };
  const common = { ...only, datagrams, handshakeTimeout: 300_000 };
  const server = serverConfig({ ...common, clientCertificate: 'require', tickets: testTickets });
  return new DtlsPair({
    client: clientConfig({ ...common, identities: [clientIdentity] }),
    server,
    greeter: new DtlsGreeter(server, SECRET),
    network,
  });
}

const VERSIONS = [
  ['DTLSv1.3', {}],
  ['DTLSv1.2', ONLY_TLS12],
] as const;

describe.each(VERSIONS)('%s', (_protocol, only) => {
  test.each([5, 10, 20, 30, 40, 50])('%i %% of the datagrams are lost', (loss) => {
    let connected = 0;
    for (let seed = 1; seed <= 10; seed++) {
      const pair = heavyPair(only, 508, faulty({ loss, double: 0, delay: 0, damage: 0 }, seed)).run();
      // At half of all datagrams lost a handshake may run out of time, and must then say so.
      if (pair.client.connected && pair.server.begun && pair.server.connected) connected++;
      else
        expect([pair.client.error?.code, 'ERR_TLS_HANDSHAKE_TIMEOUT']).toContain('ERR_TLS_HANDSHAKE_TIMEOUT');
      pair.network = (bytes) => [{ after: LATENCY, bytes }];
      if (pair.client.error !== undefined || pair.server.error !== undefined) continue;
      pair.client.connection.send(Uint8Array.of(0x61));
      pair.server.connection.send(Uint8Array.of(0x62));
      pair.run();
      expect(pair.server.data).toContain('a');
      expect(pair.client.data).toContain('b');
    }
    expect(connected).toBeGreaterThanOrEqual(loss <= 30 ? 10 : 8);
  });

  test.each([296, 400, 576, 1232, 9000])('MTU %i, with everything that a network can do', (mtu) => {
    for (let seed = 1; seed <= 6; seed++) {
      const network = faulty({ loss: 10, double: 15, delay: 30, damage: 0 }, seed * 7919 + mtu);
      const pair = heavyPair(only, mtu, network).run();
      expect(pair.client.error?.message).toBeUndefined();
      expect(pair.server.error?.message).toBeUndefined();
      expect([pair.client.connected, pair.server.connected]).toEqual([true, true]);
      expect(
        Math.max(...[...pair.client.sent, ...pair.server.sent].map(({ length }) => length)),
      ).toBeLessThanOrEqual(mtu);
      // A flight may be sent some times; it must not go round in circles.
      expect(pair.client.sent.length + pair.server.sent.length).toBeLessThan(600);
    }
  });

  test('a single lost datagram, whichever it is, costs no more than a retransmission', () => {
    for (const role of ['client', 'server'] as const) {
      for (let lost = 0; lost < 12; lost++) {
        const network: Network = (bytes, from, nth) =>
          from === role && nth === lost ? [] : [{ after: LATENCY, bytes }];
        const pair = heavyPair(only, 400, network);
        pair.run(10_000);
        expect(pair.client.error?.message).toBeUndefined();
        expect([pair.client.connected, pair.server.begun && pair.server.connected]).toEqual([true, true]);
      }
    }
  });

  test('nothing arrives: the handshake ends with its time', () => {
    const pair = heavyPair(only, 1232, () => []).run();
    expect(pair.client.error?.code).toBe('ERR_TLS_HANDSHAKE_TIMEOUT');
    expect(pair.server.begun).toBe(false);
    // 1, 2, 4, 8, 16, 32, 60, 60, 60 s: the waiting doubles.
    expect(pair.client.sent.length).toBeGreaterThan(6);
    expect(pair.client.sent.length).toBeLessThan(15);
  });

  test('whatever a network does, both sides agree in the end, or fail, and never hang', () => {
    fc.assert(
      fc.property(
        fc.record({
          loss: fc.integer({ min: 0, max: 50 }),
          double: fc.integer({ min: 0, max: 50 }),
          delay: fc.integer({ min: 0, max: 50 }),
          damage: fc.integer({ min: 0, max: 20 }),
        }),
        fc.integer({ min: 296, max: 1500 }),
        fc.integer({ min: 1, max: 2 ** 31 }),
        (faults, mtu, seed) => {
          // A server may begin as late as its client gives up, and has as long again.
          const pair = heavyPair(only, mtu, faulty(faults, seed)).run(700_000);
          const { client, server } = pair;
          const done = (end: typeof client): boolean => end.connected || end.error !== undefined;
          expect(done(client)).toBe(true);
          if (server.begun) expect(done(server)).toBe(true);
          if (faults.damage === 0 && client.error !== undefined) {
            expect(client.error.code).toBe('ERR_TLS_HANDSHAKE_TIMEOUT');
          }
          if (client.error !== undefined || !server.begun || server.error !== undefined) return;
          expect(server.connection.info?.transcriptHash).toEqual(client.connection.info?.transcriptHash);
        },
      ),
      { numRuns: 60 },
    );
  });
});
