import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AlertDescription } from '../../../src/errors/alerts.ts';
import { alertFor, TlsError } from '../../../src/errors/errors.ts';
import { RecordBatch } from '../../../src/mux/batch.ts';
import { ChunkQueue } from '../../../src/mux/outgoing.ts';
import { FrameBatch } from '../../../src/mux/ports/batch.ts';
import { ControlCode, ControlReader, FrameReader, writeControl } from '../../../src/mux/ports/frame.ts';
import { ReceiveBuffer } from '../../../src/mux/receive-buffer.ts';
import { ascii, control, frame, framesOf, hex, join, thrown } from './pair.ts';

interface Frame {
  source: number;
  destination: number;
  length: number;
  data: string;
}

/** Reads frames from a stream that comes in the given pieces. */
function readAll(reader: FrameReader, contents: Iterable<Uint8Array>): Frame[] {
  const frames: Frame[] = [];
  for (const content of contents) {
    reader.push(content);
    while (reader.next()) {
      const { source, destination, length } = reader;
      if (reader.starts) frames.push({ source, destination, length, data: '' });
      const last = frames.at(-1) as Frame;
      last.data += Buffer.from(reader.piece).toString('latin1');
    }
  }
  return frames;
}

function* inPieces(stream: Uint8Array, size: number): Iterable<Uint8Array> {
  for (let at = 0; at < stream.length; at += size) yield stream.subarray(at, at + size);
}

describe('FrameReader', () => {
  const stream = join(
    frame(49152, 7, 'hello'),
    frame(7, 49152, ''),
    frame(65535, 1, 'x'),
    control(1, 2, 0),
    frame(1, 65535, 'y'.repeat(300)),
    frame(9, 9),
  );
  const frames = [
    { source: 49152, destination: 7, length: 5, data: 'hello' },
    { source: 7, destination: 49152, length: 0, data: '' },
    { source: 65535, destination: 1, length: 1, data: 'x' },
    { source: 0, destination: 0, length: 5, data: '\0\x01\0\x02\0' },
    { source: 1, destination: 65535, length: 300, data: 'y'.repeat(300) },
    { source: 9, destination: 9, length: 0, data: '' },
  ];

  it('reads a stream cut into pieces of every size', () => {
    for (let size = 1; size <= stream.length; size++) {
      expect(readAll(new FrameReader(), inPieces(stream, size))).toEqual(frames);
    }
  });

  it('reads a stream cut once at every byte', () => {
    for (let at = 0; at <= stream.length; at++) {
      const reader = new FrameReader();
      expect(readAll(reader, [stream.subarray(0, at), stream.subarray(at)])).toEqual(frames);
      expect(reader.midFrame).toBe(false);
    }
  });

  it('passes the longest frame on piece by piece, as views', () => {
    const content = frame(1, 2, new Uint8Array(65_535).fill(7));
    const reader = new FrameReader();
    const lengths: number[] = [];
    for (const piece of inPieces(content, 16_384)) {
      reader.push(piece);
      while (reader.next()) {
        lengths.push(reader.piece.length);
        expect(reader.piece.buffer).toBe(content.buffer);
      }
    }
    expect(lengths).toEqual([16_378, 16_384, 16_384, 16_384, 5]);
  });

  it('knows when the stream stops inside a frame', () => {
    const reader = new FrameReader();
    const midFrame = (content: string): boolean => {
      reader.push(hex(content));
      while (reader.next());
      return reader.midFrame;
    };
    expect(midFrame('0001')).toBe(true);
    expect(midFrame('0002 0001')).toBe(true);
    expect(midFrame('aa')).toBe(false);
  });
});

describe('control frames', () => {
  it.each(Object.entries(ControlCode))('%s survives being cut anywhere', (_name, code) => {
    const out = new Uint8Array(11);
    expect(writeControl(out, 0, { clientPort: 49153, applicationPort: 443, code })).toBe(11);
    expect(out).toEqual(control(49153, 443, code));
    const data = out.subarray(6);
    for (let at = 0; at < 5; at++) {
      const reader = new ControlReader();
      expect(reader.push(data.subarray(0, at), 5)).toBeUndefined();
      expect(reader.push(data.subarray(at), 5)).toEqual({ clientPort: 49153, applicationPort: 443, code });
    }
  });

  it.each([
    ['shorter', 4],
    ['longer', 6],
    ['empty', 0],
  ])('that is %s is decode_error', (_what, length) => {
    const error = thrown(() => new ControlReader().push(new Uint8Array(length), length));
    expect(error).toMatchObject({ code: 'ERR_TLS_DECODE' });
    expect(alertFor(error)).toBe(AlertDescription.decode_error);
  });

  it.each([
    ['a code that does not exist', '0001 0002 03'],
    ["client's port 0", '0000 0002 00'],
    ["application's port 0", '0001 0000 02'],
  ])('with %s is illegal_parameter', (_what, data) => {
    const error = thrown(() => new ControlReader().push(hex(data), 5));
    expect(error).toMatchObject({ code: 'ERR_TLS_ILLEGAL_PARAMETER' });
    expect(alertFor(error)).toBe(AlertDescription.illegal_parameter);
  });
});

describe('FrameBatch', () => {
  function batch() {
    const records: Uint8Array[] = [];
    const record = new RecordBatch((content) => records.push(new Uint8Array(content)));
    const frames = new FrameBatch(record);
    const data = (source: number, destination: number, bytes: Uint8Array) => {
      const queue = new ChunkQueue();
      queue.push(bytes);
      while (queue.length > 0) frames.data(source, destination, queue);
    };
    return {
      records,
      batch: Object.assign(record, {
        data,
        end: frames.end.bind(frames),
        control: frames.control.bind(frames),
      }),
    };
  }

  it('joins small frames in one record', () => {
    const { batch: out, records } = batch();
    expect(out.empty).toBe(true);
    out.control({ clientPort: 5, applicationPort: 7, code: ControlCode.open });
    out.data(5, 7, ascii('a'));
    out.data(6, 7, ascii('b'));
    out.end(5, 7);
    expect(out.empty).toBe(false);
    expect(records).toEqual([]);
    out.flush();
    expect(out.empty).toBe(true);
    expect(records.map(framesOf)).toEqual([['open 5,7', '5>7:a', '6>7:b', '5>7:']]);
  });

  it('fills records, and no frame lies in two', () => {
    const { batch: out, records } = batch();
    const data = Uint8Array.from({ length: 65_536 }, (_, i) => i * 31);
    out.data(5, 7, ascii('before'));
    out.data(5, 7, data);
    out.flush();
    expect(records.map((record) => record.length)).toEqual([16_384, 16_384, 16_384, 16_384, 42]);
    const body = records
      .map((record) =>
        framesOf(record)
          .map((one) => one.slice('5>7:'.length))
          .join(''),
      )
      .join('');
    expect(body).toBe(`before${Buffer.from(data).toString('latin1')}`);
  });

  it('begins a new record rather than cut data for a few bytes', () => {
    const { batch: out, records } = batch();
    out.data(5, 7, new Uint8Array(16_000));
    out.data(5, 7, new Uint8Array(2_000));
    out.flush();
    expect(records.map((record) => record.length)).toEqual([16_006, 2_006]);
  });

  it.each([16_366, 16_367, 16_368, 16_372, 16_373, 16_378])(
    'keeps records within 16,384 bytes after %i',
    (length) => {
      const { batch: out, records } = batch();
      out.data(5, 7, new Uint8Array(length));
      out.control({ clientPort: 5, applicationPort: 7, code: ControlCode.abort });
      out.end(5, 7);
      out.flush();
      for (const record of records) expect(record.length).toBeLessThanOrEqual(16_384);
      expect(records.flatMap(framesOf).slice(1)).toEqual(['abort 5,7', '5>7:']);
    },
  );

  it('forgets what it was told to', () => {
    const { batch: out, records } = batch();
    out.data(5, 7, ascii('a'));
    out.discard();
    out.flush();
    expect(records).toEqual([]);
  });
});

describe('ReceiveBuffer', () => {
  /** All bytes of distinct memory that the pieces keep alive. */
  function retained(pieces: Iterable<Uint8Array>): number {
    const buffers = new Set<ArrayBufferLike>();
    for (const piece of pieces) buffers.add(piece.buffer);
    return [...buffers].reduce((sum, buffer) => sum + buffer.byteLength, 0);
  }
  function* drain(buffer: ReceiveBuffer): Iterable<Uint8Array> {
    for (let piece = buffer.shift(); piece !== undefined; piece = buffer.shift()) yield piece;
  }

  it('keeps a piece that is most of its record as it is', () => {
    const record = new Uint8Array(16_384);
    const buffer = new ReceiveBuffer();
    buffer.append(record.subarray(6));
    expect(buffer.shift()?.buffer).toBe(record.buffer);
    expect(buffer.shift()).toBeUndefined();
    expect(buffer.length).toBe(0);
  });

  it('gives back what came in, in order, whatever the pieces and reads', () => {
    const step = fc.oneof(
      fc.record({ append: fc.integer({ min: 1, max: 3000 }), record: fc.constantFrom(1, 2, 16_384) }),
      fc.record({ shifts: fc.integer({ min: 1, max: 8 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const buffer = new ReceiveBuffer();
        let next = 0;
        let expected = 0;
        const check = (piece: Uint8Array): void => {
          expect(piece.every((byte) => byte === (expected++ & 0xff))).toBe(true);
        };
        for (const one of steps) {
          if ('shifts' in one) {
            for (let i = 0; i < one.shifts; i++) check(buffer.shift() ?? new Uint8Array());
          } else {
            const record = new Uint8Array(Math.max(one.record, one.append));
            for (let i = 0; i < one.append; i++) record[i] = next++;
            buffer.append(record.subarray(0, one.append));
          }
          expect(buffer.length).toBe(next - expected);
        }
        for (const piece of drain(buffer)) check(piece);
        expect(expected).toBe(next);
      }),
    );
  });

  it.each([
    ['single bytes of long records', () => 1, 20_000],
    ['small and large in turn', (i: number) => (i % 2 === 0 ? 9_000 : 1), 100],
    ['pieces just too small to be kept', () => 8_000, 100],
  ])('holds no more than about twice its bytes: %s', (_what, length, count) => {
    const buffer = new ReceiveBuffer();
    for (let i = 0; i < count; i++) buffer.append(new Uint8Array(16_384).subarray(0, length(i)));
    const held = buffer.length;
    expect(retained(drain(buffer))).toBeLessThanOrEqual(held * 2.2 + 16_384);
  });

  it('tells how much it threw away', () => {
    const buffer = new ReceiveBuffer();
    buffer.append(ascii('one'));
    buffer.append(ascii('two'));
    expect(buffer.clear()).toBe(6);
    expect(buffer.shift()).toBeUndefined();
  });
});

it('random bytes give frames or a TlsError, never another fault', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }), (contents) => {
      const reader = new FrameReader();
      const controls = new ControlReader();
      try {
        for (const content of contents) {
          reader.push(content);
          while (reader.next()) {
            if (reader.source === 0 && reader.destination === 0) controls.push(reader.piece, reader.length);
          }
        }
      } catch (error) {
        expect(error).toBeInstanceOf(TlsError);
      }
    }),
  );
});
