import { Connection, type ConnectionInfo } from '../../connection/connection.ts';
import type { Role } from '../../connection/sub-protocol.ts';
import type { CryptoProvider } from '../../crypto/provider.ts';
import { AlertDescription } from '../../errors/alerts.ts';
import { AlertReceivedError, alertFor, errorForAlert, TrellisError } from '../../errors/errors.ts';
import { type Binding, SESSION_BINDING_LABEL, SESSION_BINDING_LENGTH } from '../../formats/binding.ts';
import { writeChain } from '../../handshake/session.ts';
import { ContentType, HandshakeType, ProtocolVersion } from '../../wire/codepoints.ts';
import { Reader } from '../../wire/reader.ts';
import { concat, Writer } from '../../wire/writer.ts';
import { Status } from '../apdu/status.ts';
import { EapCode } from '../eap/packet.ts';
import {
  InformationTag,
  Instruction,
  Permission,
  RECORDS_ITEM,
  SessionState,
  TrafficKeyTag,
} from '../protocol.ts';
import { numberTlv, type Tlv, writeTlvs } from '../tlv.ts';
import { Conversation } from './conversation.ts';
import { engineConfig } from './engine-config.ts';
import type { OpenRequest } from './open.ts';
import { type HostItem, Passthrough } from './passthrough.ts';
import type { IdentityRecord, PersistentState } from './persistent.ts';
import { Refused } from './refused.ts';
import { checkSignedAttributes, checkSignedInfo, type ExpectedBinding } from './signature-check.ts';
import { SignatureNumbers } from './signature-numbers.ts';

/** RFC 5216 §2.3: MSK and EMSK are 64 bytes each; the MSK comes first. */
const KEY_MATERIAL_LENGTH = 128;
const MSK_LENGTH = 64;
/** RFC 9190 §2.3. */
const KEY_MATERIAL_LABEL = 'EXPORTER_EAP_TLS_Key_Material';
/** RFC 9190 §2.3: the context is the EAP method's type. */
const KEY_MATERIAL_CONTEXT = Uint8Array.of(0x0d);
/** RFC 5216 §2.3. */
const OLD_KEY_MATERIAL_LABEL = 'client EAP encryption';
/** RFC 9190 §2.1.1, §2.5: one byte of application data, after which no handshake message follows. */
const COMMITMENT = Uint8Array.of(0);
/** Data that came with the end of the handshake and was not fetched; more of it is not taken before that. */
const MAX_WAITING_ITEMS = 262_144;

/** What a session needs of the module around it. */
export interface SessionHost {
  readonly crypto: CryptoProvider;
  readonly state: PersistentState;
}

/** One TLS session in the module: EAP packets in and out, the engine behind them. */
export class Session {
  readonly role: Role;
  readonly identity: IdentityRecord;
  readonly #host: SessionHost;
  readonly #request: OpenRequest;
  readonly #conversation: Conversation;
  readonly #extensions: readonly Passthrough[];
  /** Unix milliseconds of the time that Open brought: the module has no clock. */
  readonly #now: number;
  #connection: Connection | undefined;
  #state: keyof typeof SessionState = 'handshaking';
  #connected = false;
  #items: HostItem[] = [];
  #itemBytes = 0;
  #failure: TrellisError | undefined;
  /** This side has shown its certificate. */
  #shown = false;
  /** As an EAP method: the server has committed itself, or the peer has acknowledged that. */
  #committed = false;
  readonly #numbers = new SignatureNumbers();

  /** @param now Unix milliseconds */
  constructor(host: SessionHost, identity: IdentityRecord, request: OpenRequest, now: number) {
    this.role = request.role;
    this.identity = identity;
    this.#host = host;
    this.#request = request;
    this.#now = now;
    this.#conversation = new Conversation(request.role, request.fragmentSize);
    this.#extensions = request.extensions.map(
      (extension) => new Passthrough(extension, (item) => this.#deliver(item)),
    );
    if (request.role === 'server') this.#connection = this.#start();
  }

  get state(): keyof typeof SessionState {
    return this.#state;
  }

  /** State, and whether items wait to be fetched by Process-EAP-Decrypt. */
  get stateBytes(): Uint8Array {
    return Uint8Array.of(SessionState[this.#state], this.#items.length > 0 ? 1 : 0);
  }

  // ── the handshake ──────────────────────────────────────────────────────────────────────────────

  /** @returns the packet to be sent; nothing after EAP-Success and EAP-Failure */
  processEap(packet: Uint8Array): Uint8Array {
    // A closed session still gives the rest of its alert, and its result.
    if (this.#state === 'exported') throw new Refused(Status.wrongState);
    const instruction = Instruction.processEap;
    const incoming = this.#conversation.receive(packet, instruction);
    switch (incoming.kind) {
      case 'answered':
        return incoming.packet;
      case 'identity':
        return this.role === 'server' ? this.#conversation.replyStart() : this.#replyIdentity();
      case 'start':
        // A second start would be another handshake in the place of this one.
        if (this.#connection !== undefined) throw new Refused(Status.wrongState);
        this.#connection = this.#start();
        return this.#conversation.reply(this.#take(), instruction);
      case 'success':
        if (!this.#connected) throw new Refused(Status.wrongState);
        return NOTHING;
      case 'failure':
        this.#close();
        return NOTHING;
      case 'message':
        return this.#process(incoming.message);
    }
  }

  #replyIdentity(): Uint8Array {
    const { nai, alias } = this.identity;
    return this.#conversation.replyIdentity(nai.length > 0 ? nai : new TextEncoder().encode(alias));
  }

  #process(message: Uint8Array): Uint8Array {
    const instruction = Instruction.processEap;
    const connection = this.#connection;
    if (connection === undefined) throw new Refused(Status.wrongState);
    if (this.#isMethod && this.role === 'server' && message.length === 0) {
      // RFC 5216 §2.1.3, RFC 9190 §2.1.1: the empty response to our last words, good or bad, ends the method.
      if (this.#state === 'closed') return this.#conversation.replyResult(EapCode.failure);
      if (this.#connected) {
        this.#committed = true;
        return this.#conversation.replyResult(EapCode.success);
      }
    }
    if (this.#state === 'closed') throw new Refused(Status.wrongState);
    connection.receive(message, this.#now);
    return this.#conversation.reply(this.#take(), instruction);
  }

  #start(): Connection {
    const { crypto, state } = this.#host;
    const config = engineConfig(crypto, state, this.identity, this.#request);
    const factories = this.#extensions.map((extension) => () => extension);
    return 'identities' in config
      ? Connection.client(config, this.#now, factories)
      : Connection.server(config, this.#now, factories);
  }

  // ── after it ───────────────────────────────────────────────────────────────────────────────────

  /** Takes clear text of a content type; the answer carries records. */
  encrypt(type: number, packet: Uint8Array): Uint8Array {
    return this.#exchange(packet, Instruction.encrypt, (connection, content) => {
      this.#send(connection, type, content);
      return this.#take();
    });
  }

  /** Takes records; the answer carries items: `uint8 type; opaque content<0..2^24-1>;` each. */
  decrypt(packet: Uint8Array): Uint8Array {
    return this.#exchange(packet, Instruction.decrypt, (connection, bytes) => {
      if (bytes.length > 0) connection.receive(bytes, this.#now);
      const records = this.#take();
      const items = this.#items;
      this.#items = [];
      this.#itemBytes = 0;
      if (records.length > 0) items.push({ type: RECORDS_ITEM, content: records });
      const writer = new Writer(1024);
      for (const { type, content } of items) writer.u8(type).vector(3, content);
      return writer.finish();
    });
  }

  #exchange(
    packet: Uint8Array,
    instruction: number,
    work: (connection: Connection, message: Uint8Array) => Uint8Array,
  ): Uint8Array {
    // What was begun while the session was open is given to its end: that may be the alert that closed it.
    const connection = this.#conversation.isSending ? this.#established() : this.#open();
    if (this.#state === 'exported') throw new Refused(Status.wrongState);
    const incoming = this.#conversation.receive(packet, instruction);
    if (incoming.kind === 'answered') return incoming.packet;
    if (incoming.kind !== 'message') throw new Refused(Status.wrongState);
    return this.#conversation.reply(work(connection, incoming.message), instruction);
  }

  #send(connection: Connection, type: number, content: Uint8Array): void {
    switch (type) {
      case ContentType.application_data:
        connection.send(content);
        return;
      case ContentType.alert:
        this.#sendAlert(connection, content);
        return;
      case ContentType.handshake:
        this.#sendHandshake(connection, content);
        return;
    }
    const { link } = this.#extensions.find(({ contentTypes }) => contentTypes.includes(type)) ?? {};
    if (link === undefined) throw new Refused(Status.wrongParameters);
    link.send(type, content);
  }

  /** `AlertLevel level; AlertDescription description;`: close_notify closes, anything else ends the session. */
  #sendAlert(connection: Connection, content: Uint8Array): void {
    const [, description] = content;
    if (content.length !== 2 || description === undefined) throw new Refused(Status.malformed);
    if (description === AlertDescription.close_notify) connection.close();
    else connection.abandon(errorForAlert(description, 'The host has ended the session'));
  }

  /** KeyUpdate, and messages of sub-protocols. */
  #sendHandshake(connection: Connection, message: Uint8Array): void {
    const r = new Reader(message, 'handshake message');
    const type = r.u8();
    const body = r.vector(3);
    r.end();
    if (type === HandshakeType.key_update) {
      if (body.length !== 1 || (body[0] as number) > 1) throw new Refused(Status.malformed);
      connection.updateKeys(body[0] === 1);
      return;
    }
    const { link } = this.#extensions.find(({ handshakeTypes }) => handshakeTypes.includes(type)) ?? {};
    if (link === undefined) throw new Refused(Status.notPermitted);
    link.sendHandshake(type, body);
  }

  /** TLV, docs/security-module.md. Of a closed session: why. */
  information(): Uint8Array {
    const fields: (Tlv | undefined)[] = [
      { tag: InformationTag.state, value: this.stateBytes.subarray(0, 1) },
    ];
    const info = this.#connected ? this.#connection?.info : undefined;
    if (info !== undefined) fields.push(...this.#agreed(info));
    if (this.#failure !== undefined) {
      const byPeer = this.#failure instanceof AlertReceivedError;
      const alert =
        this.#failure instanceof AlertReceivedError ? this.#failure.description : alertFor(this.#failure);
      const code = utf8.encode(this.#failure.code);
      fields.push(
        { tag: InformationTag.failure, value: concat([Uint8Array.of(alert), code]) },
        byPeer ? { tag: InformationTag.failureByPeer, value: NOTHING } : undefined,
      );
    }
    return writeTlvs(fields);
  }

  #agreed(info: ConnectionInfo): (Tlv | undefined)[] {
    const { version, suite, group, peer, serverName, alpnProtocol, transcriptHash } = info;
    const text = (tag: number, value: string | undefined) =>
      value === undefined ? undefined : { tag, value: utf8.encode(value) };
    return [
      numberTlv(InformationTag.version, version, 2),
      numberTlv(InformationTag.suite, suite.id, 2),
      group === undefined ? undefined : numberTlv(InformationTag.group, group, 2),
      peer === undefined
        ? undefined
        : { tag: InformationTag.peerPath, value: chainBytes(peer.path.map(({ raw }) => raw)) },
      this.#shown ? { tag: InformationTag.ownChain, value: chainBytes(this.identity.chain) } : undefined,
      ...this.#extensions.map(({ extensionType, answered }) =>
        answered === undefined
          ? undefined
          : {
              tag: InformationTag.helloExtension,
              value: new Writer(answered.length + 2).u16(extensionType).bytes(answered).finish(),
            },
      ),
      { tag: InformationTag.sessionBinding, value: this.#sessionBinding() },
      { tag: InformationTag.transcriptHash, value: transcriptHash },
      text(InformationTag.serverName, serverName),
      text(InformationTag.alpn, alpnProtocol),
    ];
  }

  /** @param label one that the host may have, see `isExporterLabelPermitted` */
  export(label: string, context: Uint8Array | undefined, length: number): Uint8Array {
    return this.#established().exportKeyingMaterial(label, context, length);
  }

  /** RFC 5216 §2.3, RFC 9190 §2.3. Only of a completed EAP method whose identity permits it. */
  masterSessionKey(): Uint8Array {
    this.#require(Permission.masterSessionKey);
    const connection = this.#established();
    if (!this.#isMethod || !this.#committed) throw new Refused(Status.wrongState);
    const material =
      connection.info?.version === ProtocolVersion.tls13
        ? connection.exportKeyingMaterial(KEY_MATERIAL_LABEL, KEY_MATERIAL_CONTEXT, KEY_MATERIAL_LENGTH)
        : connection.exportKeyingMaterial(OLD_KEY_MATERIAL_LABEL, undefined, KEY_MATERIAL_LENGTH);
    return material.subarray(0, MSK_LENGTH);
  }

  /** Both directions' secrets, TLV. One way: from then on no record passes through the module. */
  exportTrafficKeys(): Uint8Array {
    this.#require(Permission.trafficKeys);
    const connection = this.#open();
    if (this.#isMethod || this.#items.length > 0) throw new Refused(Status.wrongState);
    const { version } = connection.info as ConnectionInfo;
    // Keys of TLS 1.2 stay: the engine gives only sessions of TLS 1.3 away.
    if (version !== ProtocolVersion.tls13) throw new Refused(Status.notPermitted);
    const { suite, read, write, limits } = connection.exportTrafficKeys();
    this.#state = 'exported';
    return writeTlvs([
      numberTlv(TrafficKeyTag.version, version, 2),
      numberTlv(TrafficKeyTag.suite, suite.id, 2),
      { tag: TrafficKeyTag.readSecret, value: read.secret },
      { tag: TrafficKeyTag.writeSecret, value: write.secret },
      numberTlv(TrafficKeyTag.readSequence, read.sequence, 6),
      numberTlv(TrafficKeyTag.writeSequence, write.sequence, 6),
      numberTlv(TrafficKeyTag.sendLimit, limits.sending, 2),
      limits.receiving === undefined ? undefined : numberTlv(TrafficKeyTag.receiveLimit, limits.receiving, 2),
    ]);
  }

  /**
   * Signs signedAttrs of this session (RFC 5652 §5.4) and nothing else.
   * @param attributes the SET OF Attribute, DER, that is to be signed
   */
  signAttributes(scheme: number, attributes: Uint8Array): Uint8Array {
    return this.#sign(scheme, attributes, (expected) => checkSignedAttributes(attributes, expected));
  }

  /** The same for XML signatures. @param binding which the SignedInfo has the digest of */
  signInfo(scheme: number, binding: Uint8Array, signedInfo: Uint8Array): Uint8Array {
    const { crypto } = this.#host;
    return this.#sign(scheme, signedInfo, (expected) =>
      checkSignedInfo(crypto, { scheme, binding, signedInfo }, expected),
    );
  }

  /** Numbers below this one have gone to objects without a signature, or to one whose signature comes later. */
  leaveNumbersOpen(next: number): void {
    this.#requireSigning();
    this.#numbers.leaveOpen(next);
  }

  #sign(scheme: number, data: Uint8Array, check: (expected: ExpectedBinding) => Binding): Uint8Array {
    this.#requireSigning();
    const key = this.#host.state.key(this.identity);
    const { sequence } = check({ role: this.role, sessionBinding: this.#sessionBinding() });
    if (!this.#numbers.isFree(sequence)) throw new Refused(Status.notPermitted);
    if (!key.schemes.includes(scheme)) throw new Refused(Status.wrongParameters);
    this.#numbers.take(sequence);
    return key.sign(scheme, data);
  }

  #requireSigning(): void {
    this.#require(Permission.sign);
    // The keys of its records may be with the host; this key is not.
    if (this.#state !== 'exported') this.#open();
  }

  /** The end, whatever state it is in; nothing is sent. */
  drop(): void {
    this.#connection?.drop();
    this.#connection = undefined;
    this.#items = [];
    this.#state = 'closed';
  }

  // ── the engine ─────────────────────────────────────────────────────────────────────────────────

  get #isMethod(): boolean {
    return this.#request.mode === 'method';
  }

  /** Answers what the engine wants, hears what it reports. @returns the records that it has to send */
  #take(): Uint8Array {
    const connection = this.#connection as Connection;
    for (;;) {
      this.#hear(connection);
      const { wanted } = connection;
      // Its own key signs; certificates are chosen by the identity that Open named.
      if (wanted?.kind !== 'signature') break;
      this.#shown = true;
      connection.provide(this.#host.state.key(this.identity).sign(wanted.scheme, wanted.input), this.#now);
    }
    return concat(connection.transmit());
  }

  #hear(connection: Connection): void {
    for (let event = connection.nextEvent(); event !== undefined; event = connection.nextEvent()) {
      switch (event.type) {
        case 'connected':
          this.#connected = true;
          this.#state = 'open';
          this.#beginMethod(connection);
          break;
        case 'data':
          if (this.#isMethod) this.#receiveCommitment(event.data);
          else this.#deliver({ type: ContentType.application_data, content: event.data });
          break;
        case 'end':
          this.#deliver({
            type: ContentType.alert,
            content: Uint8Array.of(1, AlertDescription.close_notify),
          });
          break;
        case 'error':
          this.#failure = event.error;
          this.#state = 'closed';
          this.#deliver({ type: ContentType.alert, content: Uint8Array.of(2, alertFor(event.error)) });
          break;
        default:
          // Tickets and key logs do not leave the module.
          break;
      }
    }
  }

  #beginMethod(connection: Connection): void {
    if (!this.#isMethod) return;
    if (connection.info?.version !== ProtocolVersion.tls13) this.#committed = this.role === 'client';
    else if (this.role === 'server') connection.send(COMMITMENT);
  }

  /** RFC 9190 §2.5: only after it may the peer believe that the server is done. */
  #receiveCommitment(data: Uint8Array): void {
    if (this.role === 'client' && data.length === 1 && data[0] === 0) this.#committed = true;
    else {
      this.#connection?.abandon(
        errorForAlert(AlertDescription.unexpected_message, 'Application data in an EAP method'),
      );
    }
  }

  #deliver(item: HostItem): void {
    this.#itemBytes += item.content.length;
    if (this.#itemBytes > MAX_WAITING_ITEMS) {
      this.#connection?.abandon(
        new TrellisError('ERR_TLS_INTERNAL', 'The host does not fetch what has come'),
      );
      return;
    }
    this.#items.push(item);
  }

  #sessionBinding(): Uint8Array {
    const connection = this.#established();
    const { transcriptHash } = connection.info as ConnectionInfo;
    return connection.exportKeyingMaterial(SESSION_BINDING_LABEL, transcriptHash, SESSION_BINDING_LENGTH);
  }

  #established(): Connection {
    const connection = this.#connection;
    if (!this.#connected || connection === undefined) throw new Refused(Status.wrongState);
    return connection;
  }

  /** For what goes through the record layer. */
  #open(): Connection {
    const connection = this.#established();
    if (this.#state !== 'open') throw new Refused(Status.wrongState);
    return connection;
  }

  #require(permission: number): void {
    if ((this.identity.permissions & permission) === 0) throw new Refused(Status.notPermitted);
  }

  #close(): void {
    this.#state = 'closed';
    this.#connection?.drop();
  }
}

function chainBytes(chain: readonly Uint8Array[]): Uint8Array {
  const writer = new Writer(4096);
  writeChain(writer, chain);
  return writer.finish();
}

const utf8 = new TextEncoder();
const NOTHING = new Uint8Array(0);
