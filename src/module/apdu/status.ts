import { ModuleError } from '../../errors/module.ts';

/** Status words that have no number inside (ISO 7816-4 §5.1.3). */
export const Status = {
  success: 0x9000,
  wrongLength: 0x6700,
  notPermitted: 0x6982,
  pinBlocked: 0x6983,
  wrongState: 0x6985,
  malformed: 0x6a80,
  fileNotFound: 0x6a82,
  notFound: 0x6a83,
  noRoom: 0x6a84,
  wrongParameters: 0x6a86,
  unknownInstruction: 0x6d00,
  unknownClass: 0x6e00,
  internal: 0x6f00,
} as const;

/** What a status word says. */
export type StatusWord =
  | { readonly kind: 'success' }
  /** So many bytes more can be fetched, 1 to 256; at 256 there may be more than that. */
  | { readonly kind: 'more'; readonly available: number }
  /** The PIN was wrong. */
  | { readonly kind: 'pinWrong'; readonly triesLeft: number }
  | { readonly kind: Exclude<keyof typeof Status, 'success'> }
  | { readonly kind: 'other'; readonly value: number };

const KIND = new Map<number, keyof typeof Status>(
  Object.entries(Status).map(([name, value]) => [value, name as keyof typeof Status]),
);

export function parseStatus(value: number): StatusWord {
  const kind = KIND.get(value);
  if (kind !== undefined) return { kind };
  const low = value & 0xff;
  if (value >> 8 === 0x61 || value >> 8 === 0x9f) return { kind: 'more', available: low || 256 };
  if (value >> 4 === 0x63c) return { kind: 'pinWrong', triesLeft: value & 0xf };
  return { kind: 'other', value };
}

/** 61 xx in ISO's classes, 9F xx in class A0, for so many bytes. */
export function moreStatus(cla: number, bytes: number): number {
  return ((cla & 0xf0) === 0xa0 ? 0x9f00 : 0x6100) | (bytes >= 256 ? 0 : bytes);
}

export function pinWrongStatus(triesLeft: number): number {
  return 0x63c0 | triesLeft;
}

/** The error for a status word that says no. @param doing what was asked for, for people */
export function statusError(status: number, doing: string): ModuleError {
  const word = parseStatus(status);
  const said = `The module refused ${doing} (${status.toString(16).toUpperCase().padStart(4, '0')})`;
  switch (word.kind) {
    case 'pinWrong':
      return new ModuleError(
        'ERR_MODULE_PIN_WRONG',
        word.triesLeft === 0
          ? 'The PIN is wrong, and blocked from now on; unblock it with the operator PIN'
          : `The PIN is wrong; ${word.triesLeft} ${word.triesLeft === 1 ? 'try is' : 'tries are'} left`,
        { status, triesLeft: word.triesLeft },
      );
    case 'pinBlocked':
      return new ModuleError(
        'ERR_MODULE_PIN_BLOCKED',
        'The PIN is blocked after too many wrong tries; unblock it with the operator PIN',
        { status },
      );
    case 'notPermitted':
      return new ModuleError(
        'ERR_MODULE_NOT_PERMITTED',
        `${said}: verify the PIN first, or let the identity's policy permit it`,
        { status },
      );
    case 'fileNotFound':
    case 'notFound':
      return new ModuleError('ERR_MODULE_NOT_FOUND', `${said}: it has nothing of that name`, { status });
    case 'noRoom':
      return new ModuleError(
        'ERR_MODULE_NO_ROOM',
        `${said}: it has no room; end a session, or start it with more of them`,
        { status },
      );
    case 'unknownInstruction':
    case 'unknownClass':
      return new ModuleError('ERR_MODULE_UNSUPPORTED', `${said}: it does not know this command`, { status });
    default:
      return new ModuleError('ERR_MODULE_STATUS', said, { status });
  }
}
