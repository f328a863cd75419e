import { describe, expect, test } from 'vitest';
import { CertificateError } from '../../../src/errors/errors.ts';
import type { ClientConfig, ServerConfig } from '../../../src/handshake/config.ts';
import { parseResumable, serializeResumable } from '../../../src/handshake/resumable-session.ts';
import { TicketKeys } from '../../../src/handshake/tickets.ts';
import { DEFAULT_LIFETIME } from '../../../src/handshake/tls12/client-finish.ts';
import type { ClientSession12 } from '../../../src/handshake/tls12/session.ts';
import { parseServerHello } from '../../../src/messages/hello.ts';
import { parseNewSessionTicket12 } from '../../../src/messages/tls12.ts';
import { MAX_SESSIONS, MemorySessionStore } from '../../../src/node/session-store.ts';
import { ContentType, ExtensionType, HandshakeType } from '../../../src/wire/codepoints.ts';
import { clientIdentity, replacedTickets, serverConfig, testTickets } from '../../setup/engine-config.ts';
import {
  changing,
  changingClientHello,
  changingServerHello,
  expectAlive,
  expectFound,
  NOTHING,
  setExtension,
  withBody,
} from '../../setup/faults.ts';
import { flipBit, type Pair, type PairSetup, splitMessages } from '../../setup/pair.ts';
import { toHex } from '../../vectors/rfc8448.ts';
import { both12, connect12, EVERY_IDENTITY, exported, TLS12 } from './kit.ts';

/** A server that gives tickets, and one that keeps sessions under their ids. */
const BY_TICKET: Partial<ServerConfig> = { tickets: testTickets };
const byId = (): Partial<ServerConfig> => ({
  sessions: { store: new MemorySessionStore(), lifetime: 86_400 },
});

/** All but the one that is chosen when nothing is said. */
const OTHER_SUITES = TLS12.suites.filter(({ name }) => name !== 'ECDHE-ECDSA-AES128-GCM-SHA256');

function onlySession(pair: Pair): ClientSession12 {
  const [session, ...more] = pair.client.sessions;
  if (session === undefined || !('masterSecret' in session) || more.length > 0) {
    throw new Error('the client must have one session of TLS 1.2');
  }
  return session;
}

const KINDS = [
  ['ticket', () => BY_TICKET],
  ['session id', byId],
] as const;

describe.each(KINDS)('resumption by %s', (kind, makeServer) => {
  const first = (client: Partial<ClientConfig> = {}, change: Partial<ServerConfig> = {}) => {
    const server = { ...makeServer(), ...change };
    const pair = connect12(client, server);
    expectAlive(pair);
    return { server, session: onlySession(pair) };
  };
  const again = (
    session: ClientSession12,
    server: Partial<ServerConfig>,
    client: Partial<ClientConfig> = {},
    setup: Partial<PairSetup> = {},
  ) => connect12({ session, ...client }, server, setup);
  const expectResumed = (pair: Pair, resumed: boolean) => {
    expectAlive(pair);
    for (const { connection } of both12(pair)) expect(connection.info?.resumed).toBe(resumed);
  };

  test('takes one round trip, with keys and bindings of its own', () => {
    const { server, session } = first();
    const pair = again(session, server);
    expectResumed(pair, true);
    expect(pair.client.connection.info?.peer).toBeDefined();
    expect(both12(pair).map(({ connection }) => connection.info?.group)).toEqual([29, 29]);
    expect(exported(pair, undefined)).not.toBe(exported(again(session, server), undefined));
    const { change_cipher_spec, handshake } = ContentType;
    const types = (records: readonly Uint8Array[]) => records.slice(0, 3).map(([type]) => type);
    expect(types(pair.sent.server)).toEqual([handshake, change_cipher_spec, handshake]);
    expect(types(pair.sent.client)).toEqual([handshake, change_cipher_spec, handshake]);
  });

  test('survives being written down', () => {
    const { server, session } = first();
    const restored = parseResumable(serializeResumable(session));
    expect(restored).toEqual({ ...session, createdAt: Math.floor(session.createdAt / 1000) * 1000 });
    expectResumed(again(restored as ClientSession12, server), true);
  });

  test('can be done again', () => {
    const { server, session } = first();
    const second = again(session, server);
    const next = second.client.sessions.at(-1) ?? session;
    expectResumed(again(next as ClientSession12, server), true);
  });

  test('knows the client of then', () => {
    const identities = [clientIdentity];
    const { server, session } = first({ identities }, { clientCertificate: 'require' });
    const pair = again(session, server, { identities });
    expectResumed(pair, true);
    const known = pair.server.connection.info?.peer?.publicKey.spki ?? NOTHING;
    expect(toHex(known)).toBe(toHex(clientIdentity.chain[0] ?? NOTHING));
  });

  test('agrees on a protocol afresh', () => {
    const alpnProtocols = ['a', 'b'];
    const { server, session } = first({ alpnProtocols }, { selectProtocol: () => 'a' });
    const pair = again(session, { ...server, selectProtocol: () => 'b' }, { alpnProtocols });
    expectResumed(pair, true);
    expect(pair.client.connection.info?.alpnProtocol).toBe('b');
  });

  const refused: [string, Partial<ClientConfig>, Partial<ServerConfig>][] = [
    ['under another name', { serverName: 'other.test' }, {}],
    ['when the client does not want its suite any more', { tls12: { ...TLS12, suites: OTHER_SUITES } }, {}],
    [
      'when both have a better suite now',
      {},
      { tls12: { ...TLS12, suites: [...OTHER_SUITES, ...TLS12.suites] } },
    ],
    ['when the server does not want its suite any more', {}, { tls12: { ...TLS12, suites: OTHER_SUITES } }],
    [
      'when the server asks for a certificate now',
      { identities: [clientIdentity] },
      { clientCertificate: 'require' },
    ],
    ['when the server has forgotten it', {}, { tickets: undefined, sessions: undefined }],
    [
      'when it is too old',
      {},
      {
        tickets: { ...testTickets, lifetime: -1 },
        sessions: { store: new MemorySessionStore(), lifetime: -1 },
      },
    ],
  ];
  test.each(refused)('does not take place %s: a full handshake does', (_what, client, change) => {
    const { server, session } = first();
    expectResumed(again(session, { ...server, ...change }, client), false);
  });

  test('does not take place when the certificate of then is not good any more', () => {
    const { server, session } = first();
    let asked = 0;
    const { verifyPeer } = serverConfig();
    const pair = again(session, server, {
      verifyPeer: (chain, context) => {
        if (asked++ === 0) throw new CertificateError('CERT_HAS_EXPIRED', 'over');
        return verifyPeer(chain, context);
      },
    });
    expectResumed(pair, false);
    expect(asked).toBe(2);
  });

  test('is not asked for once the session is too old', () => {
    const { server, session } = first();
    const old = { ...session, createdAt: session.createdAt - DEFAULT_LIFETIME * 1000 };
    const pair = again(old, server);
    expectResumed(pair, false);
    const [hello] = splitMessages(pair.sent.client[0]?.subarray(5) ?? NOTHING);
    expect(hello?.body[34]).toBe(0);
  });

  test('without extended_master_secret is not asked for', () => {
    const { server, session } = first();
    expectResumed(again({ ...session, extendedMasterSecret: false }, server), false);
  });

  test('a server aborts when extended_master_secret is gone (RFC 7627 §5.3)', () => {
    const { server, session } = first();
    const lax = { ...TLS12, requireExtendedMasterSecret: false };
    const tamper = changingClientHello((h) =>
      setExtension(h, ExtensionType.extended_master_secret, undefined),
    );
    const pair = again(session, { ...server, tls12: lax }, { tls12: lax }, { tamper });
    expectFound(pair, 'server', 'ERR_TLS_HANDSHAKE_FAILURE', 'handshake_failure');
  });

  test('a client aborts when extended_master_secret is gone (RFC 7627 §5.3)', () => {
    const { server, session } = first();
    const lax = { ...TLS12, requireExtendedMasterSecret: false };
    const tamper = changingServerHello((h) =>
      setExtension(h, ExtensionType.extended_master_secret, undefined),
    );
    const pair = again(session, { ...server, tls12: lax }, { tls12: lax }, { tamper });
    expectFound(pair, 'client', 'ERR_TLS_HANDSHAKE_FAILURE', 'handshake_failure');
  });

  test('a client refuses its session under another suite', () => {
    const { server, session } = first();
    const other = TLS12.suites.find((suite) => suite !== session.suite && suite.hash === session.suite.hash);
    const tamper = changingServerHello((h) => ({ ...h, cipherSuite: other?.id ?? 0 }));
    const pair = again(session, server, {}, { tamper });
    expectFound(pair, 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('a session that the other side does not have fails at Finished', () => {
    const { server, session } = first();
    const pair = again({ ...session, masterSecret: flipBit(session.masterSecret) }, server);
    expect(pair.client.error?.code).toBe('ERR_TLS_BAD_RECORD_MAC');
    expect(pair.server.connected).toBe(false);
  });

  test('is told by the kind of the session', () => {
    const { session } = first();
    expect([session.ticket.length > 0, session.sessionId.length > 0]).toEqual(
      kind === 'ticket' ? [true, false] : [false, true],
    );
  });
});

describe('tickets', () => {
  const resumed = (keys: TicketKeys, session: ClientSession12) => {
    const pair = connect12({ session }, { tickets: { ...testTickets, keys } });
    expectAlive(pair);
    expect(pair.server.connection.info?.resumed).toBe(true);
    return pair;
  };

  test('that were just taken stay good, and are not replaced', () => {
    const session = onlySession(connect12({}, BY_TICKET));
    const pair = resumed(testTickets.keys, session);
    expect(pair.client.sessions).toEqual([]);
    const types = splitMessages(pair.sent.server[0]?.subarray(5) ?? NOTHING).map(({ type }) => type);
    expect(types).toEqual([HandshakeType.server_hello]);
  });

  test('under a key that was replaced are replaced, and live no longer for it', () => {
    const session = onlySession(connect12({}, BY_TICKET));
    const pair = resumed(replacedTickets.keys, session);
    const renewed = onlySession(pair);
    expect(renewed.createdAt).toBe(session.createdAt);
    expect(renewed.ticket).not.toEqual(session.ticket);
    resumed(new TicketKeys(replacedTickets.keys.bytes.subarray(0, 48)), renewed);
  });

  test('are given to who resumes by id and knows them', () => {
    const sessions = byId();
    const session = onlySession(connect12({}, sessions));
    const pair = connect12({ session }, { ...sessions, ...BY_TICKET });
    expectAlive(pair);
    expect(pair.server.connection.info?.resumed).toBe(true);
    expect(onlySession(pair).ticket).not.toHaveLength(0);
  });

  test('of other keys are passed over', () => {
    const session = onlySession(connect12({}, BY_TICKET));
    const keys = new TicketKeys(new Uint8Array(48).fill(8));
    const pair = connect12({ session }, { tickets: { ...testTickets, keys } });
    expectAlive(pair);
    expect(pair.server.connection.info?.resumed).toBe(false);
  });

  test('with a bit changed are passed over', () => {
    const session = onlySession(connect12({}, BY_TICKET));
    const pair = connect12({ session: { ...session, ticket: flipBit(session.ticket) } }, BY_TICKET);
    expectAlive(pair);
    expect(pair.server.connection.info?.resumed).toBe(false);
  });

  test('are announced and then sent', () => {
    const missing = changing('server', HandshakeType.new_session_ticket, () => []);
    const pair = connect12({}, BY_TICKET, { tamper: missing });
    expect(pair.client.error?.code).toBe('ERR_TLS_UNEXPECTED_MESSAGE');
  });

  test('are not sent unannounced', () => {
    const tamper = changingServerHello((h) => setExtension(h, ExtensionType.session_ticket, undefined));
    const session = onlySession(connect12({}, BY_TICKET));
    const pair = connect12({ session }, { tickets: replacedTickets }, { tamper });
    expectFound(pair, 'client', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });

  test('that are empty are none', () => {
    // A client chain of 9,000 bytes does not fit a ticket.
    const [chain] = clientIdentity.chain;
    const identity = { ...clientIdentity, chain: [chain ?? NOTHING, new Uint8Array(9000)] };
    const pair = connect12({ identities: [identity] }, { ...BY_TICKET, clientCertificate: 'require' });
    expectAlive(pair);
    expect(pair.client.sessions).toEqual([]);
    const hello = splitMessages(pair.sent.server[0]?.subarray(5) ?? NOTHING)[0];
    expect(parseServerHello(hello?.body ?? NOTHING).legacySessionIdEcho).toHaveLength(0);
  });

  test('with bytes after them are malformed', () => {
    const tamper = changing('server', HandshakeType.new_session_ticket, ({ type, body }) => [
      withBody(type, Uint8Array.of(...body, 0)),
    ]);
    const pair = connect12({}, BY_TICKET, { tamper });
    expectFound(pair, 'client', 'ERR_TLS_DECODE', 'decode_error');
  });

  test('say how long they live', () => {
    const pair = connect12({}, BY_TICKET);
    const session = onlySession(pair);
    expect(session.lifetime).toBe(testTickets.lifetime);
    expect(parseNewSessionTicket12(Uint8Array.of(0, 0, 0, 1, 0, 0))).toEqual({
      lifetimeHint: 1,
      ticket: NOTHING,
    });
  });
});

describe('a store in memory', () => {
  test('forgets what was used longest ago', () => {
    const store = new MemorySessionStore(2);
    const [a, b, c] = [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)];
    store.set(a, a);
    store.set(b, b);
    store.get(a);
    store.set(c, c);
    expect([store.get(a), store.get(b), store.get(c)]).toEqual([a, undefined, c]);
    expect(MAX_SESSIONS).toBeGreaterThan(2);
  });

  test('does not keep what is too large', () => {
    const store = new MemorySessionStore();
    store.set(Uint8Array.of(1), new Uint8Array(10_000));
    expect(store.get(Uint8Array.of(1))).toBeUndefined();
  });
});

test('sessions of TLS 1.3 and 1.2 are offered to the version that they are of', () => {
  const { p256 } = EVERY_IDENTITY;
  const server = serverConfig({ tickets: testTickets, tls12: TLS12, selectIdentities: () => [p256] });
  const session = onlySession(connect12({}, BY_TICKET));
  const pair = connect12({ ...serverConfig(), session, tls12: TLS12 } as Partial<ClientConfig>, server);
  expectAlive(pair);
  expect(pair.client.connection.info).toMatchObject({ protocol: 'TLSv1.3', resumed: false });
});
