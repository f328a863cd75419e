import { describe, expect, test } from 'vitest';
import { DecodeError } from '../../src/errors/errors.ts';
import {
  buildCertificate,
  buildCertificateRequest,
  buildCertificateVerify,
  buildFinished,
  parseCertificate,
  parseCertificateRequest,
  parseCertificateVerify,
  parseFinished,
} from '../../src/messages/authentication.ts';
import * as extensions from '../../src/messages/extensions.ts';
import { HandshakeJoiner, type HandshakeMessage, handshakeMessage } from '../../src/messages/handshake.ts';
import {
  buildClientHello,
  buildEncryptedExtensions,
  buildServerHello,
  isHelloRetryRequest,
  parseClientHello,
  parseEncryptedExtensions,
  parseServerHello,
} from '../../src/messages/hello.ts';
import { buildNewSessionTicket, parseNewSessionTicket } from '../../src/messages/post-handshake.ts';
import { ExtensionType, HandshakeType } from '../../src/wire/codepoints.ts';
import {
  clientAuthentication,
  compatibilityMode,
  helloRetryRequest,
  resumed0Rtt,
  simple1Rtt,
  stepsOf,
  type Trace,
  toHex,
  value,
} from '../vectors/rfc8448.ts';

const traces = [simple1Rtt, resumed0Rtt, helloRetryRequest, clientAuthentication, compatibilityMode];

/** Every handshake message of a trace, in the order of its sender. */
function messagesOf(trace: Trace): HandshakeMessage[] {
  const messages: HandshakeMessage[] = [];
  for (const by of ['client', 'server'] as const) {
    stepsOf(trace, by, 'send handshake record').forEach((_, nth) => {
      const joiner = new HandshakeJoiner();
      joiner.push(value(trace, by, 'send handshake record', 'payload', nth));
      for (let message = joiner.next(); message !== undefined; message = joiner.next())
        messages.push(message);
      expect(joiner.empty).toBe(true);
    });
  }
  return messages;
}

/** Parses the whole body and builds the message again from nothing but the parsed value. */
function rebuild({ type, body }: HandshakeMessage): Uint8Array {
  switch (type) {
    case HandshakeType.client_hello:
      return buildClientHello(parseClientHello(body));
    case HandshakeType.server_hello:
      return buildServerHello(parseServerHello(body));
    case HandshakeType.encrypted_extensions:
      return buildEncryptedExtensions(parseEncryptedExtensions(body));
    case HandshakeType.certificate_request:
      return buildCertificateRequest(parseCertificateRequest(body));
    case HandshakeType.certificate:
      return buildCertificate(parseCertificate(body));
    case HandshakeType.certificate_verify:
      return buildCertificateVerify(parseCertificateVerify(body));
    case HandshakeType.finished:
      return buildFinished(parseFinished(body, 32));
    case HandshakeType.new_session_ticket:
      return buildNewSessionTicket(parseNewSessionTicket(body));
    case HandshakeType.end_of_early_data:
      // RFC 8446 §4.5: no content; the 0-RTT state machine that would read it is a later issue.
      return handshakeMessage(type, () => {});
    default:
      throw new Error(`RFC 8448 has no message of type ${type}`);
  }
}

/** Length of a hello's body up to its extension block; -1 for other messages. */
function withoutExtensions({ type, body }: Pick<HandshakeMessage, 'type' | 'body'>): number {
  const blockLength = (found: readonly extensions.Extension[]) =>
    found.reduce((sum, extension) => sum + 4 + extension.body.length, 2);
  if (type === HandshakeType.client_hello)
    return body.length - blockLength(parseClientHello(body).extensions);
  if (type === HandshakeType.server_hello)
    return body.length - blockLength(parseServerHello(body).extensions);
  return -1;
}

describe.each(traces)('RFC 8448 section $section, $title', (trace) => {
  test('every handshake message survives parsing and building', () => {
    const messages = messagesOf(trace);
    expect(messages.length).toBeGreaterThanOrEqual(6);
    for (const message of messages) expect(toHex(rebuild(message))).toBe(toHex(message.raw));
  });

  test('the records carry exactly the messages that the steps construct', () => {
    const constructed = trace.steps.flatMap((step) =>
      step.step.startsWith('construct')
        ? Object.entries(step.values ?? {}).map(([name]) => [step.by, name] as const)
        : [],
    );
    const seen = new Map<string, number>();
    const stated = constructed.map(([by, name]) => {
      const nth = seen.get(by + name) ?? 0;
      seen.set(by + name, nth + 1);
      const article = name.startsWith('E') ? 'an' : 'a';
      return toHex(value(trace, by, `construct ${article} ${name} handshake message`, name, nth));
    });
    const sent = messagesOf(trace).map(({ raw }) => toHex(raw));
    // Section 4 shows its ClientHello without the binders, which are calculated over what it shows.
    for (const message of stated) expect(sent.some((raw) => raw.startsWith(message))).toBe(true);
    expect(sent).toHaveLength(stated.length);
  });

  test('cut anywhere, or with a byte too many, a message is malformed', () => {
    for (const { type, body, raw } of messagesOf(trace)) {
      for (let length = 0; length < body.length; length++) {
        // RFC 8446 §4.1.2: hellos without extensions are well formed; the handshake refuses them later.
        if (length === withoutExtensions({ type, body })) continue;
        expect(
          () => rebuild({ type, body: body.subarray(0, length), raw, raw12: raw }),
          `${type} cut at ${length}`,
        ).toThrow(DecodeError);
      }
      if (type === HandshakeType.end_of_early_data) continue;
      const longer = Uint8Array.of(...body, 0);
      expect(() => rebuild({ type, body: longer, raw, raw12: raw }), `${type} with a byte more`).toThrow(
        DecodeError,
      );
    }
  });

  test('a message that arrives a byte at a time is the same message', () => {
    const whole = messagesOf(trace);
    const joiner = new HandshakeJoiner();
    const joined: string[] = [];
    for (const { raw } of whole) {
      for (const byte of raw) {
        joiner.push(Uint8Array.of(byte));
        const message = joiner.next();
        if (message !== undefined) joined.push(toHex(message.raw));
      }
    }
    expect(joined).toEqual(whole.map(({ raw }) => toHex(raw)));
  });
});

describe('extension codecs against the traces', () => {
  type Codec = { parse(body: Uint8Array): unknown; build(value: never): Uint8Array };
  const inClientHello: Readonly<Record<number, Codec>> = {
    [ExtensionType.server_name]: extensions.serverNameList,
    [ExtensionType.supported_groups]: extensions.supportedGroups,
    [ExtensionType.key_share]: extensions.keyShareClientHello,
    [ExtensionType.supported_versions]: extensions.supportedVersions,
    [ExtensionType.signature_algorithms]: extensions.signatureAlgorithms,
    [ExtensionType.psk_key_exchange_modes]: extensions.pskKeyExchangeModes,
    [ExtensionType.pre_shared_key]: extensions.offeredPsks,
    [ExtensionType.cookie]: extensions.cookie,
  };
  const inServerHello: Readonly<Record<number, Codec>> = {
    [ExtensionType.key_share]: extensions.keyShareServerHello,
    [ExtensionType.supported_versions]: extensions.selectedVersion,
    [ExtensionType.pre_shared_key]: extensions.selectedIdentity,
  };
  const inHelloRetryRequest: Readonly<Record<number, Codec>> = {
    [ExtensionType.key_share]: extensions.selectedGroup,
    [ExtensionType.supported_versions]: extensions.selectedVersion,
    [ExtensionType.cookie]: extensions.cookie,
  };
  const inEncryptedExtensions: Readonly<Record<number, Codec>> = {
    [ExtensionType.supported_groups]: extensions.supportedGroups,
    [ExtensionType.server_name]: extensions.serverNameAck,
  };
  const inCertificateRequest: Readonly<Record<number, Codec>> = {
    [ExtensionType.signature_algorithms]: extensions.signatureAlgorithms,
  };

  function block({
    type,
    body,
  }: HandshakeMessage): [readonly extensions.Extension[], Readonly<Record<number, Codec>>] {
    switch (type) {
      case HandshakeType.client_hello:
        return [parseClientHello(body).extensions, inClientHello];
      case HandshakeType.server_hello: {
        const hello = parseServerHello(body);
        return [hello.extensions, isHelloRetryRequest(hello) ? inHelloRetryRequest : inServerHello];
      }
      case HandshakeType.encrypted_extensions:
        return [parseEncryptedExtensions(body), inEncryptedExtensions];
      case HandshakeType.certificate_request:
        return [parseCertificateRequest(body).extensions, inCertificateRequest];
      default:
        return [[], {}];
    }
  }

  test.each(traces)('section $section: every extension that we know survives its codec', (trace) => {
    let checked = 0;
    for (const message of messagesOf(trace)) {
      const [found, codecs] = block(message);
      for (const { type, body } of found) {
        const codec = codecs[type];
        if (codec === undefined) continue;
        expect(toHex(codec.build(codec.parse(body) as never))).toBe(toHex(body));
        checked++;
      }
    }
    expect(checked).toBeGreaterThanOrEqual(10);
  });

  test('the values are those that the RFC narrates', () => {
    const [hello1] = messagesOf(helloRetryRequest) as [HandshakeMessage];
    const { extensions: offered } = parseClientHello(hello1.body);
    const body = (type: number) =>
      extensions.findExtension(offered, type) ?? expect.fail(`no extension ${type}`);
    expect(extensions.serverNameList.parse(body(ExtensionType.server_name))).toBe('server');
    expect(extensions.supportedGroups.parse(body(ExtensionType.supported_groups))).toEqual([
      0x001d, 0x0017, 0x0018,
    ]);
    expect(extensions.supportedVersions.parse(body(ExtensionType.supported_versions))).toEqual([0x0304]);
    const [share] = extensions.keyShareClientHello.parse(body(ExtensionType.key_share));
    expect(share?.group).toBe(0x001d);
    expect(toHex(share?.keyExchange ?? new Uint8Array())).toBe(
      toHex(value(helloRetryRequest, 'client', 'create an ephemeral x25519', 'public key')),
    );
  });

  test('section 4: the binder covers everything before the list of binders', () => {
    const record = value(resumed0Rtt, 'client', 'send handshake record', 'payload');
    const { extensions: offered } = parseClientHello(record.subarray(4));
    const psk = offered.at(-1);
    expect(psk?.type).toBe(ExtensionType.pre_shared_key);
    const { identities, binders } = extensions.offeredPsks.parse(psk?.body ?? new Uint8Array());
    expect(identities).toHaveLength(1);
    expect(toHex(record.subarray(0, record.length - extensions.bindersLength(binders)))).toBe(
      toHex(value(resumed0Rtt, 'client', 'calculate PSK binder', 'ClientHello prefix')),
    );
    expect(binders.map(toHex)).toEqual([
      toHex(value(resumed0Rtt, 'client', 'calculate PSK binder', 'finished')),
    ]);
    const ticket = parseNewSessionTicket(
      value(simple1Rtt, 'server', 'construct a NewSessionTicket', 'NewSessionTicket').subarray(4),
    );
    expect(toHex(identities[0]?.identity ?? new Uint8Array())).toBe(toHex(ticket.ticket));
  });
});
