import type { CryptoProvider } from '../../crypto/provider.ts';
import { toHex } from '../../der/bytes.ts';
import { DecodeError, TrellisError } from '../../errors/errors.ts';
import type { ContentFormat } from '../../formats/format.ts';
import { Certificate } from '../../x509/certificate.ts';
import { decodeChain, decodeRevocation } from '../archive/leaf.ts';
import { type EvidenceRecord, type EvidenceSession, hasFlag } from '../archive/record.ts';
import type { EvidenceReader, StoredHead, StoredTimestamp } from '../archive/store.ts';
import { EvidenceError } from '../errors.ts';
import { ProvenTimes } from '../verify/proven-time.ts';
import { type RecordVerdict, RecordVerifier, type RecordVerifierOptions } from '../verify/record.ts';
import { cipherSuiteName, protocolName } from './names.ts';

/** Receipts and erasures of one record that are told of. */
const MAX_RELATED = 20;
/** Checkpoints that are looked at for a timestamp. */
const MAX_TIMESTAMPS = 20;

/** Everything about one record that somebody needs who has to decide about it. Ready to be printed, or to be JSON. */
export interface Account {
  readonly archive: string;
  readonly record: RecordView;
  readonly session: SessionView | undefined;
  /** Who made the object, and whom it was addressed to. */
  readonly from: PartyView;
  readonly to: PartyView;
  readonly verification: VerdictView;
  /** For data: the receipts. For a receipt: none. */
  readonly receipts: readonly { readonly record: RecordView; readonly verification: VerdictView }[];
  /** For a receipt: what it acknowledges. */
  readonly acknowledges: RecordView | undefined;
  readonly erased: { readonly record: number; readonly time: string; readonly reason: string } | undefined;
  readonly checkpoint: { readonly size: number; readonly time: string; readonly root: string } | undefined;
  readonly timestamp:
    | { readonly time: string; readonly authority: string; readonly checkpoint: number }
    | { readonly pending: string; readonly lastError: string }
    | undefined;
  readonly revocation: readonly { readonly kind: string; readonly bytes: number }[];
  /** What is not there or not proven, each as a sentence. */
  readonly missing: readonly string[];
}

export interface RecordView {
  readonly index: number;
  readonly direction: string;
  readonly kind: string;
  readonly status: string;
  readonly reason: string;
  /** ISO 8601. */
  readonly time: string;
  readonly application: string;
  readonly sequence: number;
  readonly contentType: number;
  readonly format: ContentFormat;
  readonly objectBytes: number;
  readonly objectSha256: string;
  readonly contentBytes: number;
  readonly contentSha256: string;
  readonly session: string;
  readonly target: number | undefined;
  readonly flags: readonly string[];
  readonly held: boolean;
}

export interface SessionView {
  readonly role: string;
  readonly protocol: string;
  readonly cipherSuite: string;
  readonly binding: string;
  readonly started: string;
}

export interface PartyView {
  readonly side: 'client' | 'server';
  /** True for the side that has this archive. */
  readonly own: boolean;
  readonly name: string;
  readonly certificate: CertificateView | undefined;
}

export interface CertificateView {
  readonly subject: string;
  readonly issuer: string;
  readonly serial: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly sha256: string;
}

export interface VerdictView {
  readonly verdict: RecordVerdict['verdict'];
  readonly code: string | undefined;
  readonly reason: string | undefined;
  readonly signer: string | undefined;
  readonly certificate: string | undefined;
  /** ISO 8601, by the signer's clock. */
  readonly signedAt: string | undefined;
  /** ISO 8601, and whose clock that was. */
  readonly judgedAt: string | undefined;
  readonly clock: string | undefined;
}

/** @throws EvidenceError ERR_EVIDENCE_NOT_FOUND */
export async function accountOf(
  crypto: CryptoProvider,
  reader: EvidenceReader,
  index: number,
  options: RecordVerifierOptions = {},
): Promise<Account> {
  const record = await reader.record(index);
  if (record === undefined) {
    throw new EvidenceError('ERR_EVIDENCE_NOT_FOUND', `There is no record ${index} in this archive`);
  }
  const verifier = new RecordVerifier(crypto, reader, options);
  const session = await reader.session(record.session);
  const verdict = await verifier.verify(record);
  const related = await reader.find({ target: index, limit: MAX_RELATED });
  const receipts = [];
  for (const receipt of related.filter(({ kind }) => kind === 'receipt')) {
    receipts.push({ record: viewRecord(receipt), verification: viewVerdict(await verifier.verify(receipt)) });
  }
  const erasure = related.find(({ kind }) => kind === 'erasure');
  const target =
    record.kind === 'receipt' && record.target !== undefined ? await reader.record(record.target) : undefined;
  const { archive } = await reader.identity();
  const [checkpoint] = await reader.heads({ from: index + 1, limit: 1, checkpoints: true });
  const parties = await viewParties(crypto, reader, record, session);
  const facts = {
    archive: toHex(archive),
    record: viewRecord(record),
    session: session && viewSession(session),
    ...parties,
    verification: viewVerdict(verdict),
    receipts,
    acknowledges: target && viewRecord(target),
    erased: erasure && { record: erasure.index, time: iso(erasure.time), reason: erasure.reason },
    checkpoint: checkpoint && viewHead(checkpoint),
    timestamp: await findTimestamp(crypto, reader, index, options),
    revocation: await viewRevocation(reader, record),
  };
  return { ...facts, missing: whatIsMissing(record, facts) };
}

export function viewRecord(record: EvidenceRecord): RecordView {
  return {
    index: record.index,
    direction: record.direction,
    kind: record.kind,
    status: record.status,
    reason: record.reason,
    time: iso(record.time),
    application: record.application,
    sequence: record.sequence,
    contentType: record.contentType,
    format: record.format,
    objectBytes: record.objectLength,
    objectSha256: toHex(record.objectDigest),
    contentBytes: record.contentLength,
    contentSha256: toHex(record.contentDigest),
    session: toHex(record.session),
    target: record.target,
    flags: (['receiptRequested', 'unsigned', 'streamed', 'imported'] as const).filter((f) =>
      hasFlag(record, f),
    ),
    held: record.held !== 'none',
  };
}

export function viewVerdict(verdict: RecordVerdict): VerdictView {
  const { signer, signingTime, at } = verdict;
  return {
    verdict: verdict.verdict,
    code: verdict.code,
    reason: verdict.reason,
    signer: signer && `${signer}`,
    certificate: verdict.certificate,
    signedAt: signingTime === undefined ? undefined : iso(signingTime),
    judgedAt: at && iso(at.time),
    clock: at?.by,
  };
}

export function viewCertificate(crypto: CryptoProvider, certificate: Certificate): CertificateView {
  return {
    subject: `${certificate.subject}`,
    issuer: `${certificate.issuer}`,
    serial: certificate.serialHex,
    notBefore: iso(certificate.notBefore),
    notAfter: iso(certificate.notAfter),
    sha256: toHex(crypto.digest('sha256', certificate.raw)),
  };
}

/** Times of hostile files may be beyond what a Date knows. */
export function iso(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? `${time} ms since 1970` : date.toISOString();
}

/** Certificates of an attachment; empty when it is missing or damaged, which an audit tells. */
export async function readChain(
  reader: EvidenceReader,
  digest: Uint8Array | undefined,
): Promise<Certificate[]> {
  const bytes = digest && (await reader.attachment(digest));
  if (bytes === undefined) return [];
  try {
    return decodeChain(bytes).map((der) => Certificate.parse(der));
  } catch (error) {
    if (error instanceof TrellisError) return [];
    throw error;
  }
}

function viewSession(session: EvidenceSession): SessionView {
  return {
    role: session.role,
    protocol: protocolName(session.protocol),
    cipherSuite: cipherSuiteName(session.cipherSuite),
    binding: toHex(session.sessionBinding),
    started: iso(session.started),
  };
}

function viewHead({ size, time, root }: StoredHead) {
  return { size, time: iso(time), root: toHex(root) };
}

async function viewParties(
  crypto: CryptoProvider,
  reader: EvidenceReader,
  record: EvidenceRecord,
  session: EvidenceSession | undefined,
): Promise<{ from: PartyView; to: PartyView }> {
  const role = session?.role ?? 'client';
  const signer = await readChain(reader, record.signerChain);
  const view = async (own: boolean, signs: boolean): Promise<PartyView> => {
    const handshake = await readChain(reader, own ? session?.ownChain : session?.peerChain);
    const [certificate] = signs && signer.length > 0 ? signer : handshake;
    return {
      side: own === (role === 'client') ? 'client' : 'server',
      own,
      name:
        (own ? session?.ownName : session?.peerName) || (certificate ? `${certificate}` : 'no certificate'),
      certificate: certificate && viewCertificate(crypto, certificate),
    };
  };
  const isSent = record.direction === 'sent';
  return { from: await view(isSent, true), to: await view(!isSent, false) };
}

async function viewRevocation(reader: EvidenceReader, { revocation }: EvidenceRecord) {
  const bytes = revocation && (await reader.attachment(revocation));
  if (bytes === undefined) return [];
  try {
    return decodeRevocation(bytes).map(({ kind, der }) => ({ kind, bytes: der.length }));
  } catch (error) {
    if (error instanceof DecodeError) return [];
    throw error;
  }
}

async function findTimestamp(
  crypto: CryptoProvider,
  reader: EvidenceReader,
  index: number,
  options: RecordVerifierOptions,
): Promise<Account['timestamp']> {
  const times = new ProvenTimes(crypto, reader, options.timeTrust ?? options.trust);
  let pending: StoredTimestamp | undefined;
  for (const timestamp of await reader.timestamps({ from: index + 1, limit: MAX_TIMESTAMPS })) {
    pending ??= timestamp.token === undefined ? timestamp : undefined;
    try {
      const stamp = await times.verify(timestamp);
      if (stamp === undefined) continue;
      return { time: iso(stamp.time), authority: `${stamp.authority.leaf}`, checkpoint: timestamp.size };
    } catch (error) {
      if (!(error instanceof TrellisError)) throw error;
    }
  }
  return pending && { pending: pending.authority, lastError: pending.lastError };
}

function whatIsMissing(record: EvidenceRecord, account: Omit<Account, 'missing'>): string[] {
  const { verification, receipts, checkpoint, timestamp, erased, revocation, session, from } = account;
  const { verdict } = verification;
  const isData = record.kind === 'data' && record.status !== 'missing';
  const valid = receipts.filter((receipt) => receipt.verification.verdict === 'valid');
  const noReceipt = hasFlag(record, 'receiptRequested')
    ? 'A receipt was asked for and none has been archived: nothing proves that it arrived.'
    : 'No receipt was asked for: nothing proves that it arrived.';
  const rules: readonly (readonly [boolean, string])[] = [
    [
      verdict === 'invalid',
      `The signature does not verify (${verification.code}): this record proves nothing.`,
    ],
    [
      verdict === 'unsigned',
      'The data travelled unsigned: nothing proves who sent it; a receipt proves that it arrived.',
    ],
    [record.status === 'rejected', `It was refused when it came: ${record.reason}`],
    [
      record.status === 'missing',
      'The object itself never came: a gap in the numbers shows that it was sent.',
    ],
    [
      erased !== undefined,
      'The content was erased; who has a copy can show by its SHA-256 that it is the one.',
    ],
    [
      record.held === 'none' &&
        erased === undefined &&
        record.status !== 'missing' &&
        record.kind !== 'erasure',
      'The object is gone, and no record says that it was erased: run an audit.',
    ],
    [
      verification.certificate === 'not judged',
      "The signer's certificate was not judged: say whom to trust (--ca FILE).",
    ],
    [from.certificate === undefined && record.kind !== 'erasure', 'There is no certificate of the signer.'],
    [isData && record.direction === 'sent' && receipts.length === 0, noReceipt],
    [
      isData && receipts.length > 0 && valid.length === 0,
      'There are receipts, but none of them verifies: nothing proves that it arrived.',
    ],
    [session === undefined, 'The session is not in the archive: run an audit.'],
    [
      checkpoint === undefined,
      'No checkpoint covers it yet: until one does, a change of this record leaves no trace in the tree.',
    ],
    [
      timestamp === undefined,
      'No time authority has dated it: the times rest on the clocks of the two parties.',
    ],
    [
      timestamp !== undefined && 'pending' in timestamp,
      'The time authority has not answered yet: the times rest on the clocks of the two parties.',
    ],
    [
      verdict === 'valid' && revocation.length === 0,
      'No revocation data (OCSP, CRL) was at hand: whether the certificate was revoked then has to be found out elsewhere.',
    ],
  ];
  return rules.filter(([applies]) => applies).map(([, sentence]) => sentence);
}
