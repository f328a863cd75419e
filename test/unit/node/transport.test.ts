import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { freeNow, lingerAndClose, writePieces } from '../../../src/node/transport.ts';
import { duplexPair } from '../../e2e/node-duplex-pair.ts';

/** Counts what arrives in one batch. */
class Batches extends Writable {
  readonly batches: Buffer[][] = [];
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.batches.push([chunk]);
    done();
  }
  override _writev(items: { chunk: Buffer }[], done: () => void): void {
    this.batches.push(items.map(({ chunk }) => chunk));
    done();
  }
}

function written(...lengths: number[]): { batches: Buffer[][]; pieces: Buffer[] } {
  const pieces = lengths.map((length, i) => Buffer.alloc(length, i + 1));
  const out = new Batches();
  writePieces(out as never, pieces);
  return { batches: out.batches, pieces };
}

describe('writePieces', () => {
  it('writes a short batch as one buffer', () => {
    const { batches, pieces } = written(5, 100, 16);
    expect(batches).toEqual([[Buffer.concat(pieces)]]);
  });

  it('writes a long batch at once, its long pieces uncopied and its short ones joined', () => {
    const { batches, pieces } = written(5, 16384, 16, 5, 16384, 16);
    expect(batches.length).toBe(1);
    const [batch] = batches as [Buffer[]];
    expect(batch.map(({ length }) => length)).toEqual([5, 16384, 21, 16384, 16]);
    expect(batch[1]?.buffer).toBe(pieces[1]?.buffer);
    expect(Buffer.concat(batch)).toEqual(Buffer.concat(pieces));
  });

  it('writes nothing for nothing', () => {
    expect(written().batches).toEqual([]);
  });

  describe('of what the transport has taken', () => {
    const pieces = () => [16_384, 16, 8192].map((length) => new Uint8Array(new ArrayBuffer(length)));
    const lengths = (all: readonly Uint8Array[]) => all.map(({ length }) => length);

    it('gives back what is long, where the transport is our own', () => {
      const all = pieces();
      writePieces(new Batches() as never, all, true);
      expect(lengths(all)).toEqual([0, 16, 0]);
    });

    it('gives nothing back where others may have it', () => {
      const all = pieces();
      writePieces(new Batches() as never, all);
      expect(lengths(all)).toEqual([16_384, 16, 8192]);
    });

    it('gives nothing back that still waits', () => {
      const all = pieces();
      writePieces(new Writable({ writev: () => {} }) as never, all, true);
      expect(lengths(all)).toEqual([16_384, 16, 8192]);
    });
  });
});

describe('freeNow', () => {
  it('takes a whole buffer', () => {
    const chunk = Buffer.from(new ArrayBuffer(64));
    freeNow(chunk);
    expect(chunk.length).toBe(0);
  });

  it('takes it out of memory, not to somewhere else', () => {
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 64; i++) freeNow(new Uint8Array(new ArrayBuffer(1 << 20)));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 << 20);
  });

  it('leaves a part of a larger one, which belongs to others too', () => {
    const chunk = Buffer.from(new ArrayBuffer(64), 1);
    freeNow(chunk);
    expect(chunk.length).toBe(63);
  });
});

describe('lingerAndClose', () => {
  it('lets the last bytes out, and closes when the other side has ended', async () => {
    const [a, b] = duplexPair();
    const received: Buffer[] = [];
    b.on('data', (chunk: Buffer) => received.push(chunk));
    a.write('alert');
    lingerAndClose(a);
    b.write('still sending');
    await sleep(5);
    expect(a.destroyed).toBe(false);
    b.end();
    await sleep(5);
    expect(Buffer.concat(received).toString()).toBe('alert');
    expect(a.destroyed).toBe(true);
  });

  it('does not listen to a flood for long', async () => {
    const [a, b] = duplexPair();
    b.resume();
    lingerAndClose(a);
    for (let i = 0; i < 40 && !a.destroyed; i++) {
      b.write(Buffer.alloc(64 * 1024));
      await sleep(0);
    }
    expect(a.destroyed).toBe(true);
  });
});
