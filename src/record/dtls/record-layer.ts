import type { CryptoProvider } from '../../crypto/provider.ts';
import { TlsError } from '../../errors/errors.ts';
import type { Keys12 } from '../tls/record12.ts';
import { type Frame, nextFrame } from './frames.ts';
import {
  type DatagramKeys,
  type DatagramOpener,
  type DatagramSealer,
  type OpenedRecord,
  Opener13,
  Sealer13,
} from './protection.ts';
import { ClearOpener, ClearSealer, Opener12, Sealer12 } from './protection12.ts';

/** Datagrams that wait while the handshake waits for an answer from outside; what comes beyond is lost, as on the way. */
export const MAX_WAITING_DATAGRAMS = 16;
/** Records of the next epoch that overtook what brings its keys, and their bytes. */
export const MAX_EARLY_RECORDS = 16;
export const MAX_EARLY_BYTES = 32_768;
/** A datagram of UDP holds no more. */
export const MAX_DATAGRAM = 65_535;

/** What became of what was received. */
export interface DatagramStats {
  readonly datagrams: number;
  readonly records: number;
  /** Records that were thrown away without a word (RFC 6347 §4.1.2.7): malformed, of no epoch that is known, forged, replayed. */
  readonly discarded: number;
  /** Of those, the ones that did not open under a key of this session. */
  readonly forged: number;
}

/** Connection IDs that the peer may use at once; older ones are forgotten. */
export const MAX_OWN_CONNECTION_IDS = 8;

/** Connection IDs that were agreed on. */
export interface ConnectionIds {
  /** In records of the peer; empty for none. */
  readonly receiving: Uint8Array;
  /** In ours; empty for none. */
  readonly sending: Uint8Array;
}

/** The records of one DTLS connection: datagrams in, contents out, and the sealers of each epoch. */
export class DatagramRecords {
  readonly #crypto: CryptoProvider;
  readonly #stats = { datagrams: 0, records: 0, discarded: 0, forged: 0 };
  #sendingId: Uint8Array = NO_CID;
  /** Oldest first; never empty. */
  #receivingIds: readonly Uint8Array[] = [NO_CID];
  #cidLength = 0;
  #newest = false;
  /** Newest first: the epoch of the moment, and the one before for what comes late or again (RFC 9147 §4.2.1). */
  #openers: DatagramOpener[] = [new ClearOpener()];
  #queue: Uint8Array[] = [];
  /** The one of the queue that is the caller's. */
  #borrowed: Uint8Array | undefined;
  /** In the first of the queue. */
  #at = 0;
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  #handshaking = true;
  readonly #clear: ClearSealer;
  /** Of what is sent from here on. */
  sealer: DatagramSealer;

  /**
   * @param version of our records as long as none has been agreed on
   * @param sequence of our first record: that of the ClientHello which a stateless server has answered (RFC 6347 §4.2.1)
   */
  constructor(crypto: CryptoProvider, version: number, sequence = 0) {
    this.#crypto = crypto;
    this.#clear = new ClearSealer(version, sequence);
    this.sealer = this.#clear;
  }

  get stats(): DatagramStats {
    return { ...this.#stats };
  }

  get readEpoch(): number {
    return this.#openers[0]?.epoch ?? 0;
  }

  /** Takes a datagram; the buffer must not change before `keep`. */
  feed(datagram: Uint8Array): void {
    this.#newest = false;
    this.#stats.datagrams++;
    if (this.#queue.length >= MAX_WAITING_DATAGRAMS || datagram.length > MAX_DATAGRAM) {
      this.#stats.discarded++;
      return;
    }
    this.#queue.push(datagram);
    this.#borrowed = datagram;
  }

  /** What of it has not been looked at is copied, so that the caller's buffer is its own again. Mostly there is nothing. */
  keep(): void {
    const borrowed = this.#borrowed;
    this.#borrowed = undefined;
    if (this.#queue.length === 0 || borrowed === undefined) return;
    this.#queue = this.#queue.map((datagram) =>
      datagram === borrowed ? new Uint8Array(datagram) : datagram,
    );
  }

  /** The next record that is genuine. */
  next(): OpenedRecord | undefined {
    for (;;) {
      const [datagram] = this.#queue;
      if (datagram === undefined) return undefined;
      const cut = this.#at >= datagram.length ? undefined : nextFrame(datagram, this.#at, this.#cidLength);
      if (cut === undefined) {
        if (this.#at < datagram.length) this.#stats.discarded++;
        this.#queue.shift();
        this.#at = 0;
        continue;
      }
      const record = datagram.subarray(this.#at, cut.end);
      this.#at = cut.end;
      const opened = this.#open(cut.frame, record);
      if (opened === undefined) continue;
      this.#stats.records++;
      if (opened.newest) this.#newest = true;
      return opened;
    }
  }

  /** DTLS 1.2 or 1.0 was agreed on: of our records, and from here on of those of the peer that are protected. */
  set version12(version: number) {
    this.#clear.version = version;
  }

  setReadKeys(keys: DatagramKeys, epoch: number): void {
    this.#addOpener(new Opener13(this.#crypto, keys, epoch));
  }

  setReadKeys12(keys: Keys12): void {
    const { version } = this.#clear;
    this.#addOpener(
      new Opener12(this.#crypto, keys, version, this.readEpoch + 1, this.#receivingIds[0] ?? NO_CID),
    );
  }

  makeSealer(keys: DatagramKeys, epoch: number): DatagramSealer {
    return new Sealer13(this.#crypto, keys, epoch, this.#sendingId);
  }

  makeSealer12(keys: Keys12): DatagramSealer {
    return new Sealer12(this.#crypto, keys, this.#clear.version, this.sealer.epoch + 1, this.#sendingId);
  }

  /** For the keys that come from here on. */
  set connectionIds({ receiving, sending }: ConnectionIds) {
    this.#receivingIds = [receiving];
    this.#cidLength = receiving.length;
    this.#sendingId = sending;
  }

  /** In records of the peer: as many bytes as all of ours have. */
  get cidLength(): number {
    return this.#cidLength;
  }

  /** In our records at this moment; empty for none. */
  get sendingId(): Uint8Array {
    return this.#sendingId;
  }

  /** DTLS 1.3: for what we send from here on. */
  set sendingId(cid: Uint8Array) {
    this.#sendingId = cid;
    this.sealer.connectionId = cid;
  }

  /** DTLS 1.3: one more that the peer may use. */
  addReceivingId(cid: Uint8Array): void {
    this.#receivingIds = [...this.#receivingIds, cid].slice(-MAX_OWN_CONNECTION_IDS);
  }

  /** The last datagram had a genuine record that is newer than all before: what RFC 9146 §6 wants of a new address. */
  get newest(): boolean {
    return this.#newest;
  }

  /** The peer's Finished has been verified: nothing in clear is taken any more. */
  endHandshake(): void {
    this.#handshaking = false;
    this.#openers = this.#openers.filter(({ epoch }) => epoch > 0);
    this.#early = [];
  }

  #open(frame: Frame, record: Uint8Array): OpenedRecord | undefined {
    if (frame.kind === 'unified' && !this.#isForUs(frame.cid ?? NO_CID)) {
      this.#stats.discarded++;
      return undefined;
    }
    const opener = this.#openers.find(({ epoch }) =>
      frame.kind === 'unified' ? (epoch & 3) === frame.epochBits && epoch > 0 : epoch === frame.epoch,
    );
    if (opener === undefined) {
      if (!this.#keepEarly(frame, record)) this.#stats.discarded++;
      return undefined;
    }
    const before = opener.forgeries;
    const opened = opener.open(frame);
    if (opened === undefined) this.#stats.discarded++;
    if (opener.forgeries > before) {
      this.#stats.forged++;
      this.#checkForgeries(opener);
    }
    return opened;
  }

  /** RFC 9147 §9: with one that was agreed on, or without where none was. */
  #isForUs(cid: Uint8Array): boolean {
    return this.#receivingIds.some(
      (own) => own.length === cid.length && own.every((byte, i) => byte === cid[i]),
    );
  }

  /** RFC 9147 §4.5.3: so many forgeries may be tried under one key, and no more. */
  #checkForgeries(opener: DatagramOpener): void {
    if (opener.forgeries < opener.forgeryLimit) return;
    throw new TlsError(
      'ERR_TLS_KEY_LIMIT',
      'Too many records did not open under one key; someone tries forgeries',
    );
  }

  /** Of the epoch that comes next, as far as can be told. */
  #keepEarly(frame: Frame, record: Uint8Array): boolean {
    const possible = frame.kind === 'unified' || frame.epoch === this.readEpoch + 1;
    if (!this.#handshaking || !possible || this.#early.length >= MAX_EARLY_RECORDS) return false;
    if (this.#earlyBytes + record.length > MAX_EARLY_BYTES) return false;
    this.#early.push(new Uint8Array(record));
    this.#earlyBytes += record.length;
    return true;
  }

  #addOpener(opener: DatagramOpener): void {
    this.#openers = [opener, ...this.#openers].slice(0, KEPT_EPOCHS);
    const early = this.#early;
    this.#early = [];
    this.#earlyBytes = 0;
    if (early.length === 0) return;
    // Behind what is left of this datagram: a record at a time, as if each had come in its own.
    const [first, ...rest] = this.#queue;
    this.#queue = first === undefined ? early : [first, ...early, ...rest];
  }
}

/** In clear, of the handshake, and of application data in DTLS 1.3; later the newest and those that may still come late. */
const KEPT_EPOCHS = 3;
const NO_CID = new Uint8Array(0);
