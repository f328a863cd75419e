import { describe, expect, test } from 'vitest';
import type { ClientConfig } from '../../../src/handshake/config.ts';
import { protocolNameList, selectedVersion } from '../../../src/messages/extensions.ts';
import { handshakeMessage } from '../../../src/messages/handshake.ts';
import type { ServerHello } from '../../../src/messages/hello.ts';
import {
  buildCertificateChain,
  buildCertificateRequest12,
  parseCertificateRequest12,
} from '../../../src/messages/tls12.ts';
import {
  CipherSuite,
  ContentType,
  ExtensionType,
  HandshakeType,
  NamedGroup,
  SignatureScheme,
} from '../../../src/wire/codepoints.ts';
import { concat } from '../../../src/wire/writer.ts';
import { clientConfig, clientIdentity, testIdentity, testTickets } from '../../setup/engine-config.ts';
import {
  changing,
  changingBody,
  changingServerHello,
  DECODE,
  expectAlive,
  expectFound,
  FAILURE,
  type Fault,
  ILLEGAL,
  NOTHING,
  setExtension,
  UNEXPECTED,
  UNSUPPORTED,
  VERSION,
  withBody,
} from '../../setup/faults.ts';
import { flipBit, type Tamper } from '../../setup/pair.ts';
import { connect12, EVERY_IDENTITY, TLS12 } from './kit.ts';

/* What our client finds in a server's TLS 1.2 handshake: the code here, and the alert that the server receives. */

const hello = (change: Partial<ServerHello>) => changingServerHello((whole) => ({ ...whole, ...change }));
const extension = (type: number, body: Uint8Array | undefined) =>
  changingServerHello((whole) => setExtension(whole, type, body));
const message = (type: number, change: (body: Uint8Array) => Uint8Array) =>
  changingBody('server', type, change);
const ALPN = ExtensionType.application_layer_protocol_negotiation;

describe('ServerHello', () => {
  const faults: Fault[] = [
    ['of TLS 1.1', hello({ legacyVersion: 0x0302 }), ...VERSION],
    ['of TLS 1.3 in the old field', hello({ legacyVersion: 0x0304 }), ...VERSION],
    [
      'with supported_versions, which was not offered',
      extension(ExtensionType.supported_versions, selectedVersion.build(0x0303)),
      ...UNSUPPORTED,
    ],
    ['with a suite that was not offered', hello({ cipherSuite: 0xc012 }), ...ILLEGAL],
    ['with a suite of TLS 1.3', hello({ cipherSuite: CipherSuite.TLS_AES_128_GCM_SHA256 }), ...ILLEGAL],
    ['with a compression method', hello({ legacyCompressionMethod: 1 }), ...ILLEGAL],
    ['with an extension that was not offered', extension(0x1234, NOTHING), ...UNSUPPORTED],
    [
      'with an extension twice',
      changingServerHello((h) => ({ ...h, extensions: [...h.extensions, ...h.extensions] })),
      ...DECODE,
    ],
    ['with a protocol that was not offered', extension(ALPN, protocolNameList.build(['imap'])), ...ILLEGAL],
    ['with two protocols', extension(ALPN, protocolNameList.build(['h2', 'h2'])), ...DECODE],
    ['without renegotiation_info', extension(ExtensionType.renegotiation_info, undefined), ...FAILURE],
    [
      'with renegotiation_info that is not empty',
      extension(ExtensionType.renegotiation_info, Uint8Array.of(1, 9)),
      ...FAILURE,
    ],
    [
      'without extended_master_secret',
      extension(ExtensionType.extended_master_secret, undefined),
      ...FAILURE,
    ],
    [
      'with a body in extended_master_secret',
      extension(ExtensionType.extended_master_secret, Uint8Array.of(0)),
      ...DECODE,
    ],
    ['with a body in session_ticket', extension(ExtensionType.session_ticket, Uint8Array.of(0)), ...DECODE],
    ['with a body in server_name', extension(ExtensionType.server_name, Uint8Array.of(0)), ...DECODE],
    [
      'without uncompressed points',
      extension(ExtensionType.ec_point_formats, Uint8Array.of(1, 1)),
      ...ILLEGAL,
    ],
    ['with no point format', extension(ExtensionType.ec_point_formats, Uint8Array.of(0)), ...DECODE],
    [
      'with signature_algorithms, out of place',
      extension(ExtensionType.signature_algorithms, Uint8Array.of(0, 2, 4, 3)),
      ...ILLEGAL,
    ],
    ['cut short', message(HandshakeType.server_hello, (body) => body.subarray(0, 30)), ...DECODE],
    [
      'that comes twice',
      changing('server', HandshakeType.server_hello, ({ raw }) => [raw, raw]),
      ...UNEXPECTED,
    ],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    const pair = connect12({ alpnProtocols: ['h2'] }, { selectProtocol: () => 'h2' }, { tamper });
    expectFound(pair, 'client', code, alert);
  });

  test('may carry supported_groups, as some servers send it', () => {
    // Finished fails for what the network changed: everything before it was taken.
    const tamper = extension(ExtensionType.supported_groups, Uint8Array.of(0, 2, 0, 23));
    expect(connect12({}, {}, { tamper }).client.error?.code).toMatch(/BAD_RECORD_MAC|BAD_FINISHED/);
  });

  test('that echoes a session id which stands for no session', () => {
    const tamper = hello({ legacySessionIdEcho: new Uint8Array(32).fill(1) });
    const crypto = { ...clientConfig().crypto, randomBytes: (n: number) => new Uint8Array(n).fill(1) };
    const pair = connect12(clientConfig({ crypto, tls12: TLS12 }), {}, { tamper });
    expectFound(pair, 'client', ...ILLEGAL);
  });
});

describe('a downgrade', () => {
  const both: Partial<ClientConfig> = clientConfig({ tls12: TLS12 });
  const tail = (...last: number[]) =>
    changingServerHello((whole) => ({
      ...whole,
      random: Uint8Array.of(
        ...whole.random.subarray(0, 24),
        0x44,
        0x4f,
        0x57,
        0x4e,
        0x47,
        0x52,
        0x44,
        ...last,
      ),
    }));

  test.each([0, 1])('is found by the mark in ServerHello.random that ends in %i', (last) => {
    expectFound(connect12(both, {}, { tamper: tail(last) }), 'client', ...ILLEGAL);
  });

  test('is not seen in another end', () => {
    expect(connect12(both, {}, { tamper: tail(2) }).client.error?.code).not.toBe('ERR_TLS_ILLEGAL_PARAMETER');
  });

  test('is no affair of a client that speaks TLS 1.2 alone', () => {
    const pair = connect12({}, clientConfigOfServer());
    expectAlive(pair);
  });

  test('to TLS 1.2 is found when someone takes TLS 1.3 out of ClientHello', () => {
    const tamper = changing('client', HandshakeType.client_hello, ({ type, body }) => [
      // supported_versions under another number: the server does not see it.
      withBody(type, replaced(body, Uint8Array.of(0, 43, 0, 5, 4), Uint8Array.of(0xee, 43, 0, 5, 4))),
    ]);
    expectFound(connect12(both, clientConfigOfServer(), { tamper }), 'client', ...ILLEGAL);
  });
});

describe('Certificate', () => {
  const { certificate } = HandshakeType;
  const faults: Fault[] = [
    ['that is empty', changing('server', certificate, () => [buildCertificateChain([])]), ...DECODE],
    ['with an empty certificate', message(certificate, () => Uint8Array.of(0, 0, 3, 0, 0, 0)), ...DECODE],
    ['with a byte after it', message(certificate, (body) => concat([body, Uint8Array.of(0)])), ...DECODE],
    [
      'of another kind than the suite is for',
      changing('server', certificate, () => [buildCertificateChain(EVERY_IDENTITY.rsa.chain)]),
      ...ILLEGAL,
    ],
    ['that is missing', changing('server', certificate, () => []), ...UNEXPECTED],
    ['that comes twice', changing('server', certificate, ({ raw }) => [raw, raw]), ...UNEXPECTED],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    expectFound(connect12({}, {}, { tamper }), 'client', code, alert);
  });

  test('of someone else does not fit the signature', () => {
    const other = testIdentity('p256');
    const tamper = changing('server', certificate, () => [buildCertificateChain(other.chain)]);
    expectFound(connect12({}, {}, { tamper }), 'client', 'ERR_TLS_BAD_SIGNATURE', 'decrypt_error');
  });
});

describe('ServerKeyExchange', () => {
  const type = HandshakeType.server_key_exchange;
  /** The scheme comes after curve type, group and an X25519 point. */
  const SCHEME_AT = 4 + 32;
  const scheme = (id: number) =>
    message(type, (body) => concat([body.subarray(0, SCHEME_AT), u16(id), body.subarray(SCHEME_AT + 2)]));
  const faults: Fault[] = [
    [
      'with an explicit curve',
      message(type, (body) => concat([Uint8Array.of(1), body.subarray(1)])),
      ...ILLEGAL,
    ],
    [
      'with a group that was not offered',
      message(type, (body) => concat([Uint8Array.of(3, 0, 30), body.subarray(3)])),
      ...ILLEGAL,
    ],
    [
      'with a group of TLS 1.3 alone',
      message(type, (body) => concat([Uint8Array.of(3), u16(NamedGroup.x25519mlkem768), body.subarray(3)])),
      ...ILLEGAL,
    ],
    [
      'with another point than was signed',
      message(type, (body) => flipBit(body, 10)),
      'ERR_TLS_BAD_SIGNATURE',
      'decrypt_error',
    ],
    [
      'with a wrong signature',
      message(type, (body) => flipBit(body)),
      'ERR_TLS_BAD_SIGNATURE',
      'decrypt_error',
    ],
    ['with a scheme that was not offered', scheme(0x0203), ...ILLEGAL],
    ['with a scheme for another key', scheme(SignatureScheme.rsa_pkcs1_sha256), ...ILLEGAL],
    ['with an empty point', message(type, () => Uint8Array.of(3, 0, 29, 0, 4, 3, 0, 0)), ...DECODE],
    ['cut short', message(type, (body) => body.subarray(0, -1)), ...DECODE],
    ['with a byte after it', message(type, (body) => concat([body, Uint8Array.of(0)])), ...DECODE],
    ['that is missing', changing('server', type, () => []), ...UNEXPECTED],
    ['that comes twice', changing('server', type, ({ raw }) => [raw, raw]), ...UNEXPECTED],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    const groups = [NamedGroup.x25519, NamedGroup.secp256r1, NamedGroup.x25519mlkem768];
    expectFound(connect12({ groups }, {}, { tamper }), 'client', code, alert);
  });

  test('signed for other randoms', () => {
    const tamper = changingServerHello((whole) => ({ ...whole, random: flipBit(whole.random) }));
    expectFound(connect12({}, {}, { tamper }), 'client', 'ERR_TLS_BAD_SIGNATURE', 'decrypt_error');
  });
});

describe('CertificateRequest', () => {
  const type = HandshakeType.certificate_request;
  const request = (change: Partial<ReturnType<typeof parseCertificateRequest12>>) =>
    changing('server', type, ({ body }) => [
      buildCertificateRequest12({ ...parseCertificateRequest12(body, true), ...change }),
    ]);
  const faults: Fault[] = [
    ['with no type', request({ types: [] }), ...DECODE],
    ['with no scheme', request({ schemes: [] }), ...DECODE],
    ['with an empty name', request({ authorities: [NOTHING] }), ...DECODE],
    ['with a byte after it', message(type, (body) => concat([body, Uint8Array.of(0)])), ...DECODE],
    ['that comes twice', changing('server', type, ({ raw }) => [raw, raw]), ...UNEXPECTED],
  ];
  const server = { clientCertificate: 'request' } as const;
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    expectFound(connect12({}, server, { tamper }), 'client', code, alert);
  });

  test.each([
    ['of another type', request({ types: [1] })],
    ['with other schemes', request({ schemes: [SignatureScheme.rsa_pss_rsae_sha256] })],
  ])('%s is answered with no certificate', (_what, tamper) => {
    const pair = connect12({ identities: [clientIdentity] }, server, { tamper });
    // The network changed the transcript; that the client did answer is seen in what the server makes of it.
    expect(pair.server.error?.code).toBe('ERR_TLS_BAD_RECORD_MAC');
  });
});

describe('the end of the handshake', () => {
  const { server_hello_done, finished } = HandshakeType;
  const ccs = (content: Uint8Array | undefined): Tamper => {
    return ({ from, type }) =>
      from === 'server' && type === ContentType.change_cipher_spec
        ? content === undefined
          ? []
          : [{ raw: concat([Uint8Array.of(20, 3, 3, 0, content.length), content]) }]
        : undefined;
  };
  const faults: Fault[] = [
    ['ServerHelloDone with a body', message(server_hello_done, () => Uint8Array.of(0)), ...DECODE],
    ['ServerHelloDone twice', changing('server', server_hello_done, ({ raw }) => [raw, raw]), ...UNEXPECTED],
    [
      'no ServerHelloDone',
      changing('server', server_hello_done, ({ type }) => [withBody(type + 6, NOTHING)]),
      ...UNEXPECTED,
    ],
    ['a wrong Finished', message(finished, (body) => flipBit(body)), 'ERR_TLS_BAD_FINISHED', 'decrypt_error'],
    ['a short Finished', message(finished, (body) => body.subarray(1)), ...DECODE],
    ['a long Finished', message(finished, (body) => concat([body, Uint8Array.of(0)])), ...DECODE],
    [
      'no Finished',
      changing('server', finished, () => [handshakeMessage(HandshakeType.hello_request, () => {})]),
      ...UNEXPECTED,
    ],
    ['a ChangeCipherSpec of two', ccs(Uint8Array.of(1, 1)), ...UNEXPECTED],
    ['a ChangeCipherSpec that is not 1', ccs(Uint8Array.of(2)), ...UNEXPECTED],
    ['an empty ChangeCipherSpec', ccs(NOTHING), ...UNEXPECTED],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    const pair = connect12({}, {}, { tamper });
    expect(pair.client.error?.code).toBe(code);
    // The server may have finished its part, and hears of it all the same.
    expect(pair.server.error?.code).toBe(`ERR_TLS_ALERT_${alert.toUpperCase()}`);
  });

  test('Finished without ChangeCipherSpec', () => {
    const pair = connect12({}, {}, { tamper: ccs(undefined) });
    expect(pair.client.error?.code).toBe('ERR_TLS_UNEXPECTED_MESSAGE');
  });

  const before = (type: number): Tamper => {
    let done = false;
    return ({ from, content, type: contentType }) => {
      if (done || from !== 'server' || contentType !== ContentType.handshake || content[0] !== type)
        return undefined;
      done = true;
      return [{ raw: Uint8Array.of(20, 3, 3, 0, 1, 1) }, { type: contentType, content }];
    };
  };
  test('ChangeCipherSpec before ServerHello', () => {
    const pair = connect12({}, {}, { tamper: before(HandshakeType.server_hello) });
    expectFound(pair, 'client', ...UNEXPECTED);
  });

  test('ChangeCipherSpec inside a handshake message', () => {
    const tamper: Tamper = ({ from, type, content, nth }) =>
      from === 'server' && nth === 0
        ? [
            { type, content: content.subarray(0, 50) },
            { raw: Uint8Array.of(20, 3, 3, 0, 1, 1) },
            { type, content: content.subarray(50) },
          ]
        : undefined;
    expectFound(connect12({}, {}, { tamper }), 'client', ...UNEXPECTED);
  });

  test('a message in the record before ChangeCipherSpec, begun and not ended', () => {
    const tamper: Tamper = ({ from, type, content }) =>
      from === 'server' && type === ContentType.change_cipher_spec
        ? [
            { type: ContentType.handshake, content: Uint8Array.of(20, 0, 0, 12, 1) },
            { type, content },
          ]
        : undefined;
    const pair = connect12({}, {}, { tamper });
    expect(pair.client.error?.code).toBe('ERR_TLS_UNEXPECTED_MESSAGE');
  });
});

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}

/** A server that speaks both versions. */
function clientConfigOfServer() {
  const { suites } = clientConfig();
  return { suites, tls12: TLS12 };
}

function replaced(bytes: Uint8Array, from: Uint8Array, to: Uint8Array): Uint8Array {
  const at = Buffer.from(bytes).indexOf(from);
  if (at === -1) throw new Error('there is nothing to replace');
  return concat([bytes.subarray(0, at), to, bytes.subarray(at + from.length)]);
}

describe('a server without renegotiation_info', () => {
  const without = changingServerHello((hello) =>
    setExtension(hello, ExtensionType.renegotiation_info, undefined),
  );

  test('is taken by who says so; the change on its way is found at the end', () => {
    const tls12 = { ...TLS12, requireSecureRenegotiation: false };
    const pair = connect12({ tls12 }, {}, { tamper: without });
    expect(pair.client.error?.code).not.toBe('ERR_TLS_HANDSHAKE_FAILURE');
    expect(pair.server.error?.code).toBe('ERR_TLS_BAD_RECORD_MAC');
  });
});

describe('a client that takes no tickets', () => {
  test('does not offer to, nor the one that it has', () => {
    const tickets = { tickets: testTickets };
    const none = connect12({ takesTickets: false }, tickets);
    expectAlive(none);
    expect(none.client.sessions).toEqual([]);
    const [session] = connect12({}, tickets).client.sessions;
    const again = connect12({ session, takesTickets: false }, tickets);
    expectAlive(again);
    expect(again.client.connection.info?.resumed).toBe(false);
  });
});
