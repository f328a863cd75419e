import { describe, expect, test } from 'vitest';
import { MAX_WARNING_ALERTS } from '../../../src/connection/session.ts';
import { AlertDescription } from '../../../src/errors/alerts.ts';
import { CertificateError } from '../../../src/errors/errors.ts';
import type { ClientConfig, ServerConfig } from '../../../src/handshake/config.ts';
import { supportedGroups, supportedVersions } from '../../../src/messages/extensions.ts';
import type { ClientHello } from '../../../src/messages/hello.ts';
import { buildCertificateChain } from '../../../src/messages/tls12.ts';
import {
  CipherSuite,
  ContentType,
  ExtensionType,
  HandshakeType,
  NamedGroup,
  SignatureScheme,
} from '../../../src/wire/codepoints.ts';
import { concat } from '../../../src/wire/writer.ts';
import { clientConfig, clientIdentity, serverConfig, testIdentity } from '../../setup/engine-config.ts';
import {
  changing,
  changingBody,
  changingClientHello,
  DECODE,
  expectAlive,
  expectFound,
  expectUnharmed,
  FAILURE,
  type Fault,
  ILLEGAL,
  NOTHING,
  setExtension,
  UNEXPECTED,
  VERSION,
  withBody,
} from '../../setup/faults.ts';
import { clearRecord, flipBit, type Tamper } from '../../setup/pair.ts';
import { connect12, TLS12 } from './kit.ts';

/* What our server finds in a client's TLS 1.2 handshake: the code here, and the alert that the client receives. */

const FALLBACK = ['ERR_TLS_INAPPROPRIATE_FALLBACK', 'inappropriate_fallback'] as const;

const hello = (change: Partial<ClientHello>) => changingClientHello((whole) => ({ ...whole, ...change }));
const extension = (type: number, body: Uint8Array | undefined) =>
  changingClientHello((whole) => setExtension(whole, type, body));
const message = (type: number, change: (body: Uint8Array) => Uint8Array) =>
  changingBody('client', type, change);
const suites = (...ids: number[]) => hello({ cipherSuites: ids });
const { TLS_FALLBACK_SCSV, TLS_EMPTY_RENEGOTIATION_INFO_SCSV } = CipherSuite;
const ONE_SUITE = CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;

describe('ClientHello', () => {
  const faults: Fault[] = [
    ['of TLS 1.1', hello({ legacyVersion: 0x0302 }), ...VERSION],
    [
      'with TLS 1.1 alone in supported_versions',
      extension(ExtensionType.supported_versions, supportedVersions.build([0x0302])),
      ...VERSION,
    ],
    ['without the null compression', hello({ legacyCompressionMethods: Uint8Array.of(1) }), ...ILLEGAL],
    [
      'without extended_master_secret',
      extension(ExtensionType.extended_master_secret, undefined),
      ...FAILURE,
    ],
    [
      'with a body in extended_master_secret',
      extension(ExtensionType.extended_master_secret, Uint8Array.of(1)),
      ...DECODE,
    ],
    [
      'with renegotiation_info that is not empty',
      extension(ExtensionType.renegotiation_info, Uint8Array.of(1, 9)),
      ...FAILURE,
    ],
    [
      'without uncompressed points',
      extension(ExtensionType.ec_point_formats, Uint8Array.of(1, 2)),
      ...ILLEGAL,
    ],
    [
      'with an extension twice',
      changingClientHello((h) => ({ ...h, extensions: [...h.extensions, ...h.extensions.slice(0, 1)] })),
      ...DECODE,
    ],
    [
      'with a compression algorithm twice, for TLS 1.3 though it is',
      extension(ExtensionType.compress_certificate, Uint8Array.of(4, 0, 1, 0, 1)),
      ...DECODE,
    ],
    ['with suites of TLS 1.3 alone', suites(0x1301), 'ERR_TLS_NO_SHARED_CIPHER', 'handshake_failure'],
    [
      'with groups that are unknown',
      extension(ExtensionType.supported_groups, supportedGroups.build([0x9999])),
      'ERR_TLS_NO_SHARED_GROUP',
      'handshake_failure',
    ],
    [
      'with a group of TLS 1.3 alone',
      extension(ExtensionType.supported_groups, supportedGroups.build([NamedGroup.x25519mlkem768])),
      'ERR_TLS_NO_SHARED_GROUP',
      'handshake_failure',
    ],
    [
      'without signature_algorithms, which means SHA-1',
      extension(ExtensionType.signature_algorithms, undefined),
      'ERR_TLS_NO_SHARED_SIGNATURE_SCHEME',
      'handshake_failure',
    ],
    [
      'that supports another curve than that of the certificate',
      changingClientHello((whole) => ({
        ...setExtension(whole, ExtensionType.supported_groups, supportedGroups.build([NamedGroup.x25519])),
        cipherSuites: [ONE_SUITE],
      })),
      'ERR_TLS_NO_SHARED_SIGNATURE_SCHEME',
      'handshake_failure',
    ],
    [
      'that comes twice',
      changing('client', HandshakeType.client_hello, ({ raw }) => [raw, raw]),
      ...UNEXPECTED,
    ],
    [
      'after a ChangeCipherSpec',
      ({ type, content, from, nth }) =>
        from === 'client' && nth === 0
          ? [
              { type, content: content.subarray(0, 40) },
              { raw: Uint8Array.of(20, 3, 3, 0, 1, 1) },
              { type, content: content.subarray(40) },
            ]
          : undefined,
      ...UNEXPECTED,
    ],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    expectFound(connect12({}, {}, { tamper }), 'server', code, alert);
  });

  test('with the signalling value in place of renegotiation_info is as good', () => {
    const tamper = changingClientHello((whole) => ({
      ...setExtension(whole, ExtensionType.renegotiation_info, undefined),
      cipherSuites: [...whole.cipherSuites, TLS_EMPTY_RENEGOTIATION_INFO_SCSV],
    }));
    // The server goes on; what the network changed is found when the keys differ.
    const pair = connect12({}, {}, { tamper });
    expect(pair.server.error?.code).toBe('ERR_TLS_BAD_RECORD_MAC');
  });

  test('without supported_groups leaves the choice to the server', () => {
    const tamper = extension(ExtensionType.supported_groups, undefined);
    expect(connect12({}, {}, { tamper }).server.error?.code).toBe('ERR_TLS_BAD_RECORD_MAC');
  });

  test('for a name that is not served', () => {
    const pair = connect12(
      {},
      {
        selectIdentities: () => {
          throw new CertificateError('ERR_TLS_UNRECOGNIZED_NAME', 'no such name');
        },
      },
    );
    expectFound(pair, 'server', 'ERR_TLS_UNRECOGNIZED_NAME', 'unrecognized_name');
  });

  test('with no protocol that is served', () => {
    const pair = connect12({ alpnProtocols: ['a'] }, { selectProtocol: () => undefined });
    expectFound(pair, 'server', 'ERR_TLS_NO_APPLICATION_PROTOCOL', 'no_application_protocol');
  });
});

describe('TLS_FALLBACK_SCSV, RFC 7507', () => {
  const fallen = () =>
    changingClientHello((whole) => ({
      ...whole,
      cipherSuites: [...whole.cipherSuites, TLS_FALLBACK_SCSV],
    }));
  const { suites: suites13 } = serverConfig();

  test('is refused by a server that speaks something newer', () => {
    const pair = connect12({}, { suites: suites13 }, { tamper: fallen() });
    expectFound(pair, 'server', ...FALLBACK);
  });

  test('says nothing to a server that does not', () => {
    expect(connect12({}, {}, { tamper: fallen() }).server.error?.code).toBe('ERR_TLS_BAD_RECORD_MAC');
  });

  test('says nothing when the newest version is chosen all the same', () => {
    const both = { suites: suites13, tls12: TLS12 };
    const pair = connect12({ ...clientConfig(), ...both }, both, { tamper: fallen() });
    expect(pair.server.error?.code).not.toBe('ERR_TLS_INAPPROPRIATE_FALLBACK');
  });
});

describe('Certificate of the client', () => {
  const { certificate } = HandshakeType;
  const client: Partial<ClientConfig> = { identities: [clientIdentity] };
  const server: Partial<ServerConfig> = { clientCertificate: 'require' };
  const faults: Fault[] = [
    [
      'that is empty where one is required',
      changing('client', certificate, () => [buildCertificateChain([])]),
      'ERR_TLS_NO_CLIENT_CERTIFICATE',
      'handshake_failure',
    ],
    ['with an empty certificate', message(certificate, () => Uint8Array.of(0, 0, 3, 0, 0, 0)), ...DECODE],
    ['with a byte after it', message(certificate, (body) => concat([body, Uint8Array.of(0)])), ...DECODE],
    ['that is missing', changing('client', certificate, () => []), ...UNEXPECTED],
    ['that comes twice', changing('client', certificate, ({ raw }) => [raw, raw]), ...UNEXPECTED],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    expectFound(connect12(client, server, { tamper }), 'server', code, alert);
  });

  test('that is not there where one is required', () => {
    const pair = connect12({}, server);
    expectFound(pair, 'server', 'ERR_TLS_NO_CLIENT_CERTIFICATE', 'handshake_failure');
  });

  test('that nobody asked for', () => {
    const tamper = changing('client', HandshakeType.client_key_exchange, ({ raw }) => [
      buildCertificateChain(clientIdentity.chain),
      raw,
    ]);
    expectFound(connect12({}, {}, { tamper }), 'server', ...UNEXPECTED);
  });

  test('that is not trusted', () => {
    const verifyPeer = () => {
      throw new CertificateError('UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'unknown');
    };
    const pair = connect12(client, { ...server, verifyPeer });
    expectFound(pair, 'server', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'unknown_ca');
  });
});

describe('CertificateVerify', () => {
  const type = HandshakeType.certificate_verify;
  const scheme = (id: number) =>
    message(type, (body) => concat([Uint8Array.of(id >> 8, id & 0xff), body.subarray(2)]));
  const faults: Fault[] = [
    [
      'with a wrong signature',
      message(type, (body) => flipBit(body)),
      'ERR_TLS_BAD_SIGNATURE',
      'decrypt_error',
    ],
    ['with a scheme that was not offered', scheme(0x0203), ...ILLEGAL],
    ['with a scheme for another key', scheme(SignatureScheme.rsa_pss_rsae_sha256), ...ILLEGAL],
    ['with a byte after it', message(type, (body) => concat([body, Uint8Array.of(0)])), ...DECODE],
    ['that is missing', changing('client', type, () => []), ...UNEXPECTED],
    ['that comes twice', changing('client', type, ({ raw }) => [raw, raw]), ...UNEXPECTED],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    const pair = connect12({ identities: [clientIdentity] }, { clientCertificate: 'require' }, { tamper });
    expectFound(pair, 'server', code, alert);
  });

  test('of someone else', () => {
    const other = testIdentity('p256');
    const identity = { chain: clientIdentity.chain, key: other.key };
    const pair = connect12({ identities: [identity] }, { clientCertificate: 'require' });
    expectFound(pair, 'server', 'ERR_TLS_BAD_SIGNATURE', 'decrypt_error');
  });

  test('without a certificate', () => {
    const tamper = changing('client', HandshakeType.client_key_exchange, ({ raw }) => [
      raw,
      withBody(type, Uint8Array.of(4, 3, 0, 0)),
    ]);
    expectFound(connect12({}, { clientCertificate: 'request' }, { tamper }), 'server', ...UNEXPECTED);
  });
});

describe('ClientKeyExchange and the end', () => {
  const { client_key_exchange, finished } = HandshakeType;
  const ccs = (...cargo: Uint8Array[]): Tamper => {
    return ({ from, type }) =>
      from === 'client' && type === ContentType.change_cipher_spec
        ? cargo.map((raw) => ({ raw }))
        : undefined;
  };
  const faults: Fault[] = [
    ['an empty point', message(client_key_exchange, () => Uint8Array.of(0)), ...DECODE],
    ['a short point', message(client_key_exchange, () => Uint8Array.of(1, 9)), ...ILLEGAL],
    [
      'a point of small order',
      message(client_key_exchange, () => concat([Uint8Array.of(32), new Uint8Array(32)])),
      ...ILLEGAL,
    ],
    ['a byte after it', message(client_key_exchange, (body) => concat([body, Uint8Array.of(0)])), ...DECODE],
    ['no ClientKeyExchange', changing('client', client_key_exchange, () => []), ...UNEXPECTED],
    ['two of them', changing('client', client_key_exchange, ({ raw }) => [raw, raw]), ...UNEXPECTED],
    ['a wrong Finished', message(finished, (body) => flipBit(body)), 'ERR_TLS_BAD_FINISHED', 'decrypt_error'],
    ['a short Finished', message(finished, (body) => body.subarray(1)), ...DECODE],
    ['no ChangeCipherSpec', ccs(), ...UNEXPECTED],
    [
      'two of them',
      ccs(clearRecord(20, Uint8Array.of(1)), clearRecord(20, Uint8Array.of(1))),
      'ERR_TLS_BAD_RECORD_MAC',
      'bad_record_mac',
    ],
    ['one that is long', ccs(clearRecord(20, Uint8Array.of(1, 1))), ...UNEXPECTED],
    ['application data in clear', ccs(clearRecord(23, Uint8Array.of(1))), ...UNEXPECTED],
    [
      'application data before Finished',
      ({ from, type, epoch }) =>
        from === 'client' && epoch === 'application' && type === ContentType.handshake
          ? [{ type: ContentType.application_data, content: Uint8Array.of(1) }]
          : undefined,
      ...UNEXPECTED,
    ],
    [
      'a second message in the record of the last in clear',
      changing('client', client_key_exchange, ({ raw }) => [raw, withBody(finished, new Uint8Array(12))]),
      ...UNEXPECTED,
    ],
    [
      'the begin of a message in the record of the last in clear',
      changing('client', client_key_exchange, ({ raw }) => [concat([raw, Uint8Array.of(20, 0, 0)])]),
      ...UNEXPECTED,
    ],
  ];
  test.each(faults)('%s', (_what, tamper, code, alert) => {
    expectFound(connect12({}, {}, { tamper }), 'server', code, alert);
  });
});

describe('records', () => {
  const established = () => {
    const pair = connect12();
    expectUnharmed(pair);
    return pair;
  };
  /** Sends data in one record that the network changes. */
  const changed = (change: (record: Uint8Array) => Uint8Array) => {
    const pair = established();
    pair.client.connection.send(Uint8Array.of(1, 2, 3));
    const record = concat(pair.client.connection.transmit());
    return pair.injectRaw('client', change(record));
  };

  test.each([
    ['the explicit nonce', 5],
    ['the ciphertext', 13],
    ['the tag', 20],
  ])('with a bit changed in %s', (_what, at) => {
    expectFound(
      changed((record) => flipBit(record, at)),
      'server',
      'ERR_TLS_BAD_RECORD_MAC',
      'bad_record_mac',
    );
  });

  test('of another type than they were sealed as', () => {
    const pair = changed((record) => concat([Uint8Array.of(22), record.subarray(1)]));
    expectFound(pair, 'server', 'ERR_TLS_BAD_RECORD_MAC', 'bad_record_mac');
  });

  test('of another version', () => {
    const pair = changed((record) => concat([record.subarray(0, 2), Uint8Array.of(1), record.subarray(3)]));
    expectFound(pair, 'server', ...VERSION);
  });

  test('that are too short to be sealed', () => {
    const pair = changed(() => clearRecord(23, new Uint8Array(23)));
    expectFound(pair, 'server', 'ERR_TLS_BAD_RECORD_MAC', 'bad_record_mac');
  });

  test('that come again', () => {
    const pair = changed((record) => concat([record, record]));
    expectFound(pair, 'server', 'ERR_TLS_BAD_RECORD_MAC', 'bad_record_mac');
    expect([...pair.server.data]).toEqual([1, 2, 3]);
  });

  test('that hold too much', () => {
    const pair = established();
    pair.inject('client', { type: ContentType.application_data, content: new Uint8Array(2 ** 14 + 1) });
    expectFound(pair, 'server', 'ERR_TLS_RECORD_OVERFLOW', 'record_overflow');
  });

  test('that announce too much', () => {
    const pair = established();
    pair.injectRaw('client', Uint8Array.of(23, 3, 3, 0x48, 1));
    expectFound(pair, 'server', 'ERR_TLS_RECORD_OVERFLOW', 'record_overflow');
  });

  test('of type ChangeCipherSpec, after the handshake', () => {
    const pair = established();
    pair.inject('client', { type: ContentType.change_cipher_spec, content: Uint8Array.of(1) });
    expectFound(pair, 'server', ...UNEXPECTED);
  });

  test('of a sub-protocol that was not agreed on', () => {
    const pair = established();
    pair.injectRaw('client', clearRecord(28, new Uint8Array(40)));
    expectFound(pair, 'server', ...UNEXPECTED);
  });
});

describe('alerts', () => {
  const { alert } = ContentType;
  const warning = { type: alert, content: Uint8Array.of(1, AlertDescription.no_renegotiation) };

  test('that warn are remarks, up to a number', () => {
    const pair = connect12();
    for (let i = 0; i < MAX_WARNING_ALERTS; i++) pair.inject('client', warning);
    expectAlive(pair);
    pair.inject('client', warning);
    expectFound(pair, 'server', ...UNEXPECTED);
  });

  test('that are fatal end the session', () => {
    const pair = connect12();
    pair.inject('client', { type: alert, content: Uint8Array.of(2, AlertDescription.no_renegotiation) });
    expect(pair.server.error?.code).toBe('ERR_TLS_ALERT_NO_RENEGOTIATION');
  });

  test('that warn come before ServerHello too', () => {
    const tamper: Tamper = ({ from, nth, type, content }) =>
      from === 'server' && nth === 0
        ? [
            { raw: clearRecord(alert, Uint8Array.of(1, AlertDescription.unrecognized_name)) },
            { type, content },
          ]
        : undefined;
    expectAlive(connect12({}, {}, { tamper }));
  });

  test('are two bytes', () => {
    const pair = connect12();
    pair.inject('client', { type: alert, content: Uint8Array.of(1) });
    expectFound(pair, 'server', ...DECODE);
  });

  test('NOTHING is no alert', () => {
    const pair = connect12();
    pair.inject('client', { type: alert, content: NOTHING });
    expectFound(pair, 'server', ...UNEXPECTED);
  });
});
