import { DecodeError } from '../../errors/errors.ts';

/**
 * UDP applications in a session over TLS. A name that ends in `/udp` says so to both sides, because what one calls a
 * datagram must not become a stream at the other. Over DTLS every application is one of datagrams and names are bare.
 *
 * In ports mode one frame is one datagram; in channel mode, which cuts data where its windows end, the bytes of a
 * channel are
 * ```
 * struct { uint16 length; opaque datagram[length]; } *;
 * ```
 */
export const DATAGRAM_SUFFIX = '/udp';

/** Data of one IPv4 datagram at most: 65,535 less 20 bytes of IP header and 8 of UDP's (RFC 768). */
export const DATAGRAM_MAX = 65_507;

export function carriesDatagrams(name: string): boolean {
  return name.length > DATAGRAM_SUFFIX.length && name.endsWith(DATAGRAM_SUFFIX);
}

/** What a small datagram takes of memory beside its bytes, so that a million empty ones are not free. */
const OVERHEAD = 128;

/** Bytes by which a datagram that waits counts. */
export function datagramCost(length: number): number {
  return length + OVERHEAD;
}

/** How datagrams travel on a connection. */
export interface DatagramTraits {
  /** It carries bytes, and each datagram needs its length in front; otherwise what is written and read at once is one. */
  readonly inStream: boolean;
  /** A datagram without data can be told from an end. */
  readonly takesEmpty: boolean;
  /** Bytes. */
  readonly maxSize: number;
}

/** Over TLS in ports mode. A frame without data is the end of the stream. */
export const IN_FRAMES: DatagramTraits = { inStream: false, takesEmpty: false, maxSize: DATAGRAM_MAX };
/** In channel mode. */
export const IN_CHANNEL: DatagramTraits = { inStream: true, takesEmpty: true, maxSize: DATAGRAM_MAX };

const PREFIX = 2;

export function prefixDatagram(datagram: Uint8Array): Uint8Array {
  const out = new Uint8Array(PREFIX + datagram.length);
  out[0] = datagram.length >>> 8;
  out[1] = datagram.length;
  out.set(datagram, PREFIX);
  return out;
}

/** Cuts a stream of prefixed datagrams again. Holds at most one that is not complete. */
export class DatagramReader {
  #prefix: number | undefined;
  #datagram: Uint8Array | undefined;
  #have = 0;

  /** Takes the next piece; every datagram that it completes goes to `take`, which may keep it. */
  push(piece: Uint8Array, take: (datagram: Uint8Array) => void): void {
    let at = 0;
    while (at < piece.length) {
      if (this.#datagram === undefined) {
        const byte = piece[at++] as number;
        if (this.#prefix === undefined) {
          this.#prefix = byte;
          continue;
        }
        const length = (this.#prefix << 8) | byte;
        this.#prefix = undefined;
        if (length > DATAGRAM_MAX)
          throw new DecodeError(`a datagram of ${length} bytes, more than UDP can carry`);
        if (length === 0) take(new Uint8Array(0));
        else this.#datagram = new Uint8Array(length);
        this.#have = 0;
        continue;
      }
      const datagram: Uint8Array = this.#datagram;
      const end = Math.min(piece.length, at + datagram.length - this.#have);
      datagram.set(piece.subarray(at, end), this.#have);
      this.#have += end - at;
      at = end;
      if (this.#have < datagram.length) continue;
      this.#datagram = undefined;
      take(datagram);
    }
  }
}

/** Datagrams received on one connection and not yet read: each is one piece, whatever its size. */
export class DatagramQueue {
  /** Bytes held. */
  length = 0;
  #datagrams: Uint8Array[] = [];
  #head = 0;

  append(datagram: Uint8Array): void {
    this.#datagrams.push(datagram);
    this.length += datagram.length;
  }

  shift(): Uint8Array | undefined {
    const datagram = this.#datagrams[this.#head];
    if (datagram === undefined) return undefined;
    this.#head++;
    if (this.#head === this.#datagrams.length) {
      this.#datagrams = [];
      this.#head = 0;
    }
    this.length -= datagram.length;
    return datagram;
  }

  clear(): number {
    const dropped = this.length;
    this.#datagrams = [];
    this.#head = 0;
    this.length = 0;
    return dropped;
  }
}
