import type { ClientConfig, Identity, ServerConfig } from '../handshake/config.ts';
import type { Wanted } from '../handshake/step.ts';
import type { ConnectionEvent, ConnectionInfo } from './events.ts';
import type { SubProtocolFactory } from './sub-protocol.ts';

/** Work that only the outside can do: a command to a security module, that the session waits for. */
export interface CommandWanted {
  readonly kind: 'command';
  /** @returns what `provide` is given */
  perform(): Uint8Array | Promise<Uint8Array>;
}

/**
 * One session as an adapter sees it, wherever its engine runs: `Connection` in this process, `ModuleConnection` in a
 * security module. Bytes from the transport go into `receive`, bytes for it come out of `transmit`; what happens between
 * comes as events; what the outside has to do is `wanted`. Times are Unix milliseconds.
 */
export interface SessionEngine {
  /** The buffer is the caller's again when this returns. */
  receive(bytes: Uint8Array, now: number): void;
  /** The transport has ended. */
  receiveEnd(): void;
  /** What there is to send. The pieces are the caller's, who may give back their memory. */
  transmit(): Uint8Array[];
  nextEvent(): ConnectionEvent | undefined;

  readonly wanted: Wanted | CommandWanted | undefined;
  /** Answers `wanted` where it is a signature or a command. */
  provide(answer: Uint8Array, now: number): void;
  /** Answers `wanted` where it is the identities for a name. */
  provideIdentities(identities: readonly Identity[], now: number): void;
  /** `wanted` cannot be answered: ends the session with the error's alert, where it still can be told. */
  abandon(error: unknown): void;

  nextTimeout(): number | undefined;
  handleTimeout(now: number): void;

  send(data: Uint8Array): void;
  close(): void;
  updateKeys(requestPeer: boolean): void;
  /** Server, where the engine can: asks for the client's certificate. */
  requestCertificate?(): void;
  drop(error?: Error): void;
  exportKeyingMaterial(label: string, context: Uint8Array | undefined, length: number): Uint8Array;
  /** The same, where the answer may be elsewhere. */
  requestKeyingMaterial(
    label: string,
    context: Uint8Array | undefined,
    length: number,
  ): Uint8Array | Promise<Uint8Array>;

  /** What this side may show, or has shown. */
  readonly identities: readonly Identity[];
  readonly info: ConnectionInfo | undefined;
  readonly writable: boolean;
  /** So much has been received that is not processed yet that the transport should not be read. */
  readonly inputFull: boolean;
  /** So much was given to `send` that has not come out of `transmit` that the sender should wait. */
  readonly outputFull: boolean;
  /** Everything that was given to `send` and `close` has come out of `transmit`, or can. */
  readonly drained: boolean;
}

/** A session over datagrams: `receive` takes one, `transmit` gives them one by one, and so does `send`. */
export interface DatagramEngine extends SessionEngine {
  /** Bytes of content that one datagram holds now. */
  readonly maxDatagramSize: number;
  /** The datagram that was received last says that its peer is where it came from; see `DtlsConnection`. */
  readonly receivedNewest: boolean;
}

/** What a cookie was made from that a peer has sent back (RFC 6347 §4.2.1, RFC 9147 §5.1). */
export interface CookieProof {
  /** Of the peer, as `DtlsGreeter.greet` was given it. */
  readonly address: Uint8Array;
  readonly secret: Uint8Array;
}

/** Where the engines of sessions run. The option `module` of `connect` and `createServer` takes one. */
export interface EngineSource {
  /** @param judges the host has anchors of its own, and `config.verifyPeer` shall judge the peer as well */
  client(
    config: ClientConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[],
    judges: boolean,
  ): SessionEngine;
  server(
    config: ServerConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[],
    judges: boolean,
  ): SessionEngine;
  /** The same over datagrams, where `config.datagrams` is there. */
  datagramClient(
    config: ClientConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[],
    judges: boolean,
  ): DatagramEngine;
  /** @param proof the ClientHello that is received first has a cookie of this secret; absent: none was asked for */
  datagramServer(
    config: ServerConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[],
    judges: boolean,
    proof?: CookieProof,
  ): DatagramEngine;
  /** A server's configuration, for answering first messages with cookies in the place of the engine. */
  greeting(config: ServerConfig): ServerConfig;
}
