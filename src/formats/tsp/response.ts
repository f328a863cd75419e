import { DerReader } from '../../der/reader.ts';
import { Tag } from '../../der/tags.ts';
import { DecodeError } from '../../errors/errors.ts';

/** A token with some certificates has about 5 KiB; the bound is for answers that are no tokens. */
export const MAX_RESPONSE_BYTES = 256 * 1024;
const MAX_STATUS_TEXTS = 16;

/** `TimeStampResp` of RFC 3161 §2.4.2. Proves nothing yet. */
export interface TimeStampResponse {
  /** TimeStampToken, DER; undefined when the time authority refused. */
  readonly token: Uint8Array | undefined;
  /** PKIStatus: 0 granted, 1 grantedWithMods, 2 rejection, 3 waiting, 4 and 5 revocation. */
  readonly status: number;
  /** What the time authority says, for people. */
  readonly text: string;
  /** Names of the bits of PKIFailureInfo. */
  readonly failures: readonly string[];
}

/**
 * SEQUENCE { PKIStatusInfo SEQUENCE { status INTEGER, statusString SEQUENCE OF UTF8String OPTIONAL, failInfo BIT STRING
 * OPTIONAL }, timeStampToken ContentInfo OPTIONAL }
 *
 * @throws DecodeError
 */
export function readTimeStampResponse(bytes: Uint8Array): TimeStampResponse {
  if (bytes.length > MAX_RESPONSE_BYTES) {
    throw new DecodeError(
      `time-stamp response: ${bytes.length} bytes, at most ${MAX_RESPONSE_BYTES} are read`,
    );
  }
  const outer = new DerReader(new Uint8Array(bytes), 'time-stamp response');
  const response = outer.sequence();
  outer.end();
  const info = response.sequence();
  const status = info.smallInteger(255);
  const texts = info.is(Tag.sequence)
    ? info.list(Tag.sequence, (reader) => reader.text(), 0, MAX_STATUS_TEXTS)
    : [];
  const bits = info.is(Tag.bitString) ? info.namedBits() : 0;
  info.end();
  const token = response.remaining > 0 ? response.encoded(Tag.sequence) : undefined;
  response.end();
  // RFC 3161 §2.4.2: with status 0 or 1 a token MUST be there, with any other it MUST NOT.
  if (token === undefined ? status <= 1 : status > 1) {
    throw new DecodeError(
      `time-stamp response: status ${status} ${token === undefined ? 'without' : 'with'} token`,
    );
  }
  const failures = FAILURES.filter(([bit]) => (bits & (1 << bit)) !== 0).map(([, name]) => name);
  return { token, status, text: texts.join(' '), failures };
}

/** PKIFailureInfo, RFC 3161 §2.4.2. */
const FAILURES: readonly (readonly [bit: number, name: string])[] = [
  [0, 'badAlg'],
  [2, 'badRequest'],
  [5, 'badDataFormat'],
  [14, 'timeNotAvailable'],
  [15, 'unacceptedPolicy'],
  [16, 'unacceptedExtension'],
  [17, 'addInfoNotAvailable'],
  [25, 'systemFailure'],
];
