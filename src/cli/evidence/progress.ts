import { type Screen, statusLine } from '../status-line.ts';

/**
 * A line on standard error that says how far an audit is, where that is a terminal.
 * @param total records
 */
export function auditProgress(total: number, screen?: Screen) {
  const start = performance.now();
  const line = statusLine(screen);
  return {
    show: (records: number): void => line.show(progressText(records, total, performance.now() - start)),
    /** Takes the line away again. */
    end: (): void => line.end(),
  };
}

/** `  412,000 of 1,000,000 records, 41 %, about 24 s left` @param elapsed milliseconds */
export function progressText(records: number, total: number, elapsed: number): string {
  const share = total === 0 ? 1 : Math.min(1, records / total);
  const left = share === 0 ? '' : `, about ${Math.ceil((elapsed * (1 - share)) / share / 1000)} s left`;
  // What remains after the last record are the heads, timestamps and witnesses.
  const rest = share === 1 ? ', looking at heads and witnesses' : left;
  return `  ${records.toLocaleString('en')} of ${total.toLocaleString('en')} records, ${Math.floor(share * 100)} %${rest}`;
}
