/** A small reproducible generator (xorshift32): a crash is found again by its seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    // Spread, because neighbouring seeds are used one after another, and never zero, where xorshift stays.
    this.#state = Math.imul(seed + 1, 0x9e3779b1) | 0 || 1;
  }

  /** An integer from 0 up to, not including, `bound`. */
  below(bound: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % bound;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}

/** Values that length fields and types like to go wrong at. */
const INTERESTING = [0, 1, 2, 3, 4, 0x0b, 0x10, 0x16, 0x17, 0x1c, 0x7f, 0x80, 0xfe, 0xff] as const;

type Mutation = (bytes: Uint8Array, random: Random, others: readonly Uint8Array[]) => Uint8Array;

const MUTATIONS: readonly Mutation[] = [
  // one bit
  (bytes, random) => {
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    return bytes;
  },
  // one byte, to a value of interest
  (bytes, random) => {
    bytes[random.below(bytes.length)] = random.pick(INTERESTING);
    return bytes;
  },
  // one byte, a little more or less: lengths off by one
  (bytes, random) => {
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] as number) + random.pick([1, -1, 2, -2]);
    return bytes;
  },
  // cut short
  (bytes, random) => bytes.slice(0, random.below(bytes.length)),
  // a piece taken out
  (bytes, random) => {
    const from = random.below(bytes.length);
    const to = Math.min(bytes.length, from + 1 + random.below(16));
    return join(bytes.subarray(0, from), bytes.subarray(to));
  },
  // a piece doubled
  (bytes, random) => {
    const from = random.below(bytes.length);
    const to = Math.min(bytes.length, from + 1 + random.below(64));
    return join(bytes.subarray(0, to), bytes.subarray(from));
  },
  // noise put in
  (bytes, random) => {
    const at = random.below(bytes.length);
    const noise = Uint8Array.from({ length: 1 + random.below(8) }, () => random.below(256));
    return join(bytes.subarray(0, at), noise, bytes.subarray(at));
  },
  // the head of this and the tail of another
  (bytes, random, others) => {
    const other = random.pick(others);
    return join(
      bytes.subarray(0, random.below(bytes.length)),
      other.subarray(random.below(other.length + 1)),
    );
  },
];

/** No input grows beyond this, however often pieces are doubled. */
const MAX_INPUT = 100_000;

/** One of the seeds with one to eight things wrong. */
export function mutate(seeds: readonly Uint8Array[], random: Random): Uint8Array {
  let bytes: Uint8Array = random.pick(seeds).slice();
  for (let left = 1 + random.below(8); left > 0 && bytes.length > 0; left--) {
    bytes = random.pick(MUTATIONS)(bytes, random, seeds);
  }
  return bytes.subarray(0, MAX_INPUT);
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}
