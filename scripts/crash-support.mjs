// What the crash tests share.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from './root.mjs';

/** @param {string} file in dist/ */
export function distUrl(file) {
  const path = join(ROOT, 'dist', file);
  if (!existsSync(path)) throw new Error('dist/ is not there: run npm run build first');
  return pathToFileURL(path).href;
}

/**
 * The same numbers for the same seed (mulberry32).
 *
 * @param {number} seed
 */
export function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
