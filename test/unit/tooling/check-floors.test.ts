import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { checkFloors } from '../../../scripts/check-floors.mjs';

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function repository(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), 'trellis-floors-'));
  folders.push(root);
  for (const [name, text] of Object.entries({ 'package.json': '{"type":"module"}', ...files })) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

const LEAF = 'export const value = 1;\nexport type Value = number;\n';

describe('import floors', () => {
  it('let pass what goes down only', async () => {
    const root = repository({
      'src/index.ts': "export * from './node/socket.ts';\n",
      'src/node/socket.ts':
        "import { connect } from 'node:net';\nimport { value } from '../mux/frame.ts';\nimport '../crypto/node/aead.ts';\nexport const all = [connect, value];\n",
      'src/mux/frame.ts': "export { value } from '../wire/reader.ts';\n",
      'src/crypto/node/aead.ts': "import crypto from 'node:crypto';\nexport const hash = crypto.hash;\n",
      'src/wire/reader.ts': LEAF,
    });
    expect(await checkFloors(root)).toEqual({ faults: [], modules: 5 });
  });

  it('stop each kind of import that does not', async () => {
    const root = repository({
      'src/index.ts': "export * from './cli/main.ts';\n",
      'src/errors/errors.ts': LEAF,
      'src/wire/up.ts': "import type { Value } from '../record/layer.ts';\nexport type Up = Value;\n",
      'src/record/layer.ts': LEAF,
      'src/connection/knows-mux.ts': "export { value } from '../mux/frame.ts';\n",
      'src/mux/frame.ts': LEAF,
      'src/mux/timer.ts': "export { setTimeout } from 'node:timers/promises';\n",
      'src/x509/hash.ts': "export { createHash } from 'node:crypto';\n",
      'src/handshake/provider.ts': "export { hash } from '../crypto/node/aead.ts';\n",
      'src/crypto/node/aead.ts': "export { hash } from 'node:crypto';\nexport { readFile } from 'node:fs';\n",
      'src/node/hash.ts': "export { hash } from 'node:crypto';\n",
      'src/cli/main.ts': "export { value } from './other.ts';\nexport const main = 1;\n",
      'src/cli/other.ts': "export { main } from './main.ts';\nexport const value = 1;\n",
      'src/tunnel/face.ts': "export { main } from '../index.ts';\n",
      'src/tunnel/lost.ts': "export { main } from './nowhere.ts';\n",
      'src/tunnel/test.ts': "export { value } from '../../test/helper.ts';\n",
      'src/attic/old.ts': LEAF,
      'test/helper.ts': LEAF,
    });
    const { faults } = await checkFloors(root);
    expect(faults.sort()).toEqual(
      [
        'crypto-node-imports-only-crypto: src/crypto/node/aead.ts -> fs',
        'down-only-from-connection: src/connection/knows-mux.ts -> src/mux/frame.ts',
        'down-only-from-tunnel: src/tunnel/face.ts -> src/index.ts',
        'down-only-from-wire: src/wire/up.ts -> src/record/layer.ts',
        'no-circle: src/cli/main.ts -> src/cli/other.ts -> src/cli/main.ts',
        'one-place-for-node-crypto: src/node/hash.ts -> crypto',
        'one-place-for-node-crypto: src/x509/hash.ts -> crypto',
        'provider-is-passed-in: src/handshake/provider.ts -> src/crypto/node/aead.ts',
        'public-face-is-a-library: src/index.ts -> src/cli/main.ts',
        'resolvable: src/tunnel/lost.ts -> ./nowhere.ts',
        'sans-io: src/mux/timer.ts -> timers/promises',
        'sans-io: src/x509/hash.ts -> crypto',
        'src-stands-alone: src/tunnel/test.ts -> test/helper.ts',
        'src/attic is on no floor: give it its place in scripts/floors.cjs',
      ].sort(),
    );
  });

  it('fail when the tool has not seen every module', async () => {
    const root = repository({ 'src/wire/reader.ts': LEAF, 'src/wire/writer.ts': LEAF });
    const { faults } = await checkFloors(root, { exclude: { path: 'writer' } });
    expect(faults).toEqual([expect.stringContaining('saw 1 of the 2 modules')]);
    const blind = await checkFloors(root, { exclude: { path: '^src/' } });
    expect(blind.faults).toEqual([expect.stringContaining('saw 0 of the 2 modules')]);
  });
});
