import { DecodeError, TlsError } from '../errors/errors.ts';
import type { ContentFormat } from '../formats/format.ts';
import { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';
import { MAX_REQUESTS } from './limits.ts';

/** `origin`: the sender signs its data. `delivery`: data travels unsigned, and its receiver signs receipts. */
export type SignType = 'origin' | 'delivery';

/** The draft writes its numbers in two ways, and an answer keeps to the one that it answers. */
export type Spelling =
  /** `enum { pkcs7(0), smime(1), xmldsig(2) }`: one byte for each of format and method. */
  | 'enum'
  /** 00 A1, 00 A2, 00 A3 and 00 B1. */
  | 'two-byte';

export interface SignatureRequest {
  readonly spelling: Spelling;
  /** `undefined`: a format that is not known here. */
  readonly format: ContentFormat | undefined;
  /** `other`: by a certificate behind a URL, or not known here. Neither is ever agreed to. */
  readonly method: 'certificate' | 'other';
  /** Those that are known here, best first. */
  readonly types: readonly SignType[];
}

/**
 * ```
 * enum { pkcs7(0), smime(1), xmldsig(2), (255) } ContentFormat;
 * enum { ssl_client_auth_cert(0), ssl_client_auth_cert_url(1), (255) } SignMethod;
 * uint8 SignType[2];
 * struct { ContentFormat content_format; SignMethod sign_meth; SignType sign_type<2..2^16-1>; } SignatureRequest;
 * ```
 * One or more of them, to the end of the extension. No format of the one-byte spelling has a method of 0xA0 or above,
 * which is what tells the two-byte spelling.
 *
 * @throws DecodeError for bytes that are not this; TlsError ERR_TLS_ILLEGAL_PARAMETER for more than 64 requests
 */
export function decodeSignatureRequests(body: Uint8Array): SignatureRequest[] {
  const reader = new Reader(body, 'signature');
  const requests: SignatureRequest[] = [];
  do {
    requests.push(readRequest(reader));
    if (requests.length > MAX_REQUESTS)
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `signature asks for more than ${MAX_REQUESTS} things`);
  } while (reader.remaining > 0);
  return requests;
}

/** @throws TlsError ERR_TLS_INTERNAL for what is not known here: it has no number */
export function encodeSignatureRequests(requests: readonly SignatureRequest[]): Uint8Array {
  const writer = new Writer();
  for (const { spelling, format, method, types } of requests) {
    if (format === undefined || method === 'other')
      throw new TlsError('ERR_TLS_INTERNAL', 'A signature format or method without a number');
    const number = FORMATS.indexOf(format);
    if (spelling === 'enum') writer.u8(number).u8(0);
    else writer.u16(FIRST_FORMAT + number).u16(CERTIFICATE_METHOD);
    writer.vector(2, (list) => {
      for (const type of types) list.u8(0).u8(TYPES.indexOf(type) + 1);
    });
  }
  return writer.finish();
}

/** By their numbers. */
const FORMATS: readonly ContentFormat[] = ['pkcs7', 'smime', 'xmldsig'];
const TYPES: readonly SignType[] = ['origin', 'delivery'];
const FIRST_FORMAT = 0xa1;
const CERTIFICATE_METHOD = 0xb1;
const FIRST_OF_TWO_BYTES = 0xa0;

function readRequest(reader: Reader): SignatureRequest {
  const first = reader.u8();
  const second = reader.u8();
  const spelling = first === 0 && second >= FIRST_OF_TWO_BYTES ? 'two-byte' : 'enum';
  const [number, isCertificate] =
    spelling === 'enum'
      ? [first, second === 0]
      : [second - FIRST_FORMAT, reader.u16() === CERTIFICATE_METHOD];
  const list = new Reader(reader.vector(2, 2), 'sign_type');
  if (list.remaining % 2 !== 0) throw new DecodeError('sign_type: half a type at its end');
  const types: SignType[] = [];
  while (list.remaining > 0) {
    const type = TYPES[list.u16() - 1];
    if (type !== undefined && !types.includes(type)) types.push(type);
  }
  return { spelling, format: FORMATS[number], method: isCertificate ? 'certificate' : 'other', types };
}
