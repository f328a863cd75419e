import { ModuleError, type ModuleErrorCode } from '../../errors/module.ts';

/** Numbers of PKCS #11 (pkcs11t.h, v2.40) that are used here. */

export const Flag = {
  osLocking: 0x2,
  serialSession: 0x4,
  loginRequired: 0x4,
  protectedPath: 0x100,
  tokenInitialized: 0x400,
  pinLocked: 0x40000,
  sign: 0x800,
} as const;

export const USER = 1n;

export const ObjectClass = { certificate: 1, privateKey: 3 } as const;

export const Attribute = {
  class: 0x0,
  label: 0x3,
  value: 0x11,
  certificateType: 0x80,
  keyType: 0x100,
  id: 0x102,
  alwaysAuthenticate: 0x202,
} as const;

export const Mechanism = {
  rsaPkcs: 0x1,
  rsaPss: 0xd,
  ecdsa: 0x1041,
  eddsa: 0x1057,
  sha256: 0x250,
  sha384: 0x260,
  sha512: 0x270,
} as const;

/** CKG_MGF1_… of the hash. */
export const Mgf = { sha256: 2, sha384: 3, sha512: 4 } as const;

export const Rv = {
  ok: 0x0,
  cantLock: 0xa,
  attributeSensitive: 0x11,
  attributeInvalid: 0x12,
  userAlreadyLoggedIn: 0x100,
  sessionCount: 0xb1,
  alreadyInitialized: 0x191,
} as const;

interface Meaning {
  readonly name: string;
  readonly code: ModuleErrorCode;
  /** Sessions and handles are worth nothing any more. */
  readonly stale?: true;
  readonly advice?: string;
}

const gone = (name: string, code: ModuleErrorCode): Meaning => ({ name, code, stale: true });
const pin = (name: string, code: ModuleErrorCode, advice: string): Meaning => ({ name, code, advice });

const MEANINGS: ReadonlyMap<number, Meaning> = new Map<number, Meaning>([
  [0x05, { name: 'CKR_GENERAL_ERROR', code: 'ERR_MODULE_STATUS', stale: true }],
  [0x06, { name: 'CKR_FUNCTION_FAILED', code: 'ERR_MODULE_STATUS', stale: true }],
  [0x30, gone('CKR_DEVICE_ERROR', 'ERR_MODULE_GONE')],
  [0x31, { name: 'CKR_DEVICE_MEMORY', code: 'ERR_MODULE_NO_ROOM' }],
  [0x32, gone('CKR_DEVICE_REMOVED', 'ERR_MODULE_REMOVED')],
  [0x60, gone('CKR_KEY_HANDLE_INVALID', 'ERR_MODULE_RESET')],
  [0x63, { name: 'CKR_KEY_TYPE_INCONSISTENT', code: 'ERR_MODULE_UNSUPPORTED' }],
  [0x68, { name: 'CKR_KEY_FUNCTION_NOT_PERMITTED', code: 'ERR_MODULE_NOT_PERMITTED' }],
  [0x70, { name: 'CKR_MECHANISM_INVALID', code: 'ERR_MODULE_UNSUPPORTED' }],
  [0x71, { name: 'CKR_MECHANISM_PARAM_INVALID', code: 'ERR_MODULE_UNSUPPORTED' }],
  [0x82, gone('CKR_OBJECT_HANDLE_INVALID', 'ERR_MODULE_RESET')],
  [0xa0, pin('CKR_PIN_INCORRECT', 'ERR_MODULE_PIN_WRONG', 'the PIN is wrong, and is not tried again')],
  [0xa1, pin('CKR_PIN_INVALID', 'ERR_MODULE_PIN_WRONG', 'the token takes no such PIN')],
  [0xa2, pin('CKR_PIN_LEN_RANGE', 'ERR_MODULE_PIN_WRONG', 'no PIN of this token has this length')],
  [0xa3, pin('CKR_PIN_EXPIRED', 'ERR_MODULE_NOT_PERMITTED', 'the PIN has to be changed first')],
  [
    0xa4,
    pin('CKR_PIN_LOCKED', 'ERR_MODULE_PIN_BLOCKED', 'the PIN is blocked; the token has to be unblocked'),
  ],
  [0xb0, gone('CKR_SESSION_CLOSED', 'ERR_MODULE_RESET')],
  [0xb1, { name: 'CKR_SESSION_COUNT', code: 'ERR_MODULE_NO_ROOM' }],
  [0xb3, gone('CKR_SESSION_HANDLE_INVALID', 'ERR_MODULE_RESET')],
  [0xe0, gone('CKR_TOKEN_NOT_PRESENT', 'ERR_MODULE_REMOVED')],
  [0xe1, gone('CKR_TOKEN_NOT_RECOGNIZED', 'ERR_MODULE_REMOVED')],
  [0x101, gone('CKR_USER_NOT_LOGGED_IN', 'ERR_MODULE_RESET')],
  [0x102, pin('CKR_USER_PIN_NOT_INITIALIZED', 'ERR_MODULE_NOT_PERMITTED', 'the token has no user PIN yet')],
  [0x190, gone('CKR_CRYPTOKI_NOT_INITIALIZED', 'ERR_MODULE_RESET')],
]);

/** @param doing what was asked for: `C_Sign` */
export function errorOf(rv: number, doing: string): ModuleError {
  const meaning = MEANINGS.get(rv);
  const { name, code, advice } = meaning ?? {
    name: `0x${rv.toString(16)}`,
    code: 'ERR_MODULE_STATUS' as const,
    advice: undefined,
  };
  const text = advice === undefined ? '' : `: ${advice}`;
  return new ModuleError(code, `The PKCS #11 token answered ${doing} with ${name}${text}`, { status: rv });
}

/** What was opened at the token is gone: it has to be found, and logged in to, anew. */
export function isStale(error: unknown): boolean {
  return error instanceof ModuleError && MEANINGS.get(error.status ?? -1)?.stale === true;
}
