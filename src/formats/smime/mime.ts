import { decodeBase64, encodeBase64 } from '../../der/base64.ts';
import { equalBytes } from '../../der/bytes.ts';
import { Tag } from '../../der/tags.ts';
import { decodeText, encodeAscii } from '../../der/text.ts';
import { DecodeError, SignatureError } from '../../errors/errors.ts';
import { concat } from '../../wire/writer.ts';
import { MAX_ENVELOPE_BYTES } from '../cms/read.ts';
import { MAX_WHOLE_OBJECT_BYTES } from '../format.ts';

/*
 * The little of MIME that S/MIME needs (RFC 8551 §3.5): one part, base64, a few header fields. Lines end in CRLF
 * (RFC 2045 §2.1) and are not touched otherwise: the object is its bytes.
 */

/** RFC 8551 §3.2.2. */
export type SmimeType = 'signed-data' | 'signed-receipt';

/** Mail that passes many servers collects more, but then it is not the object any more. */
const MAX_HEADER_BYTES = 4096;
/** RFC 2045 §6.8. */
const LINE = { width: 76, end: '\r\n' } as const;

/** What is sure to fit: 57 bytes take a line of 78, and the headers and the rest of the SignedData their most. */
export const MAX_CONTENT_BYTES =
  Math.floor((MAX_WHOLE_OBJECT_BYTES - MAX_HEADER_BYTES) / 78) * 57 - MAX_ENVELOPE_BYTES - 1024;

export function encodeSmime(signedData: Uint8Array, type: SmimeType): Uint8Array {
  return concat([HEADER[type], encodeBase64(signedData, LINE)]);
}

/**
 * @param lenient for objects that other software made: lines that end in LF alone, x-pkcs7-mime, empty lines at the end
 * @throws DecodeError; SignatureError ERR_SIGN_TOO_LARGE
 */
export function decodeSmime(
  object: Uint8Array,
  lenient: boolean,
): { type: SmimeType; signedData: Uint8Array } {
  checkSize(object.length);
  const end = lenient && isLf(object) ? LF_LF : CRLF_CRLF;
  const at = find(object.subarray(0, MAX_HEADER_BYTES), end);
  if (at < 0) throw new DecodeError(`S/MIME: no end of the header within ${MAX_HEADER_BYTES} bytes`);
  const lineEnd = end.subarray(0, end.length / 2);
  const fields = readFields(object.subarray(0, at), lineEnd);
  const type = readType(fields, lenient);
  return {
    type,
    signedData: decodeBase64(joinLines(object.subarray(at + end.length), lineEnd, lenient), 'S/MIME'),
  };
}

/** Before the work is done; certificates and attributes are counted at their most. @throws SignatureError ERR_SIGN_TOO_LARGE */
export function checkContentSize(bytes: number): void {
  if (bytes <= MAX_CONTENT_BYTES) return;
  throw new SignatureError(
    'ERR_SIGN_TOO_LARGE',
    `${bytes} bytes of content, at most ${MAX_CONTENT_BYTES} fit an S/MIME object; use pkcs7, which can be streamed`,
  );
}

function checkSize(bytes: number): void {
  if (bytes <= MAX_WHOLE_OBJECT_BYTES) return;
  throw new SignatureError(
    'ERR_SIGN_TOO_LARGE',
    `An S/MIME object of ${bytes} bytes, at most ${MAX_WHOLE_OBJECT_BYTES} are possible; use pkcs7, which can be streamed`,
  );
}

/**
 * What is signed is a MIME entity (RFC 8551 §3.1). Data is octet-stream in binary: of those, §3.1.1 has nothing
 * normalised, so that the bytes that are signed are the bytes that were said.
 */
export function encodeEntity(content: Uint8Array): Uint8Array {
  return concat([ENTITY_HEADER, content]);
}

/** The data in an entity of ours. @throws DecodeError */
export function decodeEntity(entity: Uint8Array): Uint8Array {
  if (!equalBytes(entity.subarray(0, ENTITY_HEADER.length), ENTITY_HEADER))
    throw new DecodeError('S/MIME: what is signed is not application/octet-stream in binary');
  return entity.subarray(ENTITY_HEADER.length);
}

const LF = 0x0a;
const CR = 0x0d;
const CRLF_CRLF = Uint8Array.of(CR, LF, CR, LF);
const LF_LF = Uint8Array.of(LF, LF);

const ENTITY_HEADER = encodeAscii(
  'Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n',
);

/** File names are those of RFC 8551 §3.2.1. */
const HEADER: Readonly<Record<SmimeType, Uint8Array>> = {
  'signed-data': header('signed-data'),
  'signed-receipt': header('signed-receipt'),
};

function header(type: SmimeType): Uint8Array {
  return encodeAscii(
    `${[
      'MIME-Version: 1.0',
      `Content-Type: application/pkcs7-mime; smime-type=${type}; name=smime.p7m`,
      'Content-Transfer-Encoding: base64',
      'Content-Disposition: attachment; filename=smime.p7m',
    ].join('\r\n')}\r\n\r\n`,
  );
}

function isLf(object: Uint8Array): boolean {
  const first = object.indexOf(LF);
  return first <= 0 || object[first - 1] !== CR;
}

function find(bytes: Uint8Array, what: Uint8Array): number {
  for (let at = 0; at + what.length <= bytes.length; at++)
    if (equalBytes(bytes.subarray(at, at + what.length), what)) return at;
  return -1;
}

/** Header fields by name in lower case, folded lines joined (RFC 5322 §2.2.3). */
function readFields(bytes: Uint8Array, lineEnd: Uint8Array): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  let last: string | undefined;
  for (const line of decodeText(Tag.ia5String, bytes).split(decodeText(Tag.ia5String, lineEnd))) {
    if (last !== undefined && /^[ \t]/.test(line)) {
      fields.set(last, `${fields.get(last)} ${line.trim()}`);
      continue;
    }
    const [, name, value] = FIELD.exec(line) ?? [];
    if (name === undefined || value === undefined)
      throw new DecodeError('S/MIME: a line that is no header field');
    last = name.toLowerCase();
    // Which of two is meant would depend on who reads it.
    if (fields.has(last)) throw new DecodeError(`S/MIME: two fields ${name}`);
    fields.set(last, value);
  }
  return fields;
}

/** RFC 5322 §2.2: printable but for the colon; no control characters in the value, CR and LF included. */
const FIELD = /^([!-9;-~]+):[ \t]*([ -~\t]*)$/;

function readType(fields: ReadonlyMap<string, string>, lenient: boolean): SmimeType {
  if (fields.get('mime-version')?.trim() !== '1.0') throw new DecodeError('S/MIME: not MIME-Version 1.0');
  if (fields.get('content-transfer-encoding')?.trim().toLowerCase() !== 'base64')
    throw new DecodeError('S/MIME: the Content-Transfer-Encoding is not base64');
  const { type, parameters } = readContentType(fields.get('content-type') ?? '');
  if (type !== 'application/pkcs7-mime' && !(lenient && type === 'application/x-pkcs7-mime')) {
    const advice = type === 'multipart/signed' ? ': detached signatures are not read here' : '';
    throw new DecodeError(`S/MIME: the Content-Type is not application/pkcs7-mime${advice}`);
  }
  const smimeType = parameters.get('smime-type')?.toLowerCase();
  if (smimeType !== 'signed-data' && smimeType !== 'signed-receipt')
    throw new DecodeError('S/MIME: the smime-type is neither signed-data nor signed-receipt');
  return smimeType;
}

/** RFC 2045 §5.1, without comments. */
function readContentType(value: string): { type: string; parameters: ReadonlyMap<string, string> } {
  const type = /^[a-z0-9.+-]+\/[a-z0-9.+-]+/i.exec(value)?.[0] ?? '';
  const parameters = new Map<string, string>();
  PARAMETER.lastIndex = type.length;
  let at = type.length;
  for (let match = PARAMETER.exec(value); match !== null; match = PARAMETER.exec(value)) {
    const [, name = '', quoted, token = ''] = match;
    const key = name.toLowerCase();
    if (parameters.has(key)) throw new DecodeError(`S/MIME: two parameters ${key}`);
    parameters.set(key, quoted ?? token);
    at = PARAMETER.lastIndex;
  }
  if (at === 0 || value.slice(at).trim() !== '')
    throw new DecodeError('S/MIME: the Content-Type cannot be read');
  return { type: type.toLowerCase(), parameters };
}

/** No escapes in quoted strings: no value here needs one. */
const PARAMETER = /[ \t]*;[ \t]*([a-z0-9.*-]+)=(?:"([^"\\]*)"|([a-z0-9.+_-]+))/giy;

/** The body without its line ends, of which the last is there. */
function joinLines(body: Uint8Array, lineEnd: Uint8Array, lenient: boolean): Uint8Array {
  const out = new Uint8Array(body.length);
  let length = 0;
  let start = 0;
  while (start < body.length) {
    const lf = body.indexOf(LF, start);
    const end = lf - lineEnd.length + 1;
    if (lf < 0 || end < start || (lineEnd.length === 2 && body[end] !== CR))
      throw new DecodeError('S/MIME: a line without its end');
    const isEmpty = end === start;
    if (isEmpty && !lenient) throw new DecodeError('S/MIME: an empty line');
    if (!lenient && end - start > LINE.width)
      throw new DecodeError(`S/MIME: a line of ${end - start} characters`);
    out.set(body.subarray(start, end), length);
    length += end - start;
    start = lf + 1;
  }
  return out.subarray(0, length);
}
