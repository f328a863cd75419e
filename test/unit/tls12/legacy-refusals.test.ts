import crypto from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { unpadPremaster } from '../../../src/crypto/premaster.ts';
import { prf } from '../../../src/crypto/prf.ts';
import { isRsaKeyExchange, LEGACY_SUITES, TLS12_SUITES } from '../../../src/crypto/suites12.ts';
import type { ClientConfig, ServerConfig } from '../../../src/handshake/config.ts';
import { buildRsaClientKeyExchange, parseRsaClientKeyExchange } from '../../../src/messages/tls12.ts';
import { CipherSuite, HandshakeType, ProtocolVersion } from '../../../src/wire/codepoints.ts';
import { clientIdentity, testIdentity, testTickets } from '../../setup/engine-config.ts';
import {
  changing,
  changingClientHello,
  changingServerHello,
  expectAlive,
  expectFound,
} from '../../setup/faults.ts';
import { flipBit, type Pair } from '../../setup/pair.ts';
import { connect12, EVERY_IDENTITY } from './kit.ts';

/* What is refused where something old is spoken, and what stays off where it is not. */

const suites = [...TLS12_SUITES, ...LEGACY_SUITES];
const tls12 = { suites, requireExtendedMasterSecret: true } as const;
const OLD = { legacy: ['tls1.0', 'tls1.1', 'rsa', 'cbc'], tls12 } as const;
const CERTIFIED = LEGACY_SUITES.filter(
  ({ legacy, authentication }) => !legacy.includes('rc4') && authentication !== 'psk',
);
const { tls10, tls11 } = ProtocolVersion;
const upTo = (newest: number) => ({ ...OLD, tls12: { ...tls12, newest } });
const rsaOnly = (newest: number = ProtocolVersion.tls12) => ({
  ...OLD,
  tls12: { ...tls12, newest, suites: LEGACY_SUITES.filter(isRsaKeyExchange) },
  selectIdentities: () => [EVERY_IDENTITY.rsa],
});
const connect = (client: Partial<ClientConfig>, server: Partial<ServerConfig>, tamper?: Pair['tamper']) =>
  connect12(client, server, tamper === undefined ? {} : { tamper });

describe('without being named', () => {
  test.each([
    ['TLS 1.0', upTo(tls10)],
    ['TLS 1.1', upTo(tls11)],
  ])('a server does not speak %s', (_name, client) => {
    const pair = connect(client, { ...OLD, legacy: ['rsa', 'cbc'] });
    expectFound(pair, 'server', 'ERR_TLS_UNSUPPORTED_VERSION', 'protocol_version');
  });

  test('a client does not speak TLS 1.1, whatever a server says', () => {
    const older = changingServerHello((hello) => ({ ...hello, legacyVersion: tls11 }));
    const pair = connect({ ...OLD, legacy: ['rsa'] }, OLD, older);
    expectFound(pair, 'client', 'ERR_TLS_UNSUPPORTED_VERSION', 'protocol_version');
  });

  test.each(CERTIFIED)('$name is not used', (suite) => {
    const one = { ...tls12, suites: [suite] };
    const pair = connect({ ...OLD, tls12: one }, { tls12: one });
    expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_CIPHER', 'handshake_failure');
  });

  test('CBC is not spoken without encrypt_then_mac', () => {
    const one = { ...tls12, suites: TLS12_SUITES.filter(({ name }) => name === 'ECDHE-RSA-AES128-SHA') };
    expectAlive(connect({ tls12: one }, { tls12: one }));
  });
});

describe('versions', () => {
  test('the newest that both speak is taken', () => {
    expect(connect(upTo(tls11), OLD).client.connection.info?.protocol).toBe('TLSv1.1');
    expect(connect(OLD, upTo(tls10)).client.connection.info?.protocol).toBe('TLSv1');
  });

  test('a server that was led back to TLS 1.1 says so, and a client of TLS 1.2 heeds it', () => {
    const older = changingClientHello((hello) => ({ ...hello, legacyVersion: tls11 }));
    expectFound(connect(OLD, OLD, older), 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('a client that fell back is refused by a server that speaks more', () => {
    const pair = connect({ ...upTo(tls11), fallback: true }, OLD);
    expectFound(pair, 'server', 'ERR_TLS_INAPPROPRIATE_FALLBACK', 'inappropriate_fallback');
  });

  test('and served where that is all there is', () => {
    expectAlive(connect({ ...upTo(tls11), fallback: true }, upTo(tls11)));
  });

  test('a suite of TLS 1.2 is none of TLS 1.1', () => {
    const id = CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;
    const tamper = changingServerHello((hello) => ({ ...hello, cipherSuite: id }));
    const pair = connect(OLD, upTo(tls11), tamper);
    expectFound(pair, 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('a session is resumed in its own version only', () => {
    const server = { ...OLD, tickets: testTickets };
    const first = connect(upTo(tls11), server);
    const [session] = first.client.sessions;
    expect(connect({ ...upTo(tls11), session }, server).server.connection.info?.resumed).toBe(true);
    expect(connect({ ...OLD, session }, server).server.connection.info).toMatchObject({
      resumed: false,
      protocol: 'TLSv1.2',
    });
  });
});

describe.each([
  ['TLS 1.0', tls10],
  ['TLS 1.1', tls11],
])('%s', (_name, version) => {
  test.each(['p256', 'rsa'] as const)('a wrong signature by %s is found', (kind) => {
    const tamper = changing('server', HandshakeType.server_key_exchange, ({ raw }) => [flipBit(raw)]);
    const server = { ...upTo(version), selectIdentities: () => [EVERY_IDENTITY[kind]] };
    const pair = connect({ ...OLD, tls12: { ...tls12, suites: TLS12_SUITES } }, server, tamper);
    expectFound(pair, 'client', 'ERR_TLS_BAD_SIGNATURE', 'decrypt_error');
  });

  test.each(['p256', 'rsa'] as const)("a client's certificate with a %s key is verified", (kind) => {
    const identities = [kind === 'rsa' ? EVERY_IDENTITY.rsa : clientIdentity];
    const server = { ...upTo(version), clientCertificate: 'require' } as const;
    expectAlive(connect({ ...OLD, identities }, server));
    const tamper = changing('client', HandshakeType.certificate_verify, ({ raw }) => [flipBit(raw)]);
    const pair = connect({ ...OLD, identities }, server, tamper);
    expectFound(pair, 'server', 'ERR_TLS_BAD_SIGNATURE', 'decrypt_error');
  });

  test('a wrong Finished is found', () => {
    const tamper = changing('client', HandshakeType.finished, ({ raw }) => [flipBit(raw)]);
    expectFound(connect(OLD, upTo(version), tamper), 'server', 'ERR_TLS_BAD_FINISHED', 'decrypt_error');
  });

  test('an Ed25519 key cannot sign there', () => {
    const server = { ...upTo(version), selectIdentities: () => [testIdentity('ed25519')] };
    const pair = connect(OLD, server);
    expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_SIGNATURE_SCHEME', 'handshake_failure');
  });
});

describe('the RSA key exchange', () => {
  /** What the client encrypts is put in by the network. */
  const saying = (ciphertext: (right: Uint8Array) => Uint8Array) =>
    changing('client', HandshakeType.client_key_exchange, ({ body }) => [
      buildRsaClientKeyExchange(ciphertext(parseRsaClientKeyExchange(body))),
    ]);
  const publicKey = crypto.createPublicKey({
    key: Buffer.from(EVERY_IDENTITY.rsa.chain[0] as Uint8Array),
    format: 'der',
    type: 'spki',
  });
  const raw = (block: Uint8Array) =>
    crypto.publicEncrypt({ key: publicKey, padding: crypto.constants.RSA_NO_PADDING }, block);
  const block = (change: (right: Uint8Array) => void) => {
    const right = new Uint8Array(256).fill(7);
    right.set([0, 2]);
    right.set([0, 3, 3], 256 - 49);
    change(right);
    return () => raw(right);
  };

  // One answer to whatever is wrong with it (RFC 5246 §7.4.7.1): that of a wrong premaster secret, at Finished.
  test.each([
    ['of another client', block(() => {})],
    ['that does not begin with zero', block((b) => b.set([1]))],
    ['of another kind of padding', block((b) => b.set([1], 1))],
    ['with a zero in the padding', block((b) => b.set([0], 20))],
    ['without a zero behind the padding', block((b) => b.set([7], 256 - 49))],
    ['with another version', block((b) => b.set([1], 256 - 47))],
    ['that is not below the modulus', () => new Uint8Array(256).fill(0xff)],
    ['that is too short', () => new Uint8Array(12)],
    ['that is too long', () => new Uint8Array(300)],
    ['that is empty', () => new Uint8Array(0)],
  ])('a secret %s ends at Finished', (_name, ciphertext) => {
    const pair = connect(rsaOnly(), rsaOnly(), saying(ciphertext));
    expectFound(pair, 'server', 'ERR_TLS_BAD_RECORD_MAC', 'bad_record_mac');
  });

  test('what is behind the secret is a syntax error', () => {
    const tamper = changing('client', HandshakeType.client_key_exchange, ({ raw: message }) => {
      const longer = new Uint8Array(message.length + 1);
      longer.set(message);
      longer[3] = (longer[3] as number) + 1;
      return [longer];
    });
    expectFound(connect(rsaOnly(), rsaOnly(), tamper), 'server', 'ERR_TLS_DECODE', 'decode_error');
  });

  test('a certificate whose key cannot decrypt is not for it', () => {
    const server = { ...rsaOnly(), selectIdentities: () => [EVERY_IDENTITY.p256] };
    const pair = connect(rsaOnly(), server);
    expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_SIGNATURE_SCHEME', 'handshake_failure');
  });

  test('unpadPremaster gives the secret of a right block, and the other for every byte that can be wrong', () => {
    const otherwise = new Uint8Array(48).fill(9);
    const right = new Uint8Array(256).fill(1);
    right.set([0, 2]);
    right.set([0, 3, 3], 256 - 49);
    expect(unpadPremaster(right, 0x0303, otherwise)).toEqual(right.slice(-48));
    expect(unpadPremaster(right, 0x0302, otherwise)).toEqual(otherwise);
    for (let i = 0; i < 256 - 46; i++) {
      const wrong = right.slice();
      wrong[i] = i >= 2 && i < 256 - 49 ? 0 : (wrong[i] as number) ^ 1;
      expect(unpadPremaster(wrong, 0x0303, otherwise)).toEqual(otherwise);
    }
    expect(unpadPremaster(new Uint8Array(58), 0x0303, otherwise)).toEqual(otherwise);
    expect(unpadPremaster(new Uint8Array(0), 0x0303, otherwise)).toEqual(otherwise);
  });
});

test("the PRF of TLS 1.0 makes what NIST's and OpenSSL's does", () => {
  const hex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));
  const secret = hex(
    'bded7fa5c1699c010be23dd06ada3a48349f21e5f86263d512c0c5cc379f0e780ec55d9844b2f1db02a96453513568d0',
  );
  const client = hex('e5acaf549cd25c22d964c0d930fa4b5261d2507fad84c33715b7b9a864020693');
  const server = hex('135e4d557fdf3aa6406d82975d5c606a9734c9334b42136e96990fbd5358cdb2');
  const made = prf(nodeCrypto, 'md5-sha1', secret, 'master secret', [client, server], 48);
  expect(Buffer.from(made).toString('hex')).toBe(
    '2f6962dfbc744c4b2138bb6b3d33054c5ecc14f24851d9896395a44ab3964efc2090c5bf51a0891209f46c1e1e998f62',
  );
  // Halves of a secret with an odd number of bytes share the one in the middle.
  const odd = prf(nodeCrypto, 'md5-sha1', Uint8Array.of(1, 2, 3), 'x', [], 5);
  const one = nodeCrypto.hmac(
    'md5',
    Uint8Array.of(1, 2),
    nodeCrypto.hmac('md5', Uint8Array.of(1, 2), hex('78')),
  );
  expect(odd.length).toBe(5);
  expect(one.length).toBe(16);
});
