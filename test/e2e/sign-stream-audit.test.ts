import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, expect, it } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { openArchive } from '../../src/evidence/archive/open.ts';
import { audit, openSqliteReader } from '../../src/evidence/index.ts';
import type { TLSSocket } from '../../src/index.ts';
import { signClient, signServer } from '../../src/sign/index.ts';
import { CA, CLIENT, closeAll, deferred, dial, serve, trellis } from './node-kit.ts';

afterEach(closeAll);

const ours = (socket: unknown): TLSSocket => socket as TLSSocket;

/** Below and above the size up to which an object is kept in the row of its record. */
it.each([0, 5, 200_000])('audits a streamed message of %d bytes as whole, on both sides', async (length) => {
  const folder = mkdtempSync(join(tmpdir(), 'trellis-stream-audit-'));
  const paths = { near: join(folder, 'near.db'), far: join(folder, 'far.db') };
  const [near, far] = await Promise.all([openArchive(paths.near), openArchive(paths.far)]);
  try {
    const accepted = deferred<TLSSocket>();
    const { port } = await serve(
      trellis,
      { requestCert: true, ca: CA, subProtocols: [signServer({ archive: far })] },
      (socket) => accepted.resolve(ours(socket)),
    );
    const client = ours(dial(trellis, port, { ...CLIENT, subProtocols: [signClient({ archive: near })] }));
    await once(client, 'secureConnect');
    client.signing?.on();
    const source = Readable.from(length === 0 ? [] : [Buffer.alloc(length, 7)]);
    const receipt = client.signWrite(source, { receipt: true });
    const server = await accepted.promise;
    for await (const { content } of server.signed) {
      expect(content).toHaveLength(length);
      break;
    }
    expect((await receipt)?.acknowledges).toHaveLength(32);
    client.destroy();
    server.destroy();
  } finally {
    await Promise.all([near.close(), far.close()]);
  }
  for (const path of Object.values(paths)) {
    const reader = openSqliteReader(path);
    const report = await audit(nodeCrypto, reader);
    await reader.close();
    expect(report.findings).toEqual([]);
    expect(report.signatures).toMatchObject({ valid: 2, invalid: 0 });
  }
  rmSync(folder, { recursive: true });
});
