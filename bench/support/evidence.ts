import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import type { Archive } from '../../src/evidence/archive/archive.ts';
import { openArchive } from '../../src/evidence/archive/open.ts';
import type { NewRecord, SessionRef } from '../../src/evidence/archive/record.ts';

/** A signed 1 KiB message with its certificates and attributes. */
export const OBJECT_BYTES = 1500;
/** Appenders that wait at a time: a busy server has as many messages under way. */
export const APPENDERS = 512;

/** A folder that goes when the process does. */
export function benchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'trellis-bench-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** What a session hands over when it has verified an object: digests are known, the bytes are at hand. */
export function verifiedObjects(count: number): { object: Uint8Array; digest: Uint8Array }[] {
  return Array.from({ length: count }, (_, i) => {
    const object = Buffer.alloc(OBJECT_BYTES, `object ${i} `);
    return { object, digest: nodeCrypto.digest('sha256', object) };
  });
}

/** Appends `count` records, `APPENDERS` at a time, each waiting until it is durable. @returns milliseconds */
export async function fill(archive: Archive, session: SessionRef, count: number): Promise<number> {
  const first = archive.size;
  // A few different ones, so that making them is not what is measured.
  const objects = verifiedObjects(1024);
  let next = 0;
  const append = async (): Promise<void> => {
    while (next < count) {
      const number = next++;
      const found = objects[number % objects.length];
      if (found === undefined) return;
      await archive.append(recordOf(session, first + number, found, archive.treeHead()));
    }
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: APPENDERS }, append));
  return performance.now() - began;
}

export function openBenchArchive(path: string): Promise<Archive> {
  return openArchive(path, { checkpointInterval: 0 });
}

export function benchSession(archive: Archive): SessionRef {
  return archive.addSession({
    role: 'server',
    protocol: 0x0304,
    cipherSuite: 0x1301,
    sessionBinding: new Uint8Array(32).fill(7),
    started: Date.now(),
    ownName: 'CN=server',
    peerName: 'CN=client',
    ownChain: [],
    peerChain: [],
  });
}

function recordOf(
  session: SessionRef,
  sequence: number,
  { object, digest }: { readonly object: Uint8Array; readonly digest: Uint8Array },
  treeHead: Uint8Array,
): NewRecord {
  return {
    direction: sequence % 2 === 0 ? 'received' : 'sent',
    kind: 'data',
    status: 'verified',
    time: Date.now(),
    session,
    sequence,
    application: 'orders',
    contentType: 23,
    format: 'pkcs7',
    object,
    objectDigest: digest,
    content: { length: 1024, digest },
    treeHead,
  };
}
