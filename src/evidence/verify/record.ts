import type { CryptoProvider } from '../../crypto/provider.ts';
import { equalBytes } from '../../der/bytes.ts';
import { DecodeError, SignatureError, TrellisError } from '../../errors/errors.ts';
import { type Binding, checkBinding } from '../../formats/binding.ts';
import { startReading, startVerification } from '../../formats/cms/verify-stream.ts';
import {
  MAX_WHOLE_OBJECT_BYTES,
  type ObjectReference,
  type ObjectVerifier,
  type SignerJudge,
  type VerifyContext,
} from '../../formats/format.ts';
import { decodeUnsignedObject, referenceToUnsigned } from '../../formats/unsigned.ts';
import type { ObjectFacts, ReceiptFacts } from '../../formats/verified.ts';
import type { Certificate } from '../../x509/certificate.ts';
import type { TrustStore } from '../../x509/trust-store.ts';
import { decodeChain } from '../archive/leaf.ts';
import { type EvidenceRecord, type EvidenceSession, hasFlag } from '../archive/record.ts';
import { decodeResidue } from '../archive/residue.ts';
import type { EvidenceReader } from '../archive/store.ts';
import { EvidenceError } from '../errors.ts';
import { VERIFIERS } from './formats.ts';
import { anySigner } from './judge.ts';
import { type ProvenTime, ProvenTimes } from './proven-time.ts';

/**
 * `valid`: signed by who is said to have signed it, in this session, at this place. `unsigned`: data that travelled
 * unsigned, as agreed; only its digests were compared. `absent`: there is nothing to verify (erased, missing, never
 * accepted). `invalid`: it is not what the archive says it is.
 */
export type Verdict = 'valid' | 'unsigned' | 'absent' | 'invalid';

export interface RecordVerdict {
  readonly verdict: Verdict;
  /** Of the error; absent when valid. */
  readonly code?: string | undefined;
  /** Why, in a sentence; absent when valid. */
  readonly reason?: string | undefined;
  readonly signer?: Certificate | undefined;
  /** Whether a path from the signer to a trust anchor was found, or nobody said whom to trust. */
  readonly certificate?: 'trusted' | 'not judged' | undefined;
  /** What the signer says, Unix milliseconds. */
  readonly signingTime?: number | undefined;
  /** When it was judged, and by whose clock. */
  readonly at?: ProvenTime | undefined;
  readonly binding?: Binding | undefined;
}

export interface RecordVerifierOptions {
  /** Default: no path is judged, and verdicts say so. */
  readonly trust?: TrustStore | undefined;
  /** Of time authorities; default: as `trust`. */
  readonly timeTrust?: TrustStore | undefined;
}

/** Verifies what is in records again, as at reception, at the earliest time that is proven for it. */
export class RecordVerifier {
  readonly #crypto: CryptoProvider;
  readonly #reader: EvidenceReader;
  readonly #trust: TrustStore | SignerJudge;
  readonly #isJudged: boolean;
  readonly #times: ProvenTimes;
  /** Records of one session follow each other. */
  #session: { readonly session: EvidenceSession; readonly chains: Chains } | undefined;

  constructor(crypto: CryptoProvider, reader: EvidenceReader, options: RecordVerifierOptions = {}) {
    this.#crypto = crypto;
    this.#reader = reader;
    this.#trust = options.trust ?? anySigner(crypto);
    this.#isJudged = options.trust !== undefined;
    this.#times = new ProvenTimes(crypto, reader, options.timeTrust ?? options.trust);
  }

  /** @param object its bytes, where they are at hand */
  async verify(record: EvidenceRecord, object?: Uint8Array): Promise<RecordVerdict> {
    const absent = this.#absent(record);
    if (absent !== undefined) return absent;
    try {
      const { session, chains } = await this.#sessionOf(record);
      if (hasFlag(record, 'unsigned')) return await this.#unsigned(record, session, chains, object);
      const signerChain =
        record.signerChain === undefined
          ? record.direction === 'sent'
            ? chains.own
            : chains.peer
          : await this.#chain(record.signerChain);
      const at = await this.#times.of(record);
      const context: VerifyContext = {
        trust: this.#trust,
        now: at.time,
        signerChain: signerChain.length === 0 ? undefined : signerChain,
        expect: this.#expected(record, session, chains),
      };
      const facts =
        record.kind === 'receipt'
          ? await this.#receipt(record, context, object)
          : await this.#data(record, context, object);
      return {
        verdict: 'valid',
        signer: facts.signer.leaf,
        certificate: this.#isJudged ? 'trusted' : 'not judged',
        signingTime: facts.signingTime,
        binding: facts.binding,
        at,
      };
    } catch (error) {
      if (!(error instanceof TrellisError)) throw error;
      return { verdict: 'invalid', code: error.code, reason: error.message };
    }
  }

  #absent(record: EvidenceRecord): RecordVerdict | undefined {
    const absent = (reason: string): RecordVerdict => ({ verdict: 'absent', reason });
    if (record.kind === 'erasure') return absent('it says that a content was erased');
    if (record.status === 'missing') return absent(`the object never came: ${record.reason}`);
    if (record.status === 'rejected') return absent(`it was refused when it came: ${record.reason}`);
    return record.held === 'none' ? absent('its content was erased') : undefined;
  }

  async #data(
    record: EvidenceRecord,
    context: VerifyContext,
    object: Uint8Array | undefined,
  ): Promise<ObjectFacts> {
    const facts =
      object === undefined && isStreamable(record)
        ? await this.#streamed(record, context)
        : VERIFIERS[record.format].verifyObject(this.#crypto, object ?? (await this.#whole(record)), context);
    this.#checkDigests(record, facts.objectDigest, facts.contentDigest);
    return facts;
  }

  async #streamed(record: EvidenceRecord, context: VerifyContext): Promise<ObjectFacts> {
    const verification = startVerification(this.#crypto);
    for await (const piece of this.#reader.object(record.index)) verification.write(piece);
    return verification.end(context);
  }

  async #receipt(
    record: EvidenceRecord,
    context: VerifyContext,
    object: Uint8Array | undefined,
  ): Promise<ReceiptFacts> {
    const verifier = VERIFIERS[record.format];
    const receipt = object ?? (await this.#whole(record));
    const reference = await this.#reference(record, verifier, receipt);
    const facts = verifier.verifyReceipt(this.#crypto, receipt, reference, context);
    this.#checkDigests(record, facts.objectDigest, new Uint8Array(0));
    return facts;
  }

  /** What the receipt must be for: the object of the record that it points to. */
  async #reference(
    { target, index }: EvidenceRecord,
    verifier: ObjectVerifier,
    receipt: Uint8Array,
  ): Promise<ObjectReference> {
    const acknowledged = target === undefined ? undefined : await this.#reader.record(target);
    if (acknowledged === undefined) {
      throw new SignatureError(
        'ERR_SIGN_RECEIPT_MISMATCH',
        `Receipt ${index} is for an object that is not in this archive`,
        'target',
      );
    }
    if (!equalBytes(verifier.acknowledgedDigest(receipt), acknowledged.objectDigest)) {
      throw new SignatureError(
        'ERR_SIGN_RECEIPT_MISMATCH',
        `Receipt ${index} is not for the object of record ${acknowledged.index}, which it is archived for`,
        'objectDigest',
      );
    }
    if (acknowledged.held === 'none') return this.#residue(acknowledged, index);
    if (isStreamable(acknowledged)) {
      const reading = startReading(this.#crypto);
      for await (const piece of this.#reader.object(acknowledged.index)) reading.write(piece);
      return reading.end().reference;
    }
    const object = await this.#whole(acknowledged);
    return hasFlag(acknowledged, 'unsigned')
      ? referenceToUnsigned(this.#crypto, object)
      : VERIFIERS[acknowledged.format].referenceTo(this.#crypto, object);
  }

  /** What was kept of an erased object, to verify its receipts with. */
  async #residue(acknowledged: EvidenceRecord, receipt: number): Promise<ObjectReference> {
    const { index } = acknowledged;
    const [erasure] = await this.#reader.find({ target: index, kind: 'erasure', limit: 1 });
    const bytes = erasure?.provenance && (await this.#reader.attachment(erasure.provenance));
    if (bytes === undefined) {
      throw new EvidenceError(
        'ERR_EVIDENCE_ERASED',
        `Receipt ${receipt} is for the object of record ${index}, of which nothing is left`,
      );
    }
    try {
      return decodeResidue(bytes, hasFlag(acknowledged, 'receiptRequested')).reference;
    } catch (cause) {
      if (!(cause instanceof DecodeError)) throw cause;
      throw new EvidenceError('ERR_EVIDENCE_DAMAGED', `What was kept of record ${index} cannot be read`, {
        cause,
      });
    }
  }

  async #unsigned(
    record: EvidenceRecord,
    session: EvidenceSession,
    chains: Chains,
    object: Uint8Array | undefined,
  ): Promise<RecordVerdict> {
    const bytes = object ?? (await this.#whole(record));
    const { binding, content } = decodeUnsignedObject(bytes);
    checkBinding(binding, this.#expected(record, session, chains));
    this.#checkDigests(record, this.#digest(bytes), this.#digest(content));
    return { verdict: 'unsigned', reason: 'it travelled unsigned, as both sides had agreed', binding };
  }

  #expected(record: EvidenceRecord, session: EvidenceSession, chains: Chains): Partial<Binding> {
    const isOwn = record.direction === 'sent';
    const [addressee] = chains.peer;
    return {
      role: isOwn === (session.role === 'client') ? 'client' : 'server',
      kind: record.kind === 'receipt' ? 'receipt' : 'data',
      sequence: record.sequence,
      contentType: record.contentType,
      application: record.application,
      sessionBinding: session.sessionBinding,
      treeHead: record.treeHead,
      // By which of its names this side was addressed was checked at reception; a session keeps only the first.
      ...(isOwn && { peer: addressee === undefined ? new Uint8Array(0) : this.#digest(addressee) }),
    };
  }

  #checkDigests(record: EvidenceRecord, objectDigest: Uint8Array, contentDigest: Uint8Array): void {
    if (!equalBytes(objectDigest, record.objectDigest)) throw otherObject(record, 'object');
    if (contentDigest.length > 0 && record.contentDigest.length > 0) {
      if (!equalBytes(contentDigest, record.contentDigest)) throw otherObject(record, 'content');
    }
  }

  /** @throws EvidenceError ERR_EVIDENCE_RECORD when it does not fit into memory */
  async #whole(record: EvidenceRecord): Promise<Uint8Array> {
    if (record.objectLength > 2 * MAX_WHOLE_OBJECT_BYTES) {
      throw new EvidenceError(
        'ERR_EVIDENCE_RECORD',
        `The object of record ${record.index} has ${record.objectLength} bytes, too many for ${record.format}`,
      );
    }
    const pieces: Uint8Array[] = [];
    let length = 0;
    for await (const piece of this.#reader.object(record.index)) {
      length += piece.length;
      if (length > record.objectLength) throw otherObject(record, 'object');
      pieces.push(piece);
    }
    return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
  }

  async #sessionOf(record: EvidenceRecord): Promise<{ session: EvidenceSession; chains: Chains }> {
    if (this.#session !== undefined && equalBytes(this.#session.session.digest, record.session)) {
      return this.#session;
    }
    const session = await this.#reader.session(record.session);
    if (session === undefined) {
      throw new EvidenceError('ERR_EVIDENCE_DAMAGED', `The session of record ${record.index} is not there`);
    }
    const chains = {
      own: await this.#chain(session.ownChain),
      peer: await this.#chain(session.peerChain),
    };
    this.#session = { session, chains };
    return this.#session;
  }

  async #chain(digest: Uint8Array): Promise<readonly Uint8Array[]> {
    const bytes = await this.#reader.attachment(digest);
    if (bytes === undefined || !equalBytes(this.#digest(bytes), digest)) {
      throw new EvidenceError(
        'ERR_EVIDENCE_DAMAGED',
        'Certificates that belong to it were changed or removed',
      );
    }
    try {
      return decodeChain(bytes);
    } catch (cause) {
      if (!(cause instanceof DecodeError)) throw cause;
      throw new EvidenceError('ERR_EVIDENCE_DAMAGED', `Its certificates cannot be read: ${cause.message}`);
    }
  }

  #digest(bytes: Uint8Array): Uint8Array {
    return this.#crypto.digest('sha256', bytes);
  }
}

/** Its object is read in pieces: it may be of any size. */
function isStreamable(record: EvidenceRecord): boolean {
  return record.format === 'pkcs7' && record.held === 'chunks' && !hasFlag(record, 'unsigned');
}

interface Chains {
  /** End entity first; empty without a certificate. */
  readonly own: readonly Uint8Array[];
  readonly peer: readonly Uint8Array[];
}

function otherObject(record: EvidenceRecord, what: string): EvidenceError {
  return new EvidenceError(
    'ERR_EVIDENCE_DAMAGED',
    `The ${what} of record ${record.index} does not have the SHA-256 that was archived`,
  );
}
