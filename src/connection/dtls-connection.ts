import type { CryptoProvider } from '../crypto/provider.ts';
import { AlertDescription, AlertLevel } from '../errors/alerts.ts';
import { AlertReceivedError, ConnectionError, DecodeError, TlsError } from '../errors/errors.ts';
import type { ClientConfig, DatagramConfig, ServerConfig } from '../handshake/config.ts';
import { Reassembler } from '../handshake/dtls/reassembly.ts';
import type { Established } from '../handshake/established.ts';
import type { Step } from '../handshake/step.ts';
import type { Established12 } from '../handshake/tls12/established.ts';
import { pointGroups } from '../handshake/tls12/shared.ts';
import { startClient } from '../handshake/tls13/client.ts';
import { type RetriedHello, startServer } from '../handshake/tls13/server.ts';
import { newestBeforeTls13 } from '../handshake/versions.ts';
import { type HandshakeFragment, parseAck, parseFragments } from '../messages/dtls.ts';
import type { HandshakeMessage } from '../messages/handshake.ts';
import { parseAlert } from '../record/alert.ts';
import type { OpenedRecord } from '../record/dtls/protection.ts';
import { DatagramRecords, type DatagramStats } from '../record/dtls/record-layer.ts';
import { ContentType, HandshakeType } from '../wire/codepoints.ts';
import { ConnectionIdUpdates } from './dtls-connection-ids.ts';
import { DtlsIO } from './dtls-io.ts';
import type { DatagramEngine } from './engine.ts';
import type { Seat } from './seat.ts';
import { Session } from './session.ts';
import type { Role, SubProtocolFactory } from './sub-protocol.ts';

/**
 * RFC 9147 §4.4: what is left of 1,280 bytes, which every path of IPv6 carries, without the headers of IPv6 and UDP. It
 * goes over nearly every path of IPv4 too.
 */
export const DEFAULT_DATAGRAM: DatagramConfig = { mtu: 1232, initialTimeout: 1000, maxTimeout: 60_000 };
/** Less would leave next to nothing behind the headers of a fragment; paths of 296 bytes (SLIP, RFC 1055) fit. */
export const MIN_MTU = 128;

/** Where a server goes on that has answered a ClientHello without keeping anything; `DtlsGreeter` makes it. */
export interface ServerSeed {
  /** message_seq of the ClientHello that is accepted, and of our answer. */
  readonly messageSeq: number;
  /** Sequence number of its record, and of our first (RFC 6347 §4.2.1). */
  readonly sequence: number;
  /** DTLS 1.3: what the HelloRetryRequest has settled. */
  readonly retried?: RetriedHello | undefined;
}

/**
 * One DTLS connection without I/O: `receive` takes a datagram, `transmit` gives datagrams, and in between it is the same
 * state machine as `Connection`. Each `send` is one datagram, which arrives whole and once, or not at all, and perhaps
 * after one that was sent later. The caller must heed `nextTimeout`, by which lost flights are sent again.
 *
 * What is not genuine is discarded without a word (RFC 6347 §4.1.2.7, RFC 9147 §4.5.2); `stats` counts it. Faults of a
 * genuine peer never throw: they queue an alert for `transmit` and an `error` event.
 */
export class DtlsConnection extends Session<DtlsIO> implements DatagramEngine {
  readonly #records: DatagramRecords;
  readonly #reassembler: Reassembler;
  readonly #grace: number;
  readonly #ids: ConnectionIdUpdates;
  /** A ChangeCipherSpec of DTLS 1.2 came; it may have overtaken the messages before it. */
  #changeCipherSpec = false;
  /** A fatal alert in clear, which anybody could have sent. */
  #clearAlert: { readonly description: number; readonly until: number } | undefined;
  /** KeyUpdates that wait for the one before: `true` when one of them asks the peer for its own. */
  #updateLater: boolean | undefined;

  static client(
    config: ClientConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[] = [],
  ): DtlsConnection {
    // A key share that does not fit one datagram is not sent before the server has asked for it.
    const offered = pointGroups(config.groups);
    const chosen = config.keyShares.filter((group) => offered.includes(group));
    const keyShares = chosen.length > 0 ? chosen : offered.slice(0, 1);
    const own = { ...config, ...forDatagrams(config), keyShares, compatibility: false, earlyData: false };
    return new DtlsConnection('client', own, now, subProtocols, (seats, io) => startClient(own, seats, io));
  }

  /** @param seed where a cookie was proven before there was a connection */
  static server(
    config: ServerConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[] = [],
    seed?: ServerSeed,
  ): DtlsConnection {
    const own = { ...config, ...forDatagrams(config) };
    const start = (seats: readonly Seat[]): Step => startServer(own, seats, seed?.retried);
    return new DtlsConnection('server', own, now, subProtocols, start, seed);
  }

  private constructor(
    role: Role,
    config: (ClientConfig | ServerConfig) & { readonly datagrams: DatagramConfig },
    now: number,
    subProtocols: readonly SubProtocolFactory[],
    start: (seats: readonly Seat[], io: DtlsIO) => Step,
    seed: ServerSeed = { messageSeq: 0, sequence: 0 },
  ) {
    const { datagrams } = config;
    requireMtu(datagrams.mtu);
    const records = new DatagramRecords(config.crypto, newestBeforeTls13(config), seed.sequence);
    const reassembler = new Reassembler(seed.messageSeq);
    super(role, config, now, subProtocols, {
      io: (emit) =>
        new DtlsIO(config, datagrams, { records, reassembler, messageSeq: seed.messageSeq }, now, emit),
      start,
    });
    this.#records = records;
    this.#reassembler = reassembler;
    this.#grace = datagrams.initialTimeout;
    this.#ids = new ConnectionIdUpdates(records, this.io, datagrams);
  }

  // ── from the transport ─────────────────────────────────────────────────────────────────────────

  /** Takes one datagram. The buffer is the caller's again when this returns. */
  receive(datagram: Uint8Array, now: number): void {
    if (this.readState !== 'open') return;
    this.io.now = now;
    this.#records.feed(datagram);
    this.process();
    this.#records.keep();
  }

  /** No more datagrams can come: the socket is gone. */
  receiveEnd(): void {
    if (this.readState !== 'open') return;
    const alert = this.#clearAlert;
    this.end(
      alert === undefined
        ? new ConnectionError('ERR_TLS_TRUNCATED', 'The transport ended without close_notify')
        : new AlertReceivedError(alert.description),
    );
  }

  nextTimeout(): number | undefined {
    if (this.readState === 'failed' || (this.readState === 'ended' && this.writeState === 'closed'))
      return undefined;
    return sooner(sooner(this.deadline, this.io.nextTimeout()), this.#clearAlert?.until);
  }

  handleTimeout(now: number): void {
    if (this.readState === 'failed') return;
    const alert = this.#clearAlert;
    if (alert !== undefined && now >= alert.until) {
      this.end(new AlertReceivedError(alert.description));
      return;
    }
    if (this.deadline !== undefined && now >= this.deadline) {
      this.fail(
        new TlsError(
          'ERR_TLS_HANDSHAKE_TIMEOUT',
          `The handshake did not finish in ${this.config.handshakeTimeout} ms`,
        ),
      );
      return;
    }
    this.guard(() => this.io.handleTimeout(now));
  }

  // ── to the transport ───────────────────────────────────────────────────────────────────────────

  /** Takes out everything that is to be sent, each a datagram. */
  transmit(): Uint8Array[] {
    return this.io.drain();
  }

  /** Bytes of application data, or of a sub-protocol, that one datagram holds now. */
  get maxDatagramSize(): number {
    return this.io.maxContent;
  }

  /** Bytes of the largest datagram that is sent, `MIN_MTU` or more: what the path is known to carry. */
  get mtu(): number {
    return this.io.mtu;
  }

  /** @throws ConnectionError ERR_TLS_OPTION for less than MIN_MTU */
  set mtu(mtu: number) {
    requireMtu(mtu);
    this.io.mtu = mtu;
  }

  get stats(): DatagramStats {
    return this.#records.stats;
  }

  /**
   * The datagram that was received last had a genuine record, newer than all before: if it came from another address than
   * those before, the peer has probably moved there. To be sure, let it answer something from there (RFC 9146 §6).
   */
  get receivedNewest(): boolean {
    return this.#records.newest;
  }

  /** Connection ID in our records; empty where none was agreed on. */
  get sendingConnectionId(): Uint8Array {
    return this.#records.sendingId;
  }

  /**
   * DTLS 1.3: asks the peer for so many more connection IDs, to be used one after the other.
   * @throws ConnectionError ERR_TLS_OPTION where it wants none in our records, ERR_TLS_NOT_CONNECTED, ERR_TLS_CLOSED
   */
  requestConnectionIds(count: number): void {
    this.openForWriting();
    this.#ids.request(count);
  }

  /** DTLS 1.3: goes on with the next connection ID that the peer gave. @returns false when there is none */
  useNextConnectionId(): boolean {
    return this.#ids.useNext();
  }

  /** A KeyUpdate of ours waits for its ACK: until then `updateKeys` only remembers to send another. */
  get updatingKeys(): boolean {
    return this.io.updatingKeys;
  }

  /** RFC 9147 §8: the new keys are used once the peer has acknowledged the KeyUpdate; until then no second one is sent. */
  override updateKeys(requestPeer: boolean): void {
    if (!this.io.updatingKeys) {
      super.updateKeys(requestPeer);
      return;
    }
    this.openForWriting();
    this.#updateLater = requestPeer || (this.#updateLater ?? false);
  }

  // ── records in ─────────────────────────────────────────────────────────────────────────────────

  protected override process(): void {
    this.guard(() => {
      while (this.readState === 'open' && !this.inputFull) {
        if (this.#takeMessage()) continue;
        const record = this.#records.next();
        if (record === undefined) break;
        this.#receiveRecord(record);
      }
      if (this.readState === 'open') this.io.settle();
    });
    this.payKeyUpdate();
  }

  #receiveRecord(record: OpenedRecord): void {
    const { type, content, epoch } = record;
    const { handshaking, speaksDtls13 } = this.io;
    switch (type) {
      case ContentType.handshake:
        this.#receiveFragments(record);
        return;
      case ContentType.change_cipher_spec:
        // RFC 9147 §5: there is none in DTLS 1.3; and repeated ones say nothing.
        if (handshaking && epoch === 0 && !speaksDtls13) this.#changeCipherSpec = true;
        return;
      case ContentType.ack:
        // In clear anybody could send it, and end our retransmissions.
        if (!speaksDtls13 || epoch === 0) return;
        this.io.acknowledged(parseAck(content));
        this.#updateKeysNow();
        return;
      case ContentType.alert:
        if (epoch === 0) this.#receiveClearAlert(content);
        else this.dispatch(type, content);
        return;
    }
    // Data that overtook the last flight, or that nobody can vouch for, is lost like any other datagram.
    if (epoch === 0 || handshaking || (speaksDtls13 && epoch < FIRST_DATA_EPOCH)) return;
    this.io.confirmed();
    this.dispatch(type, content);
  }

  #receiveFragments({ content, epoch, sequence }: OpenedRecord): void {
    const current = epoch === this.#records.readEpoch;
    let repeated = false;
    let discarded = false;
    for (const fragment of parseFragments(content)) {
      if (current && this.#startsAnew(fragment, epoch)) {
        const { type, body } = fragment;
        this.receiveMessage({ type, body, raw: body, raw12: body });
        continue;
      }
      const old = fragment.messageSeq < this.#reassembler.next;
      if (!old && !current) {
        // In clear anybody could send it. Under keys of the peer it is a message behind those that replaced them.
        if (epoch > 0) throw afterKeyChange();
        discarded = true;
        continue;
      }
      if (!old && this.#reassembler.push(fragment) === 'full') {
        discarded = true;
        continue;
      }
      const { messageSeq, offset, body, length } = fragment;
      if (messageSeq === this.#reassembler.next - 1 && offset + body.length === length) repeated = true;
    }
    // RFC 9147 §7: a record MUST NOT be acknowledged unless all in it was processed or kept.
    if (!discarded) this.io.noteReceived({ epoch, sequence });
    if (repeated) this.io.repeat();
  }

  /**
   * DTLS 1.2: the peer wants to renegotiate. Its first message has message_seq 0 again (RFC 6347 §4.2.2), and comes under keys,
   * where those of the handshake before were in clear: it is no repetition.
   */
  #startsAnew({ type, messageSeq, offset }: HandshakeFragment, epoch: number): boolean {
    if (epoch === 0 || messageSeq > 0 || offset > 0) return false;
    if (this.step.kind !== 'established' || this.io.speaksDtls13) return false;
    return type === HandshakeType.hello_request || type === HandshakeType.client_hello;
  }

  /** Hands the next message to the state that awaits it. @returns whether there was one */
  #takeMessage(): boolean {
    const step = this.step;
    if (this.#changeCipherSpec && step.kind === 'expect' && step.receiveChangeCipherSpec !== undefined) {
      this.#changeCipherSpec = false;
      this.advance(step.receiveChangeCipherSpec(this.io));
      return true;
    }
    const message = this.#reassembler.take();
    if (message === undefined) return false;
    this.#clearAlert = undefined;
    if (this.io.handshaking) this.io.heard();
    this.receiveMessage(message);
    return true;
  }

  /**
   * RFC 6347 §4.1.2.7, RFC 9147 §4.5.2 and §11: whoever knows the addresses could have sent it. So it ends the handshake
   * only when nothing better comes for as long as a retransmission takes.
   */
  #receiveClearAlert(content: Uint8Array): void {
    if (!this.io.handshaking) return;
    let alert: ReturnType<typeof parseAlert>;
    try {
      alert = parseAlert(content);
    } catch (error) {
      if (error instanceof DecodeError) return;
      throw error;
    }
    const { level, description } = alert;
    if (level === AlertLevel.warning && description !== AlertDescription.close_notify) return;
    this.#clearAlert ??= { description, until: this.io.now + this.#grace };
  }

  protected override receiveMessage(message: HandshakeMessage): void {
    const settled = this.step.kind === 'established' && this.io.speaksDtls13;
    if (!settled || !this.#ids.receive(message)) super.receiveMessage(message);
  }

  #updateKeysNow(): void {
    const requestPeer = this.#updateLater;
    if (requestPeer === undefined || this.io.updatingKeys) return;
    this.#updateLater = undefined;
    if (this.writable) this.updateKeys(requestPeer);
  }

  // ── for the session ────────────────────────────────────────────────────────────────────────────

  protected override writeContent(type: number, content: Uint8Array): void {
    if (this.io.writeKeyExhausted && type !== ContentType.alert && !this.io.updatingKeys)
      this.updateKeys(false);
    this.io.write(type, content);
  }

  protected override get takesRemarks(): boolean {
    return !this.io.speaksDtls13;
  }

  protected override handshakeDone(_session: Established | Established12, _types: readonly number[]): void {
    this.#records.endHandshake();
    this.io.endHandshake();
  }
}

/** RFC 8446 §5.1: a message is protected by the keys of its place in the order. */
function afterKeyChange(): TlsError {
  return new TlsError(
    'ERR_TLS_UNEXPECTED_MESSAGE',
    'A message is under keys that messages before it have replaced',
  );
}

function sooner(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.min(one, other);
}

function requireMtu(mtu: number): void {
  if (mtu >= MIN_MTU) return;
  throw new ConnectionError('ERR_TLS_OPTION', `mtu must be at least ${MIN_MTU}, not ${mtu}`);
}

/** First epoch of application data in DTLS 1.3 (RFC 9147 §6.1). */
const FIRST_DATA_EPOCH = 3;

/** What is different in a configuration for datagrams. */
export function forDatagrams({ crypto, datagrams }: ClientConfig | ServerConfig) {
  return {
    crypto: withDatagramLabels(crypto),
    datagrams: { ...DEFAULT_DATAGRAM, ...datagrams } as DatagramConfig,
  };
}

/** RFC 9147 §5.9: labels begin with `dtls13`. One object for each provider, since key schedules are cached by it. */
function withDatagramLabels(crypto: CryptoProvider): CryptoProvider {
  let labelled = LABELLED.get(crypto);
  if (labelled === undefined) {
    labelled = { ...crypto, labelPrefix: 'dtls13' };
    LABELLED.set(crypto, labelled);
  }
  return labelled;
}
const LABELLED = new WeakMap<CryptoProvider, CryptoProvider>();
