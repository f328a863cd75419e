import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import type { MuxDatagrams } from '../node/mux.ts';
import { type Endpoint, formatEndpoint } from './addresses.ts';
import { TunnelError } from './errors.ts';
import { bindAdvice } from './listen.ts';
import type { DatagramTotals, Pump } from './pump.ts';
import { type ConnectionReason, type ConnectionRecord, reasonOfError, type Traffic } from './traffic.ts';

/** Bytes that one socket's kernel may hold for a reader, as far as the system allows: bursts come faster than turns. */
const RECEIVE_BUFFER = 1_048_576;

/** Bytes that wait in one socket to be sent. Beyond it datagrams are dropped, as a full network does. */
const SEND_QUEUE_MAX = 1_048_576;

/** Datagrams of one flow, and their bytes, that wait for a session or for the name of a target. */
const EARLY_MAX = 16;
const EARLY_BYTES_MAX = 65_536;

/** A tunnel that stops gives a flow so many milliseconds of silence: answers under way still arrive. */
const DRAIN_IDLE = 500;

/** Milliseconds for which datagrams of a flow that the other side refused are dropped, before it is asked again. */
const REFUSED_HOLD = 1_000;

/** Flows that were refused a moment ago and are remembered by one forward. */
const REFUSED_MAX = 1_024;

interface FlowOptions {
  /** Sends to the local end; false when it was dropped. */
  readonly toNear: (datagram: Uint8Array) => boolean;
  /** Milliseconds. */
  readonly idle: number;
  readonly limit: FlowLimit;
  /** Called once. */
  readonly ended: (reason: ConnectionReason, error?: unknown) => void;
}

/**
 * One flow of datagrams between a local end and a session: counts them, and ends it when nothing moves any more.
 * Datagrams that come before the session's end is there wait within bounds.
 */
export class Flow implements Pump {
  bytesFromNear = 0;
  bytesFromFar = 0;
  readonly #counts = { datagramsOut: 0, datagramsIn: 0, datagramsDropped: 0 };
  readonly #options: FlowOptions;
  #far: MuxDatagrams | undefined;
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  /** Runs from the moment that datagrams can move; before, whoever brings the session's end has limits of its own. */
  #idle: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(options: FlowOptions) {
    this.#options = options;
    options.limit.add(this);
  }

  get datagrams(): DatagramTotals {
    const { counts } = this.#far ?? {};
    const { datagramsOut, datagramsIn, datagramsDropped } = this.#counts;
    return { datagramsOut, datagramsIn, datagramsDropped: datagramsDropped + (counts?.droppedIn ?? 0) };
  }

  get over(): boolean {
    return this.#isOver;
  }

  /** The session's end is there. What waited goes first. */
  attach(far: MuxDatagrams): void {
    this.#far = far;
    this.#idle ??= this.#startIdle(this.#options.idle);
    let failure: Error | undefined;
    far.on('error', (error) => {
      failure = error;
    });
    far.on('close', () => this.end(failure === undefined ? 'end' : reasonOfError(failure), failure));
    far.on('message', (datagram) => {
      this.#moved();
      this.#counts.datagramsIn++;
      this.bytesFromFar += datagram.length;
      if (!this.#options.toNear(datagram)) this.#counts.datagramsDropped++;
    });
    for (const datagram of this.#early.splice(0)) this.#send(far, datagram);
  }

  /** A datagram from the local end. The buffer must not change any more. */
  fromNear(datagram: Uint8Array): void {
    if (this.#isOver) {
      this.#counts.datagramsDropped++;
      return;
    }
    this.#moved();
    this.#counts.datagramsOut++;
    this.bytesFromNear += datagram.length;
    if (this.#far !== undefined) this.#send(this.#far, datagram);
    else if (this.#early.length < EARLY_MAX && this.#earlyBytes + datagram.length <= EARLY_BYTES_MAX) {
      this.#early.push(datagram);
      this.#earlyBytes += datagram.length;
    } else this.#counts.datagramsDropped++;
  }

  /** The tunnel stops: what is under way may still arrive. */
  drain(): void {
    clearTimeout(this.#idle);
    if (!this.#isOver) this.#idle = this.#startIdle(DRAIN_IDLE);
  }

  abort(error: Error): void {
    this.end(reasonOfError(error), error);
  }

  end(reason: ConnectionReason, error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#idle);
    this.#counts.datagramsDropped += this.#early.length;
    this.#early = [];
    this.#far?.close();
    this.#options.limit.remove(this);
    this.#options.ended(reason, error);
  }

  #moved(): void {
    this.#idle?.refresh();
    this.#options.limit.used(this);
  }

  #send(far: MuxDatagrams, datagram: Uint8Array): void {
    // A local program may send more than the session carries; it hears nothing of it, as with a path of small MTU.
    if (datagram.length > far.maxDatagramSize || !far.send(datagram)) this.#counts.datagramsDropped++;
  }

  #startIdle(milliseconds: number): NodeJS.Timeout {
    return setTimeout(() => this.end('idle'), milliseconds).unref();
  }
}

/**
 * Server: carries a flow to an application. A socket of its own, so that the application sees each client's flow as one
 * address, and answers find their way.
 */
export function carryToTarget(
  far: MuxDatagrams,
  target: Endpoint,
  record: ConnectionRecord,
  { idle, limit }: Pick<FlowOptions, 'idle' | 'limit'>,
): void {
  let socket: Socket | undefined;
  const flow = new Flow({
    toNear: (datagram) => socket !== undefined && sendConnected(socket, datagram),
    idle,
    limit,
    ended: (reason, error) => {
      socket?.close();
      record.close(reason, error);
    },
  });
  record.carry(() => flow);
  // Its datagrams wait in the session until it has a listener.
  far.defer();
  openConnected(target, (datagram) => flow.fromNear(datagram)).then(
    (opened) => {
      if (flow.over) {
        opened.close();
        return;
      }
      socket = opened;
      // 'close' comes when the system has taken the socket away from us; other errors are the network's, and pass.
      opened.on('close', () => flow.end('unreachable'));
      far.accept();
      flow.attach(far);
    },
    (error) => {
      far.refuse(`${formatEndpoint(target)} cannot be reached from the server`);
      flow.end('unreachable', error);
    },
  );
  far.once('close', () => flow.end('end'));
  far.on('error', (error) => flow.end(reasonOfError(error), error));
}

export interface DatagramForwardOptions {
  readonly application: string;
  readonly traffic: Traffic;
  readonly idle: number;
  /** Of the flows of the whole tunnel. */
  readonly limit: FlowLimit;
  /** Opens the application in the session that there is, or in the next one. */
  readonly open: (record: ConnectionRecord, source: RemoteInfo) => MuxDatagrams | Promise<MuxDatagrams>;
}

/** Client: a local UDP port. Each address that sends to it has a flow of its own in the session. */
export class DatagramForward {
  readonly #options: DatagramForwardOptions;
  readonly #flows = new Map<string, Flow>();
  #socket: Socket | undefined;
  #accepting = true;

  constructor(options: DatagramForwardOptions) {
    this.#options = options;
  }

  /** @throws TunnelError ERR_TUNNEL_LISTEN */
  async bind(endpoint: Endpoint, onError: (error: Error) => void): Promise<Endpoint> {
    const socket = await bindSocket(endpoint);
    this.#socket = socket;
    socket.on('error', onError);
    socket.on('message', (datagram, source) => this.#receive(datagram, source));
    const { address, port } = socket.address();
    return { host: address, port };
  }

  /** No new flows; those that are open end when they are silent. */
  drain(): void {
    this.#accepting = false;
    for (const flow of [...this.#flows.values()]) flow.drain();
    this.#closeWhenDone();
  }

  #receive(datagram: Buffer, source: RemoteInfo): void {
    const key = `${source.address}|${source.port}`;
    const flow = this.#flows.get(key) ?? this.#open(key, source);
    if (flow === undefined) {
      this.#options.traffic.dropped();
      return;
    }
    if (flow.over) this.#options.traffic.dropped();
    else flow.fromNear(datagram);
  }

  #open(key: string, source: RemoteInfo): Flow | undefined {
    const { traffic, application, idle, limit, open } = this.#options;
    if (!this.#accepting) return undefined;
    const record = traffic.openConnection(
      formatEndpoint({ host: source.address, port: source.port }),
      application,
    );
    const flow: Flow = new Flow({
      toNear: (datagram) => this.#answer(datagram, source),
      idle,
      limit,
      ended: (reason, error) => {
        record.close(reason, error);
        if (reason === 'refused' && this.#accepting && this.#flows.size < REFUSED_MAX) {
          setTimeout(() => this.#forget(key, flow), REFUSED_HOLD).unref();
        } else this.#forget(key, flow);
      },
    });
    record.carry(() => flow);
    this.#flows.set(key, flow);
    this.#attach(flow, () => open(record, source));
    return flow;
  }

  #attach(flow: Flow, open: () => MuxDatagrams | Promise<MuxDatagrams>): void {
    const fail = (error: unknown): void => flow.end(reasonOfError(error), error);
    const attach = (far: MuxDatagrams): void => {
      if (flow.over) far.close();
      else flow.attach(far);
    };
    try {
      const far = open();
      if (far instanceof Promise) far.then(attach, fail);
      else attach(far);
    } catch (error) {
      fail(error);
    }
  }

  #answer(datagram: Uint8Array, source: RemoteInfo): boolean {
    const socket = this.#socket;
    if (socket === undefined || socket.getSendQueueSize() > SEND_QUEUE_MAX) return false;
    socket.send(datagram, source.port, source.address, ignore);
    return true;
  }

  #forget(key: string, flow: Flow): void {
    if (this.#flows.get(key) === flow) this.#flows.delete(key);
    this.#closeWhenDone();
  }

  #closeWhenDone(): void {
    if (this.#accepting || this.#flows.size > 0) return;
    this.#socket?.close();
    this.#socket = undefined;
  }
}

/** Bounds the flows of a tunnel: a new one takes the place of the one that has been silent longest. */
export class FlowLimit {
  readonly #limit: number;
  /** Silent longest first. */
  readonly #flows = new Set<Flow>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(flow: Flow): void {
    if (this.#flows.size >= this.#limit) {
      const [oldest] = this.#flows;
      oldest?.end('limit');
    }
    this.#flows.add(flow);
  }

  /** Something has moved in it. */
  used(flow: Flow): void {
    if (!this.#flows.delete(flow)) return;
    this.#flows.add(flow);
  }

  remove(flow: Flow): void {
    this.#flows.delete(flow);
  }

  /** See `Flow.drain`, for all of them. */
  drain(): void {
    for (const flow of [...this.#flows]) flow.drain();
  }
}

/** @throws TunnelError ERR_TUNNEL_LISTEN */
async function bindSocket(endpoint: Endpoint): Promise<Socket> {
  try {
    const { address, family } = await lookup(endpoint.host);
    const socket = newSocket(family);
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind({ address, port: endpoint.port }, () => {
        socket.off('error', reject);
        resolve();
      });
    }).catch((error) => {
      socket.close();
      throw error;
    });
    return socket;
  } catch (cause) {
    const where = `${formatEndpoint(endpoint)}/udp`;
    throw new TunnelError('ERR_TUNNEL_LISTEN', `Cannot listen on ${where}: ${bindAdvice(endpoint, cause)}.`, {
      cause,
    });
  }
}

/** A socket that hears this target only. */
async function openConnected({ host, port }: Endpoint, receive: (datagram: Buffer) => void): Promise<Socket> {
  const { address, family } = await lookup(host);
  const socket = newSocket(family);
  // Nobody there (ECONNREFUSED) is no reason to give up: it may be restarting, and UDP has no connections to lose.
  socket.on('error', ignore);
  socket.on('message', receive);
  await new Promise<void>((resolve, reject) => {
    socket.connect(port, address, (error?: Error) => (error === undefined ? resolve() : reject(error)));
  }).catch((error) => {
    socket.close();
    throw error;
  });
  return socket;
}

function newSocket(family: number): Socket {
  return createSocket({ type: family === 6 ? 'udp6' : 'udp4', recvBufferSize: RECEIVE_BUFFER });
}

function sendConnected(socket: Socket, datagram: Uint8Array): boolean {
  if (socket.getSendQueueSize() > SEND_QUEUE_MAX) return false;
  socket.send(datagram, ignore);
  return true;
}

function ignore(): void {}
