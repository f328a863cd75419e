import { errorCode, errorMessage } from './errors.ts';
import type { LogFields, TunnelLog } from './log.ts';
import type { TunnelStats } from './options.ts';
import type { DatagramTotals, Pump, PumpResult, SignedCounts } from './pump.ts';

/** Why a connection ended, in the log. Stable. */
export type ConnectionReason =
  | 'end' // both directions ended in order
  | 'idle' // a flow of datagrams in which nothing has moved for its time
  | 'local-reset' // the program or application on this side broke it off
  | 'peer-reset' // the other side of the session broke it off
  | 'refused' // the other side does not serve it, or has no room
  | 'unreachable' // the application could not be connected to
  | 'no-session' // no session within the time to wait
  | 'session-lost' // its session ended first
  | 'overflow' // its reader was too slow for too long
  | 'unsigned' // one side signs it and the other does not
  | 'unit' // its bytes cannot be cut into the units that are signed
  | 'limit' // more than may be open here
  | 'stopped'; // it was still open when the tunnel stopped

/** Reasons that someone may have to do something about. */
const WORTH_A_WARNING: ReadonlySet<ConnectionReason> = new Set([
  'refused',
  'unreachable',
  'no-session',
  'overflow',
  'unsigned',
  'unit',
  'limit',
]);

const REASON_BY_CODE: Readonly<Record<string, ConnectionReason>> = {
  ERR_MUX_REFUSED: 'refused',
  ERR_MUX_UNKNOWN_APPLICATION: 'refused',
  ERR_MUX_OVERFLOW: 'overflow',
  ERR_MUX_LIMIT: 'limit',
  ERR_MUX_SESSION_CLOSED: 'session-lost',
  ERR_SIGN_LIMIT: 'limit',
  ERR_TLS_CLOSED: 'session-lost',
  ERR_TUNNEL_LIMIT: 'limit',
  ERR_TUNNEL_SIGN: 'unsigned',
  ERR_TUNNEL_SILENT: 'session-lost',
  ERR_TUNNEL_UNIT: 'unit',
  ERR_TUNNEL_WAIT: 'no-session',
  ERR_TUNNEL_CLOSED: 'stopped',
};

/** Counts and logs every session and connection of one tunnel; knows when all connections have ended. */
export class Traffic {
  readonly #log: TunnelLog;
  readonly #sessions = new Set<SessionRecord>();
  readonly #connections = new Set<ConnectionRecord>();
  readonly #whenIdle: (() => void)[] = [];
  readonly #done = { sessions: 0, connections: 0, failed: 0, bytesIn: 0, bytesOut: 0 };
  readonly #datagrams = { datagramsIn: 0, datagramsOut: 0, datagramsDropped: 0 };

  constructor(log: TunnelLog) {
    this.#log = log;
  }

  get openConnections(): ReadonlySet<ConnectionRecord> {
    return this.#connections;
  }

  get stats(): TunnelStats {
    let { bytesIn, bytesOut } = this.#done;
    for (const connection of this.#connections) {
      bytesIn += connection.bytesIn;
      bytesOut += connection.bytesOut;
    }
    const { ...datagrams } = this.#datagrams;
    for (const connection of this.#connections) addDatagrams(datagrams, connection.datagrams);
    const open = this.#connections.size;
    return {
      sessions: { open: this.#sessions.size, total: this.#done.sessions + this.#sessions.size },
      connections: { open, total: this.#done.connections + open, failed: this.#done.failed },
      bytesIn,
      bytesOut,
      datagrams: {
        in: datagrams.datagramsIn,
        out: datagrams.datagramsOut,
        dropped: datagrams.datagramsDropped,
      },
    };
  }

  /** Datagrams that came to no flow. */
  dropped(datagrams = 1): void {
    this.#datagrams.datagramsDropped += datagrams;
  }

  /** Resolves when no connection is open. */
  idle(): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  /** @param fields what is known of the session beside its id */
  openSession(peer: string, fields: LogFields): SessionRecord {
    const id = `s${this.#done.sessions + this.#sessions.size + 1}`;
    const session = new SessionRecord(id, peer, (reason, error) => {
      this.#sessions.delete(session);
      this.#done.sessions++;
      const { connections, bytesIn, bytesOut } = session;
      this.#log.info(
        {
          event: 'session.close',
          session: id,
          peer,
          connections,
          bytesIn,
          bytesOut,
          ...session.age(),
          reason,
          ...fault(error),
        },
        'session closed',
      );
    });
    this.#sessions.add(session);
    this.#log.info({ event: 'session.open', session: id, peer, ...fields }, 'session opened');
    return session;
  }

  /** @param peer who opened it: the local program's address at the client, the session's peer at the server */
  openConnection(peer: string, application: string, session?: SessionRecord): ConnectionRecord {
    const id = `c${this.#done.connections + this.#connections.size + 1}`;
    const connection = new ConnectionRecord(id, peer, application, (reason, error) => {
      this.#connections.delete(connection);
      this.#closed(connection, reason, error);
      if (this.#connections.size === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
    });
    connection.session = session;
    this.#connections.add(connection);
    this.#log.debug(
      { event: 'connection.open', connection: id, session: session?.id, peer, application },
      'connection opened',
    );
    return connection;
  }

  #closed(connection: ConnectionRecord, reason: ConnectionReason, error: unknown): void {
    const { id, session, peer, application, bytesIn, bytesOut } = connection;
    this.#done.connections++;
    if (reason !== 'end' && reason !== 'idle') this.#done.failed++;
    this.#done.bytesIn += bytesIn;
    this.#done.bytesOut += bytesOut;
    addDatagrams(this.#datagrams, connection.datagrams);
    session?.count(bytesIn, bytesOut);
    const level = WORTH_A_WARNING.has(reason) ? 'warn' : 'info';
    this.#log[level](
      {
        event: 'connection.close',
        connection: id,
        session: session?.id,
        peer,
        application,
        bytesIn,
        bytesOut,
        ...connection.signed,
        ...connection.datagrams,
        ...connection.age(),
        reason,
        ...fault(error),
      },
      'connection closed',
    );
  }
}

/** One session, from the end of its handshake. */
export class SessionRecord {
  readonly id: string;
  readonly peer: string;
  readonly #startedAt = performance.now();
  readonly #onClose: (reason: string, error: unknown) => void;
  #open = true;
  connections = 0;
  bytesIn = 0;
  bytesOut = 0;

  constructor(id: string, peer: string, onClose: (reason: string, error: unknown) => void) {
    this.id = id;
    this.peer = peer;
    this.#onClose = onClose;
  }

  /** Adds a finished connection. */
  count(bytesIn: number, bytesOut: number): void {
    this.connections++;
    this.bytesIn += bytesIn;
    this.bytesOut += bytesOut;
  }

  age(): { readonly duration: number } {
    return { duration: Math.round(performance.now() - this.#startedAt) };
  }

  /** Only the first call counts. */
  close(reason: 'closed' | 'stopped' | 'failed', error?: unknown): void {
    if (!this.#open) return;
    this.#open = false;
    this.#onClose(reason, error);
  }
}

/** One application connection, from its first sign of life. */
export class ConnectionRecord {
  readonly id: string;
  readonly peer: string;
  readonly application: string;
  session: SessionRecord | undefined;
  readonly #startedAt = performance.now();
  readonly #onClose: (reason: ConnectionReason, error: unknown) => void;
  #pump: Pump | undefined;
  #giveUp: ((error: Error) => void) | undefined;
  #whenClosed: (() => void) | undefined;
  #open = true;

  constructor(
    id: string,
    peer: string,
    application: string,
    onClose: (reason: ConnectionReason, error: unknown) => void,
  ) {
    this.id = id;
    this.peer = peer;
    this.application = application;
    this.#onClose = onClose;
  }

  get bytesIn(): number {
    return this.#pump?.bytesFromFar ?? 0;
  }

  get bytesOut(): number {
    return this.#pump?.bytesFromNear ?? 0;
  }

  get signed(): SignedCounts | undefined {
    return this.#pump?.signed;
  }

  get datagrams(): DatagramTotals | undefined {
    return this.#pump?.datagrams;
  }

  age(): { readonly duration: number } {
    return { duration: Math.round(performance.now() - this.#startedAt) };
  }

  /** What `abort` does until the carrying begins. */
  onGiveUp(giveUp: (error: Error) => void): void {
    this.#giveUp = giveUp;
  }

  /** Calls back when it is closed. */
  whenClosed(call: () => void): void {
    this.#whenClosed = call;
  }

  /** Carries between the socket on this side and the session's connection until both have closed. */
  carry(start: (done: (result: PumpResult) => void) => Pump): void {
    this.#pump = start((result) => this.close(reasonOf(result), result.error));
  }

  /** Breaks it off, whatever its state. */
  abort(error: Error): void {
    if (this.#pump !== undefined) this.#pump.abort(error);
    else this.#giveUp?.(error);
  }

  /** Only the first call counts. */
  close(reason: ConnectionReason, error?: unknown): void {
    if (!this.#open) return;
    this.#open = false;
    this.#onClose(reason, error);
    this.#whenClosed?.();
  }
}

type Sum = { -readonly [K in keyof DatagramTotals]: number };

function addDatagrams(sum: Sum, more: DatagramTotals | undefined): void {
  if (more === undefined) return;
  sum.datagramsIn += more.datagramsIn;
  sum.datagramsOut += more.datagramsOut;
  sum.datagramsDropped += more.datagramsDropped;
}

/** The reason that an error of the session's side stands for. */
export function reasonOfError(error: unknown): ConnectionReason {
  return REASON_BY_CODE[errorCode(error) ?? ''] ?? 'peer-reset';
}

function reasonOf({ brokenBy, error }: PumpResult): ConnectionReason {
  if (brokenBy === undefined) return 'end';
  if (brokenBy === 'far') return reasonOfError(error);
  return REASON_BY_CODE[errorCode(error) ?? ''] ?? 'local-reset';
}

/** The fields of a log line that tell what went wrong. */
export function fault(error: unknown): LogFields {
  if (error === undefined || error === null) return {};
  const cause = error instanceof Error ? error.cause : undefined;
  return {
    code: errorCode(error),
    error: errorMessage(error),
    // What the file system says is all that helps when evidence cannot be kept.
    ...(errorCode(cause)?.startsWith('ERR_EVIDENCE_') && { cause: errorMessage(cause) }),
  };
}
