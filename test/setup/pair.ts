import { Connection, type ConnectionEvent } from '../../src/connection/connection.ts';
import type { Role, SubProtocolFactory } from '../../src/connection/sub-protocol.ts';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { type Suite, suiteById } from '../../src/crypto/suites.ts';
import { suite12ById } from '../../src/crypto/suites12.ts';
import type { TrellisError } from '../../src/errors/errors.ts';
import type { ClientConfig, ServerConfig } from '../../src/handshake/config.ts';
import { nextTrafficSecret, trafficKeys } from '../../src/handshake/key-schedule.ts';
import type { ResumableSession } from '../../src/handshake/resumable-session.ts';
import type { ClientSession } from '../../src/handshake/session.ts';
import type { SignatureWanted } from '../../src/handshake/step.ts';
import { PROTOCOLS_12, type Terms12 } from '../../src/handshake/tls12/protocol.ts';
import { findExtension } from '../../src/messages/extensions.ts';
import { asHandshakeMessage, HandshakeJoiner, type HandshakeMessage } from '../../src/messages/handshake.ts';
import { parseClientHello, parseServerHello } from '../../src/messages/hello.ts';
import { ContentType, ExtensionType, HandshakeType, ProtocolVersion } from '../../src/wire/codepoints.ts';
import { concat } from '../../src/wire/writer.ts';
import { NetworkKeys12 } from './keys12.ts';

/*
 * Two Connections joined under a virtual clock. Bytes travel whole, one by one or in random pieces. In between may sit
 * a hostile network that knows every secret (from the key log events of both sides): it opens each record with the
 * sender's keys, lets a test change, drop, double or add records and messages, and seals the result with the
 * receiver's keys, so that a fault is found where the test means it and not as bad_record_mac.
 */

export type Delivery = 'whole' | 'byte' | { readonly seed: number };
export type Epoch = 'clear' | 'handshake' | 'application';

/** A record on its way, opened. */
export interface InFlight {
  readonly from: Role;
  /** Number of records from this side before it. */
  readonly nth: number;
  readonly epoch: Epoch;
  /** The inner content type, once records are protected. */
  readonly type: number;
  readonly content: Uint8Array;
  /** How many bytes of a handshake record's content belong to a message that began in a record before it. */
  readonly continued: number;
}

/** What is delivered: content to be sealed under the keys of the moment (in clear before there are any), or bytes. */
export type Cargo =
  | { readonly type: number; readonly content: Uint8Array; readonly padding?: number }
  | { readonly raw: Uint8Array };

/** Decides what is delivered for a record; `undefined` leaves it alone, `[]` drops it. */
export type Tamper = (record: InFlight) => readonly Cargo[] | undefined;

export interface PairSetup {
  readonly client: ClientConfig;
  readonly server: ServerConfig;
  readonly delivery?: Delivery;
  readonly tamper?: Tamper;
  readonly clientProtocols?: readonly SubProtocolFactory[];
  readonly serverProtocols?: readonly SubProtocolFactory[];
  /** Answers `wanted`; by default the key signs. `undefined` leaves the question open. */
  readonly sign?: (wanted: SignatureWanted, role: Role) => Uint8Array | undefined;
}

export const peerOf = { client: 'server', server: 'client' } as const;

/** When the clock of every pair starts: 2026-01-02T03:04:05Z. */
export const START = Date.UTC(2026, 0, 2, 3, 4, 5);

/** The network does not have the keys of a record: the sides have been led to different ones. */
export class CannotOpen extends Error {
  constructor() {
    super('the network cannot open a record: wrong epoch?');
  }
}

/** One side: its connection, and everything that it reported. */
export class Endpoint {
  readonly role: Role;
  readonly connection: Connection;
  readonly events: ConnectionEvent[] = [];
  /** Secrets of the key log, by label. */
  readonly secrets = new Map<string, Uint8Array>();
  readonly keylog: string[] = [];

  constructor(role: Role, connection: Connection) {
    this.role = role;
    this.connection = connection;
  }

  get connected(): boolean {
    return this.events.some(({ type }) => type === 'connected');
  }

  get ended(): boolean {
    return this.events.some(({ type }) => type === 'end');
  }

  get data(): Uint8Array {
    return concat(this.events.flatMap((event) => (event.type === 'data' ? [event.data] : [])));
  }

  get tickets(): ClientSession[] {
    return this.sessions.filter((session) => 'psk' in session);
  }

  /** Of TLS 1.3 and 1.2. */
  get sessions(): ResumableSession[] {
    return this.events.flatMap((event) => (event.type === 'ticket' ? [event.session] : []));
  }

  get error(): TrellisError | undefined {
    return this.events.flatMap((event) => (event.type === 'error' ? [event.error] : []))[0];
  }

  /** Takes the events out of the connection. */
  collect(): void {
    for (let event = this.connection.nextEvent(); event !== undefined; event = this.connection.nextEvent()) {
      if (event.type !== 'keylog') {
        this.events.push(event);
        continue;
      }
      this.keylog.push(event.line);
      const [label, , secret] = event.line.split(' ') as [string, string, string];
      this.secrets.set(label, Uint8Array.from(Buffer.from(secret, 'hex')));
    }
  }
}

export class Pair {
  now = START;
  readonly client: Endpoint;
  readonly server: Endpoint;
  /** Every record that a side sent, as it left it. */
  readonly sent: Readonly<Record<Role, Uint8Array[]>> = { client: [], server: [] };
  /** Can be set and cleared while the pair runs. */
  tamper: Tamper | undefined;
  readonly #setup: PairSetup;
  readonly #routes: Readonly<Record<Role, Route>>;
  readonly #split: (bytes: Uint8Array) => Iterable<Uint8Array>;

  constructor(setup: PairSetup) {
    this.#setup = setup;
    this.tamper = setup.tamper;
    this.#split = splitter(setup.delivery ?? 'whole');
    this.client = new Endpoint(
      'client',
      Connection.client(setup.client, this.now, setup.clientProtocols ?? []),
    );
    this.server = new Endpoint(
      'server',
      Connection.server(setup.server, this.now, setup.serverProtocols ?? []),
    );
    const network: Network = { suite: undefined, tls12: undefined, clientRandom: undefined };
    this.#routes = {
      client: new Route(this.client, this.server, network),
      server: new Route(this.server, this.client, network),
    };
  }

  /** Carries bytes to and fro until both sides are silent. */
  run(): this {
    for (let moved = true; moved; ) {
      moved = false;
      for (const role of ['client', 'server'] as const) {
        this.#attend(this[role]);
        if (this.#carry(role)) moved = true;
      }
    }
    return this;
  }

  /** Seals cargo under the present keys of that direction and delivers it, as if `from` had sent it. */
  inject(from: Role, ...cargo: readonly Cargo[]): this {
    for (const item of cargo) this.#deliver(peerOf[from], this.#routes[from].seal(item));
    return this.run();
  }

  /** Delivers bytes as they are. */
  injectRaw(from: Role, bytes: Uint8Array): this {
    this.#deliver(peerOf[from], bytes);
    return this.run();
  }

  /** The transport of both sides ends in the direction from `from`. */
  end(from: Role): this {
    this[peerOf[from]].connection.receiveEnd();
    return this.run();
  }

  /** Lets time pass; a side whose timeout is due is told. */
  advance(milliseconds: number): this {
    this.now += milliseconds;
    for (const { connection } of [this.client, this.server]) {
      const due = connection.nextTimeout();
      if (due !== undefined && due <= this.now) connection.handleTimeout(this.now);
    }
    return this.run();
  }

  #carry(from: Role): boolean {
    const bytes = concat(this[from].connection.transmit());
    if (bytes.length === 0) return false;
    const records = splitRecords(bytes);
    this.sent[from].push(...records);
    const route = this.#routes[from];
    const out: Uint8Array[] = [];
    for (const record of records) {
      const delivered = route.pass(record, this.tamper);
      // A hostile network works record by record: the receiver's keys for the next depend on this one.
      if (this.tamper === undefined) out.push(...delivered);
      else for (const piece of delivered) this.#deliver(peerOf[from], piece);
    }
    this.#deliver(peerOf[from], concat(out));
    return true;
  }

  #deliver(to: Role, bytes: Uint8Array): void {
    for (const piece of this.#split(bytes)) this[to].connection.receive(piece, this.now);
    this.#attend(this[to]);
  }

  /** Takes events and answers what is wanted. */
  #attend(endpoint: Endpoint): void {
    endpoint.collect();
    const { wanted } = endpoint.connection;
    if (wanted === undefined) return;
    if (wanted.kind === 'identities') {
      const identities = wanted.source.select(wanted.serverName, wanted.wishes);
      if (identities instanceof Promise) return;
      endpoint.connection.provideIdentities(identities, this.now);
      this.#attend(endpoint);
      return;
    }
    if (wanted.kind === 'decryption') {
      const block = wanted.key.decrypt(wanted.ciphertext);
      if (block instanceof Promise) throw new Error('the pair needs keys that decrypt at once');
      endpoint.connection.provide(block, this.now);
      this.#attend(endpoint);
      return;
    }
    const sign = this.#setup.sign ?? ((w: SignatureWanted) => w.key.sign(w.scheme, w.input));
    const signature = sign(wanted, endpoint.role);
    if (signature instanceof Promise) throw new Error('the pair needs keys that sign at once');
    if (signature === undefined) return;
    endpoint.connection.provide(signature, this.now);
    this.#attend(endpoint);
  }
}

/** What both directions have to know. */
interface Network {
  suite: Suite | undefined;
  /** TLS 1.2 or what is older was agreed on. */
  tls12: { readonly terms: Terms12; readonly serverRandom: Uint8Array } | undefined;
  clientRandom: Uint8Array | undefined;
}

/** One direction of the network between: follows the epochs of the sender, knows the keys of both sides. */
class Route {
  readonly #from: Endpoint;
  readonly #to: Endpoint;
  readonly #network: Network;
  #epoch: Epoch = 'clear';
  #nth = 0;
  #open: Keys | NetworkKeys12 | undefined;
  #seal: Keys | NetworkKeys12 | undefined;
  readonly #joiner = new HandshakeJoiner();
  readonly #fragments = new Fragments();

  constructor(from: Endpoint, to: Endpoint, network: Network) {
    this.#from = from;
    this.#to = to;
    this.#network = network;
  }

  /** @returns the bytes to deliver in place of `record` */
  pass(record: Uint8Array, tamper: Tamper | undefined): Uint8Array[] {
    const outer = record[0] as number;
    if (this.#network.tls12 !== undefined) return this.#pass12(record, tamper);
    if (this.#epoch === 'clear' && outer === ContentType.application_data) this.#enter('handshake');
    const nth = this.#nth++;
    // Both sides agree on what comes next, as long as nothing was injected or taken out.
    const inStep = this.#open?.sequence === this.#seal?.sequence;
    const opened = this.#opened(record);
    const continued = this.#fragments.follow(opened);
    if (tamper === undefined && inStep) {
      this.#seal?.skip(record);
      this.#follow(opened);
      return [record];
    }
    const clear = outer !== ContentType.application_data;
    const epoch = clear ? 'clear' : this.#epoch;
    const cargo = tamper?.({ from: this.#from.role, nth, epoch, ...opened, continued }) ?? [
      clear ? { raw: record } : opened,
    ];
    const out = cargo.map((item) => this.seal(item));
    this.#follow(opened);
    return out;
  }

  /** TLS 1.2: keys change after ChangeCipherSpec, and the type outside is the one inside. */
  #pass12(record: Uint8Array, tamper: Tamper | undefined): Uint8Array[] {
    const type = record[0] as number;
    const nth = this.#nth++;
    const inStep = this.#open?.sequence === this.#seal?.sequence;
    const opened = this.#open === undefined ? { type, content: record.subarray(5) } : this.#open.open(record);
    if (opened === undefined) throw new CannotOpen();
    const epoch = this.#open === undefined ? 'clear' : 'application';
    const continued = this.#fragments.follow(opened);
    const cargo = tamper?.({ from: this.#from.role, nth, epoch, ...opened, continued });
    let out = [record];
    if (cargo !== undefined || !inStep) out = (cargo ?? [opened]).map((item) => this.seal(item));
    else this.#seal?.skip(record);
    if (type === ContentType.change_cipher_spec && this.#open === undefined) {
      // With CCS taken out, nothing sealed would be understood on the other side.
      this.#open = this.#keys12(this.#from);
      this.#seal = cargo?.length === 0 ? undefined : this.#keys12(this.#to);
    } else this.#follow(opened);
    return out;
  }

  #keys12(endpoint: Endpoint): NetworkKeys12 {
    const { tls12, clientRandom: client } = this.#network;
    const label = 'CLIENT_RANDOM';
    const master =
      endpoint.secrets.get(label) ?? this.#from.secrets.get(label) ?? this.#to.secrets.get(label);
    if (tls12 === undefined || client === undefined || master === undefined) throw new CannotOpen();
    return new NetworkKeys12(tls12.terms, master, { client, server: tls12.serverRandom }, this.#from.role);
  }

  seal(cargo: Cargo): Uint8Array {
    if ('raw' in cargo) return cargo.raw;
    const version = this.#network.tls12?.terms.protocol.version;
    return this.#seal === undefined
      ? clearRecord(cargo.type, cargo.content, version)
      : this.#seal.seal(cargo);
  }

  #opened(record: Uint8Array): { type: number; content: Uint8Array } {
    const outer = record[0] as number;
    if (outer !== ContentType.application_data || this.#open === undefined) {
      return { type: outer, content: record.subarray(5) };
    }
    const opened = this.#open.open(record);
    if (opened === undefined) throw new CannotOpen();
    return opened;
  }

  /** Changes keys after the messages that change the sender's. */
  #follow({ type, content }: { type: number; content: Uint8Array }): void {
    if (type !== ContentType.handshake) return;
    this.#joiner.push(content);
    for (let message = this.#joiner.next(); message !== undefined; message = this.#joiner.next()) {
      if (message.type === HandshakeType.client_hello && this.#epoch === 'clear') {
        this.#network.clientRandom ??= parseClientHello(message.body).random;
      }
      if (message.type === HandshakeType.server_hello) {
        const { cipherSuite, random, legacyVersion, extensions } = parseServerHello(message.body);
        this.#network.suite = suiteById(cipherSuite);
        const suite12 = suite12ById(cipherSuite);
        const protocol = PROTOCOLS_12.find(({ version }) => version === legacyVersion);
        if (suite12 !== undefined && protocol !== undefined) {
          const encryptThenMac = findExtension(extensions, ExtensionType.encrypt_then_mac) !== undefined;
          const terms = { protocol, suite: suite12, encryptThenMac };
          this.#network.tls12 = { terms, serverRandom: random };
        }
      }
      if (this.#epoch === 'handshake' && message.type === HandshakeType.finished) this.#enter('application');
      else if (this.#epoch === 'application' && message.type === HandshakeType.key_update) {
        if (this.#open instanceof Keys) this.#open.update();
        if (this.#seal instanceof Keys) this.#seal.update();
      }
    }
  }

  #enter(epoch: 'handshake' | 'application'): void {
    this.#epoch = epoch;
    const side = this.#from.role === 'client' ? 'CLIENT' : 'SERVER';
    const label = epoch === 'handshake' ? `${side}_HANDSHAKE_TRAFFIC_SECRET` : `${side}_TRAFFIC_SECRET_0`;
    const { suite } = this.#network;
    this.#open = Keys.of(suite, this.#from.secrets.get(label));
    // The receiver may have failed before it had this secret; then the sender's serves as well.
    this.#seal = Keys.of(suite, this.#to.secrets.get(label) ?? this.#from.secrets.get(label));
  }
}

/** Where the messages that a side sends begin: a record may begin amid one, RFC 8446 §5.1. */
class Fragments {
  /** The message that is under way, as far as it has been sent. */
  #partial: Uint8Array = new Uint8Array(0);

  /** @returns how much of the record belongs to a message that began before it */
  follow({ type, content }: { type: number; content: Uint8Array }): number {
    if (type !== ContentType.handshake) return 0;
    const before = this.#partial.length;
    const messages = splitMessages(concat([this.#partial, content]));
    const last = messages.at(-1);
    this.#partial = last === undefined || isWhole(last) ? new Uint8Array(0) : last.raw;
    return before === 0 ? 0 : (messages[0] as HandshakeMessage).raw.length - before;
  }
}

/** The keys of one direction in one epoch, as one side has them. */
class Keys {
  readonly #suite: Suite;
  #secret: Uint8Array;
  /** Of the next record. */
  sequence = 0;

  private constructor(suite: Suite, secret: Uint8Array) {
    this.#suite = suite;
    this.#secret = secret;
  }

  static of(suite: Suite | undefined, secret: Uint8Array | undefined): Keys | undefined {
    return suite === undefined || secret === undefined ? undefined : new Keys(suite, secret);
  }

  skip(_record: Uint8Array): void {
    this.sequence++;
  }

  update(): void {
    this.#secret = nextTrafficSecret(nodeCrypto, this.#suite, this.#secret);
    this.sequence = 0;
  }

  open(record: Uint8Array): { type: number; content: Uint8Array } {
    const { aead, nonce } = this.#next();
    const inner = aead.open(
      nonce,
      record.subarray(0, 5),
      record.subarray(5, -aead.tagLength),
      record.subarray(-aead.tagLength),
    );
    if (inner === undefined) throw new CannotOpen();
    let end = inner.length - 1;
    while (inner[end] === 0) end--;
    return { type: inner[end] as number, content: inner.slice(0, end) };
  }

  /** RFC 8446 §5.2, without the limits that our own record layer keeps. */
  seal({ type, content, padding = 0 }: { type: number; content: Uint8Array; padding?: number }): Uint8Array {
    const { aead, nonce } = this.#next();
    const inner = concat([content, Uint8Array.of(type), new Uint8Array(padding)]);
    const length = inner.length + aead.tagLength;
    const header = Uint8Array.of(ContentType.application_data, 3, 3, length >> 8, length & 0xff);
    return concat([header, ...aead.seal(nonce, header, inner)]);
  }

  #next() {
    const { key, iv } = trafficKeys(nodeCrypto, this.#suite, this.#secret);
    const nonce = iv.slice();
    const view = new DataView(nonce.buffer);
    view.setUint32(8, (view.getUint32(8) ^ this.sequence++) >>> 0);
    return { aead: nodeCrypto.aead(this.#suite.aead, key), nonce };
  }
}

/** A record in clear, of any length: the header wraps around as a broken sender's would. */
export function clearRecord(
  type: number,
  content: Uint8Array,
  version: number = ProtocolVersion.tls12,
): Uint8Array {
  return concat([
    Uint8Array.of(type, 3, version & 0xff, (content.length >> 8) & 0xff, content.length & 0xff),
    content,
  ]);
}

/** Cuts what a connection transmits into records. */
function splitRecords(bytes: Uint8Array): Uint8Array[] {
  const records: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 5 + (((bytes[at + 3] as number) << 8) | (bytes[at + 4] as number));
    records.push(bytes.slice(at, end));
    at = end;
  }
  return records;
}

/**
 * A Tamper that works on handshake messages: `change` gets each message that begins and ends in the record, and says
 * what takes its place; `undefined` leaves it alone. What it returns travels in one record, as before.
 */
export function tamperMessages(
  change: (message: HandshakeMessage, from: Role, epoch: Epoch) => readonly Uint8Array[] | undefined,
): Tamper {
  return ({ from, epoch, type, content, continued }) => {
    if (type !== ContentType.handshake) return undefined;
    let changed = false;
    const messages = splitMessages(content.subarray(continued)).flatMap((message) => {
      const replacement = isWhole(message) ? change(message, from, epoch) : undefined;
      if (replacement === undefined) return [message.raw];
      changed = true;
      return replacement;
    });
    if (!changed) return undefined;
    const bytes = concat([content.subarray(0, continued), ...messages]);
    return bytes.length === 0 ? [] : [{ type, content: bytes }];
  };
}

/** The messages of a record that begins with one; the last may be cut short. */
export function splitMessages(content: Uint8Array): HandshakeMessage[] {
  const messages: HandshakeMessage[] = [];
  for (let at = 0; at < content.length; ) {
    const [, high, middle, low] = content.subarray(at, at + 4) as unknown as [number, number, number, number];
    const end = at + 4 + ((high << 16) | (middle << 8) | low);
    messages.push(asHandshakeMessage(content.subarray(at, end)));
    at = end;
  }
  return messages;
}

function isWhole({ raw }: HandshakeMessage): boolean {
  const [, high, middle, low] = raw as unknown as [number, number, number, number];
  return raw.length >= 4 && raw.length === 4 + ((high << 16) | (middle << 8) | low);
}

/** Changes one bit, the smallest corruption there is. */
export function flipBit(bytes: Uint8Array, at = bytes.length - 1): Uint8Array {
  const changed = bytes.slice();
  changed[at] = (changed[at] as number) ^ 1;
  return changed;
}

/** A small generator of repeatable random numbers (xorshift32), 0 ≤ n < `below`. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

function splitter(delivery: Delivery): (bytes: Uint8Array) => Iterable<Uint8Array> {
  if (delivery === 'whole') return (bytes) => (bytes.length === 0 ? [] : [bytes]);
  if (delivery === 'byte') return (bytes) => Array.from(bytes, (byte) => Uint8Array.of(byte));
  const random = randomNumbers(delivery.seed);
  return function* pieces(bytes) {
    for (let at = 0; at < bytes.length; ) {
      // Mostly small pieces, now and then a large one: both sides of every boundary get their turn.
      const size = random(4) === 0 ? 1 + random(4096) : 1 + random(40);
      yield bytes.slice(at, at + size);
      at += size;
    }
  };
}
