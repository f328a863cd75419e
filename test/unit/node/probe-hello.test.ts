import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Connection } from '../../../src/connection/connection.ts';
import { buildServerHello, HELLO_RETRY_RANDOM, parseClientHello } from '../../../src/messages/hello.ts';
import { type Answer, AnswerReader, type Question, questionRecords } from '../../../src/node/probe/hello.ts';
import { GROUPS, OLD_SUITES, weaknessOf } from '../../../src/node/probe/names.ts';
import { CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme } from '../../../src/wire/codepoints.ts';
import { concat, Writer } from '../../../src/wire/writer.ts';
import { ONLY_TLS12, serverConfig } from '../../setup/engine-config.ts';

const RANDOM = new Uint8Array(64).fill(1);
const question: Question = {
  version: ProtocolVersion.tls13,
  suites: [CipherSuite.TLS_AES_128_GCM_SHA256],
  groups: [NamedGroup.secp384r1, NamedGroup.x25519],
  schemes: [SignatureScheme.ecdsa_secp256r1_sha256],
  serverName: 'server.test',
};

const record = (type: number, content: Uint8Array): Uint8Array =>
  new Writer().u8(type).u16(0x0303).vector(2, content).finish();

/** What a server of this engine answers. */
function answerOf(asked: Question, wantsKeyExchange = false, config = serverConfig()): Answer | undefined {
  const server = Connection.server(config, 0);
  server.receive(questionRecords(asked, RANDOM), 0);
  const { wanted } = server;
  if (wanted?.kind === 'signature') {
    server.provide(wanted.key.sign(wanted.scheme, wanted.input) as Uint8Array, 0);
  }
  const reader = new AnswerReader(wantsKeyExchange);
  let answer: Answer | undefined;
  for (const byte of concat(server.transmit())) answer ??= reader.receive(Uint8Array.of(byte));
  return answer;
}

describe('a question', () => {
  it('has TLS 1.3 servers name the group that they want', () => {
    expect(answerOf(question)).toMatchObject({
      kind: 'hello',
      version: ProtocolVersion.tls13,
      suite: CipherSuite.TLS_AES_128_GCM_SHA256,
      group: NamedGroup.x25519,
    });
  });

  it('is refused by an alert', () => {
    expect(answerOf({ ...question, suites: [0x13ff] })).toEqual({ kind: 'alert', description: 40 });
    expect(answerOf({ ...question, version: ProtocolVersion.tls11 })).toEqual({
      kind: 'alert',
      description: 70,
    });
  });

  it('shows group and scheme of TLS 1.2 in ServerKeyExchange', () => {
    const suites = OLD_SUITES.map(({ id }) => id);
    const groups = [NamedGroup.x25519, NamedGroup.secp256r1];
    const old = { ...question, version: ProtocolVersion.tls12, suites, groups };
    expect(answerOf(old, true, serverConfig(ONLY_TLS12))).toMatchObject({
      version: ProtocolVersion.tls12,
      suite: CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
      group: NamedGroup.x25519,
      scheme: SignatureScheme.ecdsa_secp256r1_sha256,
    });
  });

  it('fits records however long it is', () => {
    const extensions = [{ type: 0xfff0, body: new Uint8Array(20_000) }];
    const bytes = questionRecords({ ...question, extensions }, RANDOM);
    expect(bytes.subarray(0, 5)).toEqual(Uint8Array.of(22, 3, 1, 0x40, 0));
    const body = concat([bytes.subarray(5, 5 + 16_384), bytes.subarray(5 + 16_384 + 5)]);
    expect(parseClientHello(body.subarray(4)).extensions.at(-1)?.body).toHaveLength(20_000);
  });
});

describe('an answer', () => {
  const read = (...pieces: readonly Uint8Array[]): Answer | undefined => {
    const reader = new AnswerReader(false);
    return pieces.map((piece) => reader.receive(piece)).find((answer) => answer !== undefined);
  };

  it('that is no TLS is told as such', () => {
    expect(read(Buffer.from('HTTP/1.1 400 Bad Request\r\n'))).toMatchObject({ why: 'not-tls' });
    expect(read(Buffer.from('SSH-2.0-OpenSSH_9.2'))).toMatchObject({ why: 'not-tls' });
    expect(read(record(22, Uint8Array.of(11, 0, 0, 0)))).toMatchObject({ why: 'not-tls' });
    expect(read(record(21, Uint8Array.of(2)))).toMatchObject({ why: 'not-tls' });
  });

  it('without an end is not waited for', () => {
    const half = new Writer()
      .u8(22)
      .u16(0x0303)
      .u16(16_384)
      .bytes(Uint8Array.of(2, 0, 0xff, 0xff))
      .finish();
    const rest = new Uint8Array(16_384 - 4);
    const more = record(22, new Uint8Array(16_384));
    expect(read(half, rest, ...Array.from({ length: 10 }, () => more))).toMatchObject({ why: 'not-tls' });
  });

  it('that ends early is silence, unless a hello was there', () => {
    expect(new AnswerReader(false).end()).toMatchObject({ kind: 'silence', why: 'closed' });
    const reader = new AnswerReader(true);
    const hello = buildServerHello({
      legacyVersion: ProtocolVersion.tls12,
      random: new Uint8Array(32),
      legacySessionIdEcho: new Uint8Array(0),
      cipherSuite: 0xc02b,
      legacyCompressionMethod: 0,
      extensions: [],
    });
    expect(reader.receive(record(22, hello))).toBeUndefined();
    expect(reader.end()).toMatchObject({ kind: 'hello', suite: 0xc02b });
  });

  it('of any bytes at all is one of these', () => {
    const retry = buildServerHello({
      legacyVersion: ProtocolVersion.tls12,
      random: HELLO_RETRY_RANDOM,
      legacySessionIdEcho: new Uint8Array(0),
      cipherSuite: 0x1301,
      legacyCompressionMethod: 0,
      extensions: [{ type: 51, body: Uint8Array.of(0, 29) }],
    });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(retry.length), fc.boolean(), (noise, at, key) => {
        const bytes = concat([retry.subarray(0, at), noise, retry.subarray(at)]);
        const reader = new AnswerReader(key);
        const answer = reader.receive(record(22, bytes)) ?? reader.end();
        expect(['hello', 'alert', 'silence']).toContain(answer.kind);
      }),
    );
  });
});

describe('names', () => {
  it('are of different numbers', () => {
    for (const list of [OLD_SUITES, GROUPS]) expect(new Set(list.map(({ id }) => id)).size).toBe(list.length);
  });

  it.each([
    ['ECDHE-ECDSA-AES128-GCM-SHA256', undefined],
    ['TLS_AES_128_CCM_8_SHA256', undefined],
    ['DHE-RSA-AES256-CCM8', undefined],
    ['ECDHE-RSA-AES128-SHA', 'CBC'],
    ['AES128-GCM-SHA256', 'no forward secrecy'],
    ['PSK-AES128-GCM-SHA256', 'no forward secrecy'],
    ['DES-CBC3-SHA', '3DES, blocks of 64 bits (Sweet32)'],
    ['ECDHE-RSA-RC4-SHA', 'RC4 (RFC 7465)'],
    ['ADH-AES128-SHA', 'no authentication'],
    ['ECDHE-RSA-NULL-SHA', 'no encryption'],
    ['EXP-RC4-MD5', 'a key that can be tried out'],
  ])('%s: %s', (name, weakness) => {
    expect(weaknessOf(name)).toBe(weakness);
  });
});
