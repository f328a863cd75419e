import type { CryptoProvider } from '../../crypto/provider.ts';
import { SignatureError } from '../../errors/errors.ts';
import type { SignerJudge } from '../../formats/format.ts';
import { type VerifiedTimeStamp, verifyTimeStampToken } from '../../formats/tsp/verify.ts';
import type { TrustStore } from '../../x509/trust-store.ts';
import type { EvidenceRecord } from '../archive/record.ts';
import type { EvidenceReader, StoredTimestamp, StoreIdentity } from '../archive/store.ts';
import { checkpointDigest } from '../archive/timestamping.ts';
import { anySigner } from './judge.ts';

/** A time at which something is known to have existed, and who says so. */
export interface ProvenTime {
  /** Unix milliseconds. */
  readonly time: number;
  /** `authority`: an RFC 3161 time authority; `archive`: the archive's own clock, which its owner sets. */
  readonly clock: 'authority' | 'archive';
  /** For people. */
  readonly by: string;
  /** Size of the checkpoint that was dated. */
  readonly checkpoint?: number | undefined;
}

/** Tokens that are looked at for one record: several authorities may have dated the same checkpoint. */
const MAX_TOKENS = 50;

/**
 * The earliest time that is proven for a record: that of the first dated checkpoint that covers it, else the archive's
 * own. A certificate that has expired or was revoked since does not undo what was signed before.
 */
export class ProvenTimes {
  readonly #crypto: CryptoProvider;
  readonly #reader: EvidenceReader;
  readonly #trust: TrustStore | SignerJudge;
  #identity: StoreIdentity | undefined;
  /** One answer serves all records of a stretch: those from `from` on, below `to`. */
  #last: { readonly from: number; readonly to: number; readonly proven: ProvenTime | undefined } | undefined;

  constructor(crypto: CryptoProvider, reader: EvidenceReader, trust: TrustStore | undefined) {
    this.#crypto = crypto;
    this.#reader = reader;
    this.#trust = trust ?? anySigner(crypto);
  }

  async of(record: EvidenceRecord): Promise<ProvenTime> {
    const { index, time } = record;
    if (this.#last === undefined || index < this.#last.from || index >= this.#last.to) {
      this.#last = await this.#find(index);
    }
    return this.#last.proven ?? { time, clock: 'archive', by: "the archive's own clock" };
  }

  /** @throws SignatureError for a token that does not date this checkpoint, or of an authority that is not trusted */
  async verify(timestamp: StoredTimestamp): Promise<VerifiedTimeStamp | undefined> {
    const { token, size } = timestamp;
    const head = await this.#reader.head(size);
    if (token === undefined || head?.signature === undefined) return undefined;
    this.#identity ??= await this.#reader.identity();
    const digest = checkpointDigest(this.#crypto, this.#identity.archive, head);
    return verifyTimeStampToken(this.#crypto, token, { digest, trust: this.#trust });
  }

  async #find(index: number) {
    const timestamps = await this.#reader.timestamps({ from: index + 1, limit: MAX_TOKENS });
    for (const timestamp of timestamps) {
      const stamp = await this.#tryVerify(timestamp);
      if (stamp === undefined) continue;
      const { size } = timestamp;
      const by = `time authority ${stamp.authority.leaf.subject}`;
      return {
        from: index,
        to: size,
        proven: { time: stamp.time, clock: 'authority', by, checkpoint: size } as const,
      };
    }
    // Nothing dates this one, so nothing dates any that follows.
    return { from: index, to: Number.POSITIVE_INFINITY, proven: undefined };
  }

  async #tryVerify(timestamp: StoredTimestamp): Promise<VerifiedTimeStamp | undefined> {
    try {
      return await this.verify(timestamp);
    } catch (error) {
      if (error instanceof SignatureError) return undefined;
      throw error;
    }
  }
}
