import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { Connection } from '../../src/connection/connection.ts';
import type { SubProtocolFactory } from '../../src/connection/sub-protocol.ts';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import type { SigningKey } from '../../src/crypto/provider.ts';
import { schemeById } from '../../src/crypto/schemes.ts';
import { type Suite, suiteById } from '../../src/crypto/suites.ts';
import { CertificateError } from '../../src/errors/errors.ts';
import type { ClientConfig, Identity, PeerVerifier, ServerConfig } from '../../src/handshake/config.ts';
import type { ClientSession } from '../../src/handshake/session.ts';
import type { TicketKeys } from '../../src/handshake/tickets.ts';
import {
  parseCertificate,
  parseCertificateRequest,
  parseCertificateVerify,
} from '../../src/messages/authentication.ts';
import {
  type Extension,
  findExtension,
  offeredPsks,
  signatureAlgorithms,
  supportedGroups,
} from '../../src/messages/extensions.ts';
import { parseClientHello, parseEncryptedExtensions, parseServerHello } from '../../src/messages/hello.ts';
import { parseNewSessionTicket } from '../../src/messages/post-handshake.ts';
import { ExtensionType, HandshakeType, NamedGroup, ProtocolVersion } from '../../src/wire/codepoints.ts';
import { UnverifiedPeer } from '../../src/x509/verify.ts';
import { clientConfig, serverConfig } from '../setup/engine-config.ts';
import { Endpoint, splitMessages } from '../setup/pair.ts';
import { scriptedCrypto } from '../setup/scripted-crypto.ts';
import { certificateKey } from '../vectors/rfc8448/certificate-key.ts';
import {
  clientAuthentication,
  compatibilityMode,
  helloRetryRequest,
  hex,
  resumed0Rtt,
  simple1Rtt,
  stepsOf,
  type Trace,
  type TraceRole,
  toHex,
  value,
} from '../vectors/rfc8448.ts';

/*
 * Our client and our server each play their part of the RFC 8448 traces, and every byte that they send must be the
 * trace's. The other part is played by the trace itself.
 *
 * Injected, because it is random or was NSS's own choice, and free to choose:
 * - randoms, session id and ephemeral private keys: by a scripted CryptoProvider;
 * - signatures (RSA-PSS and ECDSA are randomised; two private keys are not in the RFC): as the answer to `wanted`,
 *   after checking that the trace's signature is over exactly the bytes that we want signed;
 * - groups and signature schemes that we do not implement: in the configuration, which only lists their numbers;
 * - extensions that we do not send ourselves (renegotiation_info, session_ticket, record_size_limit, supported_groups
 *   in EncryptedExtensions): through the sub-protocol seam;
 * - the order of extensions, which has no meaning, the padding extension, and the cookie that the RFC's server sends:
 *   by `arrangement`, which wraps the builders of messages with extensions;
 * - the NewSessionTicket, whose ticket is opaque and NSS's own: whole, by the same means.
 */

/** Modules that other files of tests have loaded are not wrapped, and those that are wrapped here are not for others. */
vi.hoisted(() => vi.resetModules());
afterAll(() => {
  vi.doUnmock('../../src/messages/hello.ts');
  vi.doUnmock('../../src/messages/post-handshake.ts');
  vi.resetModules();
});

const arrangement = vi.hoisted(() => ({
  /** The extension blocks to be like, by message; without one, a message is left as it was built. */
  blocks: {} as Record<string, readonly { readonly type: number; readonly body: Uint8Array }[] | undefined>,
  ticket: undefined as Uint8Array | undefined,
  /** These alone are taken over from the trace; everything else must be in our own message. */
  injected: [21, 44] as readonly number[],
  arrange<T extends { readonly type: number; readonly body: Uint8Array }>(
    name: string,
    own: readonly T[],
  ): readonly T[] {
    const like = arrangement.blocks[name];
    if (like === undefined) return own;
    const inOrder = like.flatMap((theirs) => {
      const ours = own.find(({ type }) => type === theirs.type);
      if (ours !== undefined) return [ours];
      return arrangement.injected.includes(theirs.type) ? [theirs as T] : [];
    });
    return [...inOrder, ...own.filter(({ type }) => !like.some((theirs) => theirs.type === type))];
  },
}));

vi.mock(import('../../src/messages/hello.ts'), async (importOriginal) => {
  const original = await importOriginal();
  return {
    ...original,
    buildClientHello: (hello) => {
      const second = hello.extensions.some(({ type }) => type === ExtensionType.cookie);
      const name = second ? 'ClientHello2' : 'ClientHello';
      return original.buildClientHello({ ...hello, extensions: arrangement.arrange(name, hello.extensions) });
    },
    buildServerHello: (hello) => {
      const name = original.isHelloRetryRequest(hello) ? 'HelloRetryRequest' : 'ServerHello';
      return original.buildServerHello({ ...hello, extensions: arrangement.arrange(name, hello.extensions) });
    },
    buildEncryptedExtensions: (extensions) =>
      original.buildEncryptedExtensions(arrangement.arrange('EncryptedExtensions', extensions)),
  };
});

vi.mock(import('../../src/messages/post-handshake.ts'), async (importOriginal) => {
  const original = await importOriginal();
  return {
    ...original,
    buildNewSessionTicket: (message) => arrangement.ticket ?? original.buildNewSessionTicket(message),
  };
});

beforeEach(() => {
  arrangement.blocks = {};
  arrangement.ticket = undefined;
});

const NO_BYTES = new Uint8Array(0);
const NOW = Date.UTC(2018, 8, 27);

/** The messages that a side sends up to and including its last handshake record, by type and in order. */
function messages(trace: Trace, by: TraceRole, type: number): Uint8Array[] {
  return stepsOf(trace, by, 'send handshake record')
    .flatMap(({ values }) => splitMessages(hex(values?.payload ?? '')))
    .filter((message) => message.type === type)
    .map(({ body }) => body);
}

function only(trace: Trace, by: TraceRole, type: number, nth = 0): Uint8Array {
  return (
    messages(trace, by, type)[nth] ?? expect.fail(`section ${trace.section}: ${by} sends no message ${type}`)
  );
}

const firstHello = (trace: Trace) => parseClientHello(only(trace, 'client', HandshakeType.client_hello));
const serverHello = (trace: Trace) =>
  parseServerHello(only(trace, 'server', HandshakeType.server_hello, trace === helloRetryRequest ? 1 : 0));
const encryptedExtensions = (trace: Trace) =>
  parseEncryptedExtensions(only(trace, 'server', HandshakeType.encrypted_extensions));

function body(extensions: readonly Extension[], type: number): Uint8Array {
  return findExtension(extensions, type) ?? expect.fail(`the trace has no extension ${type} here`);
}

/** Arranges what we build to be in the order of the trace. */
function arrangeLike(trace: Trace): void {
  const [hello1, hello2] = messages(trace, 'client', HandshakeType.client_hello).map((raw) =>
    parseClientHello(raw),
  );
  const retry =
    trace === helloRetryRequest
      ? parseServerHello(only(trace, 'server', HandshakeType.server_hello))
      : undefined;
  arrangement.blocks = {
    ClientHello: hello1?.extensions,
    ClientHello2: hello2?.extensions,
    HelloRetryRequest: retry?.extensions,
    ServerHello: serverHello(trace).extensions,
    EncryptedExtensions: encryptedExtensions(trace),
  };
}

/** Sub-protocols that only carry an extension: they offer and answer what the trace has. */
function carrying(trace: Trace, types: readonly number[]): SubProtocolFactory[] {
  const offered = firstHello(trace).extensions;
  const answered = encryptedExtensions(trace);
  return types.map((extensionType) => () => ({
    name: `extension ${extensionType}`,
    extensionType,
    contentTypes: [],
    handshakeTypes: [],
    offer: () => findExtension(offered, extensionType),
    answer: () => findExtension(answered, extensionType),
    confirm: (received) => {
      expect(toHex(received ?? NO_BYTES)).toBe(toHex(findExtension(answered, extensionType) ?? NO_BYTES));
    },
    start() {},
    receiveRecord() {},
    receiveHandshake() {},
    receiveEnd() {},
    closed() {},
  }));
}

const IN_CLIENT_HELLO = [ExtensionType.renegotiation_info, ExtensionType.session_ticket] as const;
const IN_ENCRYPTED_EXTENSIONS = [ExtensionType.supported_groups] as const;

/** Trusts the certificates of the traces, which are self-signed and 1,024 bits strong. */
const trustTrace: PeerVerifier = (chain) =>
  new UnverifiedPeer(
    chain,
    nodeCrypto.importPublicKey(certificateKey(chain[0] as Uint8Array)),
    new CertificateError('CERT_REJECTED', 'Nobody vouches for the certificates of the traces'),
  );

/** The certificate of a side, with a key that cannot sign: the signature is in the trace. */
function identityOf(trace: Trace, by: TraceRole): Identity {
  const { entries } = parseCertificate(only(trace, by, HandshakeType.certificate));
  const { scheme } = parseCertificateVerify(only(trace, by, HandshakeType.certificate_verify));
  const key: SigningKey = {
    schemes: [scheme],
    sign: () => expect.fail('signatures come from the trace'),
  };
  return { chain: entries.map(({ certData }) => certData), key };
}

const keysOf = (trace: Trace, by: TraceRole, group: string) =>
  stepsOf(trace, by, `create an ephemeral ${group}`).map(({ values }) => hex(values?.['private key'] ?? ''));

function clientFor(trace: Trace, overrides: Partial<ClientConfig> = {}): ClientConfig {
  const { random, legacySessionId, cipherSuites, extensions } = firstHello(trace);
  const authenticates = messages(trace, 'client', HandshakeType.certificate).length > 0;
  return clientConfig({
    crypto: scriptedCrypto({
      random: legacySessionId.length > 0 ? [random, legacySessionId] : [random],
      x25519: keysOf(trace, 'client', 'x25519'),
      secp256r1: keysOf(trace, 'client', 'P-256'),
    }),
    suites: cipherSuites.map((id) => suiteById(id) as Suite),
    groups: supportedGroups.parse(body(extensions, ExtensionType.supported_groups)),
    schemes: signatureAlgorithms.parse(body(extensions, ExtensionType.signature_algorithms)),
    keyShares: [NamedGroup.x25519],
    recordSizeLimit: 2 ** 14 + 1,
    serverName: 'server',
    compatibility: legacySessionId.length > 0,
    verifyPeer: trustTrace,
    identities: authenticates ? [identityOf(trace, 'client')] : [],
    ...overrides,
  });
}

function serverFor(trace: Trace, overrides: Partial<ServerConfig> = {}): ServerConfig {
  const [request] = messages(trace, 'server', HandshakeType.certificate_request);
  const [ticket] = messages(trace, 'server', HandshakeType.new_session_ticket);
  const schemes =
    request === undefined
      ? {}
      : {
          schemes: signatureAlgorithms.parse(
            body(parseCertificateRequest(request).extensions, ExtensionType.signature_algorithms),
          ),
        };
  return serverConfig({
    crypto: scriptedCrypto({
      // A ticket of our own takes an age and a nonce; it is then replaced by the trace's.
      random: [
        serverHello(trace).random,
        ...(ticket === undefined ? [] : [new Uint8Array(4), new Uint8Array(12)]),
      ],
      x25519: keysOf(trace, 'server', 'x25519'),
      secp256r1: keysOf(trace, 'server', 'P-256'),
    }),
    // The server of section 5 wants P-256 so much that it asks for it although X25519 was offered.
    groups: trace === helloRetryRequest ? [NamedGroup.secp256r1] : [NamedGroup.x25519, NamedGroup.secp256r1],
    ...schemes,
    verifyPeer: trustTrace,
    selectIdentities: () => [identityOf(trace, 'server')],
    clientCertificate: request === undefined ? 'none' : 'require',
    ...(ticket === undefined ? {} : { tickets: { keys: sealingNothing, lifetime: 30, count: 1 } }),
    ...overrides,
  });
}

/** Ticket keys whose tickets do not matter, because the trace's message takes their place. */
const sealingNothing = { seal: (crypto) => crypto.randomBytes(12), open: () => undefined } as Pick<
  TicketKeys,
  'seal' | 'open'
> as TicketKeys;

/**
 * Plays `trace` with `connection` in the part of `role`: feeds it the records of the other side and compares each
 * record that it sends. Stops before the step with number `until`.
 */
function play(
  trace: Trace,
  role: TraceRole,
  connection: Connection,
  until = Number.POSITIVE_INFINITY,
): Endpoint {
  const endpoint = new Endpoint(role, connection);
  let sent = '';
  for (const [i, { by, step, values }] of trace.steps.entries()) {
    const record = values?.['complete record'];
    if (record === undefined || i >= until) continue;
    if (by !== role) {
      connection.receive(hex(record), NOW);
      answerWithTrace(trace, role, connection);
      endpoint.collect();
      expect(endpoint.error?.message).toBeUndefined();
      continue;
    }
    if (step === 'send application_data record') {
      const payload = hex(values?.payload ?? '');
      if (connection.writable) connection.send(payload);
      else connection.sendEarly(payload);
    }
    if (step === 'send alert record') connection.close();
    sent += connection.transmit().map(toHex).join('');
    const expected = toHex(hex(record));
    expect(sent.slice(0, expected.length), `{${role}} ${step}`).toBe(expected);
    sent = sent.slice(expected.length);
  }
  sent += connection.transmit().map(toHex).join('');
  expect(sent).toBe('');
  return endpoint;
}

/** Signs with the trace's signature, once it is sure that this is a signature of what we want signed. */
function answerWithTrace(trace: Trace, role: TraceRole, connection: Connection): void {
  const { wanted } = connection;
  if (wanted?.kind !== 'signature') return;
  const { scheme, signature } = parseCertificateVerify(only(trace, role, HandshakeType.certificate_verify));
  const { entries } = parseCertificate(only(trace, role, HandshakeType.certificate));
  expect(wanted.scheme).toBe(scheme);
  const key = nodeCrypto.importPublicKey(certificateKey(entries[0]?.certData ?? NO_BYTES));
  const algorithm = schemeById(scheme)?.algorithm ?? expect.fail('unknown scheme');
  expect(nodeCrypto.verify(algorithm, key, wanted.input, signature)).toBe(true);
  connection.provide(signature, NOW);
}

function expectSecrets(trace: Trace, { secrets }: Endpoint): void {
  const labels = {
    CLIENT_HANDSHAKE_TRAFFIC_SECRET: 'c hs traffic',
    SERVER_HANDSHAKE_TRAFFIC_SECRET: 's hs traffic',
    CLIENT_TRAFFIC_SECRET_0: 'c ap traffic',
    SERVER_TRAFFIC_SECRET_0: 's ap traffic',
    EXPORTER_SECRET: 'exp master',
  };
  for (const [label, name] of Object.entries(labels)) {
    const stated = toHex(value(trace, 'server', `derive secret "tls13 ${name}"`, 'expanded'));
    expect(toHex(secrets.get(label) ?? NO_BYTES), label).toBe(stated);
  }
}

const complete = [simple1Rtt, helloRetryRequest, clientAuthentication, compatibilityMode];

describe.each(complete)('RFC 8448 section $section, $title, byte for byte', (trace) => {
  test('our client', () => {
    arrangeLike(trace);
    const config = clientFor(trace);
    const connection = Connection.client(config, NOW, carrying(trace, IN_CLIENT_HELLO));
    const client = play(trace, 'client', connection);
    expect(client.connected && client.ended).toBe(true);
    expectSecrets(trace, client);
    expect((config.crypto as ReturnType<typeof scriptedCrypto>).left()).toBe(0);
  });

  test('our server', () => {
    arrangeLike(trace);
    if (trace === simple1Rtt) {
      arrangement.ticket = value(trace, 'server', 'construct a NewSessionTicket', 'NewSessionTicket');
    }
    const config = serverFor(trace);
    const connection = Connection.server(config, NOW, carrying(trace, IN_ENCRYPTED_EXTENSIONS));
    const server = play(trace, 'server', connection);
    expect(server.connected && server.ended).toBe(true);
    expectSecrets(trace, server);
    expect((config.crypto as ReturnType<typeof scriptedCrypto>).left()).toBe(0);
  });

  test('without the arrangement our transcript is another, and the signature of the trace does not fit it', () => {
    const verify = value(trace, 'server', 'construct a CertificateVerify', 'CertificateVerify');
    const connection = Connection.server(serverFor(trace), NOW, carrying(trace, IN_ENCRYPTED_EXTENSIONS));
    for (const { values } of stepsOf(trace, 'client', 'send handshake record').slice(0, -1)) {
      connection.receive(hex(values?.['complete record'] ?? ''), NOW);
    }
    const { wanted } = connection;
    const { entries } = parseCertificate(only(trace, 'server', HandshakeType.certificate));
    const key = nodeCrypto.importPublicKey(certificateKey(entries[0]?.certData ?? NO_BYTES));
    const { scheme, signature } = parseCertificateVerify(verify.subarray(4));
    const algorithm = schemeById(scheme)?.algorithm ?? expect.fail('unknown scheme');
    expect(
      nodeCrypto.verify(
        algorithm,
        key,
        wanted?.kind === 'signature' ? wanted.input : expect.fail(),
        signature,
      ),
    ).toBe(false);
  });
});

describe('RFC 8448 section 4, resumption of section 3 with early data, byte for byte', () => {
  /** The session that our client keeps after it has played section 3. */
  function sessionOfSection3(): ClientSession {
    arrangeLike(simple1Rtt);
    const connection = Connection.client(clientFor(simple1Rtt), NOW, carrying(simple1Rtt, IN_CLIENT_HELLO));
    const [session, ...more] = play(simple1Rtt, 'client', connection).tickets;
    expect(more).toHaveLength(0);
    return session ?? expect.fail('section 3 has a ticket');
  }

  const offered = () => {
    const { extensions } = firstHello(resumed0Rtt);
    return (
      offeredPsks.parse(body(extensions, ExtensionType.pre_shared_key)).identities[0] ?? expect.fail('no PSK')
    );
  };

  /** When the trace sent its ClientHello: its ticket's age tells. */
  const sentAt = (session: ClientSession) =>
    session.receivedAt + ((offered().obfuscatedTicketAge - session.ageAdd + 2 ** 32) % 2 ** 32);

  test("our client keeps the RFC's PSK", () => {
    const session = sessionOfSection3();
    expect(toHex(session.psk)).toBe(toHex(value(resumed0Rtt, 'client', 'extract secret "early"', 'IKM')));
    expect(toHex(session.ticket)).toBe(toHex(offered().identity));
    const raw = value(simple1Rtt, 'server', 'construct a NewSessionTicket', 'NewSessionTicket');
    expect(session.ageAdd).toBe(parseNewSessionTicket(raw.subarray(4)).ageAdd);
  });

  /** What is sent in the trace before the server answers. */
  const earlyWords = () => value(resumed0Rtt, 'client', 'send application_data record', 'payload');

  function expectEarlySecret({ secrets }: Endpoint): void {
    const stated = value(resumed0Rtt, 'client', 'derive secret "tls13 c e traffic"', 'expanded');
    expect(toHex(secrets.get('CLIENT_EARLY_TRAFFIC_SECRET') ?? NO_BYTES)).toBe(toHex(stated));
  }

  test('our client', () => {
    const session = sessionOfSection3();
    expect(session.maxEarlyData).toBe(1024);
    arrangeLike(resumed0Rtt);
    const connection = Connection.client(
      clientFor(resumed0Rtt, { session, earlyData: true }),
      sentAt(session),
      carrying(resumed0Rtt, IN_CLIENT_HELLO),
    );
    const client = play(resumed0Rtt, 'client', connection);
    expect(client.connected && client.ended).toBe(true);
    expect(connection.info).toMatchObject({ resumed: true, earlyDataAccepted: true });
    expectSecrets(resumed0Rtt, client);
    expectEarlySecret(client);
  });

  test('our server', () => {
    arrangeLike(resumed0Rtt);
    const psk = value(resumed0Rtt, 'client', 'extract secret "early"', 'IKM');
    const connection = Connection.server(resumingServer(psk), NOW, carrying(resumed0Rtt, EARLY_ANSWERS));
    const server = play(resumed0Rtt, 'server', connection);
    expect(server.connected && server.ended).toBe(true);
    const early = server.events.flatMap((event) => (event.type === 'early-data' ? [event.data] : []));
    expect(early.map(toHex)).toEqual([toHex(earlyWords())]);
    expectSecrets(resumed0Rtt, server);
    expectEarlySecret(server);
  });

  test('with another PSK the binder is wrong', () => {
    arrangeLike(resumed0Rtt);
    const psk = value(resumed0Rtt, 'client', 'extract secret "early"', 'secret');
    const connection = Connection.server(resumingServer(psk), NOW, carrying(resumed0Rtt, EARLY_ANSWERS));
    const server = new Endpoint('server', connection);
    connection.receive(value(resumed0Rtt, 'client', 'send handshake record', 'complete record'), NOW);
    server.collect();
    expect(server.error?.code).toBe('ERR_TLS_BAD_BINDER');
    // decrypt_error, in clear.
    expect(connection.transmit().map(toHex)).toEqual(['15030300020233']);
  });

  /** NSS acknowledges the name here too, which RFC 6066 §3 forbids in a resumed session and our server does not. */
  const EARLY_ANSWERS = [ExtensionType.server_name, ...IN_ENCRYPTED_EXTENSIONS] as const;

  /** A server whose ticket keys open NSS's ticket and find this PSK in it. */
  function resumingServer(psk: Uint8Array): ServerConfig {
    const suite = suiteById(serverHello(resumed0Rtt).cipherSuite) as Suite;
    const keys = {
      seal: () => undefined,
      open: (_crypto, ticket) => {
        expect(toHex(ticket)).toBe(toHex(offered().identity));
        const early = { maxBytes: 1024, ageAdd: offered().obfuscatedTicketAge, alpnProtocol: undefined };
        const version = ProtocolVersion.tls13;
        return { version, suite, psk, issuedAt: NOW, serverName: 'server', peerChain: [], early };
      },
    } as Pick<TicketKeys, 'seal' | 'open'> as TicketKeys;
    return serverFor(resumed0Rtt, {
      tickets: { keys, lifetime: 30, count: 0, earlyData: { maxBytes: 1024, firstUse: () => true } },
      // Resumption needs no certificate.
      selectIdentities: () => [],
    });
  }
});
