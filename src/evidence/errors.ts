import { TrellisError } from '../errors/errors.ts';

/** What the archive reports. Stable; programs may test them. */
export type EvidenceErrorCode =
  | 'ERR_EVIDENCE_OPTION' // an option or argument that cannot work; the message says which and what would
  | 'ERR_EVIDENCE_NO_SQLITE' // neither node:sqlite nor the optional package libsql is there
  | 'ERR_EVIDENCE_FILE' // a file that cannot be opened, read or written
  | 'ERR_EVIDENCE_FULL' // no room on the disk; nothing of the batch was kept
  | 'ERR_EVIDENCE_NOT_ARCHIVE' // a file of another kind
  | 'ERR_EVIDENCE_VERSION' // written by a newer Trellis
  | 'ERR_EVIDENCE_LOCKED' // another process writes to it
  | 'ERR_EVIDENCE_DAMAGED' // the file contradicts itself; nothing is appended to it
  | 'ERR_EVIDENCE_KEY' // the archive's key is missing, unreadable, or another one
  | 'ERR_EVIDENCE_CLOSED' // used after close
  | 'ERR_EVIDENCE_RECORD' // a record that cannot be archived as it is
  | 'ERR_EVIDENCE_NOT_FOUND' // no such record, session, checkpoint
  | 'ERR_EVIDENCE_ERASED' // its content was erased
  | 'ERR_EVIDENCE_BUNDLE' // an exported bundle that is malformed, too large, or contradicts itself
  | 'ERR_EVIDENCE_CHECKPOINT' // a checkpoint that is malformed or whose signature does not verify
  | 'ERR_EVIDENCE_TIMESTAMP'; // the time authority cannot be reached or answers with something else

/** Faults of the archive, and of what is given to it. Faults of signatures keep the errors of the formats. */
export class EvidenceError extends TrellisError {
  declare readonly code: EvidenceErrorCode;
  constructor(code: EvidenceErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** The text of an error, whatever was thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
