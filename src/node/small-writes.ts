/** Joins neighbouring short writes, so that many one-byte writes become one record instead of many. */
export function joinSmall(items: readonly { readonly chunk: Uint8Array }[]): Uint8Array[] {
  const joined: Uint8Array[] = [];
  let run: Uint8Array[] = [];
  let length = 0;
  const endRun = () => {
    if (run.length > 0) joined.push(run.length === 1 ? (run[0] as Uint8Array) : Buffer.concat(run, length));
    run = [];
    length = 0;
  };
  for (const { chunk } of items) {
    if (chunk.length >= SMALL_WRITE) {
      endRun();
      joined.push(chunk);
      continue;
    }
    if (length + chunk.length > RECORD_LENGTH) endRun();
    run.push(chunk);
    length += chunk.length;
  }
  endRun();
  return joined;
}

/** Writes shorter than this are joined into one record; longer ones are sealed where they are. */
const SMALL_WRITE = 8 * 1024;
/** Largest TLSPlaintext.fragment, RFC 8446 §5.1. */
const RECORD_LENGTH = 16 * 1024;
