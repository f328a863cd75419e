const LENGTH_BYTES = 2;
/** The length is two bytes (as in vpcd's protocol). */
export const MAX_FRAME = 65_535;

/** Cuts a byte stream into `opaque frame<0..2^16-1>;`, as the module's socket and vpcd speak it. */
export class FrameSplitter {
  #pending: Buffer = Buffer.alloc(0);

  /** Frames that are complete, as copies. Holds at most one frame that is not. */
  push(bytes: Uint8Array): Uint8Array[] {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    const frames: Uint8Array[] = [];
    let at = 0;
    while (this.#pending.length - at >= LENGTH_BYTES) {
      const end = at + LENGTH_BYTES + this.#pending.readUInt16BE(at);
      if (end > this.#pending.length) break;
      frames.push(new Uint8Array(this.#pending.subarray(at + LENGTH_BYTES, end)));
      at = end;
    }
    this.#pending = Buffer.from(this.#pending.subarray(at));
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
