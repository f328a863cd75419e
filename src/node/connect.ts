import type { NetConnectOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ClientSettings } from './engine-config.ts';
import type { ContextOptions } from './secure-context.ts';
import { type StreamOptions, TLSSocket } from './tls-socket.ts';

/** Options of `connect`: those of node:tls that exist here, of net.connect, and our own (docs/node-api.md). */
export interface ConnectionOptions extends ContextOptions, ClientSettings, StreamOptions {
  port?: number | undefined;
  /** Default 'localhost'. */
  host?: string | undefined;
  /** A local socket; `host` and `port` are not used to connect then. */
  path?: string | undefined;
  /** A transport that exists already, any Duplex; connected or connecting. */
  socket?: Duplex | undefined;
  /** A session from the event 'session' or from `getSession()`, to resume. */
  session?: Uint8Array | undefined;
  /** Milliseconds without traffic until 'timeout'. */
  timeout?: number | undefined;
  /** Default true, unlike node:tls: records are whole already, and waiting for the peer's ACK delays them. */
  noDelay?: boolean | undefined;
  keepAlive?: boolean | undefined;
  keepAliveInitialDelay?: number | undefined;
  lookup?: Extract<NetConnectOpts, { port: number }>['lookup'];
  family?: number | undefined;
  hints?: number | undefined;
  localAddress?: string | undefined;
  localPort?: number | undefined;
  autoSelectFamily?: boolean | undefined;
  autoSelectFamilyAttemptTimeout?: number | undefined;
}

type Listener = () => void;

/**
 * Opens a TLS session as a client. `listener` is called on 'secureConnect'.
 * @throws ConnectionError ERR_TLS_OPTION for options that cannot work; every other fault is an 'error' event
 */
export function connect(options: ConnectionOptions, listener?: Listener): TLSSocket;
export function connect(port: number, options?: ConnectionOptions, listener?: Listener): TLSSocket;
export function connect(
  port: number,
  host: string,
  options?: ConnectionOptions,
  listener?: Listener,
): TLSSocket;
export function connect(path: string, options?: ConnectionOptions, listener?: Listener): TLSSocket;
export function connect(...args: unknown[]): TLSSocket {
  const { options, listener } = readArguments(args);
  const socket = new TLSSocket(options.socket, options);
  if (listener !== undefined) socket.once('secureConnect', listener);
  if (options.socket === undefined) {
    if (options.timeout) socket.setTimeout(options.timeout);
    socket.connect(netOptions(options));
  }
  return socket;
}

/** net.connect's forms: options, or port with or without host, or path; then TLS options, which win; then a listener. */
function readArguments(args: readonly unknown[]): {
  options: ConnectionOptions;
  listener: Listener | undefined;
} {
  const options: ConnectionOptions = {};
  let listener: Listener | undefined;
  for (const [index, arg] of args.entries()) {
    if (typeof arg === 'function') listener = arg as Listener;
    else if (typeof arg === 'object' && arg !== null) Object.assign(options, arg);
    else if (index === 0 && isPort(arg)) options.port = Number(arg);
    else if (index === 0 && typeof arg === 'string') options.path = arg;
    else if (index === 1 && typeof arg === 'string') options.host = arg;
  }
  return { options, listener };
}

function isPort(value: unknown): boolean {
  return typeof value === 'number' || (typeof value === 'string' && value !== '' && Number(value) >= 0);
}

const NET_OPTIONS = [
  'port',
  'host',
  'path',
  'lookup',
  'family',
  'hints',
  'localAddress',
  'localPort',
  'keepAlive',
  'keepAliveInitialDelay',
  'autoSelectFamily',
  'autoSelectFamilyAttemptTimeout',
] as const satisfies readonly (keyof ConnectionOptions)[];

function netOptions(options: ConnectionOptions): NetConnectOpts {
  const chosen: Record<string, unknown> = { noDelay: options.noDelay !== false };
  for (const name of NET_OPTIONS) {
    if (options[name] !== undefined) chosen[name] = options[name];
  }
  return chosen as unknown as NetConnectOpts;
}
