import { EventEmitter } from 'node:events';
import { ConnectionError } from '../errors/errors.ts';
import type { DatagramTraits } from '../mux/datagrams/datagrams.ts';
import {
  type Agreement,
  type MultiplexedConnection,
  type MultiplexedSession,
  Multiplexing,
  type MuxClientOptions,
  muxClient,
  type OpenTarget,
  type Priority,
  type SessionEvent,
  type SessionStats,
} from '../mux/index.ts';
import { RECORD_CONTENT_MAX } from '../mux/limits.ts';
import { preciseNow } from './clock.ts';
import { type ConnectionOptions, connect } from './connect.ts';
import {
  type ConnectionHost,
  kAnnounced,
  kConfirmed,
  kDrained,
  kReceive,
  MuxConnection,
  type MuxConnectionOptions,
} from './mux-connection.ts';
import { MuxDatagrams } from './mux-datagrams.ts';
import { diagnostics } from './mux-diagnostics.ts';
import type { SocketSigning } from './sign.ts';

export { MuxConnection, type MuxConnectionOptions, MuxDatagrams };

/** What a multiplexed session needs of the socket under it. TLSSocket is one. */
export interface SessionSocket extends EventEmitter {
  /** The protocol of this name, once the handshake is complete and both sides agreed to it. */
  subProtocol(name: string): unknown;
  /** Moves what was sealed to the network. */
  flush(): void;
  /** The connection may have something to say. */
  attend(): void;
  /** The network takes no more for now; 'outputDrain' says when it does. */
  readonly outputBlocked: boolean;
  pauseReading(): void;
  resumeReading(): void;
  /** Lets application data flow, that is: go. */
  resume(): unknown;
  end(): unknown;
  destroy(error?: Error): unknown;
  ref(): unknown;
  unref(): unknown;
  readonly destroyed: boolean;
  /** When signing was agreed on. */
  readonly signing?: SocketSigning | undefined;
  readonly localAddress?: string | undefined;
  readonly remoteAddress?: string | undefined;
  readonly remoteFamily?: string | undefined;
}

export interface MuxOpenOptions extends MuxConnectionOptions {
  /** Port of the local socket that this connection is for; in ports mode the client's port, where that pair is free. */
  localPort?: number | undefined;
  /** Its address, told to the other side in channel mode. */
  localAddress?: string | undefined;
  /** Who goes first when the network cannot take all. Default 'normal'. */
  priority?: Priority | undefined;
}

export interface MuxConnectOptions extends ConnectionOptions {
  /** Default: offer `ALL` and `CHANNEL`, and require that the server multiplexes. */
  mux?: MuxClientOptions | undefined;
}

interface MuxSessionEvents {
  ready: [];
  connection: [connection: MuxConnection];
  datagrams: [datagrams: MuxDatagrams];
  error: [error: Error];
  close: [];
}

/**
 * Opens a TLS session as a client and multiplexes over it. `listener` is called on 'ready'.
 * @throws ConnectionError ERR_TLS_OPTION for options that cannot work; every other fault is an 'error' event
 */
export function connectMux(options: MuxConnectOptions, listener?: () => void): MuxSession {
  const { mux = {}, subProtocols = [], ...rest } = options;
  const socket = connect({ ...rest, subProtocols: [muxClient(mux), ...subProtocols] });
  const session = new MuxSession(socket);
  if (listener !== undefined) session.once('ready', listener);
  socket.once('secureConnect', () => session[kStart]());
  return session;
}

/**
 * The multiplexed session over a socket whose handshake is complete, or `undefined` when both sides did not agree to
 * multiplex: then it is an ordinary TLS socket. To be called once, in the listener of 'secureConnection' or
 * 'secureConnect': connections that the peer opens wait for it.
 * @param options of the connections that the peer opens
 */
export function muxSession(
  socket: SessionSocket,
  options: MuxConnectionOptions = {},
): MuxSession | undefined {
  if (multiplexing(socket) === undefined) return undefined;
  const session = new MuxSession(socket, options);
  session[kStart]();
  return session;
}

/** For this file: the handshake is complete. */
const kStart = Symbol('start');

/**
 * Many application connections over one socket.
 *
 * Events: 'ready' (connections can be opened), 'connection' (the peer opened one; without a listener it is refused),
 * 'datagrams' (the same, to an application whose name ends in `/udp`, or over DTLS to any), 'error' (the session failed; 'close' follows), 'close'.
 */
export class MuxSession extends EventEmitter<MuxSessionEvents> {
  readonly socket: SessionSocket;
  readonly #options: MuxConnectionOptions;
  #session: MultiplexedSession | undefined;
  readonly #host: ConnectionHost;
  #failure: Error | undefined;
  #connections = 0;
  /** Those of this side, ever. */
  #openings = 0;
  #state: 'opening' | 'open' | 'closing' | 'closed' = 'opening';
  #scheduled = false;
  #flushing = false;
  #paused = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAt: number | undefined;
  /** Steps with something to say since the event loop last came round. */
  #steps = 0;
  /** Bytes sealed since the last flush of the socket. */
  #unflushed = 0;
  /** The same since a record was ended before it was full. */
  #sentSince = 0;
  /** This side's user has destroyed the session, and needs not be told. */
  #unwanted = false;
  /** Connections of ours whose 'connect' comes with the next turn; opening one makes a turn. */
  #opened: Attached[] = [];
  /** Who takes connections of which application. */
  readonly #listeners = new Map<string, (connection: MuxConnection) => void>();

  /** Use `connectMux` or `muxSession`. */
  constructor(socket: SessionSocket, options: MuxConnectionOptions = {}) {
    super();
    this.socket = socket;
    this.#options = options;
    this.#host = this.#makeHost();
    socket.on('error', (error: Error) => {
      this.#failure = error;
    });
    socket.on('outputDrain', () => this.#flush());
    // When the peer has ended the session, no connection is left that could have something to say.
    socket.on('end', () => socket.end());
    socket.on('close', () => this.#closed());
  }

  /** What both sides agreed on; undefined before 'ready'. */
  get agreement(): Agreement | undefined {
    return this.#session?.agreement;
  }

  /** Connections that are not closed. */
  get connections(): number {
    return this.#connections;
  }

  /** Connections can be opened. */
  get ready(): boolean {
    return this.#state === 'open';
  }

  get destroyed(): boolean {
    return this.#state === 'closed' || this.socket.destroyed;
  }

  /**
   * Opens a connection to an application, by its name, its port or both, as `'ssh'`, `22` or `{ application: 'ssh' }`; in
   * channel mode by its name, or to any destination that the other side permits, as `{ host, port }`. Data can be written
   * at once; when the other side refuses, the connection has the error ERR_MUX_REFUSED.
   * @throws ConnectionError ERR_MUX_UNKNOWN_APPLICATION, ERR_MUX_LIMIT, ERR_MUX_SESSION_CLOSED, ERR_TLS_NOT_CONNECTED
   *   before 'ready', ERR_TLS_OPTION on a server in ports mode
   */
  open(target: OpenTarget, options: MuxOpenOptions = {}): MuxConnection {
    const connection = this.#open(target, options);
    if (connection.datagrams !== undefined) {
      connection.abort();
      throw new ConnectionError(
        'ERR_TLS_OPTION',
        `${connection.application.name} is an application of datagrams; use openDatagrams().`,
      );
    }
    const stream = this.#streamOf(connection, options);
    this.#announce(connection, stream);
    return stream;
  }

  /**
   * Opens an application of datagrams: over TLS one whose name ends in `/udp`, over DTLS any. Datagrams can be sent at
   * once.
   * @throws ConnectionError as `open` does
   */
  openDatagrams(
    target: OpenTarget,
    options: Omit<MuxOpenOptions, keyof MuxConnectionOptions> = {},
  ): MuxDatagrams {
    const connection = this.#open(target, options);
    const { datagrams } = connection;
    if (datagrams === undefined) {
      connection.abort();
      throw new ConnectionError(
        'ERR_TLS_OPTION',
        `${connection.application.name} is no application of datagrams: over TLS their names end in /udp. Use open().`,
      );
    }
    const flow = this.#datagramsOf(connection, datagrams);
    this.#announce(connection, flow);
    return flow;
  }

  #announce(connection: MultiplexedConnection, opened: Attached): void {
    if (connection.isOpen) this.#opened.push(opened);
    diagnostics.open(this, opened);
  }

  #open(target: OpenTarget, options: MuxOpenOptions): MultiplexedConnection {
    if (this.#state === 'opening') {
      throw new ConnectionError('ERR_TLS_NOT_CONNECTED', `The session is not open yet; wait for 'ready'.`);
    }
    if (this.#state !== 'open' || this.#session === undefined) {
      throw new ConnectionError('ERR_MUX_SESSION_CLOSED', 'The session is closed; open a new one.');
    }
    const connection = this.#session.open(target, options);
    // Of a thousand opened in one step, the records that are full; the other side begins meanwhile.
    if (++this.#openings % TOGETHER === 0) this.socket.flush();
    return connection;
  }

  /**
   * Takes connections that the other side opens to this application, in the place of 'connection'.
   * @returns a function that stops it
   * @throws ConnectionError ERR_TLS_OPTION when somebody listens for it already
   */
  listen(application: string, listener: (connection: MuxConnection) => void): () => void {
    if (this.#listeners.has(application)) {
      throw new ConnectionError('ERR_TLS_OPTION', `Somebody listens for ${application} already.`);
    }
    this.#listeners.set(application, listener);
    return () => {
      if (this.#listeners.get(application) === listener) this.#listeners.delete(application);
    };
  }

  /** Numbers of this session; undefined before 'ready'. */
  stats(): SessionStats | undefined {
    return this.#session?.stats();
  }

  /** No new connections; when those that are open have closed, the session is ended. `callback` is called on 'close'. */
  close(callback?: () => void): this {
    if (callback !== undefined) {
      if (this.#state === 'closed') process.nextTick(callback);
      else this.once('close', callback);
    }
    if (this.#state === 'opening') this.socket.destroy();
    else if (this.#state === 'open') {
      this.#state = 'closing';
      this.#endWhenDone();
    }
    return this;
  }

  /**
   * Ends the session at once, and its connections with it. Those have the error ERR_MUX_SESSION_CLOSED when an error
   * is given; at the other side always.
   */
  destroy(error?: Error): this {
    if (error === undefined) this.#unwanted = true;
    this.socket.destroy(error);
    return this;
  }

  ref(): this {
    this.socket.ref();
    return this;
  }

  unref(): this {
    this.socket.unref();
    return this;
  }

  [kStart](): void {
    const session = multiplexing(this.socket)?.session;
    if (session === undefined) {
      this.destroy(
        new ConnectionError(
          'ERR_TLS_OPTION',
          `The server does not multiplex; use connect() for ordinary TLS, or the policy 'require'.`,
        ),
      );
      return;
    }
    this.#session = session;
    this.#state = 'open';
    // Application data has no meaning beside the frames; whoever sends it shall not stop the session by it.
    this.socket.resume();
    session.onWake(() => this.#schedule());
    diagnostics.session(this);
    // Keep-alive begins with the session.
    this.#watch(session);
    this.emit('ready');
  }

  // ── the session's turn ─────────────────────────────────────────────────────────────────────────

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(MuxSession.#turn, this);
  }

  /** Everything that one read of the network, or one step of the application, has brought: taken and sent at once. */
  static #turn(self: MuxSession): void {
    self.#scheduled = false;
    const session = self.#session;
    if (session === undefined) return;
    let finished = false;
    try {
      self.#emitConnects();
      let handled = 0;
      for (let event = session.nextEvent(); event !== undefined; event = session.nextEvent()) {
        self.#handle(event);
        if (++handled % TOGETHER === 0) self.#flush();
      }
      finished = true;
    } finally {
      // An application's listener may throw; the others' events are not lost by that.
      if (!finished) self.#schedule();
    }
    // Credit that came may let somebody go on.
    self.#send();
    // The event loop may read 32 times before it comes to what was set for its end, and the other side would wait for
    // credit and answers meanwhile. Of much data, the rest of a record waits for more.
    if (session.begun && self.#sentSince < RECORD_CONTENT_MAX && self.#steps++ % STEPS === 0)
      self.#handOver();
    self.#flushSoon();
    self.#watch(session);
    self.#endWhenDone();
  }

  #emitConnects(): void {
    // A listener may throw, and may open more; what is left comes with the next turn.
    for (let left = this.#opened.length; left > 0; left--) (this.#opened.shift() as Attached)[kConfirmed]();
  }

  #handle(event: SessionEvent): void {
    const stream = event.connection.attachment as Attached | undefined;
    switch (event.type) {
      case 'connection':
        this.#accept(event.connection);
        break;
      case 'confirmed':
        stream?.[kConfirmed]();
        break;
      case 'readable':
        stream?.[kReceive]();
        break;
      case 'drained':
        stream?.[kDrained]();
        break;
      case 'failed':
        if (stream !== undefined) diagnostics.failed(this, stream, event.error);
        stream?.destroy(this.#unwanted ? undefined : event.error);
        break;
    }
  }

  #accept(connection: MultiplexedConnection): void {
    const { datagrams } = connection;
    if (datagrams !== undefined) {
      this.#acceptDatagrams(connection, datagrams);
      return;
    }
    const listener = connection.destination === undefined && this.#listeners.get(connection.application.name);
    if (this.#state !== 'open' || (!listener && this.listenerCount('connection') === 0)) {
      connection.refuse(this.#state === 'open' ? 'nobody listens for it' : 'the session is closing');
      return;
    }
    const stream = this.#streamOf(connection, this.#options);
    diagnostics.accept(this, stream);
    try {
      if (listener) listener(stream);
      else this.emit('connection', stream);
    } finally {
      stream[kAnnounced]();
    }
  }

  #acceptDatagrams(connection: MultiplexedConnection, traits: DatagramTraits): void {
    if (this.#state !== 'open' || this.listenerCount('datagrams') === 0) {
      connection.refuse(this.#state === 'open' ? 'nobody listens for it' : 'the session is closing');
      return;
    }
    const flow = this.#datagramsOf(connection, traits);
    diagnostics.accept(this, flow);
    try {
      this.emit('datagrams', flow);
    } finally {
      flow[kAnnounced]();
    }
  }

  /**
   * Once for all that this turn of the event loop reads and writes. A relay that read 64 KiB has filled four records
   * and begun a fifth; what it reads next goes on in that one, instead of each read paying for a record of 30 bytes.
   */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(MuxSession.#flushNow, this);
  }

  static #flushNow(self: MuxSession): void {
    self.#flushing = false;
    self.#steps = 0;
    self.#flush();
  }

  #flush(): void {
    if (this.#state === 'closed') return;
    this.#send();
    this.#handOver();
  }

  #handOver(): void {
    if (this.#state === 'closed') return;
    this.#unflushed = 0;
    this.#sentSince = 0;
    this.#session?.flush();
    this.socket.flush();
  }

  /** Gives each connection in turn a slice, until all is sent or the network takes no more. */
  #send(): void {
    const session = this.#session;
    if (session === undefined) return;
    while (!this.socket.outputBlocked) {
      const sent = session.send(BATCH, preciseNow());
      this.#unflushed += sent;
      this.#sentSince += sent;
      if (this.#unflushed >= BATCH) {
        // The records that are full; the network tells whether it takes more.
        this.#unflushed = 0;
        this.socket.flush();
      }
      if (sent < BATCH) break;
    }
  }

  /** Stops and starts reading as the session's buffers want it, and keeps the time of their pauses. */
  #watch(session: MultiplexedSession): void {
    if (session.paused !== this.#paused) {
      this.#paused = session.paused;
      if (this.#paused) this.socket.pauseReading();
      else this.socket.resumeReading();
    }
    const at = this.#state === 'closed' ? undefined : session.nextTimeout(preciseNow());
    if (at === this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    if (at === undefined) return;
    this.#timer = setTimeout(() => {
      this.#timerAt = undefined;
      session.handleTimeout(preciseNow());
      // It may have given the session up.
      this.socket.attend();
      this.#schedule();
    }, at - preciseNow());
    this.#timer.unref();
  }

  // ── beginning and end ──────────────────────────────────────────────────────────────────────────

  /** One object that all connections share. */
  #makeHost(): ConnectionHost {
    const { socket } = this;
    return {
      send: () => this.#send(),
      closed: (connection) => {
        this.#connections--;
        diagnostics.close(this, connection);
        this.#endWhenDone();
      },
      get signing() {
        return socket.signing;
      },
      get localAddress() {
        return socket.localAddress;
      },
      get remoteAddress() {
        return socket.remoteAddress;
      },
      get remoteFamily() {
        return socket.remoteFamily;
      },
    };
  }

  #streamOf(connection: MultiplexedConnection, options: MuxConnectionOptions): MuxConnection {
    this.#connections++;
    return new MuxConnection(connection, this.#host, options);
  }

  #datagramsOf(connection: MultiplexedConnection, traits: DatagramTraits): MuxDatagrams {
    this.#connections++;
    return new MuxDatagrams(connection, traits, this.#host);
  }

  #endWhenDone(): void {
    if (this.#state !== 'closing' || this.#connections > 0) return;
    // Those that were closed here before the peer's end came would lose what it has not read.
    if (this.#session !== undefined && this.#session.connections > 0) return;
    this.#flush();
    this.socket.end();
  }

  #closed(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    // The engine has told the session already; what it has to say of its connections comes first.
    MuxSession.#turn(this);
    if (this.#failure !== undefined) this.emit('error', this.#failure);
    this.emit('close');
  }
}

/** What an event of the session names. */
type Attached = MuxConnection | MuxDatagrams;

/** What is sealed before it goes to the network. */
const BATCH = 131_072;
/** Of so many steps in one round of the event loop, one hands over what is little: with a record for each, all would pay. */
const STEPS = 4;
/** Connections that one record speaks for, at most, where a step has to do with more: neither side waits for the other's thousand. */
const TOGETHER = 128;

function multiplexing(socket: SessionSocket): Multiplexing | undefined {
  const protocol = socket.subProtocol('mux');
  return protocol instanceof Multiplexing ? protocol : undefined;
}
