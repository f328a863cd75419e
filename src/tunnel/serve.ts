import type { EventEmitter } from 'node:events';
import net from 'node:net';
import { muxServer } from '../mux/index.ts';
import { createServer as createDtlsServer, DtlsEndpoint, type DtlsSocket } from '../node/dtls/index.ts';
import { type MuxConnection, type MuxDatagrams, type MuxSession, muxSession } from '../node/mux.ts';
import { createServer, type Server } from '../node/server.ts';
import { TLSSocket } from '../node/tls-socket.ts';
import { signServer } from '../sign/index.ts';
import {
  type Application,
  checkApplications,
  checkSessionApplications,
  type Endpoint,
  formatEndpoint,
  isUdp,
  nameInSession,
} from './addresses.ts';
import { Ending } from './ending.ts';
import { TunnelError } from './errors.ts';
import { listenOn, listenOnUdp } from './listen.ts';
import { silentLog, type TunnelLog } from './log.ts';
import {
  CONNECT_TIMEOUT,
  DRAIN_TIMEOUT,
  HANDSHAKE_TIMEOUT,
  SESSIONS_MAX,
  type ServeOptions,
  type Tunnel,
  type TunnelStats,
  UDP_FLOWS_MAX,
  UDP_IDLE,
} from './options.ts';
import { type ClientIdentity, identityOf, notPermitted, Policy } from './policy.ts';
import { pump, socketLeg, streamLeg } from './pump.ts';
import { REVERSE_CHANNEL, serveReverse } from './reverse.ts';
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
} from './sessions.ts';
import { onSignedMessage, type SignedStream, signedPump, UnitBudget } from './signed-pump.ts';
import { notSigned, SIGNED_BUFFER, SigningPlan, signsAnyway, warnOfUpgrade } from './signing.ts';
import { type ConnectionRecord, fault, reasonOfError, type SessionRecord, Traffic } from './traffic.ts';
import { carryToTarget, FlowLimit } from './udp.ts';

/** A running `serveTunnel`. */
export interface ServerTunnel extends Tunnel {
  /** Where it listens. */
  readonly address: Endpoint;
}

/**
 * Offers applications to clients, many in one TLS session. Resolves when it listens.
 * @throws TunnelError ERR_TUNNEL_OPTION, ERR_TUNNEL_CREDENTIALS, ERR_TUNNEL_LISTEN
 */
export async function serveTunnel(options: ServeOptions): Promise<ServerTunnel> {
  const gateway = new Gateway(options);
  await gateway.listen(options.listen);
  return gateway;
}

class Gateway implements ServerTunnel {
  readonly #options: ServeOptions;
  readonly #log: TunnelLog;
  readonly #server: Server | DtlsEndpoint;
  readonly #traffic: Traffic;
  readonly #ending: Ending;
  readonly #units = new UnitBudget();
  readonly #flows: FlowLimit;
  readonly #signing: SigningPlan | undefined;
  readonly #byPort: ReadonlyMap<number, Application>;
  readonly #byName: ReadonlyMap<string, Application>;
  readonly #policy: Policy | undefined;
  readonly #firstApplication: Application;
  /** Multiplexed sessions and ordinary TLS sockets. */
  readonly #sessions = new Set<MuxSession>();
  #address: Endpoint;

  constructor(options: ServeOptions) {
    const { applications, log = silentLog, drainTimeout = DRAIN_TIMEOUT } = options;
    checkApplications(applications);
    const [first] = applications;
    if (first === undefined)
      throw new TunnelError('ERR_TUNNEL_OPTION', 'At least one application is needed.');
    this.#options = options;
    this.#log = log;
    const ordinary = applications.find(({ name }) => !isUdp(name));
    if (options.mux === 'allow' && ordinary === undefined) {
      throw new TunnelError(
        'ERR_TUNNEL_OPTION',
        'Clients that do not multiplex get the first TCP application, and there is none: leave --mux allow out.',
      );
    }
    this.#firstApplication = ordinary ?? first;
    this.#flows = new FlowLimit(options.maxUdpFlows ?? UDP_FLOWS_MAX);
    this.#byPort = new Map(applications.map((application) => [application.port, application]));
    this.#byName = new Map(applications.map((application) => [application.name, application]));
    this.#policy = options.policy && new Policy(options.policy);
    if (options.policy !== undefined && options.clientCa === undefined) {
      throw new TunnelError('ERR_TUNNEL_OPTION', 'A policy names client certificates: give --client-ca.');
    }
    this.#address = options.listen;
    this.#signing = options.signing && new SigningPlan(options.signing, options.clientCa);
    if (options.crl !== undefined && options.clientCa === undefined) {
      throw new TunnelError(
        'ERR_TUNNEL_OPTION',
        'A CRL is for the certificates of clients: give --client-ca.',
      );
    }
    if (options.signing !== undefined && options.clientCa === undefined && options.signing.ca === undefined) {
      throw new TunnelError(
        'ERR_TUNNEL_OPTION',
        'Nobody could tell whose signatures they are: give --client-ca, or --sign-ca for clients that show no certificate.',
      );
    }
    this.#traffic = new Traffic(log);
    this.#server =
      options.listen.transport === 'udp' ? this.#makeDtlsServer(options) : this.#makeServer(options);
    this.#ending = new Ending(this.#traffic, drainTimeout, {
      stopAccepting: () => {
        if (this.#server instanceof DtlsEndpoint) this.#server.stopAccepting();
        else this.#server.close();
        this.#flows.drain();
      },
      closeSessions: async () => {
        await Promise.all([...this.#sessions].map(sayGoodbye));
        if (this.#server instanceof DtlsEndpoint) this.#server.close();
      },
    });
  }

  get address(): Endpoint {
    return this.#address;
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

  async listen(endpoint: Endpoint): Promise<void> {
    const server = this.#server;
    this.#address = await (server instanceof DtlsEndpoint
      ? listenOnUdp(server, endpoint)
      : listenOn(server, endpoint));
    this.#server.on('error', (error) => this.#ending.fail(error));
  }

  #makeServer(options: ServeOptions): Server {
    const { applications } = options;
    const server = createServer({
      ...STREAM_OPTIONS,
      ...TRANSPORT_OPTIONS,
      ...handshakeOptions(options),
      subProtocols: [
        muxServer({
          ...muxLimits(options),
          applications: applications.map(({ name, port }) => ({ name, port })),
          policy: options.mux ?? 'require',
          ...(this.#policy !== undefined && { destinations: true, channelNames: [REVERSE_CHANNEL] }),
        }),
        ...(this.#signing === undefined ? [] : [signServer(this.#signing.options(this.#signing.formats))]),
      ],
    });
    server.maxConnections = options.maxSessions ?? SESSIONS_MAX;
    this.#attend(server);
    return server;
  }

  /** The same over UDP: datagrams, and no streams. */
  #makeDtlsServer(options: ServeOptions): DtlsEndpoint {
    const { applications } = options;
    checkSessionApplications(
      options.listen,
      applications.map(({ name }) => name),
    );
    requireForDatagrams(options);
    if (options.mux === 'allow') throw overUdp('--mux allow');
    const server = createDtlsServer({
      ...handshakeOptions(options),
      maxSessions: options.maxSessions ?? SESSIONS_MAX,
      subProtocols: [
        muxServer({
          ...muxLimits(options),
          mode: 'ports',
          idleTimeout: options.udpIdle ?? UDP_IDLE,
          applications: applications.map(({ name, port }) => ({
            name: nameInSession(name, options.listen),
            port,
          })),
          policy: 'require',
        }),
      ],
    });
    this.#attend(server);
    return server;
  }

  #attend(server: EventEmitter): void {
    const { onKeylog } = this.#options;
    server.on('secureConnection', (socket: TLSSocket | DtlsSocket) => this.#accept(socket));
    server.on('tlsClientError', (error: Error, socket: TLSSocket | DtlsSocket) => {
      this.#log.warn({ event: 'session.refused', peer: peerOf(socket), ...fault(error) }, 'session refused');
    });
    if (onKeylog !== undefined) server.on('keylog', onKeylog);
  }

  #accept(socket: TLSSocket | DtlsSocket): void {
    socket.signing?.on();
    const session = muxSession(socket, STREAM_OPTIONS);
    const client =
      this.#options.clientCa === undefined ? undefined : identityOf(socket.getPeerX509Certificate());
    const record = this.#traffic.openSession(peerOf(socket), {
      ...describeSession(socket),
      mux: session !== undefined,
      subject: client?.subject,
    });
    if (session === undefined) {
      // Over UDP the handshake has required it.
      if (socket instanceof TLSSocket) this.#acceptOrdinary(socket, record, client);
      return;
    }
    this.#sessions.add(session);
    recordEnd(session, record, () => this.#ending.begun);
    session.on('close', () => this.#sessions.delete(session));
    const guest: Guest = { session, record, client, ports: new Set() };
    session.on('connection', (connection) => this.#acceptConnection(connection, guest));
    session.on('datagrams', (datagrams) => this.#acceptDatagrams(datagrams, guest));
  }

  #acceptConnection(connection: MuxConnection, guest: Guest): void {
    const { client } = guest;
    const { destination, application } = connection;
    const isChannel = guest.session.agreement?.mode === 'channels';
    if (this.#ending.begun) this.#deny(connection, guest, 'the server is stopping');
    else if (destination !== undefined) {
      if (this.#policy?.mayReach(client, destination)) {
        const name = formatEndpoint(destination);
        this.#serve(connection, guest, { name, port: destination.port, target: destination });
      } else this.#deny(connection, guest, notPermitted(destination));
    } else if (isChannel && application.name === REVERSE_CHANNEL) {
      this.#acceptReverse(connection, guest);
    } else {
      const served = this.#served(connection, guest);
      if (served !== undefined) this.#serve(connection, guest, served);
    }
  }

  #acceptDatagrams(datagrams: MuxDatagrams, guest: Guest): void {
    const served = this.#served(datagrams, guest);
    if (served === undefined) return;
    const { record: session } = guest;
    const record = this.#traffic.openConnection(session.peer, served.name, session);
    carryToTarget(datagrams, served.target, record, {
      idle: this.#options.udpIdle ?? UDP_IDLE,
      limit: this.#flows,
    });
  }

  /** What it is for, if this client may have it; otherwise the client has been told. */
  #served(connection: MuxConnection | MuxDatagrams, guest: Guest): Application | undefined {
    const { name, port } = connection.application;
    const isChannel = guest.session.agreement?.mode === 'channels';
    const served = isChannel ? this.#byName.get(name) : this.#byPort.get(port);
    if (this.#ending.begun) this.#deny(connection, guest, 'the server is stopping');
    else if (served === undefined) this.#deny(connection, guest, 'this side does not serve it');
    else if (this.#policy?.mayUse(guest.client, served.name) === false)
      this.#deny(connection, guest, notPermitted(served.name));
    else return served;
    return undefined;
  }

  #serve(connection: MuxConnection, { record: session }: Guest, application: Application): void {
    const record = this.#traffic.openConnection(session.peer, application.name, session);
    // The client hears of it when the application has answered; or that it has not.
    connection.defer();
    this.#bridge(record, application, connection, {
      refuse: () => connection.refuse(`${application.name} cannot be reached from the server`),
      accept: () => connection.accept(),
    });
  }

  #deny(connection: MuxConnection | MuxDatagrams, { record, client }: Guest, reason: string): void {
    const { application } = connection;
    const destination = 'destination' in connection ? connection.destination : undefined;
    const target = destination === undefined ? application.name : formatEndpoint(destination);
    this.#log.warn(
      {
        event: 'connection.denied',
        session: record.id,
        peer: record.peer,
        subject: client?.subject,
        target,
        reason,
      },
      `denied: ${reason}`,
    );
    connection.once('error', () => {});
    connection.refuse(reason);
  }

  /** The client wants this machine to listen for it. */
  #acceptReverse(channel: MuxConnection, { session, record, client, ports }: Guest): void {
    serveReverse(
      channel,
      {
        session,
        mayListen: (endpoint) =>
          this.#policy?.mayListen(client, endpoint) === true
            ? undefined
            : notPermitted(`a port at ${formatEndpoint(endpoint)}`),
        opened: (asked, actual) =>
          this.#log.info(
            { event: 'reverse.open', session: record.id, peer: record.peer, listen: formatEndpoint(actual) },
            `listening on ${formatEndpoint(asked)} for a client`,
          ),
        accept: (socket, asked) => this.#carryReverse(socket, asked, session, record),
      },
      ports,
    );
  }

  #carryReverse(socket: net.Socket, asked: Endpoint, session: MuxSession, owner: SessionRecord): void {
    const name = `reverse ${formatEndpoint(asked)}`;
    const record = this.#traffic.openConnection(peerOf(socket), name, owner);
    try {
      const stream = session.open(asked, {
        ...STREAM_OPTIONS,
        localPort: socket.remotePort,
        localAddress: socket.remoteAddress,
      });
      record.carry((done) => pump(socketLeg(socket), streamLeg(stream), done));
    } catch (error) {
      socket.resetAndDestroy();
      record.close(reasonOfError(error), error);
    }
  }

  /** One side signs the application and the other does not, or in another format. */
  #disagreement({ name }: Application, { signing }: SigningEnd): TunnelError | undefined {
    const wanted = this.#signing?.of(name);
    if (wanted === undefined || signing?.agreement.format === wanted.format) return undefined;
    return notSigned(name, wanted.format, signing?.agreement.format);
  }

  /** A client that does not multiplex: its session is one connection to the first application. */
  #acceptOrdinary(socket: TLSSocket, session: SessionRecord, client: ClientIdentity): void {
    const application = this.#firstApplication;
    if (this.#policy?.mayUse(client, application.name) === false) {
      this.#log.warn(
        { event: 'connection.denied', session: session.id, peer: session.peer, subject: client?.subject },
        'denied by the policy',
      );
      session.close('closed');
      socket.destroy();
      return;
    }
    const record = this.#traffic.openConnection(session.peer, application.name, session);
    let failure: Error | undefined;
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('close', () => session.close(failure === undefined ? 'closed' : 'failed', failure));
    this.#bridge(record, application, socket, { refuse: () => socket.destroy(), accept: () => {} });
  }

  /** Connects to the application, then carries. Until then the client's data waits in the session's bounded buffers. */
  #bridge(record: ConnectionRecord, application: Application, far: Far, { refuse, accept }: Answer): void {
    const disagreement = this.#disagreement(application, far);
    if (disagreement !== undefined) {
      far.on('error', () => {});
      refuse();
      if (far.signing !== undefined) onSignedMessage(far, () => {});
      record.close('unsigned', disagreement);
      return;
    }
    const { host, port } = application.target;
    const near = net.connect({ host, port, noDelay: true, ...STREAM_OPTIONS, ...socketBuffer });
    let failure: Error | undefined;
    const limit = this.#options.connectTimeout ?? CONNECT_TIMEOUT;
    const timer = setTimeout(() => {
      near.destroy(new Error(`${host}:${port} did not answer within ${limit / 1000} s`));
    }, limit);
    const giveUp = (): void => {
      clearTimeout(timer);
      far.off('close', onFarClose);
      near.off('close', onNearClose);
    };
    // What has come, or will, is for nobody: but the session must not wait for it.
    const discard = (): void => {
      if (far.signing !== undefined) onSignedMessage(far, () => {});
    };
    const onFarClose = (): void => {
      giveUp();
      near.destroy();
      discard();
      record.close(reasonOfError(failure), failure);
    };
    const onNearClose = (): void => {
      giveUp();
      refuse();
      discard();
      record.close('unreachable', failure);
    };
    for (const stream of [near, far]) {
      stream.on('error', (error: Error) => {
        failure ??= error;
      });
    }
    far.on('close', onFarClose);
    near.on('close', onNearClose);
    record.onGiveUp((error) => {
      failure = error;
      far.destroy();
    });
    near.on('connect', () => {
      giveUp();
      accept();
      this.#carry(record, application, near, far);
    });
  }

  #carry(record: ConnectionRecord, { name }: Application, near: net.Socket, far: Far): void {
    const application = this.#signing?.of(name);
    if (application !== undefined) {
      const buffer = this.#options.connectionBuffer ?? SIGNED_BUFFER;
      const onUpgrade = (): void => warnOfUpgrade(this.#log, record);
      const options = { application, role: 'server', buffer, budget: this.#units, onUpgrade } as const;
      record.carry((done) => signedPump(socketLeg(near), far, options, done));
      return;
    }
    record.carry((done) => pump(socketLeg(near), streamLeg(far), done));
    if (far.signing !== undefined) onSignedMessage(far, () => record.abort(signsAnyway('client', name)));
  }
}

/** Over TCP and over UDP. @throws TunnelError ERR_TUNNEL_CREDENTIALS */
function handshakeOptions(options: ServeOptions) {
  const { cert, key, clientCa, crl } = options;
  if (clientCa !== undefined) secureContext('The client CA', { ca: clientCa });
  return {
    secureContext: secureContext("The server's certificate and key", {
      ...algorithms(options),
      cert,
      key,
      ca: clientCa,
      crl,
    }),
    psk: options.psk,
    ALPNProtocols: options.alpn,
    module: options.module,
    requestCert: clientCa !== undefined,
    handshakeTimeout: options.handshakeTimeout ?? HANDSHAKE_TIMEOUT,
  };
}

/** The client's end: a connection of a multiplexed session, or the session itself. */
type Far = SignedStream & SigningEnd;
type SigningEnd = Pick<TLSSocket, 'signing'>;

/** What the client is told about a connection of its own. */
interface Answer {
  refuse(): void;
  accept(): void;
}

/** A client's session. */
interface Guest {
  readonly session: MuxSession;
  readonly record: SessionRecord;
  readonly client: ClientIdentity;
  /** Ports that are open for it. */
  readonly ports: Set<net.Server>;
}

const socketBuffer = { highWaterMark: SOCKET_BUFFER };
