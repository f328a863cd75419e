import crypto from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { type Suite, suiteById } from '../../src/crypto/suites.ts';
import { CertificateError } from '../../src/errors/errors.ts';
import {
  type ExternalPsk,
  type ImportablePsk,
  importPsk,
  parseImportedIdentity,
} from '../../src/handshake/psk.ts';
import { parseSession, serializeSession } from '../../src/handshake/session.ts';
import { offeredPsks, selectedIdentity } from '../../src/messages/extensions.ts';
import {
  CipherSuite,
  ExtensionType,
  HandshakeType,
  NamedGroup,
  ProtocolVersion,
  SignatureScheme,
} from '../../src/wire/codepoints.ts';
import { clientIdentity, serverIdentity, testTickets } from '../setup/engine-config.ts';
import {
  changingClientHello,
  changingEncryptedExtensions,
  changingServerHello,
  expectAlive,
  expectFound,
  expectUnharmed,
  setExtension,
} from '../setup/faults.ts';
import { connectPair } from '../setup/handshakes.ts';
import { flipBit, splitMessages, type Tamper } from '../setup/pair.ts';

/* Keys that both sides were given beforehand: RFC 8446 §4.2.11, imported ones RFC 9258. */

const ascii = (text: string) => new Uint8Array(Buffer.from(text));
const key = (fill: number) => new Uint8Array(32).fill(fill);
const external = (name: string, fill = 1, hash: ExternalPsk['hash'] = 'sha256'): ExternalPsk => ({
  identity: ascii(name),
  key: key(fill),
  hash,
  binder: 'external',
});
const among =
  (...psks: readonly ExternalPsk[]) =>
  (identity: Uint8Array) =>
    psks.find((psk) => Buffer.from(psk.identity).equals(identity));

const SHA256 = [suiteById(CipherSuite.TLS_AES_128_GCM_SHA256) as Suite];
const SHA384 = [suiteById(CipherSuite.TLS_AES_256_GCM_SHA384) as Suite];
const noCertificate = { selectIdentities: () => [] };
/** Finds fault with every certificate: a session that stands rests on the key. */
const verifyPeer = () => {
  throw new CertificateError('DEPTH_ZERO_SELF_SIGNED_CERT', 'no certificate is good here');
};

describe('an external PSK', () => {
  test('authenticates both sides without a certificate', () => {
    const psks = [external('device 7')];
    const pair = connectPair(
      { psks, verifyPeer },
      { findPsk: among(...psks), ...noCertificate, clientCertificate: 'require' },
    );
    expectAlive(pair);
    for (const { connection } of [pair.client, pair.server]) {
      expect(connection.info).toMatchObject({
        resumed: false,
        peer: undefined,
        pskIdentity: ascii('device 7'),
      });
    }
    const exported = (side: 'client' | 'server') =>
      Buffer.from(pair[side].connection.exportKeyingMaterial('EXPORTER-x', new Uint8Array(0), 32)).toString(
        'hex',
      );
    expect(exported('client')).toBe(exported('server'));
  });

  test.each([
    ['sha256', SHA256],
    ['sha384', SHA384],
  ] as const)('of %s selects a suite with its hash', (hash, [suite]) => {
    const psks = [external('device', 1, hash)];
    const pair = connectPair({ psks }, { findPsk: among(...psks) });
    expectAlive(pair);
    expect(pair.client.connection.info?.suite).toBe(suite);
  });

  test('is the first of several that the server knows', () => {
    const psks = [external('a'), external('b', 2, 'sha384'), external('c', 3)];
    const pair = connectPair({ psks }, { findPsk: among(external('c', 3), external('b', 2, 'sha384')) });
    expectAlive(pair);
    expect(pair.server.connection.info?.pskIdentity).toEqual(ascii('b'));
  });

  test('is of several the one that comes first at the server, where its keys have an order', () => {
    const psks = [external('a'), external('b', 2)];
    const known = [
      { ...external('a'), preference: 1 },
      { ...external('b', 2), preference: 0 },
    ];
    const pair = connectPair({ psks }, { findPsk: among(...known) });
    expectAlive(pair);
    expect(pair.server.connection.info?.pskIdentity).toEqual(ascii('b'));
  });

  test('gives way to a certificate that the client takes, where the server prefers that', () => {
    const psks = [external('a')];
    const server = { findPsk: among(...psks), preferCertificate: true };
    const shown = connectPair({ psks }, server);
    expectAlive(shown);
    expect(shown.client.connection.info).toMatchObject({ pskIdentity: undefined, peer: expect.anything() });
    const none = connectPair({ psks, schemes: [SignatureScheme.ed25519] }, server);
    expectAlive(none);
    expect(none.client.connection.info?.pskIdentity).toEqual(ascii('a'));
  });

  test('survives a HelloRetryRequest when its hash is that of the suite', () => {
    const psks = [external('a', 1, 'sha384'), external('b', 2)];
    const retry = { keyShares: [NamedGroup.secp256r1] };
    const pair = connectPair(
      { psks, ...retry },
      { findPsk: among(external('b', 2)), groups: [NamedGroup.x25519] },
    );
    expectAlive(pair);
    expect(pair.client.connection.info?.pskIdentity).toEqual(ascii('b'));
    expect(pair.sent.client.filter(([type]) => type === 22)).toHaveLength(2);
  });

  test('is not offered for suites with another hash', () => {
    const pair = connectPair(
      { psks: [external('a', 1, 'sha384')], suites: SHA256 },
      { findPsk: () => expect.fail() },
    );
    expectAlive(pair);
    expect(pair.client.connection.info?.pskIdentity).toBeUndefined();
  });

  test('that the server does not know leads to a certificate', () => {
    const pair = connectPair({ psks: [external('a')] }, { findPsk: () => undefined });
    expectAlive(pair);
    expect(pair.client.connection.info).toMatchObject({ pskIdentity: undefined, peer: expect.anything() });
  });

  test('goes with a ticket, which comes first', () => {
    const psks = [external('a')];
    const tickets = { tickets: testTickets };
    const first = connectPair({}, tickets);
    const session = first.client.tickets[0];
    const pair = connectPair({ session, psks }, { ...tickets, findPsk: among(...psks) });
    expectAlive(pair);
    expect(pair.server.connection.info).toMatchObject({ resumed: true, pskIdentity: undefined });
    const other = connectPair({ session, psks }, { findPsk: among(...psks) });
    expect(other.server.connection.info).toMatchObject({ resumed: false, pskIdentity: ascii('a') });
  });

  describe('brings a ticket, which is as good as the key', () => {
    const psks = [external('a')];
    const server = { findPsk: among(...psks), tickets: testTickets, ...noCertificate };
    const sessionOf = () => {
      const [ticket] = connectPair({ psks }, server).client.tickets;
      return parseSession(serializeSession(ticket ?? expect.fail('no ticket')));
    };

    test('and says by which key the session began', () => {
      const pair = connectPair({ psks, session: sessionOf(), verifyPeer }, server);
      expectUnharmed(pair);
      for (const side of [pair.client, pair.server])
        expect(side.connection.info).toMatchObject({
          resumed: true,
          pskIdentity: ascii('a'),
          peer: undefined,
        });
    });

    test('again and again', () => {
      const [session] = connectPair({ psks, session: sessionOf() }, server).client.tickets;
      expect(connectPair({ psks, session }, server).server.connection.info).toMatchObject({
        resumed: true,
        pskIdentity: ascii('a'),
      });
    });

    test('unless the client has been given another key since', () => {
      const pair = connectPair({ psks: [external('b')], session: sessionOf() }, server);
      expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_PSK', 'handshake_failure');
      expect(pair.client.error).toBeDefined();
    });

    test('unless the server no longer knows the key', () => {
      const pair = connectPair({ psks, session: sessionOf() }, { ...server, findPsk: () => undefined });
      expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_PSK', 'handshake_failure');
    });

    test('and is for no one without that key', () => {
      const pair = connectPair(
        { session: sessionOf() },
        { ...server, selectIdentities: () => [serverIdentity] },
      );
      expectAlive(pair);
      expect(pair.client.connection.info).toMatchObject({ resumed: false, pskIdentity: undefined });
    });
  });

  test('makes the server ask for no certificate', () => {
    const psks = [external('a')];
    const pair = connectPair(
      { psks, identities: [clientIdentity] },
      { findPsk: among(...psks), clientCertificate: 'require', selectIdentities: () => [serverIdentity] },
    );
    expectAlive(pair);
    expect(pair.server.connection.info?.peer).toBeUndefined();
  });
});

describe('faults', () => {
  const psks = [external('a')];

  test('another key under the same identity: decrypt_error', () => {
    const pair = connectPair({ psks: [external('a', 2)] }, { findPsk: among(...psks) });
    expectFound(pair, 'server', 'ERR_TLS_BAD_BINDER', 'decrypt_error');
  });

  test('the binder of an imported key for an external one, and the other way round: decrypt_error', () => {
    const imported: ExternalPsk = { ...external('a'), binder: 'imported' };
    expectFound(
      connectPair({ psks: [imported] }, { findPsk: among(...psks) }),
      'server',
      'ERR_TLS_BAD_BINDER',
      'decrypt_error',
    );
    expectFound(
      connectPair({ psks }, { findPsk: among(imported) }),
      'server',
      'ERR_TLS_BAD_BINDER',
      'decrypt_error',
    );
  });

  test.each([
    ['an unknown identity', psks],
    ['none', []],
  ])('%s where there is no certificate: handshake_failure', (_what, offered) => {
    const pair = connectPair({ psks: offered }, { findPsk: () => undefined, ...noCertificate });
    expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_PSK', 'handshake_failure');
  });

  const retried = {
    client: { psks, keyShares: [NamedGroup.secp256r1] },
    server: { findPsk: among(...psks), groups: [NamedGroup.x25519] },
  };

  test('a second ClientHello without any key, where one was chosen: missing_extension', () => {
    const change = changingClientHello(
      (hello) => ({
        ...hello,
        extensions: hello.extensions.filter(({ type }) => type !== ExtensionType.pre_shared_key),
      }),
      1,
    );
    const pair = connectPair(retried.client, retried.server, change);
    expectFound(pair, 'server', 'ERR_TLS_MISSING_EXTENSION', 'missing_extension');
  });

  test('a second ClientHello without the key that was chosen: illegal_parameter', () => {
    const change = changingClientHello((hello) => {
      const { identities, binders } = offeredPsks.parse(hello.extensions.at(-1)?.body as Uint8Array);
      const others = identities.map((one) => ({ ...one, identity: flipBit(one.identity) }));
      const body = offeredPsks.build({ identities: others, binders });
      return setExtension(hello, ExtensionType.pre_shared_key, body);
    }, 1);
    const pair = connectPair(retried.client, retried.server, change);
    expectFound(pair, 'server', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('a server that selects no key, where the client takes nothing else: missing_extension', () => {
    const pair = connectPair({ psks, requirePsk: true }, {});
    expectFound(pair, 'client', 'ERR_TLS_MISSING_EXTENSION', 'missing_extension');
    expectAlive(connectPair({ psks, requirePsk: true }, { findPsk: among(...psks) }));
  });

  test('a bit of the binder, or of the hello under it: decrypt_error', () => {
    for (const change of [
      changingClientHello((hello) => {
        const body = hello.extensions.at(-1)?.body as Uint8Array;
        return setExtension(hello, ExtensionType.pre_shared_key, flipBit(body));
      }),
      changingClientHello((hello) => ({ ...hello, random: flipBit(hello.random) })),
    ]) {
      const pair = connectPair({ psks }, { findPsk: among(...psks) }, change);
      expectFound(pair, 'server', 'ERR_TLS_BAD_BINDER', 'decrypt_error');
    }
  });

  test.each([
    ['that is out of range', 1, 'sha256'],
    ['with another hash than the suite', 0, 'sha384'],
  ] as const)('the server selects one %s: illegal_parameter', (_what, index, hash) => {
    const tamper = changingServerHello((hello) =>
      setExtension(hello, ExtensionType.pre_shared_key, selectedIdentity.build(index)),
    );
    const pair = connectPair({ psks: [external('a', 1, hash)] }, { suites: SHA256 }, tamper);
    expectFound(pair, 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('the server selects one when none was offered: unsupported_extension', () => {
    const tamper = changingServerHello((hello) =>
      setExtension(hello, ExtensionType.pre_shared_key, selectedIdentity.build(0)),
    );
    expectFound(
      connectPair({}, {}, tamper),
      'client',
      'ERR_TLS_UNSUPPORTED_EXTENSION',
      'unsupported_extension',
    );
  });

  test('the server selects the key and shows a certificate all the same: unexpected_message', () => {
    const tamper = changingServerHello((hello) =>
      setExtension(hello, ExtensionType.pre_shared_key, selectedIdentity.build(0)),
    );
    const pair = connectPair({ psks }, { findPsk: () => undefined, suites: SHA256 }, tamper);
    expectFound(pair, 'client', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });

  test('a certificate in a session by PSK: unexpected_message', () => {
    const tamper: Tamper = ({ from, epoch, type, content }) => {
      if (from !== 'server' || epoch !== 'handshake' || type !== 22) return undefined;
      const [extensions, ...rest] = splitMessages(content).map(({ raw }) => raw);
      const certificate = Uint8Array.of(HandshakeType.certificate, 0, 0, 4, 0, 0, 0, 0);
      return [{ type, content: Buffer.concat([extensions as Uint8Array, certificate, ...rest]) }];
    };
    const pair = connectPair({ psks }, { findPsk: among(...psks) }, tamper);
    expectFound(pair, 'client', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });

  test('binders fewer than identities: illegal_parameter', () => {
    const tamper = changingClientHello((hello) => {
      const { identities, binders } = offeredPsks.parse(hello.extensions.at(-1)?.body as Uint8Array);
      const body = offeredPsks.build({ identities: [...identities, ...identities], binders });
      return setExtension(hello, ExtensionType.pre_shared_key, body);
    });
    const pair = connectPair({ psks }, { findPsk: among(...psks) }, tamper);
    expectFound(pair, 'server', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('EncryptedExtensions are judged as ever', () => {
    const tamper = changingEncryptedExtensions((list) => [
      ...list,
      { type: ExtensionType.key_share, body: key(0) },
    ]);
    const pair = connectPair({ psks }, { findPsk: among(...psks) }, tamper);
    expectFound(pair, 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });
});

describe('an imported PSK', () => {
  const psk: ImportablePsk = {
    identity: ascii('mill'),
    key: key(9),
    context: ascii('a to b'),
    hash: 'sha256',
  };

  test.each([
    ['sha256', '0001'],
    ['sha384', '0002'],
  ] as const)('for %s is RFC 9258 §5.1, computed another way', (target, kdf) => {
    const identity = Buffer.concat([
      ...[Buffer.of(0, 4), Buffer.from('mill'), Buffer.of(0, 6), Buffer.from('a to b')],
      Buffer.from(`0304${kdf}`, 'hex'),
    ]);
    const length = target === 'sha256' ? 32 : 48;
    const label = Buffer.from('tls13 derived psk');
    const context = crypto.createHash('sha256').update(identity).digest();
    const info = Buffer.concat([Buffer.of(0, length, label.length), label, Buffer.of(32), context]);
    // HKDF-Extract with a salt of zeros and HKDF-Expand in one: what hkdfSync does.
    const expected = Buffer.from(crypto.hkdfSync('sha256', psk.key, Buffer.alloc(32), info, length));
    const made = importPsk(nodeCrypto, psk, target);
    expect(Buffer.from(made.identity)).toEqual(identity);
    expect(Buffer.from(made.key)).toEqual(expected);
    expect(made).toMatchObject({ hash: target, binder: 'imported' });
    expect(parseImportedIdentity(made.identity)).toEqual({
      identity: psk.identity,
      context: psk.context,
      target,
    });
  });

  test('for DTLS 1.3 has its target_protocol and its labels, and is no key of TLS', () => {
    const made = importPsk(nodeCrypto, psk, 'sha256', ProtocolVersion.dtls13);
    const identity = Buffer.from('00046d696c6c0006' + '6120746f2062' + 'fefc0001', 'hex');
    expect(Buffer.from(made.identity)).toEqual(identity);
    const label = Buffer.from('dtls13derived psk');
    const context = crypto.createHash('sha256').update(identity).digest();
    const info = Buffer.concat([Buffer.of(0, 32, label.length), label, Buffer.of(32), context]);
    const expected = Buffer.from(crypto.hkdfSync('sha256', psk.key, Buffer.alloc(32), info, 32));
    expect(Buffer.from(made.key)).toEqual(expected);
    expect(parseImportedIdentity(made.identity)).toBeUndefined();
    expect(parseImportedIdentity(made.identity, ProtocolVersion.dtls13)?.target).toBe('sha256');
  });

  test('agrees with either hash, whichever suite there is', () => {
    const psks = [importPsk(nodeCrypto, psk, 'sha256'), importPsk(nodeCrypto, psk, 'sha384')];
    for (const suites of [SHA256, SHA384]) {
      const pair = connectPair({ psks }, { suites, findPsk: among(...psks), ...noCertificate });
      expectAlive(pair);
    }
  });

  test.each([
    ['empty', Uint8Array.of()],
    ['an empty external identity', Uint8Array.of(0, 0, 0, 0, 3, 4, 0, 1)],
    ['short', Uint8Array.of(0, 1, 7, 0, 0, 3, 4, 0)],
    ['long', Uint8Array.of(0, 1, 7, 0, 0, 3, 4, 0, 1, 0)],
    ['another protocol', Uint8Array.of(0, 1, 7, 0, 0, 3, 3, 0, 1)],
    ['another KDF', Uint8Array.of(0, 1, 7, 0, 0, 3, 4, 0, 3)],
  ])('an identity that is %s is none', (_what, bytes) => {
    expect(parseImportedIdentity(bytes)).toBeUndefined();
  });
});
