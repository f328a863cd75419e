import type { CryptoProvider, RunningHash } from '../../crypto/provider.ts';
import { EvidenceError } from '../errors.ts';
import { CHUNK_BYTES, type StoredContent } from './record.ts';
import type { EvidenceStore } from './store.ts';

/**
 * A large object on its way into the archive, in bounded memory. It becomes part of it when a record is appended with
 * what `finish` gives; until then it is nothing, also after a crash.
 *
 *     const content = await archive.newContent();
 *     for await (const piece of pieces) await content.write(piece);
 *     await archive.append({ ..., object: await content.finish() });
 */
export class ContentWriter {
  readonly #store: EvidenceStore;
  readonly #id: number;
  readonly #hash: RunningHash;
  #chunk = new Uint8Array(CHUNK_BYTES);
  #used = 0;
  #chunks = 0;
  #length = 0;
  #state: 'open' | 'finished' | 'abandoned' = 'open';

  constructor(store: EvidenceStore, crypto: CryptoProvider, id: number) {
    this.#store = store;
    this.#hash = crypto.hash('sha256');
    this.#id = id;
  }

  /** Resolves when there is room for more. Wait for it: that is what keeps memory bounded. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#checkOpen();
    this.#hash.update(bytes);
    this.#length += bytes.length;
    for (let at = 0; at < bytes.length; ) {
      const piece = bytes.subarray(at, at + CHUNK_BYTES - this.#used);
      this.#chunk.set(piece, this.#used);
      this.#used += piece.length;
      at += piece.length;
      if (this.#used === CHUNK_BYTES) await this.#flush();
    }
  }

  async finish(): Promise<StoredContent> {
    this.#checkOpen();
    if (this.#used > 0) await this.#flush();
    this.#state = 'finished';
    return { id: this.#id, length: this.#length, digest: this.#hash.snapshot() };
  }

  /** There will be no record: its chunks are removed. */
  async abandon(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'abandoned';
    await this.#store.dropContent(this.#id);
  }

  async #flush(): Promise<void> {
    const chunk = this.#chunk.subarray(0, this.#used);
    this.#used = 0;
    await this.#store.addChunk(this.#id, this.#chunks++, chunk);
  }

  #checkOpen(): void {
    if (this.#state === 'open') return;
    throw new EvidenceError('ERR_EVIDENCE_CLOSED', `This content was ${this.#state} already`);
  }
}
