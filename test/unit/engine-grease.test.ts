import { describe, expect, test } from 'vitest';
import type { ClientConfig, ServerConfig } from '../../src/handshake/config.ts';
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
import { clientConfig, serverConfig, testTickets } from '../setup/engine-config.ts';
import {
  changingEncryptedExtensions,
  changingServerHello,
  expectAlive,
  expectFound,
} from '../setup/faults.ts';
import { Pair, type Tamper } from '../setup/pair.ts';

/* RFC 8701. */

const isGrease = (value: number | undefined) =>
  value !== undefined && (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 0xff);

const run = (client: Partial<ClientConfig> = {}, server: Partial<ServerConfig> = {}, tamper?: Tamper) =>
  new Pair({
    client: clientConfig({ grease: true, ...client }),
    server: serverConfig(server),
    ...(tamper === undefined ? {} : { tamper }),
  }).run();

/** The ClientHellos of a pair. */
const hellos = (pair: Pair): ClientHello[] =>
  pair.sent.client
    .filter(([type]) => type === 22)
    .map((record) => parseClientHello(asHandshakeMessage(record.subarray(5)).body));
const body = (hello: ClientHello, type: number) => findExtension(hello.extensions, type) ?? expect.fail();

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
