import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Something that must not be in a process's memory. */
export interface Needle {
  /** `web: scalar`. */
  readonly name: string;
  /** At least 8 bytes. Below 24 all of them are looked for; of more, any 23 in a row. */
  readonly bytes: Uint8Array;
}

export interface MemoryScan {
  /** Readable ones that were read. */
  readonly regions: number;
  readonly bytes: number;
  /** Names of the needles that are there, each once. */
  readonly found: readonly string[];
}

/** Memory is looked at every so many bytes. */
const STEP = 16;
/** So much of a long needle is compared there: a run of `STEP + ANCHOR - 1` bytes of it cannot be missed. */
const ANCHOR = 8;
const LONG = STEP + ANCHOR;
const CHUNK = 4 * 1_048_576;
/** Bits of the first look at a place: few others than anchors pass. */
const SIEVE_BITS = 20;

/** Why the memory of a child cannot be read here; `undefined` when it can. */
export function whyNoScan(): string | undefined {
  if (process.platform !== 'linux') return 'only Linux has /proc/PID/mem';
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 10_000)'], { stdio: 'ignore' });
  try {
    closeSync(openSync(`/proc/${child.pid}/mem`, 'r'));
    return undefined;
  } catch (error) {
    return `this machine does not let the memory of a child be read: ${error instanceof Error ? error.message : error}`;
  } finally {
    child.kill('SIGKILL');
  }
}

/**
 * Looks for the needles in every readable region of a process, which is stopped meanwhile: what is moved about would be
 * missed. The process is a child of this one.
 *
 * @throws Error of the system, when its memory must not be read
 */
export async function scanMemory(pid: number, needles: readonly Needle[]): Promise<MemoryScan> {
  const finder = new Finder(needles);
  process.kill(pid, 'SIGSTOP');
  try {
    const memory = openSync(`/proc/${pid}/mem`, 'r');
    try {
      let [regions, bytes] = [0, 0];
      for (const { start, end } of readableRegions(readFileSync(`/proc/${pid}/maps`, 'latin1'))) {
        const read = await scanRegion(memory, start, end, finder);
        if (read > 0) regions++;
        bytes += read;
      }
      return { regions, bytes, found: [...finder.found].sort() };
    } finally {
      closeSync(memory);
    }
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

/** Lines of /proc/PID/maps: `start-end perms offset device inode path`. */
export function readableRegions(maps: string): { readonly start: number; readonly end: number }[] {
  const regions: { start: number; end: number }[] = [];
  for (const line of maps.split('\n')) {
    const [, start, end, permissions] = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) /.exec(line) ?? [];
    // The kernel's own: it gives them to nobody.
    if (permissions?.startsWith('r') !== true || /\[(vvar|vsyscall)/.test(line)) continue;
    regions.push({ start: Number(`0x${start}`), end: Number(`0x${end}`) });
  }
  return regions;
}

/** @returns bytes read */
async function scanRegion(memory: number, start: number, end: number, finder: Finder): Promise<number> {
  const chunk = Buffer.allocUnsafeSlow(CHUNK);
  let total = 0;
  finder.begin();
  for (let at = start; at < end; ) {
    let count: number;
    try {
      count = readSync(memory, chunk, 0, Math.min(CHUNK, end - at), at);
    } catch {
      // A page that a device or a file that has shrunk is behind.
      break;
    }
    if (count === 0) break;
    at += count;
    total += count;
    finder.look(chunk.subarray(0, count));
    // Relays and applications in this process go on meanwhile.
    await nextTurn();
  }
  return total;
}

/** Looks for all needles in one pass. */
class Finder {
  readonly found = new Set<string>();
  readonly #short: readonly { readonly name: string; readonly bytes: Buffer }[];
  readonly #sieve = new Uint8Array(2 ** SIEVE_BITS);
  /** By the first four bytes of the anchor. */
  readonly #anchors = new Map<number, { readonly name: string; readonly rest: number }[]>();
  /** What a chunk's end may cut in two. */
  #tail: Buffer = Buffer.alloc(0);

  constructor(needles: readonly Needle[]) {
    for (const { name, bytes } of needles) {
      if (bytes.length < ANCHOR) throw new RangeError(`${name}: ${bytes.length} bytes are anywhere`);
    }
    this.#short = needles.flatMap(({ name, bytes }) =>
      bytes.length < LONG ? [{ name, bytes: Buffer.from(bytes) }] : [],
    );
    for (const { name, bytes } of needles) {
      if (bytes.length >= LONG) this.#addAnchors(name, Buffer.from(bytes));
    }
  }

  #addAnchors(name: string, bytes: Buffer): void {
    for (let at = 0; at + ANCHOR <= bytes.length; at++) {
      const first = bytes.readInt32LE(at);
      this.#sieve[sieveIndex(first)] = 1;
      const anchor = { name, rest: bytes.readInt32LE(at + 4) };
      const others = this.#anchors.get(first);
      if (others === undefined) this.#anchors.set(first, [anchor]);
      else others.push(anchor);
    }
  }

  /** What comes next does not follow what came before. */
  begin(): void {
    this.#tail = Buffer.alloc(0);
  }

  look(memory: Buffer): void {
    const seam = Buffer.concat([this.#tail, memory.subarray(0, LONG)]);
    for (const { name, bytes } of this.#short) {
      if (memory.includes(bytes) || seam.includes(bytes)) this.found.add(name);
    }
    this.#tail = Buffer.from(memory.subarray(-LONG));
    const words = new Int32Array(memory.buffer, memory.byteOffset, memory.length >> 2);
    const sieve = this.#sieve;
    for (let at = 0; at + 1 < words.length; at += STEP / 4) {
      const word = words[at] as number;
      if (sieve[sieveIndex(word)] === 0) continue;
      for (const { name, rest } of this.#anchors.get(word) ?? []) {
        if (rest === words[at + 1]) this.found.add(name);
      }
    }
  }
}

/** Multiplicative hashing, by the golden ratio. */
function sieveIndex(word: number): number {
  return Math.imul(word, 0x9e3779b1) >>> (32 - SIEVE_BITS);
}
