import type { ConnectionError } from '../errors/errors.ts';
import type { MultiplexedConnection, SessionEvent } from './session.ts';

/** Events that wait to be taken, as bits; a connection is in the queue while it has any. */
export const News = { opened: 1, confirmed: 2, readable: 4, drained: 8, failed: 16 } as const;

/** What a connection keeps for its session's NewsQueue, which alone writes it. */
export interface Newsworthy extends MultiplexedConnection {
  news: number;
  /** It is in the queue. */
  queued: boolean;
  /** The adapter knows of it, and wants to be told. */
  announced: boolean;
  error: ConnectionError | undefined;
}

/** What a session has to tell its adapter. Each connection is in it at most once, so it needs no bound of its own. */
export class NewsQueue<C extends Newsworthy> {
  readonly #wake: () => void;
  #queue: C[] = [];
  #head = 0;

  /** @param wake called when there is something to tell and was not before */
  constructor(wake: () => void) {
    this.#wake = wake;
  }

  get empty(): boolean {
    return this.#queue.length === this.#head;
  }

  tell(connection: C, news: number): void {
    if (connection.queued) {
      connection.news |= news;
      return;
    }
    connection.news = news;
    connection.queued = true;
    const wasEmpty = this.empty;
    this.#queue.push(connection);
    if (wasEmpty) this.#wake();
  }

  next(): SessionEvent | undefined {
    for (;;) {
      const connection = this.#queue[this.#head];
      if (connection === undefined) {
        this.#queue = [];
        this.#head = 0;
        return undefined;
      }
      const event = takeNews(connection);
      if (connection.news === 0) {
        connection.queued = false;
        this.#head++;
      }
      if (event !== undefined) return event;
    }
  }
}

/** In the order in which an adapter can make sense of them; after a failure only that one is left. */
function takeNews(connection: Newsworthy): SessionEvent | undefined {
  const { news, error } = connection;
  if ((news & News.opened) !== 0) {
    connection.news = news & ~News.opened;
    connection.announced = true;
    return { type: 'connection', connection };
  }
  if (error !== undefined) {
    connection.news = 0;
    return (news & News.failed) !== 0 ? { type: 'failed', connection, error } : undefined;
  }
  if ((news & News.confirmed) !== 0) {
    connection.news = news & ~News.confirmed;
    return { type: 'confirmed', connection };
  }
  if ((news & News.drained) !== 0) {
    connection.news = news & ~News.drained;
    return { type: 'drained', connection };
  }
  connection.news = 0;
  return (news & News.readable) !== 0 ? { type: 'readable', connection } : undefined;
}
