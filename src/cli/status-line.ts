/** Nobody needs to be told of work that takes less. Milliseconds. */
const PATIENCE = 1_000;
/** How often a line is written anew. Milliseconds. */
const INTERVAL = 200;

/** Where a status line goes, if it is a terminal. */
export interface Screen {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

/** A line on standard error that says how far some work is, where that is a terminal, and that is taken away again. */
export function statusLine(screen: Screen = process.stderr) {
  let last = performance.now() + PATIENCE - INTERVAL;
  let isShown = false;
  return {
    show(text: string): void {
      const now = performance.now();
      if (screen.isTTY !== true || now - last < INTERVAL) return;
      last = now;
      isShown = true;
      screen.write(`\r\u001b[K${text}`);
    },
    /** Takes the line away. */
    end(): void {
      if (isShown) screen.write('\r\u001b[K');
      isShown = false;
    },
  };
}
