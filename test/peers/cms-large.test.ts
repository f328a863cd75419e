import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writevSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { encodePem } from '../../src/der/pem.ts';
import { startObject } from '../../src/formats/cms/make-stream.ts';
import { startVerification } from '../../src/formats/cms/verify-stream.ts';
import type { ObjectReference } from '../../src/formats/format.ts';
import { itWith, need } from '../setup/need.ts';
import { contextFor, NOW, optionsFor, root, signatureOf, signerOf } from '../unit/formats/kit.ts';

/** An object that fits no memory one would want to give it: streamed out, streamed in, and read by openssl. */

const MEBIBYTE = 1024 * 1024;
const SIZE = 200 * MEBIBYTE;
/** What is read at once is no multiple of what was written at once. */
const PIECE = 65_521;
/** All that may pile up beside the one piece under way: far below the object. */
const MEMORY = 48 * MEBIBYTE;
const TEST_MS = 60_000;

const openssl = need('openssl');
const folder = mkdtempSync(join(tmpdir(), 'trellis-large-'));
const object = join(folder, 'object.ber');
const signer = signerOf('P-256');
let reference: ObjectReference;
let contentDigest: Uint8Array;

afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('is made in bounded memory', { timeout: TEST_MS }, () => {
  const piece = Buffer.alloc(MEBIBYTE);
  const digest = createHash('sha256');
  const memory = watchMemory();
  const out = openSync(object, 'w');
  const stream = startObject(nodeCrypto, signer);
  writevSync(out, [stream.header]);
  for (let i = 0; i < SIZE / MEBIBYTE; i++) {
    piece.fill(i);
    digest.update(piece);
    writevSync(out, stream.write(piece));
    memory.check();
  }
  const unsigned = stream.end(optionsFor(signer));
  const finished = unsigned.finish(signatureOf(signer, unsigned.toBeSigned));
  writevSync(out, [finished.trailer]);
  closeSync(out);
  reference = finished.reference;
  contentDigest = digest.digest();
  expect(statSync(object).size).toBeGreaterThan(SIZE);
});

it('is verified in bounded memory', { timeout: TEST_MS }, () => {
  const memory = watchMemory();
  const verifier = startVerification(nodeCrypto);
  const input = openSync(object, 'r');
  const piece = Buffer.alloc(PIECE);
  let content = 0;
  for (let length = readSync(input, piece); length > 0; length = readSync(input, piece)) {
    for (const { bytes } of verifier.write(piece.subarray(0, length))) content += bytes.length;
    memory.check();
  }
  closeSync(input);
  const verdict = verifier.end(contextFor());
  expect(content).toBe(SIZE);
  expect(verdict.contentLength).toBe(SIZE);
  expect(Buffer.compare(verdict.contentDigest, contentDigest)).toBe(0);
  expect(verdict.reference).toEqual(reference);
});

itWith(
  openssl,
  'is verified by openssl',
  () => {
    const ca = join(folder, 'ca.crt');
    writeFileSync(ca, encodePem('CERTIFICATE', root.der));
    const { status, stderr } = spawnSync(
      openssl.path,
      [
        ...['cms', '-verify', '-inform', 'DER', '-in', object, '-out', '/dev/null'],
        ...['-CAfile', ca, '-purpose', 'any', '-attime', String(NOW / 1000)],
      ],
      { timeout: TEST_MS, encoding: 'utf8' },
    );
    expect(status, stderr).toBe(0);
  },
  TEST_MS,
);

/** Fails when more is held than may be; buffers that only wait for the garbage collector count. */
function watchMemory(): { check(): void } {
  const before = process.memoryUsage().arrayBuffers;
  return {
    check: () => expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(MEMORY),
  };
}
