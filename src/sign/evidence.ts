import type { ContentFormat } from '../formats/format.ts';

/*
 * What an archive has to be able to do. `Archive` of src/evidence is one; a session without one keeps nothing.
 */

/** What the records of a session have in common. */
export interface EvidenceSession {
  /** This side's. */
  readonly role: 'client' | 'server';
  /** As on the wire: 0x0304 for TLS 1.3. */
  readonly protocol: number;
  /** IANA number. */
  readonly cipherSuite: number;
  /** 32 bytes. */
  readonly sessionBinding: Uint8Array;
  /** Unix milliseconds. */
  readonly started: number;
  /** Subjects of the certificates; empty without one. */
  readonly ownName: string;
  readonly peerName: string;
  /** DER certificates, end entity first; empty without one. */
  readonly ownChain: readonly Uint8Array[];
  readonly peerChain: readonly Uint8Array[];
}

/**
 * One object or receipt that was sent or received. Its bytes are not changed by anybody.
 * @typeParam Streamed stands for an object that came in pieces
 */
export interface EvidenceEntry<Streamed = EvidenceContent> {
  readonly direction: 'sent' | 'received';
  readonly kind: 'data' | 'receipt';
  /** `unverified`: this side made it, or it travelled unsigned; `missing`: it was lost on the way (DTLS). */
  readonly status: 'verified' | 'unverified' | 'rejected' | 'missing';
  /** Code of what is wrong with a rejected one; which numbers are missing. */
  readonly reason: string | undefined;
  /** Unix milliseconds. */
  readonly time: number;
  readonly sequence: number;
  /** Empty outside multiplexing. */
  readonly application: string;
  readonly contentType: number;
  readonly format: ContentFormat;
  /** Byte for byte as it travels; what came of it, where it was refused; absent where it is missing. */
  readonly object: Uint8Array | Streamed | undefined;
  /** SHA-256 of `object`, where it is known. */
  readonly objectDigest: Uint8Array | undefined;
  /** Of the data inside. */
  readonly content: { readonly length: number; readonly digest: Uint8Array } | undefined;
  /** Index of the record that a receipt acknowledges. */
  readonly target: number | undefined;
  /** Of the binding. */
  readonly treeHead: Uint8Array;
  /** The signer's certificates where they are not the session's. */
  readonly signerChain: readonly Uint8Array[] | undefined;
  /** Bits of `EvidenceFlag`. */
  readonly flags: number;
}

export const EvidenceFlag = {
  receiptRequested: 1,
  /** Data that travelled unsigned, sign type {0,2}. */
  unsigned: 2,
  /** Signed as a stream: the object has indefinite lengths outside. */
  streamed: 4,
} as const;

/** Names a session of the archive. */
export interface EvidenceSessionRef {
  readonly digest: Uint8Array;
}

/** An object that is in the archive already, and waits for the record that it belongs to. */
export interface EvidenceContent {
  /** Names it there. */
  readonly id: number;
  readonly length: number;
  /** SHA-256. */
  readonly digest: Uint8Array;
}

/** Takes an object in pieces. Without a record for what `finish` gives it is nothing, also after a crash. */
export interface EvidenceWriter {
  /** Resolves when `bytes` may be changed and there is room for more. */
  write(bytes: Uint8Array): Promise<void>;
  finish(): Promise<EvidenceContent>;
}

export interface EvidenceSink {
  /** The latest tree head, at most 2,048 bytes; it goes into the binding of what leaves next. */
  treeHead(): Uint8Array;
  addSession(session: EvidenceSession): EvidenceSessionRef;
  /** For a streamed object. */
  newContent(): Promise<EvidenceWriter>;
  /** Resolves with the record's index when it is durable: then a receipt may leave. */
  append(entry: EvidenceEntry & { readonly session: EvidenceSessionRef }): Promise<number>;
}
