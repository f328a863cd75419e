import { errorCode } from '../../../../src/tunnel/errors.ts';
import type { Cutter, Part } from '../../../../src/tunnel/units/cutter.ts';

/** Units, joined. What is left of one is lost, as in the tunnel. */
export class Joined {
  readonly units: Buffer[] = [];
  #parts: Uint8Array[] = [];

  add(parts: readonly Part[]): void {
    for (const { bytes, last } of parts) {
      this.#parts.push(Uint8Array.from(bytes));
      if (!last) continue;
      this.units.push(Buffer.concat(this.#parts));
      this.#parts = [];
    }
  }

  get strings(): string[] {
    return this.units.map((unit) => unit.toString('latin1'));
  }
}

/** Cuts a whole direction. */
export function cutAll(cutter: Cutter, inputs: readonly Uint8Array[]): Buffer[] {
  const joined = new Joined();
  for (const input of inputs) joined.add(cutter.push(input));
  joined.add(cutter.end());
  return joined.units;
}

/** The same bytes in pieces that end at these places. */
export function pieces(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const points = [0, ...cuts.filter((at) => at < bytes.length).sort((a, b) => a - b), bytes.length];
  return points.slice(1).map((to, i) => bytes.subarray(points[i], to));
}

export function codeOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return errorCode(error);
  }
}
