import { createSocket as createUdpSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { lookup as systemLookup } from 'node:dns';
import { EventEmitter } from 'node:events';
import { isIP, isIPv6 } from 'node:net';
import { DtlsConnection, type ServerSeed } from '../../connection/dtls-connection.ts';
import { COOKIE_SECRET_LENGTH, DtlsGreeter, isClientHello } from '../../connection/dtls-greeter.ts';
import type { DatagramEngine } from '../../connection/engine.ts';
import type { SubProtocol, SubProtocolFactory } from '../../connection/sub-protocol.ts';
import { randomBytes } from '../../crypto/node/random.ts';
import { ConnectionError } from '../../errors/errors.ts';
import type { ServerConfig } from '../../handshake/config.ts';
import { NameMap } from '../name-map.ts';
import { optionError } from '../options.ts';
import {
  contextOf,
  createSecureContext,
  SecureContext,
  type SecureContextOptions,
} from '../secure-context.ts';
import { ownerOf } from './cluster.ts';
import { connectionIdOf, MAX_WORKERS, makeConnectionId, nameOfId } from './connection-id.ts';
import { datagramServerConfig, prepareClient, remember } from './engines.ts';
import { type DtlsConnectOptions, type DtlsServerOptions, factoriesOf, type PortOptions } from './options.ts';
import { DtlsSocket, kBegin, kMove, kReceive, type Remote, type SocketHost } from './socket.ts';

/** Handshakes that a server has under way, each of an address that was proven; further first messages are dropped. */
export const MAX_HALF_OPEN = 1_024;

/** Sessions on one port: about 0.7 GiB, at the 10 KB that each idle one adds (bench dtls-memory). */
export const MAX_SESSIONS = 65_536;

/** Milliseconds without a word from its peer after which a server forgets a session: UDP tells nobody that it is gone. */
export const IDLE_TIMEOUT = 3_600_000;

/** Bytes that wait in the port's socket to be sent; further datagrams are dropped, as a full network does. */
const SEND_QUEUE_MAX = 4_194_304;

/** Bytes that the kernel may hold for us, as far as the system allows: bursts of many peers come faster than turns. */
const RECEIVE_BUFFER = 4_194_304;

interface EndpointEvents {
  listening: [];
  secureConnection: [socket: DtlsSocket];
  tlsClientError: [error: Error, socket: DtlsSocket];
  keylog: [line: Buffer, socket: DtlsSocket];
  error: [error: Error];
  close: [];
}

/** What a port has seen. Datagrams that came and were thrown away say why. */
export interface EndpointStats {
  /** Sessions whose handshake is complete, and those whose is not. */
  readonly sessions: number;
  readonly halfOpen: number;
  /** Answers to first messages, without keeping anything: cookies, and alerts. */
  readonly replies: number;
  /** From addresses that have no session, and no first message of one. */
  readonly strays: number;
  /** First messages with a valid cookie for which there was no room. */
  readonly refused: number;
}

/** A peer's address, and who is there. */
interface Peer {
  readonly key: string;
  /** The session, or the one that begins. */
  socket: DtlsSocket;
  /** The peer begins anew from the address of a session; it takes its place when its handshake is complete. */
  candidate: DtlsSocket | undefined;
  /** Something came since the last look. */
  active: boolean;
}

/**
 * One UDP port and the DTLS sessions on it, a session for each peer's address. What `createServer` and `createSocket` make.
 *
 * Before a peer has proven that it receives at its address, by sending back a cookie, nothing is kept of it, and it gets
 * less than it has sent (RFC 6347 §4.2.1, RFC 9147 §5.1).
 *
 * Events: 'listening', 'secureConnection' (socket), 'tlsClientError' (error, socket), 'keylog' (line, socket), 'error' (the
 * port has failed; 'close' follows), 'close'.
 */
export class DtlsEndpoint extends EventEmitter<EndpointEvents> {
  readonly #options: PortOptions;
  readonly #serverOptions: DtlsServerOptions | undefined;
  readonly #contexts = new NameMap<SecureContext>();
  #serverConfig: ServerConfig | undefined;
  #factories: readonly SubProtocolFactory[] = [];
  #greeter: DtlsGreeter | undefined;
  readonly #cookieSecret: Uint8Array;
  #udp: Socket | undefined;
  readonly #peers = new Map<string, Peer>();
  readonly #host: SocketHost;
  /** Sessions by the connection ID that their peers put in front of their records. */
  readonly #byId = new Map<string, DtlsSocket>();
  #halfOpen = 0;
  #sweep: NodeJS.Timeout | undefined;
  #state: 'new' | 'opening' | 'open' | 'closed' = 'new';
  #closing = false;
  readonly #counts = { replies: 0, strays: 0, refused: 0 };

  /**
   * @param server takes sessions that peers begin; without it only `connect` makes sessions
   * @throws ConnectionError ERR_TLS_OPTION
   */
  constructor(options: PortOptions, server?: DtlsServerOptions) {
    super();
    this.#options = options;
    this.#serverOptions = server;
    this.#host = this.#makeHost();
    this.#cookieSecret = server?.cookieSecret ?? randomBytes(COOKIE_SECRET_LENGTH);
    if (server === undefined) return;
    if (this.#cookieSecret.length < COOKIE_SECRET_LENGTH) {
      throw optionError('cookieSecret', `it must have ${COOKIE_SECRET_LENGTH} bytes or more`);
    }
    const { workers = 1, workerId = 0 } = server.cluster ?? {};
    if (!(workers >= 1 && workers <= MAX_WORKERS && workerId >= 0 && workerId < workers)) {
      throw optionError('cluster', `workerId must be below workers, and workers at most ${MAX_WORKERS}`);
    }
    this.#useContext(contextOf(server), server);
  }

  // ── the port ───────────────────────────────────────────────────────────────────────────────────

  /** Opens the port; 'listening' when that is done. Port 0 picks a free one. */
  listen(port = 0, host?: string | (() => void), callback?: () => void): this {
    const listener = typeof host === 'function' ? host : callback;
    if (listener !== undefined) this.once('listening', listener);
    if (this.#state !== 'new') throw optionError('port', 'this endpoint has a port already');
    const name = typeof host === 'string' ? host : undefined;
    if (name === undefined || isIP(name) !== 0) this.#open(port, name);
    else {
      this.#state = 'opening';
      resolveHost(name, (error, address) => {
        if (error === null) this.#open(port, address);
        else this.#failed(error);
      });
    }
    return this;
  }

  /** The port's address; `undefined` until 'listening'. */
  address(): { address: string; port: number; family: string } | undefined {
    return this.#state === 'open' ? this.#udp?.address() : undefined;
  }

  get stats(): EndpointStats {
    return { sessions: this.#peers.size - this.#halfOpen, halfOpen: this.#halfOpen, ...this.#counts };
  }

  /** Closes every session (close_notify) and the port. `callback` is called on 'close'. */
  close(callback?: () => void): this {
    if (callback !== undefined) {
      if (this.#state === 'closed') process.nextTick(callback);
      else this.once('close', callback);
    }
    if (this.#closing) return this;
    this.#closing = true;
    for (const { socket, candidate } of [...this.#peers.values()]) {
      candidate?.close();
      socket.close();
    }
    if (this.#peers.size === 0) this.#closeSoon();
    return this;
  }

  /** No new sessions that peers begin; those that are there go on. */
  stopAccepting(): this {
    this.#greeter = undefined;
    return this;
  }

  ref(): this {
    this.#udp?.ref();
    return this;
  }

  unref(): this {
    this.#udp?.unref();
    return this;
  }

  /**
   * A datagram that another process has read, and that is for a session here.
   * @see DtlsServerOptions.cluster
   */
  inject(datagram: Uint8Array, remote: Remote): void {
    const id = connectionIdOf(datagram);
    const known = id === undefined ? undefined : this.#byId.get(nameOfId(id));
    if (known !== undefined) {
      const peer = this.#peers.get(keyOf(known.remote));
      if (peer !== undefined) peer.active = true;
      known[kReceive](datagram, remote);
      return;
    }
    const key = keyOf(remote);
    const peer = this.#peers.get(key);
    if (peer === undefined) {
      this.#newPeer(datagram, remote, key);
      return;
    }
    peer.active = true;
    // A peer that has lost its session begins anew; only a cookie tells it from whoever writes its address (RFC 6347 §4.2.8).
    if (peer.socket.wasSecured && peer.candidate === undefined && isClientHello(datagram)) {
      this.#newPeer(datagram, remote, key);
      return;
    }
    // Which of the two it is for is told by whose keys open it; the other discards it.
    peer.candidate?.[kReceive](datagram, remote);
    peer.socket[kReceive](datagram, remote);
  }

  // ── as a server ────────────────────────────────────────────────────────────────────────────────

  /**
   * A context for clients that ask for `hostname` ('*' stands for one label or a part of it). The last match wins.
   * @throws ConnectionError ERR_TLS_OPTION
   */
  addContext(hostname: string, context: SecureContext | SecureContextOptions): void {
    if (!hostname) throw optionError('hostname', 'addContext needs the name that clients ask for');
    this.#contexts.add(hostname, context instanceof SecureContext ? context : createSecureContext(context));
  }

  /** Replaces certificate, key and trust for sessions to come. */
  setSecureContext(options: SecureContextOptions): void {
    if (this.#serverOptions === undefined) throw optionError('secureContext', 'this endpoint is no server');
    this.#useContext(createSecureContext(options), this.#serverOptions);
  }

  // ── as a client ────────────────────────────────────────────────────────────────────────────────

  /**
   * Begins a session with a peer, over this port. `listener` is called on 'secureConnect'.
   * @throws ConnectionError ERR_TLS_OPTION for options that cannot work; every other fault is an 'error' event
   */
  connect(options: DtlsConnectOptions, listener?: () => void): DtlsSocket {
    const { host = 'localhost', port } = options;
    if (port === undefined) throw optionError('port', 'where the peer listens is missing');
    const made: SubProtocol[] = [];
    const remote = { address: host, port };
    const socket = new DtlsSocket(this.#host, false, remote, made, options.session);
    if (listener !== undefined) socket.once('secureConnect', listener);
    const wantsKeyLog = (): boolean => socket.listenerCount('keylog') + this.listenerCount('keylog') > 0;
    const make = prepareClient({ ...options, host }, made, wantsKeyLog);
    resolveHost(host, (error, address) => {
      if (socket.destroyed) return;
      if (error !== null) {
        socket.destroy(error);
        return;
      }
      this.#whenOpen(address, socket, () => this.#begin(socket, { address, port }, make));
    });
    return socket;
  }

  #begin(socket: DtlsSocket, remote: Remote, make: () => DatagramEngine): void {
    const key = keyOf(remote);
    if (this.#peers.has(key)) {
      const where = `${remote.address}, port ${remote.port}`;
      socket.destroy(optionError('port', `there is a session with ${where} on this port already`));
      return;
    }
    this.#peers.set(key, { key, socket, candidate: undefined, active: true });
    this.#halfOpen++;
    socket[kMove](remote);
    try {
      socket[kBegin](make());
    } catch (error) {
      socket.destroy(error as Error);
    }
  }

  /** Opens the port for a client that has not been given one. */
  #whenOpen(address: string, socket: DtlsSocket, then: () => void): void {
    if (this.#closing) {
      socket.destroy(new ConnectionError('ERR_TLS_CLOSED', 'The endpoint is closed'));
      return;
    }
    if (this.#state === 'open') {
      then();
      return;
    }
    this.once('listening', () => {
      if (!socket.destroyed) then();
    });
    if (this.#state === 'new') this.listen(0, isIPv6(address) ? '::' : '0.0.0.0');
  }

  // ── the port itself ────────────────────────────────────────────────────────────────────────────

  #open(port: number, address: string | undefined): void {
    this.#state = 'opening';
    const udp = createUdpSocket({
      type: address !== undefined && isIPv6(address) ? 'udp6' : 'udp4',
      recvBufferSize: RECEIVE_BUFFER,
      // Sessions have addresses, not names: what is one already needs no look-up, and no turn of the event loop.
      lookup: (host, options, callback) => {
        const family = isIP(host);
        if (family === 0) systemLookup(host, options, callback);
        else if (this.#state === 'open') callback(null, host, family);
        else process.nextTick(callback, null, host, family);
      },
    });
    this.#udp = udp;
    udp.on('message', (datagram, remote) => this.#receive(datagram, remote));
    udp.on('error', (error) => this.#failed(error));
    udp.bind(
      { port, exclusive: this.#options.exclusive === true, ...(address !== undefined && { address }) },
      () => {
        this.#state = 'open';
        this.#startSweep();
        this.emit('listening');
      },
    );
  }

  #failed(error: NodeJS.ErrnoException): void {
    // What the network says of a datagram (nobody there, no way to it) can be said by anybody: time-outs decide.
    if (this.#state === 'open') return;
    for (const { socket } of [...this.#peers.values()]) socket.destroy(error);
    this.#closeUdp();
    this.emit('error', error);
  }

  #closeUdp(): void {
    if (this.#state === 'closed') return;
    const wasNew = this.#state === 'new';
    this.#state = 'closed';
    clearInterval(this.#sweep);
    if (wasNew) process.nextTick(() => this.emit('close'));
    else this.#udp?.close(() => this.emit('close'));
  }

  #makeHost(): SocketHost {
    const local = (): Remote | undefined => this.address();
    return {
      moved: (socket, to) => this.#moved(socket, to),
      send: (datagram, { address, port }) => this.#send(datagram, address, port),
      secured: (socket) => this.#secured(socket),
      failed: (error, socket) => this.#handshakeFailed(error, socket),
      keylog: (line, socket) => void this.emit('keylog', line, socket),
      closed: (socket) => this.#forget(socket),
      ref: () => void this.ref(),
      unref: () => void this.unref(),
      get local() {
        return local();
      },
    };
  }

  #send(datagram: Uint8Array, address: string, port: number): boolean {
    const udp = this.#udp;
    if (udp === undefined || this.#state !== 'open' || udp.getSendQueueSize() > SEND_QUEUE_MAX) return false;
    // Without a callback, which would take a turn of its own for every datagram; nobody waits for one.
    udp.send(datagram, port, address);
    return true;
  }

  // ── what comes ─────────────────────────────────────────────────────────────────────────────────

  #receive(datagram: Buffer, remote: RemoteInfo): void {
    const { cluster } = this.#serverOptions ?? {};
    if (cluster !== undefined) {
      const owner = ownerOf(datagram, remote, cluster.workers);
      if (owner !== cluster.workerId) {
        cluster.forward(owner, datagram, { address: remote.address, port: remote.port });
        return;
      }
    }
    this.inject(datagram, remote);
  }

  #newPeer(datagram: Uint8Array, remote: Remote, key: string): void {
    const greeting = this.#closing ? undefined : this.#greeter?.greet(datagram, Buffer.from(key), Date.now());
    if (greeting?.kind === 'reply') {
      this.#counts.replies++;
      this.#send(greeting.datagram, remote.address, remote.port);
    } else if (greeting?.kind === 'accept') this.#accept(datagram, remote, key, greeting.seed);
    else this.#counts.strays++;
  }

  #accept(datagram: Uint8Array, { address, port }: Remote, key: string, seed: ServerSeed): void {
    const { maxHalfOpen = MAX_HALF_OPEN, maxSessions = MAX_SESSIONS } = this.#serverOptions ?? {};
    const peer = this.#peers.get(key);
    const isFull = this.#halfOpen >= maxHalfOpen || (peer === undefined && this.#peers.size >= maxSessions);
    if (isFull || peer?.candidate !== undefined) {
      this.#counts.refused++;
      return;
    }
    const made: SubProtocol[] = [];
    const socket = new DtlsSocket(this.#host, true, { address, port }, made);
    this.#halfOpen++;
    if (peer === undefined) this.#peers.set(key, { key, socket, candidate: undefined, active: true });
    else peer.candidate = socket;
    socket[kBegin](this.#serve(socket, key, remember(this.#factories, made), seed));
    socket[kReceive](datagram, { address, port });
  }

  #serve(
    socket: DtlsSocket,
    key: string,
    factories: readonly SubProtocolFactory[],
    seed: ServerSeed,
  ): DatagramEngine {
    const { module } = this.#serverOptions ?? {};
    const now = Date.now();
    if (module === undefined) return DtlsConnection.server(this.#configFor(socket), now, factories, seed);
    const config = this.#serverConfig as ServerConfig;
    const judges = config.certificateAuthorities.length > 0;
    // What the cookie stands for is found again in the module, by the same secret.
    const proof = { address: Buffer.from(key), secret: this.#cookieSecret };
    return module.datagramServer(config, now, factories, judges, proof);
  }

  /** With a connection ID of its own. */
  #configFor(socket: DtlsSocket): ServerConfig {
    const config = this.#serverConfig as ServerConfig;
    const { connectionId = true, cluster } = this.#serverOptions as DtlsServerOptions;
    if (!connectionId || config.datagrams === undefined) return config;
    const id = makeConnectionId(cluster?.workerId ?? 0);
    this.#byId.set(nameOfId(id), socket);
    socket.once('close', () => this.#byId.delete(nameOfId(id)));
    return { ...config, datagrams: { ...config.datagrams, connectionId: id } };
  }

  #moved(socket: DtlsSocket, to: Remote): boolean {
    const from = keyOf(socket.remote);
    const key = keyOf(to);
    const peer = this.#peers.get(from);
    // Who is there already stays: two sessions cannot be told apart by one address.
    if (peer?.socket !== socket || this.#peers.has(key)) return false;
    this.#peers.delete(from);
    this.#peers.set(key, { ...peer, key });
    return true;
  }

  #secured(socket: DtlsSocket): void {
    this.#halfOpen--;
    const peer = this.#peers.get(keyOf(socket.remote));
    if (peer?.candidate === socket) {
      const { socket: old } = peer;
      peer.socket = socket;
      peer.candidate = undefined;
      // It has begun anew, so it has nothing of the old session any more (RFC 6347 §4.2.8).
      old.destroy();
    }
    if (socket.isServer) this.emit('secureConnection', socket);
  }

  #handshakeFailed(error: Error, socket: DtlsSocket): boolean {
    if (!socket.isServer) return false;
    this.emit('tlsClientError', error, socket);
    return true;
  }

  #forget(socket: DtlsSocket): void {
    const key = keyOf(socket.remote);
    const peer = this.#peers.get(key);
    if (peer === undefined) return;
    if (peer.candidate === socket) {
      peer.candidate = undefined;
      this.#halfOpen--;
      return;
    }
    if (peer.socket !== socket) return;
    if (!socket.wasSecured) this.#halfOpen--;
    if (peer.candidate === undefined) this.#peers.delete(key);
    else {
      peer.socket = peer.candidate;
      peer.candidate = undefined;
    }
    if (this.#closing && this.#peers.size === 0) this.#closeSoon();
    else if (this.#options.isSingle === true) this.close();
  }

  /** Goodbyes wait in the socket: they leave before it closes. */
  #closeSoon(): void {
    setImmediate(() => this.#closeUdp());
  }

  /** Sessions of peers that are gone: nothing tells of it. */
  #startSweep(): void {
    const { idleTimeout = IDLE_TIMEOUT } = this.#serverOptions ?? { idleTimeout: 0 };
    if (idleTimeout === 0) return;
    this.#sweep = setInterval(() => {
      for (const peer of [...this.#peers.values()]) {
        if (peer.active) peer.active = false;
        else if (peer.socket.isServer) peer.socket.close();
      }
    }, idleTimeout).unref();
  }

  #useContext(context: SecureContext, options: DtlsServerOptions): void {
    const wantsKeyLog = (): boolean => this.listenerCount('keylog') > 0;
    const contextFor = (name: string): SecureContext | undefined => this.#contexts.find(name);
    this.#factories = factoriesOf(options);
    this.#serverConfig = datagramServerConfig(context, options, contextFor, wantsKeyLog);
    const greeting = options.module?.greeting(this.#serverConfig) ?? this.#serverConfig;
    this.#greeter = new DtlsGreeter(greeting, this.#cookieSecret);
  }
}

function keyOf({ address, port }: Remote): string {
  return `${address}|${port}`;
}

function resolveHost(host: string, then: (error: Error | null, address: string) => void): void {
  if (isIP(host) !== 0) process.nextTick(then, null, host);
  else systemLookup(host, (error, address) => then(error, address));
}
