import type { SigningKey } from '../crypto/provider.ts';
import { AlertDescription, AlertLevel } from '../errors/alerts.ts';
import {
  AlertReceivedError,
  alertFor,
  asTrellisError,
  ConnectionError,
  TlsError,
  type TrellisError,
} from '../errors/errors.ts';
import type { ClientConfig, Identity, ServerConfig } from '../handshake/config.ts';
import type { Established } from '../handshake/established.ts';
import type { HandshakeIO } from '../handshake/io.ts';
import type { Step, Wanted } from '../handshake/step.ts';
import type { Established12 } from '../handshake/tls12/established.ts';
import { type HandshakeMessage, handshakeMessage } from '../messages/handshake.ts';
import { parseAlert } from '../record/alert.ts';
import { ContentType } from '../wire/codepoints.ts';
import { type ConnectionEvent, type ConnectionInfo, PROTOCOL_NAME } from './events.ts';
import { Seat } from './seat.ts';
import type { Role, SessionFacts, SubProtocol, SubProtocolFactory, SubProtocolLink } from './sub-protocol.ts';

/** user_canceled may precede close_notify (RFC 8446 §6.1); more than a few of them are a flood. */
export const MAX_WARNING_ALERTS = 4;

/** What a session has the states of its handshake work with. */
export interface SessionIO extends HandshakeIO {
  now: number;
}

/** Makes the parts that a session is begun with. */
export interface SessionParts<IO extends SessionIO> {
  readonly io: (emit: (event: ConnectionEvent) => void) => IO;
  readonly start: (seats: readonly Seat[], io: IO) => Step;
}

/**
 * What a session is, whether its records come as a stream (`Connection`) or in datagrams (`DtlsConnection`): its states,
 * its events, its alerts and its sub-protocols. What comes under it is how records are received and sent.
 */
export abstract class Session<IO extends SessionIO> {
  readonly role: Role;
  protected readonly config: ClientConfig | ServerConfig;
  protected readonly io: IO;
  protected step: Step;
  protected readState: 'open' | 'ended' | 'failed' = 'open';
  protected writeState: 'open' | 'closed' = 'open';
  /** When the handshake must be over. */
  protected deadline: number | undefined;
  /** We have answered a request for a KeyUpdate, and have sent nothing since. */
  protected keyUpdatePaid = false;
  /** Sub-protocols; those that were not negotiated leave when the handshake ends. */
  #seats: readonly Seat[];
  /** Of those, the ones that look at application data. */
  #watchers: readonly SubProtocol[] = [];
  /** With which this side has signed its handshake. */
  #ownKey: SigningKey | undefined;
  /** As they were provided. */
  #identities: readonly Identity[] | undefined;
  #events: ConnectionEvent[] = [];
  #nextEvent = 0;
  #warnings = 0;
  #keyUpdateOwed = false;

  protected constructor(
    role: Role,
    config: ClientConfig | ServerConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[],
    parts: SessionParts<IO>,
  ) {
    this.role = role;
    this.config = config;
    this.deadline = config.handshakeTimeout === 0 ? undefined : now + config.handshakeTimeout;
    this.#seats = subProtocols.map((make) => new Seat(make(role)));
    this.io = parts.io((event) => this.emit(event));
    this.step = parts.start(this.#seats, this.io);
  }

  // ── for whoever carries records ────────────────────────────────────────────────────────────────

  /** Goes through what was received, as far as it can. */
  protected abstract process(): void;
  /** Seals `content` as records of this type. @throws ConnectionError where it does not fit */
  protected abstract writeContent(type: number, content: Uint8Array): void;
  /** A warning alert that is not close_notify is only a remark (RFC 5246 §7.2). */
  protected abstract readonly takesRemarks: boolean;
  /** The peer's Finished has been verified; sub-protocols with these content types were agreed on. */
  protected abstract handshakeDone(session: Established | Established12, types: readonly number[]): void;
  /** As `SubProtocolLink.maxDatagramSize`. */
  abstract readonly maxDatagramSize: number | undefined;

  // ── for the application ────────────────────────────────────────────────────────────────────────

  nextEvent(): ConnectionEvent | undefined {
    const event = this.#events[this.#nextEvent];
    if (event === undefined) return undefined;
    this.#nextEvent++;
    if (this.#nextEvent === this.#events.length) {
      this.#events = [];
      this.#nextEvent = 0;
    }
    return event;
  }

  /** Work that the caller must do before the handshake goes on. */
  get wanted(): Wanted | undefined {
    const step = this.step;
    if (this.readState === 'failed') return undefined;
    return step.kind === 'expect' || !('wanted' in step) ? undefined : step.wanted;
  }

  /** What was received waits for the answer to `wanted`; once the session stands, it goes on meanwhile. */
  get inputFull(): boolean {
    return this.readState !== 'failed' && (this.step.kind === 'waiting' || this.step.kind === 'choosing');
  }

  /** Records are made at once. */
  readonly outputFull = false;
  readonly drained = true;

  /** Answers `wanted` where it is a signature. */
  provide(signature: Uint8Array, now: number): void {
    const step = this.step;
    if (this.readState === 'failed') return;
    this.io.now = now;
    if (step.kind === 'established' && 'provide' in step) {
      // §4.6.2: an answer is a message like any other; who has closed says nothing more.
      if (this.writeState === 'open') this.guard(() => step.provide(signature, this.io));
      return;
    }
    if (step.kind !== 'waiting') return;
    this.guard(() => this.advance(step.provide(signature, this.io)));
    this.process();
  }

  /** Answers `wanted` where it is the identities for a name or a request. */
  provideIdentities(identities: readonly Identity[], now: number): void {
    const step = this.step;
    if (this.readState === 'failed') return;
    this.io.now = now;
    if (step.kind === 'established' && 'choose' in step) {
      if (this.writeState === 'open') this.guard(() => step.choose(identities, this.io));
      return;
    }
    if (step.kind !== 'choosing') return;
    this.#identities = identities;
    this.guard(() => this.advance(step.choose(identities, this.io)));
    this.process();
  }

  /** Ends the connection because of a fault on this side: its alert, or internal_error. */
  abandon(error: unknown): void {
    this.fail(asTrellisError(error));
  }

  /** The transport is gone or given up: ends here, with no word to the peer and no event. */
  drop(error?: Error): void {
    if (this.readState === 'failed') return;
    this.readState = 'failed';
    this.writeState = 'closed';
    this.deadline = undefined;
    if (this.#seats.length > 0) {
      this.#closeSubProtocols(
        error ?? new ConnectionError('ERR_TLS_CLOSED', 'The session was closed on this side'),
      );
    }
  }

  /**
   * Seals application data.
   * @throws ConnectionError ERR_TLS_NOT_CONNECTED before `connected`, ERR_TLS_CLOSED after `close()` or a failure
   */
  send(data: Uint8Array): void {
    this.#write(ContentType.application_data, data);
  }

  /**
   * Sends close_notify (RFC 8446 §6.1). What the peer still sends can be received. Before `connected` there is nothing
   * to close: the handshake is cancelled, and the connection ends with ERR_TLS_USER_CANCELED.
   */
  close(): void {
    if (this.writeState === 'closed') return;
    if (this.step.kind !== 'established') {
      this.fail(new TlsError('ERR_TLS_USER_CANCELED', 'The connection was closed during its handshake'));
      return;
    }
    this.#sendAlert(AlertLevel.warning, AlertDescription.close_notify);
    this.writeState = 'closed';
    if (this.readState === 'ended') this.#closeSubProtocols(undefined);
  }

  /**
   * Sends KeyUpdate; with `requestPeer` the peer changes its key as well (RFC 8446 §4.6.3).
   * @throws ConnectionError ERR_TLS_NOT_CONNECTED, ERR_TLS_CLOSED as `send` does
   */
  updateKeys(requestPeer: boolean): void {
    this.openForWriting().updateWriteKey(this.io, requestPeer);
  }

  /**
   * RFC 8446 §7.5, RFC 5705.
   * @param context in TLS 1.2, none and an empty one give different results
   * @throws ConnectionError ERR_TLS_NOT_CONNECTED before `connected`
   */
  exportKeyingMaterial(label: string, context: Uint8Array | undefined, length: number): Uint8Array {
    return this.#established().exportKeyingMaterial(this.config.crypto, label, context, length);
  }

  /** As `exportKeyingMaterial`: the secret is here. */
  requestKeyingMaterial(label: string, context: Uint8Array | undefined, length: number): Uint8Array {
    return this.exportKeyingMaterial(label, context, length);
  }

  /** `undefined` until `connected`. */
  get info(): ConnectionInfo | undefined {
    if (this.step.kind !== 'established') return undefined;
    const { agreement, peer, transcriptHash } = this.step;
    return {
      protocol: PROTOCOL_NAME[agreement.version] ?? 'TLSv1.3',
      peer,
      transcriptHash,
      subProtocols: this.#seats.map(({ occupant }) => occupant.name),
      ...agreement,
    };
  }

  /**
   * By which the peer may know this side: the identity that was shown, or none. After a resumption nothing was shown, and
   * these are all that may have been shown in the first handshake. Empty until `connected`.
   */
  get identities(): readonly Identity[] {
    if (this.step.kind !== 'established') return [];
    const { resumed, serverName } = this.step.agreement;
    const config = this.config;
    const own =
      this.#identities ?? ('identities' in config ? config.identities : config.selectIdentities(serverName));
    return resumed ? own : own.filter(({ key }) => key === this.#ownKey).slice(0, 1);
  }

  /** What this side has shown, in a handshake that ran elsewhere. */
  protected set shown(identity: Identity) {
    this.#identities = [identity];
    this.#ownKey = identity.key;
  }

  /** False once `close()` was called or the session failed. */
  get writable(): boolean {
    return this.writeState === 'open' && this.step.kind === 'established';
  }

  // ── content ────────────────────────────────────────────────────────────────────────────────────

  /** Content of one record that is not of the handshake. */
  protected dispatch(type: number, content: Uint8Array): void {
    if (type === ContentType.alert) {
      this.#receiveAlert(parseAlert(content));
      return;
    }
    const step = this.step;
    if (type === ContentType.change_cipher_spec && step.kind === 'expect' && isChangeCipherSpec(content)) {
      // Only TLS 1.2 gets here; the record layer drops those of TLS 1.3.
      const next = step.receiveChangeCipherSpec?.(this.io);
      if (next !== undefined) {
        this.advance(next);
        return;
      }
    }
    if (step.kind === 'established') {
      if (type === ContentType.application_data) {
        if (content.length > 0) {
          for (const watcher of this.#watchers) watcher.checkApplicationData?.(content);
          step.dataReceived();
          this.emit({ type: 'data', data: content });
        }
        return;
      }
      const owner = this.#occupant((subProtocol) => subProtocol.contentTypes.includes(type));
      if (owner !== undefined) {
        step.dataReceived();
        owner.receiveRecord(type, content);
        return;
      }
    }
    if (
      step.kind === 'expect' &&
      step.receiveEarlyData !== undefined &&
      type === ContentType.application_data
    ) {
      step.receiveEarlyData(content.length);
      if (content.length > 0) this.emit({ type: 'early-data', data: content });
      return;
    }
    throw new TlsError(
      'ERR_TLS_UNEXPECTED_MESSAGE',
      `Received a record of content type ${type}, which has no place here`,
    );
  }

  /** A whole handshake message, for the state that awaits it. */
  protected receiveMessage(message: HandshakeMessage): void {
    const step = this.step;
    if (step.kind === 'expect') this.advance(step.receive(message, this.io));
    else if (step.kind === 'established') this.#receivePostHandshake(step, message);
  }

  #receivePostHandshake(step: Established | Established12, message: HandshakeMessage): void {
    const owner = this.#occupant((subProtocol) => subProtocol.handshakeTypes.includes(message.type));
    if (owner !== undefined) owner.receiveHandshake(message.type, message.body);
    else if (step.receive(message, this.io)) this.#keyUpdateOwed = true;
  }

  #occupant(is: (subProtocol: SubProtocol) => boolean): SubProtocol | undefined {
    return this.#seats.find(({ occupant }) => is(occupant))?.occupant;
  }

  /** A KeyUpdate that the peer asked for: one for however many requests come while we are silent (RFC 8446 §4.6.3). */
  protected payKeyUpdate(): void {
    if (!this.#keyUpdateOwed || !this.writable) return;
    this.#keyUpdateOwed = false;
    if (this.keyUpdatePaid) return;
    this.updateKeys(false);
    this.keyUpdatePaid = true;
  }

  /**
   * RFC 8446 §6: in TLS 1.3 the level says nothing; every alert but two is fatal. Before, and while the version is not
   * known, a warning that is not close_notify is only a remark (RFC 5246 §7.2).
   */
  #receiveAlert({ level, description }: { readonly level: number; readonly description: number }): void {
    if (description === AlertDescription.close_notify) {
      if (this.step.kind !== 'established') {
        this.end(new AlertReceivedError(description));
        return;
      }
      this.readState = 'ended';
      for (const { occupant } of this.#seats) occupant.receiveEnd();
      this.emit({ type: 'end' });
      if (this.writeState === 'closed') this.#closeSubProtocols(undefined);
      return;
    }
    const isRemark = level === AlertLevel.warning && this.takesRemarks;
    if (isRemark || description === AlertDescription.user_canceled) {
      if (++this.#warnings > MAX_WARNING_ALERTS) {
        throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'Received too many warning alerts');
      }
      return;
    }
    this.end(new AlertReceivedError(description));
  }

  // ── states ─────────────────────────────────────────────────────────────────────────────────────

  protected advance(step: Step): void {
    this.step = step;
    if (step.kind === 'waiting') this.#ownKey = step.wanted.key;
    if (step.kind !== 'established') return;
    this.deadline = undefined;
    const agreed = this.#seats.filter((seat) => seat.agreed);
    this.handshakeDone(
      step,
      agreed.flatMap(({ occupant }) => occupant.contentTypes),
    );
    this.emit({ type: 'connected' });
    if ('resumable' in step && step.resumable !== undefined) this.io.ticket(step.resumable);
    this.#seats = agreed;
    const occupants = this.#seats.map(({ occupant }) => occupant);
    this.#watchers = occupants.filter(({ checkApplicationData }) => checkApplicationData !== undefined);
    if (occupants.length === 0) return;
    const facts = this.#facts(step);
    for (const occupant of occupants) occupant.start(this.#link(facts));
  }

  #facts({ agreement, transcriptHash, peer }: Established | Established12): SessionFacts {
    const { version, resumed, suite } = agreement;
    return {
      version,
      cipherSuite: suite.id,
      resumed,
      transcriptHash,
      peer,
      identities: this.identities,
    };
  }

  #established(): Established | Established12 {
    if (this.step.kind !== 'established') {
      throw new ConnectionError('ERR_TLS_NOT_CONNECTED', 'The handshake is not complete yet');
    }
    return this.step;
  }

  protected openForWriting(): Established | Established12 {
    const established = this.#established();
    if (this.writeState === 'closed') {
      throw new ConnectionError('ERR_TLS_CLOSED', 'The session is closed for sending');
    }
    return established;
  }

  #write(type: number, content: Uint8Array): void {
    this.openForWriting();
    this.writeContent(type, content);
    this.keyUpdatePaid = false;
  }

  protected guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fail(asTrellisError(error));
    }
  }

  /** Our verdict: tell the peer, then end. */
  protected fail(error: TrellisError): void {
    if (this.readState === 'failed') return;
    if (this.writeState === 'open') this.#sendVerdict(alertFor(error));
    this.end(error);
  }

  #sendVerdict(description: number): void {
    if (description !== AlertDescription.user_canceled) {
      this.#sendAlert(AlertLevel.fatal, description);
      return;
    }
    // §6.1: user_canceled says why, and alone is ignored; the close_notify after it is what ends the session.
    this.#sendAlert(AlertLevel.warning, description);
    this.#sendAlert(AlertLevel.warning, AlertDescription.close_notify);
  }

  protected end(error: TrellisError): void {
    if (this.readState === 'failed') return;
    this.readState = 'failed';
    this.writeState = 'closed';
    this.deadline = undefined;
    this.#closeSubProtocols(error);
    this.emit({ type: 'error', error });
  }

  #sendAlert(level: number, description: number): void {
    this.writeContent(ContentType.alert, Uint8Array.of(level, description));
  }

  #closeSubProtocols(error: Error | undefined): void {
    const seats = this.step.kind === 'established' ? this.#seats : [];
    this.#seats = [];
    this.#watchers = [];
    for (const { occupant } of seats) occupant.closed(error);
  }

  protected emit(event: ConnectionEvent): void {
    this.#events.push(event);
  }

  #link(session: SessionFacts): SubProtocolLink {
    const limit = () => this.maxDatagramSize;
    const isWritable = () => this.writable;
    return {
      get maxDatagramSize() {
        return limit();
      },
      get writable() {
        return isWritable();
      },
      role: this.role,
      session,
      crypto: this.config.crypto,
      neighbour: (name) => this.#occupant((occupant) => occupant.name === name),
      send: (contentType, content) => this.#write(contentType, content),
      sendHandshake: (type, body) => {
        this.openForWriting();
        this.io.send(handshakeMessage(type, (writer) => writer.bytes(body)));
      },
      exportKeyingMaterial: (label, context, length) => this.exportKeyingMaterial(label, context, length),
      fail: (error) => this.fail(error),
    };
  }
}

/** `enum { change_cipher_spec(1), (255) } type;`, RFC 5246 §7.1. */
function isChangeCipherSpec(content: Uint8Array): boolean {
  return content.length === 1 && content[0] === 1;
}
