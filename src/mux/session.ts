import type { Role } from '../connection/sub-protocol.ts';
import type { ConnectionError } from '../errors/errors.ts';
import type { DatagramTraits } from './datagrams/datagrams.ts';
import type { Application } from './extension.ts';
import type { Agreement } from './negotiation.ts';

/**
 * What an adapter sees of a multiplexed session, whatever its mode: `ports/` and `channels/` implement it, and one suite
 * of tests runs over both.
 *
 * The adapter's loop, after each time it was woken:
 * take all of `nextEvent()`, `send` as long as the network takes it, `flush()`, hand the records to the network, look at
 * `paused`, ask `nextTimeout(now)`. What comes in can make the session answer, so an adapter also stops reading while its
 * peer does not read. Times are Unix milliseconds; fractions of them make better windows.
 */
export interface MultiplexedSession {
  readonly role: Role;
  readonly agreement: Agreement;
  /** Connections that are open, or closed with bytes left to read. */
  readonly connections: number;
  /** While true the adapter reads nothing from the network. It ends by `consume`, or by `handleTimeout`. */
  readonly paused: boolean;

  /**
   * Called when there is something for the adapter to do: events, something to send, or an end of `paused`. It is
   * called from inside other calls, so it only notes that; at once if there is something already.
   */
  onWake(wake: () => void): void;

  /**
   * Opens a connection. Nothing is awaited: data may be written at once, and a refusal comes as `failed`.
   * @throws ConnectionError ERR_MUX_UNKNOWN_APPLICATION, ERR_MUX_LIMIT, ERR_MUX_SESSION_CLOSED, ERR_TLS_OPTION
   */
  open(target: OpenTarget, options?: OpenOptions): MultiplexedConnection;

  nextEvent(): SessionEvent | undefined;

  /** The open connection for which the peer's data of this address is; see `MultiplexedConnection.address`. */
  find(address: Uint8Array): MultiplexedConnection | undefined;
  /** The name by which both sides know what the connection is for. */
  nameOf(connection: MultiplexedConnection): string;

  /**
   * Seals about `most` bytes of what was written: acknowledgments first, then data of each connection in turn, in slices
   * of at most one record. @returns how many bytes of data; less than `most` when nothing more may go for now
   */
  send(most: number, now: number): number;
  /** Seals the record that `send`, or an answer to the peer, has begun. */
  flush(): void;
  /** There is one. */
  readonly begun: boolean;

  /** When to call `handleTimeout` at the latest; starts the clock of whatever has filled up since the last call. */
  nextTimeout(now: number): number | undefined;
  handleTimeout(now: number): void;

  stats(): SessionStats;
}

/** What a user can ask for. Which of them a session knows depends on its mode. */
export type OpenTarget = ApplicationReference | { readonly application: ApplicationReference } | Destination;

/** Ports mode: the name, the port or both, as agreed. Channel mode: the name. */
export type ApplicationReference = string | number | Application;

/** Any TCP service that the other side reaches and permits; channel mode only. */
export interface Destination {
  /** A name, resolved by the other side, or an address. */
  readonly host: string;
  readonly port: number;
}

/** Who goes first when the network cannot take all. Default `normal`. */
export type Priority = 'high' | 'normal' | 'low';

export interface OpenOptions {
  /** Port of the local socket that this connection is for. */
  readonly localPort?: number | undefined;
  /** Address of that socket, told to the other side in channel mode. */
  readonly localAddress?: string | undefined;
  readonly priority?: Priority | undefined;
}

/** One application connection. */
export interface MultiplexedConnection {
  /** Channel mode has no ports of applications: there it is 0. Of a destination, host and port. */
  readonly application: Application;
  /** When it was opened to a host and port. */
  readonly destination: Destination | undefined;
  readonly localPort: number;
  readonly remotePort: number;
  /** What the opener says of the socket that it is for; empty in ports mode. */
  readonly sourceAddress: string;
  /** Four bytes that name it in front of data of another content type; `undefined` while the peer has not confirmed it. */
  readonly address: Uint8Array | undefined;
  /** Data can move: always in ports mode; in channel mode once it was accepted. */
  readonly isOpen: boolean;
  priority: Priority;
  /** Set where boundaries count: an application of datagrams. What does not fit is dropped. */
  readonly datagrams: DatagramTraits | undefined;
  /** Bytes written that have not been sent. */
  readonly waiting: number;
  /** Received datagrams that there was no room for. */
  readonly dropped: number;
  /** Whatever the adapter wants to find again when an event names this connection. */
  attachment: object | undefined;
  /** Set once: why it came to an untimely end. */
  readonly error: ConnectionError | undefined;

  /** Of a connection that the peer has opened: it is wanted. What comes back here is nothing. */
  accept(): void;

  /** Bytes received that `consume` has not accounted for. */
  readonly unread: number;
  /** The next piece of received data, or `undefined` when there is none now. The piece is the caller's. */
  read(): Uint8Array | undefined;
  /** `bytes` of what was read have left the caller's own buffers too. */
  consume(bytes: number): void;
  /** The peer said that no more comes, and all of it was read. */
  readonly ended: boolean;

  /** Keeps `data`, which must not change before it was sent. @throws ConnectionError after `end` or failure */
  write(data: Uint8Array): void;
  /** Nothing waits to be sent, no end either. If something does, the event `drained` will say when it has gone. */
  drained(): boolean;
  /** No more from here, when what was written has gone; receiving goes on. */
  end(): void;
  /**
   * Nothing is wanted of it any more, and no event will name it. After `end`, with all read, that is no fault: the
   * session waits for the peer's end, and aborts if data comes instead or nothing for 60 s. Otherwise it is an abort.
   */
  close(now: number): void;
  /** Gives both directions up; what was received and not read is dropped. No event will name it. */
  abort(): void;
  /** The same, saying that nobody serves this connection; for the side that did not open it. Channel mode tells why. */
  refuse(reason?: string): void;
}

export type SessionEvent =
  /** The peer opened it. `accept()` or `refuse()` it, at once or later. */
  | { readonly type: 'connection'; readonly connection: MultiplexedConnection }
  /** One that was opened here was accepted. Not told where `isOpen` was true from the beginning. */
  | { readonly type: 'confirmed'; readonly connection: MultiplexedConnection }
  /** There is data to read, or its end. Comes again only when something new came. */
  | { readonly type: 'readable'; readonly connection: MultiplexedConnection }
  /** Everything written was sent, after `drained()` was false. */
  | { readonly type: 'drained'; readonly connection: MultiplexedConnection }
  /** Refused, aborted, or its session ended. Its last event. */
  | {
      readonly type: 'failed';
      readonly connection: MultiplexedConnection;
      readonly error: ConnectionError;
    };

/** Numbers for people. Counts since the session began, but for the first group, which is now. */
export interface SessionStats {
  readonly mode: Agreement['mode'];
  readonly connections: number;
  /** Bytes received and not consumed. */
  readonly unread: number;
  /** Bytes that the peer may still send, and those unread: what memory it can make us hold. Ports mode: `unread`. */
  readonly committed: number;
  /** The bound of that. */
  readonly budget: number;
  /** Milliseconds to the peer and back, where it was measured: channel mode. */
  readonly roundTrip: number | undefined;

  readonly opened: number;
  readonly accepted: number;
  readonly refused: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}
