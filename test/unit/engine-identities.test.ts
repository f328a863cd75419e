import { describe, expect, test } from 'vitest';
import { TlsError } from '../../src/errors/errors.ts';
import type { Identity, IdentitySource } from '../../src/handshake/config.ts';
import { NamedGroup } from '../../src/wire/codepoints.ts';
import {
  clientConfig,
  serverConfig,
  serverIdentity,
  testIdentity,
  testTickets,
} from '../setup/engine-config.ts';
import { expectAlive, expectFound } from '../setup/faults.ts';
import { Pair } from '../setup/pair.ts';

/* Certificates that are looked up outside, at once or later: the wanted state `identities`. */

const other = testIdentity('p256');
const LATER = new Promise<readonly Identity[]>(() => {});

const source = (select: IdentitySource['select']): IdentitySource => ({ select });
const forbidden = (): never => expect.fail('selectIdentities is not asked when there is a source');

const keyOf = (pair: Pair) =>
  Buffer.from(pair.client.connection.info?.peer?.publicKey.spki ?? []).toString('hex');
const spki = (identity: Identity) => Buffer.from(identity.chain[0] ?? []).toString('hex');

describe('identities from outside', () => {
  test('are asked for by name, and shown', () => {
    const asked: unknown[] = [];
    const pair = new Pair({
      client: clientConfig(),
      server: serverConfig({
        selectIdentities: forbidden,
        identitySource: source((name) => {
          asked.push(name);
          return [other];
        }),
      }),
    }).run();
    expectAlive(pair);
    expect(asked).toEqual(['server.test']);
    expect(keyOf(pair)).toBe(spki(other));
    expect(pair.server.connection.identities).toEqual([other]);
  });

  test('may come later: nothing is sent before, and nothing is lost', () => {
    const pair = new Pair({
      client: clientConfig(),
      server: serverConfig({ identitySource: source(() => LATER) }),
    }).run();
    expect(pair.server.connection.wanted).toMatchObject({ kind: 'identities', serverName: 'server.test' });
    expect(pair.sent.server).toEqual([]);
    // What answers another question is passed over.
    pair.server.connection.provide(new Uint8Array(64), pair.now);
    expect(pair.server.connection.wanted?.kind).toBe('identities');
    pair.server.connection.provideIdentities([serverIdentity], pair.now);
    pair.run();
    expectAlive(pair);
  });

  test('are asked for once, also when a HelloRetryRequest comes between', () => {
    let asked = 0;
    const pair = new Pair({
      client: clientConfig({ keyShares: [NamedGroup.secp256r1] }),
      server: serverConfig({
        groups: [NamedGroup.x25519],
        identitySource: source(() => {
          asked++;
          return [serverIdentity];
        }),
      }),
    }).run();
    expectAlive(pair);
    expect(asked).toBe(1);
  });

  test('are asked for on a resumption too, since the name may be served no more', () => {
    const config = { tickets: testTickets };
    const first = new Pair({ client: clientConfig(), server: serverConfig(config) }).run();
    const session = first.client.tickets[0];
    const resume = (select: IdentitySource['select']) =>
      new Pair({
        client: clientConfig({ session }),
        server: serverConfig({ ...config, identitySource: source(select) }),
      });
    const good = resume(() => [serverIdentity]).run();
    expect(good.server.connection.info?.resumed).toBe(true);
    const gone = resume(() => LATER).run();
    gone.server.connection.abandon(new TlsError('ERR_TLS_UNRECOGNIZED_NAME', 'gone'));
    gone.run();
    expectFound(gone, 'server', 'ERR_TLS_UNRECOGNIZED_NAME', 'unrecognized_name');
  });

  test('none that suits: handshake_failure', () => {
    const pair = new Pair({
      client: clientConfig(),
      server: serverConfig({ identitySource: source(() => []) }),
    }).run();
    expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_SIGNATURE_SCHEME', 'handshake_failure');
  });

  test('a second ClientHello while they are looked up waits, and is refused then', () => {
    const pair = new Pair({
      client: clientConfig(),
      server: serverConfig({ identitySource: source(() => LATER) }),
    }).run();
    pair.injectRaw('client', pair.sent.client[0] as Uint8Array);
    expect(pair.server.error).toBeUndefined();
    pair.server.connection.provideIdentities([serverIdentity], pair.now);
    pair.run();
    expect(pair.server.error?.code).toBe('ERR_TLS_UNEXPECTED_MESSAGE');
  });

  test('that never come end with the time for the handshake', () => {
    const pair = new Pair({
      client: clientConfig({ handshakeTimeout: 0 }),
      server: serverConfig({ identitySource: source(() => LATER), handshakeTimeout: 1000 }),
    }).run();
    pair.advance(1000);
    expect(pair.server.error?.code).toBe('ERR_TLS_HANDSHAKE_TIMEOUT');
    pair.server.connection.provideIdentities([serverIdentity], pair.now);
    expect(pair.server.connected).toBe(false);
  });
});
