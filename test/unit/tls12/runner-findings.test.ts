import { describe, expect, test } from 'vitest';
import type { SigningKey } from '../../../src/crypto/provider.ts';
import type { ClientConfig, Identity, ServerConfig } from '../../../src/handshake/config.ts';
import { supportedGroups } from '../../../src/messages/extensions.ts';
import { parseClientHello } from '../../../src/messages/hello.ts';
import { MAX_EMPTY_RECORDS } from '../../../src/record/tls/record-layer.ts';
import {
  ContentType,
  ExtensionType,
  HandshakeType,
  NamedGroup,
  SignatureScheme,
} from '../../../src/wire/codepoints.ts';
import {
  clientConfig,
  ONLY_TLS12,
  serverConfig,
  testIdentity,
  testTickets,
} from '../../setup/engine-config.ts';
import { changing, expectAlive, expectFound, expectUnharmed, NOTHING } from '../../setup/faults.ts';
import { connectPair } from '../../setup/handshakes.ts';
import { Pair, peerOf, type Tamper } from '../../setup/pair.ts';

/* What BoringSSL's runner found in the TLS 1.2 engine (docs/conformance.md), each with its smallest form here. */

const p256 = testIdentity('p256');
const p384 = testIdentity('p384');

/** The same key, as an object whose members can be replaced. */
function keyOf({ key }: Identity): SigningKey {
  const { schemes, schemes12 } = key;
  return { schemes, schemes12, sign: (scheme, data) => key.sign(scheme, data) };
}

const connect = (
  client: Partial<ClientConfig> = {},
  server: Partial<ServerConfig> = {},
  tamper?: Tamper | undefined,
) =>
  connectPair(
    { ...ONLY_TLS12, ...client },
    { ...ONLY_TLS12, selectIdentities: () => [p256], ...server },
    tamper,
  );

describe('nothing may follow in the record of a message that ends a flight', () => {
  test.each([
    ['client', 'ClientHello', HandshakeType.client_hello],
    ['server', 'ServerHelloDone', HandshakeType.server_hello_done],
  ] as const)('of the %s: %s', (from, _name, type) => {
    const tamper = changing(from, type, ({ raw }) => [raw, Uint8Array.of(HandshakeType.finished)]);
    expectFound(connect({}, {}, tamper), peerOf[from], 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });
});

describe('a client that restricts itself to some groups (RFC 8422 §4)', () => {
  test('gets a certificate in one of them', () => {
    const pair = connect(
      { groups: [NamedGroup.secp384r1, NamedGroup.x25519] },
      { selectIdentities: () => [p256, p384] },
    );
    expectAlive(pair);
    expect(pair.client.connection.info?.peer?.publicKey).toMatchObject({ curve: 'P-384' });
  });

  test('and none in another', () => {
    const pair = connect({ groups: [NamedGroup.x25519] });
    expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_SIGNATURE_SCHEME', 'handshake_failure');
  });

  test('refuses a server that shows one in another all the same', () => {
    // The key says that it is on P-256.
    const lying = { ...p384, key: { ...keyOf(p384), schemes: [SignatureScheme.ecdsa_secp256r1_sha256] } };
    const groups = [NamedGroup.secp256r1, NamedGroup.x25519];
    const pair = connect({ groups }, { selectIdentities: () => [lying] });
    expectFound(pair, 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
    expectAlive(connect({ groups: [...groups, NamedGroup.secp384r1] }, { selectIdentities: () => [lying] }));
  });

  test('does not name a group that only TLS 1.3 can use', () => {
    const offered = (client: Partial<ClientConfig>): readonly number[] => {
      const pair = connect({ groups: [NamedGroup.x25519mlkem768, NamedGroup.x25519], ...client });
      const [record] = pair.sent.client;
      const hello = parseClientHello((record ?? NOTHING).subarray(9));
      const body = hello.extensions.find(({ type }) => type === ExtensionType.supported_groups)?.body;
      return supportedGroups.parse(body ?? NOTHING);
    };
    expect(offered({})).toEqual([NamedGroup.x25519]);
    expect(offered({ suites: clientConfig().suites })).toContain(NamedGroup.x25519mlkem768);
  });
});

describe('a scheme of ECDSA is a hash in TLS 1.2, whatever the curve (RFC 8446 §4.2.3)', () => {
  const schemes = [SignatureScheme.ecdsa_secp256r1_sha256];

  test('for the key of a server', () => {
    const pair = connect({ schemes }, { selectIdentities: () => [p384] });
    expectAlive(pair);
    expect(pair.client.connection.info?.peer?.publicKey).toMatchObject({ curve: 'P-384' });
  });

  test('for the key of a client', () => {
    const pair = connect({ identities: [p384] }, { schemes, clientCertificate: 'require' });
    expectAlive(pair);
    expect(pair.server.connection.info?.peer?.publicKey).toMatchObject({ curve: 'P-384' });
  });

  test('but a key that has the scheme itself comes first', () => {
    const pair = connect({ schemes }, { selectIdentities: () => [p384, p256] });
    expectAlive(pair);
    expect(pair.client.connection.info?.peer?.publicKey).toMatchObject({ curve: 'P-256' });
  });

  test('for keys that say so: of others nothing is asked that they do not name', () => {
    const strict = { ...p384, key: { ...keyOf(p384), schemes12: undefined } };
    const pair = connect({ schemes }, { selectIdentities: () => [strict] });
    expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_SIGNATURE_SCHEME', 'handshake_failure');
  });

  test('and in TLS 1.3 it is the curve as well', () => {
    const pair = new Pair({
      client: clientConfig({ schemes }),
      server: serverConfig({ selectIdentities: () => [p384] }),
    }).run();
    expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_SIGNATURE_SCHEME', 'handshake_failure');
  });
});

describe('empty records', () => {
  const warning = { type: ContentType.alert, content: Uint8Array.of(1, 100) };
  const empty = { type: ContentType.application_data, content: NOTHING };

  test('with a warning among them are counted on', () => {
    const half = Array.from({ length: MAX_EMPTY_RECORDS / 2 }, () => empty);
    const pair = connect({ groups: [NamedGroup.secp256r1] });
    pair.inject('client', ...half, warning, ...half);
    expectUnharmed(pair);
    pair.inject('client', empty).run();
    expectFound(pair, 'server', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });

  test('with data among them are not', () => {
    const most = Array.from({ length: MAX_EMPTY_RECORDS }, () => empty);
    const pair = connect({ groups: [NamedGroup.secp256r1] });
    pair.inject('client', ...most, { ...empty, content: Uint8Array.of(1) }, ...most).run();
    expectUnharmed(pair);
  });
});

describe('a client without certificate', () => {
  const server = (clientCertificate: ServerConfig['clientCertificate']) => ({
    clientCertificate,
    tickets: testTickets,
  });
  const session = () =>
    connect({}, { tickets: testTickets }).client.events.flatMap((event) =>
      event.type === 'ticket' ? [event.session] : [],
    )[0];

  test('resumes where one is only requested', () => {
    const pair = connect({ session: session() }, server('request'));
    expectAlive(pair);
    expect(pair.server.connection.info).toMatchObject({ resumed: true, peer: undefined });
  });

  test('does not where one is required', () => {
    const pair = connect({ session: session() }, server('require'));
    expectFound(pair, 'server', 'ERR_TLS_NO_CLIENT_CERTIFICATE', 'handshake_failure');
  });
});

describe('a client of several certificates', () => {
  const authority = Uint8Array.of(0x30, 0x02, 0x31, 0x00);
  const named = { ...testIdentity(), issuers: [authority] };
  const shown = (certificateAuthorities: readonly Uint8Array[]) => {
    const client = { identities: [p256, named] };
    return connect(client, { clientCertificate: 'require', certificateAuthorities }).client.connection
      .identities[0];
  };

  test('shows the one under an authority that the server names (RFC 5246 §7.4.4)', () => {
    expect(shown([authority])).toBe(named);
  });

  test('shows the first where none is', () => {
    expect(shown([])).toBe(p256);
    expect(shown([Uint8Array.of(0x30, 0x00)])).toBe(p256);
  });
});
