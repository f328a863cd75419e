import { ConnectionError, TlsError } from '../errors/errors.ts';
import type { ClientConfig, Identity, ServerConfig } from '../handshake/config.ts';
import type { Established } from '../handshake/established.ts';
import { trafficKeys } from '../handshake/key-schedule.ts';
import type { Step } from '../handshake/step.ts';
import type { Established12 } from '../handshake/tls12/established.ts';
import { startClient } from '../handshake/tls13/client.ts';
import { startServer } from '../handshake/tls13/server.ts';
import { HandshakeJoiner } from '../messages/handshake.ts';
import { RecordLayer } from '../record/tls/record-layer.ts';
import { ContentType, ProtocolVersion } from '../wire/codepoints.ts';
import type { SessionEngine } from './engine.ts';
import { EngineIO } from './engine-io.ts';
import type { ConnectionEvent, ConnectionInfo, TrafficState } from './events.ts';
import type { Seat } from './seat.ts';
import { Session } from './session.ts';
import type { Role, SubProtocol, SubProtocolFactory } from './sub-protocol.ts';

export type { ConnectionEvent, ConnectionInfo };

/** What is needed to go on with a session. */
export interface CarriedSession {
  readonly established: Established;
  readonly traffic: TrafficState;
  /** What this side has shown. */
  readonly identity: Identity | undefined;
  /** Those that were agreed on, not started yet. */
  readonly subProtocols: readonly SubProtocol[];
}

/**
 * One TLS connection without I/O. Bytes from the transport go into `receive`, bytes for the transport come out of
 * `transmit`; in between it is a state machine. Times are Unix milliseconds and come in as arguments.
 *
 * The peer's faults never throw: they queue an alert for `transmit` and an `error` event.
 * While `wanted` is set, received bytes wait; the caller should stop reading the transport until it has answered.
 */
export class Connection extends Session<EngineIO> implements SessionEngine {
  readonly #records: RecordLayer;
  readonly #joiner: HandshakeJoiner;

  static client(
    config: ClientConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[] = [],
  ): Connection {
    return new Connection('client', config, now, subProtocols, (seats, io) => startClient(config, seats, io));
  }

  static server(
    config: ServerConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[] = [],
  ): Connection {
    return new Connection('server', config, now, subProtocols, (seats) => startServer(config, seats));
  }

  /**
   * A session whose handshake ran elsewhere, in an engine that has given it away (`exportTrafficKeys`): it goes on here,
   * with the next record. Its first event is `connected`; sub-protocols that were agreed on are started.
   */
  static carryOn(
    role: Role,
    config: ClientConfig | ServerConfig,
    now: number,
    { established, traffic, identity, subProtocols }: CarriedSession,
  ): Connection {
    const connection = new Connection(
      role,
      config,
      now,
      subProtocols.map((occupant) => () => occupant),
      (seats) => {
        for (const seat of seats) seat.agreed = true;
        return established;
      },
    );
    const { suite, read, write, limits } = traffic;
    const keys = ({ secret, sequence }: TrafficState['read']) => ({
      ...trafficKeys(config.crypto, suite, secret),
      sequence,
    });
    connection.#records.carryOn(keys(read), keys(write), limits);
    if (identity !== undefined) connection.shown = identity;
    connection.guard(() => connection.advance(established));
    return connection;
  }

  private constructor(
    role: Role,
    config: ClientConfig | ServerConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[],
    start: (seats: readonly Seat[], io: EngineIO) => Step,
  ) {
    const records = new RecordLayer(config.crypto, config);
    const joiner = new HandshakeJoiner();
    super(role, config, now, subProtocols, {
      io: (emit) => new EngineIO(config, records, joiner, now, emit),
      start,
    });
    this.#records = records;
    this.#joiner = joiner;
  }

  // ── from the transport ─────────────────────────────────────────────────────────────────────────

  /** Takes bytes from the transport. The buffer is the caller's again when this returns. */
  receive(bytes: Uint8Array, now: number): void {
    // RFC 8446 §6.1: data after a closure alert MUST be ignored.
    if (this.readState !== 'open') return;
    this.io.now = now;
    this.#records.feed(bytes);
    this.process();
    this.#records.settle();
  }

  /** The transport has ended. Without close_notify before, data may be missing (RFC 8446 §6.1): an error. */
  receiveEnd(): void {
    if (this.readState !== 'open') return;
    // No alert: the fault is the transport's, and there is nothing that the peer could do about it.
    this.end(
      new ConnectionError(
        'ERR_TLS_TRUNCATED',
        'The transport ended without close_notify; data may be missing',
      ),
    );
  }

  /** Unix milliseconds at which `handleTimeout` must be called, if any. */
  nextTimeout(): number | undefined {
    return this.deadline;
  }

  handleTimeout(now: number): void {
    if (this.deadline === undefined || now < this.deadline) return;
    this.fail(
      new TlsError(
        'ERR_TLS_HANDSHAKE_TIMEOUT',
        `The handshake did not finish in ${this.config.handshakeTimeout} ms`,
      ),
    );
  }

  /** There are none. */
  readonly maxDatagramSize = undefined;

  // ── to the transport ───────────────────────────────────────────────────────────────────────────

  /** Takes out everything that is to be sent, in order. */
  transmit(): Uint8Array[] {
    return this.#records.drain();
  }

  /** Bytes that wait for `transmit()`. */
  get pendingBytes(): number {
    return this.#records.pendingBytes;
  }

  /** Bytes that `sendEarly` would take now; a server that answers early data is not limited. */
  get earlyDataLeft(): number {
    return this.readState === 'open' ? this.io.earlyDataLeft : 0;
  }

  /**
   * Client: seals early data (RFC 8446 §2.3), which can be replayed and has no forward secrecy. What the server did not
   * take (`info.earlyDataAccepted`) is lost and has to be sent again.
   * Server: answers early data before the client's Finished. What it says goes to whoever has the ticket's key, and
   * perhaps in answer to a replay (§2.3, appendix E.5).
   * @throws ConnectionError ERR_TLS_NOT_CONNECTED for more than `earlyDataLeft`
   */
  sendEarly(data: Uint8Array): void {
    if (data.length > this.earlyDataLeft) {
      throw new ConnectionError(
        'ERR_TLS_NOT_CONNECTED',
        'So much early data cannot be sent; wait for the handshake',
      );
    }
    this.io.earlyDataLeft -= data.length;
    this.#records.write(ContentType.application_data, data);
  }

  /**
   * Gives the session away: what another record layer needs to carry it on. One way, so that no nonce is used twice:
   * nothing can be received or sent here afterwards. TLS 1.3 only.
   * @throws ConnectionError ERR_TLS_CLOSED unless both directions are open, ERR_TLS_NOT_CONNECTED while bytes wait,
   *   ERR_TLS_OPTION for another version
   */
  exportTrafficKeys(): TrafficState {
    const established = this.openForWriting();
    const sequences = this.#records.sequences;
    if (!('trafficSecrets' in established) || sequences === undefined)
      throw new ConnectionError('ERR_TLS_OPTION', 'Only sessions of TLS 1.3 can be given away');
    if (this.readState !== 'open')
      throw new ConnectionError('ERR_TLS_CLOSED', 'The peer has ended the session');
    if (!this.#records.idle || !this.#joiner.empty)
      throw new ConnectionError('ERR_TLS_NOT_CONNECTED', 'Part of a record waits; take it first');
    const { read, write } = established.trafficSecrets();
    this.drop();
    return {
      suite: established.agreement.suite,
      read: { secret: read, sequence: sequences.read },
      write: { secret: write, sequence: sequences.write },
      limits: this.#records.limits,
    };
  }

  /**
   * Server: asks a client for its certificate (RFC 8446 §4.6.2); the event 'authenticated' tells of the answer.
   * @throws ConnectionError ERR_TLS_OPTION unless the client has offered that, and for more than 8 at a time
   */
  requestCertificate(): void {
    const established = this.openForWriting();
    if (!('requestCertificate' in established))
      throw new ConnectionError(
        'ERR_TLS_OPTION',
        'Certificates are asked for after the handshake in TLS 1.3 alone',
      );
    established.requestCertificate(this.io);
  }

  // ── records in ─────────────────────────────────────────────────────────────────────────────────

  protected override process(): void {
    this.guard(() => {
      while (this.readState === 'open' && !this.inputFull) {
        if (!this.#joiner.empty && this.#dispatchMessages()) continue;
        const record = this.#records.next();
        if (record === undefined) return;
        this.#receiveRecord(record.type, record.content);
      }
    });
    this.payKeyUpdate();
  }

  #receiveRecord(type: number, content: Uint8Array): void {
    if (type === ContentType.handshake) {
      this.#joiner.push(content);
      this.#dispatchMessages();
      return;
    }
    if (!this.#joiner.empty) {
      // RFC 8446 §5.1: handshake messages MUST NOT be interleaved with other record types.
      throw new TlsError(
        'ERR_TLS_UNEXPECTED_MESSAGE',
        'A record came between the parts of a handshake message',
      );
    }
    this.dispatch(type, content);
  }

  /** Hands whole handshake messages to the state that awaits them. @returns whether there was one */
  #dispatchMessages(): boolean {
    let any = false;
    while (this.readState === 'open' && !this.inputFull) {
      const message = this.#joiner.next();
      if (message === undefined) return any;
      any = true;
      this.receiveMessage(message);
    }
    return any;
  }
  protected override writeContent(type: number, content: Uint8Array): void {
    const step = this.step;
    if (this.#records.writeKeyExhausted && type !== ContentType.alert && step.kind === 'established') {
      step.updateWriteKey(this.io, false);
    }
    this.#records.write(type, content);
  }

  /** Of TLS 1.2, and while the version is not known (RFC 8446 §6). */
  protected override get takesRemarks(): boolean {
    return !this.#records.speaksTls13;
  }

  protected override handshakeDone(
    { agreement }: Established | Established12,
    types: readonly number[],
  ): void {
    this.#records.endHandshake();
    if (agreement.version < ProtocolVersion.tls13) this.#records.allowTypes(types);
  }
}
