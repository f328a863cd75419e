import { describe, expect, test } from 'vitest';
import type { SubProtocol, SubProtocolFactory, SubProtocolLink } from '../../src/connection/sub-protocol.ts';
import { TlsError, type TlsErrorCode } from '../../src/errors/errors.ts';
import { ContentType, HandshakeType, SignatureScheme } from '../../src/wire/codepoints.ts';
import {
  clientConfig,
  clientIdentity,
  serverConfig,
  serverIdentity,
  testIdentity,
  testTickets,
} from '../setup/engine-config.ts';
import {
  changing,
  changingEncryptedExtensions,
  expectAlive,
  expectFound,
  expectUnharmed,
  UNEXPECTED,
  withBody,
  withExtension,
} from '../setup/faults.ts';
import { Pair, type PairSetup, peerOf } from '../setup/pair.ts';

/* The seam of src/connection/sub-protocol.ts, with a protocol that only takes notes. */

const EXTENSION = 0xff99;
const CONTENT = 29;
const MESSAGE = 240;

/** What a protocol was told, in order, and what it was given to speak with. */
interface Notes {
  readonly log: string[];
  link: SubProtocolLink | undefined;
}

function noting(notes: Notes, overrides: Partial<SubProtocol> = {}): SubProtocolFactory {
  const text = (bytes: Uint8Array | undefined) =>
    bytes === undefined ? 'nothing' : Buffer.from(bytes).toString();
  return () => ({
    name: 'noting',
    extensionType: EXTENSION,
    contentTypes: [CONTENT],
    handshakeTypes: [MESSAGE],
    offer: () => Buffer.from('offer'),
    answer(offered, hello) {
      notes.log.push(`answer ${text(offered)} for ${hello.serverName}, ${hello.alpnProtocol}`);
      return offered === undefined ? undefined : Buffer.from('answer');
    },
    confirm(answered, hello) {
      notes.log.push(`confirm ${text(answered)} for ${hello.serverName}, ${hello.alpnProtocol}`);
    },
    start(link) {
      notes.log.push(`start as ${link.role}`);
      notes.link = link;
    },
    receiveRecord: (type, content) => void notes.log.push(`record ${type} ${text(content)}`),
    receiveHandshake: (type, body) => void notes.log.push(`message ${type} ${text(body)}`),
    receiveEnd: () => void notes.log.push('end'),
    closed: (error) =>
      void notes.log.push(`closed ${(error as { code?: string } | undefined)?.code ?? 'well'}`),
    ...overrides,
  });
}

function joined(
  overrides: { client?: Partial<SubProtocol> | null; server?: Partial<SubProtocol> | null } = {},
  setup: Partial<PairSetup> = {},
) {
  const notes = { client: fresh(), server: fresh() };
  const protocols = (role: 'client' | 'server') =>
    overrides[role] === null ? [] : [noting(notes[role], overrides[role])];
  const pair = new Pair({
    client: clientConfig({ alpnProtocols: ['h2'] }),
    server: serverConfig({ selectProtocol: () => 'h2' }),
    clientProtocols: protocols('client'),
    serverProtocols: protocols('server'),
    ...setup,
  }).run();
  return { pair, notes };
}

const fresh = (): Notes => ({ log: [], link: undefined });

describe('negotiation', () => {
  test('offer, answer, confirm, start', () => {
    const { pair, notes } = joined();
    expectAlive(pair);
    expect(notes.server.log).toEqual(['answer offer for server.test, h2', 'start as server']);
    expect(notes.client.log).toEqual(['confirm answer for server.test, h2', 'start as client']);
    expect(pair.client.connection.info?.subProtocols).toEqual(['noting']);
    expect(pair.server.connection.info?.subProtocols).toEqual(['noting']);
  });

  test('it is negotiated afresh on resumption', () => {
    const server = serverConfig({ selectProtocol: () => 'h2', tickets: testTickets });
    const [session] = joined({}, { server }).pair.client.tickets;
    const { pair, notes } = joined({}, { server, client: clientConfig({ alpnProtocols: ['h2'], session }) });
    expect(pair.client.connection.info?.resumed).toBe(true);
    expect(notes.server.log).toEqual(['answer offer for server.test, h2', 'start as server']);
    expect(
      joined({ server: null }, { server, client: clientConfig({ session }) }).pair.client.connection.info,
    ).toMatchObject({
      resumed: true,
      subProtocols: [],
    });
  });

  test.each([
    ['the client does not know it', { client: null }],
    ['the client does not offer it', { client: { offer: () => undefined } }],
    ['the server does not know it', { server: null }],
    ['the server does not answer it', { server: { answer: () => undefined } }],
  ])('when %s, both go on without, and its types are unexpected', (_why, overrides) => {
    const { pair, notes } = joined(overrides);
    expectAlive(pair);
    expect([...notes.client.log, ...notes.server.log].filter((line) => line.startsWith('start'))).toEqual([]);
    expectFound(pair.inject('client', { type: CONTENT, content: Uint8Array.of(1) }), 'server', ...UNEXPECTED);
  });

  test.each(['client', 'server'] as const)('a refusal by the %s is its error and its alert', (role) => {
    const refuse = (): never => {
      throw new TlsError('ERR_MUX_REQUIRED', 'not without me');
    };
    const { pair } = joined({ [role]: { answer: refuse, confirm: refuse } });
    expectFound(pair, role, 'ERR_MUX_REQUIRED', 'handshake_failure');
  });

  test.each(['client', 'server'] as const)('a bug in the protocol of the %s is internal_error', (role) => {
    const bug = (): never => {
      throw new RangeError('bug');
    };
    expectFound(
      joined({ [role]: { answer: bug, confirm: bug } }).pair,
      role,
      'ERR_TLS_INTERNAL',
      'internal_error',
    );
  });

  test('an answer that was not offered is a bug of the server and unsupported_extension to the client', () => {
    const unasked = { client: { offer: () => undefined }, server: { answer: () => Uint8Array.of(1) } };
    expectFound(joined(unasked).pair, 'server', 'ERR_TLS_INTERNAL', 'internal_error');
    const tamper = changingEncryptedExtensions((list) => withExtension(list, EXTENSION, Uint8Array.of(1)));
    const { pair } = joined({ client: { offer: () => undefined }, server: null }, { tamper });
    expectFound(pair, 'client', 'ERR_TLS_UNSUPPORTED_EXTENSION', 'unsupported_extension');
  });
});

describe.each(['client', 'server'] as const)('what the %s sends', (from) => {
  const finder = peerOf[from];

  test('arrives in order with application data, as records and as messages', () => {
    const { pair, notes } = joined();
    const { link } = notes[from];
    link?.send(CONTENT, Buffer.from('one'));
    link?.sendHandshake(MESSAGE, Buffer.from('two'));
    pair[from].connection.send(Uint8Array.of(1));
    link?.send(CONTENT, Buffer.from('three'));
    pair.run();
    expect(notes[finder].log.slice(2)).toEqual([
      `record ${CONTENT} one`,
      `message ${MESSAGE} two`,
      `record ${CONTENT} three`,
    ]);
    expect([...pair[finder].data]).toEqual([1]);
  });

  test('exports the same keying material on both sides', () => {
    const { notes } = joined();
    const exported = (['client', 'server'] as const).map((role) =>
      Buffer.from(notes[role].link?.exportKeyingMaterial('EXPORTER-x', Uint8Array.of(1), 32) ?? []).toString(
        'hex',
      ),
    );
    expect(exported[0]).toHaveLength(64);
    expect(exported[0]).toBe(exported[1]);
  });

  test('before Finished is unexpected, though the extension was answered', () => {
    const early = [
      { type: CONTENT, content: Uint8Array.of(1) },
      { type: ContentType.handshake, content: withBody(MESSAGE, Uint8Array.of(1)) },
    ];
    for (const cargo of early) {
      let done = false;
      const { pair, notes } = joined(
        {},
        {
          tamper: ({ from: sender, epoch, type, content }) => {
            if (done || sender !== from || epoch !== 'handshake') return undefined;
            done = true;
            // After EncryptedExtensions would be no better, but there the flight is one record.
            return [cargo, { type, content }];
          },
        },
      );
      expectFound(pair, finder, ...UNEXPECTED);
      expect(notes[finder].log.join()).not.toContain('record');
    }
  });

  test('after EncryptedExtensions and before Finished is unexpected as well', () => {
    const tamper = changing(from, HandshakeType.finished, ({ raw }) => [
      withBody(MESSAGE, Uint8Array.of(1)),
      raw,
    ]);
    expectFound(joined({}, { tamper }).pair, finder, ...UNEXPECTED);
  });

  test.each<[string, () => never, TlsErrorCode, 'unexpected_message' | 'decode_error' | 'internal_error']>([
    [
      'refuses',
      () => {
        throw new TlsError('ERR_TLS_DECODE', 'malformed');
      },
      'ERR_TLS_DECODE',
      'decode_error',
    ],
    [
      'fails over',
      () => {
        throw new RangeError('bug');
      },
      'ERR_TLS_INTERNAL',
      'internal_error',
    ],
  ])('and the other side %s ends the session', (_what, receiveRecord, code, alert) => {
    const { pair, notes } = joined({ [finder]: { receiveRecord } });
    notes[from].link?.send(CONTENT, Uint8Array.of(1));
    expectFound(pair.run(), finder, code, alert);
    expect(notes[finder].log.at(-1)).toBe(`closed ${code}`);
    expect(notes[from].log.at(-1)).toBe(`closed ERR_TLS_ALERT_${alert.toUpperCase()}`);
  });

  test('is over when the protocol says so', () => {
    const { pair, notes } = joined();
    notes[from].link?.fail(new TlsError('ERR_TLS_ACCESS_DENIED', 'enough'));
    expectFound(pair.run(), from, 'ERR_TLS_ACCESS_DENIED', 'access_denied');
    expect(notes[from].log.at(-1)).toBe('closed ERR_TLS_ACCESS_DENIED');
  });
});

describe('the end', () => {
  test('close_notify is told to both, and after both the protocol is closed', () => {
    const { pair, notes } = joined();
    pair.client.connection.close();
    pair.run();
    expect(notes.server.log.at(-1)).toBe('end');
    expect(notes.client.log.at(-1)).toBe('start as client');
    expect(() => notes.client.link?.send(CONTENT, Uint8Array.of(1))).toThrow(
      expect.objectContaining({ code: 'ERR_TLS_CLOSED' }),
    );
    expect(() => notes.client.link?.sendHandshake(MESSAGE, Uint8Array.of(1))).toThrow(
      expect.objectContaining({ code: 'ERR_TLS_CLOSED' }),
    );
    notes.server.link?.send(CONTENT, Buffer.from('still'));
    pair.server.connection.close();
    pair.run();
    expect(notes.client.log.slice(2)).toEqual([`record ${CONTENT} still`, 'end', 'closed well']);
    expect(notes.server.log.slice(2)).toEqual(['end', 'closed well']);
    expectUnharmed(pair);
  });

  test('truncation is told as what it is', () => {
    const { pair, notes } = joined();
    pair.end('client');
    expect(notes.server.log.at(-1)).toBe('closed ERR_TLS_TRUNCATED');
  });

  test('a handshake that fails tells nothing to a protocol that never started', () => {
    const tamper = changing('server', HandshakeType.finished, () => []);
    const { pair, notes } = joined({}, { tamper });
    pair.end('server');
    expect(notes.client.log).toEqual(['confirm answer for server.test, h2']);
  });
});

describe('what a protocol can bind to', () => {
  const identity = clientIdentity;
  const setup = {
    client: clientConfig({ identities: [testIdentity('ed25519'), identity], alpnProtocols: ['h2'] }),
    server: serverConfig({
      schemes: [SignatureScheme.ecdsa_secp256r1_sha256],
      clientCertificate: 'require',
      selectProtocol: () => 'h2',
      tickets: testTickets,
    }),
  } as const;

  test('both sides have the same transcript hash, and know whom they have shown', () => {
    const { notes } = joined({}, setup);
    const [client, server] = [notes.client.link?.session, notes.server.link?.session];
    expect(client?.transcriptHash).toHaveLength(32);
    expect(client?.transcriptHash).toEqual(server?.transcriptHash);
    expect(client).toMatchObject({ version: 0x0304, resumed: false, identities: [identity] });
    expect(server).toMatchObject({ version: 0x0304, resumed: false, identities: [serverIdentity] });
    expect(client?.peer?.chain).toEqual(serverIdentity.chain);
    expect(server?.peer?.chain).toEqual(identity.chain);
    expect(client?.cipherSuite).toBe(server?.cipherSuite);
  });

  test('a client that was not asked has shown nobody', () => {
    const { notes } = joined({}, { client: setup.client });
    expect(notes.client.link?.session.identities).toEqual([]);
    expect(notes.server.link?.session.peer).toBeUndefined();
  });

  test('after a resumption it is one of those that there are', () => {
    const [session] = joined({}, setup).pair.client.tickets;
    const { notes } = joined({}, { ...setup, client: { ...setup.client, session } });
    expect(notes.client.link?.session).toMatchObject({ resumed: true, identities: setup.client.identities });
    expect(notes.server.link?.session).toMatchObject({ resumed: true, identities: [serverIdentity] });
    expect(notes.server.link?.session.peer?.chain).toEqual(identity.chain);
  });

  test('neighbours are those that were agreed', () => {
    const { notes } = joined();
    expect(notes.client.link?.neighbour('noting')?.extensionType).toBe(EXTENSION);
    expect(notes.client.link?.neighbour('mux')).toBeUndefined();
  });

  test('it sees application data before it is delivered, and can refuse it', () => {
    const checkApplicationData = (content: Uint8Array): void => {
      if (content[0] === 9) throw new TlsError('ERR_SIGN_UNSIGNED', 'not without a signature');
    };
    const { pair } = joined({ server: { checkApplicationData } });
    expectAlive(pair);
    pair.client.connection.send(Uint8Array.of(9));
    expectFound(pair.run(), 'server', 'ERR_SIGN_UNSIGNED', 'bad_sign');
    expect([...pair.server.data]).toEqual([1, 2, 3]);
  });
});
