import type { CryptoProvider } from '../crypto/provider.ts';
import type { Suite } from '../crypto/suites.ts';
import { AlertDescription, AlertLevel } from '../errors/alerts.ts';
import { ConnectionError, TlsError } from '../errors/errors.ts';
import type { ClientConfig, DatagramConfig, ServerConfig } from '../handshake/config.ts';
import { DatagramPacker, Flight } from '../handshake/dtls/flight.ts';
import type { Reassembler } from '../handshake/dtls/reassembly.ts';
import type { KeylogLabel } from '../handshake/io.ts';
import { datagramKeys } from '../handshake/key-schedule.ts';
import type { ResumableSession } from '../handshake/resumable-session.ts';
import { buildAck, buildFragment, FRAGMENT_HEADER_LENGTH, type RecordNumber } from '../messages/dtls.ts';
import { asHandshakeMessage, type HandshakeMessage } from '../messages/handshake.ts';
import type { ConnectionIds, DatagramRecords } from '../record/dtls/record-layer.ts';
import type { Keys12 } from '../record/tls/record12.ts';
import { ContentType, HandshakeType } from '../wire/codepoints.ts';
import { type ConnectionEvent, keylogLine } from './events.ts';
import type { SessionIO } from './session.ts';

/** Record numbers in one ACK: more than a flight has records at the smallest MTU. */
export const MAX_ACKED_RECORDS = 64;
/** Times that one flight is sent again. With the default time-outs the last is some nine minutes after the first. */
export const MAX_RETRANSMISSIONS = 12;

/** RFC 9147 §5.8.3: a stack SHOULD NOT send more in one transmission; the rest of a flight follows when some are acknowledged. */
export const MAX_RECORDS_AT_ONCE = 10;

/**
 * Messages after the handshake that wait for an ACK, or for their turn: far more than tickets, connection IDs, KeyUpdates and
 * answers to requests for a certificate come to together, unless the peer asks on and on and acknowledges nothing.
 */
export const MAX_UNACKNOWLEDGED_MESSAGES = 256;

/**
 * RFC 6347 §4.1.1.1, RFC 9147 §4.4: when repeated retransmissions get no response the path may carry less than was thought,
 * and records SHOULD become smaller; 2 to 3 of them seem appropriate there.
 */
export const RESENT_BEFORE_SMALLER = 2;
/**
 * Bytes of a datagram that are tried then, one after the other: of the 576 that every host on IPv4 takes (RFC 1122 §3.3.2)
 * and the 296 of the slowest links (RFC 1191 §7), less 28 for the headers of IPv4 and UDP.
 */
export const SMALLER_FLIGHTS = [548, 268] as const;

/** What a connection lends its handshake. */
export interface DtlsParts {
  readonly records: DatagramRecords;
  readonly reassembler: Reassembler;
  /** Of our first message. */
  readonly messageSeq: number;
}

/**
 * What the handshake's states may do, carried out on flights (RFC 6347 §4.2.4, RFC 9147 §5.8): their messages are kept until
 * the peer has them, and sent again when that takes too long.
 */
export class DtlsIO implements SessionIO {
  #now: number;
  /** `#now` is the time of what is done at this moment. */
  #nowIsTrue = true;
  /** What the states do belongs to the handshake; after it messages are acknowledged one by one (RFC 9147 §5.8.4). */
  handshaking = true;
  /** The version is DTLS 1.3. */
  speaksDtls13 = false;
  readonly #config: ClientConfig | ServerConfig;
  readonly #datagrams: DatagramConfig;
  /** Bytes of the largest datagram; can be changed as the path is found to carry more or less. */
  mtu: number;
  readonly #records: DatagramRecords;
  readonly #reassembler: Reassembler;
  readonly #emit: (event: ConnectionEvent) => void;
  readonly #flight = new Flight();
  #messageSeq: number;
  #out: Uint8Array[] = [];
  #resendAt: number | undefined;
  /** It is to be set by the time that `handleTimeout` says next: the application spoke, and does not say when. */
  #toArm = false;
  #interval: number;
  #resent = 0;
  /** Bytes of the largest datagram of a flight: less than `mtu` once larger ones were not answered. */
  #flightMtu = Number.POSITIVE_INFINITY;
  /** The peer has said something: it is there. */
  #peerSpoke = false;
  /** Somebody else cuts our messages. */
  #wholeMessages = false;
  /** Some of the peer's next flight is there, and so all of ours is with it; but the rest may have to be asked for. */
  #answered = false;
  /** Records of handshake messages that the peer shall hear of. */
  #received: RecordNumber[] = [];
  /** Some of them no ACK has named. */
  #unacknowledged = false;
  #receivedSinceAck = 0;
  #ackDue = false;
  #ackAt: number | undefined;
  /** Messages whose turn has not come (RFC 9147 §5.8.4), in order. */
  #held: Unnumbered[] = [];
  /** Keys that are used once the peer has our KeyUpdate and all before it (RFC 9147 §8), and its message_seq. */
  #nextKeys: { readonly suite: Suite; readonly secret: Uint8Array; readonly messageSeq: number } | undefined;
  #contentLimit = Number.POSITIVE_INFINITY;

  constructor(
    config: ClientConfig | ServerConfig,
    datagrams: DatagramConfig,
    { records, reassembler, messageSeq }: DtlsParts,
    now: number,
    emit: (event: ConnectionEvent) => void,
  ) {
    this.#config = config;
    this.#datagrams = datagrams;
    this.mtu = datagrams.mtu;
    this.#records = records;
    this.#reassembler = reassembler;
    this.#now = now;
    this.#emit = emit;
    this.#messageSeq = messageSeq;
    this.#interval = datagrams.initialTimeout;
  }

  get now(): number {
    return this.#now;
  }

  set now(now: number) {
    this.#now = now;
    this.#nowIsTrue = true;
  }

  get crypto(): CryptoProvider {
    return this.#config.crypto;
  }

  // ── what states do ─────────────────────────────────────────────────────────────────────────────

  send(message: Uint8Array): Uint8Array {
    const parts = asHandshakeMessage(message);
    if (this.#isSettled) {
      this.#requireFewUnacknowledged();
      if (this.#mustWait(parts.type)) {
        this.#held.push(parts);
        // Without its header of DTLS, since it has no number yet; nothing after the handshake hashes it with one (§5.2).
        return message;
      }
    }
    return this.#sendNow(parts);
  }

  #sendNow({ type, body }: Unnumbered): Uint8Array {
    this.#beginFlight();
    const messageSeq = this.#messageSeq;
    // RFC 9147 §5.2: every new message has the next; whoever has used them up needs another connection.
    if (messageSeq > MAX_MESSAGE_SEQ)
      throw new TlsError('ERR_TLS_KEY_LIMIT', 'Too many handshake messages in one connection; open another');
    this.#messageSeq++;
    if (messageSeq === 0 && type === HandshakeType.client_hello) this.#requireOneDatagram(body.length);
    const group = this.handshaking ? HANDSHAKE_GROUP : messageSeq;
    this.#flight.addMessage(this.#records.sealer, type, messageSeq, body, group);
    // RFC 9147 §7.1: the next flight acknowledges the one before; a ticket is none (§5.8.4).
    if (this.handshaking && type !== HandshakeType.new_session_ticket) this.#forgetReceived();
    return buildFragment({ type, length: body.length, messageSeq, offset: 0, body });
  }

  sendChangeCipherSpec(): void {
    this.#beginFlight();
    this.#flight.addChangeCipherSpec(this.#records.sealer);
  }

  /** RFC 9147 §5.2: messages are delimited by themselves; but none may go on under the keys before. */
  requireRecordEnd(): void {
    if (this.#reassembler.empty) return;
    throw new TlsError(
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'A message comes before the change of keys that it must follow',
    );
  }

  skipEarlyData(_limit: number): void {
    // What does not open is discarded as it is.
  }

  limitRecords(sending: number, _receiving: number): void {
    this.#contentLimit = sending;
  }

  allowEarlyData(_bytes: number): void {}

  unprotectWrite(): void {}

  protectRead(suite: Suite, secret: Uint8Array): void {
    this.requireRecordEnd();
    this.speaksDtls13 = true;
    this.#beginFlight();
    const epoch = Math.max(this.#records.readEpoch + 1, FIRST_EPOCH_13);
    this.#records.setReadKeys(datagramKeys(this.crypto, suite, secret), epoch);
  }

  protectWrite(suite: Suite, secret: Uint8Array): void {
    if (this.handshaking) this.#setWriteKeys(suite, secret);
    else this.#nextKeys = { suite, secret, messageSeq: this.#messageSeq - 1 };
  }

  speakTls12(version: number): void {
    this.#records.version12 = version;
    this.#wholeMessages = this.#datagrams.wholeMessages === true;
  }

  protectRead12(keys: Keys12): void {
    this.requireRecordEnd();
    this.#records.setReadKeys12(keys);
  }

  protectWrite12(keys: Keys12): void {
    this.#records.sealer = this.#records.makeSealer12(keys);
  }

  useConnectionIds(ids: ConnectionIds): void {
    this.#records.connectionIds = ids;
  }

  refuseRenegotiation(): void {
    this.write(ContentType.alert, Uint8Array.of(AlertLevel.warning, AlertDescription.no_renegotiation));
  }

  keylog(label: KeylogLabel, clientRandom: Uint8Array, secret: Uint8Array): void {
    if (!this.#config.keylog()) return;
    this.#emit({ type: 'keylog', line: keylogLine(label, clientRandom, secret) });
  }

  clientAuthenticated(): void {
    this.#emit({ type: 'authenticated' });
  }

  ticket(session: ResumableSession): void {
    this.#emit({ type: 'ticket', session });
  }

  // ── what the connection asks ───────────────────────────────────────────────────────────────────

  /** Bytes of content that one datagram holds now. */
  get maxContent(): number {
    const { sealer } = this.#records;
    return Math.max(0, Math.min(sealer.room(this.mtu), this.#contentLimit));
  }

  /** Whether a message of this type waits for its turn. */
  holds(type: number): boolean {
    return this.#held.some((message) => message.type === type);
  }

  /** A KeyUpdate of ours is under way, and a second one must wait (RFC 9147 §8). */
  get updatingKeys(): boolean {
    return this.#nextKeys !== undefined;
  }

  get writeKeyExhausted(): boolean {
    return this.#records.sealer.exhausted;
  }

  /** One record in a datagram of its own. @throws ConnectionError ERR_DTLS_TOO_LARGE */
  write(type: number, content: Uint8Array): void {
    this.#sendFlight();
    const most = this.maxContent;
    if (content.length > most) {
      throw new ConnectionError(
        'ERR_DTLS_TOO_LARGE',
        `${content.length} bytes do not fit a datagram; send at most ${most} (maxDatagramSize) at once`,
      );
    }
    this.#out.push(this.#records.sealer.seal(type, content));
  }

  drain(): Uint8Array[] {
    this.#sendFlight();
    const out = this.#out;
    this.#out = [];
    this.#nowIsTrue = false;
    return out;
  }

  get pendingBytes(): number {
    return this.#out.reduce((sum, { length }) => sum + length, 0);
  }

  /**
   * The next message of the peer is there, so it has all of what we said before. In DTLS 1.3 it sees to the rest itself. In
   * DTLS 1.2 its last flight comes again only when we ask, by saying once more what we said (RFC 6347 §4.2.4).
   */
  heard(): void {
    this.#peerSpoke = true;
    this.#answered = true;
    if (this.speaksDtls13) this.#beginFlight();
  }

  /** The peer goes on under keys that it has from our last flight: it can be forgotten. */
  confirmed(): void {
    if (!this.speaksDtls13 && !this.#flight.empty) this.#clearFlight();
  }

  /** The handshake is over. In DTLS 1.2 whoever spoke last waits to be asked again (RFC 6347 §4.2.4). */
  endHandshake(): void {
    this.#beginFlight();
    this.handshaking = false;
    if (this.speaksDtls13 && this.#received.length > 0) this.#ackDue = true;
    this.#sendFlight();
    if (!this.speaksDtls13) this.#resendAt = undefined;
  }

  /** A record with parts of handshake messages came. */
  noteReceived(number: RecordNumber): void {
    this.#unacknowledged = true;
    this.#receivedSinceAck++;
    this.#received.push(number);
    if (this.#received.length > MAX_ACKED_RECORDS) this.#received.shift();
  }

  /** The peer has said again what it said last: it has not heard us. */
  repeat(): void {
    if (!this.#answered && !this.#flight.empty && !this.#flight.hasUnsent) this.#resend();
    if (!this.handshaking) this.#ackDue = true;
  }

  /** A datagram has been gone through. */
  settle(): void {
    if (!this.speaksDtls13 || !this.#unacknowledged) return;
    // RFC 9147 §7.1: part of a flight is acknowledged when the rest does not come; and tickets come in groups, for which
    // one ACK is enough.
    this.#ackAt ??= this.now + this.#datagrams.initialTimeout / ACK_DELAY_SHARE;
    // As many as a peer sends at once (§5.8.3): it may wait to hear of them. If more are on their way, they are here first.
    if (this.handshaking && this.#receivedSinceAck >= MAX_RECORDS_AT_ONCE) {
      this.#receivedSinceAck = 0;
      this.#ackAt = Math.min(this.#ackAt, this.now + this.#datagrams.initialTimeout / WINDOW_ACK_SHARE);
    }
  }

  /** RFC 9147 §7.2: what is left of a flight of which the peer has a part is sent again at once. */
  acknowledged(numbers: readonly RecordNumber[]): void {
    const groups = this.#flight.acknowledge(numbers);
    if (groups.size === 0) return;
    if (this.#nextKeys !== undefined && this.#flight.isAcknowledgedUpTo(this.#nextKeys.messageSeq)) {
      const { suite, secret } = this.#nextKeys;
      this.#nextKeys = undefined;
      this.#setWriteKeys(suite, secret);
    }
    // The state machines of messages after the handshake are independent (RFC 9147 §5.8.4): what one has waited is not held
    // against the others.
    if (this.#isSettled) this.#startTimerAfresh();
    if (this.#flight.empty) this.#clearFlight();
    else if (!this.#flight.hasUnsent) {
      const packer = this.#packer();
      if (this.#flight.resendGroups(groups, packer)) this.#arm();
      packer.close();
    }
    this.#release();
  }

  /** The handshake is over, and what is said goes without the other side's flights. */
  get #isSettled(): boolean {
    return this.speaksDtls13 && !this.handshaking;
  }

  /**
   * RFC 9147 §5.8.4: KeyUpdate, NewConnectionId and RequestConnectionId MUST NOT be sent while one of the same type is not
   * acknowledged. And nothing goes behind a KeyUpdate (erratum 8047): the peer gives up the keys that it would come under,
   * before it knows that there is something to wait for.
   */
  #mustWait(type: number): boolean {
    return this.updatingKeys || (ONE_AT_A_TIME.has(type) && (this.holds(type) || this.#flight.holds(type)));
  }

  /** What has waited and need not any more. */
  #release(): void {
    const waiting = this.#held;
    this.#held = [];
    for (const message of waiting) {
      if (this.#mustWait(message.type)) this.#held.push(message);
      else this.#sendNow(message);
    }
  }

  #requireFewUnacknowledged(): void {
    if (this.#flight.length + this.#held.length < MAX_UNACKNOWLEDGED_MESSAGES) return;
    throw new TlsError(
      'ERR_TLS_UNEXPECTED_MESSAGE',
      `The peer has not acknowledged ${MAX_UNACKNOWLEDGED_MESSAGES} messages; it must do so before there can be more`,
    );
  }

  nextTimeout(): number | undefined {
    if (this.#toArm) return this.now;
    const [resend, ack] = [this.#resendAt, this.#ackAt];
    if (resend === undefined || ack === undefined) return resend ?? ack;
    return Math.min(resend, ack);
  }

  /** @throws TlsError ERR_TLS_HANDSHAKE_TIMEOUT when a flight was sent as often as it may be */
  handleTimeout(now: number): void {
    this.now = now;
    if (this.#toArm) this.#arm();
    if (this.#ackAt !== undefined && this.#ackAt <= now) {
      this.#ackAt = undefined;
      this.#ackDue = true;
    }
    if (this.#resendAt === undefined || this.#resendAt > now) return;
    if (++this.#resent > MAX_RETRANSMISSIONS) {
      throw new TlsError(
        'ERR_TLS_HANDSHAKE_TIMEOUT',
        `The peer does not answer; a flight was sent ${this.#resent} times`,
      );
    }
    // RFC 6347 §4.2.4.1, RFC 9147 §5.8.2: double the time at each retransmission.
    this.#interval = Math.min(this.#interval * 2, this.#datagrams.maxTimeout);
    if (this.#resent % RESENT_BEFORE_SMALLER === 0) this.#makeSmaller();
    this.#resend();
  }

  /**
   * Application data keeps its size: that flights were lost does not prove that the path is narrow. Nor does a first ClientHello
   * without an answer, and in fragments servers that keep nothing before a cookie would not look at it.
   */
  #makeSmaller(): void {
    if (!this.#peerSpoke) return;
    const now = this.#largestOfFlight;
    this.#flightMtu = SMALLER_FLIGHTS.find((size) => size < now) ?? now;
  }

  get #largestOfFlight(): number {
    if (this.#wholeMessages && this.handshaking) return WHOLE_RECORD;
    return Math.min(this.mtu, this.#flightMtu);
  }

  #packer(): DatagramPacker {
    // DTLS 1.2 has no ACK by which the rest could be asked for.
    return new DatagramPacker(
      this.#largestOfFlight,
      this.#out,
      this.speaksDtls13 ? MAX_RECORDS_AT_ONCE : undefined,
    );
  }

  /** A server that keeps nothing before a cookie looks at no part of a ClientHello. */
  #requireOneDatagram(length: number): void {
    const { mtu } = this;
    const needed = mtu + length + FRAGMENT_HEADER_LENGTH - this.#records.sealer.room(mtu);
    if (needed <= mtu) return;
    throw new TlsError(
      'ERR_DTLS_CLIENT_HELLO_TOO_LARGE',
      `ClientHello needs a datagram of ${needed} bytes, and the MTU is ${mtu}; raise it, or offer less`,
    );
  }

  #setWriteKeys(suite: Suite, secret: Uint8Array): void {
    const epoch = Math.max(this.#records.sealer.epoch + 1, FIRST_EPOCH_13);
    this.#records.sealer = this.#records.makeSealer(datagramKeys(this.crypto, suite, secret), epoch);
  }

  /** What has not been sent yet, with an ACK that is due. */
  #sendFlight(): void {
    if (!this.#flight.hasUnsent && !this.#ackDue) return;
    const packer = this.#packer();
    if (this.#ackDue) this.#sendAck(packer);
    if (this.#flight.hasUnsent) {
      this.#flight.send(packer);
      // After the handshake the oldest message has waited longest, and whatever comes after it must not delay it again.
      if (this.handshaking || this.#resendAt === undefined) this.#arm();
    }
    packer.close();
  }

  #resend(): void {
    const packer = this.#packer();
    this.#flight.resend(packer);
    packer.close();
    this.#arm();
  }

  /** The last flight of DTLS 1.2 is sent again only when the peer asks. */
  #arm(): void {
    this.#resendAt = this.handshaking || this.speaksDtls13 ? this.now + this.#interval : undefined;
    this.#toArm = this.#resendAt !== undefined && !this.#nowIsTrue;
  }

  #sendAck(packer: DatagramPacker): void {
    this.#ackDue = false;
    this.#receivedSinceAck = 0;
    const { sealer } = this.#records;
    // Before there are keys nobody could tell whose ACK it is.
    if (this.speaksDtls13 && sealer.epoch > 0) {
      // The newest, as many as there is room for (RFC 9147 §7).
      const most = Math.floor((sealer.room(this.#largestOfFlight) - 2) / RECORD_NUMBER_LENGTH);
      packer.add(sealer, ContentType.ack, buildAck(this.#received.slice(-most).sort(byNumber)));
    }
    // RFC 9147 §7: an ACK lists what came of the flight, so what one has said the next repeats until the flight is whole.
    if (this.#reassembler.empty) this.#forgetReceived();
    else {
      this.#ackAt = undefined;
      this.#unacknowledged = false;
    }
  }

  #forgetReceived(): void {
    this.#received = [];
    this.#receivedSinceAck = 0;
    this.#unacknowledged = false;
    this.#ackAt = undefined;
  }

  /** What is sent from here on answers the peer's flight, which acknowledged ours. */
  #beginFlight(): void {
    if (this.#answered) this.#clearFlight();
  }

  #clearFlight(): void {
    this.#answered = false;
    this.#flight.clear();
    this.#resendAt = undefined;
    this.#toArm = false;
    this.#startTimerAfresh();
  }

  #startTimerAfresh(): void {
    this.#interval = this.#datagrams.initialTimeout;
    this.#resent = 0;
  }
}

/** Of a message that has no number yet. */
type Unnumbered = Pick<HandshakeMessage, 'type' | 'body'>;

/** RFC 9147 §5.8.4. */
const ONE_AT_A_TIME: ReadonlySet<number> = new Set([
  HandshakeType.key_update,
  HandshakeType.new_connection_id,
  HandshakeType.request_connection_id,
]);

/** `uint16 message_seq` (RFC 9147 §5.2). */
const MAX_MESSAGE_SEQ = 0xffff;
/** RFC 9147 §6.1: 0 is in clear, 1 early data, 2 the handshake, 3 the first of application data. */
const FIRST_EPOCH_13 = 2;
const RECORD_NUMBER_LENGTH = 16;
/** RFC 6347 §4.1: a record has at most 2^14 bytes of content, and 13 of header. */
const WHOLE_RECORD = 2 ** 14 + 13;
/** No message_seq of a message after the handshake. */
const HANDSHAKE_GROUP = -1;

/** RFC 9147 §7: record numbers are in increasing order. */
function byNumber(a: RecordNumber, b: RecordNumber): number {
  return a.epoch - b.epoch || a.sequence - b.sequence;
}

/** RFC 9147 §7.1: 1/4 of the retransmission time. */
const ACK_DELAY_SHARE = 4;
/** Of it, when a peer may wait: some 30 ms, in which what was sent together has come together. */
const WINDOW_ACK_SHARE = 32;
