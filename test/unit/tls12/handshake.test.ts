import { describe, expect, test } from 'vitest';
import { DEFAULT_TLS12_SUITES, TLS12_SUITES } from '../../../src/crypto/suites12.ts';
import { MAX_RENEGOTIATION_REQUESTS } from '../../../src/handshake/tls12/established.ts';
import { handshakeMessage } from '../../../src/messages/handshake.ts';
import { ContentType, HandshakeType, NamedGroup, SignatureScheme } from '../../../src/wire/codepoints.ts';
import { clientConfig, serverConfig, testIdentity } from '../../setup/engine-config.ts';
import { expectAlive, expectFound, expectUnharmed } from '../../setup/faults.ts';
import type { Delivery } from '../../setup/pair.ts';
import { toHex } from '../../vectors/rfc8448.ts';
import { both12, connect12, EVERY_IDENTITY, exported, TLS12, WITH_PSK } from './kit.ts';

const { x25519, secp256r1, secp384r1, secp521r1 } = NamedGroup;

describe('a TLS 1.2 handshake', () => {
  test.each(TLS12_SUITES)('completes with $name', (suite) => {
    const { client, server } = suite.authentication === 'psk' ? WITH_PSK : { client: {}, server: {} };
    const pair = connect12({ ...client, tls12: { ...TLS12, suites: [suite] } }, server);
    expectAlive(pair);
    for (const { connection } of both12(pair)) {
      expect(connection.info).toMatchObject({ suite, protocol: 'TLSv1.2', resumed: false });
    }
  });

  const deliveries: Delivery[] = ['whole', 'byte', { seed: 1 }, { seed: 2 }, { seed: 3 }];
  test.each(deliveries)('completes when bytes are delivered as %j', (delivery) => {
    expectAlive(connect12({}, {}, { delivery }));
  });

  test('completes when every message is cut into records of 7 bytes', () => {
    expectAlive(connect12({ maxFragment: 7 }, { maxFragment: 7 }));
  });

  test.each([x25519, secp256r1, secp384r1, secp521r1])('completes with group %i', (group) => {
    const pair = connect12({ groups: [group, secp256r1] }, { groups: [group] });
    expectAlive(pair);
    for (const { connection } of both12(pair)) expect(connection.info?.group).toBe(group);
  });

  test.each(['p256', 'p384', 'p521', 'ed25519', 'rsa'] as const)(
    'completes with a %s key on both sides',
    (kind) => {
      const identity = testIdentity(kind);
      const pair = connect12(
        { identities: [identity] },
        { selectIdentities: () => [identity], clientCertificate: 'require' },
      );
      expectAlive(pair);
      expect(toHex(pair.server.connection.info?.peer?.publicKey.spki ?? new Uint8Array())).toBe(
        toHex(identity.chain[0] ?? new Uint8Array()),
      );
    },
  );

  test('RSASSA-PKCS1-v1_5 signs where the client knows nothing better', () => {
    const pair = connect12({
      schemes: [SignatureScheme.rsa_pkcs1_sha256],
      tls12: {
        ...TLS12,
        suites: DEFAULT_TLS12_SUITES.filter(({ authentication }) => authentication === 'rsa'),
      },
    });
    expectAlive(pair);
  });

  test("the server's order decides, among what its certificates allow", () => {
    const [first, second] = DEFAULT_TLS12_SUITES.filter(({ authentication }) => authentication !== 'psk');
    if (first === undefined || second === undefined) throw new Error('there are two suites');
    expect(connect12().client.connection.info?.suite).toBe(first);
    const rsaOnly = connect12({}, { selectIdentities: () => [EVERY_IDENTITY.rsa] });
    expect(rsaOnly.client.connection.info?.suite).toBe(second);
  });

  test('a client without certificate is anonymous where one is only requested', () => {
    const pair = connect12({}, { clientCertificate: 'request' });
    expectAlive(pair);
    expect(pair.server.connection.info?.peer).toBeUndefined();
    expect(pair.client.connection.info?.peer).toBeDefined();
  });

  test('both sides know the same name, protocol and secrets', () => {
    const pair = connect12(
      { alpnProtocols: ['h2', 'http/1.1'] },
      { selectProtocol: (offered) => offered.at(-1) },
    );
    for (const { connection } of both12(pair)) {
      expect(connection.info).toMatchObject({ serverName: 'server.test', alpnProtocol: 'http/1.1' });
    }
    expect(pair.client.keylog).toHaveLength(1);
    expect(pair.client.keylog).toEqual(pair.server.keylog);
    expect(pair.client.keylog[0]).toMatch(/^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}$/);
  });

  test('exported keys depend on label, context and whether there is one', () => {
    const pair = connect12();
    const all = [undefined, new Uint8Array(0), Uint8Array.of(1)].map((context) => exported(pair, context));
    expect(new Set(all).size).toBe(3);
  });

  test('keys that sign later hold the handshake up, and nothing else', () => {
    const later = new Map<string, () => void>();
    const identity = EVERY_IDENTITY.p256;
    const pair = connect12(
      { identities: [identity] },
      { clientCertificate: 'require' },
      {
        sign: (wanted, role) => {
          const signature = wanted.key.sign(wanted.scheme, wanted.input) as Uint8Array;
          later.set(role, () => pair[role].connection.provide(signature, pair.now));
          return undefined;
        },
      },
    );
    expect(pair.client.connected).toBe(false);
    for (const role of ['server', 'client']) {
      expect(later.has(role)).toBe(true);
      later.get(role)?.();
      pair.run();
    }
    expectAlive(pair);
  });

  test('is what two sides come to that both prefer TLS 1.3, when one does not speak it', () => {
    const oldServer = connect12(clientConfig({ tls12: TLS12 }));
    expectAlive(oldServer);
    expect(oldServer.client.connection.info?.protocol).toBe('TLSv1.2');
    const oldClient = connect12({}, serverConfig({ tls12: TLS12 }));
    expectAlive(oldClient);
    expect(oldClient.server.connection.info?.protocol).toBe('TLSv1.2');
  });

  test('does not take place between sides that both speak TLS 1.3', () => {
    const pair = connect12(clientConfig({ tls12: TLS12 }), serverConfig({ tls12: TLS12 }));
    expectAlive(pair);
    expect(pair.client.connection.info?.protocol).toBe('TLSv1.3');
  });

  test('large data travels in both directions', () => {
    const pair = connect12();
    const data = new Uint8Array(100_000).map((_, i) => i * 7);
    pair.client.connection.send(data);
    pair.server.connection.send(data);
    pair.run();
    expect(Buffer.from(pair.server.data).equals(data)).toBe(true);
    expect(Buffer.from(pair.client.data).equals(data)).toBe(true);
  });

  test('ends with close_notify in both directions', () => {
    const pair = connect12();
    pair.client.connection.close();
    pair.run();
    expect(pair.server.ended).toBe(true);
    pair.server.connection.close();
    pair.run();
    expect(pair.client.ended).toBe(true);
    expect(pair.client.error).toBeUndefined();
  });
});

describe('renegotiation', () => {
  const { handshake } = ContentType;
  const helloRequest = handshakeMessage(HandshakeType.hello_request, () => {});
  const clientHello = handshakeMessage(HandshakeType.client_hello, () => {});
  /** Warnings, as the one who asked sees them: they are counted, and otherwise passed over. */
  const alerts = (records: readonly Uint8Array[]) =>
    records.filter(([type]) => type === ContentType.alert).length;

  test('is refused by the client, with a warning', () => {
    const pair = connect12();
    pair.inject('server', { type: handshake, content: helloRequest });
    expect(alerts(pair.sent.client)).toBe(1);
    expectAlive(pair);
  });

  test('is refused by the server, with a warning', () => {
    const pair = connect12();
    pair.inject('client', { type: handshake, content: clientHello });
    expect(alerts(pair.sent.server)).toBe(1);
    expectAlive(pair);
  });

  test('ends the session where that was asked for', () => {
    const end = { endOnRenegotiation: true };
    const asking = connect12(end, end);
    asking.inject('server', { type: handshake, content: helloRequest });
    expectFound(asking, 'client', 'ERR_TLS_RENEGOTIATION', 'no_renegotiation');
    const again = connect12(end, end);
    again.inject('client', { type: handshake, content: clientHello });
    expectFound(again, 'server', 'ERR_TLS_RENEGOTIATION', 'no_renegotiation');
  });

  test('that goes on being asked for is a flood', () => {
    const pair = connect12();
    for (let i = 0; i < MAX_RENEGOTIATION_REQUESTS; i++) {
      pair.inject('server', { type: handshake, content: helloRequest });
    }
    expectUnharmed(pair);
    pair.inject('server', { type: handshake, content: helloRequest });
    expect(pair.client.error?.code).toBe('ERR_TLS_UNEXPECTED_MESSAGE');
  });

  test('is not what another message asks for', () => {
    const pair = connect12();
    pair.inject('client', { type: handshake, content: helloRequest });
    expectFound(pair, 'server', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });

  test('HelloRequest has no body', () => {
    const pair = connect12();
    const content = handshakeMessage(HandshakeType.hello_request, (w) => w.u8(0));
    pair.inject('server', { type: handshake, content });
    expectFound(pair, 'client', 'ERR_TLS_DECODE', 'decode_error');
  });
});

describe('extended_master_secret', () => {
  const WITHOUT = { ...TLS12, requireExtendedMasterSecret: false };

  test('is negotiated even where it is not required', () => {
    const pair = connect12({ tls12: WITHOUT }, { tls12: WITHOUT });
    expectAlive(pair);
    expect(pair.client.connection.info).toMatchObject({ extendedMasterSecret: true });
  });
});
