/**
 * DTLS over UDP (docs/dtls.md): datagrams in the place of a stream, with the options of `trellis` about certificates, keys
 * and names.
 *
 * ```
 * connect        a session with one peer, over a port of its own
 * createServer   a port that serves many peers
 * createSocket   a port for both: sessions that begin here, and with server options those that peers begin
 * accept         a session that a peer begins over a transport of the application; `connect` takes one too
 * ```
 */
import {
  type AttachedConnectOptions,
  AttachedDtlsSocket,
  acceptOver,
  connectOver,
  type DtlsAcceptOptions,
} from './attached.ts';
import { DtlsEndpoint } from './endpoint.ts';
import type { DtlsConnectOptions, DtlsServerOptions, PortOptions } from './options.ts';
import { DtlsSocket } from './socket.ts';

export { type SrtpKeys, SrtpProfile, type SrtpProfileName } from '../../connection/srtp.ts';
export {
  type AttachedConnectOptions,
  type DatagramTransport,
  type DtlsAcceptOptions,
  isDtls,
} from './attached.ts';
export type { EndpointStats } from './endpoint.ts';
export type {
  ClusterOptions,
  DatagramOptions,
  DtlsConnectOptions,
  DtlsServerOptions,
  PortOptions,
} from './options.ts';
export type { DtlsCounts, Remote } from './socket.ts';
export { AttachedDtlsSocket, DtlsEndpoint, DtlsSocket };

/**
 * Begins a DTLS session as a client, over a UDP port of its own, or over a `transport` of the application. `listener` is
 * called on 'secureConnect'.
 * @throws ConnectionError ERR_TLS_OPTION for options that cannot work; every other fault is an 'error' event
 */
export function connect(options: AttachedConnectOptions, listener?: () => void): AttachedDtlsSocket;
export function connect(options: DtlsConnectOptions, listener?: () => void): DtlsSocket;
export function connect(
  options: DtlsConnectOptions | AttachedConnectOptions,
  listener?: () => void,
): DtlsSocket {
  if (!('transport' in options)) return new DtlsEndpoint({ isSingle: true }).connect(options, listener);
  const socket = connectOver(options);
  if (listener !== undefined) socket.once('secureConnect', listener);
  return socket;
}

/**
 * Takes the session that a peer begins over a `transport` of the application. No cookie is asked for: who has a transport knows
 * that the peer is there, as ICE does. `listener` is called on 'secureConnect'.
 * @throws ConnectionError ERR_TLS_OPTION for options that cannot work; every other fault is an 'error' event
 */
export function accept(options: DtlsAcceptOptions, listener?: () => void): AttachedDtlsSocket {
  const socket = acceptOver(options);
  if (listener !== undefined) socket.once('secureConnect', listener);
  return socket;
}

/**
 * A server; `listen` opens its port. `listener` is called on 'secureConnection'.
 * @throws ConnectionError ERR_TLS_OPTION for options that cannot work
 */
export function createServer(
  options: DtlsServerOptions,
  listener?: (socket: DtlsSocket) => void,
): DtlsEndpoint {
  const endpoint = new DtlsEndpoint(options, options);
  if (listener !== undefined) endpoint.on('secureConnection', listener);
  return endpoint;
}

/**
 * One port for sessions that begin here, by its `connect`, and with `server` also for those that peers begin.
 * @throws ConnectionError ERR_TLS_OPTION for options that cannot work
 */
export function createSocket(options: PortOptions = {}, server?: DtlsServerOptions): DtlsEndpoint {
  return new DtlsEndpoint({ ...options, isSingle: false }, server);
}
