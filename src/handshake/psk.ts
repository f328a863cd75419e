import type { CryptoProvider, HashName } from '../crypto/provider.ts';
import { HASH_LENGTH } from '../crypto/provider.ts';
import { DecodeError } from '../errors/errors.ts';
import { ProtocolVersion } from '../wire/codepoints.ts';
import { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';
import { hkdfExpandLabel } from './key-schedule.ts';

/** A key that both sides were given beforehand, in the form in which a handshake uses it (RFC 8446 §4.2.11). */
export interface ExternalPsk {
  /** As on the wire, in clear: 1 to 65,535 bytes. */
  readonly identity: Uint8Array;
  readonly key: Uint8Array;
  /** The hash that it is bound to: it serves only cipher suites with this one. */
  readonly hash: HashName;
  /** An imported key has a binder of another label, so that the two cannot be taken for each other (RFC 9258 §5.2). */
  readonly binder: 'external' | 'imported';
  /** Server: its place among our keys; of several that a client offers, the lowest serves. Absent: the client's order counts. */
  readonly preference?: number | undefined;
}

/** A key to be imported (RFC 9258 §5.1), so that one serves every hash, each by a key of its own. */
export interface ImportablePsk {
  /** external_identity, 1 to 65,535 bytes. */
  readonly identity: Uint8Array;
  readonly key: Uint8Array;
  /** What the two sides are, or whatever else binds the key to its use; may be empty. */
  readonly context: Uint8Array;
  /** The hash that the key was made for; SHA-256 unless both sides know otherwise. */
  readonly hash: HashName;
}

/** RFC 9257 §4.1: at least 128 bits. */
export const MIN_PSK_LENGTH = 16;
/** RFC 4279 §5.3 has 64 bytes in mind; more than this is no key but a mistake. */
export const MAX_PSK_LENGTH = 512;

/** Hashes of TLS 1.3 cipher suites with their KDF identifiers, RFC 9258 §10. */
export const TARGET_KDF: Readonly<Record<'sha256' | 'sha384', number>> = { sha256: 1, sha384: 2 };
export type TargetHash = keyof typeof TARGET_KDF;
export const TARGET_HASHES: readonly TargetHash[] = ['sha256', 'sha384'];

/** `undefined` for a KDF of no TLS 1.3 cipher suite. */
export function hashOfKdf(kdf: number): TargetHash | undefined {
  return TARGET_HASHES.find((hash) => TARGET_KDF[hash] === kdf);
}

/** target_protocol: an imported key serves one, so that neither can be used against the other. */
export type ImportProtocol = typeof ProtocolVersion.tls13 | typeof ProtocolVersion.dtls13;

/**
 * RFC 9258 §5.1:
 * ```
 * struct { opaque external_identity<1..2^16-1>; opaque context<0..2^16-1>;
 *          uint16 target_protocol; uint16 target_kdf; } ImportedIdentity;
 * epskx = HKDF-Extract(0, epsk)
 * ipskx = HKDF-Expand-Label(epskx, "derived psk", Hash(ImportedIdentity), L)
 * ```
 */
export function importPsk(
  crypto: CryptoProvider,
  psk: ImportablePsk,
  target: TargetHash,
  protocol: ImportProtocol = ProtocolVersion.tls13,
): ExternalPsk {
  const { hash } = psk;
  // Labels are those of the protocol that the key is for (RFC 9147 §5.9).
  const labelled =
    protocol === ProtocolVersion.dtls13 ? { ...crypto, labelPrefix: 'dtls13' as const } : crypto;
  const identity = new Writer(64 + psk.identity.length)
    .vector(2, psk.identity)
    .vector(2, psk.context)
    .u16(protocol)
    .u16(TARGET_KDF[target])
    .finish();
  const extracted = crypto.shortHmac(hash, new Uint8Array(HASH_LENGTH[hash]), psk.key);
  const context = crypto.digest(hash, identity);
  const key = hkdfExpandLabel(labelled, hash, extracted, 'derived psk', context, HASH_LENGTH[target]);
  return { identity, key, hash: target, binder: 'imported' };
}

/** What a client's identity says when it is an ImportedIdentity for this protocol; `undefined` for every other. */
export function parseImportedIdentity(
  identity: Uint8Array,
  spoken: ImportProtocol = ProtocolVersion.tls13,
): { readonly identity: Uint8Array; readonly context: Uint8Array; readonly target: TargetHash } | undefined {
  try {
    const r = new Reader(identity, 'ImportedIdentity');
    const external = r.vector(2, 1);
    const context = r.vector(2);
    const protocol = r.u16();
    const kdf = r.u16();
    r.end();
    const target = hashOfKdf(kdf);
    if (protocol !== spoken || target === undefined) return undefined;
    return { identity: external, context, target };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}
