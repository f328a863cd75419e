import type { CryptoProvider } from '../../crypto/provider.ts';
import { EvidenceError } from '../errors.ts';
import { HASH_BYTES } from '../merkle/hash.ts';
import { encodeChain, encodeRevocation, encodeSession } from './leaf.ts';
import {
  type EvidenceRecord,
  type EvidenceSession,
  MAX_ATTACHMENT_BYTES,
  MAX_INLINE_OBJECT_BYTES,
  MAX_TEXT,
  type NewRecord,
  type SessionInfo,
} from './record.ts';
import type { Attachment } from './store.ts';

/** Names of applications have 255 bytes at most (formats/binding.ts). */
const MAX_APPLICATION = 255;
const MAX_TREE_HEAD_BYTES = 2048;

/** A record that only lacks its place in the tree. */
export interface PreparedRecord {
  /** Its index is set when it gets its place: copying a record costs as much as hashing it. */
  readonly record: EvidenceRecord & { index: number };
  readonly object: Uint8Array | undefined;
  readonly content: number | undefined;
  readonly attachments: readonly Attachment[];
}

const NO_DIGEST = new Uint8Array(0);
export const NO_PLACE = -1;

/** @throws EvidenceError ERR_EVIDENCE_RECORD for what cannot be archived as it is */
export function prepareRecord(
  crypto: CryptoProvider,
  record: NewRecord,
  provenance?: Uint8Array,
): PreparedRecord {
  checkRecord(record);
  const { object, signerChain, revocation } = record;
  const attachments: Attachment[] = [];
  const attach = (bytes: Uint8Array | undefined): Uint8Array | undefined => {
    if (bytes === undefined) return undefined;
    const attachment = makeAttachment(crypto, bytes);
    attachments.push(attachment);
    return attachment.digest;
  };
  const prepared: PreparedRecord['record'] = {
    index: NO_PLACE,
    held: object === undefined ? 'none' : object instanceof Uint8Array ? 'inline' : 'chunks',
    direction: record.direction,
    kind: record.kind,
    status: record.status,
    reason: cleanText(record.reason ?? ''),
    time: record.time,
    session: record.session.digest,
    sequence: record.sequence,
    application: cleanText(record.application),
    contentType: record.contentType,
    format: record.format,
    objectLength: object?.length ?? 0,
    objectDigest: digestOf(crypto, record),
    contentLength: record.content?.length ?? 0,
    contentDigest: record.content?.digest ?? NO_DIGEST,
    flags: record.flags ?? 0,
    treeHead: record.treeHead,
    target: record.target,
    signerChain: attach(signerChain && encodeChain(signerChain)),
    revocation: attach(
      revocation === undefined || revocation.length === 0 ? undefined : encodeRevocation(revocation),
    ),
    provenance: attach(provenance),
  };
  const isInline = object instanceof Uint8Array;
  return {
    record: prepared,
    object: isInline ? object : undefined,
    content: isInline ? undefined : object?.id,
    attachments,
  };
}

/** @throws EvidenceError ERR_EVIDENCE_RECORD */
export function prepareSession(
  crypto: CryptoProvider,
  info: SessionInfo,
): { session: EvidenceSession; attachments: Attachment[] } {
  if (info.sessionBinding.length !== HASH_BYTES) {
    throw refuse(`a session binding of ${info.sessionBinding.length} bytes; it has ${HASH_BYTES}`);
  }
  const own = makeAttachment(crypto, encodeChain(info.ownChain));
  const peer = makeAttachment(crypto, encodeChain(info.peerChain));
  const session = {
    role: info.role,
    protocol: info.protocol,
    cipherSuite: info.cipherSuite,
    sessionBinding: info.sessionBinding,
    started: info.started,
    ownName: cleanText(info.ownName),
    peerName: cleanText(info.peerName),
    ownChain: own.digest,
    peerChain: peer.digest,
  };
  const digest = crypto.digest('sha256', encodeSession(session));
  return { session: { ...session, digest }, attachments: [own, peer] };
}

/**
 * Text that comes back from every store as it went in: no control characters (SQLite's bindings cut at NUL, and a
 * terminal obeys some), no lone surrogates, a bounded length.
 */
export function cleanText(text: string): string {
  return text.slice(0, MAX_TEXT).replace(/[\p{Cc}\p{Cs}]/gu, '\ufffd');
}

function makeAttachment(crypto: CryptoProvider, bytes: Uint8Array): Attachment {
  if (bytes.length > MAX_ATTACHMENT_BYTES) {
    throw refuse(
      `${bytes.length} bytes of certificates or revocation data; at most ${MAX_ATTACHMENT_BYTES} are kept`,
    );
  }
  return { digest: crypto.digest('sha256', bytes), bytes };
}

function digestOf(crypto: CryptoProvider, { object, objectDigest }: NewRecord): Uint8Array {
  if (object === undefined) return NO_DIGEST;
  if (!(object instanceof Uint8Array)) return object.digest;
  return objectDigest ?? crypto.digest('sha256', object);
}

function checkRecord(record: NewRecord): void {
  const { object, objectDigest, content, target, application, treeHead } = record;
  if (object === undefined && record.status !== 'missing') throw refuse('a record without object');
  if (object instanceof Uint8Array && object.length > MAX_INLINE_OBJECT_BYTES) {
    throw refuse(
      `an object of ${object.length} bytes in one piece; from ${MAX_INLINE_OBJECT_BYTES} on use newContent`,
    );
  }
  if (record.session.digest.length !== HASH_BYTES) throw refuse('a session that is none');
  for (const digest of [objectDigest, content?.digest]) {
    if (digest !== undefined && digest.length !== HASH_BYTES) throw refuse('a digest that is no SHA-256');
  }
  for (const number of [
    record.time,
    record.sequence,
    record.contentType,
    content?.length ?? 0,
    target ?? 0,
  ]) {
    if (!Number.isSafeInteger(number) || number < 0) throw refuse(`the number ${number}`);
  }
  if (application.length > MAX_APPLICATION) throw refuse('a name of an application that is too long');
  if (treeHead.length > MAX_TREE_HEAD_BYTES) throw refuse(`a tree head of ${treeHead.length} bytes`);
}

function refuse(what: string): EvidenceError {
  return new EvidenceError('ERR_EVIDENCE_RECORD', `This cannot be archived: ${what}`);
}
