import { TunnelError } from './errors.ts';
import type { Traffic } from './traffic.ts';

export interface EndingSteps {
  /** Nothing new comes in from now on. Called once, at the first request to close. */
  readonly stopAccepting: () => void;
  /** Ends the sessions, which have no connections any more. */
  readonly closeSessions: () => Promise<void>;
}

/** How a tunnel ends: it stops accepting, lets connections finish up to a limit, breaks off the rest, closes sessions. */
export class Ending {
  readonly finished: Promise<Error | undefined>;
  readonly #traffic: Traffic;
  readonly #drainTimeout: number;
  readonly #steps: EndingSteps;
  #finish: (failure: Error | undefined) => void = () => {};
  #closing: Promise<void> | undefined;
  #stopWaiting: () => void = () => {};

  /** @param drainTimeout milliseconds */
  constructor(traffic: Traffic, drainTimeout: number, steps: EndingSteps) {
    this.#traffic = traffic;
    this.#drainTimeout = drainTimeout;
    this.#steps = steps;
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** True from the first call of `close` or `fail` on. */
  get begun(): boolean {
    return this.#closing !== undefined;
  }

  /** The second call does not wait for connections any more. */
  close(): Promise<void> {
    if (this.#closing === undefined) this.#closing = this.#close(this.#drainTimeout, undefined);
    else this.#stopWaiting();
    return this.#closing;
  }

  /** The tunnel cannot go on: everything is broken off. */
  fail(error: Error): void {
    this.#closing ??= this.#close(0, error);
  }

  async #close(limit: number, failure: Error | undefined): Promise<void> {
    this.#steps.stopAccepting();
    await this.#drained(limit);
    const reason = new TunnelError('ERR_TUNNEL_CLOSED', 'The tunnel was stopped.');
    for (const connection of [...this.#traffic.openConnections]) connection.abort(reason);
    await this.#traffic.idle();
    await this.#steps.closeSessions();
    this.#finish(failure);
  }

  #drained(limit: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(done, limit);
      this.#stopWaiting = done;
      void this.#traffic.idle().then(done);
    });
  }
}
