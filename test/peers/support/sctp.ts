/*
 * As much of SCTP (RFC 9260) over DTLS (RFC 8261) as a data channel takes that both sides know of beforehand: the peer begins
 * the association, and every message of it is sent back. Nothing is sent twice: it goes over loopback.
 *
 *   source(16) destination(16) tag(32) CRC32c(32), then chunks: type(8) flags(8) length(16) value, padded to 4
 */

const Chunk = { DATA: 0, INIT: 1, INIT_ACK: 2, SACK: 3, COOKIE_ECHO: 10, COOKIE_ACK: 11 } as const;
const STATE_COOKIE = 7;
const OUR_TAG = 0x5eed;
const WINDOW = 65_536;

export class SctpEcho {
  /** Messages of the application that came, as text. */
  readonly messages: string[] = [];
  readonly #send: (packet: Buffer) => void;
  #theirTag = 0;
  #tsn = 1;
  #stream = 0;

  constructor(send: (packet: Buffer) => void) {
    this.#send = send;
  }

  /** @throws for what is no packet of SCTP */
  receive(packet: Buffer): void {
    const summed = Buffer.from(packet);
    summed.writeUInt32LE(0, 8);
    if (packet.readUInt32LE(8) !== crc32c(summed)) throw new Error('SCTP: wrong checksum');
    for (let at = 12; at < packet.length; ) {
      const length = packet.readUInt16BE(at + 2);
      this.#chunk(packet[at] as number, packet.subarray(at + 4, at + length));
      at += Math.ceil(length / 4) * 4;
    }
  }

  #chunk(type: number, value: Buffer): void {
    switch (type) {
      case Chunk.INIT:
        this.#theirTag = value.readUInt32BE(0);
        // tag, window, streams out, streams in, first TSN; the cookie says nothing.
        this.#reply(
          Chunk.INIT_ACK,
          numbers(OUR_TAG, WINDOW, 0x04000400, this.#tsn, (STATE_COOKIE << 16) | 8, 0xc00c1e00),
        );
        break;
      case Chunk.COOKIE_ECHO:
        this.#reply(Chunk.COOKIE_ACK, Buffer.alloc(0));
        break;
      case Chunk.DATA: {
        const [tsn, streams, protocol] = [
          value.readUInt32BE(0),
          value.readUInt32BE(4),
          value.readUInt32BE(8),
        ];
        const message = value.subarray(12);
        this.messages.push(message.toString());
        this.#reply(Chunk.SACK, numbers(tsn, WINDOW, 0));
        const stream = (streams & 0xffff0000) | this.#stream++;
        this.#reply(Chunk.DATA, Buffer.concat([numbers(this.#tsn++, stream, protocol), message]), 3);
        break;
      }
    }
  }

  #reply(type: number, value: Buffer, flags = 0): void {
    const length = 4 + value.length;
    const packet = Buffer.alloc(12 + Math.ceil(length / 4) * 4);
    packet.writeUInt16BE(5000, 0);
    packet.writeUInt16BE(5000, 2);
    packet.writeUInt32BE(this.#theirTag, 4);
    packet.writeUInt8(type, 12);
    packet.writeUInt8(flags, 13);
    packet.writeUInt16BE(length, 14);
    packet.set(value, 16);
    packet.writeUInt32LE(crc32c(packet), 8);
    this.#send(packet);
  }
}

function numbers(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => void bytes.writeUInt32BE(value >>> 0, 4 * i));
  return bytes;
}

/** RFC 9260 appendix A. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}
