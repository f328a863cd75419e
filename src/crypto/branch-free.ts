/*
 * Arithmetic on secrets without branches and without indices that depend on them: 32-bit masks, all ones for true. This is
 * as much as can be written down in JavaScript. What an engine makes of it is measured (`npm run timing`), not promised.
 */

/** All ones when a < b. Both from 0 to 2^31 - 1. */
export function maskLess(a: number, b: number): number {
  return (a - b) >> 31;
}

/** All ones when a = b. Both from 0 to 2^31 - 1. */
export function maskEqual(a: number, b: number): number {
  return ~((a ^ b) | -(a ^ b)) >> 31;
}

/** `a` under a mask of ones, `b` under one of zeros. */
export function select(mask: number, a: number, b: number): number {
  return (a & mask) | (b & ~mask);
}
