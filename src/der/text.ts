import { DecodeError, TlsError } from '../errors/errors.ts';
import { Tag } from './tags.ts';

const TEXT_TAGS: ReadonlySet<number> = new Set([
  Tag.utf8String,
  Tag.numericString,
  Tag.printableString,
  Tag.teletexString,
  Tag.ia5String,
  Tag.visibleString,
  Tag.universalString,
  Tag.bmpString,
]);

export function isTextTag(tag: number): boolean {
  return TEXT_TAGS.has(tag);
}

/**
 * The content of a character string type as text. TeletexString is read as Latin-1, which is what those who
 * still write it mean. PrintableString may hold any ASCII: certificates in use have `@`, `*` and `_` in it.
 */
export function decodeText(tag: number, content: Uint8Array): string {
  switch (tag) {
    case Tag.teletexString:
      return latin1(content);
    case Tag.universalString:
      return wide(content, 4);
    case Tag.bmpString:
      return wide(content, 2);
    case Tag.utf8String:
      return isAscii(content) ? latin1(content) : utf8(content);
    default:
      if (!isAscii(content)) throw new DecodeError('A string that is limited to ASCII holds other bytes');
      return latin1(content);
  }
}

const ENCODER = new TextEncoder();

export function encodeUtf8(text: string): Uint8Array {
  return ENCODER.encode(text);
}

/** @throws TlsError ERR_TLS_INTERNAL when `text` is not ASCII */
export function encodeAscii(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) throw new TlsError('ERR_TLS_INTERNAL', `'${text}' is not ASCII`);
    bytes[i] = code;
  }
  return bytes;
}

function isAscii(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if ((bytes[i] as number) > 0x7f) return false;
  return true;
}

function latin1(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i] as number);
  return text;
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new DecodeError('A UTF8String is not UTF-8', { cause });
  }
}

/** UCS-2 or UCS-4, big-endian. */
function wide(bytes: Uint8Array, width: 2 | 4): string {
  if (bytes.length % width !== 0) throw new DecodeError('A string of wide characters ends inside one');
  let text = '';
  for (let i = 0; i < bytes.length; i += width) {
    let code = 0;
    for (let k = 0; k < width; k++) code = code * 0x100 + (bytes[i + k] as number);
    if (code > 0x10_ffff) throw new DecodeError('A string holds a number that is no character');
    text += String.fromCodePoint(code);
  }
  return text;
}
