import { equalBytes } from '../../der/bytes.ts';
import type { MerkleHash } from '../merkle/hash.ts';
import { GrowingTree } from '../merkle/tree.ts';
import type { ClaimJudge, Claims } from './claims.ts';
import type { Finding, Findings } from './findings.ts';

/** How far the two sequences may be apart before a difference is called a change. */
export const LOOK_AHEAD = 256;

/** A row, as far as the tree goes. */
export interface RowLeaf {
  readonly index: number;
  /** Of the record as it is now; undefined when it cannot even be read. */
  readonly hash: Uint8Array | undefined;
}

/**
 * Compares the leaves that the records give with the leaves that were stored when they were archived, and both with
 * the roots that somebody has claimed. Where rows and stored leaves differ, a claim decides which of them is right.
 */
export class Alignment {
  readonly #findings: Findings;
  readonly #claims: Claims;
  readonly #judge: ClaimJudge;
  readonly #rows = new Queue<RowLeaf>();
  readonly #stored = new Queue<Uint8Array | undefined>();
  /** Of the stored leaves: the tree as it was, if nobody has changed those. */
  #reference: GrowingTree;
  /** Of the rows, once they differ; undefined while they agree, and when they are not in step. */
  #present: GrowingTree | undefined;
  #isDiverged = false;
  /** Differences that no claim has decided about. */
  #undecided: Finding[] = [];
  /** Leaves that are known to have no row, and come next. */
  #removed = 0;
  /** First leaf that was not stored, so that the row had to stand for it. */
  #unstored: number | undefined;

  constructor(hash: MerkleHash, findings: Findings, claims: Claims, judge: ClaimJudge) {
    this.#findings = findings;
    this.#claims = claims;
    this.#judge = judge;
    this.#reference = GrowingTree.empty(hash);
  }

  /** Leaves that have been compared. */
  get size(): number {
    return this.#reference.size;
  }

  get waitingRows(): number {
    return this.#rows.length;
  }

  get waitingLeaves(): number {
    return this.#stored.length;
  }

  /** In the order of their indexes. */
  addRow(row: RowLeaf): void {
    this.#rows.push(row);
  }

  /** The next stored leaf; undefined where the tile is missing. */
  addLeaf(hash: Uint8Array | undefined): void {
    this.#stored.push(hash);
  }

  /** Before the first record: claims about the empty tree. */
  async begin(): Promise<void> {
    await this.#checkClaims();
  }

  /** Compares while each side has enough to look ahead, or all there is of it. */
  async advance(rowsEnded: boolean, leavesEnded: boolean): Promise<void> {
    const isReady = (): boolean =>
      (rowsEnded || this.#rows.length > LOOK_AHEAD) &&
      (leavesEnded || this.#stored.length > LOOK_AHEAD) &&
      (this.#rows.length > 0 || this.#stored.length > 0);
    while (isReady()) {
      this.#step();
      if (this.#reference.size >= this.#claims.nextSize) await this.#checkClaims();
      // Tiles are only of use to who stores them.
      if (this.#reference.size % LOOK_AHEAD === 0) this.#forgetTiles();
    }
  }

  /** All rows and leaves have been compared. */
  async end(): Promise<void> {
    const { size } = this.#reference;
    while (this.#claims.nextSize < Number.POSITIVE_INFINITY) {
      await this.#judge.judgeBeyond(await this.#claims.take(this.#claims.nextSize));
    }
    for (const finding of this.#undecided) this.#findings.add(finding);
    if (this.#unstored !== undefined && this.#unstored < size) {
      const from = Math.max(this.#unstored, this.#judge.vouched('signed'));
      this.#findings.add(
        from < size
          ? {
              kind: 'inserted',
              record: from,
              lastRecord: size - 1,
              text: `Records from ${from} on are in no tree and under no checkpoint: nothing shows that they were archived.`,
            }
          : {
              kind: 'tree-changed',
              record: undefined,
              text: `Stored hashes of the tree from leaf ${this.#unstored} on are gone; the records are right, since a checkpoint fits.`,
            },
      );
    }
  }

  #step(): void {
    if (this.#removed > 0) {
      this.#removed--;
      this.#takeStored(this.#stored.at(0));
      return;
    }
    const row = this.#rows.at(0);
    const at = this.#reference.size;
    if (this.#stored.length === 0 || (this.#stored.at(0) === undefined && row !== undefined)) {
      this.#unstored ??= at;
      if (row?.hash === undefined) this.#stored.shift();
      else this.#take(row.hash, row.hash);
      return;
    }
    const stored = this.#stored.at(0);
    if (stored === undefined) {
      // Neither a leaf nor a row: a tile was longer than it is now. What is claimed about it is judged elsewhere.
      this.#stored.shift();
      return;
    }
    if (row?.hash !== undefined && equalBytes(row.hash, stored)) {
      this.#take(stored, row.hash);
      return;
    }
    this.#differ(row, stored, at);
  }

  /** The row does not have the leaf that was stored. What else would explain both? */
  #differ(row: RowLeaf | undefined, stored: Uint8Array, at: number): void {
    if (row === undefined) {
      this.#note({ kind: 'removed', record: at, text: `Record ${at} was removed: its leaf is in the tree.` });
      this.#takeStored(stored);
      return;
    }
    const { hash } = row;
    const later =
      hash === undefined
        ? -1
        : this.#stored.findIndex((leaf) => leaf !== undefined && equalBytes(leaf, hash));
    const isLater = this.#rows.findIndex(
      (other) => other.hash !== undefined && equalBytes(other.hash, stored),
    );
    if (later > 0 && isLater > 0) {
      const other = at + later;
      this.#note({
        kind: 'reordered',
        record: at,
        text: `Record ${at} was put in another place: in the tree the record that is here now has number ${other}.`,
      });
      // The two change places again, so that each difference is told once.
      this.#rows.set(isLater, { index: row.index, hash });
      this.#takeOutOfStep(stored);
    } else if (later > 0) {
      this.#note({
        kind: 'removed',
        record: at,
        lastRecord: later > 1 ? at + later - 1 : undefined,
        text: `${later === 1 ? `Record ${at} was` : `Records ${at} to ${at + later - 1} were`} removed: the tree has ${later === 1 ? 'it' : 'them'}.`,
      });
      // One at a time, since there may be claims about each size.
      this.#removed = later - 1;
      this.#takeStored(stored);
    } else if (isLater > 0) {
      this.#note({
        kind: 'inserted',
        record: row.index,
        lastRecord: isLater > 1 ? row.index + isLater - 1 : undefined,
        text: `${isLater === 1 ? `Record ${row.index} was` : `${isLater} records were`} inserted at ${row.index}: the tree does not have ${isLater === 1 ? 'it' : 'them'}.`,
      });
      for (let i = 0; i < isLater; i++) this.#rows.shift();
      this.#isDiverged = true;
      this.#present = undefined;
    } else {
      this.#note({
        kind: 'changed',
        record: row.index,
        text: `Record ${row.index} was changed: it does not have the hash that it was archived with.`,
      });
      this.#take(stored, hash);
    }
  }

  /** One leaf on, in step. */
  #take(stored: Uint8Array, present: Uint8Array | undefined): void {
    this.#rows.shift();
    if (this.#stored.length > 0) this.#stored.shift();
    const isSame = present !== undefined && equalBytes(stored, present);
    if (!isSame && !this.#isDiverged) {
      this.#isDiverged = true;
      this.#present = this.#reference.copy();
    }
    if (present === undefined) this.#present = undefined;
    else this.#present?.append(present);
    this.#reference.append(stored);
  }

  #takeOutOfStep(stored: Uint8Array): void {
    this.#rows.shift();
    this.#takeStored(stored);
  }

  /** A leaf that no row has: from here on the rows are not in step. */
  #takeStored(stored: Uint8Array | undefined): void {
    this.#stored.shift();
    this.#isDiverged = true;
    this.#present = undefined;
    if (stored !== undefined) this.#reference.append(stored);
  }

  #note(finding: Finding): void {
    if (this.#undecided.length < MAX_UNDECIDED) this.#undecided.push(finding);
    else this.#findings.add(finding);
  }

  async #checkClaims(): Promise<void> {
    const claims = await this.#claims.take(this.#reference.size);
    const reference = this.#reference.root;
    const present = this.#present?.size === this.#reference.size ? this.#present : undefined;
    // Rows of the file decide nothing about other rows of it.
    const strong = claims.filter(({ strength }) => strength !== 'kept');
    const storedFit = strong.some(({ root }) => equalBytes(root, reference));
    const presentFit =
      !storedFit && present !== undefined && strong.some(({ root }) => equalBytes(root, present.root));
    await this.#judge.judge(claims, presentFit && present !== undefined ? present.root : reference);
    if (presentFit && present !== undefined) {
      for (const { record } of this.#undecided) {
        this.#findings.add({
          kind: 'tree-changed',
          record: undefined,
          text: `The stored hash of record ${record} was changed; the record is right, since a checkpoint fits.`,
        });
      }
      this.#reference = present;
    } else if (storedFit) {
      for (const finding of this.#undecided) this.#findings.add(finding);
    }
    if (!storedFit && !presentFit) return;
    this.#undecided = [];
    this.#present = undefined;
    this.#isDiverged = false;
  }

  #forgetTiles(): void {
    this.#reference.takeChanges();
    this.#present?.takeChanges();
  }
}

const MAX_UNDECIDED = 1000;

/** First in, first out; looking into it costs nothing. */
class Queue<T> {
  #items: T[] = [];
  #start = 0;

  get length(): number {
    return this.#items.length - this.#start;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): void {
    this.#start++;
    if (this.#start < 1024) return;
    this.#items = this.#items.slice(this.#start);
    this.#start = 0;
  }

  at(position: number): T | undefined {
    return this.#items[this.#start + position];
  }

  set(position: number, item: T): void {
    this.#items[this.#start + position] = item;
  }

  /** Among the next LOOK_AHEAD, the first excepted; -1 when there is none. */
  findIndex(test: (item: T) => boolean): number {
    const end = Math.min(this.length, LOOK_AHEAD + 1);
    for (let i = 1; i < end; i++) if (test(this.#items[this.#start + i] as T)) return i;
    return -1;
  }
}
