import { Connection } from '../../connection/connection.ts';
import type { CommandWanted, CookieProof, DatagramEngine } from '../../connection/engine.ts';
import type { ConnectionEvent, ConnectionInfo } from '../../connection/events.ts';
import type {
  Role,
  SessionFacts,
  SubProtocolFactory,
  SubProtocolLink,
} from '../../connection/sub-protocol.ts';
import { AlertDescription, AlertLevel } from '../../errors/alerts.ts';
import {
  alertFor,
  asTrellisError,
  ConnectionError,
  TlsError,
  type TrellisError,
} from '../../errors/errors.ts';
import { ModuleError } from '../../errors/module.ts';
import type { ClientConfig, Identity, PeerVerifier, ServerConfig } from '../../handshake/config.ts';
import { handshakeMessage } from '../../messages/handshake.ts';
import { ContentType, HandshakeType, ProtocolVersion } from '../../wire/codepoints.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import { Status } from '../apdu/status.ts';
import { Instruction, RECORDS_ITEM, WAIT_ITEM } from '../protocol.ts';
import { type Card, wasReset } from './card.ts';
import type { CardSession, HandshakeStep } from './card-session.ts';
import type { OldCard } from './cards/old-card.ts';
import { batchesFor, StreamCarrier } from './carrier.ts';
import { DatagramCarrier } from './datagram-carrier.ts';
import { type Dialogue, guarded } from './eap-client.ts';
import type { CardRequest } from './exchange.ts';
import { FlightTimer } from './flight-timer.ts';
import { HeldSession } from './held-session.ts';
import { HostedSubProtocols } from './hosted.ts';
import type { AgreedSession } from './information.ts';
import type { Item } from './items.ts';
import { IDLE, Opening, type Script, unexplained } from './opening.ts';
import { Outbox } from './outbox.ts';
import { judgePeer } from './peer.ts';
import { connectionInfo, isTls13, materialAtHand, sessionFacts } from './settled.ts';
import { establishedElsewhere, readTrafficKeys } from './traffic-keys.ts';

/** Bytes of clear text that wait for the module before senders shall wait; datagrams beyond it are lost. */
const MAX_OUTPUT = 131_072;

export interface ModuleConnectionOptions {
  readonly card: Card;
  /** The identity in the module; `undefined` for its current one. */
  readonly alias: string | undefined;
  /** Bytes of an EAP packet, both ways. */
  readonly fragmentSize: number;
  /** Judges the peer once more, with the host's own anchors; absent: as the module has judged. */
  readonly verifyPeer?: PeerVerifier | undefined;
  /** The module has forgotten this session: it was reset. */
  readonly onReset?: (() => void) | undefined;
  /**
   * Takes a session of TLS 1.3 once its handshake is complete: the module is asked for its traffic keys, and this session
   * is over but for signatures. Sessions of TLS 1.2 stay in the module.
   */
  readonly handOver?: ((session: Connection) => void) | undefined;
  /** Server of datagrams: what the cookie was made from that the first of them has. */
  readonly cookie?: CookieProof | undefined;
  /** The card is of another kind; absent: a module that keeps to docs/security-module.md. */
  readonly oldCard?: OldCard | undefined;
}

/**
 * A session whose engine is in a security module: the software bridge. Records become flights, flights EAP-TLS
 * messages, those APDUs, and back. To the layers above it is a `SessionEngine` like `Connection`; sub-protocols run
 * here, on the host, and the module passes their extension and their records on.
 *
 * What the module is to do next is `wanted`; its answer comes by `provide`, at once or later.
 */
export class ModuleConnection implements DatagramEngine {
  readonly role: Role;
  readonly #config: ClientConfig | ServerConfig;
  readonly #options: ModuleConnectionOptions;
  readonly #carrier: StreamCarrier | DatagramCarrier;
  readonly #timer = new FlightTimer();
  readonly #outbox = new Outbox();
  readonly #script: Script<void>;
  readonly #hosted: HostedSubProtocols;
  readonly #opening: Opening;
  readonly #held: HeldSession;
  readonly #batches: ReturnType<typeof batchesFor>;
  #request: CardRequest | undefined;
  #events: ConnectionEvent[] = [];
  #now: number;
  #deadline: number | undefined;
  #agreed: AgreedSession | undefined;
  #info: ConnectionInfo | undefined;
  #readState: 'open' | 'ended' | 'failed' = 'open';
  #writeState: 'open' | 'closed' = 'open';
  /** Clear text is in the module. */
  #sending = false;
  /** Items wait in the module for the next Process-EAP-Decrypt. */
  #itemsWait = false;
  #transportEnded = false;
  /** Of this side; the peer has yet to be told. */
  #verdict: TrellisError | undefined;
  #advancing = false;

  constructor(
    role: Role,
    config: ClientConfig | ServerConfig,
    options: ModuleConnectionOptions,
    now: number,
    subProtocols: readonly SubProtocolFactory[] = [],
  ) {
    this.role = role;
    this.#config = config;
    this.#options = options;
    const { datagrams } = config;
    this.#carrier = datagrams === undefined ? new StreamCarrier() : new DatagramCarrier(role, datagrams.mtu);
    this.#now = now;
    this.#deadline = config.handshakeTimeout === 0 ? undefined : now + config.handshakeTimeout;
    this.#hosted = new HostedSubProtocols(role, subProtocols);
    const { alias, fragmentSize, cookie, oldCard, verifyPeer, handOver } = options;
    this.#batches = batchesFor(fragmentSize);
    this.#opening = new Opening({
      role,
      config,
      card: { alias, fragmentSize, cookie, oldCard },
      judges: verifyPeer !== undefined,
      batch: handOver === undefined && oldCard === undefined ? this.#batches.records : 1,
      carrier: this.#carrier,
      timer: this.#timer,
      seats: this.#hosted.seats,
      now: () => this.#now,
      checkTruncated: () => this.#checkTruncated(),
    });
    this.#held = new HeldSession(options.card, this.#opening);
    this.#script = this.#life();
    this.#advance();
  }

  // ── from and to the transport ──────────────────────────────────────────────────────────────────

  receive(bytes: Uint8Array, now: number): void {
    // RFC 8446 §6.1: data after a closure alert MUST be ignored.
    if (this.#readState !== 'open' || this.#verdict !== undefined) return;
    this.#now = now;
    this.#carrier.receive(bytes);
    this.#advance();
  }

  /** The transport has ended. Without close_notify before, data may be missing (RFC 8446 §6.1): an error. */
  receiveEnd(): void {
    this.#transportEnded = true;
    this.#advance();
  }

  transmit(): Uint8Array[] {
    return this.#carrier.drain();
  }

  nextEvent(): ConnectionEvent | undefined {
    return this.#events.shift();
  }

  // ── the module ─────────────────────────────────────────────────────────────────────────────────

  get wanted(): CommandWanted | undefined {
    const request = this.#request;
    if (request === undefined || this.#readState === 'failed') return undefined;
    return { kind: 'command', perform: () => this.#held.perform(request) };
  }

  provide(answer: Uint8Array, now: number): void {
    if (this.#request === undefined || this.#readState === 'failed') return;
    this.#now = now;
    this.#request = undefined;
    // Its memory may be used again: who reads an answer copies what is kept of it.
    this.#advance(answer);
  }

  provideIdentities(): void {
    // Never wanted: Open has named the identity, and it is in the module.
  }

  /** A fault of the module ends the session without a word to the peer: the module alone could say it. */
  abandon(error: unknown): void {
    const asked = this.#request?.ins;
    this.#request = undefined;
    if (asked === Instruction.exportTrafficKeys && isRefusal(error)) this.#fail(keysStay(error));
    else if (!(error instanceof ModuleError)) this.#end(asTrellisError(error));
    else if (!this.#held.isOpen || !wasReset(error)) this.#end(error);
    else {
      this.#options.onReset?.();
      this.#end(
        new ModuleError('ERR_MODULE_RESET', 'The module has forgotten this session: it was reset meanwhile', {
          cause: error,
          status: error.status,
        }),
      );
    }
  }

  get inputFull(): boolean {
    return this.#carrier.full;
  }

  get outputFull(): boolean {
    return this.#outbox.bytes > MAX_OUTPUT;
  }

  get drained(): boolean {
    return this.#readState === 'failed' || (this.#outbox.empty && !this.#sending);
  }

  nextTimeout(): number | undefined {
    if (this.#readState === 'failed') return undefined;
    const { due } = this.#timer;
    if (due === undefined || this.#deadline === undefined) return due ?? this.#deadline;
    return Math.min(due, this.#deadline);
  }

  handleTimeout(now: number): void {
    this.#now = now;
    if (this.#deadline !== undefined && now >= this.#deadline) {
      const { handshakeTimeout } = this.#config;
      this.#fail(
        new TlsError('ERR_TLS_HANDSHAKE_TIMEOUT', `The handshake did not finish in ${handshakeTimeout} ms`),
      );
    } else if (this.#timer.ring(now)) this.#advance();
  }

  /** Bytes of content that one datagram holds; 0 before `connected`, and over a stream. */
  get maxDatagramSize(): number {
    return this.#agreed?.maxDatagram ?? 0;
  }

  /** Without connection IDs no peer is found again at another address. */
  readonly receivedNewest = false;

  // ── for the application ────────────────────────────────────────────────────────────────────────

  /** @throws ConnectionError ERR_TLS_NOT_CONNECTED before `connected`, ERR_TLS_CLOSED after `close()` or a failure */
  send(data: Uint8Array): void {
    this.#write(ContentType.application_data, data);
  }

  close(): void {
    if (this.#writeState === 'closed') return;
    if (this.#info === undefined) {
      this.#fail(new TlsError('ERR_TLS_USER_CANCELED', 'The connection was closed during its handshake'));
      return;
    }
    this.#writeState = 'closed';
    this.#outbox.push(ContentType.alert, CLOSE_NOTIFY);
    this.#advance();
  }

  /** KeyUpdate (RFC 8446 §4.6.3). @throws ConnectionError as `send`; ERR_TLS_OPTION in TLS 1.2, which has none */
  updateKeys(requestPeer: boolean): void {
    this.#checkWritable();
    if (!isTls13(this.#info?.version)) {
      throw new ConnectionError('ERR_TLS_OPTION', 'Only TLS 1.3 can update its keys');
    }
    const update = handshakeMessage(HandshakeType.key_update, (w) => w.u8(requestPeer ? 1 : 0));
    this.#outbox.push(ContentType.handshake, update);
    this.#advance();
  }

  drop(error?: Error): void {
    if (this.#readState === 'failed') return;
    this.#readState = 'failed';
    this.#writeState = 'closed';
    this.#deadline = undefined;
    this.#hosted.close(error ?? new ConnectionError('ERR_TLS_CLOSED', 'The session was closed on this side'));
    this.#held.release();
  }

  /**
   * The session's binding is at hand, and nothing else: the module would have to be asked.
   * @throws ModuleError ERR_MODULE_UNSUPPORTED; ConnectionError ERR_TLS_NOT_CONNECTED
   */
  exportKeyingMaterial(label: string, context: Uint8Array | undefined, length: number): Uint8Array {
    return materialAtHand(this.#agreed, label, context, length);
  }

  /**
   * Asks the module, which has labels of its own that it exports to nobody.
   * @throws ConnectionError ERR_TLS_NOT_CONNECTED; ERR_TLS_OPTION for more than 255 bytes. ModuleError
   *   ERR_MODULE_NOT_PERMITTED for a label that does not begin with EXPORTER, and for EXPORTER_EAP
   */
  requestKeyingMaterial(
    label: string,
    context: Uint8Array | undefined,
    length: number,
  ): Uint8Array | Promise<Uint8Array> {
    return this.#held.keyingMaterial(this.#agreed, label, context, length);
  }

  get identities(): readonly Identity[] {
    const chain = this.#agreed?.ownChain ?? [];
    return chain.length === 0 ? [] : [this.#held.identity(this.#config.crypto, chain)];
  }

  get info(): ConnectionInfo | undefined {
    return this.#info;
  }

  get writable(): boolean {
    return this.#info !== undefined && this.#writeState === 'open' && this.#readState !== 'failed';
  }

  // ── the script ─────────────────────────────────────────────────────────────────────────────────

  /** Goes on until the module has to be asked, or there is nothing to do. */
  #advance(answer: Uint8Array = NOTHING): void {
    // Sub-protocols send while the script calls them; its loop finds what they have sent.
    if (this.#advancing || this.#request !== undefined || this.#readState === 'failed') return;
    this.#advancing = true;
    try {
      const step = this.#script.next(answer);
      if (step.done !== true && step.value !== IDLE) this.#request = step.value;
    } catch (error) {
      this.#end(asTrellisError(error));
    } finally {
      this.#advancing = false;
    }
  }

  /** A session from its beginning to its end; resumed by the module's answers, and by every input while it is idle. */
  *#life(): Script<void> {
    const { session, agreed, itemsWait } = yield* this.#opening.run();
    this.#itemsWait = itemsWait;
    const { handOver } = this.#options;
    let peer: PeerIdentity | undefined;
    this.#guard(() => {
      peer = this.#settle(agreed);
    });
    const carrier = this.#carrier;
    const isGivenAway =
      handOver !== undefined && carrier instanceof StreamCarrier && agreed.version === ProtocolVersion.tls13;
    if (this.#verdict === undefined && isGivenAway && session.exportTrafficKeys !== undefined) {
      const keys = yield session.exportTrafficKeys();
      const taken = this.#takeOver(keys, carrier, agreed, peer);
      if (taken !== undefined) {
        handOver(taken);
        return;
      }
    } else if (this.#verdict === undefined) {
      this.#guard(() => this.#establish(agreed, peer));
    }
    for (;;) {
      yield* this.#carry(session);
      if (this.#readState === 'failed') return;
      if (this.#readState === 'ended' && this.#writeState === 'closed') {
        this.#hosted.close(undefined);
        this.#held.release();
        return;
      }
      this.#checkTruncated();
      yield IDLE;
    }
  }

  /** Moves what waits through the module, both ways in turns, until nothing does. */
  *#carry(session: CardSession): Dialogue<void> {
    for (;;) {
      const isDue = this.#timer.take();
      const entry = this.#isDatagrams ? this.#outbox.takeOne() : this.#outbox.take(this.#batches.clear);
      const reads = this.#readState === 'open' && this.#verdict === undefined;
      const hasInput = reads && (!this.#carrier.empty || this.#itemsWait);
      if (entry === undefined && !hasInput && !isDue) return;
      if (isDue && session.retransmit !== undefined)
        yield* this.#takeStep(session, yield* session.retransmit());
      if (entry !== undefined) {
        this.#sending = true;
        this.#carrier.send(yield* session.encrypt(entry.type, entry.content));
        this.#sending = false;
        if (this.#verdict !== undefined && this.#outbox.empty) throw this.#verdict;
        // A KeyUpdate has to be acknowledged (RFC 9147 §8).
        const isFlight = this.#isDatagrams && entry.type === ContentType.handshake;
        if (isFlight && session.poll !== undefined) yield* this.#takeStep(session, yield* session.poll());
      }
      if (hasInput) {
        this.#itemsWait = false;
        const input = this.#carrier.take(this.#batches.records);
        for (const item of yield* session.decrypt(input)) yield* this.#dispatch(session, item);
      }
    }
  }

  /** What came of a time that is over, in a session that is open. */
  *#takeStep(session: CardSession, step: HandshakeStep): Dialogue<void> {
    const { records, wait, itemsWait, closed } = step;
    this.#carrier.send(records);
    this.#timer.set(wait, records.length > 0, this.#now);
    if (itemsWait) this.#itemsWait = true;
    if (closed === true) throw (yield* session.inform()).failure ?? unexplained();
  }

  /** @returns the session, on this side; nothing where the module keeps it, and it is going to end */
  #takeOver(
    keys: Uint8Array,
    carrier: StreamCarrier,
    agreed: AgreedSession,
    peer: PeerIdentity | undefined,
  ): Connection | undefined {
    if (this.#verdict !== undefined) return undefined;
    const traffic = guarded(() => readTrafficKeys(keys));
    const [identity] = this.identities;
    const session = Connection.carryOn(this.role, this.#config, this.#now, {
      established: establishedElsewhere(this.role, agreed, traffic, peer, (label, context, length) =>
        this.exportKeyingMaterial(label, context, length),
      ),
      traffic,
      identity,
      subProtocols: this.#hosted.handOver(),
    });
    for (const record of carrier.takeRest()) session.receive(record, this.#now);
    if (this.#transportEnded) session.receiveEnd();
    return session;
  }

  *#dispatch(session: CardSession, { type, content }: Item): Dialogue<void> {
    if (type === RECORDS_ITEM) {
      this.#carrier.send(content);
      return;
    }
    if (type === WAIT_ITEM && this.#isDatagrams) {
      const [high = 0, low = 0] = content;
      this.#timer.set((high << 8) | low, true, this.#now);
      return;
    }
    if (this.#readState !== 'open' || this.#verdict !== undefined) return;
    if (type !== ContentType.alert) {
      this.#guard(() => this.#deliver(type, content));
      return;
    }
    if (content[1] !== AlertDescription.close_notify) {
      // The session in the module is over, by the peer's verdict or by its own.
      const { failure } = yield* session.inform();
      throw failure ?? unexplained();
    }
    this.#readState = 'ended';
    this.#hosted.receiveEnd();
    this.#events.push({ type: 'end' });
  }

  #deliver(type: number, content: Uint8Array): void {
    if (type !== ContentType.application_data) this.#hosted.receive(type, content);
    else if (content.length > 0) {
      this.#hosted.checkApplicationData(content);
      this.#events.push({ type: 'data', data: content });
    }
  }

  #checkTruncated(): void {
    if (!this.#transportEnded || this.#readState !== 'open' || !this.#carrier.empty) return;
    throw new ConnectionError(
      'ERR_TLS_TRUNCATED',
      'The transport ended without close_notify; data may be missing',
    );
  }

  // ── the session ────────────────────────────────────────────────────────────────────────────────

  /** Who the peer is, and what was agreed on with it. */
  #settle(agreed: AgreedSession): PeerIdentity | undefined {
    this.#agreed = agreed;
    this.#deadline = undefined;
    const peer = judgePeer(this.role, this.#config, agreed, this.#options.verifyPeer, this.#now);
    this.#hosted.settle(agreed);
    return peer;
  }

  #establish(agreed: AgreedSession, peer: PeerIdentity | undefined): void {
    const subProtocols = this.#hosted.occupants.map(({ name }) => name);
    this.#info = connectionInfo(agreed, peer, subProtocols);
    this.#events.push({ type: 'connected' });
    const session = sessionFacts(agreed, peer, this.identities);
    this.#hosted.start(() => this.#link(session));
  }

  #write(type: number, content: Uint8Array): void {
    this.#checkWritable();
    if (this.#isDatagrams && type !== ContentType.handshake) {
      this.#requireFitting(content.length);
      // The module does not keep up: lost, as on a full network.
      if (this.outputFull) return;
    }
    this.#outbox.push(type, content);
    this.#advance();
  }

  #requireFitting(bytes: number): void {
    const most = this.maxDatagramSize;
    if (bytes <= most) return;
    throw new ConnectionError(
      'ERR_DTLS_TOO_LARGE',
      `${bytes} bytes do not fit a datagram; send at most ${most} (maxDatagramSize) at once`,
    );
  }

  #checkWritable(): void {
    if (this.#info === undefined) {
      throw new ConnectionError('ERR_TLS_NOT_CONNECTED', 'The handshake is not complete yet');
    }
    if (this.#writeState === 'closed') {
      throw new ConnectionError('ERR_TLS_CLOSED', 'The session is closed for sending');
    }
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#fail(asTrellisError(error));
    }
  }

  /** Our verdict: the peer is told, where the module can still say it, then it is over. */
  #fail(error: TrellisError): void {
    if (this.#readState === 'failed' || this.#verdict !== undefined) return;
    if (this.#agreed === undefined || this.#writeState === 'closed') {
      this.#end(error);
      return;
    }
    this.#verdict = error;
    this.#writeState = 'closed';
    this.#outbox.push(ContentType.alert, Uint8Array.of(AlertLevel.fatal, alertFor(error)));
    this.#advance();
  }

  #end(error: TrellisError): void {
    if (this.#readState === 'failed') return;
    this.#readState = 'failed';
    this.#writeState = 'closed';
    this.#deadline = undefined;
    this.#hosted.close(error);
    this.#events.push({ type: 'error', error });
    this.#held.release();
  }

  get #isDatagrams(): boolean {
    return this.#config.datagrams !== undefined;
  }

  #link(session: SessionFacts): SubProtocolLink {
    const isWritable = () => this.writable;
    return {
      get writable() {
        return isWritable();
      },
      maxDatagramSize: this.#isDatagrams ? this.maxDatagramSize : undefined,
      role: this.role,
      session,
      crypto: this.#config.crypto,
      neighbour: (name) => this.#hosted.find((occupant) => occupant.name === name),
      send: (contentType, content) => this.#write(contentType, content),
      sendHandshake: (type, body) =>
        this.#write(
          ContentType.handshake,
          handshakeMessage(type, (writer) => writer.bytes(body)),
        ),
      exportKeyingMaterial: (label, context, length) => this.exportKeyingMaterial(label, context, length),
      fail: (error) => this.#fail(error),
    };
  }
}

/** The identity's policy says no (6982). */
function isRefusal(error: unknown): boolean {
  return error instanceof ModuleError && error.status === Status.notPermitted;
}

function keysStay(cause: unknown): ModuleError {
  return new ModuleError(
    'ERR_MODULE_NOT_PERMITTED',
    'The traffic keys stay in the module: its identity does not permit their export (identity add --permit traffic-keys), so the session cannot be offloaded',
    { cause, status: Status.notPermitted },
  );
}

const CLOSE_NOTIFY = Uint8Array.of(AlertLevel.warning, AlertDescription.close_notify);
const NOTHING = new Uint8Array(0);
