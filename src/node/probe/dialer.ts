import net from 'node:net';
import { Connection } from '../../connection/connection.ts';
import type { EngineSource, SessionEngine } from '../../connection/engine.ts';
import type { ConnectionInfo } from '../../connection/events.ts';
import type { SubProtocolFactory } from '../../connection/sub-protocol.ts';
import { randomBytes } from '../../crypto/node/random.ts';
import { TrellisError } from '../../errors/errors.ts';
import type { ClientConfig } from '../../handshake/config.ts';
import type { ResumableSession } from '../../handshake/resumable-session.ts';
import { doWanted } from '../wanted.ts';
import { type Answer, AnswerReader, type Question, questionRecords } from './hello.ts';

/** Handshakes of one probe: the longest lists in use take about 120; what comes beyond is left out and said. */
export const MAX_HANDSHAKES = 250;
/** At the same time. More would look like an attack, and small servers queue them anyway. */
const AT_ONCE = 4;
/** How long a server may take to send its tickets once the handshake is done. */
const TICKET_WAIT = 400;
/** The same for refusing a certificate that a module has shown: there is one such handshake, so it may take longer. */
const REFUSAL_WAIT = 1_500;

/** Why there is nothing to report. */
export type ProbeErrorCode =
  | 'ERR_PROBE_UNREACHABLE' // no TCP connection
  | 'ERR_PROBE_NOT_TLS'; // whoever answers there does not speak TLS

export class ProbeError extends TrellisError {
  declare readonly code: ProbeErrorCode;
  constructor(code: ProbeErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** How a whole handshake went. */
export interface Outcome {
  /** Both Finished were verified; a server may still refuse afterwards, and then `error` says so. */
  readonly info: ConnectionInfo | undefined;
  readonly error: TrellisError | undefined;
  readonly sessions: readonly ResumableSession[];
  /** Certificates that were shown, end entity first, where this side has an identity. */
  readonly shown: readonly Uint8Array[];
}

export interface DialerOptions {
  readonly host: string;
  readonly port: number;
  /** Milliseconds for one handshake, TCP included. */
  readonly timeout: number;
  /** Milliseconds for all of them; what is not begun by then is left out. */
  readonly timeLimit: number;
  /** Called as handshakes are begun. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

/** Makes the connections of a probe: a few at a time, so many in all, each bounded in time. */
export class Dialer {
  /** Of the server, once there was a connection. */
  address: string | undefined;
  /** Handshakes that got no answer, with what happened instead. */
  readonly unanswered: string[] = [];
  /** The bound on handshakes or on time has been reached: lists may be incomplete. */
  exhausted = false;
  begun = 0;
  readonly #options: DialerOptions;
  readonly #deadline: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(options: DialerOptions) {
    this.#options = options;
    this.#deadline = Date.now() + options.timeLimit;
  }

  /** @returns `undefined` when the bound is reached */
  async ask(question: Question, wantsKeyExchange = false): Promise<Answer | undefined> {
    const answer = await this.#inTurn((limit) => this.#ask(question, wantsKeyExchange, limit));
    if (answer?.kind === 'silence') this.unanswered.push(answer.detail);
    return answer;
  }

  /**
   * @param module where the handshake runs; absent: in this process
   * @returns `undefined` when the bound is reached
   */
  shake(
    config: ClientConfig,
    protocols: readonly SubProtocolFactory[],
    module?: EngineSource,
  ): Promise<Outcome | undefined> {
    const begin = (): SessionEngine =>
      // It judges the server by its own anchors; those of this process have judged already.
      module?.client(config, Date.now(), protocols, false) ??
      Connection.client(config, Date.now(), protocols);
    const wait = module === undefined ? TICKET_WAIT : REFUSAL_WAIT;
    return this.#inTurn((limit) => this.#shake(begin, limit, wait));
  }

  async #inTurn<T>(work: (limit: number) => Promise<T>): Promise<T | undefined> {
    while (this.#running >= AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const left = this.#deadline - Date.now();
    if (left <= 0 || this.begun >= MAX_HANDSHAKES) {
      this.exhausted = true;
      this.#waiting.shift()?.();
      return undefined;
    }
    this.#running++;
    this.#options.onProgress?.(++this.begun);
    try {
      return await work(Math.min(this.#options.timeout, left));
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  #ask(question: Question, wantsKeyExchange: boolean, limit: number): Promise<Answer> {
    const reader = new AnswerReader(wantsKeyExchange);
    return new Promise((resolve) => {
      const socket = this.#connect();
      const settle = (answer: Answer): void => {
        clearTimeout(timer);
        socket.destroy();
        resolve(answer);
      };
      const detail = `it did not answer within ${limit / 1000} s`;
      const timer = setTimeout(() => settle({ kind: 'silence', why: 'timeout', detail }), limit);
      socket.once('connect', () => socket.write(questionRecords(question, randomBytes(64))));
      socket.on('data', (bytes: Uint8Array) => {
        const answer = reader.receive(bytes);
        if (answer !== undefined) settle(answer);
      });
      socket.once('end', () => settle(reader.end()));
      socket.once('error', (error) => settle({ kind: 'silence', why: 'closed', detail: error.message }));
    });
  }

  #shake(begin: () => SessionEngine, limit: number, wait: number): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const socket = this.#connect();
      let shaking: Shaking | undefined;
      const timer = setTimeout(() => {
        const text = `${this.#where()} did not answer within ${limit / 1000} s; --timeout gives it more time`;
        if (shaking === undefined) socket.destroy(new ProbeError('ERR_PROBE_UNREACHABLE', text));
        else shaking.fail(new TrellisError('ERR_TLS_HANDSHAKE_TIMEOUT', text));
      }, limit);
      const settle = (outcome: Outcome): void => {
        clearTimeout(timer);
        // What it is told last, an alert or a goodbye, leaves before.
        socket.destroySoon();
        resolve(outcome);
      };
      socket.once('connect', () => {
        this.address ??= socket.remoteAddress;
        shaking = new Shaking(begin(), socket, wait, settle);
      });
      socket.once('error', (error) => {
        clearTimeout(timer);
        if (shaking === undefined) reject(this.#unreachable(error));
        else shaking.end();
      });
    });
  }

  #connect(): net.Socket {
    // A name may have several addresses: the lists would be of different machines.
    const { host, port } = this.#options;
    return net.connect({ host: this.address ?? host, port, noDelay: true });
  }

  #where(): string {
    const { host, port } = this.#options;
    return `${host.includes(':') ? `[${host}]` : host}:${port}`;
  }

  #unreachable(cause: Error): ProbeError {
    if (cause instanceof ProbeError) return cause;
    const text = cause instanceof AggregateError ? cause.errors.map(String).join('; ') : cause.message;
    const advice = 'is the name right, and does a server listen on that port?';
    return new ProbeError(
      'ERR_PROBE_UNREACHABLE',
      `${this.#where()} cannot be reached (${text}): ${advice}`,
      {
        cause,
      },
    );
  }
}

/** One handshake over a socket, to its end, and a little longer for tickets and late refusals. */
class Shaking {
  readonly #socket: net.Socket;
  readonly #engine: SessionEngine;
  readonly #wait: number;
  readonly #settle: (outcome: Outcome) => void;
  readonly #sessions: ResumableSession[] = [];
  #info: ConnectionInfo | undefined;
  #shown: readonly Uint8Array[] = [];
  #isAnswering = false;
  #transportEnded = false;
  #state: 'shaking' | 'closing' | 'over' = 'shaking';

  /** @param wait milliseconds that the server has to say something more */
  constructor(engine: SessionEngine, socket: net.Socket, wait: number, settle: (outcome: Outcome) => void) {
    this.#socket = socket;
    this.#wait = wait;
    this.#settle = settle;
    this.#engine = engine;
    socket.on('data', (bytes: Uint8Array) => {
      if (this.#state === 'over') return;
      this.#engine.receive(bytes, Date.now());
      this.#turn();
    });
    socket.once('end', () => this.end());
    this.#turn();
  }

  /** The transport has ended. */
  end(): void {
    if (this.#state === 'over') return;
    this.#transportEnded = true;
    this.#engine.receiveEnd();
    this.#turn();
    // A module may have yet to say what came before.
    if (!this.#isAnswering) this.#finish(undefined);
  }

  fail(error: TrellisError): void {
    this.#finish(error);
  }

  #turn(): void {
    const engine = this.#engine;
    for (;;) {
      for (let event = engine.nextEvent(); event !== undefined; event = engine.nextEvent()) {
        if (event.type === 'connected') {
          this.#info = engine.info;
          this.#shown = engine.identities[0]?.chain ?? [];
          setTimeout(() => this.#close(), this.#wait);
        } else if (event.type === 'ticket') this.#sessions.push(event.session);
        else if (event.type === 'error') {
          this.#send();
          this.#finish(event.error);
        }
      }
      if (!this.#answer()) break;
    }
    this.#send();
    if (this.#state === 'closing' && engine.drained) this.#finish(undefined);
  }

  /** True when what the engine waited for was there at once. */
  #answer(): boolean {
    const { wanted } = this.#engine;
    if (wanted === undefined || this.#isAnswering || this.#state === 'over') return false;
    const answer = doWanted(this.#engine, wanted);
    if (!(answer instanceof Promise)) {
      answer();
      return true;
    }
    this.#isAnswering = true;
    answer.then((give) => {
      this.#isAnswering = false;
      if (this.#state === 'over') return;
      give();
      this.#turn();
      if (this.#transportEnded && !this.#isAnswering) this.#finish(undefined);
    });
    return false;
  }

  #send(): void {
    if (this.#state === 'over') return;
    for (const piece of this.#engine.transmit()) this.#socket.write(piece);
  }

  /** Says goodbye, which takes a module a moment. */
  #close(): void {
    if (this.#state !== 'shaking') return;
    this.#state = 'closing';
    this.#engine.close();
    this.#turn();
  }

  #finish(error: TrellisError | undefined): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    // A module has room for few sessions.
    this.#engine.drop();
    const closed = new TrellisError('ERR_TLS_TRUNCATED', 'The server closed the connection in the handshake');
    const reason = error ?? (this.#info === undefined ? closed : undefined);
    this.#settle({ info: this.#info, error: reason, sessions: this.#sessions, shown: this.#shown });
  }
}
