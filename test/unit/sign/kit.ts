import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import type { Role } from '../../../src/connection/sub-protocol.ts';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { KeyObjectSigningKey } from '../../../src/crypto/node/signing-key.ts';
import type { AlertName } from '../../../src/errors/alerts.ts';
import type { TlsError, TlsErrorCode } from '../../../src/errors/errors.ts';
import type { ClientConfig, Identity, ServerConfig } from '../../../src/handshake/config.ts';
import type { Multiplexing, MuxFactory } from '../../../src/mux/index.ts';
import type {
  EvidenceEntry,
  EvidenceSession,
  EvidenceSessionRef,
  EvidenceSink,
  EvidenceWriter,
  ReceivedMessage,
  ReceivedReceipt,
  ReceivedStream,
  SentMessage,
  SentStream,
  SignClientOptions,
  SignEvent,
  SigningIdentity,
  SigningSession,
  SignServerOptions,
  SignWanted,
  StreamedObject,
  StreamVerdict,
} from '../../../src/sign/index.ts';
import { type Signing, signClient, signServer } from '../../../src/sign/index.ts';
import { concat } from '../../../src/wire/writer.ts';
import { TrustStore } from '../../../src/x509/trust-store.ts';
import { verifyPeer } from '../../../src/x509/verify.ts';
import { clientConfig, serverConfig } from '../../setup/engine-config.ts';
import { expectFound } from '../../setup/faults.ts';
import { Pair, type PairSetup, START } from '../../setup/pair.ts';
import { ca, client, DAY, type IdentityOptions, type Identity as Owner, server } from '../x509/pki.ts';

/** Two sides that sign, over real handshakes with real certificates, under the clock of the pair. */

const TODAY = { notBefore: START - DAY, notAfter: START + 30 * DAY };
export const root = ca('Signing CA', {
  input: { notBefore: START - 100 * DAY, notAfter: START + 100 * DAY },
});
export const otherRoot = ca('Other CA', { input: TODAY });
export const TRUST = new TrustStore([root.certificate]);

export const CLIENT = owner('alice');
export const SERVER = identityOf(server('server.test', { issuer: root, input: TODAY }));

/** A client's identity. */
export function owner(name: string, options: IdentityOptions = {}): Identity {
  return identityOf(client(name, { issuer: root, ...options, input: { ...TODAY, ...options.input } }));
}

export function identityOf({ der, privateKey }: Owner): Identity {
  return { chain: [der], key: new KeyObjectSigningKey(privateKey) };
}

export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
export const text = (data: Uint8Array | undefined): string => Buffer.from(data ?? []).toString();
export const sha256 = (data: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha256').update(data).digest());

/** Bytes as hexadecimal, so that a Buffer is as good as a Uint8Array. */
export function legible(value: object): object {
  return Object.fromEntries(
    Object.entries(value).map(([key, field]: [string, unknown]) => {
      if (field instanceof Uint8Array) return [key, Buffer.from(field).toString('hex')];
      return [
        key,
        typeof field === 'object' && field !== null && !Array.isArray(field) ? legible(field) : field,
      ];
    }),
  );
}

/** What has come of a stream; it must say that it is unverified. */
export function readAll(stream: ReceivedStream | undefined): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (let piece = stream?.read(); piece !== undefined; piece = stream?.read()) {
    expect(piece.verified).toBe(false);
    pieces.push(piece.bytes);
  }
  return concat(pieces);
}

/** Keeps evidence in memory; durable when the test says so, at once by default. */
export class MemoryArchive implements EvidenceSink {
  readonly entries: (EvidenceEntry<never> & { readonly session: EvidenceSessionRef })[] = [];
  readonly sessions: EvidenceSession[] = [];
  head: Uint8Array = new Uint8Array(0);

  treeHead(): Uint8Array {
    return this.head;
  }

  addSession(session: EvidenceSession): EvidenceSessionRef {
    if (!this.sessions.includes(session)) this.sessions.push(session);
    return { digest: Uint8Array.of(this.sessions.indexOf(session)) };
  }

  append(entry: EvidenceEntry & { readonly session: EvidenceSessionRef }): Promise<number> {
    return Promise.resolve(this.add(entry));
  }

  async newContent(): Promise<EvidenceWriter> {
    throw new Error('the pair stores pieces itself');
  }

  add(entry: EvidenceEntry & { readonly session: EvidenceSessionRef }): number {
    return this.entries.push({ ...entry, object: entry.object as Uint8Array }) - 1;
  }
}

export interface SignPairSetup {
  readonly client?: SignClientOptions | null;
  readonly server?: SignServerOptions | null;
  /** In the handshake. Default: one. */
  readonly clientIdentity?: Identity | null;
  readonly mux?: { readonly client: MuxFactory; readonly server: MuxFactory };
  readonly pair?: Partial<Omit<PairSetup, Role>> & {
    readonly client?: Partial<ClientConfig>;
    readonly server?: Partial<ServerConfig>;
  };
  /** Decides about wanted work; true when it has taken it on. Else it is answered at once. */
  readonly hold?: (wanted: SignWanted, role: Role) => boolean;
}

export class SignSide {
  readonly role: Role;
  readonly protocol: () => Signing | undefined;
  readonly mux: () => Multiplexing | undefined;
  readonly events: SignEvent[] = [];

  constructor(role: Role, protocol: () => Signing | undefined, mux: () => Multiplexing | undefined) {
    this.role = role;
    this.protocol = protocol;
    this.mux = mux;
  }

  get session(): SigningSession {
    const session = this.protocol()?.session;
    if (session === undefined) throw new Error('signing was not agreed on');
    return session;
  }

  get messages(): ReceivedMessage[] {
    return this.events.flatMap((event) => (event.type === 'message' ? [event.message] : []));
  }

  get texts(): string[] {
    return this.messages.map(({ content }) => text(content));
  }

  get streams(): ReceivedStream[] {
    return this.events.flatMap((event) => (event.type === 'stream' ? [event.stream] : []));
  }

  get verdicts(): StreamVerdict[] {
    return this.events.flatMap((event) => (event.type === 'verdict' ? [event.verdict] : []));
  }

  /** Codes of what has ended streams. */
  get broken(): string[] {
    return this.events.flatMap((event) => (event.type === 'broken' ? [(event.error as TlsError).code] : []));
  }

  get receipts(): { message: SentMessage; receipt: ReceivedReceipt }[] {
    return this.events.flatMap((event) => (event.type === 'receipt' ? [event] : []));
  }

  get lost(): { message: SentMessage; code: string }[] {
    return this.events.flatMap((event) =>
      event.type === 'lost' ? [{ message: event.message, code: (event.error as TlsError).code }] : [],
    );
  }
}

export class SignPair {
  readonly pair: Pair;
  readonly client: SignSide;
  readonly server: SignSide;
  readonly #hold: SignPairSetup['hold'];
  readonly #stored = new Map<StreamedObject, readonly Uint8Array[]>();

  constructor(setup: SignPairSetup = {}) {
    const made: { client?: Signing; server?: Signing } = {};
    const muxes: { client?: Multiplexing; server?: Multiplexing } = {};
    const clientIdentity = setup.clientIdentity === undefined ? CLIENT : setup.clientIdentity;
    const judge =
      (purpose: 'client' | 'server') =>
      (chain: readonly Uint8Array[], { now }: { now: number }) =>
        verifyPeer(nodeCrypto, chain, { purpose, trust: TRUST, now });
    this.#hold = setup.hold;
    this.pair = new Pair({
      ...setup.pair,
      client: clientConfig({
        identities: clientIdentity === null ? [] : [clientIdentity],
        verifyPeer: judge('server'),
        ...setup.pair?.client,
      }),
      server: serverConfig({
        selectIdentities: () => [SERVER],
        clientCertificate: clientIdentity === null ? 'none' : 'require',
        verifyPeer: judge('client'),
        ...setup.pair?.server,
      }),
      clientProtocols: [
        ...(setup.client === null
          ? []
          : [
              (role: Role) => {
                made.client = signClient(setup.client ?? {})(role);
                return made.client;
              },
            ]),
        ...(setup.mux === undefined
          ? []
          : [
              (role: Role) => {
                muxes.client = (setup.mux as { client: MuxFactory }).client(role);
                return muxes.client;
              },
            ]),
      ],
      serverProtocols: [
        ...(setup.server === null
          ? []
          : [
              (role: Role) => {
                made.server = signServer(setup.server ?? {})(role);
                return made.server;
              },
            ]),
        ...(setup.mux === undefined
          ? []
          : [
              (role: Role) => {
                muxes.server = (setup.mux as { server: MuxFactory }).server(role);
                return muxes.server;
              },
            ]),
      ],
    });
    this.client = new SignSide(
      'client',
      () => made.client,
      () => muxes.client,
    );
    this.server = new SignSide(
      'server',
      () => made.server,
      () => muxes.server,
    );
    this.pair.run();
  }

  get now(): number {
    return this.pair.now;
  }

  /** Answers what is wanted, flushes and carries, until nothing moves. */
  run(): this {
    for (let moved = true; moved; ) {
      moved = false;
      this.pair.run();
      for (const side of [this.client, this.server]) {
        const session = side.protocol()?.session;
        if (session === undefined) continue;
        for (let wanted = session.nextWanted(); wanted !== undefined; wanted = session.nextWanted()) {
          moved = true;
          if (this.#hold?.(wanted, side.role) !== true) this.answer(wanted, session);
        }
        for (let event = session.nextEvent(); event !== undefined; event = session.nextEvent())
          moved = side.events.push(event) > 0;
        const mux = side.mux()?.session;
        if ((mux?.send(Number.MAX_SAFE_INTEGER, this.now) ?? 0) > 0) moved = true;
        mux?.flush();
        if (session.hasOutput) moved = true;
        session.flush();
      }
      this.pair.run();
    }
    return this;
  }

  answer(wanted: SignWanted, session: SigningSession): void {
    if (wanted.kind === 'verification') {
      const check = wanted.begin(this.now);
      const isGood = check && nodeCrypto.verify(check.algorithm, check.key, check.data, check.signature);
      wanted.conclude(isGood ?? true, this.now);
    } else if (wanted.kind === 'signature') {
      wanted.provide(wanted.key.sign(wanted.scheme, wanted.input) as Uint8Array, this.now);
    } else if (wanted.kind === 'stored') {
      this.#stored.set(wanted.object, [...(this.#stored.get(wanted.object) ?? []), ...wanted.pieces]);
      wanted.provide();
    } else {
      const archive = session.archive as MemoryArchive;
      const { object } = wanted.entry;
      const bytes =
        object === undefined || object instanceof Uint8Array
          ? object
          : concat(this.#stored.get(object) ?? []);
      const ref = archive.addSession(wanted.session);
      wanted.provide(archive.add({ ...wanted.entry, object: bytes, session: ref }), this.now);
    }
  }

  /** Switches on and sends, from either side. */
  say(from: Role, data: string | Uint8Array, receipt = true): SentMessage {
    const { session } = this[from];
    if (!session.isOn) session.on();
    const content = typeof data === 'string' ? bytes(data) : data;
    return session.send(content, { receipt }, this.now);
  }

  /** As `say`, for a message in pieces, which are sent in one go when its turn comes. */
  stream(from: Role, pieces: readonly (string | Uint8Array)[], receipt = true): SentStream {
    const { session } = this[from];
    if (!session.isOn) session.on();
    const stream = session.stream({ receipt });
    this.run();
    for (const piece of pieces) {
      stream.write(typeof piece === 'string' ? bytes(piece) : piece);
      this.run();
    }
    return stream;
  }

  /** `finder` has ended the session with this code, and the other side was told this alert. */
  expectFound(finder: Role, code: TlsErrorCode, alert: AlertName): void {
    expectFound(this.pair, finder, code, alert);
  }

  expectUnharmed(): void {
    expect(this.pair.client.error?.message).toBeUndefined();
    expect(this.pair.server.error?.message).toBeUndefined();
  }
}

/** Signs for a side in place of its certificate of the handshake. */
export function signerOf(identity: Identity): SigningIdentity {
  return { chain: identity.chain, key: identity.key };
}

export { START };
