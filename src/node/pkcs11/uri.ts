import { ConnectionError } from '../../errors/errors.ts';

/** Attributes of a PKCS #11 URI, RFC 7512 §2.3. What is absent may be anything. Text is as long as the token pads it. */
export interface Pkcs11Uri {
  /** CK_TOKEN_INFO */
  readonly token?: string;
  readonly manufacturer?: string;
  readonly model?: string;
  readonly serial?: string;
  /** CK_SLOT_INFO, and the slot's number. */
  readonly slotDescription?: string;
  readonly slotManufacturer?: string;
  readonly slotId?: bigint;
  /** CKA_LABEL, CKA_ID */
  readonly object?: string;
  readonly id?: Uint8Array;
  readonly type?: Pkcs11Type;
  /** CK_INFO of the module. */
  readonly libraryManufacturer?: string;
  readonly libraryDescription?: string;
  readonly libraryVersion?: { readonly major: number; readonly minor: number };
  /** A file with the PIN. */
  readonly pinFile?: string;
  readonly pinValue?: Uint8Array;
  /** The PKCS #11 module: a shared library. */
  readonly modulePath?: string;
}

export type Pkcs11Type = 'public' | 'private' | 'cert' | 'secret-key' | 'data';

/** A URI is given by a person; a PIN, two paths and a dozen names are some hundred bytes. */
export const MAX_URI_LENGTH = 4096;
export const PKCS11_SCHEME = 'pkcs11:';

/**
 * RFC 7512 §2.3: `pkcs11:` path attributes, separated by `;`, and after `?` query attributes, separated by `&`. An
 * attribute may be there once. Names that are not known are refused, since a key that was not meant might be found.
 * @throws ConnectionError ERR_TLS_OPTION; its message never has the PIN in it
 */
export function parsePkcs11Uri(uri: string): Pkcs11Uri {
  if (uri.slice(0, PKCS11_SCHEME.length).toLowerCase() !== PKCS11_SCHEME) {
    throw malformed('it does not begin with pkcs11:');
  }
  if (uri.length > MAX_URI_LENGTH) throw malformed(`it is longer than ${MAX_URI_LENGTH} characters`);
  const [path = '', ...queries] = splitOnce(uri.slice(PKCS11_SCHEME.length), '?');
  const found: Draft = {};
  readAttributes(path, ';', PATH_VALUE, PATH_ATTRIBUTES, found);
  for (const query of queries) readAttributes(query, '&', QUERY_VALUE, QUERY_ATTRIBUTES, found);
  // §2.4: a URI with both SHOULD be refused as invalid.
  if (found.pinFile !== undefined && found.pinValue !== undefined) {
    throw malformed('it has pin-source and pin-value; give one of them');
  }
  return found;
}

type Draft = { -readonly [K in keyof Pkcs11Uri]: Pkcs11Uri[K] };
type Read = (value: Uint8Array, draft: Draft) => void;

/** §2.3: pk11-pchar and pk11-qchar, without what is percent-encoded. */
const PATH_VALUE = /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*$/;
const QUERY_VALUE = /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=/?|]|%[0-9A-Fa-f]{2})*$/;

const PATH_ATTRIBUTES: Readonly<Record<string, Read>> = {
  token: (value, draft) => {
    draft.token = text('token', value);
  },
  manufacturer: (value, draft) => {
    draft.manufacturer = text('manufacturer', value);
  },
  model: (value, draft) => {
    draft.model = text('model', value);
  },
  serial: (value, draft) => {
    draft.serial = text('serial', value);
  },
  'slot-description': (value, draft) => {
    draft.slotDescription = text('slot-description', value);
  },
  'slot-manufacturer': (value, draft) => {
    draft.slotManufacturer = text('slot-manufacturer', value);
  },
  'slot-id': (value, draft) => {
    draft.slotId = slotNumber(text('slot-id', value));
  },
  object: (value, draft) => {
    draft.object = text('object', value);
  },
  id: (value, draft) => {
    draft.id = value;
  },
  type: (value, draft) => {
    draft.type = objectType(text('type', value));
  },
  'library-manufacturer': (value, draft) => {
    draft.libraryManufacturer = text('library-manufacturer', value);
  },
  'library-description': (value, draft) => {
    draft.libraryDescription = text('library-description', value);
  },
  'library-version': (value, draft) => {
    draft.libraryVersion = version(text('library-version', value));
  },
};

const QUERY_ATTRIBUTES: Readonly<Record<string, Read>> = {
  'pin-source': (value, draft) => {
    draft.pinFile = pinFile(text('pin-source', value));
  },
  'pin-value': (value, draft) => {
    draft.pinValue = value;
  },
  'module-path': (value, draft) => {
    draft.modulePath = text('module-path', value);
    if (draft.modulePath === '') throw malformed('its module-path is empty');
  },
  'module-name': () => {
    throw malformed('module-name leaves open which file is loaded; give module-path, the whole path of it');
  },
};

function readAttributes(
  part: string,
  separator: string,
  allowed: RegExp,
  attributes: Readonly<Record<string, Read>>,
  draft: Draft,
): void {
  if (part === '') return;
  const seen = new Set<string>();
  for (const attribute of part.split(separator)) {
    const [name = '', value] = splitOnce(attribute, '=');
    const read = Object.hasOwn(attributes, name) ? attributes[name] : undefined;
    if (value === undefined) throw malformed(`an attribute of it has no "=" and value`);
    if (read === undefined) throw malformed(`the attribute ${quoted(name)} is not known here`);
    if (seen.has(name)) throw malformed(`the attribute ${name} is there twice`);
    if (!allowed.test(value)) {
      throw malformed(`the value of ${name} has characters that must be written as % and two digits`);
    }
    seen.add(name);
    read(percentDecode(value), draft);
  }
}

function percentDecode(value: string): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < value.length; at++) {
    if (value[at] !== '%') bytes.push(value.charCodeAt(at));
    else {
      bytes.push(Number.parseInt(value.slice(at + 1, at + 3), 16));
      at += 2;
    }
  }
  return Uint8Array.from(bytes);
}

/** §2.3: text is UTF-8. */
function text(name: string, value: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value);
  } catch (cause) {
    throw malformed(`the value of ${name} is not UTF-8`, cause);
  }
}

/** CK_SLOT_ID is an unsigned long. */
function slotNumber(value: string): bigint {
  if (!/^\d{1,20}$/.test(value) || BigInt(value) >= 2n ** 64n) throw malformed('slot-id is not a number');
  return BigInt(value);
}

function objectType(value: string): Pkcs11Type {
  if (
    value === 'private' ||
    value === 'public' ||
    value === 'cert' ||
    value === 'secret-key' ||
    value === 'data'
  ) {
    return value;
  }
  throw malformed('type is none of private, public, cert, secret-key and data');
}

/** CK_VERSION has a byte for each part; the second is 0 where it is not given. */
function version(value: string): { major: number; minor: number } {
  const [, major = '', minor = '0'] = /^(\d{1,3})(?:\.(\d{1,3}))?$/.exec(value) ?? [];
  const parts = { major: Number(major), minor: Number(minor) };
  if (major === '' || parts.major > 255 || parts.minor > 255) {
    throw malformed('library-version is no version such as 2.1');
  }
  return parts;
}

/** §2.4: a `file:` URI, or a path; a command after `|` would run with whatever the URI's author wants. */
function pinFile(value: string): string {
  if (value.startsWith('|')) throw malformed('pin-source names a command; commands are not run, give a file');
  const path = value.replace(/^file:(?:\/\/(?:localhost)?(?=\/)|(?!\/\/))/i, '');
  const isOther = path === value && /^[a-z][a-z0-9+.-]+:/i.test(value);
  if (path === '' || path.includes('\0') || isOther) {
    throw malformed('pin-source is no path and no file: URI with one');
  }
  return path;
}

/** @returns one part, or what is before and what is behind the first `separator` */
function splitOnce(value: string, separator: string): [string] | [string, string] {
  const at = value.indexOf(separator);
  return at < 0 ? [value] : [value.slice(0, at), value.slice(at + 1)];
}

/** Part of a message: what cannot be printed is not. */
function quoted(name: string): string {
  return /^[a-z0-9_-]{1,40}$/i.test(name) ? name : 'with an odd name';
}

function malformed(problem: string, cause?: unknown): ConnectionError {
  return new ConnectionError(
    'ERR_TLS_OPTION',
    `The PKCS #11 URI (RFC 7512) cannot be used: ${problem}. ` +
      'It looks like pkcs11:token=NAME;object=LABEL;type=private?module-path=FILE.so&pin-source=FILE',
    { cause },
  );
}
