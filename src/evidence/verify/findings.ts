/** What was done to an archive, as far as that can be told from what is left. */
export type FindingKind =
  | 'changed' // the record is not what it was when it was archived
  | 'removed'
  | 'inserted'
  | 'reordered'
  | 'content-changed' // its object is not the one that was archived
  | 'content-removed' // its object is gone, and nothing says that it was erased
  | 'session-changed' // names, keys or parameters of the session that it belongs to
  | 'attachment-changed' // certificates, revocation data
  | 'forged' // its signature does not verify
  | 'forged-receipt' // a receipt that its signer did not give for what it is said to acknowledge
  | 'rewritten' // whole stretches, consistently: only heads that were signed or given away before tell
  | 'head-changed' // a tree head or checkpoint in the file; the records are right
  | 'tree-changed' // stored hashes of the tree; the records are right
  | 'timestamp' // a timestamp that does not fit its checkpoint
  | 'witness' // the list of other archives' heads does not fit the records
  | 'unproven' // a witness says what it cannot prove: not this archive's fault
  | 'equivocation'; // another archive has shown different pasts: not this archive's fault

export interface Finding {
  readonly kind: FindingKind;
  /** The record, or the first of those that it may be. */
  readonly record: number | undefined;
  /** The last of those that it may be, when more than one. */
  readonly lastRecord?: number | undefined;
  /** One sentence for people. */
  readonly text: string;
}

/** Findings that are kept; of more, only the number. */
export const MAX_FINDINGS = 100;

/** Keeps the ones with the lowest records, and counts all. */
export class Findings {
  readonly #kept: Finding[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(finding: Finding): void {
    this.#count++;
    this.#kept.push(finding);
    if (this.#kept.length > 2 * MAX_FINDINGS) this.#kept.splice(0, this.#kept.length, ...this.first());
  }

  /** Lowest record first, at most `MAX_FINDINGS`. */
  first(): Finding[] {
    return [...this.#kept].sort((a, b) => positionOf(a) - positionOf(b)).slice(0, MAX_FINDINGS);
  }
}

/** What concerns no record comes last. */
function positionOf({ record }: Finding): number {
  return record ?? Number.MAX_SAFE_INTEGER;
}
