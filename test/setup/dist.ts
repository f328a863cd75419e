import { buildIfStale } from '../../scripts/build.mjs';

/** Global set-up of the layers that run dist/: they see what the sources say now, also when run on their own. */
export function setup(): void {
  const complaints = buildIfStale();
  if (complaints !== undefined) throw new Error(`dist/ could not be built:\n${complaints}`);
}
