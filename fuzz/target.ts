import { TrellisError } from '../src/errors/errors.ts';

/** One decoder, or a whole connection. `run` may throw a TrellisError and nothing else. */
export interface Target {
  readonly name: string;
  readonly seeds: () => readonly Uint8Array[];
  readonly run: (input: Uint8Array) => void;
}

/** Whether what a target threw is a verdict on its input; anything else is a bug here. */
export function isVerdict(error: unknown): boolean {
  return error instanceof TrellisError && error.code !== 'ERR_TLS_INTERNAL';
}

/** Gives `input` to each of them, whatever the others make of it. */
export function tryAll(input: Uint8Array, readers: readonly ((input: Uint8Array) => unknown)[]): void {
  for (const read of readers) {
    try {
      read(input);
    } catch (error) {
      if (!isVerdict(error)) throw error;
    }
  }
}

/** A target that takes what its function returns for nothing. */
export function decoder(
  name: string,
  seeds: () => readonly Uint8Array[],
  run: (input: Uint8Array) => unknown,
): Target {
  return { name, seeds, run: (input) => void run(input) };
}
