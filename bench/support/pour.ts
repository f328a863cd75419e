import type { Writable } from 'node:stream';

/** Writes `total` bytes, `chunk` after `chunk`, as fast as `to` takes them. */
export function pour(to: Writable, chunk: Uint8Array, total: number): void {
  let left = total / chunk.length;
  const write = (): void => {
    while (left > 0) {
      left--;
      if (!to.write(chunk)) {
        to.once('drain', write);
        return;
      }
    }
  };
  write();
}
