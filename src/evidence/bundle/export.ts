import type { CryptoProvider } from '../../crypto/provider.ts';
import { equalBytes, toHex } from '../../der/bytes.ts';
import { Oid } from '../../der/oids.ts';
import { encodePem } from '../../der/pem.ts';
import { DerReader } from '../../der/reader.ts';
import { TrellisError } from '../../errors/errors.ts';
import { readSignedData } from '../../formats/cms/read.ts';
import { certificatesOfToken } from '../../formats/tsp/verify.ts';
import { decodeRevocation, encodeLeaf, encodeSession } from '../archive/leaf.ts';
import { type EvidenceRecord, hasFlag } from '../archive/record.ts';
import { decodeResidue } from '../archive/residue.ts';
import type { EvidenceReader, StoredHead } from '../archive/store.ts';
import { EvidenceError } from '../errors.ts';
import { MerkleHash } from '../merkle/hash.ts';
import { inclusionProof, verifyInclusion } from '../merkle/proof.ts';
import { storedSubtrees } from '../merkle/tree.ts';
import { type Checkpoint, checkpointBody, checkpointToPem } from '../merkle/tree-head.ts';
import { accountOf, readChain } from '../report/account.ts';
import type { RecordVerifierOptions } from '../verify/record.ts';
import { contentLength, contentOf } from './content.ts';
import {
  ARCHIVE_KEY_FILE,
  ASIC_MANIFEST_FILE,
  ASIC_TIMESTAMP_FILE,
  ATTRIBUTES_FILE,
  type BundleIndex,
  type BundleIndexRecord,
  CHECKPOINT_BODY_FILE,
  CHECKPOINT_FILE,
  CHECKPOINT_ROOT_FILE,
  CHECKPOINT_SIGNATURE_FILE,
  DETACHED_FILE,
  INDEX_FILE,
  INDEX_FORMAT,
  INDEX_VERSION,
  MANIFEST_FILE,
  MIMETYPE,
  MIMETYPE_FILE,
  objectFile,
  README_FILE,
  recordFolder,
  SIGNATURE_FILE,
  SUMS_FILE,
  TIMESTAMP_CERTIFICATES_FILE,
  TIMESTAMP_FILE,
} from './layout.ts';
import { asicManifest, openDocumentManifest } from './manifest.ts';
import { type ReadmeRecord, readmeText } from './readme.ts';
import { ZipWriter } from './zip-writer.ts';

/** One bundle is for one dispute; an archive as a whole is a file already. */
export const MAX_BUNDLE_RECORDS = 5_000;
/** Receipts and erasures that come along with a record. */
const MAX_RELATED = 100;
const MAX_TIMESTAMPS = 100;

export interface ExportOptions extends RecordVerifierOptions {
  readonly path: string;
  /** What is wanted; receipts and erasures of it, and what a receipt is for, come along. */
  readonly records: readonly number[];
  /** Unix milliseconds. */
  readonly now: number;
  /** Dates the bundle as a whole: gives an RFC 3161 token for a SHA-256. Makes the container one of ETSI's ASiC-E. */
  readonly timestamp?: ((digest: Uint8Array) => Promise<Uint8Array>) | undefined;
}

export interface ExportResult {
  readonly path: string;
  readonly records: readonly number[];
  readonly checkpoint: { readonly size: number; readonly time: number };
  readonly files: number;
}

/**
 * Writes a bundle that a third party can verify with stock tools alone.
 * @throws EvidenceError ERR_EVIDENCE_NOT_FOUND for a record that is not there, or that no checkpoint covers yet;
 *   ERR_EVIDENCE_DAMAGED when records do not fit the checkpoint; ERR_EVIDENCE_FILE
 */
export async function exportBundle(
  crypto: CryptoProvider,
  reader: EvidenceReader,
  options: ExportOptions,
): Promise<ExportResult> {
  const records = await collect(reader, options.records);
  const last = records.at(-1);
  if (last === undefined) {
    throw new EvidenceError('ERR_EVIDENCE_OPTION', 'Say which records are to be exported');
  }
  const head = await chooseCheckpoint(reader, last.index);
  const exporter = new Exporter(
    crypto,
    reader,
    options,
    head,
    await ZipWriter.create(options.path, options.now),
  );
  try {
    return await exporter.run(records);
  } catch (error) {
    await exporter.abandon();
    throw error;
  }
}

class Exporter {
  readonly #crypto: CryptoProvider;
  readonly #reader: EvidenceReader;
  readonly #options: ExportOptions;
  readonly #head: SignedHead;
  readonly #zip: ZipWriter;
  readonly #hash: MerkleHash;
  /** File names and their SHA-256, in the order of the zip. */
  readonly #files: { readonly name: string; readonly digest: Uint8Array }[] = [];
  readonly #attachments = new Map<string, Uint8Array>();
  readonly #sessions = new Map<string, string>();

  constructor(
    crypto: CryptoProvider,
    reader: EvidenceReader,
    options: ExportOptions,
    head: SignedHead,
    zip: ZipWriter,
  ) {
    this.#crypto = crypto;
    this.#reader = reader;
    this.#options = options;
    this.#head = head;
    this.#zip = zip;
    this.#hash = new MerkleHash(crypto);
  }

  async run(records: readonly EvidenceRecord[]): Promise<ExportResult> {
    await this.#zip.add(MIMETYPE_FILE, new TextEncoder().encode(MIMETYPE));
    const checkpoint = await this.#checkpoint();
    const entries: BundleIndexRecord[] = [];
    const accounts: ReadmeRecord[] = [];
    for (const record of records) {
      const files = await this.#record(record);
      entries.push(files.entry);
      const account = await accountOf(this.#crypto, this.#reader, record.index, this.#options);
      accounts.push({ ...files, account });
    }
    for (const [digest, bytes] of this.#attachments) await this.#add(`attachments/${digest}.der`, bytes);
    const index: BundleIndex = {
      format: INDEX_FORMAT,
      version: INDEX_VERSION,
      archive: toHex(checkpoint.head.archive),
      created: new Date(this.#options.now).toISOString(),
      records: entries,
      sessions: [...this.#sessions.values()],
      attachments: [...this.#attachments.keys()].map((digest) => `attachments/${digest}.der`),
    };
    await this.#add(INDEX_FILE, text(`${JSON.stringify(index, null, 2)}\n`));
    const hasTimestamp = this.#files.some(({ name }) => name === TIMESTAMP_FILE);
    await this.#add(
      README_FILE,
      text(readmeText(accounts, checkpoint, hasTimestamp, this.#options.timestamp !== undefined)),
    );
    const sums = this.#files.map(({ name, digest }) => `${toHex(digest)}  ${name}\n`).join('');
    await this.#add(SUMS_FILE, text(sums));
    await this.#container();
    await this.#zip.finish();
    const { size, time } = this.#head;
    return {
      path: this.#options.path,
      records: records.map(({ index: i }) => i),
      checkpoint: { size, time },
      files: this.#files.length,
    };
  }

  abandon(): Promise<void> {
    return this.#zip.abandon();
  }

  async #checkpoint(): Promise<Checkpoint> {
    const { archive, publicKey } = await this.#reader.identity();
    const { size, root, time, signature } = this.#head;
    const head = { archive, size, root };
    const checkpoint = { head, time, scheme: signature.scheme, signature: signature.value, publicKey };
    await this.#add(CHECKPOINT_FILE, text(checkpointToPem(checkpoint)));
    await this.#add(CHECKPOINT_BODY_FILE, checkpointBody(head, time));
    await this.#add(CHECKPOINT_SIGNATURE_FILE, signature.value);
    await this.#add(CHECKPOINT_ROOT_FILE, root);
    await this.#add(ARCHIVE_KEY_FILE, text(encodePem('PUBLIC KEY', publicKey)));
    const token = await findToken(this.#reader, size);
    if (token !== undefined) {
      await this.#add(TIMESTAMP_FILE, token);
      await this.#add(TIMESTAMP_CERTIFICATES_FILE, text(pemOf(tokenCertificates(token))));
    }
    return checkpoint;
  }

  async #record(record: EvidenceRecord): Promise<Omit<ReadmeRecord, 'account'>> {
    const folder = recordFolder(record.index);
    const leaf = encodeLeaf(record);
    await this.#add(`${folder}/leaf.der`, leaf);
    const proof = await this.#proof(record.index, leaf, folder);
    await this.#session(record);
    for (const digest of [record.signerChain, record.revocation, record.provenance])
      await this.#attach(digest);
    await this.#signerAndRevocation(record, folder);
    if (record.held === 'none') {
      const detached = await this.#detached(record);
      if (detached !== undefined) await this.#add(`${folder}/${DETACHED_FILE}`, detached);
      return {
        entry: { index: record.index, folder, proof },
        content: false,
        detached: detached !== undefined,
        bare: false,
      };
    }
    const name = objectFile(record.format, hasFlag(record, 'unsigned'));
    await this.#stream(`${folder}/${name}`, () => this.#reader.object(record.index), record.objectLength);
    const length = await contentLength(this.#crypto, this.#reader, record);
    if (length !== undefined) {
      await this.#stream(
        `${folder}/content.bin`,
        () => contentOf(this.#crypto, this.#reader, record),
        length,
      );
    }
    return {
      entry: { index: record.index, folder, object: name, proof },
      content: length !== undefined,
      detached: false,
      bare: await this.#bareSignature(record, folder),
    };
  }

  /** Ed25519: OpenSSL 3.0 knows it, but not in CMS. @returns whether the two parts of the signature were written */
  async #bareSignature(record: EvidenceRecord, folder: string): Promise<boolean> {
    if (record.format !== 'pkcs7' || record.held !== 'inline' || hasFlag(record, 'unsigned')) return false;
    const session = await this.#reader.session(record.session);
    const own = record.direction === 'sent' ? session?.ownChain : session?.peerChain;
    const [leaf] = await readChain(this.#reader, record.signerChain ?? own);
    if (leaf === undefined || !isEd25519(leaf.spki)) return false;
    try {
      for await (const object of this.#reader.object(record.index)) {
        const { attributes, signature } = readSignedData(object, true).signer;
        await this.#add(`${folder}/${ATTRIBUTES_FILE}`, attributes.signed);
        await this.#add(`${folder}/${SIGNATURE_FILE}`, signature);
        return true;
      }
    } catch (error) {
      if (!(error instanceof TrellisError)) throw error;
    }
    return false;
  }

  /** What was kept of the signature when the content was erased. */
  async #detached(record: EvidenceRecord): Promise<Uint8Array | undefined> {
    const { index } = record;
    const [erasure] = await this.#reader.find({ target: index, kind: 'erasure', limit: 1 });
    const bytes = erasure?.provenance && (await this.#reader.attachment(erasure.provenance));
    return bytes && decodeResidue(bytes, hasFlag(record, 'receiptRequested')).detached;
  }

  /** From the leaf's sibling up, each named for the side that it stands on. */
  async #proof(index: number, leaf: Uint8Array, folder: string): Promise<string[]> {
    const { size, root } = this.#head;
    const subtree = storedSubtrees(
      this.#hash,
      (level, position) => this.#reader.tile(level, position),
      () => damaged(index),
    );
    const path = await inclusionProof(this.#hash, subtree, index, size);
    if (!verifyInclusion(this.#hash, this.#hash.leaf(leaf), index, size, path, root)) throw damaged(index);
    const names: string[] = [];
    for (const [i, side] of sidesOf(index, size).entries()) {
      const name = `proof/${String(i + 1).padStart(2, '0')}.${side}`;
      names.push(name);
      await this.#add(`${folder}/${name}`, path[i] as Uint8Array);
    }
    return names;
  }

  /** The same as the attachments, in the form that stock tools take. */
  async #signerAndRevocation(record: EvidenceRecord, folder: string): Promise<void> {
    const session = await this.#reader.session(record.session);
    const own = record.direction === 'sent' ? session?.ownChain : session?.peerChain;
    const chain = await readChain(this.#reader, record.signerChain ?? own);
    if (chain.length > 0) await this.#add(`${folder}/signer.pem`, text(pemOf(chain.map(({ raw }) => raw))));
    const revocation = record.revocation && (await this.#reader.attachment(record.revocation));
    if (revocation === undefined) return;
    for (const [i, { kind, der }] of decodeRevocation(revocation).entries()) {
      await this.#add(`${folder}/revocation-${i + 1}.${kind}`, der);
    }
  }

  async #session({ session: digest }: EvidenceRecord): Promise<void> {
    const key = toHex(digest);
    if (this.#sessions.has(key)) return;
    const session = await this.#reader.session(digest);
    if (session === undefined) return;
    const folder = `sessions/${this.#sessions.size + 1}`;
    this.#sessions.set(key, `${folder}/session.der`);
    await this.#add(`${folder}/session.der`, encodeSession(session));
    for (const [name, chain] of [
      ['own', session.ownChain],
      ['peer', session.peerChain],
    ] as const) {
      await this.#attach(chain);
      const certificates = await readChain(this.#reader, chain);
      if (certificates.length > 0) {
        await this.#add(`${folder}/${name}.pem`, text(pemOf(certificates.map(({ raw }) => raw))));
      }
    }
  }

  async #attach(digest: Uint8Array | undefined): Promise<void> {
    if (digest === undefined || this.#attachments.has(toHex(digest))) return;
    const bytes = await this.#reader.attachment(digest);
    if (bytes !== undefined) this.#attachments.set(toHex(digest), bytes);
  }

  /** What ETSI's container wants: a list of what is in it and, if that is wanted, its date. */
  async #container(): Promise<void> {
    const names = this.#files.map(({ name }) => name);
    await this.#zip.add(MANIFEST_FILE, text(openDocumentManifest(MIMETYPE, names)));
    if (this.#options.timestamp === undefined) return;
    const manifest = text(asicManifest(ASIC_TIMESTAMP_FILE, this.#files));
    const token = await this.#options.timestamp(this.#crypto.digest('sha256', manifest));
    await this.#zip.add(ASIC_MANIFEST_FILE, manifest);
    await this.#zip.add(ASIC_TIMESTAMP_FILE, token);
  }

  async #add(name: string, bytes: Uint8Array): Promise<void> {
    await this.#zip.add(name, bytes);
    this.#files.push({ name, digest: this.#crypto.digest('sha256', bytes) });
  }

  async #stream(name: string, pieces: () => AsyncIterable<Uint8Array>, length: number): Promise<void> {
    const hash = this.#crypto.hash('sha256');
    const hashed = async function* () {
      for await (const piece of pieces()) {
        hash.update(piece);
        yield piece;
      }
    };
    await this.#zip.add(name, hashed(), length);
    this.#files.push({ name, digest: hash.snapshot() });
  }
}

type SignedHead = StoredHead & { readonly signature: NonNullable<StoredHead['signature']> };

/** Everything that belongs to what is wanted, by index. */
async function collect(reader: EvidenceReader, wanted: readonly number[]): Promise<EvidenceRecord[]> {
  const records = new Map<number, EvidenceRecord>();
  const add = (record: EvidenceRecord): void => {
    records.set(record.index, record);
    if (records.size <= MAX_BUNDLE_RECORDS) return;
    throw new EvidenceError(
      'ERR_EVIDENCE_OPTION',
      `More than ${MAX_BUNDLE_RECORDS} records in one bundle: export fewer, or hand over the archive's file`,
    );
  };
  for (const index of wanted) {
    const record = await reader.record(index);
    if (record === undefined) {
      throw new EvidenceError('ERR_EVIDENCE_NOT_FOUND', `There is no record ${index} in this archive`);
    }
    add(record);
    const target = record.target === undefined ? undefined : await reader.record(record.target);
    if (target !== undefined) add(target);
    for (const related of await reader.find({ target: (target ?? record).index, limit: MAX_RELATED }))
      add(related);
    for (const related of await reader.find({ target: index, limit: MAX_RELATED })) add(related);
  }
  return [...records.values()].sort((a, b) => a.index - b.index);
}

/** The first dated one that covers the record; else the last one, which covers it if any does. */
async function chooseCheckpoint(reader: EvidenceReader, index: number): Promise<SignedHead> {
  for (const { size, token } of await reader.timestamps({ from: index + 1, limit: MAX_TIMESTAMPS })) {
    const head = token === undefined ? undefined : await reader.head(size);
    if (head !== undefined && isSigned(head)) return head;
  }
  const head = await reader.lastCheckpoint();
  if (head !== undefined && isSigned(head) && head.size > index) return head;
  throw new EvidenceError(
    'ERR_EVIDENCE_NOT_FOUND',
    `No checkpoint covers record ${index} yet: take one with "trellis evidence checkpoint", or wait for the process that has the archive open`,
  );
}

function isSigned(head: StoredHead): head is SignedHead {
  return head.signature !== undefined;
}

async function findToken(reader: EvidenceReader, size: number): Promise<Uint8Array | undefined> {
  const timestamps = await reader.timestamps({ size, limit: MAX_TIMESTAMPS });
  return timestamps.find(({ token }) => token !== undefined)?.token;
}

function tokenCertificates(token: Uint8Array): readonly Uint8Array[] {
  try {
    return certificatesOfToken(token);
  } catch (error) {
    if (error instanceof TrellisError) return [];
    throw error;
  }
}

/** On which side each hash of an inclusion proof stands (RFC 9162 §2.1.3.2, without the hashing). */
export function sidesOf(index: number, size: number): ('left' | 'right')[] {
  const sides: ('left' | 'right')[] = [];
  let fn = index;
  let sn = size - 1;
  while (sn > 0) {
    if (fn % 2 === 1 || fn === sn) {
      sides.push('left');
      while (fn % 2 === 0 && fn !== 0) {
        fn = Math.floor(fn / 2);
        sn = Math.floor(sn / 2);
      }
    } else {
      sides.push('right');
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  return sides;
}

function pemOf(certificates: readonly Uint8Array[]): string {
  const unique = certificates.filter(
    (der, i) => certificates.findIndex((other) => equalBytes(other, der)) === i,
  );
  return unique.map((der) => encodePem('CERTIFICATE', der)).join('');
}

function isEd25519(spki: Uint8Array): boolean {
  return new DerReader(spki, 'public key').sequence().sequence().oid() === Oid.ed25519;
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function damaged(index: number): EvidenceError {
  return new EvidenceError(
    'ERR_EVIDENCE_DAMAGED',
    `Record ${index} is not the one that the checkpoint covers: "trellis evidence audit" says what was done`,
  );
}
