import type { CryptoProvider } from '../../crypto/provider.ts';
import { equalBytes } from '../../der/bytes.ts';
import { encodeLeaf } from '../archive/leaf.ts';
import type { EvidenceRecord } from '../archive/record.ts';
import { EvidenceError } from '../errors.ts';
import { MerkleHash } from '../merkle/hash.ts';
import { verifyInclusion } from '../merkle/proof.ts';
import { verifyCheckpoint } from '../merkle/tree-head.ts';
import { ContentCheck } from '../verify/contents.ts';
import { type RecordVerdict, RecordVerifier, type RecordVerifierOptions } from '../verify/record.ts';
import type { BundleReader } from './reader.ts';

export interface BundleReport {
  /** All of it proves what it says. */
  readonly ok: boolean;
  /** What is wrong with the checkpoint; undefined when it is signed by the archive's key. */
  readonly checkpointFault: string | undefined;
  readonly records: readonly BundleVerdict[];
}

export interface BundleVerdict {
  readonly record: EvidenceRecord;
  /** The checkpoint covers exactly this record. */
  readonly isInTree: boolean;
  /** Objects, sessions, certificates that do not have the digests that the record names. */
  readonly faults: readonly string[];
  readonly verdict: RecordVerdict;
}

/** What `audit` is for an archive: everything in a bundle is computed again. */
export async function verifyBundle(
  crypto: CryptoProvider,
  bundle: BundleReader,
  options: RecordVerifierOptions = {},
): Promise<BundleReport> {
  const hash = new MerkleHash(crypto);
  const checkpointFault = faultOf(() => verifyCheckpoint(crypto, bundle.checkpoint));
  const { size, root } = bundle.checkpoint.head;
  const contents = new ContentCheck(crypto, bundle);
  const verifier = new RecordVerifier(crypto, bundle, options);
  const records: BundleVerdict[] = [];
  for (const { record, leaf, proof } of bundle.bundled) {
    // What was decoded from the leaf is all that it says: another encoding of the same would be another leaf.
    const isSame = equalBytes(encodeLeaf(record), leaf);
    const isInTree = isSame && verifyInclusion(hash, hash.leaf(leaf), record.index, size, proof, root);
    const findings = await contents.check(record, undefined);
    // An erasure may be left out of a bundle; that the content is not there is plain to see.
    const faults = findings.filter(({ kind }) => kind !== 'content-removed').map(({ text }) => text);
    records.push({ record, isInTree, faults, verdict: await verifier.verify(record) });
  }
  const ok =
    checkpointFault === undefined &&
    records.every(
      ({ isInTree, faults, verdict }) =>
        isInTree &&
        faults.length === 0 &&
        (verdict.verdict !== 'invalid' || verdict.code === 'ERR_EVIDENCE_ERASED'),
    );
  return { ok, checkpointFault, records };
}

function faultOf(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (error instanceof EvidenceError) return error.message;
    throw error;
  }
}
