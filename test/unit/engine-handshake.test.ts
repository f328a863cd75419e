import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Connection } from '../../src/connection/connection.ts';
import { TLS13_SUITES } from '../../src/crypto/suites.ts';
import type { ClientConfig } from '../../src/handshake/config.ts';
import { parseSession, serializeSession } from '../../src/handshake/session.ts';
import { TicketKeys } from '../../src/handshake/tickets.ts';
import { findExtension } from '../../src/messages/extensions.ts';
import { parseEncryptedExtensions } from '../../src/messages/hello.ts';
import { ContentType, ExtensionType, HandshakeType, NamedGroup } from '../../src/wire/codepoints.ts';
import {
  clientConfig,
  clientIdentity,
  serverConfig,
  testIdentity,
  testTickets,
} from '../setup/engine-config.ts';
import { expectAlive, expectUnharmed } from '../setup/faults.ts';
import { type Delivery, Pair, START, splitMessages, type Tamper } from '../setup/pair.ts';
import { toHex } from '../vectors/rfc8448.ts';

const connect = (setup: Partial<ConstructorParameters<typeof Pair>[0]> = {}) =>
  new Pair({ client: clientConfig(), server: serverConfig(), ...setup }).run();

const outerTypes = (records: readonly Uint8Array[]) => records.map(([type]) => type);

describe('a handshake', () => {
  const deliveries: Delivery[] = ['whole', 'byte', { seed: 1 }, { seed: 2 }, { seed: 3 }];
  test.each(deliveries)('completes when bytes are delivered as %j', (delivery) => {
    const pair = connect({ delivery });
    expectUnharmed(pair);
    expectAlive(pair);
  });

  test.each(TLS13_SUITES)('completes with $name', (suite) => {
    const pair = connect({ client: clientConfig({ suites: [suite] }) });
    expectAlive(pair);
    expect(pair.client.connection.info?.suite).toBe(suite);
    expect(pair.server.connection.info?.suite).toBe(suite);
  });

  test("the server's preference decides", () => {
    const [first, second, third] = TLS13_SUITES;
    const suites = [third, second, first].filter((suite) => suite !== undefined);
    expect(connect({ server: serverConfig({ suites }) }).client.connection.info?.suite).toBe(third);
  });

  test.each(Object.entries(NamedGroup))('completes with a share for %s', (_name, group) => {
    const pair = connect({ client: clientConfig({ groups: [group], keyShares: [group] }) });
    expectAlive(pair);
    expect(pair.client.connection.info?.group).toBe(group);
    expect(pair.sent.client.filter(([type]) => type === ContentType.handshake)).toHaveLength(1);
  });

  test.each(Object.entries(NamedGroup))('completes with %s after HelloRetryRequest', (_name, group) => {
    const keyShares = [group === NamedGroup.x25519 ? NamedGroup.secp256r1 : NamedGroup.x25519];
    const pair = connect({ client: clientConfig({ keyShares }), server: serverConfig({ groups: [group] }) });
    expectAlive(pair);
    expect(pair.server.connection.info?.group).toBe(group);
    expect(pair.sent.client.filter(([type]) => type === ContentType.handshake)).toHaveLength(2);
  });

  test.each(['p256', 'p384', 'p521', 'ed25519', 'rsa'] as const)(
    'completes with a %s key on both sides',
    (kind) => {
      const identity = testIdentity(kind);
      const pair = connect({
        client: clientConfig({ identities: [identity] }),
        server: serverConfig({ selectIdentities: () => [identity], clientCertificate: 'require' }),
      });
      expectAlive(pair);
      expect(toHex(pair.server.connection.info?.peer?.publicKey.spki ?? new Uint8Array())).toBe(
        toHex(identity.chain[0] ?? new Uint8Array()),
      );
    },
  );

  test('a client without certificate is anonymous where one is only requested', () => {
    const pair = connect({ server: serverConfig({ clientCertificate: 'request' }) });
    expectAlive(pair);
    expect(pair.server.connection.info?.peer).toBeUndefined();
    expect(pair.client.connection.info?.peer).toBeDefined();
  });

  test('both sides know the same name, protocol and secrets', () => {
    const pair = connect({
      client: clientConfig({ alpnProtocols: ['h2', 'http/1.1'] }),
      server: serverConfig({ selectProtocol: (offered) => offered.at(-1) }),
    });
    for (const { connection } of [pair.client, pair.server]) {
      expect(connection.info).toMatchObject({
        serverName: 'server.test',
        alpnProtocol: 'http/1.1',
        resumed: false,
      });
    }
    expect(pair.client.keylog).toHaveLength(5);
    expect(pair.client.keylog).toEqual(pair.server.keylog);
    const exported = ({ connection }: { connection: Connection }, context: number) =>
      toHex(connection.exportKeyingMaterial('EXPORTER-test', Uint8Array.of(context), 42));
    expect(exported(pair.client, 1)).toBe(exported(pair.server, 1));
    expect(exported(pair.client, 1)).not.toBe(exported(pair.client, 2));
    expect(exported(pair.client, 1)).toHaveLength(84);
  });

  test('the server answers no ALPN when it was not asked', () => {
    const pair = connect({ server: serverConfig({ selectProtocol: () => expect.fail('not asked') }) });
    expect(pair.client.connection.info?.alpnProtocol).toBeUndefined();
  });

  test('keys that sign later hold the handshake up, and nothing else', () => {
    const later: (() => void)[] = [];
    const pair = connect({
      sign: (wanted, role) => {
        if (later.length === 0) {
          const signature = wanted.key.sign(wanted.scheme, wanted.input) as Uint8Array;
          later.push(() => pair[role].connection.provide(signature, pair.now));
        }
        return undefined;
      },
    });
    expect(pair.client.connected).toBe(false);
    later[0]?.();
    pair.run();
    expectAlive(pair);
  });
});

describe('middlebox compatibility mode, RFC 8446 §D.4', () => {
  const { change_cipher_spec, handshake, application_data } = ContentType;

  test('each side sends one change_cipher_spec, where the appendix says', () => {
    const pair = connect();
    expect(outerTypes(pair.sent.client)).toEqual([handshake, change_cipher_spec, application_data]);
    expect(outerTypes(pair.sent.server)).toEqual([handshake, change_cipher_spec, application_data]);
  });

  test('after HelloRetryRequest as well', () => {
    const pair = connect({
      client: clientConfig({ keyShares: [NamedGroup.secp256r1] }),
      server: serverConfig({ groups: [NamedGroup.x25519] }),
    });
    expectAlive(pair);
    expect(outerTypes(pair.sent.client).slice(0, 4)).toEqual([
      handshake,
      change_cipher_spec,
      handshake,
      application_data,
    ]);
    expect(outerTypes(pair.sent.server).slice(0, 4)).toEqual([
      handshake,
      change_cipher_spec,
      handshake,
      application_data,
    ]);
  });

  test('without it there is none', () => {
    const pair = connect({ client: clientConfig({ compatibility: false }) });
    expectAlive(pair);
    expect([...outerTypes(pair.sent.client), ...outerTypes(pair.sent.server)]).not.toContain(
      change_cipher_spec,
    );
  });
});

describe('resumption', () => {
  const server = (overrides = {}) => serverConfig({ tickets: testTickets, ...overrides });
  /** A session from a first handshake. */
  const session = (overrides: Parameters<typeof clientConfig>[0] = {}, serverOverrides = {}) => {
    const pair = connect({ client: clientConfig(overrides), server: server(serverOverrides) });
    expectUnharmed(pair);
    return pair.client.tickets[0] ?? expect.fail('no ticket');
  };

  test('needs no certificate and keeps the identity of the server', () => {
    const pair = connect({
      client: clientConfig({ session: session() }),
      server: server({ selectIdentities: () => expect.fail('no certificate is needed') }),
    });
    expectAlive(pair);
    for (const { connection } of [pair.client, pair.server]) expect(connection.info?.resumed).toBe(true);
    expect(pair.client.connection.info?.peer).toBeDefined();
    expect(pair.client.tickets).toHaveLength(1);
  });

  test('of a resumed session', () => {
    const first = connect({ client: clientConfig({ session: session() }), server: server() });
    const [next] = first.client.tickets;
    const pair = connect({ client: clientConfig({ session: next }), server: server() });
    expectAlive(pair);
    expect(pair.server.connection.info?.resumed).toBe(true);
  });

  test('works after HelloRetryRequest, with a second binder', () => {
    const pair = connect({
      client: clientConfig({ session: session(), keyShares: [NamedGroup.secp256r1] }),
      server: server({ groups: [NamedGroup.secp384r1] }),
    });
    expectAlive(pair);
    expect(pair.server.connection.info?.resumed).toBe(true);
  });

  test.each(TLS13_SUITES)('works with $name', (suite) => {
    const pair = connect({
      client: clientConfig({ session: session({ suites: [suite] }) }),
      server: server({ suites: [suite] }),
    });
    expectAlive(pair);
    expect(pair.server.connection.info).toMatchObject({ resumed: true, suite });
  });

  // RFC 8446 §4.2.11 ties a key to a hash, not to a suite; what the server prefers may be of another.
  test.each(TLS13_SUITES)('from $name to a server that prefers TLS_AES_128_GCM_SHA256 by now', (suite) => {
    const pair = connect({
      client: clientConfig({ session: session({ suites: [suite] }) }),
      server: server(),
    });
    expectAlive(pair);
    expect(pair.server.connection.info).toMatchObject({
      resumed: suite.hash === 'sha256',
      suite: { name: 'TLS_AES_128_GCM_SHA256' },
    });
  });

  test('keeps the identity of the client', () => {
    const identities = [clientIdentity];
    const asking = { clientCertificate: 'require' };
    const pair = connect({
      client: clientConfig({ session: session({ identities }, asking), identities }),
      server: server(asking),
    });
    expect(pair.server.connection.info?.resumed).toBe(true);
    expect(pair.server.connection.info?.peer?.chain).toHaveLength(1);
  });

  test('a client without certificate resumes where none is required', () => {
    const pair = connect({
      client: clientConfig({ session: session({}, { clientCertificate: 'request' }) }),
      server: server({ clientCertificate: 'request' }),
    });
    expectAlive(pair);
    expect(pair.server.connection.info).toMatchObject({ resumed: true, peer: undefined });
  });

  test('the server acknowledges the name in full handshakes only', () => {
    const acknowledged = (overrides: Partial<ClientConfig>): boolean => {
      let found = false;
      const look: Tamper = ({ from, epoch, type, content }) => {
        if (from !== 'server' || epoch !== 'handshake' || type !== ContentType.handshake) return undefined;
        const [first] = splitMessages(content);
        if (first?.type === HandshakeType.encrypted_extensions) {
          const extensions = parseEncryptedExtensions(first.body);
          found = findExtension(extensions, ExtensionType.server_name) !== undefined;
        }
        return undefined;
      };
      const pair = connect({ client: clientConfig(overrides), server: server(), tamper: look });
      expectUnharmed(pair);
      return found;
    };
    expect(acknowledged({})).toBe(true);
    expect(acknowledged({ session: session() })).toBe(false);
  });

  test('a session survives being written down', () => {
    const kept = parseSession(serializeSession(session()));
    const pair = connect({ client: clientConfig({ session: kept }), server: server() });
    expect(pair.server.connection.info?.resumed).toBe(true);
  });

  test.each<[string, () => Pair]>([
    [
      'the server has other ticket keys',
      () => {
        const keys = new TicketKeys(new Uint8Array(48).fill(8));
        return connect({
          client: clientConfig({ session: session() }),
          server: server({ tickets: { ...testTickets, keys } }),
        });
      },
    ],
    [
      'the ticket was changed',
      () => {
        const whole = session();
        const ticket = whole.ticket.map((byte, i) => (i === 40 ? byte ^ 1 : byte));
        return connect({ client: clientConfig({ session: { ...whole, ticket } }), server: server() });
      },
    ],
    [
      'it is for another name',
      () =>
        connect({ client: clientConfig({ session: session(), serverName: 'other.test' }), server: server() }),
    ],
    [
      'the suite is no longer used',
      () => {
        const [aes128, aes256] = TLS13_SUITES;
        const before = session({ suites: [aes128 ?? expect.fail()] });
        return connect({
          client: clientConfig({ session: before }),
          server: server({ suites: [aes256 ?? expect.fail()] }),
        });
      },
    ],
    [
      'the server now requires a certificate',
      () =>
        connect({
          client: clientConfig({ session: session(), identities: [clientIdentity] }),
          server: server({ clientCertificate: 'require' }),
        }),
    ],
    [
      'the client no longer trusts the certificate of then',
      () => {
        let calls = 0;
        const { verifyPeer } = clientConfig();
        const stricter = clientConfig({
          session: session(),
          verifyPeer: (chain, context) => {
            if (calls++ === 0) throw new Error('not any more');
            return verifyPeer(chain, context);
          },
        });
        return connect({ client: stricter, server: server() });
      },
    ],
    [
      'the ticket is too old for the client',
      () => {
        const old = session();
        const late = { ...old, receivedAt: START - (old.lifetime + 1) * 1000 };
        return connect({ client: clientConfig({ session: late }), server: server() });
      },
    ],
    [
      'the ticket is too old for the server',
      () => {
        const fresh = session();
        const pair = new Pair({
          client: clientConfig({ session: fresh }),
          server: server({ tickets: { ...testTickets, lifetime: 60 } }),
        });
        pair.now += 62_000;
        return pair.run();
      },
    ],
  ])('falls back to a full handshake when %s', (_why, make) => {
    const pair = make();
    expectAlive(pair);
    expect(pair.server.connection.info?.resumed).toBe(false);
  });

  test('no ticket is issued to a server without ticket keys, nor kept when its lifetime is zero', () => {
    expect(connect().client.tickets).toHaveLength(0);
    const pair = connect({ server: server({ tickets: { ...testTickets, lifetime: 0 } }) });
    expectAlive(pair);
    expect(pair.client.tickets).toHaveLength(0);
  });

  test('each of several tickets has a secret of its own', () => {
    const pair = connect({ server: server({ tickets: { ...testTickets, count: 3 } }) });
    expect(new Set(pair.client.tickets.map(({ psk }) => toHex(psk))).size).toBe(3);
  });
});

describe('closing', () => {
  test('each direction closes by itself', () => {
    const pair = connect();
    pair.client.connection.send(Uint8Array.of(1));
    pair.client.connection.close();
    pair.run();
    expect(pair.server.ended).toBe(true);
    expect([...pair.server.data]).toEqual([1]);
    expect(() => pair.client.connection.send(Uint8Array.of(2))).toThrow(
      expect.objectContaining({ code: 'ERR_TLS_CLOSED' }),
    );
    pair.server.connection.send(Uint8Array.of(3));
    pair.server.connection.close();
    pair.run();
    expect([...pair.client.data]).toEqual([3]);
    expect(pair.client.ended).toBe(true);
    pair.end('client').end('server');
    expectUnharmed(pair);
  });

  test('data after close_notify is ignored', () => {
    const pair = connect();
    pair.client.connection.close();
    pair.run();
    pair.inject('client', { type: ContentType.application_data, content: Uint8Array.of(1) });
    pair.injectRaw('client', new Uint8Array(100_000));
    expectUnharmed(pair);
    expect(pair.server.data).toHaveLength(0);
  });

  test('nothing is sent after close_notify: no KeyUpdate, not even one that the peer asks for', () => {
    const pair = connect();
    pair.client.connection.close();
    pair.run();
    const sent = pair.sent.client.length;
    expect(() => pair.client.connection.updateKeys(false)).toThrow(
      expect.objectContaining({ code: 'ERR_TLS_CLOSED' }),
    );
    pair.server.connection.updateKeys(true);
    pair.run();
    expect(pair.sent.client).toHaveLength(sent);
    expectUnharmed(pair);
  });

  test('nothing can be sent before the handshake is complete', () => {
    const pair = new Pair({ client: clientConfig(), server: serverConfig() });
    const notYet = expect.objectContaining({ code: 'ERR_TLS_NOT_CONNECTED' });
    for (const { connection } of [pair.client, pair.server]) {
      expect(() => connection.send(Uint8Array.of(1))).toThrow(notYet);
      expect(() => connection.updateKeys(false)).toThrow(notYet);
      expect(() => connection.exportKeyingMaterial('x', new Uint8Array(), 1)).toThrow(notYet);
      expect(connection.info).toBeUndefined();
    }
  });

  test('closing during the handshake cancels it on both sides', () => {
    const pair = new Pair({ client: clientConfig(), server: serverConfig() });
    pair.client.connection.close();
    pair.run();
    expect(pair.client.error?.code).toBe('ERR_TLS_USER_CANCELED');
    expect(pair.server.error?.code).toBe('ERR_TLS_ALERT_CLOSE_NOTIFY');
    expect(pair.client.connected || pair.server.connected).toBe(false);
  });
});

describe('data', () => {
  test('of any size arrives whole, in records no larger than allowed', () => {
    for (const maxFragment of [1, 100, 2 ** 14]) {
      const pair = connect({ client: clientConfig({ maxFragment }) });
      const data = new Uint8Array(maxFragment * 3 + 1).map((_, i) => i);
      pair.client.connection.send(data);
      pair.run();
      expect(toHex(pair.server.data)).toBe(toHex(data));
      for (const record of pair.sent.client) expect(record.length).toBeLessThanOrEqual(maxFragment + 22);
    }
  });

  test('padding hides the length and changes nothing else', () => {
    const pair = connect({ client: clientConfig({ padTo: 256 }) });
    for (const length of [0, 1, 255, 256, 257]) pair.client.connection.send(new Uint8Array(length).fill(7));
    pair.run();
    expect(pair.server.data).toHaveLength(769);
    expect(pair.sent.client.slice(-5).map(({ length }) => length - 22)).toEqual([256, 256, 256, 256, 512]);
  });

  test('a key at its limit is updated before the next record', () => {
    const [suite] = TLS13_SUITES as readonly { recordLimit: number }[];
    const limit = suite?.recordLimit ?? expect.fail();
    try {
      if (suite) suite.recordLimit = 10;
      const pair = connect();
      const sent = pair.sent.client.length;
      for (let i = 0; i < 25; i++) pair.client.connection.send(Uint8Array.of(i));
      pair.run();
      expect([...pair.server.data]).toEqual(Array.from({ length: 25 }, (_, i) => i));
      // Two updates make room for 25 records.
      expect(pair.sent.client.length - sent).toBe(27);
      expectAlive(pair);
    } finally {
      if (suite) suite.recordLimit = limit;
    }
  });

  type Move =
    | { readonly side: 'client' | 'server'; readonly do: 'send'; readonly length: number }
    | { readonly side: 'client' | 'server'; readonly do: 'update'; readonly request: boolean }
    | { readonly side: 'client' | 'server'; readonly do: 'run' };
  const side = fc.constantFrom('client' as const, 'server' as const);
  const move: fc.Arbitrary<Move> = fc.oneof(
    fc.record({ side, do: fc.constant('send' as const), length: fc.nat(40_000) }),
    fc.record({ side, do: fc.constant('update' as const), request: fc.boolean() }),
    fc.record({ side, do: fc.constant('run' as const) }),
  );

  test('whatever both sides send and update, in whatever pieces it travels, each gets what the other sent', () => {
    fc.assert(
      fc.property(fc.array(move, { maxLength: 30 }), fc.nat(), (moves, seed) => {
        const pair = connect({ delivery: { seed } });
        const sent = { client: 0, server: 0 };
        for (const step of moves) {
          const { connection } = pair[step.side];
          if (step.do === 'run') pair.run();
          else if (step.do === 'update') connection.updateKeys(step.request);
          else {
            connection.send(pattern(sent[step.side], step.length));
            sent[step.side] += step.length;
          }
        }
        pair.run();
        expectUnharmed(pair);
        expect(Buffer.compare(pair.server.data, pattern(0, sent.client))).toBe(0);
        expect(Buffer.compare(pair.client.data, pattern(0, sent.server))).toBe(0);
      }),
      { numRuns: 40 },
    );
  });

  function pattern(from: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = ((from + i) * 31) >> 3;
    return bytes;
  }
});

describe('KeyUpdate, RFC 8446 §4.6.3', () => {
  test('changes the keys of one direction; asked for, of both', () => {
    const pair = connect();
    pair.client.connection.updateKeys(false);
    expectAlive(pair);
    pair.server.connection.updateKeys(true);
    expectAlive(pair);
    expectAlive(pair);
  });

  test('many requests that arrive together are answered once', () => {
    const pair = connect();
    const sent = pair.sent.server.length;
    for (let i = 0; i < 20; i++) pair.client.connection.updateKeys(true);
    pair.run();
    expect(pair.sent.server).toHaveLength(sent + 1);
    expectAlive(pair);
  });
});

test('the messages of a flight share a record', () => {
  const pair = connect({
    server: serverConfig({ clientCertificate: 'require' }),
    client: clientConfig({ identities: [clientIdentity] }),
  });
  expect(pair.sent.server.filter(([type]) => type === ContentType.application_data)).toHaveLength(1);
  expect(pair.sent.client.filter(([type]) => type === ContentType.application_data)).toHaveLength(1);
});
