import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { CertificateError } from '../../src/errors/errors.ts';
import type { ClientConfig } from '../../src/handshake/config.ts';
import { EarlySecret } from '../../src/handshake/key-schedule.ts';
import type { ExternalPsk } from '../../src/handshake/psk.ts';
import { findExtension, pskKeyExchangeModes } from '../../src/messages/extensions.ts';
import { parseClientHello, parseServerHello } from '../../src/messages/hello.ts';
import { ExtensionType, HandshakeType, NamedGroup, PskKeyExchangeMode } from '../../src/wire/codepoints.ts';
import { clientIdentity, testTickets } from '../setup/engine-config.ts';
import {
  changingClientHello,
  changingServerHello,
  expectAlive,
  expectFound,
  setExtension,
} from '../setup/faults.ts';
import { connectPair } from '../setup/handshakes.ts';
import { splitMessages, type Tamper } from '../setup/pair.ts';

/* psk_ke, RFC 8446 §2.2 and §4.2.9: a PSK without a key exchange, where both sides were told to take it. */

const psk: ExternalPsk = {
  identity: new Uint8Array(Buffer.from('device 7')),
  key: new Uint8Array(32).fill(1),
  hash: 'sha256',
  binder: 'external',
};
const findPsk = (identity: Uint8Array) =>
  Buffer.from(identity).equals(Buffer.from(psk.identity)) ? psk : undefined;
/** They share no group. */
const P256 = { groups: [NamedGroup.secp256r1], keyShares: [NamedGroup.secp256r1] };
const P384 = { groups: [NamedGroup.secp384r1] };
const NO_GROUP = { groups: [], keyShares: [] };
const ALONE = { pskOnlyKeyExchange: true };
/** Finds fault with every certificate: a session that stands rests on the key. */
const verifyPeer = () => {
  throw new CertificateError('DEPTH_ZERO_SELF_SIGNED_CERT', 'no certificate is good here');
};

/** Extensions of the hellos that were seen, in the order of the wire. */
const seen = (hellos: (readonly number[])[]): Tamper => {
  return ({ type, content }) => {
    if (type !== 22) return undefined;
    for (const message of splitMessages(content)) {
      if (message.type === HandshakeType.client_hello)
        hellos.push(parseClientHello(message.body).extensions.map((extension) => extension.type));
      if (message.type === HandshakeType.server_hello)
        hellos.push(parseServerHello(message.body).extensions.map((extension) => extension.type));
    }
    return undefined;
  };
};

describe('a PSK without a key exchange', () => {
  test('serves where no group is shared', () => {
    const hellos: (readonly number[])[] = [];
    const client = { ...P256, ...ALONE, psks: [psk], verifyPeer };
    const pair = connectPair(client, { ...P384, ...ALONE, findPsk }, seen(hellos));
    expectAlive(pair);
    for (const { connection } of [pair.client, pair.server]) {
      expect(connection.info).toMatchObject({ group: undefined, pskIdentity: psk.identity, resumed: false });
    }
    // One ClientHello, and a ServerHello that MUST NOT have a key_share (§4.2.9).
    expect(hellos).toHaveLength(2);
    expect(hellos[0]).toContain(ExtensionType.key_share);
    expect(hellos[1]).toContain(ExtensionType.pre_shared_key);
    expect(hellos[1]).not.toContain(ExtensionType.key_share);
  });

  test('serves a client without groups, and exports the same keys', () => {
    const hellos: (readonly number[])[] = [];
    const pair = connectPair({ ...NO_GROUP, ...ALONE, psks: [psk] }, { ...ALONE, findPsk }, seen(hellos));
    expectAlive(pair);
    expect(hellos[0]).not.toContain(ExtensionType.key_share);
    expect(hellos[0]).not.toContain(ExtensionType.supported_groups);
    const [one, other] = [pair.client, pair.server].map(({ connection }) =>
      connection.exportKeyingMaterial('EXPORTER-x', new Uint8Array(0), 32),
    );
    expect(one).toEqual(other);
  });

  test('resumes a session, and goes on judging its certificates', () => {
    const both = { server: { ...ALONE, tickets: testTickets, clientCertificate: 'require' as const } };
    const identities = [clientIdentity];
    const first = connectPair({ identities, ...ALONE }, both.server);
    const session = first.client.tickets[0];
    const pair = connectPair({ identities, ...ALONE, ...P256, session }, { ...both.server, ...P384 });
    expectAlive(pair);
    expect(pair.server.connection.info).toMatchObject({ resumed: true, group: undefined });
    expect(pair.server.connection.info?.peer?.chain).toEqual(clientIdentity.chain);
    expect(pair.client.tickets).toHaveLength(1);
    const again = connectPair({ identities, ...ALONE, session }, { ...both.server, verifyPeer });
    expectFound(again, 'server', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'unknown_ca');
  });

  test('gives way to one with a key exchange, even if that costs a HelloRetryRequest', () => {
    const near = connectPair({ ...ALONE, psks: [psk] }, { ...ALONE, findPsk });
    expect(near.server.connection.info?.group).toBe(NamedGroup.x25519);
    const far = connectPair({ ...ALONE, psks: [psk] }, { ...ALONE, ...P384, findPsk });
    expectAlive(far);
    expect(far.server.connection.info).toMatchObject({
      group: NamedGroup.secp384r1,
      pskIdentity: psk.identity,
    });
  });

  test('is offered behind the one with a key exchange, and not unless asked for', () => {
    const modesOf = (client: Partial<ClientConfig>): readonly number[] => {
      let modes: readonly number[] = [];
      connectPair(
        { psks: [psk], ...client },
        { findPsk },
        changingClientHello((hello) => {
          const body = findExtension(hello.extensions, ExtensionType.psk_key_exchange_modes);
          modes = pskKeyExchangeModes.parse(body as Uint8Array);
          return hello;
        }),
      );
      return modes;
    };
    const { psk_dhe_ke, psk_ke } = PskKeyExchangeMode;
    expect(modesOf({})).toEqual([psk_dhe_ke]);
    expect(modesOf(ALONE)).toEqual([psk_dhe_ke, psk_ke]);
    expect(modesOf({ ...ALONE, ...NO_GROUP })).toEqual([psk_ke]);
  });

  test('proves nothing with another key', () => {
    const other = { ...psk, key: new Uint8Array(32).fill(2) };
    const pair = connectPair({ ...ALONE, ...NO_GROUP, psks: [other] }, { ...ALONE, findPsk });
    expectFound(pair, 'server', 'ERR_TLS_BAD_BINDER', 'decrypt_error');
  });

  test('is the key schedule over zeros of the length of the hash (§7.1)', () => {
    const early = new EarlySecret(nodeCrypto, 'sha384', new Uint8Array(48).fill(3));
    const transcript = new Uint8Array(48);
    const alone = early.handshakeSecret(undefined).trafficSecrets(transcript);
    expect(alone).toEqual(early.handshakeSecret(new Uint8Array(48)).trafficSecrets(transcript));
    expect(alone).not.toEqual(early.handshakeSecret(new Uint8Array(32).fill(1)).trafficSecrets(transcript));
  });
});

describe('without the option', () => {
  test('a server shares no group with such a client', () => {
    const pair = connectPair({ ...P256, ...ALONE, psks: [psk] }, { ...P384, findPsk });
    expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_GROUP', 'handshake_failure');
  });

  test('a server misses the key exchange of a client without groups', () => {
    const pair = connectPair({ ...NO_GROUP, ...ALONE, psks: [psk] }, { findPsk });
    expectFound(pair, 'server', 'ERR_TLS_MISSING_EXTENSION', 'missing_extension');
  });

  test('a server with it selects no mode that a client does not list (§4.2.9)', () => {
    const pair = connectPair({ ...P256, psks: [psk] }, { ...P384, ...ALONE, findPsk });
    expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_GROUP', 'handshake_failure');
  });

  test('a server passes over the keys of a client that lists it alone, and shows its certificate', () => {
    const alone = () =>
      changingClientHello((hello) =>
        setExtension(hello, ExtensionType.psk_key_exchange_modes, pskKeyExchangeModes.build([0])),
      );
    // The change was on the way, so what the server signs is not what the client said: with a PSK nothing would be signed.
    const passed = connectPair({ ...ALONE, psks: [psk] }, { findPsk }, alone());
    expectFound(passed, 'client', 'ERR_TLS_BAD_SIGNATURE', 'decrypt_error');
    const taken = connectPair({ ...ALONE, psks: [psk] }, { ...ALONE, findPsk }, alone());
    expectFound(taken, 'server', 'ERR_TLS_BAD_BINDER', 'decrypt_error');
  });
});

describe('a peer that is not honest about it', () => {
  const without = changingServerHello((hello) => setExtension(hello, ExtensionType.key_share, undefined));

  test('leaves key_share out for a client that offers no psk_ke', () => {
    expectFound(
      connectPair({ psks: [psk] }, { findPsk }, without),
      'client',
      'ERR_TLS_MISSING_EXTENSION',
      'missing_extension',
    );
  });

  test('leaves key_share out without selecting a PSK', () => {
    const pair = connectPair({ ...ALONE, psks: [psk] }, {}, without);
    expectFound(pair, 'client', 'ERR_TLS_MISSING_EXTENSION', 'missing_extension');
  });

  test('answers a key_share that was not offered', () => {
    const tamper = changingServerHello((hello) =>
      setExtension(hello, ExtensionType.key_share, Uint8Array.of(0, 29, 0, 1, 9)),
    );
    const pair = connectPair({ ...NO_GROUP, ...ALONE, psks: [psk] }, { ...ALONE, findPsk }, tamper);
    expectFound(pair, 'client', 'ERR_TLS_UNSUPPORTED_EXTENSION', 'unsupported_extension');
  });

  test.each([ExtensionType.key_share, ExtensionType.supported_groups])(
    'offers groups and shares apart (%i missing, §9.2)',
    (type) => {
      const tamper = changingClientHello((hello) => setExtension(hello, type, undefined));
      const pair = connectPair({ ...ALONE, psks: [psk] }, { ...ALONE, findPsk }, tamper);
      expectFound(pair, 'server', 'ERR_TLS_MISSING_EXTENSION', 'missing_extension');
    },
  );

  test('offers nothing but keys that nobody knows', () => {
    const pair = connectPair({ ...NO_GROUP, ...ALONE, psks: [psk] }, { ...ALONE, findPsk: () => undefined });
    expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_PSK', 'handshake_failure');
  });
});
