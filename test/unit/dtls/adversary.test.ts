import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DtlsConnection } from '../../../src/connection/dtls-connection.ts';
import { DtlsGreeter, MAX_AMPLIFICATION } from '../../../src/connection/dtls-greeter.ts';
import type { Role } from '../../../src/connection/sub-protocol.ts';
import type { ClientConfig, ServerConfig } from '../../../src/handshake/config.ts';
import { classicRecord } from '../../../src/record/dtls/frames.ts';
import { ContentType, ProtocolVersion } from '../../../src/wire/codepoints.ts';
import { type Faults, faulty } from '../../setup/bad-network.ts';
import { ADDRESS, DtlsPair, LATENCY, type Network, perfect } from '../../setup/dtls-pair.ts';
import { clientConfig, clientIdentity, ONLY_TLS12, serverConfig } from '../../setup/engine-config.ts';
import { randomNumbers, START } from '../../setup/pair.ts';

/*
 * Networks and strangers at any moment: what loss.test.ts does to handshakes, here to what follows, and to sessions that somebody
 * on the path replays, reflects, forges and mixes up. Nothing of it may end a session, or say something twice.
 */

const VERSIONS = [
  ['DTLSv1.3', {}],
  ['DTLSv1.2', ONLY_TLS12],
] as const;
const ROLES = ['client', 'server'] as const;
const RUNS = { numRuns: 20 };
const seeds = fc.integer({ min: 1, max: 2 ** 31 });
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

function pairOf(config: Partial<ClientConfig & ServerConfig> = {}, network: Network = perfect): DtlsPair {
  const common = { ...config, handshakeTimeout: 300_000 };
  return new DtlsPair({
    client: clientConfig({ ...common, identities: [clientIdentity] }),
    server: serverConfig({ ...common, clientCertificate: 'require' }),
    network,
  });
}

function expectWell({ client, server }: DtlsPair): void {
  expect([client.error?.message, server.error?.message]).toEqual([undefined, undefined]);
  expect([client.connected, server.connected]).toEqual([true, true]);
}

function expectTalking(pair: DtlsPair): void {
  pair.network = perfect;
  pair.client.connection.send(text('last of the client'));
  pair.server.connection.send(text('last of the server'));
  pair.run();
  expectWell(pair);
  expect(pair.server.data.at(-1)).toBe('last of the client');
  expect(pair.client.data.at(-1)).toBe('last of the server');
}

function expectNothingTwice({ client, server }: DtlsPair): void {
  for (const { data } of [client, server]) expect(new Set(data).size).toBe(data.length);
}

const anyFaults = fc.record<Faults>({
  loss: fc.integer({ min: 0, max: 50 }),
  double: fc.integer({ min: 0, max: 50 }),
  delay: fc.integer({ min: 0, max: 50 }),
  damage: fc.integer({ min: 0, max: 30 }),
});

describe.each(VERSIONS)('%s', (_protocol, only) => {
  test('over any network a datagram comes as it was sent, once or not at all, and the session stays', () => {
    fc.assert(
      fc.property(anyFaults, seeds, (faults, seed) => {
        const pair = pairOf(only).run();
        pair.network = faulty(faults, seed);
        for (let i = 0; i < 60; i++) {
          for (const role of ROLES) pair[role].connection.send(text(`${role} ${i}`));
          pair.run(200);
        }
        pair.run();
        expectNothingTwice(pair);
        for (const [from, { data }] of [
          ['client', pair.server],
          ['server', pair.client],
        ] as const) {
          for (const datagram of data) expect(datagram).toMatch(new RegExp(`^${from} [0-9]{1,2}$`));
          if (faults.loss + faults.damage === 0) expect(data).toHaveLength(60);
        }
        expectTalking(pair);
      }),
      RUNS,
    );
  });

  test('what was sent before may be sent again at any time, and after the handshake to whoever sent it, too', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 0, max: 20 }), (seed, loss) => {
        const random = randomNumbers(seed);
        const seen: Record<Role, Uint8Array[]> = { client: [], server: [] };
        // With each datagram come up to three older ones.
        const network: Network = (bytes, from) => {
          const own = seen[from];
          own.push(bytes);
          const replays = Array.from({ length: random(4) }, () => own[random(own.length)] as Uint8Array);
          const genuine = random(100) < loss ? [] : [bytes];
          return [...genuine, ...replays].map((datagram) => ({
            after: LATENCY + random(2000),
            bytes: datagram,
          }));
        };
        const pair = pairOf(only, network).run();
        expectWell(pair);
        const counted = 20;
        for (let i = 0; i < counted; i++) {
          for (const role of ROLES) pair[role].connection.send(text(`${role} ${i}`));
          pair.run(300);
        }
        pair.run();
        expectNothingTwice(pair);
        const all = [...seen.client, ...seen.server];
        for (const role of ROLES) for (const bytes of all) pair.inject(role, bytes);
        expectNothingTwice(pair);
        expectTalking(pair);
      }),
      RUNS,
    );
  });

  test('alerts in clear, forged at any moment, end no handshake that goes on', () => {
    fc.assert(
      fc.property(
        seeds,
        fc.constantFrom(ProtocolVersion.dtls12, ProtocolVersion.dtls10),
        fc.integer({ min: 0, max: 255 }),
        fc.integer({ min: 0, max: 3 }),
        (seed, version, description, level) => {
          const random = randomNumbers(seed);
          const pair = pairOf({ ...only, datagrams: { mtu: 400, initialTimeout: 1000, maxTimeout: 60_000 } });
          const alert = (): Uint8Array =>
            classicRecord(
              {
                type: ContentType.alert,
                version,
                epoch: 0,
                sequence: random(10_000),
                cid: new Uint8Array(0),
              },
              [Uint8Array.of(level, description)],
            );
          pair.network = (bytes) => [
            ...(random(2) === 0 ? [{ after: random(LATENCY), bytes: alert() }] : []),
            { after: LATENCY, bytes },
          ];
          pair.run();
          expectTalking(pair);
        },
      ),
      RUNS,
    );
  });

  test('datagrams of another session, and what is no datagram of any, do nothing', () => {
    const [one, other] = [pairOf(only).run(), pairOf(only).run()];
    for (let i = 0; i < 10; i++) for (const role of ROLES) other[role].connection.send(text(`other ${i}`));
    other.run();
    for (const role of ROLES) for (const bytes of other[role].sent) one.inject(role, bytes);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1500 }), fc.constantFrom(...ROLES), (bytes, role) => {
        one.inject(role, bytes);
      }),
      { numRuns: 200 },
    );
    expect([one.client.data, one.server.data]).toEqual([[], []]);
    expectTalking(one);
  });

  test('records of another session with our connection ID on them are forgeries, and move nobody', () => {
    const datagrams = { mtu: 1232, initialTimeout: 1000, maxTimeout: 60_000 };
    const withId = (id: Uint8Array): DtlsPair =>
      new DtlsPair({
        client: clientConfig({ ...only, datagrams: { ...datagrams, connectionId: new Uint8Array(0) } }),
        server: serverConfig({ ...only, datagrams: { ...datagrams, connectionId: id } }),
      }).run();
    const ours = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    const [one, other] = [withId(ours), withId(Uint8Array.of(8, 7, 6, 5, 4, 3, 2, 1))];
    const { forged } = one.server.connection.stats;
    for (let i = 0; i < 20; i++) {
      other.client.connection.send(text(`other ${i}`));
      other.run();
      const record = new Uint8Array(other.client.sent.at(-1) as Uint8Array);
      // Behind the eleven bytes of tls12_cid, or the one of the unified header.
      record.set(ours, record[0] === ContentType.tls12_cid ? 11 : 1);
      one.inject('client', record);
      expect(one.server.connection.receivedNewest).toBe(false);
    }
    expect(one.server.connection.stats.forged).toBe(forged + 20);
    expect(one.server.data).toEqual([]);
    expectTalking(one);
  });
});

test('DTLS 1.3: keys that change over any network go on opening what comes', () => {
  fc.assert(
    fc.property(anyFaults, seeds, (faults, seed) => {
      const random = randomNumbers(seed);
      const pair = pairOf().run();
      pair.network = faulty({ ...faults, loss: faults.loss / 2 }, seed);
      for (let i = 0; i < 15; i++) {
        for (const role of ROLES) {
          if (random(3) === 0) pair[role].connection.updateKeys(random(2) === 0);
          pair[role].connection.send(text(`${role} ${i}`));
        }
        pair.run(5_000);
      }
      pair.network = perfect;
      // Whatever is still to be acknowledged gets there now.
      pair.run();
      expectNothingTwice(pair);
      expectTalking(pair);
    }),
    RUNS,
  );
});

describe('before the cookie', () => {
  const SECRET = new Uint8Array(32).fill(7);
  const everything = { tls12: ONLY_TLS12.tls12 };

  /** A ClientHello of either version, changed as somebody might who looks for an amplifier. */
  const helloOf = (only: object): Uint8Array =>
    DtlsConnection.client(clientConfig(only), START).transmit()[0] as Uint8Array;

  test.each([
    ['DTLSv1.3', {}],
    ['DTLSv1.2', ONLY_TLS12],
    ['both', everything],
  ])(
    'whatever comes, at most three times as much goes back, and nobody gets in without a cookie: %s',
    (_name, only) => {
      const greeter = new DtlsGreeter(serverConfig({ ...only, groups: [0x0018, 0x001d] }), SECRET);
      const hello = helloOf(only);
      fc.assert(
        fc.property(
          fc.integer({ min: 0, max: hello.length }),
          fc.array(fc.tuple(fc.nat(hello.length - 1), fc.nat(255)), { maxLength: 3 }),
          fc.uint8Array({ maxLength: 40 }),
          (length, changes, tail) => {
            const changed = new Uint8Array(hello);
            for (const [at, value] of changes) changed[at] = value;
            const whole = Buffer.concat([changed.subarray(0, Math.max(length, 1)), tail]);
            for (const datagram of [new Uint8Array(whole), changed]) {
              const greeting = greeter.greet(datagram, ADDRESS, START);
              expect(greeting.kind).not.toBe('accept');
              if (greeting.kind === 'reply')
                expect(greeting.datagram.length).toBeLessThanOrEqual(MAX_AMPLIFICATION * datagram.length);
            }
          },
        ),
        { numRuns: 200 },
      );
    },
  );

  test.each(VERSIONS)(
    '%s: a cookie opens nothing from elsewhere, changed, or with another hello',
    (_p, only) => {
      const greeter = new DtlsGreeter(serverConfig(only), SECRET);
      const client = DtlsConnection.client(clientConfig(only), START);
      const [first] = client.transmit() as [Uint8Array];
      const greeting = greeter.greet(first, ADDRESS, START);
      if (greeting.kind !== 'reply') throw new Error('no reply');
      client.receive(greeting.datagram, START);
      const [second] = client.transmit() as [Uint8Array];
      expect(greeter.greet(second, ADDRESS, START).kind).toBe('accept');
      const cookie = cookieAt(second, greeting.datagram);
      fc.assert(
        fc.property(
          fc.nat(cookie.length - 1),
          fc.integer({ min: 1, max: 255 }),
          fc.uint8Array({ minLength: 6, maxLength: 18 }),
          (at, flip, address) => {
            const changed = new Uint8Array(second);
            changed[cookie.at + at] = (changed[cookie.at + at] as number) ^ flip;
            expect(greeter.greet(changed, ADDRESS, START).kind).not.toBe('accept');
            if (Buffer.compare(address, ADDRESS) !== 0)
              expect(greeter.greet(second, address, START).kind).not.toBe('accept');
          },
        ),
        { numRuns: 100 },
      );
    },
  );
});

/** Where the cookie of the greeter's answer is in the second ClientHello: the longest run of bytes that both have at their ends. */
function cookieAt(hello: Uint8Array, answer: Uint8Array): { readonly at: number; readonly length: number } {
  // The 16 bytes of its MAC are the last of the cookie, and the cookie the last of the answer, of either version.
  const mac = Buffer.from(answer.subarray(-16));
  const at = Buffer.from(hello).indexOf(mac);
  expect(at).toBeGreaterThan(0);
  return { at, length: mac.length };
}

test.each<Role>([...ROLES])('a flood of forgeries costs %s nothing that stays', (role) => {
  const pair = pairOf().run();
  const { connection } = pair[role];
  const sender = role === 'client' ? pair.server : pair.client;
  pair.network = () => [];
  sender.connection.send(text('captured'));
  pair.run(1);
  const record = new Uint8Array(sender.sent.at(-1) as Uint8Array);
  const before = connection.stats;
  const events = pair[role].events.length;
  for (let i = 0; i < 5_000; i++) {
    record[record.length - 1 - (i % 16)] = i;
    connection.receive(record, pair.now);
  }
  // A record may by chance be the genuine one; all others are counted and gone.
  expect(connection.stats.discarded).toBeGreaterThanOrEqual(before.discarded + 4_999);
  expect(connection.transmit()).toEqual([]);
  expect(pair[role].events.length).toBe(events);
  expectTalking(pair);
});
