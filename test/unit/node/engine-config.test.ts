import { createPublicKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { encodePem } from '../../../src/der/pem.ts';
import type { ClientConfig, ServerConfig } from '../../../src/handshake/config.ts';
import {
  type ClientSettings,
  configureClient,
  configureServer,
  type ServerSettings,
} from '../../../src/node/engine-config.ts';
import {
  createSecureContext,
  SecureContext,
  type SecureContextOptions,
} from '../../../src/node/secure-context.ts';
import {
  CertificateType,
  NamedGroup,
  ProtocolVersion,
  SignatureScheme,
} from '../../../src/wire/codepoints.ts';
import { ca, server } from '../x509/pki.ts';

/* Each option of sockets and servers: what is refused, under which name, and what of it reaches the engine. */

const root = ca('root');
const leaf = server('one.test', { issuer: root });
const CREDENTIALS = {
  cert: encodePem('CERTIFICATE', leaf.der),
  key: leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
};
const CA = encodePem('CERTIFICATE', root.der);
const KEY = { identity: 'a', key: new Uint8Array(32).fill(1) };
const MODULE = {};

type Client = SecureContextOptions & ClientSettings & { module?: unknown };
type Server = SecureContextOptions & ServerSettings & { module?: unknown };

const refusal = (option: string, problem: RegExp) =>
  expect.objectContaining({
    name: 'ConnectionError',
    code: 'ERR_TLS_OPTION',
    message: expect.stringMatching(new RegExp(`^Option ${option}: .*${problem.source}`)),
  });

describe('an option of both sides that cannot work', () => {
  const cases: [option: string, problem: RegExp, options: Client & Server][] = [
    ['handshakeTimeout', /-1 is not an integer from 0 to/, { handshakeTimeout: -1 }],
    ['handshakeTimeout', /is not an integer/, { handshakeTimeout: 2 ** 31 }],
    ['handshakeTimeout', /is not an integer/, { handshakeTimeout: Number.NaN }],
    ['padding', /0 is not an integer from 1 to 16384/, { padding: 0 }],
    ['padding', /16385 is not/, { padding: 16_385 }],
    ['recordSizeLimit', /63 is not an integer from 64 to 16385/, { recordSizeLimit: 63 }],
    ['recordSizeLimit', /16386 is not/, { recordSizeLimit: 16_386 }],
    ['maxSendFragment', /511 is not an integer from 512 to 16384/, { maxSendFragment: 511 }],
    ['maxSendFragment', /600.5 is not/, { maxSendFragment: 600.5 }],
    ['ALPNProtocols', /1 to 255 bytes/, { ALPNProtocols: [''] }],
    ['ALPNProtocols', /1 to 255 bytes/, { ALPNProtocols: ['a'.repeat(256)] }],
    ['ALPNProtocols', /points past the end/, { ALPNProtocols: Uint8Array.of(9, 104, 50) }],
    ['certificateCompression', /has no 'gzip'/, { certificateCompression: ['gzip' as 'zlib'] }],
    ['fingerprints', /the list is empty/, { fingerprints: [] }],
    ['fingerprints', /'sha-1 AB' is no fingerprint/, { fingerprints: 'sha-1 AB' }],
    ['psk', /the key must be/, { psk: { ...KEY, key: new Uint8Array(15) } }],
    ['psk', /the identity must have 1 to/, { psk: { ...KEY, identity: '' } }],
    ['psk', /'md5' is no hash/, { psk: { ...KEY, hash: 'md5' as 'sha256' } }],
    ['psk', /are in the module/, { psk: KEY, module: MODULE }],
    ['ciphers', /./, { ciphers: 'NO-SUCH-SUITE' }],
    ['ecdhCurve', /'P-224' is not supported/, { ecdhCurve: 'P-224' }],
    ['sigalgs', /'RSA\+SHA1' is not supported/, { sigalgs: 'RSA+SHA1' }],
    ['minVersion', /above maxVersion/, { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.2' }],
    ['minVersion', /is retired/, { minVersion: 'TLSv1' }],
    ['maxVersion', /is no version/, { maxVersion: 'SSLv3' }],
    ['legacy', /'ssl3' is not known/, { legacy: ['ssl3' as 'cbc'] }],
    // RFC 8446 §4.6.1: a week at most.
    ['sessionTimeout', /604801 is not an integer from 0 to 604800/, { sessionTimeout: 604_801 }],
    ['sessionTimeout', /-1 is not/, { sessionTimeout: -1 }],
    ['cert', /./, { cert: 'no certificate', key: CREDENTIALS.key }],
    ['key', /the option cert is given without it/, { cert: CREDENTIALS.cert }],
    ['cert', /the option key is given without it/, { key: CREDENTIALS.key }],
    ['staple', /more of them than certificate chains/, { staple: {} }],
    ['staple', /scts is empty/, { ...CREDENTIALS, staple: { scts: [] } }],
    ['ca', /./, { ca: 'no certificate' }],
    ['crl', /./, { crl: 'no list' }],
    ['trustedPublicKeys', /./, { trustedPublicKeys: 'no key' }],
    ['pfx', /is not supported/, { pfx: Buffer.alloc(1) } as Client & Server],
    ['secureProtocol', /is not supported/, { secureProtocol: 'TLS_method' } as Client & Server],
    ['secureContext', /createSecureContext of trellis/, { secureContext: {} } as Client & Server],
  ];
  it.each(cases)('%s: %s', (option, problem, options) => {
    const expected = refusal(option, problem);
    expect(() => configureClient(options)).toThrow(expected);
    expect(() => configureServer(options)).toThrow(expected);
  });
});

describe('an option of one side that cannot work', () => {
  const clients: [string, RegExp, Client][] = [
    ['ocsp', /'must' is none of off, soft, hard/, { ocsp: 'must' as 'hard' }],
    ['requirePsk', /there is no key/, { requirePsk: true }],
    ['requirePsk', /are in the module/, { requirePsk: true, module: MODULE }],
    ['psk', /only a server looks them up/, { psk: () => undefined }],
    [
      'certificateCallback',
      /shows the identity of the module/,
      { certificateCallback: () => undefined, module: MODULE },
    ],
  ];
  it.each(clients)('client, %s: %s', (option, problem, options) => {
    expect(() => configureClient(options)).toThrow(refusal(option, problem));
  });

  const servers: [string, RegExp, Server][] = [
    ['maxEarlyData', /65537 is not an integer from 0 to 65536/, { maxEarlyData: 65_537 }],
    ['maxEarlyData', /-1 is not/, { maxEarlyData: -1 }],
    ['pskIdentityHint', /more than 128 bytes/, { pskIdentityHint: 'x'.repeat(129) }],
    ['ALPNCallback', /cannot be combined/, { ALPNCallback: () => undefined, ALPNProtocols: ['h2'] }],
    ['SNICallback', /shows the identity of the module/, { SNICallback: () => {}, module: MODULE }],
  ];
  it.each(servers)('server, %s: %s', (option, problem, options) => {
    expect(() => configureServer(options)).toThrow(refusal(option, problem));
  });

  it('ticketKeys of another length', () => {
    expect(() => configureServer({ ticketKeys: new Uint8Array(47) })).toThrow(
      expect.objectContaining({
        code: 'ERR_TLS_OPTION',
        message: expect.stringMatching(/^ticketKeys .* not 47/),
      }),
    );
  });

  it('a protocol that ALPNCallback makes up is refused when it does', () => {
    const { selectProtocol } = configureServer({ ALPNCallback: () => 'h3' });
    expect(() => selectProtocol?.(['h2'], undefined)).toThrow(
      expect.objectContaining({ code: 'ERR_TLS_OPTION', message: expect.stringContaining("'h3'") }),
    );
  });
});

describe('an option of both sides reaches the engine', () => {
  const cases: [option: string, options: Client & Server, Partial<ClientConfig & ServerConfig>][] = [
    [
      'nothing',
      {},
      {
        handshakeTimeout: 120_000,
        maxFragment: 16_384,
        padTo: 1,
        recordSizeLimit: undefined,
        pskOnlyKeyExchange: false,
        endOnRenegotiation: false,
        grease: false,
        legacy: [],
        certificateCompression: undefined,
      },
    ],
    ['handshakeTimeout', { handshakeTimeout: 0 }, { handshakeTimeout: 0 }],
    ['maxSendFragment', { maxSendFragment: 512 }, { maxFragment: 512 }],
    ['padding', { padding: 16_384 }, { padTo: 16_384 }],
    ['recordSizeLimit', { recordSizeLimit: 64 }, { recordSizeLimit: 64 }],
    ['pskOnlyKeyExchange', { pskOnlyKeyExchange: true }, { pskOnlyKeyExchange: true }],
    ['endOnRenegotiation', { endOnRenegotiation: true }, { endOnRenegotiation: true }],
    ['grease', { grease: true }, { grease: true }],
    ['ecdhCurve', { ecdhCurve: 'P-521' }, { groups: [NamedGroup.secp521r1] }],
    ['sigalgs', { sigalgs: 'ed25519' }, { schemes: [SignatureScheme.ed25519] }],
    ['maxVersion', { maxVersion: 'TLSv1.2' }, { suites: [] }],
    ['minVersion', { minVersion: 'TLSv1.3' }, { tls12: undefined }],
    ['legacy', { legacy: ['tls1.1', 'cbc'] }, { legacy: ['tls1.1', 'cbc'] }],
  ];
  it.each(cases)('%s', (_option, options, expected) => {
    expect(configureClient(options)).toMatchObject(expected);
    expect(configureServer(options)).toMatchObject(expected);
  });

  it('versions, suites, and what TLS 1.2 insists on', () => {
    const options = {
      ciphers: 'TLS_AES_256_GCM_SHA384:ECDHE-RSA-AES128-GCM-SHA256',
      requireExtendedMasterSecret: false,
      requireSecureRenegotiation: false,
    };
    for (const { suites, tls12 } of [configureClient(options), configureServer(options)]) {
      expect(suites.map(({ name }) => name)).toEqual(['TLS_AES_256_GCM_SHA384']);
      expect(tls12).toMatchObject({
        requireExtendedMasterSecret: false,
        requireSecureRenegotiation: false,
        suites: [{ name: 'ECDHE-RSA-AES128-GCM-SHA256' }],
      });
    }
    const { tls12 } = configureClient();
    expect(tls12?.requireExtendedMasterSecret).toBe(true);
    // Required unless it is false.
    expect(tls12?.requireSecureRenegotiation).not.toBe(false);
    expect(configureClient({ legacy: ['tls1.0'], maxVersion: 'TLSv1' }).tls12?.newest).toBe(
      ProtocolVersion.tls10,
    );
  });

  it('compression of certificates, in the order that was asked for', () => {
    const options: Client & Server = { certificateCompression: ['brotli', 'zlib'] };
    for (const config of [configureClient(options), configureServer(options)])
      expect(config.certificateCompression?.map(({ id }) => id)).toEqual([2, 1]);
  });

  it('raw public keys', () => {
    const options = {
      trustedPublicKeys: createPublicKey(CREDENTIALS.key).export({ type: 'spki', format: 'pem' }).toString(),
    };
    for (const configure of [configureClient, configureServer]) {
      expect(configure(options).acceptedTypes).toEqual([CertificateType.raw_public_key]);
      const both = configure({ ...options, ca: CA });
      expect(both.acceptedTypes).toEqual([CertificateType.raw_public_key, CertificateType.x509]);
      expect(both.verifyRawKey).toBeTypeOf('function');
      expect(configure({}).acceptedTypes).toBeUndefined();
    }
  });
});

describe('an option of a client reaches the engine', () => {
  const source = { certificateCallback: () => undefined };
  const cases: [option: string, options: Client, Partial<ClientConfig>][] = [
    [
      'nothing',
      {},
      {
        serverName: 'localhost',
        sendServerName: true,
        alpnProtocols: [],
        identities: [],
        identitySource: undefined,
        insistOnCertificate: false,
        requestOcsp: true,
        requestScts: false,
        permuteExtensions: false,
        postHandshakeAuth: false,
        authorities: undefined,
        earlyData: false,
        fallback: false,
        session: undefined,
        psks: [],
      },
    ],
    ['host', { host: 'a.test' }, { serverName: 'a.test', sendServerName: true }],
    ['host, an address', { host: '::1' }, { serverName: '::1', sendServerName: false }],
    ['servername', { host: 'a.test', servername: 'b.test' }, { serverName: 'b.test' }],
    ["servername ''", { host: 'a.test', servername: '' }, { serverName: 'a.test', sendServerName: false }],
    ['ALPNProtocols', { ALPNProtocols: ['h2'] }, { alpnProtocols: ['h2'] }],
    ['ocsp', { ocsp: 'off' }, { requestOcsp: false }],
    ['requestOCSP', { ocsp: 'off', requestOCSP: true }, { requestOcsp: true }],
    ['requestSCT', { requestSCT: true }, { requestScts: true }],
    ['permuteExtensions', { permuteExtensions: true }, { permuteExtensions: true }],
    ['postHandshakeAuth', { postHandshakeAuth: true }, { postHandshakeAuth: true }],
    ['fallback', { fallback: true }, { fallback: true }],
    ['insistOnCert', { insistOnCert: true }, { insistOnCertificate: true }],
    ['earlyData', { earlyData: Uint8Array.of(1) }, { earlyData: true }],
    ['earlyData, none', { earlyData: new Uint8Array(0) }, { earlyData: false }],
    ['ecdhCurve', { ecdhCurve: 'X25519MLKEM768:X25519:P-256' }, { keyShares: [0x11ec, NamedGroup.x25519] }],
    ['ecdhCurve, no hybrid', { ecdhCurve: 'P-384:X25519' }, { keyShares: [NamedGroup.secp384r1] }],
    ['certificateCallback', source, { identitySource: { select: expect.any(Function) } }],
    ['sendAuthorities', { ca: CA, sendAuthorities: true }, { authorities: [expect.any(Uint8Array)] }],
    ['sendAuthorities without ca', { sendAuthorities: true }, { authorities: undefined }],
    ['psk', { psk: KEY }, { psks: [{ binder: 'external', hash: 'sha256' }] }],
    ['requirePsk', { psk: KEY, requirePsk: true }, { requirePsk: true, tls12: expect.anything() }],
    [
      'requirePsk of an imported key',
      { psk: { ...KEY, import: true }, requirePsk: true },
      { requirePsk: true, tls12: undefined },
    ],
  ] as [string, Client, Partial<ClientConfig>][];
  it.each(cases)('%s', (_option, options, expected) => {
    expect(configureClient(options)).toMatchObject(expected);
  });

  it('cert and key, and what certificateCallback says of them', async () => {
    const other = createSecureContext({ ...CREDENTIALS, mustMatchIssuer: true });
    const answers = [undefined, other, createSecureContext()];
    const { identities, identitySource } = configureClient({
      ...CREDENTIALS,
      certificateCallback: () => answers.shift(),
    });
    expect(identities.map(({ chain }) => chain)).toEqual([[leaf.der]]);
    const wishes = { schemes: undefined, authorities: [], certificateTypes: undefined };
    expect(await identitySource?.select(undefined, wishes)).toBe(identities);
    expect(await identitySource?.select(undefined, wishes)).toBe(other.identities);
    expect(await identitySource?.select(undefined, wishes)).toEqual([]);
  });

  it('session, unless it is of another server or another library', () => {
    expect(configureClient({ session: Uint8Array.of(1, 2, 3) }).session).toBeUndefined();
  });
});

describe('an option of a server reaches the engine', () => {
  const cases: [option: string, options: Server, Partial<ServerConfig>][] = [
    [
      'nothing',
      {},
      {
        identitySource: undefined,
        selectProtocol: undefined,
        clientCertificate: 'none',
        certificateAuthorities: [],
        findPsk: undefined,
        pskIdentityHint: undefined,
        preferCertificate: false,
        tickets: { lifetime: 300, count: 1, earlyData: undefined, keys: expect.anything() },
      },
    ],
    ['requestCert', { requestCert: true }, { clientCertificate: 'require', certificateAuthorities: [] }],
    [
      'requestCert with ca',
      { requestCert: true, ca: CA },
      { clientCertificate: 'require', certificateAuthorities: [expect.any(Uint8Array)] },
    ],
    [
      'rejectUnauthorized',
      { requestCert: true, rejectUnauthorized: false },
      { clientCertificate: 'request' },
    ],
    [
      'fingerprints',
      { fingerprints: `sha-256 ${'AB:'.repeat(31)}AB`, ca: CA },
      { clientCertificate: 'require', certificateAuthorities: [] },
    ],
    ['pskIdentityHint', { pskIdentityHint: 'hint' }, { pskIdentityHint: Buffer.from('hint') }],
    ['preferCertificate', { preferCertificate: true }, { preferCertificate: true }],
    ['SNICallback', { SNICallback: () => {} }, { identitySource: { select: expect.any(Function) } }],
    ['psk', { psk: KEY }, { findPsk: expect.any(Function) }],
  ] as [string, Server, Partial<ServerConfig>][];
  it.each(cases)('%s', (_option, options, expected) => {
    expect(configureServer({ ...CREDENTIALS, ...options })).toMatchObject(expected);
  });

  it('ALPNProtocols and ALPNCallback', () => {
    const fixed = configureServer({ ALPNProtocols: ['h2', 'http/1.1'] }).selectProtocol;
    expect(fixed?.(['http/1.1', 'h2'], undefined)).toBe('h2');
    expect(fixed?.(['h3'], undefined)).toBeUndefined();
    const asked: unknown[] = [];
    const own = configureServer({
      ALPNCallback: (offer) => {
        asked.push(offer);
        return offer.protocols.at(-1);
      },
    }).selectProtocol;
    expect(own?.(['a', 'b'], 'one.test')).toBe('b');
    expect(asked).toEqual([{ servername: 'one.test', protocols: ['a', 'b'] }]);
  });

  it('maxEarlyData, with one guard for all connections of a context', () => {
    expect(configureServer({ maxEarlyData: 0 }).tickets?.earlyData).toBeUndefined();
    const context = new SecureContext(CREDENTIALS);
    const policies = [1, 65_536].map(
      (maxEarlyData) => configureServer({ secureContext: context, maxEarlyData }).tickets?.earlyData,
    );
    expect(policies.map((policy) => policy?.maxBytes)).toEqual([1, 65_536]);
    // The tickets are not older than the guard.
    const now = Date.now() + 1_000_000;
    const uses = policies.map((policy) => policy?.firstUse(nodeCrypto, Uint8Array.of(1), now, now));
    expect(uses).toEqual([true, false]);
  });

  it('sessionTimeout, ticketKeys and sessionStore', () => {
    const ticketKeys = new Uint8Array(48).fill(3);
    const sessionStore = { get: () => undefined, set: () => {} };
    const { tickets, sessions } = configureServer({ sessionTimeout: 7, ticketKeys, sessionStore });
    expect(tickets).toMatchObject({ lifetime: 7 });
    expect(tickets?.keys.bytes).toEqual(ticketKeys);
    expect(sessions).toEqual({ store: sessionStore, lifetime: 7 });
    expect(configureServer({ minVersion: 'TLSv1.3' })).not.toHaveProperty('sessions');
  });
});
