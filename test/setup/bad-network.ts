import { type Arrival, LATENCY, type Network } from './dtls-pair.ts';
import { randomNumbers } from './pair.ts';

/** What a network does to datagrams, in parts of a hundred. */
export interface Faults {
  readonly loss: number;
  readonly double: number;
  readonly delay: number;
  readonly damage: number;
}

/** Repeatable: the same seed makes the same faults. */
export function faulty({ loss, double, delay, damage }: Faults, seed: number): Network {
  const random = randomNumbers(seed);
  const hits = (percent: number): boolean => random(100) < percent;
  return (bytes) => {
    if (hits(loss)) return [];
    const copies = hits(double) ? 2 : 1;
    return Array.from({ length: copies }, (): Arrival => {
      const after = LATENCY + (hits(delay) ? random(3000) : 0);
      if (!hits(damage)) return { after, bytes };
      const damaged = new Uint8Array(bytes);
      const at = random(damaged.length);
      damaged[at] = (damaged[at] as number) ^ (1 << random(8));
      return { after, bytes: damaged };
    });
  };
}
