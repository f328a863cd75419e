import { TlsError } from '../../errors/errors.ts';
import {
  type Extension,
  findExtension,
  keyShareClientHello,
  protocolNameList,
  pskKeyExchangeModes,
  selectedGroup,
  selectedVersion,
  serverNameList,
  signatureAlgorithms,
  supportedGroups,
  supportedVersions,
} from '../../messages/extensions.ts';
import { HandshakeJoiner, type HandshakeMessage } from '../../messages/handshake.ts';
import {
  buildClientHello,
  isHelloRetryRequest,
  parseServerHello,
  type ServerHello,
} from '../../messages/hello.ts';
import { parseAlert } from '../../record/alert.ts';
import { Deframer, MAX_PLAINTEXT } from '../../record/tls/deframer.ts';
import {
  ContentType,
  ExtensionType,
  HandshakeType,
  ProtocolVersion,
  PskKeyExchangeMode,
} from '../../wire/codepoints.ts';
import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';

/*
 * A ClientHello that asks one question, and what the server's first words answer to it. There is no cryptography in it: a
 * share is never sent, so that TLS 1.3 servers name the group they want by HelloRetryRequest (RFC 8446 §4.2.8), and of
 * TLS 1.2 all that is looked at travels in clear.
 */

/** What a ClientHello offers. */
export interface Question {
  /** As on the wire; this version and no other. */
  readonly version: number;
  readonly suites: readonly number[];
  readonly groups: readonly number[];
  readonly schemes: readonly number[];
  readonly serverName: string | undefined;
  readonly protocols?: readonly string[];
  /** Offers of sub-protocols, for servers that serve nobody without them. */
  readonly extensions?: readonly Extension[];
}

export type Answer =
  | {
      readonly kind: 'hello';
      readonly version: number;
      readonly suite: number;
      /** Of HelloRetryRequest, or of ServerKeyExchange. */
      readonly group: number | undefined;
      /** Of ServerKeyExchange. */
      readonly scheme: number | undefined;
      /** TLS 1.2: the server knows extended_master_secret, renegotiation_info. */
      readonly extensions: readonly number[];
    }
  /** The server refuses; the description of its alert. */
  | { readonly kind: 'alert'; readonly description: number }
  /** The transport ended, or nothing came in time, or what came is not TLS. */
  | { readonly kind: 'silence'; readonly why: 'closed' | 'timeout' | 'not-tls'; readonly detail: string };

/** The records of a ClientHello. @param random 64 bytes: the hello's random, and a session id */
export function questionRecords(question: Question, random: Uint8Array): Uint8Array {
  const { version } = question;
  const isNew = version === ProtocolVersion.tls13;
  const hello = buildClientHello({
    legacyVersion: Math.min(version, ProtocolVersion.tls12),
    random: random.subarray(0, 32),
    // RFC 8446 §D.4.
    legacySessionId: isNew ? random.subarray(32, 64) : NOTHING,
    cipherSuites: question.suites,
    legacyCompressionMethods: Uint8Array.of(0),
    extensions: helloExtensions(question, isNew),
  });
  const writer = new Writer(hello.length + 16);
  for (let at = 0; at < hello.length; at += MAX_PLAINTEXT) {
    // RFC 8446 §5.1: for an initial ClientHello, whatever the version.
    writer.u8(ContentType.handshake).u16(ProtocolVersion.tls10);
    writer.vector(2, hello.subarray(at, at + MAX_PLAINTEXT));
  }
  return writer.finish();
}

function helloExtensions(
  { version, serverName, groups, schemes, protocols = [], extensions = [] }: Question,
  isNew: boolean,
): Extension[] {
  const list: Extension[] = [];
  const add = (type: number, body: Uint8Array): void => void list.push({ type, body });
  if (serverName !== undefined) add(ExtensionType.server_name, serverNameList.build(serverName));
  if (groups.length > 0) add(ExtensionType.supported_groups, supportedGroups.build(groups));
  if (version >= ProtocolVersion.tls12)
    add(ExtensionType.signature_algorithms, signatureAlgorithms.build(schemes));
  if (protocols.length > 0)
    add(ExtensionType.application_layer_protocol_negotiation, protocolNameList.build(protocols));
  if (isNew) {
    add(ExtensionType.supported_versions, supportedVersions.build([version]));
    add(ExtensionType.psk_key_exchange_modes, pskKeyExchangeModes.build([PskKeyExchangeMode.psk_dhe_ke]));
    add(ExtensionType.key_share, keyShareClientHello.build([]));
  } else {
    add(ExtensionType.ec_point_formats, Uint8Array.of(1, 0));
    add(ExtensionType.extended_master_secret, NOTHING);
    add(ExtensionType.encrypt_then_mac, NOTHING);
    add(ExtensionType.renegotiation_info, Uint8Array.of(0));
  }
  return [...list, ...extensions];
}

/** Bytes of a server that are read for one answer: chains with stapled responses have a tenth. */
const MAX_ANSWER = 131_072;

/** Reads a server's answer out of the bytes that come. */
export class AnswerReader {
  readonly #deframer = new Deframer();
  readonly #joiner = new HandshakeJoiner();
  readonly #wantsKeyExchange: boolean;
  #received = 0;
  #hello: (Answer & { kind: 'hello' }) | undefined;

  /** @param wantsKeyExchange TLS 1.2: the answer is in ServerKeyExchange */
  constructor(wantsKeyExchange: boolean) {
    this.#wantsKeyExchange = wantsKeyExchange;
  }

  /** `undefined` while bytes are missing. */
  receive(bytes: Uint8Array): Answer | undefined {
    this.#received += bytes.length;
    try {
      if (this.#received > MAX_ANSWER)
        throw new TlsError('ERR_TLS_RECORD_OVERFLOW', `more than ${MAX_ANSWER} bytes without an answer`);
      this.#deframer.feed(bytes);
      for (;;) {
        const frame = this.#deframer.next(MAX_PLAINTEXT);
        if (frame === undefined) {
          this.#deframer.settle();
          return undefined;
        }
        const answer = this.#look(frame.type, new Uint8Array(frame.fragment));
        if (answer !== undefined) return answer;
      }
    } catch (error) {
      if (!(error instanceof TlsError)) throw error;
      return this.#hello ?? { kind: 'silence', why: 'not-tls', detail: error.message };
    }
  }

  /** The transport has ended. */
  end(): Answer {
    return this.#hello ?? { kind: 'silence', why: 'closed', detail: 'it closed the connection' };
  }

  #look(type: number, fragment: Uint8Array): Answer | undefined {
    if (type === ContentType.alert) {
      const { description } = parseAlert(fragment);
      return this.#hello ?? { kind: 'alert', description };
    }
    if (type !== ContentType.handshake) return this.#hello;
    this.#joiner.push(fragment);
    for (let message = this.#joiner.next(); message !== undefined; message = this.#joiner.next()) {
      const answer = this.#lookAt(message);
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  #lookAt({ type, body }: HandshakeMessage): Answer | undefined {
    const before = this.#hello;
    if (before === undefined) {
      if (type !== HandshakeType.server_hello)
        throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'the first message is no ServerHello');
      const hello = helloAnswer(parseServerHello(body));
      this.#hello = hello;
      return this.#wantsKeyExchange && hello.version < ProtocolVersion.tls13 ? undefined : hello;
    }
    if (type === HandshakeType.server_key_exchange)
      return { ...before, ...keyExchangeOf(body, before.version) };
    return type === HandshakeType.server_hello_done ? before : undefined;
  }
}

function helloAnswer(hello: ServerHello): Answer & { kind: 'hello' } {
  const { extensions, legacyVersion, cipherSuite } = hello;
  const version = findExtension(extensions, ExtensionType.supported_versions);
  const share = findExtension(extensions, ExtensionType.key_share);
  return {
    kind: 'hello',
    version: version === undefined ? legacyVersion : selectedVersion.parse(version),
    suite: cipherSuite,
    group: share !== undefined && isHelloRetryRequest(hello) ? selectedGroup.parse(share) : undefined,
    scheme: undefined,
    extensions: extensions.map(({ type }) => type),
  };
}

/** Only of ECDHE (RFC 8422 §5.4): the others are nobody's question here. Before TLS 1.2 there is no scheme. */
function keyExchangeOf(body: Uint8Array, version: number): { group?: number; scheme?: number } {
  const r = new Reader(body, 'ServerKeyExchange');
  if (r.remaining === 0 || r.u8() !== NAMED_CURVE) return {};
  const group = r.u16();
  r.vector(1, 1);
  return version < ProtocolVersion.tls12 ? { group } : { group, scheme: r.u16() };
}

/** `named_curve` of ECCurveType. */
const NAMED_CURVE = 3;
const NOTHING = new Uint8Array(0);
