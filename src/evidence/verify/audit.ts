import type { CryptoProvider } from '../../crypto/provider.ts';
import { equalBytes, toHex } from '../../der/bytes.ts';
import { SignatureError } from '../../errors/errors.ts';
import { encodeLeaf } from '../archive/leaf.ts';
import { type EvidenceRecord, hasFlag } from '../archive/record.ts';
import type { EvidenceReader, StoredHead, StoreIdentity } from '../archive/store.ts';
import { EvidenceError } from '../errors.ts';
import { HASH_BYTES, MerkleHash } from '../merkle/hash.ts';
import { rangeHash } from '../merkle/proof.ts';
import { storedSubtrees, TILE_WIDTH } from '../merkle/tree.ts';
import { archiveId, type Checkpoint, treeHeadOf, verifyCheckpoint } from '../merkle/tree-head.ts';
import { Alignment, LOOK_AHEAD } from './alignment.ts';
import { type CheckpointCount, ClaimJudge, Claims, claimsOf, ownHeads, witnessedHeads } from './claims.ts';
import { ContentCheck } from './contents.ts';
import { type Finding, Findings } from './findings.ts';
import { ProvenTimes } from './proven-time.ts';
import { RecordVerifier, type RecordVerifierOptions } from './record.ts';
import { isFault, type Row, readRows } from './rows.ts';
import { type Comparison, compareWith, doubtAbout, type Witness } from './witness.ts';

/** Heads in sent records whose row in the file is not the same: each costs some hundred hashes to look into. */
const MAX_SUSPECT_HEADS = 1000;
const MAX_REMEMBERED_HEADS = 1000;
const PAGE = 500;

export interface AuditOptions extends RecordVerifierOptions {
  /**
   * Which signatures to verify again: of all records, of receipts, or none. A signature takes much longer than
   * everything else. Default `all`.
   */
  readonly signatures?: 'all' | 'receipts' | 'none' | undefined;
  /** Checkpoints that were kept elsewhere. */
  readonly checkpoints?: readonly { readonly name: string; readonly checkpoint: Checkpoint }[] | undefined;
  /** The other party's archive, or a bundle from it. */
  readonly witnesses?: readonly { readonly name: string; readonly reader: EvidenceReader }[] | undefined;
  /** Records that have been looked at, now and then. */
  readonly onProgress?: ((records: number) => void) | undefined;
}

export interface AuditReport {
  /** Hexadecimal. */
  readonly archive: string;
  /** Nothing was found that should not be. */
  readonly ok: boolean;
  readonly records: number;
  readonly contents: { readonly held: number; readonly erased: number };
  /** Lowest record first; at most `MAX_FINDINGS` of `findingCount`. */
  readonly findings: readonly Finding[];
  readonly findingCount: number;
  readonly checkpoints: CheckpointCount;
  readonly timestamps: { valid: number; pending: number; invalid: number };
  readonly signatures: { readonly mode: 'all' | 'receipts' | 'none'; valid: number; invalid: number };
  /** Whether signers' certificates were judged: trust anchors were given. */
  readonly judged: boolean;
  /** Records from the first on that somebody vouches for. Above that, nothing but the file itself speaks. */
  readonly covered: {
    /** By a checkpoint, which the archive's owner can sign again. */
    readonly byCheckpoint: number;
    /** By a timestamp of a time authority. */
    readonly byTimestamp: number;
    /** By receipts of the other party that verify, each for an object that carried a head. */
    readonly byReceipt: number;
    /** By what was given as witness. */
    readonly byWitness: number;
  };
  /** Records at the end that nobody but the owner vouches for. */
  readonly unwitnessed: number;
  readonly witnesses: readonly (Comparison & { readonly name: string })[];
  /** Heads from witnesses, and how many of them fit. */
  readonly witnessHeads: { readonly count: number; readonly fitting: number };
}

/**
 * Recomputes everything from the file, in bounded memory, whatever its size.
 * @throws EvidenceError ERR_EVIDENCE_DAMAGED when the file cannot be read to its end; ERR_EVIDENCE_CHECKPOINT when a
 *   checkpoint that was given is of another archive or forged
 */
export function audit(
  crypto: CryptoProvider,
  reader: EvidenceReader,
  options: AuditOptions = {},
): Promise<AuditReport> {
  return new Audit(crypto, reader, options).run();
}

class Audit {
  readonly #crypto: CryptoProvider;
  readonly #reader: EvidenceReader;
  readonly #options: AuditOptions;
  readonly #hash: MerkleHash;
  readonly #findings = new Findings();
  readonly #judge = new ClaimJudge(this.#findings);
  readonly #contents: ContentCheck;
  readonly #verifier: RecordVerifier;
  readonly #witnesses: readonly Witness[];
  readonly #mode: 'all' | 'receipts' | 'none';
  readonly #checkpoints: CheckpointCount = { count: 0, valid: 0, last: undefined };
  readonly #timestamps = { valid: 0, pending: 0, invalid: 0 };
  readonly #signatures: { valid: number; invalid: number } = { valid: 0, invalid: 0 };
  readonly #suspectHeads: { readonly index: number; readonly size: number; readonly root: Uint8Array }[] = [];
  /** Heads that were looked up: records that were made at the same time carry the same few. */
  readonly #heads = new Map<number, StoredHead | undefined>();
  #records = 0;
  #byReceipt = 0;
  #byTimestamp = 0;

  constructor(crypto: CryptoProvider, reader: EvidenceReader, options: AuditOptions) {
    this.#crypto = crypto;
    this.#reader = reader;
    this.#options = options;
    this.#hash = new MerkleHash(crypto);
    this.#contents = new ContentCheck(crypto, reader);
    this.#verifier = new RecordVerifier(crypto, reader, options);
    this.#witnesses = (options.witnesses ?? []).map((witness) => ({
      ...witness,
      verifier: new RecordVerifier(crypto, witness.reader, options),
    }));
    this.#mode = options.signatures ?? 'all';
  }

  async run(): Promise<AuditReport> {
    const identity = await this.#reader.identity();
    this.#checkIdentity(identity);
    const claims = await this.#claims(identity);
    const alignment = new Alignment(this.#hash, this.#findings, claims, this.#judge);
    await alignment.begin();
    await this.#readAll(alignment, identity);
    await alignment.end();
    this.#judge.end(alignment.size);
    await this.#checkSuspectHeads(alignment.size);
    await this.#checkTimestamps();
    await this.#checkWitnessed();
    const witnesses = [];
    for (const witness of this.#witnesses) {
      witnesses.push({ name: witness.name, ...(await compareWith(this.#reader, witness, this.#findings)) });
    }
    return this.#report(identity, witnesses);
  }

  /** Rows and stored leaves go side by side, a page of each at a time. */
  async #readAll(alignment: Alignment, identity: StoreIdentity): Promise<void> {
    const leaves = await this.#reader.leaves();
    const rows = readRows(this.#reader);
    let position = 0;
    let rowsEnded = false;
    let leavesEnded = leaves === 0;
    while (!rowsEnded || !leavesEnded) {
      if (!rowsEnded && alignment.waitingRows <= 2 * LOOK_AHEAD) {
        const page = await rows.next();
        if (page.done) rowsEnded = true;
        else for (const row of page.value) await this.#row(alignment, row, identity);
      }
      if (!leavesEnded && alignment.waitingLeaves <= 2 * LOOK_AHEAD) {
        await this.#tile(alignment, position++, leaves);
        leavesEnded = position * TILE_WIDTH >= leaves;
      }
      await alignment.advance(rowsEnded, leavesEnded);
      this.#options.onProgress?.(this.#records);
    }
  }

  async #tile(alignment: Alignment, position: number, leaves: number): Promise<void> {
    const count = Math.min(TILE_WIDTH, leaves - position * TILE_WIDTH);
    const hashes = await this.#reader.tile(0, position);
    for (let i = 0; i < count; i++) {
      const hash = hashes?.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES);
      alignment.addLeaf(hash?.length === HASH_BYTES ? hash : undefined);
    }
  }

  async #row(alignment: Alignment, row: Row, identity: StoreIdentity): Promise<void> {
    if (isFault(row)) {
      const { index, fault } = row;
      if (index === undefined) {
        this.#findings.add({
          kind: 'inserted',
          record: undefined,
          text: `A row that no archive writes: ${fault}.`,
        });
      } else {
        alignment.addRow({ index, hash: undefined });
      }
      return;
    }
    const { record, object } = row;
    this.#records++;
    alignment.addRow({ index: record.index, hash: this.#hash.leaf(encodeLeaf(record)) });
    const faults = await this.#contents.check(record, object);
    for (const fault of faults) this.#findings.add(fault);
    const isOwn = record.direction === 'sent' && !hasFlag(record, 'imported');
    if (isOwn && record.treeHead.length > 0) await this.#ownHead(record, identity);
    const isWanted = this.#mode === 'all' || (this.#mode === 'receipts' && record.kind === 'receipt');
    // What is not the object that was archived needs no verifier to be wrong.
    if (isWanted && faults.length === 0) await this.#signature(record, object);
    else if (!isWanted && record.kind === 'receipt') await this.#acknowledged(record);
  }

  /** The head in what was sent is one that the archive has given away; its row was judged with the others. */
  async #ownHead(record: EvidenceRecord, identity: StoreIdentity): Promise<void> {
    const head = treeHeadOf(record.treeHead);
    if (head === undefined || !equalBytes(head.archive, identity.archive)) return;
    if (!this.#heads.has(head.size)) {
      if (this.#heads.size >= MAX_REMEMBERED_HEADS) this.#heads.clear();
      this.#heads.set(head.size, await orUnreadable(this.#reader.head(head.size)));
    }
    const row = this.#heads.get(head.size);
    if (row !== undefined && equalBytes(row.root, head.root)) return;
    if (this.#suspectHeads.length < MAX_SUSPECT_HEADS) {
      this.#suspectHeads.push({ index: record.index, size: head.size, root: head.root });
    }
  }

  async #signature(record: EvidenceRecord, object: Uint8Array | undefined): Promise<void> {
    const { verdict, reason, code } = await this.#verifier.verify(record, object);
    if (verdict === 'valid') {
      this.#signatures.valid++;
      if (record.kind === 'receipt') await this.#acknowledged(record);
      return;
    }
    if (verdict !== 'invalid' || code === 'ERR_EVIDENCE_ERASED') return;
    this.#signatures.invalid++;
    const isReceipt = record.kind === 'receipt';
    this.#findings.add({
      kind: isReceipt ? 'forged-receipt' : 'forged',
      record: record.index,
      text: isReceipt
        ? `Record ${record.index} is no receipt that its signer gave: ${reason} (${code}).`
        : `Record ${record.index} is not what its signer signed: ${reason} (${code}).`,
    });
  }

  /** A receipt covers the object with the head in it: whoever signed it has seen that head. */
  async #acknowledged({ direction, status, target }: EvidenceRecord): Promise<void> {
    if (direction !== 'received' || status !== 'verified' || target === undefined) return;
    const acknowledged = await orUnreadable(this.#reader.record(target));
    const head = acknowledged && treeHeadOf(acknowledged.treeHead);
    if (head !== undefined) this.#byReceipt = Math.max(this.#byReceipt, head.size);
  }

  /** Sent records whose head is not the one in the file: which of the two does the tree have? */
  async #checkSuspectHeads(size: number): Promise<void> {
    const subtree = storedSubtrees(
      this.#hash,
      (level, position) => this.#reader.tile(level, position),
      () => new EvidenceError('ERR_EVIDENCE_DAMAGED', 'Stored hashes of the tree are missing'),
    );
    for (const head of this.#suspectHeads) {
      const isRight =
        head.size <= size &&
        (head.size === 0 ||
          equalBytes(
            await rangeHash(this.#hash, subtree, 0, head.size).catch(() => new Uint8Array(0)),
            head.root,
          ));
      if (isRight) continue;
      this.#findings.add({
        kind: 'rewritten',
        record: Math.min(this.#judge.vouched('signed'), head.size),
        lastRecord: Math.max(head.size - 1, 0),
        text: `Record ${head.index}, which was sent, says that the first ${head.size} records had another root: one of them was rewritten, or that record was.`,
      });
    }
  }

  async #checkTimestamps(): Promise<void> {
    const times = new ProvenTimes(this.#crypto, this.#reader, this.#options.timeTrust ?? this.#options.trust);
    for (let from = 0; ; ) {
      const page = await this.#reader.timestamps({ from, limit: PAGE });
      for (const timestamp of page) {
        const { size, authority, token } = timestamp;
        if (token === undefined) this.#timestamps.pending++;
        else {
          const fault = await this.#timestampFault(times, timestamp);
          if (fault === undefined) {
            this.#timestamps.valid++;
            if (size <= this.#judge.vouched('signed')) this.#byTimestamp = Math.max(this.#byTimestamp, size);
          } else {
            this.#timestamps.invalid++;
            this.#findings.add({
              kind: 'timestamp',
              record: undefined,
              text: `The timestamp of ${authority} for the checkpoint at ${size} records does not date it: ${fault}.`,
            });
          }
        }
      }
      const last = page.at(-1);
      if (page.length < PAGE || last === undefined) return;
      from = last.size + 1;
    }
  }

  async #timestampFault(
    times: ProvenTimes,
    timestamp: Parameters<ProvenTimes['verify']>[0],
  ): Promise<string | undefined> {
    try {
      return (await times.verify(timestamp)) === undefined ? 'there is no such checkpoint' : undefined;
    } catch (error) {
      if (error instanceof SignatureError) return error.message;
      throw error;
    }
  }

  /** The list of other archives' heads, against the records that it names; and those archives against themselves. */
  async #checkWitnessed(): Promise<void> {
    let before: { readonly key: string; readonly root: Uint8Array; readonly record: number } | undefined;
    for (let from = 0; ; ) {
      const page = await this.#reader.witnessed({ from, limit: PAGE });
      for (const { archive, size, root, record } of page) {
        const key = `${toHex(archive)}/${size}`;
        const holder = await orUnreadable(this.#reader.record(record));
        const head = holder && treeHeadOf(holder.treeHead);
        const isThere =
          head !== undefined &&
          head.size === size &&
          equalBytes(head.root, root) &&
          equalBytes(head.archive, archive);
        if (!isThere) {
          this.#findings.add({
            kind: 'witness',
            record,
            text: `Record ${record} does not hold the head of archive ${toHex(archive)} at ${size} records that it is listed with.`,
          });
        }
        if (before?.key === key && !equalBytes(before.root, root)) {
          this.#findings.add({
            kind: 'equivocation',
            record: Math.min(record, before.record),
            text: `Archive ${toHex(archive)} of the other party showed two pasts: records ${before.record} and ${record} hold different heads at ${size} records. This archive is not at fault.`,
          });
        }
        before = { key, root, record };
      }
      const last = page.at(-1);
      if (page.length < PAGE || last === undefined) return;
      from = last.size + 1;
    }
  }

  async #claims(identity: StoreIdentity): Promise<Claims> {
    const { checkpoints = [] } = this.#options;
    const given = checkpoints.map(({ name, checkpoint }) => {
      const { head } = checkpoint;
      if (!equalBytes(head.archive, identity.archive)) {
        throw new EvidenceError(
          'ERR_EVIDENCE_CHECKPOINT',
          `${name} is a checkpoint of archive ${toHex(head.archive)}; this one is ${toHex(identity.archive)}`,
        );
      }
      verifyCheckpoint(this.#crypto, checkpoint);
      return {
        size: head.size,
        root: head.root,
        strength: 'witness' as const,
        source: `the checkpoint in ${name} (${head.size} records, ${new Date(checkpoint.time).toISOString()})`,
      };
    });
    return Claims.of([
      ownHeads(this.#crypto, this.#reader, identity, this.#findings, this.#checkpoints),
      claimsOf(given),
      ...this.#witnesses.map((witness) =>
        witnessedHeads(witness.reader, witness.name, identity.archive, (head) =>
          doubtAbout(this.#reader, witness, head),
        ),
      ),
    ]);
  }

  #checkIdentity({ archive, publicKey }: StoreIdentity): void {
    if (equalBytes(archiveId(this.#crypto, publicKey), archive)) return;
    this.#findings.add({
      kind: 'head-changed',
      record: undefined,
      text: 'The archive does not have the name that its key gives it: one of them was changed.',
    });
  }

  #report(
    { archive }: StoreIdentity,
    witnesses: readonly (Comparison & { readonly name: string })[],
  ): AuditReport {
    const findings = this.#findings.first();
    const byWitness = this.#judge.vouched('witness');
    const witnessed = Math.max(byWitness, this.#byReceipt, this.#byTimestamp);
    // What another archive has done is told, but is not this one's fault.
    const others = findings.filter(({ kind }) => kind === 'equivocation' || kind === 'unproven');
    const ok = this.#findings.count === others.length;
    return {
      archive: toHex(archive),
      ok,
      records: this.#records,
      contents: { held: this.#contents.held, erased: this.#contents.erased },
      findings,
      findingCount: this.#findings.count,
      checkpoints: this.#checkpoints,
      timestamps: this.#timestamps,
      signatures: { mode: this.#mode, ...this.#signatures },
      judged: this.#options.trust !== undefined,
      covered: {
        byCheckpoint: this.#judge.vouched('signed'),
        byTimestamp: this.#byTimestamp,
        byReceipt: this.#byReceipt,
        byWitness,
      },
      unwitnessed: Math.max(0, this.#records - witnessed),
      witnesses,
      witnessHeads: { count: this.#judge.witnesses, fitting: this.#judge.fittingWitnesses },
    };
  }
}

/** A row that nobody can read has told nothing; the pass over all rows says so. */
async function orUnreadable<T>(row: Promise<T>): Promise<T | undefined> {
  try {
    return await row;
  } catch (error) {
    if (error instanceof EvidenceError && 'index' in error) return undefined;
    throw error;
  }
}
