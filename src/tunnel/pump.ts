import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** One end of a carried connection. */
export interface Leg {
  /** Half-open streams are kept: `allowHalfOpen` must be true. */
  readonly stream: Duplex;
  /** Ends it so that its peer sees a reset, not an end. */
  reset(): void;
  /**
   * Pieces that arrive together are written together. For a TCP socket that is one writev for a read of the network
   * instead of a system call for each record's worth; a stream that packs by itself gains nothing.
   */
  readonly gathers: boolean;
}

/** How a carried connection ended. */
export interface PumpResult {
  /** Which end broke it off; `undefined` when both directions ended in order. */
  readonly brokenBy: 'near' | 'far' | undefined;
  /** What the breaking end reported, if it did. */
  readonly error: Error | undefined;
}

/** Signed objects of a connection, for its log line. */
export interface SignedCounts {
  readonly messagesOut: number;
  readonly messagesIn: number;
  readonly receiptsIn: number;
}

/** Datagrams of a flow, for its log line. */
export interface DatagramTotals {
  readonly datagramsOut: number;
  readonly datagramsIn: number;
  readonly datagramsDropped: number;
}

/** A carried connection under way. Bytes count what was read from each end. */
export interface Pump {
  readonly bytesFromNear: number;
  readonly bytesFromFar: number;
  /** Where it is signed. */
  readonly signed?: SignedCounts;
  /** Where it is a flow of datagrams. */
  readonly datagrams?: DatagramTotals;
  /** Breaks both ends. `error` becomes the result's, with `brokenBy` the far end. */
  abort(error: Error): void;
}

/**
 * Carries bytes between two streams until both have closed, then calls `done` once.
 * Back-pressure, half-close and reset cross unchanged: an end of data at one side ends the other's writing side only,
 * and a side that closes in any other way resets the other.
 *
 * Written by hand because `stream.pipeline` knows neither half-close nor reset.
 */
export function pump(near: Leg, far: Leg, done: (result: PumpResult) => void): Pump {
  return new Carriage(near, far, done);
}

/** A plain TCP socket as the end of a carried connection. */
export function socketLeg(stream: Socket): Leg {
  return { stream, gathers: true, reset: () => stream.resetAndDestroy() };
}

/** A connection inside a session; destroying one that has not ended is an abort for the other side. */
export function streamLeg(stream: Duplex): Leg {
  return { stream, gathers: false, reset: () => stream.destroy() };
}

class Carriage implements Pump {
  readonly #near: Side;
  readonly #far: Side;
  readonly #done: (result: PumpResult) => void;
  #result: PumpResult = { brokenBy: undefined, error: undefined };
  #open = 2;

  constructor(near: Leg, far: Leg, done: (result: PumpResult) => void) {
    this.#near = new Side(near);
    this.#far = new Side(far);
    this.#done = done;
    this.#attach('near', this.#near, this.#far);
    this.#attach('far', this.#far, this.#near);
  }

  get bytesFromNear(): number {
    return this.#near.bytes;
  }

  get bytesFromFar(): number {
    return this.#far.bytes;
  }

  abort(error: Error): void {
    this.#break('far', error);
    this.#near.reset();
    this.#far.reset();
  }

  #attach(name: 'near' | 'far', from: Side, to: Side): void {
    const { stream } = from.leg;
    stream.on('data', (chunk: Uint8Array) => {
      from.bytes += chunk.length;
      if (!to.write(chunk)) stream.pause();
    });
    to.leg.stream.on('drain', () => stream.resume());
    stream.on('end', () => {
      from.ended = true;
      to.leg.stream.end();
    });
    stream.on('finish', () => {
      from.finished = true;
    });
    stream.on('error', (error: Error) => this.#break(name, error));
    stream.on('close', () => this.#closed(name, from, to));
    // One that is gone already has perhaps said so before we listened.
    if (stream.destroyed) queueMicrotask(() => this.#closed(name, from, to));
    else stream.resume();
  }

  #closed(name: 'near' | 'far', from: Side, to: Side): void {
    if (from.closed) return;
    from.closed = true;
    if (!from.ended || !from.finished) {
      this.#break(name, undefined);
      to.reset();
    }
    if (--this.#open === 0) this.#done(this.#result);
  }

  /** The first to break it off is the cause; what follows at the other end is our own doing. */
  #break(by: 'near' | 'far', error: Error | undefined): void {
    if (this.#result.brokenBy === undefined) this.#result = { brokenBy: by, error };
  }
}

class Side {
  readonly leg: Leg;
  bytes = 0;
  ended = false;
  finished = false;
  closed = false;

  constructor(leg: Leg) {
    this.leg = leg;
  }

  write(chunk: Uint8Array): boolean {
    const { stream, gathers } = this.leg;
    if (stream.destroyed) return true;
    if (gathers && stream.writableCorked === 0) {
      stream.cork();
      process.nextTick(uncork, stream);
    }
    return stream.write(chunk);
  }

  reset(): void {
    if (!this.closed) this.leg.reset();
  }
}

function uncork(stream: Duplex): void {
  stream.uncork();
}
