import type { Socket } from 'node:net';
import { ConnectionError } from '../errors/errors.ts';
import type { MuxConnection } from '../node/mux.ts';
import { type Endpoint, formatEndpoint } from './addresses.ts';
import type { ClientSessions } from './client-sessions.ts';
import { TunnelError } from './errors.ts';
import { pump, socketLeg, streamLeg } from './pump.ts';
import { peerOf, STREAM_OPTIONS } from './sessions.ts';
import { encodeReply, SocksReply } from './socks.ts';
import { reasonOfError, type Traffic } from './traffic.ts';

/** Carries a connection of SOCKS5 to where it wants to go: the client says where, the server whether it may (docs/cli.md). */
export async function carrySocks(
  socket: Socket,
  target: Endpoint,
  sessions: ClientSessions,
  traffic: Traffic,
): Promise<void> {
  const name = formatEndpoint(target);
  const record = traffic.openConnection(peerOf(socket), name);
  const withdrawn = new AbortController();
  const answer = (reply: SocksReply): void => void socket.write(encodeReply(reply));
  const onClose = (): void => withdrawn.abort();
  const ignore = (): void => {};
  socket.on('error', ignore);
  socket.once('close', onClose);
  record.onGiveUp(() => socket.destroy());
  try {
    const { session, record: owner } =
      sessions.first.current ?? (await sessions.wait(sessions.first, withdrawn.signal));
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
