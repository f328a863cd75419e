import { DecodeError, TlsError } from '../../errors/errors.ts';
import { Reader } from '../../wire/reader.ts';
import { concat, Writer } from '../../wire/writer.ts';

/** RFC 3748 §4. */
export const EapCode = { request: 1, response: 2, success: 3, failure: 4 } as const;

/** RFC 3748 §5, RFC 5216 §3. */
export const EapType = { identity: 1, notification: 2, nak: 3, tls: 13 } as const;

/** RFC 3748 §4: the length field has 16 bits. */
export const MAX_EAP_PACKET = 65_535;
/** Code, identifier, length; and the type of requests and responses. */
const EAP_HEADER_LENGTH = 5;
/** With it, the flags of EAP-TLS; and the total length, which the first fragment has (RFC 5216 §3.1). */
const EAP_TLS_OVERHEAD = EAP_HEADER_LENGTH + 1;
const TOTAL_LENGTH_FIELD = 4;

/**
 * ```
 * uint8 code; uint8 identifier; uint16 length;     // RFC 3748 §4
 * uint8 type; opaque data[length - 5];             // of requests and responses
 * ```
 */
export type EapPacket =
  | {
      readonly code: typeof EapCode.request | typeof EapCode.response;
      readonly identifier: number;
      readonly type: number;
      readonly data: Uint8Array;
    }
  | { readonly code: typeof EapCode.success | typeof EapCode.failure; readonly identifier: number };

export type EapMessage = Extract<EapPacket, { readonly type: number }>;

/**
 * RFC 3748 §4: a length above what has come is malformed; what follows the packet is padding of the link below, and
 * MUST be ignored. The data is a view.
 *
 * @throws DecodeError
 */
export function parseEap(bytes: Uint8Array): EapPacket {
  const header = new Reader(bytes, 'EAP packet');
  const code = header.u8();
  const identifier = header.u8();
  const length = header.u16();
  if (length < 4 || length > bytes.length) {
    throw new DecodeError(`EAP packet: its length says ${length}, ${bytes.length} bytes are there`);
  }
  const r = new Reader(bytes.subarray(4, length), 'EAP packet');
  if (code === EapCode.request || code === EapCode.response) {
    return { code, identifier, type: r.u8(), data: r.rest() };
  }
  if (code !== EapCode.success && code !== EapCode.failure) {
    throw new DecodeError(`EAP packet: code ${code}; known are 1 to 4`);
  }
  // §4.2: Success and Failure have no data.
  r.end();
  return { code, identifier };
}

/** @throws TlsError ERR_TLS_INTERNAL for more than MAX_EAP_PACKET bytes */
export function buildEap(packet: EapPacket): Uint8Array {
  if (!('type' in packet)) return new Writer(4).u8(packet.code).u8(packet.identifier).u16(4).finish();
  const length = EAP_HEADER_LENGTH + packet.data.length;
  if (length > MAX_EAP_PACKET) throw new TlsError('ERR_TLS_INTERNAL', `An EAP packet of ${length} bytes`);
  return new Writer(length)
    .u8(packet.code)
    .u8(packet.identifier)
    .u16(length)
    .u8(packet.type)
    .bytes(packet.data)
    .finish();
}

/**
 * What an EAP packet of type 13 holds (RFC 5216 §3.1):
 * `uint8 flags (L M S R R R R R); [uint32 tls_message_length;] opaque tls_data[];`
 */
export interface EapTls {
  /** Length of the whole message, where the flag L says that it is there. */
  readonly total: number | undefined;
  /** M: more fragments follow. */
  readonly more: boolean;
  /** S: EAP-TLS start. */
  readonly start: boolean;
  readonly data: Uint8Array;
}

const Flag = { length: 0x80, more: 0x40, start: 0x20 } as const;

/** Reserved flags MUST be ignored (RFC 5216 §3.1). The data is a view. @throws DecodeError */
export function parseEapTls(data: Uint8Array): EapTls {
  const r = new Reader(data, 'EAP-TLS');
  const flags = r.u8();
  const total = (flags & Flag.length) === 0 ? undefined : r.u32();
  return { total, more: (flags & Flag.more) !== 0, start: (flags & Flag.start) !== 0, data: r.rest() };
}

export function buildEapTls(tls: EapTls): Uint8Array {
  const { total, data } = tls;
  const writer = new Writer(EAP_TLS_OVERHEAD + data.length).u8(flagsOf(tls));
  if (total !== undefined) writer.u32(total);
  return writer.bytes(data).finish();
}

/** `buildEap` of `buildEapTls`, with one copy of the data: bulk data goes this way. */
export function buildEapTlsPacket(code: EapMessage['code'], identifier: number, tls: EapTls): Uint8Array {
  const { total, data } = tls;
  const field = total === undefined ? 0 : TOTAL_LENGTH_FIELD;
  const length = EAP_TLS_OVERHEAD + field + data.length;
  if (length > MAX_EAP_PACKET) throw new TlsError('ERR_TLS_INTERNAL', `An EAP packet of ${length} bytes`);
  const head = new Writer(EAP_TLS_OVERHEAD + field)
    .u8(code)
    .u8(identifier)
    .u16(length)
    .u8(EapType.tls)
    .u8(flagsOf(tls));
  if (total !== undefined) head.u32(total);
  return concat([head.finish(), data]);
}

function flagsOf({ total, more, start }: EapTls): number {
  return (total === undefined ? 0 : Flag.length) | (more ? Flag.more : 0) | (start ? Flag.start : 0);
}

/** What an acknowledgement of a fragment holds: nothing (RFC 5216 §2.1.5). */
export const ACKNOWLEDGEMENT: EapTls = {
  total: undefined,
  more: false,
  start: false,
  data: new Uint8Array(0),
};

/** EAP-TLS bytes that a packet of `size` holds: of the first fragment, and of the others or of an unfragmented one. */
export function roomIn(size: number, withTotal: boolean): number {
  return size - EAP_TLS_OVERHEAD - (withTotal ? TOTAL_LENGTH_FIELD : 0);
}
