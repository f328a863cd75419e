import { DecodeError } from '../errors/errors.ts';

/** How long text in lines is cut: `width` characters, a multiple of 4, each line ended by `end`. */
export interface Base64Lines {
  readonly width: number;
  readonly end: '\n' | '\r\n';
}

/** RFC 4648 §4, with padding; ASCII. In one line without end, or in lines that all have one. */
export function encodeBase64(bytes: Uint8Array, lines?: Base64Lines): Uint8Array {
  const length = Math.ceil(bytes.length / 3) * 4;
  const width = lines?.width ?? length;
  const ends = lines === undefined ? 0 : Math.ceil(length / width) * lines.end.length;
  const out = new Uint8Array(length + ends);
  let at = 0;
  let column = 0;
  for (let i = 0; i < bytes.length; i += 3) {
    const group = ((bytes[i] as number) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    out[at++] = DIGITS[group >> 18] as number;
    out[at++] = DIGITS[(group >> 12) & 0x3f] as number;
    out[at++] = i + 1 < bytes.length ? (DIGITS[(group >> 6) & 0x3f] as number) : PADDING;
    out[at++] = i + 2 < bytes.length ? (DIGITS[group & 0x3f] as number) : PADDING;
    column += 4;
    if (lines === undefined || (column < width && i + 3 < bytes.length)) continue;
    if (lines.end === '\r\n') out[at++] = CR;
    out[at++] = LF;
    column = 0;
  }
  return out;
}

/**
 * RFC 4648 §4, with padding, nothing in between and zero bits at the end (§3.5): there is one text for any bytes.
 * @param text ASCII, without line ends
 * @param what for error messages
 */
export function decodeBase64(text: Uint8Array, what: string): Uint8Array {
  if (text.length % 4 !== 0) throw wrongLength(text, what);
  const padding = text[text.length - 1] !== PADDING ? 0 : text[text.length - 2] === PADDING ? 2 : 1;
  const out = new Uint8Array((text.length / 4) * 3 - padding);
  const whole = padding === 0 ? text.length : text.length - 4;
  let at = 0;
  for (let i = 0; i < whole; i += 4) {
    const group =
      ((VALUES[text[i] as number] as number) << 18) |
      ((VALUES[text[i + 1] as number] as number) << 12) |
      ((VALUES[text[i + 2] as number] as number) << 6) |
      (VALUES[text[i + 3] as number] as number);
    // Any of the four being no digit (-1) sets the sign.
    if (group < 0) throw notBase64(text, i, what);
    out[at++] = group >> 16;
    out[at++] = group >> 8;
    out[at++] = group;
  }
  if (padding === 0) return out;
  const a = VALUES[text[whole] as number] as number;
  const b = VALUES[text[whole + 1] as number] as number;
  const c = padding === 2 ? 0 : (VALUES[text[whole + 2] as number] as number);
  if ((a | b | c) < 0) throw notBase64(text, whole, what);
  if ((padding === 2 ? b & 0xf : c & 0x3) !== 0)
    throw new DecodeError(`${what} is not base64: bits after its end`);
  out[at++] = (a << 2) | (b >> 4);
  if (padding === 1) out[at] = (b << 4) | (c >> 2);
  return out;
}

const LF = 0x0a;
const CR = 0x0d;
const PADDING = 0x3d;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const DIGITS = Uint8Array.from(ALPHABET, (digit) => digit.charCodeAt(0));
const VALUES = new Int8Array(256).fill(-1);
for (const [value, digit] of DIGITS.entries()) VALUES[digit] = value;

function wrongLength(text: Uint8Array, what: string): DecodeError {
  const at = text.findIndex((byte) => (VALUES[byte] as number) < 0 && byte !== PADDING);
  return at < 0
    ? new DecodeError(`${what} is not base64: its length is not a multiple of 4`)
    : notBase64(text, at, what);
}

function notBase64(text: Uint8Array, from: number, what: string): DecodeError {
  const at = from + text.subarray(from).findIndex((byte) => (VALUES[byte] as number) < 0);
  // Whole, where it is a character of UTF-8.
  const [bad] = new TextDecoder().decode(text.subarray(at, at + 4));
  return new DecodeError(`${what} is not base64: it contains '${bad}'`);
}
