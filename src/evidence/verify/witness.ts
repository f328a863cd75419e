import { equalBytes, toHex } from '../../der/bytes.ts';
import type { Direction, EvidenceRecord, EvidenceSession } from '../archive/record.ts';
import type { EvidenceReader } from '../archive/store.ts';
import type { Findings } from './findings.ts';

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
  witness: EvidenceReader,
  name: string,
  findings: Findings,
): Promise<Comparison> {
  const comparison: Comparison = { sessions: 0, same: 0, differing: 0, lacking: 0 };
  const ours = await sessionsByBinding(reader);
  for await (const session of allSessions(witness)) {
    const own = ours.get(toHex(session.sessionBinding));
    if (own === undefined) continue;
    comparison.sessions++;
    for await (const theirs of recordsOf(witness, session)) {
      await compareOne(reader, own, theirs, { name, findings, comparison });
    }
  }
  return comparison;
}

async function compareOne(
  reader: EvidenceReader,
  session: Uint8Array,
  theirs: EvidenceRecord,
  { name, findings, comparison }: { name: string; findings: Findings; comparison: Comparison },
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
  const what = `number ${theirs.sequence} ${direction === 'sent' ? 'to' : 'from'} the other party`;
  if (first !== undefined) {
    comparison.differing++;
    findings.add({
      kind: 'changed',
      record: first.index,
      text: `Record ${first.index} (${what}) is not the object that is in record ${theirs.index} of ${name}.`,
    });
    return;
  }
  comparison.lacking++;
  // What the other party sent may never have arrived; what it received from here was sent here.
  if (direction !== 'sent') return;
  findings.add({
    kind: 'removed',
    record: undefined,
    text: `An object that ${name} received from here (${what}, its record ${theirs.index}) is not in this archive.`,
  });
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
