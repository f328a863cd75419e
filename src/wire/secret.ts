/**
 * Memory for a secret, to be wiped with `fill(0)`. It is outside of the collector's heap: the engine keeps short arrays
 * inside, moves them about there, and leaves what was in them behind.
 */
export function secretBytes(length: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(length));
}
