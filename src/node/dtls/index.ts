/**
 * DTLS over UDP (docs/dtls.md): datagrams in the place of a stream, with the options of `trellis` about certificates, keys
 * and names.
 *
 * ```
 * connect        a session with one peer, over a port of its own
 * createServer   a port that serves many peers
 * createSocket   a port for both: sessions that begin here, and with server options those that peers begin
 * ```
 */
import { DtlsEndpoint } from './endpoint.ts';
import type { DtlsConnectOptions, DtlsServerOptions, PortOptions } from './options.ts';
import { DtlsSocket } from './socket.ts';

export { type SrtpKeys, SrtpProfile, type SrtpProfileName } from '../../connection/srtp.ts';
export type { EndpointStats } from './endpoint.ts';
export type {
  ClusterOptions,
  DatagramOptions,
  DtlsConnectOptions,
  DtlsServerOptions,
  PortOptions,
} from './options.ts';
export type { DtlsCounts, Remote } from './socket.ts';
export { DtlsEndpoint, DtlsSocket };

/**
 * Begins a DTLS session as a client. `listener` is called on 'secureConnect'.
 * @throws ConnectionError ERR_TLS_OPTION for options that cannot work; every other fault is an 'error' event
 */
export function connect(options: DtlsConnectOptions, listener?: () => void): DtlsSocket {
  return new DtlsEndpoint({ isSingle: true }).connect(options, listener);
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
