import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import type { OpenTarget } from '../mux/index.ts';
import type { MuxSession } from './mux.ts';
import type { MuxConnection } from './mux-connection.ts';

/** Where a client wants to go, as http.Agent, undici and others say it. */
export interface WantedHost {
  readonly host?: string | null | undefined;
  readonly hostname?: string | null | undefined;
  readonly port?: string | number | null | undefined;
}

/**
 * What to open for a client. A target for all, or a function of the host and port that the client wants. Default: that
 * host and port, as a destination of channel mode, where the other side's policy permits it.
 */
export type MuxRoute = OpenTarget | ((wanted: { host: string; port: number }) => OpenTarget);

/** undici asks for a net.Socket; what it uses of one, a connection has. */
type Done = (...args: [null, Socket] | [Error, null]) => void;

/**
 * `createConnection` for any client that takes one (pg, ws, redis…): opens a connection in the place of a TCP socket.
 *
 * ```
 * http.get({ createConnection: muxCreateConnection(session, 'web') }, …)
 * ```
 */
export function muxCreateConnection(
  session: MuxSession,
  route?: MuxRoute,
): (wanted?: WantedHost) => MuxConnection {
  return (wanted = {}) => session.open(targetOf(route, wanted, 0));
}

/** Options of an agent, and where its requests go. */
export interface MuxAgentOptions extends https.AgentOptions {
  readonly route?: MuxRoute | undefined;
}

/** An http.Agent whose connections are those of a multiplexed session. */
export class MuxAgent extends http.Agent {
  readonly #session: MuxSession;
  readonly #route: MuxRoute | undefined;

  constructor(session: MuxSession, { route, ...options }: MuxAgentOptions = {}) {
    super(options);
    this.#session = session;
    this.#route = route;
  }

  override createConnection(options: http.ClientRequestArgs): Duplex {
    return this.#session.open(targetOf(this.#route, options, 80));
  }
}

/** The same for https: TLS with the server at the far end, inside a connection of the session. */
export class MuxHttpsAgent extends https.Agent {
  readonly #session: MuxSession;
  readonly #route: MuxRoute | undefined;

  constructor(session: MuxSession, { route, ...options }: MuxAgentOptions = {}) {
    super(options);
    this.#session = session;
    this.#route = route;
  }

  override createConnection(options: https.RequestOptions): Duplex {
    const socket = this.#session.open(targetOf(this.#route, options, 443));
    const { servername, host, hostname } = options;
    return tls.connect({
      ...(options as tls.ConnectionOptions),
      socket,
      servername: servername ?? hostname ?? host ?? undefined,
    });
  }
}

/** What undici gives to `connect`. */
export interface UndiciWanted extends WantedHost {
  readonly protocol?: string | undefined;
  readonly servername?: string | null | undefined;
}

/**
 * `connect` of an undici Agent, Client or Pool:
 *
 * ```
 * new Agent({ connect: muxUndiciConnect(session, 'web') })
 * ```
 * @param tlsOptions for https
 */
export function muxUndiciConnect(
  session: MuxSession,
  route?: MuxRoute,
  tlsOptions: tls.ConnectionOptions = {},
): (wanted: UndiciWanted, done: Done) => void {
  return (wanted, done) => {
    const isSecure = wanted.protocol === 'https:';
    let settled = false;
    const settle: Done = (...args) => {
      if (settled) return;
      settled = true;
      done(...args);
    };
    const fail = (error: Error) => settle(error, null);
    try {
      const socket = session.open(targetOf(route, wanted, isSecure ? 443 : 80));
      socket.once('error', fail);
      if (!isSecure) {
        socket.once('connect', () => settle(null, socket as unknown as Socket));
        return;
      }
      const servername = wanted.servername || wanted.hostname || undefined;
      const secure = tls.connect({ servername, ALPNProtocols: ['http/1.1'], ...tlsOptions, socket });
      secure.once('error', fail);
      secure.once('secureConnect', () => settle(null, secure));
    } catch (error) {
      fail(error as Error);
    }
  };
}

function targetOf(
  route: MuxRoute | undefined,
  { host, hostname, port }: WantedHost,
  otherwise: number,
): OpenTarget {
  if (route !== undefined && typeof route !== 'function') return route;
  const named = hostname ?? host ?? '';
  const wanted = {
    // A URL writes an IPv6 address in brackets.
    host: named.startsWith('[') ? named.slice(1, -1) : named,
    port: port === undefined || port === null || port === '' ? otherwise : Number(port),
  };
  return route === undefined ? wanted : route(wanted);
}
