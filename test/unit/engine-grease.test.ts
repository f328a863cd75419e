import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import type { ClientConfig, ServerConfig } from '../../src/handshake/config.ts';
import { requestExtensions } from '../../src/handshake/tls13/certificate-request.ts';
import {
  findExtension,
  keyShareClientHello,
  signatureAlgorithms,
  supportedGroups,
  supportedVersions,
} from '../../src/messages/extensions.ts';
import { asHandshakeMessage } from '../../src/messages/handshake.ts';
import { type ClientHello, parseClientHello } from '../../src/messages/hello.ts';
import { ExtensionType, NamedGroup } from '../../src/wire/codepoints.ts';
import { serverConfig, testTickets } from '../setup/engine-config.ts';
import {
  changingEncryptedExtensions,
  changingServerHello,
  expectAlive,
  expectFound,
} from '../setup/faults.ts';
import { connectPair } from '../setup/handshakes.ts';
import type { Pair, Tamper } from '../setup/pair.ts';

/* RFC 8701. */

const isGrease = (value: number | undefined) =>
  value !== undefined && (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 0xff);

const run = (client: Partial<ClientConfig> = {}, server: Partial<ServerConfig> = {}, tamper?: Tamper) =>
  connectPair({ grease: true, ...client }, server, tamper);

/** The ClientHellos of a pair. */
const hellos = (pair: Pair): ClientHello[] =>
  pair.sent.client
    .filter(([type]) => type === 22)
    .map((record) => parseClientHello(asHandshakeMessage(record.subarray(5)).body));
const body = (hello: ClientHello, type: number) => findExtension(hello.extensions, type) ?? expect.fail();

describe('a greasing server', () => {
  test('puts an extension that means nothing into CertificateRequest, and clients pass over it and that of a ticket', () => {
    const seen = new Set<number>();
    for (let i = 0; i < 20; i++) {
      const extensions = requestExtensions(serverConfig({ grease: true }), nodeCrypto);
      const found = extensions.filter(({ type }) => isGrease(type));
      expect(found).toHaveLength(1);
      seen.add(found[0]?.type ?? 0);
    }
    expect(seen.size).toBeGreaterThan(1);
    expect(requestExtensions(serverConfig(), nodeCrypto).some(({ type }) => isGrease(type))).toBe(false);
    const pair = run({}, { grease: true, clientCertificate: 'request', tickets: testTickets });
    expectAlive(pair);
    expect(pair.client.tickets).toHaveLength(1);
  });
});

describe('a client that permutes its extensions', () => {
  const typesOf = (pair: Pair) => hellos(pair).map(({ extensions }) => extensions.map(({ type }) => type));

  test('has another order each time, kept through a HelloRetryRequest, with the keys at the end', () => {
    const {
      tickets: [session],
    } = run({ grease: false }, { tickets: testTickets }).client;
    const orders = new Set<string>();
    for (let i = 0; i < 10; i++) {
      const pair = run(
        { grease: false, permuteExtensions: true, session, keyShares: [NamedGroup.x25519] },
        { tickets: testTickets, groups: [NamedGroup.secp256r1] },
      );
      expectAlive(pair);
      const [first = [], second = []] = typesOf(pair);
      expect(first.at(-1)).toBe(ExtensionType.pre_shared_key);
      expect(second).toEqual(first);
      orders.add(first.join());
    }
    expect(orders.size).toBeGreaterThan(5);
  });
});

describe('a greasing client', () => {
  test('offers a meaningless value wherever there is a list, and servers pass over them', () => {
    for (let i = 0; i < 40; i++) {
      const pair = run();
      expectAlive(pair);
      const [hello] = hellos(pair) as [ClientHello];
      const groups = supportedGroups.parse(body(hello, ExtensionType.supported_groups));
      const [share] = keyShareClientHello.parse(body(hello, ExtensionType.key_share));
      const lists = [
        hello.cipherSuites,
        groups,
        supportedVersions.parse(body(hello, ExtensionType.supported_versions)),
        signatureAlgorithms.parse(body(hello, ExtensionType.signature_algorithms)),
        [share?.group],
        hello.extensions.map(({ type }) => type),
      ];
      for (const [first] of lists) expect(isGrease(first)).toBe(true);
      expect(share?.group).toBe(groups[0]);
      expect(hello.extensions.filter(({ type }) => isGrease(type))).toHaveLength(2);
    }
  });

  test('does so with resumption, where pre_shared_key stays last, and after HelloRetryRequest', () => {
    const tickets = { tickets: testTickets };
    const session = run({}, tickets).client.tickets[0];
    const pair = run(
      { session, keyShares: [NamedGroup.secp256r1] },
      { ...tickets, groups: [NamedGroup.x25519] },
    );
    expectAlive(pair);
    expect(pair.client.connection.info?.resumed).toBe(true);
    const [first, second] = hellos(pair) as [ClientHello, ClientHello];
    expect(first.extensions.at(-1)?.type).toBe(ExtensionType.pre_shared_key);
    expect(second.cipherSuites).toEqual(first.cipherSuites);
    expect(keyShareClientHello.parse(body(second, ExtensionType.key_share))).toHaveLength(1);
  });

  test('is not what clients are by default', () => {
    const [hello] = hellos(run({ grease: undefined })) as [ClientHello];
    expect([...hello.cipherSuites, ...hello.extensions.map(({ type }) => type)].some(isGrease)).toBe(false);
  });

  test('refuses a server that selects such a suite: illegal_parameter', () => {
    const tamper = changingServerHello((hello) => ({ ...hello, cipherSuite: 0x0a0a }));
    expectFound(run({}, {}, tamper), 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('refuses a server that answers such an extension: illegal_parameter', () => {
    const offered: number[] = [];
    const answer = changingEncryptedExtensions((list) => [
      ...list,
      { type: offered[0] ?? expect.fail(), body: new Uint8Array(0) },
    ]);
    const pair = run({}, {}, (record) => {
      if (record.from === 'client' && record.nth === 0) {
        const hello = parseClientHello(asHandshakeMessage(record.content).body);
        offered.push(hello.extensions[0]?.type ?? expect.fail());
      }
      return answer(record);
    });
    expectFound(pair, 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });
});
