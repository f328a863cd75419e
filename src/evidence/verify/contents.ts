import type { CryptoProvider } from '../../crypto/provider.ts';
import { equalBytes, toHex } from '../../der/bytes.ts';
import { encodeSession } from '../archive/leaf.ts';
import type { EvidenceRecord } from '../archive/record.ts';
import type { EvidenceReader } from '../archive/store.ts';
import { EvidenceError } from '../errors.ts';
import type { Finding } from './findings.ts';

/** Sessions and attachments that are known to be right: a few serve many records. */
const MAX_REMEMBERED = 10_000;

/** What the tree covers by digest alone: objects, sessions, certificates, revocation data. */
export class ContentCheck {
  readonly #crypto: CryptoProvider;
  readonly #reader: EvidenceReader;
  readonly #known = new Set<string>();
  held = 0;
  erased = 0;

  constructor(crypto: CryptoProvider, reader: EvidenceReader) {
    this.#crypto = crypto;
    this.#reader = reader;
  }

  /** @param object when it is kept inline */
  async check(record: EvidenceRecord, object: Uint8Array | undefined): Promise<Finding[]> {
    const findings = [
      await this.#object(record, object),
      await this.#once(record.session, () => this.#session(record)),
    ];
    for (const digest of [record.signerChain, record.revocation, record.provenance]) {
      if (digest !== undefined)
        findings.push(await this.#once(digest, () => this.#attachment(record, digest)));
    }
    return findings.filter((finding) => finding !== undefined);
  }

  async #object(record: EvidenceRecord, object: Uint8Array | undefined): Promise<Finding | undefined> {
    if (record.held === 'none') return this.#absent(record);
    this.held++;
    const { index, objectLength, objectDigest } = record;
    if (object === undefined) return this.#chunks(record);
    const isRight =
      object.length === objectLength && equalBytes(this.#crypto.digest('sha256', object), objectDigest);
    return isRight ? undefined : contentChanged(index);
  }

  async #chunks({ index, objectLength, objectDigest }: EvidenceRecord): Promise<Finding | undefined> {
    const hash = this.#crypto.hash('sha256');
    let length = 0;
    try {
      for await (const piece of this.#reader.object(index)) {
        length += piece.length;
        // Nobody has to read to the end of what is too long.
        if (length > objectLength) break;
        hash.update(piece);
      }
    } catch (error) {
      if (error instanceof EvidenceError && 'index' in error) return contentChanged(index);
      throw error;
    }
    return length === objectLength && equalBytes(hash.snapshot(), objectDigest)
      ? undefined
      : contentChanged(index);
  }

  async #absent(record: EvidenceRecord): Promise<Finding | undefined> {
    if (record.status === 'missing' || record.kind === 'erasure') return undefined;
    const [erasure] = await this.#reader.find({ target: record.index, kind: 'erasure', limit: 1 });
    if (erasure !== undefined) {
      this.erased++;
      return undefined;
    }
    return {
      kind: 'content-removed',
      record: record.index,
      text: `The object of record ${record.index} is gone, and no record says that it was erased.`,
    };
  }

  async #session({ index, session: digest }: EvidenceRecord): Promise<Finding | undefined> {
    const session = await this.#reader.session(digest);
    if (session === undefined || !equalBytes(this.#digestOf(encodeSession(session)), digest)) {
      return {
        kind: 'session-changed',
        record: index,
        text: `The session that record ${index} belongs to was changed: its row does not have the hash that the record names.`,
      };
    }
    for (const chain of [session.ownChain, session.peerChain]) {
      const fault = await this.#once(chain, () => this.#attachment({ index }, chain));
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  async #attachment(
    { index }: Pick<EvidenceRecord, 'index'>,
    digest: Uint8Array,
  ): Promise<Finding | undefined> {
    const bytes = await this.#reader.attachment(digest);
    if (bytes !== undefined && equalBytes(this.#digestOf(bytes), digest)) return undefined;
    return {
      kind: 'attachment-changed',
      record: index,
      text: `Certificates or revocation data of record ${index} were changed or removed.`,
    };
  }

  /** Checks what is right once; what is wrong is told for the first record that has it. */
  async #once(digest: Uint8Array, check: () => Promise<Finding | undefined>): Promise<Finding | undefined> {
    const key = toHex(digest);
    if (this.#known.has(key)) return undefined;
    if (this.#known.size >= MAX_REMEMBERED) this.#known.clear();
    this.#known.add(key);
    return check();
  }

  #digestOf(bytes: Uint8Array): Uint8Array {
    return this.#crypto.digest('sha256', bytes);
  }
}

function contentChanged(index: number): Finding {
  return {
    kind: 'content-changed',
    record: index,
    text: `The object of record ${index} was changed: it does not have the SHA-256 that was archived.`,
  };
}
