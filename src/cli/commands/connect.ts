import { formatEndpoint, formatForwarded } from '../../tunnel/addresses.ts';
import { connectTunnel } from '../../tunnel/connect.ts';
import { readCredential } from '../../tunnel/credentials.ts';
import type { CommandContext } from '../context.ts';
import { logWarnings, runUntilStopped } from '../lifecycle.ts';
import { createLog, standardError } from '../log.ts';
import { type SessionIdentity, withIdentity } from '../module/session.ts';
import { commonOptions, connectOptions } from '../options.ts';
import { type Found, readValues } from '../values.ts';
import { peerOptionsFrom, sessionOptionsFrom, warnOfKeylog } from './session-options.ts';
import { withSigning } from './signing.ts';

/** `trellis connect`: runs until a signal. @returns the exit code */
export async function connect(
  given: ReadonlyMap<string, Found>,
  { printResult }: CommandContext,
): Promise<number> {
  const values = readValues([...connectOptions, ...commonOptions], given);
  const log = createLog(values['log-level'] ?? 'info', values.json === true, standardError());
  logWarnings(log);
  const ca = values.ca === undefined ? undefined : await readCredential('--ca', values.ca, 'certificate');
  const peer = await peerOptionsFrom(values);
  const wanted = values.forward ?? [];
  const names = wanted.map(({ application }) => application);
  const run = (identity: SessionIdentity) =>
    withSigning(values, names, '--forward to', log, async (signing) => {
      const tunnel = await connectTunnel({
        ...sessionOptionsFrom(values),
        ...peer,
        ...identity,
        ca,
        server: values.server,
        servername: values.servername,
        revocation: values.revocation,
        signing,
        forwards: wanted,
        socks: values.socks,
        reverses: values.reverse,
        eager: values.eager,
        waitTimeout: values['wait-timeout'],
        connectTimeout: values['connect-timeout'],
        log,
      });
      const server = formatEndpoint(values.server);
      const forwards = tunnel.forwards.map(({ listen, application }) => ({
        listen: formatEndpoint(listen),
        application,
      }));
      const socks = tunnel.socks.map(formatEndpoint);
      const extra = socks.length > 0 ? { socks } : {};
      const shown = tunnel.forwards.map((forward) => `${formatForwarded(forward)}=${forward.application}`);
      warnOfKeylog(log, values.keylog);
      return runUntilStopped(tunnel, log, () => {
        log.info({ event: 'ready', server, forwards: shown, ...extra }, 'ready');
        if (values.json)
          printResult({ event: 'ready', command: 'connect', pid: process.pid, server, forwards, ...extra });
      });
    });
  return withIdentity(values, false, run);
}
