import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import type { Archive } from '../../src/evidence/archive/archive.ts';
import { openArchive } from '../../src/evidence/archive/open.ts';
import type { EvidenceRecord } from '../../src/evidence/archive/record.ts';
import { RecordVerifier } from '../../src/evidence/verify/record.ts';
import { type MuxConnection, muxSession, StreamedMessage } from '../../src/index.ts';
import { muxServer } from '../../src/mux/index.ts';
import { connectMux } from '../../src/node/mux.ts';
import { signClient, signServer } from '../../src/sign/index.ts';
import { STREAM_BUFFER } from '../../src/sign/limits.ts';
import { CA, CLIENT, closeAll, deferred, nextError, serve, track, trellis } from './node-kit.ts';
import { ours, signedSession } from './sign-sockets.ts';

/** Messages of any size, in sessions over sockets, with archives on disk. */

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes of buffers that somebody still holds. */
function heldBytes(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

const MEBIBYTE = 1 << 20;

let folder: string;
let near: Archive;
let far: Archive;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'trellis-stream-'));
  near = await openArchive(join(folder, 'near'));
  far = await openArchive(join(folder, 'far'));
});

afterEach(async () => {
  await closeAll();
  await Promise.all([near.close(), far.close()]);
  rmSync(folder, { recursive: true });
});

const records = (archive: Archive): Promise<EvidenceRecord[]> =>
  Promise.all(
    Array.from(
      { length: archive.size },
      (_, index) => archive.store.record(index) as Promise<EvidenceRecord>,
    ),
  );

const verdictOf = async (archive: Archive, index: number) =>
  new RecordVerifier(nodeCrypto, archive.store).verify((await records(archive))[index] as EvidenceRecord);

async function firstStream(messages: AsyncIterable<unknown>): Promise<StreamedMessage> {
  for await (const message of messages) {
    if (message instanceof StreamedMessage) return message;
    throw new Error('it came as a whole');
  }
  throw new Error('nothing came');
}

/** A piece at a time, each when it is asked for. */
async function* megabytes(count: number, onPiece: () => void = () => {}): AsyncGenerator<Uint8Array> {
  const piece = randomBytes(MEBIBYTE);
  for (let i = 0; i < count; i++) {
    onPiece();
    piece[0] = i;
    yield piece;
  }
}

describe('a streamed message', () => {
  it('of 64 MiB is signed, carried, verified and archived on both sides in bounded memory', {
    timeout: 120_000,
  }, async () => {
    const SIZE = 64;
    const { client, server } = await signedSession({ archive: near }, { archive: far });
    client.signing?.on();
    const before = heldBytes();
    let most = 0;
    const receipt = client.signWrite(megabytes(SIZE));
    const message = await firstStream(server.signed.streaming());
    const digest = createHash('sha256');
    let length = 0;
    for await (const { bytes, verified } of message.content) {
      if (verified !== false) throw new Error('who says so?');
      digest.update(bytes);
      if (Math.floor(length / (8 * MEBIBYTE)) < Math.floor((length + bytes.length) / (8 * MEBIBYTE)))
        most = Math.max(most, heldBytes() - before);
      length += bytes.length;
    }
    // The loop has come to its end, so the verdict is there.
    const { verified, signer, record } = await message.verdict;
    expect(length).toBe(SIZE * MEBIBYTE);
    // Of both sides: a piece of the source, a chunk for each archive, what waits for them and for the sockets. It is
    // more on a machine that is busy, and does not grow with the message: a gigabyte takes no more.
    expect(most).toBeGreaterThan(MEBIBYTE);
    expect(most).toBeLessThan((SIZE / 2) * MEBIBYTE);
    expect(verified.contentLength).toBe(length);
    expect(Buffer.compare(verified.contentDigest, digest.digest())).toBe(0);
    expect(signer.leaf.subject.toString()).toBe('CN=alice');
    expect((await receipt)?.acknowledges).toEqual(verified.objectDigest);

    const [sent, acknowledged] = await records(near);
    const [received] = await records(far);
    expect(sent).toMatchObject({ status: 'unverified', held: 'chunks', flags: 5, contentLength: length });
    expect(acknowledged).toMatchObject({ kind: 'receipt', status: 'verified', target: 0 });
    expect(received).toMatchObject({ status: 'verified', held: 'chunks', flags: 5, index: record });
    expect(received?.objectDigest).toEqual(sent?.objectDigest);
    for (const [archive, index] of [
      [near, 0],
      [near, 1],
      [far, 0],
      [far, 1],
    ] as const)
      expect(await verdictOf(archive, index)).toMatchObject({ verdict: 'valid' });
    // Erased: what is left verifies the receipt.
    await near.erase(0, 'asked to');
    expect(await verdictOf(near, 1)).toMatchObject({ verdict: 'valid' });
  });

  it.each([{}, { maxVersion: 'TLSv1.2' as const }])(
    'comes from a Readable or text, and is collected for whoever reads whole messages: %o',
    async (versions) => {
      const { client, server } = await signedSession({ archive: near }, { archive: far }, versions);
      expect(client.getProtocol()).toBe(versions.maxVersion ?? 'TLSv1.3');
      client.signing?.on();
      const receipts = Promise.all([
        client.signWrite(Readable.from(['one ', 'two'])),
        client.signWrite('whole'),
        client.signWrite([Uint8Array.of(33), '!']),
        client.signWrite(Readable.from([]), { receipt: false }),
      ]);
      const read: [string, boolean][] = [];
      const indices: (number | undefined)[] = [];
      for await (const { content, object, verified, acknowledged, record } of server.signed) {
        read.push([Buffer.from(content).toString(), acknowledged]);
        indices.push(record);
        expect(object === undefined).toBe(content.length !== 5);
        expect(verified?.signer.leaf.subject.toString()).toBe('CN=alice');
        if (read.length === 4) break;
      }
      expect(read).toEqual([
        ['one two', true],
        ['whole', true],
        ['!!', true],
        ['', false],
      ]);
      // They are read in the order in which they were sent; the archive has them in the order in which they were on disk,
      // and what came in pieces takes a file more.
      const archived = await records(far);
      expect(indices.map((index) => archived[index as number]?.contentLength)).toEqual([7, 5, 2, 0]);
      expect((await receipts).map((receipt) => receipt?.signer.leaf.subject.toString())).toEqual([
        'CN=localhost',
        'CN=localhost',
        'CN=localhost',
        undefined,
      ]);
    },
  );

  it('goes no faster than its reader', async () => {
    const { client, server } = await signedSession({ archive: near }, { archive: far });
    client.signing?.on();
    let pieces = 0;
    client.signWrite(megabytes(1024, () => pieces++)).catch(() => {});
    const message = await firstStream(server.signed.streaming());
    // What the system keeps between two sockets fills up, and then nothing moves.
    let seen = -1;
    await vi.waitFor(
      () => {
        const last = seen;
        seen = pieces;
        expect(pieces).toBe(last);
      },
      { interval: 500, timeout: 60_000 },
    );
    expect(pieces).toBeLessThan(128);
    // And goes on when something is taken.
    const taken = message.content[Symbol.asyncIterator]();
    for (let length = 0; length < 60 * MEBIBYTE; ) {
      const { value } = await taken.next();
      length += value?.bytes.length;
    }
    expect(pieces).toBeGreaterThan(60);
    client.on('error', () => {});
    server.on('error', () => {});
    server.destroy();
    const rest = async () => {
      while ((await taken.next()).done !== true);
    };
    await expect(rest()).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_/) });
  });

  it('of which nobody wants the rest is verified, archived and acknowledged all the same', async () => {
    const { client, server } = await signedSession({}, { archive: far });
    client.signing?.on();
    const receipt = client.signWrite(megabytes(4));
    const message = await firstStream(server.signed.streaming());
    for await (const { bytes } of message.content) {
      expect(bytes.length).toBeGreaterThan(0);
      break;
    }
    expect((await message.verdict).verified.contentLength).toBe(4 * MEBIBYTE);
    expect((await receipt)?.record).toBeUndefined();
    expect(await verdictOf(far, 0)).toMatchObject({ verdict: 'valid' });
  });

  it('whose source fails ends the session; both sides keep what it was', async () => {
    const { client, server } = await signedSession({ archive: near }, { archive: far });
    client.signing?.on();
    const [found, told] = [nextError(client), nextError(server)];
    async function* failing() {
      yield* megabytes(3);
      throw new Error('the disk is broken');
    }
    const receipt = client.signWrite(failing());
    receipt.catch(() => {});
    const message = await firstStream(server.signed.streaming());
    const reading = (async () => {
      for await (const _ of message.content);
    })();
    await expect(receipt).rejects.toThrow('the disk is broken');
    await expect(reading).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_/) });
    await expect(message.verdict).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_/) });
    expect(await found).toMatchObject({ code: 'ERR_TLS_INTERNAL' });
    expect(await told).toMatchObject({ code: 'ERR_TLS_ALERT_INTERNAL_ERROR' });
    await vi.waitFor(() => expect([near.size, far.size]).toEqual([1, 1]), { timeout: 30_000 });
    for (const archive of [near, far]) {
      const [record] = await records(archive);
      expect(record).toMatchObject({ status: 'rejected', reason: 'ERR_SIGN_INCOMPLETE', held: 'chunks' });
      expect(record?.objectLength).toBeGreaterThan(2 * MEBIBYTE);
    }
  });

  it('that is larger than whoever reads whole messages takes ends the session with bad_sign', async () => {
    const { client, server } = await signedSession({}, { archive: far, maxObject: MEBIBYTE });
    client.signing?.on();
    const [found, told] = [nextError(server), nextError(client)];
    client.signWrite(megabytes(5)).catch(() => {});
    await expect(server.signed[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'ERR_SIGN_TOO_LARGE',
    });
    expect(await found).toMatchObject({ code: 'ERR_SIGN_TOO_LARGE' });
    expect(await told).toMatchObject({ code: 'ERR_TLS_ALERT_BAD_SIGN' });
    await vi.waitFor(() => expect(far.size).toBe(1), { timeout: 30_000 });
    expect(await records(far)).toMatchObject([{ status: 'rejected', reason: 'ERR_SIGN_TOO_LARGE' }]);
    expect((await records(far))[0]?.objectLength).toBeLessThan(MEBIBYTE + 2 * STREAM_BUFFER);
  });

  it('is refused where it cannot be', async () => {
    const { client } = await signedSession({ formats: ['xmldsig'] });
    client.signing?.on();
    await expect(client.signWrite(megabytes(1))).rejects.toMatchObject({ code: 'ERR_SIGN_UNAVAILABLE' });
    const other = await signedSession();
    other.client.signing?.on();
    other.client.on('error', () => {});
    other.server.on('error', () => {});
    const numbers = [1] as unknown as Uint8Array[];
    await expect(other.client.signWrite(numbers)).rejects.toMatchObject({ code: 'ERR_TLS_OPTION' });
  });
});

describe('on a multiplexed connection', () => {
  async function gateway() {
    const accepted: MuxConnection[] = [];
    const { port } = await serve(
      trellis,
      {
        requestCert: true,
        ca: CA,
        subProtocols: [
          signServer({ archive: far }),
          muxServer({
            applications: [
              { name: 'orders', port: 7 },
              { name: 'chat', port: 9 },
            ],
          }),
        ],
      },
      (socket) => {
        const served = muxSession(ours(socket));
        served?.on('error', () => {});
        served?.on('connection', (connection) => accepted.push(connection.on('error', () => {})));
      },
    );
    const subProtocols = [signClient({ archive: near })];
    const session = connectMux({
      host: '127.0.0.1',
      port,
      servername: 'localhost',
      ca: CA,
      ...CLIENT,
      subProtocols,
    });
    track(session);
    session.on('error', () => {});
    await once(session, 'ready');
    return { session, accepted };
  }

  it('it belongs to that connection, and the neighbours go on', async () => {
    const { session, accepted } = await gateway();
    const [orders, chat] = [session.open('orders'), session.open('chat')];
    chat.on('error', () => {});
    orders.signing?.on();
    const gate = deferred<void>();
    async function* halting() {
      yield* megabytes(1);
      await gate.promise;
      yield* megabytes(4);
    }
    const receipt = orders.signWrite(halting());
    chat.write('hi');
    await vi.waitFor(() => expect(accepted).toHaveLength(2), { timeout: 30_000 });
    const [served, neighbour] = accepted as [MuxConnection, MuxConnection];
    const message = await firstStream(served.signed.streaming());
    expect([message.application, message.contentType]).toEqual(['orders', 28]);
    // What the other side says meanwhile is acknowledged meanwhile.
    served.signing?.on();
    const meanwhile = served.signWrite('go on');
    for await (const { content } of orders.signed) {
      expect(Buffer.from(content).toString()).toBe('go on');
      break;
    }
    await meanwhile;
    gate.resolve();
    let length = 0;
    for await (const { bytes } of message.content) length += bytes.length;
    expect(length).toBe(5 * MEBIBYTE);
    expect((await receipt)?.verified.binding).toMatchObject({ application: 'orders', contentType: 28 });
    neighbour.setEncoding('utf8');
    expect(neighbour.read()).toBe('hi');
    expect(await verdictOf(far, 0)).toMatchObject({ verdict: expect.stringMatching(/valid/) });
    for (let index = 0; index < far.size; index++)
      expect(await verdictOf(far, index)).toMatchObject({ verdict: 'valid' });
    session.destroy();
  });

  it('it goes on to its end when nobody is there to read it any more', async () => {
    const { session, accepted } = await gateway();
    const orders = session.open('orders');
    orders.signing?.on();
    const receipt = orders.signWrite(megabytes(6));
    await vi.waitFor(() => expect(accepted).toHaveLength(1), { timeout: 30_000 });
    const [served] = accepted as [MuxConnection];
    const message = await firstStream(served.signed.streaming());
    served.destroy();
    await expect(message.verdict).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_/) });
    orders.on('error', () => {});
    receipt.catch(() => {});
    await vi.waitFor(() => expect(far.size).toBeGreaterThan(0), { timeout: 10_000 });
    expect(await verdictOf(far, 0)).toMatchObject({ verdict: 'valid' });
    expect(session.destroyed).toBe(false);
    session.destroy();
  });
});
