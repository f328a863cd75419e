import { ConnectionError, TlsError } from '../errors/errors.ts';
import type { DatagramConfig } from '../handshake/config.ts';
import {
  buildNewConnectionId,
  buildRequestConnectionId,
  parseNewConnectionId,
  parseRequestConnectionId,
} from '../messages/dtls.ts';
import type { HandshakeMessage } from '../messages/handshake.ts';
import type { DatagramRecords } from '../record/dtls/record-layer.ts';
import { HandshakeType } from '../wire/codepoints.ts';
import type { DtlsIO } from './dtls-io.ts';

/** Connection IDs of the peer that wait until they are used; more are not kept. */
export const MAX_SPARE_CONNECTION_IDS = 8;
/** Connection IDs that one request of the peer is given. */
export const MAX_ISSUED_CONNECTION_IDS = 4;

/** What changes connection IDs after the handshake, in DTLS 1.3 (RFC 9147 §9). */
export class ConnectionIdUpdates {
  readonly #records: DatagramRecords;
  readonly #io: DtlsIO;
  readonly #make: DatagramConfig['newConnectionId'];
  #spare: Uint8Array[] = [];
  #requested = false;

  constructor(records: DatagramRecords, io: DtlsIO, { newConnectionId }: DatagramConfig) {
    this.#records = records;
    this.#io = io;
    this.#make = newConnectionId;
  }

  /** @returns whether the message was one of these */
  receive({ type, body }: HandshakeMessage): boolean {
    if (type === HandshakeType.new_connection_id) this.#receiveNew(body);
    else if (type === HandshakeType.request_connection_id) this.#receiveRequest(body);
    else return false;
    return true;
  }

  /** Asks the peer for so many more. @throws ConnectionError ERR_TLS_OPTION where it wants none in our records */
  request(count: number): void {
    this.#requireSending();
    // RFC 9147 §9: none while an earlier one is unfulfilled; until that is acknowledged as well, `io` keeps this back.
    if (this.#requested) return;
    this.#requested = true;
    this.#io.send(buildRequestConnectionId(Math.min(count, MAX_SPARE_CONNECTION_IDS)));
  }

  /** Goes on with another of the peer's, so that who watches a change of address cannot link both. @returns false for none */
  useNext(): boolean {
    this.#requireSending();
    const next = this.#spare.shift();
    if (next === undefined) return false;
    this.#records.sendingId = next;
    return true;
  }

  #requireSending(): void {
    if (this.#records.sendingId.length > 0) return;
    throw new ConnectionError('ERR_TLS_OPTION', 'No connection ID was agreed on for what this side sends');
  }

  #receiveNew(body: Uint8Array): void {
    // RFC 9147 §9: from a peer that wants no connection ID, unexpected_message.
    if (this.#records.sendingId.length === 0) throw unexpectedIds('NewConnectionId');
    const { cids, immediate } = parseNewConnectionId(body);
    this.#requested = false;
    this.#spare = [...(immediate ? [] : this.#spare), ...cids].slice(0, MAX_SPARE_CONNECTION_IDS);
    if (immediate) this.useNext();
  }

  #receiveRequest(body: Uint8Array): void {
    const { cidLength } = this.#records;
    if (cidLength === 0) throw unexpectedIds('RequestConnectionId');
    const wanted = Math.min(parseRequestConnectionId(body), MAX_ISSUED_CONNECTION_IDS);
    // What answers the request before waits for the ACK of the one before that, so this is a third that is unfulfilled.
    if (this.#io.holds(HandshakeType.new_connection_id)) {
      throw new TlsError(
        'ERR_DTLS_TOO_MANY_CIDS',
        'Received RequestConnectionId while the one before is unfulfilled (RFC 9147 §9)',
      );
    }
    const make = this.#make;
    // Fewer than it wants, or none, is an answer too; without one it could never ask again (§9).
    const cids = make === undefined ? [] : Array.from({ length: wanted }, make);
    if (cids.some(({ length }) => length !== cidLength)) {
      throw new TlsError('ERR_TLS_INTERNAL', 'newConnectionId gave one of another length than connectionId');
    }
    for (const cid of cids) this.#records.addReceivingId(cid);
    this.#io.send(buildNewConnectionId({ cids, immediate: false }));
  }
}

function unexpectedIds(message: string): TlsError {
  return new TlsError(
    'ERR_TLS_UNEXPECTED_MESSAGE',
    `Received ${message}, and no connection ID was agreed on for that direction`,
  );
}
