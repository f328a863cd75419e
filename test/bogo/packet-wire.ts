import type net from 'node:net';
import { Unexpected } from './report.ts';
import { dialRunner, listenTo, type RunnerAddress } from './runner-socket.ts';

/** What the runner may ask of a DTLS shim beside taking packets (`packet_adapter.go`). */
export interface PacketControl {
  /** So much time passes, in milliseconds. */
  passTime(milliseconds: number): Promise<void>;
  /** Milliseconds to the next timeout, `undefined` for none. */
  readonly nextTimeout: number | undefined;
  setMtu(mtu: number): void;
  setTimeout(milliseconds: number): void;
}

const NEVER = 2n ** 64n - 1n;
const OPCODE = { packet: 0x50, timeout: 0x54, ack: 0x74, mtu: 0x4d, expect: 0x45, update: 0x55 } as const;
/** Timeouts are whole milliseconds with us. */
const TOLERANCE = 1;

/** The socket to the runner of a DTLS test: packets in frames, and a clock that the runner moves. */
export class PacketWire {
  readonly #socket: net.Socket;
  #arrived: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void) | undefined;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    listenTo(
      socket,
      (bytes) => {
        this.#arrived = Buffer.concat([this.#arrived, bytes]);
        this.#wake?.();
      },
      () => {
        this.#ended = true;
        this.#wake?.();
      },
    );
  }

  static async open(to: RunnerAddress): Promise<PacketWire> {
    return new PacketWire(await dialRunner(to));
  }

  /** The next packet; what else the runner asks for is done on the way. `undefined` once it has closed. */
  async read(control: PacketControl): Promise<Uint8Array | undefined> {
    for (;;) {
      const head = await this.#take(1);
      if (head === undefined) return undefined;
      switch (head[0]) {
        case OPCODE.packet: {
          const length = await this.#take(4);
          return length === undefined ? undefined : await this.#take(length.readUInt32BE());
        }
        case OPCODE.timeout: {
          const time = await this.#take(8);
          if (time === undefined) return undefined;
          // What was sent before the answer is from before; what the time brings about follows it.
          if (!this.#socket.destroyed) this.#socket.write(Uint8Array.of(OPCODE.ack));
          await control.passTime(Number(time.readBigUInt64BE()) / 1e6);
          break;
        }
        case OPCODE.mtu: {
          const mtu = await this.#take(4);
          if (mtu === undefined) return undefined;
          control.setMtu(mtu.readUInt32BE());
          break;
        }
        case OPCODE.update: {
          const time = await this.#take(4);
          if (time === undefined) return undefined;
          control.setTimeout(time.readUInt32BE());
          break;
        }
        case OPCODE.expect: {
          const time = await this.#take(8);
          if (time === undefined) return undefined;
          expectTimeout(time.readBigUInt64BE(), control.nextTimeout);
          break;
        }
        default:
          throw new Unexpected(`the runner says ${head[0]}`);
      }
    }
  }

  write(packets: readonly Uint8Array[]): void {
    for (const packet of packets) {
      if (this.#socket.destroyed) return;
      const header = Buffer.alloc(5);
      header[0] = OPCODE.packet;
      header.writeUInt32BE(packet.length, 1);
      this.#socket.write(header);
      this.#socket.write(packet);
    }
  }

  async finish(): Promise<void> {
    this.#socket.end();
    while (!this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#socket.destroy();
  }

  async #take(length: number): Promise<Buffer | undefined> {
    while (this.#arrived.length < length) {
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = this.#arrived.subarray(0, length);
    this.#arrived = this.#arrived.subarray(length);
    return taken;
  }
}

function expectTimeout(expected: bigint, found: number | undefined): void {
  const wanted = expected === NEVER ? undefined : Number(expected) / 1e6;
  const same =
    wanted === undefined || found === undefined ? wanted === found : Math.abs(wanted - found) <= TOLERANCE;
  if (!same) throw new Unexpected(`the next timeout is in ${found} ms, not in ${wanted}`);
}
