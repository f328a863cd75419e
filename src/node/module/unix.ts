import { once } from 'node:events';
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { nodeCrypto } from '../../crypto/node/provider.ts';
import { ModuleError } from '../../errors/module.ts';
import { Applet } from '../../module/applet/applet.ts';
import type { PersistentState } from '../../module/applet/persistent.ts';
import type { CardTransport } from '../../module/bridge/exchange.ts';
import { FrameSplitter, frame, MAX_FRAME } from './framing.ts';
import { checkSocket, checkSocketFolder } from './socket-check.ts';

/** Host programs that use one module at once; each has PINs and sessions of its own. */
export const MAX_CONNECTIONS = 64;
/** An APDU and its answer fit a frame: 7 bytes of header and Lc, 2 of Le; 2 of status. */
const MAX_COMMAND_DATA = MAX_FRAME - 9;
const MAX_RESPONSE_DATA = MAX_FRAME - 2;
/** Answers that a host does not read, before its commands are read no more. */
const MAX_UNREAD = 262_144;

export interface ModuleServerOptions {
  readonly state: PersistentState;
  /** Of the socket, which must not exist; its owner alone may use it (mode 0600). */
  readonly path: string;
  /** Sessions of one connection. Default 16. */
  readonly sessions?: number | undefined;
  /** Sees every command and its response; for traces. */
  readonly onExchange?: ((command: Uint8Array, response: Uint8Array) => void) | undefined;
}

/**
 * Serves a module on a Unix socket: commands and responses in frames of a 2-byte length. Who may connect is decided by
 * the socket's mode, 0600, and its folder, which nobody else may change.
 *
 * @throws ModuleError ERR_MODULE_GONE when the socket cannot be made; ERR_MODULE_NOT_PERMITTED where the folder is not safe
 */
export async function serveModule(options: ModuleServerOptions): Promise<Server> {
  const { path } = options;
  checkSocketFolder(path);
  await removeStale(path);
  const server = createServer((socket) => attend(socket, options));
  server.maxConnections = MAX_CONNECTIONS;
  // Between listen and chmod nobody else shall get in.
  const mask = process.umask(0o177);
  try {
    server.listen(path);
    await once(server, 'listening');
    chmodSync(path, 0o600);
    checkSocket(path);
  } catch (cause) {
    server.close();
    if (cause instanceof ModuleError) throw cause;
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new ModuleError('ERR_MODULE_GONE', `The module cannot listen on ${path}: ${what}`, { cause });
  } finally {
    process.umask(mask);
  }
  return server;
}

/** Takes away a socket that a module has left behind. One that somebody listens on stays, and `listen` will fail. */
async function removeStale(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return;
  const probe = connect(path);
  try {
    await once(probe, 'connect');
  } catch {
    unlinkSync(path);
  } finally {
    probe.destroy();
  }
}

function attend(socket: Socket, { state, sessions, onExchange }: ModuleServerOptions): void {
  const applet = new Applet({ crypto: nodeCrypto, state, sessions });
  const splitter = new FrameSplitter();
  socket.on('data', (bytes) => {
    for (const command of splitter.push(bytes)) {
      const response = applet.process(command);
      onExchange?.(command, response);
      command.fill(0);
      socket.write(frame(response));
    }
    bytes.fill(0);
    if (socket.writableLength > MAX_UNREAD) socket.pause();
  });
  socket.on('drain', () => socket.resume());
  socket.on('error', () => socket.destroy());
  socket.on('close', () => applet.reset());
}

/** The way to a module in another process. */
export class UnixTransport implements CardTransport {
  readonly maxCommandData = MAX_COMMAND_DATA;
  readonly maxResponseData = MAX_RESPONSE_DATA;
  readonly #socket: Socket;
  readonly #splitter = new FrameSplitter();
  #waiting: { resolve: (response: Uint8Array) => void; reject: (error: Error) => void } | undefined;
  #failure: ModuleError | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes) => this.#receive(bytes));
    socket.on('error', (cause) => this.#fail(gone(cause.message, cause)));
    socket.on('close', () => this.#fail(gone('its process has ended the connection')));
  }

  /**
   * @throws ModuleError ERR_MODULE_GONE when nobody listens there; ERR_MODULE_NOT_PERMITTED for a socket that somebody else
   *   could have made: a PIN is going to be sent there
   */
  static async connect(path: string): Promise<UnixTransport> {
    checkSocket(path);
    const socket = connect(path);
    try {
      await once(socket, 'connect');
    } catch (cause) {
      socket.destroy();
      throw gone(cause instanceof Error ? cause.message : String(cause), cause);
    }
    return new UnixTransport(socket);
  }

  transmit(command: Uint8Array): Promise<Uint8Array> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      const bytes = frame(command);
      this.#socket.write(bytes, () => bytes.fill(0));
    });
  }

  close(): void {
    this.#fail(gone('it was closed on this side'));
    this.#socket.destroy();
  }

  #receive(bytes: Uint8Array): void {
    for (const response of this.#splitter.push(bytes)) {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      waiting?.resolve(response);
    }
  }

  #fail(error: ModuleError): void {
    this.#failure ??= error;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(this.#failure);
  }
}

function gone(why: string, cause?: unknown): ModuleError {
  return new ModuleError('ERR_MODULE_GONE', `The module is not there: ${why}`, { cause });
}
