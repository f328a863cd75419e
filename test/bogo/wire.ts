import type net from 'node:net';
import { RECORD_HEADER_LENGTH } from '../../src/record/tls/deframer.ts';
import { ContentType } from '../../src/wire/codepoints.ts';
import { dialRunner, listenTo, type RunnerAddress } from './runner-socket.ts';

/**
 * The socket to the runner, read one piece after the other as a blocking program would. A piece never goes beyond a
 * record, so that what follows from a record happens before the next is looked at.
 */
export class Wire {
  readonly #socket: net.Socket;
  readonly #byteByByte: boolean;
  #arrived: Uint8Array[] = [];
  #ended = false;
  #wake: (() => void) | undefined;
  readonly #cutter = new Cutter();
  /** What may still be written before output is held back; Infinity when nothing is. */
  #credit = Number.POSITIVE_INFINITY;
  #held: Uint8Array[] = [];

  private constructor(socket: net.Socket, byteByByte: boolean) {
    this.#socket = socket;
    this.#byteByByte = byteByByte;
    listenTo(
      socket,
      (bytes) => {
        this.#arrived.push(new Uint8Array(bytes));
        this.#wake?.();
      },
      () => {
        this.#ended = true;
        this.#wake?.();
      },
    );
  }

  static async open(to: RunnerAddress, byteByByte: boolean): Promise<Wire> {
    return new Wire(await dialRunner(to), byteByByte);
  }

  /** The next piece; `undefined` once the runner has closed. */
  async read(): Promise<Uint8Array | undefined> {
    while (this.#arrived.length === 0) {
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    const first = this.#arrived[0] as Uint8Array;
    const length = this.#byteByByte ? 1 : first.length;
    const piece = first.subarray(0, this.#cutter.take(first.subarray(0, length)));
    if (piece.length === first.length) this.#arrived.shift();
    else this.#arrived[0] = first.subarray(piece.length);
    return piece;
  }

  /** How many records have been read to their end, ChangeCipherSpec not among them. */
  get records(): number {
    return this.#cutter.records - (this.#cutter.within ? 1 : 0);
  }

  write(pieces: readonly Uint8Array[]): void {
    for (const piece of pieces) {
      const now = piece.subarray(0, Math.min(this.#credit, piece.length));
      if (now.length > 0 && !this.#socket.destroyed) this.#socket.write(now);
      this.#credit -= now.length;
      if (now.length < piece.length) this.#held.push(piece.subarray(now.length));
    }
  }

  /** Lets only so many bytes out until `release`. */
  hold(after: number): void {
    this.#credit = after;
  }

  release(): void {
    this.#credit = Number.POSITIVE_INFINITY;
    const held = this.#held;
    this.#held = [];
    this.write(held);
  }

  /** Closes our direction, and waits for the runner to close its own: a reset would lose what was written last. */
  async finish(): Promise<void> {
    const socket = this.#socket;
    socket.end();
    while (!this.#ended) {
      this.#arrived = [];
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    socket.destroy();
  }
}

/** Follows record headers, to know where a piece must end. */
class Cutter {
  records = 0;
  readonly #header: number[] = [];
  #rest = 0;

  get within(): boolean {
    return this.#rest > 0;
  }

  /** How many of `bytes` belong to the record under way, or are part of its header. */
  take(bytes: Uint8Array): number {
    let at = 0;
    while (at < bytes.length) {
      if (this.#rest === 0) {
        this.#header.push(bytes[at++] as number);
        if (this.#header.length < RECORD_HEADER_LENGTH) continue;
        this.#rest = ((this.#header[3] as number) << 8) | (this.#header[4] as number);
        if (this.#header[0] !== ContentType.change_cipher_spec) this.records++;
        this.#header.length = 0;
        if (this.#rest === 0) return at;
        continue;
      }
      const length = Math.min(this.#rest, bytes.length - at);
      this.#rest -= length;
      at += length;
      if (this.#rest === 0) return at;
    }
    return at;
  }
}
