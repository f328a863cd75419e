import { ContentType } from '../../wire/codepoints.ts';

/**
 * A record as DTLS 1.2 has it, which those in clear of DTLS 1.3 are as well:
 * ```
 * struct {
 *     ContentType type;
 *     ProtocolVersion version;
 *     uint16 epoch;
 *     uint48 sequence_number;
 *     opaque cid[cid_length];            // only where type is tls12_cid (RFC 9146 §4)
 *     uint16 length;
 *     opaque fragment[length];
 * } DTLSCiphertext;                      // RFC 6347 §4.3.1, RFC 9146 §4
 * ```
 */
export interface ClassicFrame {
  readonly kind: 'classic';
  readonly type: number;
  readonly version: number;
  readonly epoch: number;
  readonly sequence: number;
  readonly cid: Uint8Array;
  readonly fragment: Uint8Array;
}

/**
 * A protected record of DTLS 1.3 (RFC 9147 §4). Its sequence number is still encrypted.
 * ```
 *  0 1 2 3 4 5 6 7
 * +-+-+-+-+-+-+-+-+   C: connection ID present
 * |0|0|1|C|S|L|E E|   S: sequence number of 16 bits, else 8
 * +-+-+-+-+-+-+-+-+   L: 16 bit length present, else to the end of the datagram
 * | connection ID |   E: the low two bits of the epoch
 * | sequence no.  |
 * | length        |
 * ```
 */
export interface UnifiedFrame {
  readonly kind: 'unified';
  readonly epochBits: number;
  readonly cid: Uint8Array | undefined;
  /** Header as it came. */
  readonly header: Uint8Array;
  /** Where in it the sequence number is, and its length. */
  readonly sequenceAt: number;
  readonly sequenceLength: 1 | 2;
  readonly fragment: Uint8Array;
}

export type Frame = ClassicFrame | UnifiedFrame;

export const CLASSIC_HEADER_LENGTH = 13;
/** Sequence numbers have 48 bits in DTLS 1.2; no epoch of 1.3 comes near that either. */
export const MAX_SEQUENCE = 2 ** 48 - 1;

export const UNIFIED = 0x20;
export const UNIFIED_CID = 0x10;
export const UNIFIED_SEQUENCE_16 = 0x08;
export const UNIFIED_LENGTH = 0x04;
const UNIFIED_MASK = 0xe0;
const MAJOR_VERSION = 0xfe;

/**
 * Cuts the next record off a datagram.
 * @param cidLength bytes of the connection ID that the peer puts in its records
 * @returns `undefined` when what is left is no record: it is to be discarded (RFC 6347 §4.1.2.7)
 */
export function nextFrame(
  datagram: Uint8Array,
  at: number,
  cidLength: number,
): { readonly frame: Frame; readonly end: number } | undefined {
  const first = datagram[at];
  if (first === undefined) return undefined;
  // RFC 9147 §4.1: so the two are told apart.
  return (first & UNIFIED_MASK) === UNIFIED
    ? unifiedFrame(datagram, at, cidLength)
    : classicFrame(datagram, at, cidLength);
}

function classicFrame(bytes: Uint8Array, at: number, cidLength: number) {
  const type = bytes[at] as number;
  const cidAt = at + CLASSIC_HEADER_LENGTH - 2;
  const lengthAt = type === ContentType.tls12_cid ? cidAt + cidLength : cidAt;
  if (bytes.length < lengthAt + 2 || bytes[at + 1] !== MAJOR_VERSION) return undefined;
  const end = lengthAt + 2 + u16(bytes, lengthAt);
  if (end > bytes.length) return undefined;
  const frame: ClassicFrame = {
    kind: 'classic',
    type,
    version: u16(bytes, at + 1),
    epoch: u16(bytes, at + 3),
    sequence: u16(bytes, at + 5) * 2 ** 32 + u16(bytes, at + 7) * 2 ** 16 + u16(bytes, at + 9),
    cid: bytes.subarray(cidAt, lengthAt),
    fragment: bytes.subarray(lengthAt + 2, end),
  };
  return { frame, end };
}

function unifiedFrame(bytes: Uint8Array, at: number, cidLength: number) {
  const first = bytes[at] as number;
  const hasCid = (first & UNIFIED_CID) !== 0;
  const hasLength = (first & UNIFIED_LENGTH) !== 0;
  const sequenceLength = (first & UNIFIED_SEQUENCE_16) !== 0 ? 2 : 1;
  const sequenceAt = 1 + (hasCid ? cidLength : 0);
  const lengthAt = at + sequenceAt + sequenceLength;
  const bodyAt = lengthAt + (hasLength ? 2 : 0);
  if (bodyAt > bytes.length) return undefined;
  const end = hasLength ? bodyAt + u16(bytes, lengthAt) : bytes.length;
  if (end > bytes.length) return undefined;
  const frame: UnifiedFrame = {
    kind: 'unified',
    epochBits: first & 3,
    cid: hasCid ? bytes.subarray(at + 1, at + 1 + cidLength) : undefined,
    header: bytes.subarray(at, bodyAt),
    sequenceAt,
    sequenceLength,
    fragment: bytes.subarray(bodyAt, end),
  };
  return { frame, end };
}

/** A record of DTLS 1.2, or in clear. */
export function classicRecord(
  { type, version, epoch, sequence, cid }: Omit<ClassicFrame, 'kind' | 'fragment'>,
  fragment: readonly Uint8Array[],
): Uint8Array {
  let length = 0;
  for (const piece of fragment) length += piece.length;
  const record = recordBytes(CLASSIC_HEADER_LENGTH + cid.length + length);
  record[0] = type;
  writeU16(record, 1, version);
  writeNumber(record, 3, epoch, sequence);
  record.set(cid, 11);
  writeU16(record, 11 + cid.length, length);
  let at = CLASSIC_HEADER_LENGTH + cid.length;
  for (const piece of fragment) {
    record.set(piece, at);
    at += piece.length;
  }
  return record;
}

/**
 * Room for one record. Small ones share a larger piece of memory: a buffer of its own costs each ten times as much as its part
 * of that, and a twentieth of what it takes to protect a record of 200 bytes. No part is given out twice.
 */
export function recordBytes(length: number): Uint8Array {
  if (length > LARGEST_SHARE) return new Uint8Array(length);
  if (sharedAt + length > shared.length) {
    shared = new Uint8Array(SHARED_BYTES);
    sharedAt = 0;
  }
  sharedAt += length;
  return shared.subarray(sharedAt - length, sharedAt);
}
const SHARED_BYTES = 16_384;
/** So that little is left over at the end, and what is kept for long keeps little beside it. */
const LARGEST_SHARE = 2_048;
let shared = new Uint8Array(0);
let sharedAt = 0;

/** `uint16 epoch; uint48 sequence_number`, in eight bytes. */
export function writeNumber(bytes: Uint8Array, at: number, epoch: number, sequence: number): void {
  writeU16(bytes, at, epoch);
  writeU16(bytes, at + 2, Math.floor(sequence / 2 ** 32));
  const low = sequence % 2 ** 32;
  writeU16(bytes, at + 4, low >>> 16);
  writeU16(bytes, at + 6, low & 0xffff);
}

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}
