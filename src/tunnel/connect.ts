import type { RemoteInfo } from 'node:dgram';
import type { EventEmitter } from 'node:events';
import net, { type Socket } from 'node:net';
import { ConnectionError } from '../errors/errors.ts';
import type { ContentFormat } from '../formats/format.ts';
import { muxClient } from '../mux/index.ts';
import { connect } from '../node/connect.ts';
import { connect as connectDtls, type DtlsSocket } from '../node/dtls/index.ts';
import { type MuxConnection, type MuxDatagrams, type MuxSession, muxSession } from '../node/mux.ts';
import type { SecureContext } from '../node/secure-context.ts';
import type { TLSSocket } from '../node/tls-socket.ts';
import { signClient } from '../sign/index.ts';
import {
  checkForwards,
  checkSessionApplications,
  type Endpoint,
  type Forward,
  formatEndpoint,
  isUdp,
  nameInSession,
} from './addresses.ts';
import { Ending } from './ending.ts';
import { TunnelError } from './errors.ts';
import { listenOn } from './listen.ts';
import { silentLog, type TunnelLog } from './log.ts';
import {
  CONNECT_TIMEOUT,
  type ConnectOptions,
  DRAIN_TIMEOUT,
  HANDSHAKE_TIMEOUT,
  type Tunnel,
  type TunnelStats,
  UDP_FLOWS_MAX,
  UDP_IDLE,
  WAIT_TIMEOUT,
  WAITING_MAX,
} from './options.ts';
import { pump, socketLeg, streamLeg } from './pump.ts';
import { askForReverse } from './reverse.ts';
import { SessionKeeper, type SessionKeeperOptions } from './session-keeper.ts';
import { SessionPool } from './session-pool.ts';
import {
  algorithms,
  describeSession,
  muxLimits,
  overUdp,
  peerOf,
  recordEnd,
  requireForDatagrams,
  SOCKET_BUFFER,
  STREAM_OPTIONS,
  sayGoodbye,
  secureContext,
  TRANSPORT_OPTIONS,
  watchSilence,
} from './sessions.ts';
import { onSignedMessage, signedPump, UnitBudget } from './signed-pump.ts';
import { notSigned, SIGNED_BUFFER, SigningPlan, signsAnyway, warnOfUpgrade } from './signing.ts';
import { isStreamed } from './signing-rules.ts';
import { acceptSocks, encodeReply, SocksReply } from './socks.ts';
import { type ConnectionRecord, fault, reasonOfError, type SessionRecord, Traffic } from './traffic.ts';
import { DatagramForward, FlowLimit } from './udp.ts';

/** A running `connectTunnel`. */
export interface ClientTunnel extends Tunnel {
  /** As given, with the ports that were picked for 0. */
  readonly forwards: readonly Forward[];
  /** Where SOCKS5 is spoken, the same. */
  readonly socks: readonly Endpoint[];
}

/**
 * Forwards local ports to the applications of a server, over one session that is opened when it is first needed (or at
 * once with `eager`) and again when it drops. Resolves when the ports are open.
 * @throws TunnelError ERR_TUNNEL_OPTION, ERR_TUNNEL_CREDENTIALS, ERR_TUNNEL_LISTEN
 */
export async function connectTunnel(options: ConnectOptions): Promise<ClientTunnel> {
  const tunnel = new Client(options);
  await tunnel.listen();
  return tunnel;
}

interface OpenSession {
  readonly session: MuxSession;
  readonly record: SessionRecord;
}

/** How a session signs; `undefined`: not at all. A session has one format. */
type SessionKind = ContentFormat | undefined;

class Client implements ClientTunnel {
  readonly #options: ConnectOptions;
  readonly #log: TunnelLog;
  readonly #context: SecureContext;
  readonly #traffic: Traffic;
  readonly #ending: Ending;
  readonly #units = new UnitBudget();
  readonly #signing: SigningPlan | undefined;
  /** Sessions that connections share: one for each format, or a plain one. The first carries what is not signed. */
  readonly #keepers: ReadonlyMap<SessionKind, SessionKeeper<OpenSession>>;
  /** Of connections that are streamed. */
  readonly #pool: SessionPool<OpenSession>;
  readonly #listeners: net.Server[] = [];
  readonly #datagramForwards: DatagramForward[] = [];
  readonly #flows: FlowLimit;
  #forwards: readonly Forward[] = [];
  readonly #socks: Endpoint[] = [];
  /** For resumption: the next session needs no certificates. */
  #ticket: Buffer | undefined;
  #waiting = 0;

  constructor(options: ConnectOptions) {
    const { cert, key, ca, forwards, log = silentLog, drainTimeout = DRAIN_TIMEOUT } = options;
    const { socks = [], reverses = [] } = options;
    if (forwards.length + socks.length + reverses.length === 0)
      throw new TunnelError(
        'ERR_TUNNEL_OPTION',
        'At least one forward is needed: --forward, --socks or --reverse.',
      );
    checkForwards(forwards);
    checkSessionApplications(
      options.server,
      forwards.map(({ application }) => application),
    );
    if (options.server.transport === 'udp') {
      requireForDatagrams(options);
      if (socks.length > 0) throw overUdp('--socks');
      if (reverses.length > 0) throw overUdp('--reverse');
    }
    if (ca !== undefined) secureContext('The CA', { ca });
    this.#context = secureContext("The client's certificate and key", {
      ...algorithms(options),
      cert,
      key,
      ca,
      crl: options.crl,
    });
    this.#options = options;
    this.#log = log;
    this.#signing = options.signing && new SigningPlan(options.signing, ca);
    const hasIdentity = cert !== undefined || options.module !== undefined;
    if (options.signing !== undefined && !hasIdentity && options.signing.cert === undefined) {
      throw new TunnelError(
        'ERR_TUNNEL_OPTION',
        'There is nothing to sign with: give --cert and --key, or --sign-cert and --sign-key.',
      );
    }
    this.#traffic = new Traffic(log);
    this.#flows = new FlowLimit(options.maxUdpFlows ?? UDP_FLOWS_MAX);
    this.#keepers = new Map(this.#sharedKinds().map((kind) => [kind, this.#makeKeeper(kind)]));
    this.#pool = new SessionPool(
      (keeper) => this.#keeping('pkcs7', keeper),
      ({ session }) => void sayGoodbye(session),
    );
    this.#ending = new Ending(this.#traffic, drainTimeout, {
      stopAccepting: () => {
        this.#stopListening();
      },
      closeSessions: async () => {
        const open = [...this.#keepers.values()].map((keeper) => keeper.close()).concat(this.#pool.close());
        await Promise.all(open.map((one) => one && sayGoodbye(one.session)));
      },
    });
  }

  get forwards(): readonly Forward[] {
    return this.#forwards;
  }

  get socks(): readonly Endpoint[] {
    return this.#socks;
  }

  get stats(): TunnelStats {
    return this.#traffic.stats;
  }

  get finished(): Promise<Error | undefined> {
    return this.#ending.finished;
  }

  close(): Promise<void> {
    return this.#ending.close();
  }

  async listen(): Promise<void> {
    const bound: Forward[] = [];
    try {
      for (const { listen, application } of this.#options.forwards) {
        if (isUdp(application)) {
          bound.push({ listen: await this.#listenForDatagrams(listen, application), application });
          continue;
        }
        const listener = this.#makeListener(application);
        bound.push({ listen: await listenOn(listener, listen), application });
        listener.on('error', (error) => this.#ending.fail(error));
        this.#listeners.push(listener);
      }
      for (const endpoint of this.#options.socks ?? []) {
        const listener = this.#makeSocksListener();
        this.#socks.push(await listenOn(listener, endpoint));
        listener.on('error', (error) => this.#ending.fail(error));
        this.#listeners.push(listener);
      }
    } catch (error) {
      this.#stopListening();
      throw error;
    }
    this.#forwards = bound;
    // What the server is to open for us needs a session before anybody asks for one.
    if ((this.#options.reverses ?? []).length > 0) this.#firstKeeper.start();
    if (this.#options.eager) for (const keeper of this.#keepers.values()) keeper.start();
  }

  #stopListening(): void {
    for (const listener of this.#listeners) listener.close();
    for (const forward of this.#datagramForwards) forward.drain();
  }

  #listenForDatagrams(endpoint: Endpoint, application: string): Promise<Endpoint> {
    const forward = new DatagramForward({
      application,
      traffic: this.#traffic,
      idle: this.#options.udpIdle ?? UDP_IDLE,
      limit: this.#flows,
      open: (record, source) => this.#openDatagrams(record, source),
    });
    this.#datagramForwards.push(forward);
    return forward.bind(endpoint, (error) => this.#ending.fail(error));
  }

  #openDatagrams(record: ConnectionRecord, source: RemoteInfo): MuxDatagrams | Promise<MuxDatagrams> {
    const keeper = this.#firstKeeper;
    const open = ({ session, record: owner }: OpenSession): MuxDatagrams => {
      record.session = owner;
      return session.openDatagrams(nameInSession(record.application, this.#options.server), {
        localPort: source.port,
        localAddress: source.address,
      });
    };
    const { current } = keeper;
    return current === undefined ? this.#wait(keeper, NEVER).then(open) : open(current);
  }

  #makeKeeper(kind: SessionKind): SessionKeeper<OpenSession> {
    const keeper: SessionKeeper<OpenSession> = new SessionKeeper(this.#keeping(kind, () => keeper));
    return keeper;
  }

  #keeping(kind: SessionKind, keeper: () => SessionKeeper<OpenSession>): SessionKeeperOptions<OpenSession> {
    return {
      open: (signal) => this.#openSession(kind, keeper(), signal),
      discard: ({ session }) => session.destroy(),
      onRetry: (delay, error) => {
        const server = formatEndpoint(this.#options.server);
        this.#log.warn(
          { event: 'session.retry', server, delay, ...fault(error) },
          `no session; next try in ${delay} ms`,
        );
      },
    };
  }

  /** Of the sessions that the forwards share. */
  #sharedKinds(): SessionKind[] {
    const kinds = new Set<SessionKind>();
    const { socks = [], reverses = [] } = this.#options;
    let isPlain = socks.length + reverses.length > 0;
    for (const { application } of this.#options.forwards) {
      const signed = this.#signing?.of(application);
      if (signed === undefined) isPlain = true;
      else if (!isStreamed(signed)) kinds.add(signed.format);
    }
    if (isPlain && kinds.size === 0) kinds.add(undefined);
    return [...kinds];
  }

  /** @throws TunnelError ERR_TUNNEL_LIMIT */
  /** There is at least one: it carries what is not signed. */
  get #firstKeeper(): SessionKeeper<OpenSession> {
    const [first] = this.#keepers.values();
    return first as SessionKeeper<OpenSession>;
  }

  #keeperFor(record: ConnectionRecord): SessionKeeper<OpenSession> {
    const signed = this.#signing?.of(record.application);
    if (signed !== undefined && isStreamed(signed)) {
      const keeper = this.#pool.take();
      record.whenClosed(() => this.#pool.give(keeper));
      return keeper;
    }
    const first = this.#firstKeeper;
    // There is one for each format that is shared, and one where none is.
    return (this.#keepers.get(signed?.format) ?? first) as SessionKeeper<OpenSession>;
  }

  #makeListener(application: string): net.Server {
    return net.createServer(
      // Not read before there is somewhere to put it.
      { ...STREAM_OPTIONS, pauseOnConnect: true, noDelay: true, highWaterMark: SOCKET_BUFFER },
      (socket) => this.#accept(socket, application),
    );
  }

  /** SOCKS5: the client says where to go, the server whether it may (docs/cli.md). */
  #makeSocksListener(): net.Server {
    return net.createServer({ ...STREAM_OPTIONS, noDelay: true, highWaterMark: SOCKET_BUFFER }, (socket) =>
      acceptSocks(socket, (target) => void this.#dial(socket, target)),
    );
  }

  async #dial(socket: Socket, target: Endpoint): Promise<void> {
    const name = formatEndpoint(target);
    const record = this.#traffic.openConnection(peerOf(socket), name);
    const withdrawn = new AbortController();
    const answer = (reply: SocksReply): void => void socket.write(encodeReply(reply));
    const onClose = (): void => withdrawn.abort();
    const ignore = (): void => {};
    socket.on('error', ignore);
    socket.once('close', onClose);
    record.onGiveUp(() => socket.destroy());
    try {
      const { session, record: owner } =
        this.#firstKeeper.current ?? (await this.#wait(this.#firstKeeper, withdrawn.signal));
      record.session = owner;
      const stream = session.open(target, { ...STREAM_OPTIONS, localPort: socket.remotePort });
      await accepted(stream, withdrawn.signal);
      answer(SocksReply.succeeded);
      socket.off('close', onClose);
      record.carry((done) => pump(socketLeg(socket), streamLeg(stream), done));
    } catch (error) {
      answer(isRefusal(error) ? SocksReply.notAllowed : SocksReply.networkUnreachable);
      socket.end();
      record.close(reasonOfError(error), error);
    }
  }

  /** Has the server open the ports that it is to open for us, as long as this session lasts. */
  #openReverses({ session, record }: OpenSession): void {
    const { reverses = [] } = this.#options;
    if (reverses.length === 0) return;
    session.on('connection', (stream) => this.#acceptReverse(stream, record));
    for (const reverse of reverses) {
      const where = { listen: formatEndpoint(reverse.listen), target: formatEndpoint(reverse.target) };
      Promise.resolve()
        .then(() => askForReverse(session, reverse))
        .then(
          () =>
            this.#log.info(
              { event: 'reverse.open', session: record.id, ...where },
              `the server listens on ${where.listen} for ${where.target}`,
            ),
          (error) =>
            this.#log.warn(
              { event: 'reverse.failed', session: record.id, ...where, ...fault(error) },
              `the server does not listen on ${where.listen}: its policy must name this client and that port`,
            ),
        );
    }
  }

  /** A connection to a port that the server has open for us: only to where this side's user has said. */
  #acceptReverse(stream: MuxConnection, owner: SessionRecord): void {
    const asked = stream.destination;
    const reverse = this.#options.reverses?.find(
      ({ listen }) => listen.host === asked?.host && listen.port === asked?.port,
    );
    if (asked === undefined || reverse === undefined) {
      stream.on('error', () => {});
      stream.refuse('nobody has asked for it');
      return;
    }
    stream.defer();
    const { target } = reverse;
    const record = this.#traffic.openConnection(
      stream.sourceAddress || owner.peer,
      formatEndpoint(target),
      owner,
    );
    const near = net.connect({ ...target, noDelay: true, ...STREAM_OPTIONS, ...socketBuffer });
    let failure: Error | undefined;
    const onError = (error: Error): void => {
      failure ??= error;
    };
    const giveUp = (): void => {
      near.destroy();
      stream.refuse(`${formatEndpoint(target)} cannot be reached from the client`);
      record.close('unreachable', failure);
    };
    near.on('error', onError);
    stream.on('error', onError);
    near.once('close', giveUp);
    stream.once('close', giveUp);
    record.onGiveUp(giveUp);
    near.once('connect', () => {
      near.off('close', giveUp);
      stream.off('close', giveUp);
      stream.accept();
      record.carry((done) => pump(socketLeg(near), streamLeg(stream), done));
    });
  }

  #accept(socket: Socket, application: string): void {
    const record = this.#traffic.openConnection(peerOf(socket), application);
    let keeper: SessionKeeper<OpenSession>;
    try {
      keeper = this.#keeperFor(record);
    } catch (error) {
      socket.resetAndDestroy();
      record.close(reasonOfError(error), error);
      return;
    }
    const open = keeper.current;
    if (open === undefined) void this.#acceptLater(socket, record, keeper);
    else this.#carry(socket, record, open);
  }

  /** There is no session yet, or none just now. */
  async #acceptLater(
    socket: Socket,
    record: ConnectionRecord,
    keeper: SessionKeeper<OpenSession>,
  ): Promise<void> {
    const withdrawn = new AbortController();
    let failure: Error | undefined;
    const onError = (error: Error): void => {
      failure ??= error;
    };
    const onClose = (): void => withdrawn.abort();
    socket.on('error', onError);
    socket.on('close', onClose);
    record.onGiveUp((error) => {
      failure = error;
      socket.resetAndDestroy();
    });
    try {
      const open = await this.#wait(keeper, withdrawn.signal);
      socket.off('close', onClose);
      this.#carry(socket, record, open);
    } catch (error) {
      socket.resetAndDestroy();
      if (!withdrawn.signal.aborted) record.close(reasonOfError(error), error);
      else record.close(reasonOfError(failure) === 'stopped' ? 'stopped' : 'local-reset', failure);
    }
  }

  #carry(socket: Socket, record: ConnectionRecord, { session, record: sessionRecord }: OpenSession): void {
    record.session = sessionRecord;
    const signed = this.#signing?.of(record.application);
    const { signing } = session.socket;
    if (signed !== undefined && signing === undefined) {
      socket.resetAndDestroy();
      record.close('unsigned', notSigned(record.application, signed.format));
      return;
    }
    let stream: MuxConnection;
    try {
      stream = session.open(record.application, {
        ...STREAM_OPTIONS,
        localPort: socket.remotePort,
        localAddress: socket.remoteAddress,
      });
    } catch (error) {
      socket.resetAndDestroy();
      record.close(reasonOfError(error), error);
      return;
    }
    if (signed !== undefined) {
      const buffer = this.#options.connectionBuffer ?? SIGNED_BUFFER;
      const onUpgrade = (): void => warnOfUpgrade(this.#log, record);
      const options = {
        application: signed,
        role: 'client',
        buffer,
        budget: this.#units,
        onUpgrade,
      } as const;
      record.carry((done) => signedPump(socketLeg(socket), stream, options, done));
      return;
    }
    record.carry((done) => pump(socketLeg(socket), streamLeg(stream), done));
    if (signing !== undefined) {
      onSignedMessage(stream, () => record.abort(signsAnyway('server', record.application)));
    }
  }

  async #wait(keeper: SessionKeeper<OpenSession>, signal: AbortSignal): Promise<OpenSession> {
    if (this.#waiting >= WAITING_MAX) {
      throw new TunnelError('ERR_TUNNEL_WAIT', `${WAITING_MAX} connections wait for a session already.`);
    }
    this.#waiting++;
    try {
      return await keeper.acquire(this.#options.waitTimeout ?? WAIT_TIMEOUT, signal);
    } finally {
      this.#waiting--;
    }
  }

  /** TCP, TLS and the agreements to multiplex and to sign. */
  #openSession(
    kind: SessionKind,
    keeper: SessionKeeper<OpenSession>,
    signal: AbortSignal,
  ): Promise<OpenSession> {
    const { server, servername, onKeylog } = this.#options;
    const signing = kind === undefined ? undefined : this.#signing?.options([kind]);
    const socket =
      server.transport === 'udp'
        ? this.#openDtls()
        : connect({
            ...TRANSPORT_OPTIONS,
            host: server.host,
            port: server.port,
            servername,
            secureContext: this.#context,
            psk: this.#options.psk,
            ALPNProtocols: this.#options.alpn,
            ocsp: this.#options.revocation,
            module: this.#options.module,
            session: this.#ticket,
            handshakeTimeout: this.#options.handshakeTimeout ?? HANDSHAKE_TIMEOUT,
            subProtocols: [
              muxClient(muxLimits(this.#options)),
              ...(signing === undefined ? [] : [signClient(signing)]),
            ],
          });
    const emitter: EventEmitter = socket;
    if (onKeylog !== undefined) emitter.on('keylog', onKeylog);
    emitter.on('session', (ticket: Buffer) => {
      this.#ticket = ticket;
    });
    return new Promise((resolve, reject) => {
      const { connectTimeout = CONNECT_TIMEOUT } = this.#options;
      const timer = setTimeout(() => {
        socket.destroy(
          new Error(`${formatEndpoint(server)} did not answer within ${connectTimeout / 1000} s`),
        );
      }, connectTimeout);
      const abandon = (): void =>
        void socket.destroy(new TunnelError('ERR_TUNNEL_CLOSED', 'The tunnel was closed.'));
      signal.addEventListener('abort', abandon, { once: true });
      const settle = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', abandon);
      };
      const onFailure = (error: Error): void => {
        settle();
        // A ticket that the server chokes on must not be tried for ever.
        this.#ticket = undefined;
        reject(error);
      };
      emitter.once('connect', () => clearTimeout(timer));
      emitter.once('error', onFailure);
      emitter.once('secureConnect', () => {
        settle();
        emitter.off('error', onFailure);
        const session = muxSession(socket, STREAM_OPTIONS);
        if (session === undefined) {
          socket.destroy();
          reject(new TunnelError('ERR_TUNNEL_OPTION', 'The server does not multiplex; is it trellis serve?'));
          return;
        }
        resolve(this.#register(socket, session, keeper));
      });
    });
  }

  /** UDP and DTLS. */
  #openDtls(): DtlsSocket {
    const { server, servername } = this.#options;
    const socket = connectDtls({
      host: server.host,
      port: server.port,
      servername,
      secureContext: this.#context,
      psk: this.#options.psk,
      ALPNProtocols: this.#options.alpn,
      ocsp: this.#options.revocation,
      session: this.#ticket,
      handshakeTimeout: this.#options.handshakeTimeout ?? HANDSHAKE_TIMEOUT,
      subProtocols: [
        muxClient({
          ...muxLimits(this.#options),
          mode: 'ports',
          idleTimeout: this.#options.udpIdle ?? UDP_IDLE,
        }),
      ],
    });
    watchSilence(socket);
    return socket;
  }

  #register(
    socket: TLSSocket | DtlsSocket,
    session: MuxSession,
    keeper: SessionKeeper<OpenSession>,
  ): OpenSession {
    socket.signing?.on();
    const record = this.#traffic.openSession(peerOf(socket), describeSession(socket));
    const open = { session, record };
    let failure: Error | undefined;
    recordEnd(session, record, () => this.#ending.begun);
    session.on('error', (error) => {
      failure = error;
    });
    session.on('close', () => {
      keeper.lost(open, failure ?? new Error('the server closed the session'));
    });
    if (this.#signing !== undefined && socket.signing === undefined) {
      this.#log.warn(
        { event: 'session.unsigned', session: record.id },
        'the server does not agree to sign, so no signed application can be used; start it with --sign APP=FORMAT --archive FILE, as here',
      );
    }
    if (keeper === this.#firstKeeper) this.#openReverses(open);
    const lacking = this.#lacking(session);
    if (lacking.length > 0) {
      this.#log.warn(
        { event: 'session.lacks', session: record.id, applications: lacking },
        `the server does not offer ${lacking.join(', ')}; what it offers: ${offered(session)}`,
      );
    }
    return open;
  }

  /** Applications of forwards that the server did not name. */
  #lacking(session: MuxSession): string[] {
    const { agreement } = session;
    // In channel mode each connection names its application; whoever asks for one that is not there is told then.
    if (agreement?.mode !== 'ports' || agreement.any) return [];
    const names = new Set(agreement.applications.map(({ name }) => name));
    const { forwards, server } = this.#options;
    const wanted = new Set(forwards.map(({ application }) => nameInSession(application, server)));
    return [...wanted].filter((name) => !names.has(name));
  }
}

const socketBuffer = { highWaterMark: SOCKET_BUFFER };

/** A flow of datagrams is not withdrawn: who sends one waits for nothing. */
const NEVER = new AbortController().signal;

/** Resolves when the other side has accepted it. */
function accepted(stream: MuxConnection, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => void stream.destroy();
    const settle = (error?: Error): void => {
      signal.removeEventListener('abort', onAbort);
      stream.off('error', settle);
      stream.off('close', onClose);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onClose = (): void => settle(new TunnelError('ERR_TUNNEL_CLOSED', 'The local program went away.'));
    signal.addEventListener('abort', onAbort, { once: true });
    stream.on('error', settle);
    stream.on('close', onClose);
    stream.once('connect', () => settle());
  });
}

function isRefusal(error: unknown): boolean {
  return error instanceof ConnectionError && error.code !== 'ERR_MUX_SESSION_CLOSED';
}

function offered({ agreement }: MuxSession): string {
  return agreement?.mode === 'ports' ? agreement.applications.map(({ name }) => name).join(', ') : '';
}
