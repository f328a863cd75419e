import type { DatagramEngine } from '../../connection/engine.ts';
import type { SubProtocol } from '../../connection/sub-protocol.ts';
import type { ServerSettings } from '../engine-config.ts';
import type { ContextOptions } from '../secure-context.ts';
import { prepareClient, prepareServer } from './engines.ts';
import type { DatagramOptions, DtlsConnectOptions } from './options.ts';
import { DtlsSocket, kBegin, kReceive, type Remote, type SocketHost } from './socket.ts';

/** What carries the datagrams of one session in place of a UDP port: a pair of ICE candidates, a relay, another session. */
export interface DatagramTransport {
  /**
   * Sends one datagram to the peer, `mtu` bytes at most. `false` says that it was dropped; what it throws ends the session.
   * It is called from within `receive` and `send`, and by timers.
   */
  send(datagram: Uint8Array): unknown;
}

/** Options of `connect` over a transport of the application. `host` is only the name that the certificate must have. */
export interface AttachedConnectOptions extends DtlsConnectOptions {
  readonly transport: DatagramTransport;
}

/** Options of `accept`. */
export interface DtlsAcceptOptions extends DatagramOptions, ContextOptions, ServerSettings {
  readonly transport: DatagramTransport;
}

/** RFC 7983 §7, RFC 9443: DTLS shares its five-tuple with STUN, SRTP and others, and is told from them by the first byte. */
const FIRST_DTLS = 20;
const LAST_DTLS = 63;

/** Whether a datagram that shares its way with STUN, SRTP and the like is one of DTLS (RFC 7983 §7). */
export function isDtls(datagram: Uint8Array): boolean {
  const [first] = datagram;
  return first !== undefined && first >= FIRST_DTLS && first <= LAST_DTLS;
}

/**
 * A session whose datagrams the application carries. It has no address and no port; everything else is as with a port. The
 * transport stays the application's: it is neither listened to nor closed.
 *
 * Events are those of DtlsSocket; 'secureConnect' on a server as well.
 */
export class AttachedDtlsSocket extends DtlsSocket {
  #make: (() => DatagramEngine) | undefined;

  /** Use `connect` and `accept`. */
  constructor(
    transport: DatagramTransport,
    isServer: boolean,
    prepare: (made: SubProtocol[], wantsKeyLog: () => boolean) => () => DatagramEngine,
    session?: Uint8Array,
  ) {
    const made: SubProtocol[] = [];
    const host = new TransportHost(transport);
    super(host, isServer, NOWHERE, made, session);
    host.session = this;
    this.#make = prepare(made, () => this.listenerCount('keylog') > 0);
    // Listeners first, and nothing is sent before the caller has the session.
    process.nextTick(() => this.#begin());
  }

  /**
   * A datagram came from the peer. What is not DTLS, or not genuine, is discarded (RFC 6347 §4.1.2.7). The buffer is the
   * caller's again when this returns.
   */
  receive(datagram: Uint8Array): void {
    this.#begin();
    this[kReceive](datagram, NOWHERE);
  }

  #begin(): void {
    const make = this.#make;
    this.#make = undefined;
    if (make === undefined || this.destroyed) return;
    try {
      this[kBegin](make());
    } catch (error) {
      this.destroy(error as Error);
    }
  }
}

export function connectOver(options: AttachedConnectOptions): AttachedDtlsSocket {
  const { transport, session } = options;
  return new AttachedDtlsSocket(
    transport,
    false,
    (made, wantsKeyLog) => prepareClient(options, made, wantsKeyLog),
    session,
  );
}

export function acceptOver(options: DtlsAcceptOptions): AttachedDtlsSocket {
  return new AttachedDtlsSocket(options.transport, true, (made, wantsKeyLog) =>
    prepareServer(options, made, wantsKeyLog),
  );
}

const NOWHERE: Remote = { address: '', port: 0 };

/** What a session needs of a port, where there is none. */
class TransportHost implements SocketHost {
  readonly local = undefined;
  session: DtlsSocket | undefined;
  readonly #transport: DatagramTransport;

  constructor(transport: DatagramTransport) {
    this.#transport = transport;
  }

  send(datagram: Uint8Array): boolean {
    try {
      return this.#transport.send(datagram) !== false;
    } catch (error) {
      // Not from within the engine's own turn.
      process.nextTick(() => void this.session?.destroy(error as Error));
      return false;
    }
  }

  secured(socket: DtlsSocket): void {
    if (socket.isServer) socket.emit('secureConnect');
  }

  moved(): boolean {
    return false;
  }

  failed(): boolean {
    return false;
  }

  keylog(): void {}
  closed(): void {}
  ref(): void {}
  unref(): void {}
}
