import { ModuleError } from '../../errors/module.ts';
import { Status } from '../apdu/status.ts';
import { type CardRequest, type CardTransport, exchange } from './exchange.ts';

/** Requests that wait for a card, all sessions together: more means that the card is much too slow for them. */
const MAX_WAITING = 4096;

interface Job {
  readonly request: CardRequest;
  readonly resolve: (answer: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A card serves one command at a time. Whoever has requests is one owner, and owners take turns: a session that moves
 * much data delays another by one request.
 */
export class Card {
  readonly transport: CardTransport;
  /** By owner, in the order of their turns. */
  readonly #waiting = new Map<object, Job[]>();
  #count = 0;
  #busy = false;
  #failure: ModuleError | undefined;

  constructor(transport: CardTransport) {
    this.transport = transport;
  }

  /** Why the card can be used no more. */
  get failure(): ModuleError | undefined {
    return this.#failure;
  }

  /**
   * Runs a request; at once when the transport answers at once and nobody waits.
   * @param owner whose turn it is for
   * @throws ModuleError
   */
  run(owner: object, request: CardRequest): Uint8Array | Promise<Uint8Array> {
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#busy) return this.#start(request);
    if (this.#count >= MAX_WAITING) {
      throw new ModuleError('ERR_MODULE_NO_ROOM', `${MAX_WAITING} commands wait for the module already`);
    }
    return new Promise((resolve, reject) => {
      const jobs = this.#waiting.get(owner);
      const job = { request, resolve, reject };
      if (jobs === undefined) this.#waiting.set(owner, [job]);
      else jobs.push(job);
      this.#count++;
    });
  }

  /** Ends a session in the card, whatever becomes of it. */
  release(owner: object, request: CardRequest): void {
    if (this.#failure !== undefined) return;
    try {
      const done = this.run(owner, request);
      // It may be gone already, after a reset of the card.
      if ('then' in done) done.catch(() => undefined);
    } catch (error) {
      if (!(error instanceof ModuleError)) throw error;
    }
  }

  /** The transport is of no use any more: everybody who waits is told. */
  fail(error: ModuleError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const jobs of this.#waiting.values()) for (const { reject } of jobs) reject(error);
    this.#waiting.clear();
    this.#count = 0;
  }

  close(): void {
    this.fail(new ModuleError('ERR_MODULE_GONE', 'The module was closed on this side'));
    this.transport.close();
  }

  #start(request: CardRequest): Uint8Array | Promise<Uint8Array> {
    this.#busy = true;
    let later: Promise<Uint8Array> | undefined;
    try {
      const steps = exchange(request, this.transport);
      let step = steps.next();
      while (!step.done) {
        const response = this.transport.transmit(step.value);
        if ('then' in response) {
          later = this.#finish(steps, step.value, response, request.secret);
          return later;
        }
        if (request.secret) step.value.fill(0);
        step = steps.next(response);
      }
      return step.value;
    } catch (error) {
      throw this.#judged(error);
    } finally {
      if (later === undefined) this.#next();
    }
  }

  async #finish(
    steps: Generator<Uint8Array, Uint8Array, Uint8Array>,
    first: Uint8Array,
    response: Promise<Uint8Array>,
    secret: true | undefined,
  ): Promise<Uint8Array> {
    let command = first;
    try {
      let step = steps.next(await response);
      while (!step.done) {
        if (secret) command.fill(0);
        command = step.value;
        step = steps.next(await this.transport.transmit(command));
      }
      return step.value;
    } catch (error) {
      throw this.#judged(error);
    } finally {
      if (secret) command.fill(0);
      this.#next();
    }
  }

  /** What is the transport's fault ends the card's use; what is the request's does not. */
  #judged(error: unknown): unknown {
    if (error instanceof ModuleError && FATAL.has(error.code)) this.fail(error);
    return error;
  }

  /** Round robin: the owner whose turn it was goes to the end. */
  #next(): void {
    this.#busy = false;
    const [first] = this.#waiting;
    if (first === undefined) return;
    const [owner, jobs] = first;
    const job = jobs.shift();
    this.#waiting.delete(owner);
    if (jobs.length > 0) this.#waiting.set(owner, jobs);
    if (job === undefined) return;
    this.#count--;
    try {
      const answer = this.#start(job.request);
      if ('then' in answer) answer.then(job.resolve, job.reject);
      else job.resolve(answer);
    } catch (error) {
      job.reject(error);
    }
  }
}

const FATAL: ReadonlySet<string> = new Set([
  'ERR_MODULE_REMOVED',
  'ERR_MODULE_RESET',
  'ERR_MODULE_GONE',
  'ERR_MODULE_PROTOCOL',
]);

/** A session's command that is answered 6985 or 6982 out of the blue: somebody has reset the card. */
export function wasReset(error: unknown): boolean {
  return (
    error instanceof ModuleError &&
    (error.status === Status.wrongState || error.status === Status.notPermitted)
  );
}
