import { DecodeError, TlsError } from '../errors/errors.ts';

/** First year that RFC 5280 §4.1.2.5 writes as GeneralizedTime; UTCTime covers 1950 to 2049. */
export const FIRST_GENERALIZED_YEAR = 2050;

const DAY = 86_400_000;

/** YYMMDDHHMMSSZ (RFC 5280 §4.1.2.5.1: seconds are there, no offset). Unix milliseconds. */
export function parseUtcTime(content: Uint8Array): number {
  if (content.length !== 13 || content[12] !== 0x5a)
    throw new DecodeError('UTCTime that is not YYMMDDHHMMSSZ');
  const yy = twoDigits(content, 0);
  return fromFields(content, yy >= 50 ? 1900 + yy : 2000 + yy, 2);
}

/**
 * YYYYMMDDHHMMSSZ (RFC 5280 §4.1.2.5.2); with `fractions`, also YYYYMMDDHHMMSS.f…Z without trailing zeros
 * (RFC 3161 §2.4.2, X.690 §11.7), cut to milliseconds. Unix milliseconds.
 */
export function parseGeneralizedTime(content: Uint8Array, fractions = false): number {
  const last = content.length - 1;
  if (last < 14 || content[last] !== 0x5a)
    throw new DecodeError('GeneralizedTime that is not YYYYMMDDHHMMSSZ');
  const time = fromFields(content, twoDigits(content, 0) * 100 + twoDigits(content, 2), 4);
  if (last === 14) return time;
  const isFraction = fractions && content[14] === 0x2e && last > 15 && content[last - 1] !== 0x30;
  if (!isFraction) throw new DecodeError('GeneralizedTime that is not YYYYMMDDHHMMSSZ');
  let milliseconds = 0;
  for (let i = 15; i < last; i++) {
    const digit = digitAt(content, i);
    if (i < 18) milliseconds += digit * 10 ** (17 - i);
  }
  return time + milliseconds;
}

/** @returns YYMMDDHHMMSSZ; the year is 1950 to 2049 */
export function formatUtcTime(time: number): string {
  const text = formatGeneralizedTime(time);
  const year = Number(text.slice(0, 4));
  if (year < 1950 || year >= FIRST_GENERALIZED_YEAR)
    throw new TlsError('ERR_TLS_INTERNAL', `UTCTime cannot hold the year ${year}`);
  return text.slice(2);
}

/** @returns YYYYMMDDHHMMSSZ, cut to seconds */
export function formatGeneralizedTime(time: number): string {
  const iso = new Date(time).toISOString();
  if (iso.length !== 24) throw new TlsError('ERR_TLS_INTERNAL', `GeneralizedTime cannot hold ${iso}`);
  return `${iso.slice(0, 19).replace(/[-:T]/g, '')}Z`;
}

function fromFields(content: Uint8Array, year: number, at: number): number {
  const month = twoDigits(content, at);
  const day = twoDigits(content, at + 2);
  const hour = twoDigits(content, at + 4);
  const minute = twoDigits(content, at + 6);
  const second = twoDigits(content, at + 8);
  if (
    month < 1 ||
    month > 12 ||
    day < 1 ||
    day > daysIn(year, month) ||
    hour > 23 ||
    minute > 59 ||
    second > 59
  ) {
    throw new DecodeError('Time that does not exist');
  }
  return dayNumber(year, month, day) * DAY + ((hour * 60 + minute) * 60 + second) * 1000;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** Days since 1970-01-01, proleptic Gregorian; the year begins in March so that the leap day is its last. */
function dayNumber(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  return 365 * y + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + dayOfYear - 719_468;
}

function twoDigits(content: Uint8Array, at: number): number {
  return digitAt(content, at) * 10 + digitAt(content, at + 1);
}

function digitAt(content: Uint8Array, at: number): number {
  const digit = (content[at] as number) - 0x30;
  if (!(digit >= 0 && digit <= 9)) throw new DecodeError('Time with something that is no digit');
  return digit;
}
