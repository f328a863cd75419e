import type { CryptoProvider } from '../../crypto/provider.ts';
import { Tag } from '../../der/tags.ts';
import { constructed, encodeDer, integer, octetString, sequence } from '../../der/writer.ts';
import type { Archive } from '../archive/archive.ts';
import { decodeChain, decodeRevocation } from '../archive/leaf.ts';
import { type EvidenceRecord, RecordFlag, type SessionRef, type StoredContent } from '../archive/record.ts';
import { EvidenceError } from '../errors.ts';
import { encodeCheckpoint } from '../merkle/tree-head.ts';
import type { RecordVerifierOptions } from '../verify/record.ts';
import type { BundleReader, BundleRecord } from './reader.ts';
import { verifyBundle } from './verify.ts';

export interface ImportResult {
  /** Index in the bundle's archive and index here. */
  readonly records: readonly { readonly from: number; readonly to: number }[];
  /** Were here already, from an earlier import. */
  readonly known: number;
}

/**
 * Takes the records of a bundle into an archive, each with the proof of where it comes from, and marked as imported.
 * @throws EvidenceError ERR_EVIDENCE_BUNDLE when anything in the bundle does not verify: then nothing is taken
 */
export async function importBundle(
  crypto: CryptoProvider,
  archive: Archive,
  bundle: BundleReader,
  options: RecordVerifierOptions = {},
): Promise<ImportResult> {
  const report = await verifyBundle(crypto, bundle, options);
  if (!report.ok) {
    const bad = report.records.find(
      ({ isInTree, faults, verdict }) => !isInTree || faults.length > 0 || verdict.verdict === 'invalid',
    );
    const why =
      report.checkpointFault ??
      (bad === undefined
        ? 'it contradicts itself'
        : `record ${bad.record.index} ${bad.isInTree ? (bad.faults[0] ?? bad.verdict.reason) : 'is not in the tree that its checkpoint signs'}`);
    throw new EvidenceError(
      'ERR_EVIDENCE_BUNDLE',
      `${bundle.name}: not imported, since it does not verify: ${why}`,
    );
  }
  const indexes = new Map<number, number>();
  let known = 0;
  for (const bundled of bundle.bundled) {
    const { record } = bundled;
    const provenance = encodeProvenance(bundle, bundled);
    const digest = crypto.digest('sha256', provenance);
    const before = await findImported(archive, record, digest);
    if (before !== undefined) {
      indexes.set(record.index, before);
      known++;
      continue;
    }
    indexes.set(record.index, await importOne(archive, bundle, record, provenance, indexes));
  }
  return { records: [...indexes].map(([from, to]) => ({ from, to })), known };
}

async function importOne(
  archive: Archive,
  bundle: BundleReader,
  record: EvidenceRecord,
  provenance: Uint8Array,
  indexes: ReadonlyMap<number, number>,
): Promise<number> {
  const { kind, objectLength, contentLength, contentDigest } = record;
  // What is erased there has no object to bring along; its place in the sequence is kept.
  const isAbsent = record.held === 'none';
  return archive.appendImported(
    {
      direction: record.direction,
      kind: kind === 'receipt' ? 'receipt' : 'data',
      status: isAbsent ? 'missing' : record.status,
      reason: isAbsent ? absentReason(record) : record.reason,
      time: record.time,
      session: await sessionFor(archive, bundle, record),
      sequence: record.sequence,
      application: record.application,
      contentType: record.contentType,
      format: record.format,
      object: isAbsent ? undefined : await contentFor(archive, bundle, record.index, objectLength),
      content: contentDigest.length > 0 ? { length: contentLength, digest: contentDigest } : undefined,
      target: record.target === undefined ? undefined : indexes.get(record.target),
      treeHead: record.treeHead,
      signerChain: await attachmentOf(bundle, record.signerChain, decodeChain),
      revocation: await attachmentOf(bundle, record.revocation, decodeRevocation),
      flags: record.flags | RecordFlag.imported,
    },
    provenance,
  );
}

function absentReason({ kind, reason }: EvidenceRecord): string {
  return kind === 'erasure' ? `erased in the other archive: ${reason}` : reason || 'no object in the bundle';
}

/**
 * Where an imported record comes from: `SEQUENCE { checkpoint Checkpoint, index INTEGER, leaf OCTET STRING,
 * proof SEQUENCE OF OCTET STRING }`, DER.
 */
function encodeProvenance(bundle: BundleReader, { record, leaf, proof }: BundleRecord): Uint8Array {
  return encodeDer(
    sequence(
      encodeCheckpoint(bundle.checkpoint),
      integer(record.index),
      octetString(leaf),
      constructed(
        Tag.sequence,
        proof.map((hash) => octetString(hash)),
      ),
    ),
  );
}

async function findImported(
  archive: Archive,
  record: EvidenceRecord,
  provenance: Uint8Array,
): Promise<number | undefined> {
  if (record.objectDigest.length === 0) return undefined;
  const found = await archive.store.find({ digest: record.objectDigest, limit: 100 });
  return found.find((one) => one.provenance !== undefined && Buffer.from(provenance).equals(one.provenance))
    ?.index;
}

async function sessionFor(
  archive: Archive,
  bundle: BundleReader,
  record: EvidenceRecord,
): Promise<SessionRef> {
  const session = await bundle.session(record.session);
  if (session === undefined) {
    throw new EvidenceError(
      'ERR_EVIDENCE_BUNDLE',
      `${bundle.name}: the session of record ${record.index} is not in it`,
    );
  }
  const [ownChain = [], peerChain = []] = [
    await attachmentOf(bundle, session.ownChain, decodeChain),
    await attachmentOf(bundle, session.peerChain, decodeChain),
  ];
  return archive.addSession({ ...session, ownChain, peerChain });
}

async function attachmentOf<T>(
  bundle: BundleReader,
  digest: Uint8Array | undefined,
  decode: (bytes: Uint8Array) => T,
): Promise<T | undefined> {
  const bytes = digest && (await bundle.attachment(digest));
  return bytes && decode(bytes);
}

/** Small ones whole, large ones in pieces. */
async function contentFor(
  archive: Archive,
  bundle: BundleReader,
  index: number,
  length: number,
): Promise<StoredContent> {
  const content = await archive.newContent();
  let written = 0;
  for await (const piece of bundle.object(index)) {
    written += piece.length;
    if (written > length) break;
    await content.write(piece);
  }
  return content.finish();
}
