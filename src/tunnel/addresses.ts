import { isIPv6 } from 'node:net';
import { carriesDatagrams, DATAGRAM_SUFFIX } from '../mux/datagrams/datagrams.ts';
import { APPLICATION_NAME_MAX, RESERVED_NAMES } from '../mux/limits.ts';
import { TunnelError } from './errors.ts';

/** A host name or IP address (no brackets) and a port, 0–65535. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  /** Of a session: DTLS over UDP. Default: TLS over TCP. */
  readonly transport?: 'udp' | undefined;
}

/** One application of a server: what clients ask for, and where it really is. */
export interface Application {
  /** 1–16 bytes, as `ApplicationProtocolName` of the data_multiplexing extension. One of datagrams ends in `/udp`. */
  readonly name: string;
  /** The port under which the session knows it, 1–65535; unique in a server. */
  readonly port: number;
  readonly target: Endpoint;
}

/** One local port of a client, and the application that its connections go to: a UDP port, where that ends in `/udp`. */
export interface Forward {
  readonly listen: Endpoint;
  readonly application: string;
}

/** A forward that names no address listens here: other machines must be let in on purpose. */
const LOOPBACK = '127.0.0.1';

/**
 * `HOST:PORT`, an IPv6 address in brackets: `db.internal:5432`, `10.0.0.7:22`, `[::1]:8443`.
 * @throws TunnelError ERR_TUNNEL_OPTION
 */
export function parseEndpoint(text: string): Endpoint {
  const match = /^(?:\[(?<v6>[^\]]*)\]|(?<host>[^:[\]]*)):(?<port>\d{1,5})$/.exec(text);
  if (match === null) throw invalid(text, endpointHint(text));
  const { v6, host = '', port = '' } = match.groups ?? {};
  if (v6 !== undefined && !isIPv6(v6)) throw invalid(text, `[${v6}] is not an IPv6 address`);
  if (v6 === undefined && !/^[A-Za-z0-9._-]+$/.test(host)) throw invalid(text, endpointHint(text));
  return { host: v6 ?? host, port: parsePort(text, port) };
}

/**
 * `[udp:]HOST:PORT`: where sessions are, over TCP or over UDP.
 * @throws TunnelError ERR_TUNNEL_OPTION
 */
export function parseSessionEndpoint(text: string): Endpoint {
  if (!text.startsWith(UDP_PREFIX)) return parseEndpoint(text);
  return { ...parseEndpoint(text.slice(UDP_PREFIX.length)), transport: 'udp' };
}

const UDP_PREFIX = 'udp:';

/** The inverse of `parseEndpoint` and `parseSessionEndpoint`. */
export function formatEndpoint({ host, port, transport }: Endpoint): string {
  const prefix = transport === 'udp' ? UDP_PREFIX : '';
  return `${prefix}${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** What an application is called in a session: over DTLS every one is of datagrams, and names are bare. */
export function nameInSession(application: string, { transport }: Endpoint): string {
  return transport === 'udp' && isUdp(application)
    ? application.slice(0, -DATAGRAM_SUFFIX.length)
    : application;
}

/**
 * What a session over UDP cannot carry.
 * @throws TunnelError ERR_TUNNEL_OPTION
 */
export function checkSessionApplications({ transport }: Endpoint, names: readonly string[]): void {
  const stream = transport === 'udp' ? names.find((name) => !isUdp(name)) : undefined;
  if (stream === undefined) return;
  throw option(
    `${stream} is a TCP application, and a session over UDP carries datagrams only; write ${stream}/udp for one that speaks UDP, or take a session over TCP.`,
  );
}

/** What `NAME` of `--app NAME/udp=…` and of `--forward PORT/udp=NAME` is about. */
export function isUdp(application: string): boolean {
  return carriesDatagrams(application);
}

/**
 * `[BIND:]LPORT[/udp]=NAME`: `5432=db`, `0.0.0.0:8080=web`, `[::1]:0=ssh`, `5300/udp=dns`. Port 0 lets the system pick
 * one.
 * @throws TunnelError ERR_TUNNEL_OPTION
 */
export function parseForward(text: string): Forward {
  const split = text.lastIndexOf('=');
  if (split < 0) throw invalid(text, 'write [BIND:]LPORT=NAME, as in 8080=web');
  const left = text.slice(0, split);
  const right = text.slice(split + 1);
  const wantsUdp = left.endsWith(DATAGRAM_SUFFIX);
  if (!wantsUdp && isUdp(right)) {
    const name = right.slice(0, -DATAGRAM_SUFFIX.length);
    throw invalid(text, `${name} speaks UDP; write ${left}${DATAGRAM_SUFFIX}=${name}`);
  }
  const where = wantsUdp ? left.slice(0, -DATAGRAM_SUFFIX.length) : left;
  const application = parseName(text, wantsUdp && !isUdp(right) ? `${right}${DATAGRAM_SUFFIX}` : right);
  const listen = /^\d+$/.test(where)
    ? { host: LOOPBACK, port: parsePort(text, where) }
    : parseEndpoint(where);
  return { listen, application };
}

/**
 * `NAME[/udp][:PORT]=HOST:PORT`: `web=127.0.0.1:8080`, `db:5433=db.internal:5432`, `dns/udp=127.0.0.1:5353`. The
 * session's port is the target's
 * unless another is given.
 * @throws TunnelError ERR_TUNNEL_OPTION
 */
export function parseApplication(text: string): Application {
  const match = /^(?<name>[^=:]*)(?::(?<port>\d{1,5}))?=(?<target>.*)$/.exec(text);
  if (match === null) throw invalid(text, 'write NAME[:PORT]=HOST:PORT, as in web=127.0.0.1:8080');
  const { name = '', port, target: where = '' } = match.groups ?? {};
  const target = parseEndpoint(where);
  if (target.port === 0) throw invalid(text, 'the application must have a port of 1–65535');
  const sessionPort = port === undefined ? target.port : parsePort(text, port);
  if (sessionPort === 0) throw invalid(text, 'the port after NAME must be 1–65535');
  return { name: parseName(text, name), port: sessionPort, target };
}

/**
 * Names and session ports tell applications apart, so each may be used once.
 * @throws TunnelError ERR_TUNNEL_OPTION
 */
export function checkApplications(applications: readonly Application[]): void {
  const byName = new Set<string>();
  const byPort = new Map<number, Application>();
  for (const application of applications) {
    const { name, port } = application;
    if (byName.has(name)) throw option(`Application "${name}" is given twice; give each its own name.`);
    byName.add(name);
    const holder = byPort.get(port);
    if (holder !== undefined) {
      const better = `${name}:${freePort(byPort, port)}=${formatEndpoint(application.target)}`;
      throw option(
        `Applications "${holder.name}" and "${name}" both use port ${port}; give one another, as in ${better}`,
      );
    }
    byPort.set(port, application);
  }
}

/** Where a forward listens, as `--forward` has it. */
export function formatForwarded({ listen, application }: Forward): string {
  return `${formatEndpoint(listen)}${isUdp(application) ? DATAGRAM_SUFFIX : ''}`;
}

/** @throws TunnelError ERR_TUNNEL_OPTION when two forwards ask for the same address and port */
export function checkForwards(forwards: readonly Forward[]): void {
  const seen = new Map<string, Forward>();
  for (const forward of forwards) {
    if (forward.listen.port === 0) continue;
    const where = formatForwarded(forward);
    const holder = seen.get(where);
    if (holder !== undefined) {
      throw option(
        `Forwards to "${holder.application}" and "${forward.application}" both listen on ${where}; give one another port.`,
      );
    }
    seen.set(where, forward);
  }
}

function freePort(taken: ReadonlyMap<number, unknown>, port: number): number {
  for (let offset = 1; offset < 65_536; offset++) {
    const candidate = ((port - 1 + offset) % 65_535) + 1;
    if (!taken.has(candidate)) return candidate;
  }
  return port;
}

function parseName(text: string, name: string): string {
  if (!/^[A-Za-z0-9._/+-]+$/.test(name)) {
    throw invalid(text, 'an application name is letters, digits and . _ / + -');
  }
  if (name.length > APPLICATION_NAME_MAX) {
    throw invalid(text, `an application name has at most ${APPLICATION_NAME_MAX} characters`);
  }
  if (RESERVED_NAMES.includes(name))
    throw invalid(text, `${name} has a meaning of its own; choose another name`);
  return name;
}

function parsePort(text: string, digits: string): number {
  const port = Number(digits);
  if (port > 65_535) throw invalid(text, `port ${digits} is above 65535`);
  return port;
}

function endpointHint(text: string): string {
  if (isIPv6(text) || /^[0-9a-f:]*::[0-9a-f:]*$/i.test(text)) {
    return 'put an IPv6 address in brackets, as in [::1]:8443';
  }
  if (text === '' || text.startsWith(':')) return 'a host is missing; write HOST:PORT, as in 127.0.0.1:8443';
  return 'write HOST:PORT, as in 127.0.0.1:8443 or [::1]:8443';
}

function invalid(text: string, hint: string): TunnelError {
  return option(`"${text}" does not work: ${hint}.`);
}

function option(message: string): TunnelError {
  return new TunnelError('ERR_TUNNEL_OPTION', message);
}
