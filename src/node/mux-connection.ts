import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Duplex } from 'node:stream';
import type { Application, Destination, MultiplexedConnection, Priority } from '../mux/index.ts';
import type { ReceivedMessage, ReceivedReceipt } from '../sign/index.ts';
import { preciseNow } from './clock.ts';
import { kAbandon, kTake, type SignWriteOptions, type SocketSigning } from './sign.ts';
import type { SignSource } from './sign-source.ts';
import { agreed, SignedMessages, type StreamedMessage } from './signed-messages.ts';

/** Options of one connection; those of `MuxSession` are the default for connections that the peer opens. */
export interface MuxConnectionOptions {
  /** Default false: when the peer has ended and everything is read, this side ends too, as with net.Socket. */
  allowHalfOpen?: boolean | undefined;
  /** Bytes that each side of the stream buffers before it asks to wait. Default 64 KiB to read, 128 KiB to write. */
  highWaterMark?: number | undefined;
}

/** What a connection needs of the session that it is part of. */
export interface ConnectionHost {
  /** Sends what is written, of this connection and others, as far as the network takes it. */
  send(): void;
  /** It is destroyed. */
  closed(connection: object): void;
  /** When signing was agreed on. */
  readonly signing: SocketSigning | undefined;
  readonly localAddress: string | undefined;
  readonly remoteAddress: string | undefined;
  readonly remoteFamily: string | undefined;
}

/** For the session only. */
export const kReceive = Symbol('receive');
export const kDrained = Symbol('drained');
export const kConfirmed = Symbol('confirmed');
export const kAnnounced = Symbol('announced');

/** One piece of received data and a little more: what is read ahead beyond it stays in the session's own buffer. */
const READ_AHEAD = 65_536;
/** Two reads of a file or socket of 64 KiB, so that a pipe is not stopped at each of them. */
const WRITE_AHEAD = 131_072;

type Callback = (error?: Error | null) => void;

/**
 * One application connection of a session, as a stream. It has what programs expect of a net.Socket, so that an
 * http.Agent, undici, ws or pg run over it; what means nothing here (`setNoDelay`, `ref`…) does nothing.
 *
 * Events: those of a Duplex, 'connect' and 'ready' (at the opener; data may be written before), 'timeout'.
 * Errors have the code ERR_MUX_REFUSED (a RefusedError, with the reason that the peer gave), ERR_MUX_ABORTED,
 * ERR_MUX_FLOW_CONTROL, ERR_MUX_TIMEOUT, ERR_MUX_OVERFLOW or ERR_MUX_SESSION_CLOSED.
 * `destroy()` aborts the connection: the other side gets ERR_MUX_ABORTED. Only after this side's end was sent, and with
 * all read that has come, it is no fault, as with a TCP socket.
 */
export class MuxConnection extends Duplex {
  /**
   * What it is connected to. The name is empty when the session takes any port and has no name for this one; in channel
   * mode the port is 0. Of a destination, host and port.
   */
  readonly application: Application;
  /** Received, as far as it has left the session's buffer. */
  bytesRead = 0;
  /** Written to the session. */
  bytesWritten = 0;
  /** Milliseconds after which 'timeout' is emitted when nothing moves; undefined when it was not set. */
  timeout: number | undefined;
  readonly #connection: MultiplexedConnection;
  readonly #host: ConnectionHost;
  /** Bytes of `bytesRead` that have left the stream's own buffer as well. */
  #consumed = 0;
  #readerFull = false;
  #sawEnd = false;
  /** Of what Writable has handed over and the session has not sent yet. */
  #written: Callback | undefined;
  /** The peer has opened it, and this side's answer is somebody's to give. */
  #deferred = false;
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

  /** When it was opened to a host and port: what the peer asked for. */
  get destination(): Destination | undefined {
    return this.#connection.destination;
  }

  /** Address of the socket that the opener says this is for; empty when it says nothing. */
  get sourceAddress(): string {
    return this.#connection.sourceAddress;
  }

  /** Opened here, and not accepted yet: channel mode. What is written waits. */
  get connecting(): boolean {
    return !this.#connection.isOpen && this.#connection.error === undefined && !this.destroyed;
  }

  get pending(): boolean {
    return this.connecting;
  }

  /** Who goes first when the network cannot take all. */
  get priority(): Priority {
    return this.#connection.priority;
  }

  set priority(priority: Priority) {
    this.#connection.priority = priority;
  }

  /**
   * In a listener of 'connection': the answer comes later, by `accept()` or `refuse()`. Without it the connection is
   * accepted when the listeners have run. In ports mode data can come all the same.
   */
  defer(): this {
    this.#deferred = true;
    return this;
  }

  accept(): void {
    this.#deferred = false;
    this.#connection.accept();
  }

  /** Nobody serves this; the opener gets ERR_MUX_REFUSED, in channel mode with the reason. Best before data was written. */
  refuse(reason?: string): void {
    this.#connection.refuse(reason);
    this.destroy();
  }

  /** For the session: the listeners have seen it. */
  [kAnnounced](): void {
    if (!this.#deferred && !this.destroyed) this.#connection.accept();
  }

  // ── signing (docs/tls-sign.md) ─────────────────────────────────────────────────────────────────

  /** Signing in the session under this connection; one switch for all its connections. */
  get signing(): SocketSigning | undefined {
    return this.#host.signing;
  }

  /** As `TLSSocket.signWrite`. The message belongs to this connection; what else it carries stays unsigned. */
  async signWrite(
    data: string | Uint8Array | SignSource,
    options?: SignWriteOptions,
  ): Promise<ReceivedReceipt | undefined> {
    const signing = agreed(this.signing);
    // Until it is confirmed it has no address that a signature could name.
    if (this.connecting) await once(this, 'connect');
    return signing.write(data, options, this.#connection);
  }

  /** As `TLSSocket.signed`: the signed messages of this connection, until its end. */
  get signed(): SignedMessages {
    this.#signed ??= new SignedMessages(agreed(this.signing));
    return this.#signed;
  }

  [kTake](message: ReceivedMessage | StreamedMessage): void {
    this.signed.push(message);
  }

  // ── as net.Socket has it ───────────────────────────────────────────────────────────────────────

  /** It is connected already, or will be; emits 'connect' in any case, for callers that wait for it. */
  connect(...args: unknown[]): this {
    const listener = args.at(-1);
    if (typeof listener === 'function') this.once('connect', listener as () => void);
    if (!this.connecting) process.nextTick(emitConnect, this);
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
    return this.#connection.remotePort;
  }

  get localAddress(): string | undefined {
    return this.#host.localAddress;
  }

  get localPort(): number {
    return this.#connection.localPort;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening';
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
    if (this.#give(chunk, callback)) this.#sendAndCall(callback);
  }

  override _writev(items: { chunk: Uint8Array }[], callback: Callback): void {
    for (const { chunk } of items) if (!this.#give(chunk, callback)) return;
    this.#sendAndCall(callback);
  }

  override _final(callback: Callback): void {
    this.#connection.end();
    this.#sendAndCall(callback);
  }

  /** For the session: all that was given to it has gone. */
  [kDrained](): void {
    this.#idleTimer?.refresh();
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  /** For the session: the peer has accepted it. */
  [kConfirmed](): void {
    emitConnect(this);
  }

  /** @returns false when the connection has failed, which the session's next turn tells this stream, too */
  #give(chunk: Uint8Array, callback: Callback): boolean {
    const { error } = this.#connection;
    if (error !== undefined) {
      callback(error);
      return false;
    }
    this.#connection.write(chunk);
    this.bytesWritten += chunk.length;
    return true;
  }

  #sendAndCall(callback: Callback): void {
    // Nothing of it may go before the peer has accepted it.
    if (this.#connection.isOpen) this.#host.send();
    this.#idleTimer?.refresh();
    if (this.#connection.drained()) callback();
    else this.#written = callback;
  }

  override _destroy(error: Error | null, callback: Callback): void {
    clearTimeout(this.#idleTimer);
    this.#written = undefined;
    if (error === null && this.writableFinished) this.#connection.close(preciseNow());
    else this.#connection.abort();
    this.#host.closed(this);
    this.#endSigned(error ?? undefined);
    callback(error);
  }

  /** What has come is still delivered, unless the connection has failed. */
  #endSigned(error: Error | undefined): void {
    const { signing } = this;
    if (signing === undefined) return;
    signing[kAbandon](this.#connection, error);
    if (error === undefined) signing.afterDelivery(() => this.signed.end(undefined, true));
    else this.signed.end(error, true);
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
