import type { AddressInfo } from 'node:net';
import { Duplex } from 'node:stream';
import type { Application, MultiplexedConnection } from '../mux/index.ts';
import type { ReceivedMessage, ReceivedReceipt } from '../sign/index.ts';
import {
  kAbandon,
  kTake,
  SignedMessages,
  type SignWriteOptions,
  type SocketSigning,
  unavailable,
} from './sign.ts';

/** Options of one connection; those of `MuxSession` are the default for connections that the peer opens. */
export interface MuxConnectionOptions {
  /** Default false: when the peer has ended and everything is read, this side ends too, as with net.Socket. */
  allowHalfOpen?: boolean | undefined;
  /** Bytes that each side of the stream buffers before it asks to wait. Default 64 KiB to read, 128 KiB to write. */
  highWaterMark?: number | undefined;
}

/** What a connection needs of the session that it is part of. */
export interface ConnectionHost {
  /** Nobody waits, and the network takes more: a connection may send up to a slice at once and say so with `sent`. */
  readonly takesMore: boolean;
  sent(bytes: number): void;
  /** There is something to send: the session calls `kSend` when this connection's turn comes. */
  wantsToSend(connection: MuxConnection): void;
  /** It is destroyed. */
  closed(connection: MuxConnection): void;
  readonly role: 'client' | 'server';
  /** When signing was agreed on. */
  readonly signing: SocketSigning | undefined;
  readonly localAddress: string | undefined;
  readonly remoteAddress: string | undefined;
  readonly remoteFamily: string | undefined;
}

/** For the session only. */
export const kReceive = Symbol('receive');
export const kSend = Symbol('send');
export const kHasMore = Symbol('has more');

/** What one connection may send before the next one's turn comes, and what is sealed before it goes to the network. */
export const SLICE = 131_072;

/** One piece of received data and a little more: what is read ahead beyond it stays in the session's own buffer. */
const READ_AHEAD = 65_536;
/** Two reads of a file or socket of 64 KiB, so that a pipe is not stopped at each of them. */
const WRITE_AHEAD = 131_072;

type Callback = (error?: Error | null) => void;
const NOTHING: readonly Uint8Array[] = [];

/**
 * One application connection of a session, as a stream. It has what programs expect of a net.Socket, so that an
 * http.Agent, undici, ws or pg run over it; what means nothing here (`setNoDelay`, `ref`…) does nothing.
 *
 * Events: those of a Duplex, 'connect' and 'ready' (at the opener; data may be written before), 'timeout'.
 * Errors have the code ERR_MUX_REFUSED, ERR_MUX_ABORTED, ERR_MUX_OVERFLOW or ERR_MUX_SESSION_CLOSED.
 * `destroy()` aborts the connection: the other side gets ERR_MUX_ABORTED. Only after this side's end was sent, and with
 * all read that has come, it is no fault, as with a TCP socket.
 */
export class MuxConnection extends Duplex {
  /** What it is connected to. The name is empty when the session takes any port and has no name for this one. */
  readonly application: Application;
  /** Received, as far as it has left the session's buffer. */
  bytesRead = 0;
  /** Written to the session. */
  bytesWritten = 0;
  /** Milliseconds after which 'timeout' is emitted when nothing moves; undefined when it was not set. */
  timeout: number | undefined;
  readonly connecting = false;
  readonly pending = false;

  readonly #connection: MultiplexedConnection;
  readonly #host: ConnectionHost;
  /** Bytes of `bytesRead` that have left the stream's own buffer as well. */
  #consumed = 0;
  #readerFull = false;
  #sawEnd = false;
  // What Writable has handed over: chunks, how far they are sent, and the callback.
  #chunks: readonly Uint8Array[] = NOTHING;
  #chunkIndex = 0;
  #chunkOffset = 0;
  #written: Callback | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  #signed: SignedMessages | undefined;

  constructor(connection: MultiplexedConnection, host: ConnectionHost, options: MuxConnectionOptions) {
    super({
      allowHalfOpen: options.allowHalfOpen === true,
      readableHighWaterMark: options.highWaterMark ?? READ_AHEAD,
      writableHighWaterMark: options.highWaterMark ?? WRITE_AHEAD,
    });
    this.#connection = connection;
    this.#host = host;
    this.application = connection.application;
    connection.attachment = this;
  }

  /** Server: nobody serves this; the client gets ERR_MUX_REFUSED. Best before anything was written. */
  refuse(): void {
    this.#connection.refuse();
    this.destroy();
  }

  // ── signing (docs/tls-sign.md) ─────────────────────────────────────────────────────────────────

  /** Signing in the session under this connection; one switch for all its connections. */
  get signing(): SocketSigning | undefined {
    return this.#host.signing;
  }

  /** As `TLSSocket.signWrite`. The message belongs to this connection; what else it carries stays unsigned. */
  async signWrite(
    data: string | Uint8Array,
    options?: SignWriteOptions,
  ): Promise<ReceivedReceipt | undefined> {
    const { signing } = this;
    if (signing === undefined) throw unavailable();
    return signing.write(data, options, this.#connection);
  }

  /** As `TLSSocket.signed`: the signed messages of this connection, until its end. */
  get signed(): SignedMessages {
    const { signing } = this;
    if (signing === undefined) throw unavailable();
    this.#signed ??= new SignedMessages(signing);
    return this.#signed;
  }

  [kTake](message: ReceivedMessage): void {
    this.signed.push(message);
  }

  // ── as net.Socket has it ───────────────────────────────────────────────────────────────────────

  /** It is connected already; emits 'connect' all the same, for callers that wait for it. */
  connect(...args: unknown[]): this {
    const listener = args.at(-1);
    if (typeof listener === 'function') this.once('connect', listener as () => void);
    process.nextTick(emitConnect, this);
    return this;
  }

  /** Ends, and destroys when everything is sent. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', this.destroy);
  }

  /** Emits 'timeout' after so many milliseconds without data in either direction; 0 switches it off. */
  setTimeout(milliseconds: number, callback?: () => void): this {
    clearTimeout(this.#idleTimer);
    this.#idleTimer = undefined;
    this.timeout = milliseconds;
    if (milliseconds > 0 && !this.destroyed) {
      this.#idleTimer = setTimeout(MuxConnection.#onIdle, milliseconds, this);
      this.#idleTimer.unref();
    }
    if (callback !== undefined) {
      if (milliseconds > 0) this.once('timeout', callback);
      else this.removeListener('timeout', callback);
    }
    return this;
  }

  /** Without effect: the session decides. */
  setNoDelay(_noDelay?: boolean): this {
    return this;
  }

  /** Without effect: the session decides. */
  setKeepAlive(_enable?: boolean, _initialDelay?: number): this {
    return this;
  }

  /** Without effect: the session's socket keeps the process alive, or does not. */
  ref(): this {
    return this;
  }

  /** Without effect: see `ref`. */
  unref(): this {
    return this;
  }

  address(): AddressInfo | Record<string, never> {
    const { localAddress, localPort, remoteFamily } = this;
    return localAddress === undefined
      ? {}
      : { address: localAddress, family: remoteFamily ?? '', port: localPort };
  }

  /** Addresses are the session's, ports this connection's own. */
  get remoteAddress(): string | undefined {
    return this.#host.remoteAddress;
  }

  get remoteFamily(): string | undefined {
    return this.#host.remoteFamily;
  }

  get remotePort(): number {
    return this.#host.role === 'client' ? this.application.port : this.#connection.clientPort;
  }

  get localAddress(): string | undefined {
    return this.#host.localAddress;
  }

  get localPort(): number {
    return this.#host.role === 'client' ? this.#connection.clientPort : this.application.port;
  }

  get readyState(): 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    // `_read` comes before the chunk has left the buffer, and not again until something is pushed.
    this.#consume();
    return chunk;
  }

  override _read(): void {
    this.#readerFull = false;
    this[kReceive]();
  }

  /** Moves what was received into the stream, as far as it takes it. */
  [kReceive](): void {
    const connection = this.#connection;
    while (!this.#readerFull) {
      const piece = connection.read();
      if (piece === undefined) break;
      this.bytesRead += piece.length;
      this.#idleTimer?.refresh();
      this.#readerFull = !this.push(piece);
    }
    this.#consume();
    if (connection.ended && !this.#sawEnd && !this.destroyed) {
      this.#sawEnd = true;
      this.push(null);
      this.signing?.afterDelivery(() => this.signed.end(undefined));
    }
  }

  /** The session's budget counts what waits in this stream's buffer too. */
  #consume(): void {
    const consumed = this.bytesRead - this.readableLength;
    this.#connection.consume(consumed - this.#consumed);
    this.#consumed = consumed;
  }

  // ── writing ────────────────────────────────────────────────────────────────────────────────────

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: Callback): void {
    if (chunk.length > SLICE || !this.#host.takesMore || this.#connection.error !== undefined) {
      this.#send([chunk], callback);
      return;
    }
    this.#connection.write(chunk);
    this.bytesWritten += chunk.length;
    this.#idleTimer?.refresh();
    this.#host.sent(chunk.length);
    callback();
  }

  override _writev(items: { chunk: Uint8Array }[], callback: Callback): void {
    this.#send(
      items.map(({ chunk }) => chunk),
      callback,
    );
  }

  override _final(callback: Callback): void {
    this.#connection.end();
    callback();
  }

  override _destroy(error: Error | null, callback: Callback): void {
    clearTimeout(this.#idleTimer);
    this.#written = undefined;
    this.#chunks = NOTHING;
    if (error === null && this.writableFinished) this.#connection.close(Date.now());
    else this.#connection.abort();
    this.#host.closed(this);
    this.#endSigned(error ?? undefined);
    callback(error);
  }

  #send(chunks: readonly Uint8Array[], callback: Callback): void {
    this.#chunks = chunks;
    this.#chunkIndex = 0;
    this.#chunkOffset = 0;
    this.#written = callback;
    this.#host.wantsToSend(this);
  }

  /**
   * Gives the session up to `most` bytes, and calls Writable back when that was all.
   * @returns how many bytes
   */
  [kSend](most: number): number {
    if (this.#connection.error !== undefined) {
      // The session knows already what its next turn will tell this stream.
      this.#finishWrite(this.#connection.error);
      return 0;
    }
    let sent = 0;
    while (this.#chunkIndex < this.#chunks.length && sent < most) {
      const chunk = this.#chunks[this.#chunkIndex] as Uint8Array;
      const end = Math.min(chunk.length, this.#chunkOffset + most - sent);
      const whole = this.#chunkOffset === 0 && end === chunk.length;
      this.#connection.write(whole ? chunk : chunk.subarray(this.#chunkOffset, end));
      sent += end - this.#chunkOffset;
      this.#chunkOffset = end;
      if (end === chunk.length) {
        this.#chunkIndex++;
        this.#chunkOffset = 0;
      }
    }
    this.bytesWritten += sent;
    this.#idleTimer?.refresh();
    if (this.#chunkIndex === this.#chunks.length) this.#finishWrite();
    return sent;
  }

  /** For the session: `kSend` has left something. */
  get [kHasMore](): boolean {
    return this.#chunks.length > 0;
  }

  /** What has come is still delivered, unless the connection has failed. */
  #endSigned(error: Error | undefined): void {
    const { signing } = this;
    if (signing === undefined) return;
    signing[kAbandon](this.#connection, error);
    if (error === undefined) signing.afterDelivery(() => this.signed.end(undefined));
    else this.signed.end(error);
  }

  #finishWrite(error?: Error): void {
    const written = this.#written;
    this.#chunks = NOTHING;
    this.#written = undefined;
    written?.(error);
  }

  static #onIdle(connection: MuxConnection): void {
    connection.emit('timeout');
  }
}

export function emitConnect(connection: MuxConnection): void {
  if (connection.destroyed) return;
  connection.emit('connect');
  connection.emit('ready');
}
