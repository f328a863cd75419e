import { Server as NetServer, type ServerOpts, type Socket } from 'node:net';
import type { ServerConfig } from '../handshake/config.ts';
import { TicketKeys } from '../handshake/tickets.ts';
import { type ServerSettings, serverConfig } from './engine-config.ts';
import { NameMap } from './name-map.ts';
import { optionError } from './options.ts';
import {
  type ContextOptions,
  contextOf,
  createSecureContext,
  SecureContext,
  type SecureContextOptions,
} from './secure-context.ts';
import { type ServerOwner, type StreamOptions, TLSSocket, type TLSSocketOptions } from './tls-socket.ts';

/** Options of `createServer`: those of node:tls that exist here, of net.Server, and our own (docs/node-api.md). */
export interface ServerOptions
  extends ContextOptions,
    ServerSettings,
    Omit<StreamOptions, 'signal'>,
    Omit<ServerOpts, 'allowHalfOpen' | 'highWaterMark'> {}

export type SecureConnectionListener = (socket: TLSSocket) => void;

/**
 * @param listener for 'secureConnection'
 * @throws ConnectionError ERR_TLS_OPTION for options that cannot work
 */
export function createServer(listener?: SecureConnectionListener): Server;
export function createServer(options: ServerOptions, listener?: SecureConnectionListener): Server;
export function createServer(
  options: ServerOptions | SecureConnectionListener = {},
  listener?: SecureConnectionListener,
): Server {
  return typeof options === 'function' ? new Server({}, options) : new Server(options, listener);
}

/**
 * A TLS server with the events and methods of node:tls's: 'secureConnection' (socket), 'tlsClientError' (error,
 * socket), 'keylog' (line, socket), 'earlyData' (data, socket; before 'secureConnection'), and those of net.Server.
 */
export class Server extends NetServer {
  #context: SecureContext;
  readonly #settings: ServerOptions;
  readonly #contexts = new NameMap<SecureContext>();
  readonly #owner: Owner;
  #socketOptions: TLSSocketOptions;

  constructor(options: ServerOptions = {}, listener?: SecureConnectionListener) {
    // Half-close is the session's affair. Records are whole, so Nagle's algorithm would only delay them.
    super({ ...options, allowHalfOpen: true, noDelay: options.noDelay !== false, pauseOnConnect: false });
    this.#settings = options;
    this.#context = contextOf(options);
    this.#owner = new Owner(this, options.pauseOnConnect === true, this.#makeConfig());
    this.#socketOptions = socketOptions(options);
    this.on('connection', this.#accept);
    if (listener !== undefined) this.on('secureConnection', listener);
  }

  /**
   * A context for clients that ask for `hostname` ('*' stands for one label or a part of it). The last match wins.
   * @throws ConnectionError ERR_TLS_OPTION
   */
  addContext(hostname: string, context: SecureContext | SecureContextOptions): void {
    if (!hostname) throw optionError('hostname', 'addContext needs the name that clients ask for');
    this.#contexts.add(hostname, context instanceof SecureContext ? context : createSecureContext(context));
  }

  /** Replaces certificate, key and trust for connections to come. Ticket keys stay unless given. */
  setSecureContext(options: SecureContextOptions): void {
    const { ticketKeys, earlyDataGuard } = this.#context;
    this.#context = createSecureContext(options);
    if (options.ticketKeys === undefined) {
      this.#context.ticketKeys = ticketKeys;
      this.#context.earlyDataGuard = earlyDataGuard;
    }
    this.#owner.config = this.#makeConfig();
  }

  /** The keys that seal session tickets: 48 bytes, or several times as many. */
  getTicketKeys(): Buffer {
    return Buffer.from(this.#context.ticketKeys.bytes);
  }

  /**
   * @param keys 48 bytes, or to rotate them up to 16 such keys, the newest first
   * @throws ConnectionError ERR_TLS_OPTION for another length
   */
  setTicketKeys(keys: Uint8Array): void {
    this.#context.ticketKeys = new TicketKeys(keys);
    this.#owner.config = this.#makeConfig();
  }

  #makeConfig(): ServerConfig {
    return serverConfig(
      this.#context,
      this.#settings,
      (name) => this.#contexts.find(name),
      () => this.listenerCount('keylog') > 0,
    );
  }

  #accept(transport: Socket): void {
    new TLSSocket(transport, this.#socketOptions, this.#owner);
  }
}

/** What the sockets of a server need of it; an object of its own, so that the server's face stays node:tls's. */
class Owner implements ServerOwner {
  config: ServerConfig;
  readonly #server: Server;
  readonly #pauseOnConnect: boolean;

  constructor(server: Server, pauseOnConnect: boolean, config: ServerConfig) {
    this.#server = server;
    this.#pauseOnConnect = pauseOnConnect;
    this.config = config;
  }

  secured(socket: TLSSocket): void {
    if (this.#pauseOnConnect) socket.pause();
    this.#server.emit('secureConnection', socket);
  }

  failed(error: Error, socket: TLSSocket): void {
    this.#server.emit('tlsClientError', error, socket);
  }

  earlyData(data: Buffer, socket: TLSSocket): void {
    this.#server.emit('earlyData', data, socket);
  }

  keylog(line: Buffer, socket: TLSSocket): void {
    this.#server.emit('keylog', line, socket);
  }
}

function socketOptions(options: ServerOptions): TLSSocketOptions {
  const { requestCert, allowHalfOpen, highWaterMark, allowTruncation, subProtocols, module } = options;
  return { isServer: true, requestCert, allowHalfOpen, highWaterMark, allowTruncation, subProtocols, module };
}
