import { errorCode } from '../tunnel/errors.ts';
import type { TunnelLog } from '../tunnel/log.ts';
import type { Tunnel } from '../tunnel/options.ts';

export const EXIT_OK = 0;
export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;

/** These ask a program that serves to end. */
export const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** From here on, warnings of the process are lines of the log, as `--json` promises. */
export function logWarnings(log: TunnelLog): void {
  process.removeAllListeners('warning');
  process.on('warning', (warning: Error & { readonly code?: string }) => {
    log.warn({ event: 'warning', code: warning.code ?? warning.name }, warning.message);
  });
}

/**
 * Runs a tunnel until a signal or a failure ends it. The first signal lets connections finish, the second does not.
 * @param announce tells that it is ready; called when signals are heeded, since whoever is told may send one at once
 * @returns the exit code
 */
export async function runUntilStopped(tunnel: Tunnel, log: TunnelLog, announce: () => void): Promise<number> {
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    signals++;
    const { open } = tunnel.stats.connections;
    if (signals === 1) log.info({ event: 'stopping', signal, connections: open }, 'stopping');
    void tunnel.close();
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    announce();
    const failure = await tunnel.finished;
    if (failure !== undefined) {
      log.error({ event: 'failed', code: errorCode(failure), error: failure.message }, 'failed');
      return EXIT_FAILURE;
    }
    const { sessions, connections, bytesIn, bytesOut, datagrams } = tunnel.stats;
    const hasDatagrams = datagrams.in + datagrams.out + datagrams.dropped > 0;
    log.info(
      {
        event: 'stopped',
        sessions: sessions.total,
        connections: connections.total,
        failed: connections.failed,
        bytesIn,
        bytesOut,
        ...(hasDatagrams && {
          datagramsIn: datagrams.in,
          datagramsOut: datagrams.out,
          datagramsDropped: datagrams.dropped,
        }),
      },
      'stopped',
    );
    return EXIT_OK;
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}
