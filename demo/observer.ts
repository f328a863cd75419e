import net, { type AddressInfo, type Socket } from 'node:net';
import { pump, socketLeg } from '../src/tunnel/pump.ts';

/** What someone on the path can count without any key. */
export interface Observation {
  /** TCP connections that carried it, and the distinct server ports they went to. */
  tcpConnections: number;
  readonly ports: Set<number>;
  /** Full ClientHello and ServerHello messages; a HelloRetryRequest is not a ServerHello here. */
  clientHellos: number;
  serverHellos: number;
  helloRetryRequests: number;
  records: number;
  /** Every byte that crossed, TLS headers included. */
  bytes: number;
  /** Records by their outer content type, RFC 8446 §5.1. */
  readonly recordsByType: Map<number, number>;
  /** Records by their length: upper bounds and how many are below. */
  readonly recordsBySize: Map<number, number>;
  /** Bytes that are not TLS records. */
  strangeBytes: number;
}

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_HELLO = 2;
const HEADER_LENGTH = 5;
/** Where `random` begins in a ServerHello message: type(1) length(3) legacy_version(2). */
const RANDOM_AT = 6;
/** SHA-256 of "HelloRetryRequest", the random that marks one (RFC 8446 §4.1.3). */
const RETRY_RANDOM = Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex');
/** A hello is shorter; more in clear is not worth keeping. */
const CLEAR_BYTES_MAX = 65_536;

const SIZES = [64, 256, 1024, 4096, 16_401] as const;

export function newObservation(): Observation {
  return {
    tcpConnections: 0,
    ports: new Set(),
    clientHellos: 0,
    serverHellos: 0,
    helloRetryRequests: 0,
    records: 0,
    bytes: 0,
    recordsByType: new Map(),
    recordsBySize: new Map(SIZES.map((size) => [size, 0])),
    strangeBytes: 0,
  };
}

/** A TCP relay that looks at the records of what it carries, as anyone on the path could. */
export async function startRelay(
  target: number,
  seen: Observation,
): Promise<{ port: number; close(): void }> {
  const sockets = new Set<Socket>();
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (near) => {
    const far = net.connect({ host: '127.0.0.1', port: target, allowHalfOpen: true, noDelay: true });
    seen.tcpConnections++;
    seen.ports.add(port);
    for (const socket of [near, far]) {
      const records = new RecordCounter(seen);
      sockets.add(socket);
      socket.on('data', (chunk: Buffer) => records.see(chunk));
    }
    pump(socketLeg(near), socketLeg(far), () => {
      sockets.delete(near);
      sockets.delete(far);
    });
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** One direction of one TCP connection, cut into records. */
export class RecordCounter {
  readonly #seen: Observation;
  readonly #header = Buffer.alloc(HEADER_LENGTH);
  #headerLength = 0;
  #bodyLeft = 0;
  #type = 0;
  #strange = false;
  /** Handshake bytes in clear that are not a whole message yet; `undefined` after the hello, when all is encrypted. */
  #clear: Buffer | undefined = Buffer.alloc(0);

  constructor(seen: Observation) {
    this.#seen = seen;
  }

  see(chunk: Buffer): void {
    this.#seen.bytes += chunk.length;
    let at = 0;
    while (at < chunk.length) {
      if (this.#strange) {
        this.#seen.strangeBytes += chunk.length - at;
        return;
      }
      at += this.#bodyLeft > 0 ? this.#body(chunk.subarray(at)) : this.#head(chunk.subarray(at));
    }
  }

  #head(bytes: Buffer): number {
    const taken = bytes.copy(this.#header, this.#headerLength, 0, HEADER_LENGTH - this.#headerLength);
    this.#headerLength += taken;
    if (this.#headerLength < HEADER_LENGTH) return taken;
    this.#headerLength = 0;
    this.#type = this.#header[0] ?? 0;
    this.#bodyLeft = this.#header.readUInt16BE(3);
    // 20–23 are the content types of RFC 8446 §5.1; 16384 + 256 bounds a ciphertext (§5.2).
    if (this.#type < 20 || this.#type > 23 || this.#header[1] !== 3 || this.#bodyLeft > 16_640) {
      this.#strange = true;
      this.#seen.strangeBytes += HEADER_LENGTH;
      return taken;
    }
    this.#count(this.#type, this.#bodyLeft);
    return taken;
  }

  #count(type: number, length: number): void {
    const { recordsByType, recordsBySize } = this.#seen;
    this.#seen.records++;
    recordsByType.set(type, (recordsByType.get(type) ?? 0) + 1);
    const size = SIZES.find((bound) => length <= bound) ?? SIZES[SIZES.length - 1] ?? 0;
    recordsBySize.set(size, (recordsBySize.get(size) ?? 0) + 1);
  }

  #body(bytes: Buffer): number {
    const taken = Math.min(bytes.length, this.#bodyLeft);
    this.#bodyLeft -= taken;
    if (this.#type === HANDSHAKE && this.#clear !== undefined) this.#handshake(bytes.subarray(0, taken));
    return taken;
  }

  #handshake(bytes: Buffer): void {
    let clear = Buffer.concat([this.#clear ?? Buffer.alloc(0), bytes]);
    while (clear.length >= 4) {
      const length = 4 + clear.readUIntBE(1, 3);
      if (clear.length < length) break;
      this.#message(clear.subarray(0, length));
      clear = clear.subarray(length);
    }
    this.#clear = clear.length > CLEAR_BYTES_MAX ? undefined : clear;
  }

  #message(message: Buffer): void {
    if (message[0] === CLIENT_HELLO) this.#seen.clientHellos++;
    if (message[0] !== SERVER_HELLO) return;
    if (message.subarray(RANDOM_AT, RANDOM_AT + RETRY_RANDOM.length).equals(RETRY_RANDOM)) {
      this.#seen.helloRetryRequests++;
    } else {
      this.#seen.serverHellos++;
    }
  }
}
