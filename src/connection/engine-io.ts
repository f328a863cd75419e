import type { CryptoProvider } from '../crypto/provider.ts';
import type { Suite } from '../crypto/suites.ts';
import { AlertDescription, AlertLevel } from '../errors/alerts.ts';
import { TlsError } from '../errors/errors.ts';
import type { ClientConfig, ServerConfig } from '../handshake/config.ts';
import type { HandshakeIO, KeylogLabel } from '../handshake/io.ts';
import { trafficKeys } from '../handshake/key-schedule.ts';
import type { ResumableSession } from '../handshake/resumable-session.ts';
import type { HandshakeJoiner } from '../messages/handshake.ts';
import type { RecordLayer } from '../record/tls/record-layer.ts';
import type { Keys12 } from '../record/tls/record12.ts';
import { ContentType } from '../wire/codepoints.ts';
import { type ConnectionEvent, keylogLine } from './events.ts';

/** What the handshake's states may do, carried out on TLS records. */
export class EngineIO implements HandshakeIO {
  now: number;
  /** Bytes of early data, or in answer to it, that may still be sent. */
  earlyDataLeft = 0;
  readonly #config: ClientConfig | ServerConfig;
  readonly #records: RecordLayer;
  readonly #joiner: HandshakeJoiner;
  readonly #emit: (event: ConnectionEvent) => void;

  constructor(
    config: ClientConfig | ServerConfig,
    records: RecordLayer,
    joiner: HandshakeJoiner,
    now: number,
    emit: (event: ConnectionEvent) => void,
  ) {
    this.#config = config;
    this.#records = records;
    this.#joiner = joiner;
    this.now = now;
    this.#emit = emit;
  }

  get crypto(): CryptoProvider {
    return this.#config.crypto;
  }

  send(message: Uint8Array): Uint8Array {
    this.#records.write(ContentType.handshake, message);
    return message;
  }

  sendChangeCipherSpec(): void {
    this.#records.writeChangeCipherSpec();
  }

  skipEarlyData(limit: number): void {
    this.#records.skipEarlyData(limit);
  }

  limitRecords(sending: number, receiving: number): void {
    this.#records.limit(sending, receiving);
  }

  allowEarlyData(bytes: number): void {
    this.earlyDataLeft = bytes;
  }

  unprotectWrite(): void {
    this.#records.unprotectWrite();
  }

  protectRead(suite: Suite, secret: Uint8Array): void {
    this.requireRecordEnd();
    this.#records.readKeys = trafficKeys(this.crypto, suite, secret);
  }

  protectRead12(keys: Keys12): void {
    this.requireRecordEnd();
    this.#records.readKeys12 = keys;
  }

  protectWrite12(keys: Keys12): void {
    this.#records.writeKeys12 = keys;
  }

  speakTls12(version: number): void {
    this.#records.speakTls12(version);
  }

  useConnectionIds(): void {}

  refuseRenegotiation(): void {
    const alert = Uint8Array.of(AlertLevel.warning, AlertDescription.no_renegotiation);
    this.#records.write(ContentType.alert, alert);
  }

  /** RFC 8446 §5.1: messages that precede a key change MUST align with a record boundary. */
  requireRecordEnd(): void {
    if (this.#joiner.empty) return;
    throw new TlsError(
      'ERR_TLS_UNEXPECTED_MESSAGE',
      'A record goes on after a message that changes the keys',
    );
  }

  protectWrite(suite: Suite, secret: Uint8Array): void {
    this.#records.writeKeys = trafficKeys(this.crypto, suite, secret);
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
}
