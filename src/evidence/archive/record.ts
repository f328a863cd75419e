import type { ContentFormat } from '../../formats/format.ts';

/*
 * What the archive keeps. A record is one signed object or receipt, sent or received, with everything that is needed
 * to judge it later; a session is what the records of one TLS session have in common.
 */

/** Objects up to this size are kept in the row of their record; larger ones in chunks. Bytes. */
export const MAX_INLINE_OBJECT_BYTES = 64 * 1024;
/** What a large object is cut into: what one row, and one piece of memory, has at most. Bytes. */
export const CHUNK_BYTES = 1024 * 1024;
/** Names, reasons: enough to say what happened, too little to fill a disk with. UTF-16 units. */
export const MAX_TEXT = 1024;
/** Of certificates or revocation data beside one record or session. CRLs of large CAs have some megabytes. Bytes. */
export const MAX_ATTACHMENT_BYTES = 16 * 1024 * 1024;

export type Direction = 'sent' | 'received';
/** `erasure`: the record that says that the content of `target` was erased on purpose. */
export type RecordKind = 'data' | 'receipt' | 'erasure';
/**
 * `unverified`: nobody has checked it, as with what this side has made itself; `rejected`: it was refused, `reason` says
 * why; `missing`: a gap in the sequence (DTLS), there is no object.
 */
export type RecordStatus = 'verified' | 'unverified' | 'rejected' | 'missing';

/** Bits of `EvidenceRecord.flags`. */
export const RecordFlag = {
  /** The sender asks for a receipt. */
  receiptRequested: 1,
  /** Data that travelled unsigned, sign type {0,2}. */
  unsigned: 2,
  /** Signed as a stream: the object has indefinite lengths outside. */
  streamed: 4,
  /** Not seen in a session of this archive, but taken from an exported bundle. */
  imported: 8,
} as const;

/** What the records of a session have in common. */
export interface SessionInfo {
  /** This side's. */
  readonly role: 'client' | 'server';
  /** As on the wire: 0x0304 for TLS 1.3. */
  readonly protocol: number;
  /** IANA number. */
  readonly cipherSuite: number;
  /** 32 bytes from the exporter, the same on both sides. */
  readonly sessionBinding: Uint8Array;
  /** Unix milliseconds. */
  readonly started: number;
  /** For people: the subject of the certificate, or what else there is; may be empty. */
  readonly ownName: string;
  readonly peerName: string;
  /** DER certificates, end entity first; empty without a certificate. */
  readonly ownChain: readonly Uint8Array[];
  readonly peerChain: readonly Uint8Array[];
}

/** Revocation data that was at hand when the object came, as it was received. */
export interface RevocationData {
  readonly kind: 'ocsp' | 'crl';
  readonly der: Uint8Array;
}

/** What `Archive.append` is given. Nothing in it is copied: leave the bytes alone until `append` has resolved. */
export interface NewRecord {
  readonly direction: Direction;
  readonly kind: 'data' | 'receipt';
  readonly status: RecordStatus;
  /** Why it was rejected, or is missing. */
  readonly reason?: string | undefined;
  /** When it was made or received, by this side's clock. Unix milliseconds. */
  readonly time: number;
  /** From `Archive.addSession`. */
  readonly session: SessionRef;
  /** Of the binding: from 0, per direction, receipts included. */
  readonly sequence: number;
  /** Empty outside multiplexing. */
  readonly application: string;
  /** TLS content type that the data would have had. */
  readonly contentType: number;
  /** The one that was negotiated. */
  readonly format: ContentFormat;
  /** Byte for byte as it travels; from `Archive.newContent` for a large one; absent when it is missing. */
  readonly object?: Uint8Array | StoredContent | undefined;
  /** SHA-256 of `object`, where somebody has it already. It is taken at its word. */
  readonly objectDigest?: Uint8Array | undefined;
  /** Of the data inside; absent where it is not known (rejected). */
  readonly content?: { readonly length: number; readonly digest: Uint8Array } | undefined;
  /** Index of the record that a receipt acknowledges. */
  readonly target?: number | undefined;
  /** Of the object's binding; empty where there is none. */
  readonly treeHead: Uint8Array;
  /** The signer's certificates, end entity first, where they are not the session's. */
  readonly signerChain?: readonly Uint8Array[] | undefined;
  readonly revocation?: readonly RevocationData[] | undefined;
  /** Bits of `RecordFlag`. */
  readonly flags?: number | undefined;
}

/** Names a session of this archive. */
export interface SessionRef {
  /** SHA-256 of the session's encoding, see leaf.ts. */
  readonly digest: Uint8Array;
}

/** A large object that is in the archive already, waiting for the record that it belongs to. */
export interface StoredContent {
  /** Names it in the store. */
  readonly id: number;
  readonly length: number;
  /** SHA-256. */
  readonly digest: Uint8Array;
}

/** A record as it is in the archive. Everything but `index` and `held` is covered by its leaf in the tree. */
export interface EvidenceRecord {
  /** Position in the tree, from 0, without gaps. */
  readonly index: number;
  readonly direction: Direction;
  readonly kind: RecordKind;
  readonly status: RecordStatus;
  readonly reason: string;
  readonly time: number;
  /** `SessionRef.digest`. */
  readonly session: Uint8Array;
  readonly sequence: number;
  readonly application: string;
  readonly contentType: number;
  readonly format: ContentFormat;
  readonly objectLength: number;
  /** SHA-256; empty when there is no object. */
  readonly objectDigest: Uint8Array;
  readonly contentLength: number;
  /** SHA-256; empty when it is not known. */
  readonly contentDigest: Uint8Array;
  readonly flags: number;
  readonly treeHead: Uint8Array;
  readonly target: number | undefined;
  /** SHA-256 of attachments: certificates, revocation data, where an imported record comes from. */
  readonly signerChain: Uint8Array | undefined;
  readonly revocation: Uint8Array | undefined;
  readonly provenance: Uint8Array | undefined;
  /** Where the object is: inside the record's row, in chunks, or nowhere (erased, missing, removed). */
  readonly held: 'inline' | 'chunks' | 'none';
}

/** A session as it is in the archive: chains are digests of attachments. */
export interface EvidenceSession extends Omit<SessionInfo, 'ownChain' | 'peerChain'> {
  /** SHA-256 of its encoding. */
  readonly digest: Uint8Array;
  readonly ownChain: Uint8Array;
  readonly peerChain: Uint8Array;
}

export function hasFlag(record: { readonly flags: number }, flag: keyof typeof RecordFlag): boolean {
  return (record.flags & RecordFlag[flag]) !== 0;
}
