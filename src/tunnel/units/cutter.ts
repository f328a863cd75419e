import { TunnelError } from '../errors.ts';

/*
 * TCP keeps no boundaries, so the unit that is signed has to be cut out of what a program sends. Bytes are never
 * changed, left out or looked into further than that takes: what comes out, one after the other, is what went in.
 */

/** What one signed object holds (docs/cli.md). */
export type Unit = 'connection' | 'http' | 'line' | 'length-prefixed';

export const UNITS: readonly Unit[] = ['connection', 'http', 'line', 'length-prefixed'];

/** A stretch of one unit: a unit is all parts up to the one that is its last. */
export interface Part {
  /** A view on what was pushed, or a copy. Empty where a unit ends without another byte. */
  readonly bytes: Uint8Array;
  readonly last: boolean;
}

/** Cuts one direction of one connection. */
export interface Cutter {
  /** @throws TunnelError ERR_TUNNEL_UNIT when the bytes are not what the unit says; nothing can follow */
  push(bytes: Uint8Array): Part[];
  /** The direction has ended, or will when it waits no more. @throws TunnelError ERR_TUNNEL_UNIT when a unit is cut off */
  end(): Part[];
  /** What comes next is known when the other direction has gone on: then `push` no bytes, to go on. */
  readonly isWaiting: boolean;
}

/** Both directions of one connection. Each side sends one of them, and follows what it receives of the other. */
export interface Conversation {
  /** From who has opened the connection. */
  readonly forth: Cutter;
  readonly back: Cutter;
  /**
   * The opener waits for a sign that it may go on in the middle of its unit, and would not get it before the unit has
   * left. Takes the wish back: a second call is false.
   */
  takeContinue(): boolean;
  /** Both have agreed on another protocol, and the rest of each direction is one unit. */
  readonly isUpgraded: boolean;
}

export const NOTHING = new Uint8Array(0);

/** The whole direction is one unit. */
export class ConnectionCutter implements Cutter {
  readonly isWaiting = false;
  #isEmpty = true;

  push(bytes: Uint8Array): Part[] {
    if (bytes.length === 0) return [];
    this.#isEmpty = false;
    return [{ bytes, last: false }];
  }

  end(): Part[] {
    return this.#isEmpty ? [] : [{ bytes: NOTHING, last: true }];
  }
}

/** Lines with their line feeds; what comes after the last one is a unit as well. */
export class LineCutter implements Cutter {
  readonly isWaiting = false;
  #isInside = false;

  push(bytes: Uint8Array): Part[] {
    const parts: Part[] = [];
    let from = 0;
    for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, from)) {
      parts.push({ bytes: bytes.subarray(from, at + 1), last: true });
      from = at + 1;
    }
    if (from < bytes.length) parts.push({ bytes: bytes.subarray(from), last: false });
    if (bytes.length > 0) this.#isInside = from < bytes.length;
    return parts;
  }

  end(): Part[] {
    return this.#isInside ? [{ bytes: NOTHING, last: true }] : [];
  }
}

/** `uint32 length` in network byte order, then so many bytes. A unit has both. */
export class LengthPrefixedCutter implements Cutter {
  readonly isWaiting = false;
  readonly #max: number;
  /** Bytes of the prefix that have come, and their value so far. */
  #prefix = 0;
  #length = 0;
  /** Bytes of the body that have not come. */
  #left = 0;

  /** @param max bytes of a unit: a prefix that says more is refused before its bytes come */
  constructor(max: number) {
    this.#max = max;
  }

  push(bytes: Uint8Array): Part[] {
    const parts: Part[] = [];
    let at = 0;
    while (at < bytes.length) {
      const from = at;
      while (this.#prefix < PREFIX_BYTES && at < bytes.length) {
        this.#length = this.#length * 256 + (bytes[at++] as number);
        if (++this.#prefix === PREFIX_BYTES) this.#left = this.#checked(this.#length);
      }
      const taken = Math.min(this.#left, bytes.length - at);
      at += taken;
      this.#left -= taken;
      const last = this.#prefix === PREFIX_BYTES && this.#left === 0;
      parts.push({ bytes: bytes.subarray(from, at), last });
      if (last) this.#prefix = this.#length = 0;
    }
    return parts;
  }

  end(): Part[] {
    if (this.#prefix > 0) {
      throw unitError(
        'the connection ended in the middle of a message; is every message preceded by its length?',
      );
    }
    return [];
  }

  #checked(length: number): number {
    if (length + PREFIX_BYTES <= this.#max) return length;
    throw unitError(
      `a message says that it is ${length} bytes long, more than the ${this.#max - PREFIX_BYTES} that can be; is every message preceded by its length, 4 bytes in network byte order?`,
    );
  }
}

export function unitError(what: string): TunnelError {
  return new TunnelError(
    'ERR_TUNNEL_UNIT',
    what.replace(/^./, (letter) => letter.toUpperCase()),
  );
}

const LF = 0x0a;
const PREFIX_BYTES = 4;
