/** Unix milliseconds with a fraction, by which windows are measured; never goes back. */
export function preciseNow(): number {
  return performance.timeOrigin + performance.now();
}
