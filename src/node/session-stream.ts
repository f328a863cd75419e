import { Duplex, type DuplexOptions } from 'node:stream';
import type { ConnectionEvent } from '../connection/connection.ts';
import type { SessionEngine } from '../connection/engine.ts';
import { asTrellisError, ConnectionError } from '../errors/errors.ts';
import type { ResumableSession } from '../handshake/resumable-session.ts';
import { joinSmall } from './small-writes.ts';
import { freeNow, lingerAndClose, writePieces } from './transport.ts';
import { doWanted } from './wanted.ts';

/** Plaintext sealed and handed to the transport at once, before looking whether it still takes more. */
const WRITE_SLICE = 256 * 1024;
/**
 * Reading stops while the transport holds more unsent bytes than this. Writes wait much earlier; only answers that the
 * peer provokes (KeyUpdate, refusals of a sub-protocol) get here, and only when the peer does not read them.
 */
const MAX_OUTPUT_PENDING = 4 * 1024 * 1024;

/** Why the transport is not being read; it is read when no reason is left. */
const Pause = { reader: 1, mux: 2, wanted: 4, output: 8, signing: 16 } as const;

const kStream = Symbol('session stream');
type Attached = Duplex & { [kStream]?: SessionStream | undefined };

/** Registers the listeners that all streams share: an idle session costs no closures. */
let listen: (transport: Attached) => void;
let listenForData: (transport: Attached, whose: 'own' | 'given') => void;

type Callback = (error?: Error | null) => void;
const NO_WRITES: readonly Uint8Array[] = [];

/**
 * Moves bytes between a transport, a `SessionEngine` and the two sides of a Duplex. It knows the rules of streams
 * (back-pressure, half-close, destroy) and nothing of options, certificates or events of `node:tls`.
 *
 * For whoever multiplexes over the session: `flush`, `outputPending`, `outputBlocked`, the event `outputDrain`,
 * `pauseReading` and `resumeReading`, `attend`, `holdEnd`.
 */
export abstract class SessionStream extends Duplex {
  #transport: Attached | undefined;
  #connection: SessionEngine | undefined;
  #handshakeDone = false;
  #peerEnded = false;
  #transportEnded = false;
  #closeEmitted = false;
  #lingers = false;
  #allowTruncation: boolean;
  #pauses = 0;
  #pumping = false;
  /** What the connection wants is being done. */
  #asked = false;
  #timer: NodeJS.Timeout | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  #truncated = false;
  // The one write that Writable has handed over: its chunks, the position in them, and its callback.
  #writes: readonly Uint8Array[] = NO_WRITES;
  #writeIndex = 0;
  #writeOffset = 0;
  /** A socket that nobody else has: what it has read and written is given back at once. */
  #ownTransport = false;
  #writeDone: Callback | undefined;
  #finalDone: Callback | undefined;
  #endHeld = false;

  /** Bytes of application data delivered. */
  bytesRead = 0;
  #bytesSent = 0;

  /** @param allowTruncation a transport that ends without close_notify is an 'end', not ERR_TLS_TRUNCATED */
  constructor(options: DuplexOptions, allowTruncation: boolean) {
    // 'close' is emitted by hand: with `hadError`, and after the transport has closed, as net.Socket does.
    super({ emitClose: false, ...options });
    this.#allowTruncation = allowTruncation;
  }

  static {
    const shared = <T>(handle: (stream: SessionStream, argument: T) => void) =>
      function (this: Attached, argument: T): void {
        const stream = this[kStream];
        if (stream !== undefined) handle(stream, argument);
      };
    const onDrain = shared((stream) => stream.#drained());
    const onEnd = shared((stream) => stream.#endOfTransport());
    const onTimeout = shared((stream) => stream.emit('timeout'));
    const onError = shared<Error>((stream, error) => stream.#transportFailed(error));
    const onClose = shared((stream) => stream.#transportClosed());
    const onData = shared<Uint8Array>((stream, bytes) => stream.receive(bytes));
    const onOwnData = shared<Uint8Array>((stream, bytes) => {
      // Handshake messages are kept as they came; what is decrypted later has memory of its own.
      const isRead = stream.handshakeDone && stream.transport?.listenerCount('data') === 1;
      stream.receive(bytes);
      if (isRead) freeNow(bytes);
    });
    listen = (transport) => {
      transport.on('drain', onDrain);
      transport.on('end', onEnd);
      transport.on('timeout', onTimeout);
      transport.on('error', onError);
      transport.on('close', onClose);
    };
    listenForData = (transport, whose) => {
      transport.on('data', whose === 'own' ? onOwnData : onData);
    };
  }

  // For a multiplexer over this session

  /** Moves what the connection has to transmit to the transport. */
  flush(): void {
    // What was given to the connection may be a wish now, where it was sealed at once elsewhere.
    if (this.#connection?.wanted !== undefined && !this.#asked) this.#pump();
    else this.#flush();
  }

  /** Bytes that the transport has not accepted yet. */
  get outputPending(): number {
    return this.#transport?.writableLength ?? 0;
  }

  /** The transport asked to wait; the event 'outputDrain' says when it takes more. */
  get outputBlocked(): boolean {
    const transport = this.#transport;
    const isFull = transport?.writableNeedDrain === true && transport.writableLength > 0;
    return isFull || this.#connection?.outputFull === true;
  }

  /** Stops reading from the network, for a sub-protocol whose receive buffer is full. Idempotent. */
  pauseReading(by: 'mux' | 'signing' = 'mux'): void {
    this.#pause(Pause[by]);
  }

  resumeReading(by: 'mux' | 'signing' = 'mux'): void {
    this.#resume(Pause[by]);
  }

  /** Lets the connection say what it has to say, when something else than received bytes has brought it up. */
  attend(): void {
    this.#pump();
  }

  /** While held, this side does not say goodbye: a sub-protocol has yet to answer what has come. */
  holdEnd(hold: boolean): void {
    this.#endHeld = hold;
    if (!hold && this.#finalDone !== undefined && this.#handshakeDone) this.#continueFinal();
  }

  // For the adapter over this class

  /** The handshake is complete. */
  protected abstract onHandshakeDone(): void;
  protected abstract onEarlyData(data: Uint8Array): void;
  /** Server: the client has answered a request for its certificate. */
  protected abstract onClientAuthenticated(): void;
  protected abstract onTicket(session: ResumableSession): void;
  protected abstract onKeyLog(line: string): void;
  /** The session failed before its handshake was complete; returns what 'error' reports, or nothing to report there. */
  protected abstract onHandshakeFailed(error: Error): Error | undefined;

  get transport(): Duplex | undefined {
    return this.#transport;
  }

  /** @throws ConnectionError ERR_TLS_NOT_CONNECTED before the session has begun */
  get connection(): SessionEngine {
    if (this.#connection === undefined) {
      throw new ConnectionError(
        'ERR_TLS_NOT_CONNECTED',
        'The TLS session has not begun; wait for secureConnect',
      );
    }
    return this.#connection;
  }

  protected get hasConnection(): boolean {
    return this.#connection !== undefined;
  }

  protected get handshakeDone(): boolean {
    return this.#handshakeDone;
  }

  /** Application data given to `write` so far, sent or waiting. */
  get bytesWritten(): number {
    return this.#bytesSent + this.writableLength - this.#writtenOfCurrent();
  }

  /** Takes the transport; nothing is read or written before `begin`. */
  protected attach(transport: Duplex): void {
    const attached: Attached = transport;
    this.#transport = attached;
    attached[kStream] = this;
    // The session decides about half-close; the transport must not end itself when the peer ends.
    attached.allowHalfOpen = true;
    listen(attached);
  }

  /**
   * Starts the handshake over the attached transport.
   * @param source how the transport's bytes come: as events 'data', of a transport that was given to us or that is our own
   *   and whose buffers nobody else sees; or somebody calls `receive`
   */
  protected begin(connection: SessionEngine, source: 'given' | 'own' | 'receive'): void {
    this.#connection = connection;
    this.#armTimer(connection);
    const transport = this.#transport;
    if (transport !== undefined) {
      this.#ownTransport = source !== 'given';
      if (source !== 'receive') listenForData(transport, source);
      // Its events are past when it came to us dead.
      if (transport.destroyed) process.nextTick(() => this.#transportClosed());
      else if (transport.readableEnded) process.nextTick(() => this.#endOfTransport());
    }
    this.#pump();
  }

  /** 'timeout' after so long without traffic, for a transport that has no timeout of its own; 0 for never. */
  protected setIdleTimer(milliseconds: number): void {
    clearTimeout(this.#idleTimer);
    this.#idleTimer = undefined;
    if (milliseconds === 0) return;
    this.#idleTimer = setTimeout(() => this.emit('timeout'), milliseconds);
    this.#idleTimer.unref();
  }

  /** Bytes from the transport. False when it should stop reading. `bytes` may be overwritten afterwards. */
  protected receive(bytes: Uint8Array): boolean {
    const connection = this.#connection;
    // A destroyed stream whose transport lingers discards.
    if (connection === undefined || this.destroyed) return true;
    this.#idleTimer?.refresh();
    connection.receive(bytes, Date.now());
    this.#pump();
    if (this.#asked && connection.inputFull) this.#pause(Pause.wanted);
    return this.#pauses === 0;
  }

  // Duplex

  override _read(): void {
    if (this.#pauses !== 0) this.#resume(Pause.reader);
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: Callback): void {
    this.#writes = [chunk];
    this.#writeDone = callback;
    this.#continueWrite();
  }

  override _writev(items: { chunk: Uint8Array }[], callback: Callback): void {
    this.#writes = joinSmall(items);
    this.#writeDone = callback;
    this.#continueWrite();
  }

  override _final(callback: Callback): void {
    this.#finalDone = callback;
    if (this.#handshakeDone) this.#continueFinal();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#idleTimer);
    this.#writes = NO_WRITES;
    this.#finalDone = undefined;
    const over = this.#peerEnded && this.writableFinished;
    if (!over) {
      this.#connection?.drop(error ?? undefined);
    }
    callback(error);
    const transport = this.#transport;
    if (transport === undefined || transport.closed) {
      process.nextTick(SessionStream.#emitClose, this);
    } else if (this.#lingers) {
      lingerAndClose(transport);
      process.nextTick(SessionStream.#emitClose, this);
    } else {
      transport.destroy();
    }
  }

  // Reading

  /** Lets the connection say everything that it has to say, answers what it wants, and sends what it has to send. */
  #pump(): void {
    // A handler that writes to a synchronous transport can bring us back here; the loop below goes on anyway.
    if (this.#pumping) return;
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#pumping = true;
    try {
      do {
        for (let event = connection.nextEvent(); event !== undefined; event = connection.nextEvent()) {
          this.#handle(event);
          if (this.destroyed) return;
        }
      } while (this.#answerWanted(connection));
    } finally {
      this.#pumping = false;
    }
    this.#flush();
  }

  #handle(event: ConnectionEvent): void {
    switch (event.type) {
      case 'data':
        this.bytesRead += event.data.length;
        if (!this.push(event.data)) this.#pause(Pause.reader);
        break;
      case 'early-data':
        this.onEarlyData(event.data);
        break;
      case 'connected':
        this.#handshakeDone = true;
        clearTimeout(this.#timer);
        this.#timer = undefined;
        this.#flush();
        this.onHandshakeDone();
        if (this.#writeDone !== undefined) this.#continueWrite();
        if (this.#finalDone !== undefined) this.#continueFinal();
        break;
      case 'authenticated':
        this.onClientAuthenticated();
        break;
      case 'ticket':
        this.onTicket(event.session);
        break;
      case 'keylog':
        this.onKeyLog(event.line);
        break;
      case 'end':
        this.#peerEnded = true;
        this.push(null);
        // Nothing is delivered any more, so nothing has to wait for the reader; the transport's end has to be seen.
        this.#resume(Pause.reader);
        break;
      case 'error':
        this.#fail(event.error);
        break;
    }
  }

  #fail(error: Error): void {
    // Whatever is queued now is the alert, RFC 8446 §6.2.
    this.#lingers = this.#flush() && !this.#transportEnded;
    if (this.#transportEnded && this.readableLength > 0) {
      this.#failWhenRead(error);
    } else {
      this.#destroyBecause(error);
    }
  }

  #destroyBecause(error: Error): void {
    if (this.destroyed) return;
    this.destroy(this.#handshakeDone ? error : this.onHandshakeFailed(error));
  }

  /** What came before a truncation is authentic and is delivered first; then the error comes in the place of 'end'. */
  #failWhenRead(error: Error): void {
    this.#truncated = true;
    this.read = (size?: number): unknown => {
      const chunk: unknown = Duplex.prototype.read.call(this, size);
      if (this.readableLength === 0) process.nextTick(() => this.destroy(error));
      return chunk;
    };
  }

  #pause(reason: number): void {
    if (this.#pauses === 0) this.#transport?.pause();
    this.#pauses |= reason;
  }

  #resume(reason: number): void {
    if (this.#pauses === 0) return;
    this.#pauses &= ~reason;
    if (this.#pauses === 0) this.#transport?.resume();
  }

  // Work that the connection waits for

  /** True when it was answered at once and the connection may have gone on. */
  #answerWanted(connection: SessionEngine): boolean {
    const { wanted } = connection;
    if (wanted === undefined || this.#asked) return false;
    const done = doWanted(connection, wanted);
    if (typeof done === 'function') {
      done();
      return true;
    }
    // In a handshake the peer has nothing to say that could be used before our answer: its bytes wait in the kernel.
    this.#asked = true;
    if (connection.inputFull) this.#pause(Pause.wanted);
    void done.then((give) => this.#answered(give));
    return false;
  }

  #answered(act: () => void): void {
    if (this.destroyed) return;
    const { connection } = this;
    const wasFull = connection.outputFull;
    this.#asked = false;
    act();
    this.#resume(Pause.wanted);
    this.#pump();
    if (this.destroyed) return;
    if (wasFull && !connection.outputFull) this.#drained();
    if (this.#finalDone !== undefined && this.#handshakeDone) this.#continueFinal();
    if (this.#transport?.closed === true && !this.destroyed) this.#transportClosed();
  }

  // Writing

  /** Seals and sends the current write, as far as the transport takes it without waiting. */
  #continueWrite(): void {
    const connection = this.#connection;
    // A failed session has an 'error' event under way, after data that came before the fault: the fault is what the
    // writer must hear of, not that writing is impossible.
    if (!this.#handshakeDone || connection === undefined || !connection.writable) return;
    try {
      do {
        this.#sendSlice(connection);
        this.flush();
        // The rest, and the callback that lets the next write in, wait until the transport has taken this.
        if (this.outputBlocked) return;
      } while (this.#writeIndex < this.#writes.length);
    } catch (error) {
      this.destroy(asTrellisError(error));
      return;
    }
    const done = this.#writeDone;
    this.#writes = NO_WRITES;
    this.#writeDone = undefined;
    this.#writeIndex = 0;
    done?.();
  }

  #sendSlice(connection: SessionEngine): void {
    let room = WRITE_SLICE;
    while (room > 0 && this.#writeIndex < this.#writes.length) {
      const chunk = this.#writes[this.#writeIndex] as Uint8Array;
      const offset = this.#writeOffset;
      const part = offset === 0 && chunk.length <= room ? chunk : chunk.subarray(offset, offset + room);
      connection.send(part);
      room -= part.length;
      this.#bytesSent += part.length;
      if (offset + part.length === chunk.length) {
        this.#writeIndex++;
        this.#writeOffset = 0;
      } else {
        this.#writeOffset = offset + part.length;
      }
    }
  }

  /** Bytes of the current write that are sent but still counted in `writableLength`. */
  #writtenOfCurrent(): number {
    let written = this.#writeOffset;
    for (let i = 0; i < this.#writeIndex; i++) written += (this.#writes[i] as Uint8Array).length;
    return written;
  }

  /** Half-close, RFC 8446 §6.1: close_notify, then the transport's own end. Reading goes on. */
  #continueFinal(): void {
    if (this.#endHeld) return;
    this.#connection?.close();
    this.flush();
    // A module may still have to say it; `#answered` comes back here.
    if (this.#connection?.drained === false || this.#finalDone === undefined) return;
    const done = this.#finalDone;
    this.#finalDone = undefined;
    this.#flush();
    this.#transport?.end(() => done());
  }

  /** True when something was written. */
  #flush(): boolean {
    const transport = this.#transport;
    const pieces = this.#connection?.transmit();
    if (transport === undefined || pieces === undefined || pieces.length === 0) return false;
    if (transport.destroyed || transport.writableEnded) return false;
    this.#idleTimer?.refresh();
    writePieces(transport, pieces, this.#ownTransport);
    if (transport.writableLength > MAX_OUTPUT_PENDING && transport.writableNeedDrain)
      this.#pause(Pause.output);
    return true;
  }

  // Events of the transport

  #drained(): void {
    if (this.destroyed) return;
    this.#resume(Pause.output);
    if (this.#writeDone !== undefined) this.#continueWrite();
    this.emit('outputDrain');
  }

  #transportFailed(error: Error): void {
    if (this.destroyed) return;
    // How the peer closes its socket after both goodbyes is of no interest.
    if (!this.#saidGoodbye) this.#destroyBecause(error);
  }

  #transportClosed(): void {
    if (this.destroyed) {
      SessionStream.#emitClose(this);
      return;
    }
    this.#endOfTransport();
    // What came before is still on its way through a module, a goodbye perhaps; `#answered` comes back here.
    if (this.destroyed || this.#saidGoodbye || this.#truncated || this.#asked) return;
    this.#destroyBecause(
      new ConnectionError('ERR_TLS_CLOSED', 'The transport under the TLS session was closed'),
    );
  }

  /** close_notify has been received and sent. */
  get #saidGoodbye(): boolean {
    return this.#peerEnded && this.writableEnded && this.#finalDone === undefined;
  }

  #endOfTransport(): void {
    if (this.#transportEnded) return;
    this.#transportEnded = true;
    if (this.destroyed || this.#peerEnded) return;
    if (this.#allowTruncation && this.#handshakeDone) {
      this.#peerEnded = true;
      this.push(null);
      return;
    }
    if (this.#connection === undefined) {
      this.#destroyBecause(new ConnectionError('ERR_TLS_TRUNCATED', 'The transport ended before TLS began'));
      return;
    }
    this.#connection.receiveEnd();
    this.#pump();
  }

  #armTimer(connection: SessionEngine): void {
    const deadline = connection.nextTimeout();
    this.#timer =
      deadline === undefined
        ? undefined
        : setTimeout(SessionStream.#onTimer, Math.max(1, deadline - Date.now()), this).unref();
  }

  static #onTimer(stream: SessionStream): void {
    const connection = stream.#connection;
    if (stream.destroyed || connection === undefined) return;
    connection.handleTimeout(Date.now());
    stream.#pump();
    // Timers may fire a millisecond early by the other clock.
    if (!stream.destroyed) stream.#armTimer(connection);
  }

  static #emitClose(stream: SessionStream): void {
    if (stream.#closeEmitted) return;
    stream.#closeEmitted = true;
    stream.emit('close', stream.errored !== null);
    // Writable tells the writes that wait, but not the one it has handed over. Only now: it takes what that one is told
    // for the stream's error, and destroy() without an error has none.
    const done = stream.#writeDone;
    stream.#writeDone = undefined;
    done?.(stream.errored ?? new ConnectionError('ERR_TLS_CLOSED', 'The socket was destroyed'));
  }
}
