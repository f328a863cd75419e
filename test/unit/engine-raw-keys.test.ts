import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { CertificateError } from '../../src/errors/errors.ts';
import type { ClientConfig, Identity, ServerConfig } from '../../src/handshake/config.ts';
import { parseResumable, serializeResumable } from '../../src/handshake/resumable-session.ts';
import { buildCertificate, parseCertificate } from '../../src/messages/authentication.ts';
import { parseEncryptedExtensions } from '../../src/messages/hello.ts';
import { CertificateType, ContentType, ExtensionType, HandshakeType } from '../../src/wire/codepoints.ts';
import { concat } from '../../src/wire/writer.ts';
import { VerifiedRawKey, verifyRawKey } from '../../src/x509/raw-key.ts';
import { ONLY_TLS12, testIdentity, testTickets } from '../setup/engine-config.ts';
import {
  changingClientHello,
  changingEncryptedExtensions,
  changingServerHello,
  expectFound,
  setExtension,
  withExtension,
} from '../setup/faults.ts';
import { connectPair } from '../setup/handshakes.ts';
import { type Pair, splitMessages, type Tamper } from '../setup/pair.ts';

/* RFC 7250. In these tests a "certificate" is a bare key too, so what tells them apart is how they were judged. */

const raw = (kind?: 'p256' | 'rsa'): Identity & { spki: Uint8Array } => {
  const { chain, key } = testIdentity(kind);
  return { chain: [], key, spki: Uint8Array.from(chain[0] as Uint8Array) };
};
const serverKey = raw();
const clientKey = raw();
const trusting = (...keys: readonly { spki: Uint8Array }[]) => ({
  verifyRawKey: (spki: Uint8Array) =>
    verifyRawKey(
      nodeCrypto,
      spki,
      keys.map((key) => key.spki),
    ),
});

interface Setup {
  readonly client?: Partial<ClientConfig>;
  readonly server?: Partial<ServerConfig>;
  readonly tamper?: Tamper;
}

const run = (version: object, { client, server, tamper }: Setup): Pair =>
  connectPair(
    { ...version, ...client },
    { ...version, selectIdentities: () => [serverKey], ...server },
    tamper,
  );

describe.each([
  ['TLS 1.3', {}],
  ['TLS 1.2', ONLY_TLS12],
] as const)('raw public keys, %s', (_, version) => {
  test('authenticate the server', () => {
    const pair = run(version, {
      client: { ...trusting(serverKey), acceptedTypes: [CertificateType.raw_public_key] },
    });
    const peer = pair.client.connection.info?.peer;
    expect(peer).toBeInstanceOf(VerifiedRawKey);
    expect(peer?.publicKey.spki).toEqual(serverKey.spki);
    expect(pair.server.connection.info?.peer).toBeUndefined();
  });

  const both = {
    client: { ...trusting(serverKey), identities: [clientKey] },
    server: { ...trusting(clientKey), clientCertificate: 'require', tickets: testTickets },
  } as const;

  test('authenticate both sides, and again when the session is resumed', () => {
    const first = run(version, both);
    const [session] = first.client.sessions;
    expect(session?.peerKey).toEqual(serverKey.spki);
    const kept = parseResumable(serializeResumable(session ?? expect.fail()));
    const resumed = run(version, { ...both, client: { ...both.client, session: kept } });
    for (const { client, server } of [first, resumed]) {
      expect(client.connection.info?.peer).toBeInstanceOf(VerifiedRawKey);
      expect(client.connection.info?.peer?.publicKey.spki).toEqual(serverKey.spki);
      expect(server.connection.info?.peer).toBeInstanceOf(VerifiedRawKey);
      expect(server.connection.info?.peer?.publicKey.spki).toEqual(clientKey.spki);
    }
    expect([first, resumed].map(({ server }) => server.connection.info?.resumed)).toEqual([false, true]);
  });

  test('that the client trusts no more are not resumed', () => {
    const session = run(version, both).client.sessions[0] ?? expect.fail();
    const distrusting = { ...both.client, ...trusting(clientKey), session };
    expectFound(
      run(version, { ...both, client: distrusting }),
      'client',
      'CERT_REJECTED',
      'certificate_unknown',
    );
    const { identities } = both.client;
    const pair = run(version, {
      server: { ...both.server, selectIdentities: () => [testIdentity()] },
      client: { identities, session },
    });
    expect(pair.client.connection.info?.resumed).toBe(false);
  });

  test('that the server trusts no more are not resumed', () => {
    const session = run(version, both).client.sessions[0] ?? expect.fail();
    const pair = run(version, {
      client: { ...both.client, session },
      server: { ...both.server, ...trusting(serverKey) },
    });
    expectFound(pair, 'server', 'CERT_REJECTED', 'certificate_unknown');
    const without = run(version, {
      client: { ...both.client, session },
      server: { clientCertificate: 'request', tickets: testTickets },
    });
    expectFound(without, 'server', 'ERR_TLS_CERTIFICATE_TYPE', 'unsupported_certificate');
  });

  test.each(['client', 'server'] as const)('and certificates can be mixed, raw for the %s', (side) => {
    const certificate = testIdentity();
    const pair = run(version, {
      client: {
        ...(side === 'server' && trusting(serverKey)),
        identities: [side === 'client' ? clientKey : certificate],
      },
      server: {
        ...(side === 'client' && trusting(clientKey)),
        selectIdentities: () => [side === 'server' ? serverKey : certificate],
        clientCertificate: 'require',
      },
    });
    const isRaw = (role: 'client' | 'server') => pair[role].connection.info?.peer instanceof VerifiedRawKey;
    expect([isRaw('server'), isRaw('client')]).toEqual([side === 'client', side === 'server']);
  });

  test('give way to certificates where the other side knows nothing of them', () => {
    const both = { ...testIdentity(), spki: serverKey.spki };
    const pair = run(version, {
      server: { selectIdentities: () => [{ ...both, key: serverKey.key, chain: [serverKey.spki] }] },
    });
    expect(pair.client.connection.info?.peer).not.toBeInstanceOf(VerifiedRawKey);
    const untrusting = run(version, {
      client: trusting(serverKey),
      server: { selectIdentities: () => [testIdentity()] },
    });
    expect(untrusting.client.connected).toBe(true);
  });

  test('that are not trusted are refused', () => {
    const pair = run(version, { client: trusting(clientKey) });
    expectFound(pair, 'client', 'CERT_REJECTED', 'certificate_unknown');
    const server = run(version, {
      client: { ...trusting(serverKey), identities: [clientKey] },
      server: { ...trusting(serverKey), clientCertificate: 'require' },
    });
    expectFound(server, 'server', 'CERT_REJECTED', 'certificate_unknown');
  });

  test('are demanded by the client', () => {
    const pair = run(version, {
      client: { ...trusting(serverKey), acceptedTypes: [CertificateType.raw_public_key] },
      server: { selectIdentities: () => [testIdentity()] },
    });
    expectFound(pair, 'server', 'ERR_TLS_CERTIFICATE_TYPE', 'unsupported_certificate');
  });

  test('are demanded by the server', () => {
    const pair = run(version, {
      client: { ...trusting(serverKey), identities: [testIdentity()] },
      server: {
        ...trusting(clientKey),
        acceptedTypes: [CertificateType.raw_public_key],
        clientCertificate: 'require',
      },
    });
    expectFound(pair, 'server', 'ERR_TLS_CERTIFICATE_TYPE', 'unsupported_certificate');
  });

  test('are all that a server has, and the client knows nothing of them', () => {
    expectFound(run(version, {}), 'server', 'ERR_TLS_CERTIFICATE_TYPE', 'unsupported_certificate');
  });

  test('prove nothing without the private key', () => {
    const thief = { ...testIdentity(), chain: [], spki: serverKey.spki };
    const pair = run(version, {
      client: trusting(serverKey),
      server: { selectIdentities: () => [thief] },
    });
    expectFound(pair, 'client', 'ERR_TLS_BAD_SIGNATURE', 'decrypt_error');
  });
});

describe.each([
  ['TLS 1.3', {}],
  ['TLS 1.2', ONLY_TLS12],
] as const)('hellos about raw public keys, %s', (name, version) => {
  const both = [ExtensionType.client_certificate_type, ExtensionType.server_certificate_type] as const;
  const offering = (type: number, body: readonly number[]) =>
    changingClientHello((hello) => setExtension(hello, type, Uint8Array.from(body)));
  const answering = (type: number, body: readonly number[]) => {
    const changed = Uint8Array.from(body);
    return name === 'TLS 1.3'
      ? changingEncryptedExtensions((list) => withExtension(list, type, changed))
      : changingServerHello((hello) => setExtension(hello, type, changed));
  };
  const client = { ...trusting(serverKey), identities: [clientKey] };

  // RFC 7250 §3: CertificateType types<1..2^8-1>.
  test.each(both)('offer something, and end where they say (%i)', (type) => {
    for (const body of [[], [0], [2, 2], [1, 2, 0]]) {
      expectFound(
        run(version, { client, tamper: offering(type, body) }),
        'server',
        'ERR_TLS_DECODE',
        'decode_error',
      );
    }
  });

  test.each(both)('are answered with one type that was offered (%i)', (type) => {
    const server = { ...trusting(clientKey), clientCertificate: 'require' } as const;
    const found = (body: readonly number[]) =>
      run(version, { client, server, tamper: answering(type, body) });
    // OpenPGP, of RFC 6091, was offered by nobody.
    expectFound(found([1]), 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
    expectFound(found([]), 'client', 'ERR_TLS_DECODE', 'decode_error');
    expectFound(found([2, 2]), 'client', 'ERR_TLS_DECODE', 'decode_error');
  });

  test.each(both)('are not answered unasked (%i)', (type) => {
    const server = { selectIdentities: () => [testIdentity()] };
    const pair = run(version, { server, tamper: answering(type, [2]) });
    expectFound(pair, 'client', 'ERR_TLS_UNSUPPORTED_EXTENSION', 'unsupported_extension');
  });
});

describe.each([
  ['TLS 1.3', {}],
  ['TLS 1.2', ONLY_TLS12],
] as const)('what was not agreed on, %s', (_, version) => {
  const { client_certificate_type, server_certificate_type } = ExtensionType;

  test.each([client_certificate_type, server_certificate_type])(
    'a list of X.509 alone, which is to be left out (%i): illegal_parameter',
    (type) => {
      const tamper = changingClientHello((hello) => setExtension(hello, type, Uint8Array.of(1, 0)));
      const pair = run(version, { server: { selectIdentities: () => [testIdentity()] }, tamper });
      expectFound(pair, 'server', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
    },
  );

  test('a key that cannot be read: decode_error', () => {
    const broken = { ...serverKey, spki: serverKey.spki.subarray(0, -1) };
    const pair = run(version, { client: trusting(serverKey), server: { selectIdentities: () => [broken] } });
    expectFound(pair, 'client', 'ERR_TLS_DECODE', 'decode_error');
  });

  test('a certificate that cannot be read: decode_error where both types are taken, else bad_certificate', () => {
    const verifyPeer = () => {
      throw new CertificateError('CERT_MALFORMED', 'no certificate');
    };
    const server = { selectIdentities: () => [testIdentity()] };
    const both = run(version, { client: { ...trusting(serverKey), verifyPeer }, server });
    expectFound(both, 'client', 'ERR_TLS_DECODE', 'decode_error');
    const one = run(version, { client: { verifyPeer }, server });
    expectFound(one, 'client', 'CERT_MALFORMED', 'bad_certificate');
  });

  test('a client may say that it can show a key that it does not have yet', () => {
    const pair = run(version, {
      client: { ...trusting(serverKey), availableTypes: [CertificateType.raw_public_key] },
      server: { ...trusting(clientKey), clientCertificate: 'request' },
    });
    expect(pair.client.error).toBeUndefined();
    expect(pair.server.connection.info?.peer).toBeUndefined();
  });
});

describe('a hostile server', () => {
  const changing =
    (type: number, change: (body: Uint8Array) => Uint8Array): Tamper =>
    ({ from, type: content, content: bytes }) => {
      if (from !== 'server' || content !== ContentType.handshake) return undefined;
      const messages = splitMessages(bytes);
      if (!messages.some((message) => message.type === type)) return undefined;
      const changed = messages.map(({ type: own, raw: whole, body }) =>
        own === type ? change(body) : whole,
      );
      return [{ type: ContentType.handshake, content: concat(changed) }];
    };

  test('with two keys is refused', () => {
    const tamper = changing(HandshakeType.certificate, (body) => {
      const { context, entries } = parseCertificate(body);
      return buildCertificate({ context, entries: [...entries, ...entries] });
    });
    const pair = run({}, { client: trusting(serverKey), tamper });
    expectFound(pair, 'client', 'ERR_TLS_DECODE', 'decode_error');
  });

  test('with a type that was not offered is refused', () => {
    const tamper = changing(HandshakeType.encrypted_extensions, (body) => {
      const extensions = parseEncryptedExtensions(body);
      const found = extensions.find(({ type }) => type === ExtensionType.server_certificate_type);
      (found?.body as Uint8Array)[0] = 1;
      return concat([
        Uint8Array.of(HandshakeType.encrypted_extensions, 0, body.length >> 8, body.length),
        body,
      ]);
    });
    const pair = run({}, { client: trusting(serverKey), tamper });
    expectFound(pair, 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });
});

describe('verifyRawKey', () => {
  const code = (spki: Uint8Array, ...trusted: Uint8Array[]) => {
    try {
      verifyRawKey(nodeCrypto, spki, trusted);
      return undefined;
    } catch (error) {
      return (error as { code?: string }).code;
    }
  };

  test('takes what was given beforehand and nothing else', () => {
    const { spki } = serverKey;
    expect(code(spki, clientKey.spki, spki)).toBeUndefined();
    expect(code(spki)).toBe('CERT_REJECTED');
    expect(code(spki, clientKey.spki)).toBe('CERT_REJECTED');
    expect(code(spki.subarray(0, -1), spki)).toBe('CERT_MALFORMED');
    expect(code(concat([spki, Uint8Array.of(0)]), spki)).toBe('CERT_MALFORMED');
    expect(code(new Uint8Array(5000), spki)).toBe('CERT_MALFORMED');
  });

  test('is the only maker of its proof', () => {
    const { publicKey } = verifyRawKey(nodeCrypto, serverKey.spki, [serverKey.spki]);
    expect(() => new VerifiedRawKey(Symbol('proven') as never, publicKey)).toThrow(TypeError);
  });
});
