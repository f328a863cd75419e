import type { AddressInfo, Server as NetServer } from 'node:net';
import { afterAll } from 'vitest';
import {
  type ConnectionOptions,
  connect,
  createServer,
  type Server,
  type ServerOptions,
  type TLSSocket,
} from '../../../src/index.ts';

const LIMIT_MS = 45_000;

export type CodedError = Error & { code?: string };

/** How a handshake with our server ended. */
export type Outcome = { readonly socket: TLSSocket } | { readonly error: CodedError };

/** Our server on 127.0.0.1, closed with the test file. */
export interface OurServer {
  readonly server: Server;
  readonly port: number;
  /** The next handshake's outcome that has not been asked for. */
  outcome(): Promise<Outcome>;
  /** The next session; throws when its handshake failed. */
  session(): Promise<TLSSocket>;
  /** What the next handshake failed with; throws when it succeeded. */
  failure(): Promise<CodedError>;
}

/** @param handle what to do with each session; default: send back what comes, and end when the peer ends */
export async function serve(
  options: ServerOptions,
  handle: (socket: TLSSocket) => void = echo,
): Promise<OurServer> {
  const outcomes: Outcome[] = [];
  const waiting: ((outcome: Outcome) => void)[] = [];
  const arrived = (outcome: Outcome): void => {
    const next = waiting.shift();
    if (next === undefined) outcomes.push(outcome);
    else next(outcome);
  };
  const server = createServer(options, (socket) => {
    // How a session ends is for the tests that look; the others only must not crash.
    socket.on('error', () => {});
    handle(socket);
    arrived({ socket });
  });
  server.on('tlsClientError', (error: CodedError) => arrived({ error }));
  const port = await listen(server);
  const outcome = (): Promise<Outcome> => {
    const ready = outcomes.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    return bounded('a handshake', (resolve) => waiting.push(resolve));
  };
  return {
    server,
    port,
    outcome,
    async session() {
      const result = await outcome();
      if ('error' in result) throw result.error;
      return result.socket;
    },
    async failure() {
      const result = await outcome();
      if ('socket' in result) throw new Error('the handshake succeeded, which it must not');
      return result.error;
    },
  };
}

/** Listens on a free port of 127.0.0.1 and closes with the test file, sessions and all. */
export async function listen(server: NetServer): Promise<number> {
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  afterAll(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

function echo(socket: TLSSocket): void {
  socket.pipe(socket);
}

/** Our client, to 127.0.0.1; resolves with the handshake's end. */
export async function connectOurs(options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', servername: 'localhost', ...options });
  await bounded<void>('secureConnect', (resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  socket.removeAllListeners('error');
  socket.on('error', () => {});
  return socket;
}

/** `connectOurs`, again and again while nobody listens yet. */
export async function connectWhenListening(options: ConnectionOptions): Promise<TLSSocket> {
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    try {
      return await connectOurs(options);
    } catch (error) {
      if ((error as CodedError).code !== 'ECONNREFUSED' || Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** What our client's handshake failed with; throws when it succeeded. */
export async function connectFailure(options: ConnectionOptions): Promise<CodedError> {
  let socket: TLSSocket;
  try {
    socket = await connectOurs(options);
  } catch (error) {
    return error as CodedError;
  }
  socket.destroy();
  throw new Error('the handshake succeeded, which it must not');
}

/** What comes out of a stream, to be looked at while it comes. */
export class Incoming {
  text = '';
  bytes = 0;
  readonly #watchers = new Set<() => void>();
  #over = false;
  #error: Error | undefined;

  /** @param keep false counts the bytes only */
  constructor(stream: NodeJS.ReadableStream, keep = true) {
    const changed = (): void => {
      for (const watcher of [...this.#watchers]) watcher();
    };
    stream.on('data', (chunk: Buffer) => {
      this.bytes += chunk.length;
      if (keep) this.text += chunk.toString('latin1');
      changed();
    });
    stream.on('end', () => {
      this.#over = true;
      changed();
    });
    stream.on('error', (error: Error) => {
      this.#error = error;
      changed();
    });
  }

  async until(part: string): Promise<void> {
    await this.#wait(() => this.text.includes(part), `'${part}'`);
  }

  async untilBytes(count: number): Promise<void> {
    await this.#wait(() => this.bytes >= count, `${count} bytes`);
  }

  /** Waits for the peer's close_notify. */
  async end(): Promise<void> {
    await this.#wait(() => this.#over, 'the end');
  }

  async #wait(condition: () => boolean, what: string): Promise<void> {
    let settle = (): void => {};
    try {
      await bounded<void>(
        () => `${what}; there are ${this.bytes} bytes: ${this.text.slice(0, 500)}`,
        (resolve, reject) => {
          settle = () => {
            if (condition()) resolve();
            else if (this.#error !== undefined) reject(this.#error);
            else if (this.#over)
              reject(new Error(`the stream ended before ${what}: ${this.text.slice(0, 500)}`));
          };
          this.#watchers.add(settle);
          settle();
        },
      );
    } finally {
      this.#watchers.delete(settle);
    }
  }
}

/** A promise that fails with the name of what was waited for. */
export function bounded<T>(
  what: string | (() => string),
  start: (resolve: (value: T) => void, reject: (error: Error) => void) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`waited in vain for ${typeof what === 'string' ? what : what()}`)),
      LIMIT_MS,
    );
    start(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

/** What the emitter's next event of this name has to say; fails like `bounded`. */
export function event<T = unknown>(emitter: NodeJS.EventEmitter, name: string): Promise<T> {
  return bounded(`event '${name}'`, (resolve) => emitter.once(name, resolve));
}

/** The socket is closed; resolves with what went wrong with it, or null. */
export async function closed(socket: TLSSocket): Promise<CodedError | null> {
  if (!socket.closed) await event(socket, 'close');
  return socket.errored;
}
