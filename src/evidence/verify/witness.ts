import { equalBytes, toHex } from '../../der/bytes.ts';
import type { Binding } from '../../formats/binding.ts';
import type { Direction, EvidenceRecord, EvidenceSession } from '../archive/record.ts';
import type { EvidenceReader, WitnessedHead } from '../archive/store.ts';
import { treeHeadOf } from '../merkle/tree-head.ts';
import { readChain } from '../report/account.ts';
import type { Findings } from './findings.ts';
import type { RecordVerifier } from './record.ts';

/** Sessions of both archives that are held in memory for the comparison: 64 bytes each. */
const MAX_SESSIONS = 200_000;
const PAGE = 500;

export interface Comparison {
  /** Sessions that both archives know. */
  sessions: number;
  /** Records of the other archive that are here as well, the same. */
  same: number;
  differing: number;
  /** What the other archive has and this one has not. */
  lacking: number;
}

/**
 * Compares with what the other party has archived of the same sessions: what one has sent the other has received.
 * A session is known by its binding, which both sides computed from the handshake.
 */
export async function compareWith(
  reader: EvidenceReader,
  witness: Witness,
  findings: Findings,
): Promise<Comparison> {
  const comparison: Comparison = { sessions: 0, same: 0, differing: 0, lacking: 0 };
  const ours = await sessionsByBinding(reader);
  for await (const session of allSessions(witness.reader)) {
    const own = ours.get(toHex(session.sessionBinding));
    if (own === undefined) continue;
    comparison.sessions++;
    for await (const theirs of recordsOf(witness.reader, session)) {
      await compareOne(reader, own, theirs, { witness, findings, comparison });
    }
  }
  return comparison;
}

/** The other party's archive or bundle. */
export interface Witness {
  readonly name: string;
  readonly reader: EvidenceReader;
  /** Of its records. */
  readonly verifier: RecordVerifier;
}

/**
 * Whether a head that a witness holds against this archive was really sent by its owner.
 * @returns what speaks against it
 */
export async function doubtAbout(
  reader: EvidenceReader,
  witness: Witness,
  { record: index, archive, size, root }: WitnessedHead,
): Promise<string | undefined> {
  const record = await witness.reader.record(index);
  if (record === undefined) return 'there is no such record';
  const { doubt, binding } = await attribute(reader, witness, record);
  if (doubt !== undefined || binding === undefined) return doubt ?? 'it is bound to nothing';
  const head = treeHeadOf(binding.treeHead);
  const isSame = head?.size === size && equalBytes(head.root, root) && equalBytes(head.archive, archive);
  return isSame ? undefined : 'what was signed holds another head';
}

/** Is a record of a witness inside of an object that verifies, signed with a key that the owner used in that session? */
async function attribute(
  reader: EvidenceReader,
  witness: Witness,
  record: EvidenceRecord,
): Promise<{ doubt: string | undefined; binding: Binding | undefined }> {
  const { verdict, reason, signer, binding } = await witness.verifier.verify(record);
  if (verdict !== 'valid' || signer === undefined || binding === undefined) {
    return { doubt: reason ?? verdict, binding };
  }
  for await (const session of allSessions(reader)) {
    if (!equalBytes(session.sessionBinding, binding.sessionBinding)) continue;
    const [own] = await readChain(reader, session.ownChain);
    if (own === undefined || equalBytes(own.spki, signer.spki)) break;
    return { doubt: `it is signed by ${signer}, who is not the owner of this archive`, binding };
  }
  // Of a session that is not here only the certificate says whose key it was, and that was judged.
  return { doubt: undefined, binding };
}

async function compareOne(
  reader: EvidenceReader,
  session: Uint8Array,
  theirs: EvidenceRecord,
  { witness, findings, comparison }: { witness: Witness; findings: Findings; comparison: Comparison },
): Promise<void> {
  if (theirs.kind === 'erasure' || theirs.objectDigest.length === 0) return;
  const direction: Direction = theirs.direction === 'sent' ? 'received' : 'sent';
  const found = await reader.find({
    sessions: [{ digest: session }],
    direction,
    sequence: theirs.sequence,
    limit: PAGE,
  });
  const candidates = found.filter(({ kind, objectDigest }) => kind !== 'erasure' && objectDigest.length > 0);
  if (candidates.some(({ objectDigest }) => equalBytes(objectDigest, theirs.objectDigest))) {
    comparison.same++;
    return;
  }
  const [first] = candidates;
  if (first === undefined) comparison.lacking++;
  else comparison.differing++;
  // What the other party sent may never have arrived, and it can sign anything as sent; what it received from here was
  // signed here.
  if (direction !== 'sent') return;
  const where = `number ${theirs.sequence} of what was sent, record ${theirs.index} of ${witness.name}`;
  const { doubt } = await attribute(reader, witness, theirs);
  if (doubt !== undefined) {
    findings.add({
      kind: 'unproven',
      record: first?.index,
      text: `${witness.name} has another object as ${where}, and does not prove that it came from here: ${doubt}. It is not held against this archive.`,
    });
  } else if (first === undefined) {
    findings.add({
      kind: 'removed',
      record: undefined,
      text: `An object that was signed and sent from here (${where}) is not in this archive.`,
    });
  } else {
    findings.add({
      kind: 'changed',
      record: first.index,
      text: `Record ${first.index} is not the object that was signed and sent from here (${where}).`,
    });
  }
}

async function sessionsByBinding(reader: EvidenceReader): Promise<Map<string, Uint8Array>> {
  const sessions = new Map<string, Uint8Array>();
  for await (const { sessionBinding, digest } of allSessions(reader)) {
    if (sessions.size >= MAX_SESSIONS) break;
    sessions.set(toHex(sessionBinding), digest);
  }
  return sessions;
}

async function* allSessions(reader: EvidenceReader): AsyncGenerator<EvidenceSession> {
  let after: Uint8Array | undefined;
  for (;;) {
    const page = await reader.sessions({ after, limit: PAGE });
    yield* page;
    after = page.at(-1)?.digest;
    if (page.length < PAGE) return;
  }
}

async function* recordsOf(reader: EvidenceReader, session: EvidenceSession): AsyncGenerator<EvidenceRecord> {
  let after: number | undefined;
  for (;;) {
    const page = await reader.find({ sessions: [session], after, limit: PAGE });
    yield* page;
    after = page.at(-1)?.index;
    if (page.length < PAGE) return;
  }
}
