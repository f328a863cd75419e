import { nodeCrypto } from '../crypto/node/provider.ts';
import {
  type ExternalPsk,
  type ImportProtocol,
  importPsk,
  MAX_PSK_LENGTH,
  MIN_PSK_LENGTH,
  parseImportedIdentity,
  TARGET_HASHES,
} from '../handshake/psk.ts';
import { ProtocolVersion } from '../wire/codepoints.ts';
import { optionError } from './options.ts';

/** A key that both sides were given beforehand (RFC 8446 §4.2.11). */
export interface PskInput {
  /** Sent in clear: text (as UTF-8) or bytes, 1 to 65,535 of them. */
  readonly identity: string | Uint8Array;
  /** 16 bytes or more, random: whoever sees a handshake can try out words of a dictionary (RFC 9257 §4.2). */
  readonly key: Uint8Array;
  /** The hash that the key is for. Default 'sha256', which is what node:tls and OpenSSL take. */
  readonly hash?: 'sha256' | 'sha384' | undefined;
  /** Import the key (RFC 9258), with a context that both sides know; then one key serves suites of either hash. */
  readonly import?: true | { readonly context: string | Uint8Array } | undefined;
}

/** Finds the key of an identity; nothing when there is none. It is for SHA-256, as node:tls has them. */
export type PskLookup = (identity: Buffer) => Uint8Array | null | undefined;

const MAX_IDENTITY = 65_535;
/** An ImportedIdentity has to hold identity and context. */
const MAX_IMPORTED = 32_000;

/** @throws ConnectionError ERR_TLS_OPTION for a key or an identity that cannot be used */
export function checkPsks(inputs: PskInput | readonly PskInput[]): void {
  for (const input of listOf(inputs)) read(input);
}

/**
 * What a client offers.
 * @param protocol that imported keys are for
 * @throws ConnectionError ERR_TLS_OPTION
 */
export function clientPsks(
  inputs: PskInput | readonly PskInput[] | PskLookup | undefined,
  protocol: ImportProtocol = ProtocolVersion.tls13,
): ExternalPsk[] {
  if (typeof inputs === 'function')
    throw optionError('psk', 'a client gives keys; only a server looks them up');
  return listOf(inputs).flatMap((input) => {
    const { identity, key, hash, context } = read(input);
    if (context === undefined) return [{ identity, key, hash, binder: 'external' as const }];
    const own = { identity, key, hash, context };
    return TARGET_HASHES.map((target) => importPsk(nodeCrypto, own, target, protocol));
  });
}

/**
 * How a server finds a client's key.
 * @param protocol that imported keys are for
 * @throws ConnectionError ERR_TLS_OPTION, now or for a key that was looked up
 */
export function pskFinder(
  from: PskInput | readonly PskInput[] | PskLookup,
  protocol: ImportProtocol = ProtocolVersion.tls13,
): (identity: Uint8Array) => ExternalPsk | undefined {
  if (typeof from !== 'function') return finderAmong(listOf(from), protocol);
  return (identity) => {
    const key = from(Buffer.from(identity));
    return key ? { ...read({ identity, key }), binder: 'external' } : undefined;
  };
}

function finderAmong(
  inputs: readonly PskInput[],
  protocol: ImportProtocol,
): (identity: Uint8Array) => ExternalPsk | undefined {
  const direct = new Map<string, ExternalPsk>();
  const imported = new Map<string, ReadKey & { readonly context: Uint8Array; readonly preference: number }>();
  for (const [preference, input] of inputs.entries()) {
    const { context, ...own } = read(input);
    if (context === undefined) direct.set(keyOf(own.identity), { ...own, binder: 'external', preference });
    else imported.set(`${keyOf(own.identity)} ${keyOf(context)}`, { ...own, context, preference });
  }
  return (identity) => {
    const found = direct.get(keyOf(identity));
    if (found !== undefined || imported.size === 0) return found;
    const parts = parseImportedIdentity(identity, protocol);
    if (parts === undefined) return undefined;
    const own = imported.get(`${keyOf(parts.identity)} ${keyOf(parts.context)}`);
    if (own === undefined) return undefined;
    return { ...importPsk(nodeCrypto, own, parts.target, protocol), preference: own.preference };
  };
}

/** RFC 4279 §5.3: what every implementation must be able to take of an identity; more helps nobody. */
const MAX_HINT = 128;

/** @throws ConnectionError ERR_TLS_OPTION */
export function readHint(hint: string | undefined): Uint8Array | undefined {
  if (hint === undefined) return undefined;
  const bytes = bytesOf(hint);
  if (bytes.length > MAX_HINT) throw optionError('pskIdentityHint', `it has more than ${MAX_HINT} bytes`);
  return bytes;
}

interface ReadKey {
  readonly identity: Uint8Array;
  readonly key: Uint8Array;
  readonly hash: 'sha256' | 'sha384';
}

function read(input: PskInput): ReadKey & { readonly context: Uint8Array | undefined } {
  const identity = bytesOf(input.identity);
  const context =
    input.import === undefined ? undefined : bytesOf(input.import === true ? '' : input.import.context);
  const max = context === undefined ? MAX_IDENTITY : MAX_IMPORTED;
  if (identity.length < 1 || identity.length > max || (context?.length ?? 0) > MAX_IMPORTED) {
    throw optionError('psk', `the identity must have 1 to ${max} bytes, a context at most ${MAX_IMPORTED}`);
  }
  const { key, hash = 'sha256' } = input;
  if (!(key instanceof Uint8Array) || key.length < MIN_PSK_LENGTH || key.length > MAX_PSK_LENGTH) {
    throw optionError(
      'psk',
      `the key must be ${MIN_PSK_LENGTH} to ${MAX_PSK_LENGTH} random bytes; "openssl rand -hex 32" makes good ones. A password is none`,
    );
  }
  if (hash !== 'sha256' && hash !== 'sha384') {
    throw optionError('psk', `'${hash}' is no hash for it; use 'sha256' or 'sha384'`);
  }
  return { identity, key: new Uint8Array(key), hash, context };
}

function bytesOf(text: string | Uint8Array): Uint8Array {
  return typeof text === 'string' ? Buffer.from(text) : new Uint8Array(text);
}

function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value as T];
}
