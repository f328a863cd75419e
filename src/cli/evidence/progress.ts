/** Nobody needs to be told of an audit that takes less. Milliseconds. */
const PATIENCE = 1_000;
/** How often a line is written anew. Milliseconds. */
const INTERVAL = 200;

/**
 * A line on standard error that says how far an audit is, where that is a terminal.
 * @param total records
 */
export function auditProgress(total: number, screen: ProgressScreen = process.stderr) {
  const start = performance.now();
  let last = start + PATIENCE - INTERVAL;
  let isShown = false;
  return {
    show(records: number): void {
      const now = performance.now();
      if (screen.isTTY !== true || now - last < INTERVAL) return;
      last = now;
      isShown = true;
      screen.write(`\r\u001b[K${progressText(records, total, now - start)}`);
    },
    /** Takes the line away again. */
    end(): void {
      if (isShown) screen.write('\r\u001b[K');
    },
  };
}

interface ProgressScreen {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

/** `  412,000 of 1,000,000 records, 41 %, about 24 s left` @param elapsed milliseconds */
export function progressText(records: number, total: number, elapsed: number): string {
  const share = total === 0 ? 1 : Math.min(1, records / total);
  const left = share === 0 ? '' : `, about ${Math.ceil((elapsed * (1 - share)) / share / 1000)} s left`;
  // What remains after the last record are the heads, timestamps and witnesses.
  const rest = share === 1 ? ', looking at heads and witnesses' : left;
  return `  ${records.toLocaleString('en')} of ${total.toLocaleString('en')} records, ${Math.floor(share * 100)} %${rest}`;
}
