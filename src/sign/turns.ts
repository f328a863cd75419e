import type { OutgoingStream } from './outgoing-stream.ts';
import type { SentObject } from './sent-object.ts';

/** Only receipts may come between the pieces of a stream: what else was asked for meanwhile waits here, in order. */
export class Turns {
  /** A stream that has begun, and whose end has not got its signature. */
  #open: OutgoingStream | undefined;
  #waiting: Turn[] = [];

  /** No stream is under way. */
  get isFree(): boolean {
    return this.#open === undefined;
  }

  /** @param message what it sends, if it does */
  wait(message: SentObject | undefined, run: (now: number) => void): void {
    this.#waiting.push({ message, run });
  }

  /** A stream begins: everything else waits until `next` or `stop`. */
  begin(stream: OutgoingStream): void {
    this.#open = stream;
  }

  /**
   * The stream is complete: what has waited for that goes on, up to the next stream.
   * @param giveUp hears of a message that cannot be sent
   */
  next(now: number, giveUp: (message: SentObject, error: unknown) => void): void {
    this.#open = undefined;
    while (this.#open === undefined) {
      const turn = this.#waiting.shift();
      if (turn === undefined) return;
      try {
        turn.run(now);
      } catch (error) {
        if (turn.message === undefined) throw error;
        giveUp(turn.message, error);
      }
    }
  }

  /** It will not take its turn. */
  leave(message: SentObject): void {
    this.#waiting = this.#waiting.filter((turn) => turn.message !== message);
  }

  /** @returns the stream that is torn by that */
  stop(): OutgoingStream | undefined {
    const open = this.#open;
    this.#open = undefined;
    return open;
  }

  /** @returns the messages whose turn will not come */
  clear(): SentObject[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting.flatMap(({ message }) => message ?? []);
  }
}

interface Turn {
  readonly message: SentObject | undefined;
  readonly run: (now: number) => void;
}
