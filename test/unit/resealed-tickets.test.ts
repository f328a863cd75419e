import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import type { ClientConfig, ServerConfig } from '../../src/handshake/config.ts';
import type { ResumableSession } from '../../src/handshake/resumable-session.ts';
import { CipherSuite, ProtocolVersion } from '../../src/wire/codepoints.ts';
import { clientConfig, ONLY_TLS12, serverConfig, testTickets } from '../setup/engine-config.ts';
import { expectAlive } from '../setup/faults.ts';
import { Pair } from '../setup/pair.ts';

/*
 * Tickets that are sealed by the right key and say what no ticket of this handshake would: those of other processes that
 * share the key, with another configuration, or of another version of this library. Never an error: the full handshake takes
 * place (RFC 5077 §3.1, RFC 8446 §4.2.11). BoringSSL's runner rewrites tickets of its own library's format for this.
 */

const { tls10, tls11, tls12, tls13, dtls13 } = ProtocolVersion;
const { keys } = testTickets;
const WHERE = { version: 1, suite: 3 } as const;

/** Both formats begin with a byte that tells them apart, the version and the suite. */
function resealed(
  ticket: Uint8Array,
  change: { version?: number; suite?: number; format?: number },
): Uint8Array {
  const state = new Uint8Array(keys.openBytes(nodeCrypto, ticket) ?? expect.fail('not sealed by this key'));
  const view = new DataView(state.buffer);
  if (change.version !== undefined) view.setUint16(WHERE.version, change.version);
  if (change.suite !== undefined) view.setUint16(WHERE.suite, change.suite);
  if (change.format !== undefined) state[0] = change.format;
  return keys.sealBytes(nodeCrypto, state) ?? expect.fail('too long for a ticket');
}

function connect(client: Partial<ClientConfig>, server: Partial<ServerConfig>): Pair {
  const pair = new Pair({
    client: clientConfig(client),
    server: serverConfig({ tickets: testTickets, ...server }),
  }).run();
  expectAlive(pair);
  return pair;
}

const sessionOf = (pair: Pair): ResumableSession => pair.client.sessions[0] ?? expect.fail('no session');

const resumes = (
  both: object,
  session: ResumableSession,
  change: Parameters<typeof resealed>[1],
  server: Partial<ServerConfig> = {},
) => {
  const forged = { ...session, ticket: resealed(session.ticket, change) };
  const pair = connect({ ...both, session: forged }, { ...both, ...server });
  const ends = [pair.client, pair.server].map(({ connection }) => connection.info?.resumed);
  expect(ends[0]).toBe(ends[1]);
  return ends[0];
};

const suites12 = ONLY_TLS12.tls12.suites;
const CHACHA12 = CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
const CHACHA13 = CipherSuite.TLS_CHACHA20_POLY1305_SHA256;

describe('a ticket of TLS 1.2', () => {
  const session = sessionOf(connect(ONLY_TLS12, ONLY_TLS12));
  const other = sessionOf(connect({}, {}));

  test('that says what it said is resumed', () => {
    const { version, suite } = session;
    expect(resumes(ONLY_TLS12, session, { version, suite: suite.id })).toBe(true);
  });

  test.each([
    ['TLS 1.3', { version: tls13 }],
    ['TLS 1.1', { version: tls11 }],
    ['TLS 1.0', { version: tls10 }],
    ['a suite of TLS 1.3', { suite: CipherSuite.TLS_AES_128_GCM_SHA256 }],
    ['a suite that nobody knows', { suite: 0xfefe }],
    ['a format that is not known', { format: 0xee }],
  ])('that says %s is declined', (_what, change) => {
    expect(resumes(ONLY_TLS12, session, change)).toBe(false);
  });

  test('that says a suite that is not used here any more is declined', () => {
    const without = { ...ONLY_TLS12.tls12, suites: suites12.filter(({ id }) => id !== CHACHA12) };
    expect(resumes(ONLY_TLS12, session, { suite: CHACHA12 }, { tls12: without })).toBe(false);
  });

  test('in whose place there is one of TLS 1.3 is declined', () => {
    expect(resumes(ONLY_TLS12, { ...session, ticket: other.ticket }, {})).toBe(false);
  });
});

describe('a ticket of TLS 1.3', () => {
  const session = sessionOf(connect({}, {}));
  const other = sessionOf(connect(ONLY_TLS12, ONLY_TLS12));

  test('that says what it said is resumed', () => {
    const { version, suite } = session;
    expect(resumes({}, session, { version, suite: suite.id })).toBe(true);
  });

  test.each([
    ['TLS 1.2', { version: tls12 }],
    ['DTLS 1.3', { version: dtls13 }],
    ['a suite of TLS 1.2', { suite: CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 }],
    ['a suite that nobody knows', { suite: 0xfefe }],
    ['a format that is not known', { format: 0xee }],
  ])('that says %s is declined', (_what, change) => {
    expect(resumes({}, session, change)).toBe(false);
  });

  test('that says a suite that is not used here any more is declined', () => {
    const suites = serverConfig().suites.filter(({ id }) => id !== CHACHA13);
    expect(resumes({}, session, { suite: CHACHA13 }, { suites })).toBe(false);
  });

  test('in whose place there is one of TLS 1.2 is declined', () => {
    expect(resumes({}, { ...session, ticket: other.ticket }, {})).toBe(false);
  });
});
