import type { Bench } from '../harness.ts';

/** Every bench, in the order of `npm run bench`. Named one by one, since the benches run as one bundle. */
export const benches: readonly Bench[] = [];
