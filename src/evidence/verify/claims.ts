import type { CryptoProvider } from '../../crypto/provider.ts';
import { equalBytes, toHex } from '../../der/bytes.ts';
import type { EvidenceReader, StoredHead, StoreIdentity, WitnessedHead } from '../archive/store.ts';
import { EvidenceError } from '../errors.ts';
import { verifyCheckpoint } from '../merkle/tree-head.ts';
import type { Findings } from './findings.ts';

/**
 * How hard it is to make one up. `kept`: a row of the file, anyone who can write to it can. `signed`: needs the
 * archive's key. `witness`: comes from outside of the file; not even its owner can take it back.
 */
export type ClaimStrength = 'kept' | 'signed' | 'witness';

/** Somebody says that the tree of the first `size` records has this root. */
export interface HeadClaim {
  readonly size: number;
  readonly root: Uint8Array;
  readonly strength: ClaimStrength;
  /** In a sentence: "checkpoint 5 of this archive". */
  readonly source: string;
  /** Shows that the archive's owner has made it: asked before it is held against him. Gives what speaks against that. */
  readonly doubt?: (() => Promise<string | undefined>) | undefined;
}

/** Claims by size, lowest first. */
export type ClaimSource = AsyncIterator<HeadClaim, undefined>;

const PAGE = 500;

export interface CheckpointCount {
  count: number;
  valid: number;
  last: StoredHead | undefined;
}

/** Heads that the archive itself has kept, signed or not. A signature that is wrong is a finding. */
export async function* ownHeads(
  crypto: CryptoProvider,
  reader: EvidenceReader,
  identity: StoreIdentity,
  findings: Findings,
  checkpoints: CheckpointCount,
): AsyncGenerator<HeadClaim, undefined> {
  for (let from = 0; ; ) {
    const heads = await reader.heads({ from, limit: PAGE });
    for (const head of heads) {
      const { size, root } = head;
      from = size + 1;
      if (head.signature === undefined) {
        yield { size, root, strength: 'kept', source: `the head that was given away at ${size} records` };
        continue;
      }
      checkpoints.count++;
      const fault = checkpointFault(crypto, identity, head);
      if (fault === undefined) {
        checkpoints.valid++;
        checkpoints.last = head;
        yield { size, root, strength: 'signed', source: `the signed checkpoint at ${size} records` };
      } else {
        findings.add({
          kind: 'head-changed',
          record: undefined,
          text: `The checkpoint at ${size} records was changed or forged. ${fault}`,
        });
      }
    }
    if (heads.length < PAGE) return undefined;
  }
}

/** What another archive has seen of this one. @param doubt about the head in one of its records */
export async function* witnessedHeads(
  witness: EvidenceReader,
  name: string,
  archive: Uint8Array,
  doubt: (head: WitnessedHead) => Promise<string | undefined>,
): AsyncGenerator<HeadClaim, undefined> {
  // Several records may hold heads of one size, so a page is read again from its last size.
  let seen = new Set<string>();
  for (let from = 0; ; ) {
    const heads = await witness.witnessed({ archive, from, limit: PAGE });
    const now = new Set<string>();
    const last = heads.at(-1)?.size ?? from;
    for (const head of heads) {
      const { size, root, record } = head;
      const key = `${size}/${toHex(root)}`;
      if (size === last) now.add(key);
      if (seen.has(key)) continue;
      yield {
        size,
        root,
        strength: 'witness',
        source: `the head in record ${record} of ${name}`,
        doubt: () => doubt(head),
      };
    }
    if (heads.length < PAGE) return undefined;
    // When all of a page are of one size, go on behind it.
    from = last === from ? last + 1 : last;
    seen = now;
  }
}

/** Claims that are all there. */
export async function* claimsOf(claims: readonly HeadClaim[]): AsyncGenerator<HeadClaim, undefined> {
  yield* [...claims].sort((a, b) => a.size - b.size);
  return undefined;
}

/** Merges sources; the next claim is looked at before it is taken. */
export class Claims {
  readonly #sources: { readonly source: ClaimSource; next: HeadClaim | undefined }[] = [];

  static async of(sources: readonly ClaimSource[]): Promise<Claims> {
    const claims = new Claims();
    for (const source of sources) {
      claims.#sources.push({ source, next: (await source.next()).value });
    }
    return claims;
  }

  /** Size of the next claim; Infinity when there is none. */
  get nextSize(): number {
    let size = Number.POSITIVE_INFINITY;
    for (const { next } of this.#sources) if (next !== undefined && next.size < size) size = next.size;
    return size;
  }

  /** All claims about `size` records and fewer. */
  async take(size: number): Promise<HeadClaim[]> {
    const taken: HeadClaim[] = [];
    for (const entry of this.#sources) {
      while (entry.next !== undefined && entry.next.size <= size) {
        taken.push(entry.next);
        entry.next = (await entry.source.next()).value;
      }
    }
    return taken;
  }
}

/**
 * Judges claims as the tree grows. A root that fits vouches for all records before it. One that does not fit, and that
 * nobody but the archive's owner can have made, shows that the records were others when it was made.
 */
export class ClaimJudge {
  readonly #findings: Findings;
  /** The largest size that a claim of this strength or a greater one vouches for. */
  readonly #vouched: Record<ClaimStrength, number> = { kept: 0, signed: 0, witness: 0 };
  /** Claims from outside, and how many of them fit. */
  witnesses = 0;
  fittingWitnesses = 0;
  /** Rows of the file that do not fit: wrong themselves, if a later head fits. */
  #keptMisfits: HeadClaim[] = [];
  /** Those with more weight that do not fit, since the last one that did. */
  #misfits: HeadClaim[] = [];
  #misfitCount = 0;
  #beyond: HeadClaim | undefined;
  #asked = 0;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  vouched(strength: ClaimStrength): number {
    return this.#vouched[strength];
  }

  /** @param root of the tree of as many records as the claims are about */
  async judge(claims: readonly HeadClaim[], root: Uint8Array): Promise<void> {
    for (const claim of claims) {
      const fits = equalBytes(claim.root, root);
      if (claim.strength === 'witness') {
        this.witnesses++;
        if (fits) this.fittingWitnesses++;
      }
      if (fits) this.#fit(claim);
      else if (!(await this.#isUnproven(claim))) this.#misfit(claim);
    }
  }

  /** Claims about more records than there are: call it with all of them, then `end`. */
  async judgeBeyond(claims: readonly HeadClaim[]): Promise<void> {
    for (const claim of claims) {
      if (claim.strength === 'witness') this.witnesses++;
      const rank = STRENGTHS.indexOf(claim.strength);
      const before = this.#beyond === undefined ? -1 : STRENGTHS.indexOf(this.#beyond.strength);
      // The largest size of those that prove most.
      if (rank < before || (await this.#isUnproven(claim))) continue;
      this.#beyond = claim;
    }
  }

  /** No more claims. @param size records in the archive */
  end(size: number): void {
    if (this.#beyond !== undefined) {
      this.#findings.add({
        kind: 'removed',
        record: size,
        lastRecord: this.#beyond.size - 1,
        text: `The archive had ${this.#beyond.size} records or more and has ${size}: ${this.#beyond.source} shows it. Its end is gone.`,
      });
    }
    this.#reportRewriting();
    const [kept] = this.#keptMisfits;
    if (kept !== undefined) this.#report(kept, this.#vouched.kept, 0);
  }

  #fit({ size, strength }: HeadClaim): void {
    if (strength !== 'kept') this.#reportRewriting();
    for (const weaker of weakerOrEqual(strength)) {
      this.#vouched[weaker] = Math.max(this.#vouched[weaker], size);
    }
    for (const { source } of this.#keptMisfits) {
      this.#findings.add({
        kind: 'head-changed',
        record: undefined,
        text: `The row of ${source} was changed; the records are right, since a later head fits.`,
      });
    }
    this.#keptMisfits = [];
  }

  /** A witness that cannot prove what it says accuses nobody. After some that could, the rest is taken as it is. */
  async #isUnproven({ doubt, source }: HeadClaim): Promise<boolean> {
    if (doubt === undefined || this.#asked >= MAX_ASKED) return false;
    const doubts = await doubt();
    if (doubts === undefined) {
      this.#asked++;
      return false;
    }
    this.#findings.add({
      kind: 'unproven',
      record: undefined,
      text: `${source} does not fit, and does not prove that it was ever sent: ${doubts}. It is not held against this archive.`,
    });
    return true;
  }

  #misfit(claim: HeadClaim): void {
    if (claim.strength === 'kept') {
      if (this.#keptMisfits.length < MAX_MISFITS) this.#keptMisfits.push(claim);
      return;
    }
    this.#misfitCount++;
    if (this.#misfits.length < MAX_MISFITS) this.#misfits.push(claim);
  }

  #reportRewriting(): void {
    const [first] = this.#misfits;
    if (first !== undefined) {
      // The smallest size narrows best; the strongest source convinces best.
      const source = strongestOf(this.#misfits) ?? first;
      this.#report({ ...source, size: first.size }, this.#vouched[source.strength], this.#misfitCount - 1);
      // The rows of heads that do not fit either are part of the same story.
      this.#keptMisfits = [];
    }
    this.#misfits = [];
    this.#misfitCount = 0;
  }

  #report({ size, source, strength }: HeadClaim, from: number, others: number): void {
    const where =
      from === size - 1
        ? `Record ${from} is`
        : `The first that differs is between ${from} and ${size - 1}; it is`;
    const more = others > 0 ? `, and ${others} more like it` : '';
    this.#findings.add({
      kind: 'rewritten',
      record: from,
      ...(from === size - 1 ? {} : { lastRecord: size - 1 }),
      text:
        `The archive was rewritten: ${source} has another root than its records give${more}. ` +
        `${where} not what was archived${strength === 'witness' ? ", whatever the archive's own key has signed since" : ''}.`,
    });
  }
}

const MAX_MISFITS = 100;
const MAX_ASKED = 100;
const STRENGTHS: readonly ClaimStrength[] = ['kept', 'signed', 'witness'];

function weakerOrEqual(strength: ClaimStrength): readonly ClaimStrength[] {
  return STRENGTHS.slice(0, STRENGTHS.indexOf(strength) + 1);
}

function strongestOf(claims: readonly HeadClaim[]): HeadClaim | undefined {
  const rank = ({ strength }: HeadClaim): number => STRENGTHS.indexOf(strength);
  return claims.reduce<HeadClaim | undefined>(
    (best, claim) => (best === undefined || rank(claim) > rank(best) ? claim : best),
    undefined,
  );
}

function checkpointFault(
  crypto: CryptoProvider,
  { archive, publicKey }: StoreIdentity,
  { size, root, time, signature }: StoredHead,
): string | undefined {
  if (signature === undefined) return 'It has no signature.';
  try {
    const { scheme, value } = signature;
    verifyCheckpoint(crypto, { head: { archive, size, root }, time, scheme, signature: value, publicKey });
    return undefined;
  } catch (error) {
    if (error instanceof EvidenceError) return error.message;
    throw error;
  }
}
