import { TunnelError } from './errors.ts';
import { SessionKeeper, type SessionKeeperOptions } from './session-keeper.ts';

/** Sessions of one client that carry one connection each. A server takes 1,024 of all its clients. */
export const EXCLUSIVE_MAX = 256;

/** Milliseconds that a session without its connection stays open, for the next one: a handshake is saved. */
const IDLE_TIME = 30_000;

/**
 * Sessions that each carry one connection at a time. While a signed object of unknown length is under way, no other
 * object can leave in its session, and if it breaks off the session ends with it (docs/tls-sign.md): so it has one to
 * itself.
 */
export class SessionPool<S> {
  readonly #make: (opened: () => SessionKeeper<S>) => SessionKeeperOptions<S>;
  readonly #discard: (session: S) => void;
  readonly #idle = new Map<SessionKeeper<S>, NodeJS.Timeout>();
  readonly #busy = new Set<SessionKeeper<S>>();

  /**
   * @param make how one is opened; it is told which keeper asks
   * @param discard ends one that has been idle
   */
  constructor(
    make: (keeper: () => SessionKeeper<S>) => SessionKeeperOptions<S>,
    discard: (session: S) => void,
  ) {
    this.#make = make;
    this.#discard = discard;
  }

  /** One for a connection: one that is open, where there is one. @throws TunnelError ERR_TUNNEL_LIMIT */
  take(): SessionKeeper<S> {
    for (const [keeper, timer] of this.#idle) {
      clearTimeout(timer);
      this.#idle.delete(keeper);
      if (keeper.current === undefined) {
        keeper.close();
        continue;
      }
      this.#busy.add(keeper);
      return keeper;
    }
    if (this.#busy.size >= EXCLUSIVE_MAX) {
      throw new TunnelError(
        'ERR_TUNNEL_LIMIT',
        `${EXCLUSIVE_MAX} connections are open that are signed as a whole, each in a session of its own; another --sign-unit shares one`,
      );
    }
    const keeper: SessionKeeper<S> = new SessionKeeper({ ...this.#make(() => keeper), isLasting: false });
    this.#busy.add(keeper);
    return keeper;
  }

  /** Its connection has closed. */
  give(keeper: SessionKeeper<S>): void {
    if (!this.#busy.delete(keeper)) return;
    const timer = setTimeout(() => {
      this.#idle.delete(keeper);
      const session = keeper.close();
      if (session !== undefined) this.#discard(session);
    }, IDLE_TIME);
    timer.unref();
    this.#idle.set(keeper, timer);
  }

  /** @returns the sessions that are open, for their owner to close */
  close(): S[] {
    const sessions: S[] = [];
    for (const keeper of [...this.#busy, ...this.#idle.keys()]) {
      const session = keeper.close();
      if (session !== undefined) sessions.push(session);
    }
    for (const timer of this.#idle.values()) clearTimeout(timer);
    this.#idle.clear();
    this.#busy.clear();
    return sessions;
  }
}
