import { describe, expect, test } from 'vitest';
import { DtlsConnection } from '../../../src/connection/dtls-connection.ts';
import { suiteById, TLS13_SUITES } from '../../../src/crypto/suites.ts';
import { suite12ById, TLS12_SUITES } from '../../../src/crypto/suites12.ts';
import type { ClientConfig, ServerConfig } from '../../../src/handshake/config.ts';
import type { ResumableSession } from '../../../src/handshake/resumable-session.ts';
import { ProtocolVersion } from '../../../src/wire/codepoints.ts';
import { DtlsPair } from '../../setup/dtls-pair.ts';
import {
  clientConfig,
  clientIdentity,
  ONLY_TLS12,
  serverConfig,
  testIdentity,
  testTickets,
} from '../../setup/engine-config.ts';
import { Pair, START } from '../../setup/pair.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function connect(
  client: Partial<ClientConfig> = {},
  server: Partial<ServerConfig> = {},
  now = START,
): DtlsPair {
  return new DtlsPair({ client: clientConfig(client), server: serverConfig(server), now }).run();
}

function expectAlive(pair: DtlsPair): void {
  expect(pair.client.error?.message).toBeUndefined();
  expect(pair.server.error?.message).toBeUndefined();
  expect([pair.client.connected, pair.server.connected]).toEqual([true, true]);
  const before = [pair.client.data.length, pair.server.data.length];
  pair.client.connection.send(bytes('ping'));
  pair.client.connection.send(bytes('second'));
  pair.server.connection.send(bytes('pong'));
  pair.run();
  expect(pair.server.data.slice(before[1])).toEqual(['ping', 'second']);
  expect(pair.client.data.slice(before[0])).toEqual(['pong']);
}

const VERSIONS = [
  ['DTLSv1.3', {}],
  ['DTLSv1.2', ONLY_TLS12],
] as const;

describe.each(VERSIONS)('%s', (protocol, only) => {
  test('a handshake, and datagrams both ways', () => {
    const pair = connect(only, only);
    expectAlive(pair);
    expect(pair.client.connection.info?.protocol).toBe(protocol);
    expect(pair.server.connection.info?.transcriptHash).toEqual(pair.client.connection.info?.transcriptHash);
    const exported = (role: 'client' | 'server') =>
      pair[role].connection.exportKeyingMaterial('EXPORTER-test', undefined, 32);
    expect(exported('client')).toEqual(exported('server'));
  });

  test('a client certificate', () => {
    const pair = connect(
      { ...only, identities: [clientIdentity] },
      { ...only, clientCertificate: 'require' },
    );
    expectAlive(pair);
    expect(pair.server.connection.info?.peer?.chain).toEqual(
      clientIdentity.chain.map((der) => new Uint8Array(der)),
    );
  });

  test('a client certificate that is chosen later than the server waits', () => {
    const source = { select: () => new Promise<never>(() => {}) };
    const pair = new DtlsPair({
      client: clientConfig({ ...only, identitySource: source }),
      server: serverConfig({
        ...only,
        clientCertificate: 'require',
        certificateAuthorities: [bytes('name')],
      }),
    }).run(5000);
    expect(pair.client.connection.wanted).toMatchObject({
      kind: 'identities',
      wishes: { authorities: [bytes('name')] },
    });
    const repeated = pair.server.sent.length;
    pair.run(3000);
    // Only DTLS 1.3 can say meanwhile that the flight has come (RFC 9147 §7.1); over 1.2 it comes again.
    expect(pair.server.sent.length > repeated).toBe(protocol === 'DTLSv1.2');
    pair.client.connection.provideIdentities([clientIdentity], pair.now);
    expectAlive(pair.run());
    expect(pair.server.connection.info?.peer?.chain).toEqual(
      clientIdentity.chain.map((der) => new Uint8Array(der)),
    );
  });

  test('a session is resumed', () => {
    const first = connect(only, { ...only, tickets: testTickets });
    expectAlive(first);
    const session = first.client.sessions[0];
    expect(session).toBeDefined();
    const second = connect({ ...only, session }, { ...only, tickets: testTickets }, first.now);
    expectAlive(second);
    expect(second.client.connection.info?.resumed).toBe(true);
    expect(second.server.connection.info?.resumed).toBe(true);
  });

  test('every datagram keeps to the MTU', () => {
    for (const mtu of [296, 508, 1232]) {
      const datagrams = { mtu, initialTimeout: 1000, maxTimeout: 60_000 };
      const pair = connect({ ...only, datagrams }, { ...only, datagrams });
      expectAlive(pair);
      for (const { sent } of [pair.client, pair.server]) {
        for (const datagram of sent) expect(datagram.length).toBeLessThanOrEqual(mtu);
      }
    }
  });

  test('close_notify ends both sides', () => {
    const pair = connect(only, only);
    pair.client.connection.close();
    pair.run();
    expect(pair.server.ended).toBe(true);
    pair.server.connection.close();
    pair.run();
    expect(pair.client.ended).toBe(true);
  });
});

test('both versions on both sides agree on DTLS 1.3', () => {
  const both = { tls12: ONLY_TLS12.tls12 };
  expect(connect(both, both).client.connection.info?.protocol).toBe('DTLSv1.3');
  expect(connect(both, ONLY_TLS12).client.connection.info?.protocol).toBe('DTLSv1.2');
  expect(connect(ONLY_TLS12, both).server.connection.info?.protocol).toBe('DTLSv1.2');
});

test.each(TLS13_SUITES.map(({ id, name }) => [name, id] as const))('%s', (_name, id) => {
  const suite = suiteById(id);
  if (suite === undefined) throw new Error('no such suite');
  expectAlive(connect({ suites: [suite] }));
});

test.each(
  TLS12_SUITES.filter(({ authentication }) => authentication !== 'psk').map(
    ({ id, name }) => [name, id] as const,
  ),
)('%s', (_name, id) => {
  const suite = suite12ById(id);
  if (suite === undefined) throw new Error('no such suite');
  const identity = testIdentity(suite.authentication === 'rsa' ? 'rsa' : 'p256');
  const tls12 = { suites: [suite], requireExtendedMasterSecret: true };
  expectAlive(
    connect({ ...ONLY_TLS12, tls12 }, { ...ONLY_TLS12, tls12, selectIdentities: () => [identity] }),
  );
});

test('KeyUpdate: the new key is used once it is acknowledged', () => {
  const pair = connect();
  pair.client.connection.updateKeys(true);
  pair.client.connection.updateKeys(false);
  pair.run();
  expectAlive(pair);
});

test('a ClientHello of a version to come is answered with DTLS 1.2', () => {
  const client = DtlsConnection.client(clientConfig(ONLY_TLS12), START);
  const [hello] = client.transmit() as [Uint8Array];
  // legacy_version, behind the headers of record and fragment.
  new DataView(hello.buffer, hello.byteOffset).setUint16(25, 0xfdff);
  const server = DtlsConnection.server(serverConfig(ONLY_TLS12), START);
  server.receive(hello, START);
  expect(server.nextEvent()).toBeUndefined();
  expect(server.wanted?.kind).toBe('signature');
});

describe('one set of ticket keys for TLS and DTLS', () => {
  const server = { tickets: testTickets };
  /** A session that is offered is of a minute ago. */
  const at = (session: ResumableSession | undefined) => (session === undefined ? START : START + 60_000);
  const overTls = (only: Partial<ClientConfig>, session?: ResumableSession) => {
    const pair = new Pair({
      client: clientConfig({ ...only, session }),
      server: serverConfig({ ...only, ...server }),
    });
    pair.now = at(session);
    return pair.run();
  };
  const overDtls = (only: Partial<ClientConfig>, session?: ResumableSession) =>
    connect({ ...only, session }, { ...only, ...server }, at(session));
  const sessionOf = (pair: DtlsPair | Pair): ResumableSession => {
    const [session] = pair.client.sessions;
    if (session === undefined) throw new Error('no session was given');
    // Its client begins before time goes on.
    return 'psk' in session ? { ...session, receivedAt: START } : { ...session, createdAt: START };
  };
  const BOTH = [
    ['1.3', {}],
    ['1.2', ONLY_TLS12],
  ] as const;

  test.each(BOTH)('a session of %s is resumed over its own', (_version, only) => {
    expect(overTls(only, sessionOf(overTls(only))).server.connection.info?.resumed).toBe(true);
    expect(overDtls(only, sessionOf(overDtls(only))).server.connection.info?.resumed).toBe(true);
  });

  test.each(BOTH)('a session of %s is not offered over the other', (_version, only) => {
    const dtls = overDtls(only, sessionOf(overTls(only)));
    expectAlive(dtls);
    expect(dtls.server.connection.info?.resumed).toBe(false);
    const tls = overTls(only, sessionOf(overDtls(only)));
    expect([tls.client.connected, tls.server.connected]).toEqual([true, true]);
    expect(tls.server.connection.info?.resumed).toBe(false);
  });

  /** As a client has it that does not mind where a ticket comes from. */
  const claiming = (session: ResumableSession, version: number): ResumableSession => ({
    ...session,
    version,
  });

  test.each([
    ['1.3', {}, ProtocolVersion.dtls13, ProtocolVersion.tls13],
    ['1.2', ONLY_TLS12, ProtocolVersion.dtls12, ProtocolVersion.tls12],
  ] as const)('a ticket of %s is passed over by the other', (_version, only, ofDtls, ofTls) => {
    const dtls = overDtls(only, claiming(sessionOf(overTls(only)), ofDtls));
    expectAlive(dtls);
    expect(dtls.server.connection.info?.resumed).toBe(false);
    const tls = overTls(only, claiming(sessionOf(overDtls(only)), ofTls));
    expect([tls.client.connected, tls.server.connected]).toEqual([true, true]);
    expect(tls.server.connection.info?.resumed).toBe(false);
  });
});
