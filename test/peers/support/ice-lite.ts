import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { crc32 } from 'node:zlib';

/*
 * The lite side of ICE (RFC 8445 §2.5): one address, which answers connectivity checks and makes none. As much of STUN
 * (RFC 8489) as that takes.
 *
 *   0 0 | type(14) | length(16) | 0x2112A442 | transaction(96) | attributes: type(16) length(16) value, padded to 4
 */

const MAGIC = 0x2112a442;
const HEADER = 20;
const BINDING_REQUEST = 0x0001;
const BINDING_SUCCESS = 0x0101;
const USERNAME = 0x0006;
const MESSAGE_INTEGRITY = 0x0008;
const XOR_MAPPED_ADDRESS = 0x0020;
const FINGERPRINT = 0x8028;
/** RFC 8489 §14.7: so that a CRC of another protocol is not taken for it. */
const FINGERPRINT_XOR = 0x5354554e;
const HMAC_LENGTH = 20;

export class IceLite {
  readonly ufrag = randomBytes(3).toString('hex');
  readonly password = randomBytes(12).toString('hex');
  /** Checks that were answered, and STUN that was not genuine. */
  answered = 0;
  refused = 0;
  readonly #udp: Socket = createSocket('udp4');
  /** Where the last genuine check came from: the peer is there. */
  #peer: RemoteInfo | undefined;
  readonly #take: (datagram: Buffer) => void;

  private constructor(take: (datagram: Buffer) => void) {
    this.#take = take;
  }

  /** @param take gets what is not STUN (RFC 7983 §7), from the peer's address alone */
  static async open(take: (datagram: Buffer) => void): Promise<IceLite> {
    const ice = new IceLite(take);
    ice.#udp.on('message', (datagram, from) => ice.#receive(datagram, from));
    ice.#udp.bind(0, '127.0.0.1');
    await once(ice.#udp, 'listening');
    return ice;
  }

  get port(): number {
    return this.#udp.address().port;
  }

  send(datagram: Uint8Array): boolean {
    const peer = this.#peer;
    if (peer !== undefined) this.#udp.send(datagram, peer.port, peer.address);
    return peer !== undefined;
  }

  close(): void {
    this.#udp.close();
  }

  #receive(datagram: Buffer, from: RemoteInfo): void {
    const [first = 0] = datagram;
    if (first > 3) {
      if (from.port === this.#peer?.port) this.#take(datagram);
      return;
    }
    const check = readCheck(datagram, this.password);
    if (check === undefined || !check.username.startsWith(`${this.ufrag}:`)) {
      this.refused++;
      return;
    }
    this.#peer = from;
    this.answered++;
    this.#udp.send(answer(datagram, from, this.password), from.port, from.address);
  }
}

/** A genuine Binding request, or `undefined`. */
function readCheck(message: Buffer, password: string): { readonly username: string } | undefined {
  if (message.length < HEADER || message.readUInt16BE(0) !== BINDING_REQUEST) return undefined;
  if (message.readUInt16BE(2) !== message.length - HEADER || message.readUInt32BE(4) !== MAGIC)
    return undefined;
  let username: string | undefined;
  let genuine = false;
  for (let at = HEADER; at + 4 <= message.length; ) {
    const type = message.readUInt16BE(at);
    const value = message.subarray(at + 4, at + 4 + message.readUInt16BE(at + 2));
    if (type === USERNAME) username = value.toString();
    if (type === MESSAGE_INTEGRITY) {
      const expected = integrity(message.subarray(0, at), password);
      genuine = value.length === HMAC_LENGTH && timingSafeEqual(expected, value);
    }
    if (type === FINGERPRINT && value.readUInt32BE(0) !== fingerprint(message.subarray(0, at)))
      return undefined;
    at += 4 + Math.ceil(value.length / 4) * 4;
  }
  return username === undefined || !genuine ? undefined : { username };
}

function answer(request: Buffer, { address, port }: RemoteInfo, password: string): Buffer {
  const header = Buffer.from(request.subarray(0, HEADER));
  header.writeUInt16BE(BINDING_SUCCESS, 0);
  const mapped = Buffer.alloc(8);
  mapped[1] = 1;
  mapped.writeUInt16BE(port ^ (MAGIC >>> 16), 2);
  const ip = Buffer.from(address.split('.').map(Number)).readUInt32BE();
  mapped.writeUInt32BE((ip ^ MAGIC) >>> 0, 4);
  const plain = Buffer.concat([header, attribute(XOR_MAPPED_ADDRESS, mapped)]);
  const signed = Buffer.concat([plain, attribute(MESSAGE_INTEGRITY, integrity(plain, password))]);
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(fingerprint(signed));
  const whole = Buffer.concat([signed, attribute(FINGERPRINT, crc)]);
  whole.writeUInt16BE(whole.length - HEADER, 2);
  return whole;
}

function attribute(type: number, value: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(value.length, 2);
  return Buffer.concat([head, value]);
}

/** RFC 8489 §14.5: over what is before the attribute, with a length that ends behind it. */
function integrity(before: Buffer, password: string): Buffer {
  return createHmac('sha1', password)
    .update(withLength(before, 4 + HMAC_LENGTH))
    .digest();
}

/** RFC 8489 §14.7. */
function fingerprint(before: Buffer): number {
  return (crc32(withLength(before, 8)) ^ FINGERPRINT_XOR) >>> 0;
}

function withLength(before: Buffer, more: number): Buffer {
  const copy = Buffer.from(before);
  copy.writeUInt16BE(before.length - HEADER + more, 2);
  return copy;
}
