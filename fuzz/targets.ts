import { randomBytes } from 'node:crypto';
import { Connection } from '../src/connection/connection.ts';
import { nodeCrypto } from '../src/crypto/node/provider.ts';
import { decodePem } from '../src/der/pem.ts';
import { parseSession, serializeSession } from '../src/handshake/session.ts';
import { TicketKeys } from '../src/handshake/tickets.ts';
import {
  parseCertificate,
  parseCertificateRequest,
  parseCertificateVerify,
} from '../src/messages/authentication.ts';
import * as extensions from '../src/messages/extensions.ts';
import { HandshakeJoiner } from '../src/messages/handshake.ts';
import { parseClientHello, parseEncryptedExtensions, parseServerHello } from '../src/messages/hello.ts';
import { parseKeyUpdate, parseNewSessionTicket } from '../src/messages/post-handshake.ts';
import { encodeCommand, parseCommand } from '../src/module/apdu/command.ts';
import { readOpenRequest } from '../src/module/applet/open.ts';
import { readInformation } from '../src/module/bridge/information.ts';
import { readItems } from '../src/module/bridge/items.ts';
import { FragmentReceiver } from '../src/module/eap/fragments.ts';
import { buildEap, parseEap, parseEapTls } from '../src/module/eap/packet.ts';
import { decodeControl, encodeControl, MessageType, writeDataHeader } from '../src/mux/channels/message.ts';
import { MessageReader } from '../src/mux/channels/reader.ts';
import { decodeDataMultiplexing, encodeDataMultiplexing } from '../src/mux/extension.ts';
import { muxServer } from '../src/mux/index.ts';
import { ControlCode, FrameReader, writeControl, writeFrameHeader } from '../src/mux/ports/frame.ts';
import { RecordLayer } from '../src/record/tls/record-layer.ts';
import { HandshakeType } from '../src/wire/codepoints.ts';
import { Certificate } from '../src/x509/certificate.ts';
import { clientConfig, serverConfig, serverIdentity } from '../test/setup/engine-config.ts';
import { UNUSED_LINK } from '../test/setup/link.ts';
import { CannotOpen, Pair } from '../test/setup/pair.ts';
import { type Card, cardWith, EapHost, openData } from '../test/unit/module/kit.ts';
import { mutate, Random } from './mutate.ts';
import { traceCertificates, traceMessages } from './seeds.ts';
import { SIGN_TARGETS } from './sign-targets.ts';
import { isVerdict, type Target } from './target.ts';

const body = (message: Uint8Array): Uint8Array => message.subarray(4);
const bodiesOf = (type: number): Uint8Array[] => traceMessages(type).map(body);

/** Every extension body in the hellos of the traces. */
const extensionBodies = (type: number): Uint8Array[] => {
  const hellos = [
    ...bodiesOf(HandshakeType.client_hello).map((hello) => parseClientHello(hello).extensions),
    ...bodiesOf(HandshakeType.server_hello).map((hello) => parseServerHello(hello).extensions),
    ...bodiesOf(HandshakeType.encrypted_extensions).map(parseEncryptedExtensions),
  ];
  const found = hellos.flat().filter((extension) => extension.type === type);
  return [...found.map((extension) => extension.body), Uint8Array.of(0, 2, 0, 0)];
};

const decoder = (
  name: string,
  seeds: () => readonly Uint8Array[],
  run: (input: Uint8Array) => unknown,
): Target => ({
  name,
  seeds,
  run: (input) => void run(input),
});

const NOW = Date.UTC(2026, 5, 1);
const ticketKeys = new TicketKeys(new Uint8Array(48));

/** The records that a client or a server of ours sends in a handshake and after it. */
function recordsOf(role: 'client' | 'server'): Uint8Array[] {
  const sent: Uint8Array[] = [];
  const pair = new Pair({
    client: clientConfig(),
    server: serverConfig(),
    tamper: (record) => {
      if (record.from === role && record.epoch === 'clear') {
        const { type, content } = record;
        const header = [type, 3, 3, content.length >> 8, content.length & 0xff];
        sent.push(Uint8Array.from([...header, ...content]));
      }
      return undefined;
    },
  });
  pair.run();
  return sent;
}

function connectionTarget(role: 'client' | 'server'): Target {
  return {
    name: `connection-${role}`,
    seeds: () => recordsOf(role === 'client' ? 'server' : 'client'),
    run(input) {
      const connection =
        role === 'client' ? Connection.client(clientConfig(), NOW) : Connection.server(serverConfig(), NOW);
      connection.receive(input, NOW);
      const { wanted } = connection;
      if (wanted?.kind === 'signature')
        connection.provide(wanted.key.sign(wanted.scheme, wanted.input) as Uint8Array, NOW);
      connection.transmit();
      connection.receiveEnd();
      for (let event = connection.nextEvent(); event !== undefined; event = connection.nextEvent()) {
        if (event.type === 'connected') throw new Error('A handshake was completed by noise');
        if (event.type === 'error' && event.error.code === 'ERR_TLS_INTERNAL')
          throw event.error.cause ?? event.error;
      }
    },
  };
}

/**
 * A hostile peer that has the keys: two connections, and the content of one record after another goes wrong under
 * the right protection. The input chooses which and how.
 */
const protectedTarget: Target = {
  name: 'connection-protected',
  seeds: () => [Uint8Array.of(1, 2, 3, 4), Uint8Array.of(0, 0, 0, 0)],
  run(input) {
    const random = new Random(input.reduce((sum, byte) => (Math.imul(sum, 31) + byte) | 0, 7));
    const first = random.below(6);
    const pair = new Pair({
      client: clientConfig({ identities: [serverIdentity] }),
      server: serverConfig({ clientCertificate: 'request' }),
      tamper: ({ nth, type, content }) =>
        nth < first || content.length === 0 ? undefined : [{ type, content: mutate([content], random) }],
    });
    try {
      pair.run();
    } catch (error) {
      if (!(error instanceof CannotOpen)) throw error;
    }
    for (const { error } of [pair.client, pair.server]) {
      if (error?.code === 'ERR_TLS_INTERNAL') throw error.cause ?? error;
    }
  },
};

/** One of each message of channel mode, with ids that a server's session knows after the first. */
function channelMessages(): Uint8Array[] {
  const source = { address: '127.0.0.1', port: 1 };
  return [
    encodeControl({
      type: MessageType.RequestEstablishmentChannel,
      sender: 0,
      window: 1000,
      maxPacket: 1000,
      source,
      destination: { address: 'echo', port: 0 },
    }),
    encodeControl({
      type: MessageType.RequestEstablishmentSuccess,
      sender: 1,
      receiver: 2,
      window: 1000,
      maxPacket: 1000,
    }),
    encodeControl({ type: MessageType.RequestEchecChannel, sender: 3, error: 'no' }),
    encodeControl({ type: MessageType.Acknowledgment, channel: 3, freeSpace: 100 }),
    encodeControl({ type: MessageType.EndOfData, channel: 3 }),
    encodeControl({ type: MessageType.CloseChannel, channel: 3 }),
    encodeControl({ type: MessageType.ConfirmationCloseChannel, channel: 3 }),
  ];
}

function dataMessage(): Uint8Array {
  const out = new Uint8Array(29);
  writeDataHeader(out, 0, 3, 20);
  return out;
}

/** Malformed commands are answered by a status word; 6F00 would be a bug of the module's. */
const appletTarget: Target = {
  name: 'module-applet',
  seeds: () => {
    const card = cardWith({ algorithm: 3 });
    card.verifyUser();
    const host = new EapHost(card, card.open({ fragmentSize: 100 }), 'client', 100);
    host.start();
    return card.dialogue.map(({ command }) => command);
  },
  run(input) {
    applet ??= cardWith({ algorithm: 3 });
    const answer = applet.raw(input);
    applet.dialogue.length = 0;
    if (answer.length < 2) throw new Error('An answer without status');
    if (answer.at(-2) === 0x6f) throw new Error('The module has an internal error');
  },
};
let applet: Card | undefined;

export const TARGETS: readonly Target[] = [
  decoder('client-hello', () => bodiesOf(HandshakeType.client_hello), parseClientHello),
  decoder('server-hello', () => bodiesOf(HandshakeType.server_hello), parseServerHello),
  decoder(
    'encrypted-extensions',
    () => bodiesOf(HandshakeType.encrypted_extensions),
    parseEncryptedExtensions,
  ),
  decoder('certificate-message', () => bodiesOf(HandshakeType.certificate), parseCertificate),
  decoder('certificate-request', () => bodiesOf(HandshakeType.certificate_request), parseCertificateRequest),
  decoder('certificate-verify', () => bodiesOf(HandshakeType.certificate_verify), parseCertificateVerify),
  decoder('new-session-ticket', () => bodiesOf(HandshakeType.new_session_ticket), parseNewSessionTicket),
  decoder('key-update', () => [Uint8Array.of(0), Uint8Array.of(1)], parseKeyUpdate),
  decoder(
    'extension-bodies',
    () => [0, 10, 13, 16, 41, 43, 44, 45, 47, 51].flatMap(extensionBodies),
    (input) => {
      for (const codec of Object.values(extensions)) {
        if (typeof codec !== 'object' || !('parse' in codec)) continue;
        try {
          codec.parse(input);
        } catch (error) {
          if (!isVerdict(error)) throw error;
        }
      }
    },
  ),
  decoder(
    'handshake-joiner',
    () => traceMessages(),
    (input) => {
      const joiner = new HandshakeJoiner();
      for (let at = 0; at < input.length; at += 7) {
        joiner.push(input.subarray(at, at + 7));
        while (joiner.next() !== undefined);
      }
    },
  ),
  decoder(
    'record-layer',
    () => [...recordsOf('client'), ...recordsOf('server')],
    (input) => {
      const records = new RecordLayer(nodeCrypto, { maxFragment: 2 ** 14, padTo: 1 });
      for (let at = 0; at < input.length; at += 11) {
        records.feed(input.subarray(at, at + 11));
        while (records.next() !== undefined);
        records.settle();
      }
    },
  ),
  decoder('certificate', traceCertificates, (input) => {
    Certificate.parse(input).checkWellFormed();
  }),
  decoder(
    'pem',
    () => [new TextEncoder().encode('-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n')],
    (input) => decodePem(new TextDecoder().decode(input)),
  ),
  decoder(
    'session',
    () => {
      const suite = serverConfig().suites[0];
      if (suite === undefined) return [];
      const psk = new Uint8Array(suite.hashLength);
      const ticket = Uint8Array.of(1, 2, 3);
      const facts = {
        ageAdd: 7,
        lifetime: 60,
        receivedAt: NOW,
        serverName: 'a.test',
        peerChain: serverIdentity.chain,
      };
      return [serializeSession({ suite, psk, ticket, ...facts })];
    },
    parseSession,
  ),
  decoder(
    'ticket',
    () => [randomBytes(96)],
    (input) => ticketKeys.open(nodeCrypto, input),
  ),
  decoder(
    'data-multiplexing',
    () => [
      encodeDataMultiplexing({
        form: 'list',
        all: true,
        channel: false,
        applications: [{ name: 'web', port: 80 }],
      }),
      new Uint8Array(0),
    ],
    decodeDataMultiplexing,
  ),
  decoder('channel-message', channelMessages, (input) => {
    const message = decodeControl(input);
    // What was read is written back byte for byte, but for a reason that is longer than ours are.
    const isLong = message.type === MessageType.RequestEchecChannel && message.error.length > 1_000;
    if (!isLong && Buffer.compare(encodeControl(message), input) !== 0)
      throw new Error('not the same message');
  }),
  decoder(
    'channel-stream',
    () => [Buffer.concat([...channelMessages(), dataMessage()])],
    (input) => {
      const reader = new MessageReader();
      for (let at = 0; at < input.length; at += 13) {
        reader.push(input.subarray(at, at + 13));
        while (reader.next());
      }
    },
  ),
  decoder(
    'channel-session',
    () => [Buffer.concat([...channelMessages(), dataMessage()])],
    (input) => {
      const protocol = muxServer({ any: true, destinations: true })('server');
      const hello = { serverName: undefined, alpnProtocol: undefined };
      protocol.answer(
        encodeDataMultiplexing({ form: 'list', all: true, channel: true, applications: [] }),
        hello,
      );
      protocol.start({ ...UNUSED_LINK, role: 'server', send: () => {} });
      const { session } = protocol;
      if (session === undefined) throw new Error('no session');
      session.open('echo').write(new Uint8Array(100));
      session.send(1_000_000, 0);
      for (let at = 0; at < input.length; at += 29) {
        protocol.receiveRecord(28, input.subarray(at, at + 29));
        for (let event = session.nextEvent(); event !== undefined; event = session.nextEvent()) {
          if (event.type === 'connection') event.connection.accept();
          else
            for (let piece = event.connection.read(); piece !== undefined; piece = event.connection.read())
              event.connection.consume(piece.length);
        }
        session.send(1_000_000, at);
        const { committed, budget } = session.stats();
        if (committed < 0 || committed > budget)
          throw new Error(`${committed} bytes of ${budget} are promised`);
      }
    },
  ),
  decoder(
    'ports-frames',
    () => {
      const data = new Uint8Array(40);
      writeFrameHeader(data, 0, 50_000, 80, 9);
      const control = new Uint8Array(32);
      writeControl(control, 0, { clientPort: 50_000, applicationPort: 80, code: ControlCode.open });
      return [data, control];
    },
    (input) => {
      const reader = new FrameReader();
      for (let at = 0; at < input.length; at += 5) {
        reader.push(input.subarray(at, at + 5));
        while (reader.next());
      }
    },
  ),
  decoder(
    'apdu',
    () => [encodeCommand({ cla: 0xa0, ins: 0xda, p1: 1, p2: 0, data: new Uint8Array(9), le: 256 }, 'short')],
    parseCommand,
  ),
  decoder(
    'eap-fragments',
    () => [buildEap({ code: 1, identifier: 1, type: 13, data: Uint8Array.of(0xc0, 0, 0, 0, 9, 1) })],
    (input) => {
      const receiver = new FragmentReceiver();
      for (let at = 0; at < input.length; at += 16) {
        const eap = parseEap(input.subarray(at));
        if ('type' in eap) receiver.push(parseEapTls(eap.data));
      }
    },
  ),
  decoder(
    'module-open',
    () => [
      openData({
        alpnProtocols: ['h2'],
        extensions: [{ type: 0xff4d, contentTypes: [28], handshakeTypes: [], body: new Uint8Array(3) }],
      }),
    ],
    readOpenRequest,
  ),
  decoder(
    'module-information',
    () => [Uint8Array.from([0x90, 0, 1, 3, 0x9b, 0, 3, 40, 65, 66])],
    readInformation,
  ),
  decoder('module-items', () => [Uint8Array.of(23, 0, 0, 2, 1, 2, 0, 0, 0, 0)], readItems),
  appletTarget,
  connectionTarget('client'),
  connectionTarget('server'),
  protectedTarget,
  ...SIGN_TARGETS,
];
