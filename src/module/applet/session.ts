import { Connection, type ConnectionInfo } from '../../connection/connection.ts';
import { DtlsConnection, type ServerSeed } from '../../connection/dtls-connection.ts';
import { DtlsGreeter } from '../../connection/dtls-greeter.ts';
import type { Role } from '../../connection/sub-protocol.ts';
import type { CryptoProvider } from '../../crypto/provider.ts';
import { AlertDescription } from '../../errors/alerts.ts';
import { AlertReceivedError, alertFor, errorForAlert, TrellisError } from '../../errors/errors.ts';
import { SESSION_BINDING_LABEL, SESSION_BINDING_LENGTH } from '../../formats/binding.ts';
import type { ClientConfig, ServerConfig } from '../../handshake/config.ts';
import { ContentType, HandshakeType, ProtocolVersion } from '../../wire/codepoints.ts';
import { Reader } from '../../wire/reader.ts';
import { concat } from '../../wire/writer.ts';
import { Status } from '../apdu/status.ts';
import { EapCode } from '../eap/packet.ts';
import {
  InformationTag,
  Instruction,
  Permission,
  RECORDS_ITEM,
  SessionState,
  WAIT_ITEM,
} from '../protocol.ts';
import { type Tlv, writeTlvs } from '../tlv.ts';
import { agreedFields, writeTrafficKeys } from './agreed-fields.ts';
import { Conversation } from './conversation.ts';
import { engineConfig } from './engine-config.ts';
import type { OpenRequest } from './open.ts';
import { type HostItem, Passthrough } from './passthrough.ts';
import type { IdentityRecord, PersistentState } from './persistent.ts';
import { Refused } from './refused.ts';
import { SessionSigner } from './session-signer.ts';

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
  /** Where cookies come from that the host has no secret for; it is made when it is needed first. */
  readonly cookieSecret: () => Uint8Array;
}

/** What runs a session: over a stream, or over datagrams. */
type Engine = Connection | DtlsConnection;

/** One TLS session in the module: EAP packets in and out, the engine behind them. */
export class Session {
  readonly role: Role;
  readonly identity: IdentityRecord;
  readonly #host: SessionHost;
  readonly #request: OpenRequest;
  readonly #conversation: Conversation;
  readonly #extensions: readonly Passthrough[];
  /**
   * Unix milliseconds, of the time that Open brought: the module has no clock. Over datagrams it goes on when the host says
   * that a time is over (Retransmit flight).
   */
  #now: number;
  #connection: Engine | undefined;
  /** A server of datagrams, until a client has proven its address. */
  #greeter: DtlsGreeter | undefined;
  /** What the host was told last of the time until Retransmit flight is due. */
  #toldWait = 0;
  #state: keyof typeof SessionState = 'handshaking';
  #connected = false;
  #items: HostItem[] = [];
  #itemBytes = 0;
  #failure: TrellisError | undefined;
  /** This side has shown its certificate. */
  #shown = false;
  /** As an EAP method: the server has committed itself, or the peer has acknowledged that. */
  #committed = false;
  #signer: SessionSigner | undefined;

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
    if (request.role === 'server') this.#begin();
  }

  #begin(): void {
    const { cookie } = this.#request.datagrams ?? {};
    if (cookie === undefined) {
      this.#connection = this.#start();
      return;
    }
    const config = this.#config();
    const secret = cookie.secret.length > 0 ? cookie.secret : this.#host.cookieSecret();
    if (!('identities' in config)) this.#greeter = new DtlsGreeter(config, secret);
  }

  get state(): keyof typeof SessionState {
    return this.#state;
  }

  /** State, whether items wait to be fetched by Process-EAP-Decrypt, and over datagrams when Retransmit flight is due. */
  get stateBytes(): Uint8Array {
    const bytes = Uint8Array.of(SessionState[this.#state], this.#items.length > 0 ? 1 : 0);
    if (this.#request.datagrams === undefined) return bytes;
    this.#toldWait = this.#wait;
    return concat([bytes, u16(this.#toldWait)]);
  }

  /** Milliseconds; 0 for never. */
  get #wait(): number {
    const due = this.#state === 'closed' ? undefined : this.#connection?.nextTimeout();
    return due === undefined ? 0 : Math.min(Math.max(1, Math.ceil(due - this.#now)), 0xffff);
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
        return this.#conversation.reply(concat(this.#take()), instruction);
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
    if (this.#greeter !== undefined && this.#connection === undefined) {
      const answer = this.#greet(this.#greeter, message);
      if (answer !== undefined) return this.#conversation.reply(answer, instruction);
    }
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
    return this.#conversation.reply(concat(this.#take()), instruction);
  }

  /** @returns what is sent to who has not proven its address; nothing once there is a connection */
  #greet(greeter: DtlsGreeter, datagram: Uint8Array): Uint8Array | undefined {
    const { datagrams, time } = this.#request;
    const address = datagrams?.cookie?.address ?? NOTHING;
    // Cookies that the host has made are as old as its own clock says.
    const greeting = greeter.greet(datagram, address, time);
    if (greeting.kind === 'reply') return greeting.datagram;
    if (greeting.kind === 'discard') return NOTHING;
    this.#connection = this.#start(greeting.seed);
    return undefined;
  }

  #config(): ClientConfig | ServerConfig {
    const { crypto, state } = this.#host;
    return engineConfig(crypto, state, this.identity, this.#request);
  }

  #start(seed?: ServerSeed): Engine {
    const config = this.#config();
    const factories = this.#extensions.map((extension) => () => extension);
    const now = this.#now;
    if ('identities' in config) {
      return config.datagrams === undefined
        ? Connection.client(config, now, factories)
        : DtlsConnection.client(config, now, factories);
    }
    return config.datagrams === undefined
      ? Connection.server(config, now, factories)
      : DtlsConnection.server(config, now, factories, seed);
  }

  /** Over datagrams: the time is over that the state has told. @returns what is sent now, a flight again */
  retransmit(): Uint8Array {
    const connection = this.#connection;
    const isRunning = this.#state === 'handshaking' || this.#state === 'open';
    if (!isRunning || !(connection instanceof DtlsConnection)) throw new Refused(Status.wrongState);
    this.#now = connection.nextTimeout() ?? this.#now;
    connection.handleTimeout(this.#now);
    return concat(this.#take());
  }

  // ── after it ───────────────────────────────────────────────────────────────────────────────────

  /** Takes clear text of a content type; the answer carries records. */
  encrypt(type: number, packet: Uint8Array): Uint8Array {
    return this.#exchange(packet, Instruction.encrypt, (connection, content) => {
      this.#send(connection, type, content);
      return concat(this.#take());
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
      items.push(...this.#asItems(records));
      return concat(items.flatMap(({ type, content }) => [itemHeader(type, content.length), content]));
    });
  }

  /** Over datagrams each is one, and the host hears when a time begins or ends. */
  #asItems(records: readonly Uint8Array[]): HostItem[] {
    if (this.#request.datagrams === undefined) {
      return records.length === 0 ? [] : [{ type: RECORDS_ITEM, content: concat(records) }];
    }
    const items = records.map((content) => ({ type: RECORDS_ITEM, content }));
    const wait = this.#wait;
    if (wait !== this.#toldWait) {
      this.#toldWait = wait;
      items.push({ type: WAIT_ITEM, content: u16(wait) });
    }
    return items;
  }

  #exchange(
    packet: Uint8Array,
    instruction: number,
    work: (connection: Engine, message: Uint8Array) => Uint8Array,
  ): Uint8Array {
    // What was begun while the session was open is given to its end: that may be the alert that closed it.
    const connection = this.#conversation.isSending ? this.#established() : this.#open();
    if (this.#state === 'exported') throw new Refused(Status.wrongState);
    const incoming = this.#conversation.receive(packet, instruction);
    if (incoming.kind === 'answered') return incoming.packet;
    if (incoming.kind !== 'message') throw new Refused(Status.wrongState);
    return this.#conversation.reply(work(connection, incoming.message), instruction);
  }

  #send(connection: Engine, type: number, content: Uint8Array): void {
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
  #sendAlert(connection: Engine, content: Uint8Array): void {
    const [, description] = content;
    if (content.length !== 2 || description === undefined) throw new Refused(Status.malformed);
    if (description === AlertDescription.close_notify) connection.close();
    else connection.abandon(errorForAlert(description, 'The host has ended the session'));
  }

  /** KeyUpdate, and messages of sub-protocols. */
  #sendHandshake(connection: Engine, message: Uint8Array): void {
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
    return agreedFields(info, {
      extensions: this.#extensions,
      ownChain: this.#shown ? this.identity.chain : [],
      sessionBinding: this.#sessionBinding(),
      maxDatagram: this.#connection?.maxDatagramSize,
    });
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
    // Others stay: the engine gives only sessions of TLS 1.3 away.
    if (!(connection instanceof Connection) || version !== ProtocolVersion.tls13) {
      throw new Refused(Status.notPermitted);
    }
    const traffic = connection.exportTrafficKeys();
    this.#state = 'exported';
    return writeTrafficKeys(version, traffic);
  }

  /** Also after `exportTrafficKeys`: the keys of its records may be with the host, this one is not. @throws Refused 6982, 6985 */
  get signer(): SessionSigner {
    this.#require(Permission.sign);
    if (this.#state !== 'exported') this.#open();
    if (this.#signer === undefined) {
      const { crypto, state } = this.#host;
      const expected = { role: this.role, sessionBinding: this.#sessionBinding() };
      this.#signer = new SessionSigner(crypto, () => state.key(this.identity), expected);
    }
    return this.#signer;
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
  #take(): Uint8Array[] {
    const connection = this.#connection as Engine;
    for (;;) {
      this.#hear(connection);
      const { wanted } = connection;
      // Its own key signs; certificates are chosen by the identity that Open named.
      if (wanted?.kind !== 'signature') break;
      this.#shown = true;
      connection.provide(this.#host.state.key(this.identity).sign(wanted.scheme, wanted.input), this.#now);
    }
    return connection.transmit();
  }

  #hear(connection: Engine): void {
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

  #beginMethod(connection: Engine): void {
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

  #established(): Engine {
    const connection = this.#connection;
    if (!this.#connected || connection === undefined) throw new Refused(Status.wrongState);
    return connection;
  }

  /** For what goes through the record layer. */
  #open(): Engine {
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

/** `uint8 type; uint24 length;` */
function itemHeader(type: number, length: number): Uint8Array {
  return Uint8Array.of(type, length >> 16, length >> 8, length);
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}

const utf8 = new TextEncoder();
const NOTHING = new Uint8Array(0);
