import { EventEmitter } from 'node:events';
import { isIPv6 } from 'node:net';
import type { ConnectionEvent, ConnectionInfo } from '../../connection/connection.ts';
import { MAX_AMPLIFICATION } from '../../connection/dtls-greeter.ts';
import type { DatagramEngine } from '../../connection/engine.ts';
import { type SrtpKeys, SrtpNegotiation } from '../../connection/srtp.ts';
import type { SubProtocol } from '../../connection/sub-protocol.ts';
import { type X509Certificate, x509Certificate } from '../../crypto/node/certificate-object.ts';
import { ConnectionError } from '../../errors/errors.ts';
import { serializeResumable } from '../../handshake/resumable-session.ts';
import type { ReceivedReceipt } from '../../sign/index.ts';
import { type DetailedPeerCertificate, type PeerCertificate, peerCertificate } from '../peer-certificate.ts';
import { type SignWriteOptions, SocketSigning } from '../sign.ts';
import { agreed, type SignedMessages } from '../signed-messages.ts';
import { doWanted } from '../wanted.ts';

/** Where a peer is. */
export interface Remote {
  readonly address: string;
  readonly port: number;
}

/** What a session needs of the UDP port that it shares. */
export interface SocketHost {
  /** The peer's newest datagram came from somewhere else. @returns whether it is there now */
  moved(socket: DtlsSocket, to: Remote): boolean;
  /** @returns false when the datagram was dropped: too many wait in the port's socket already */
  send(datagram: Uint8Array, remote: Remote): boolean;
  /** The handshake is complete. */
  secured(socket: DtlsSocket): void;
  /** It failed before. @returns whether somebody else has been told, and the socket's own 'error' is not needed */
  failed(error: Error, socket: DtlsSocket): boolean;
  keylog(line: Buffer, socket: DtlsSocket): void;
  closed(socket: DtlsSocket): void;
  readonly local: Remote | undefined;
  ref(): void;
  unref(): void;
}

interface DtlsSocketEvents {
  secureConnect: [];
  message: [datagram: Buffer];
  session: [session: Buffer];
  keylog: [line: Buffer];
  move: [remote: Remote];
  end: [];
  error: [error: Error];
  close: [];
  receiptError: [error: Error];
  /** For whoever multiplexes over it; never comes, since a datagram that the network does not take is dropped. */
  outputDrain: [];
}

/** Datagrams of the application since the session began. */
export interface DtlsCounts {
  readonly sent: number;
  readonly received: number;
  /** Datagrams of any kind that the system did not take in time. */
  readonly dropped: number;
}

/** Milliseconds for a security module to make the goodbye of a session that is closed. */
const GOODBYE_TIME = 1_000;

/** For the endpoint: a datagram came; the session begins; where the peer is. */
export const kReceive = Symbol('receive');
export const kBegin = Symbol('begin');
export const kMove = Symbol('move');

/**
 * A DTLS session with one peer. Each `send` is one datagram, and one 'message' at the other side: whole and at most once,
 * or not at all, and not always in order.
 *
 * Events: 'secureConnect' (client), 'message' (datagram), 'end' (the peer has closed the session; 'close' follows),
 * 'move' (the peer has another address; with connection IDs), 'session' (client: what a later connection can resume), 'keylog' (line),
 * 'receiptError' (a receipt that the peer asked for fits no datagram, `ERR_SIGN_TOO_LARGE`; the session goes on), 'error' (a stable `code`; 'close' follows),
 * 'close'.
 */
export class DtlsSocket extends EventEmitter<DtlsSocketEvents> {
  /** The peer showed a certificate, and it is valid (on a client, for the server's name as well); or it has our `psk`. */
  authorized = false;
  /** Code of what is wrong with the peer's certificate, when the session goes on all the same. */
  authorizationError: string | null = null;
  /** Server: the name that the client sent, or false. Client: the name it sent. Null before the handshake is done. */
  servername: string | false | null = null;
  /** The protocol that ALPN selected, or false. Null before the handshake is done. */
  alpnProtocol: string | false | null = null;
  readonly #host: SocketHost;
  /** This side is the server. */
  readonly isServer: boolean;
  readonly #subProtocols: readonly SubProtocol[];
  #remote: Remote;
  #engine: DatagramEngine | undefined;
  #secured = false;
  #pumping = false;
  /** What the engine wants is being done. */
  #asked = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAt: number | undefined;
  #destroyed = false;
  /** The goodbye is on its way. */
  #closing = false;
  #goodbye: NodeJS.Timeout | undefined;
  /** Bytes that may go to an address that the peer has moved to, until it has answered from there; none when it has. */
  #credit: number | undefined;
  /** Something was sent there. */
  #spent = false;
  #resumable: Buffer | undefined;
  #signing: SocketSigning | undefined;
  #sent = 0;
  #received = 0;
  #dropped = 0;

  /**
   * @param subProtocols filled by the engine's factories when it is made
   * @param session what a client would like to resume
   */
  constructor(
    host: SocketHost,
    isServer: boolean,
    remote: Remote,
    subProtocols: readonly SubProtocol[],
    session?: Uint8Array,
  ) {
    super();
    if (session !== undefined) this.#resumable = Buffer.from(session);
    this.#host = host;
    this.isServer = isServer;
    this.#remote = remote;
    this.#subProtocols = subProtocols;
  }

  // ── the session ────────────────────────────────────────────────────────────────────────────────

  /**
   * Sends one datagram. The buffer is the caller's again when this returns.
   * @returns false when it was dropped, because too much waits for the network already
   * @throws ConnectionError ERR_DTLS_TOO_LARGE above `maxDatagramSize`, ERR_TLS_NOT_CONNECTED before the handshake is
   *   complete, ERR_TLS_CLOSED afterwards
   */
  send(datagram: string | Uint8Array): boolean {
    if (this.#destroyed) throw new ConnectionError('ERR_TLS_CLOSED', 'The session is closed');
    const before = this.#dropped;
    const engine = this.#started();
    if (engine.outputFull) {
      this.#dropped++;
      return false;
    }
    engine.send(typeof datagram === 'string' ? Buffer.from(datagram) : datagram);
    this.#sent++;
    this.flush();
    return this.#dropped === before;
  }

  /** Bytes of the largest datagram that `send` takes now; 0 before the handshake is complete. */
  get maxDatagramSize(): number {
    return this.#secured ? (this.#engine?.maxDatagramSize ?? 0) : 0;
  }

  get counts(): DtlsCounts {
    return { sent: this.#sent, received: this.#received, dropped: this.#dropped };
  }

  /** The handshake is complete, and the session is not closed. */
  get secure(): boolean {
    return this.#secured && !this.#destroyed;
  }

  get destroyed(): boolean {
    return this.#destroyed;
  }

  /** Tells the peer (close_notify, which may be lost as any datagram), and closes. */
  close(): this {
    if (this.#destroyed || this.#closing) return this;
    const engine = this.#engine;
    if (!this.#secured || engine === undefined) return this.destroy();
    this.#closing = true;
    engine.close();
    this.flush();
    if (this.#destroyed) return this;
    if (engine.drained) return this.destroy();
    // A module has yet to say it; `#pump` ends the session then.
    this.#goodbye = setTimeout(() => this.destroy(), GOODBYE_TIME).unref();
    return this;
  }

  /** The same as `close`. */
  end(): this {
    return this.close();
  }

  /** Closes without a word to the peer. */
  destroy(error?: Error): this {
    if (this.#destroyed) return this;
    this.#destroyed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#goodbye);
    this.#engine?.drop(error);
    const isTold = error !== undefined && !this.#secured && this.#host.failed(error, this);
    this.#host.closed(this);
    process.nextTick(() => {
      if (error !== undefined && !isTold) this.emit('error', error);
      this.emit('close');
    });
    return this;
  }

  /**
   * Changes the keys of this direction, in DTLS 1.3 (RFC 9147 §8).
   * @throws ConnectionError ERR_TLS_NOT_CONNECTED before the handshake is complete, ERR_TLS_CLOSED afterwards
   */
  updateKeys(requestPeer = false): void {
    this.#started().updateKeys(requestPeer);
    this.flush();
  }

  /** The port stays open as long as somebody has not let go of it. */
  ref(): this {
    this.#host.ref();
    return this;
  }

  unref(): this {
    this.#host.unref();
    return this;
  }

  // ── what the handshake settled ─────────────────────────────────────────────────────────────────

  /** 'DTLSv1.3' or 'DTLSv1.2', 'DTLSv1' where `legacy` names it; null until the handshake is complete. */
  getProtocol(): ConnectionInfo['protocol'] | null {
    return this.#info?.protocol ?? null;
  }

  getCipher(): { name: string; standardName: string; version: string } | undefined {
    const info = this.#info;
    if (info === undefined) return undefined;
    const { suite, protocol } = info;
    return { name: suite.name, standardName: suite.standardName, version: protocol };
  }

  isSessionReused(): boolean {
    return this.#info?.resumed === true;
  }

  /**
   * Client: what a later connection needs to resume this session; `undefined` before the first 'session' event, unless this
   * session was resumed itself.
   */
  getSession(): Buffer | undefined {
    return this.#resumable;
  }

  /** Identity of the `psk` that authenticated this session; `undefined` when certificates did, or nothing. */
  get pskIdentity(): Buffer | undefined {
    const identity = this.#info?.pskIdentity;
    return identity === undefined ? undefined : Buffer.from(identity);
  }

  /** Client, TLS 1.2: what the server told to find the key by (`pskIdentityHint`), unauthenticated; `undefined` for none. */
  get pskIdentityHint(): Buffer | undefined {
    const hint = this.#info?.pskIdentityHint;
    return hint === undefined ? undefined : Buffer.from(hint);
  }

  /** The peer's certificate, `{}` when it showed none. With `detailed`, issuers are linked by `issuerCertificate`. */
  getPeerCertificate(detailed = false): PeerCertificate | DetailedPeerCertificate {
    return peerCertificate(this.#peerPath, detailed);
  }

  getPeerX509Certificate(): X509Certificate | undefined {
    const [leaf] = this.#peerPath;
    return leaf === undefined ? undefined : x509Certificate(leaf);
  }

  /**
   * RFC 5705, RFC 8446 §7.5; for SRTP, RFC 5764 §4.2.
   * @throws ConnectionError ERR_TLS_NOT_CONNECTED before the handshake is complete
   */
  exportKeyingMaterial(length: number, label: string, context?: Uint8Array): Buffer {
    return Buffer.from(this.#started().exportKeyingMaterial(label, context, length));
  }

  /** The same, also for sessions in a security module, which has to be asked: labels that begin with EXPORTER. */
  async requestKeyingMaterial(length: number, label: string, context?: Uint8Array): Promise<Buffer> {
    return Buffer.from(await this.#started().requestKeyingMaterial(label, context, length));
  }

  /** Keys for SRTP, once both sides have agreed to a profile of the option `srtp`; else `undefined`. */
  get srtp(): SrtpKeys | undefined {
    const negotiation = this.subProtocol('srtp');
    return negotiation instanceof SrtpNegotiation ? negotiation.keys : undefined;
  }

  /** The sub-protocol of this name, once both sides have agreed to it; else `undefined`. */
  subProtocol(name: string): SubProtocol | undefined {
    if (this.#info?.subProtocols.includes(name) !== true) return undefined;
    return this.#subProtocols.find((candidate) => candidate.name === name);
  }

  // ── signing (docs/tls-sign.md) ─────────────────────────────────────────────────────────────────

  /** Signing in this session, once the handshake is complete and both sides have agreed to it; else `undefined`. */
  get signing(): SocketSigning | undefined {
    return this.#signing;
  }

  /**
   * Signs and sends data in one datagram. The data must not change until the promise is settled.
   * @returns the peer's signed receipt; with `receipt: false`, nothing, when it has left
   * @throws as `SocketSigning.write`: SignatureError ERR_SIGN_TOO_LARGE for what does not fit, ConnectionError
   *   ERR_SIGN_NO_RECEIPT when none has come in time, ERR_SIGN_UNAVAILABLE when signing was not agreed on
   */
  async signWrite(
    data: string | Uint8Array,
    options?: SignWriteOptions,
  ): Promise<ReceivedReceipt | undefined> {
    return agreed(this.#signing).write(data, options);
  }

  /**
   * Signed messages as they come, verified. Ends with the session.
   * @throws ConnectionError ERR_SIGN_UNAVAILABLE when signing was not agreed on
   */
  get signed(): SignedMessages {
    return agreed(this.#signing).messages;
  }

  // ── addresses ──────────────────────────────────────────────────────────────────────────────────

  get remote(): Remote {
    return this.#remote;
  }

  get remoteAddress(): string {
    return this.#remote.address;
  }

  get remotePort(): number {
    return this.#remote.port;
  }

  get remoteFamily(): 'IPv4' | 'IPv6' {
    return isIPv6(this.#remote.address) ? 'IPv6' : 'IPv4';
  }

  get localAddress(): string | undefined {
    return this.#host.local?.address;
  }

  get localPort(): number | undefined {
    return this.#host.local?.port;
  }

  // ── for whoever multiplexes over it ────────────────────────────────────────────────────────────

  /** Moves what was sealed to the network. */
  flush(): void {
    const engine = this.#engine;
    if (engine === undefined) return;
    for (const datagram of engine.transmit()) {
      if (this.#maySend(datagram.length) && this.#host.send(datagram, this.#remote)) continue;
      this.#dropped++;
    }
    this.#arm(engine);
    // What a module is to do next begins at once.
    if (engine.wanted !== undefined && !this.#asked && !this.#destroyed) this.#pump();
  }

  /** The session may have something to say. */
  attend(): void {
    if (!this.#destroyed) this.#pump();
  }

  /** Datagrams wait for nobody. */
  readonly outputBlocked = false;
  pauseReading(): void {}
  resumeReading(): void {}
  holdEnd(): void {}
  resume(): this {
    return this;
  }

  // ── for the endpoint ───────────────────────────────────────────────────────────────────────────

  /** The handshake was complete once. */
  get wasSecured(): boolean {
    return this.#secured;
  }

  [kMove](remote: Remote): void {
    this.#remote = remote;
  }

  [kBegin](engine: DatagramEngine): void {
    this.#engine = engine;
    this.#pump();
  }

  [kReceive](datagram: Uint8Array, from: Remote): void {
    const engine = this.#engine;
    if (this.#destroyed || engine === undefined) return;
    engine.receive(datagram, Date.now());
    if (engine.receivedNewest) this.#heardFrom(from, datagram.length);
    this.#pump();
  }

  /**
   * RFC 9146 §6: only the newest genuine record says that the peer has moved, and until something comes from there again
   * after we have sent something, it may be a copy that somebody else has sent: then nobody gets more than three times as
   * much as came.
   */
  #heardFrom(from: Remote, bytes: number): void {
    const { address, port } = this.#remote;
    if (from.address === address && from.port === port) {
      if (this.#credit !== undefined)
        this.#credit = this.#spent ? undefined : this.#credit + MAX_AMPLIFICATION * bytes;
      return;
    }
    if (!this.#host.moved(this, from)) return;
    this.#remote = { address: from.address, port: from.port };
    this.#credit = MAX_AMPLIFICATION * bytes;
    this.#spent = false;
    this.emit('move', this.#remote);
  }

  #maySend(bytes: number): boolean {
    if (this.#credit === undefined) return true;
    if (bytes > this.#credit) return false;
    this.#credit -= bytes;
    this.#spent = true;
    return true;
  }

  /** Lets the engine say everything that it has to say, answers what it wants, and sends what it has to send. */
  #pump(): void {
    const engine = this.#engine;
    if (this.#pumping || engine === undefined) return;
    this.#pumping = true;
    try {
      do {
        for (let event = engine.nextEvent(); event !== undefined; event = engine.nextEvent()) {
          this.#handle(event);
          if (this.#destroyed) return;
        }
      } while (this.#answerWanted(engine));
    } finally {
      this.#pumping = false;
    }
    this.flush();
    if (this.#closing && engine.drained) this.destroy();
  }

  #handle(event: ConnectionEvent): void {
    switch (event.type) {
      case 'data': {
        if (this.#closing) break;
        const { data } = event;
        this.#received++;
        this.emit(
          'message',
          Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.length),
        );
        break;
      }
      case 'connected':
        this.#connected();
        break;
      case 'ticket':
        this.#resumable = Buffer.from(serializeResumable(event.session));
        this.emit('session', this.#resumable);
        break;
      case 'keylog': {
        const line = Buffer.from(`${event.line}\n`, 'latin1');
        this.emit('keylog', line);
        this.#host.keylog(line, this);
        break;
      }
      case 'end':
        this.emit('end');
        this.close();
        break;
      case 'error':
        // What is queued is the alert.
        this.flush();
        this.destroy(event.error);
        break;
      case 'early-data':
        break;
    }
  }

  #connected(): void {
    const { alpnProtocol, serverName, peer, pskIdentity, resumed } = this.#started().info as ConnectionInfo;
    // A server may send no new ticket after a resumption; the one that it took can be used again then.
    if (!resumed) this.#resumable = undefined;
    this.#secured = true;
    this.alpnProtocol = alpnProtocol ?? false;
    this.servername = serverName ?? false;
    this.authorized = peer?.authorized ?? pskIdentity !== undefined;
    const { authorizationError } = peer ?? {};
    if (authorizationError !== undefined) this.authorizationError = authorizationError.code;
    const sign = this.subProtocol('sign');
    if (sign !== undefined) this.#signing = new SocketSigning(this, sign);
    this.flush();
    this.#host.secured(this);
    if (!this.isServer && !this.#destroyed) this.emit('secureConnect');
  }

  /** True when it was answered at once and the engine may have gone on. */
  #answerWanted(engine: DatagramEngine): boolean {
    const { wanted } = engine;
    if (wanted === undefined || this.#asked) return false;
    const done = doWanted(engine, wanted);
    if (typeof done === 'function') {
      done();
      return true;
    }
    this.#asked = true;
    void done.then((give) => {
      this.#asked = false;
      if (this.#destroyed) return;
      give();
      this.#pump();
    });
    return false;
  }

  #arm(engine: DatagramEngine): void {
    const at = this.#destroyed ? undefined : engine.nextTimeout();
    if (at === this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    if (at === undefined) return;
    this.#timer = setTimeout(DtlsSocket.#onTimer, Math.max(1, at - Date.now()), this, engine).unref();
  }

  static #onTimer(socket: DtlsSocket, engine: DatagramEngine): void {
    socket.#timerAt = undefined;
    if (socket.#destroyed) return;
    engine.handleTimeout(Date.now());
    socket.#pump();
  }

  #started(): DatagramEngine {
    if (this.#engine === undefined) {
      throw new ConnectionError(
        'ERR_TLS_NOT_CONNECTED',
        'The DTLS session has not begun; wait for secureConnect',
      );
    }
    return this.#engine;
  }

  get #info(): ConnectionInfo | undefined {
    return this.#engine?.info;
  }

  /** DER, end entity first, up to the trust anchor when a path to it was found. */
  get #peerPath(): readonly Uint8Array[] {
    return this.#info?.peer?.path.map(({ raw }) => raw) ?? [];
  }
}
