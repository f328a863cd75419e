import { describe, expect, test } from 'vitest';
import type { ClientConfig, Identity, IdentitySource, ServerConfig } from '../../src/handshake/config.ts';
import { MAX_CERTIFICATE_REQUESTS } from '../../src/handshake/tls13/post-handshake.ts';
import {
  buildCertificate,
  buildCertificateRequest,
  buildFinished,
  parseCertificate,
} from '../../src/messages/authentication.ts';
import { signatureAlgorithms } from '../../src/messages/extensions.ts';
import { ContentType, ExtensionType, HandshakeType, SignatureScheme } from '../../src/wire/codepoints.ts';
import { clientConfig, clientIdentity, serverConfig, testIdentity } from '../setup/engine-config.ts';
import { expectFound } from '../setup/faults.ts';
import { Pair, type PairSetup, splitMessages, type Tamper } from '../setup/pair.ts';

const START_PAIR = (
  client: Partial<ClientConfig> = {},
  server: Partial<ServerConfig> = {},
  more: Partial<PairSetup> = {},
): Pair =>
  new Pair({
    client: clientConfig({ postHandshakeAuth: true, identities: [clientIdentity], ...client }),
    server: serverConfig(server),
    ...more,
  }).run();

const answers = (pair: Pair): number =>
  pair.server.events.filter(({ type }) => type === 'authenticated').length;
const handshake = (content: Uint8Array) => ({ type: ContentType.handshake, content });
const request = (context: number) =>
  buildCertificateRequest({
    context: Uint8Array.of(context),
    extensions: [
      {
        type: ExtensionType.signature_algorithms,
        body: signatureAlgorithms.build([SignatureScheme.ecdsa_secp256r1_sha256]),
      },
    ],
  });

/** Changes each message of this type that the client says once the session stands. */
const changing =
  (type: number, change: (raw: Uint8Array, body: Uint8Array) => Uint8Array): Tamper =>
  ({ from, epoch, type: content, content: bytes }) => {
    if (from !== 'client' || epoch !== 'application' || content !== ContentType.handshake) return undefined;
    return splitMessages(bytes).map((one) =>
      handshake(one.type === type ? change(one.raw, one.body) : one.raw),
    );
  };

describe('post-handshake client authentication', () => {
  test('shows the certificate when asked, again and again', () => {
    const pair = START_PAIR();
    expect(pair.server.connection.info?.peer).toBeUndefined();
    pair.server.connection.requestCertificate();
    pair.run();
    expect(answers(pair)).toBe(1);
    expect(pair.server.connection.info?.peer?.chain).toEqual(clientIdentity.chain);
    pair.server.connection.updateKeys(true);
    pair.client.connection.updateKeys(true);
    pair.run();
    pair.server.connection.requestCertificate();
    pair.server.connection.requestCertificate();
    pair.run();
    expect(answers(pair)).toBe(3);
    pair.client.connection.send(Uint8Array.of(1));
    pair.server.connection.send(Uint8Array.of(2));
    pair.run();
    expect([pair.server.data, pair.client.data]).toEqual([Uint8Array.of(1), Uint8Array.of(2)]);
  });

  test('asks which certificate it shall be, with what the server says of it', () => {
    const other = testIdentity('p384');
    const wishes: unknown[] = [];
    const answer = [[other], [], [clientIdentity]];
    const identitySource: IdentitySource = {
      select(serverName, wished) {
        wishes.push([serverName, wished]);
        return answer[wishes.length - 1] ?? [];
      },
    };
    const pair = START_PAIR({ identitySource }, { certificateAuthorities: [Uint8Array.of(0x30, 0)] });
    expect(wishes).toEqual([]);
    const shown = [other, undefined, clientIdentity].map((identity) => {
      pair.server.connection.requestCertificate();
      pair.run();
      return [pair.server.connection.info?.peer?.chain, identity?.chain];
    });
    expect(shown.map(([found]) => found)).toEqual(shown.map(([, expected]) => expected));
    expect(answers(pair)).toBe(3);
    const { schemes } = serverConfig();
    const wished = { schemes, authorities: [Uint8Array.of(0x30, 0)], certificateTypes: undefined };
    expect(wishes).toEqual([1, 2, 3].map(() => ['server.test', wished]));
    // What was shown in the handshake, and sub-protocols know, is what it was: nothing.
    expect(pair.client.connection.identities).toEqual([]);
  });

  test('holds up nothing while the certificate is chosen, and answers in the order that it was asked', () => {
    const identitySource: IdentitySource = { select: () => new Promise<readonly Identity[]>(() => {}) };
    const pair = START_PAIR({ identitySource });
    const { client, server } = pair;
    server.connection.requestCertificate();
    server.connection.requestCertificate();
    server.connection.send(Uint8Array.of(7));
    pair.run();
    expect(client.connection.wanted?.kind).toBe('identities');
    expect(client.connection.inputFull).toBe(false);
    expect(client.data).toEqual(Uint8Array.of(7));
    // What answers another question is passed over.
    client.connection.provide(new Uint8Array(64), pair.now);
    server.connection.updateKeys(true);
    client.connection.updateKeys(true);
    pair.run();
    expect(answers(pair)).toBe(0);
    for (const [i, identities] of [[], [clientIdentity]].entries()) {
      expect(client.connection.wanted?.kind).toBe('identities');
      client.connection.provideIdentities(identities, pair.now);
      pair.run();
      expect(answers(pair)).toBe(i + 1);
    }
    expect(server.connection.info?.peer?.chain).toEqual(clientIdentity.chain);
    expect(client.connection.wanted).toBeUndefined();
    // None is asked for: nothing happens.
    client.connection.provideIdentities([clientIdentity], pair.now);
    pair.run();
    expect(answers(pair)).toBe(2);
  });

  test('is bounded while certificates are chosen, and ends with an error of the choice', () => {
    const identitySource: IdentitySource = { select: () => new Promise<readonly Identity[]>(() => {}) };
    const asked = START_PAIR({ identitySource });
    for (let i = 0; i < MAX_CERTIFICATE_REQUESTS; i++) asked.server.connection.requestCertificate();
    asked.run();
    asked.inject('server', handshake(request(1)));
    expectFound(asked, 'client', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');

    const failing = START_PAIR({ identitySource });
    failing.server.connection.requestCertificate();
    failing.run();
    failing.client.connection.abandon(new Error('no card'));
    failing.run();
    expectFound(failing, 'client', 'ERR_TLS_INTERNAL', 'internal_error');
  });

  test('says that there is none', () => {
    const pair = START_PAIR({ identities: [] });
    pair.server.connection.requestCertificate();
    pair.run();
    expect(answers(pair)).toBe(1);
    expect(pair.server.connection.info?.peer).toBeUndefined();
  });

  test('holds up no data while a card signs', () => {
    let signature: (() => Uint8Array) | undefined;
    const pair = START_PAIR(
      {},
      {},
      {
        sign: (wanted, role) => {
          const make = () => wanted.key.sign(wanted.scheme, wanted.input) as Uint8Array;
          if (role === 'server') return make();
          signature = make;
          return undefined;
        },
      },
    );
    pair.server.connection.requestCertificate();
    pair.server.connection.send(Uint8Array.of(7));
    pair.run();
    expect(pair.client.connection.wanted?.kind).toBe('signature');
    expect(pair.client.connection.inputFull).toBe(false);
    expect(pair.client.data).toEqual(Uint8Array.of(7));
    pair.client.connection.send(Uint8Array.of(8));
    pair.server.connection.updateKeys(true);
    pair.run();
    expect(answers(pair)).toBe(0);
    pair.client.connection.provide(signature?.() ?? new Uint8Array(), pair.now);
    pair.run();
    expect(answers(pair)).toBe(1);
    expect(pair.server.data).toEqual(Uint8Array.of(8));
  });

  test('is not asked of a client that does not offer it', () => {
    const pair = START_PAIR({ postHandshakeAuth: false });
    expect(() => pair.server.connection.requestCertificate()).toThrow(
      expect.objectContaining({ code: 'ERR_TLS_OPTION' }),
    );
    pair.inject('server', handshake(request(1)));
    expectFound(pair, 'client', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });

  test('is bounded on both sides', () => {
    const pair = START_PAIR(
      {},
      {},
      { sign: (w, role) => (role === 'server' ? (w.key.sign(w.scheme, w.input) as Uint8Array) : undefined) },
    );
    for (let i = 0; i < MAX_CERTIFICATE_REQUESTS; i++) pair.server.connection.requestCertificate();
    expect(() => pair.server.connection.requestCertificate()).toThrow(
      expect.objectContaining({ code: 'ERR_TLS_OPTION' }),
    );
    pair.run();
    pair.inject('server', handshake(request(1)));
    expectFound(pair, 'client', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
    const idle = START_PAIR({ identities: [] });
    for (let i = 0; i < 33; i++) idle.server.connection.send(new Uint8Array(0));
    for (let i = 0; i < 33 && idle.client.error === undefined; i++) {
      if (i % 8 === 7) idle.run();
      idle.server.connection.requestCertificate();
      idle.run();
    }
    expect(idle.client.error?.code).toBe('ERR_TLS_UNEXPECTED_MESSAGE');
  });

  test('with a context twice is refused', () => {
    const pair = START_PAIR(
      {},
      {},
      { sign: (w, role) => (role === 'server' ? (w.key.sign(w.scheme, w.input) as Uint8Array) : undefined) },
    );
    pair.inject('server', handshake(request(1)), handshake(request(1)));
    expectFound(pair, 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test.each([
    [
      'another context',
      HandshakeType.certificate,
      (_: Uint8Array, body: Uint8Array) =>
        buildCertificate({ ...parseCertificate(body), context: Uint8Array.of(1) }),
      'ERR_TLS_ILLEGAL_PARAMETER',
      'illegal_parameter',
    ],
    [
      'a wrong signature',
      HandshakeType.certificate_verify,
      (raw: Uint8Array) => Uint8Array.from(raw, (byte, i) => (i === raw.length - 1 ? byte ^ 1 : byte)),
      'ERR_TLS_BAD_SIGNATURE',
      'decrypt_error',
    ],
    [
      'a wrong Finished',
      HandshakeType.finished,
      (raw: Uint8Array) => buildFinished(new Uint8Array(raw.length - 4)),
      'ERR_TLS_BAD_FINISHED',
      'decrypt_error',
    ],
  ] as const)('answered with %s proves nothing', (_, type, change, code, alert) => {
    const pair = START_PAIR();
    pair.tamper = changing(type, change);
    pair.server.connection.requestCertificate();
    pair.run();
    expectFound(pair, 'server', code, alert);
    expect(answers(pair)).toBe(0);
  });

  test.each([
    ['data', { type: ContentType.application_data, content: Uint8Array.of(1) }],
    ['a KeyUpdate', handshake(Uint8Array.of(HandshakeType.key_update, 0, 0, 1, 0))],
  ])('with %s in the middle is refused', (_, between) => {
    const pair = START_PAIR();
    pair.tamper = ({ from, epoch, type, content }) => {
      if (from !== 'client' || epoch !== 'application' || type !== ContentType.handshake) return undefined;
      return splitMessages(content).flatMap((one) =>
        one.type === HandshakeType.certificate ? [handshake(one.raw), between] : [handshake(one.raw)],
      );
    };
    pair.server.connection.requestCertificate();
    pair.run();
    expect(pair.server.error?.code).toBe('ERR_TLS_UNEXPECTED_MESSAGE');
    expect(answers(pair)).toBe(0);
  });

  test('that nobody asked for is refused', () => {
    const pair = START_PAIR();
    pair.inject('client', handshake(buildCertificate({ context: new Uint8Array(0), entries: [] })));
    expectFound(pair, 'server', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });
});

test('a client may name authorities, and gets the certificate of one of them', () => {
  const issuer = Uint8Array.of(0x30, 0);
  const [first, second] = [testIdentity(), { ...testIdentity(), issuers: [issuer] }];
  const server = { selectIdentities: () => [first, second] };
  const shown = (pair: Pair) => pair.client.connection.info?.peer?.chain;
  expect(shown(START_PAIR({}, server))).toEqual(first.chain);
  expect(shown(START_PAIR({ authorities: [issuer] }, server))).toEqual(second.chain);
});
