import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's folder; every script works from here, wherever it is called. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Ignored by git and by every tool: builds in progress, bundles, stamps. */
export const SCRATCH = join(ROOT, '.tmp');

/**
 * The JavaScript file behind a package's command, so that it runs as `node FILE` and needs no shell shim.
 *
 * @param {string} packageName
 * @param {string} command
 */
export function commandFile(packageName, command) {
  const folder = join(ROOT, 'node_modules', packageName);
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return join(folder, typeof bin === 'string' ? bin : bin[command]);
}
