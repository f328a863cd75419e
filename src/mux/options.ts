import { UnassignedCodePoint } from '../wire/codepoints.ts';
import type { Application } from './extension.ts';
import {
  CHANNEL_BUDGET,
  CHANNELS_MAX,
  CONNECTIONS_MAX,
  CREDIT_MAX,
  KEEP_ALIVE,
  KEEP_ALIVE_TIMEOUT,
  PAIR_IDLE,
  PAUSE_LIMIT,
  RECEIVE_BUFFER,
  RECEIVE_BUFFER_MIN,
  SESSION_BUDGET,
  UNANSWERED_MAX,
  WINDOW_FLOOR,
  WINDOW_MAX,
} from './limits.ts';
import {
  badOption,
  type ClientPolicy,
  checkApplications,
  type MuxModes,
  type MuxPolicy,
  type ServerPolicy,
} from './negotiation.ts';

/** What happens when a connection's receive buffer, or the session's budget, is full. */
export type OverflowPolicy =
  /** Stop reading from the network, for all connections, up to `pauseLimit`; then abort. */
  | 'pause'
  /** Abort that connection at once; for the session's budget, the one that holds most. */
  | 'abort';

/** Limits of one session and the code points; the same for both sides. */
export interface MuxOptions {
  /**
   * `channels` (default): channel mode when the other side has it too, else ports mode. `ports`: ports mode only, which
   * has no flow control.
   */
  readonly mode?: 'channels' | 'ports';
  /**
   * Bytes received on one connection and not yet read, 64 KiB or more. Default 1 MiB. In channel mode the largest window
   * of a channel, by default 8 MiB.
   */
  readonly receiveBuffer?: number;
  /** The same for all connections of the session, 64 KiB or more. Default 16 MiB, in channel mode 32 MiB. */
  readonly sessionBudget?: number;
  /** Ports mode. Default `pause`. */
  readonly overflow?: OverflowPolicy;
  /** Ports mode: milliseconds that `pause` may last. Default 10,000. */
  readonly pauseLimit?: number;
  /** Connections in one session, 1 to 65,536. Default 4,096; in channel mode 16,384, or what half the budget has room for. */
  readonly maxConnections?: number;
  /**
   * Channel mode. False: speak draft-badra-hajjeh-mtls-03 alone, which has no half-close and no keep-alive; the client
   * then offers channel mode only, and the end of a stream ends both directions. Default true.
   */
  readonly halfClose?: boolean;
  /** Channel mode: milliseconds of silence after which the peer is asked whether it is there; 0 for never. Default 30,000. */
  readonly keepAlive?: number;
  /** Milliseconds that it has to answer before the session is ended. Default 15,000. */
  readonly keepAliveTimeout?: number;
  /**
   * Milliseconds after which a channel without data in either direction is closed; 0 for never, the default. Over DTLS,
   * where nothing else ends a connection, default 60,000.
   */
  readonly idleTimeout?: number;
  /** Code point of `data_multiplexing`. Default 0xFF4D; no registry has assigned one. */
  readonly extensionType?: number;
  /** Content type `mtls`. Default 28; no registry has assigned one. */
  readonly contentType?: number;
}

export interface MuxClientOptions extends MuxOptions {
  /** What to ask for. Default `'all'`, which tells an observer of the ClientHello no name. */
  readonly applications?: 'all' | readonly Application[];
  /** Accept applications in the answer that were not asked for. Default false. */
  readonly acceptOthers?: boolean;
  /** Without an agreement: default `require`. */
  readonly policy?: MuxPolicy;
}

export interface MuxServerOptions extends MuxOptions {
  /** What is served. May be left out with `any`. */
  readonly applications?: readonly Application[];
  /** Take every port as an application; in channel mode, every name. Default false. */
  readonly any?: boolean;
  /** Channel mode: further names that the client may open, beside the applications, which have no port. */
  readonly channelNames?: readonly string[];
  /**
   * Channel mode: let the client ask for destinations by host and port. Whoever hears of such a connection must look
   * whether this client may have it. Default false: they are refused.
   */
  readonly destinations?: boolean;
  /** Tell a client that names applications of the others, too. Default false. */
  readonly nameOthers?: boolean;
  /** Without an agreement: default `require`. */
  readonly policy?: MuxPolicy;
}

export interface SessionLimits {
  readonly receiveBuffer: number;
  readonly sessionBudget: number;
  readonly overflow: OverflowPolicy;
  readonly pauseLimit: number;
  readonly maxConnections: number;
  /** Milliseconds, over DTLS; 0 for never. */
  readonly idleTimeout: number;
}

/** Of channel mode. */
export interface ChannelLimits {
  readonly window: number;
  readonly sessionBudget: number;
  readonly maxConnections: number;
  /** Milliseconds; 0 for never. */
  readonly keepAlive: number;
  readonly keepAliveTimeout: number;
  readonly idleTimeout: number;
}

export interface CodePoints {
  readonly extensionType: number;
  readonly contentType: number;
}

/** @throws ConnectionError ERR_TLS_OPTION */
export function clientPolicy(options: MuxClientOptions): ClientPolicy {
  const applications = options.applications ?? 'all';
  if (applications !== 'all') {
    checkApplications(applications, 'allowed');
    if (applications.length === 0) throw badOption('Name at least one application, or ask for "all"');
  }
  return {
    modes: modesOf(options),
    applications,
    acceptOthers: options.acceptOthers ?? false,
    policy: policyOf(options.policy),
  };
}

/** @throws ConnectionError ERR_TLS_OPTION */
export function serverPolicy(options: MuxServerOptions): ServerPolicy {
  const applications = options.applications ?? [];
  const any = options.any ?? false;
  checkApplications(applications, 'refused');
  if (applications.length === 0 && !any)
    throw badOption('Name at least one application to serve, or set "any"');
  return {
    modes: modesOf(options),
    applications,
    any,
    nameOthers: options.nameOthers ?? false,
    policy: policyOf(options.policy),
  };
}

/** @throws ConnectionError ERR_TLS_OPTION */
export function sessionLimits(options: MuxOptions): SessionLimits {
  const overflow = options.overflow ?? 'pause';
  if (overflow !== 'pause' && overflow !== 'abort') throw badOption('overflow must be "pause" or "abort"');
  return {
    receiveBuffer: within(
      'receiveBuffer',
      options.receiveBuffer ?? RECEIVE_BUFFER,
      RECEIVE_BUFFER_MIN,
      BYTES_MAX,
    ),
    sessionBudget: within(
      'sessionBudget',
      options.sessionBudget ?? SESSION_BUDGET,
      RECEIVE_BUFFER_MIN,
      BYTES_MAX,
    ),
    overflow,
    pauseLimit: within('pauseLimit', options.pauseLimit ?? PAUSE_LIMIT, 0, PAUSE_MAX),
    maxConnections: within('maxConnections', options.maxConnections ?? CONNECTIONS_MAX, 1, UNANSWERED_MAX),
    idleTimeout: within('idleTimeout', options.idleTimeout ?? PAIR_IDLE, 0, PAUSE_MAX),
  };
}

/** @throws ConnectionError ERR_TLS_OPTION */
export function channelLimits(options: MuxOptions): ChannelLimits {
  const { receiveBuffer = WINDOW_MAX, sessionBudget, maxConnections } = options;
  const wanted = within('maxConnections', maxConnections ?? CHANNELS_MAX, 1, UNANSWERED_MAX);
  const budget = within(
    'sessionBudget',
    sessionBudget ?? Math.max(CHANNEL_BUDGET, 2 * WINDOW_FLOOR * (maxConnections ?? 0)),
    RECEIVE_BUFFER_MIN,
    BYTES_MAX,
  );
  // Half of the budget is floors, so that whoever comes last can still move.
  const room = Math.floor(budget / 2 / WINDOW_FLOOR);
  if (maxConnections !== undefined && maxConnections > room && options.mode !== 'ports') {
    throw badOption(
      `A sessionBudget of ${budget} bytes has room for ${room} channels, not for maxConnections ${maxConnections}`,
    );
  }
  return {
    window: Math.min(within('receiveBuffer', receiveBuffer, RECEIVE_BUFFER_MIN, BYTES_MAX), CREDIT_MAX),
    sessionBudget: budget,
    maxConnections: Math.min(wanted, room),
    keepAlive: within('keepAlive', options.keepAlive ?? KEEP_ALIVE, 0, PAUSE_MAX),
    keepAliveTimeout: within(
      'keepAliveTimeout',
      options.keepAliveTimeout ?? KEEP_ALIVE_TIMEOUT,
      1,
      PAUSE_MAX,
    ),
    idleTimeout: within('idleTimeout', options.idleTimeout ?? 0, 0, PAUSE_MAX),
  };
}

/** @throws ConnectionError ERR_TLS_OPTION */
export function codePoints(options: MuxOptions): CodePoints {
  return {
    extensionType: within(
      'extensionType',
      options.extensionType ?? UnassignedCodePoint.data_multiplexing,
      0,
      0xffff,
    ),
    // 20 to 23 are TLS's own, RFC 8446 §5.1.
    contentType: within('contentType', options.contentType ?? UnassignedCodePoint.mtls, 24, 255),
  };
}

/** No buffer larger than this was ever meant. */
const BYTES_MAX = 2 ** 40;
/** The longest wait that a timer of 31 bits can count. */
const PAUSE_MAX = 2 ** 31 - 1;

function modesOf({ mode = 'channels', halfClose = true }: MuxOptions): MuxModes {
  if (mode !== 'channels' && mode !== 'ports') throw badOption('mode must be "channels" or "ports"');
  if (mode === 'ports') return 'ports';
  return halfClose ? 'both' : 'draft';
}

function policyOf(policy: MuxPolicy | undefined): MuxPolicy {
  if (policy === undefined) return 'require';
  if (policy !== 'require' && policy !== 'allow') throw badOption('policy must be "require" or "allow"');
  return policy;
}

function within(name: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw badOption(`${name} is ${value}, must be a whole number from ${min} to ${max}`);
  }
  return value;
}
