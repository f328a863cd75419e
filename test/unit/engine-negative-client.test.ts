import { describe, expect, test } from 'vitest';
import type { AlertName } from '../../src/errors/alerts.ts';
import { CertificateError, type TlsErrorCode } from '../../src/errors/errors.ts';
import { MAX_TICKET_LIFETIME } from '../../src/handshake/session.ts';
import {
  buildCertificate,
  buildCertificateRequest,
  parseCertificateRequest,
} from '../../src/messages/authentication.ts';
import {
  cookie,
  keyShareServerHello,
  protocolNameList,
  selectedGroup,
  selectedIdentity,
} from '../../src/messages/extensions.ts';
import { MAX_HANDSHAKE_MESSAGE } from '../../src/messages/handshake.ts';
import type { ServerHello } from '../../src/messages/hello.ts';
import {
  buildNewSessionTicket,
  type NewSessionTicket,
  parseNewSessionTicket,
} from '../../src/messages/post-handshake.ts';
import {
  CipherSuite,
  ContentType,
  ExtensionType,
  HandshakeType,
  NamedGroup,
  SignatureScheme,
} from '../../src/wire/codepoints.ts';
import { concat } from '../../src/wire/writer.ts';
import { clientConfig, clientIdentity, serverConfig, testTickets } from '../setup/engine-config.ts';
import {
  changing,
  changingBody,
  changingEncryptedExtensions,
  changingServerHello,
  DECODE,
  expectAlive,
  expectFound,
  expectUnharmed,
  type Fault,
  FINISHED,
  ILLEGAL,
  MISSING,
  NOTHING,
  SIGNATURE,
  setExtension,
  UNEXPECTED,
  UNSUPPORTED,
  VERSION,
  withBody,
  withExtension,
} from '../setup/faults.ts';
import { runTampered } from '../setup/handshakes.ts';
import { flipBit, Pair, type Tamper } from '../setup/pair.ts';
import {
  authenticationFaults,
  changingCertificate,
  changingCertificateVerify,
} from './engine-authentication-faults.ts';

/* What our client finds in a server's handshake: the code here, and the alert that the server receives. */

const { x25519, secp256r1, secp384r1 } = NamedGroup;

/** Another message of this type from the server in place of its own. */
const replaced = (type: number, by: number, body = NOTHING) =>
  changing('server', type, () => [withBody(by, body)]);
const leftOut = (type: number) => changing('server', type, () => []);

describe('ServerHello', () => {
  const hello = (change: Partial<ServerHello>) => changingServerHello((whole) => ({ ...whole, ...change }));
  const extension = (type: number, body: Uint8Array | undefined) =>
    changingServerHello((whole) => setExtension(whole, type, body));
  const share = (group: number, keyExchange: Uint8Array) =>
    extension(ExtensionType.key_share, keyShareServerHello.build({ group, keyExchange }));

  const faults: Fault[] = [
    [
      'without supported_versions: TLS 1.2',
      extension(ExtensionType.supported_versions, undefined),
      ...VERSION,
    ],
    ['without extensions', hello({ extensions: [] }), ...VERSION],
    [
      'with TLS 1.2 in supported_versions',
      extension(ExtensionType.supported_versions, Uint8Array.of(3, 3)),
      ...ILLEGAL,
    ],
    ['with TLS 1.4', extension(ExtensionType.supported_versions, Uint8Array.of(3, 5)), ...ILLEGAL],
    [
      'with a list of versions',
      extension(ExtensionType.supported_versions, Uint8Array.of(2, 3, 4)),
      ...DECODE,
    ],
    ['with another legacy_version', hello({ legacyVersion: 0x0304 }), ...ILLEGAL],
    [
      'with another session id',
      changingServerHello((h) => ({ ...h, legacySessionIdEcho: flipBit(h.legacySessionIdEcho) })),
      ...ILLEGAL,
    ],
    ['without the session id', hello({ legacySessionIdEcho: NOTHING }), ...ILLEGAL],
    ['with a compression method', hello({ legacyCompressionMethod: 1 }), ...ILLEGAL],
    ['with a suite that was not offered', hello({ cipherSuite: 0x13ff }), ...ILLEGAL],
    ['with a GREASE suite', hello({ cipherSuite: 0x0a0a }), ...ILLEGAL],
    ['without key_share', extension(ExtensionType.key_share, undefined), ...MISSING],
    [
      'with a share for a group without an offered one',
      share(secp256r1, new Uint8Array(65).fill(4)),
      ...ILLEGAL,
    ],
    ['with a share for an unknown group', share(0x0a0a, new Uint8Array(32)), ...ILLEGAL],
    ['with a short share', share(x25519, new Uint8Array(31).fill(9)), ...ILLEGAL],
    ['with a share of small order', share(x25519, new Uint8Array(32)), ...ILLEGAL],
    ['with an empty share', extension(ExtensionType.key_share, Uint8Array.of(0, 0x1d, 0, 0)), ...DECODE],
    ['with an unknown extension', extension(0x1234, NOTHING), ...UNSUPPORTED],
    ['with a GREASE extension', extension(0x2a2a, NOTHING), ...UNSUPPORTED],
    ['with an extension of EncryptedExtensions', extension(ExtensionType.server_name, NOTHING), ...ILLEGAL],
    ['with a cookie', extension(ExtensionType.cookie, cookie.build(Uint8Array.of(1))), ...UNSUPPORTED],
    [
      'with a PSK that was not offered',
      extension(ExtensionType.pre_shared_key, selectedIdentity.build(0)),
      ...UNSUPPORTED,
    ],
    [
      'with an extension twice',
      changingServerHello((h) => ({ ...h, extensions: [...h.extensions, ...h.extensions] })),
      ...DECODE,
    ],
    [
      'with a byte too many',
      changingBody('server', HandshakeType.server_hello, (body) => concat([body, Uint8Array.of(0)])),
      ...DECODE,
    ],
    [
      'cut short',
      changingBody('server', HandshakeType.server_hello, (body) => body.subarray(0, -1)),
      ...DECODE,
    ],
    ['empty', changingBody('server', HandshakeType.server_hello, () => NOTHING), ...DECODE],
    [
      'with another message after it in clear',
      changing('server', HandshakeType.server_hello, ({ raw }) => [
        raw,
        withBody(HandshakeType.encrypted_extensions, Uint8Array.of(0, 0)),
      ]),
      ...UNEXPECTED,
    ],
    [
      'with part of another message after it in clear',
      changing('server', HandshakeType.server_hello, ({ raw }) => [raw, Uint8Array.of(8)]),
      ...UNEXPECTED,
    ],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    expectFound(runTampered(tamper), 'client', code, alert);
  });

  test.each(Object.entries(HandshakeType).filter(([name]) => name !== 'server_hello'))(
    'in its place %s',
    (_name, type) => {
      const tamper = changing('server', HandshakeType.server_hello, ({ body }) => [withBody(type, body)]);
      expectFound(runTampered(tamper), 'client', ...UNEXPECTED);
    },
  );

  test('changed in its random alone, which no check sees: the keys differ', () => {
    const tamper = changingServerHello((h) => ({ ...h, random: flipBit(h.random) }));
    expectFound(runTampered(tamper), 'client', ...SIGNATURE);
  });
});

describe('HelloRetryRequest (RFC 8446 §4.1.4)', () => {
  const retried = (tamper: Tamper | undefined) =>
    runTampered(tamper, { groups: [x25519, secp256r1], keyShares: [x25519] }, { groups: [secp256r1] });
  const retry = (change: (hello: ServerHello) => ServerHello) => changingServerHello(change, true);
  const asking = (group: number) =>
    retry((h) => setExtension(h, ExtensionType.key_share, selectedGroup.build(group)));

  const faults: Fault[] = [
    ['for a group that has a share already', asking(x25519), ...ILLEGAL],
    ['for a group that is not supported', asking(secp384r1), ...ILLEGAL],
    ['for an unknown group', asking(0x3a3a), ...ILLEGAL],
    ['that changes nothing', retry((h) => setExtension(h, ExtensionType.key_share, undefined)), ...ILLEGAL],
    [
      'with an empty cookie',
      retry((h) => setExtension(h, ExtensionType.cookie, Uint8Array.of(0, 0))),
      ...DECODE,
    ],
    ['with an unknown extension', retry((h) => setExtension(h, 0x1234, NOTHING)), ...UNSUPPORTED],
    [
      'with an extension of ServerHello',
      retry((h) => setExtension(h, ExtensionType.server_name, NOTHING)),
      ...ILLEGAL,
    ],
    [
      'with a key share instead of a group',
      retry((h) =>
        setExtension(
          h,
          ExtensionType.key_share,
          keyShareServerHello.build({ group: secp256r1, keyExchange: NOTHING }),
        ),
      ),
      ...DECODE,
    ],
    [
      'without supported_versions',
      retry((h) => setExtension(h, ExtensionType.supported_versions, undefined)),
      ...VERSION,
    ],
    ['with a suite that was not offered', retry((h) => ({ ...h, cipherSuite: 0x13ff })), ...ILLEGAL],
    ['with another session id', retry((h) => ({ ...h, legacySessionIdEcho: NOTHING })), ...ILLEGAL],
    ['twice', changing('server', HandshakeType.server_hello, ({ raw }) => [raw, raw], 0), ...UNEXPECTED],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    expectFound(retried(tamper), 'client', code, alert);
  });

  test('and then a ServerHello with another suite', () => {
    const tamper = changingServerHello((h) => ({ ...h, cipherSuite: CipherSuite.TLS_AES_256_GCM_SHA384 }));
    expectFound(retried(tamper), 'client', ...ILLEGAL);
  });

  test('and then a ServerHello with another group', () => {
    const tamper = changingServerHello((h) =>
      setExtension(
        h,
        ExtensionType.key_share,
        keyShareServerHello.build({ group: x25519, keyExchange: new Uint8Array(32).fill(9) }),
      ),
    );
    expectFound(retried(tamper), 'client', ...ILLEGAL);
  });

  test('a cookie is sent back as it came, however long, and may be all that is asked for', () => {
    const value = new Uint8Array(5000).fill(3);
    const tamper = retry((h) => setExtension(h, ExtensionType.cookie, cookie.build(value)));
    const pair = retried(tamper);
    const [, second] = pair.sent.client.filter(([type]) => type === ContentType.handshake);
    expect(Buffer.from(second ?? NOTHING).includes(Buffer.from(value))).toBe(true);
  });

  test('unchanged, it is followed', () => {
    expectAlive(retried(undefined));
  });
});

describe('EncryptedExtensions', () => {
  const alpn = ExtensionType.application_layer_protocol_negotiation;
  const set = (type: number, body: Uint8Array) =>
    changingEncryptedExtensions((list) => withExtension(list, type, body));

  const faults: Fault[] = [
    ['with an unknown extension', set(0x1234, NOTHING), ...UNSUPPORTED],
    ['with a GREASE extension', set(0xdada, NOTHING), ...UNSUPPORTED],
    ['with data_multiplexing that was not offered', set(0xff4d, NOTHING), ...UNSUPPORTED],
    ['with early_data that was not offered', set(ExtensionType.early_data, NOTHING), ...UNSUPPORTED],
    [
      'with record_size_limit that was not offered',
      set(ExtensionType.record_size_limit, Uint8Array.of(0x40, 1)),
      ...UNSUPPORTED,
    ],
    ['with ALPN that was not offered', set(alpn, protocolNameList.build(['h2'])), ...UNSUPPORTED],
    ['with an extension of ServerHello', set(ExtensionType.key_share, NOTHING), ...ILLEGAL],
    ['with an extension of ClientHello', set(ExtensionType.signature_algorithms, NOTHING), ...ILLEGAL],
    ['with a server_name that has a body', set(ExtensionType.server_name, Uint8Array.of(0)), ...DECODE],
    ['with an extension twice', changingEncryptedExtensions((list) => [...list, ...list]), ...DECODE],
    [
      'with a byte too many',
      changingBody('server', HandshakeType.encrypted_extensions, (body) => concat([body, Uint8Array.of(0)])),
      ...DECODE,
    ],
    [
      'cut short',
      changingBody('server', HandshakeType.encrypted_extensions, (body) => body.subarray(0, -1)),
      ...DECODE,
    ],
    ['empty', changingBody('server', HandshakeType.encrypted_extensions, () => NOTHING), ...DECODE],
    ['left out', leftOut(HandshakeType.encrypted_extensions), ...UNEXPECTED],
    ['twice', changing('server', HandshakeType.encrypted_extensions, ({ raw }) => [raw, raw]), ...UNEXPECTED],
    [
      'after a change: found by the signature',
      changingEncryptedExtensions((list) => withExtension(list, ExtensionType.server_name, undefined)),
      ...SIGNATURE,
    ],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    expectFound(runTampered(tamper), 'client', code, alert);
  });

  const offered = { alpnProtocols: ['h2', 'http/1.1'] };
  const protocols: Fault[] = [
    ['that was not offered', set(alpn, protocolNameList.build(['h3'])), ...ILLEGAL],
    ['among two', set(alpn, protocolNameList.build(['h2', 'http/1.1'])), ...DECODE],
    ['among none', set(alpn, Uint8Array.of(0, 0)), ...DECODE],
    ['with an empty name', set(alpn, Uint8Array.of(0, 1, 0)), ...DECODE],
  ];
  test.each(protocols)('with a protocol %s', (_what, tamper, code, alert) => {
    expectFound(runTampered(tamper, offered, { selectProtocol: () => 'h2' }), 'client', code, alert);
  });
});

describe("the server's authentication", () => {
  const certificate = (change: Parameters<typeof changingCertificate>[1]) =>
    changingCertificate('server', change);
  const withCertificateExtension = (type: number) =>
    certificate((m) => ({
      ...m,
      entries: m.entries.map((e) => ({ ...e, extensions: [{ type, body: NOTHING }] })),
    }));

  const faults: Fault[] = [
    ['Certificate empty', certificate((m) => ({ ...m, entries: [] })), ...DECODE],
    ['Certificate with a context', certificate((m) => ({ ...m, context: Uint8Array.of(1) })), ...ILLEGAL],
    [
      'Certificate with a status that was not asked for',
      withCertificateExtension(ExtensionType.status_request),
      ...UNSUPPORTED,
    ],
    ['Certificate with an unknown extension', withCertificateExtension(0x1234), ...UNSUPPORTED],
    [
      'Certificate with an extension of ClientHello',
      withCertificateExtension(ExtensionType.key_share),
      ...ILLEGAL,
    ],
    ...authenticationFaults('server'),
    [
      'Certificate and CertificateVerify left out',
      both(leftOut(HandshakeType.certificate), leftOut(HandshakeType.certificate_verify)),
      ...UNEXPECTED,
    ],
    [
      'KeyUpdate instead of Finished',
      replaced(HandshakeType.finished, HandshakeType.key_update, Uint8Array.of(0)),
      ...UNEXPECTED,
    ],
    [
      'a ticket before Finished',
      replaced(HandshakeType.finished, HandshakeType.new_session_ticket, new Uint8Array(20)),
      ...UNEXPECTED,
    ],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    const pair = runTampered(tamper);
    expectFound(pair, 'client', code, alert);
    expect(pair.client.connected || pair.server.connected).toBe(false);
  });

  test('a scheme that this client did not offer, though it could verify it', () => {
    const schemes = [SignatureScheme.ecdsa_secp256r1_sha256];
    const scheme = SignatureScheme.ecdsa_secp384r1_sha384;
    const tamper = changingCertificateVerify('server', (m) => ({ ...m, scheme }));
    expectFound(runTampered(tamper, { schemes }), 'client', ...ILLEGAL);
  });

  test('the server signs wrongly', () => {
    const pair = new Pair({
      client: clientConfig(),
      server: serverConfig(),
      sign: (wanted) => flipBit(wanted.key.sign(wanted.scheme, wanted.input) as Uint8Array),
    }).run();
    expectFound(pair, 'client', ...SIGNATURE);
  });

  test('the key cannot sign: internal_error', () => {
    const pair = new Pair({ client: clientConfig(), server: serverConfig(), sign: () => undefined }).run();
    pair.server.connection.abandon(new Error('the card was pulled out'));
    expectFound(pair.run(), 'server', 'ERR_TLS_INTERNAL', 'internal_error');
  });

  test.each([
    ['CERT_HAS_EXPIRED', 'certificate_expired'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'bad_certificate'],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'unknown_ca'],
    ['UNHANDLED_CRITICAL_EXTENSION', 'unsupported_certificate'],
  ] as const)('a certificate that is judged %s', (code, alert) => {
    const verifyPeer = (): never => {
      throw new CertificateError(code, 'test');
    };
    expectFound(runTampered(undefined, { verifyPeer }), 'client', code, alert);
  });

  test('a judge that fails: internal_error', () => {
    const verifyPeer = (): never => {
      throw new RangeError('bug');
    };
    expectFound(runTampered(undefined, { verifyPeer }), 'client', 'ERR_TLS_INTERNAL', 'internal_error');
  });
});

describe('CertificateRequest', () => {
  const asked = (tamper: Tamper | undefined) =>
    runTampered(tamper, { identities: [clientIdentity] }, { clientCertificate: 'request' });
  const request = (
    change: (m: ReturnType<typeof parseCertificateRequest>) => ReturnType<typeof parseCertificateRequest>,
  ) =>
    changing('server', HandshakeType.certificate_request, ({ body }) => [
      buildCertificateRequest(change(parseCertificateRequest(body))),
    ]);

  const faults: Fault[] = [
    ['with a context', request((m) => ({ ...m, context: Uint8Array.of(1) })), ...ILLEGAL],
    [
      'without signature_algorithms',
      request((m) => setExtension(m, ExtensionType.signature_algorithms, undefined)),
      ...MISSING,
    ],
    [
      'with an empty signature_algorithms',
      request((m) => setExtension(m, ExtensionType.signature_algorithms, Uint8Array.of(0, 0))),
      ...DECODE,
    ],
    [
      'with an extension of ServerHello',
      request((m) => setExtension(m, ExtensionType.key_share, NOTHING)),
      ...ILLEGAL,
    ],
    [
      'with a byte too many',
      changingBody('server', HandshakeType.certificate_request, (body) => concat([body, Uint8Array.of(0)])),
      ...DECODE,
    ],
    ['twice', changing('server', HandshakeType.certificate_request, ({ raw }) => [raw, raw]), ...UNEXPECTED],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    expectFound(asked(tamper), 'client', code, alert);
  });

  test('with unknown and GREASE extensions is taken (§4.3.2), and its change is found by the signature', () => {
    const tamper = request((m) => setExtension(setExtension(m, 0x4a4a, NOTHING), 0x1234, NOTHING));
    expectFound(asked(tamper), 'client', ...SIGNATURE);
  });

  test('in a resumed session is refused', () => {
    const tickets = testTickets;
    const session = runTampered(undefined, {}, { tickets }).client.tickets[0];
    const message = buildCertificateRequest({ context: NOTHING, extensions: [] });
    const tamper = changing('server', HandshakeType.finished, ({ raw }) => [message, raw]);
    expectFound(runTampered(tamper, { session }, { tickets }), 'client', ...UNEXPECTED);
  });

  test('for schemes that we have no key for is answered with an empty list', () => {
    const pair = runTampered(
      undefined,
      { identities: [clientIdentity] },
      { clientCertificate: 'request', schemes: [SignatureScheme.ed25519] },
    );
    expectUnharmed(pair);
    expect(pair.server.connection.info?.peer).toBeUndefined();
  });
});

describe('a resumption', () => {
  const tickets = testTickets;
  const session = () => runTampered(undefined, {}, { tickets }).client.tickets[0];
  const resumed = (tamper: Tamper) => runTampered(tamper, { session: session() }, { tickets });

  const faults: Fault[] = [
    [
      'of the second of one ticket',
      changingServerHello((h) => setExtension(h, ExtensionType.pre_shared_key, selectedIdentity.build(1))),
      ...ILLEGAL,
    ],
    [
      'with another hash',
      changingServerHello((h) => ({ ...h, cipherSuite: CipherSuite.TLS_AES_256_GCM_SHA384 })),
      ...ILLEGAL,
    ],
    [
      'without key exchange',
      changingServerHello((h) => setExtension(h, ExtensionType.key_share, undefined)),
      ...MISSING,
    ],
    [
      'with a long index',
      changingServerHello((h) => setExtension(h, ExtensionType.pre_shared_key, Uint8Array.of(0, 0, 0))),
      ...DECODE,
    ],
    [
      'with a certificate',
      changing('server', HandshakeType.finished, ({ raw }) => [
        buildCertificate({ context: NOTHING, entries: [] }),
        raw,
      ]),
      ...UNEXPECTED,
    ],
    [
      'with a wrong Finished',
      changingBody('server', HandshakeType.finished, (body) => flipBit(body)),
      ...FINISHED,
    ],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    expectFound(resumed(tamper), 'client', code, alert);
  });
});

describe('after the handshake', () => {
  const ticket = (change: Partial<NewSessionTicket>): Uint8Array =>
    buildNewSessionTicket({
      lifetime: 60,
      ageAdd: 1,
      nonce: Uint8Array.of(0),
      ticket: Uint8Array.of(1, 2),
      extensions: [],
      ...change,
    });
  const inject = (message: Uint8Array) =>
    runTampered(undefined).inject('server', { type: ContentType.handshake, content: message });

  const faults: [string, Uint8Array, TlsErrorCode, AlertName][] = [
    ['a HelloRequest of TLS 1.2', withBody(0, NOTHING), ...UNEXPECTED],
    [
      'a CertificateRequest that was not agreed on',
      buildCertificateRequest({ context: Uint8Array.of(1), extensions: [] }),
      ...UNEXPECTED,
    ],
    ['a second ServerHello', withBody(HandshakeType.server_hello, new Uint8Array(40)), ...UNEXPECTED],
    ['a second Finished', withBody(HandshakeType.finished, new Uint8Array(32)), ...UNEXPECTED],
    ['an unknown message', withBody(240, NOTHING), ...UNEXPECTED],
    ['a KeyUpdate that asks for 255', withBody(HandshakeType.key_update, Uint8Array.of(255)), ...ILLEGAL],
    ['an empty ticket', ticket({ ticket: NOTHING }), ...DECODE],
    [
      'a ticket with an extension twice',
      ticket({
        extensions: [
          { type: 0x1234, body: NOTHING },
          { type: 0x1234, body: NOTHING },
        ],
      }),
      ...DECODE,
    ],
    [
      'a ticket with a short early_data',
      ticket({ extensions: [{ type: ExtensionType.early_data, body: Uint8Array.of(0) }] }),
      ...DECODE,
    ],
    ['a ticket cut short', withBody(HandshakeType.new_session_ticket, ticket({}).subarray(4, -1)), ...DECODE],
    [
      'a ticket with a byte too many',
      withBody(HandshakeType.new_session_ticket, concat([ticket({}).subarray(4), Uint8Array.of(0)])),
      ...DECODE,
    ],
    [
      'a huge message, at its header',
      Uint8Array.of(HandshakeType.new_session_ticket, 0xff, 0xff, 0xff),
      ...DECODE,
    ],
    [
      'a message of one byte too many, at its header',
      Uint8Array.of(
        HandshakeType.new_session_ticket,
        (MAX_HANDSHAKE_MESSAGE + 1) >> 16,
        (MAX_HANDSHAKE_MESSAGE + 1) >> 8,
        (MAX_HANDSHAKE_MESSAGE + 1) & 0xff,
      ),
      ...DECODE,
    ],
  ];
  test.each(faults)('%s', (_what, message, code, alert) => {
    expectFound(inject(message), 'client', code, alert);
  });

  test.each<[string, Uint8Array, number[]]>([
    ['a ticket', ticket({}), [60]],
    [
      'a ticket with unknown and GREASE extensions',
      ticket({
        extensions: [
          { type: 0x5a5a, body: NOTHING },
          { type: 0x1234, body: Uint8Array.of(1) },
        ],
      }),
      [60],
    ],
    [
      'a ticket for early data',
      ticket({ extensions: [{ type: ExtensionType.early_data, body: Uint8Array.of(0, 0, 4, 0) }] }),
      [60],
    ],
    ['a ticket for longer than seven days', ticket({ lifetime: 0xffff_ffff }), [MAX_TICKET_LIFETIME]],
    ['a ticket for no time', ticket({ lifetime: 0 }), []],
    ['a ticket with the longest nonce', ticket({ nonce: new Uint8Array(255) }), [60]],
    ['a ticket of 60,000 bytes', ticket({ ticket: new Uint8Array(60_000) }), [60]],
  ])('%s is taken', (_what, message, lifetimes) => {
    const pair = runTampered(undefined);
    for (let at = 0; at < message.length; at += 16_000) {
      pair.inject('server', { type: ContentType.handshake, content: message.subarray(at, at + 16_000) });
    }
    expectUnharmed(pair);
    expect(pair.client.tickets.map(({ lifetime }) => lifetime)).toEqual(lifetimes);
  });

  test('the same ticket parsed is the ticket', () => {
    expect(parseNewSessionTicket(ticket({ ageAdd: 0xffff_ffff }).subarray(4)).ageAdd).toBe(0xffff_ffff);
  });
});

/** Both changes to the same record. */
function both(first: Tamper, second: Tamper): Tamper {
  return (record) => {
    const [cargo] = first(record) ?? [];
    if (cargo === undefined || 'raw' in cargo) return second(record);
    return second({ ...record, ...cargo }) ?? [cargo];
  };
}
