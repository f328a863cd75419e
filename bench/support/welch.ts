/** How two classes of measurements differ. */
export interface Difference {
  /** Welch's t; beyond 4.5, as dudect has it, chance is no explanation. */
  readonly t: number;
  /** Of the means that gave this t, second class minus first. */
  readonly nanoseconds: number;
  /** Share of the measurements that gave it; those that took longest are left out. */
  readonly kept: number;
}

/** Interruptions are in the slow tail, so the same data are looked at with more and less of it (dudect, Reparaz et al. 2017). */
const KEPT = [0.5, 0.75, 0.9, 0.95, 0.99, 1];

/** @returns the strongest sign of a difference among all croppings */
export function compare(first: readonly number[], second: readonly number[]): Difference {
  const all = [...first, ...second].sort((a, b) => a - b);
  const differences = KEPT.map((kept): Difference => {
    const limit = all[Math.ceil(all.length * kept) - 1] as number;
    const [a, b] = [first, second].map((times) => momentsOf(times.filter((time) => time <= limit)));
    if (a === undefined || b === undefined || a.count < 2 || b.count < 2)
      return { t: 0, nanoseconds: 0, kept };
    const nanoseconds = b.mean - a.mean;
    const error = Math.sqrt(a.variance / a.count + b.variance / b.count);
    return { t: error === 0 ? 0 : nanoseconds / error, nanoseconds, kept };
  });
  return differences.reduce((most, one) => (Math.abs(one.t) > Math.abs(most.t) ? one : most));
}

function momentsOf(times: readonly number[]) {
  const count = times.length;
  const mean = times.reduce((sum, time) => sum + time, 0) / count;
  const variance = times.reduce((sum, time) => sum + (time - mean) ** 2, 0) / (count - 1);
  return { count, mean, variance };
}
