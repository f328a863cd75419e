import { secretBytes } from '../../wire/secret.ts';

const LENGTH_BYTES = 2;
/** The length is two bytes (as in vpcd's protocol). */
export const MAX_FRAME = 65_535;

/** Cuts a byte stream into `opaque frame<0..2^16-1>;`, as the module's socket and vpcd speak it. */
export class FrameSplitter {
  #pending: Buffer = Buffer.alloc(0);

  /** Frames that are complete, as copies to be wiped. Holds at most one frame that is not, and no other copy. */
  push(bytes: Uint8Array): Uint8Array[] {
    const all = Buffer.concat([this.#pending, bytes]);
    const frames: Uint8Array[] = [];
    let at = 0;
    while (all.length - at >= LENGTH_BYTES) {
      const end = at + LENGTH_BYTES + all.readUInt16BE(at);
      if (end > all.length) break;
      const copy = secretBytes(end - at - LENGTH_BYTES);
      copy.set(all.subarray(at + LENGTH_BYTES, end));
      frames.push(copy);
      at = end;
    }
    this.#pending.fill(0);
    this.#pending = Buffer.from(all.subarray(at));
    all.fill(0);
    return frames;
  }
}

/** @param bytes at most MAX_FRAME */
export function frame(bytes: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(LENGTH_BYTES + bytes.length);
  out.writeUInt16BE(bytes.length);
  out.set(bytes, LENGTH_BYTES);
  return out;
}
