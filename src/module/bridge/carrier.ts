import { AlertLevel } from '../../errors/alerts.ts';
import { MAX_CIPHERTEXT, MAX_PLAINTEXT, RECORD_HEADER_LENGTH } from '../../record/tls/deframer.ts';
import { ContentType } from '../../wire/codepoints.ts';
import { concat } from '../../wire/writer.ts';
import { roomIn } from '../eap/packet.ts';
import { HelloPeek, type PeekedHello } from './hello-peek.ts';
import { RecordSplitter } from './record-splitter.ts';

/** Bytes of records that wait for the module before the transport is read no more: several full records. */
const MAX_INPUT = 131_072;

/** What lies between a transport and a module: it brings what has come, and takes what is to be sent. */
export interface Carrier {
  /** From the transport. */
  receive(bytes: Uint8Array): void;
  /** Nothing waits for the module. */
  readonly empty: boolean;
  /** So much waits that the transport should not be read. */
  readonly full: boolean;
  /** Server: the ClientHello, once all of it has come. It still waits for the module. */
  hello(): PeekedHello | undefined;
  /** The next for the module. @param most bytes; where the least that can be taken is more, it is that */
  take(most: number): Uint8Array;
  /** The module is about to say its last flight again. */
  resend(): void;
  /** The handshake is over. */
  endHandshake(): void;
  /** Records from the module. */
  send(records: Uint8Array): void;
  /** An alert that the module has no part in: nothing is encrypted yet. */
  sendClearAlert(description: number): void;
  /** What is to be sent, in order. */
  drain(): Uint8Array[];
}

/** Four full records, well below what a module takes. */
const BATCH = 65_536;

/**
 * Bytes of one message to the module, as clear text and as records: as many full records as fit one EAP packet both ways, since
 * each packet more is a turn. Where not even one fits, packets are many anyway.
 * @param size of the EAP packets
 */
export function batchesFor(size: number): { readonly clear: number; readonly records: number } {
  const room = roomIn(size, false);
  const count = Math.floor(room / (RECORD_HEADER_LENGTH + MAX_CIPHERTEXT));
  return count === 0 ? { clear: BATCH, records: BATCH } : { clear: count * MAX_PLAINTEXT, records: room };
}

/** Whole records in, records out. */
export class StreamCarrier implements Carrier {
  readonly #splitter = new RecordSplitter();
  readonly #peek = new HelloPeek();
  #peeked = 0;
  #inbox: Uint8Array[] = [];
  #inboxBytes = 0;
  #records: Uint8Array[] = [];

  receive(bytes: Uint8Array): void {
    for (const record of this.#splitter.push(bytes)) {
      this.#inbox.push(record);
      this.#inboxBytes += record.length;
    }
  }

  get empty(): boolean {
    return this.#inbox.length === 0;
  }

  get full(): boolean {
    return this.#inboxBytes > MAX_INPUT;
  }

  hello(): PeekedHello | undefined {
    for (; this.#peeked < this.#inbox.length; this.#peeked++) {
      const hello = this.#peek.push(this.#inbox[this.#peeked] as Uint8Array);
      if (hello !== undefined) return hello;
    }
    return undefined;
  }

  /** At least one record. */
  take(most: number): Uint8Array {
    const taken: Uint8Array[] = [];
    let length = 0;
    for (let next = this.#inbox[0]; next !== undefined; next = this.#inbox[0]) {
      if (length > 0 && length + next.length > most) break;
      taken.push(next);
      length += next.length;
      this.#inbox.shift();
    }
    this.#inboxBytes -= length;
    return concat(taken);
  }

  /** All that has not been taken, with the beginning of a record that is not complete. */
  takeRest(): Uint8Array[] {
    const rest = [...this.#inbox, this.#splitter.rest()];
    this.#inbox = [];
    this.#inboxBytes = 0;
    return rest;
  }

  resend(): void {}

  endHandshake(): void {}

  send(records: Uint8Array): void {
    if (records.length > 0) this.#records.push(records);
  }

  sendClearAlert(description: number): void {
    this.#records.push(Uint8Array.of(ContentType.alert, 3, 3, 0, 2, AlertLevel.fatal, description));
  }

  drain(): Uint8Array[] {
    const records = this.#records;
    this.#records = [];
    return records;
  }
}
