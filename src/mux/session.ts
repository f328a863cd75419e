import type { Role } from '../connection/sub-protocol.ts';
import type { ConnectionError } from '../errors/errors.ts';
import type { Application } from './extension.ts';
import type { Agreement } from './negotiation.ts';

/**
 * What an adapter sees of a multiplexed session, whatever its mode. Ports mode implements it in `ports/`; channel mode
 * will in `channel/`, and one suite of tests runs over both.
 *
 * The adapter's loop, after each time it was woken:
 * take all of `nextEvent()`, `flush()`, hand the records to the network, look at `paused`, ask `nextTimeout(now)`.
 * What comes in can make the session answer, so an adapter also stops reading while its peer does not read.
 * Times are Unix milliseconds.
 */
export interface MultiplexedSession {
  readonly role: Role;
  readonly agreement: Agreement;
  /** Connections that are open, or closed with bytes left to read. */
  readonly connections: number;
  /** While true the adapter reads nothing from the network. It ends by `consume`, or by `handleTimeout`. */
  readonly paused: boolean;

  /**
   * Called when there is something for the adapter to do: events, records to flush, or an end of `paused`. It is
   * called from inside other calls, so it only notes that; at once if there is something already.
   */
  onWake(wake: () => void): void;

  /**
   * Opens a connection. Nothing is awaited: data may follow at once, and a refusal comes as `failed`.
   * @param application name, port or both of an application that was agreed
   * @throws ConnectionError ERR_MUX_UNKNOWN_APPLICATION, ERR_MUX_LIMIT, ERR_MUX_SESSION_CLOSED
   */
  open(application: ApplicationReference, options?: OpenOptions): MultiplexedConnection;

  nextEvent(): SessionEvent | undefined;

  /** The open connection that a frame from the peer with these ports would be for. */
  find(source: number, destination: number): MultiplexedConnection | undefined;

  /** Seals what was written since the last flush. */
  flush(): void;

  /** When to call `handleTimeout` at the latest; starts the clock of whatever has filled up since the last call. */
  nextTimeout(now: number): number | undefined;
  handleTimeout(now: number): void;
}

export type ApplicationReference = string | number | Application;

export interface OpenOptions {
  /** Port of the local socket that this connection is for; taken as the client's port if that pair is free. */
  readonly localPort?: number;
}

/** One application connection. */
export interface MultiplexedConnection {
  readonly application: Application;
  readonly clientPort: number;
  /** Whatever the adapter wants to find again when an event names this connection. */
  attachment: object | undefined;
  /** Set once: why it came to an untimely end. */
  readonly error: ConnectionError | undefined;

  /** Bytes received that `consume` has not accounted for. */
  readonly unread: number;
  /** The next piece of received data, or `undefined` when there is none now. The piece is the caller's. */
  read(): Uint8Array | undefined;
  /** `bytes` of what was read have left the caller's own buffers too. */
  consume(bytes: number): void;
  /** The peer said that no more comes, and all of it was read. */
  readonly ended: boolean;

  /** Copies `data`. @throws ConnectionError after `end` or failure */
  write(data: Uint8Array): void;
  /** No more from here; receiving goes on. */
  end(): void;
  /**
   * Nothing is wanted of it any more, and no event will name it. After `end`, with all read, that is no fault: the
   * session waits for the peer's end, and aborts if data comes instead or nothing for 60 s. Otherwise it is an abort.
   */
  close(now: number): void;
  /** Gives both directions up; what was received and not read is dropped. No event will name it. */
  abort(): void;
  /** The same, saying that nobody serves this connection; for the side that did not open it. */
  refuse(): void;
}

export type SessionEvent =
  /** The peer opened it. Keep it, or `refuse()`. */
  | { readonly type: 'connection'; readonly connection: MultiplexedConnection }
  /** There is data to read, or its end. Comes again only when something new came. */
  | { readonly type: 'readable'; readonly connection: MultiplexedConnection }
  /** Refused, aborted, or its session ended. Its last event. */
  | {
      readonly type: 'failed';
      readonly connection: MultiplexedConnection;
      readonly error: ConnectionError;
    };
