import { describe, expect, test } from 'vitest';
import type { AlertName } from '../../src/errors/alerts.ts';
import { CertificateError, TlsError, type TlsErrorCode } from '../../src/errors/errors.ts';
import type { ClientConfig, ServerConfig } from '../../src/handshake/config.ts';
import { MAX_PSKS_TRIED } from '../../src/handshake/tls13/server-psk.ts';
import { buildCertificate } from '../../src/messages/authentication.ts';
import {
  type Extension,
  keyShareClientHello,
  offeredPsks,
  protocolNameList,
  pskKeyExchangeModes,
  serverNameList,
  signatureAlgorithms,
  supportedGroups,
  supportedVersions,
} from '../../src/messages/extensions.ts';
import { MAX_HANDSHAKE_MESSAGE } from '../../src/messages/handshake.ts';
import type { ClientHello } from '../../src/messages/hello.ts';
import {
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
  changingClientHello,
  DECODE,
  expectAlive,
  expectFound,
  type Fault,
  ILLEGAL,
  MISSING,
  NOTHING,
  SIGNATURE,
  setExtension,
  UNEXPECTED,
  VERSION,
  withBody,
} from '../setup/faults.ts';
import { runTampered } from '../setup/handshakes.ts';
import { clearRecord, flipBit, Pair, type Tamper } from '../setup/pair.ts';
import {
  authenticationFaults,
  changingCertificate,
  changingCertificateVerify,
} from './engine-authentication-faults.ts';

/* What our server finds in a client's handshake: the code here, and the alert that the client receives. */

const extension = (type: number, body: Uint8Array | undefined) =>
  changingClientHello((hello) => setExtension(hello, type, body));
const hello = (change: Partial<ClientHello>) => changingClientHello((whole) => ({ ...whole, ...change }));
const shares = (...list: { group: number; keyExchange: Uint8Array }[]) =>
  extension(ExtensionType.key_share, keyShareClientHello.build(list));
const share = (group: number, length: number, fill = 9) => ({
  group,
  keyExchange: new Uint8Array(length).fill(fill),
});
const { x25519, secp256r1, secp384r1 } = NamedGroup;

describe('ClientHello', () => {
  const faults: Fault[] = [
    ['without supported_versions', extension(ExtensionType.supported_versions, undefined), ...VERSION],
    [
      'with TLS 1.2 alone',
      extension(ExtensionType.supported_versions, supportedVersions.build([0x0303])),
      ...VERSION,
    ],
    ['without extensions', hello({ extensions: [] }), ...VERSION],
    ['with a compression method', hello({ legacyCompressionMethods: Uint8Array.of(1, 0) }), ...ILLEGAL],
    ['with only a compression method', hello({ legacyCompressionMethods: Uint8Array.of(1) }), ...ILLEGAL],
    [
      'with an extension twice',
      changingClientHello((h) => ({ ...h, extensions: [...h.extensions, h.extensions[0] as Extension] })),
      ...DECODE,
    ],
    [
      'with an unknown extension twice',
      changingClientHello((h) => ({ ...h, extensions: [...h.extensions, unknown, unknown] })),
      ...DECODE,
    ],
    [
      'with pre_shared_key before others',
      changingClientHello((h) => ({
        ...h,
        extensions: [{ type: ExtensionType.pre_shared_key, body: NOTHING }, ...h.extensions],
      })),
      ...ILLEGAL,
    ],
    ['without supported_groups', extension(ExtensionType.supported_groups, undefined), ...MISSING],
    ['without key_share', extension(ExtensionType.key_share, undefined), ...MISSING],
    ['without signature_algorithms', extension(ExtensionType.signature_algorithms, undefined), ...MISSING],
    ['with a share for a group that it does not support', shares(share(0x0019, 133)), ...ILLEGAL],
    ['with two shares for a group', shares(share(x25519, 32), share(x25519, 32)), ...ILLEGAL],
    ['with an X25519 share that is short', shares(share(x25519, 31)), ...ILLEGAL],
    ['with an X25519 share of small order', shares(share(x25519, 32, 0)), ...ILLEGAL],
    [
      'with a P-256 share that is not a point',
      shares({ group: secp256r1, keyExchange: Uint8Array.of(4, ...new Uint8Array(64).fill(9)) }),
      ...ILLEGAL,
    ],
    [
      'with a compressed P-256 share',
      shares({ group: secp256r1, keyExchange: Uint8Array.of(2, ...new Uint8Array(32).fill(9)) }),
      ...ILLEGAL,
    ],
    ['with a P-384 share of the wrong length', shares(share(secp384r1, 96, 4)), ...ILLEGAL],
    [
      'with an empty share',
      extension(ExtensionType.key_share, Uint8Array.of(0, 4, 0, 0x1d, 0, 0)),
      ...DECODE,
    ],
    [
      'with key_share cut short',
      extension(ExtensionType.key_share, Uint8Array.of(0, 36, 0, 0x1d, 0, 32)),
      ...DECODE,
    ],
    ['with a byte after key_share', extension(ExtensionType.key_share, Uint8Array.of(0, 0, 0)), ...DECODE],
    [
      'with an odd list of groups',
      extension(ExtensionType.supported_groups, Uint8Array.of(0, 3, 0, 0x1d, 0)),
      ...DECODE,
    ],
    [
      'with an empty list of groups',
      extension(ExtensionType.supported_groups, Uint8Array.of(0, 0)),
      ...DECODE,
    ],
    [
      'with an empty list of versions',
      extension(ExtensionType.supported_versions, Uint8Array.of(0)),
      ...DECODE,
    ],
    [
      'with an empty list of schemes',
      extension(ExtensionType.signature_algorithms, Uint8Array.of(0, 0)),
      ...DECODE,
    ],
    ['with no PSK mode', extension(ExtensionType.psk_key_exchange_modes, Uint8Array.of(0)), ...DECODE],
    [
      'with two host names',
      extension(ExtensionType.server_name, concat([Uint8Array.of(0, 8), host('a'), host('b')])),
      ...ILLEGAL,
    ],
    ['with an empty list of names', extension(ExtensionType.server_name, Uint8Array.of(0, 0)), ...DECODE],
    ['with an empty name', extension(ExtensionType.server_name, Uint8Array.of(0, 3, 0, 0, 0)), ...DECODE],
    [
      'with a name that has a NUL',
      extension(ExtensionType.server_name, concat([Uint8Array.of(0, 6), host('a\0b')])),
      ...DECODE,
    ],
    [
      'with an empty protocol name',
      extension(ExtensionType.application_layer_protocol_negotiation, Uint8Array.of(0, 2, 0, 0)),
      ...DECODE,
    ],
    [
      'with a session id of 33 bytes',
      changingBody('client', HandshakeType.client_hello, (body) =>
        concat([body.subarray(0, 34), Uint8Array.of(33, 0), body.subarray(35)]),
      ),
      ...DECODE,
    ],
    ['with no cipher suite', hello({ cipherSuites: [] }), ...DECODE],
    [
      'with a byte too many',
      changingBody('client', HandshakeType.client_hello, (body) => concat([body, Uint8Array.of(0)])),
      ...DECODE,
    ],
    [
      'cut short',
      changingBody('client', HandshakeType.client_hello, (body) => body.subarray(0, -1)),
      ...DECODE,
    ],
    ['that is empty', changingBody('client', HandshakeType.client_hello, () => NOTHING), ...DECODE],
    [
      'with no cipher suite of ours',
      hello({ cipherSuites: [0x13ff, 0x13fe, 0xc02b] }),
      'ERR_TLS_NO_SHARED_CIPHER',
      'handshake_failure',
    ],
    [
      'with no group of ours',
      changingClientHello((h) =>
        setExtension(
          setExtension(h, ExtensionType.supported_groups, supportedGroups.build([0x001e])),
          ExtensionType.key_share,
          keyShareClientHello.build([]),
        ),
      ),
      'ERR_TLS_NO_SHARED_GROUP',
      'handshake_failure',
    ],
    [
      'with no signature scheme for our key',
      extension(
        ExtensionType.signature_algorithms,
        signatureAlgorithms.build([SignatureScheme.rsa_pss_rsae_sha256]),
      ),
      'ERR_TLS_NO_SHARED_SIGNATURE_SCHEME',
      'handshake_failure',
    ],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    expectFound(runTampered(tamper), 'server', code, alert);
  });

  test('larger than any hello: refused at its header', () => {
    const length = MAX_HANDSHAKE_MESSAGE + 1;
    const header = Uint8Array.of(HandshakeType.client_hello, length >> 16, length >> 8, length);
    const pair = new Pair({ client: clientConfig(), server: serverConfig() });
    expectFound(pair.injectRaw('client', clearRecord(ContentType.handshake, header)), 'server', ...DECODE);
  });

  test.each(Object.entries(HandshakeType).filter(([name]) => name !== 'client_hello'))(
    'in its place %s',
    (_name, type) => {
      const tamper = changing('client', HandshakeType.client_hello, ({ body }) => [withBody(type, body)]);
      expectFound(runTampered(tamper), 'server', ...UNEXPECTED);
    },
  );

  test('with no protocol that is served here', () => {
    const pair = runTampered(undefined, { alpnProtocols: ['h3'] }, { selectProtocol: () => undefined });
    expectFound(pair, 'server', 'ERR_TLS_NO_APPLICATION_PROTOCOL', 'no_application_protocol');
  });

  test('with a protocol selected that was not offered: our own callback is wrong, and that is what the client is told', () => {
    const pair = runTampered(undefined, { alpnProtocols: ['h3'] }, { selectProtocol: () => 'h2' });
    expectFound(pair, 'server', 'ERR_TLS_INTERNAL', 'internal_error');
  });

  test('with a name that is not served here', () => {
    const selectIdentities = (): never => {
      throw new TlsError('ERR_TLS_UNRECOGNIZED_NAME', 'no such name');
    };
    expectFound(
      runTampered(undefined, {}, { selectIdentities }),
      'server',
      'ERR_TLS_UNRECOGNIZED_NAME',
      'unrecognized_name',
    );
  });

  test('when the callback for names fails: internal_error', () => {
    const selectIdentities = (): never => {
      throw new RangeError('bug');
    };
    expectFound(
      runTampered(undefined, {}, { selectIdentities }),
      'server',
      'ERR_TLS_INTERNAL',
      'internal_error',
    );
  });

  test('with a second one instead of what comes next', () => {
    const tamper = changing('client', HandshakeType.finished, () => [
      withBody(HandshakeType.client_hello, NOTHING),
    ]);
    expectFound(runTampered(tamper), 'server', ...UNEXPECTED);
  });
});

describe('what a server must tolerate in ClientHello (RFC 8446 §4.1.2, §9.3, RFC 8701)', () => {
  /** The server must go on to ServerHello. The client then finds that its hello was changed. */
  const accepted = (tamper: Tamper, client: Partial<ClientConfig> = {}) => {
    const pair = runTampered(tamper, client, { tickets: testTickets });
    expect(pair.server.error?.code).toMatch(/^ERR_TLS_ALERT_/);
    // A hello and change_cipher_spec, at least: not just an alert.
    expect(pair.sent.server.length).toBeGreaterThanOrEqual(2);
    return pair;
  };

  test.each<[string, Tamper]>([
    ['unknown extensions', extension(0x1234, Uint8Array.of(1, 2, 3))],
    [
      'GREASE extensions, one of them empty, one of one byte',
      changingClientHello((h) => setExtension(setExtension(h, 0x0a0a, NOTHING), 0xfafa, Uint8Array.of(0))),
    ],
    [
      'unknown and GREASE cipher suites',
      changingClientHello((h) => ({ ...h, cipherSuites: [0x2a2a, 0xc02b, 0x00ff, ...h.cipherSuites] })),
    ],
    [
      'unknown and GREASE versions',
      extension(ExtensionType.supported_versions, supportedVersions.build([0x3a3a, 0x0305, 0x0304, 0x0303])),
    ],
    [
      'unknown and GREASE groups',
      changingClientHello((h) =>
        setExtension(h, ExtensionType.supported_groups, supportedGroups.build([0x4a4a, 0x11ec, x25519])),
      ),
    ],
    [
      'unknown and GREASE signature schemes',
      extension(
        ExtensionType.signature_algorithms,
        signatureAlgorithms.build([0x5a5a, 0xffff, SignatureScheme.ecdsa_secp256r1_sha256]),
      ),
    ],
    [
      'unknown and GREASE PSK modes',
      extension(ExtensionType.psk_key_exchange_modes, pskKeyExchangeModes.build([0x0b, 0, 1])),
    ],
    [
      'unknown and GREASE protocols',
      extension(
        ExtensionType.application_layer_protocol_negotiation,
        protocolNameList.build(['\x6a\x6a', 'h2']),
      ),
    ],
    ['an old legacy_version', hello({ legacyVersion: 0x0300 })],
    ['a legacy_version from the future', hello({ legacyVersion: 0x0505 })],
    [
      'a name of a type that does not exist',
      extension(ExtensionType.server_name, Uint8Array.of(0, 4, 9, 0, 1, 65)),
    ],
    ['padding', extension(ExtensionType.padding, new Uint8Array(500))],
    [
      'empty key_share beside a group that we know',
      extension(ExtensionType.key_share, keyShareClientHello.build([])),
    ],
  ])('%s', (_what, tamper) => {
    accepted(tamper);
  });

  test('a GREASE key share', () => {
    const tamper = changingClientHello((h) => {
      const groups = setExtension(h, ExtensionType.supported_groups, supportedGroups.build([0x7a7a, x25519]));
      const own = keyShareClientHello.parse(
        h.extensions.find(({ type }) => type === ExtensionType.key_share)?.body ?? NOTHING,
      );
      return setExtension(
        groups,
        ExtensionType.key_share,
        keyShareClientHello.build([{ group: 0x7a7a, keyExchange: Uint8Array.of(0) }, ...own]),
      );
    });
    accepted(tamper);
  });

  test('a changed hello is found in the end: the server’s flight does not fit it', () => {
    const pair = accepted(extension(0x1234, Uint8Array.of(1)));
    expect(pair.client.error?.code).toBe('ERR_TLS_BAD_SIGNATURE');
    expect(pair.server.error?.code).toBe('ERR_TLS_ALERT_DECRYPT_ERROR');
  });
});

describe('the second ClientHello, after HelloRetryRequest (RFC 8446 §4.1.2)', () => {
  const retry = { keyShares: [x25519], alpnProtocols: ['h2'] };
  const p256Only = { groups: [secp256r1] };
  const second = (change: (hello: ClientHello) => ClientHello) => changingClientHello(change, 1);

  const faults: Fault[] = [
    ['with another random', second((h) => ({ ...h, random: flipBit(h.random) })), ...ILLEGAL],
    [
      'with another session id',
      second((h) => ({ ...h, legacySessionId: flipBit(h.legacySessionId) })),
      ...ILLEGAL,
    ],
    ['with other suites', second((h) => ({ ...h, cipherSuites: h.cipherSuites.toReversed() })), ...ILLEGAL],
    [
      'with other groups',
      second((h) => setExtension(h, ExtensionType.supported_groups, supportedGroups.build([secp256r1]))),
      ...ILLEGAL,
    ],
    [
      'with another name',
      second((h) => setExtension(h, ExtensionType.server_name, serverNameList.build('other.test'))),
      ...ILLEGAL,
    ],
    [
      'with other protocols',
      second((h) =>
        setExtension(h, ExtensionType.application_layer_protocol_negotiation, protocolNameList.build(['h3'])),
      ),
      ...ILLEGAL,
    ],
    [
      'without the share that was asked for',
      second((h) => setExtension(h, ExtensionType.key_share, keyShareClientHello.build([share(x25519, 32)]))),
      ...ILLEGAL,
    ],
    [
      'with no share',
      second((h) => setExtension(h, ExtensionType.key_share, keyShareClientHello.build([]))),
      ...ILLEGAL,
    ],
    [
      'with two shares',
      second((h) =>
        setExtension(
          h,
          ExtensionType.key_share,
          keyShareClientHello.build([share(secp256r1, 65, 4), share(x25519, 32)]),
        ),
      ),
      ...ILLEGAL,
    ],
    [
      'with a share that is not a point',
      second((h) =>
        setExtension(h, ExtensionType.key_share, keyShareClientHello.build([share(secp256r1, 65, 4)])),
      ),
      ...ILLEGAL,
    ],
    [
      'that no longer offers TLS 1.3',
      second((h) => setExtension(h, ExtensionType.supported_versions, undefined)),
      ...VERSION,
    ],
    [
      'replaced by Finished',
      changing(
        'client',
        HandshakeType.client_hello,
        ({ body }) => [withBody(HandshakeType.finished, body)],
        1,
      ),
      ...UNEXPECTED,
    ],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    expectFound(runTampered(tamper, retry, p256Only), 'server', code, alert);
  });

  test('unchanged, it is taken', () => {
    expectAlive(runTampered(undefined, retry, p256Only));
  });
});

describe('a ticket', () => {
  const session = () =>
    runTampered(undefined, {}, { tickets: testTickets }).client.tickets[0] ?? expect.fail('no ticket');
  const resume = (tamper: Tamper | undefined) =>
    runTampered(tamper, { session: session() }, { tickets: testTickets });
  const psks = (
    change: (offer: ReturnType<typeof offeredPsks.parse>) => ReturnType<typeof offeredPsks.parse>,
  ) =>
    changingClientHello((h) => {
      const body = h.extensions.find(({ type }) => type === ExtensionType.pre_shared_key)?.body ?? NOTHING;
      return setExtension(
        h,
        ExtensionType.pre_shared_key,
        offeredPsks.build(change(offeredPsks.parse(body))),
      );
    });
  const BINDER = ['ERR_TLS_BAD_BINDER', 'decrypt_error'] as const;

  const faults: Fault[] = [
    [
      'whose binder has one bit changed',
      psks(({ identities, binders }) => ({ identities, binders: binders.map((b) => flipBit(b)) })),
      ...BINDER,
    ],
    [
      'whose binder is longer',
      psks(({ identities, binders }) => ({ identities, binders: binders.map((b) => concat([b, b])) })),
      ...BINDER,
    ],
    [
      'in a hello changed in one bit',
      changingClientHello((h) => ({ ...h, random: flipBit(h.random) })),
      ...BINDER,
    ],
    [
      'in a hello with an extension more',
      changingClientHello((h) => ({ ...h, extensions: [unknown, ...h.extensions] })),
      ...BINDER,
    ],
    [
      'whose age has one bit changed',
      psks(({ identities, binders }) => ({
        binders,
        identities: identities.map((i) => ({ ...i, obfuscatedTicketAge: i.obfuscatedTicketAge ^ 1 })),
      })),
      ...BINDER,
    ],
    [
      'with two binders',
      psks(({ identities, binders }) => ({ identities, binders: [...binders, ...binders] })),
      ...ILLEGAL,
    ],
    [
      'without psk_key_exchange_modes',
      extension(ExtensionType.psk_key_exchange_modes, undefined),
      ...MISSING,
    ],
    [
      'with an empty list of identities',
      extension(ExtensionType.pre_shared_key, Uint8Array.of(0, 0, 0, 0)),
      ...DECODE,
    ],
    [
      'with a short binder',
      extension(
        ExtensionType.pre_shared_key,
        concat([Uint8Array.of(0, 7, 0, 1, 1, 0, 0, 0, 0, 0, 32, 31), new Uint8Array(31)]),
      ),
      ...DECODE,
    ],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    expectFound(resume(tamper), 'server', code, alert);
  });

  test('for psk_ke alone is not resumed, and no new one is issued', () => {
    const pair = resume(extension(ExtensionType.psk_key_exchange_modes, pskKeyExchangeModes.build([0])));
    expect(pair.client.error?.code).toBe('ERR_TLS_BAD_SIGNATURE');
  });

  test.each([
    // The ticket is found; that its hello was changed shows in the binder.
    [MAX_PSKS_TRIED - 1, 'ERR_TLS_ALERT_DECRYPT_ERROR', 'ERR_TLS_BAD_BINDER'],
    // It is not looked for; the server goes on with a certificate, and its signature does not fit the client's hello.
    [MAX_PSKS_TRIED, 'ERR_TLS_BAD_SIGNATURE', 'ERR_TLS_ALERT_DECRYPT_ERROR'],
    [100, 'ERR_TLS_BAD_SIGNATURE', 'ERR_TLS_ALERT_DECRYPT_ERROR'],
  ])('after %i that are not ours: only a few are tried', (count, atClient, atServer) => {
    const others = Array.from({ length: count }, (_, i) => ({
      identity: new Uint8Array(60).fill(i),
      obfuscatedTicketAge: 0,
    }));
    const tamper = psks(({ identities, binders }) => ({
      identities: [...others, ...identities],
      binders: [...others.map(() => new Uint8Array(32)), ...binders],
    }));
    const pair = resume(tamper);
    expect([pair.client.error?.code, pair.server.error?.code]).toEqual([atClient, atServer]);
  });

  test('unchanged, it is resumed', () => {
    const pair = resume(undefined);
    expectAlive(pair);
    expect(pair.server.connection.info?.resumed).toBe(true);
  });
});

describe("the client's authentication", () => {
  const asked = (tamper: Tamper, client: Partial<ClientConfig> = {}, server: Partial<ServerConfig> = {}) =>
    runTampered(
      tamper,
      { identities: [clientIdentity], ...client },
      { clientCertificate: 'require', ...server },
    );
  const certificate = (change: Parameters<typeof changingCertificate>[1]) =>
    changingCertificate('client', change);

  const faults: Fault[] = [
    [
      'Certificate empty',
      certificate((m) => ({ ...m, entries: [] })),
      'ERR_TLS_CERTIFICATE_REQUIRED',
      'certificate_required',
    ],
    [
      'Certificate for another request',
      certificate((m) => ({ ...m, context: Uint8Array.of(1) })),
      ...ILLEGAL,
    ],
    [
      'Certificate with an extension that was not asked for',
      certificate((m) => ({
        ...m,
        entries: m.entries.map((e) => ({
          ...e,
          extensions: [{ type: ExtensionType.status_request, body: NOTHING }],
        })),
      })),
      'ERR_TLS_UNSUPPORTED_EXTENSION',
      'unsupported_extension',
    ],
    ...authenticationFaults('client'),
    [
      'Finished before Certificate',
      changing('client', HandshakeType.certificate, () => [
        withBody(HandshakeType.finished, new Uint8Array(32)),
      ]),
      ...UNEXPECTED,
    ],
    [
      'EndOfEarlyData before Finished',
      changing('client', HandshakeType.finished, ({ raw }) => [
        withBody(HandshakeType.end_of_early_data, NOTHING),
        raw,
      ]),
      ...UNEXPECTED,
    ],
    [
      'KeyUpdate before Finished',
      changing('client', HandshakeType.finished, ({ raw }) => [
        withBody(HandshakeType.key_update, Uint8Array.of(0)),
        raw,
      ]),
      ...UNEXPECTED,
    ],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    const pair = asked(tamper);
    expectFound(pair, 'server', code, alert);
    expect(pair.server.connected).toBe(false);
  });

  test('a certificate that nobody asked for', () => {
    const tamper = changing('client', HandshakeType.finished, ({ raw }) => [
      buildCertificate({ context: NOTHING, entries: [] }),
      raw,
    ]);
    expectFound(runTampered(tamper), 'server', ...UNEXPECTED);
  });

  test('a certificate where one is only requested must be proven as well', () => {
    const tamper = changingCertificateVerify('client', (m) => ({ ...m, signature: flipBit(m.signature) }));
    expectFound(asked(tamper, {}, { clientCertificate: 'request' }), 'server', ...SIGNATURE);
  });

  test('none where one is required', () => {
    const pair = runTampered(undefined, {}, { clientCertificate: 'require' });
    expectFound(pair, 'server', 'ERR_TLS_CERTIFICATE_REQUIRED', 'certificate_required');
  });

  test('our own signature is wrong: the client’s fault to the server, and told so', () => {
    const pair = new Pair({
      client: clientConfig({ identities: [clientIdentity] }),
      server: serverConfig({ clientCertificate: 'require' }),
      sign: (wanted, role) => {
        const signature = wanted.key.sign(wanted.scheme, wanted.input) as Uint8Array;
        return role === 'client' ? flipBit(signature) : signature;
      },
    }).run();
    expectFound(pair, 'server', ...SIGNATURE);
  });

  test.each([
    ['CERT_HAS_EXPIRED', 'certificate_expired'],
    ['CERT_REVOKED', 'certificate_revoked'],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'unknown_ca'],
    ['INVALID_PURPOSE', 'unsupported_certificate'],
    ['CERT_REJECTED', 'certificate_unknown'],
    ['CERT_SIGNATURE_FAILURE', 'bad_certificate'],
  ] as const)('a certificate that is judged %s', (code, alert) => {
    const verifyPeer = (): never => {
      throw new CertificateError(code, 'test');
    };
    const pair = runTampered(
      undefined,
      { identities: [clientIdentity] },
      { clientCertificate: 'require', verifyPeer },
    );
    expectFound(pair, 'server', code, alert);
  });
});

describe('after the handshake', () => {
  const faults: [string, Uint8Array, TlsErrorCode, AlertName][] = [
    [
      'a ClientHello: no renegotiation',
      withBody(HandshakeType.client_hello, new Uint8Array(50)),
      ...UNEXPECTED,
    ],
    [
      'a NewSessionTicket from a client',
      withBody(HandshakeType.new_session_ticket, new Uint8Array(20)),
      ...UNEXPECTED,
    ],
    ['a Certificate', withBody(HandshakeType.certificate, Uint8Array.of(0, 0, 0, 0)), ...UNEXPECTED],
    ['a second Finished', withBody(HandshakeType.finished, new Uint8Array(32)), ...UNEXPECTED],
    ['EndOfEarlyData', withBody(HandshakeType.end_of_early_data, NOTHING), ...UNEXPECTED],
    ['an unknown message', withBody(99, NOTHING), ...UNEXPECTED],
    ['message_hash', withBody(HandshakeType.message_hash, new Uint8Array(32)), ...UNEXPECTED],
    ['a KeyUpdate that asks for 2', withBody(HandshakeType.key_update, Uint8Array.of(2)), ...ILLEGAL],
    ['an empty KeyUpdate', withBody(HandshakeType.key_update, NOTHING), ...DECODE],
    ['a long KeyUpdate', withBody(HandshakeType.key_update, Uint8Array.of(0, 0)), ...DECODE],
  ];
  test.each(faults)('%s', (_what, message, code, alert) => {
    const pair = runTampered(undefined).inject('client', { type: ContentType.handshake, content: message });
    expectFound(pair, 'server', code, alert);
  });
});

const unknown: Extension = { type: 0x1234, body: Uint8Array.of(1) };

function host(name: string): Uint8Array {
  return concat([Uint8Array.of(0, 0, name.length), Buffer.from(name, 'latin1')]);
}
