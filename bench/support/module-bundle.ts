import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** The module, engine included, in one minified file; cryptography is the platform's, as it would be a card's. */
export async function bundleSize(): Promise<Readonly<Record<string, number>>> {
  const { outputFiles } = await build({
    stdin: {
      contents: `export { Applet } from './src/module/applet/applet.ts';
        export { initialState, PersistentState } from './src/module/applet/persistent.ts';
        export { SealedStore } from './src/module/applet/sealed-store.ts';`,
      resolveDir: ROOT,
      loader: 'ts',
    },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
  });
  const bytes = outputFiles[0]?.contents ?? new Uint8Array(0);
  return { minifiedBytes: bytes.length, gzippedBytes: gzipSync(bytes).length };
}
