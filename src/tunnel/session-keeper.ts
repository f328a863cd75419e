import { errorMessage, TunnelError } from './errors.ts';

export interface SessionKeeperOptions<S> {
  /** Opens a session; gives up when `signal` aborts. */
  readonly open: (signal: AbortSignal) => Promise<S>;
  /** Closes a session that came too late, after `close()`. */
  readonly discard: (session: S) => void;
  /** Called before each pause, with the pause in milliseconds and what went wrong. */
  readonly onRetry?: (delay: number, error: unknown) => void;
  /** Open another when one drops, also while nobody waits for it. Default true. */
  readonly isLasting?: boolean;
  /** Number in [0, 1), for the jitter. */
  readonly random?: () => number;
}

/** First pause after a failure. Short: most drops are a restart of the server. */
const BACKOFF_FIRST = 200;

/** Pauses double up to here: below the time that a new connection waits by default, so that it sees a few attempts. */
const BACKOFF_MAX = 5_000;

/** A session that lived this long was a good one: the next pause starts small again. */
const STABLE_AFTER = 10_000;

/**
 * Keeps one session open from the first request for it until `close()`.
 * When it drops, a new one is opened, with pauses that double and vary, so that clients of a restarted server do not
 * all come back at once.
 */
export class SessionKeeper<S> {
  readonly #options: SessionKeeperOptions<S>;
  readonly #closing = new AbortController();
  readonly #waiters = new Set<Waiter<S>>();
  #session: S | undefined;
  #opening = false;
  #pause: NodeJS.Timeout | undefined;
  #openedAt = 0;
  #failures = 0;
  #lastError: unknown;

  constructor(options: SessionKeeperOptions<S>) {
    this.#options = options;
  }

  /** The session that is open now, if one is. */
  get current(): S | undefined {
    return this.#session;
  }

  /** Starts opening without waiting for the result. */
  start(): void {
    const busy = this.#opening || this.#pause !== undefined || this.#session !== undefined;
    if (busy || this.#closing.signal.aborted) return;
    if (this.#failures === 0) {
      void this.#open();
      return;
    }
    const { onRetry, random = Math.random } = this.#options;
    const ceiling = Math.min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** (this.#failures - 1));
    const delay = Math.round(ceiling * (0.5 + random() / 2));
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      void this.#open();
    }, delay);
    onRetry?.(delay, this.#lastError);
  }

  /**
   * The open session, at once or within `limit` milliseconds. `signal` withdraws the request.
   * @throws TunnelError ERR_TUNNEL_WAIT with the last failure as cause, ERR_TUNNEL_CLOSED
   */
  async acquire(limit: number, signal?: AbortSignal): Promise<S> {
    if (this.#closing.signal.aborted || signal?.aborted) throw closedError();
    if (this.#session !== undefined) return this.#session;
    return new Promise((resolve, reject) => {
      const forget = (): void => {
        this.#waiters.delete(waiter);
        clearTimeout(expiry);
        signal?.removeEventListener('abort', withdraw);
      };
      const waiter: Waiter<S> = {
        resolve: (session) => {
          forget();
          resolve(session);
        },
        reject: (error) => {
          forget();
          reject(error);
        },
      };
      const withdraw = (): void => waiter.reject(closedError());
      const expiry = setTimeout(() => waiter.reject(this.#waitError(limit)), limit);
      signal?.addEventListener('abort', withdraw, { once: true });
      this.#waiters.add(waiter);
      this.start();
    });
  }

  /** The session has ended: a new one is opened, after a pause. Does nothing for a session that is not the current one. */
  lost(session: S, error: unknown): void {
    if (session !== this.#session) return;
    this.#session = undefined;
    if (performance.now() - this.#openedAt >= STABLE_AFTER) this.#failures = 0;
    this.#failed(error);
  }

  /** Stops opening; whoever waits gets ERR_TUNNEL_CLOSED. Gives back the open session, for its owner to close. */
  close(): S | undefined {
    this.#closing.abort();
    clearTimeout(this.#pause);
    for (const waiter of [...this.#waiters]) waiter.reject(closedError());
    const session = this.#session;
    this.#session = undefined;
    return session;
  }

  async #open(): Promise<void> {
    this.#opening = true;
    try {
      const session = await this.#options.open(this.#closing.signal);
      this.#openedAt = performance.now();
      this.#opening = false;
      if (this.#closing.signal.aborted) {
        this.#options.discard(session);
        return;
      }
      this.#session = session;
      for (const waiter of [...this.#waiters]) waiter.resolve(session);
    } catch (error) {
      this.#opening = false;
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    this.#lastError = error;
    this.#failures++;
    if (this.#options.isLasting !== false || this.#waiters.size > 0) this.start();
  }

  #waitError(limit: number): TunnelError {
    const reason = this.#lastError === undefined ? '' : ` Last failure: ${errorMessage(this.#lastError)}`;
    return new TunnelError('ERR_TUNNEL_WAIT', `No session within ${limit / 1000} s.${reason}`, {
      cause: this.#lastError,
    });
  }
}

interface Waiter<S> {
  resolve(session: S): void;
  reject(error: Error): void;
}

function closedError(): TunnelError {
  return new TunnelError('ERR_TUNNEL_CLOSED', 'The tunnel was closed.');
}
