import { DecodeError, TlsError } from '../../errors/errors.ts';
import { latin1Text } from '../../wire/latin1.ts';
import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';
import { ADDRESS_MAX, ERROR_TEXT_MAX } from '../limits.ts';

/**
 * Channel mode on the wire, content type `mtls`: messages of draft-badra-hajjeh-mtls-03, as docs/multiplexing.md has
 * them. Over TLS the records form a byte stream: messages share records and span them.
 *
 * ```
 * struct { uint8 type = 1; uint16 sender_channel_id; uint32 sender_window_length; uint32 sender_max_packet_length;
 *          opaque source_address<1..255>; uint16 source_port;
 *          opaque destination_address<1..255>; uint16 destination_port; } RequestEstablishmentChannel;
 * struct { uint8 type = 2; uint16 sender_channel_id; uint16 receiver_channel_id;
 *          uint32 receiver_window_length; uint32 max_packet_length; }     RequestEstablishmentSuccess;
 * struct { uint8 type = 3; uint16 sender_channel_id; opaque error<0..2^16-1>; } RequestEchecChannel;
 * struct { uint8 type = 4; opaque channel_id[4]; }                        CloseChannel;
 * struct { uint8 type = 5; opaque channel_id[4]; }                        ConfirmationCloseChannel;
 * struct { uint8 type = 6; opaque channel_id[4]; uint32 length; opaque data[length]; } MTLSPlaintext;
 * struct { uint8 type = 7; opaque channel_id[4]; uint32 free_space; }     Acknowledgment;
 * struct { uint8 type = 8; opaque channel_id[4]; }                        EndOfData;
 * ```
 */
export const MessageType = {
  RequestEstablishmentChannel: 1,
  RequestEstablishmentSuccess: 2,
  RequestEchecChannel: 3,
  CloseChannel: 4,
  ConfirmationCloseChannel: 5,
  MTLSPlaintext: 6,
  Acknowledgment: 7,
  EndOfData: 8,
} as const;

export type MessageType = (typeof MessageType)[keyof typeof MessageType];

/** CloseChannel, ConfirmationCloseChannel, EndOfData. */
export const SHORT_LENGTH = 5;
export const ACKNOWLEDGMENT_LENGTH = 9;
/** What of MTLSPlaintext stands before its data. */
export const DATA_HEADER = 9;
export const SUCCESS_LENGTH = 13;
/** Everything of RequestEstablishmentChannel but its two addresses. */
const REQUEST_FIXED = 17;

export interface Endpoint {
  /** 1 to 255 bytes, each the character of the same number. */
  readonly address: string;
  readonly port: number;
}

export interface Request {
  readonly type: typeof MessageType.RequestEstablishmentChannel;
  /** The opener's half of the channel's id. */
  readonly sender: number;
  /** Bytes that the opener takes before it acknowledges any. */
  readonly window: number;
  /** The longest MTLSPlaintext that the opener takes, in bytes of data. */
  readonly maxPacket: number;
  readonly source: Endpoint;
  readonly destination: Endpoint;
}

export interface Success {
  readonly type: typeof MessageType.RequestEstablishmentSuccess;
  readonly sender: number;
  readonly receiver: number;
  readonly window: number;
  readonly maxPacket: number;
}

export interface Echec {
  readonly type: typeof MessageType.RequestEchecChannel;
  readonly sender: number;
  /** For people; nothing depends on it. */
  readonly error: string;
}

/** A message about one channel that has no more fields. */
export interface Short {
  readonly type:
    | typeof MessageType.CloseChannel
    | typeof MessageType.ConfirmationCloseChannel
    | typeof MessageType.EndOfData;
  /** The opener's half, then the acceptor's, as a 32-bit number. */
  readonly channel: number;
}

export interface Acknowledgment {
  readonly type: typeof MessageType.Acknowledgment;
  readonly channel: number;
  /** Bytes to add to the credit. */
  readonly freeSpace: number;
}

/** Everything but MTLSPlaintext, which comes in pieces. */
export type ControlMessage = Request | Success | Echec | Short | Acknowledgment;

/** @returns the whole message */
export function encodeControl(message: ControlMessage): Uint8Array {
  let out: Uint8Array;
  switch (message.type) {
    case MessageType.RequestEstablishmentChannel:
      out = new Uint8Array(requestLength(message));
      writeRequest(out, 0, message);
      return out;
    case MessageType.RequestEstablishmentSuccess:
      out = new Uint8Array(SUCCESS_LENGTH);
      writeSuccess(out, 0, message);
      return out;
    case MessageType.RequestEchecChannel:
      return new Writer(64)
        .u8(message.type)
        .u16(message.sender)
        .vector(2, encodeText(message.error))
        .finish();
    case MessageType.Acknowledgment:
      out = new Uint8Array(ACKNOWLEDGMENT_LENGTH);
      writeAcknowledgment(out, 0, message.channel, message.freeSpace);
      return out;
    default:
      out = new Uint8Array(SHORT_LENGTH);
      writeShort(out, 0, message.type, message.channel);
      return out;
  }
}

/**
 * The message of `length` bytes at `at`, as `messageLength` has measured it; all of `bytes` by default.
 * @throws DecodeError for an address without bytes, an error that is not UTF-8, bytes too few or too many
 */
export function decodeControl(bytes: Uint8Array, at = 0, length = bytes.length): ControlMessage {
  const type = bytes[at];
  // Those of one length are as many as there are channels, or more.
  switch (type) {
    case MessageType.RequestEstablishmentSuccess:
      checkLength(length, SUCCESS_LENGTH);
      return {
        type,
        sender: u16(bytes, at + 1),
        receiver: u16(bytes, at + 3),
        window: u32(bytes, at + 5),
        maxPacket: u32(bytes, at + 9),
      };
    case MessageType.Acknowledgment:
      checkLength(length, ACKNOWLEDGMENT_LENGTH);
      return { type, channel: u32(bytes, at + 1), freeSpace: u32(bytes, at + 5) };
    case MessageType.CloseChannel:
    case MessageType.ConfirmationCloseChannel:
    case MessageType.EndOfData:
      checkLength(length, SHORT_LENGTH);
      return { type, channel: u32(bytes, at + 1) };
  }
  const reader = new Reader(bytes.subarray(at, at + length), 'mtls message');
  const message = readControl(reader, reader.u8());
  reader.end();
  return message;
}

/**
 * How long the message at `at` is, as far as its first `available` bytes tell: a result above `available` is how many
 * bytes are needed to tell more, or the message itself. Of MTLSPlaintext, the length of what stands before its data.
 * @throws DecodeError for a type that does not exist: where its message ends, nobody knows
 */
export function messageLength(bytes: Uint8Array, at: number, available: number): number {
  if (available < 1) return 1;
  const type = bytes[at] as number;
  switch (type) {
    case MessageType.MTLSPlaintext:
      return DATA_HEADER;
    case MessageType.Acknowledgment:
      return ACKNOWLEDGMENT_LENGTH;
    case MessageType.CloseChannel:
    case MessageType.ConfirmationCloseChannel:
    case MessageType.EndOfData:
      return SHORT_LENGTH;
    case MessageType.RequestEstablishmentSuccess:
      return SUCCESS_LENGTH;
    case MessageType.RequestEchecChannel:
      return available < 5 ? 5 : 5 + u16(bytes, at + 3);
    case MessageType.RequestEstablishmentChannel: {
      if (available < 12) return 12;
      const source = bytes[at + 11] as number;
      const destinationAt = 12 + source + 2;
      if (available <= destinationAt) return destinationAt + 1;
      return destinationAt + 1 + (bytes[at + destinationAt] as number) + 2;
    }
    default:
      throw new DecodeError(`mtls message of type ${type}, which does not exist`);
  }
}

/** Bytes of the message. @throws TlsError ERR_TLS_INTERNAL for an address that cannot be written */
export function requestLength({ source, destination }: Request): number {
  return REQUEST_FIXED + addressLength(source) + addressLength(destination);
}

/** @returns the position after it */
export function writeRequest(out: Uint8Array, at: number, message: Request): number {
  out[at] = message.type;
  let end = writeU16(out, at + 1, message.sender);
  end = writeU32(out, end, message.window);
  end = writeU32(out, end, message.maxPacket);
  end = writeEndpoint(out, end, message.source);
  return writeEndpoint(out, end, message.destination);
}

/** @returns the position after it */
export function writeSuccess(out: Uint8Array, at: number, message: Success): number {
  out[at] = message.type;
  const ids = writeU16(out, writeU16(out, at + 1, message.sender), message.receiver);
  return writeU32(out, writeU32(out, ids, message.window), message.maxPacket);
}

/** Writes a message of five bytes at `at`. @returns the position after it */
export function writeShort(out: Uint8Array, at: number, type: Short['type'], channel: number): number {
  out[at] = type;
  return writeU32(out, at + 1, channel);
}

/** @returns the position after it */
export function writeAcknowledgment(out: Uint8Array, at: number, channel: number, freeSpace: number): number {
  out[at] = MessageType.Acknowledgment;
  return writeU32(out, writeU32(out, at + 1, channel), freeSpace);
}

/** @returns the position after it, where the data belongs */
export function writeDataHeader(out: Uint8Array, at: number, channel: number, length: number): number {
  out[at] = MessageType.MTLSPlaintext;
  return writeU32(out, writeU32(out, at + 1, channel), length);
}

/** An unsigned number; a channel's id above 2^31 is one too. */
export function u32(bytes: Uint8Array, at: number): number {
  return u16(bytes, at) * 0x1_0000 + u16(bytes, at + 2);
}

function readControl(reader: Reader, type: number): Request | Echec {
  switch (type) {
    case MessageType.RequestEstablishmentChannel:
      return {
        type,
        sender: reader.u16(),
        window: reader.u32(),
        maxPacket: reader.u32(),
        source: readEndpoint(reader),
        destination: readEndpoint(reader),
      };
    case MessageType.RequestEchecChannel:
      return { type, sender: reader.u16(), error: decodeText(reader.vector(2)) };
    default:
      throw new DecodeError(`mtls message of type ${type}, which does not exist`);
  }
}

function checkLength(length: number, expected: number): void {
  if (length !== expected) {
    throw new DecodeError(`mtls message: ${length} bytes where its type has ${expected}`);
  }
}

function readEndpoint(reader: Reader): Endpoint {
  const address = reader.vector(1, 1, ADDRESS_MAX);
  return { address: latin1Text(address), port: reader.u16() };
}

function addressLength({ address }: Endpoint): number {
  if (address.length === 0 || address.length > ADDRESS_MAX) {
    throw new TlsError('ERR_TLS_INTERNAL', `An address of ${address.length} bytes; 1 to 255 can be written`);
  }
  return address.length;
}

function writeEndpoint(out: Uint8Array, at: number, { address, port }: Endpoint): number {
  const { length } = address;
  out[at] = length;
  for (let i = 0; i < length; i++) out[at + 1 + i] = address.charCodeAt(i);
  return writeU16(out, at + 1 + length, port);
}

function encodeText(text: string): Uint8Array {
  return new TextEncoder().encode(text.slice(0, ERROR_TEXT_MAX));
}

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new DecodeError('RequestEchecChannel: the error is not UTF-8', { cause });
  }
}

function writeU32(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
  return at + 4;
}

function writeU16(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 8;
  out[at + 1] = value;
  return at + 2;
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}
