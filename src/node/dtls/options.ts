import type { EngineSource } from '../../connection/engine.ts';
import { SrtpNegotiation, SrtpProfile, type SrtpProfileName } from '../../connection/srtp.ts';
import type { SubProtocolFactory } from '../../connection/sub-protocol.ts';
import type { DatagramConfig } from '../../handshake/config.ts';
import type { ClientSettings, ServerSettings } from '../engine-config.ts';
import { optionError } from '../options.ts';
import type { ContextOptions } from '../secure-context.ts';
import type { Remote } from './socket.ts';

/** Options about the UDP port. */
export interface PortOptions {
  /** In a worker of node:cluster: do not share the port with the other workers. Default false, as with node:dgram. */
  readonly exclusive?: boolean | undefined;
  /** The port closes with its session: `connect`. */
  readonly isSingle?: boolean | undefined;
}

/** Options about datagrams and lost ones, of both sides. */
export interface DatagramOptions {
  /**
   * Bytes of the largest datagram that is sent, without the headers of IP and UDP: what the path carries. Default 1232
   * (RFC 9147 §4.4: 1,280 bytes, which every path of IPv6 carries, less 48).
   */
  readonly mtu?: number | undefined;
  /**
   * Milliseconds until a flight is sent again, doubled each time (RFC 6347 §4.2.4.1, RFC 9147 §5.8.2). Default 1,000, with
   * `srtp` 400. Who knows the round-trip time, from ICE perhaps, says 1.5 times that.
   */
  readonly retransmitTimeout?: number | undefined;
  /**
   * Agree on connection IDs where the other side does (RFC 9146, RFC 9147 §9): a client whose address changes keeps its
   * session. Who watches both addresses can tell that it is the same one. Default true.
   */
  readonly connectionId?: boolean | undefined;
  /**
   * Agree on keys for SRTP (RFC 5764) where the other side does: profiles, best first; the server's order decides. See
   * `socket.srtp`. Default none.
   */
  readonly srtp?: readonly SrtpProfileName[] | undefined;
  /**
   * In the place of certificate and key: a security module, in which the sessions run. Connection IDs are not agreed on then.
   */
  readonly module?: EngineSource | undefined;
  /** Protocols that share the session with the application's datagrams. */
  readonly subProtocols?: readonly SubProtocolFactory[] | undefined;
}

/** Options of `connect`: where, and what `connect` of TLS has about certificates, keys and names. */
export interface DtlsConnectOptions extends DatagramOptions, ContextOptions, ClientSettings {
  readonly port?: number | undefined;
  /** A session from the event 'session' or from `getSession()`, to resume. */
  readonly session?: Uint8Array | undefined;
}

/** Options of `createServer`: what `createServer` of TLS has about certificates, keys and names, and about the port. */
export interface DtlsServerOptions extends PortOptions, DatagramOptions, ContextOptions, ServerSettings {
  /** Sessions at a time. Default `MAX_SESSIONS`. */
  readonly maxSessions?: number | undefined;
  /** Handshakes at a time. Default `MAX_HALF_OPEN`. */
  readonly maxHalfOpen?: number | undefined;
  /** Milliseconds in which nothing comes from a peer until its session is closed; 0 for never. Default an hour. */
  readonly idleTimeout?: number | undefined;
  /**
   * 32 bytes or more that cookies are made with. Default: random. Processes that share a port, or a port after a restart,
   * need the same one, or handshakes under way begin again.
   */
  readonly cookieSecret?: Uint8Array | undefined;
  /** Several processes share one port (docs/dtls.md). */
  readonly cluster?: ClusterOptions | undefined;
}

/**
 * Processes that share a UDP port read each other's datagrams. Whose a datagram is, is a function of the datagram alone; one
 * that reads another's hands it over, and that one calls `endpoint.inject`.
 */
export interface ClusterOptions {
  /** This one, from 0; the first byte of the connection IDs that it gives. */
  readonly workerId: number;
  /** At most 256. */
  readonly workers: number;
  readonly forward: (workerId: number, datagram: Buffer, remote: Remote) => void;
}

const INITIAL_TIMEOUT = 1_000;
/** RFC 9147 §5.8.2, for DTLS-SRTP: who talks to each other in real time has no long ways between them. */
const REAL_TIME_TIMEOUT = 400;
/** RFC 6347 §4.2.4.1, RFC 9147 §5.8.2: doubled up to no less than 60 s. */
const MAX_TIMEOUT = 60_000;
const DEFAULT_MTU = 1_232;
const MIN_MTU = 256;
const MAX_MTU = 65_507;

/** @throws ConnectionError ERR_TLS_OPTION */
export function datagramConfig({ mtu, retransmitTimeout, srtp }: DatagramOptions): DatagramConfig {
  requireWhole('mtu', mtu, MIN_MTU, MAX_MTU);
  requireWhole('retransmitTimeout', retransmitTimeout, 1, MAX_TIMEOUT);
  return {
    mtu: mtu ?? DEFAULT_MTU,
    initialTimeout: retransmitTimeout ?? (srtp === undefined ? INITIAL_TIMEOUT : REAL_TIME_TIMEOUT),
    maxTimeout: MAX_TIMEOUT,
  };
}

/**
 * The sub-protocols that the options ask for.
 * @throws ConnectionError ERR_TLS_OPTION
 */
export function factoriesOf({ srtp, subProtocols = [] }: DatagramOptions): readonly SubProtocolFactory[] {
  if (srtp === undefined) return subProtocols;
  if (srtp.length === 0) throw optionError('srtp', 'the list is empty; leave it out for no SRTP');
  const profiles = srtp.map((name) => {
    if (Object.hasOwn(SrtpProfile, name)) return SrtpProfile[name];
    throw optionError('srtp', `${name} is none of ${Object.keys(SrtpProfile).join(', ')}`);
  });
  return [() => new SrtpNegotiation(profiles), ...subProtocols];
}

function requireWhole(option: string, value: number | undefined, min: number, max: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) return;
  throw optionError(option, `${value} is not a whole number from ${min} to ${max}`);
}
