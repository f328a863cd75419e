import { equalBytes } from '../../der/bytes.ts';
import { DecodeError } from '../../errors/errors.ts';
import {
  type ExternalPsk,
  hashOfKdf,
  MAX_PSK_LENGTH,
  MIN_PSK_LENGTH,
  TARGET_KDF,
  type TargetHash,
} from '../../handshake/psk.ts';
import type { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';
import { Status } from '../apdu/status.ts';
import { Refused } from './refused.ts';

/** Of one identity: each write of the store writes them all. */
export const MAX_PSKS = 64;
/** RFC 4279 §5.3: 128 bytes have to be taken; these fit a vector of one byte's length. */
export const MAX_PSK_IDENTITY = 255;

/** A pre-shared key of an identity; for TLS 1.3 with the hash that it is bound to (RFC 8446 §4.2.11). */
export interface PskRecord extends ExternalPsk {
  readonly hash: TargetHash;
  readonly binder: 'external';
}

/**
 * `uint16 kdf; opaque identity<1..255>; opaque key<16..512>;` where `kdf` is that of RFC 9258 §10: HKDF_SHA256 (1) or
 * HKDF_SHA384 (2).
 * @throws DecodeError
 */
export function readPsk(r: Reader): PskRecord {
  const hash = hashOfKdf(r.u16());
  if (hash === undefined) throw new DecodeError('pre-shared key: for a KDF that no cipher suite has');
  // What brought them is gone, or wiped, when they are needed.
  const identity = new Uint8Array(r.vector(1, 1));
  const key = new Uint8Array(r.vector(2, MIN_PSK_LENGTH, MAX_PSK_LENGTH));
  return { identity, key, hash, binder: 'external' };
}

export function writePsk(writer: Writer, { identity, key, hash }: Omit<PskRecord, 'binder'>): void {
  writer.u16(TARGET_KDF[hash]).vector(1, identity).vector(2, key);
}

/** What may be said of them: `uint16 kdf; opaque identity<1..255>;` each. */
export function listPsks(psks: readonly PskRecord[]): Uint8Array {
  const writer = new Writer(1024);
  for (const { identity, hash } of psks) writer.u16(TARGET_KDF[hash]).vector(1, identity);
  return writer.finish();
}

/**
 * One more, behind the others: those that were put first are wanted most.
 * @throws Refused 6985 where there is one with its identity, which has to be removed first; 6A84
 */
export function withPsk(psks: readonly PskRecord[], added: PskRecord): readonly PskRecord[] {
  if (findPsk(psks, added.identity) !== undefined) throw new Refused(Status.wrongState);
  if (psks.length >= MAX_PSKS) throw new Refused(Status.noRoom);
  return [...psks, added];
}

/** @throws Refused 6A83 */
export function withoutPsk(psks: readonly PskRecord[], identity: Uint8Array): readonly PskRecord[] {
  const left = psks.filter((psk) => !equalBytes(psk.identity, identity));
  if (left.length === psks.length) throw new Refused(Status.notFound);
  return left;
}

/** As a server looks it up: our order counts, where a client offers several. */
export function findPsk(psks: readonly PskRecord[], identity: Uint8Array): ExternalPsk | undefined {
  const preference = psks.findIndex((psk) => equalBytes(psk.identity, identity));
  const found = psks[preference];
  return found && { ...found, preference };
}
