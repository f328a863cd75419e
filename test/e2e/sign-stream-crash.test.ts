import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { distUrl } from '../../scripts/crash-support.mjs';
import type { Archive } from '../../src/evidence/archive/archive.ts';
import { openArchive } from '../../src/evidence/archive/open.ts';
import { sqliteDriver } from '../../src/evidence/archive/sqlite/driver.ts';
import { signClient } from '../../src/sign/index.ts';
import { CA, CLIENT, closeAll, dial, SERVER, trellis } from './node-kit.ts';
import { ours } from './sign-sockets.ts';

/** A process that takes a streamed message into its archive is killed in the middle of it. */

const MEBIBYTE = 1 << 20;

/** Archives what comes, and says how much of it was read. */
const RECEIVER = `
const [root, evidence, sign, path, files] = process.argv.slice(1);
const { createServer, StreamedMessage } = await import(root);
const { openArchive } = await import(evidence);
const { signServer } = await import(sign);
const archive = await openArchive(path);
const { ca, cert, key } = JSON.parse(files);
const subProtocols = [signServer({ archive })];
const server = createServer({ ca, cert, key, requestCert: true, subProtocols }, async (socket) => {
  socket.on('error', () => {});
  for await (const message of socket.signed.streaming()) {
    if (!(message instanceof StreamedMessage)) continue;
    let length = 0;
    for await (const { bytes } of message.content) {
      length += bytes.length;
      console.log(length);
    }
  }
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
`;

let folder: string;
let near: Archive;
let child: ChildProcess | undefined;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'trellis-stream-crash-'));
  near = await openArchive(join(folder, 'near'));
});

afterEach(async () => {
  child?.kill('SIGKILL');
  await closeAll();
  await near.close();
  rmSync(folder, { recursive: true });
});

function rows(path: string, sql: string): unknown {
  const database = sqliteDriver().open(path);
  try {
    return database.prepare(sql).get([])?.[0];
  } finally {
    database.close();
  }
}

it.each([3, 7])(
  'after %i MiB: nothing of it is left, and what was acknowledged is there',
  async (mebibytes) => {
    const path = join(folder, 'far');
    const files = JSON.stringify({ ca: CA, ...SERVER });
    const dist = ['index.js', 'evidence/index.js', 'sign/index.js'].map(distUrl);
    child = spawn(process.execPath, ['--input-type=module', '-e', RECEIVER, ...dist, path, files], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
    const port = Number((await lines.next()).value);
    const socket = ours(dial(trellis, port, { ...CLIENT, subProtocols: [signClient({ archive: near })] }));
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    socket.signing?.on();
    const acknowledged = await socket.signWrite('kept');
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield Buffer.alloc(MEBIBYTE, 7);
    }
    const lost = expect(socket.signWrite(endless())).rejects.toMatchObject({ code: expect.any(String) });
    for (let read = 0; read < mebibytes * MEBIBYTE; ) read = Number((await lines.next()).value);
    child.kill('SIGKILL');
    await lost;
    // Half rows are in the file, and belong to nothing.
    expect(rows(path, 'SELECT count(*) FROM chunk')).toBeGreaterThan(0);
    expect(rows(path, 'SELECT count(*) FROM unfinished_content')).toBe(1);

    const far = await openArchive(path);
    try {
      expect(far.size).toBe(2);
      expect(await far.store.record(0)).toMatchObject({ status: 'verified', contentLength: 4 });
      const digest = (await far.store.record(0))?.objectDigest ?? new Uint8Array();
      expect(Buffer.from(acknowledged?.acknowledges ?? []).equals(digest)).toBe(true);
      await near.checkpoint();
    } finally {
      await far.close();
    }
    expect(rows(path, 'SELECT count(*) FROM chunk')).toBe(0);
    expect(rows(path, 'SELECT count(*) FROM unfinished_content')).toBe(0);
    // Its sender keeps what has left of it, as something that proves nothing.
    await vi.waitFor(() => expect(near.size).toBe(3), { timeout: 10_000 });
    expect(await near.store.record(2)).toMatchObject({
      status: 'rejected',
      reason: 'ERR_SIGN_INCOMPLETE',
      flags: 4,
    });
  },
);
