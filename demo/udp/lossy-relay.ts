import { losing, type Relay, startRelay } from './relay.ts';
import { MARK } from './sockets.ts';

/** What someone on the path can count without any key, before the path loses anything. */
export interface DatagramObservation {
  /** Ports of the client's side: with the relay's one port each is a five-tuple. */
  readonly clientPorts: Set<number>;
  readonly towards: { readonly gateway: Crossing; readonly client: Crossing };
  /** The `random` of each ClientHello and ServerHello, as hex: the same one again is a message sent again. */
  readonly clientRandoms: Set<string>;
  readonly serverRandoms: Set<string>;
  /** Messages in clear, those sent again included. */
  clientHellos: number;
  serverHellos: number;
  helloRetryRequests: number;
  /** Records without protection (epoch 0), and datagrams with one that were lost. */
  clearRecords: number;
  clearDatagramsLost: number;
  /** Datagrams that do not begin as DTLS does. */
  strangeDatagrams: number;
  /** Datagrams in which an application can be read. */
  readableDatagrams: number;
}

export interface Crossing {
  datagrams: number;
  lost: number;
  bytes: number;
}

export interface Loss {
  /** From 0 to 1, in each direction. */
  readonly share: number;
  readonly seed: number;
}

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_HELLO = 2;
/** RFC 9147 §4: type(1) version(2) epoch(2) sequence_number(6) length(2). */
const HEADER_LENGTH = 13;
const EPOCH_AT = 3;
/** §5.2: msg_type(1) length(3) message_seq(2) fragment_offset(3) fragment_length(3); then legacy_version(2), `random`. */
const RANDOM_AT = HEADER_LENGTH + 12 + 2;
const RANDOM_LENGTH = 32;
/** SHA-256 of "HelloRetryRequest", the random that marks one (RFC 8446 §4.1.3). */
const RETRY_RANDOM = 'cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c';

export function newDatagramObservation(): DatagramObservation {
  const crossing = (): Crossing => ({ datagrams: 0, lost: 0, bytes: 0 });
  return {
    clientPorts: new Set(),
    towards: { gateway: crossing(), client: crossing() },
    clientRandoms: new Set(),
    serverRandoms: new Set(),
    clientHellos: 0,
    serverHellos: 0,
    helloRetryRequests: 0,
    clearRecords: 0,
    clearDatagramsLost: 0,
    strangeDatagrams: 0,
    readableDatagrams: 0,
  };
}

/** A UDP relay that looks at what it carries, as anyone on the path could, and loses its share of it. */
export async function startLossyRelay(
  target: number,
  { share, seed }: Loss,
  seen: DatagramObservation,
): Promise<Relay> {
  // One sequence for each direction: what happens to the n-th datagram is the same in every run.
  const fate = losing(share, seed);
  return startRelay(target, (datagram, towards, client) => {
    seen.clientPorts.add(client);
    const direction = towards === 'server' ? 'gateway' : 'client';
    const isClear = observe(datagram, direction, seen);
    const passed = fate(datagram, towards, client);
    if (passed.length > 0) return passed;
    seen.towards[direction].lost++;
    if (isClear) seen.clearDatagramsLost++;
    return passed;
  });
}

/** Counts one datagram. @returns whether a record of it is in clear */
export function observe(datagram: Buffer, towards: 'gateway' | 'client', seen: DatagramObservation): boolean {
  const crossing = seen.towards[towards];
  crossing.datagrams++;
  crossing.bytes += datagram.length;
  if (datagram.includes(MARK)) seen.readableDatagrams++;
  let isClear = false;
  for (let rest = datagram; rest.length > 0; ) {
    // RFC 9147 §4: 001 begins a protected record. Where connection IDs make its length unknown, no clear one follows it.
    if (((rest[0] ?? 0) & 0xe0) === 0x20) break;
    const length = clearRecordLength(rest);
    if (length === undefined) {
      seen.strangeDatagrams++;
      break;
    }
    isClear = true;
    seen.clearRecords++;
    if (rest[0] === HANDSHAKE) hello(rest.subarray(0, length), seen);
    rest = rest.subarray(length);
  }
  return isClear;
}

/** @returns `undefined` when it is none: RFC 9147 §4.1, types 20 to 26 in versions of DTLS and epoch 0 */
function clearRecordLength(bytes: Buffer): number | undefined {
  const type = bytes[0] ?? 0;
  if (bytes.length < HEADER_LENGTH || type < 20 || type > 26 || bytes[1] !== 0xfe) return undefined;
  const length = HEADER_LENGTH + bytes.readUInt16BE(HEADER_LENGTH - 2);
  return bytes.readUInt16BE(EPOCH_AT) === 0 && length <= bytes.length ? length : undefined;
}

function hello(record: Buffer, seen: DatagramObservation): void {
  const type = record[HEADER_LENGTH];
  // Fragments after the first have no random where it would be.
  const isFirst = record.length >= RANDOM_AT + RANDOM_LENGTH && record.readUIntBE(HEADER_LENGTH + 6, 3) === 0;
  if (!isFirst) return;
  const random = record.subarray(RANDOM_AT, RANDOM_AT + RANDOM_LENGTH).toString('hex');
  if (type === CLIENT_HELLO) {
    seen.clientHellos++;
    seen.clientRandoms.add(random);
  } else if (type === SERVER_HELLO && random === RETRY_RANDOM) {
    seen.helloRetryRequests++;
  } else if (type === SERVER_HELLO) {
    seen.serverHellos++;
    seen.serverRandoms.add(random);
  }
}
