/** Every bound of signing, with its reason. Those that users may change are options. */

/** 16 MiB of content in base64, with lines, and an envelope of certificates around it. */
export const MAX_OBJECT_BYTES = 24 * 1024 * 1024;

/** A receipt holds digests, a signature and certificates; this is a chain of 16 large ones. */
export const MAX_RECEIPT_BYTES = 128 * 1024;

/** A record's content, RFC 8446 §5.1. */
export const RECORD_BYTES = 16_384;

/** A record's content without the header of a TLSSigntext: no piece of ours spans two records. */
export const PIECE_BYTES = RECORD_BYTES - 6;

/** Bytes of objects that have come and that nobody has taken. Above it, the session stops reading. One 16 MiB document. */
export const RECEIVE_BUFFER = 16 * 1024 * 1024;

/** Objects that wait for verification, archive or reader; small ones would otherwise hide their cost from the buffer. */
export const RECEIVE_OBJECTS = 4_096;

/** Receipts that are awaited. Each costs some 500 bytes here, so 32 MiB at most. */
export const PENDING_RECEIPTS = 65_536;

/** SignatureRequests in one hello. Three formats in two spellings are six; others are not known here. */
export const MAX_REQUESTS = 64;

/** A TLSSignOnOff costs its sender one byte. So many in a row, without an object between, are a flood. */
export const MAX_SWITCHES = 64;

/**
 * Bytes of a streamed object that wait for the archive or the reader; above it, the session stops reading. Two chunks of
 * the archive: more would not make anything faster.
 */
export const STREAM_BUFFER = 2 * 1024 * 1024;

/** A streamed object, by default as large as an archive can keep one. Its receiver's disk is the sender's to fill. */
export const MAX_STREAM_BYTES = 2 ** 40;
