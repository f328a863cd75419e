import { randomBytes } from 'node:crypto';
import { nodeCrypto } from '../src/crypto/node/provider.ts';
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
import { parsePkcs11Uri } from '../src/node/pkcs11/uri.ts';
import { HandshakeType, ProtocolVersion } from '../src/wire/codepoints.ts';
import { serverConfig, serverIdentity } from '../test/setup/engine-config.ts';
import { UNUSED_LINK } from '../test/setup/link.ts';
import { type Card, cardWith, cardWithPsks, EapHost, openData, pskObject } from '../test/unit/module/kit.ts';
import { CONNECTION_TARGETS } from './connection-targets.ts';
import { DTLS_TARGETS } from './dtls-targets.ts';
import { LEGACY_TARGETS } from './legacy-targets.ts';
import { MODULE_TARGETS } from './module-targets.ts';
import { MUX_TARGETS } from './mux-targets.ts';
import { traceMessages } from './seeds.ts';
import { SIGN_TARGETS } from './sign-targets.ts';
import { decoder, isVerdict, type Target } from './target.ts';
import { TLS12_TARGETS } from './tls12-targets.ts';
import { TUNNEL_TARGETS } from './tunnel-targets.ts';
import { X509_TARGETS } from './x509-targets.ts';

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

const NOW = Date.UTC(2026, 5, 1);
const ticketKeys = new TicketKeys(new Uint8Array(48));

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
    const card = cardWith({ algorithm: 3 }, cardWithPsks('client', [pskObject('one', new Uint8Array(16))]));
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
      return [serializeSession({ version: ProtocolVersion.tls13, suite, psk, ticket, ...facts })];
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
  decoder(
    'pkcs11-uri',
    () => [
      Buffer.from('pkcs11:token=a%20b;object=c;id=%01%ff;type=private?module-path=/d.so&pin-source=file:/e'),
      Buffer.from('pkcs11:slot-id=1;library-version=2.40;serial=f?pin-value=1234'),
    ],
    (input) => parsePkcs11Uri(Buffer.from(input).toString('latin1')),
  ),
  decoder('module-items', () => [Uint8Array.of(23, 0, 0, 2, 1, 2, 0, 0, 0, 0)], readItems),
  appletTarget,
  ...TLS12_TARGETS,
  ...X509_TARGETS,
  ...CONNECTION_TARGETS,
  ...DTLS_TARGETS,
  ...TUNNEL_TARGETS,
  ...MUX_TARGETS,
  ...MODULE_TARGETS,
  ...LEGACY_TARGETS,
  ...SIGN_TARGETS,
];
