import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { EvidenceError, reasonOf } from '../errors.ts';

/** What fits the 32-bit fields of a zip; above, ZIP64 takes over (APPNOTE §4.3.14, §4.4.1.4). */
const MAX_32 = 0xffff_ffff;
const MAX_16 = 0xffff;
/** 2.0, and 4.5 with ZIP64 (APPNOTE §4.4.3.2). */
const VERSION = 20;
const VERSION_64 = 45;
/** Names are UTF-8 (APPNOTE §4.4.4, bit 11). */
const UTF8_NAMES = 0x0800;

interface Entry {
  readonly name: Uint8Array;
  readonly length: number;
  readonly crc: number;
  readonly offset: number;
}

/**
 * Writes a zip file. Nothing is compressed: what is in a bundle is signed, hashed or small, and stored entries are the
 * bytes themselves, in bounded memory.
 */
export class ZipWriter {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #time: { readonly time: number; readonly date: number };
  readonly #entries: Entry[] = [];
  #offset = 0;

  /** @param now the time of all entries @throws EvidenceError ERR_EVIDENCE_FILE, also when there is such a file */
  static async create(path: string, now: number): Promise<ZipWriter> {
    try {
      return new ZipWriter(await open(path, 'wx'), path, now);
    } catch (cause) {
      throw new EvidenceError('ERR_EVIDENCE_FILE', `${path}: it cannot be made: ${reasonOf(cause)}`, {
        cause,
      });
    }
  }

  private constructor(file: FileHandle, path: string, now: number) {
    this.#file = file;
    this.#path = path;
    this.#time = dosTime(now);
  }

  /**
   * @param data the bytes, or pieces of them
   * @param length of all pieces; what comes must be as long
   */
  async add(name: string, data: Uint8Array): Promise<void>;
  async add(name: string, data: AsyncIterable<Uint8Array>, length: number): Promise<void>;
  async add(name: string, data: Uint8Array | AsyncIterable<Uint8Array>, length?: number): Promise<void> {
    const total = data instanceof Uint8Array ? data.length : (length ?? 0);
    const encoded = new TextEncoder().encode(name);
    const offset = this.#offset;
    let crc = data instanceof Uint8Array ? crc32(data) : 0;
    await this.#write(this.#localHeader(encoded, total, crc));
    if (data instanceof Uint8Array) {
      await this.#write(data);
    } else {
      let written = 0;
      for await (const piece of data) {
        crc = crc32(piece, crc);
        written += piece.length;
        await this.#write(piece);
      }
      if (written !== total) {
        throw new EvidenceError(
          'ERR_EVIDENCE_DAMAGED',
          `${name} has ${written} bytes, ${total} were archived`,
        );
      }
      // The header went out before the bytes were seen.
      const field = Buffer.alloc(4);
      field.writeUInt32LE(crc);
      await this.#file.write(field, 0, 4, offset + 14);
    }
    this.#entries.push({ name: encoded, length: total, crc, offset });
  }

  /** Writes the directory and closes the file. */
  async finish(): Promise<void> {
    const start = this.#offset;
    for (const entry of this.#entries) await this.#write(this.#centralHeader(entry));
    await this.#write(this.#end(start, this.#offset - start));
    await this.#file.sync();
    await this.#file.close();
  }

  /** Closes the file as it is. */
  async abandon(): Promise<void> {
    await this.#file.close();
  }

  /** APPNOTE §4.3.7. */
  #localHeader(name: Uint8Array, length: number, crc: number): Uint8Array {
    const is64 = length >= MAX_32;
    const header = Buffer.alloc(30);
    header.writeUInt32LE(0x0403_4b50, 0);
    this.#common(header, 4, is64);
    header.writeUInt32LE(crc, 14);
    header.writeUInt32LE(is64 ? MAX_32 : length, 18);
    header.writeUInt32LE(is64 ? MAX_32 : length, 22);
    header.writeUInt16LE(name.length, 26);
    const extra = is64 ? zip64Extra([length, length]) : Buffer.alloc(0);
    header.writeUInt16LE(extra.length, 28);
    return Buffer.concat([header, name, extra]);
  }

  /** APPNOTE §4.3.12. */
  #centralHeader({ name, length, crc, offset }: Entry): Uint8Array {
    const large = [...(length >= MAX_32 ? [length, length] : []), ...(offset >= MAX_32 ? [offset] : [])];
    const extra = large.length > 0 ? zip64Extra(large) : Buffer.alloc(0);
    const header = Buffer.alloc(46);
    header.writeUInt32LE(0x0201_4b50, 0);
    header.writeUInt16LE(VERSION_64, 4);
    this.#common(header, 6, large.length > 0);
    header.writeUInt32LE(crc, 16);
    header.writeUInt32LE(Math.min(length, MAX_32), 20);
    header.writeUInt32LE(Math.min(length, MAX_32), 24);
    header.writeUInt16LE(name.length, 28);
    header.writeUInt16LE(extra.length, 30);
    header.writeUInt32LE(Math.min(offset, MAX_32), 42);
    return Buffer.concat([header, name, extra]);
  }

  /** Version needed, flags, method (stored), time and date. */
  #common(header: Buffer, at: number, is64: boolean): void {
    header.writeUInt16LE(is64 ? VERSION_64 : VERSION, at);
    header.writeUInt16LE(UTF8_NAMES, at + 2);
    header.writeUInt16LE(this.#time.time, at + 6);
    header.writeUInt16LE(this.#time.date, at + 8);
  }

  /** APPNOTE §4.3.14 to §4.3.16. */
  #end(start: number, size: number): Uint8Array {
    const count = this.#entries.length;
    const is64 = count >= MAX_16 || start >= MAX_32 || size >= MAX_32;
    const end = Buffer.alloc(22);
    end.writeUInt32LE(0x0605_4b50, 0);
    end.writeUInt16LE(Math.min(count, MAX_16), 8);
    end.writeUInt16LE(Math.min(count, MAX_16), 10);
    end.writeUInt32LE(Math.min(size, MAX_32), 12);
    end.writeUInt32LE(Math.min(start, MAX_32), 16);
    if (!is64) return end;
    const end64 = Buffer.alloc(56);
    end64.writeUInt32LE(0x0606_4b50, 0);
    end64.writeBigUInt64LE(44n, 4);
    end64.writeUInt16LE(VERSION_64, 12);
    end64.writeUInt16LE(VERSION_64, 14);
    end64.writeBigUInt64LE(BigInt(count), 24);
    end64.writeBigUInt64LE(BigInt(count), 32);
    end64.writeBigUInt64LE(BigInt(size), 40);
    end64.writeBigUInt64LE(BigInt(start), 48);
    const locator = Buffer.alloc(20);
    locator.writeUInt32LE(0x0706_4b50, 0);
    locator.writeBigUInt64LE(BigInt(start + size), 8);
    locator.writeUInt32LE(1, 16);
    return Buffer.concat([end64, locator, end]);
  }

  async #write(bytes: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < bytes.length; ) {
        const { bytesWritten } = await this.#file.write(bytes, at, bytes.length - at, this.#offset + at);
        at += bytesWritten;
      }
    } catch (cause) {
      throw new EvidenceError('ERR_EVIDENCE_FILE', `${this.#path}: ${reasonOf(cause)}`, { cause });
    }
    this.#offset += bytes.length;
  }
}

/** Extended information, APPNOTE §4.5.3. */
function zip64Extra(values: readonly number[]): Buffer {
  const extra = Buffer.alloc(4 + 8 * values.length);
  extra.writeUInt16LE(0x0001, 0);
  extra.writeUInt16LE(8 * values.length, 2);
  for (const [i, value] of values.entries()) extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
  return extra;
}

/** APPNOTE §4.4.6; two seconds are the finest it knows, and 1980 is where it begins. UTC, for want of a zone. */
function dosTime(now: number): { time: number; date: number } {
  const at = new Date(Math.max(now, Date.UTC(1980, 0)));
  return {
    time: (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1),
    date: ((at.getUTCFullYear() - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate(),
  };
}
