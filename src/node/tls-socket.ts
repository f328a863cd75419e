import { type NetConnectOpts, type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';
import type { Duplex, DuplexOptions } from 'node:stream';
import { Connection, type ConnectionInfo } from '../connection/connection.ts';
import type { EngineSource, SessionEngine } from '../connection/engine.ts';
import type { SubProtocol, SubProtocolFactory } from '../connection/sub-protocol.ts';
import { type X509Certificate, x509Certificate } from '../crypto/node/certificate-object.ts';
import { ConnectionError, TrellisError } from '../errors/errors.ts';
import type { ServerConfig } from '../handshake/config.ts';
import { type ResumableSession, serializeResumable } from '../handshake/resumable-session.ts';
import type { ReceivedReceipt } from '../sign/index.ts';
import { ProtocolVersion } from '../wire/codepoints.ts';
import {
  type ClientSettings,
  checkPeerSettings,
  clientConfig,
  configureServer,
  IdentityRefused,
  isMaxSendFragment,
  readSession,
  type ServerSettings,
} from './engine-config.ts';
import { type EphemeralKeyInfo, GROUP_INFO } from './options.ts';
import { type DetailedPeerCertificate, type PeerCertificate, peerCertificate } from './peer-certificate.ts';
import { type ContextOptions, contextOf } from './secure-context.ts';
import { type SignWriteOptions, SocketSigning } from './sign.ts';
import type { SignSource } from './sign-source.ts';
import { agreed, type SignedMessages } from './signed-messages.ts';
import { SocketFace } from './socket-face.ts';
import { readBuffer } from './transport.ts';

/** Options of both sides that concern the socket itself. */
export interface StreamOptions {
  /** Default false: when the peer has ended and everything is read, this side ends too. */
  allowHalfOpen?: boolean | undefined;
  /** Bytes that each side of the stream buffers before it asks to wait. Default: Node's for streams. */
  highWaterMark?: number | undefined;
  /** Destroys the socket when aborted. */
  signal?: AbortSignal | undefined;
  /** A transport that ends without close_notify is 'end', as with node:tls, not ERR_TLS_TRUNCATED. Default false. */
  allowTruncation?: boolean | undefined;
  /** Protocols that share the session with application data. */
  subProtocols?: readonly SubProtocolFactory[] | undefined;
  /** Where the session's engine runs, keys and all: a `SecurityModule`. Default: in this process. */
  module?: EngineSource | undefined;
}

/** Options of `new TLSSocket(transport, options)`: for STARTTLS, and for transports that are not TCP. */
export interface TLSSocketOptions extends StreamOptions, ContextOptions, ClientSettings, ServerSettings {
  /** Default false. */
  isServer?: boolean | undefined;
  /** Client: a session from the event 'session' or from `getSession()`, to resume. */
  session?: Uint8Array | undefined;
}

/** What a `Server` gives to the sockets that it makes; it decides once for all of them. */
export interface ServerOwner {
  /** The handshake is complete. */
  secured(socket: TLSSocket): void;
  /** The handshake failed. */
  failed(error: Error, socket: TLSSocket): void;
  keylog(line: Buffer, socket: TLSSocket): void;
  earlyData(data: Buffer, socket: TLSSocket): void;
  readonly config: ServerConfig;
}

/**
 * A TLS session as a stream, with the events, properties and methods of node:tls's class of this name
 * (docs/node-api.md: what is the same, what differs, what is absent and why).
 *
 * Events: 'secure', 'secureConnect' (client), 'session', 'keylog', 'OCSPResponse' (client), 'timeout', 'connect', and those of a Duplex; 'close'
 * has the argument `hadError`. Errors have a stable `code`.
 */
export class TLSSocket extends SocketFace {
  /** The peer showed a certificate, and it is valid (on a client, for the server's name as well); or it has our `psk`. */
  authorized = false;
  /** Code of what is wrong with the peer's certificate, when the session goes on all the same. */
  authorizationError: string | null = null;
  /** Server: the name that the client sent, or false. Client: the name it sent. Null before the handshake is done. */
  servername: string | false | null = null;
  /** The protocol that ALPN selected, or false. Null before the handshake is done. */
  alpnProtocol: string | false | null = null;
  /** True until the handshake is complete. */
  secureConnecting = true;

  readonly #owner: ServerOwner | undefined;
  readonly #isServer: boolean;
  readonly #requestsCertificate: boolean;
  readonly #wantsOcspResponse: boolean;
  /** Until the handshake begins. */
  #options: TLSSocketOptions | undefined;
  #session: ResumableSession | undefined;
  #ownCertificate: Uint8Array | undefined;
  #earlyData: Buffer[] | undefined;
  #subProtocols: readonly SubProtocol[] | undefined;
  #signing: SocketSigning | undefined;

  /**
   * Begins TLS over `transport`, as soon as that is connected. Without one, over a TCP socket that `connect` opens.
   * @throws ConnectionError ERR_TLS_OPTION for options that cannot work
   */
  constructor(transport?: Duplex, options: TLSSocketOptions = {}, owner?: ServerOwner) {
    super(streamOptions(options), options.allowTruncation === true);
    if (owner === undefined) checkPeerSettings(options);
    this.#owner = owner;
    this.#isServer = options.isServer === true;
    this.#requestsCertificate = !this.#isServer || options.requestCert === true;
    this.#wantsOcspResponse = options.requestOCSP === true;
    this.#options = owner === undefined ? { ...options, secureContext: contextOf(options) } : options;
    if (options.session !== undefined) this.setSession(options.session);
    this.#attach(transport);
  }

  /** Always true: tells this socket from a net.Socket. */
  get encrypted(): true {
    return true;
  }

  // ── before the handshake ───────────────────────────────────────────────────────────────────────

  /** Opens the TCP or local socket of a TLSSocket that was made without a transport. */
  connect(options: NetConnectOpts, listener?: () => void): this {
    if (listener !== undefined) this.once('connect', listener);
    (this.transport as Socket).connect(options);
    return this;
  }

  /** Client: the name for SNI and for the check of the certificate. */
  setServername(name: string): void {
    this.#pendingOptions('setServername').servername = name;
  }

  /** Client: a session to resume. One that cannot be read is passed over; the handshake is a full one then. */
  setSession(session: Uint8Array): void {
    this.#pendingOptions('setSession');
    this.#session = readSession(session);
  }

  /** Largest plaintext of a record, 512 to 16384. False when it cannot be set (any more). */
  setMaxSendFragment(size: number): boolean {
    if (this.#options === undefined || !isMaxSendFragment(size)) return false;
    this.#options = { ...this.#options, maxSendFragment: size };
    return true;
  }

  #pendingOptions(method: string): TLSSocketOptions {
    if (this.#options === undefined) {
      throw new ConnectionError('ERR_TLS_OPTION', `${method} must be called before the handshake begins`);
    }
    return this.#options;
  }

  #attach(given: Duplex | undefined): void {
    const transport = given ?? this.#makeTransport();
    this.attach(transport);
    if (given !== undefined && !(given instanceof Socket && given.connecting)) {
      // Anybody may emit 'connection' with a stream of their own, whose chunks are still its writer's.
      this.#begin(this.#owner !== undefined && given instanceof Socket ? 'own' : 'given');
      return;
    }
    for (const event of ['lookup', 'connect', 'ready'] as const) {
      transport.on(event, (...args: unknown[]) => this.emit(event, ...args));
    }
    transport.once('connect', () => this.#begin(given === undefined ? 'receive' : 'given'));
  }

  /** A socket that reads into the one buffer that all of them share. */
  #makeTransport(): Socket {
    const onread: OnReadOpts = {
      buffer: readBuffer(),
      callback: (length, buffer) => this.receive(buffer.subarray(0, length)),
    };
    // Documented for this constructor; its type knows it for connect() only.
    const options: SocketConstructorOpts & { onread: OnReadOpts } = { allowHalfOpen: true, onread };
    return new Socket(options);
  }

  // ── the handshake ──────────────────────────────────────────────────────────────────────────────

  #begin(source: 'given' | 'own' | 'receive'): void {
    const options = this.#options;
    if (options === undefined || this.destroyed) return;
    this.#options = undefined;
    let connection: SessionEngine;
    try {
      connection = this.#isServer ? this.#accept(options) : this.#open(options);
    } catch (error) {
      this.destroy(error as Error);
      return;
    }
    this.begin(connection, source);
  }

  #open(options: TLSSocketOptions): SessionEngine {
    const context = contextOf(options);
    const config = clientConfig(context, options, this.#session, () => this.listenerCount('keylog') > 0);
    this.#ownCertificate = context.identities[0]?.chain[0];
    this.servername = config.sendServerName ? (config.serverName ?? false) : false;
    const factories = this.#factories(options);
    const judges = context.hasOwnTrust || options.rejectUnauthorized === false;
    const elsewhere = options.module?.client(config, Date.now(), factories, judges);
    if (elsewhere !== undefined) return elsewhere;
    const connection = Connection.client(config, Date.now(), factories);
    const { earlyData } = options;
    // All or nothing: a message of which the rest comes later would be of two kinds.
    if (earlyData !== undefined && earlyData.length <= connection.earlyDataLeft)
      connection.sendEarly(earlyData);
    return connection;
  }

  #accept(options: TLSSocketOptions): SessionEngine {
    const config = this.#owner?.config ?? this.#ownServerConfig(options);
    const factories = this.#factories(options);
    return (
      options.module?.server(config, Date.now(), factories, config.certificateAuthorities.length > 0) ??
      Connection.server(config, Date.now(), factories)
    );
  }

  #ownServerConfig(options: TLSSocketOptions): ServerConfig {
    const secureContext = contextOf(options);
    this.#ownCertificate = secureContext.identities[0]?.chain[0];
    return configureServer({ ...options, secureContext }, () => this.listenerCount('keylog') > 0);
  }

  /** Remembers what the factories make, for `subProtocol`. */
  #factories({ subProtocols = [] }: TLSSocketOptions): SubProtocolFactory[] {
    if (subProtocols.length === 0) return [];
    const made: SubProtocol[] = [];
    this.#subProtocols = made;
    return subProtocols.map((make) => (role) => {
      const subProtocol = make(role);
      made.push(subProtocol);
      return subProtocol;
    });
  }

  protected override onHandshakeDone(): void {
    const { alpnProtocol, serverName, peer, pskIdentity, resumed } = this.#info();
    // A server may send no new ticket after a resumption; the one that it took can be used again then.
    if (!resumed) this.#session = undefined;
    this.secureConnecting = false;
    this.alpnProtocol = alpnProtocol ?? false;
    if (this.#isServer) this.servername = serverName ?? false;
    this.authorized = peer?.authorized ?? pskIdentity !== undefined;
    if (!this.authorized && this.#requestsCertificate)
      this.authorizationError = codeOf(asUserSaid(peer?.authorizationError));
    const sign = this.subProtocol('sign');
    if (sign !== undefined) this.#signing = new SocketSigning(this, sign);
    if (this.#wantsOcspResponse && !this.#isServer) this.emit('OCSPResponse', this.ocspResponse ?? null);
    this.emit('secure');
    if (this.destroyed) return;
    if (this.#owner !== undefined) this.#owner.secured(this);
    else if (!this.#isServer) this.emit('secureConnect');
  }

  protected override onHandshakeFailed(error: Error): Error | undefined {
    const reported = error instanceof IdentityRefused ? error.reason : hangUp(error, this.#isServer);
    if (this.#owner === undefined) return reported;
    this.#owner.failed(reported, this);
    return undefined;
  }

  protected override onEarlyData(data: Uint8Array): void {
    const bytes = Buffer.from(data);
    this.#earlyData ??= [];
    this.#earlyData.push(bytes);
    this.#owner?.earlyData(bytes, this);
  }

  /**
   * Server, TLS 1.3: asks a client that offers it (`postHandshakeAuth`) for its certificate. Data goes on meanwhile. What is
   * shown is judged as in the handshake; one that is not valid ends the session unless `rejectUnauthorized` is false.
   * 'clientAuthenticated' tells of each answer.
   * @returns `authorized`; false also for a client that shows none
   * @throws ConnectionError ERR_TLS_OPTION when the client does not offer it or 8 requests wait, ERR_TLS_CLOSED when the
   *   session ends before the answer
   */
  async requestCertificate(): Promise<boolean> {
    const { connection } = this;
    if (connection.requestCertificate === undefined)
      throw new ConnectionError('ERR_TLS_OPTION', 'The engine of this session cannot ask for certificates');
    connection.requestCertificate();
    this.flush();
    return new Promise((resolve, reject) => {
      const onAnswer = (): void => {
        this.off('close', onClose);
        resolve(this.authorized);
      };
      const onClose = (): void => {
        this.off('clientAuthenticated', onAnswer);
        const text = 'The session ended before the client showed a certificate';
        reject(this.errored ?? new ConnectionError('ERR_TLS_CLOSED', text));
      };
      this.once('clientAuthenticated', onAnswer);
      this.once('close', onClose);
    });
  }

  protected override onClientAuthenticated(): void {
    const { peer } = this.#info();
    this.authorized = peer?.authorized ?? false;
    this.authorizationError = this.authorized ? null : codeOf(asUserSaid(peer?.authorizationError));
    this.emit('clientAuthenticated');
  }

  protected override onTicket(session: ResumableSession): void {
    this.#session = session;
    if (this.listenerCount('session') > 0) this.emit('session', Buffer.from(serializeResumable(session)));
  }

  protected override onKeyLog(line: string): void {
    const bytes = Buffer.from(`${line}\n`, 'latin1');
    this.emit('keylog', bytes);
    this.#owner?.keylog(bytes, this);
  }

  // ── what the handshake settled ─────────────────────────────────────────────────────────────────

  /** The version agreed on, as node:tls writes it; null until the handshake is complete. */
  getProtocol(): ConnectionInfo['protocol'] | null {
    return this.handshakeDone ? this.#info().protocol : null;
  }

  getCipher(): { name: string; standardName: string; version: string } | undefined {
    if (!this.handshakeDone) return undefined;
    const { suite, protocol } = this.#info();
    return { name: suite.name, standardName: suite.standardName, version: protocol };
  }

  /** The group of the key exchange; null on a server, as with node:tls. */
  getEphemeralKeyInfo(): EphemeralKeyInfo | Record<string, never> | null {
    if (this.#isServer) return null;
    if (!this.handshakeDone) return {};
    const { group = 0, resumed, version } = this.#info();
    // A session of TLS 1.2 is resumed without a key exchange, and node:tls says nothing then.
    const info = resumed && version < ProtocolVersion.tls13 ? undefined : GROUP_INFO[group];
    return info === undefined ? {} : { ...info };
  }

  /** Client: the OCSP response that the server stapled, DER; what it decides is up to the option `ocsp`. */
  get ocspResponse(): Buffer | undefined {
    const response = this.handshakeDone ? this.#info().ocspResponse : undefined;
    return response === undefined ? undefined : Buffer.from(response);
  }

  /** Client, with `requestSCT`: the server's signed certificate timestamps (RFC 6962), not verified. */
  get signedCertificateTimestamps(): Buffer[] {
    const scts = this.handshakeDone ? this.#info().scts : undefined;
    return scts?.map((sct) => Buffer.from(sct)) ?? [];
  }

  /**
   * Server: the early data that came, apart from everything that is read from the stream. A client that was recorded could
   * have sent it; act on it only where doing so twice does no harm.
   */
  get earlyData(): Buffer {
    return Buffer.concat(this.#earlyData ?? []);
  }

  /** Whether the early data that the client offered was taken; `undefined` when it offered none. */
  get earlyDataAccepted(): boolean | undefined {
    return this.handshakeDone ? this.#info().earlyDataAccepted : undefined;
  }

  /** Identity of the `psk` that authenticated this session; `undefined` when certificates did, or nothing. */
  get pskIdentity(): Buffer | undefined {
    const identity = this.handshakeDone ? this.#info().pskIdentity : undefined;
    return identity === undefined ? undefined : Buffer.from(identity);
  }

  /** Client, TLS 1.2: what the server told to find the key by (`pskIdentityHint`), unauthenticated; `undefined` for none. */
  get pskIdentityHint(): Buffer | undefined {
    const hint = this.handshakeDone ? this.#info().pskIdentityHint : undefined;
    return hint === undefined ? undefined : Buffer.from(hint);
  }

  /** The peer's public key where it showed that raw (RFC 7250), as SubjectPublicKeyInfo, DER; `authorized` says whether it is trusted. */
  get peerRawPublicKey(): Buffer | undefined {
    const peer = this.handshakeDone ? this.#info().peer : undefined;
    return peer === undefined || peer.path.length > 0 ? undefined : Buffer.from(peer.publicKey.spki);
  }

  isSessionReused(): boolean {
    return this.handshakeDone && this.#info().resumed;
  }

  /**
   * Client: what a later connection needs to resume this session; `undefined` before the first 'session' event, unless this
   * session was resumed itself.
   */
  getSession(): Buffer | undefined {
    return this.#session === undefined ? undefined : Buffer.from(serializeResumable(this.#session));
  }

  /** The peer's certificate, `{}` when it showed none. With `detailed`, issuers are linked by `issuerCertificate`. */
  getPeerCertificate(detailed = false): PeerCertificate | DetailedPeerCertificate {
    return peerCertificate(this.#peerPath(), detailed);
  }

  getPeerX509Certificate(): X509Certificate | undefined {
    const [leaf] = this.#peerPath();
    return leaf === undefined ? undefined : x509Certificate(leaf);
  }

  /** This side's certificate, as `getPeerCertificate` shows the other's; null when it has none. */
  getCertificate(): PeerCertificate | null {
    const own = this.#own();
    return own === undefined ? null : peerCertificate([own], false);
  }

  getX509Certificate(): X509Certificate | undefined {
    const own = this.#own();
    return own === undefined ? undefined : x509Certificate(own);
  }

  /**
   * RFC 8446 §7.5, RFC 5705.
   * @throws ConnectionError ERR_TLS_NOT_CONNECTED before the handshake is complete; ModuleError ERR_MODULE_UNSUPPORTED for a
   *   session in a security module, see `requestKeyingMaterial`
   */
  exportKeyingMaterial(length: number, label: string, context?: Uint8Array): Buffer {
    return Buffer.from(this.connection.exportKeyingMaterial(label, context, length));
  }

  /**
   * The same, also for sessions in a security module, which has to be asked.
   * @throws as `exportKeyingMaterial`; ModuleError
   */
  async requestKeyingMaterial(length: number, label: string, context?: Uint8Array): Promise<Buffer> {
    return Buffer.from(await this.connection.requestKeyingMaterial(label, context, length));
  }

  /** The sub-protocol of this name, once both sides have agreed to it; else `undefined`. */
  subProtocol(name: string): SubProtocol | undefined {
    if (this.#subProtocols === undefined || !this.handshakeDone) return undefined;
    if (!this.#info().subProtocols.includes(name)) return undefined;
    return this.#subProtocols.find((candidate) => candidate.name === name);
  }

  // ── signing (docs/tls-sign.md) ─────────────────────────────────────────────────────────────────

  /** Signing in this session, once the handshake is complete and both sides have agreed to it; else `undefined`. */
  get signing(): SocketSigning | undefined {
    return this.#signing;
  }

  /**
   * Signs and sends data. `signing.on()` comes before it. The data must not change until the promise is settled. From a
   * source (a Readable, any iterable of bytes) a message of any size, see `SocketSigning.write`.
   * @returns the peer's signed receipt; with `receipt: false`, nothing, when it has left
   * @throws as `SocketSigning.write`; ConnectionError ERR_SIGN_UNAVAILABLE when signing was not agreed on
   */
  async signWrite(
    data: string | Uint8Array | SignSource,
    options?: SignWriteOptions,
  ): Promise<ReceivedReceipt | undefined> {
    return agreed(this.#signing).write(data, options);
  }

  /**
   * Signed messages as they come, verified. Ends with the peer's end; fails with the session.
   * @throws ConnectionError ERR_SIGN_UNAVAILABLE when signing was not agreed on
   */
  get signed(): SignedMessages {
    return agreed(this.#signing).messages;
  }

  #info(): ConnectionInfo {
    const { info } = this.connection;
    if (info === undefined)
      throw new ConnectionError('ERR_TLS_NOT_CONNECTED', 'The handshake is not complete yet');
    return info;
  }

  /** DER, end entity first, up to the trust anchor when a path to it was found. */
  #peerPath(): readonly Uint8Array[] {
    const peer = this.handshakeDone ? this.#info().peer : undefined;
    return peer?.path.map(({ raw }) => raw) ?? [];
  }

  #own(): Uint8Array | undefined {
    if (!this.handshakeDone) return this.#ownCertificate;
    return this.connection.identities[0]?.chain[0] ?? this.#ownCertificate;
  }

  // ── keys ───────────────────────────────────────────────────────────────────────────────────────

  /**
   * Changes the key of this direction (KeyUpdate, RFC 8446 §4.6.3); it also happens by itself at the cipher's limit.
   * @param requestPeer the peer shall change its key as well
   * @throws ConnectionError ERR_TLS_NOT_CONNECTED before the handshake is complete, ERR_TLS_CLOSED once the session is closed for
   *   sending, by `end` or from outside: never while `writable` is true
   */
  updateKeys(requestPeer = false): void {
    this.connection.updateKeys(requestPeer);
    this.flush();
  }

  /** TLS 1.3 has no renegotiation: calls back with an error, and returns false, as node:tls does. */
  renegotiate(_options: unknown, callback?: (error: Error | null) => void): boolean {
    const error = new ConnectionError(
      'ERR_TLS_OPTION',
      'TLS 1.3 has no renegotiation; use updateKeys for fresh keys',
    );
    if (callback !== undefined) process.nextTick(callback, error);
    return false;
  }

  /** There is nothing to switch off in TLS 1.3. */
  disableRenegotiation(): void {}
}

function streamOptions({ allowHalfOpen, highWaterMark, signal }: StreamOptions): DuplexOptions {
  const options: DuplexOptions = { allowHalfOpen: allowHalfOpen === true };
  if (highWaterMark !== undefined) options.highWaterMark = highWaterMark;
  if (signal !== undefined) options.signal = signal;
  return options;
}

/** A user's `checkServerIdentity` is quoted as it is. */
function asUserSaid(error: Error | undefined): Error | undefined {
  return error instanceof IdentityRefused ? error.reason : error;
}

/** As node:tls reports it; it says the same when a client showed no certificate at all. */
function codeOf(error: Error | undefined): string {
  if (error === undefined) return 'UNABLE_TO_GET_ISSUER_CERT';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

/** A transport that ends in the middle of the handshake has the error that node:tls's users expect. */
function hangUp(error: Error, isServer: boolean): Error {
  if (!(error instanceof TrellisError) || error.code !== 'ERR_TLS_TRUNCATED') return error;
  const message = isServer
    ? 'socket hang up'
    : 'Client network socket disconnected before secure TLS connection was established';
  return new TrellisError('ECONNRESET', message, { cause: error });
}
