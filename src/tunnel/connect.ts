import type { RemoteInfo } from 'node:dgram';
import net, { type Socket } from 'node:net';
import type { MuxConnection, MuxDatagrams } from '../node/mux.ts';
import {
  checkForwards,
  checkSessionApplications,
  type Endpoint,
  type Forward,
  isUdp,
  nameInSession,
} from './addresses.ts';
import { ClientSessions, type OpenSession } from './client-sessions.ts';
import { Ending } from './ending.ts';
import { TunnelError } from './errors.ts';
import { listenOn } from './listen.ts';
import { silentLog, type TunnelLog } from './log.ts';
import {
  type ConnectOptions,
  DRAIN_TIMEOUT,
  type Tunnel,
  type TunnelStats,
  UDP_FLOWS_MAX,
  UDP_IDLE,
} from './options.ts';
import { pump, socketLeg, streamLeg } from './pump.ts';
import { ReverseForwards } from './reverse-client.ts';
import type { SessionKeeper } from './session-keeper.ts';
import {
  algorithms,
  overUdp,
  peerOf,
  requireForDatagrams,
  SOCKET_BUFFER,
  STREAM_OPTIONS,
  secureContext,
} from './sessions.ts';
import { onSignedMessage, signedPump, UnitBudget } from './signed-pump.ts';
import { notSigned, SIGNED_BUFFER, SigningPlan, signsAnyway, warnOfUpgrade } from './signing.ts';
import { acceptSocks } from './socks.ts';
import { carrySocks } from './socks-client.ts';
import { type ConnectionRecord, reasonOfError, Traffic } from './traffic.ts';
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

class Client implements ClientTunnel {
  readonly #options: ConnectOptions;
  readonly #log: TunnelLog;
  readonly #traffic: Traffic;
  readonly #ending: Ending;
  readonly #units = new UnitBudget();
  readonly #signing: SigningPlan | undefined;
  readonly #sessions: ClientSessions;
  readonly #listeners: net.Server[] = [];
  readonly #datagramForwards: DatagramForward[] = [];
  readonly #flows: FlowLimit;
  #forwards: readonly Forward[] = [];
  readonly #socks: Endpoint[] = [];

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
    const context = secureContext("The client's certificate and key", {
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
    const reverseForwards = new ReverseForwards(reverses, this.#traffic, log);
    this.#sessions = new ClientSessions({
      options,
      context,
      signing: this.#signing,
      traffic: this.#traffic,
      log,
      isEnding: () => this.#ending.begun,
      onFirst: (open) => reverseForwards.open(open),
    });
    this.#ending = new Ending(this.#traffic, drainTimeout, {
      stopAccepting: () => {
        this.#stopListening();
      },
      closeSessions: () => this.#sessions.close(),
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
    if ((this.#options.reverses ?? []).length > 0) this.#sessions.first.start();
    if (this.#options.eager) this.#sessions.start();
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
    const keeper = this.#sessions.first;
    const open = ({ session, record: owner }: OpenSession): MuxDatagrams => {
      record.session = owner;
      return session.openDatagrams(nameInSession(record.application, this.#options.server), {
        localPort: source.port,
        localAddress: source.address,
      });
    };
    const { current } = keeper;
    return current === undefined ? this.#sessions.wait(keeper, NEVER).then(open) : open(current);
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
      acceptSocks(socket, (target) => void carrySocks(socket, target, this.#sessions, this.#traffic)),
    );
  }

  #accept(socket: Socket, application: string): void {
    const record = this.#traffic.openConnection(peerOf(socket), application);
    let keeper: SessionKeeper<OpenSession>;
    try {
      keeper = this.#sessions.keeperFor(record);
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
      const open = await this.#sessions.wait(keeper, withdrawn.signal);
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
}

/** A flow of datagrams is not withdrawn: who sends one waits for nothing. */
const NEVER = new AbortController().signal;
