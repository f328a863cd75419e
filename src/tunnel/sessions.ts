import { TrellisError } from '../errors/errors.ts';
import type { MuxOptions } from '../mux/index.ts';
import type { DtlsSocket } from '../node/dtls/index.ts';
import type { MuxSession } from '../node/mux.ts';
import {
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
} from '../node/secure-context.ts';
import type { TLSSocket } from '../node/tls-socket.ts';
import { formatEndpoint } from './addresses.ts';
import { TunnelError } from './errors.ts';
import type { LogFields } from './log.ts';
import { KEEPALIVE, type TunnelOptions } from './options.ts';
import type { SessionRecord } from './traffic.ts';

/**
 * What the local sockets buffer before they ask to wait. Node's default of 16 KiB is less than one read, so that each
 * read would stop and start its source.
 */
export const SOCKET_BUFFER = 262_144;

/** How long the other side has to answer close_notify when the tunnel stops. */
const GOODBYE_LIMIT = 1_000;

/** Half-open, because an end of data at one side must not be one at the other. */
export const STREAM_OPTIONS = { allowHalfOpen: true } as const;

/** For the TCP connection under a session. */
export const TRANSPORT_OPTIONS = { keepAlive: true, keepAliveInitialDelay: KEEPALIVE } as const;

/**
 * What is said about versions and algorithms, as options of a context.
 * @throws TunnelError ERR_TUNNEL_OPTION for what cannot work
 */
export function algorithms(given: TunnelOptions): SecureContextOptions {
  const { minVersion, maxVersion, legacy, ciphers, groups } = given;
  const options = { minVersion, maxVersion, legacy, ciphers, ecdhCurve: groups };
  try {
    createSecureContext(options);
  } catch (error) {
    if (!(error instanceof TrellisError)) throw error;
    const text = error.message.replace(/^Option ecdhCurve: /, 'Option groups: ');
    throw new TunnelError('ERR_TUNNEL_OPTION', `${text}.`, { cause: error });
  }
  return options;
}

/**
 * @param what for the message: whose certificates and keys these are
 * @throws TunnelError ERR_TUNNEL_CREDENTIALS
 */
export function secureContext(what: string, options: SecureContextOptions): SecureContext {
  try {
    return createSecureContext(options);
  } catch (error) {
    if (!(error instanceof TrellisError)) throw error;
    throw new TunnelError('ERR_TUNNEL_CREDENTIALS', `${what}: ${error.message}.`.replace(/\.\.$/, '.'), {
      cause: error,
    });
  }
}

/** Multiplexing's own limits, where they are given. */
export function muxLimits(options: TunnelOptions): MuxOptions {
  const { muxMode, maxConnections, connectionBuffer, sessionBuffer } = options;
  return {
    ...(muxMode === undefined ? {} : { mode: muxMode }),
    ...(maxConnections === undefined ? {} : { maxConnections }),
    ...(connectionBuffer === undefined ? {} : { receiveBuffer: connectionBuffer }),
    ...(sessionBuffer === undefined ? {} : { sessionBudget: sessionBuffer }),
  };
}

/** What the log tells of a session when it opens. */
export function describeSession(socket: TLSSocket | DtlsSocket): LogFields {
  return {
    protocol: socket.getProtocol() ?? undefined,
    cipher: socket.getCipher()?.name,
    resumed: socket.isSessionReused(),
    psk: socket.pskIdentity?.toString(),
    signing: socket.signing?.agreement.format,
  };
}

/** Closes the record when the session is over. @param stopped whether this side wanted it */
export function recordEnd(session: MuxSession, record: SessionRecord, stopped: () => boolean): void {
  let failure: Error | undefined;
  session.on('error', (error) => {
    failure = error;
  });
  session.on('close', () => {
    if (failure !== undefined) record.close('failed', failure);
    else record.close(stopped() ? 'stopped' : 'closed');
  });
}

/** Ends a session that has no connections any more, with close_notify; in any case it is over after a moment. */
export function sayGoodbye(session: MuxSession): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => session.destroy(), GOODBYE_LIMIT);
    session.close(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

export function peerOf(socket: {
  remoteAddress?: string | undefined;
  remotePort?: number | undefined;
}): string {
  const { remoteAddress, remotePort } = socket;
  return remoteAddress === undefined
    ? 'unknown'
    : formatEndpoint({ host: remoteAddress, port: remotePort ?? 0 });
}

/** Milliseconds of sending without an answer after which a client believes that the server has lost its session. */
export const SILENCE_LIMIT = 60_000;

/** Looks for it so many times within that. */
const SILENCE_LOOKS = 4;

/**
 * UDP does not say that a server was restarted, and what it does not know it drops. So a client that has sent and heard
 * nothing for `SILENCE_LIMIT` begins anew: where nothing is to be heard, that costs a handshake a minute.
 */
export function watchSilence(socket: DtlsSocket): void {
  let { sent, received } = socket.counts;
  let silent = 0;
  const timer = setInterval(() => {
    const now = socket.counts;
    silent = now.received > received ? 0 : silent + (now.sent > sent || silent > 0 ? 1 : 0);
    ({ sent, received } = now);
    if (silent < SILENCE_LOOKS) return;
    socket.destroy(new TunnelError('ERR_TUNNEL_SILENT', 'The server has not answered for a minute.'));
  }, SILENCE_LIMIT / SILENCE_LOOKS).unref();
  socket.once('close', () => clearInterval(timer));
}

/** @throws TunnelError ERR_TUNNEL_OPTION for what there is over TCP only */
export function requireForDatagrams({ signing, muxMode }: TunnelOptions): void {
  if (signing !== undefined) throw overUdp('--sign');
  if (muxMode === 'channels') throw overUdp('--mux-mode channels');
}

export function overUdp(what: string): TunnelError {
  return new TunnelError(
    'ERR_TUNNEL_OPTION',
    `${what} needs a session over TCP; take it out, or write HOST:PORT in the place of udp:HOST:PORT.`,
  );
}
