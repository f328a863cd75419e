import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { ROOT } from '../../scripts/root.mjs';
import { run } from './tunnel-kit.ts';

const EXCHANGES = 12_000;
/** MiB. So little that V8 collects all the time, in the middle of everything, the export of a key included. */
const HEAP = ['--max-old-space-size=24', '--max-semi-space-size=1'];

/** Of keys from crypto.generateKeyPair, Node 20 stood still within some thousand, for good: nothing but a process of its own shows that. */
it('goes on whenever keys of earlier exchanges are collected', async () => {
  const program = `
    import { nodeCrypto } from ${JSON.stringify(pathToFileURL(join(ROOT, 'dist', 'index.js')))};
    const x25519 = nodeCrypto.group(0x001d);
    let agreed = 0;
    for (let i = 0; i < ${EXCHANGES}; i++) {
      const own = x25519.begin();
      const { share, secret } = x25519.respond(own.share);
      if (Buffer.compare(own.complete(share), secret) === 0) agreed++;
    }
    console.log(agreed);
  `;
  const ran = await run(process.execPath, [...HEAP, '--input-type=module', '--eval', program], {
    limit: 120_000,
  });
  expect(ran, ran.stderr).toMatchObject({ code: 0, stdout: `${EXCHANGES}\n` });
}, 150_000);
