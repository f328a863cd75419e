import { DecodeError, TlsError } from '../errors/errors.ts';
import { HandshakeType } from '../wire/codepoints.ts';
import { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';
import { handshakeMessage, MAX_HANDSHAKE_MESSAGE } from './handshake.ts';

/**
 * ```
 * struct {
 *     HandshakeType msg_type;
 *     uint24 length;                 // of the message
 *     uint16 message_seq;
 *     uint24 fragment_offset;
 *     uint24 fragment_length;
 *     opaque body[fragment_length];
 * } Handshake;                       // RFC 6347 §4.2.2, RFC 9147 §5.2
 * ```
 */
export interface HandshakeFragment {
  readonly type: number;
  readonly length: number;
  readonly messageSeq: number;
  readonly offset: number;
  readonly body: Uint8Array;
}

export const FRAGMENT_HEADER_LENGTH = 12;

/**
 * The fragments in one record: one or more, whole (RFC 6347 §4.2.3).
 * @throws DecodeError for one that is not within its message, or whose message is longer than MAX_HANDSHAKE_MESSAGE
 */
export function parseFragments(content: Uint8Array): HandshakeFragment[] {
  const r = new Reader(content, 'handshake fragment');
  const fragments: HandshakeFragment[] = [];
  do {
    const type = r.u8();
    const length = r.u24();
    const messageSeq = r.u16();
    const offset = r.u24();
    const body = r.vector(3);
    if (offset + body.length > length) {
      throw new DecodeError(`handshake fragment: bytes ${offset} to ${offset + body.length} of ${length}`);
    }
    if (length > MAX_HANDSHAKE_MESSAGE) {
      throw new DecodeError(`handshake message of ${length} bytes; at most ${MAX_HANDSHAKE_MESSAGE}`);
    }
    fragments.push({ type, length, messageSeq, offset, body });
  } while (r.remaining > 0);
  return fragments;
}

export function buildFragment({ type, length, messageSeq, offset, body }: HandshakeFragment): Uint8Array {
  return new Writer(FRAGMENT_HEADER_LENGTH + body.length)
    .u8(type)
    .u24(length)
    .u16(messageSeq)
    .u24(offset)
    .vector(3, body)
    .finish();
}

/** `struct { uint64 epoch; uint64 sequence_number; } RecordNumber;`, RFC 9147 §4. */
export interface RecordNumber {
  readonly epoch: number;
  readonly sequence: number;
}

/** `RecordNumber record_numbers<0..2^16-1>;`, RFC 9147 §7. */
export function parseAck(content: Uint8Array): RecordNumber[] {
  const r = new Reader(content, 'ACK');
  const numbers = r.list(2, (item) => ({ epoch: u64(item), sequence: u64(item) }));
  r.end();
  return numbers;
}

export function buildAck(numbers: readonly RecordNumber[]): Uint8Array {
  return new Writer(2 + 16 * numbers.length)
    .vector(2, (w) => {
      for (const { epoch, sequence } of numbers) {
        w.u32(Math.floor(epoch / 2 ** 32)).u32(epoch % 2 ** 32);
        w.u32(Math.floor(sequence / 2 ** 32)).u32(sequence % 2 ** 32);
      }
    })
    .finish();
}

/** Numbers too large to be any of ours lose their last bits, and stay too large. */
function u64(r: Reader): number {
  return r.u32() * 2 ** 32 + r.u32();
}

/**
 * ```
 * struct {
 *     ConnectionId cids<0..2^16-1>;      // opaque cid<0..2^8-1>
 *     ConnectionIdUsage usage;           // 0 cid_immediate, 1 cid_spare
 * } NewConnectionId;                     // RFC 9147 §9
 * ```
 */
export interface NewConnectionId {
  readonly cids: readonly Uint8Array[];
  readonly immediate: boolean;
}

export function parseNewConnectionId(body: Uint8Array): NewConnectionId {
  const r = new Reader(body, 'NewConnectionId');
  const cids = r.list(2, (item) => new Uint8Array(item.vector(1, 1)));
  const usage = r.u8();
  r.end();
  if (usage > 1) throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `NewConnectionId: usage is ${usage}`);
  return { cids, immediate: usage === 0 };
}

export function buildNewConnectionId({ cids, immediate }: NewConnectionId): Uint8Array {
  return handshakeMessage(HandshakeType.new_connection_id, (w) => {
    w.vector(2, (list) => {
      for (const cid of cids) list.vector(1, cid);
    }).u8(immediate ? 0 : 1);
  });
}

/** `uint8 num_cids;`, RFC 9147 §9. */
export function parseRequestConnectionId(body: Uint8Array): number {
  const r = new Reader(body, 'RequestConnectionId');
  const count = r.u8();
  r.end();
  return count;
}

export function buildRequestConnectionId(count: number): Uint8Array {
  return handshakeMessage(HandshakeType.request_connection_id, (w) => w.u8(count));
}
