import crypto from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { KeyObjectSigningKey } from '../../src/crypto/node/signing-key.ts';
import { schemeById } from '../../src/crypto/schemes.ts';
import type { ClientConfig, ServerConfig } from '../../src/handshake/config.ts';
import { MAX_KEY_UPDATES } from '../../src/handshake/established.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../src/messages/authentication.ts';
import { ContentType, ExtensionType, HandshakeType, NamedGroup } from '../../src/wire/codepoints.ts';
import { concat } from '../../src/wire/writer.ts';
import { clientIdentity } from '../setup/engine-config.ts';
import {
  changing,
  changingClientHello,
  expectAlive,
  expectFound,
  NOTHING,
  setExtension,
} from '../setup/faults.ts';
import { runTampered } from '../setup/handshakes.ts';
import { type Pair, peerOf, type Tamper } from '../setup/pair.ts';
import { hex } from '../vectors/rfc8448.ts';

/* What BoringSSL's runner found in the TLS 1.3 engine (docs/conformance.md), each with its smallest form here. */

describe('nothing may follow in the record of a message that the peer must answer (RFC 8446 §5.1)', () => {
  const RETRY = [{ keyShares: [NamedGroup.x25519] }, { groups: [NamedGroup.secp256r1] }] as const satisfies [
    Partial<ClientConfig>,
    Partial<ServerConfig>,
  ];

  /** The first byte of a next message, in the record of this one. */
  const goingOn = (from: 'client' | 'server', type: number): Tamper =>
    changing(from, type, ({ raw }) => [raw, Uint8Array.of(type)], 0);

  test('after the first ClientHello', () => {
    const pair = runTampered(goingOn('client', HandshakeType.client_hello), ...RETRY);
    expectFound(pair, 'server', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });

  test('after a HelloRetryRequest', () => {
    const pair = runTampered(goingOn('server', HandshakeType.server_hello), ...RETRY);
    expectFound(pair, 'client', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });
});

describe('certificate_authorities must be well-formed (RFC 8446 §4.2.4)', () => {
  const malformed = [
    ['no name', '0000'],
    ['an empty name', '00020000'],
    ['a byte behind the list', '000300013000'],
  ] as const;

  test.each(malformed)('in ClientHello: %s', (_what, body) => {
    const type = ExtensionType.certificate_authorities;
    const tamper = changingClientHello((hello) => setExtension(hello, type, hex(body)));
    expectFound(runTampered(tamper), 'server', 'ERR_TLS_DECODE', 'decode_error');
  });

  test.each(malformed)('in CertificateRequest: %s', (_what, list) => {
    const type = ExtensionType.certificate_authorities;
    const tamper = changing('server', HandshakeType.certificate_request, ({ body }) => [
      buildCertificateRequest(setExtension(parseCertificateRequest(body), type, hex(list))),
    ]);
    const pair = runTampered(tamper, { identities: [clientIdentity] }, { clientCertificate: 'request' });
    expectFound(pair, 'client', 'ERR_TLS_DECODE', 'decode_error');
  });
});

describe.each(['client', 'server'] as const)('KeyUpdates that a %s asks for (RFC 8446 §4.6.3)', (asker) => {
  const peer = peerOf[asker];
  const keyUpdates = (pair: Pair, before: number): number => pair.sent[peer].length - before;

  test('are answered once while the other side is silent, and again when it has spoken', () => {
    const pair = runTampered(undefined);
    const before = pair.sent[peer].length;
    for (let i = 0; i < 5; i++) {
      pair[asker].connection.updateKeys(true);
      pair.run();
    }
    expect(keyUpdates(pair, before)).toBe(1);
    pair[peer].connection.send(Uint8Array.of(1));
    pair.run();
    pair[asker].connection.updateKeys(true);
    pair.run();
    // The data, and the second answer.
    expect(keyUpdates(pair, before)).toBe(3);
    expectAlive(pair);
  });

  test('do not let a flood of them make a flood of answers', () => {
    const pair = runTampered(undefined);
    const before = pair.sent[peer].length;
    for (let i = 0; i <= MAX_KEY_UPDATES; i++) {
      pair[asker].connection.updateKeys(true);
      pair.run();
    }
    expectFound(pair, peer, 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
    // One answer, and the alert.
    expect(keyUpdates(pair, before)).toBe(2);
  });
});

describe('RSASSA-PSS needs room in the modulus (RFC 8017 §9.1.1)', () => {
  const [SHA256, SHA384, SHA512] = ['rsa_pss_rsae_sha256', 'rsa_pss_rsae_sha384', 'rsa_pss_rsae_sha512'];

  const schemesOf = (modulusLength: number): string[] => {
    const { privateKey } = crypto.generateKeyPairSync('rsa', { modulusLength });
    const key = new KeyObjectSigningKey(privateKey);
    for (const scheme of key.schemes) expect(key.sign(scheme, NOTHING).length).toBe(modulusLength / 8);
    const names = key.schemes.map((id) => schemeById(id)?.name ?? 'unknown');
    return names.filter((name) => name.startsWith('rsa_pss'));
  };

  test('a key of 1024 bits does not sign with SHA-512', () => {
    expect(schemesOf(1024)).toEqual([SHA256, SHA384]);
  });

  test('nor does one that is a byte too short, while the next size does', () => {
    expect(schemesOf(1032)).toEqual([SHA256, SHA384]);
    expect(schemesOf(1040)).toEqual([SHA256, SHA384, SHA512]);
  });
});

describe('what comes in one record', () => {
  test('a whole second message behind ClientHello is refused alike', () => {
    const tamper: Tamper = ({ from, nth, type, content }) =>
      from === 'client' && nth === 0 && type === ContentType.handshake
        ? [{ type, content: concat([content, content]) }]
        : undefined;
    expectFound(runTampered(tamper), 'server', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });
});
