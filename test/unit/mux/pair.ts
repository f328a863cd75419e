import type { SubProtocolLink } from '../../../src/connection/sub-protocol.ts';
import type { TlsError } from '../../../src/errors/errors.ts';
import {
  type MultiplexedConnection,
  type MultiplexedSession,
  type Multiplexing,
  type MuxClientOptions,
  type MuxServerOptions,
  muxClient,
  muxServer,
  type SessionEvent,
} from '../../../src/mux/index.ts';
import type { PortsConnection } from '../../../src/mux/ports/connection.ts';
import { UNUSED_LINK } from '../../setup/link.ts';

const HELLO = { serverName: undefined, alpnProtocol: undefined };

/** Decides how many bytes of what is in flight make the next record; the default keeps records as they were sent. */
export type Cut = (available: number) => number;

/** One direction: the records' contents as they were sent, to be delivered in any division. */
class Pipe {
  readonly records: Uint8Array[] = [];
  bytes = 0;

  push(content: Uint8Array): void {
    // The sender reuses its buffer, as the engine allows it to.
    this.records.push(new Uint8Array(content));
    this.bytes += content.length;
  }

  take(cut: Cut | undefined): Uint8Array | undefined {
    const first = this.records[0];
    if (first === undefined) return undefined;
    if (cut === undefined) {
      this.records.shift();
      this.bytes -= first.length;
      return first;
    }
    const all = Buffer.concat(this.records);
    const length = Math.max(1, Math.min(cut(all.length), all.length));
    this.records.length = 0;
    if (length < all.length) this.records.push(new Uint8Array(all.subarray(length)));
    this.bytes -= length;
    return new Uint8Array(all.subarray(0, length));
  }
}

export class Side {
  readonly protocol: Multiplexing;
  readonly sent = new Pipe();
  readonly link: SubProtocolLink;
  failure: TlsError | undefined;
  now = 0;

  constructor(role: 'client' | 'server', protocol: Multiplexing, maxDatagramSize?: number) {
    this.protocol = protocol;
    this.link = {
      ...UNUSED_LINK,
      role,
      maxDatagramSize,
      send: (_contentType, content) => this.sent.push(content),
      fail: (error) => {
        this.failure = error;
      },
    };
  }

  get session(): MultiplexedSession {
    if (this.protocol.session === undefined) throw new Error('no session was negotiated');
    return this.protocol.session;
  }

  /** Seals all that may go now. */
  push(): void {
    this.session.send(Number.POSITIVE_INFINITY, this.now);
    this.session.flush();
  }

  events(): SessionEvent[] {
    const events: SessionEvent[] = [];
    for (let event = this.session.nextEvent(); event !== undefined; event = this.session.nextEvent()) {
      events.push(event);
    }
    return events;
  }

  /** Gives the peer's bytes to the protocol as one record. */
  receive(content: Uint8Array): void {
    this.protocol.receiveRecord(this.protocol.contentTypes[0] as number, content);
  }
}

/** Two sessions joined in memory. */
export class Pair {
  readonly client: Side;
  readonly server: Side;

  /** In ports mode, if not told otherwise. */
  constructor(
    client: MuxClientOptions = {},
    server: MuxServerOptions = { applications: [ECHO, SINK] },
    /** As over DTLS. */
    maxDatagramSize?: number,
  ) {
    this.client = new Side('client', muxClient({ mode: 'ports', ...client })('client'), maxDatagramSize);
    this.server = new Side('server', muxServer(server)('server'), maxDatagramSize);
    const answer = this.server.protocol.answer(this.client.protocol.offer(), HELLO);
    this.client.protocol.confirm(answer, HELLO);
    if (answer === undefined) return;
    this.server.protocol.start(this.server.link);
    this.client.protocol.start(this.client.link);
  }

  /** Delivers what `from` has sent. @returns whether there was anything */
  deliver(from: Side, cut?: Cut): boolean {
    from.push();
    const to = from === this.client ? this.server : this.client;
    let any = false;
    for (let content = from.sent.take(cut); content !== undefined; content = from.sent.take(cut)) {
      to.receive(content);
      any = true;
    }
    return any;
  }

  /** Delivers both ways until nobody has anything to say. */
  settle(cut?: Cut): void {
    for (let rounds = 0; this.deliver(this.client, cut) || this.deliver(this.server, cut); rounds++) {
      if (rounds > 1_000) throw new Error('the two sides answer each other without end');
    }
  }

  /** Opens a connection and takes it at the server. */
  open(application = 'echo'): { near: PortsConnection; far: PortsConnection } {
    const near = this.client.session.open(application);
    this.settle();
    const opened = this.server.events().find((event) => event.type === 'connection');
    if (opened === undefined) throw new Error('the server saw no connection');
    return { near: near as PortsConnection, far: opened.connection as PortsConnection };
  }
}

export const ECHO = { name: 'echo', port: 7 };
export const SINK = { name: 'sink', port: 9 };

/** All that can be read now, as text. */
export function text(connection: MultiplexedConnection): string {
  return Buffer.from(bytes(connection)).toString('latin1');
}

/** All that can be read now. */
export function bytes(connection: MultiplexedConnection): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (let piece = connection.read(); piece !== undefined; piece = connection.read()) {
    connection.consume(piece.length);
    pieces.push(piece);
  }
  return new Uint8Array(Buffer.concat(pieces));
}

export function ascii(value: string): Uint8Array {
  return new Uint8Array(Buffer.from(value, 'latin1'));
}

export function hex(value: string): Uint8Array {
  return new Uint8Array(Buffer.from(value.replaceAll(' ', ''), 'hex'));
}

/** A data frame from the client's or the server's pen. */
export function frame(source: number, destination: number, data: Uint8Array | string = ''): Uint8Array {
  const body = typeof data === 'string' ? ascii(data) : data;
  const out = Buffer.alloc(6 + body.length);
  out.writeUInt16BE(source, 0);
  out.writeUInt16BE(destination, 2);
  out.writeUInt16BE(body.length, 4);
  out.set(body, 6);
  return new Uint8Array(out);
}

export function control(clientPort: number, applicationPort: number, code: number): Uint8Array {
  const data = Buffer.alloc(5);
  data.writeUInt16BE(clientPort, 0);
  data.writeUInt16BE(applicationPort, 2);
  data[4] = code;
  return frame(0, 0, new Uint8Array(data));
}

export function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** The frames in what a side has sent and not delivered, as `source>destination:text` and `open 1,2`. */
export function framesOf(content: Uint8Array): string[] {
  const view = Buffer.from(content);
  const frames: string[] = [];
  for (let at = 0; at < view.length; ) {
    const [source, destination, length] = [
      view.readUInt16BE(at),
      view.readUInt16BE(at + 2),
      view.readUInt16BE(at + 4),
    ];
    const data = view.subarray(at + 6, at + 6 + length);
    if (source === 0 && destination === 0) {
      const code = ['open', 'refused', 'abort'][data[4] as number];
      frames.push(`${code} ${data.readUInt16BE(0)},${data.readUInt16BE(2)}`);
    } else {
      frames.push(`${source}>${destination}:${data.toString('latin1')}`);
    }
    at += 6 + length;
  }
  return frames;
}

/** What a side has sealed and nobody has received; takes it. */
export function sentBy(side: Side): string[] {
  side.push();
  const content = join(...side.sent.records);
  side.sent.records.length = 0;
  side.sent.bytes = 0;
  return framesOf(content);
}

/** Runs `act` and returns what it threw. */
export function thrown(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

/** Ports mode: the client's port, at whichever side the connection is. */
export function clientPort(connection: MultiplexedConnection): number {
  return (connection as PortsConnection).clientPort;
}
