import type { RecordBatch } from '../batch.ts';
import { RECORD_CONTENT_MAX } from '../limits.ts';
import type { ChunkQueue } from '../outgoing.ts';
import { CONTROL_LENGTH, type Control, FRAME_HEADER, writeControl, writeFrameHeader } from './frame.ts';

/**
 * Frames on their way out, packed so that each record is full and none holds part of a frame: the receiver then gets
 * each frame's data as one piece, and the data is copied once, into the record's content.
 */
export class FrameBatch {
  readonly #record: RecordBatch;

  constructor(record: RecordBatch) {
    this.#record = record;
  }

  /** One frame, with as much of `data` as goes into the current record. @returns how many bytes */
  data(source: number, destination: number, data: ChunkQueue): number {
    const record = this.#record;
    const room = record.room - FRAME_HEADER;
    if (room < data.length && room < SMALLEST_CUT) record.flush();
    const content = record.reserve(FRAME_HEADER + 1);
    const length = Math.min(data.length, record.room - FRAME_HEADER);
    const start = writeFrameHeader(content, record.length, source, destination, length);
    data.take(content, start, length);
    record.length = start + length;
    return length;
  }

  /** One frame with all of `datagram`; the record may end inside it. */
  datagram(source: number, destination: number, datagram: Uint8Array): void {
    const record = this.#record;
    const whole = FRAME_HEADER + datagram.length;
    const content = record.reserve(whole <= RECORD_CONTENT_MAX ? whole : FRAME_HEADER);
    record.length = writeFrameHeader(content, record.length, source, destination, datagram.length);
    record.append(datagram);
  }

  /** A frame without data. */
  end(source: number, destination: number): void {
    const record = this.#record;
    record.length = writeFrameHeader(record.reserve(FRAME_HEADER), record.length, source, destination, 0);
  }

  control(control: Control): void {
    const record = this.#record;
    record.length = writeControl(record.reserve(FRAME_HEADER + CONTROL_LENGTH), record.length, control);
  }
}

/** Data is not cut to fill less than this at a record's end: two frames would cost more than the record saves. */
const SMALLEST_CUT = 1_024;
