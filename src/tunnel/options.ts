import type { EngineSource } from '../connection/engine.ts';
import type { Legacy } from '../crypto/legacy.ts';
import type { SigningKey } from '../crypto/provider.ts';
import type { PskInput } from '../node/psk.ts';
import type { EvidenceSink } from '../sign/index.ts';
import type { Application, Endpoint, Forward } from './addresses.ts';
import type { TunnelLog } from './log.ts';
import type { PolicyRule } from './policy.ts';
import type { Reverse } from './reverse.ts';
import type { SignedApplication } from './signing-rules.ts';

/** Milliseconds that connections may take to finish once the tunnel is told to stop. */
export const DRAIN_TIMEOUT = 10_000;

/** Milliseconds that a new local connection waits for a session: a few attempts, and less than most clients' patience. */
export const WAIT_TIMEOUT = 10_000;

/** Milliseconds for the TCP connection to an application, or from the client to the server. */
export const CONNECT_TIMEOUT = 10_000;

/** Milliseconds for the TLS handshake, TCP not included. */
export const HANDSHAKE_TIMEOUT = 10_000;

/** Sessions of one server at a time: with the default budget per session 16 GiB at the very worst, about 40 MB when idle. */
export const SESSIONS_MAX = 1_024;

/** Local connections of one client that wait for a session; each holds a socket and nothing else. */
export const WAITING_MAX = 1_024;

/** Flows of datagrams of one tunnel, each with a socket at the server; the one that was idle longest gives way to a new one. */
export const UDP_FLOWS_MAX = 4_096;

/** Milliseconds after which a flow in which nothing moves is over; UDP has no word for an end. As multiplexing's own. */
export const UDP_IDLE = 60_000;

/** Milliseconds of silence after which the kernel probes the session's TCP connection, so that a dead path is noticed. */
export const KEEPALIVE = 30_000;

/** node:tls's names; the first two only beside `legacy`. */
export type TlsVersion = 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';

/** Durations are milliseconds, sizes bytes, certificates and keys PEM. What is left out has the default named here. */
export interface TunnelOptions {
  /** PEM: the certificate first, then its chain. */
  readonly cert?: string | undefined;
  /** PEM, or a key that is elsewhere. */
  readonly key?: string | SigningKey | undefined;
  /** In the place of certificate and key: a security module, in which the sessions run. The caller closes it. */
  readonly module?: EngineSource | undefined;
  /** Default: the oldest of TLS 1.2 and what `legacy` names. */
  readonly minVersion?: TlsVersion | undefined;
  /** Default 'TLSv1.3'. */
  readonly maxVersion?: TlsVersion | undefined;
  /** Old versions, key exchanges and ciphers, for peers that know nothing better; none by default. */
  readonly legacy?: readonly Legacy[] | undefined;
  /** An OpenSSL cipher list for both versions; the default is node's of this library. */
  readonly ciphers?: string | undefined;
  /** Key exchange groups, best first, separated by colons. */
  readonly groups?: string | undefined;
  /** Keys that both sides have, in the place of certificates; a client offers them, best first. */
  readonly psk?: readonly PskInput[] | undefined;
  /** PEM: revocation lists. With any, each certificate of the peer's path but the anchor must be covered by one. */
  readonly crl?: string | undefined;
  /** Application protocols (ALPN), best first. By default ALPN is not used. */
  readonly alpn?: readonly string[] | undefined;
  /** `DRAIN_TIMEOUT` */
  readonly drainTimeout?: number | undefined;
  /** `CONNECT_TIMEOUT` */
  readonly connectTimeout?: number | undefined;
  /** `HANDSHAKE_TIMEOUT` */
  readonly handshakeTimeout?: number | undefined;
  /** Connections in one session; the default is multiplexing's. */
  readonly maxConnections?: number | undefined;
  /** `channels` (default): flow control, where the other side has it too; `ports`: as draft-00 has it. */
  readonly muxMode?: 'channels' | 'ports' | undefined;
  /** Bytes received and not yet taken by the reader, for each connection; the default is multiplexing's. */
  readonly connectionBuffer?: number | undefined;
  /** The same for all connections of a session together; the default is multiplexing's. */
  readonly sessionBuffer?: number | undefined;
  /** Milliseconds after which a flow of datagrams without traffic ends. `UDP_IDLE` */
  readonly udpIdle?: number | undefined;
  /** Flows of datagrams at a time, `UDP_FLOWS_MAX`. */
  readonly maxUdpFlows?: number | undefined;
  /** Receives SSLKEYLOGFILE lines, each with its line end. They open every session: for debugging only. */
  readonly onKeylog?: ((line: Uint8Array) => void) | undefined;
  /** Applications that are signed in both directions. By default none is. */
  readonly signing?: TunnelSigning | undefined;
  /** Nothing is logged by default. */
  readonly log?: TunnelLog | undefined;
}

/** Signing in the sessions of a tunnel (docs/tls-sign.md). */
export interface TunnelSigning {
  /** Names are unique. At a client, each format has a session of its own. */
  readonly applications: readonly SignedApplication[];
  /** Keeps what is sent and received. It stays open when the tunnel closes. */
  readonly archive: EvidenceSink;
  /** PEM: who signs. Default: the certificate and key of the session. */
  readonly cert?: string | undefined;
  readonly key?: string | SigningKey | undefined;
  /** PEM of the CAs of the peer's signers. Default: those of the session. */
  readonly ca?: string | undefined;
}

export interface ServeOptions extends TunnelOptions {
  /** Port 0 picks a free one. */
  readonly listen: Endpoint;
  /** PEM. With it, clients must have a certificate of this CA; without it anyone may come. */
  readonly clientCa?: string | undefined;
  /** Names and ports are unique; at least one. */
  readonly applications: readonly Application[];
  /**
   * What to do with a client that does not multiplex: `require` ends the handshake, `allow` gives it ordinary TLS to the
   * first application. Default `require`.
   */
  readonly mux?: 'require' | 'allow' | undefined;
  /**
   * Who may do what, by client certificate. With it, applications are only for clients that a rule names, and
   * destinations and reverse forwards are possible; without it, applications are for every client, and they are not.
   */
  readonly policy?: readonly PolicyRule[] | undefined;
  /** `SESSIONS_MAX` */
  readonly maxSessions?: number | undefined;
}

export interface ConnectOptions extends TunnelOptions {
  readonly server: Endpoint;
  /** PEM of the CAs that may have issued the server's certificate; default: those that Node brings. */
  readonly ca?: string | undefined;
  /** Name that the server's certificate must be for; default: `server.host`. */
  readonly servername?: string | undefined;
  /** What a stapled OCSP response decides; default 'soft'. */
  readonly revocation?: 'off' | 'soft' | 'hard' | undefined;
  readonly forwards: readonly Forward[];
  /** Where to speak SOCKS5; names are resolved by the server, which decides what may be reached. */
  readonly socks?: readonly Endpoint[] | undefined;
  /** Ports that the server shall open, and where their connections go from here. */
  readonly reverses?: readonly Reverse[] | undefined;
  /** Open the session at start instead of on first use. */
  readonly eager?: boolean | undefined;
  /** `WAIT_TIMEOUT` */
  readonly waitTimeout?: number | undefined;
}

/** A running tunnel, either side. */
export interface Tunnel {
  readonly stats: TunnelStats;
  /**
   * Settles when the tunnel is over: with `undefined` after `close()`, with an error when it broke down by itself.
   * Never rejects.
   */
  readonly finished: Promise<Error | undefined>;
  /** Stops accepting, lets connections finish for `drainTimeout`, then resets the rest. The second call resets at once. */
  close(): Promise<void>;
}

/** Counters since the start, and what is open now. Bytes are the applications', not the wire's. */
export interface TunnelStats {
  readonly sessions: { readonly open: number; readonly total: number };
  readonly connections: { readonly open: number; readonly total: number; readonly failed: number };
  /** Received from, and sent to, the other side of the session. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Of UDP applications; what was dropped had no room, or nowhere to go. */
  readonly datagrams: { readonly in: number; readonly out: number; readonly dropped: number };
}
