import type { AddressInfo, Socket, SocketReadyState } from 'node:net';
import { SessionStream } from './session-stream.ts';

/** The face of a net.Socket over a session: what it says and sets is the transport's, as far as that has it. */
export abstract class SocketFace extends SessionStream {
  /** Ends, and destroys when everything is sent. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', this.destroy);
  }

  /** Emits 'timeout' after so many milliseconds without traffic; 0 switches it off. */
  setTimeout(milliseconds: number, callback?: () => void): this {
    if (callback !== undefined) {
      if (milliseconds === 0) this.removeListener('timeout', callback);
      else this.once('timeout', callback);
    }
    const socket = this.#socket;
    if (socket?.setTimeout !== undefined) socket.setTimeout(milliseconds);
    else this.setIdleTimer(milliseconds);
    return this;
  }

  setNoDelay(noDelay = true): this {
    this.#socket?.setNoDelay?.(noDelay);
    return this;
  }

  setKeepAlive(enable = false, initialDelay = 0): this {
    this.#socket?.setKeepAlive?.(enable, initialDelay);
    return this;
  }

  ref(): this {
    this.#socket?.ref?.();
    return this;
  }

  unref(): this {
    this.#socket?.unref?.();
    return this;
  }

  address(): AddressInfo | Record<string, never> {
    return (this.#socket?.address?.() as AddressInfo | undefined) ?? {};
  }

  get timeout(): number | undefined {
    return this.#socket?.timeout;
  }

  get connecting(): boolean {
    return this.#socket?.connecting ?? false;
  }

  get pending(): boolean {
    return this.#socket?.pending ?? false;
  }

  get readyState(): SocketReadyState {
    if (this.connecting) return 'opening';
    if (this.readable && this.writable) return 'open';
    if (this.readable) return 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  get remoteAddress(): string | undefined {
    return this.#socket?.remoteAddress;
  }

  get remoteFamily(): string | undefined {
    return this.#socket?.remoteFamily;
  }

  get remotePort(): number | undefined {
    return this.#socket?.remotePort;
  }

  get localAddress(): string | undefined {
    return this.#socket?.localAddress;
  }

  get localPort(): number | undefined {
    return this.#socket?.localPort;
  }

  get localFamily(): string | undefined {
    return this.#socket?.localFamily;
  }

  /** The transport, with whatever of a net.Socket it has. */
  get #socket(): Partial<Socket> | undefined {
    return this.transport as Partial<Socket> | undefined;
  }
}
