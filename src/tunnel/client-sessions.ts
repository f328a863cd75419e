import type { EventEmitter } from 'node:events';
import type { ContentFormat } from '../formats/format.ts';
import { muxClient } from '../mux/index.ts';
import { connect } from '../node/connect.ts';
import { connect as connectDtls, type DtlsSocket } from '../node/dtls/index.ts';
import { type MuxSession, muxSession } from '../node/mux.ts';
import type { SecureContext } from '../node/secure-context.ts';
import type { TLSSocket } from '../node/tls-socket.ts';
import { signClient } from '../sign/index.ts';
import { formatEndpoint, nameInSession } from './addresses.ts';
import { TunnelError } from './errors.ts';
import type { TunnelLog } from './log.ts';
import {
  CONNECT_TIMEOUT,
  type ConnectOptions,
  HANDSHAKE_TIMEOUT,
  UDP_IDLE,
  WAIT_TIMEOUT,
  WAITING_MAX,
} from './options.ts';
import { SessionKeeper, type SessionKeeperOptions } from './session-keeper.ts';
import { SessionPool } from './session-pool.ts';
import {
  describeSession,
  muxLimits,
  peerOf,
  recordEnd,
  STREAM_OPTIONS,
  sayGoodbye,
  TRANSPORT_OPTIONS,
  watchSilence,
} from './sessions.ts';
import type { SigningPlan } from './signing.ts';
import { isStreamed } from './signing-rules.ts';
import { type ConnectionRecord, fault, type SessionRecord, type Traffic } from './traffic.ts';

export interface OpenSession {
  readonly session: MuxSession;
  readonly record: SessionRecord;
}

/** How a session signs; `undefined`: not at all. A session has one format. */
type SessionKind = ContentFormat | undefined;

/** What the client's sessions are made of, and who hears of them. */
export interface SessionsOf {
  readonly options: ConnectOptions;
  readonly context: SecureContext;
  readonly signing: SigningPlan | undefined;
  readonly traffic: Traffic;
  readonly log: TunnelLog;
  /** The tunnel is ending: sessions that close do so because of that. */
  readonly isEnding: () => boolean;
  /** The session that carries what is not signed is open, anew perhaps. */
  readonly onFirst: (open: OpenSession) => void;
}

/** The client's sessions with its server: opened when they are needed, and again when they drop. */
export class ClientSessions {
  readonly #of: SessionsOf;
  /** Sessions that connections share: one for each format, or a plain one. The first carries what is not signed. */
  readonly #keepers: ReadonlyMap<SessionKind, SessionKeeper<OpenSession>>;
  /** Of connections that are streamed. */
  readonly #pool: SessionPool<OpenSession>;
  /** For resumption: the next session needs no certificates. */
  #ticket: Buffer | undefined;
  #waiting = 0;

  constructor(of: SessionsOf) {
    this.#of = of;
    this.#keepers = new Map(this.#sharedKinds().map((kind) => [kind, this.#makeKeeper(kind)]));
    this.#pool = new SessionPool(
      (keeper) => this.#keeping('pkcs7', keeper),
      ({ session }) => void sayGoodbye(session),
    );
  }

  /** There is at least one: it carries what is not signed. */
  get first(): SessionKeeper<OpenSession> {
    const [first] = this.#keepers.values();
    return first as SessionKeeper<OpenSession>;
  }

  /**
   * Of whoever opens a connection.
   * @throws TunnelError ERR_TUNNEL_LIMIT
   */
  keeperFor(record: ConnectionRecord): SessionKeeper<OpenSession> {
    const signed = this.#of.signing?.of(record.application);
    if (signed !== undefined && isStreamed(signed)) {
      const keeper = this.#pool.take();
      record.whenClosed(() => this.#pool.give(keeper));
      return keeper;
    }
    const first = this.first;
    // There is one for each format that is shared, and one where none is.
    return (this.#keepers.get(signed?.format) ?? first) as SessionKeeper<OpenSession>;
  }

  /** The keeper's session, once it is there. @throws TunnelError ERR_TUNNEL_WAIT */
  async wait(keeper: SessionKeeper<OpenSession>, signal: AbortSignal): Promise<OpenSession> {
    if (this.#waiting >= WAITING_MAX) {
      throw new TunnelError('ERR_TUNNEL_WAIT', `${WAITING_MAX} connections wait for a session already.`);
    }
    this.#waiting++;
    try {
      return await keeper.acquire(this.#of.options.waitTimeout ?? WAIT_TIMEOUT, signal);
    } finally {
      this.#waiting--;
    }
  }

  /** Opens them now. */
  start(): void {
    for (const keeper of this.#keepers.values()) keeper.start();
  }

  async close(): Promise<void> {
    const open = [...this.#keepers.values()].map((keeper) => keeper.close()).concat(this.#pool.close());
    await Promise.all(open.map((one) => one && sayGoodbye(one.session)));
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
        const server = formatEndpoint(this.#of.options.server);
        this.#of.log.warn(
          { event: 'session.retry', server, delay, ...fault(error) },
          `no session; next try in ${delay} ms`,
        );
      },
    };
  }

  /** Of the sessions that the forwards share. */
  #sharedKinds(): SessionKind[] {
    const kinds = new Set<SessionKind>();
    const { socks = [], reverses = [] } = this.#of.options;
    let isPlain = socks.length + reverses.length > 0;
    for (const { application } of this.#of.options.forwards) {
      const signed = this.#of.signing?.of(application);
      if (signed === undefined) isPlain = true;
      else if (!isStreamed(signed)) kinds.add(signed.format);
    }
    if (isPlain && kinds.size === 0) kinds.add(undefined);
    return [...kinds];
  }

  /** TCP, TLS and the agreements to multiplex and to sign. */
  #openSession(
    kind: SessionKind,
    keeper: SessionKeeper<OpenSession>,
    signal: AbortSignal,
  ): Promise<OpenSession> {
    const { server, onKeylog } = this.#of.options;
    const signing = kind === undefined ? undefined : this.#of.signing?.options([kind]);
    const socket =
      server.transport === 'udp'
        ? this.#openDtls()
        : connect({
            ...TRANSPORT_OPTIONS,
            ...this.#handshakeOptions(),
            subProtocols: [
              muxClient(muxLimits(this.#of.options)),
              ...(signing === undefined ? [] : [signClient(signing)]),
            ],
          });
    const emitter: EventEmitter = socket;
    if (onKeylog !== undefined) emitter.on('keylog', onKeylog);
    emitter.on('session', (ticket: Buffer) => {
      this.#ticket = ticket;
    });
    return new Promise((resolve, reject) => {
      const { connectTimeout = CONNECT_TIMEOUT } = this.#of.options;
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
    const socket = connectDtls({
      ...this.#handshakeOptions(),
      subProtocols: [
        muxClient({
          ...muxLimits(this.#of.options),
          mode: 'ports',
          idleTimeout: this.#of.options.udpIdle ?? UDP_IDLE,
        }),
      ],
    });
    watchSilence(socket);
    return socket;
  }

  /** Over TCP and over UDP. */
  #handshakeOptions() {
    const { server, servername, psk, alpn, revocation, module, handshakeTimeout } = this.#of.options;
    return {
      host: server.host,
      port: server.port,
      servername,
      secureContext: this.#of.context,
      psk,
      ALPNProtocols: alpn,
      ocsp: revocation,
      module,
      session: this.#ticket,
      handshakeTimeout: handshakeTimeout ?? HANDSHAKE_TIMEOUT,
    };
  }

  #register(
    socket: TLSSocket | DtlsSocket,
    session: MuxSession,
    keeper: SessionKeeper<OpenSession>,
  ): OpenSession {
    socket.signing?.on();
    const record = this.#of.traffic.openSession(peerOf(socket), describeSession(socket));
    const open = { session, record };
    let failure: Error | undefined;
    recordEnd(session, record, this.#of.isEnding);
    session.on('error', (error) => {
      failure = error;
    });
    session.on('close', () => {
      keeper.lost(open, failure ?? new Error('the server closed the session'));
    });
    if (this.#of.signing !== undefined && socket.signing === undefined) {
      this.#of.log.warn(
        { event: 'session.unsigned', session: record.id },
        'the server does not agree to sign, so no signed application can be used; start it with --sign APP=FORMAT --archive FILE, as here',
      );
    }
    if (keeper === this.first) this.#of.onFirst(open);
    const lacking = this.#lacking(session);
    if (lacking.length > 0) {
      this.#of.log.warn(
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
    const { forwards, server } = this.#of.options;
    const wanted = new Set(forwards.map(({ application }) => nameInSession(application, server)));
    return [...wanted].filter((name) => !names.has(name));
  }
}

function offered({ agreement }: MuxSession): string {
  return agreement?.mode === 'ports' ? agreement.applications.map(({ name }) => name).join(', ') : '';
}
