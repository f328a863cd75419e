import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { crc32, createInflateRaw } from 'node:zlib';
import { EvidenceError, reasonOf } from '../errors.ts';

/** Bundles of some thousand records have some ten thousand files. */
const MAX_ENTRIES = 200_000;
/** Of so many entries with long names. Bytes. */
const MAX_DIRECTORY_BYTES = 64 * 1024 * 1024;
/** The end record with the longest comment (APPNOTE §4.3.16). */
const MAX_END_BYTES = 22 + 0xffff;
const MAX_32 = 0xffff_ffff;
const MAX_16 = 0xffff;
const PIECE_BYTES = 256 * 1024;
const METHOD_STORED = 0;
const METHOD_DEFLATED = 8;

export interface ZipEntry {
  readonly name: string;
  /** Uncompressed, as the directory says it; what comes out is not longer. */
  readonly length: number;
}

interface Located extends ZipEntry {
  readonly method: number;
  readonly compressed: number;
  readonly crc: number;
  readonly offset: number;
}

/**
 * Reads a zip file that anybody may have made: through its directory, which must be free of contradictions, with every
 * size bounded by what it declares. A file that is no such zip is an EvidenceError ERR_EVIDENCE_BUNDLE.
 */
export class ZipReader {
  readonly name: string;
  readonly #file: FileHandle;
  readonly #entries: ReadonlyMap<string, Located>;

  /** @throws EvidenceError ERR_EVIDENCE_FILE, ERR_EVIDENCE_BUNDLE */
  static async open(path: string): Promise<ZipReader> {
    let file: FileHandle;
    try {
      file = await open(path, 'r');
    } catch (cause) {
      throw new EvidenceError('ERR_EVIDENCE_FILE', `${path}: ${reasonOf(cause)}`, { cause });
    }
    try {
      const { size } = await file.stat();
      return new ZipReader(path, file, await readDirectory(path, file, size));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  private constructor(name: string, file: FileHandle, entries: ReadonlyMap<string, Located>) {
    this.name = name;
    this.#file = file;
    this.#entries = entries;
  }

  get entries(): Iterable<ZipEntry> {
    return this.#entries.values();
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  lengthOf(name: string): number | undefined {
    return this.#entries.get(name)?.length;
  }

  /** @param max bytes that are taken @throws EvidenceError ERR_EVIDENCE_BUNDLE */
  async read(name: string, max: number): Promise<Uint8Array> {
    const entry = this.#find(name);
    if (entry.length > max) throw this.#fault(`${name} has ${entry.length} bytes, at most ${max} are read`);
    const pieces: Uint8Array[] = [];
    for await (const piece of this.stream(name)) pieces.push(piece);
    return new Uint8Array(Buffer.concat(pieces));
  }

  /** Pieces of some hundred KiB. The last one comes only when length and CRC are right. */
  async *stream(name: string): AsyncGenerator<Uint8Array> {
    const entry = this.#find(name);
    const start = await this.#dataStart(entry);
    const raw = this.#pieces(start, entry.compressed);
    const pieces = entry.method === METHOD_STORED ? raw : this.#inflate(raw, name);
    let [length, crc] = [0, 0];
    let held: Uint8Array | undefined;
    for await (const piece of pieces) {
      length += piece.length;
      if (length > entry.length)
        throw this.#fault(`${name} is longer than the ${entry.length} bytes it declares`);
      crc = crc32(piece, crc);
      if (held !== undefined) yield held;
      held = piece;
    }
    if (length !== entry.length || crc !== entry.crc) throw this.#fault(`${name} is damaged (length or CRC)`);
    if (held !== undefined) yield held;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Behind the local header, whose name and extra field may differ in length from the directory's. */
  async #dataStart({ name, offset }: Located): Promise<number> {
    const header = await readAt(this.name, this.#file, offset, 30);
    if (header.readUInt32LE(0) !== 0x0403_4b50)
      throw this.#fault(`${name} is not where the directory has it`);
    return offset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
  }

  async *#pieces(start: number, length: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < length; ) {
      const piece = await readAt(this.name, this.#file, start + at, Math.min(PIECE_BYTES, length - at));
      at += piece.length;
      yield piece;
    }
  }

  async *#inflate(raw: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array> {
    const inflate = createInflateRaw({ chunkSize: PIECE_BYTES });
    const source = Readable.from(raw);
    source.on('error', (error) => inflate.destroy(error));
    source.pipe(inflate);
    try {
      for await (const piece of inflate) yield piece as Uint8Array;
    } catch (cause) {
      if (cause instanceof EvidenceError) throw cause;
      throw this.#fault(`${name} cannot be unpacked: ${reasonOf(cause)}`);
    } finally {
      source.destroy();
      inflate.destroy();
    }
  }

  #find(name: string): Located {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw this.#fault(`it lacks ${name}`);
    return entry;
  }

  #fault(what: string): EvidenceError {
    return malformed(this.name, what);
  }
}

async function readDirectory(path: string, file: FileHandle, size: number): Promise<Map<string, Located>> {
  const { start, length, count } = await findDirectory(path, file, size);
  if (count > MAX_ENTRIES || length > MAX_DIRECTORY_BYTES || start + length > size) {
    throw malformed(path, `its directory of ${count} entries is too large or not there`);
  }
  const directory = await readAt(path, file, start, length);
  const entries = new Map<string, Located>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > length || directory.readUInt32LE(at) !== 0x0201_4b50) {
      throw malformed(path, 'its directory is damaged');
    }
    const nameLength = directory.readUInt16LE(at + 28);
    const extraLength = directory.readUInt16LE(at + 30);
    const end = at + 46 + nameLength + extraLength + directory.readUInt16LE(at + 32);
    if (end > length) throw malformed(path, 'its directory is damaged');
    const entry = readEntry(path, directory, at, nameLength, extraLength);
    // Two entries of one name: each reader would see another.
    if (entries.has(entry.name)) throw malformed(path, `${entry.name} is in it twice`);
    if (entry.offset + entry.compressed > start) throw malformed(path, `${entry.name} is not in the file`);
    entries.set(entry.name, entry);
    at = end;
  }
  if (at !== length) throw malformed(path, 'its directory is damaged');
  return entries;
}

function readEntry(
  path: string,
  directory: Buffer,
  at: number,
  nameLength: number,
  extraLength: number,
): Located {
  const name = directory.toString('utf8', at + 46, at + 46 + nameLength);
  if (!isSafeName(name)) throw malformed(path, `a name that is not taken: ${JSON.stringify(name)}`);
  const flags = directory.readUInt16LE(at + 8);
  const method = directory.readUInt16LE(at + 10);
  if ((flags & 1) !== 0) throw malformed(path, `${name} is encrypted`);
  if (method !== METHOD_STORED && method !== METHOD_DEFLATED) {
    throw malformed(path, `${name} is packed with method ${method}, only 0 and 8 are read`);
  }
  const extra = directory.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength);
  const large = zip64Values(extra);
  const wide = (value: number): number => (value === MAX_32 ? (large.shift() ?? value) : value);
  const length = wide(directory.readUInt32LE(at + 24));
  const compressed = wide(directory.readUInt32LE(at + 20));
  const offset = wide(directory.readUInt32LE(at + 42));
  if (method === METHOD_STORED && length !== compressed) throw malformed(path, `${name} has two lengths`);
  return { name, length, method, compressed, crc: directory.readUInt32LE(at + 16), offset };
}

/** Relative, forward slashes, no way up. A bundle is never unpacked here, but people will unpack it. */
function isSafeName(name: string): boolean {
  return /^[\w][\w.+-]*(\/[\w][\w.+-]*)*\/?$/.test(name);
}

/** APPNOTE §4.5.3: the values that do not fit, in order. */
function zip64Values(extra: Buffer): number[] {
  for (let at = 0; at + 4 <= extra.length; ) {
    const [id, size] = [extra.readUInt16LE(at), extra.readUInt16LE(at + 2)];
    if (id === 0x0001) {
      const values: number[] = [];
      for (let k = at + 4; k + 8 <= Math.min(at + 4 + size, extra.length); k += 8) {
        values.push(Number(extra.readBigUInt64LE(k)));
      }
      return values;
    }
    at += 4 + size;
  }
  return [];
}

async function findDirectory(
  path: string,
  file: FileHandle,
  size: number,
): Promise<{ start: number; length: number; count: number }> {
  const tailLength = Math.min(size, MAX_END_BYTES);
  const tail = await readAt(path, file, size - tailLength, tailLength);
  let at = tail.length - 22;
  while (
    at >= 0 &&
    !(tail.readUInt32LE(at) === 0x0605_4b50 && at + 22 + tail.readUInt16LE(at + 20) === tail.length)
  ) {
    at--;
  }
  if (at < 0) throw malformed(path, 'it is no zip file, or its end is gone');
  const end = {
    count: tail.readUInt16LE(at + 10),
    length: tail.readUInt32LE(at + 12),
    start: tail.readUInt32LE(at + 16),
  };
  if (end.count !== MAX_16 && end.length !== MAX_32 && end.start !== MAX_32) return end;
  const locatorAt = size - tailLength + at - 20;
  if (locatorAt < 0) throw malformed(path, 'its end is damaged');
  const locator = await readAt(path, file, locatorAt, 20);
  if (locator.readUInt32LE(0) !== 0x0706_4b50) return end;
  const end64At = Number(locator.readBigUInt64LE(8));
  if (end64At + 56 > size) throw malformed(path, 'its end is damaged');
  const end64 = await readAt(path, file, end64At, 56);
  if (end64.readUInt32LE(0) !== 0x0606_4b50) throw malformed(path, 'its end is damaged');
  return {
    count: Number(end64.readBigUInt64LE(32)),
    length: Number(end64.readBigUInt64LE(40)),
    start: Number(end64.readBigUInt64LE(48)),
  };
}

/** Exactly these bytes. */
async function readAt(path: string, file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; ) {
    const { bytesRead } = await file.read(bytes, at, length - at, position + at);
    if (bytesRead === 0) throw malformed(path, 'it ends too early');
    at += bytesRead;
  }
  return bytes;
}

function malformed(path: string, what: string): EvidenceError {
  return new EvidenceError('ERR_EVIDENCE_BUNDLE', `${path}: ${what}`);
}
