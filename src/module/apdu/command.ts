import { DecodeError, TlsError } from '../../errors/errors.ts';
import { secretBytes } from '../../wire/secret.ts';
import { concat } from '../../wire/writer.ts';

/** ISO 7816-4 §5.1: Lc of a short APDU is one byte, of an extended one two; so is Le, where zero means the most. */
export const MAX_SHORT_DATA = 255;
export const MAX_SHORT_RESPONSE = 256;
export const MAX_EXTENDED_DATA = 65_535;
export const MAX_EXTENDED_RESPONSE = 65_536;

/** Bit of CLA: further commands of this chain follow (ISO 7816-4 §5.1.1.1). */
export const CLA_CHAINING = 0x10;

/** A command APDU. */
export interface Command {
  readonly cla: number;
  readonly ins: number;
  readonly p1: number;
  readonly p2: number;
  readonly data: Uint8Array;
  /** Bytes that the answer may have at most: 1 to 65,536; 0 when no answer is awaited. */
  readonly le: number;
}

export type CommandForm = 'short' | 'extended';

/**
 * ```
 * CLA INS P1 P2                               case 1
 * CLA INS P1 P2 Le                            case 2
 * CLA INS P1 P2 Lc data                       case 3
 * CLA INS P1 P2 Lc data Le                    case 4
 * CLA INS P1 P2 00 [Lc Lc data] [Le Le]       the same, extended
 * ```
 *
 * The seed writes Reset-State with an Lc of zero before its Le; that is read as case 2.
 * The data is a view on `bytes`.
 *
 * @throws DecodeError
 */
export function parseCommand(bytes: Uint8Array): Command {
  if (bytes.length < 4) throw new DecodeError(`APDU: ${bytes.length} bytes, a header has 4`);
  const [cla, ins, p1, p2] = bytes as unknown as [number, number, number, number];
  const body = bytes.subarray(4);
  return { cla, ins, p1, p2, ...parseBody(body) };
}

function parseBody(body: Uint8Array): { data: Uint8Array; le: number } {
  const [first, second, third] = body;
  if (first === undefined) return { data: NOTHING, le: 0 };
  if (second === undefined) return { data: NOTHING, le: shortLe(first) };
  if (first !== 0) return withData(body, 1, first, 1);
  if (third === undefined) return { data: NOTHING, le: shortLe(second) };
  const length = (second << 8) | third;
  if (body.length === 3) return { data: NOTHING, le: length || MAX_EXTENDED_RESPONSE };
  if (length === 0) throw new DecodeError('APDU: an extended Lc of zero');
  return withData(body, 3, length, 2);
}

/** @param leLength bytes of an Le in this form */
function withData(body: Uint8Array, at: number, length: number, leLength: 1 | 2) {
  const end = at + length;
  const rest = body.length - end;
  if (rest !== 0 && rest !== leLength) {
    throw new DecodeError(`APDU: Lc ${length}, but ${body.length - at} bytes follow it`);
  }
  const data = body.subarray(at, end);
  if (rest === 0) return { data, le: 0 };
  const last = body[end] as number;
  if (leLength === 1) return { data, le: shortLe(last) };
  return { data, le: (last << 8) | (body[end + 1] as number) || MAX_EXTENDED_RESPONSE };
}

function shortLe(value: number): number {
  return value || MAX_SHORT_RESPONSE;
}

/**
 * @returns memory that can be wiped (`secretBytes`): a PIN may be in it
 * @throws TlsError ERR_TLS_INTERNAL for what the form has no room for
 */
export function encodeCommand({ cla, ins, p1, p2, data, le }: Command, form: CommandForm): Uint8Array {
  const [maxData, maxResponse] =
    form === 'short' ? [MAX_SHORT_DATA, MAX_SHORT_RESPONSE] : [MAX_EXTENDED_DATA, MAX_EXTENDED_RESPONSE];
  if (data.length > maxData || le > maxResponse || le < 0) {
    throw new TlsError('ERR_TLS_INTERNAL', `${data.length} bytes and Le ${le} do not fit a ${form} APDU`);
  }
  const isShort = form === 'short';
  const number = (value: number): number[] =>
    isShort ? [value & 0xff] : [(value >> 8) & 0xff, value & 0xff];
  const head = [cla, ins, p1, p2];
  if (!isShort && (data.length > 0 || le > 0)) head.push(0);
  if (data.length > 0) head.push(...number(data.length));
  const tail = le > 0 ? number(le) : [];
  const bytes = secretBytes(head.length + data.length + tail.length);
  bytes.set(head);
  bytes.set(data, head.length);
  bytes.set(tail, head.length + data.length);
  return bytes;
}

/** An answer: data, and the status word SW1 SW2. */
export interface Response {
  readonly data: Uint8Array;
  readonly status: number;
}

/** The data is a view. @throws DecodeError */
export function parseResponse(bytes: Uint8Array): Response {
  const end = bytes.length - 2;
  if (end < 0 || end > MAX_EXTENDED_RESPONSE) {
    throw new DecodeError(`APDU: an answer of ${bytes.length} bytes; it ends with 2 of status`);
  }
  return {
    data: bytes.subarray(0, end),
    status: ((bytes[end] as number) << 8) | (bytes[end + 1] as number),
  };
}

export function encodeResponse({ data, status }: Response): Uint8Array {
  return concat([data, Uint8Array.of(status >> 8, status & 0xff)]);
}

const NOTHING = new Uint8Array(0);
